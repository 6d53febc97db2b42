/* SHOW CONFIG, HELP, MEM, PREPARED, STATE, VERSION, and those that are always empty. */
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/limits.h"
#include "pool/account.h"
#include "pool/admin_gate.h"
#include "pool/admin_task.h"
#include "pool/core.h"
#include "pool/link.h"
#include "pool/options.h"
#include "pool/pool.h"
#include "pool/session.h"
#include "pool/show.h"

void show_nothing(struct engine *engine, struct admin_task *task)
{
    (void)engine, (void)task;
}

/* Nothing is kept to dial by, so no time to live is left. */
void show_dns_hosts(struct engine *engine, struct admin_task *task)
{
    struct shared_host host;
    for (uint32_t i = 0; shared_host_at(engine->shared, i, &host); i++) {
        admin_table_text(&task->table, host.name);
        admin_table_number(&task->table, 0);
        admin_table_text(&task->table, host.addresses);
    }
}

void show_version(struct engine *engine, struct admin_task *task)
{
    (void)engine;
    admin_table_text(&task->table, "Howdah " HOWDAH_VERSION);
}

void show_state(struct engine *engine, struct admin_task *task)
{
    const struct gates *gates = &engine->gates;
    const bool is[] = {!gates->paused && !gates->suspended, gates->paused, gates->suspended};
    static const char *const names[] = {"active", "paused", "suspended"};
    for (size_t i = 0; i < sizeof(is) / sizeof(is[0]); i++) {
        admin_table_text(&task->table, names[i]);
        admin_table_text(&task->table, is[i] ? "yes" : "no");
    }
}

/* What a value in JSON says, without the quotes of a string. */
static void add_json(struct admin_table *table, const char *json)
{
    char text[512];
    size_t bytes = json == NULL ? 0 : strlen(json);
    if (json == NULL || strcmp(json, "null") == 0) {
        admin_table_text(table, json == NULL ? NULL : "");
    } else if (bytes >= 2 && json[0] == '"' && bytes - 2 < sizeof(text) &&
               memchr(json, '\\', bytes) == NULL) {
        memcpy(text, json + 1, bytes - 2);
        text[bytes - 2] = '\0';
        admin_table_text(table, text);
    } else {
        admin_table_text(table, json);
    }
}

void show_config(struct engine *engine, struct admin_task *task)
{
    const struct options *options = engine->options;
    struct config_row *rows;
    size_t count;
    if (options->list_rows == NULL) {
        return;
    }
    int code = options->list_rows(options, &rows, &count);
    if (code != 0) {
        admin_task_fail(task, code, NULL, "%s", error_message(code));
        return;
    }
    for (size_t i = 0; i < count; i++) {
        admin_table_text(&task->table, rows[i].key);
        add_json(&task->table, rows[i].value);
        add_json(&task->table, rows[i].fallback);
        admin_table_text(&task->table, rows[i].changeable ? "yes" : "no");
    }
    options->free_rows(rows, count);
}

static const char *shape_text(enum admin_shape shape)
{
    switch (shape) {
    case SHAPE_NOTHING:
        break;
    case SHAPE_DATABASE:
        return " database";
    case SHAPE_MAYBE_DATABASE:
        return " [database]";
    case SHAPE_CLIENT:
        return " id";
    case SHAPE_SETTING:
        return " key = value";
    }
    return "";
}

void show_help(struct engine *engine, struct admin_task *task)
{
    (void)engine;
    for (size_t i = 0; i < admin_command_count(); i++) {
        const struct admin_command *command = admin_command_at(i);
        char text[128];
        snprintf(text, sizeof(text), "%s%s", command->words, shape_text(command->shape));
        admin_table_text(&task->table, text);
        admin_table_text(&task->table, command->role == ROLE_STATS ? "stats" : "admin");
        admin_table_text(&task->table, command->help);
    }
}

/* --- MEM -------------------------------------------------------------------------------------- */

static void add_mem(struct admin_table *table, const char *name, size_t size, uint64_t used,
                    uint64_t unused)
{
    admin_table_text(table, name);
    admin_table_number(table, (int64_t)size);
    admin_table_number(table, (int64_t)used);
    admin_table_number(table, (int64_t)unused);
    admin_table_number(table, (int64_t)(size * (used + unused)));
}

static void add_slab(struct admin_table *table, const char *name, const struct slab *slab)
{
    add_mem(table, name, slab->object_bytes, slab->used, slab->total - slab->used);
}

void show_mem(struct engine *engine, struct admin_task *task)
{
    const struct blocks *blocks = &engine->blocks;
    struct admin_table *table = &task->table;
    uint64_t pools = 0, idle_bytes = (uint64_t)blocks->free_count * LIMIT_BLOCK_BYTES +
                                     (uint64_t)blocks->small_free_count * blocks->small_capacity;
    LIST_EACH (&engine->pool_list, node) {
        pools++;
    }
    add_mem(table, "pool_cache", sizeof(struct pool), pools, 0);
    add_mem(table, "server_cache", sizeof(struct link), engine->link_count, 0);
    add_slab(table, "client_cache", &engine->sessions);
    /* In bytes: receive buffers are of several sizes. */
    add_mem(table, "iobuf_cache", 1,
            blocks->allocated_bytes > idle_bytes ? blocks->allocated_bytes - idle_bytes : 0,
            idle_bytes);
    add_slab(table, "piece_cache", &blocks->pieces);
    add_mem(table, "connection_slots", sizeof(struct handle_slot), engine->connections.count,
            engine->connections.capacity - engine->connections.count);
    add_mem(table, "settings_cache", sizeof(struct settings), engine->settings.sets.count, 0);
    add_mem(table, "statement_cache", sizeof(struct statement), engine->statements.statements.count,
            0);
}

/* --- PREPARED --------------------------------------------------------------------------------- */

void show_prepared(struct engine *engine, struct admin_task *task)
{
    struct admin_table *table = &task->table;
    struct map_node *node = NULL;
    while ((node = map_walk(&engine->statements.statements, node)) != NULL) {
        const struct statement *statement = CONTAINER_OF(node, struct statement, node);
        char name[STATEMENT_NAME_BYTES];
        struct reader reader = reader_of(statement->body, statement->body_bytes);
        const char *query = reader_cstr(&reader);
        statement_name(statement->id, name);
        admin_table_text(table, name);
        admin_table_number(table, statement->references);
        admin_table_number(table, statement->body_bytes);
        admin_table_text(table, query);
        admin_table_number(table, reader_u16(&reader));
        admin_table_number(table, engine->worker);
    }
}
