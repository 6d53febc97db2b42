#include "pool/firewall.h"

#include <string.h>

#include "base/error.h"
#include "base/limits.h"
#include "pool/core.h"
#include "pool/due.h"
#include "pool/link.h"
#include "pool/options.h"
#include "pool/pool.h"
#include "pool/pool_facts.h"
#include "pool/prepare.h"
#include "pool/refusal.h"
#include "pool/restore.h"
#include "pool/session.h"
#include "pool/session_query.h"
#include "pool/state.h"
#include "pool/statement.h"
#include "protocol/frontend.h"
#include "protocol/message.h"
#include "protocol/report.h"
#include "protocol/sql_names.h"
#include "router/plan.h"
#include "router/rules.h"

/* A Bind's front may be as long as two names. */
enum { NAMES_BYTES_MAX = 2 * LIMIT_STATEMENT_NAME_BYTES };

static uint64_t serial_of(const struct session *session)
{
    const struct rules *rules = session->pool->database->rules;
    return rules == NULL ? 0 : rules->serial;
}

void firewall_options(struct pool *pool)
{
    const struct rules *rules = pool->database->rules;
    pool->rules_of_user = rules_of_user(rules, pool->user);
    pool->refuses = rules_have(rules, pool->rules_of_user, RULE_REJECT);
}

void firewall_begin(struct session *session)
{
    session->rules_serial = serial_of(session);
    session->guarded = session->pool->refuses;
}

/* Where no statements are kept, what is bound without a name is remembered: the plan, a reference
 * that is given here. */
static void note_unnamed(struct session *session, struct plan *plan)
{
    struct plan *before = plan;
    if (session->owns_link) {
        before = session->plain_plan;
        session->plain_plan = plan;
    }
    plan_unref(before);
}

void firewall_reloaded(struct session *session)
{
    session->guarded = session->pool->refuses;
    if (!session->guarded) { /* what it parses from now on is not looked at */
        note_unnamed(session, NULL);
    }
}

/* --- by which rule ---------------------------------------------------------------------------- */

static const struct rule *rule_of_plan(struct engine *engine, const struct session *session,
                                       struct plan *plan)
{
    const struct pool *pool = session->pool;
    struct facts facts = pool_facts_of(engine, session, plan);
    const struct rule *rule =
        rules_decide(pool->database->rules, pool->rules_of_user, plan, facts.class);
    return rule != NULL && rule->action == RULE_REJECT ? rule : NULL;
}

static const struct rule *rule_of_opaque(struct engine *engine, const struct session *session)
{
    return rule_of_plan(engine, session, engine->plans.opaque);
}

/* What the session calls by that name; NULL: nothing that is known. Where names are the server's,
 * texts are noted for other ends, and what takes their place is not (pool/pid_message.h). */
static struct statement *find_named(const struct engine *engine, const struct session *session,
                                    const char *name)
{
    const struct session_statement *named =
        session_virtual_statements(session)
            ? session_statement_find(&session->statements, engine->hash_key, name, strlen(name))
            : NULL;
    return named == NULL ? NULL : named->statement;
}

/* Of a statement that was prepared where Howdah didn't keep it. Its text was looked at then, by the
 * rules of then. */
static const struct rule *rule_of_unknown(struct engine *engine, const struct session *session)
{
    bool may_exist = !session_virtual_statements(session) || session->keeps_named ||
                     session->keeps_unnamed || session->pins != 0 || session->touched != 0;
    return may_exist && session->rules_serial != serial_of(session)
               ? rule_of_opaque(engine, session)
               : NULL;
}

/* By the statement's text alone. */
static const struct rule *rule_of_named(struct engine *engine, const struct session *session,
                                        struct statement *statement, bool *ret_executes)
{
    struct plan *plan = state_statement_plan(engine, session, statement);
    bool kept = plan != NULL;
    if (!kept) {
        const char *text = statement_query(statement);
        plan = state_plan(engine, session, text, (uint32_t)strlen(text));
    }
    const struct rule *rule = rule_of_plan(engine, session, plan);
    *ret_executes = (plan->touches & PLAN_TOUCH_EXECUTE) != 0;
    if (!kept) {
        plan_unref(plan);
    }
    return rule;
}

/* Of what an EXECUTE runs; if that is an EXECUTE, of anything. */
static const struct rule *rule_of_run(struct engine *engine, const struct session *session,
                                      struct statement *statement)
{
    bool executes;
    const struct rule *rule = rule_of_named(engine, session, statement, &executes);
    return rule == NULL && executes ? rule_of_opaque(engine, session) : rule;
}

/* Whether the text itself prepares that name ahead of its EXECUTE. */
static bool is_prepared_there(const struct sql_name *names, uint32_t before, const char *name)
{
    for (uint32_t i = 0; i < before; i++) {
        if (names[i].kind == SQL_NAME_PREPARE && strcmp(names[i].text, name) == 0) {
            return true;
        }
    }
    return false;
}

/* Of what a text executes by name. */
static const struct rule *rule_of_executed(struct engine *engine, const struct session *session,
                                           const char *text, uint32_t len)
{
    struct sql_name names[SQL_NAMES_MAX];
    const struct rule *rule = NULL;
    uint32_t count = sql_names_find(text, len, names);
    if (count == SQL_NAMES_STRANGE) {
        return rule_of_opaque(engine, session);
    }
    for (uint32_t i = 0; i < count && rule == NULL; i++) {
        struct statement *named = find_named(engine, session, names[i].text);
        if (names[i].kind != SQL_NAME_EXECUTE) {
            continue;
        }
        if (named != NULL) {
            rule = rule_of_run(engine, session, named);
        } else if (!is_prepared_there(names, i, names[i].text)) {
            rule = rule_of_unknown(engine, session);
        }
    }
    return rule;
}

static const struct rule *rule_of_text(struct engine *engine, const struct session *session,
                                       struct plan *plan, const char *text, uint32_t len)
{
    const struct rule *rule = rule_of_plan(engine, session, plan);
    if (rule != NULL || (plan->touches & PLAN_TOUCH_EXECUTE) == 0) {
        return rule;
    }
    return rule_of_executed(engine, session, text, len);
}

static const struct rule *rule_of_statement(struct engine *engine, const struct session *session,
                                            struct statement *statement)
{
    bool executes;
    const struct rule *rule = rule_of_named(engine, session, statement, &executes);
    if (rule != NULL || !executes) {
        return rule;
    }
    const char *text = statement_query(statement);
    return rule_of_executed(engine, session, text, (uint32_t)strlen(text));
}

const struct rule *firewall_rule(struct engine *engine, const struct session *session,
                                 struct plan *plan, const char *text, uint32_t len)
{
    return session->pool->refuses ? rule_of_text(engine, session, plan, text, len) : NULL;
}

/* --- messages --------------------------------------------------------------------------------- */

/* A message, of which `here` bytes are here. What is not well formed a server refuses. */
struct look {
    struct engine *engine;
    struct session *session;
    const uint8_t *message;
    uint32_t total, here;
    uint32_t need; /* above `here`: so many are needed, and no rule was found yet */
};

static struct reader body_of(const struct look *look)
{
    return reader_of(look->message + MESSAGE_HEADER_BYTES, look->here - MESSAGE_HEADER_BYTES);
}

/* Whether `bytes` of the message are here, or all of it. */
static bool has(struct look *look, uint32_t bytes)
{
    look->need = bytes < look->total ? bytes : look->total;
    return look->need <= look->here;
}

/* `at`: the text, which ends with a NUL or the message. */
static const struct rule *look_at_text(struct look *look, const char *at, size_t left)
{
    uint32_t len = (uint32_t)strnlen(at, left);
    struct plan *plan = state_plan(look->engine, look->session, at, len);
    const struct rule *rule = rule_of_text(look->engine, look->session, plan, at, len);
    plan_unref(plan);
    return rule;
}

static const struct rule *look_at_query(struct look *look)
{
    if (look->total > LIMIT_PLAN_BYTES) {
        return rule_of_opaque(look->engine, look->session);
    }
    if (!has(look, look->total)) {
        return NULL;
    }
    struct reader reader = body_of(look);
    return look_at_text(look, (const char *)reader.at, reader.left);
}

/* A Parse that ends what was there of that name. */
static bool is_unnamed_parse(const uint8_t *message)
{
    return message[0] == FRONTEND_PARSE && message[MESSAGE_HEADER_BYTES] == '\0';
}

/* Of a Parse that is not looked at. */
static const struct rule *look_at_large(struct look *look)
{
    struct plan *opaque = look->engine->plans.opaque;
    if (!has(look, MESSAGE_HEADER_BYTES + 1)) {
        return NULL;
    }
    const struct rule *rule = rule_of_opaque(look->engine, look->session);
    if (rule == NULL && is_unnamed_parse(look->message)) {
        plan_ref(opaque);
        note_unnamed(look->session, opaque);
    }
    return rule;
}

static const struct rule *look_at_parse(struct look *look)
{
    if (look->total - MESSAGE_HEADER_BYTES > LIMIT_PARSE_BYTES) {
        return look_at_large(look);
    }
    if (!has(look, look->total)) {
        return NULL;
    }
    struct reader reader = body_of(look);
    const char *name = reader_cstr(&reader);
    const char *text = reader_cstr(&reader);
    if (reader.failed) {
        return NULL;
    }
    const struct rule *rule = look_at_text(look, text, strlen(text));
    if (rule == NULL && name[0] == '\0') {
        note_unnamed(look->session,
                     state_plan(look->engine, look->session, text, (uint32_t)strlen(text)));
    }
    return rule;
}

static const struct rule *look_at_unnamed(const struct look *look)
{
    struct session *session = look->session;
    if (session_virtual_statements(session) && session->unnamed != NULL) {
        return rule_of_statement(look->engine, session, session->unnamed);
    }
    if (!session_virtual_statements(session) && session->plain_plan != NULL &&
        (session->plain_plan->touches & PLAN_TOUCH_EXECUTE) == 0) {
        return rule_of_plan(look->engine, session, session->plain_plan);
    }
    return rule_of_unknown(look->engine, session);
}

static const struct rule *look_at_name(const struct look *look, const char *name)
{
    struct session *session = look->session;
    if (name[0] == '\0') {
        return look_at_unnamed(look);
    }
    struct statement *named = find_named(look->engine, session, name);
    return named == NULL ? rule_of_unknown(look->engine, session)
                         : rule_of_statement(look->engine, session, named);
}

static const struct rule *look_at_bind(struct look *look)
{
    struct reader reader = body_of(look);
    reader_cstr(&reader);
    const char *name = reader_cstr(&reader);
    if (!reader.failed) {
        return look_at_name(look, name);
    }
    return has(look, NAMES_BYTES_MAX) ? rule_of_unknown(look->engine, look->session) : NULL;
}

static const struct rule *look_at_describe(struct look *look)
{
    if (!has(look, NAMES_BYTES_MAX)) {
        return NULL;
    }
    struct reader reader = body_of(look);
    uint8_t kind = reader_u8(&reader);
    const char *name = reader_cstr(&reader);
    return kind == 'S' && !reader.failed ? look_at_name(look, name) : NULL;
}

/* Functions of large objects, by their OIDs in pg_proc.dat: drivers call them by this message. */
static const struct rule *look_at_call(struct look *look)
{
    static const uint32_t large_objects[] = {715,  764,  765,  767,  952,  953,  954,
                                             955,  956,  957,  958,  964,  1004, 3170,
                                             3171, 3172, 3457, 3458, 3459, 3460};
    static const char like[] = "SELECT lo_open(0, 0)";
    if (!has(look, MESSAGE_HEADER_BYTES + 4)) {
        return NULL;
    }
    struct reader reader = body_of(look);
    uint32_t oid = reader_u32(&reader);
    for (size_t i = 0; i < sizeof(large_objects) / sizeof(large_objects[0]); i++) {
        if (oid == large_objects[i]) {
            return look_at_text(look, like, sizeof(like) - 1);
        }
    }
    return rule_of_opaque(look->engine, look->session);
}

/* The rule by which the message is refused. NULL: none, or more of it must be here. */
static const struct rule *look_at(struct look *look)
{
    switch (look->message[0]) {
    case FRONTEND_QUERY:
        return look_at_query(look);
    case FRONTEND_PARSE:
        return look_at_parse(look);
    case FRONTEND_BIND:
        return look_at_bind(look);
    case FRONTEND_DESCRIBE:
        return look_at_describe(look);
    case FRONTEND_FUNCTION_CALL:
        return look_at_call(look);
    }
    return NULL;
}

/* --- refusing --------------------------------------------------------------------------------- */

static struct report report_of(const struct rule *rule, char *detail)
{
    rule_describe(rule, detail, RULE_TEXT_BYTES);
    return (struct report){
        .code = ERR_PRIVILEGE,
        .message = rule->reject,
        .detail = detail,
        .hint = "EXPLAIN (HOWDAH) and the statement says what it is taken for; the rules are "
                "routing.rules of the database."};
}

struct report firewall_report(const struct session *session, const struct due_entry *entry,
                              char *detail)
{
    const struct rules *rules = session->pool->database->rules;
    uint32_t number = entry->refused - FIREWALL_REFUSED;
    if ((uint32_t)serial_of(session) != entry->catalog || number >= rules->count ||
        rules->items[number].action != RULE_REJECT) {
        return (struct report){.code = ERR_PRIVILEGE,
                               .detail = "A rule has refused the statement; the rules have been "
                                         "changed since."};
    }
    return report_of(&rules->items[number], detail);
}

/* In the place of a Parse, Bind or Describe. */
static uint32_t refuse_extended(const struct look *look, struct due_entry due)
{
    struct session *session = look->session;
    struct link *link = session->link;
    bool unnamed = is_unnamed_parse(look->message);
    due.what = DUE_PARSE;
    if (unnamed && session_virtual_statements(session)) {
        due.flags = DUE_FLAG_UNNAMED;
        due.unnamed_before = session->unnamed;
        session->unnamed = NULL;
    }
    if (unnamed) {
        session->keeps_unnamed = false;
    }
    if (!link_due_entry(look->engine, link, &due)) {
        statement_unref(&look->engine->statements, due.unnamed_before);
        return 0;
    }
    frontend_parse(&look->engine->scratch, unnamed ? "" : STATEMENT_NAME_PREFIX,
                   refusal_text(due.refused));
    prepare_flush(look->engine, link);
    return session_discard(session, look->total, look->here);
}

/* There is no function 0. */
static uint32_t refuse_call(const struct look *look, struct due_entry due)
{
    static const uint8_t call[] = {
        FRONTEND_FUNCTION_CALL, 0, 0, 0, 14, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0};
    struct link *link = look->session->link;
    due.what = DUE_FUNCTION_CALL;
    if (!link_due_entry(look->engine, link, &due)) {
        return 0;
    }
    link_write(look->engine, link, call, sizeof(call));
    return session_discard(look->session, look->total, look->here);
}

static uint32_t refuse(const struct look *look, const struct rule *rule)
{
    struct due_entry due = {.what = DUE_QUERY,
                            .kind = DUE_FORWARD,
                            .refused = (uint8_t)(FIREWALL_REFUSED + rule->number),
                            .catalog = (uint32_t)serial_of(look->session)};
    switch (look->message[0]) {
    case FRONTEND_QUERY:
        return session_query_refuse(look->engine, look->session, &due, look->total, look->here);
    case FRONTEND_FUNCTION_CALL:
        return refuse_call(look, due);
    }
    return refuse_extended(look, due);
}

bool firewall_stops(struct engine *engine, struct session *session, const uint8_t *message,
                    uint32_t total, uint32_t have, uint32_t *ret_taken, uint32_t *ret_whole)
{
    struct look look = {engine, session, message, total, have < total ? have : total, 0};
    *ret_taken = 0;
    if (session->ahead_refused) {
        return false; /* it has had its error, and is not sent */
    }
    const struct rule *rule = look_at(&look);
    if (look.need > have) {
        *ret_whole = look.need;
        return true;
    }
    if (rule != NULL && (session->restores == NULL || !restore_waits(engine, session))) {
        *ret_taken = refuse(&look, rule);
    }
    return rule != NULL;
}

bool firewall_tells(struct engine *engine, struct session *session, const uint8_t *message,
                    uint32_t total, uint32_t have, uint32_t *ret_whole)
{
    struct look look = {engine, session, message, total, have < total ? have : total, 0};
    const struct rule *rule = look_at(&look);
    if (look.need > have) {
        *ret_whole = look.need;
        return false;
    }
    if (rule == NULL) {
        return false;
    }
    char detail[RULE_TEXT_BYTES];
    struct report report = report_of(rule, detail);
    if (message[0] == FRONTEND_QUERY || is_unnamed_parse(message)) {
        session_drop_unnamed(engine, session);
    }
    session_refuse(engine, session, &report, NULL, 0);
    return true;
}
