#include "daemon/pq.h"

#include <errno.h>
#include <libpq-fe.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/error.h"
#include "base/text.h"
#include "config/dsn.h"
#include "pool/options.h"
#include "protocol/userlist.h"

#define PREPARE_US (2 * 1000000ULL)

/* What role, database and cluster set (ALTER ROLE … SET) holds from the login on, and might let the
 * first statement fail; this comes before them. What any version from 11 on knows, and anybody may
 * set. */
static const char plain_options[] = "-c search_path= -c role=none -c statement_timeout=2000"
                                    " -c lock_timeout=0 -c idle_in_transaction_session_timeout=0"
                                    " -c default_transaction_isolation=read\\ committed"
                                    " -c default_transaction_read_only=on"
                                    " -c default_transaction_deferrable=off"
                                    " -c datestyle=ISO,YMD -c timezone=UTC"
                                    " -c local_preload_libraries=";

/* A setting that there is from that version on is off. */
#define SINCE(version, setting)                                                     \
    "CASE WHEN pg_catalog.current_setting('server_version_num')::pg_catalog.int4 "  \
    "OPERATOR(pg_catalog.>=) " version " THEN pg_catalog.set_config('" setting "'," \
    " '0', false) END"

/* The same once more, for who stands between and passes no options on; and what else a login may
 * have set. */
static const char prepare_session[] =
    "SELECT pg_catalog.set_config('search_path', '', false), "
    "pg_catalog.set_config('statement_timeout', '2000', false), "
    "pg_catalog.set_config('default_transaction_read_only', 'on', false), "
    "pg_catalog.set_config('datestyle', 'ISO, YMD', false), "
    "pg_catalog.set_config('timezone', 'UTC', false), "
    "pg_catalog.set_config('client_encoding', pg_catalog.getdatabaseencoding(), false), " SINCE(
        "140000", "idle_session_timeout") ", " SINCE("170000", "transaction_timeout");

const char *pq_plain_session(void)
{
    return prepare_session;
}

struct pq_login pq_login_at(const struct options *options, const struct database_options *database,
                            const struct server_options *server, const char *name, const char *user)
{
    const char *service = database->service_user;
    struct pq_login login = {.server = server, .database = name, .user = user};
    if (user == NULL) {
        login.user = service != NULL ? service : server->user;
    }
    if (login.user == NULL) {
        return login;
    }
    if (text_same(login.user, service) && database->service_password != NULL) {
        login.password = database->service_password;
    } else if (text_same(login.user, server->user) && server->password != NULL) {
        login.password = server->password;
    } else if (options->users_secrets != NULL) {
        login.password = userlist_find(options->users_secrets, login.user);
    }
    return login;
}

static uint64_t now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

/* How late a query is stopped. */
#define STOP_US (100 * 1000ULL)

/* Waits for the socket until the deadline, or until it is to stop (NULL: never): 0,
 * ERR_QUERY_TIMEOUT or ERR_CANCELED. */
static int wait_for(int fd, short events, uint64_t deadline_us, const struct pq_stop *stop)
{
    for (;;) {
        uint64_t now = now_us();
        if (now >= deadline_us) {
            return ERR_QUERY_TIMEOUT;
        }
        uint64_t for_us = deadline_us - now;
        bool may_stop = stop != NULL && stop->count != NULL;
        if (may_stop && atomic_load(stop->count) != stop->seen) {
            return ERR_CANCELED;
        }
        for_us = may_stop && for_us > STOP_US ? STOP_US : for_us;
        struct pollfd poller = {.fd = fd, .events = events};
        int ready = poll(&poller, 1, (int)((for_us + 999) / 1000));
        if (ready > 0) {
            return 0;
        }
        if (ready < 0 && errno != EINTR) {
            return ERR_SERVER_LOST;
        }
    }
}

/* --- connecting ------------------------------------------------------------------------------ */

/* A file that can't exist, about which libpq is silent: where none is given it takes one of the
 * home folder's (~/.pgpass, ~/.postgresql/). */
#define NO_FILE "/dev/null/none"

static const char *file_of(const char *given)
{
    return given != NULL ? given : NO_FILE;
}

/* The first libpq that knows sslnegotiation; older ones ask the server whether it speaks TLS. */
enum { LIBPQ_NEGOTIATES = 170000 };

struct parameters {
    const char *keys[24], *values[24];
    uint32_t count;
};

static void add(struct parameters *parameters, const char *key, const char *value)
{
    if (value != NULL) {
        parameters->keys[parameters->count] = key;
        parameters->values[parameters->count++] = value;
    }
}

static void ignore_notice(void *argument, const PGresult *notice)
{
    (void)argument;
    (void)notice;
}

struct pg_conn *pq_begin(const struct pq_login *login, const char *address,
                         const char *application_name)
{
    const struct server_options *server = login->server;
    struct parameters parameters = {.count = 0};
    char port[8];
    snprintf(port, sizeof(port), "%u", server->port);
    add(&parameters, "host", server->host);
    add(&parameters, "hostaddr",
        address != NULL && address[0] != '\0' ? address : server->hostaddr);
    add(&parameters, "port", port);
    add(&parameters, "dbname", server->dbname != NULL ? server->dbname : login->database);
    add(&parameters, "user", login->user);
    add(&parameters, "password", login->password);
    add(&parameters, "passfile", NO_FILE);
    add(&parameters, "sslmode", dsn_sslmode_word(server->sslmode));
    add(&parameters, "sslrootcert", file_of(server->sslrootcert));
    add(&parameters, "sslcert", file_of(server->sslcert));
    add(&parameters, "sslkey", file_of(server->sslkey));
    add(&parameters, "sslcrl", NO_FILE);
    add(&parameters, "gssencmode", "disable");
    add(&parameters, "channel_binding", dsn_channel_binding_word(server->channel_binding));
    add(&parameters, "options", plain_options);
    add(&parameters, "application_name", application_name);
    if (server->ssl_direct && PQlibVersion() >= LIBPQ_NEGOTIATES) {
        add(&parameters, "sslnegotiation", "direct");
    }
    /* No expand_dbname: a database's name that looks like a connection string is a name. */
    PGconn *connection = PQconnectStartParams(parameters.keys, parameters.values, 0);
    if (connection != NULL) {
        PQsetNoticeReceiver(connection, ignore_notice, NULL);
    }
    return connection;
}

static int connect_until(PGconn *connection, uint64_t deadline_us)
{
    PostgresPollingStatusType status = PGRES_POLLING_WRITING;
    while (PQstatus(connection) != CONNECTION_BAD && status != PGRES_POLLING_FAILED) {
        if (status == PGRES_POLLING_OK) {
            return 0;
        }
        short events = status == PGRES_POLLING_READING ? POLLIN : POLLOUT;
        int code = wait_for(PQsocket(connection), events, deadline_us, NULL);
        if (code != 0) {
            return code;
        }
        status = PQconnectPoll(connection);
    }
    return ERR_CONNECT;
}

/* --- asking ---------------------------------------------------------------------------------- */

/* Gets the last result of what was sent. ERR_QUERY_TIMEOUT, ERR_SERVER_LOST, ERR_CANCELED. */
static int get_result(PGconn *connection, uint64_t deadline_us, const struct pq_stop *stop,
                      PGresult **ret_result)
{
    PGresult *last = NULL;
    for (;;) {
        int pending = PQflush(connection);
        while (PQisBusy(connection)) {
            short events = (short)(POLLIN | (pending > 0 ? POLLOUT : 0));
            int code = wait_for(PQsocket(connection), events, deadline_us, stop);
            if (code == 0 && PQconsumeInput(connection) == 0) {
                code = ERR_SERVER_LOST;
            }
            if (code != 0) {
                PQclear(last);
                return code;
            }
            pending = PQflush(connection);
        }
        PGresult *result = PQgetResult(connection);
        if (result == NULL) {
            *ret_result = last;
            return last != NULL ? 0 : ERR_SERVER_LOST;
        }
        PQclear(last);
        last = result;
    }
}

int pq_run(struct pg_conn *connection, const char *query, const char *parameter,
           uint64_t timeout_us, struct pg_result **ret_result)
{
    const char *values[] = {parameter};
    int sent = PQsendQueryParams(connection, query, parameter != NULL ? 1 : 0, NULL,
                                 parameter != NULL ? values : NULL, NULL, NULL, 0);
    return sent ? get_result(connection, now_us() + timeout_us, NULL, ret_result) : ERR_SERVER_LOST;
}

int pq_run_until(struct pg_conn *connection, const char *query, const struct pq_stop *stop,
                 uint64_t timeout_us, struct pg_result **ret_result)
{
    if (!PQsendQueryParams(connection, query, 0, NULL, NULL, NULL, NULL, 0)) {
        return ERR_SERVER_LOST;
    }
    int code = get_result(connection, now_us() + timeout_us, stop, ret_result);
    PGcancel *cancel = code == ERR_CANCELED ? PQgetCancel(connection) : NULL;
    if (cancel != NULL) {
        char ignored[PQ_DETAIL_BYTES];
        (void)PQcancel(cancel, ignored, sizeof(ignored)); /* else it runs until its own timeout */
        PQfreeCancel(cancel);
    }
    return code;
}

static int fail(PGconn *connection, int code, const char *text, char ret_detail[PQ_DETAIL_BYTES])
{
    snprintf(ret_detail, PQ_DETAIL_BYTES, "%.*s", (int)strcspn(text, "\n"), text);
    PQfinish(connection);
    return code;
}

int pq_open(const struct pq_login *login, const char *application_name,
            struct pg_conn **ret_connection, char ret_detail[PQ_DETAIL_BYTES])
{
    PGconn *connection = pq_begin(login, NULL, application_name);
    if (connection == NULL) {
        return fail(NULL, ERR_NO_MEMORY, error_message(ERR_NO_MEMORY), ret_detail);
    }
    int code = connect_until(connection, now_us() + PQ_CONNECT_US);
    if (code != 0) {
        return fail(connection, code == ERR_NO_MEMORY ? code : ERR_CONNECT,
                    code == ERR_QUERY_TIMEOUT ? "connecting took too long"
                                              : PQerrorMessage(connection),
                    ret_detail);
    }
    PGresult *result = NULL;
    PQsetnonblocking(connection, 1);
    code = pq_run(connection, prepare_session, NULL, PREPARE_US, &result);
    bool prepared = code == 0 && PQresultStatus(result) == PGRES_TUPLES_OK;
    PQclear(result);
    if (!prepared) {
        return fail(connection, code != 0 ? code : ERR_SERVER_LOST, PQerrorMessage(connection),
                    ret_detail);
    }
    *ret_connection = connection;
    return 0;
}
