/* The admin console: the database "howdah", and its alias "pgbouncer". */
#ifndef POOL_ADMIN_H
#define POOL_ADMIN_H

#include <stdbool.h>
#include <stdint.h>

struct admin_task;
struct engine;
struct letter;
struct session;

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

void admin_free(struct engine *engine, struct session *session);
void admin_task_free(struct admin_task *task);

#endif
