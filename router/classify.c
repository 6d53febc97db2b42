#include "router/classify.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/assert.h"
#include "base/error.h"
#include "router/classify_local.h"
#include "router/classify_names.h"
#include "router/classify_tables.h"
#include "router/control.h"
#include "router/functions.h"

enum {
    /* Custom settings that one text may name; more and it is taken for one that may do anything. */
    CUSTOM_MAX = 64,
    /* CURSOR_OPT_HOLD, src/include/nodes/parsenodes.h */
    CURSOR_HOLD = 0x20,
    /* Of texts whose statements are looked at one by one, too. */
    STEP_TOUCHES = PLAN_TOUCHES_OURS | PLAN_TOUCH_END | PLAN_TOUCH_SAVEPOINT | PLAN_TOUCH_RESET,
};

static const struct {
    uint8_t class;
    uint32_t touches;
} kinds[PARSE_TYPE_COUNT] = {
#define NODE(name, label, class, touches) [PARSE_##name] = {PLAN_##class, touches},
#include "router/parse.def"
#undef NODE
};

/* What is known of the statements so far. */
struct work {
    const struct parse_tree *tree;
    uint32_t touches, leaves;
    enum plan_class class;
    uint8_t local;
    bool locks_rows;
    bool inserts;
    bool drops_on_commit; /* what this statement makes */
    int code;
    char *custom[CUSTOM_MAX]; /* names of custom settings */
    uint32_t custom_count;
    bool calls_others; /* functions that are not known as PostgreSQL's own */
    bool calls_procedure;
    bool changes_facts;
    uint32_t own_touches; /* of all statements so far, as in struct plan */
    enum plan_class own_class;
    struct classify_names names;
    struct classify_tables tables;
    char *database;
    bool is_plain; /* of a text's only statement */
    struct plan_setting plain;
};

static void raise_class(struct work *work, enum plan_class class)
{
    work->class = class > work->class ? class : work->class;
}

/* --- settings -------------------------------------------------------------------------------- */

static char *lower_copy(struct work *work, const char *text)
{
    char *copy = strdup(text);
    if (copy == NULL) {
        work->code = ERR_NO_MEMORY;
        return NULL;
    }
    for (char *c = copy; *c != '\0'; c++) {
        *c = (char)(*c >= 'A' && *c <= 'Z' ? *c - 'A' + 'a' : *c);
    }
    return copy;
}

/* A custom setting keeps the spelling in which it was first set. */
static char *setting_copy(struct work *work, const char *name)
{
    if (strchr(name, '.') == NULL || control_is_ours(name)) {
        return lower_copy(work, name);
    }
    char *copy = strdup(name);
    work->code = copy == NULL ? ERR_NO_MEMORY : work->code;
    return copy;
}

/* These are the transaction's and end with it, however they are set. */
static bool is_of_transaction(const char *name)
{
    return strcasecmp(name, "transaction_isolation") == 0 ||
           strcasecmp(name, "transaction_read_only") == 0 ||
           strcasecmp(name, "transaction_deferrable") == 0;
}

static uint32_t setting_touches(const char *name, bool is_local, bool is_reset)
{
    uint32_t touches = is_local ? PLAN_TOUCH_LOCAL : PLAN_TOUCH_SETTINGS;
    if (control_is_ours(name)) {
        return PLAN_TOUCH_HOWDAH;
    }
    if (is_of_transaction(name)) {
        return PLAN_TOUCH_LOCAL | PLAN_TOUCH_MODES;
    }
    if (strcasecmp(name, "seed") == 0) {
        touches |= PLAN_TOUCH_SEED;
    }
    return touches | (is_reset ? PLAN_TOUCH_RESET : 0);
}

static void note_custom(struct work *work, const char *name)
{
    if (strchr(name, '.') == NULL) {
        return;
    }
    if (work->custom_count == CUSTOM_MAX) {
        work->touches |= PLAN_TOUCH_UNKNOWN;
        return;
    }
    char *copy = setting_copy(work, name);
    if (copy != NULL) {
        work->custom[work->custom_count++] = copy;
    }
}

/* `value` is the work's now. */
static void note_plain(struct work *work, const char *name, char *value, bool is_local)
{
    char *copy = setting_copy(work, name);
    if (work->is_plain || copy == NULL) {
        free(copy);
        free(value);
        return;
    }
    work->is_plain = true;
    work->plain = (struct plan_setting){.name = copy, .value = value, .local = is_local};
}

static void set_variable(struct work *work, uint32_t stmt)
{
    const struct parse_tree *tree = work->tree;
    const char *kind = parse_field_text(tree, stmt, "kind");
    const char *name = parse_field_text(tree, stmt, "name");
    bool is_local = parse_field_number(tree, stmt, "is_local") != 0;
    bool is_value = strcmp(kind, "VAR_SET_VALUE") == 0;
    char *value = NULL;
    if (strcmp(kind, "VAR_RESET_ALL") == 0) {
        work->touches |= PLAN_TOUCH_SETTINGS | PLAN_TOUCH_RESET;
        return;
    }
    if (strcmp(kind, "VAR_SET_MULTI") == 0) { /* SET TRANSACTION, SET SESSION CHARACTERISTICS */
        bool is_session = strcmp(name, "SESSION CHARACTERISTICS") == 0;
        work->touches |= is_session ? PLAN_TOUCH_SETTINGS : PLAN_TOUCH_LOCAL | PLAN_TOUCH_MODES;
        return;
    }
    work->touches |= setting_touches(name, is_local, !is_value);
    note_custom(work, name);
    if (is_of_transaction(name) || strcmp(kind, "VAR_SET_CURRENT") == 0) {
        return;
    }
    char *lower = lower_copy(work, name);
    int code = 0;
    if (is_value && lower != NULL) {
        code = classify_set_value(tree, stmt, lower, &value);
    }
    free(lower);
    if (code == 0) {
        note_plain(work, name, value, is_local);
    } else if (code == ERR_NO_MEMORY) {
        work->code = code;
    }
}

static void show_variable(struct work *work, uint32_t stmt)
{
    if (control_is_ours(parse_field_text(work->tree, stmt, "name"))) {
        work->touches |= PLAN_TOUCH_HOWDAH;
    }
}

/* The text of a literal string; NULL of anything else. */
static const char *literal_text(const struct parse_tree *tree, uint32_t node)
{
    uint32_t value = tree->nodes[node].type == PARSE_A_CONST ? parse_field(tree, node, "sval") : 0;
    return value == 0 ? NULL : parse_field_text(tree, value, "sval");
}

/* The three arguments of a set_config(); zeros where there are not three. */
static void set_config_arguments(const struct parse_tree *tree, uint32_t call, uint32_t args[3])
{
    uint32_t list = parse_field(tree, call, "args");
    args[0] = args[1] = args[2] = 0;
    if (list != 0 && parse_child_count(tree, list) == 3) {
        args[0] = list + 1;
        args[1] = tree->nodes[args[0]].end;
        args[2] = tree->nodes[args[1]].end;
    }
}

static void set_config(struct work *work, uint32_t call)
{
    const struct parse_tree *tree = work->tree;
    uint32_t args[3];
    set_config_arguments(tree, call, args);
    const char *name = args[0] == 0 ? NULL : literal_text(tree, args[0]);
    uint32_t local = args[2] != 0 && tree->nodes[args[2]].type == PARSE_A_CONST
                         ? parse_field(tree, args[2], "boolval")
                         : 0;
    bool is_local = local != 0 && parse_field_number(tree, local, "boolval") != 0;
    if (name == NULL) {
        uint32_t nameless = classify_name_shows(tree, args[0]) ? 0 : PLAN_TOUCH_NAMELESS;
        work->touches |= PLAN_TOUCH_UNKNOWN | PLAN_TOUCH_LOCAL | PLAN_TOUCH_SETTINGS | nameless;
        work->leaves |= is_local ? 0 : nameless;
        return;
    }
    work->touches |= setting_touches(name, is_local, false);
    if (control_is_ours(name)) {
        return;
    }
    if (local == 0) {
        work->touches |= PLAN_TOUCH_LOCAL;
    }
    note_custom(work, name);
}

/* Whether a SELECT is set_config() of three literals and nothing else. */
static void look_for_plain_set_config(struct work *work, uint32_t stmt)
{
    const struct parse_tree *tree = work->tree;
    uint32_t targets = parse_field(tree, stmt, "targetList");
    if (targets == 0 || parse_child_count(tree, targets) != 1 ||
        parse_child_count(tree, stmt) != 3) { /* and limitOption, op */
        return;
    }
    uint32_t call = parse_field(tree, targets + 1, "val");
    uint32_t name_list = call == 0 ? 0 : parse_field(tree, call, "funcname");
    if (name_list == 0 || parse_child_count(tree, call) != 3) { /* and args, funcformat */
        return;
    }
    const char *last = "";
    for (uint32_t i = name_list + 1; i < tree->nodes[name_list].end; i = tree->nodes[i].end) {
        last = parse_field_text(tree, i, "sval");
    }
    uint32_t args[3];
    set_config_arguments(tree, call, args);
    if (strcmp(last, "set_config") != 0 || (work->touches & PLAN_TOUCH_UNKNOWN) != 0 ||
        work->calls_others || args[0] == 0) {
        return;
    }
    const char *name = literal_text(tree, args[0]), *value = literal_text(tree, args[1]);
    uint32_t local =
        tree->nodes[args[2]].type == PARSE_A_CONST ? parse_field(tree, args[2], "boolval") : 0;
    if (name == NULL || value == NULL || local == 0 || is_of_transaction(name)) {
        return;
    }
    char *copy = strdup(value);
    if (copy == NULL) {
        work->code = ERR_NO_MEMORY;
        return;
    }
    note_plain(work, name, copy, parse_field_number(tree, local, "boolval") != 0);
}

/* --- what stands in a statement -------------------------------------------------------------- */

/* current_setting() of one of ours, which no server knows, or of what a replica says otherwise. */
static void current_setting(struct work *work, uint32_t call)
{
    uint32_t args = parse_field(work->tree, call, "args");
    const char *name = args == 0 ? NULL : literal_text(work->tree, args + 1);
    if (name != NULL) {
        work->touches |= control_is_ours(name) ? PLAN_TOUCH_HOWDAH : 0;
        work->local |= classify_local_setting(name);
    }
}

/* A function of PostgreSQL's own. */
static void call_own(struct work *work, const struct function_fact *fact)
{
    bool takes = strstr(fact->name, "unlock") == NULL;
    raise_class(work, fact->class);
    work->touches |= fact->touches;
    work->leaves |= takes ? fact->touches & PLAN_TOUCH_ADVISORY : 0;
}

static void call_function(struct work *work, uint32_t name_list)
{
    const struct parse_tree *tree = work->tree;
    const char *name = "", *schema = "pg_catalog";
    uint32_t part = 0;
    for (uint32_t i = name_list + 1; i < tree->nodes[name_list].end; i = tree->nodes[i].end) {
        schema = part++ == 0 ? schema : name;
        name = parse_field_text(tree, i, "sval");
    }
    const struct function_fact *fact = work->calls_procedure ? NULL : function_find(name);
    if (fact == NULL || part > 2 || strcmp(schema, "pg_catalog") != 0) {
        work->calls_others = true;
        classify_name(&work->names, PLAN_NAME_FUNCTION, name);
        return;
    }
    work->local |= classify_local_function(name);
    if (strcmp(name, "set_config") == 0) {
        raise_class(work, fact->class);
        set_config(work, tree->nodes[name_list].parent);
        return;
    }
    call_own(work, fact);
    if (strcmp(name, "current_setting") == 0) {
        current_setting(work, tree->nodes[name_list].parent);
    }
}

/* A text that may be the name of a column, and of a function. */
static void look_at_column(struct work *work, uint32_t node)
{
    const char *name = classify_column(work->tree, node);
    const struct function_fact *fact = name == NULL ? NULL : function_find(name);
    if (fact != NULL) {
        /* Not of those that are the same in a transaction: many columns are named age. */
        work->local |= classify_local_function(name) & PLAN_LOCAL_SERVER;
        call_own(work, fact);
    } else if (name != NULL) {
        classify_add_column(&work->names, name);
    }
}

/* OPERATOR(schema.+) */
static void look_at_operator(struct work *work, uint32_t name_list)
{
    if (name_list != 0 && parse_child_count(work->tree, name_list) > 1 &&
        strcmp(parse_field_text(work->tree, name_list + 1, "sval"), "pg_catalog") != 0) {
        work->calls_others = true; /* catalog->everywhere has what any operator does */
    }
}

/* pg_settings has a rule that sets what is updated. */
static void look_at_update(struct work *work, uint32_t stmt)
{
    uint32_t relation = parse_field(work->tree, stmt, "relation");
    if (relation != 0 &&
        strcmp(parse_field_text(work->tree, relation, "relname"), "pg_settings") == 0) {
        work->touches |= PLAN_TOUCH_SETTINGS | PLAN_TOUCH_UNKNOWN;
    }
}

static void scan_object(struct work *work, uint32_t node)
{
    enum parse_type type = (enum parse_type)work->tree->nodes[node].type;
    if (type == PARSE_SQL_VALUE_FUNCTION) {
        work->local |= PLAN_LOCAL_TRANSACTION;
    } else if (type == PARSE_A_EXPR) {
        look_at_operator(work, parse_field(work->tree, node, "name"));
    } else if (type == PARSE_EXECUTE_STMT) {
        work->touches |= PLAN_TOUCH_EXECUTE;
        raise_class(work, PLAN_WRITE);
    } else if (type == PARSE_UPDATE_STMT) {
        look_at_update(work, node);
        raise_class(work, PLAN_WRITE);
    } else if (type == PARSE_INSERT_STMT || type == PARSE_DELETE_STMT || type == PARSE_MERGE_STMT) {
        work->inserts |=
            type != PARSE_DELETE_STMT && parse_field(work->tree, node, "returningList") == 0;
        raise_class(work, PLAN_WRITE);
    }
}

static void scan_list(struct work *work, uint32_t node)
{
    const char *name = work->tree->nodes[node].name;
    if (name != NULL && strcmp(name, "funcname") == 0) {
        call_function(work, node);
    } else if (name != NULL && strcmp(name, "lockingClause") == 0) {
        work->locks_rows = true;
        raise_class(work, PLAN_WRITE);
    }
}

/* All that is run of a statement and below it; `runs` is false where functions and queries are only
 * written down, as in CREATE VIEW. */
static void scan(struct work *work, uint32_t from, uint32_t end, bool runs)
{
    const struct parse_tree *tree = work->tree;
    for (uint32_t i = from; i < end; i++) {
        const struct parse_node *node = &tree->nodes[i];
        if (node->kind == PARSE_TEXT) {
            const char *text = node->value.text;
            if (runs) {
                look_at_column(work, i);
            }
            work->drops_on_commit |= strcmp(text, "ONCOMMIT_DROP") == 0 && node->name != NULL &&
                                     strcasecmp(node->name, "oncommit") == 0;
            if (strncmp(text, "pg_temp", 7) == 0 ||
                (text[0] == 't' && text[1] == '\0' && node->name != NULL &&
                 strcmp(node->name, "relpersistence") == 0)) {
                work->touches |= PLAN_TOUCH_TEMP;
            }
        } else if (node->kind == PARSE_OBJECT && runs) {
            scan_object(work, i);
            if (node->name != NULL && strcmp(node->name, "intoClause") == 0) {
                raise_class(work, PLAN_DDL);
            }
        } else if (node->kind == PARSE_LIST && runs) {
            scan_list(work, i);
        }
    }
}

/* --- statements ------------------------------------------------------------------------------ */

static bool ends_with(const char *text, const char *end)
{
    size_t len = strlen(text), end_len = strlen(end);
    return len >= end_len && strcmp(text + len - end_len, end) == 0;
}

static void control_transaction(struct work *work, uint32_t stmt)
{
    const char *kind = parse_field_text(work->tree, stmt, "kind");
    if (strcmp(kind, "TRANS_STMT_BEGIN") == 0 || strcmp(kind, "TRANS_STMT_START") == 0) {
        work->touches |= PLAN_TOUCH_BEGIN;
    } else if (ends_with(kind, "_PREPARED")) {
        work->touches |= PLAN_TOUCH_ALONE;
    } else if (strcmp(kind, "TRANS_STMT_COMMIT") == 0 || strcmp(kind, "TRANS_STMT_ROLLBACK") == 0 ||
               strcmp(kind, "TRANS_STMT_PREPARE") == 0) {
        bool chain = parse_field_number(work->tree, stmt, "chain") != 0;
        work->touches |= PLAN_TOUCH_END | (chain ? PLAN_TOUCH_BEGIN : 0);
    } else {
        work->touches |= PLAN_TOUCH_SAVEPOINT;
    }
}

static void discard(struct work *work, uint32_t stmt)
{
    const char *target = parse_field_text(work->tree, stmt, "target");
    if (strcmp(target, "DISCARD_ALL") == 0) {
        work->touches |=
            PLAN_TOUCH_DISCARD | PLAN_TOUCH_SETTINGS | PLAN_TOUCH_RESET | PLAN_TOUCH_ALONE;
    } else if (strcmp(target, "DISCARD_SEQUENCES") == 0) {
        work->touches |= PLAN_TOUCH_FORGETS;
    } else if (strcmp(target, "DISCARD_TEMP") == 0) {
        work->touches |= PLAN_TOUCH_TEMP;
    }
}

bool classify_has_option(const struct parse_tree *tree, uint32_t stmt, const char *field,
                         const char *option)
{
    uint32_t list = parse_field(tree, stmt, field);
    for (uint32_t i = list + 1; list != 0 && i < tree->nodes[list].end; i = tree->nodes[i].end) {
        if (strcasecmp(parse_field_text(tree, i, "defname"), option) == 0) {
            return true;
        }
    }
    return false;
}

static void explain(struct work *work, uint32_t stmt, uint32_t query)
{
    if (classify_has_option(work->tree, stmt, "options", "howdah")) {
        work->class = PLAN_SESSION;
        work->touches = PLAN_TOUCH_EXPLAIN;
        return;
    }
    enum parse_type type =
        query == 0 ? PARSE_OTHER : (enum parse_type)work->tree->nodes[query].type;
    work->class = (enum plan_class)kinds[type].class;
    work->touches = kinds[type].touches;
    scan(work, stmt, work->tree->nodes[stmt].end, true);
}

/* What PostgreSQL stores and doesn't run, or not now. */
static bool only_stores(enum parse_type type)
{
    return type == PARSE_VIEW_STMT || type == PARSE_RULE_STMT || type == PARSE_CREATE_STMT ||
           type == PARSE_CREATE_FUNCTION_STMT || type == PARSE_CREATE_TRIG_STMT ||
           type == PARSE_CREATE_EVENT_TRIG_STMT || type == PARSE_CREATE_POLICY_STMT ||
           type == PARSE_ALTER_POLICY_STMT || type == PARSE_CREATE_FOREIGN_TABLE_STMT ||
           type == PARSE_CREATE_SCHEMA_STMT || type == PARSE_CREATE_CAST_STMT ||
           type == PARSE_CREATE_CONVERSION_STMT || type == PARSE_DEFINE_STMT;
}

/* The text of an option of that name; NULL if the list has none. */
static const char *option_text(const struct parse_tree *tree, uint32_t stmt, const char *option)
{
    uint32_t list = parse_field(tree, stmt, "options");
    for (uint32_t i = list + 1; list != 0 && i < tree->nodes[list].end; i = tree->nodes[i].end) {
        uint32_t arg = parse_field(tree, i, "arg");
        if (arg != 0 && strcasecmp(parse_field_text(tree, i, "defname"), option) == 0) {
            return parse_field_text(tree, arg, "sval");
        }
    }
    return NULL;
}

/* To which database nobody may be connected while the statement runs; NULL: none. */
static const char *vacant_database(const struct parse_tree *tree, enum parse_type type,
                                   uint32_t stmt)
{
    if (type == PARSE_CREATEDB_STMT) {
        const char *template = option_text(tree, stmt, "template");
        return template == NULL ? "template1" : template;
    }
    if (type == PARSE_RENAME_STMT) {
        bool renames = strcmp(parse_field_text(tree, stmt, "renameType"), "OBJECT_DATABASE") == 0;
        return renames ? parse_field_text(tree, stmt, "subname") : NULL;
    }
    if (type == PARSE_DROPDB_STMT ||
        (type == PARSE_ALTER_DATABASE_STMT && option_text(tree, stmt, "tablespace") != NULL)) {
        return parse_field_text(tree, stmt, "dbname");
    }
    return NULL;
}

static void note_database(struct work *work, enum parse_type type, uint32_t stmt)
{
    const char *name = vacant_database(work->tree, type, stmt);
    if (name != NULL && work->database == NULL) { /* none runs together with another */
        work->database = strdup(name);
        work->code = work->database == NULL ? ERR_NO_MEMORY : work->code;
    }
}

/* Statements about which more is to be said than their kind and what stands in them. */
static void look_closer(struct work *work, enum parse_type type, uint32_t stmt)
{
    const struct parse_tree *tree = work->tree;
    uint32_t bound;
    if (type == PARSE_VARIABLE_SET_STMT) {
        set_variable(work, stmt);
    } else if (type == PARSE_VARIABLE_SHOW_STMT) {
        show_variable(work, stmt);
    } else if (type == PARSE_TRANSACTION_STMT) {
        control_transaction(work, stmt);
    } else if (type == PARSE_DISCARD_STMT) {
        discard(work, stmt);
    } else if (type == PARSE_COPY_STMT) {
        work->touches |= parse_field_number(tree, stmt, "is_from") != 0 ? PLAN_TOUCH_COPY_FROM : 0;
        work->local |= parse_field(tree, stmt, "filename") != 0 ? PLAN_LOCAL_SERVER : 0;
    } else if (type == PARSE_DECLARE_CURSOR_STMT) {
        bool holds = (parse_field_number(tree, stmt, "options") & CURSOR_HOLD) != 0;
        work->touches |= holds ? PLAN_TOUCH_HOLD : 0;
    } else if (type == PARSE_VACUUM_STMT) {
        bool is_vacuum = parse_field_number(tree, stmt, "is_vacuumcmd") != 0;
        work->touches |= is_vacuum ? PLAN_TOUCH_ALONE : 0;
    } else if (type == PARSE_INDEX_STMT || type == PARSE_DROP_STMT) {
        bool is_concurrent = parse_field_number(tree, stmt, "concurrent") != 0;
        work->touches |= is_concurrent ? PLAN_TOUCH_ALONE : 0;
    } else if (type == PARSE_CREATE_STMT && (bound = parse_field(tree, stmt, "partbound")) != 0) {
        scan(work, bound, tree->nodes[bound].end, true);
    } else if (type == PARSE_SELECT_STMT) {
        look_for_plain_set_config(work, stmt);
    } else {
        note_database(work, type, stmt);
    }
}

/* ALTER TABLE .. DETACH PARTITION .. CONCURRENTLY */
static bool detaches_concurrently(const struct parse_tree *tree, uint32_t stmt)
{
    for (uint32_t i = stmt; i < tree->nodes[stmt].end; i++) {
        if (tree->nodes[i].type == PARSE_PARTITION_CMD &&
            parse_field_number(tree, i, "concurrent") != 0) {
            return true;
        }
    }
    return false;
}

/* Whether what the catalog says of functions and relations may be otherwise after it. */
static bool changes_facts(const struct work *work, enum parse_type type)
{
    static const uint8_t others[] = {
#define TYPE(name) PARSE_##name,
#include "router/harmless_ddl.def"
#undef TYPE
    };
    bool makes_table = type == PARSE_CREATE_STMT || type == PARSE_CREATE_TABLE_AS_STMT ||
                       type == PARSE_SELECT_STMT || type == PARSE_VIEW_STMT;
    if (work->class != PLAN_DDL || (makes_table && (work->touches & PLAN_TOUCH_TEMP) != 0)) {
        return type == PARSE_DO_STMT || work->class == PLAN_OPAQUE;
    }
    return memchr(others, type, sizeof(others)) == NULL;
}

/* What functions may do of which nothing is known. */
static void assume_the_worst(struct work *work, enum parse_type type)
{
    if (!work->calls_others) {
        return;
    }
    work->touches |= PLAN_TOUCH_UNKNOWN;
    if (type != PARSE_PREPARE_STMT) { /* nothing is run yet */
        raise_class(work, PLAN_WRITE);
    }
}

/* For rules: the class of the query in a statement that is more than that query. A bit, or 0. */
static uint16_t classes_inside(const struct work *work, enum parse_type type, uint32_t stmt)
{
    bool holds =
        type == PARSE_PREPARE_STMT || type == PARSE_DECLARE_CURSOR_STMT || type == PARSE_COPY_STMT;
    uint32_t query = holds ? parse_field(work->tree, stmt, "query") : 0;
    if (query == 0) {
        return 0;
    }
    bool writes = work->class == PLAN_WRITE; /* a read that isn't one, by what it calls */
    return (uint16_t)(1u << (writes ? PLAN_WRITE : kinds[work->tree->nodes[query].type].class));
}

static void classify_statement(struct work *work, uint32_t stmt)
{
    const struct parse_tree *tree = work->tree;
    uint16_t queries = 0;
    enum parse_type type = (enum parse_type)tree->nodes[stmt].type;
    if (kinds[type].class == PLAN_EMPTY) { /* a kind of statement that we don't know */
        work->class = PLAN_OPAQUE;
        work->touches = PLAN_TOUCH_OPAQUE;
        classify_tables_opaque(&work->tables);
        return;
    }
    if (type == PARSE_EXPLAIN_STMT) {
        explain(work, stmt, parse_field(tree, stmt, "query"));
    } else {
        work->class = (enum plan_class)kinds[type].class;
        work->touches = kinds[type].touches;
        work->calls_procedure = type == PARSE_CALL_STMT;
        scan(work, stmt, tree->nodes[stmt].end, !only_stores(type));
        work->calls_procedure = false;
        look_closer(work, type, stmt);
        if (type == PARSE_ALTER_TABLE_STMT && detaches_concurrently(tree, stmt)) {
            work->touches |= PLAN_TOUCH_ALONE;
        }
        queries = classes_inside(work, type, stmt);
        if (type == PARSE_PREPARE_STMT) {
            work->class = PLAN_SESSION; /* nothing is run yet */
        }
    }
    if (!only_stores(type) && type != PARSE_LOCK_STMT &&
        (work->touches & PLAN_TOUCH_EXPLAIN) == 0) {
        classify_relations(tree, stmt, work->class >= PLAN_DDL, &work->names);
    }
    if (work->touches != 0 && work->class == PLAN_READ) {
        work->class = PLAN_WRITE;
    }
    work->changes_facts |= changes_facts(work, type);
    classify_tables(tree, stmt, (uint16_t)(queries | 1u << work->class), &work->tables);
}

/* What may outlive the transaction and pin. Locks were noted where they are taken; temporary
 * objects are left by what makes them, not by what only names or drops them. */
static void note_leaves(struct work *work, enum parse_type type)
{
    bool makes = work->class == PLAN_DDL && type != PARSE_DROP_STMT && !work->drops_on_commit;
    work->leaves |= work->touches & (PLAN_TOUCH_HOLD | PLAN_TOUCH_PREPARE | PLAN_TOUCH_LOAD |
                                     PLAN_TOUCH_SEED | PLAN_TOUCH_SEQUENCE | PLAN_TOUCH_FORGETS);
    work->leaves |= makes ? work->touches & PLAN_TOUCH_TEMP : 0;
}

/* --- all of a text --------------------------------------------------------------------------- */

static void free_settings(struct work *work)
{
    for (uint32_t i = 0; i < work->custom_count; i++) {
        free(work->custom[i]);
    }
    if (work->is_plain) {
        free((char *)work->plain.name);
        free((char *)work->plain.value);
    }
}

/* The work's texts become the plan's. */
static int keep_settings(struct work *work, struct plan *plan)
{
    uint32_t count = work->is_plain ? 1 : work->custom_count;
    struct plan_setting *settings = count == 0 ? NULL : calloc(count, sizeof(*settings));
    if (count != 0 && settings == NULL) {
        return ERR_NO_MEMORY;
    }
    if (work->is_plain) {
        settings[0] = work->plain;
        work->is_plain = false;
        plan->is_plain_setting = true;
    } else {
        for (uint32_t i = 0; i < count; i++) {
            settings[i] = (struct plan_setting){.name = work->custom[i]};
        }
        work->custom_count = 0;
    }
    plan->settings = settings;
    plan->settings_count = count;
    return 0;
}

int classify(const struct parse_tree *tree, struct plan *plan)
{
    struct work all = {.tree = tree};
    uint32_t statements = parse_field(tree, 0, "stmts");
    uint32_t count = statements == 0 ? 0 : parse_child_count(tree, statements), at = statements + 1;
    for (uint32_t i = 0; i < count; i++, at = tree->nodes[at].end) {
        enum plan_class class = all.class;
        uint32_t touches = all.touches, stmt = parse_field(tree, at, "stmt");
        all.class = PLAN_EMPTY;
        all.touches = 0;
        all.drops_on_commit = all.calls_others = false;
        classify_statement(&all, stmt);
        all.own_class = all.class > all.own_class ? all.class : all.own_class;
        all.own_touches |= all.touches;
        assume_the_worst(&all, (enum parse_type)tree->nodes[stmt].type);
        note_leaves(&all, (enum parse_type)tree->nodes[stmt].type);
        raise_class(&all, class);
        all.touches |= touches;
    }
    if (count == 1 &&
        tree->nodes[parse_field(tree, statements + 1, "stmt")].type == PARSE_TRANSACTION_STMT) {
        classify_control(tree, parse_field(tree, statements + 1, "stmt"), plan);
    }
    if (all.is_plain && count != 1) {
        free((char *)all.plain.name);
        free((char *)all.plain.value);
        all.is_plain = false;
    }
    int code = all.code;
    if (code == 0 && (all.touches & STEP_TOUCHES) != 0) {
        code = classify_steps(tree, plan);
    }
    if (code == 0) {
        code = keep_settings(&all, plan);
    }
    if (code == 0) {
        code = classify_names_keep(&all.names, plan);
    }
    if (code == 0) {
        code = classify_tables_keep(&all.tables, plan);
    }
    if (code == 0) {
        plan->own_class = (uint8_t)all.own_class;
        plan->own_touches = all.own_touches;
        plan->changes_facts = all.changes_facts;
        plan->class = (uint8_t)all.class;
        plan->touches = all.touches;
        plan->leaves = all.leaves & all.touches;
        plan->local |= all.local;
        plan->locks_rows = all.locks_rows;
        plan->inserts = all.inserts;
        plan->statement_count = (uint8_t)(count < 255 ? count : 255);
        plan->database = all.database;
        all.database = NULL;
    }
    free(all.database);
    free_settings(&all);
    if (code != 0) {
        classify_free(plan);
    }
    classify_names_fini(&all.names);
    classify_tables_fini(&all.tables);
    return code;
}

void classify_free(struct plan *plan)
{
    for (uint32_t i = 0; i < plan->settings_count; i++) {
        free((char *)plan->settings[i].name);
        free((char *)plan->settings[i].value);
    }
    free(plan->settings);
    plan->settings = NULL;
    plan->settings_count = 0;
    plan->is_plain_setting = false;
    classify_free_steps(plan);
    classify_free_names(plan);
    classify_free_tables(plan);
    free(plan->database);
    plan->database = NULL;
}
