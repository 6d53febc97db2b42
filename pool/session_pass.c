#include "pool/session_pass.h"

#include "base/assert.h"
#include "base/limits.h"
#include "pool/core.h"
#include "pool/link.h"
#include "pool/listen.h"
#include "pool/names.h"
#include "pool/own_answer.h"
#include "pool/pid_message.h"
#include "pool/pin_limit.h"
#include "pool/refusal.h"
#include "pool/restore.h"
#include "pool/session.h"
#include "pool/session_query.h"
#include "pool/state.h"
#include "protocol/message.h"

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
        session->query_is_read = false;
        session->ran_others = true;
    } else if (what == DUE_BIND) {
        session->query_is_read = false; /* what is bound is not looked at */
    }
    if (what == DUE_PARSE && session->owns_link) {
        session_note_owned(engine, session, message + MESSAGE_HEADER_BYTES,
                           (have < total ? have : total) - MESSAGE_HEADER_BYTES);
    }
    session_forward(engine, session, block, message, total, have);
    return have < total ? have : total;
}

uint32_t session_pass_sync(struct engine *engine, struct session *session, struct block *block,
                           uint8_t *message, uint32_t total, uint32_t have)
{
    struct link *link = session->link;
    if (session->restores != NULL && restore_waits(engine, session)) {
        return 0;
    }
    if (!link->due.copy_in) {
        if (!link_due_forward(engine, link, DUE_SYNC)) {
            return 0;
        }
        link->unsynced = false;
        link->due.skipping = false;
    }
    session_forward(engine, session, block, message, total, have);
    if (session->restores != NULL && !link->due.copy_in) {
        restore_synced(engine, session);
    }
    return have < total ? have : total;
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
        return refusal_send_parse(engine, session->link, refused)
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
__attribute__((noinline)) uint32_t session_pass_message(struct engine *engine,
                                                        struct session *session,
                                                        struct block *block, uint8_t *message,
                                                        uint32_t total, uint32_t have,
                                                        uint32_t *ret_whole)
{
    struct block *rewritten = NULL;
    if (session->restores != NULL && restore_waits(engine, session)) {
        return 0;
    }
    if (pid_message(engine, session, message, total, have, &rewritten)) {
        *ret_whole = total;
        return 0;
    }
    if (rewritten != NULL) {
        return take_rewritten(engine, session, rewritten, total);
    }
    return take_passing(engine, session, block, message, total, have, ret_whole);
}
