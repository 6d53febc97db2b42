/* libpq connection strings (PostgreSQL's documentation, section "Connection Strings").
 *
 * Both forms are read as libpq reads them: URIs (postgres://, postgresql://) with percent-encoding,
 * and key=value pairs with quotes and backslashes. A parameter that Howdah cannot honour and whose
 * neglect would change what the user asked for is refused; a harmless one is accepted with a note.
 * libpq's environment variables, service files and password files are not looked at.
 */
#ifndef CONFIG_DSN_H
#define CONFIG_DSN_H

#include "pool/options.h"

#define DSN_MESSAGE_BYTES 400

struct dsn_report {
    char error[DSN_MESSAGE_BYTES]; /* what is wrong, what is allowed; never holds a password */
    char note[DSN_MESSAGE_BYTES];  /* "" or which parameters have no effect */
};

/* Fills *ret_server, whose strings the caller frees with server_options_fini. Without host and
 * hostaddr the host is /var/run/postgresql, as libpq on Debian has it; the port is 5432 by default,
 * sslmode and channel_binding are prefer. Returns 0, ERR_CONFIG with `error` filled, or
 * ERR_NO_MEMORY. */
int dsn_parse(const char *text, struct server_options *ret_server, struct dsn_report *ret_report);

/* The server as key=value pairs that dsn_parse reads back, the password as "********" when there is
 * one and `show_password` is false. NULL when memory is out; the caller frees it. */
char *dsn_format(const struct server_options *server, bool show_password);

/* The values of sslmode and channel_binding; static. */
const char *dsn_sslmode_word(enum tls_mode mode);
const char *dsn_channel_binding_word(enum channel_binding binding);

#endif
