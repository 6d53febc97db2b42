/* What SHOW finds at each engine (pool/commands.def): adds rows to the task's table. */
#ifndef POOL_SHOW_H
#define POOL_SHOW_H

#include <stdint.h>

#include "base/handle.h"

struct admin_task;
struct engine;
struct origin;
struct pool;

/* One for each command, and what its rows become at the end; an error is left in the task. */
void show_active_sockets(struct engine *engine, struct admin_task *task);
void show_clients(struct engine *engine, struct admin_task *task);
void show_config(struct engine *engine, struct admin_task *task);
void show_databases(struct engine *engine, struct admin_task *task);
void show_failovers(struct engine *engine, struct admin_task *task);
void show_help(struct engine *engine, struct admin_task *task);
void show_dns_hosts(struct engine *engine, struct admin_task *task);
void show_lists(struct engine *engine, struct admin_task *task);
void show_lists_finish(struct engine *engine, struct admin_task *task);
void show_mem(struct engine *engine, struct admin_task *task);
void show_nothing(struct engine *engine, struct admin_task *task);
void show_pins(struct engine *engine, struct admin_task *task);
void show_pools(struct engine *engine, struct admin_task *task);
void show_pools_finish(struct engine *engine, struct admin_task *task);
void show_prepared(struct engine *engine, struct admin_task *task);
void show_replicas(struct engine *engine, struct admin_task *task);
void show_replicas_finish(struct engine *engine, struct admin_task *task);
void show_servers(struct engine *engine, struct admin_task *task);
void show_sockets(struct engine *engine, struct admin_task *task);
void show_state(struct engine *engine, struct admin_task *task);
void show_stats(struct engine *engine, struct admin_task *task);
void show_stats_finish(struct engine *engine, struct admin_task *task);
void show_stats_averages_finish(struct engine *engine, struct admin_task *task);
void show_stats_totals_finish(struct engine *engine, struct admin_task *task);
void show_totals_finish(struct engine *engine, struct admin_task *task);
void show_users(struct engine *engine, struct admin_task *task);
void show_version(struct engine *engine, struct admin_task *task);

/* Ends a period of averages and begins the next; the engine calls it when stats_due_us has come. */
void show_stats_period(struct engine *engine);

enum { SHOW_TIME_BYTES = 48, SHOW_ADDRESS_BYTES = 64 };

/* A moment of the engine's clock as PgBouncer writes it: seconds, UTC. */
void show_format_time(const struct engine *engine, uint64_t at_us, char text[SHOW_TIME_BYTES]);

/* An address without its port; "unix" for a Unix socket. */
void show_format_address(const struct origin *origin, char text[SHOW_ADDRESS_BYTES]);

/* "session", "transaction" or "statement". */
const char *show_pool_mode(int mode);

#endif
