#include "router/topology.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "router/ticks.h"

struct topology *topology_new(const char *database, const struct nodes *nodes, struct ticks *ticks)
{
    struct topology *topology = calloc(1, sizeof(*topology));
    char *name = strdup(database);
    if (topology == NULL || name == NULL) {
        free(topology);
        free(name);
        return NULL;
    }
    atomic_init(&topology->references, 1);
    topology->database = name;
    topology->nodes = *nodes;
    topology->ticks = ticks_ref(ticks);
    return topology;
}

struct topology *topology_ref(struct topology *topology)
{
    unsigned before = atomic_fetch_add(&topology->references, 1);
    ASSERT(before > 0);
    return topology;
}

void topology_unref(struct topology *topology)
{
    if (topology == NULL || atomic_fetch_sub(&topology->references, 1) != 1) {
        return;
    }
    ticks_unref(topology->ticks);
    free(topology->database);
    free(topology);
}
