#include "pool/follow.h"

#include <stdatomic.h>
#include <stdio.h>

#include "base/error.h"
#include "pool/account.h"
#include "pool/core.h"
#include "pool/lend.h"
#include "pool/link.h"
#include "pool/options.h"
#include "pool/pool.h"
#include "pool/pool_nodes.h"
#include "pool/session.h"
#include "protocol/report.h"
#include "router/topology.h"

enum { DETAIL_BYTES = NODE_REASON_BYTES + 64 };

static const struct topology *topology_of(const struct engine *engine,
                                          const struct database_options *database)
{
    return database->discovers ? pool_nodes_of(engine, database->name) : NULL;
}

static bool has_primary(const struct topology *topology)
{
    return topology != NULL && topology->nodes.primary != NODES_NONE;
}

const struct server_options *follow_server(const struct engine *engine,
                                           const struct database_options *database)
{
    const struct topology *topology = topology_of(engine, database);
    return &database->servers[has_primary(topology) ? topology->nodes.primary : 0];
}

const struct server_options *follow_server_again(const struct engine *engine,
                                                 const struct pool *pool,
                                                 const struct database_options *database)
{
    bool is_open = database->discovers && topology_of(engine, database) == NULL;
    for (uint32_t i = 0; is_open && i < database->server_count; i++) {
        if (options_same_address(pool->server, &database->servers[i])) {
            return &database->servers[i];
        }
    }
    return follow_server(engine, database);
}

/* Whether statements may be sent to the primary. */
static bool answers(const struct topology *topology)
{
    return has_primary(topology) && topology->nodes.nodes[topology->nodes.primary].state == NODE_UP;
}

static void hold(struct engine *engine, struct pool *pool)
{
    if (!pool->held) {
        pool->held = true;
        pool->held_until_us = engine->now_us + pool->database->failover_wait_ms * UINT64_C(1000);
    }
    pool_wake_by(engine, pool,
                 pool->held_until_us > engine->now_us ? pool->held_until_us : engine->now_us);
}

static void release(struct engine *engine, struct pool *pool)
{
    pool->held = false;
    atomic_store(&pool->host_account->retry_at_us, 0);
    atomic_store(&pool->host_account->failures, 0);
    lend_escalate(engine, pool, true);
    lend_serve(engine, pool);
    lend_keep_warm(engine, pool);
}

/* A replica's pool stays with its node. */
static bool follows(const struct pool *pool)
{
    return pool->database->discovers && pool->target == POOL_PRIMARY;
}

/* The term of a pool that stays with its node is the node's incarnation; a replica's, that with how
 * often the node has stopped answering: a link of before need not answer, even if the node does. */
static uint64_t term_of(const struct pool *pool, const struct topology *topology)
{
    if (pool->target == POOL_PRIMARY) {
        return topology->nodes.nodes[0].incarnation;
    }
    const struct node *node = &topology->nodes.nodes[pool->target - POOL_REPLICA];
    return (uint64_t)node->incarnation << 32 | node->silences;
}

void follow_begin(struct engine *engine, struct pool *pool)
{
    const struct topology *topology = pool_nodes_of(engine, pool->database->name);
    pool->held = false;
    if (follows(pool)) {
        pool->term = topology == NULL ? pool->term : topology->term;
        if (!answers(topology)) {
            hold(engine, pool);
        }
    } else if (topology != NULL) { /* else it is soon */
        pool->term = term_of(pool, topology);
    }
}

static struct link *find_old(const struct pool *pool)
{
    LIST_EACH (&pool->busy, node) {
        struct link *link = CONTAINER_OF(node, struct link, in_pool);
        if (link->term != pool->term) {
            return link;
        }
    }
    return NULL;
}

/* What an old primary still does is void: its transactions end with an error, not with a COMMIT
 * that nobody will find again. */
static void begin_term(struct engine *engine, struct pool *pool, uint64_t term)
{
    struct link *link;
    pool->term = term;
    pool->server = follow_server(engine, pool->database);
    pool_take_server(engine, pool);
    while ((link = find_old(pool)) != NULL) {
        link_fail(engine, link, ERR_SERVER_LOST, "the server is not the primary any more");
    }
}

static void take_news(struct engine *engine, struct pool *pool, const struct topology *topology)
{
    bool is_held = pool->held;
    if (!answers(topology)) {
        hold(engine, pool);
    }
    if (pool->term != topology->term) {
        begin_term(engine, pool, topology->term);
    }
    if (answers(topology) && is_held) {
        release(engine, pool);
    }
}

/* The node is another server by now, or another run of it, or a replica does not answer. What is
 * under way may end where it is (but for pool/route_silent.h): a link that was dialed since, by the
 * same name, is not known from one before. */
static void take_term(struct engine *engine, struct pool *pool, uint64_t term)
{
    if (pool->term != term) {
        pool->term = term;
        pool_drop_links(engine, pool);
    }
}

void follow_news(struct engine *engine, const struct topology *topology)
{
    LIST_EACH (&engine->pool_list, node) {
        struct pool *pool = CONTAINER_OF(node, struct pool, listed);
        if (pool->orphaned || pool->options != engine->options ||
            !pool_nodes_are_of(topology, pool)) {
            continue;
        }
        if (follows(pool)) {
            take_news(engine, pool, topology);
        } else {
            take_term(engine, pool, term_of(pool, topology));
        }
    }
}

bool follow_refused(struct engine *engine, struct pool *pool)
{
    if (!follows(pool) || pool->orphaned) {
        return false;
    }
    hold(engine, pool);
    return !follow_is_over(engine, pool);
}

bool follow_is_over(const struct engine *engine, const struct pool *pool)
{
    return pool->held && engine->now_us >= pool->held_until_us;
}

void follow_refuse(struct engine *engine, struct session *session)
{
    const struct topology *topology = topology_of(engine, session->pool->database);
    char detail[DETAIL_BYTES] = "Nothing is known of the hosts yet.";
    struct report report = {.code = ERR_NO_PRIMARY,
                            .detail = detail,
                            .hint = "SHOW REPLICAS in the admin database says how the hosts are."};
    if (has_primary(topology)) {
        const struct node *node = &topology->nodes.nodes[topology->nodes.primary];
        snprintf(detail, sizeof(detail), "The primary is %s: %s.", nodes_state_name(node->state),
                 node->reason[0] != '\0' ? node->reason : "it refuses connections");
    } else if (topology != NULL) {
        snprintf(detail, sizeof(detail), "There is none: %s.", topology->nodes.why_none);
    }
    session_refuse(engine, session, &report, NULL, 0);
}
