#include "pool/pool.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/error.h"
#include "base/hash.h"
#include "pool/account.h"
#include "pool/core.h"
#include "pool/firewall.h"
#include "pool/follow.h"
#include "pool/hold.h"
#include "pool/lend.h"
#include "pool/link.h"
#include "pool/listen.h"
#include "pool/modes.h"
#include "pool/pool_facts.h"
#include "pool/session.h"
#include "pool/settings.h"
#include "protocol/crypto.h"

static uint64_t pool_hash(const struct engine *engine, const char *database, const char *user,
                          uint32_t target)
{
    uint64_t hash = hash_bytes(engine->hash_key, database, strlen(database));
    return hash_word(hash_bytes(hash, user, strlen(user)), target);
}

struct pool *pool_find(const struct engine *engine, const char *database, const char *user,
                       uint32_t target)
{
    uint64_t hash = pool_hash(engine, database, user, target);
    for (struct map_node *node = map_first(&engine->pools, hash); node != NULL;
         node = map_next(node)) {
        struct pool *pool = CONTAINER_OF(node, struct pool, node);
        if (!pool->retired && pool->target == target && strcmp(pool->name, database) == 0 &&
            strcmp(pool->user, user) == 0) {
            return pool;
        }
    }
    return NULL;
}

void pool_copy_bytes(uint8_t **bytes, uint32_t *count, const uint8_t *from, uint32_t from_count)
{
    free(*bytes);
    *bytes = malloc(from_count);
    *count = *bytes == NULL ? 0 : from_count;
    if (*bytes != NULL) {
        memcpy(*bytes, from, from_count);
    }
}

void pool_set_password(struct pool *pool, const char *password)
{
    if (pool->password != NULL) {
        crypto_wipe(pool->password, strlen(pool->password));
    }
    free(pool->password);
    pool->password = password == NULL ? NULL : strdup(password);
}

/* --- making one ------------------------------------------------------------------------------- */

static void take_limits(struct engine *engine, struct pool *pool)
{
    const struct user_options *user = options_find_user(engine->options, pool->user);
    pool->limits = pool->database->pool;
    pool->database_limit = pool->database->max_server_connections;
    pool->user_limit = user == NULL ? 0 : user->max_server_connections;
    if (user != NULL && user->has_mode) {
        pool->limits.mode = user->mode;
    }
    if (user != NULL && user->has_size) {
        pool->limits.size = user->size;
    }
    if (!pool->limits.has_max_pinned) {
        pool->limits.max_pinned = pool->limits.size;
    }
    if (pool->limits.min_idle > pool->limits.size) {
        pool->limits.min_idle = pool->limits.size;
    }
    if (pool->target != POOL_PRIMARY) {
        pool->limits.min_idle = 0; /* who reads there brings the password */
    }
}

static bool take_names(struct pool *pool, const char *database, const char *user)
{
    const struct server_options *server = pool->server;
    pool->name = strdup(database);
    pool->user = strdup(user);
    pool->forced_user = server->user != NULL;
    pool->server_user = strdup(server->user != NULL ? server->user : user);
    pool->server_dbname = strdup(server->dbname != NULL ? server->dbname : database);
    bool own_password = server->password != NULL;
    pool->password = own_password ? strdup(server->password) : NULL;
    pool->dsn_password = own_password;
    return pool->name != NULL && pool->user != NULL && pool->server_user != NULL &&
           pool->server_dbname != NULL && (!own_password || pool->password != NULL);
}

static struct account *host_account(struct engine *engine, const struct server_options *server)
{
    char host[512];
    snprintf(host, sizeof(host), "%s:%u", server->host == NULL ? "" : server->host, server->port);
    return shared_account(engine->shared, "host", host, "");
}

/* What is counted of a database is not of its server: after a reload the links to an old one still
 * count, and move between workers of which some have taken over the new one already. */
static bool take_accounts(struct engine *engine, struct pool *pool)
{
    pool->account = shared_account_at(engine->shared, "pool", pool->name, pool->user, pool->target);
    pool->database_account = shared_account_at(engine->shared, "db", pool->name, "", pool->target);
    pool->user_account = shared_account(engine->shared, "user", pool->user, "");
    pool->host_account = host_account(engine, pool->server);
    if (pool->account == NULL || pool->database_account == NULL || pool->user_account == NULL ||
        pool->host_account == NULL) {
        return false;
    }
    account_under(pool->account, pool->database_account, pool->user_account);
    return true;
}

static bool has_target(const struct database_options *database, uint32_t target)
{
    return database->server_count > (target == POOL_PRIMARY ? 0 : target - POOL_REPLICA);
}

static const struct server_options *server_of(const struct engine *engine,
                                              const struct database_options *database,
                                              uint32_t target)
{
    return target == POOL_PRIMARY ? follow_server(engine, database)
                                  : &database->servers[target - POOL_REPLICA];
}

/* The caller holds a reference to the snapshot for the pool. */
static void set_options(struct engine *engine, struct pool *pool,
                        const struct database_options *database,
                        const struct server_options *server)
{
    pool->database = database;
    pool->server = server;
    pool->routes = hold_is_for(pool);
    take_limits(engine, pool);
    firewall_options(pool);
    pool_facts_options(pool);
}

struct pool *pool_get(struct engine *engine, const char *database, const char *user,
                      uint32_t target, int *ret_code)
{
    struct pool *pool = pool_find(engine, database, user, target);
    if (pool != NULL) {
        return pool;
    }
    const struct database_options *found = options_find_database(engine->options, database);
    if (found == NULL || !has_target(found, target)) {
        *ret_code = ERR_NO_DATABASE;
        return NULL;
    }
    *ret_code = ERR_NO_MEMORY;
    pool = calloc(1, sizeof(*pool));
    if (pool == NULL) {
        return NULL;
    }
    list_init(&pool->idle);
    list_init(&pool->busy);
    list_init(&pool->dialing);
    list_init(&pool->waiting);
    list_init(&pool->listed);
    pool->options = engine->options;
    options_ref(pool->options);
    pool->database = found;
    pool->target = target;
    pool->server = server_of(engine, found, target);
    if (!take_names(pool, database, user) || !take_accounts(engine, pool) ||
        !pool_facts_begin(engine, pool) ||
        map_add(&engine->pools, &pool->node, pool_hash(engine, database, user, target)) != 0) {
        pool->retired = true;
        pool_free(engine, pool);
        return NULL;
    }
    set_options(engine, pool, found, pool->server);
    follow_begin(engine, pool, false);
    gates_apply(&engine->gates, pool, true);
    list_push_back(&engine->pool_list, &pool->listed);
    if (pool->limits.min_idle > 0) {
        pool_wake_by(engine, pool, engine->now_us);
    }
    return pool;
}

/* What the primary's pool knows to log in with is as good at its replicas, whose DSN says nothing
 * else. */
static void lend_secrets(const struct pool *primary, struct pool *replica)
{
    if (!replica->dsn_password && replica->password == NULL && primary->password != NULL) {
        pool_set_password(replica, primary->password);
    }
    if (!replica->has_keys && primary->has_keys) {
        memcpy(replica->keys, primary->keys, sizeof(replica->keys));
        memcpy(replica->keys_salt, primary->keys_salt, sizeof(replica->keys_salt));
        replica->keys_salt_bytes = primary->keys_salt_bytes;
        replica->keys_iterations = primary->keys_iterations;
        replica->has_keys = true;
    }
}

struct pool *pool_of_replica(struct engine *engine, struct pool *primary, uint32_t node)
{
    struct pool *replica = primary->replicas[node];
    int code;
    if (replica == NULL) {
        replica = pool_get(engine, primary->name, primary->user, POOL_REPLICA + node, &code);
        primary->replicas[node] = replica;
    }
    if (replica != NULL) {
        lend_secrets(primary, replica);
    }
    return replica;
}

static void forget_replica(const struct engine *engine, const struct pool *pool)
{
    struct pool *primary = pool->target == POOL_PRIMARY
                               ? NULL
                               : pool_find(engine, pool->name, pool->user, POOL_PRIMARY);
    if (primary != NULL) {
        primary->replicas[pool->target - POOL_REPLICA] = NULL;
    }
}

const char *pool_reported(const struct pool *pool, const char *name)
{
    return pool->baseline == NULL ? NULL : settings_get(pool->baseline, name);
}

uint32_t pool_server_major(const struct pool *pool)
{
    const char *version = pool_reported(pool, "server_version");
    return version == NULL ? 0 : (uint32_t)strtoul(version, NULL, 10);
}

void pool_free(struct engine *engine, struct pool *pool)
{
    timer_disarm(&engine->pool_timers, &pool->timer);
    if (list_linked(&pool->listed)) {
        list_remove(&pool->listed);
        map_remove(&engine->pools, &pool->node);
        forget_replica(engine, pool);
    }
    for (uint32_t i = 0; i < POOL_WELCOMES; i++) {
        settings_unref(&engine->settings, pool->welcomes[i].asked);
        settings_unref(&engine->settings, pool->welcomes[i].canonical);
    }
    settings_unref(&engine->settings, pool->baseline);
    pool_facts_fini(pool);
    if (pool->password != NULL) {
        crypto_wipe(pool->password, strlen(pool->password));
    }
    crypto_wipe(pool->keys, sizeof(pool->keys));
    free(pool->password);
    free(pool->failure);
    free(pool->line);
    free(pool->name);
    free(pool->user);
    free(pool->server_user);
    free(pool->server_dbname);
    options_unref(pool->options);
    free(pool);
}

/* --- the greeting's cache --------------------------------------------------------------------- */

struct settings *pool_welcome(const struct pool *pool, const struct settings *asked)
{
    if (pool->baseline == NULL) {
        return NULL;
    }
    for (uint32_t i = 0; i < POOL_WELCOMES; i++) {
        if (pool->welcomes[i].asked == asked) {
            return pool->welcomes[i].canonical;
        }
    }
    return NULL;
}

void pool_add_welcome(struct engine *engine, struct pool *pool, struct settings *asked,
                      struct settings *canonical)
{
    if (asked == NULL || pool_welcome(pool, asked) != NULL) {
        return;
    }
    struct welcome *entry = &pool->welcomes[pool->welcome_next++ % POOL_WELCOMES];
    struct settings *kept =
        settings_get(asked, "application_name") != NULL
            ? (settings_ref(canonical), canonical)
            : settings_with(&engine->settings, canonical, "application_name", NULL);
    if (kept == NULL) {
        return;
    }
    settings_unref(&engine->settings, entry->asked);
    settings_unref(&engine->settings, entry->canonical);
    settings_ref(asked);
    *entry = (struct welcome){asked, kept};
}

/* --- upkeep ----------------------------------------------------------------------------------- */

void pool_wake_by(struct engine *engine, struct pool *pool, uint64_t due_us)
{
    if (!timer_armed(&pool->timer) || due_us < pool->timer.due_us) {
        timer_arm(&engine->pool_timers, &pool->timer, due_us);
    }
}

static uint64_t idle_end_us(const struct pool *pool, const struct link *link)
{
    uint64_t idle_us = pool->limits.idle_timeout_ms * UINT64_C(1000);
    uint64_t end_us = idle_us == 0 ? TIMER_NEVER : link->used_us + idle_us;
    return end_us < link->expires_us ? end_us : link->expires_us;
}

uint64_t pool_next_upkeep_us(const struct engine *engine, const struct pool *pool)
{
    uint64_t next_us = TIMER_NEVER;
    (void)engine;
    LIST_EACH (&pool->idle, node) {
        uint64_t end_us = idle_end_us(pool, CONTAINER_OF(node, struct link, in_pool));
        next_us = end_us < next_us ? end_us : next_us;
    }
    return next_us;
}

void pool_close_idle(struct engine *engine, struct pool *pool, struct link *link)
{
    ASSERT(link->state == LINK_IDLE);
    list_remove(&link->in_pool);
    pool->idle_count--;
    atomic_fetch_sub(&pool->account->idle[engine->worker], 1);
    link_end(engine, link);
}

static bool too_old(struct engine *engine, const struct pool *pool, const struct link *link)
{
    bool expired = engine->now_us >= link->expires_us || pool->retired ||
                   link->epoch != pool->epoch || link->term != pool->term;
    uint32_t total = atomic_load(&pool->account->total);
    bool spare = total > pool->limits.min_idle;
    bool excess = total > pool->limits.size + pool->limits.reserve; /* a smaller size was set */
    return expired || excess || (spare && engine->now_us >= idle_end_us(pool, link));
}

/* Closes the first that is too old; true when there was one. What that sets free may be lent at
 * once, so the list is looked at from its beginning each time. */
static bool close_one_old(struct engine *engine, struct pool *pool)
{
    LIST_EACH (&pool->idle, node) {
        struct link *link = CONTAINER_OF(node, struct link, in_pool);
        if (too_old(engine, pool, link)) {
            pool_close_idle(engine, pool, link);
            return true;
        }
    }
    return false;
}

static void close_old(struct engine *engine, struct pool *pool)
{
    while (close_one_old(engine, pool)) {
    }
}

static bool asks_others(const struct pool *pool)
{
    bool asks = false;
    for (uint32_t worker = 0; worker < LIMIT_WORKERS; worker++) {
        asks |= pool->asked[worker] > 0;
    }
    return asks;
}

static bool pool_is_unused(const struct pool *pool)
{
    return pool->client_count == 0 && list_empty(&pool->idle) && list_empty(&pool->busy) &&
           list_empty(&pool->dialing) && pool->hub == NULL && pool->waiting_count == 0 &&
           !asks_others(pool);
}

void pool_upkeep(struct engine *engine, struct pool *pool)
{
    close_old(engine, pool);
    hold_upkeep(engine, pool);
    lend_escalate(engine, pool, false);
    if (pool->line_count > 0) {
        lend_serve(engine, pool);
    }
    lend_keep_warm(engine, pool);
    uint64_t next_us = pool_next_upkeep_us(engine, pool);
    if (next_us != TIMER_NEVER) {
        /* A link kept by min_idle stays due: it is looked at again in a second. */
        pool_wake_by(engine, pool, next_us > engine->now_us ? next_us : engine->now_us + 1000000);
    }
}

/* --- reload ----------------------------------------------------------------------------------- */

/* The pool goes on under the new snapshot. Links to a server that is no longer the same close as
 * soon as they are free. */
static void reload_pool(struct engine *engine, struct pool *pool)
{
    const struct database_options *found = options_find_database(engine->options, pool->name);
    struct options *before = pool->options;
    if (found == NULL || !has_target(found, pool->target)) {
        pool->orphaned = true; /* clients that are in stay; nobody comes in any more */
        gates_apply(&engine->gates, pool, false);
        pool->epoch += pool->target != POOL_PRIMARY; /* nothing is read there any more */
        pool_wake_by(engine, pool, engine->now_us);
        return;
    }
    const struct server_options *server = pool->target == POOL_PRIMARY
                                              ? follow_server_again(engine, pool, found)
                                              : server_of(engine, found, pool->target);
    bool same = options_same_server(pool->server, server);
    options_ref(engine->options);
    pool->options = engine->options;
    set_options(engine, pool, found, server);
    pool->orphaned = false;
    follow_begin(engine, pool, same);
    gates_apply(&engine->gates, pool, false);
    if (!same) {
        pool_change_server(engine, pool);
    }
    options_unref(before);
    lend_escalate(engine, pool, true);
    pool_wake_by(engine, pool, engine->now_us);
}

void pools_reload(struct engine *engine)
{
    LIST_EACH (&engine->pool_list, node) {
        struct pool *pool = CONTAINER_OF(node, struct pool, listed);
        if (pool_is_unused(pool) && pool->line_count == 0 && pool->tickets == 0) {
            pool_free(engine, pool);
        } else {
            reload_pool(engine, pool);
        }
    }
}

/* Links on their way to the old server must not log in with what is meant for the new one. */
static void close_dialing(struct engine *engine, struct pool *pool)
{
    LIST_EACH (&pool->dialing, node) {
        struct link *link = CONTAINER_OF(node, struct link, in_pool);
        if (link->epoch != pool->epoch || link->term != pool->term) {
            link_fail(engine, link, ERR_SERVER_LOST, "another server takes its place");
        }
    }
}

void pool_change_server(struct engine *engine, struct pool *pool)
{
    pool->epoch++;
    pool->address[0] = '\0';
    pool_take_server(engine, pool);
}

void pool_take_server(struct engine *engine, struct pool *pool)
{
    const struct server_options *server = pool->server;
    char *user = strdup(server->user != NULL ? server->user : pool->user);
    char *dbname = strdup(server->dbname != NULL ? server->dbname : pool->name);
    if (user != NULL && dbname != NULL) {
        free(pool->server_user);
        free(pool->server_dbname);
        pool->server_user = user;
        pool->server_dbname = dbname;
        pool->forced_user = server->user != NULL;
    } else {
        free(user);
        free(dbname);
    }
    struct account *host = host_account(engine, server);
    pool->host_account = host == NULL ? pool->host_account : host;
    if (server->password != NULL || pool->dsn_password) {
        pool_set_password(pool, server->password);
    }
    pool_facts_forget(pool);
    modes_forget(pool);
    pool->dsn_password = server->password != NULL;
    pool->has_keys = false;
    free(pool->failure);
    pool->failure = NULL;
    pool->retry_at_us = 0;
    pool_drop_links(engine, pool);
}

void pool_drop_links(struct engine *engine, struct pool *pool)
{
    close_dialing(engine, pool);
    listen_end(engine, pool);
    close_old(engine, pool);
}

static struct link *find_busy(const struct pool *pool, bool (*is)(const struct link *link))
{
    LIST_EACH (&pool->busy, node) {
        struct link *link = CONTAINER_OF(node, struct link, in_pool);
        if (!link->conn.closing && is(link)) {
            return link;
        }
    }
    return NULL;
}

void pool_fail_links(struct engine *engine, struct pool *pool, bool (*is)(const struct link *link),
                     const char *why)
{
    struct link *link;
    while ((link = find_busy(pool, is)) != NULL) { /* anew: others may have gone with it */
        link_fail(engine, link, ERR_SERVER_LOST, why);
    }
}
