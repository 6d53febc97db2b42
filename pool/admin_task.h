/* A command on its way through the engines.
 *
 * Engines share nothing, so a command visits them in turn, its asker's first, as a letter; each
 * adds its rows or does its part, and the asker's engine answers. With one worker no letter is
 * written.
 */
#ifndef POOL_ADMIN_TASK_H
#define POOL_ADMIN_TASK_H

#include <stdbool.h>
#include <stdint.h>

#include "base/handle.h"
#include "pool/admin_command.h"
#include "pool/admin_parse.h"
#include "pool/admin_table.h"

struct engine;
struct session;

struct admin_task {
    const struct admin_command *command;
    char *argument, *value; /* as in struct admin_statement */
    struct handle asker;    /* a session of engine `home` */
    uint32_t home;
    uint32_t round;           /* of SCOPE_UNTIL_DONE: 0 is the first */
    uint32_t busy;            /* what this round has found that is still to be waited for */
    bool found;               /* the client that KILL_CLIENT names */
    bool canceled;            /* by a CancelRequest: ends with 57014 */
    bool unanswered;          /* the command ends the process: nothing is said */
    struct admin_error error; /* code 0: none */
    struct admin_table table;
};

/* Takes the arguments out of the statement. NULL when memory is out. */
struct admin_task *admin_task_new(struct engine *engine, struct session *session,
                                  struct admin_statement *statement);

enum admin_progress {
    PROGRESS_DONE,
    PROGRESS_AWAY,   /* on its way: no longer the caller's */
    PROGRESS_PARKED, /* waits for the next round, or for the shell */
};

/* Begins a round at the asker's engine. */
enum admin_progress admin_task_begin(struct engine *engine, struct admin_task *task);

/* The task has arrived at this engine, which is not the asker's: does its part and sends it on. */
void admin_task_visit(struct engine *engine, struct admin_task *task);

/* All engines were visited. DONE, or PARKED when another round is needed. */
enum admin_progress admin_task_home(struct engine *engine, struct admin_task *task);

/* Ends the task with an error; the first one counts. */
void admin_task_fail(struct admin_task *task, int code, const char *hint, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

#endif
