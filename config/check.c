#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/limits.h"
#include "base/text.h"
#include "config/file.h"
#include "config/fill.h"
#include "config/option.h"
#include "protocol/hba.h"
#include "protocol/userlist.h"
#include "router/rules.h"

struct check {
    const struct json_node *root;
    struct options *options;
    struct config_errors *errors;
};

/* The deepest node there is on the way from `node` down the dotted path. */
static const struct json_node *find_deepest(const struct json_node *node, const char *path,
                                            bool *ret_whole)
{
    *ret_whole = false;
    while (node->kind == JSON_NODE_OBJECT) {
        char key[64];
        size_t length = strcspn(path, ".");
        snprintf(key, sizeof(key), "%.*s", (int)length, path);
        const struct json_node *child = json_node_get(node, key);
        if (child == NULL) {
            return node;
        }
        node = child;
        if (path[length] == '\0') {
            *ret_whole = true;
            return node;
        }
        path += length + 1;
    }
    return node;
}

/* Where the value of `path` below `from` stands, or the object that lacks it. */
static struct config_place place_below(const struct json_node *from, const char *path)
{
    bool whole;
    const struct json_node *node = find_deepest(from, path, &whole);
    return whole ? node->place : node->key_place;
}

static struct config_place place_at(const struct check *check, const char *path)
{
    return place_below(check->root, path);
}

/* Of an object of "databases"; the node and the struct have the same index. */
static const struct json_node *database_node(const struct check *check, uint32_t index)
{
    const struct json_node *node = json_node_get(check->root, "databases")->first;
    while (node->index != index) {
        node = node->next;
    }
    return node;
}

static void check_file(const struct check *check, struct config_place place, const char *path,
                       const char *file)
{
    const char *reason;
    if (file != NULL && !file_readable(file, &reason)) {
        config_errors_add(check->errors, place, path,
                          "cannot read file \"%.200s\": %s, allowed: a readable file", file,
                          reason);
    }
}

static void check_tls(const struct check *check)
{
    const struct tls_options *tls = &check->options->tls;
    struct config_errors *errors = check->errors;
    if (tls->cert != NULL && tls->key == NULL) {
        config_errors_add(errors, place_at(check, "tls.cert"), "tls.key",
                          "missing, allowed: the key of tls.cert");
    }
    if (tls->key != NULL && tls->cert == NULL) {
        config_errors_add(errors, place_at(check, "tls.key"), "tls.cert",
                          "missing, allowed: the certificate of tls.key");
    }
    if (tls->mode >= TLS_REQUIRE && tls->cert == NULL && tls->key == NULL) {
        config_errors_add(errors, place_at(check, "tls.mode"), "tls.mode",
                          "TLS is required but there is no certificate, allowed: with tls.cert and "
                          "tls.key, or prefer, or disable");
    }
    if (tls->mode >= TLS_VERIFY_CA && tls->ca == NULL) {
        config_errors_add(errors, place_at(check, "tls.mode"), "tls.ca",
                          "missing, allowed: with verify-ca and verify-full the authorities that "
                          "client certificates must come from");
    }
    check_file(check, place_at(check, "tls.cert"), "tls.cert", tls->cert);
    check_file(check, place_at(check, "tls.key"), "tls.key", tls->key);
    check_file(check, place_at(check, "tls.ca"), "tls.ca", tls->ca);
}

/* Reads the file that an option names. A file that can't be read is a finding, and no failure: 0
 * with *ret_text NULL. */
static int read_option_file(const struct check *check, const char *option, const char *file,
                            char **ret_text, size_t *ret_bytes)
{
    const char *reason;
    *ret_text = NULL;
    int error = file_read(file, false, ret_text, ret_bytes, &reason);
    if (error != ERR_IO) {
        return error;
    }
    *ret_text = NULL;
    config_errors_add(check->errors, place_at(check, option), option,
                      "cannot read file \"%.200s\": %s, allowed: a readable file", file, reason);
    return 0;
}

#define HBA_ERRORS_MAX 50

static int load_hba(const struct check *check)
{
    const char *file = check->options->auth.hba_file;
    struct config_errors *errors = check->errors;
    char *text;
    size_t bytes;
    int error = read_option_file(check, "auth.hba", file, &text, &bytes);
    if (error != 0 || text == NULL) {
        return error;
    }
    struct hba_error *found = calloc(HBA_ERRORS_MAX, sizeof(*found));
    size_t count = 0;
    error = found == NULL
                ? ERR_NO_MEMORY
                : hba_parse(text, bytes, &check->options->hba, found, HBA_ERRORS_MAX, &count);
    for (size_t i = 0; error == ERR_CONFIG && i < count; i++) {
        config_errors_add(errors, (struct config_place){.source = file, .line = found[i].line},
                          "auth.hba", "%s", found[i].message);
    }
    free(found);
    free(text);
    return error == ERR_CONFIG ? 0 : error;
}

static int load_users(const struct check *check)
{
    const char *file = check->options->auth.users_file;
    struct config_errors *errors = check->errors;
    char *text;
    size_t bytes;
    int error = read_option_file(check, "auth.users_file", file, &text, &bytes);
    if (error != 0 || text == NULL) {
        return error;
    }
    struct userlist_error found;
    error = userlist_parse(text, bytes, &check->options->users_secrets, &found);
    if (error == ERR_CONFIG) {
        config_errors_add(errors, (struct config_place){.source = file, .line = found.line},
                          "auth.users_file", "%s", found.message);
        error = 0;
    }
    explicit_bzero(text, bytes);
    free(text);
    return error;
}

static bool needs_secrets(const struct options *options)
{
    enum auth_method method = options->auth.method;
    return method != AUTH_TRUST && method != AUTH_CERT && method != AUTH_HBA;
}

/* A source of secrets: the order of the contract's list. */
static bool has_secrets(const struct options *options)
{
    if (options->auth.users_file != NULL || options->auth.query != NULL) {
        return true;
    }
    for (uint32_t i = 0; i < options->database_count; i++) {
        const struct database_options *database = &options->databases[i];
        if (database->service_password != NULL ||
            (database->server_count > 0 && database->servers[0].password != NULL)) {
            return true;
        }
    }
    return false;
}

static int check_auth(const struct check *check)
{
    struct options *options = check->options;
    struct config_errors *errors = check->errors;
    const struct auth_options *auth = &options->auth;
    int error = 0;
    if (auth->method == AUTH_HBA && auth->hba_file == NULL) {
        config_errors_add(errors, place_at(check, "auth.method"), "auth.hba",
                          "missing, allowed: with method \"hba\" a pg_hba.conf");
    }
    if (auth->method != AUTH_HBA && auth->hba_file != NULL) {
        config_errors_add(errors, place_at(check, "auth.hba"), "auth.hba",
                          "given but not used, allowed: only with auth.method \"hba\"");
    }
    if (auth->hba_file != NULL) {
        error = load_hba(check);
    }
    if (error == 0 && auth->users_file != NULL) {
        error = load_users(check);
    }
    bool certificates =
        auth->method == AUTH_CERT ||
        (auth->method == AUTH_HBA && options->hba != NULL && hba_wants_certificates(options->hba));
    if (certificates && (options->tls.ca == NULL || options->tls.cert == NULL)) {
        config_errors_add(errors, place_at(check, "auth.method"), "auth.method",
                          "client certificates are asked for, allowed: with tls.ca, tls.cert and "
                          "tls.key");
    }
    if (auth->query_user != NULL && auth->query == NULL) {
        config_errors_add(errors, place_at(check, "auth.query_user"), "auth.query_user",
                          "given without auth.query, allowed: only with it");
    }
    if (needs_secrets(options) && !has_secrets(options)) {
        config_errors_note(errors, place_at(check, "auth"), "auth",
                           "no source of passwords is configured, so logins will be refused "
                           "unless the service login may read pg_authid; set auth.users_file or "
                           "auth.query, or a password in the database's DSN");
    }
    return error;
}

static void check_name(const struct check *check, const struct json_node *node, const char *path)
{
    const char *name = node->key;
    if (strcmp(name, "howdah") == 0 || strcmp(name, "pgbouncer") == 0) {
        config_errors_add(check->errors, node->key_place, path,
                          "the name belongs to the admin database, allowed: any other name");
    }
    if (name[0] == '\0' || strlen(name) >= LIMIT_NAME_BYTES) {
        config_errors_add(check->errors, node->key_place, path,
                          "the name has %zu bytes, allowed: 1 to %d", strlen(name),
                          LIMIT_NAME_BYTES - 1);
    }
}

static void check_pool(const struct check *check, const struct json_node *node, const char *path,
                       const struct pool_options *pool)
{
    char below[OPTION_PATH_BYTES + 32];
    if (pool->min_idle > pool->size) {
        snprintf(below, sizeof(below), "%s.pool.min_idle", path);
        config_errors_add(check->errors, place_below(node, "pool.min_idle"), below,
                          "%u is more than pool.size, allowed: 0 to %u", pool->min_idle,
                          pool->size);
    }
    if (pool->reserve > 0 && pool->reserve_after_ms >= pool->wait_timeout_ms &&
        pool->wait_timeout_ms > 0) {
        snprintf(below, sizeof(below), "%s.pool.reserve_after", path);
        config_errors_add(check->errors, place_below(node, "pool.reserve_after"), below,
                          "not before pool.wait_timeout, so the reserve would never be used, "
                          "allowed: less than pool.wait_timeout");
    }
}

static void check_server(const struct check *check, const struct json_node *node, const char *path,
                         const char *key, const struct server_options *server)
{
    struct config_place place = place_below(node, key);
    char below[OPTION_PATH_BYTES + 32];
    snprintf(below, sizeof(below), "%s.%s", path, key);
    if (server->sslrootcert != NULL && strcmp(server->sslrootcert, "system") != 0) {
        check_file(check, place, below, server->sslrootcert);
    }
    check_file(check, place, below, server->sslcert);
    check_file(check, place, below, server->sslkey);
}

/* Where a server is reached, and which database of it. */
static bool same_place(const struct server_options *left, const struct server_options *right)
{
    return options_same_address(left, right) && text_same(left->dbname, right->dbname);
}

/* Whom a server of several is asked as: without anybody it is never known to be up. */
static bool can_ask_all(const struct database_options *database)
{
    bool can = true;
    for (uint32_t i = 0; i < database->server_count; i++) {
        can = can && (database->service_user != NULL || database->servers[i].user != NULL);
    }
    return can;
}

/* Each of the servers from `first` on. */
static void check_servers(const struct check *check, const struct json_node *node, const char *path,
                          const char *key, const struct database_options *database, uint32_t first)
{
    char below[OPTION_PATH_BYTES + 32];
    snprintf(below, sizeof(below), "%s.%s", path, key);
    for (uint32_t i = first; i < database->server_count; i++) {
        check_server(check, node, path, key, &database->servers[i]);
        for (uint32_t j = 0; j < i; j++) {
            if (same_place(&database->servers[i], &database->servers[j])) {
                config_errors_add(check->errors, place_below(node, key), below,
                                  "server %u is server %u again, allowed: each once", i, j);
            }
        }
    }
}

static void check_hosts(const struct check *check, const struct json_node *node, const char *path,
                        const struct database_options *database)
{
    char below[OPTION_PATH_BYTES + 32];
    const struct json_node *replicas = json_node_get(node, "replicas");
    check_servers(check, node, path, "hosts", database, 0);
    if (database->has_primary || (replicas != NULL && replicas->child_count > 0)) {
        snprintf(below, sizeof(below), "%s.hosts", path);
        config_errors_add(check->errors, place_below(node, "hosts"), below,
                          "given beside primary or replicas, allowed: one or the other");
    }
    if (!can_ask_all(database)) {
        snprintf(below, sizeof(below), "%s.service.user", path);
        config_errors_add(check->errors, place_below(node, "hosts"), below,
                          "missing, allowed: with hosts, the user to ask them as, unless each of "
                          "them names one");
    }
}

static void check_replicas(const struct check *check, const struct json_node *node,
                           const char *path, const struct database_options *database)
{
    char below[OPTION_PATH_BYTES + 32];
    snprintf(below, sizeof(below), "%s.replicas", path);
    check_servers(check, node, path, "replicas", database, 1);
    if (database->server_count > 1 && !can_ask_all(database)) {
        snprintf(below, sizeof(below), "%s.service.user", path);
        config_errors_note(check->errors, place_below(node, "replicas"), below,
                           "not given, and not all of the servers name a user, so that those "
                           "cannot be watched; set it");
    }
}

/* In session mode a session has the primary's connection, and without names nobody knows what a
 * Bind runs. What is refused, is so at its Parse. */
static void check_rules(const struct check *check, const struct json_node *node, const char *path,
                        const struct database_options *database)
{
    char below[OPTION_PATH_BYTES + 32];
    const struct options *options = check->options;
    if (!rules_have(database->rules, RULES_OF_ANYBODY, RULE_REPLICA)) {
        return;
    }
    snprintf(below, sizeof(below), "%s.routing.rules", path);
    if (database->pool.mode == POOL_SESSION || database->pool.prepared_statements == 0) {
        config_errors_add(check->errors, place_below(node, "routing.rules"), below,
                          "no statement goes to a replica with pool.mode \"session\" or "
                          "pool.prepared_statements 0, allowed: without these");
    }
    for (uint32_t i = 0; i < options->user_count; i++) {
        const struct user_options *user = &options->users[i];
        if (user->has_mode && user->mode == POOL_SESSION) {
            config_errors_add(
                check->errors, place_below(node, "routing.rules"), below,
                "no statement of \"%.60s\" goes to a replica, by users.<name>.pool.mode "
                "\"session\", allowed: without that",
                user->name);
        }
    }
}

static void check_routing(const struct check *check, const struct json_node *node, const char *path,
                          const struct database_options *database)
{
    char below[OPTION_PATH_BYTES + 32];
    if (database->transaction_reads == TRANSACTION_READS_UNTIL_WRITE &&
        !database->pool.deferred_begin) {
        snprintf(below, sizeof(below), "%s.routing.transaction_reads", path);
        config_errors_add(check->errors, place_below(node, "routing.transaction_reads"), below,
                          "\"until_write\" without pool.deferred_begin, which keeps BEGIN from the "
                          "primary until then, allowed: with it, or \"primary\"");
    }
}

static void check_database(const struct check *check, uint32_t index)
{
    const struct database_options *database = &check->options->databases[index];
    const struct json_node *node = database_node(check, index);
    char path[OPTION_PATH_BYTES];
    char below[OPTION_PATH_BYTES + 32];
    json_node_path(node, path, sizeof(path));
    check_name(check, node, path);
    if (node->kind != JSON_NODE_OBJECT) {
        if (node->kind == JSON_NODE_NULL) {
            config_errors_add(check->errors, node->place, path,
                              "the value is null, allowed: an object");
        }
        return;
    }
    const struct json_node *primary = json_node_get(node, "primary");
    if ((primary == NULL || primary->kind == JSON_NODE_NULL) && !database->discovers) {
        snprintf(below, sizeof(below), "%s.primary", path);
        config_errors_add(check->errors, primary == NULL ? node->key_place : primary->place, below,
                          "missing, allowed: a libpq connection string, such as "
                          "\"postgres://host:5432/app\"; or hosts");
    }
    if (database->discovers) {
        check_hosts(check, node, path, database);
    } else if (database->has_primary) {
        check_server(check, node, path, "primary", &database->servers[0]);
        check_replicas(check, node, path, database);
    }
    bool user = database->service_user != NULL ||
                (database->server_count > 0 && database->servers[0].user != NULL);
    if (database->service_password != NULL && !user) {
        snprintf(below, sizeof(below), "%s.service.user", path);
        config_errors_add(check->errors, place_below(node, "service.password"), below,
                          "missing, allowed: the user whom service.password is for");
    }
    check_pool(check, node, path, &database->pool);
    check_routing(check, node, path, database);
    check_rules(check, node, path, database);
}

static void check_databases(const struct check *check)
{
    if (check->root->kind == JSON_NODE_OBJECT && check->options->database_count == 0) {
        const struct json_node *node = json_node_get(check->root, "databases");
        if (node == NULL || node->kind == JSON_NODE_OBJECT || node->kind == JSON_NODE_NULL) {
            config_errors_add(check->errors, place_at(check, "databases"), "databases",
                              "no database is configured, allowed: at least one, here or by "
                              "--database NAME=DSN");
        }
    }
    for (uint32_t i = 0; i < check->options->database_count; i++) {
        check_database(check, i);
    }
}

static void check_listen(const struct check *check)
{
    const struct options *options = check->options;
    for (uint32_t i = 1; i < options->listen_count; i++) {
        for (uint32_t j = 0; j < i; j++) {
            if (strcmp(options->listen[i], options->listen[j]) == 0) {
                config_errors_add(check->errors, place_at(check, "listen"), "listen",
                                  "\"%.120s\" is given twice, allowed: once", options->listen[i]);
            }
        }
    }
}

int check_options(const struct json_node *root, struct options *options,
                  struct config_errors *errors)
{
    struct check check = {.root = root, .options = options, .errors = errors};
    check_listen(&check);
    check_tls(&check);
    int error = check_auth(&check);
    if (error == 0) {
        check_databases(&check);
    }
    return error;
}
