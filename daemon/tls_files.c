#include "daemon/tls_files.h"

#include "base/assert.h"
#include "protocol/tls.h"

_Static_assert(TLS_FILES_ERROR_BYTES == TLS_ERROR_BYTES, "the texts must fit");

static enum tls_peer peer_of(enum tls_files_peer peer)
{
    switch (peer) {
    case TLS_FILES_ANY:
        return TLS_PEER_ANY;
    case TLS_FILES_CA:
        return TLS_PEER_CA;
    case TLS_FILES_NAME:
        return TLS_PEER_NAME;
    }
    UNREACHABLE();
}

int tls_files_load(const struct tls_files *files, struct tls_context **ret_context,
                   char ret_error[TLS_FILES_ERROR_BYTES])
{
    const struct tls_options options = {
        .cert = files->cert,
        .key = files->key,
        .ca = files->ca,
        .peer = peer_of(files->peer),
        .min_version = files->min_version_13 ? TLS_VERSION_1_3 : TLS_VERSION_1_2,
    };
    return tls_context_new(files->server, &options, ret_context, ret_error);
}

void tls_files_unref(struct tls_context *context)
{
    tls_context_unref(context);
}
