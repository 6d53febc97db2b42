/* What a client has sent up to the next point where its server connection may change: one simple
 * query, or an extended one with its Sync (pool/route.h). Who prepares and describes a statement,
 * and awaits that before anything else (asyncpg), is at such a point, too. */
#ifndef POOL_ROUTE_BATCH_H
#define POOL_ROUTE_BATCH_H

#include <stdbool.h>
#include <stdint.h>

#include "router/hint.h"
#include "router/route.h"

struct engine;
struct plan;
struct session;

struct route_batch {
    uint32_t bytes;          /* with its Sync, or with the Flush behind what only prepares */
    uint32_t need;           /* so many must be seen together first; 0: enough are here */
    const struct hint *hint; /* of one of its statements, as long as that has its plan; or NULL */
    bool in_transaction;     /* that its statements are a part of: the caller's to say */
    bool whole;              /* likewise: they begin one that is a replica's (pool/route_whole.h) */
    bool writes;             /* some statement writes, by itself, or may: CALL, DO, VACUUM */
    bool other;              /* some statement is none that reads, by itself */
    bool rule_primary, rule_replica; /* some statement's rule says so */
};

/* ROUTE_REPLICA: all of it may be read from a replica. Else why not. */
enum route route_batch_read(struct engine *engine, struct session *session, const uint8_t *at,
                            uint32_t have, struct route_batch *ret_batch);

/* Whether a statement with this plan may be read from a replica; with what its hint says, and the
 * rule that holds for it. The catalog's facts are known. */
bool route_batch_plan(struct engine *engine, const struct session *session, struct plan *plan,
                      struct route_batch *batch);

#endif
