/* One console: the insides that pool/admin.c and pool/admin_extended.c share. */
#ifndef POOL_ADMIN_CONSOLE_H
#define POOL_ADMIN_CONSOLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/list.h"
#include "pool/admin_parse.h"
#include "pool/admin_table.h"

struct admin_task;
struct engine;
struct session;

struct admin_prepared {
    struct list node;
    char *name, *text;
    uint32_t *types; /* as Parse gives them; 0 = not said */
    uint32_t type_count;
};

struct admin_portal {
    struct list node;
    char *name;
    struct admin_statement statement;
    uint16_t *formats; /* of results */
    uint32_t format_count;
    bool executed;             /* `result` is there */
    struct admin_table result; /* of a command; a driver's question has its own in the statement */
    uint32_t row;              /* the next to be sent */
};

struct admin {
    char *user, *database;
    char status;   /* of ReadyForQuery: 'I', 'T', 'E' */
    bool waiting;  /* for a task: no message is taken */
    bool skipping; /* after an error in the extended protocol, up to Sync */
    bool canceled; /* a CancelRequest has come for the command that is waited for */

    char *script; /* of a simple query; NULL when none is under way */
    size_t script_bytes, script_at;

    struct admin_task *task;     /* parked: between rounds, or while the shell works */
    struct admin_portal *portal; /* being executed; NULL: the task is a simple query's */
    uint32_t portal_rows_max;    /* 0 = all */

    struct list prepared, portals;
    uint32_t prepared_count, portal_count;
};

/* Runs a command for the console. True when its task is done: *ret_task is the caller's then; NULL
 * with the error told. */
bool admin_run(struct engine *engine, struct session *session, struct admin_statement *statement,
               struct admin_task **ret_task);

/* Tells an error and does to a transaction what an error does. */
void admin_tell_error(struct engine *engine, struct session *session,
                      const struct admin_error *error);

/* What a driver's statement does besides answering. */
void admin_apply_effect(struct admin *admin, const struct admin_statement *statement);

/* Messages of our own. */
void admin_write_rows(struct engine *engine, struct session *session,
                      const struct admin_table *table, uint32_t from, uint32_t to,
                      const uint16_t *formats, uint32_t format_count);
void admin_write_complete(struct engine *engine, struct session *session, const char *tag,
                          size_t tag_bytes);
void admin_write_ready(struct engine *engine, struct session *session);
struct admin_who admin_who(const struct engine *engine, const struct session *session);

/* Parse, Bind, Describe, Execute, Close (pool/admin_extended.c). */
void admin_extended(struct engine *engine, struct session *session, uint8_t type,
                    const uint8_t *body, uint32_t body_bytes);

/* The task of an Execute is done; owns it. */
void admin_extended_done(struct engine *engine, struct session *session, struct admin_task *task);

/* Forgets portals, and the prepared statement of that name (NULL: all). */
void admin_close_portals(struct admin *admin);
void admin_close_prepared(struct admin *admin, const char *name);

#endif
