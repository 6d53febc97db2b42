#include "pool/session_query.h"

#include <string.h>

#include "base/limits.h"
#include "pool/core.h"
#include "pool/custom.h"
#include "pool/link.h"
#include "pool/listen.h"
#include "pool/names.h"
#include "pool/options.h"
#include "pool/outcome.h"
#include "pool/own_answer.h"
#include "pool/pin_limit.h"
#include "pool/pool.h"
#include "pool/pool_facts.h"
#include "pool/refusal.h"
#include "pool/restore.h"
#include "pool/sequence.h"
#include "pool/session.h"
#include "pool/state.h"
#include "protocol/frontend.h"
#include "protocol/message.h"
#include "protocol/sql_verb.h"
#include "router/plan.h"

/* Enough of a Query to see its first word, wherever the segments were cut. */
enum { QUERY_FRONT_BYTES = 64 };

void session_query_begins(struct engine *engine, struct session *session)
{
    struct pool *pool = session->pool;
    session->query_from_us = engine->now_us;
    session->ran = true;
    session->ran_others |= !session->query_is_read;
    if (session->transaction_from_us == 0) {
        session->transaction_from_us = engine->now_us;
    }
    pool->stats.queries++;
    if (pool->limits.query_timeout_ms > 0) {
        conn_wake_by(engine, &session->conn,
                     engine->now_us + pool->limits.query_timeout_ms * UINT64_C(1000));
    }
}

void session_query_drop_unnamed(struct engine *engine, struct session *session)
{
    struct link *link = session->link;
    session->keeps_unnamed = false;
    state_pins_changed(engine, session);
    if (session->unnamed != NULL) {
        session_drop_unnamed(engine, session);
    }
    if (link->unnamed != NULL) {
        statement_unref(&engine->statements, link->unnamed);
        link->unnamed = NULL;
    }
    link->no_unnamed = true;
}

/* Whether a query must be looked at as a whole. In session mode only what could reset a setting, or
 * leave one that nobody can take away again, or what is about a database, or says something to
 * Howdah itself. */
static bool must_understand(const struct session *session, const char *text, uint32_t here,
                            uint32_t total)
{
    if (total > LIMIT_PLAN_BYTES) {
        return false;
    }
    if (!session->owns_link) {
        return true;
    }
    enum sql_verb verb = sql_verb_read(text, here);
    return custom_may_set(text, here) || verb == SQL_VERB_SET || verb == SQL_VERB_RESET ||
           verb == SQL_VERB_DISCARD || verb == SQL_VERB_CREATE || verb == SQL_VERB_DROP ||
           verb == SQL_VERB_ALTER || verb == SQL_VERB_LOAD ||
           memmem(text, here, "howdah", 6) != NULL;
}

/* What a query does shows in its whole text. One that is too long to be looked at is taken for
 * anything. False: more of it must be here first. */
static bool understand_query(struct engine *engine, struct session *session, const uint8_t *message,
                             uint32_t total, uint32_t have, uint32_t *ret_whole,
                             struct plan **ret_named)
{
    const uint8_t *text = message + MESSAGE_HEADER_BYTES;
    uint32_t here = have < total ? have : total;
    uint32_t need = total < QUERY_FRONT_BYTES ? total : QUERY_FRONT_BYTES;
    if (have < need) {
        *ret_whole = need;
        return false;
    }
    if (!must_understand(session, (const char *)text, here - MESSAGE_HEADER_BYTES, total)) {
        uint8_t ends = session->ends;
        session->query_is_read = false; /* by its first word nobody knows what it calls */
        state_touch_all(engine, session);
        if (session->owns_link && here == total) {
            session->ends = ends;
            outcome_note_text(session, (const char *)text, here - MESSAGE_HEADER_BYTES);
        }
        return true;
    }
    if (have < total) {
        *ret_whole = total;
        return false;
    }
    session->query_is_read =
        state_query(engine, session, (const char *)text, total - MESSAGE_HEADER_BYTES, ret_named);
    return true;
}

/* A query that names prepared statements. False: it passes as it is. True: *ret_taken is what
 * session_query_take returns. */
static bool take_named(struct engine *engine, struct session *session, struct plan *plan,
                       const uint8_t *message, uint32_t total, uint32_t *ret_taken)
{
    bool done = names_query(engine, session, plan, message, total, ret_taken);
    plan_unref(plan);
    if (done && *ret_taken > 0) {
        session_query_drop_unnamed(engine, session);
        if (session->restores != NULL && !restore_send(engine, session, false)) {
            *ret_taken = 0;
        }
    }
    return done;
}

/* An UNLISTEN goes to the server in a form of its own. True: it was sent, or the session is
 * closing. */
static bool send_unlisten(struct engine *engine, struct session *session, const uint8_t *message,
                          uint32_t total)
{
    const char *text = (const char *)message + MESSAGE_HEADER_BYTES;
    if (!session->unlistens || session->refused_pin != 0) {
        return false;
    }
    session->unlistens = false;
    return listen_send_query(engine, session, text,
                             message_text_bytes(text, total - MESSAGE_HEADER_BYTES)) ||
           session->conn.closing;
}

/* Enters the query's reply. False: the session is closing. */
static bool enter(struct engine *engine, struct session *session)
{
    if (session->refused_pin == 0) {
        return own_due(engine, session, DUE_QUERY);
    }
    struct due_entry due = {
        .what = DUE_QUERY, .kind = DUE_FORWARD, .refused = session->refused_pin};
    return link_due_entry(engine, session->link, &due);
}

/* The query's reply is entered. */
static void begin(struct engine *engine, struct session *session)
{
    session_query_begins(engine, session);
    session->link->unsynced = false; /* its ReadyForQuery ends what came before, too */
}

/* Whether all that the session has to do for a query follows from the query's text. */
static bool is_free(const struct session *session)
{
    bool busy = session->owns_link | session->ahead | session->ahead_refused | session->unlistens |
                (session->refused_pin != 0);
    return !busy && session->pins == 0 && session->own == NULL && session->restores == NULL &&
           session->listener == NULL;
}

/* Whether a Query that is here whole is plain. If so, what it does is noted, and it must go to the
 * server. */
static inline bool is_plain(struct engine *engine, struct session *session, const uint8_t *message,
                            uint32_t total)
{
    if (message[total - 1] != '\0' || !is_free(session)) {
        return false;
    }
    struct plan *plan =
        state_known_plan(engine, session, (const char *)message + MESSAGE_HEADER_BYTES,
                         total - MESSAGE_HEADER_BYTES - 1);
    if (plan == NULL || plan->touches != 0) {
        return false;
    }
    struct facts facts = pool_facts_of(engine, session, plan);
    if (facts.touches != 0 || facts.class != plan->class) {
        return false;
    }
    session->query_is_read = plan->class <= PLAN_READ;
    if (!session->query_is_read && sequence_waits(engine, session)) {
        return false;
    }
    if (!session->query_is_read) {
        sequence_before_query(engine, session, plan);
    }
    return true;
}

bool session_query_take_plain(struct engine *engine, struct session *session, struct block *block,
                              uint8_t *message, uint32_t total, uint32_t *ret_taken)
{
    if (!is_plain(engine, session, message, total)) {
        return false;
    }
    struct link *link = session->link;
    if (session->keeps_unnamed || session->unnamed != NULL || link->unnamed != NULL) {
        session_query_drop_unnamed(engine, session);
    }
    link->no_unnamed = true;
    *ret_taken = 0;
    if (link_due_forward(engine, link, DUE_QUERY)) {
        *ret_taken = total;
        begin(engine, session);
        session_forward(engine, session, block, message, total, total);
    }
    return true;
}

uint32_t session_query_refuse(struct engine *engine, struct session *session,
                              const struct due_entry *due, uint32_t total, uint32_t have)
{
    struct link *link = session->link;
    bool in_batch = link->unsynced;
    session->ahead = false;
    session->query_is_read = false;
    session_query_drop_unnamed(engine, session);
    if (!link_due_entry(engine, link, due)) {
        return 0;
    }
    begin(engine, session);
    refusal_send_query(engine, link, due->refused);
    if (session->restores != NULL && !restore_send(engine, session, in_batch)) {
        return 0;
    }
    return session_discard(session, total, have);
}

/* A query that may undo what was set here waits until nothing is due. */
static bool own_waits_for(struct engine *engine, struct session *session, const uint8_t *message,
                          uint32_t total, uint32_t have, uint32_t *ret_whole)
{
    if (total > LIMIT_PLAN_BYTES) {
        return false;
    }
    if (have < total) {
        *ret_whole = total;
        return true;
    }
    return own_query_waits(engine, session, (const char *)message + MESSAGE_HEADER_BYTES,
                           total - MESSAGE_HEADER_BYTES);
}

uint32_t session_query_take(struct engine *engine, struct session *session, struct block *block,
                            uint8_t *message, uint32_t total, uint32_t have, uint32_t *ret_whole)
{
    struct link *link = session->link;
    struct plan *named = NULL;
    uint32_t taken;
    if (names_refused(session)) {
        if (due_empty(&link->due)) {
            session_link_drained(engine, session);
        }
        return session_discard(session, total, have);
    }
    if (session->own != NULL && own_waits_for(engine, session, message, total, have, ret_whole)) {
        return 0;
    }
    if (sequence_waits(engine, session) ||
        !understand_query(engine, session, message, total, have, ret_whole, &named)) {
        return 0;
    }
    if (named != NULL && (named->touches & PLAN_TOUCHES_OURS) != 0) {
        taken = own_query(engine, session, named, message, total);
        plan_unref(named);
        return taken;
    }
    if (named != NULL && take_named(engine, session, named, message, total, &taken)) {
        return taken;
    }
    session->ahead = false;
    session_query_drop_unnamed(engine, session);
    bool sent = send_unlisten(engine, session, message, total);
    if (session->conn.closing || (!sent && !enter(engine, session))) {
        return 0;
    }
    bool in_batch = link->unsynced;
    begin(engine, session);
    if (session->refused_pin != 0) {
        refusal_send_query(engine, link, session->refused_pin);
        session->refused_pin = 0;
    } else if (!sent) {
        session_forward(engine, session, block, message, total, have);
    }
    return session->restores != NULL && !restore_send(engine, session, in_batch) ? 0
           : have < total                                                        ? have
                                                                                 : total;
}
