/* The table of commands (commands.def), as data, and who may give which. */
#ifndef POOL_ADMIN_COMMAND_H
#define POOL_ADMIN_COMMAND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "pool/admin_table.h"

struct admin_task;
struct engine;

enum admin_shape {
    SHAPE_NOTHING,
    SHAPE_DATABASE,
    SHAPE_MAYBE_DATABASE,
    SHAPE_CLIENT,
    SHAPE_SETTING,
};

/* Each may what those before it may; nobody may anything. */
enum admin_role { ROLE_NOBODY, ROLE_STATS, ROLE_ADMIN };

enum admin_scope { SCOPE_HERE, SCOPE_EVERYWHERE, SCOPE_UNTIL_DONE, SCOPE_SHELL };

typedef void admin_visit(struct engine *engine, struct admin_task *task);

struct admin_command {
    const char *words; /* in capitals, one space between */
    enum admin_shape shape;
    enum admin_role role;
    enum admin_scope scope;
    admin_visit *visit, *finish;                /* finish may be NULL */
    const struct admin_column *columns, *shown; /* shown: what the client gets to see */
    uint32_t column_count, shown_count;         /* 0: the command has no rows */
    const char *help;
};

/* How many rows the table has, and one of them. */
size_t admin_command_count(void);
const struct admin_command *admin_command_at(size_t index);

/* Whether somebody of that role may give the command: nobody, unless its row says so. */
bool admin_command_allowed(const struct admin_command *command, enum admin_role role);

/* The first word of `words`: the tag of its CommandComplete. Bytes, without a NUL. */
size_t admin_command_tag_bytes(const struct admin_command *command);

#endif
