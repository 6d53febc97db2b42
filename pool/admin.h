/* The admin console: the database "howdah", and its alias "pgbouncer".
 *
 *    message -> pool/admin_parse (statement) -> command of pool/commands.def -> task that visits
 *    every engine (pool/admin_task) -> its part of the work (pool/admin_action) or its rows
 *    (pool/show_*) -> answer, in the simple or the extended protocol (pool/admin_extended)
 *
 * What drivers say on connecting is answered at once (pool/admin_driver). A console that waits for
 * its task holds what it is sent meanwhile.
 */
#ifndef POOL_ADMIN_H
#define POOL_ADMIN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/handle.h"

struct admin_task;
struct engine;
struct letter;
struct session;

/* ACTION_SHUTDOWN's `worker`. */
enum shutdown_kind {
    SHUTDOWN_NOW,
    SHUTDOWN_SERVERS, /* sessions end after their transaction */
    SHUTDOWN_CLIENTS, /* sessions end when their clients leave */
};

/* Whether that name is the console's, and no pool's. */
bool admin_is_database(const char *name);

/* The user has proven who it is; lets it in if it may open the console. */
void admin_open(struct engine *engine, struct session *session, const char *user);

/* Takes one message from the front; as take functions of pool/session.h do. */
uint32_t admin_take(struct engine *engine, struct session *session, uint8_t *at, uint32_t have,
                    uint32_t *ret_whole);

/* A command visits this engine, or has come home; owns the letter. */
void admin_letter(struct engine *engine, struct letter *letter);

/* The reload that the session asked for is done, or was refused. */
void admin_reload_done(struct engine *engine, struct session *session, const char *why_not);

/* The session's timer: looks again whether what a command waits for has happened. */
void admin_timer(struct engine *engine, struct session *session);

/* A CancelRequest with the console's key: a PAUSE, SUSPEND or WAIT_CLOSE that waits ends with
 * 57014, and what it has paused goes on. Other commands take no time worth it. */
void admin_cancel(struct engine *engine, struct session *session);

/* The name of a console's user. */
const char *admin_user(const struct session *session);

/* The ptr of a connection in SHOW CLIENTS and SERVERS: never given twice in the life of a process,
 * as far as generations go. */
uint64_t admin_pointer(uint32_t worker, struct handle handle);

void admin_free(struct engine *engine, struct session *session);
void admin_task_free(struct admin_task *task);

#endif
