/* What happens to a session besides its bytes: the shell's events, its timer, the end of its
 * input. */
#include "pool/session.h"

#include "base/assert.h"
#include "base/error.h"
#include "base/limits.h"
#include "pool/admin.h"
#include "pool/cancel.h"
#include "pool/core.h"
#include "pool/deferred_begin.h"
#include "pool/hold.h"
#include "pool/lend.h"
#include "pool/link.h"
#include "pool/listen.h"
#include "pool/options.h"
#include "pool/pid_hold.h"
#include "pool/pool.h"
#include "pool/route_wait.h"
#include "pool/vacate.h"
#include "protocol/report.h"

/* Nothing more will come. What was asked for is finished first, as a backend would. */
void session_end_of_input(struct engine *engine, struct session *session)
{
    struct link *link = session->link;
    /* Also while its notifications are on their way: the link is to be known as its own. */
    bool busy = link != NULL && (link->setup || !due_empty(&link->due) || link->body_left > 0 ||
                                 listen_waits(session) || pid_hold_awaits(link));
    /* In line, late, or about to go on with what is held. */
    bool waits = session_is_waiting(session) || list_linked(&session->waiting);
    session->gone = true;
    conn_set_reading(engine, &session->conn, false);
    if (session->state != SESSION_READY || session->admin != NULL) {
        session_close(engine, session);
        return;
    }
    /* Blocked: the rest of a batch is here, and waits for what the server says of its beginning. */
    if (link != NULL && !session->blocked &&
        (link->due.copy_in || link->due.copy_both || link->unsynced || session->body_left > 0)) {
        session_close(engine, session); /* what was begun can't be completed any more */
        return;
    }
    if (waits || busy) {
        if (session->gone_us == 0) {
            session->gone_us = engine->now_us;
        }
        conn_wake_by(engine, &session->conn, session->gone_us + LIMIT_GONE_READ_US);
        return;
    }
    session_close(engine, session);
}

static uint64_t after_ms(uint64_t from_us, uint32_t ms)
{
    return from_us + ms * UINT64_C(1000);
}

/* The socket has failed: nobody is there to read an answer. */
static void grow_deaf(struct engine *engine, struct session *session)
{
    session->deaf = true;
    stream_clear(&engine->blocks, &session->conn.tx);
    if (session->link != NULL) {
        conn_set_reading(engine, &session->link->conn, true);
    }
}

void session_unheard(struct engine *engine, struct session *session)
{
    if (!session->cancel_sent && session->link != NULL && !due_empty(&session->link->due)) {
        session->cancel_sent = cancel_link(engine, session->link);
    }
}

/* Each check returns when to look again, or acts and returns TIMER_NEVER. */
static uint64_t check_wait(struct engine *engine, struct session *session)
{
    uint64_t due_us = after_ms(session->wait_from_us, session->pool->limits.wait_timeout_ms);
    if (!session->waits || session->pool->limits.wait_timeout_ms == 0) {
        return TIMER_NEVER;
    }
    if (engine->now_us < due_us) {
        return due_us;
    }
    struct report report = {.code = ERR_POOL_TIMEOUT,
                            .detail = "All server connections of the pool were busy for as long as "
                                      "pool.wait_timeout.",
                            .hint = "Raise pool.size or pool.wait_timeout, or shorten "
                                    "transactions; SHOW POOLS in the admin database tells who "
                                    "waits."};
    lend_leave(engine, session);
    if (hold_is_why(session->lender)) {
        hold_refuse(engine, session);
    } else {
        session_refuse(engine, session, &report, NULL, 0);
    }
    return TIMER_NEVER;
}

/* Whether nothing but reads is under way, so that it may be canceled for a client that has gone.
 * What it has sent besides would have been done by a server: what runs ahead on the link, or comes
 * behind and would be hit by a request that is late. */
static bool only_reads(const struct session *session)
{
    bool more = session->conn.held_len > 0 && !session->terminated;
    return session->query_is_read && !session->ran_others && !more;
}

static uint64_t check_query(struct engine *engine, struct session *session)
{
    struct link *link = session->link;
    uint32_t timeout_ms = session->pool->limits.query_timeout_ms;
    if (link == NULL || due_empty(&link->due) || link->setup) {
        return TIMER_NEVER;
    }
    if (session->gone && only_reads(session) && !session->cancel_sent) {
        uint64_t due_us = session->gone_us + LIMIT_GONE_READ_US;
        if (engine->now_us < due_us) {
            return due_us;
        }
        session->cancel_sent = true;
        cancel_link(engine, link);
    }
    if (timeout_ms == 0 || link->query_timed_out) {
        return TIMER_NEVER;
    }
    if (engine->now_us < after_ms(session->query_from_us, timeout_ms)) {
        return after_ms(session->query_from_us, timeout_ms);
    }
    link->query_timed_out = true;
    cancel_link(engine, link);
    return TIMER_NEVER;
}

static uint64_t check_idle(struct engine *engine, struct session *session)
{
    struct link *link = session->link;
    const struct pool_options *limits = &session->pool->limits;
    bool waits = session_is_waiting(session);
    bool in_transaction = link == NULL ? !waits && deferred_begin_is_open(session)
                                       : due_empty(&link->due) &&
                                             (link->status != 'I' || session->begin != BEGIN_NONE);
    bool idle = !waits && !in_transaction &&
                (link == NULL || (due_empty(&link->due) && link->status == 'I'));
    uint32_t timeout_ms = in_transaction ? limits->idle_transaction_timeout_ms
                          : idle         ? limits->client_idle_timeout_ms
                                         : 0;
    if (timeout_ms == 0) {
        return TIMER_NEVER;
    }
    uint64_t from_us = session->active_us;
    if (in_transaction && link != NULL && link->used_us > from_us) {
        from_us = link->used_us;
    }
    if (engine->now_us < after_ms(from_us, timeout_ms)) {
        return after_ms(from_us, timeout_ms);
    }
    struct report report = {.code = in_transaction ? ERR_IDLE_TRANSACTION : ERR_CLIENT_IDLE};
    session_fail(engine, session, &report);
    return TIMER_NEVER;
}

void session_timer(struct engine *engine, struct session *session)
{
    if (session->state == SESSION_CANCEL) {
        session_close(engine, session);
        return;
    }
    if (session->state != SESSION_READY && session->state != SESSION_LOGIN) {
        login_timer(engine, session);
        return;
    }
    if (session->pool == NULL) {
        admin_timer(engine, session);
        return;
    }
    uint64_t wait_us = check_wait(engine, session);
    uint64_t query_us = check_query(engine, session);
    uint64_t idle_us = session->state == SESSION_READY && !session->conn.closing
                           ? check_idle(engine, session)
                           : TIMER_NEVER;
    uint64_t vacate_us = vacate_timer(engine, session);
    uint64_t late_us = route_wait_timer(engine, session);
    uint64_t next_us = wait_us < query_us ? wait_us : query_us;
    next_us = late_us < next_us ? late_us : next_us;
    next_us = vacate_us < next_us ? vacate_us : next_us;
    next_us = idle_us < next_us ? idle_us : next_us;
    if (next_us != TIMER_NEVER && !session->conn.closing) {
        conn_wake_by(engine, &session->conn, next_us);
    }
}

void session_event(struct engine *engine, struct session *session, const struct event *event)
{
    if (session->conn.closing && event->kind != EVENT_CLOSED) {
        return; /* an event of the same turn has ended it already */
    }
    switch (event->kind) {
    case EVENT_EOF:
        if (session->conn.closing) {
            if (event->code != 0) {
                conn_close_now(engine, &session->conn);
            }
            return;
        }
        if (event->code != 0) {
            grow_deaf(engine, session);
        }
        session_end_of_input(engine, session);
        return;
    case EVENT_TLS:
        if (event->code != 0) {
            engine_log(engine, LOG_INFO, "client TLS handshake failed: %s",
                       event->text == NULL ? "" : event->text);
            session_close(engine, session);
        } else {
            login_tls(engine, session, event->tls);
        }
        return;
    case EVENT_CLOSED:
        if (!session->conn.closing) {
            session_close(engine, session);
        }
        session_closed(engine, session);
        return;
    case EVENT_SECRET:
        login_secret(engine, session, event->secret);
        return;
    case EVENT_OS_USER:
        login_os_user(engine, session, event->text);
        return;
    case EVENT_DERIVED:
        if (event->code != 0) {
            session_close(engine, session); /* no memory, or a secret too long to derive from */
        } else {
            login_derived(engine, session, event->keys);
        }
        return;
    case EVENT_BYTES:
    case EVENT_SENT:
    case EVENT_DIALED:
    case EVENT_MAIL:
    case EVENT_CATALOG:
    case EVENT_NODES:
    case EVENT_TICKS:
    case EVENT_OPTIONS:
    case EVENT_DRAIN:
    case EVENT_TICK:
        UNREACHABLE();
    }
}
