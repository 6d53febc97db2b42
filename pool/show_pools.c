/* SHOW POOLS, DATABASES, USERS, LISTS. */
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "pool/account.h"
#include "pool/admin_gate.h"
#include "pool/admin_task.h"
#include "pool/core.h"
#include "pool/link.h"
#include "pool/options.h"
#include "pool/pool.h"
#include "pool/session.h"
#include "pool/show.h"

const char *show_pool_mode(int mode)
{
    switch ((enum pool_mode)mode) {
    case POOL_SESSION:
        return "session";
    case POOL_TRANSACTION:
        return "transaction";
    case POOL_STATEMENT:
        return "statement";
    }
    UNREACHABLE();
}

/* --- POOLS ------------------------------------------------------------------------------------ */

enum { COLUMN_MAXWAIT = 13, COLUMN_MAXWAIT_US = 14 };

static uint64_t longest_wait_us(const struct engine *engine, const struct pool *pool)
{
    const struct list *first = list_first(&pool->waiting);
    return first == NULL
               ? 0
               : engine->now_us - CONTAINER_OF(first, struct session, waiting)->wait_from_us;
}

struct link_counts {
    uint32_t active, canceled, reset;
};

static struct link_counts count_busy(const struct pool *pool)
{
    struct link_counts counts = {0};
    LIST_EACH (&pool->busy, node) {
        const struct link *link = CONTAINER_OF(node, struct link, in_pool);
        if (link->cancels > 0) {
            counts.canceled++;
        } else if (link->state == LINK_RESET) {
            counts.reset++;
        } else {
            counts.active++;
        }
    }
    return counts;
}

void show_pools(struct engine *engine, struct admin_task *task)
{
    struct admin_table *table = &task->table;
    LIST_EACH (&engine->pool_list, node) {
        const struct pool *pool = CONTAINER_OF(node, struct pool, listed);
        struct link_counts busy = count_busy(pool);
        int64_t wait_us = (int64_t)longest_wait_us(engine, pool);
        uint32_t waiting = pool->waiting_count;
        admin_table_text(table, pool->name);
        admin_table_text(table, pool->user);
        admin_table_number(table, pool->client_count > waiting ? pool->client_count - waiting : 0);
        admin_table_number(table, waiting);
        admin_table_number(table, 0); /* a CancelRequest never waits in line */
        admin_table_number(table, 0);
        admin_table_number(table, busy.active);
        admin_table_number(table, busy.canceled); /* each by a connection of its own */
        admin_table_number(table, busy.canceled);
        admin_table_number(table, pool->idle_count);
        admin_table_number(table, 0);
        admin_table_number(table, busy.reset);
        admin_table_number(table, pool->dialing_count);
        admin_table_number(table, wait_us); /* both whole until every engine was asked */
        admin_table_number(table, wait_us);
        admin_table_text(table, show_pool_mode(pool->limits.mode));
        admin_table_text(table, NULL);
        admin_table_number(table, atomic_load(&pool->account->pinned));
    }
}

void show_pools_finish(struct engine *engine, struct admin_task *task)
{
    (void)engine;
    for (uint32_t row = 0; row < task->table.row_count; row++) {
        int64_t wait_us = admin_table_number_at(&task->table, row, COLUMN_MAXWAIT);
        admin_table_set_number(&task->table, row, COLUMN_MAXWAIT, wait_us / 1000000);
        admin_table_set_number(&task->table, row, COLUMN_MAXWAIT_US, wait_us % 1000000);
    }
}

/* --- DATABASES -------------------------------------------------------------------------------- */

static uint32_t links_of(const struct pool *pool)
{
    return pool->idle_count + pool->busy_count + pool->dialing_count;
}

static void add_database(struct engine *engine, struct admin_table *table, const char *name,
                         const struct database_options *database, const struct pool *pool)
{
    const struct server_options *server = pool != NULL ? pool->server : &database->servers[0];
    const struct gate *gate = gate_find(&engine->gates, name);
    admin_table_text(table, name);
    admin_table_text(table, server->hostaddr != NULL ? server->hostaddr : server->host);
    admin_table_number(table, server->port);
    admin_table_text(table, server->dbname != NULL ? server->dbname : name);
    admin_table_text(table, server->user);
    admin_table_number(table, database->pool.size);
    admin_table_number(table, database->pool.min_idle);
    admin_table_number(table, database->pool.reserve);
    admin_table_number(table, database->pool.max_lifetime_ms / 1000);
    admin_table_text(table, show_pool_mode(database->pool.mode));
    admin_table_text(table, NULL);
    admin_table_number(table, database->max_server_connections);
    admin_table_number(table, pool == NULL ? 0 : links_of(pool));
    admin_table_number(table, 0); /* no limit by database */
    admin_table_number(table, pool == NULL ? 0 : pool->client_count);
    admin_table_number(table, gate_paused(&engine->gates, name));
    admin_table_number(table, gate != NULL && gate->disabled);
}

void show_databases(struct engine *engine, struct admin_task *task)
{
    const struct options *options = engine->options;
    for (uint32_t i = 0; i < options->database_count; i++) {
        const struct database_options *database = &options->databases[i];
        if (strcmp(database->name, "*") != 0 && database->server_count > 0) {
            add_database(engine, &task->table, database->name, database, NULL);
        }
    }
    LIST_EACH (&engine->pool_list, node) {
        const struct pool *pool = CONTAINER_OF(node, struct pool, listed);
        add_database(engine, &task->table, pool->name, pool->database, pool);
    }
}

/* --- USERS ------------------------------------------------------------------------------------ */

static void add_user(struct admin_table *table, const char *name, const struct user_options *user,
                     const struct pool *pool)
{
    char size[16];
    bool has_size = user != NULL && user->has_size;
    if (has_size) {
        snprintf(size, sizeof(size), "%u", user->size);
    }
    admin_table_text(table, name);
    admin_table_text(table, has_size ? size : NULL);
    admin_table_text(table, NULL); /* a user has no reserve of its own */
    admin_table_text(table, user != NULL && user->has_mode ? show_pool_mode(user->mode) : NULL);
    admin_table_number(table, user == NULL ? 0 : user->max_server_connections);
    admin_table_number(table, pool == NULL ? 0 : links_of(pool));
    admin_table_number(table, user == NULL ? 0 : user->max_clients);
    admin_table_number(table, pool == NULL ? 0 : pool->client_count);
}

void show_users(struct engine *engine, struct admin_task *task)
{
    const struct options *options = engine->options;
    for (uint32_t i = 0; i < options->user_count; i++) {
        add_user(&task->table, options->users[i].name, &options->users[i], NULL);
    }
    for (uint32_t i = 0; i < options->admin_user_count; i++) {
        const char *name = options->admin_users[i];
        add_user(&task->table, name, options_find_user(options, name), NULL);
    }
    for (uint32_t i = 0; i < options->stats_user_count; i++) {
        const char *name = options->stats_users[i];
        add_user(&task->table, name, options_find_user(options, name), NULL);
    }
    LIST_EACH (&engine->pool_list, node) {
        const struct pool *pool = CONTAINER_OF(node, struct pool, listed);
        add_user(&task->table, pool->user, options_find_user(options, pool->user), pool);
    }
}

/* --- LISTS ------------------------------------------------------------------------------------ */

/* The rows that the client sees, and whether each counts items or sums them up. */
static const struct {
    const char *name;
    bool sums;
} lists[] = {
    {"databases", false},   {"users", false},       {"peers", false},       {"pools", false},
    {"peer_pools", false},  {"free_clients", true}, {"used_clients", true}, {"login_clients", true},
    {"free_servers", true}, {"used_servers", true}, {"dns_names", false},   {"dns_zones", false},
    {"dns_queries", false}, {"dns_pending", false},
};

static void add_item(struct admin_table *table, const char *list, const char *item, uint32_t count)
{
    admin_table_text(table, list);
    admin_table_text(table, item);
    admin_table_number(table, count);
}

static void add_pool_items(struct engine *engine, struct admin_table *table)
{
    LIST_EACH (&engine->pool_list, node) {
        const struct pool *pool = CONTAINER_OF(node, struct pool, listed);
        add_item(table, "databases", pool->name, 1);
        add_item(table, "users", pool->user, 1);
        add_item(table, "pools", pool->account->key, 1);
        add_item(table, "free_servers", "", pool->idle_count);
        add_item(table, "used_servers", "", pool->busy_count + pool->dialing_count);
    }
}

void show_lists(struct engine *engine, struct admin_task *task)
{
    const struct options *options = engine->options;
    struct admin_table *table = &task->table;
    uint32_t logins = 0;
    for (uint32_t i = 0; i < options->database_count; i++) {
        if (strcmp(options->databases[i].name, "*") != 0) {
            add_item(table, "databases", options->databases[i].name, 1);
        }
    }
    for (uint32_t i = 0; i < options->user_count; i++) {
        add_item(table, "users", options->users[i].name, 1);
    }
    for (uint32_t i = 0; i < options->admin_user_count; i++) {
        add_item(table, "users", options->admin_users[i], 1);
    }
    for (uint32_t i = 0; i < options->stats_user_count; i++) {
        add_item(table, "users", options->stats_users[i], 1);
    }
    add_pool_items(engine, table);
    for (uint32_t slot = 0; slot < engine->connections.count; slot++) {
        const struct conn *conn = engine->connections.slots[slot].object;
        logins += conn != NULL && conn->kind == CONN_CLIENT &&
                  ((const struct session *)conn)->state < SESSION_LOGIN;
    }
    struct shared_host host;
    for (uint32_t i = 0; shared_host_at(engine->shared, i, &host); i++) {
        add_item(table, "dns_names", host.name, 1);
    }
    add_item(table, "login_clients", "", logins);
    add_item(table, "used_clients", "", engine->client_count);
    add_item(table, "free_clients", "", engine->sessions.total - engine->sessions.used);
}

void show_lists_finish(struct engine *engine, struct admin_task *task)
{
    struct admin_table raw = task->table;
    (void)engine;
    admin_table_init(&task->table, task->command->shown, task->command->shown_count);
    for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
        int64_t items = 0;
        for (uint32_t row = 0; row < raw.row_count; row++) {
            if (strcmp(admin_table_text_at(&raw, row, 0), lists[i].name) == 0) {
                items += lists[i].sums ? admin_table_number_at(&raw, row, 2) : 1;
            }
        }
        admin_table_text(&task->table, lists[i].name);
        admin_table_number(&task->table, items);
    }
    admin_table_fini(&raw);
}
