#include "pool/route_whole.h"

#include <string.h>

#include "base/error.h"
#include "base/limits.h"
#include "pool/core.h"
#include "pool/deferred_begin.h"
#include "pool/modes.h"
#include "pool/pool.h"
#include "pool/refusal.h"
#include "pool/session_pass.h"
#include "pool/session_query.h"
#include "pool/settings.h"
#include "pool/state.h"
#include "pool/statement.h"
#include "protocol/frontend.h"
#include "protocol/message.h"
#include "protocol/report.h"
#include "router/plan.h"

/* --- which transactions ----------------------------------------------------------------------- */

bool route_whole_may(const struct engine *engine, const struct session *session)
{
    return session->begin == BEGIN_DEFERRED && !session->routing->strays &&
           modes_isolation(engine, session) == PLAN_REPEATABLE_READ && modes_read_only(session);
}

/* --- which statements ------------------------------------------------------------------------- */

bool route_whole_declares(const struct plan *plan, const struct facts *facts)
{
    return plan->own_class == PLAN_SESSION && facts->touches == PLAN_TOUCH_CURSOR &&
           facts->flags == 0 && plan->statement_count == 1;
}

/* Whether any server refuses it in a READ ONLY transaction before it runs any part of it (25006;
 * ExecCheckXactReadOnly, ClassifyUtilityCommandAsReadOnly). */
static bool is_refused_anyhow(const struct plan *plan)
{
    bool writes = plan->own_class == PLAN_DDL || plan->locks_rows;
    for (uint32_t i = 0; i < plan->names_count; i++) {
        writes |= plan->own_class == PLAN_WRITE && plan->names[i].kind == PLAN_NAME_WRITE;
    }
    return writes && plan->statement_count == 1 && plan->own_touches == 0;
}

/* Whether what it sets is known, and can be asked for and taken along to the primary: a value that
 * the server converts can't (pool/state.h). */
static bool sets_what_lasts(const struct session *session, const struct plan *plan,
                            uint32_t touches)
{
    enum { SETS = PLAN_TOUCH_SETTINGS | PLAN_TOUCH_LOCAL | PLAN_TOUCH_RESET };
    if ((touches & SETS) == 0 || state_is_raw(session->link)) {
        return true;
    }
    const char *value = plan->is_plain_setting ? plan->settings[0].value : NULL;
    return plan->is_plain_setting && (value == NULL || settings_is_ascii(value));
}

/* By the last facts that were had: where DDL is under way, they are those of the snapshot. */
static bool is_harmless(const struct session *session, struct plan *plan)
{
    enum {
        ALLOWED = PLAN_TOUCH_SETTINGS | PLAN_TOUCH_LOCAL | PLAN_TOUCH_RESET | PLAN_TOUCH_CURSOR |
                  PLAN_TOUCH_SAVEPOINT | PLAN_TOUCH_BEGIN | PLAN_TOUCH_DEALLOCATE
    };
    const struct catalog *catalog = session->pool->facts.catalog;
    if (catalog == NULL) {
        return plan->class == PLAN_READ && plan->touches == 0;
    }
    struct facts facts = facts_of(catalog, plan);
    bool copies_out = plan->own_class == PLAN_COPY && (plan->local & PLAN_LOCAL_SERVER) == 0;
    bool is_kind = facts.class == PLAN_READ || plan->own_class == PLAN_SESSION ||
                   plan->own_class == PLAN_TRANSACTION || plan->is_plain_setting || copies_out;
    return is_kind && facts.flags == 0 && (facts.touches & ~(uint32_t)ALLOWED) == 0 &&
           sets_what_lasts(session, plan, facts.touches);
}

enum verdict { PASSES, ENDS, REFUSED };

static enum verdict judge(const struct session *session, struct plan *plan, const char *text,
                          uint32_t len)
{
    const struct link *link = session->link;
    if (plan->control == PLAN_CONTROL_COMMIT || plan->control == PLAN_CONTROL_ROLLBACK) {
        return ENDS;
    }
    if (plan->class == PLAN_OPAQUE) {
        struct syntax_error error; /* the server tells it */
        return state_is_no_sql(session, text, len, &error) ? PASSES : REFUSED;
    }
    if (link->status == 'E' && due_empty(&link->due)) { /* 25P02, but for what ends it */
        return (plan->touches & PLAN_TOUCH_END) != 0 ? REFUSED : PASSES;
    }
    bool passes = plan->class == PLAN_EMPTY || (plan->touches & PLAN_TOUCHES_OURS) != 0 ||
                  is_refused_anyhow(plan) || is_harmless(session, plan);
    return passes ? PASSES : REFUSED;
}

static enum verdict judge_text(struct engine *engine, const struct session *session,
                               const char *text, uint32_t len)
{
    struct plan *plan = state_plan(engine, session, text, len);
    enum verdict verdict = judge(session, plan, text, len);
    plan_unref(plan);
    return verdict;
}

/* What is prepared is judged once more: the transaction may be another by now. */
static enum verdict judge_statement(struct engine *engine, const struct session *session,
                                    const char *name)
{
    const struct session_statement *named =
        name[0] == '\0'
            ? NULL
            : session_statement_find(&session->statements, engine->hash_key, name, strlen(name));
    struct statement *statement = name[0] == '\0' ? session->unnamed
                                  : named == NULL ? NULL
                                                  : named->statement;
    if (statement == NULL) {
        return PASSES; /* 26000 */
    }
    struct plan *plan = state_statement_plan(engine, session, statement);
    if (plan == NULL) {
        return REFUSED;
    }
    const char *text = statement_query(statement);
    return judge(session, plan, text, (uint32_t)strlen(text));
}

/* --- a message -------------------------------------------------------------------------------- */

/* The server fails in the message's place (pool/refusal.h), and the session's next transactions are
 * the primary's. Returns the bytes taken. */
static uint32_t refuse(struct engine *engine, struct session *session, uint8_t type, uint32_t total,
                       uint32_t have)
{
    session->routing->strays = true;
    if (type == FRONTEND_QUERY || type == FRONTEND_FUNCTION_CALL) {
        const struct due_entry due = {
            .what = DUE_QUERY, .kind = DUE_FORWARD, .refused = WHOLE_REFUSED};
        return session_query_refuse(engine, session, &due, total, have);
    }
    session_query_drop_unnamed(engine, session); /* the server's is gone by what is sent */
    return refusal_send_parse(engine, session->link, WHOLE_REFUSED)
               ? session_discard(session, total, have)
               : 0;
}

/* The transaction's end is sent: what is not of its batch waits until that is answered, as it is
 * outside. What follows in the same batch is the next one's. True: it waits. */
static bool waits_for_end(struct engine *engine, struct session *session, uint8_t type)
{
    struct link *link = session->link;
    if (!link->unsynced) {
        session->blocked = !due_empty(&link->due); /* link_after_reply comes back to it */
        return session->blocked;
    }
    if (type == FRONTEND_SYNC || type == FRONTEND_EXECUTE || type == FRONTEND_DESCRIBE ||
        type == FRONTEND_CLOSE || type == FRONTEND_FLUSH) {
        return false;
    }
    session->blocked = true; /* link_after_reply comes back to it */
    if (!due_empty(&link->due)) {
        link_flush(engine, link);
    } else { /* its ReadyForQuery says whether it is over: route_whole_ready */
        link_swallow_sync(engine, link);
    }
    return true;
}

/* Behind AND CHAIN the client's next transaction is asked about anew, as one that begins: what the
 * replica shows, and what is known of functions, may not be enough for it. The server's, which is
 * empty, ends. */
static void begin_anew(struct engine *engine, struct session *session)
{
    struct link *link = session->link;
    session->routing->chained = false;
    session->begin = BEGIN_DEFERRED;
    session->begin_modes.isolation = PLAN_REPEATABLE_READ;
    session->begin_modes.read_only = PLAN_CHOICE_YES;
    session->ends = 0;
    session->blocked = true; /* link_after_reply comes back to it */
    link_unnamed_unknown(engine, link);
    if (link_due(engine, link, DUE_QUERY, DUE_SWALLOW, 0)) {
        frontend_query(&engine->scratch, "ROLLBACK");
        engine_flush_scratch(engine, &link->conn);
        route_whole_ends(session);
    }
}

/* A Bind needs no more than its names. It ends nothing: its Execute does, in whatever batch that
 * comes. */
static enum verdict judge_bind(struct engine *engine, const struct session *session,
                               const uint8_t *at, uint32_t total, uint32_t have,
                               uint32_t *ret_whole)
{
    struct reader reader =
        reader_of(at + MESSAGE_HEADER_BYTES, (have < total ? have : total) - MESSAGE_HEADER_BYTES);
    const char *portal = reader_cstr(&reader), *name = reader_cstr(&reader);
    if (reader.failed) {
        *ret_whole = have < total ? have + 1 : 0;
        return PASSES;
    }
    enum verdict verdict = judge_statement(engine, session, name);
    if (portal[0] != '\0') {
        return verdict == ENDS ? REFUSED : verdict; /* no more than one portal is remembered */
    }
    session->routing->bound = verdict == ENDS;
    return verdict == ENDS ? PASSES : verdict;
}

/* One byte tells whether it is the unnamed portal's. */
static enum verdict judge_execute(const struct session *session, const uint8_t *at, uint32_t total,
                                  uint32_t have, uint32_t *ret_whole)
{
    if (!session->routing->bound || total == MESSAGE_HEADER_BYTES) {
        return PASSES;
    }
    if (have == MESSAGE_HEADER_BYTES) {
        *ret_whole = MESSAGE_HEADER_BYTES + 1;
        return PASSES;
    }
    return at[MESSAGE_HEADER_BYTES] == '\0' ? ENDS : PASSES;
}

static enum verdict judge_message(struct engine *engine, const struct session *session,
                                  const uint8_t *at, uint32_t total, uint32_t have,
                                  uint32_t *ret_whole)
{
    struct reader reader;
    uint8_t type = at[0];
    if (type == FRONTEND_FUNCTION_CALL) {
        return REFUSED;
    }
    if (type == FRONTEND_BIND) {
        return judge_bind(engine, session, at, total, have, ret_whole);
    }
    if (type == FRONTEND_EXECUTE) {
        return judge_execute(session, at, total, have, ret_whole);
    }
    if (type != FRONTEND_QUERY && type != FRONTEND_PARSE) {
        return PASSES;
    }
    if (total > LIMIT_PLAN_BYTES) {
        return REFUSED;
    }
    if (have < total) {
        *ret_whole = total;
        return PASSES;
    }
    reader = reader_of(at + MESSAGE_HEADER_BYTES, total - MESSAGE_HEADER_BYTES);
    if (type == FRONTEND_PARSE) {
        reader_cstr(&reader); /* its name */
    } else {
        session->routing->bound = false; /* a Query ends the unnamed portal */
    }
    const char *text = reader_cstr(&reader);
    if (reader.failed) {
        return PASSES; /* a server is to say what is wrong with it */
    }
    enum verdict verdict = judge_text(engine, session, text, (uint32_t)strlen(text));
    return type == FRONTEND_PARSE && verdict == ENDS ? PASSES : verdict;
}

enum route_whole route_whole_look(struct engine *engine, struct session *session, const uint8_t *at,
                                  uint32_t have, uint32_t *ret_taken, uint32_t *ret_whole)
{
    const struct link *link = session->link;
    uint32_t body_bytes;
    *ret_taken = 0;
    if (!message_header(message_frontend_bounds, at, &body_bytes) || link->due.skipping ||
        link->due.count >= LIMIT_DUE - DUE_SLACK) {
        return WHOLE_PASSES;
    }
    if (session->routing->chained) {
        begin_anew(engine, session);
        return WHOLE_TAKEN;
    }
    if (session->routing->ending && waits_for_end(engine, session, at[0])) {
        return WHOLE_TAKEN;
    }
    uint32_t total = MESSAGE_HEADER_BYTES + body_bytes, whole = 0;
    enum verdict verdict = judge_message(engine, session, at, total, have, &whole);
    if (whole > have) {
        *ret_whole = whole;
        return WHOLE_TAKEN;
    }
    if (verdict == REFUSED && !deferred_begin_waits(link)) {
        *ret_taken = refuse(engine, session, at[0], total, have);
        return WHOLE_TAKEN;
    }
    return verdict == ENDS ? WHOLE_ENDS : WHOLE_PASSES;
}

void route_whole_ends(struct session *session)
{
    session->routing->ending = true;
}

/* --- what becomes of it ----------------------------------------------------------------------- */

void route_whole_forget(struct routing *routing)
{
    routing->whole = routing->ending = routing->bound = routing->chained = false;
}

void route_whole_ready(struct session *session, uint8_t status)
{
    struct routing *routing = session->routing;
    routing->chained = routing->whole && routing->ending && status == 'T';
    routing->ending = false;
    if (status == 'I') {
        route_whole_forget(routing);
    }
}

void route_whole_again(struct session *session)
{
    struct routing *routing = session->routing;
    if (routing->whole) {
        route_whole_forget(routing);
        session->begin = BEGIN_DEFERRED;
    }
}

struct report route_whole_report(const struct link *link)
{
    if (link->status == 'E') { /* something before it has failed meanwhile */
        return (struct report){.code = ERR_FAILED_TRANSACTION};
    }
    return (struct report){
        .code = ERR_NOT_AT_REPLICA,
        .detail = "The transaction is REPEATABLE READ READ ONLY and has its snapshot at a replica, "
                  "and it is not proven that the statement does there what it does at the primary.",
        .hint = "Run the transaction again: from now on those of this session go to the primary. "
                "SET howdah.route = 'primary' keeps them there from the first."};
}
