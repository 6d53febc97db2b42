#include "pool/pool_nodes.h"

#include <stdlib.h>
#include <string.h>

#include "pool/core.h"
#include "pool/options.h"
#include "pool/pool.h"
#include "router/ticks.h"
#include "router/topology.h"

static uint32_t place_of(const struct engine *engine, const char *database)
{
    uint32_t at = 0;
    while (at < engine->topology_count && strcmp(engine->topologies[at]->database, database) != 0) {
        at++;
    }
    return at;
}

void pool_nodes_take(struct engine *engine, struct topology *topology)
{
    uint32_t at = place_of(engine, topology->database);
    if (at == engine->topology_count) {
        struct topology **grown =
            reallocarray(engine->topologies, at + 1, sizeof(engine->topologies[0]));
        if (grown == NULL) {
            return; /* the next one comes soon */
        }
        engine->topologies = grown;
        engine->topologies[engine->topology_count++] = NULL;
    }
    const struct topology *before = engine->topologies[at];
    if (topology->ticks != NULL && (before == NULL || before->ticks != topology->ticks)) {
        ticks_join(topology->ticks, engine->worker);
    }
    topology_unref(engine->topologies[at]);
    engine->topologies[at] = topology_ref(topology);
}

const struct topology *pool_nodes_of(const struct engine *engine, const char *database)
{
    uint32_t at = place_of(engine, database);
    return at < engine->topology_count ? engine->topologies[at] : NULL;
}

void pool_nodes_want(struct engine *engine, const struct topology *topology, uint64_t need)
{
    if (topology->ticks == NULL || !ticks_want(topology->ticks, need)) {
        return;
    }
    struct action *action = engine_action(engine, ACTION_PROBE);
    if (action != NULL) {
        engine_action_names(action, topology->database, "");
    } else {
        ticks_unwant(topology->ticks);
    }
}

bool pool_nodes_are_of(const struct topology *topology, const struct pool *pool)
{
    return strcmp(pool->database->name, topology->database) == 0;
}

void pool_nodes_listen(struct engine *engine, const struct topology *topology)
{
    if (topology->ticks != NULL) {
        ticks_listen(topology->ticks, engine->worker);
    }
}

void pool_nodes_forget(struct engine *engine)
{
    for (uint32_t i = 0; i < engine->topology_count; i++) {
        struct ticks *ticks = engine->topologies[i]->ticks;
        if (ticks != NULL) {
            ticks_leave(ticks, engine->worker);
        }
        topology_unref(engine->topologies[i]);
    }
    free(engine->topologies);
    engine->topologies = NULL;
    engine->topology_count = 0;
}
