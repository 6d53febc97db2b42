/* What the commands that change something do at each engine (pool/commands.def). */
#ifndef POOL_ADMIN_ACTION_H
#define POOL_ADMIN_ACTION_H

struct admin_task;
struct engine;

/* One for each command; an error is left in the task. */
void admin_disable(struct engine *engine, struct admin_task *task);
void admin_enable(struct engine *engine, struct admin_task *task);
void admin_kill(struct engine *engine, struct admin_task *task);
void admin_kill_client(struct engine *engine, struct admin_task *task);
void admin_kill_client_finish(struct engine *engine, struct admin_task *task);
void admin_pause(struct engine *engine, struct admin_task *task);
void admin_reconnect(struct engine *engine, struct admin_task *task);
void admin_reload(struct engine *engine, struct admin_task *task);
void admin_resume(struct engine *engine, struct admin_task *task);
void admin_set(struct engine *engine, struct admin_task *task);
void admin_shutdown(struct engine *engine, struct admin_task *task);
void admin_shutdown_clients(struct engine *engine, struct admin_task *task);
void admin_shutdown_servers(struct engine *engine, struct admin_task *task);
void admin_suspend(struct engine *engine, struct admin_task *task);
void admin_undo_pause(struct engine *engine, struct admin_task *task); /* a cancelled PAUSE */
void admin_wait_close(struct engine *engine, struct admin_task *task);

#endif
