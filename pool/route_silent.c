#include "pool/route_silent.h"

#include <stddef.h>

#include "base/assert.h"
#include "base/error.h"
#include "pool/core.h"
#include "pool/lend.h"
#include "pool/link.h"
#include "pool/pool.h"
#include "pool/pool_nodes.h"
#include "pool/route.h"
#include "pool/session.h"
#include "router/topology.h"

static void turn_back_all(struct engine *engine, struct pool *pool)
{
    LIST_EACH (&pool->waiting, node) {
        struct session *session = CONTAINER_OF(node, struct session, waiting);
        if (session->state == SESSION_READY) {
            lend_leave(engine, session);
            bool turned = route_turns_back(engine, session);
            ASSERT(turned);
        }
    }
}

static void leave(struct engine *engine, struct pool *pool)
{
    turn_back_all(engine, pool); /* first: they don't need the places that become free */
    pool_fail_links(engine, pool, route_may_survive, "the replica does not answer");
}

void route_silent_news(struct engine *engine, const struct topology *topology)
{
    LIST_EACH (&engine->pool_list, node) {
        struct pool *pool = CONTAINER_OF(node, struct pool, listed);
        if (pool->target == POOL_PRIMARY || pool->options != engine->options ||
            !pool_nodes_are_of(topology, pool)) {
            continue;
        }
        uint32_t at = pool->target - POOL_REPLICA;
        if (nodes_is_silent(&topology->nodes, at)) {
            leave(engine, pool);
        } else if (at == topology->nodes.primary) { /* its links have closed: pool/follow.h */
            turn_back_all(engine, pool);
        }
    }
}
