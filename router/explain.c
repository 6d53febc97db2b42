#include "router/explain.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/limits.h"
#include "protocol/sql_lexer.h"
#include "router/classify_names.h"
#include "router/explain_facts.h"
#include "router/facts.h"
#include "router/functions.h"
#include "router/parse.h"
#include "router/plan.h"
#include "router/syntax.h"

enum {
    NAME_BYTES = 200, /* of a table or function, with its schema */
    NAMES_MAX = 100,  /* rows of names; a statement may have any number */
    SKELETON_SHOWN = 2000,
};

const char *const explain_columns[EXPLAIN_COLUMNS] = {"item", "value", "why"};

/* --- rows ------------------------------------------------------------------------------------- */

void explanation_init(struct explanation *explanation)
{
    *explanation = (struct explanation){.row_count = 0};
    writer_init(&explanation->texts);
}

void explanation_fini(struct explanation *explanation)
{
    writer_fini(&explanation->texts);
}

const char *explanation_next(const struct explanation *explanation, const char *at,
                             const char *ret_texts[EXPLAIN_COLUMNS])
{
    if (explanation->row_count == 0 || explanation->texts.failed) {
        return NULL;
    }
    const char *end = (const char *)explanation->texts.bytes + explanation->texts.len;
    at = at == NULL ? (const char *)explanation->texts.bytes : at;
    if (at == end) {
        return NULL;
    }
    for (uint32_t i = 0; i < EXPLAIN_COLUMNS; i++) {
        ret_texts[i] = at;
        at += strlen(at) + 1;
    }
    return at;
}

void explanation_add(struct explanation *explanation, const char *item, const char *value,
                     const char *why)
{
    const char *texts[EXPLAIN_COLUMNS], *at = NULL;
    while ((at = explanation_next(explanation, at, texts)) != NULL) {
        if (strcmp(texts[0], item) == 0 && strcmp(texts[1], value) == 0) {
            return;
        }
    }
    writer_cstr(&explanation->texts, item);
    writer_cstr(&explanation->texts, value);
    writer_cstr(&explanation->texts, why);
    explanation->row_count++;
}

/* --- the plan --------------------------------------------------------------------------------- */

static const struct {
    const char *name, *why;
} classes[] = {
    [PLAN_EMPTY] = {"empty", "there is no statement"},
    [PLAN_READ] = {"read", "proven: it writes nothing, locks no row and touches nothing of the "
                           "session"},
    [PLAN_SESSION] = {"session", "it is about the session, not about data"},
    [PLAN_TRANSACTION] = {"transaction", "it controls the transaction"},
    [PLAN_WRITE] = {"write", "it writes, locks rows, or is not proven to do neither"},
    [PLAN_COPY] = {"copy", "COPY"},
    [PLAN_DDL] = {"ddl", "it defines objects"},
    [PLAN_UTILITY] = {"utility", "none of the others"},
    [PLAN_OPAQUE] = {"opaque",
                     "it is not understood: taken for a write that may have done anything "
                     "to the session"},
};

const char *explain_class_name(enum plan_class class)
{
    return classes[class].name;
}

const char *explain_class(const struct plan *plan)
{
    return explain_class_name(plan->class);
}

static const struct {
    uint32_t touch;
    const char *item, *value, *why;
} touches[] = {
    {PLAN_TOUCH_SETTINGS, "session", "settings",
     "remembered when the transaction commits, and put on each connection that the session gets"},
    {PLAN_TOUCH_LOCAL, "session", "settings of the transaction", "they end with it"},
    {PLAN_TOUCH_RESET, "session", "resets settings", "to what the client said when it connected"},
    {PLAN_TOUCH_TEMP, "session", "temporary objects", "they are in one server connection"},
    {PLAN_TOUCH_ADVISORY, "session", "advisory locks of the session",
     "they are in one server connection"},
    {PLAN_TOUCH_HOLD, "session", "a cursor WITH HOLD", "it outlives the transaction"},
    {PLAN_TOUCH_CURSOR, "session", "cursors", "they end with the transaction, but for WITH HOLD"},
    {PLAN_TOUCH_LISTEN, "session", "LISTEN or UNLISTEN", "one connection listens for all sessions"},
    {PLAN_TOUCH_NOTIFY, "session", "NOTIFY", "it is sent when the transaction commits"},
    {PLAN_TOUCH_PREPARE | PLAN_TOUCH_EXECUTE | PLAN_TOUCH_DEALLOCATE, "session",
     "prepared statements by name", "names are the session's own, on whichever connection"},
    {PLAN_TOUCH_DISCARD, "session", "DISCARD ALL", "the session is as it was when it began"},
    {PLAN_TOUCH_SEQUENCE, "session", "currval or lastval", "what an earlier nextval has left"},
    {PLAN_TOUCH_FORGETS, "session", "DISCARD SEQUENCES",
     "what an earlier nextval has left is gone"},
    {PLAN_TOUCH_NEXTVAL, "session", "nextval or setval", "it advances or sets a sequence"},
    {PLAN_TOUCH_LOAD, "session", "LOAD", "the library is in one server connection"},
    {PLAN_TOUCH_SEED, "session", "setseed", "the seed is in one server connection"},
    {PLAN_TOUCH_NAMELESS, "session", "a setting of a computed name",
     "no server can be asked for it: its connection is not lent to others"},
    {PLAN_TOUCH_PID, "session", "backend pids", "those that Howdah has given out are translated"},
    {PLAN_TOUCH_UNKNOWN, "session", "anything",
     "what it calls is not known here: the server is asked afterwards what it has left"},
    {PLAN_TOUCH_BEGIN, "transaction", "begins one", ""},
    {PLAN_TOUCH_END, "transaction", "ends one", ""},
    {PLAN_TOUCH_SAVEPOINT, "transaction", "savepoints", ""},
    {PLAN_TOUCH_ALONE, "transaction", "none", "it can't run inside of a transaction block"},
    {PLAN_TOUCH_COPY_FROM, "copy", "in", "rows come from the client or a file"},
    {PLAN_TOUCH_HOWDAH, "answered by", "Howdah", "it names a howdah.* setting"},
    {PLAN_TOUCH_EXPLAIN, "answered by", "Howdah", "EXPLAIN (HOWDAH)"},
};

const char *explain_touched(uint32_t touch)
{
    for (size_t i = 0; i < sizeof(touches) / sizeof(touches[0]); i++) {
        if ((touches[i].touch & touch) != 0 && strcmp(touches[i].item, "session") == 0) {
            return touches[i].value;
        }
    }
    return NULL;
}

static void add_plan(const struct plan *plan, struct explanation *explanation)
{
    char text[2 * LIMIT_NAME_BYTES + 512];
    for (size_t i = 0; i < sizeof(touches) / sizeof(touches[0]); i++) {
        if ((plan->touches & touches[i].touch) != 0) {
            explanation_add(explanation, touches[i].item, touches[i].value, touches[i].why);
        }
    }
    for (uint32_t i = 0; i < plan->settings_count; i++) {
        const struct plan_setting *set = &plan->settings[i];
        bool known = plan->is_plain_setting;
        snprintf(text, sizeof(text), "%s%s%.300s", set->name,
                 !known ? "" : (set->value == NULL ? " to its default" : " = "),
                 known && set->value != NULL ? set->value : "");
        explanation_add(explanation, "sets", text,
                        known && set->local ? "until the transaction ends" : "");
    }
    if (plan->locks_rows) {
        explanation_add(explanation, "locks", "rows", "FOR UPDATE or its kin");
    }
    if (plan->statement_count != 1 && plan->class != PLAN_OPAQUE) {
        snprintf(text, sizeof(text), "%u", plan->statement_count);
        explanation_add(explanation, "statements", text,
                        plan->statement_count == 0 ? "" : "this is what they do together");
    }
}

void explain_key(const struct plan *plan, struct explanation *explanation)
{
    char text[SKELETON_SHOWN + 8];
    if (plan->skeleton_bytes == 0) {
        return;
    }
    snprintf(text, sizeof(text), "%.*s%s",
             (int)(plan->skeleton_bytes < SKELETON_SHOWN ? plan->skeleton_bytes : SKELETON_SHOWN),
             (const char *)plan->skeleton, plan->skeleton_bytes > SKELETON_SHOWN ? " ..." : "");
    explanation_add(explanation, "skeleton", text, "statements with the same one have one plan");
}

/* --- the tree --------------------------------------------------------------------------------- */

/* The parts of a list of names, with dots between. */
static void join_names(const struct parse_tree *tree, uint32_t list, char text[static NAME_BYTES])
{
    int len = 0;
    text[0] = '\0';
    for (uint32_t i = list + 1; i < tree->nodes[list].end && len < NAME_BYTES - 1;
         i = tree->nodes[i].end) {
        len += snprintf(text + len, (size_t)(NAME_BYTES - len), "%s%s", len == 0 ? "" : ".",
                        parse_field_text(tree, i, "sval"));
    }
}

static void add_function(const struct parse_tree *tree, uint32_t list,
                         const struct catalog *catalog, struct explanation *explanation)
{
    char text[NAME_BYTES], by_catalog[EXPLAIN_FACT_BYTES];
    join_names(tree, list, text);
    bool ours = strncmp(text, "pg_catalog.", 11) == 0;
    const struct function_fact *fact = function_find(ours ? text + 11 : text);
    const char *why = "not known here: taken for one that may change anything";
    if (fact != NULL) {
        why = fact->class == PLAN_READ ? "PostgreSQL's own: changes nothing"
                                       : "PostgreSQL's own: changes data or the session";
    } else if (catalog != NULL) {
        const char *dot = strrchr(text, '.');
        explain_function(catalog, dot == NULL ? text : dot + 1, by_catalog);
        why = by_catalog;
    }
    explanation_add(explanation, "calls", text, why);
}

/* What is written as a column and may call a function that changes something; false if it isn't. */
static bool add_column(const struct parse_tree *tree, uint32_t node, const struct catalog *catalog,
                       struct explanation *explanation)
{
    char text[EXPLAIN_FACT_BYTES] = "PostgreSQL's own: changes data or the session";
    const char *name = tree->nodes[node].kind == PARSE_TEXT ? classify_column(tree, node) : NULL;
    const struct function_fact *fact = name == NULL ? NULL : function_find(name);
    bool calls = fact != NULL && fact->class != PLAN_READ;
    if (name != NULL && fact == NULL && catalog != NULL) {
        const struct catalog_function *function = catalog_find_function(catalog, name);
        calls = function != NULL && function->takes_one &&
                (function->effect.touches != 0 || function->effect.flags != 0);
        explain_function(catalog, name, text);
    }
    if (calls) {
        explanation_add(explanation, "may call", name, text);
    }
    return calls;
}

/* Whether a WITH of the statement has that name. */
static bool is_with_query(const struct parse_tree *tree, const char *name)
{
    for (uint32_t i = 0; i < tree->count; i++) {
        const struct parse_node *node = &tree->nodes[i];
        if (node->kind == PARSE_TEXT && node->name != NULL && strcmp(node->name, "ctename") == 0 &&
            strcmp(node->value.text, name) == 0) {
            return true;
        }
    }
    return false;
}

/* What is done to a relation that is no part of a query, but named by the statement itself. */
static const char *done_by(const struct parse_tree *tree, uint32_t stmt)
{
    switch ((enum parse_type)tree->nodes[stmt].type) {
    case PARSE_INSERT_STMT:
    case PARSE_UPDATE_STMT:
    case PARSE_DELETE_STMT:
    case PARSE_MERGE_STMT:
    case PARSE_TRUNCATE_STMT:
        return "writes";
    case PARSE_COPY_STMT:
        return parse_field_number(tree, stmt, "is_from") != 0 ? "writes" : "reads";
    case PARSE_LOCK_STMT:
        return "locks";
    default:
        return "defines";
    }
}

static void add_relation(const struct parse_tree *tree, uint32_t node,
                         const struct catalog *catalog, struct explanation *explanation)
{
    char text[NAME_BYTES], why[EXPLAIN_FACT_BYTES] = "";
    const char *schema = parse_field_text(tree, node, "schemaname");
    const char *name = parse_field_text(tree, node, "relname");
    const char *field = tree->nodes[node].name;
    uint32_t above = tree->nodes[node].parent;
    bool is_listed = field == NULL && tree->nodes[above].name != NULL &&
                     strcmp(tree->nodes[above].name, "relations") == 0;
    bool is_named = is_listed || (field != NULL &&
                                  (strcmp(field, "relation") == 0 || strcmp(field, "rel") == 0));
    if (!is_named && schema[0] == '\0' && is_with_query(tree, name)) {
        return;
    }
    snprintf(text, sizeof(text), "%s%s%s", schema, schema[0] == '\0' ? "" : ".", name);
    const char *done =
        is_named ? done_by(tree, is_listed ? tree->nodes[above].parent : above) : "reads";
    bool is_written = strcmp(done, "writes") == 0;
    if (catalog != NULL && (is_written || strcmp(done, "reads") == 0)) {
        explain_relation(catalog, name, is_written, why);
    }
    explanation_add(explanation, done, text, why);
}

static void add_tree(const struct parse_tree *tree, const struct catalog *catalog,
                     struct explanation *explanation)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < tree->count; i++) {
        const struct parse_node *node = &tree->nodes[i];
        bool is_relation = node->kind == PARSE_OBJECT && parse_field(tree, i, "relname") != 0;
        bool is_function =
            node->kind == PARSE_LIST && node->name != NULL && strcmp(node->name, "funcname") == 0;
        if ((is_relation || is_function) && ++count > NAMES_MAX) {
            explanation_add(explanation, "names", "more", "not all of them are listed");
            return;
        }
        if (is_relation) {
            add_relation(tree, i, catalog, explanation);
        } else if (is_function) {
            add_function(tree, i, catalog, explanation);
        } else {
            count += add_column(tree, i, catalog, explanation);
        }
    }
}

/* --- what is not understood ------------------------------------------------------------------- */

static int add_opaque(const struct plan_context *context, const char *text, uint32_t len,
                      uint32_t server_major, struct explanation *explanation)
{
    const char *why = syntax_why_opaque(text, len);
    bool clear = context->safe_encoding && context->standard_strings;
    if (why == NULL && clear) {
        struct syntax_error error;
        int code = syntax_check(context, text, len, server_major, &error);
        if (code != 0) {
            snprintf(explanation->error, sizeof(explanation->error), "%s", error.message);
            explanation->error_at = error.position;
            return code;
        }
        explanation_add(explanation, "not understood", error.message,
                        "says the parser of PostgreSQL 15; the server's may know it");
        return 0;
    }
    explanation_add(explanation, "not understood",
                    why == NULL ? "its bytes depend on client_encoding or "
                                  "standard_conforming_strings"
                                : why,
                    "it is passed on as it is");
    return 0;
}

/* --- all of it -------------------------------------------------------------------------------- */

uint32_t explain_parameters(const char *text, uint32_t len)
{
    struct sql_lexer lexer;
    struct sql_token token;
    unsigned long most = 0;
    sql_lexer_init(&lexer, text, len, 0);
    while (sql_lexer_next(&lexer, &token) > SQL_END) {
        if (token.kind == SQL_PARAMETER) {
            unsigned long number = strtoul(text + token.at + 1, NULL, 10);
            most = number > most ? number : most;
        }
    }
    return most > UINT16_MAX ? UINT16_MAX : (uint32_t)most;
}

static void add_parameters(const char *text, uint32_t len, struct explanation *explanation)
{
    char value[32];
    uint32_t count = explain_parameters(text, len);
    if (count > 0) {
        snprintf(value, sizeof(value), "%u", count);
        explanation_add(explanation, "parameters", value, "their values change nothing of this");
    }
}

int explain_text(const struct plan_context *context, const struct plan *plan,
                 const struct catalog *catalog, const char *text, uint32_t len,
                 uint32_t server_major, struct explanation *explanation)
{
    struct parse_tree tree;
    if (plan->class == PLAN_OPAQUE) {
        int code = add_opaque(context, text, len, server_major, explanation);
        if (code != 0) {
            return code;
        }
    }
    explanation_add(explanation, "class", classes[plan->class].name, classes[plan->class].why);
    const char *key = plan->skeleton == NULL ? "" : (const char *)plan->skeleton;
    char *skeleton = strndup(key, plan->skeleton_bytes);
    if (skeleton == NULL) {
        return ERR_NO_MEMORY;
    }
    if (plan->class != PLAN_OPAQUE && parse_text(skeleton, &tree) == 0) {
        add_tree(&tree, catalog, explanation);
        parse_fini(&tree);
    }
    free(skeleton);
    if (catalog != NULL && plan->class != PLAN_OPAQUE && facts_run(plan)) {
        explain_unnamed(catalog, plan, explanation);
    }
    add_plan(plan, explanation);
    add_parameters(text, len, explanation);
    return explanation->texts.failed ? ERR_NO_MEMORY : 0;
}
