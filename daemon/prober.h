/* Watches the servers of every database that has more than one, and tells the engines.
 *
 *   daemon/probe.c (one per server) -> router/nodes.h (what it means) -> struct topology -> engines
 *
 * A topology is published with every change of a state or of the primary, and about once a second
 * for its figures. States and primaries that change are logged with their reasons. All of it lives
 * on worker 0's thread. Where engines want it (ACTION_PROBE), the servers' LSNs are polled beside
 * that: router/polls.h says whom and when, router/ticks.h what is made of the answers.
 *
 * A database with one server that is given as the primary is not watched, and nothing runs for it.
 */
#ifndef DAEMON_PROBER_H
#define DAEMON_PROBER_H

#include <stdint.h>

struct database_options;
struct prober;
struct server_options;
struct snapshot;
struct worker;

/* `worker` is worker 0. NULL when memory or descriptors are out. */
struct prober *prober_new(struct worker *worker, uint32_t worker_count, uint64_t seed);

/* After its loop has ended, or before it has begun. */
void prober_free(struct prober *prober);

/* Where to ask what only the primary is sure to know: the primary, as far as it is known, of a
 * database of the present configuration. */
const struct server_options *prober_server(const struct prober *prober,
                                           const struct database_options *database);

/* A configuration comes into force: databases whose servers are the same go on as they are; where
 * they or the login are others, what is known of servers that stay holds on. What is known is told
 * to the engines, which must have the options already. */
void prober_configure(struct prober *prober, struct snapshot *snapshot);

/* Engines want polls of that database's servers (ACTION_PROBE). */
void prober_poll(struct prober *prober, const char *database);

#endif
