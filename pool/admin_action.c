#include "pool/admin_action.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/error.h"
#include "pool/admin.h"
#include "pool/admin_gate.h"
#include "pool/admin_task.h"
#include "pool/cancel.h"
#include "pool/core.h"
#include "pool/lend.h"
#include "pool/link.h"
#include "pool/modes.h"
#include "pool/options.h"
#include "pool/pool.h"
#include "pool/session.h"
#include "protocol/report.h"

static void no_memory(struct admin_task *task)
{
    admin_task_fail(task, ERR_NO_MEMORY, NULL, "%s", error_message(ERR_NO_MEMORY));
}

/* Whether the task is about this pool: all pools when it names no database. */
static bool concerns(const struct admin_task *task, const struct pool *pool)
{
    return task->argument == NULL || strcmp(task->argument, pool->name) == 0;
}

/* Checks the database that the task names; at the first engine only, which tells for all. */
static bool check_database(struct engine *engine, struct admin_task *task)
{
    const char *name = task->argument;
    if (engine->worker != task->home || task->round > 0 || name == NULL) {
        return true;
    }
    if (admin_is_database(name)) {
        admin_task_fail(task, ERR_UNSUPPORTED, NULL, "this cannot be done to the admin database");
        return false;
    }
    if (options_find_database(engine->options, name) == NULL &&
        gate_find(&engine->gates, name) == NULL) {
        admin_task_fail(task, ERR_NO_DATABASE, "SHOW DATABASES lists those that there are.",
                        "no such database: %s", name);
        return false;
    }
    return true;
}

static void apply_gates(struct engine *engine)
{
    LIST_EACH (&engine->pool_list, node) {
        gates_apply(&engine->gates, CONTAINER_OF(node, struct pool, listed), false);
    }
}

static void close_idle(struct engine *engine, struct pool *pool)
{
    LIST_EACH (&pool->idle, node) {
        pool_close_idle(engine, pool, CONTAINER_OF(node, struct link, in_pool));
    }
}

/* --- PAUSE, RESUME, SUSPEND ------------------------------------------------------------------- */

/* Whether somebody has ended the pause that the task waits for. */
static bool still_paused(const struct engine *engine, const struct admin_task *task)
{
    return task->argument == NULL ? engine->gates.paused
                                  : gate_paused(&engine->gates, task->argument);
}

static bool set_paused(struct engine *engine, struct admin_task *task)
{
    if (task->argument == NULL) {
        engine->gates.paused = true;
        return true;
    }
    struct gate *gate = gate_get(&engine->gates, task->argument);
    if (gate == NULL) {
        no_memory(task);
        return false;
    }
    gate->paused = true;
    return true;
}

void admin_pause(struct engine *engine, struct admin_task *task)
{
    if (!check_database(engine, task)) {
        return;
    }
    if (task->round == 0) {
        if (engine->worker == task->home && (engine->gates.paused || engine->gates.suspended)) {
            admin_task_fail(task, ERR_NOT_IN_STATE, NULL, "already suspended/paused");
            return;
        }
        if (!set_paused(engine, task)) {
            return;
        }
        apply_gates(engine);
    } else if (!still_paused(engine, task)) {
        return;
    }
    LIST_EACH (&engine->pool_list, node) {
        struct pool *pool = CONTAINER_OF(node, struct pool, listed);
        if (concerns(task, pool)) {
            close_idle(engine, pool);
            task->busy += pool->busy_count + pool->dialing_count;
        }
    }
}

/* What the gates have held back goes on. */
static void serve_all(struct engine *engine)
{
    apply_gates(engine);
    LIST_EACH (&engine->pool_list, node) {
        struct pool *pool = CONTAINER_OF(node, struct pool, listed);
        if (!pool->paused) {
            lend_escalate(engine, pool, true);
            lend_serve(engine, pool);
            pool_wake_by(engine, pool, engine->now_us);
        }
    }
}

/* The shell asks engine_reading of every connection again. */
static void reread_all(struct engine *engine)
{
    for (uint32_t slot = 0; slot < engine->connections.count; slot++) {
        struct conn *conn = engine->connections.slots[slot].object;
        if (conn != NULL && !conn->closing) {
            conn_todo(engine, conn, TODO_READING);
        }
    }
}

static void resume_all(struct engine *engine, struct admin_task *task)
{
    bool any = engine->gates.paused || engine->gates.suspended;
    LIST_EACH (&engine->gates.named, node) {
        struct gate *gate = CONTAINER_OF(node, struct gate, node);
        any = any || gate->paused;
        gate->paused = false;
    }
    if (!any && engine->worker == task->home) {
        admin_task_fail(task, ERR_NOT_IN_STATE, NULL, "nothing is paused or suspended");
        return;
    }
    engine->gates.paused = false;
    if (engine->gates.suspended) {
        engine->gates.suspended = false;
        reread_all(engine);
    }
    serve_all(engine);
}

void admin_resume(struct engine *engine, struct admin_task *task)
{
    if (!check_database(engine, task)) {
        return;
    }
    if (task->argument == NULL) {
        resume_all(engine, task);
        return;
    }
    struct gate *gate = gate_find(&engine->gates, task->argument);
    if ((gate == NULL || !gate->paused) && engine->worker == task->home) {
        admin_task_fail(task, ERR_NOT_IN_STATE, NULL, "database %s is not paused", task->argument);
        return;
    }
    if (gate != NULL) {
        gate->paused = false;
    }
    serve_all(engine);
}

/* Only what the cancelled command itself has done: pauses of others stay. */
void admin_undo_pause(struct engine *engine, struct admin_task *task)
{
    struct gate *gate = task->argument == NULL ? NULL : gate_find(&engine->gates, task->argument);
    if (gate != NULL) {
        gate->paused = false;
    } else if (engine->gates.paused) {
        engine->gates.paused = false;
    } else if (engine->gates.suspended) {
        engine->gates.suspended = false;
        reread_all(engine);
    }
    serve_all(engine);
}

void admin_suspend(struct engine *engine, struct admin_task *task)
{
    if (task->round == 0) {
        if (engine->worker == task->home && (engine->gates.paused || engine->gates.suspended)) {
            admin_task_fail(task, ERR_NOT_IN_STATE, NULL, "already suspended/paused");
            return;
        }
        engine->gates.suspended = true;
        apply_gates(engine);
        reread_all(engine);
    } else if (!engine->gates.suspended) {
        return;
    }
    for (uint32_t slot = 0; slot < engine->connections.count; slot++) {
        struct conn *conn = engine->connections.slots[slot].object;
        if (conn != NULL && !conn->closing && conn->tx.bytes > 0 &&
            (engine->worker != task->home || !handle_equal(conn->handle, task->asker))) {
            if (conn->kind == CONN_CLIENT) {
                conn_todo(engine, conn, TODO_SEND); /* told along: its Sync is not read any more */
            }
            task->busy++;
        }
    }
}

/* --- DISABLE, ENABLE, RECONNECT, WAIT_CLOSE --------------------------------------------------- */

static void set_disabled(struct engine *engine, struct admin_task *task, bool disabled)
{
    if (!check_database(engine, task)) {
        return;
    }
    struct gate *gate = gate_get(&engine->gates, task->argument);
    if (gate == NULL) {
        no_memory(task);
        return;
    }
    gate->disabled = disabled;
    apply_gates(engine);
}

void admin_disable(struct engine *engine, struct admin_task *task)
{
    set_disabled(engine, task, true);
}

void admin_enable(struct engine *engine, struct admin_task *task)
{
    set_disabled(engine, task, false);
}

void admin_reconnect(struct engine *engine, struct admin_task *task)
{
    if (!check_database(engine, task)) {
        return;
    }
    if (task->argument == NULL) {
        engine->gates.epoch++;
    } else {
        struct gate *gate = gate_get(&engine->gates, task->argument);
        if (gate == NULL) {
            no_memory(task);
            return;
        }
        gate->epoch++;
    }
    LIST_EACH (&engine->pool_list, node) {
        struct pool *pool = CONTAINER_OF(node, struct pool, listed);
        if (concerns(task, pool)) {
            pool->epoch++;
            modes_forget(pool);
            close_idle(engine, pool);
        }
    }
}

static uint32_t count_old(const struct pool *pool)
{
    uint32_t count = 0;
    LIST_EACH (&pool->busy, node) {
        count += CONTAINER_OF(node, struct link, in_pool)->epoch != pool->epoch;
    }
    LIST_EACH (&pool->dialing, node) {
        count += CONTAINER_OF(node, struct link, in_pool)->epoch != pool->epoch;
    }
    return count;
}

void admin_wait_close(struct engine *engine, struct admin_task *task)
{
    if (!check_database(engine, task)) {
        return;
    }
    LIST_EACH (&engine->pool_list, node) {
        struct pool *pool = CONTAINER_OF(node, struct pool, listed);
        if (concerns(task, pool)) {
            task->busy += count_old(pool);
        }
    }
}

/* --- KILL, KILL_CLIENT ------------------------------------------------------------------------ */

static void kill_session(struct engine *engine, struct session *session)
{
    struct report report = {.code = ERR_SHUTTING_DOWN};
    session_fail(engine, session, &report);
}

static void kill_links(struct engine *engine, struct pool *pool)
{
    close_idle(engine, pool);
    LIST_EACH (&pool->busy, node) {
        link_fail(engine, CONTAINER_OF(node, struct link, in_pool), ERR_SHUTTING_DOWN, NULL);
    }
    LIST_EACH (&pool->dialing, node) {
        link_fail(engine, CONTAINER_OF(node, struct link, in_pool), ERR_SHUTTING_DOWN, NULL);
    }
}

void admin_kill(struct engine *engine, struct admin_task *task)
{
    if (!check_database(engine, task) || !set_paused(engine, task)) {
        return;
    }
    apply_gates(engine);
    LIST_EACH (&engine->pool_list, node) {
        struct pool *pool = CONTAINER_OF(node, struct pool, listed);
        if (concerns(task, pool)) {
            kill_links(engine, pool);
        }
    }
    for (uint32_t slot = 0; slot < engine->connections.count; slot++) {
        struct conn *conn = engine->connections.slots[slot].object;
        if (conn == NULL || conn->kind != CONN_CLIENT || conn->closing) {
            continue;
        }
        struct session *session = (struct session *)conn;
        if (session->pool != NULL && concerns(task, session->pool)) {
            kill_session(engine, session);
        }
    }
}

/* The number that KILL_CLIENT was given: decimal an id, hexadecimal a ptr of SHOW CLIENTS. */
static bool names_client(const struct engine *engine, const char *text, struct handle handle)
{
    char *end;
    bool is_pointer = strncasecmp(text, "0x", 2) == 0;
    uint64_t number = strtoull(text, &end, is_pointer ? 16 : 10);
    uint64_t own = is_pointer ? admin_pointer(engine->worker, handle)
                              : cancel_virtual_pid(engine->worker, handle);
    return *end == '\0' && number == own;
}

void admin_kill_client(struct engine *engine, struct admin_task *task)
{
    if (task->argument[0] < '0' || task->argument[0] > '9') {
        admin_task_fail(task, ERR_BAD_VALUE, "Use an id or a ptr that SHOW CLIENTS shows.",
                        "invalid client id: %s", task->argument);
        return;
    }
    for (uint32_t slot = 0; slot < engine->connections.count && !task->found; slot++) {
        struct conn *conn = engine->connections.slots[slot].object;
        bool own =
            conn != NULL && engine->worker == task->home && handle_equal(conn->handle, task->asker);
        if (conn == NULL || own || conn->kind != CONN_CLIENT || conn->closing ||
            !names_client(engine, task->argument, conn->handle)) {
            continue;
        }
        task->found = true;
        kill_session(engine, (struct session *)conn);
    }
}

void admin_kill_client_finish(struct engine *engine, struct admin_task *task)
{
    (void)engine;
    if (!task->found) {
        admin_task_fail(task, ERR_BAD_VALUE, "SHOW CLIENTS lists those that there are.",
                        "client not found: %s", task->argument);
    }
}

/* --- what the shell does ---------------------------------------------------------------------- */

static void ask_reload(struct engine *engine, struct admin_task *task, const char *key,
                       const char *value)
{
    struct action *action = engine_action(engine, ACTION_RELOAD);
    if (action == NULL) {
        no_memory(task);
        return;
    }
    action->handle = task->asker;
    snprintf(action->text, sizeof(action->text), "%s%s%s", key, key[0] == '\0' ? "" : "=", value);
}

void admin_reload(struct engine *engine, struct admin_task *task)
{
    ask_reload(engine, task, "", "");
}

void admin_set(struct engine *engine, struct admin_task *task)
{
    if (strlen(task->argument) + strlen(task->value) + 2 > ACTION_TEXT_BYTES) {
        admin_task_fail(task, ERR_LIMIT, "Write it into the file and use RELOAD.",
                        "key and value are too long");
        return;
    }
    ask_reload(engine, task, task->argument, task->value);
}

static void ask_shutdown(struct engine *engine, struct admin_task *task, enum shutdown_kind kind)
{
    struct action *action = engine_action(engine, ACTION_SHUTDOWN);
    if (action == NULL) {
        no_memory(task);
        return;
    }
    engine_log(engine, LOG_NOTICE, "%s by an administrator", task->command->words);
    action->worker = kind;
    task->unanswered = kind == SHUTDOWN_NOW;
}

void admin_shutdown(struct engine *engine, struct admin_task *task)
{
    ask_shutdown(engine, task, SHUTDOWN_NOW);
}

void admin_shutdown_servers(struct engine *engine, struct admin_task *task)
{
    ask_shutdown(engine, task, SHUTDOWN_SERVERS);
}

void admin_shutdown_clients(struct engine *engine, struct admin_task *task)
{
    ask_shutdown(engine, task, SHUTDOWN_CLIENTS);
}
