#include "pool/portal_run.h"

#include <string.h>

#include "base/limits.h"
#include "pool/account.h"
#include "pool/core.h"
#include "pool/link.h"
#include "pool/pool.h"
#include "pool/route.h"
#include "pool/session.h"
#include "pool/state.h"
#include "protocol/message.h"

/* Whether nothing follows from such messages but their entries. */
static bool is_free(const struct session *session)
{
    const struct due *due = &session->link->due;
    bool busy = due->skipping | due->copy_in | due->copy_both;
    return !busy && session->names == NULL && session->own == NULL && session->restores == NULL &&
           session->listener == NULL && !route_notes(session);
}

/* --- Bind ------------------------------------------------------------------------------------- */

/* Whether the statement's columns are known to be those that the client was told, so that neither
 * is to be asked nor learnt (pool/columns.h). */
static bool has_known_columns(const struct engine *engine, const struct session *session,
                              const struct session_statement *named)
{
    return named->columns_catalog == shared_catalog(engine->shared) && !named->columns_changed &&
           !session->alters;
}

/* What the link has of the session's statement, if it can be bound there without a further thought;
 * else NULL. */
static struct link_statement *find_plain(struct engine *engine, struct session *session,
                                         const struct session_statement *named)
{
    if (named == NULL || named->statement->names || named->statement->names_pids ||
        !has_known_columns(engine, session, named)) {
        return NULL;
    }
    struct plan *plan = state_statement_plan(engine, session, named->statement);
    if (plan == NULL || !state_is_plain_read(engine, session, plan)) {
        return NULL;
    }
    struct link_statement *prepared =
        link_statement_find(&session->link->statements, named->statement);
    return prepared == NULL || prepared->catalog < named->catalog ? NULL : prepared;
}

/* Enters a Bind of `total` bytes to the unnamed portal, and sends its front with the name that the
 * link knows. Returns how much of it is left to be sent; 0: it is not plain, nothing was done. */
static uint32_t bind(struct engine *engine, struct session *session, const uint8_t *at,
                     uint32_t total)
{
    struct link *link = session->link;
    const char *name = (const char *)at + MESSAGE_HEADER_BYTES + 1;
    if (!due_empty(&link->due) || total < MESSAGE_HEADER_BYTES + 2 ||
        at[MESSAGE_HEADER_BYTES] != '\0' || !session->virtual_names || session->discards ||
        session->unlistens) {
        return 0;
    }
    uint32_t room = total - MESSAGE_HEADER_BYTES - 1, name_bytes = message_text_bytes(name, room);
    if (name_bytes == 0 || name_bytes == room) {
        return 0;
    }
    struct session_statement *named =
        session_statement_find(&session->statements, engine->hash_key, name, name_bytes);
    struct link_statement *prepared = find_plain(engine, session, named);
    if (prepared == NULL || due_push_plain(&link->due, DUE_BIND, DUE_FORWARD, 0) != 0) {
        return 0;
    }
    due_head(&link->due)->number = named->number;
    link_statement_used(&link->statements, prepared);
    named->form_id = 0;
    named->used = ++session->name_uses;
    session->query_is_read = !session->batch_writes;
    session->pool->stats.binds++;
    uint8_t front[MESSAGE_HEADER_BYTES + 1 + STATEMENT_NAME_BYTES];
    front[0] = FRONTEND_BIND;
    message_store_u32(front + 1, total - 1 - name_bytes + prepared->name_bytes);
    front[MESSAGE_HEADER_BYTES] = '\0'; /* of the portal's name */
    memcpy(front + MESSAGE_HEADER_BYTES + 1, prepared->name, sizeof(prepared->name));
    link_write(engine, link, front, MESSAGE_HEADER_BYTES + 1 + prepared->name_bytes + 1);
    return room - name_bytes - 1;
}

/* --- the run ---------------------------------------------------------------------------------- */

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

uint32_t portal_run_take(struct engine *engine, struct session *session, struct block *block,
                         uint8_t *at, uint32_t have)
{
    struct link *link = session->link;
    uint32_t taken = 0, from = 0, total;
    if (!is_free(session)) {
        return 0;
    }
    if (at[0] == FRONTEND_BIND &&
        (total = message_whole_bytes(message_frontend_bounds, at, have)) > 0) {
        uint32_t left = bind(engine, session, at, total);
        if (left == 0) {
            return 0;
        }
        link->unsynced = true;
        taken = total;
        from = total - left;
    }
    while (link->due.count < LIMIT_DUE - DUE_SLACK &&
           (total = message_whole_bytes(message_frontend_bounds, at + taken, have - taken)) > 0) {
        enum due_what what = what_in_run(at + taken, total);
        if (what == DUE_WHAT_COUNT ||
            due_push_plain(&link->due, (uint8_t)what, DUE_FORWARD, 0) != 0) {
            break; /* also without memory for the ledger: the general way says so */
        }
        if (what == DUE_EXECUTE) {
            session_query_begins(engine, session);
        }
        link->unsynced = what != DUE_SYNC;
        taken += total;
    }
    if (taken > 0) {
        link->used = true;
        link_send(engine, link, block, at + from, taken - from);
    }
    return taken;
}
