/* Settings travel with the statement that needs them.
 *
 * A link's settings are seldom those of the next session. What differs goes to the server in the
 * same packet as the session's first statement, as extended-query messages without a Sync: so both
 * are one implicit transaction, and no round trip is added.
 *
 *    client       here                                  server
 *    SELECT ..    settings differ: 3 swallowed, Query -> Parse, Bind, Execute: set_config(..)
 *                                                        Query: SELECT ..
 *           <-    DataRow .. ReadyForQuery            <- nothing was refused: the link has them
 *
 * If a setting is refused, the server skips all that stands behind it, also a Query: no statement
 * ever runs under settings that are not its session's. The client is told, but if the server is a
 * replica: then the primary is asked (pool/route.h). If the statement fails,
 * the settings are rolled back with it. Either way the first ReadyForQuery tells what the link has;
 * until then nothing of the session is sent behind the first statement, or batch.
 *
 * That suits reads and plain writes outside transactions, none of which leaves or ends anything. In
 * front of BEGIN, VACUUM and their like, of what sets something itself, and of a batch that is not
 * here up to its Sync, the settings have a Sync of their own, and are awaited (link_setup).
 */
#ifndef POOL_APPLY_H
#define POOL_APPLY_H

#include <stdbool.h>
#include <stdint.h>

#include "pool/link.h"

struct engine;
struct report_fields;
struct session;

/* The session's link lacks its settings, and its next message of `total` bytes is at `at`, `have`
 * bytes with what is behind it. True: they are on their way, and the message may follow. False: it
 * waits, perhaps for *ret_whole bytes to be seen together, or the session is closing. */
bool apply_settings(struct engine *engine, struct session *session, const uint8_t *at,
                    uint32_t total, uint32_t have, uint32_t *ret_whole);

/* Whether settings have travelled and the server has not answered yet. */
static inline bool apply_is_open(const struct link *link)
{
    return link->settings_before != NULL && !link->setup;
}

/* Whether the client's next message must wait for that: its first batch, or query, is sent. */
static inline bool apply_waits(const struct link *link)
{
    return apply_is_open(link) && !link->unsynced;
}

/* The first ReadyForQuery behind settings that have travelled. */
void apply_ended(struct engine *engine, struct link *link);

/* The server has refused one of them, in these words. The link leaves the session, which is told,
 * or asks at the primary where that was a replica's. */
void apply_failed(struct engine *engine, struct link *link, const struct report_fields *fields);

/* What the server reports while they travel: whether the client knows it already, since it is of
 * what its session has. */
bool apply_is_told(const struct link *link, const char *name, const char *value);

#endif
