#include "pool/route_stay.h"

#include <stdbool.h>

#include "base/random.h"
#include "pool/account.h"
#include "pool/core.h"
#include "pool/options.h"
#include "pool/pool.h"
#include "pool/session.h"
#include "router/balance.h"

enum {
    LOOK_US = 1000 * 1000, /* from one look of a session to the next, in the mean */
    SHARE_US = 500 * 1000, /* what "of late" means, at least */
    TRIES = 4,
};

static uint32_t bit(uint32_t node)
{
    return UINT32_C(1) << node;
}

/* --- what is known of one --------------------------------------------------------------------- */

static uint32_t rate(uint64_t from, uint64_t to, uint64_t factor, uint64_t took_us)
{
    uint64_t found = to > from ? (to - from) * factor / took_us : 0; /* a read can be taken back */
    return found > UINT32_MAX ? UINT32_MAX : (uint32_t)found;
}

/* Only looks do so, no read does. */
static void bring_up_to_date(struct pool *pool, uint64_t now_us)
{
    struct pool_share *share = &pool->share;
    uint64_t took_us = now_us - share->from_us;
    if (took_us < SHARE_US) {
        return;
    }
    share->reads =
        rate(share->from_reads, pool->routed[ROUTE_REPLICA], UINT64_C(1000000000), took_us);
    share->busy_milli = rate(share->from_query_us, pool->stats.query_us, 1000, took_us);
    share->from_us = now_us;
    share->from_reads = pool->routed[ROUTE_REPLICA];
    share->from_query_us = pool->stats.query_us;
}

/* Of all workers and users; returns how much that is. */
static uint64_t tell_reads(struct pool *pool)
{
    uint64_t reads = pool->routed[ROUTE_REPLICA], told = pool->share.told_reads;
    pool->share.told_reads = reads;
    uint64_t found = reads > told ? reads - told : 0;
    return atomic_fetch_add(&pool->host_account->reads, found) + found;
}

static struct balance_node node_of(const struct session *session, const struct topology *topology,
                                   uint32_t node)
{
    const struct pool *pool =
        node == topology->nodes.primary ? session->pool : session->pool->replicas[node];
    return (struct balance_node){.busy = pool->busy_count,
                                 .waiting = pool->waiting_count,
                                 .latency_us = (uint32_t)topology->nodes.nodes[node].latency_us,
                                 .weight = topology->servers[node].weight,
                                 .reads = pool->share.reads,
                                 .busy_milli = pool->share.busy_milli};
}

uint32_t route_balanced(struct engine *engine, const struct session *session,
                        const struct topology *topology, uint32_t candidates)
{
    struct balance_node nodes[LIMIT_NODES];
    for (uint32_t left = candidates; left != 0; left &= left - 1) {
        uint32_t node = (uint32_t)__builtin_ctz(left);
        nodes[node] = node_of(session, topology, node);
    }
    return balance_choose(session->pool->database->balance, candidates, nodes, &session->pool->turn,
                          &engine->random);
}

/* --- staying ---------------------------------------------------------------------------------- */

static void look_later(struct engine *engine, const struct session *session)
{
    struct routing *routing = session->routing;
    routing->own_reads = 0;
    routing->look_reads = tell_reads(session->pool->replicas[routing->home]);
    routing->to = NODES_NONE;
    routing->look_us = engine->now_us + LOOK_US / 2 + random_below(&engine->random, LOOK_US);
}

/* How much of what its replica was given since its last look was its own; thousandths. */
static uint32_t own_milli(const struct session *session)
{
    const struct routing *routing = session->routing;
    uint64_t reads = tell_reads(session->pool->replicas[routing->home]) - routing->look_reads;
    return routing->own_reads >= reads ? 1000
                                       : (uint32_t)(routing->own_reads * UINT64_C(1000) / reads);
}

static uint32_t any_of(struct engine *engine, uint32_t nodes)
{
    uint32_t n = (uint32_t)random_below(&engine->random, (uint64_t)__builtin_popcount(nodes));
    for (; n > 0; n--) {
        nodes &= nodes - 1;
    }
    return (uint32_t)__builtin_ctz(nodes);
}

/* Whether it leaves its replica for one of these. */
static bool leaves(struct engine *engine, struct session *session, const struct topology *topology,
                   uint32_t others)
{
    struct routing *routing = session->routing;
    uint32_t to = any_of(engine, others);
    bring_up_to_date(session->pool->replicas[routing->home], engine->now_us);
    bring_up_to_date(session->pool->replicas[to], engine->now_us);
    struct balance_node here = node_of(session, topology, routing->home);
    const struct balance_node there = node_of(session, topology, to);
    here.own_milli = own_milli(session);
    look_later(engine, session);
    if (!balance_leaves(session->pool->database->balance, &here, &there, &engine->random)) {
        return false;
    }
    routing->to = (uint8_t)to;
    routing->tries = TRIES;
    routing->look_us = 0; /* at each read until it is there */
    return true;
}

/* It is time to look, or it is on its way. */
static uint32_t look(struct engine *engine, struct session *session,
                     const struct topology *topology, uint32_t candidates, uint32_t open)
{
    struct routing *routing = session->routing;
    /* Once it is known what it has seen here, all that are not behind are candidates. */
    bool known = routing->causal.need_at == 0;
    uint32_t others = (known ? candidates & open : open) & ~bit(routing->home);
    if (others == 0) {
        look_later(engine, session);
        return routing->home;
    }
    if (routing->to == NODES_NONE && !leaves(engine, session, topology, others)) {
        return routing->home;
    }
    bool arrives = (candidates & bit(routing->to)) != 0;
    bool gives_up = (others & bit(routing->to)) == 0;
    if (!arrives && !gives_up && routing->tries > 0) {
        routing->tries--;
        return routing->home;
    }
    routing->home = gives_up ? routing->home : routing->to;
    look_later(engine, session);
    return arrives || gives_up ? routing->home : NODES_NONE;
}

uint32_t route_stay_at(struct engine *engine, struct session *session,
                       const struct topology *topology, uint32_t candidates, uint32_t open)
{
    struct routing *routing = session->routing;
    bool stays = routing->home != NODES_NONE && (candidates & open & bit(routing->home)) != 0;
    if (stays && engine->now_us < routing->look_us) {
        return routing->home;
    }
    if (stays) {
        return look(engine, session, topology, candidates, open);
    }
    uint32_t node = route_balanced(engine, session, topology, candidates);
    if ((open & bit(node)) != 0) { /* not the primary */
        routing->home = (uint8_t)node;
        look_later(engine, session);
    }
    return node;
}
