/* What a session and its link have to do with each other: when it needs one, what becomes of it
 * when one comes, and when it goes back. */
#include "pool/session.h"

#include <string.h>

#include "base/assert.h"
#include "base/error.h"
#include "base/limits.h"
#include "pool/core.h"
#include "pool/deferred_begin.h"
#include "pool/lend.h"
#include "pool/link.h"
#include "pool/listen.h"
#include "pool/options.h"
#include "pool/own.h"
#include "pool/pid_hold.h"
#include "pool/pool.h"
#include "pool/pool_facts.h"
#include "pool/prepare.h"
#include "pool/route.h"
#include "pool/state.h"
#include "protocol/message.h"
#include "protocol/report.h"

/* Whether its link stays the session's between transactions. */
static bool keeps_link(const struct session *session)
{
    bool keeps = session->owns_link | session->keeps_named | session->keeps_unnamed |
                 session->ahead | session->ready_held;
    return keeps || (session->pins | session->touched) != 0 || listen_waits(session);
}

bool session_virtual_statements(const struct session *session)
{
    return session->virtual_names;
}

void session_unlink(struct session *session)
{
    session->link->owner = NULL;
    session->link = NULL;
    session->touched = session->pins = 0;
    session->pinned_us = 0;
    session->ends = 0;
    session->keeps_named = session->keeps_unnamed = false;
    session->ahead = session->notifies = session->discards = session->unlistens = false;
    session->body_fate = BODY_DISCARD;
}

bool session_need_link(struct engine *engine, struct session *session)
{
    if (session->link != NULL) {
        return !session->link->setup;
    }
    if (session->waits) {
        return false;
    }
    session->wait_from_us = engine->now_us;
    return lend_ask(engine, session);
}

void session_resume_later(struct engine *engine, struct session *session)
{
    if (!session->waits && !list_linked(&session->waiting) && !session->conn.closing) {
        list_push_back(&engine->resumable, &session->waiting);
    }
}

void session_refuse_transaction(struct engine *engine, struct session *session)
{
    struct report report = {.code = ERR_STATEMENT_MODE,
                            .hint = "Use pool.mode transaction or session for this database."};
    struct link *link = session->link;
    if (link->due.count > 1) {                  /* the first is the reply that is ending */
        session_fail(engine, session, &report); /* more is on its way into the block */
        return;
    }
    report_write(&engine->scratch, &report);
    session_write_ready(engine, 'I');
    engine_flush_scratch(engine, &session->conn);
    session->link = NULL;
    link->spoilt |= session->custom->count > 0;
    link->session_used |= session->touched != 0 || session->pins != 0;
    session->touched = session->pins = 0;
    session->pinned_us = 0;
    link_abandon(engine, link);
    session_resume_later(engine, session);
}

/* The link that the greeting has waited for is here. Out of line: most links are for a query. */
static __attribute__((noinline)) void greet(struct engine *engine, struct session *session)
{
    struct link *link = session->link;
    if (!link->replication) {
        pool_add_welcome(engine, session->pool, session->login_asked, session->settings);
    }
    session_welcome(engine, session, link->baseline, session->settings);
}

void session_link_ready(struct engine *engine, struct session *session)
{
    if (session->state == SESSION_LOGIN) {
        greet(engine, session);
    }
    session->detours = session->lender != session->pool;
    session_resume_later(engine, session);
}

void session_refuse(struct engine *engine, struct session *session, const struct report *report,
                    const uint8_t *body, uint32_t body_bytes)
{
    struct report_fields fields;
    if (session->state != SESSION_READY) {
        if (body == NULL) {
            session_fail(engine, session, report);
            return;
        }
        if (report_parse(body, body_bytes, &fields) && strcmp(fields.severity, "ERROR") == 0) {
            report_write_fields(&engine->scratch, "FATAL", &fields); /* there is no session yet */
        } else {
            uint32_t mark = writer_begin(&engine->scratch, 'E');
            writer_bytes(&engine->scratch, body, body_bytes);
            writer_end(&engine->scratch, mark);
        }
        engine_flush_scratch(engine, &session->conn);
        session_close(engine, session);
        return;
    }
    if (body != NULL && report_parse(body, body_bytes, &fields)) {
        report_write_fields(&engine->scratch, "ERROR", &fields);
    } else if (report != NULL) {
        report_write(&engine->scratch, report);
    }
    deferred_begin_refused(session);
    route_refused(session);
    if (session->own != NULL) {
        own_errored(session); /* what was set ahead of it in its batch is undone */
    }
    session->skipping = true;
    session->refused = true;
    engine_flush_scratch(engine, &session->conn);
    session_resume_later(engine, session);
}

/* A message that is half sent binds the link: what comes next on it would be taken for its rest. */
static bool half_sent(const struct session *session)
{
    return session->body_left > 0 && session->body_fate == BODY_FORWARD;
}

/* Whether a question can be put to the link now. */
static bool may_ask(const struct session *session)
{
    const struct link *link = session->link;
    return !half_sent(session) && due_empty(&link->due) && !link->unsynced && !link->due.skipping &&
           !link->due.copy_in && !link->due.copy_both && !link->setup && link->body_left == 0;
}

/* Asks what the session has left on its link; true when the answer is awaited. */
static inline bool asks(struct engine *engine, struct session *session)
{
    return state_is_open(session) && may_ask(session) && state_ask(engine, session);
}

/* Gives the link back if nothing of the session is on it any more. */
static inline __attribute__((always_inline)) bool give_back(struct engine *engine,
                                                            struct session *session)
{
    struct link *link = session->link;
    bool stays = half_sent(session) || keeps_link(session);
    if (stays || !link_may_release(link)) {
        if (link->cancels == 0) {
            return false;
        }
        pid_hold_settle(engine, link);
        if (stays || session->link != link || !link_may_release(link)) {
            return false;
        }
    }
    session->link = NULL;
    link_give_back(engine, link);
    return true;
}

void session_link_drained(struct engine *engine, struct session *session)
{
    if (session->state == SESSION_READY && session->link->used && !asks(engine, session)) {
        give_back(engine, session);
    }
}

/* The link stays the session's. False: its settings are on their way, or what was asked of it has
 * failed, and both are closing. */
static bool keeps(struct engine *engine, struct session *session)
{
    struct link *link = session->link;
    if (session->conn.closing) {
        return false;
    }
    uint32_t timeout_ms = session->pool->limits.idle_transaction_timeout_ms;
    bool skips = link->unsynced || link->due.skipping; /* a Sync of ours would end that */
    if (link->status != 'I' && timeout_ms > 0) {
        conn_wake_by(engine, &session->conn, engine->now_us + timeout_ms * UINT64_C(1000));
    }
    /* What RESET means is the startup's, also on a link that stays. */
    return link->status != 'I' || skips || session->owns_link ||
           link->settings == session->settings || link_setup(engine, link);
}

/* All is answered. */
static inline __attribute__((always_inline)) void wait_for_client(struct engine *engine,
                                                                  struct session *session,
                                                                  bool open)
{
    const struct pool_options *limits = &session->pool->limits;
    uint32_t timeout_ms =
        open ? limits->idle_transaction_timeout_ms : limits->client_idle_timeout_ms;
    if (timeout_ms > 0) {
        conn_wake_by(engine, &session->conn, engine->now_us + timeout_ms * UINT64_C(1000));
    }
    if (session->gone || session->conn.held_len > 0) {
        session_resume_later(engine, session);
    } else if (engine->draining && !engine->patient) {
        session_drain(engine, session);
    }
}

/* Something of the session's is on a replica's link, or may be: it could not tell. That was lent
 * for what is over now, and nothing more is sent there: the session can't go on. True: it ends. */
static bool strands(struct engine *engine, struct session *session)
{
    struct link *link = session->link;
    if (session->lender == session->pool || link->status != 'I') {
        return false;
    }
    link_fail(engine, link, ERR_INTERNAL,
              "What the session has left at a replica can't be set at another server.");
    return true;
}

void session_idle(struct engine *engine, struct session *session)
{
    struct link *link = session->link;
    struct pool *pool = session->pool;
    session->query_is_read = session->ran_others = false;
    session->batch_writes = false;
    session->discards = false; /* it was answered, or skipped */
    session->healed = session->healed && session->conn.held_len > 0;
    heal_forget(&link->heal);
    link->conn.handed = false;
    if (link->status == 'I') { /* first: the client is told of its commit at the end of the step */
        prepare_altered(engine, session);
    }
    if (session->changes_facts && link->status == 'I') {
        pool_facts_changed(engine, session);
    }
    bool open = deferred_begin_is_open(session); /* it has read at a replica */
    if (link->status == 'I' && session->transaction_from_us != 0 && !open) {
        pool->stats.transactions++;
        pool->stats.transaction_us += engine->now_us - session->transaction_from_us;
        session->transaction_from_us = 0;
        session->ends = 0;
    }
    if (asks(engine, session) || listen_settle(engine, session)) {
        return;
    }
    if (session->pinned_us != 0 && strands(engine, session)) {
        return;
    }
    if (session->pinned_us != 0 && !link->pinned) {
        lend_pinned(engine, link);
    }
    if (give_back(engine, session) || keeps(engine, session)) {
        wait_for_client(engine, session, open);
    }
}

void session_spared(struct engine *engine, struct session *session)
{
    session_unlink(session);
    wait_for_client(engine, session, deferred_begin_is_open(session));
}

void session_release_unused(struct engine *engine, struct session *session)
{
    struct link *link = session->link;
    if (link != NULL && !link->used && session->state == SESSION_READY && !keeps_link(session) &&
        session->conn.held_len == 0 && link_may_release(link)) {
        session->link = NULL;
        link_release(engine, link);
    }
}
