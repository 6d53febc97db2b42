#include "pool/options.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/text.h"
#include "protocol/hba.h"
#include "protocol/userlist.h"
#include "router/rules.h"

static void secret_free(char *secret)
{
    if (secret != NULL) {
        explicit_bzero(secret, strlen(secret));
        free(secret);
    }
}

static void strings_free(char **strings, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        free(strings[i]);
    }
    free(strings);
}

void server_options_fini(struct server_options *server)
{
    secret_free(server->password);
    free(server->host);
    free(server->hostaddr);
    free(server->user);
    free(server->dbname);
    free(server->sslrootcert);
    free(server->sslcert);
    free(server->sslkey);
    free(server->application_name);
    free(server->options);
    *server = (struct server_options){0};
}

static void database_fini(struct database_options *database)
{
    for (uint32_t i = 0; i < database->server_count; i++) {
        server_options_fini(&database->servers[i]);
    }
    free(database->servers);
    rules_free(database->rules);
    free(database->name);
    free(database->service_user);
    secret_free(database->service_password);
}

static void options_free(struct options *options)
{
    for (uint32_t i = 0; i < options->database_count; i++) {
        database_fini(&options->databases[i]);
    }
    free(options->databases);
    for (uint32_t i = 0; i < options->user_count; i++) {
        free(options->users[i].name);
    }
    free(options->users);
    strings_free(options->listen, options->listen_count);
    strings_free(options->admin_users, options->admin_user_count);
    strings_free(options->stats_users, options->stats_user_count);
    free(options->tls.cert);
    free(options->tls.key);
    free(options->tls.ca);
    free(options->auth.hba_file);
    free(options->auth.users_file);
    free(options->auth.query);
    free(options->auth.query_user);
    hba_free(options->hba);
    userlist_free(options->users_secrets);
    free(options);
}

struct options *options_new(void)
{
    struct options *options = calloc(1, sizeof(*options));
    if (options != NULL) {
        atomic_init(&options->references, 1);
    }
    return options;
}

void options_ref(struct options *options)
{
    unsigned before = atomic_fetch_add(&options->references, 1);
    ASSERT(before > 0);
}

void options_unref(struct options *options)
{
    if (options == NULL) {
        return;
    }
    unsigned before = atomic_fetch_sub(&options->references, 1);
    ASSERT(before > 0);
    if (before == 1) {
        options_free(options);
    }
}

bool options_same_address(const struct server_options *left, const struct server_options *right)
{
    return left->port == right->port && text_same(left->host, right->host) &&
           text_same(left->hostaddr, right->hostaddr);
}

bool options_same_server(const struct server_options *left, const struct server_options *right)
{
    return options_same_address(left, right) && text_same(left->user, right->user) &&
           text_same(left->password, right->password) && text_same(left->dbname, right->dbname) &&
           left->sslmode == right->sslmode && text_same(left->sslrootcert, right->sslrootcert) &&
           text_same(left->sslcert, right->sslcert) && text_same(left->sslkey, right->sslkey) &&
           left->ssl_direct == right->ssl_direct &&
           left->channel_binding == right->channel_binding &&
           text_same(left->application_name, right->application_name) &&
           text_same(left->options, right->options);
}

const struct database_options *options_find_database(const struct options *options,
                                                     const char *name)
{
    const struct database_options *any = NULL;
    for (uint32_t i = 0; i < options->database_count; i++) {
        const struct database_options *database = &options->databases[i];
        if (strcmp(database->name, name) == 0) {
            return database;
        }
        if (strcmp(database->name, "*") == 0) {
            any = database;
        }
    }
    return any;
}

bool options_is_watched(const struct database_options *database)
{
    return database->server_count > 1 || (database->server_count == 1 && database->discovers);
}

const struct user_options *options_find_user(const struct options *options, const char *name)
{
    for (uint32_t i = 0; i < options->user_count; i++) {
        if (strcmp(options->users[i].name, name) == 0) {
            return &options->users[i];
        }
    }
    return NULL;
}
