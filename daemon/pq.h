/* A session of our own at a server, over libpq, for a thread of the pool: secrets, catalogs.
 *
 * It inherits nothing from any client: its parameters are given explicitly, the process's PG...
 * variables are gone (daemon/process.h), no file of the home folder is read. What role, database or
 * cluster set counts for nothing: search_path is empty, statements are read-only, READ COMMITTED
 * and of bounded time, and they name what they use by schema or find it in pg_catalog. Everything
 * blocks, and has a deadline.
 */
#ifndef DAEMON_PQ_H
#define DAEMON_PQ_H

#include <stdatomic.h>
#include <stdint.h>

struct database_options;
struct options;
struct pg_conn; /* libpq's PGconn and PGresult */
struct pg_result;
struct server_options;

enum { PQ_DETAIL_BYTES = 256, PQ_PLAIN_COLUMNS = 8 };

#define PQ_CONNECT_US (5 * 1000000ULL)

/* Where and as whom; borrowed strings. */
struct pq_login {
    const struct server_options *server;
    const char *database;        /* unless the server has a dbname */
    const char *user, *password; /* NULL: not given; libpq's default user, no password */
};

/* At one of the database's servers, as `user`, or (NULL) as the database's service login, else as
 * the connection string's own user, else as nobody: then the login's user is NULL. `name` is the
 * database's, as clients say it; the strings are the options' and the caller's. */
struct pq_login pq_login_at(const struct options *options, const struct database_options *database,
                            const struct server_options *server, const char *name,
                            const char *user);

/* Begins to log in without blocking, as PQconnectStart does, at this address of the server (NULL
 * or "": libpq finds one, and blocks for a name). The caller's to PQfinish; NULL when memory is
 * out. */
struct pg_conn *pq_begin(const struct pq_login *login, const char *address,
                         const char *application_name);

/* The query that makes a session plain, for those who don't block; it answers one row of
 * PQ_PLAIN_COLUMNS. */
const char *pq_plain_session(void);

/* Logs in and makes the session plain: statements end after 2 s. The caller's to PQfinish;
 * ERR_CONNECT, ERR_QUERY_TIMEOUT, ERR_SERVER_LOST or ERR_NO_MEMORY with why in `ret_detail`. */
int pq_open(const struct pq_login *login, const char *application_name,
            struct pg_conn **ret_connection, char ret_detail[PQ_DETAIL_BYTES]);

/* The last result of a query, with one parameter or none (NULL): the caller's to PQclear, whatever
 * its status. ERR_QUERY_TIMEOUT, ERR_SERVER_LOST: there is none, and the session is of no more
 * use. */
int pq_run(struct pg_conn *connection, const char *query, const char *parameter,
           uint64_t timeout_us, struct pg_result **ret_result);

/* Counts up when whoever runs a query is to stop. */
struct pq_stop {
    const atomic_uint *count; /* NULL: never */
    unsigned seen;            /* before the query */
};

/* The same without a parameter, but when it is to stop, the server is told to cancel the query:
 * ERR_CANCELED, and the session is of no more use. */
int pq_run_until(struct pg_conn *connection, const char *query, const struct pq_stop *stop,
                 uint64_t timeout_us, struct pg_result **ret_result);

#endif
