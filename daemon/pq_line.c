#include "daemon/pq_line.h"

#include <libpq-fe.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>

#include "base/assert.h"
#include "base/list.h"

enum { SQLSTATE_BYTES = 6 };

/* --- watching --------------------------------------------------------------------------------- */

/* Before whatever may make libpq close its socket and open another: a descriptor that is watched
 * must be open. */
static void stop_watching(struct pq_line *line)
{
    (void)watch_set(line->epoll_fd, line->fd, &line->watch, 0);
}

static bool watch_for(struct pq_line *line, uint32_t events)
{
    line->fd = PQsocket(line->connection);
    return line->fd >= 0 &&
           watch_set(line->epoll_fd, line->fd, &line->watch, events | EPOLLRDHUP) == 0;
}

/* The first line of it. */
static void note_why(struct pq_line *line, const char *text)
{
    const char *why = text[0] == '\0' ? "the connection was lost" : text;
    snprintf(line->why, sizeof(line->why), "%.*s", (int)strcspn(why, "\n"), why);
}

void pq_line_close(struct pq_line *line)
{
    if (line->connection != NULL && PQsocket(line->connection) != line->fd) {
        line->watch.events = 0; /* libpq has closed it, which took it out of the set */
    }
    stop_watching(line);
    pq_line_free(line);
}

void pq_line_free(struct pq_line *line)
{
    PQclear(line->result);
    PQfinish(line->connection);
    line->result = NULL;
    line->connection = NULL;
    line->state = PQ_LINE_NONE;
}

/* libpq tells the SQLSTATE of a login that was refused in its text alone (PQERRORS_VERBOSE):
 * "... failed: FATAL:  53300: sorry, too many clients already". "" = there is none. Of several
 * attempts (sslmode=prefer) the first counts. */
static void find_sqlstate(const char *why, char ret_sqlstate[SQLSTATE_BYTES])
{
    static const char letters[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ";
    ret_sqlstate[0] = '\0';
    for (const char *at = strstr(why, ":  "); at != NULL; at = strstr(at + 1, ":  ")) {
        if (strspn(at + 3, letters) == SQLSTATE_BYTES - 1 && at[3 + SQLSTATE_BYTES - 1] == ':') {
            memcpy(ret_sqlstate, at + 3, SQLSTATE_BYTES - 1);
            ret_sqlstate[SQLSTATE_BYTES - 1] = '\0';
            return;
        }
    }
}

/* Whether a login was refused for who we are, or for want of room: a server that starts, stops or
 * recovers says 57P03, and one that isn't there says nothing. */
static bool is_shut_out(const struct pq_line *line, const char *why)
{
    static const char *const states[] = {
        "28",    /* user, password, pg_hba.conf */
        "53",    /* no connection left, no memory */
        "3D000", /* no such database */
        "42501", /* no CONNECT privilege */
        "55000", /* the database takes none (datallowconn) */
    };
    char sqlstate[SQLSTATE_BYTES];
    if (line->state != PQ_LINE_CONNECTING || line->connection == NULL) {
        return false;
    }
    find_sqlstate(why, sqlstate);
    bool is = PQconnectionNeedsPassword(line->connection) != 0;
    for (size_t i = 0; i < sizeof(states) / sizeof(states[0]); i++) {
        is = is || strncmp(sqlstate, states[i], strlen(states[i])) == 0;
    }
    return is;
}

static void break_off(struct pq_line *line, const char *why)
{
    line->shut_out = is_shut_out(line, why);
    note_why(line, why);
    pq_line_close(line);
    line->heard(line, PQ_LINE_BROKEN);
}

/* --- asking ----------------------------------------------------------------------------------- */

static void watch_or_break(struct pq_line *line, uint32_t events)
{
    if (!watch_for(line, events)) {
        break_off(line, "the socket cannot be watched");
    }
}

static void sent(struct pq_line *line, int code)
{
    int pending = code == 1 ? PQflush(line->connection) : -1;
    PQclear(line->result);
    line->result = NULL;
    line->state = PQ_LINE_BUSY;
    if (pending < 0) {
        break_off(line, PQerrorMessage(line->connection));
    } else {
        watch_or_break(line, EPOLLIN | (pending > 0 ? EPOLLOUT : 0));
    }
}

void pq_line_ask(struct pq_line *line, const char *query)
{
    ASSERT(line->state == PQ_LINE_IDLE);
    sent(line, PQsendQuery(line->connection, query));
}

void pq_line_execute(struct pq_line *line, const char *statement)
{
    ASSERT(line->state == PQ_LINE_IDLE);
    sent(line, PQsendQueryPrepared(line->connection, statement, 0, NULL, NULL, NULL, 1));
}

/* All results are in. */
static void settle(struct pq_line *line)
{
    if (PQstatus(line->connection) == CONNECTION_BAD) {
        break_off(line, PQerrorMessage(line->connection));
        return;
    }
    line->state = PQ_LINE_IDLE;
    line->heard(line, PQ_LINE_ANSWERED);
}

static void consume(struct pq_line *line)
{
    int pending = PQflush(line->connection);
    if (pending < 0 || PQconsumeInput(line->connection) == 0) {
        break_off(line, PQerrorMessage(line->connection));
        return;
    }
    while (!PQisBusy(line->connection)) {
        PGresult *result = PQgetResult(line->connection);
        if (result == NULL) {
            settle(line);
            return;
        }
        PQclear(line->result);
        line->result = result;
    }
    watch_or_break(line, EPOLLIN | (pending > 0 ? EPOLLOUT : 0));
}

/* A server has nothing to say unasked, but that it ends. */
static void hear_unasked(struct pq_line *line, uint32_t events)
{
    bool ended = PQconsumeInput(line->connection) == 0 ||
                 PQstatus(line->connection) == CONNECTION_BAD ||
                 (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0;
    if (ended) {
        break_off(line, PQerrorMessage(line->connection));
    }
}

/* --- connecting ------------------------------------------------------------------------------- */

static void step_connect(struct pq_line *line)
{
    stop_watching(line);
    PostgresPollingStatusType status = PQconnectPoll(line->connection);
    if (status == PGRES_POLLING_FAILED) {
        break_off(line, PQerrorMessage(line->connection));
    } else if (status != PGRES_POLLING_OK) {
        watch_or_break(line, status == PGRES_POLLING_READING ? EPOLLIN : EPOLLOUT);
    } else if (!watch_for(line, EPOLLIN)) {
        break_off(line, "the socket cannot be watched");
    } else {
        PQsetnonblocking(line->connection, 1);
        line->state = PQ_LINE_IDLE;
        line->heard(line, PQ_LINE_READY);
    }
}

void pq_line_connect(struct pq_line *line, const struct pq_login *login, const char *address,
                     const char *application_name)
{
    ASSERT(line->state == PQ_LINE_NONE);
    line->state = PQ_LINE_CONNECTING;
    line->connection = pq_begin(login, address, application_name);
    if (line->connection == NULL || PQstatus(line->connection) == CONNECTION_BAD) {
        break_off(line,
                  line->connection == NULL ? "out of memory" : PQerrorMessage(line->connection));
    } else {
        (void)PQsetErrorVerbosity(line->connection, PQERRORS_VERBOSE);
        watch_or_break(line, EPOLLOUT); /* as after PGRES_POLLING_WRITING */
    }
}

/* --- events ----------------------------------------------------------------------------------- */

static void on_ready(struct watch *watch, uint32_t events)
{
    struct pq_line *line = CONTAINER_OF(watch, struct pq_line, watch);
    switch (line->state) {
    case PQ_LINE_NONE:
        return; /* closed in this turn */
    case PQ_LINE_CONNECTING:
        step_connect(line);
        return;
    case PQ_LINE_IDLE:
        hear_unasked(line, events);
        return;
    case PQ_LINE_BUSY:
        consume(line);
        return;
    }
    UNREACHABLE();
}

void pq_line_init(struct pq_line *line, int epoll_fd,
                  void (*heard)(struct pq_line *line, enum pq_line_news news))
{
    *line = (struct pq_line){.epoll_fd = epoll_fd, .fd = -1, .heard = heard};
    line->watch.ready = on_ready;
}

/* --- results ---------------------------------------------------------------------------------- */

bool pq_line_row(struct pq_line *line, int columns)
{
    const PGresult *result = line->result;
    bool good = PQresultStatus(result) == PGRES_TUPLES_OK && PQntuples(result) == 1 &&
                PQnfields(result) == columns;
    if (!good) {
        note_why(line, PQerrorMessage(line->connection));
    }
    return good;
}

bool pq_line_null(const struct pq_line *line, int column)
{
    return PQgetisnull(line->result, 0, column) != 0;
}

const char *pq_line_text(const struct pq_line *line, int column)
{
    return pq_line_null(line, column) ? NULL : PQgetvalue(line->result, 0, column);
}

uint64_t pq_line_binary(const struct pq_line *line, int column)
{
    const uint8_t *bytes = (const uint8_t *)PQgetvalue(line->result, 0, column);
    int count = PQgetlength(line->result, 0, column);
    uint64_t value = 0;
    for (int i = 0; i < count; i++) {
        value = value << 8 | bytes[i];
    }
    return value;
}
