/* Healing: what failed because a server's prepared statement was out of date is sent once more.
 *
 * After DDL a server refuses a statement whose columns have changed (0A000, RevalidateCachedQuery
 * in src/backend/utils/cache/plancache.c), and a function may have deallocated what a link was
 * known to have (26000). Neither is the client's doing. So what it has sent since the last
 * ReadyForQuery is kept beside the link, up to LIMIT_HEAL_BYTES (or LIMIT_DETOUR_BYTES, of a batch
 * at a replica: pool/route.h), and when a Bind, a Describe or a
 * query that is one EXECUTE fails so, it and what follows are put back in front of what the client
 * sends next, and taken again: the statement is then prepared anew (pool/prepare.h).
 *
 *    client   B E S                               D Z        the answers of the second time
 *    link     B E S   E(0A000) Z     C P B E S    3 1 2 D Z
 *                     swallowed      from the copy
 *
 * Only outside transactions, if nothing has run that the error rolls back, nothing is under way
 * behind the failure, and the client has heard nothing of it; once, the second error is told.
 */
#ifndef POOL_HEAL_H
#define POOL_HEAL_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/limits.h"

struct engine;
struct link;
struct report_fields;
struct session;

struct heal {
    uint8_t *bytes; /* NULL until first used */
    uint32_t len, room;
    bool incomplete; /* more was sent than stands here, a deferred BEGIN perhaps */
};

/* heal_note where there is no room yet, or not enough. */
void heal_note_more(struct heal *heal, const uint8_t *bytes, uint32_t len, uint32_t len_max);

/* The session's messages, or parts of them, were taken with the link; so many bytes are kept at
 * most. */
static inline void heal_note(struct heal *heal, const uint8_t *bytes, uint32_t len,
                             uint32_t len_max)
{
    if (len > heal->room - heal->len) {
        heal_note_more(heal, bytes, len, len_max);
        return;
    }
    memcpy(heal->bytes + heal->len, bytes, len);
    heal->len += len;
}

void heal_free(struct heal *heal);

/* All of it was answered. */
static inline void heal_forget(struct heal *heal)
{
    if (heal->room > LIMIT_HEAL_BYTES) { /* it is rare that so much is kept */
        heal_free(heal);
    }
    heal->len = 0;
    heal->incomplete = false;
}

/* Whether an error that the head of the ledger gets tells of a statement out of date. What the link
 * has prepared is then not relied on any more. */
bool heal_is_due(struct engine *engine, struct link *link, const struct report_fields *fields);

/* Whether it can be healed; the copy's position of what is to be sent again. */
bool heal_can(const struct link *link, uint32_t *ret_at);

/* Puts it back, once the ledger has skipped to the Sync; the session will go on with it. */
void heal_again(struct engine *engine, struct link *link, uint32_t at);

/* Puts what stands in the copy behind `at` in front of what the client sends next. False: its
 * connection, or the link, is closing. */
bool heal_put_back(struct engine *engine, struct link *link, uint32_t at);

#endif
