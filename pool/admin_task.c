#include "pool/admin_task.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/assert.h"
#include "base/error.h"
#include "pool/account.h"
#include "pool/admin.h"
#include "pool/core.h"
#include "pool/letter.h"
#include "pool/session.h"

struct admin_task *admin_task_new(struct engine *engine, struct session *session,
                                  struct admin_statement *statement)
{
    struct admin_task *task = calloc(1, sizeof(*task));
    if (task == NULL) {
        return NULL;
    }
    task->command = statement->command;
    task->argument = statement->argument;
    task->value = statement->value;
    statement->argument = statement->value = NULL;
    task->asker = session->conn.handle;
    task->home = engine->worker;
    admin_table_init(&task->table, task->command->columns, task->command->column_count);
    return task;
}

void admin_task_free(struct admin_task *task)
{
    if (task != NULL) {
        free(task->argument);
        free(task->value);
        admin_table_fini(&task->table);
        free(task);
    }
}

void admin_task_fail(struct admin_task *task, int code, const char *hint, const char *format, ...)
{
    va_list arguments;
    if (task->error.code != 0) {
        return;
    }
    task->error.code = code;
    task->error.hint = hint;
    va_start(arguments, format);
    vsnprintf(task->error.message, sizeof(task->error.message), format, arguments);
    va_end(arguments);
}

/* Owns the task; a letter that cannot be written leaves the asker waiting, so it is told here. */
static bool send_on(struct engine *engine, struct admin_task *task)
{
    uint32_t next = (engine->worker + 1) % shared_worker_count(engine->shared);
    struct letter *letter = letter_new(LETTER_ADMIN, next, NULL, NULL);
    if (letter == NULL) {
        return false;
    }
    letter->task = task;
    letter_post(engine, next, letter);
    return true;
}

enum admin_progress admin_task_home(struct engine *engine, struct admin_task *task)
{
    if (task->table.failed) {
        admin_task_fail(task, ERR_NO_MEMORY, NULL, "%s", error_message(ERR_NO_MEMORY));
    }
    if (task->error.code != 0) {
        return PROGRESS_DONE;
    }
    if (task->command->scope == SCOPE_UNTIL_DONE && task->busy > 0) {
        return PROGRESS_PARKED;
    }
    if (task->command->finish != NULL) {
        task->command->finish(engine, task);
    }
    return PROGRESS_DONE;
}

enum admin_progress admin_task_begin(struct engine *engine, struct admin_task *task)
{
    const struct admin_command *command = task->command;
    ASSERT(engine->worker == task->home);
    task->busy = 0;
    command->visit(engine, task);
    if (task->error.code != 0) {
        return PROGRESS_DONE;
    }
    switch (command->scope) {
    case SCOPE_SHELL:
        return PROGRESS_PARKED;
    case SCOPE_HERE:
        return admin_task_home(engine, task);
    case SCOPE_EVERYWHERE:
    case SCOPE_UNTIL_DONE:
        if (shared_worker_count(engine->shared) == 1) {
            return admin_task_home(engine, task);
        }
        if (!send_on(engine, task)) {
            admin_task_fail(task, ERR_NO_MEMORY, NULL, "%s", error_message(ERR_NO_MEMORY));
            return PROGRESS_DONE;
        }
        return PROGRESS_AWAY;
    }
    UNREACHABLE();
}

void admin_task_visit(struct engine *engine, struct admin_task *task)
{
    task->command->visit(engine, task);
    if (!send_on(engine, task)) {
        engine_log(engine, LOG_ERROR, "out of memory: %s was not finished", task->command->words);
        admin_task_free(task);
    }
}
