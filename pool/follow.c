#include "pool/follow.h"

#include <stdio.h>
#include <string.h>

#include "pool/account.h"
#include "pool/core.h"
#include "pool/hold.h"
#include "pool/link.h"
#include "pool/listen.h"
#include "pool/options.h"
#include "pool/pool.h"
#include "pool/pool_nodes.h"
#include "router/topology.h"

/* Of a given primary that is known to be none, and of a replica that is the primary now: no link
 * that is of use is of it. */
#define TERM_FENCED (UINT64_MAX - 1)

/* Of the one server of a database, which nobody watches. */
#define TERM_UNWATCHED (UINT64_MAX - 2)

static const struct topology *topology_of(const struct engine *engine,
                                          const struct database_options *database)
{
    return database->discovers ? pool_nodes_of(engine, database->name) : NULL;
}

const struct server_options *follow_server(const struct engine *engine,
                                           const struct database_options *database)
{
    const struct topology *topology = topology_of(engine, database);
    return &database->servers[topology_primary(topology) != NULL ? topology->nodes.primary : 0];
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

/* The place of its server among the nodes, or NODES_NONE. */
static uint32_t node_of(const struct pool *pool, const struct topology *topology)
{
    if (follows(pool)) {
        return topology->nodes.primary;
    }
    return pool->target == POOL_PRIMARY ? 0 : pool->target - POOL_REPLICA;
}

/* The term of a pool that stays with its node is the node's incarnation; a replica's, that with how
 * often the node has stopped answering: a link of before need not answer, even if the node does.
 * Links of before its promotion would be too many beside the primary's pool's. */
static uint64_t term_of(const struct pool *pool, const struct topology *topology)
{
    const struct node *node = &topology->nodes.nodes[node_of(pool, topology)];
    if (pool->target == POOL_PRIMARY) {
        return node->incarnation;
    }
    if (node_of(pool, topology) == topology->nodes.primary) {
        return TERM_FENCED;
    }
    return (uint64_t)node->incarnation << 32 | node->silences;
}

uint32_t follow_incarnation(const struct pool *pool)
{
    return pool->target == POOL_PRIMARY ? 0 : (uint32_t)(pool->term >> 32);
}

/* --- addresses -------------------------------------------------------------------------------- */

/* True: its links are dialed at another address than before from now on. */
static bool take_address(struct pool *pool, const struct topology *topology)
{
    uint32_t node = node_of(pool, topology);
    const char *address = node == NODES_NONE ? "" : topology->servers[node].address;
    bool is_new = address[0] != '\0' && strcmp(address, pool->address) != 0;
    snprintf(pool->address, sizeof(pool->address), "%s", address);
    return is_new;
}

static bool leads_elsewhere(const struct link *link)
{
    return link->pool->address[0] != '\0' && link->address[0] != '\0' &&
           strcmp(link->address, link->pool->address) != 0;
}

/* The name that it was dialed by means another address now. Under another name it was left by a
 * reload, and what is under way there ends there, as without names. */
static bool is_moved(const struct link *link)
{
    return leads_elsewhere(link) && link->host == link->pool->host_account->number;
}

void follow_compare(struct link *link)
{
    if (leads_elsewhere(link)) {
        link->term = LINK_NO_TERM;
    }
}

void follow_connected(struct link *link, const char *address)
{
    snprintf(link->address, sizeof(link->address), "%s", address == NULL ? "" : address);
    follow_compare(link);
}

/* Links that were dialed by name, or at another address of the same server. */
static void leave_elsewhere(struct engine *engine, struct pool *pool)
{
    struct list *const lists[] = {&pool->idle, &pool->dialing, &pool->busy};
    for (uint32_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
        LIST_EACH (lists[i], node) {
            follow_compare(CONTAINER_OF(node, struct link, in_pool));
        }
    }
    pool_drop_links(engine, pool);
}

/* --- terms ------------------------------------------------------------------------------------ */

/* What is there goes on under another term: the server is the same, and is watched from now on, or
 * no more. */
static void rename_term(struct pool *pool, uint64_t term)
{
    struct list *const lists[] = {&pool->idle, &pool->dialing, &pool->busy};
    for (uint32_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
        LIST_EACH (lists[i], node) {
            struct link *link = CONTAINER_OF(node, struct link, in_pool);
            link->term = link->term == pool->term ? term : link->term;
        }
    }
    struct link *hub = pool->hub == NULL ? NULL : listen_link(pool->hub);
    if (hub != NULL && hub->term == pool->term) {
        hub->term = term;
    }
    pool->term = term;
}

void follow_begin(struct engine *engine, struct pool *pool, bool same)
{
    const struct topology *topology = pool_nodes_of(engine, pool->database->name);
    hold_begin(engine, pool, topology, same);
    if (topology != NULL) {
        (void)take_address(pool, topology);
    } else if (!options_is_watched(pool->database)) {
        pool->address[0] = '\0'; /* not probed any more; else what was proven holds until then */
        rename_term(pool, TERM_UNWATCHED);
    }
    if (follows(pool)) {
        pool->term = topology == NULL ? pool->term : topology->term;
    } else if (topology != NULL) { /* else it is soon */
        pool->term = hold_is_fenced(pool, topology) ? TERM_FENCED : term_of(pool, topology);
    }
}

static bool is_old(const struct link *link)
{
    return link->term != link->pool->term;
}

/* What an old primary still does is void: its transactions end with an error, not with a COMMIT
 * that nobody will find again. */
static void fail_old(struct engine *engine, struct pool *pool)
{
    pool_fail_links(engine, pool, is_old, "the server is not the primary any more");
}

/* The pool's server, which nobody has watched, is one of `hosts` now: whether what is under way
 * there goes on, as it does until somebody is known, and if that is who. */
static bool stays(const struct engine *engine, struct pool *pool, const struct topology *topology)
{
    if (topology_primary(topology) == NULL) {
        return topology->term == 0;
    }
    bool same = options_same_server(pool->server, follow_server(engine, pool->database));
    if (same) {
        rename_term(pool, topology->term); /* those that lead elsewhere end: leave_elsewhere */
    }
    return same;
}

/* While there is no primary, the pool leads to the one before, of which what is known holds. */
static void begin_term(struct engine *engine, struct pool *pool, const struct topology *topology)
{
    if (pool->term == topology->term) {
        return;
    }
    if (pool->term == TERM_UNWATCHED && stays(engine, pool, topology)) {
        return;
    }
    pool->term = topology->term;
    if (topology_primary(topology) != NULL) {
        pool->server = follow_server(engine, pool->database);
        pool->refused_us = 0; /* not by this one */
        pool_take_server(engine, pool);
    } else {
        pool_drop_links(engine, pool);
    }
    fail_old(engine, pool);
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

/* The node is another server by now, or another run of it, or a replica does not answer. Reads that
 * are under way may end where they are (but for pool/route_silent.h); what a server that was the
 * primary still commits is void. */
static void take_term(struct engine *engine, struct pool *pool, uint64_t term)
{
    if (pool->term == term) {
        return;
    }
    if (pool->term == TERM_UNWATCHED) {
        rename_term(pool, term); /* those that lead elsewhere end: leave_elsewhere */
        return;
    }
    pool->term = term;
    pool_drop_links(engine, pool);
    if (pool->target == POOL_PRIMARY) {
        pool_fail_links(engine, pool, is_moved, "the server's name means another one now");
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
        bool is_new_address = take_address(pool, topology);
        if (follows(pool)) {
            begin_term(engine, pool, topology);
        } else if (hold_is_fenced(pool, topology)) {
            fence(engine, pool);
        } else {
            take_term(engine, pool, term_of(pool, topology));
        }
        if (is_new_address) {
            leave_elsewhere(engine, pool);
        }
        hold_go_on(engine, pool, topology);
    }
}
