/* The catalog facts of all databases that are in use (the answers to ACTION_ASK_CATALOG).
 *
 * One catalog per database name of clients, loaded as the service login by daemon/catalog_load.h in
 * the thread pool, kept here, and given to every worker: immutable, shared by reference count. A
 * database is looked at when an engine asks, and not more often than its server's answers allow;
 * who asks meanwhile is answered by the next look. A look that is in the way of DROP DATABASE or
 * its kin (pool/vacate.h) ends, and begins anew some seconds later. Without anybody who asks
 * nothing runs. All of it lives on worker 0's thread.
 */
#ifndef DAEMON_CATALOGS_H
#define DAEMON_CATALOGS_H

#include <stdint.h>

struct catalogs;
struct options;
struct shared;
struct snapshot;
struct worker;

/* `worker` is worker 0. NULL when memory is out. */
struct catalogs *catalogs_new(struct worker *worker, struct shared *shared);

/* After its loop has ended, or before it has begun. */
void catalogs_free(struct catalogs *catalogs);

/* Sees whether the facts of a database still hold. What is known is told by MESSAGE_CATALOG to the
 * worker that asks, at once; news to all workers, later. Copies the name. */
void catalogs_ask(struct catalogs *catalogs, struct snapshot *snapshot, const char *database,
                  uint32_t asker);

/* Says in the log which databases have no login for their catalog. */
void catalogs_tell_missing(const struct catalogs *catalogs, const struct options *options);

#endif
