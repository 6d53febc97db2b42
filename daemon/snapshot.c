#include "daemon/snapshot.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/assert.h"
#include "base/error.h"
#include "base/text.h"
#include "daemon/tls_files.h"
#include "pool/options.h"

static bool same_tls(const struct server_options *left, const struct server_options *right)
{
    return left->sslmode == right->sslmode && text_same(left->sslrootcert, right->sslrootcert) &&
           text_same(left->sslcert, right->sslcert) && text_same(left->sslkey, right->sslkey);
}

static const struct client_tls *find_client_tls(const struct snapshot *snapshot,
                                                const struct server_options *server)
{
    for (uint32_t i = 0; i < snapshot->client_tls_count; i++) {
        ASSERT(snapshot->client_tls[i].server != NULL);
        if (same_tls(snapshot->client_tls[i].server, server)) {
            return &snapshot->client_tls[i];
        }
    }
    return NULL;
}

struct tls_context *snapshot_client_tls(const struct snapshot *snapshot,
                                        const struct server_options *server, const char **ret_host)
{
    const struct client_tls *found = find_client_tls(snapshot, server);
    if (found == NULL) {
        return NULL;
    }
    *ret_host = server->host != NULL ? server->host : server->hostaddr;
    return found->context;
}

/* libpq's meaning of sslmode: authorities that are given are used in every mode but disable. */
static enum tls_files_peer server_peer(const struct server_options *server)
{
    switch (server->sslmode) {
    case TLS_DISABLE:
        return TLS_FILES_ANY;
    case TLS_ALLOW:
    case TLS_PREFER:
    case TLS_REQUIRE:
        return server->sslrootcert != NULL ? TLS_FILES_CA : TLS_FILES_ANY;
    case TLS_VERIFY_CA:
        return TLS_FILES_CA;
    case TLS_VERIFY_FULL:
        return TLS_FILES_NAME;
    }
    UNREACHABLE();
}

static bool uses_tls(const struct server_options *server)
{
    return server->sslmode != TLS_DISABLE && (server->host == NULL || server->host[0] != '/');
}

static int load_client_tls(struct snapshot *snapshot, const struct database_options *database,
                           const struct server_options *server,
                           char ret_error[SNAPSHOT_ERROR_BYTES])
{
    char why[TLS_FILES_ERROR_BYTES] = "";
    const struct tls_files files = {
        .cert = server->sslcert,
        .key = server->sslkey,
        .ca = server->sslrootcert,
        .peer = server_peer(server),
    };
    if (!uses_tls(server) || find_client_tls(snapshot, server) != NULL) {
        return 0;
    }
    struct tls_context *context;
    int code = tls_files_load(&files, &context, why);
    if (code != 0) {
        snprintf(ret_error, SNAPSHOT_ERROR_BYTES, "databases.%s: %s", database->name, why);
        return code;
    }
    snapshot->client_tls[snapshot->client_tls_count++] =
        (struct client_tls){.server = server, .context = context};
    return 0;
}

static int load_clients_side(struct snapshot *snapshot, char ret_error[SNAPSHOT_ERROR_BYTES])
{
    const struct options *options = snapshot->options;
    size_t server_count = 0;
    for (uint32_t i = 0; i < options->database_count; i++) {
        server_count += options->databases[i].server_count;
    }
    snapshot->client_tls = calloc(server_count + 1, sizeof(*snapshot->client_tls));
    if (snapshot->client_tls == NULL) {
        return ERR_NO_MEMORY;
    }
    for (uint32_t i = 0; i < options->database_count; i++) {
        const struct database_options *database = &options->databases[i];
        for (uint32_t j = 0; j < database->server_count; j++) {
            int code = load_client_tls(snapshot, database, &database->servers[j], ret_error);
            if (code != 0) {
                return code;
            }
        }
    }
    return 0;
}

static int load_server_side(struct snapshot *snapshot, char ret_error[SNAPSHOT_ERROR_BYTES])
{
    const struct options *options = snapshot->options;
    char why[TLS_FILES_ERROR_BYTES] = "";
    struct tls_files files = {
        .server = true,
        .cert = options->tls.cert,
        .key = options->tls.key,
        .ca = options->tls.ca,
        .min_version_13 = options->tls.min_version_13,
    };
    if (options->tls.mode == TLS_DISABLE || options->tls.cert == NULL) {
        return 0;
    }
    if (options->tls.mode == TLS_VERIFY_CA) {
        files.peer = TLS_FILES_CA;
    } else if (options->tls.mode == TLS_VERIFY_FULL) {
        files.peer = TLS_FILES_NAME;
    }
    int code = tls_files_load(&files, &snapshot->server_tls, why);
    if (code != 0) {
        snprintf(ret_error, SNAPSHOT_ERROR_BYTES, "tls: %s", why);
    }
    return code;
}

int snapshot_new(struct options *options, struct snapshot **ret_snapshot,
                 char ret_error[SNAPSHOT_ERROR_BYTES])
{
    snprintf(ret_error, SNAPSHOT_ERROR_BYTES, "%s", error_message(ERR_NO_MEMORY));
    struct snapshot *snapshot = calloc(1, sizeof(*snapshot));
    if (snapshot == NULL) {
        options_unref(options);
        return ERR_NO_MEMORY;
    }
    atomic_init(&snapshot->references, 1);
    snapshot->options = options;
    int code = load_server_side(snapshot, ret_error);
    if (code == 0) {
        code = load_clients_side(snapshot, ret_error);
    }
    if (code != 0) {
        snapshot_unref(snapshot);
        return code;
    }
    *ret_snapshot = snapshot;
    return 0;
}

struct snapshot *snapshot_ref(struct snapshot *snapshot)
{
    atomic_fetch_add(&snapshot->references, 1);
    return snapshot;
}

void snapshot_unref(struct snapshot *snapshot)
{
    if (snapshot == NULL || atomic_fetch_sub(&snapshot->references, 1) != 1) {
        return;
    }
    for (uint32_t i = 0; i < snapshot->client_tls_count; i++) {
        tls_files_unref(snapshot->client_tls[i].context);
    }
    free(snapshot->client_tls);
    if (snapshot->server_tls != NULL) {
        tls_files_unref(snapshot->server_tls);
    }
    options_unref(snapshot->options);
    free(snapshot);
}
