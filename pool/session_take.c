/* What a client sends, one message at a time: what it may say now, what needs a link, and what is
 * answered without one. What goes to the server then is session_pass.h's. */
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/error.h"
#include "base/limits.h"
#include "pool/admin.h"
#include "pool/apply.h"
#include "pool/core.h"
#include "pool/deferred_begin.h"
#include "pool/firewall.h"
#include "pool/link.h"
#include "pool/listen.h"
#include "pool/own.h"
#include "pool/own_answer.h"
#include "pool/pin_limit.h"
#include "pool/pool.h"
#include "pool/portal_run.h"
#include "pool/route.h"
#include "pool/route_whole.h"
#include "pool/session.h"
#include "pool/session_pass.h"
#include "pool/session_query.h"
#include "protocol/message.h"
#include "protocol/report.h"

static void session_violates(struct engine *engine, struct session *session, const char *detail)
{
    struct report report = {.code = ERR_PROTOCOL, .message = detail};
    session_fail(engine, session, &report);
}

/* Without a link. */
static void tell_ready(struct engine *engine, struct session *session)
{
    char status = deferred_begin_status(session);
    session_write_ready(engine, status);
    engine_flush_scratch(engine, &session->conn);
    if (session->own != NULL) {
        own_ready(engine, session, status);
    }
}

/* An error was told without a link: skips what a server would, and answers the Sync. */
static uint32_t take_skipping(struct engine *engine, struct session *session, uint8_t type,
                              uint32_t total, uint32_t have)
{
    bool ends = type == FRONTEND_SYNC ||
                (session->refused && (type == FRONTEND_QUERY || type == FRONTEND_FUNCTION_CALL));
    session->refused = false;
    if (ends) {
        session->skipping = false;
        tell_ready(engine, session);
    }
    return session_discard(session, total, have);
}

/* With a link: what to do with a message whose header is here. */
static inline __attribute__((always_inline)) uint32_t take_with_link(
    struct engine *engine, struct session *session, struct block *block, uint8_t *message,
    uint32_t total, uint32_t have, uint32_t *ret_whole)
{
    struct link *link = session->link;
    uint8_t type = message[0];
    uint32_t taken;
    if (link->due.count >= LIMIT_DUE - DUE_SLACK) {
        session->blocked = true; /* link_after_reply comes back to it */
        link_flush(engine, link);
        return 0;
    }
    if (link->lacks_settings && !apply_settings(engine, session, message, total, have, ret_whole)) {
        return 0;
    }
    if (session->begin == BEGIN_DEFERRED &&
        (session->lender == session->pool || session->routing->whole) &&
        !deferred_begin_send(engine, session)) {
        return 0;
    }
    if (deferred_begin_waits(link) || apply_waits(link) || listen_delays(session, type)) {
        session->blocked = true; /* link_after_reply comes back to it */
        return 0;
    }
    if (session->guarded && !link->due.skipping &&
        firewall_stops(engine, session, message, total, have, &taken, ret_whole)) {
        return taken;
    }
    if (type != FRONTEND_QUERY) {
        uint32_t run = portal_run_take(engine, session, block, message, have);
        if (run > 0) {
            return run;
        }
    }
    if (type == FRONTEND_SYNC) {
        return session_pass_sync(engine, session, block, message, total, have);
    }
    if (link->due.skipping) {
        return session_discard(session, total, have);
    }
    if (type == FRONTEND_QUERY && have >= total &&
        session_query_take_plain(engine, session, block, message, total, &taken)) {
        return taken;
    }
    return session_pass_message(engine, session, block, message, total, have, ret_whole);
}

/* A statement that would pin its session while no more may be needs no link to be refused. */
static uint32_t refuse_pinning(struct engine *engine, struct session *session,
                               const uint8_t *message, uint32_t total, uint32_t have)
{
    uint8_t type = message[0];
    if ((type != FRONTEND_QUERY && type != FRONTEND_BIND) || have < total || session->waits ||
        session->owns_link || !pin_limit_is_reached(session)) {
        return 0;
    }
    uint32_t body_bytes = total - MESSAGE_HEADER_BYTES;
    uint8_t pin = type == FRONTEND_QUERY
                      ? pin_limit_of_query(engine, session, message, body_bytes)
                      : extended_bind_refused(engine, session, message, body_bytes);
    if (pin == 0) {
        return 0;
    }
    struct report report = pin_limit_report(pin);
    session_refuse(engine, session, &report, NULL, 0);
    return take_skipping(engine, session, type, total, have);
}

/* Whether the Parse is answered without a link. What is put back for the primary was perhaps
 * answered already, of which routing->mute has the count. */
static bool parse_known(struct engine *engine, struct session *session, const uint8_t *message,
                        uint32_t total)
{
    return !session->waits && session_virtual_statements(session) &&
           (session->routing == NULL || !session->routing->again) &&
           extended_parse_known(engine, session, message, total - MESSAGE_HEADER_BYTES);
}

/* Without a link: some messages need none. Returns bytes taken; 0 when a link is needed, or, with
 * *ret_whole above `have`, so many bytes. */
static uint32_t take_without_link(struct engine *engine, struct session *session,
                                  const uint8_t *message, uint32_t total, uint32_t have,
                                  uint32_t *ret_whole)
{
    uint8_t type = message[0];
    if (session->skipping || (session->guarded && !session->waits &&
                              firewall_tells(engine, session, message, total, have, ret_whole))) {
        return take_skipping(engine, session, type, total, have);
    }
    if (*ret_whole > have) {
        return 0;
    }
    uint32_t taken =
        session->waits ? 0 : deferred_begin_take(engine, session, message, total, have, ret_whole);
    if (taken > 0 || *ret_whole > have) {
        return taken;
    }
    switch (type) {
    case FRONTEND_SYNC:
        if (total > MESSAGE_HEADER_BYTES) {
            return 0; /* a server is to say what is wrong with it */
        }
        tell_ready(engine, session);
        return total;
    case FRONTEND_QUERY:
    case FRONTEND_BIND:
        return refuse_pinning(engine, session, message, total, have);
    case FRONTEND_PARSE:
        return have >= total && parse_known(engine, session, message, total) ? total : 0;
    case FRONTEND_FLUSH:
        conn_todo(engine, &session->conn, TODO_SEND); /* what was told along (deferred_batch.h) */
        return session_discard(session, total, have);
    case FRONTEND_COPY_DATA: /* of a COPY that has failed: PostgreSQL ignores them too */
    case FRONTEND_COPY_DONE:
    case FRONTEND_COPY_FAIL:
        return session_discard(session, total, have);
    }
    return 0;
}

/* As PostgreSQL: an unknown type is told, a length that can't be is not worth an answer. */
static __attribute__((noinline)) void refuse_message(struct engine *engine, struct session *session,
                                                     uint8_t type)
{
    char text[64];
    bool known = type != FRONTEND_PASSWORD && message_frontend_bounds[type].body_end > 0;
    snprintf(text, sizeof(text),
             known ? "invalid message length" : "invalid frontend message type %u", type);
    session_violates(engine, session, text);
}

/* Most queries begin with a SELECT, which is not answered here for its first letters. */
static inline bool is_select(const uint8_t *at, uint32_t have)
{
    uint32_t word;
    if (at[0] != FRONTEND_QUERY || have - MESSAGE_HEADER_BYTES < sizeof(word)) {
        return false;
    }
    memcpy(&word, at + MESSAGE_HEADER_BYTES, sizeof(word));
    word |= UINT32_C(0x20202020);
    return memcmp(&word, "sele", sizeof(word)) == 0;
}

/* Whether take_without_link has nothing to do with such a query. */
static inline bool needs_but_a_link(const struct session *session)
{
    return !session->skipping && !session->guarded && session->begin == BEGIN_NONE &&
           !pin_limit_is_reached(session);
}

/* With a replica's link: no more than what it was lent for. Out of line, as most have none. */
static __attribute__((noinline)) uint32_t take_routed(struct engine *engine,
                                                      struct session *session, struct block *block,
                                                      uint8_t *at, uint32_t have,
                                                      uint32_t *ret_whole)
{
    if (session->link->setup || session->blocked || session->ready_held) {
        return 0;
    }
    uint32_t body_bytes, may = route_may_send(engine, session, at, have, ret_whole);
    if (may < MESSAGE_HEADER_BYTES || !message_header(message_frontend_bounds, at, &body_bytes)) {
        return 0;
    }
    uint32_t taken = take_with_link(engine, session, block, at, MESSAGE_HEADER_BYTES + body_bytes,
                                    may, ret_whole);
    route_sent(session, taken);
    return taken;
}

static uint32_t take_ready(struct engine *engine, struct session *session, struct block *block,
                           uint8_t *at, uint32_t have, uint32_t *ret_whole)
{
    uint32_t body_bytes;
    if (have < MESSAGE_HEADER_BYTES || session->blocked || session->ready_held) {
        return 0;
    }
    if (!message_header(message_frontend_bounds, at, &body_bytes) || at[0] == FRONTEND_PASSWORD) {
        refuse_message(engine, session, at[0]);
        return 0;
    }
    uint32_t total = MESSAGE_HEADER_BYTES + body_bytes;
    if (at[0] == FRONTEND_TERMINATE) {
        session->terminated = true;
        session_end_of_input(engine, session);
        return 0;
    }
    bool selects = is_select(at, have);
    if (!selects && own_may_concern(session, at, have)) {
        uint32_t taken;
        if (own_take(engine, session, at, total, have, &taken, ret_whole)) {
            return taken;
        }
    }
    if (session->link == NULL || session->link->setup) {
        if (session->link == NULL && !(selects && needs_but_a_link(session))) {
            uint32_t taken = take_without_link(engine, session, at, total, have, ret_whole);
            if (taken > 0 || *ret_whole > have) {
                return taken;
            }
        }
        if (session->routing != NULL && session->link == NULL && !session->waits &&
            !route_ask(engine, session, at, have, ret_whole)) {
            return 0;
        }
        if (!session_need_link(engine, session)) {
            return 0;
        }
        if (session->lender != session->pool) {
            session->detours = true;
            return take_routed(engine, session, block, at, have, ret_whole);
        }
    }
    return take_with_link(engine, session, block, at, total, have, ret_whole);
}

/* In a transaction that is a replica's: as take_ready with a link, which is not called for it since
 * that is inlined where it is called once. */
static uint32_t take_whole(struct engine *engine, struct session *session, struct block *block,
                           uint8_t *at, uint32_t have, uint32_t *ret_whole)
{
    uint32_t body_bytes, taken;
    if (have < MESSAGE_HEADER_BYTES || session->blocked || session->ready_held ||
        session->link->setup) {
        return 0;
    }
    if (!message_header(message_frontend_bounds, at, &body_bytes) || at[0] == FRONTEND_PASSWORD) {
        refuse_message(engine, session, at[0]);
        return 0;
    }
    uint32_t total = MESSAGE_HEADER_BYTES + body_bytes, here = have < total ? have : total;
    if (at[0] == FRONTEND_TERMINATE) {
        session->terminated = true;
        session_end_of_input(engine, session);
        return 0;
    }
    enum route_whole look = route_whole_look(engine, session, at, have, &taken, ret_whole);
    if (look == WHOLE_TAKEN || (own_may_concern(session, at, here) &&
                                own_take(engine, session, at, total, here, &taken, ret_whole))) {
        return taken;
    }
    taken = take_with_link(engine, session, block, at, total, here, ret_whole);
    if (look == WHOLE_ENDS && taken > 0) {
        route_whole_ends(session);
    }
    return taken;
}

static uint32_t take_body(struct engine *engine, struct session *session, struct block *block,
                          uint8_t *at, uint32_t have)
{
    uint32_t now = have < session->body_left ? have : session->body_left;
    session->body_left -= now;
    if (session->body_fate == BODY_FORWARD && session->link != NULL) {
        link_send(engine, session->link, block, at, now);
        if (session->body_left == 0 && due_empty(&session->link->due)) {
            session_link_drained(engine, session); /* it was answered before it was whole */
        }
    }
    return now;
}

/* What is not the next message of a session that is READY, to the primary. */
static __attribute__((noinline)) uint32_t take_other(struct engine *engine, struct session *session,
                                                     struct block *block, uint8_t *at,
                                                     uint32_t have, uint32_t *ret_whole)
{
    switch (session->state) {
    case SESSION_READY:
        if (session->body_left > 0) {
            return take_body(engine, session, block, at, have);
        }
        if (session->admin != NULL) {
            return admin_take(engine, session, at, have, ret_whole);
        }
        if (route_whole_is_on(session)) {
            return take_whole(engine, session, block, at, have, ret_whole);
        }
        return take_routed(engine, session, block, at, have, ret_whole);
    case SESSION_STARTUP:
        return login_take_packet(engine, session, at, have, ret_whole);
    case SESSION_AUTH:
        return login_take_message(engine, session, at, have, ret_whole);
    case SESSION_TLS:
    case SESSION_LOGIN:
    case SESSION_CANCEL:
    case SESSION_CLOSING:
        return 0;
    }
    UNREACHABLE();
}

/* Takes one thing from the front of the client's bytes; 0 = nothing can be taken now. */
static inline uint32_t take(struct engine *engine, struct session *session, struct block *block,
                            uint8_t *at, uint32_t have, uint32_t *ret_whole)
{
    bool detours = session->detours && (session->admin != NULL || session->link != NULL);
    return session->state == SESSION_READY && session->body_left == 0 && !detours
               ? take_ready(engine, session, block, at, have, ret_whole)
               : take_other(engine, session, block, at, have, ret_whole);
}

/* Whether nothing more is to be read from it: its server does not keep up, or it does not read what
 * it is answered. */
static inline bool is_behind(const struct session *session)
{
    return session->conn.tx.bytes > LIMIT_TX_HIGH_BYTES ||
           (session->link != NULL && session->link->conn.tx.bytes > LIMIT_TX_HIGH_BYTES);
}

static void watch_held(struct engine *engine, struct session *session, uint32_t whole)
{
    struct conn *conn = &session->conn;
    bool full = conn->held_len >= LIMIT_HELD_BYTES && whole <= conn->held_len;
    conn_set_reading(engine, conn, !full && !is_behind(session) && !session->gone);
}

/* Only who has named statements may be healed; what is sent to a replica may be the primary's in
 * the end. */
static inline void note_sent(struct session *session, const uint8_t *bytes, uint32_t len)
{
    struct heal *heal = &session->link->heal;
    if (session->detours) {
        heal_note(heal, bytes, len, LIMIT_DETOUR_BYTES);
    } else if (session->statements.by_name.count > 0) {
        heal_note(heal, bytes, len, LIMIT_HEAL_BYTES);
    } else {
        heal->incomplete = true;
    }
}

void session_bytes(struct engine *engine, struct session *session, struct block *block,
                   uint8_t *bytes, uint32_t len)
{
    uint32_t used = 0, whole = 0, linked_at = 0;
    struct conn *conn = &session->conn;
    session->active_us = engine->now_us;
    while (used < len && !conn->closing) {
        whole = 0;
        uint32_t taken = take(engine, session, block, bytes + used, len - used, &whole);
        if (taken == 0) {
            break;
        }
        used += taken;
        linked_at = session->link == NULL ? used : linked_at;
    }
    if (conn->closing) {
        return;
    }
    if (used > linked_at && (session->virtual_names || session->detours)) {
        note_sent(session, bytes + linked_at, used - linked_at);
    }
    if (session->pool != NULL) {
        session->pool->stats.bytes_received += used;
    }
    if (used == len) {
        conn_drop_held(engine, conn);
    } else if (!conn_hold(engine, conn, block, bytes + used, len - used, whole)) {
        return;
    }
    if (used < len || !conn->reading || is_behind(session)) {
        watch_held(engine, session, used < len ? whole : 0);
    }
}

void session_resume(struct engine *engine, struct session *session)
{
    struct conn *conn = &session->conn;
    if (conn->closing) {
        return;
    }
    session->blocked = false;
    if (conn->held != NULL) {
        struct block *held = conn->held;
        block_ref(held);
        session_bytes(engine, session, held, held->bytes + conn->held_at, conn->held_len);
        block_unref(&engine->blocks, held);
    }
    session_release_unused(engine, session);
    if (engine->draining && !engine->patient && session->state == SESSION_READY) {
        session_drain(engine, session);
    }
    if (session->gone && !conn->closing) {
        session_end_of_input(engine, session);
    }
}
