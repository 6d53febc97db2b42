#include "pool/follow.h"

#include "base/error.h"
#include "pool/core.h"
#include "pool/hold.h"
#include "pool/link.h"
#include "pool/options.h"
#include "pool/pool.h"
#include "pool/pool_nodes.h"
#include "router/topology.h"

/* Of a given primary that is known to be none, and of a replica that is the primary now: no link
 * that is of use is of it. */
#define TERM_FENCED (UINT64_MAX - 1)

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

/* A replica's pool stays with its node. */
static bool follows(const struct pool *pool)
{
    return pool->database->discovers && pool->target == POOL_PRIMARY;
}

/* The term of a pool that stays with its node is the node's incarnation; a replica's, that with how
 * often the node has stopped answering: a link of before need not answer, even if the node does.
 * Links of before its promotion would be too many beside the primary's pool's. */
static uint64_t term_of(const struct pool *pool, const struct topology *topology)
{
    if (pool->target == POOL_PRIMARY) {
        return topology->nodes.nodes[0].incarnation;
    }
    uint32_t at = pool->target - POOL_REPLICA;
    const struct node *node = &topology->nodes.nodes[at];
    if (at == topology->nodes.primary) {
        return TERM_FENCED;
    }
    return (uint64_t)node->incarnation << 32 | node->silences;
}

void follow_begin(struct engine *engine, struct pool *pool, bool same)
{
    const struct topology *topology = pool_nodes_of(engine, pool->database->name);
    hold_begin(engine, pool, topology, same);
    if (follows(pool)) {
        pool->term = topology == NULL ? pool->term : topology->term;
    } else if (topology != NULL) { /* else it is soon */
        pool->term = hold_is_fenced(pool, topology) ? TERM_FENCED : term_of(pool, topology);
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
static void fail_old(struct engine *engine, struct pool *pool)
{
    struct link *link;
    while ((link = find_old(pool)) != NULL) {
        link_fail(engine, link, ERR_SERVER_LOST, "the server is not the primary any more");
    }
}

static void begin_term(struct engine *engine, struct pool *pool, uint64_t term)
{
    if (pool->term != term) {
        pool->term = term;
        pool->server = follow_server(engine, pool->database);
        pool->refused_us = 0; /* not by this one */
        pool_take_server(engine, pool);
        fail_old(engine, pool);
    }
}

/* The server that was given is not the primary; whoever is may be one that it was not given for. */
static void fence(struct engine *engine, struct pool *pool)
{
    if (pool->term != TERM_FENCED) {
        pool->term = TERM_FENCED;
        pool_drop_links(engine, pool);
        fail_old(engine, pool);
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
        hold_stop(engine, pool, topology);
        if (follows(pool)) {
            begin_term(engine, pool, topology->term);
        } else if (hold_is_fenced(pool, topology)) {
            fence(engine, pool);
        } else {
            take_term(engine, pool, term_of(pool, topology));
        }
        hold_go_on(engine, pool, topology);
    }
}
