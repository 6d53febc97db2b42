#include "pool/portal_run.h"

#include "base/limits.h"
#include "pool/core.h"
#include "pool/link.h"
#include "pool/session.h"
#include "protocol/message.h"

/* What the message of `total` bytes at `at` is in a run. DUE_WHAT_COUNT: nothing. */
static enum due_what what_in_run(const uint8_t *at, uint32_t total)
{
    switch (at[0]) {
    case FRONTEND_DESCRIBE:
        return total > MESSAGE_HEADER_BYTES && at[MESSAGE_HEADER_BYTES] == 'P' ? DUE_DESCRIBE_PORTAL
                                                                               : DUE_WHAT_COUNT;
    case FRONTEND_EXECUTE:
        return DUE_EXECUTE;
    case FRONTEND_SYNC:
        return DUE_SYNC;
    }
    return DUE_WHAT_COUNT;
}

/* Whether nothing follows from such messages but their entries. */
static bool is_free(const struct session *session)
{
    const struct due *due = &session->link->due;
    bool busy = due->skipping | due->copy_in | due->copy_both;
    return !busy && session->names == NULL && session->own == NULL && session->restores == NULL &&
           session->listener == NULL;
}

/* The length of the whole message at `at`; 0: it is not here whole, or isn't one. */
static uint32_t whole_bytes(const uint8_t *at, uint32_t have)
{
    uint32_t body_bytes;
    if (have < MESSAGE_HEADER_BYTES || !message_header(message_frontend_bounds, at, &body_bytes) ||
        have - MESSAGE_HEADER_BYTES < body_bytes) {
        return 0;
    }
    return MESSAGE_HEADER_BYTES + body_bytes;
}

uint32_t portal_run_take(struct engine *engine, struct session *session, struct block *block,
                         uint8_t *at, uint32_t have)
{
    struct link *link = session->link;
    uint32_t taken = 0, total;
    if (!is_free(session)) {
        return 0;
    }
    while (link->due.count < LIMIT_DUE - DUE_SLACK &&
           (total = whole_bytes(at + taken, have - taken)) > 0) {
        enum due_what what = what_in_run(at + taken, total);
        if (what == DUE_WHAT_COUNT ||
            due_push_plain(&link->due, (uint8_t)what, DUE_FORWARD, 0) != 0) {
            break; /* also without memory for the ledger: the general way says so */
        }
        if (what == DUE_EXECUTE) {
            session_query_begins(engine, session);
        }
        link->unsynced = what != DUE_SYNC;
        link->flushed = link->flushed && link->unsynced;
        taken += total;
    }
    if (taken > 0) {
        link->used = true;
        link_send(engine, link, block, at, taken);
    }
    return taken;
}
