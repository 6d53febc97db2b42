#include "pool/session.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/error.h"
#include "base/limits.h"
#include "pool/account.h"
#include "pool/admin.h"
#include "pool/apply.h"
#include "pool/cancel.h"
#include "pool/core.h"
#include "pool/deferred_begin.h"
#include "pool/lend.h"
#include "pool/link.h"
#include "pool/listen.h"
#include "pool/names.h"
#include "pool/options.h"
#include "pool/own_answer.h"
#include "pool/pid_message.h"
#include "pool/pin_limit.h"
#include "pool/pool.h"
#include "pool/pool_facts.h"
#include "pool/portal_run.h"
#include "pool/prepare.h"
#include "pool/restore.h"
#include "pool/route.h"
#include "pool/session_query.h"
#include "pool/state.h"
#include "protocol/message.h"
#include "protocol/report.h"
#include "protocol/startup.h"
#include "router/plan.h"

struct session *session_new(struct engine *engine, const struct origin *origin)
{
    struct session *session = slab_alloc(&engine->sessions);
    if (session == NULL) {
        return NULL;
    }
    *session = (struct session){.origin = *origin,
                                .connected_us = engine->now_us,
                                .active_us = engine->now_us,
                                .settings = engine->settings.none,
                                .startup = engine->settings.none,
                                .custom = engine->settings.none};
    if (conn_init(engine, &session->conn, CONN_CLIENT) != 0) {
        slab_free(&engine->sessions, session);
        return NULL;
    }
    session->pid = cancel_virtual_pid(engine->worker, session->conn.handle);
    settings_ref(session->settings);
    settings_ref(session->startup);
    settings_ref(session->custom);
    list_init(&session->waiting);
    session_statements_init(&session->statements);
    engine->client_count++;
    conn_wake_by(engine, &session->conn, engine->now_us + LIMIT_LOGIN_US);
    return session;
}

/* --- reports ---------------------------------------------------------------------------------- */

void session_report(struct engine *engine, struct session *session, const struct report *report)
{
    report_write(&engine->scratch, report);
    engine_flush_scratch(engine, &session->conn);
}

void session_fail(struct engine *engine, struct session *session, const struct report *report)
{
    struct report fatal = *report;
    fatal.fatal = true;
    if (session->conn.closing) {
        return;
    }
    if (session->link == NULL || link_client_at_boundary(session->link)) {
        session_report(engine, session, &fatal);
    }
    session_close(engine, session);
}

bool session_no_memory(struct engine *engine, struct session *session)
{
    struct report report = {.code = ERR_NO_MEMORY};
    session_fail(engine, session, &report);
    return false;
}

static void session_violates(struct engine *engine, struct session *session, const char *detail)
{
    struct report report = {.code = ERR_PROTOCOL, .message = detail};
    session_fail(engine, session, &report);
}

void session_write_ready(struct engine *engine, char status)
{
    uint32_t mark = writer_begin(&engine->scratch, 'Z');
    writer_u8(&engine->scratch, (uint8_t)status);
    writer_end(&engine->scratch, mark);
}

/* --- the end of a session --------------------------------------------------------------------- */

void session_close(struct engine *engine, struct session *session)
{
    struct link *link = session->link;
    if (session->conn.closing) {
        return;
    }
    if (session->waits) {
        lend_leave(engine, session);
    }
    if (session->changes_facts) {
        pool_facts_changed(engine, session);
    }
    list_remove(&session->waiting);
    session->state = SESSION_CLOSING;
    prepare_altered(engine, session);
    if (link != NULL && listen_waits(session)) {
        link->spoilt = true; /* its notifications are on their way: they are nobody else's */
    }
    listen_free(engine, session);
    conn_close(engine, &session->conn);
    if (link != NULL) {
        session->link = NULL;
        link->client_body = session->body_left > 0 && session->body_fate == BODY_FORWARD;
        /* What custom settings it has left the server was not asked for yet. */
        link->spoilt |=
            session->keeps_named || session->keeps_unnamed || session->custom->count > 0;
        link->session_used |=
            session->pins != 0 || session->touched != 0 || session->set_alone != NULL;
        link_abandon(engine, link);
    }
}

void session_closed(struct engine *engine, struct session *session)
{
    bool counted = session->counted;
    ASSERT(session->conn.closing);
    struct link *link = session->link;
    if (link != NULL) { /* conn_close for want of memory went around session_close */
        session->link = NULL;
        link_abandon(engine, link);
    }
    if (session->changes_facts) {
        pool_facts_changed(engine, session);
    }
    if (session->waits) {
        lend_leave(engine, session);
    }
    list_remove(&session->waiting);
    plan_unref(session->plain_plan);
    free(session->vacates);
    listen_free(engine, session);
    route_free(session);
    login_free(engine, session);
    admin_free(engine, session);
    session_statements_clear(&engine->statements, &session->statements);
    statement_unref(&engine->statements, session->unnamed);
    names_free(engine, session);
    own_free(engine, session);
    settings_unref(&engine->settings, session->settings);
    settings_unref(&engine->settings, session->startup);
    settings_unref(&engine->settings, session->restores);
    settings_unref(&engine->settings, session->restored);
    plan_unref(session->set_alone);
    settings_unref(&engine->settings, session->custom);
    if (session->pool != NULL) {
        session->pool->client_count--;
        account_leave(session->pool->user_account);
    }
    conn_fini(engine, &session->conn);
    slab_free(&engine->sessions, session);
    engine_client_left(engine, counted);
}

void session_drain(struct engine *engine, struct session *session)
{
    struct report report = {.code = ERR_SHUTTING_DOWN};
    const struct link *link = session->link;
    /* A walsender has no transactions to wait for. */
    bool between =
        session->replication || (link == NULL ? !session->waits && !deferred_begin_is_open(session)
                                              : link_may_release(link));
    if (between && session->conn.held_len == 0 && session->admin == NULL) {
        session_fail(engine, session, &report);
    }
}

/* --- messages --------------------------------------------------------------------------------- */

void session_forward(struct engine *engine, struct session *session, struct block *block,
                     uint8_t *message, uint32_t total, uint32_t have)
{
    uint32_t now = have < total ? have : total;
    session->body_left = total - now;
    session->body_fate = BODY_FORWARD;
    link_send(engine, session->link, block, message, now);
}

uint32_t session_discard(struct session *session, uint32_t total, uint32_t have)
{
    uint32_t now = have < total ? have : total;
    session->body_left = total - now;
    session->body_fate = BODY_DISCARD;
    return now;
}

/* What the server will answer a message that passes as it is. DUE_WHAT_COUNT: nothing. */
static enum due_what what_is_due(const struct due *due, const uint8_t *message, uint32_t have)
{
    switch (message[0]) {
    case FRONTEND_EXECUTE:
        return DUE_EXECUTE;
    case FRONTEND_DESCRIBE:
        return have > MESSAGE_HEADER_BYTES && message[MESSAGE_HEADER_BYTES] == 'S'
                   ? DUE_DESCRIBE_STATEMENT
                   : DUE_DESCRIBE_PORTAL;
    case FRONTEND_PARSE:
        return DUE_PARSE;
    case FRONTEND_BIND:
        return DUE_BIND;
    case FRONTEND_CLOSE:
        return DUE_CLOSE;
    case FRONTEND_FUNCTION_CALL:
        return DUE_FUNCTION_CALL;
    case FRONTEND_COPY_DONE:
    case FRONTEND_COPY_FAIL:
        if (!due->copy_in && !due->copy_both && !due_empty(due)) {
            return DUE_COPY_END;
        }
        break;
    }
    return DUE_WHAT_COUNT;
}

/* Messages that pass as they are, with their entry in the ledger. */
static uint32_t take_plain(struct engine *engine, struct session *session, struct block *block,
                           uint8_t *message, uint32_t total, uint32_t have)
{
    struct link *link = session->link;
    enum due_what what = what_is_due(&link->due, message, have);
    if (what == DUE_WHAT_COUNT) {
        if (message[0] == FRONTEND_COPY_DONE || message[0] == FRONTEND_COPY_FAIL) {
            link->due.copy_in = false;
        }
    } else if (what == DUE_EXECUTE ? !own_due(engine, session, what)
                                   : !link_due_forward(engine, link, what)) {
        return 0;
    } else if (what != DUE_FUNCTION_CALL && what != DUE_COPY_END) {
        link->unsynced = true;
    }
    if (what == DUE_EXECUTE) {
        session_query_begins(engine, session);
    } else if (what == DUE_FUNCTION_CALL) {
        state_touch_all(engine, session); /* any function, by its number */
    }
    if (what == DUE_PARSE && session->owns_link) {
        session_note_owned(engine, session, message + MESSAGE_HEADER_BYTES,
                           (have < total ? have : total) - MESSAGE_HEADER_BYTES);
    }
    session_forward(engine, session, block, message, total, have);
    return have < total ? have : total;
}

static uint32_t take_sync(struct engine *engine, struct session *session, struct block *block,
                          uint8_t *message, uint32_t total, uint32_t have)
{
    struct link *link = session->link;
    if (!link->due.copy_in) {
        if (!link_due_forward(engine, link, DUE_SYNC)) {
            return 0;
        }
        link->unsynced = false;
        link->flushed = false;
        link->due.skipping = false;
    }
    session_forward(engine, session, block, message, total, have);
    if (session->restores != NULL && !link->due.copy_in && !restore_synced(engine, session)) {
        return 0;
    }
    return have < total ? have : total;
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

/* A Parse too large to be stored passes as it is. What it prepares exists on this link only, so the
 * session keeps the link. */
static uint32_t take_large_parse(struct engine *engine, struct session *session,
                                 struct block *block, uint8_t *message, uint32_t total,
                                 uint32_t have)
{
    if (have < MESSAGE_HEADER_BYTES + 1) {
        return 0;
    }
    uint8_t refused = pin_limit_refuses_large(session);
    if (refused != 0) {
        session_query_drop_unnamed(engine, session); /* the server's is gone by what is sent */
        return pin_limit_send_parse(engine, session->link, refused)
                   ? session_discard(session, total, have)
                   : 0;
    }
    state_touch_all(engine, session);
    if (message[MESSAGE_HEADER_BYTES] == '\0') {
        session_query_drop_unnamed(engine, session);
        session->keeps_unnamed = true;
    } else {
        session->keeps_named = true;
    }
    state_pins_changed(engine, session);
    return take_plain(engine, session, block, message, total, have);
}

/* Parse, Bind, Describe and Close of sessions whose statements have virtual names. */
static uint32_t take_extended(struct engine *engine, struct session *session, struct block *block,
                              uint8_t *message, uint32_t total, uint32_t have, uint32_t *ret_whole)
{
    uint32_t body_bytes = total - MESSAGE_HEADER_BYTES;
    uint8_t type = message[0];
    if (type == FRONTEND_BIND) {
        return extended_bind(engine, session, block, message, body_bytes, have, ret_whole);
    }
    if (type == FRONTEND_PARSE && body_bytes > LIMIT_PARSE_BYTES) {
        return take_large_parse(engine, session, block, message, total, have);
    }
    if (type != FRONTEND_PARSE && body_bytes > LIMIT_STATEMENT_NAME_BYTES) {
        return take_plain(engine, session, block, message, total, have); /* nobody has that name */
    }
    if (have < total) {
        *ret_whole = total;
        return 0;
    }
    switch (type) {
    case FRONTEND_PARSE:
        return extended_parse(engine, session, block, message, body_bytes) ? total : 0;
    case FRONTEND_DESCRIBE:
        return extended_describe(engine, session, block, message, body_bytes) ? total : 0;
    case FRONTEND_CLOSE:
        return extended_close(engine, session, block, message, body_bytes) ? total : 0;
    }
    UNREACHABLE();
}

/* An Execute of a session that has bound a statement with names: its portal must be looked at; one
 * that listens: an UNLISTEN's, too; or one that resets settings: the startup's go behind it. */
static uint32_t take_execute(struct engine *engine, struct session *session, struct block *block,
                             uint8_t *message, uint32_t total, uint32_t have, uint32_t *ret_whole)
{
    if (total > LIMIT_STATEMENT_NAME_BYTES) {
        return take_plain(engine, session, block, message, total, have);
    }
    if (have < total) {
        *ret_whole = total;
        return 0;
    }
    struct reader reader = reader_of(message + MESSAGE_HEADER_BYTES, total - MESSAGE_HEADER_BYTES);
    const char *portal = reader_cstr(&reader);
    uint32_t taken = take_plain(engine, session, block, message, total, have);
    if (taken == 0 ||
        (session->names != NULL && !reader.failed && !names_execute(engine, session, portal))) {
        return 0;
    }
    if (session->listener != NULL && !reader.failed) {
        listen_executed(engine, session, portal);
    }
    return session->restores != NULL && !restore_executed(engine, session) ? 0 : taken;
}

/* Session mode, with settings from the startup. A Parse that is not short is whole here, as
 * pid_message has asked for it; a Bind whose names are not here is not looked at. */
static void note_resets(struct engine *engine, struct session *session, const uint8_t *message,
                        uint32_t total, uint32_t have)
{
    if (message[0] == FRONTEND_PARSE && have >= total) {
        restore_parse(engine, session, message, total);
    } else if (message[0] == FRONTEND_BIND) {
        restore_bind(engine, session, message, have < total ? have : total);
    }
}

/* A message that goes to the server. */
static uint32_t take_passing(struct engine *engine, struct session *session, struct block *block,
                             uint8_t *message, uint32_t total, uint32_t have, uint32_t *ret_whole)
{
    uint8_t type = message[0];
    if (type == FRONTEND_QUERY) {
        return session_query_take(engine, session, block, message, total, have, ret_whole);
    }
    if (type == FRONTEND_EXECUTE && session->own != NULL && own_execute_waits(engine, session)) {
        return 0;
    }
    if (type == FRONTEND_EXECUTE &&
        (session->names != NULL || session->restores != NULL || session->listener != NULL)) {
        return take_execute(engine, session, block, message, total, have, ret_whole);
    }
    if ((type == FRONTEND_PARSE || type == FRONTEND_BIND || type == FRONTEND_DESCRIBE ||
         type == FRONTEND_CLOSE) &&
        session_virtual_statements(session)) {
        return take_extended(engine, session, block, message, total, have, ret_whole);
    }
    if (session->owns_link && session->startup->count > 0) {
        note_resets(engine, session, message, total, have);
    }
    if ((type == FRONTEND_PARSE || type == FRONTEND_BIND) && !session->owns_link &&
        !session_note_plain(engine, session, message, total, have, ret_whole)) {
        return 0;
    }
    if (type == FRONTEND_DESCRIBE && have < total && have < MESSAGE_HEADER_BYTES + 1) {
        *ret_whole = MESSAGE_HEADER_BYTES + 1;
        return 0;
    }
    return take_plain(engine, session, block, message, total, have);
}

/* The same with pids of ours replaced. */
static uint32_t take_rewritten(struct engine *engine, struct session *session, struct block *block,
                               uint32_t total)
{
    uint32_t whole = 0;
    uint32_t bytes = block->used;
    uint32_t taken = take_passing(engine, session, block, block->bytes, bytes, bytes, &whole);
    block_unref(&engine->blocks, block);
    return taken > 0 ? total : 0;
}

/* What is neither a plain query nor a run. Out of line: most are. */
static __attribute__((noinline)) uint32_t take_other(struct engine *engine, struct session *session,
                                                     struct block *block, uint8_t *message,
                                                     uint32_t total, uint32_t have,
                                                     uint32_t *ret_whole)
{
    struct block *rewritten = NULL;
    if (pid_message(engine, session, message, total, have, &rewritten)) {
        *ret_whole = total;
        return 0;
    }
    if (rewritten != NULL) {
        return take_rewritten(engine, session, rewritten, total);
    }
    return take_passing(engine, session, block, message, total, have, ret_whole);
}

/* With a link: what to do with a message whose header is here. */
static inline __attribute__((always_inline)) uint32_t take_with_link(
    struct engine *engine, struct session *session, struct block *block, uint8_t *message,
    uint32_t total, uint32_t have, uint32_t *ret_whole)
{
    struct link *link = session->link;
    uint8_t type = message[0];
    if (link->due.count >= LIMIT_DUE - DUE_SLACK) {
        if (!session->blocked) {
            session->blocked = true;
            link_flush(engine, link);
        }
        return 0;
    }
    if (link->lacks_settings && !apply_settings(engine, session, message, total, have, ret_whole)) {
        return 0;
    }
    if (session->begin == BEGIN_DEFERRED && session->lender == session->pool &&
        !deferred_begin_send(engine, session)) {
        return 0;
    }
    if (deferred_begin_waits(link) || apply_waits(link) || listen_delays(session, type)) {
        session->blocked = true; /* link_after_reply comes back to it */
        return 0;
    }
    if (type != FRONTEND_QUERY) {
        uint32_t run = portal_run_take(engine, session, block, message, have);
        if (run > 0) {
            return run;
        }
    }
    if (type == FRONTEND_SYNC) {
        return take_sync(engine, session, block, message, total, have);
    }
    if (link->due.skipping) {
        return session_discard(session, total, have);
    }
    if (type == FRONTEND_QUERY && session_query_is_plain(engine, session, message, total, have)) {
        return session_query_pass(engine, session, block, message, total);
    }
    return take_other(engine, session, block, message, total, have, ret_whole);
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

/* Without a link: some messages need none. Returns bytes taken; 0 when a link is needed, or, with
 * *ret_whole above `have`, so many bytes. */
static uint32_t take_without_link(struct engine *engine, struct session *session,
                                  const uint8_t *message, uint32_t total, uint32_t have,
                                  uint32_t *ret_whole)
{
    uint8_t type = message[0];
    if (session->skipping) {
        return take_skipping(engine, session, type, total, have);
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
        return have >= total && !session->waits && session_virtual_statements(session) &&
                       extended_parse_known(engine, session, message, total - MESSAGE_HEADER_BYTES)
                   ? total
                   : 0;
    case FRONTEND_FLUSH:
    case FRONTEND_COPY_DATA: /* of a COPY that has failed: PostgreSQL ignores them too */
    case FRONTEND_COPY_DONE:
    case FRONTEND_COPY_FAIL:
        return session_discard(session, total, have);
    }
    return 0;
}

/* As PostgreSQL: an unknown type is told, a length that can't be is not worth an answer. */
static void refuse_message(struct engine *engine, struct session *session, uint8_t type)
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
    return !session->skipping && session->begin == BEGIN_NONE && !pin_limit_is_reached(session);
}

/* With a replica's link: no more than what it was lent for. Out of line, as take_other. */
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

/* What doesn't go the usual way, to the primary. */
static __attribute__((noinline)) uint32_t take_detour(struct engine *engine,
                                                      struct session *session, struct block *block,
                                                      uint8_t *at, uint32_t have,
                                                      uint32_t *ret_whole)
{
    if (session->admin != NULL) {
        return admin_take(engine, session, at, have, ret_whole);
    }
    return take_routed(engine, session, block, at, have, ret_whole);
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

/* Takes one thing from the front of the client's bytes; 0 = nothing can be taken now. */
static uint32_t take(struct engine *engine, struct session *session, struct block *block,
                     uint8_t *at, uint32_t have, uint32_t *ret_whole)
{
    switch (session->state) {
    case SESSION_READY:
        if (session->body_left > 0) {
            return take_body(engine, session, block, at, have);
        }
        if (session->detours && (session->admin != NULL || session->link != NULL)) {
            return take_detour(engine, session, block, at, have, ret_whole);
        }
        return take_ready(engine, session, block, at, have, ret_whole);
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

static void watch_held(struct engine *engine, struct session *session, uint32_t whole)
{
    struct conn *conn = &session->conn;
    bool full = conn->held_len >= LIMIT_HELD_BYTES && whole <= conn->held_len;
    bool slow = session->link != NULL && session->link->conn.tx.bytes > LIMIT_TX_HIGH_BYTES;
    conn_set_reading(engine, conn, !full && !slow && !session->gone);
}

/* Only who has named statements may be healed. */
static inline void note_sent(struct session *session, const uint8_t *bytes, uint32_t len)
{
    struct heal *heal = &session->link->heal;
    if (session->statements.by_name.count > 0 || session->detours) {
        heal_note(heal, bytes, len);
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
    if (used > linked_at && session->virtual_names) {
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
    if (used < len || !conn->reading ||
        (session->link != NULL && session->link->conn.tx.bytes > LIMIT_TX_HIGH_BYTES)) {
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
