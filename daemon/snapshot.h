/* One accepted configuration with what the shell makes of it: its TLS contexts.
 *
 * Immutable and counted. Certificates and keys are read when a snapshot is made, so a reload takes
 * new files, and one bad file refuses the whole reload.
 */
#ifndef DAEMON_SNAPSHOT_H
#define DAEMON_SNAPSHOT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct options;
struct server_options;
struct tls_context;

/* A context towards servers; the files and the mode are its name. */
struct client_tls {
    const struct server_options *server;
    struct tls_context *context;
};

struct snapshot {
    atomic_uint references;
    struct options *options;
    struct tls_context *server_tls; /* NULL: TLS is not offered to clients */
    struct client_tls *client_tls;
    uint32_t client_tls_count;
};

enum { SNAPSHOT_ERROR_BYTES = 512 };

/* Takes the caller's reference to `options` over, also on failure. One reference; ERR_CONFIG with
 * the reason in `ret_error`, or ERR_NO_MEMORY. */
int snapshot_new(struct options *options, struct snapshot **ret_snapshot,
                 char ret_error[SNAPSHOT_ERROR_BYTES]);

/* One holder more or less; any thread. snapshot_unref takes NULL. */
struct snapshot *snapshot_ref(struct snapshot *snapshot);
void snapshot_unref(struct snapshot *snapshot);

static inline bool snapshot_offers_tls(const struct snapshot *snapshot)
{
    return snapshot->server_tls != NULL;
}

/* The context for connections to `server`, which may be of an older snapshot, and the host that its
 * certificate must name; NULL when this snapshot has none like it. */
struct tls_context *snapshot_client_tls(const struct snapshot *snapshot,
                                        const struct server_options *server, const char **ret_host);

#endif
