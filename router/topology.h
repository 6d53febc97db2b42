/* What the engines are told of a database's nodes: where they are, and a copy of what
 * router/nodes.h makes of them. Immutable and counted; a new one takes its place with all that
 * changes, and about once a second for the figures.
 */
#ifndef ROUTER_TOPOLOGY_H
#define ROUTER_TOPOLOGY_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/limits.h"
#include "router/nodes.h"

struct ticks;

enum { TOPOLOGY_HOST_BYTES = 256 };

struct topology_server {
    char host[TOPOLOGY_HOST_BYTES]; /* as configured, cut; a Unix socket's folder */
    uint16_t port;
    uint32_t weight;
    /* That has answered, as long as the node does (nodes_answers); "" = none, or the host is no
     * name. Connections are made to it, and not to what the name may mean by now. */
    char address[LIMIT_ADDRESS_BYTES];
};

struct topology {
    atomic_uint references;
    char *database; /* its name in the configuration, may be "*" */
    uint64_t term;  /* another number with each primary, each address of it, and none */
    struct topology_server servers[LIMIT_NODES];
    struct nodes nodes;  /* in the order of database_options.servers */
    struct ticks *ticks; /* a reference; NULL: there is one server, and nothing to count */
};

/* A copy with one reference, and one of its own to `ticks`, which may be NULL; its servers are the
 * caller's to fill. NULL when memory is out. */
struct topology *topology_new(const char *database, const struct nodes *nodes, struct ticks *ticks);

/* One holder more or less; any thread. topology_unref takes NULL. */
struct topology *topology_ref(struct topology *topology);
void topology_unref(struct topology *topology);

/* NULL: none counts as the primary, or nothing is known (`topology` is NULL). */
static inline const struct node *topology_primary(const struct topology *topology)
{
    bool known = topology != NULL && topology->nodes.primary != NODES_NONE;
    return known ? &topology->nodes.nodes[topology->nodes.primary] : NULL;
}

#endif
