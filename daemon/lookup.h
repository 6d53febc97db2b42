/* Asking a PostgreSQL server for users' secrets, over a session of daemon/pq.h, in a thread of the
 * pool.
 *
 * Everything has a deadline. A row is believed only if it is the only one and has the asked name in
 * its first column.
 */
#ifndef DAEMON_LOOKUP_H
#define DAEMON_LOOKUP_H

#include <stdbool.h>
#include <stdint.h>

#include "daemon/pq.h"

enum {
    LOOKUP_BATCH_MAX = 32, /* keys to one connection */
    LOOKUP_SECRET_BYTES = 1024,
    LOOKUP_DETAIL_BYTES = PQ_DETAIL_BYTES,
};

#define LOOKUP_QUERY_US (2 * 1000000ULL)

/* Where, as whom, and what to ask; borrowed strings. */
struct lookup_source {
    struct pq_login login;
    const char *query; /* NULL: the built-in one, on pg_authid */
};

struct lookup_result {
    int code; /* 0, ERR_CONNECT, ERR_QUERY_TIMEOUT, ERR_PRIVILEGE, ERR_SERVER_LOST, ERR_BAD_VALUE */
    bool found;      /* with code 0: one row */
    bool has_secret; /* and it has a secret */
    bool expires;
    int64_t valid_until_us; /* since 1970; the secret is no longer good at that time */
    char secret[LOOKUP_SECRET_BYTES];
    char detail[LOOKUP_DETAIL_BYTES]; /* of a failure */
};

/* Blocks. One result for each user; wipe them. */
void lookup_run(const struct lookup_source *source, char *const *users, uint32_t user_count,
                struct lookup_result *ret_results);

/* "2030-01-01 00:00:00+00" as PostgreSQL writes it in ISO style, "infinity" and "-infinity" too.
 * ERR_BAD_VALUE for anything else. */
int lookup_parse_time(const char *text, int64_t *ret_us);

#endif
