/* What an engine knows of the nodes of its databases (router/topology.h).
 *
 * The shell watches the servers of each database that has more than one, and gives every engine
 * what it finds (EVENT_NODES). With new options all of it is forgotten, since a node is known by
 * its place among the options' servers; the shell tells it anew behind them.
 */
#ifndef POOL_POOL_NODES_H
#define POOL_POOL_NODES_H

#include <stdbool.h>
#include <stdint.h>

struct engine;
struct pool;
struct topology;

/* Takes a reference; takes the place of what was known of that database. */
void pool_nodes_take(struct engine *engine, struct topology *topology);

/* NULL: nothing is known, or there is nothing to know (one server). `database` is a name of the
 * configuration. */
const struct topology *pool_nodes_of(const struct engine *engine, const char *database);

/* Asks for poll `need` of the primary, and for replicas until they have reached what it answers
 * (router/ticks.h). Of no use, and without effect, where the topology has no ticks. */
void pool_nodes_want(struct engine *engine, const struct topology *topology, uint64_t need);

/* Whether these are the servers of the pool's database. */
bool pool_nodes_are_of(const struct topology *topology, const struct pool *pool);

/* EVENT_TICKS comes to this engine with the next news. Look only then at what there is. */
void pool_nodes_listen(struct engine *engine, const struct topology *topology);

/* Forgets all. */
void pool_nodes_forget(struct engine *engine);

#endif
