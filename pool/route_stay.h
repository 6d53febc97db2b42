/* Staying: which of the replicas that may be read a session gets, and when it leaves that one.
 *
 * A session of strict consistency (`session`, `strong`) stays at the replica that it has read from:
 * there it needs no poll, however often it reads. About once a second it looks at another one, and
 * leaves if balance_leaves says so (router/balance.h); else sessions that live for long, as those
 * of an application's pool, would never go to a replica that has come back.
 *
 *    stays -- look, leaves --> on its way --+-- the other one may be read: it is there
 *      ^                                    |
 *      +---- the other one is behind -------+-- TRIES reads later: one read at the primary
 *
 * What it adds to its replica's work itself it takes with it, so that is left out: one that is
 * alone has no reason to leave. How much of the replica's reads are others' is counted for the
 * whole process, since each worker and each user has a pool of its own: looks tell the host's
 * account what they find.
 *
 * The other one may be read once a poll of this one, sent behind the session's last read, is
 * answered (router/ticks.h). So on its way it asks for polls behind its reads, and a session that
 * does anything else between two reads has the answer by the next one. One that doesn't never has
 * it: its way goes by the primary, which is ahead of both, and whose next poll is soon known.
 */
#ifndef POOL_ROUTE_STAY_H
#define POOL_ROUTE_STAY_H

#include <stdint.h>

#include "pool/pool_nodes.h"
#include "pool/route.h"
#include "router/nodes.h"
#include "router/ticks.h"
#include "router/topology.h"

struct engine;
struct session;

/* Which of the candidates shall read, a bit each and at least one. */
uint32_t route_balanced(struct engine *engine, const struct session *session,
                        const struct topology *topology, uint32_t candidates);

/* The same for a strict read; `open`: the replicas that are up, whatever they show. NODES_NONE: the
 * primary shall, and the session is at another replica from then on. */
uint32_t route_stay_at(struct engine *engine, struct session *session,
                       const struct topology *topology, uint32_t candidates, uint32_t open);

/* A replica has answered the session; ticks are known. */
static inline void route_stay_read(struct engine *engine, const struct routing *routing,
                                   const struct topology *topology)
{
    if (routing->to != NODES_NONE) {
        pool_nodes_want(engine, topology, ticks_next(topology->ticks));
    }
}

#endif
