#include "daemon/probe.h"

#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <uv.h>

#include "base/assert.h"
#include "base/list.h"
#include "base/random.h"
#include "daemon/resolver.h"
#include "daemon/watch.h"
#include "daemon/worker.h"
#include "pool/options.h"

enum {
    RESOLVE_MS = 1000,
    CONNECT_MS = 1500, /* connection, login and settings */
    ANSWER_MS = 1000,
    RETRY_MS = 100, /* after the first failure; then doubled */
    RETRY_MAX_MS = 4000,
    ADDRESS_BYTES = 64,
};

#define RENEW_US (10 * 1000000ULL)

/* One round trip for all that is to be known. In recovery pg_stat_wal_receiver tells the timeline
 * at once, but only to members of pg_read_all_stats; the control file some time after a switch. */
static const char question[] =
    "SELECT r, "
    "CASE WHEN r THEN pg_catalog.pg_last_wal_replay_lsn()"
    " ELSE pg_catalog.pg_current_wal_insert_lsn() END - '0/0'::pg_catalog.pg_lsn, "
    "CASE WHEN r THEN GREATEST("
    "(SELECT received_tli FROM pg_catalog.pg_stat_wal_receiver),"
    " (SELECT timeline_id FROM pg_catalog.pg_control_checkpoint()),"
    " (SELECT min_recovery_end_timeline FROM pg_catalog.pg_control_recovery()))"
    " ELSE ('x' || pg_catalog.substr(pg_catalog.pg_walfile_name("
    "pg_catalog.pg_current_wal_insert_lsn()), 1, 8))::pg_catalog.bit(32)::pg_catalog.int4 END, "
    "(SELECT system_identifier FROM pg_catalog.pg_control_system()), "
    "(EXTRACT(epoch FROM pg_catalog.pg_postmaster_start_time()) * 1000000)::pg_catalog.int8, "
    "(SELECT bytes_per_wal_segment FROM pg_catalog.pg_control_init()), "
    "CASE WHEN r THEN pg_catalog.pg_is_wal_replay_paused() ELSE false END "
    "FROM (SELECT pg_catalog.pg_is_in_recovery() AS r OFFSET 0) AS s";

enum column {
    COLUMN_IN_RECOVERY,
    COLUMN_LSN,
    COLUMN_TIMELINE,
    COLUMN_SYSTEM,
    COLUMN_STARTED,
    COLUMN_SEGMENT,
    COLUMN_PAUSED,
    COLUMNS,
};

enum probe_state {
    PROBE_RESTING,
    PROBE_RESOLVING,
    PROBE_CONNECTING,
    PROBE_PREPARING,
    PROBE_ASKING,
};

struct probe {
    struct probe_setup setup;
    enum probe_state state;
    uv_timer_t timer;
    struct random random;
    struct resolver_wait wait;
    uint32_t attempts; /* to choose among several addresses */
    uint32_t no_names; /* answers of the name service in a row */
    uint32_t failures; /* in a row */

    PGconn *connection; /* NULL: none */
    PGresult *result;   /* the last one of what was sent */
    struct watch watch;
    int fd; /* that is watched */
    uint64_t renew_us, asked_us;
    char address[ADDRESS_BYTES];      /* of the connection, or of the next one */
    char last_address[ADDRESS_BYTES]; /* that has accepted a connection */
};

static uint64_t now_us(const struct probe *probe)
{
    return worker_now_us(probe->setup.worker);
}

/* --- waiting ---------------------------------------------------------------------------------- */

static void on_timer(uv_timer_t *timer);

static void wait_ms(struct probe *probe, enum probe_state state, uint64_t ms)
{
    probe->state = state;
    uv_timer_start(&probe->timer, on_timer, ms, 0);
}

/* A tenth more or less, so that many probes don't ask in step. */
static void rest(struct probe *probe, uint32_t ms)
{
    uint64_t jitter = random_below(&probe->random, ms / 5 + 1);
    wait_ms(probe, PROBE_RESTING, ms - ms / 10 + jitter);
}

/* Before whatever may make libpq close its socket: a descriptor that is watched must be open. */
static void stop_watching(struct probe *probe)
{
    if (probe->watch.events != 0) {
        (void)watch_set(probe->setup.worker->epoll_fd, probe->fd, &probe->watch, 0);
    }
}

static void disconnect(struct probe *probe)
{
    stop_watching(probe);
    PQclear(probe->result);
    PQfinish(probe->connection);
    probe->result = NULL;
    probe->connection = NULL;
}

/* Ends the attempt; the connection goes, too. */
static void fail(struct probe *probe, enum node_failure failure, const char *text)
{
    const char *why = text[0] == '\0' ? "the connection was lost" : text;
    char line[NODE_REASON_BYTES];
    snprintf(line, sizeof(line), "%.*s", (int)strcspn(why, "\n"), why);
    disconnect(probe);
    probe->attempts++;
    uint32_t shift = probe->failures < 6 ? probe->failures : 6;
    uint32_t delay_ms = (uint32_t)RETRY_MS << shift;
    probe->failures++;
    rest(probe, delay_ms < RETRY_MAX_MS ? delay_ms : RETRY_MAX_MS);
    (void)probe->setup.failed(probe->setup.argument, probe->setup.number, failure, line);
}

static bool watch_for(struct probe *probe, uint32_t events)
{
    probe->fd = PQsocket(probe->connection);
    return probe->fd >= 0 && watch_set(probe->setup.worker->epoll_fd, probe->fd, &probe->watch,
                                       events | EPOLLRDHUP) == 0;
}

/* --- asking ----------------------------------------------------------------------------------- */

static void send_query(struct probe *probe, const char *query)
{
    stop_watching(probe);
    int pending = PQsendQuery(probe->connection, query) == 1 ? PQflush(probe->connection) : -1;
    if (pending < 0 || !watch_for(probe, EPOLLIN | (pending > 0 ? EPOLLOUT : 0))) {
        fail(probe, NODE_REFUSED, PQerrorMessage(probe->connection));
    }
}

static void ask(struct probe *probe)
{
    wait_ms(probe, PROBE_ASKING, ANSWER_MS);
    probe->setup.asks(probe->setup.argument, probe->setup.number);
    probe->asked_us = now_us(probe); /* before it is sent */
    send_query(probe, question);
}

static uint64_t number_of(const PGresult *result, enum column column)
{
    return PQgetisnull(result, 0, column) ? 0 : strtoull(PQgetvalue(result, 0, column), NULL, 10);
}

static bool truth_of(const PGresult *result, enum column column)
{
    return PQgetvalue(result, 0, column)[0] == 't';
}

static void take_answer(struct probe *probe)
{
    const PGresult *result = probe->result;
    const struct node_answer answer = {
        .in_recovery = truth_of(result, COLUMN_IN_RECOVERY),
        .has_lsn = !PQgetisnull(result, 0, COLUMN_LSN),
        .paused = truth_of(result, COLUMN_PAUSED),
        .lsn = number_of(result, COLUMN_LSN),
        .timeline = (uint32_t)number_of(result, COLUMN_TIMELINE),
        .segment_bytes = (uint32_t)number_of(result, COLUMN_SEGMENT),
        .system_id = number_of(result, COLUMN_SYSTEM),
        .started_us = number_of(result, COLUMN_STARTED),
        .asked_us = probe->asked_us,
        .answered_us = now_us(probe),
    };
    PQclear(probe->result);
    probe->result = NULL;
    probe->failures = 0;
    rest(probe, probe->setup.interval_ms);
    if (watch_for(probe, EPOLLIN)) {
        probe->setup.answered(probe->setup.argument, probe->setup.number, &answer);
    } else {
        fail(probe, NODE_REFUSED, "the socket cannot be watched");
    }
}

/* All results of what was sent are in. */
static void settle(struct probe *probe)
{
    PGresult *result = probe->result;
    bool good =
        result != NULL && PQresultStatus(result) == PGRES_TUPLES_OK && PQntuples(result) == 1;
    if (PQstatus(probe->connection) == CONNECTION_BAD) {
        fail(probe, NODE_REFUSED, PQerrorMessage(probe->connection));
    } else if (probe->state == PROBE_PREPARING && good) {
        PQclear(result);
        probe->result = NULL;
        ask(probe);
    } else if (probe->state == PROBE_ASKING && good && PQnfields(result) == COLUMNS) {
        take_answer(probe);
    } else {
        /* A promotion in the middle of the question is one cause: to be asked again. */
        fail(probe, NODE_LATE, PQerrorMessage(probe->connection));
    }
}

static void consume(struct probe *probe)
{
    stop_watching(probe);
    int pending = PQflush(probe->connection);
    if (PQconsumeInput(probe->connection) == 0 || pending < 0) {
        fail(probe, NODE_REFUSED, PQerrorMessage(probe->connection));
        return;
    }
    while (!PQisBusy(probe->connection)) {
        PGresult *result = PQgetResult(probe->connection);
        if (result == NULL) {
            settle(probe);
            return;
        }
        PQclear(probe->result);
        probe->result = result;
    }
    if (!watch_for(probe, EPOLLIN | (pending > 0 ? EPOLLOUT : 0))) {
        fail(probe, NODE_REFUSED, "the socket cannot be watched");
    }
}

/* A server has nothing to say unasked, but that it ends. */
static void hear_unasked(struct probe *probe, uint32_t events)
{
    stop_watching(probe);
    bool ended = PQconsumeInput(probe->connection) == 0 ||
                 PQstatus(probe->connection) == CONNECTION_BAD ||
                 (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0;
    if (ended || !watch_for(probe, EPOLLIN)) {
        fail(probe, NODE_REFUSED, PQerrorMessage(probe->connection));
    }
}

/* --- connecting ------------------------------------------------------------------------------- */

static void take_connection(struct probe *probe)
{
    char why[NODE_REASON_BYTES];
    bool moved = strcmp(probe->address, probe->last_address) != 0;
    if (moved && probe->last_address[0] != '\0') {
        snprintf(why, sizeof(why), "its name means %s now", probe->address);
        probe->setup.moved(probe->setup.argument, probe->setup.number, why);
    }
    memcpy(probe->last_address, probe->address, sizeof(probe->address));
    probe->renew_us = now_us(probe) + RENEW_US;
    probe->state = PROBE_PREPARING;
    PQsetnonblocking(probe->connection, 1);
    send_query(probe, pq_plain_session());
}

static void step_connect(struct probe *probe)
{
    stop_watching(probe);
    PostgresPollingStatusType status = PQconnectPoll(probe->connection);
    if (status == PGRES_POLLING_OK) {
        take_connection(probe);
    } else if (status == PGRES_POLLING_FAILED) {
        fail(probe, NODE_REFUSED, PQerrorMessage(probe->connection));
    } else if (!watch_for(probe, status == PGRES_POLLING_READING ? EPOLLIN : EPOLLOUT)) {
        fail(probe, NODE_REFUSED, "the socket cannot be watched");
    }
}

static void start_connect(struct probe *probe)
{
    disconnect(probe);
    wait_ms(probe, PROBE_CONNECTING, CONNECT_MS);
    probe->connection = pq_begin(&probe->setup.login, probe->address, "howdah probe");
    if (probe->connection == NULL || PQstatus(probe->connection) == CONNECTION_BAD) {
        fail(probe, NODE_REFUSED,
             probe->connection == NULL ? "out of memory" : PQerrorMessage(probe->connection));
    } else if (!watch_for(probe, EPOLLOUT)) { /* as after PGRES_POLLING_WRITING */
        fail(probe, NODE_REFUSED, "the socket cannot be watched");
    }
}

/* The name could not be looked up, this time. */
static void go_on_without_name(struct probe *probe, enum node_failure failure, const char *why)
{
    if (probe->connection == NULL) {
        fail(probe, failure, why);
    } else {
        ask(probe);
    }
}

/* The address of the connection that there is, if it is still one of the name's; else another with
 * each attempt. */
static void choose_address(struct probe *probe, const struct resolver_answer *answer)
{
    char first[ADDRESS_BYTES] = "";
    for (uint32_t i = 0; i < answer->count; i++) {
        uint32_t at = (i + probe->attempts) % answer->count;
        char text[ADDRESS_BYTES] = "";
        (void)uv_ip_name((const struct sockaddr *)&answer->addresses[at].address, text,
                         sizeof(text));
        if (probe->connection != NULL && strcmp(text, probe->address) == 0) {
            return;
        }
        if (first[0] == '\0') {
            memcpy(first, text, sizeof(first));
        }
    }
    memcpy(probe->address, first, sizeof(first));
}

static void on_resolved(struct resolver_wait *wait, const struct resolver_answer *answer)
{
    struct probe *probe = CONTAINER_OF(wait, struct probe, wait);
    const char *host = probe->setup.login.server->host;
    char why[NODE_REASON_BYTES];
    ASSERT(probe->state == PROBE_RESOLVING);
    if (answer->error == NULL) {
        probe->no_names = 0;
        choose_address(probe, answer);
        start_connect(probe);
        return;
    }
    snprintf(why, sizeof(why), "the name \"%.80s\" has no address: %.40s", host, answer->error);
    probe->no_names = answer->no_name ? probe->no_names + 1 : 0;
    if (probe->no_names < 2) { /* once may be chance */
        go_on_without_name(probe, NODE_REFUSED, why);
    } else if (probe->connection != NULL &&
               probe->setup.failed(probe->setup.argument, probe->setup.number, NODE_NO_NAME, why)) {
        ask(probe);
    } else {
        fail(probe, NODE_NO_NAME, why);
    }
}

/* Looks the name up, where there is one, and connects. */
static void begin(struct probe *probe)
{
    const struct server_options *server = probe->setup.login.server;
    struct resolver_address numeric;
    bool has_name = server->hostaddr == NULL && server->host != NULL && server->host[0] != '/' &&
                    resolver_numeric(server->host, server->port, &numeric) != 0;
    if (!has_name) {
        probe->address[0] = '\0';
        start_connect(probe);
        return;
    }
    stop_watching(probe);
    wait_ms(probe, PROBE_RESOLVING, RESOLVE_MS);
    if (resolver_ask(&probe->setup.worker->resolver, server->host, server->port, &probe->wait) !=
        0) {
        go_on_without_name(probe, NODE_REFUSED, "the name cannot be looked up");
    }
}

/* --- events ----------------------------------------------------------------------------------- */

static void on_ready(struct watch *watch, uint32_t events)
{
    struct probe *probe = CONTAINER_OF(watch, struct probe, watch);
    switch (probe->state) {
    case PROBE_RESTING:
        hear_unasked(probe, events);
        return;
    case PROBE_RESOLVING:
        return; /* not watched */
    case PROBE_CONNECTING:
        step_connect(probe);
        return;
    case PROBE_PREPARING:
    case PROBE_ASKING:
        consume(probe);
        return;
    }
    UNREACHABLE();
}

static void on_timer(uv_timer_t *timer)
{
    struct probe *probe = timer->data;
    char why[NODE_REASON_BYTES];
    switch (probe->state) {
    case PROBE_RESTING:
        if (probe->connection == NULL || now_us(probe) >= probe->renew_us) {
            begin(probe);
        } else {
            ask(probe);
        }
        return;
    case PROBE_RESOLVING:
        resolver_forget(&probe->wait);
        go_on_without_name(probe, NODE_LATE, "its name was not resolved in time");
        return;
    case PROBE_CONNECTING:
    case PROBE_PREPARING:
        snprintf(why, sizeof(why), "no connection and login within %u ms", CONNECT_MS);
        fail(probe, NODE_LATE, why);
        return;
    case PROBE_ASKING:
        snprintf(why, sizeof(why), "no answer within %u ms", ANSWER_MS);
        fail(probe, NODE_LATE, why);
        return;
    }
    UNREACHABLE();
}

/* --- the door --------------------------------------------------------------------------------- */

struct probe *probe_new(const struct probe_setup *setup)
{
    struct probe *probe = calloc(1, sizeof(*probe));
    if (probe == NULL) {
        return NULL;
    }
    probe->setup = *setup;
    probe->random.state = setup->seed;
    probe->watch.ready = on_ready;
    probe->wait.done = on_resolved;
    list_init(&probe->wait.node);
    uv_timer_init(&setup->worker->loop, &probe->timer);
    probe->timer.data = probe;
    wait_ms(probe, PROBE_RESTING, 0);
    return probe;
}

static void on_closed(uv_handle_t *handle)
{
    free(handle->data);
}

void probe_close(struct probe *probe)
{
    resolver_forget(&probe->wait);
    disconnect(probe);
    probe->watch.ready = NULL; /* the turn may have an event for it yet */
    uv_close((uv_handle_t *)&probe->timer, on_closed);
}

void probe_free(struct probe *probe)
{
    PQclear(probe->result);
    PQfinish(probe->connection);
    free(probe);
}

void probe_set_login(struct probe *probe, const struct pq_login *login, uint32_t interval_ms)
{
    probe->setup.login = *login;
    probe->setup.interval_ms = interval_ms;
}

const char *probe_address(const struct probe *probe)
{
    return probe->connection != NULL ? probe->address : "";
}
