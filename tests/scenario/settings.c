/* The configuration of a scripted world: KEY=VALUE words to a snapshot. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pool/options.h"
#include "protocol/hba.h"
#include "protocol/userlist.h"
#include "tests/scenario/driver.h"

static char *copy(const char *value)
{
    char *copied = strdup(value);
    if (copied == NULL) {
        abort();
    }
    return copied;
}

static uint32_t choice(const char *value, const char *const *names)
{
    for (uint32_t i = 0; names[i] != NULL; i++) {
        if (strcmp(value, names[i]) == 0) {
            return i;
        }
    }
    fprintf(stderr, "unknown value %s\n", value);
    abort();
}

static const char *const modes[] = {"session", "transaction", "statement", NULL};
static const char *const tls_modes[] = {"disable",   "allow",       "prefer", "require",
                                        "verify-ca", "verify-full", NULL};
static const char *const methods[] = {"trust", "password", "md5",  "scram", "cert",
                                      "hba",   "reject",   "peer", NULL};
static const char *const consistencies[] = {"eventual", "session", "strong", NULL};
static const char *const reads[] = {"replicas", "primary", "any", NULL};
static const char *const bindings[] = {"disable", "prefer", "require", NULL};

static bool set_pool(struct pool_options *pool, const char *key, const char *value)
{
    const struct {
        const char *key;
        uint32_t *to;
    } numbers[] = {
        {"size", &pool->size},
        {"min_idle", &pool->min_idle},
        {"reserve", &pool->reserve},
        {"reserve_after", &pool->reserve_after_ms},
        {"wait_timeout", &pool->wait_timeout_ms},
        {"idle_timeout", &pool->idle_timeout_ms},
        {"max_lifetime", &pool->max_lifetime_ms},
        {"connect_timeout", &pool->connect_timeout_ms},
        {"query_timeout", &pool->query_timeout_ms},
        {"idle_transaction_timeout", &pool->idle_transaction_timeout_ms},
        {"client_idle_timeout", &pool->client_idle_timeout_ms},
        {"prepared_statements", &pool->prepared_statements},
        {"max_pinned", &pool->max_pinned},
    };
    if (strcmp(key, "deferred_begin") == 0) {
        pool->deferred_begin = strcmp(value, "1") == 0;
        return true;
    }
    pool->has_max_pinned |= strcmp(key, "max_pinned") == 0;
    if (strcmp(key, "mode") == 0) {
        pool->mode = (enum pool_mode)choice(value, modes);
        return true;
    }
    if (strcmp(key, "check_state") == 0) {
        pool->check_state = strcmp(value, "on") == 0;
        return true;
    }
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        if (strcmp(key, numbers[i].key) == 0) {
            *numbers[i].to = (uint32_t)strtoul(value, NULL, 10);
            return true;
        }
    }
    return false;
}

static bool set_server(struct server_options *server, const char *key, const char *value)
{
    const struct {
        const char *key;
        char **to;
    } strings[] = {
        {"server_host", &server->host},         {"server_user", &server->user},
        {"server_password", &server->password}, {"server_dbname", &server->dbname},
        {"server_options", &server->options},   {"application_name", &server->application_name},
    };
    for (size_t i = 0; i < sizeof(strings) / sizeof(strings[0]); i++) {
        if (strcmp(key, strings[i].key) == 0) {
            free(*strings[i].to);
            *strings[i].to = copy(value);
            return true;
        }
    }
    if (strcmp(key, "sslmode") == 0) {
        server->sslmode = (enum tls_mode)choice(value, tls_modes);
    } else if (strcmp(key, "channel_binding") == 0) {
        server->channel_binding = (enum channel_binding)choice(value, bindings);
    } else if (strcmp(key, "ssl_direct") == 0) {
        server->ssl_direct = strcmp(value, "on") == 0;
    } else {
        return false;
    }
    return true;
}

static bool set_auth(struct options *options, const char *key, const char *value)
{
    struct userlist_error error;
    struct hba_error hba_error;
    size_t hba_errors;
    if (strcmp(key, "auth") == 0) {
        options->auth.method = (enum auth_method)choice(value, methods);
    } else if (strcmp(key, "fail_delay") == 0) {
        options->auth.fail_delay_ms = (uint32_t)strtoul(value, NULL, 10);
    } else if (strcmp(key, "fail_limit") == 0) {
        options->auth.fail_limit_count = (uint32_t)strtoul(value, NULL, 10);
        options->auth.fail_limit_window_ms = 60000;
    } else if (strcmp(key, "users") == 0) {
        if (userlist_parse(value, strlen(value), &options->users_secrets, &error) != 0) {
            abort();
        }
    } else if (strcmp(key, "hba") == 0) {
        if (hba_parse(value, strlen(value), &options->hba, &hba_error, 1, &hba_errors) != 0) {
            abort();
        }
    } else {
        return false;
    }
    return true;
}

/* In place of those that were said before. */
static void add_replicas(struct database_options *database, uint32_t count)
{
    for (uint32_t i = 1; i < database->server_count; i++) {
        server_options_fini(&database->servers[i]);
    }
    database->servers = reallocarray(database->servers, 1 + count, sizeof(*database->servers));
    if (database->servers == NULL) {
        abort();
    }
    for (uint32_t i = 1; i <= count; i++) {
        const char *user = database->servers[0].user; /* if it is said ahead */
        database->servers[i] = (struct server_options){.host = copy("replica.example"),
                                                       .port = (uint16_t)(5432 + i),
                                                       .user = user == NULL ? NULL : copy(user)};
    }
    database->server_count = 1 + count;
    database->consistency = CONSISTENCY_SESSION;
}

static bool set_world(struct world *world, struct options *options, const char *key,
                      const char *value)
{
    if (strcmp(key, "server") == 0) {
        world->server_manual = strcmp(value, "manual") == 0;
    } else if (strcmp(key, "workers") == 0) {
        world->engine_count = (uint32_t)strtoul(value, NULL, 10);
    } else if (strcmp(key, "log") == 0) {
        world->logs = true;
        options->log_level = (int)strtol(value, NULL, 10);
    } else if (strcmp(key, "max_clients") == 0) {
        options->max_clients = (uint32_t)strtoul(value, NULL, 10);
    } else if (strcmp(key, "tls") == 0) {
        options->tls.mode = (enum tls_mode)choice(value, tls_modes);
    } else if (strcmp(key, "replicas") == 0) {
        add_replicas(&options->databases[0], (uint32_t)strtoul(value, NULL, 10));
        options->databases[0].discovers = false;
    } else if (strcmp(key, "hosts") == 0) {
        add_replicas(&options->databases[0], (uint32_t)strtoul(value, NULL, 10) - 1);
        options->databases[0].discovers = true;
    } else if (strcmp(key, "reads") == 0) {
        options->databases[0].routing_reads = (enum routing_reads)choice(value, reads);
    } else if (strcmp(key, "wait_for_replica") == 0) {
        options->databases[0].wait_for_replica_ms = (uint32_t)strtoul(value, NULL, 10);
    } else if (strcmp(key, "failover_wait") == 0) {
        options->databases[0].failover_wait_ms = (uint32_t)strtoul(value, NULL, 10);
    } else if (strcmp(key, "consistency") == 0) {
        options->databases[0].consistency = (enum consistency)choice(value, consistencies);
    } else if (strcmp(key, "max_server_connections") == 0) {
        options->databases[0].max_server_connections = (uint32_t)strtoul(value, NULL, 10);
    } else {
        return false;
    }
    return true;
}

static void add_database(struct options *options)
{
    options->databases = calloc(1, sizeof(*options->databases));
    if (options->databases == NULL) {
        abort();
    }
    struct database_options *database = &options->databases[0];
    database->name = copy("app");
    database->servers = calloc(1, sizeof(*database->servers));
    if (database->servers == NULL) {
        abort();
    }
    database->server_count = 1;
    database->servers[0].host = copy("db.example");
    database->servers[0].port = 5432;
    database->pool = (struct pool_options){.mode = POOL_TRANSACTION,
                                           .size = 1,
                                           .connect_timeout_ms = 5000,
                                           .prepared_statements = 100};
    options->database_count = 1;
}

struct options *world_options(struct world *world)
{
    struct options *options = options_new();
    struct word *word = malloc(sizeof(*word)), *value = malloc(sizeof(*value));
    const char *at = world->settings.bytes == NULL ? "" : world->settings.bytes;
    if (options == NULL || word == NULL || value == NULL) {
        abort();
    }
    options->max_clients = 1000;
    options->log_level = -1;
    options->auth.fail_delay_ms = 500;
    add_database(options);
    while (word_next(&at, word)) {
        char *equals = strchr(word->bytes, '=');
        if (equals == NULL) {
            abort();
        }
        *equals = '\0';
        const char *text = equals + 1;
        if (*text == '\0' && *at == '"' && word_next(&at, value)) {
            text = value->bytes;
        }
        if (!set_world(world, options, word->bytes, text) &&
            !set_auth(options, word->bytes, text) &&
            !set_server(&options->databases[0].servers[0], word->bytes, text) &&
            !set_pool(&options->databases[0].pool, word->bytes, text)) {
            fprintf(stderr, "unknown option %s\n", word->bytes);
            abort();
        }
    }
    free(word);
    free(value);
    return options;
}
