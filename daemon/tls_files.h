/* TLS contexts by the names that options use. It stands between pool/options.h and protocol/tls.h,
 * which both have a struct tls_options and so cannot be included together. */
#ifndef DAEMON_TLS_FILES_H
#define DAEMON_TLS_FILES_H

#include <stdbool.h>

struct tls_context;

enum tls_files_peer { TLS_FILES_ANY, TLS_FILES_CA, TLS_FILES_NAME };

enum { TLS_FILES_ERROR_BYTES = 256 };

struct tls_files {
    bool server;                 /* our side is the server's */
    const char *cert, *key, *ca; /* NULL: not given */
    enum tls_files_peer peer;
    bool min_version_13;
};

/* As tls_context_new. */
int tls_files_load(const struct tls_files *files, struct tls_context **ret_context,
                   char ret_error[TLS_FILES_ERROR_BYTES]);

/* As tls_context_unref. */
void tls_files_unref(struct tls_context *context);

#endif
