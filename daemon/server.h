/* The process: its workers, its listeners, and the control that keeps them (reload, drain,
 * secrets).
 *
 * The control has no thread of its own: it lives on worker 0's loop, does what does not block, and
 * leaves what does (reading files, libpq) to the thread pool.
 *
 *   starting -> serving -> draining -> ended
 *                  ^  |        |           SIGTERM, SIGINT, SHUTDOWN: drain; a second one: end
 *                  +--+        |           SIGHUP, RELOAD: a new snapshot for every worker, or none
 *                 reload       +-> ended   all sessions gone, or shutdown_timeout
 */
#ifndef DAEMON_SERVER_H
#define DAEMON_SERVER_H

#include "config/config.h"
#include "pool/engine.h"

struct database_options;
struct log;
struct message;
struct server;
struct server_options;
struct worker;

/* Serves the configuration until it is told to end. The process's exit code: 0 done, 1 failure at
 * run time, 2 bad configuration. */
int server_run(const struct config_sources *sources, struct log *log);

/* On worker 0's thread: a message to the control. */
void server_control(struct server *server, const struct message *message);

/* An accepted client goes to the worker with the fewest. Takes the descriptor over. */
void server_hand_out(struct server *server, int fd, const struct origin *origin);

/* On worker 0's thread: the server of a database that is asked for catalogs and secrets. */
const struct server_options *server_to_ask(struct server *server,
                                           const struct database_options *database);

/* The workers by index. */
struct worker *server_worker(struct server *server, uint32_t index);

#endif
