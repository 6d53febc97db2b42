#include "daemon/probe.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "base/assert.h"
#include "base/limits.h"
#include "base/list.h"
#include "base/random.h"
#include "daemon/pq_line.h"
#include "daemon/resolver.h"
#include "daemon/worker.h"
#include "pool/options.h"

enum {
    RESOLVE_MS = 1000,
    CONNECT_MS = 1500, /* connection, login and settings */
    ANSWER_MS = 1000,
    RETRY_MS = 100, /* after the first failure; then doubled */
    RETRY_MAX_MS = 4000,
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
    "CASE WHEN r THEN pg_catalog.pg_is_wal_replay_paused() ELSE false END, "
    "CASE WHEN r THEN NULL"
    " ELSE pg_catalog.pg_current_wal_flush_lsn() - '0/0'::pg_catalog.pg_lsn END "
    "FROM (SELECT pg_catalog.pg_is_in_recovery() AS r OFFSET 0) AS s";

/* What a poll asks. On a primary that has become a replica meanwhile the first two fail. What is
 * inserted is looked at before what is flushed. */
#define POLL_PRIMARY                                        \
    "SELECT false, pg_catalog.pg_current_wal_insert_lsn()," \
    " pg_catalog.pg_current_wal_flush_lsn()"

static const char prepare_polls[] =
    "PREPARE poll_primary AS " POLL_PRIMARY "; "
    "PREPARE poll_commit AS " POLL_PRIMARY " FROM pg_catalog.txid_current(); "
    "PREPARE poll_replica AS SELECT pg_catalog.pg_is_in_recovery(),"
    " pg_catalog.pg_last_wal_replay_lsn(), NULL; ";

enum { POLL_IN_RECOVERY, POLL_LSN, POLL_FLUSHED, POLL_COLUMNS };

enum column {
    COLUMN_IN_RECOVERY,
    COLUMN_LSN,
    COLUMN_TIMELINE,
    COLUMN_SYSTEM,
    COLUMN_STARTED,
    COLUMN_SEGMENT,
    COLUMN_PAUSED,
    COLUMN_FLUSHED,
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

    /* One is asked, while the other logs in to take its place. */
    struct pq_line lines[2];
    uint32_t at;      /* which is asked */
    bool known;       /* it has answered the whole question */
    bool polled;      /* a poll is under way on it */
    bool in_recovery; /* by its last whole answer */
    uint32_t segment_bytes;
    uint64_t renew_us, asked_us, polled_us;
    char warning[NODE_REASON_BYTES];   /* why the connection could not be renewed; "" = nothing */
    char lost[NODE_REASON_BYTES];      /* why the last one broke that has answered; "" = nothing */
    char address[LIMIT_ADDRESS_BYTES]; /* of the next connection */
    char asked_address[LIMIT_ADDRESS_BYTES]; /* of the one that is asked */
    char last_address[LIMIT_ADDRESS_BYTES];  /* that has answered last, or has shut us out since */
    bool has_moved;                          /* that is none of its name's any more */
};

static uint64_t now_us(const struct probe *probe)
{
    return worker_now_us(probe->setup.worker);
}

static struct pq_line *asked(struct probe *probe)
{
    return &probe->lines[probe->at];
}

static struct pq_line *other(struct probe *probe)
{
    return &probe->lines[1 - probe->at];
}

static bool is_connected(const struct probe *probe)
{
    return probe->lines[probe->at].state >= PQ_LINE_IDLE;
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

/* Four intervals, as who asks more often is in more of a hurry. */
static uint32_t retry_max_ms(const struct probe *probe)
{
    uint32_t most_ms = 4 * probe->setup.interval_ms;
    return most_ms < RETRY_MAX_MS ? most_ms : RETRY_MAX_MS;
}

static void close_all(struct probe *probe)
{
    resolver_forget(&probe->wait);
    pq_line_close(&probe->lines[0]);
    pq_line_close(&probe->lines[1]);
    probe->known = probe->polled = false;
    probe->warning[0] = '\0';
}

/* Ends the attempt; the connections go, too. `why` may be a line's own. */
static void fail(struct probe *probe, enum node_failure failure, const char *why)
{
    char line[NODE_REASON_BYTES];
    bool is_cut = failure == NODE_LATE && probe->lost[0] != '\0';
    snprintf(line, sizeof(line), "%s", is_cut ? probe->lost : why);
    failure = is_cut ? NODE_REFUSED : failure;
    close_all(probe);
    probe->lost[0] = '\0';
    probe->attempts++;
    uint32_t shift = probe->failures < 6 ? probe->failures : 6;
    uint32_t delay_ms = (uint32_t)RETRY_MS << shift, most_ms = retry_max_ms(probe);
    probe->failures++;
    rest(probe, delay_ms < most_ms ? delay_ms : most_ms);
    (void)probe->setup.failed(probe->setup.argument, probe->setup.number, failure, line);
}

/* --- asking ----------------------------------------------------------------------------------- */

static void send_question(struct probe *probe)
{
    probe->setup.asks(probe->setup.argument, probe->setup.number);
    probe->asked_us = now_us(probe); /* before it is sent */
    pq_line_ask(asked(probe), question);
}

/* Behind the answer of a poll that is under way. */
static void ask(struct probe *probe)
{
    wait_ms(probe, PROBE_ASKING, ANSWER_MS);
    if (!probe->polled) {
        send_question(probe);
    }
}

static uint64_t number_of(const struct pq_line *line, enum column column)
{
    const char *text = pq_line_text(line, column);
    return text == NULL ? 0 : strtoull(text, NULL, 10);
}

static bool truth_of(const struct pq_line *line, enum column column)
{
    const char *text = pq_line_text(line, column);
    return text != NULL && text[0] == 't';
}

/* What has answered is what the name leads to, and nothing before. */
static void take_address(struct probe *probe, const struct node_answer *answer)
{
    char why[NODE_REASON_BYTES];
    const char *now = probe->asked_address, *before = probe->last_address;
    bool moved = before[0] != '\0' && strcmp(now, before) != 0;
    memcpy(probe->last_address, probe->asked_address, sizeof(probe->last_address));
    if (moved) {
        snprintf(why, sizeof(why), "its name means %s now", now);
        probe->setup.moved(probe->setup.argument, probe->setup.number, answer, why);
    }
}

static void take_answer(struct probe *probe)
{
    struct pq_line *line = asked(probe);
    if (!pq_line_row(line, COLUMNS)) {
        /* A promotion in the middle of the question is one cause: to be asked again. */
        fail(probe, NODE_LATE, line->why);
        return;
    }
    const struct node_answer answer = {
        .in_recovery = truth_of(line, COLUMN_IN_RECOVERY),
        .has_lsn = !pq_line_null(line, COLUMN_LSN),
        .paused = truth_of(line, COLUMN_PAUSED),
        .lsn = number_of(line, COLUMN_LSN),
        .flushed = number_of(line, COLUMN_FLUSHED),
        .timeline = (uint32_t)number_of(line, COLUMN_TIMELINE),
        .segment_bytes = (uint32_t)number_of(line, COLUMN_SEGMENT),
        .system_id = number_of(line, COLUMN_SYSTEM),
        .started_us = number_of(line, COLUMN_STARTED),
        .asked_us = probe->asked_us,
        .answered_us = now_us(probe),
        .warning = probe->warning,
    };
    probe->failures = 0;
    probe->lost[0] = '\0';
    probe->known = true;
    probe->in_recovery = answer.in_recovery;
    probe->segment_bytes = answer.segment_bytes;
    rest(probe, probe->setup.interval_ms);
    take_address(probe, &answer);
    probe->setup.answered(probe->setup.argument, probe->setup.number, &answer);
}

/* A poll that tells nothing, or that the server is another thing than it was: all is asked. */
static void take_poll(struct probe *probe)
{
    struct pq_line *line = asked(probe);
    probe->polled = false;
    bool good = pq_line_row(line, POLL_COLUMNS) && !pq_line_null(line, POLL_LSN) &&
                (pq_line_binary(line, POLL_IN_RECOVERY) != 0) == probe->in_recovery;
    struct node_poll poll = {.asked_us = probe->polled_us};
    if (good) {
        poll.lsn = nodes_round_lsn(pq_line_binary(line, POLL_LSN), probe->segment_bytes);
        poll.flushed = nodes_round_lsn(pq_line_binary(line, POLL_FLUSHED), probe->segment_bytes);
    } else {
        probe->known = false;
    }
    probe->setup.polled(probe->setup.argument, probe->setup.number, good ? &poll : NULL);
    if (probe->state == PROBE_ASKING) {
        send_question(probe);
    } else if (!good) {
        probe_hurry(probe);
    }
}

static const char *poll_of(const struct probe *probe, bool commits)
{
    if (probe->in_recovery) {
        return "poll_replica";
    }
    return commits ? "poll_commit" : "poll_primary";
}

bool probe_poll(struct probe *probe, bool commits)
{
    if (!probe->known || probe->polled || probe->state == PROBE_ASKING) {
        return false;
    }
    probe->setup.asks(probe->setup.argument, probe->setup.number);
    probe->polled = true;
    probe->polled_us = now_us(probe); /* before it is sent */
    pq_line_execute(asked(probe), poll_of(probe, commits));
    return true;
}

void probe_hurry(struct probe *probe)
{
    if (probe->state == PROBE_RESTING && is_connected(probe)) {
        ask(probe);
    }
}

/* --- connecting ------------------------------------------------------------------------------- */

static void make_plain(struct probe *probe)
{
    char query[sizeof(prepare_polls) + 1024];
    snprintf(query, sizeof(query), "%s%s", prepare_polls, pq_plain_session());
    probe->state = PROBE_PREPARING;
    pq_line_ask(other(probe), query);
}

/* The new connection takes the place of the one that there was, and is asked. */
static void take_connection(struct probe *probe)
{
    if (!pq_line_row(other(probe), PQ_PLAIN_COLUMNS)) {
        fail(probe, NODE_LATE, other(probe)->why);
        return;
    }
    pq_line_close(asked(probe));
    probe->at = 1 - probe->at;
    probe->known = probe->polled = false;
    probe->warning[0] = '\0';
    memcpy(probe->asked_address, probe->address, sizeof(probe->address));
    probe->renew_us = now_us(probe) + RENEW_US;
    ask(probe);
}

static void start_connect(struct probe *probe)
{
    wait_ms(probe, PROBE_CONNECTING, CONNECT_MS);
    pq_line_connect(other(probe), &probe->setup.login, probe->address, "howdah probe");
}

/* The name could not be looked up, this time. */
static void go_on_without_name(struct probe *probe, enum node_failure failure, const char *why)
{
    if (!is_connected(probe)) {
        fail(probe, failure, why);
    } else {
        ask(probe);
    }
}

static bool has_address(const struct resolver_answer *answer, const char *address)
{
    bool has = false;
    for (uint32_t i = 0; i < answer->count && !has; i++) {
        char text[LIMIT_ADDRESS_BYTES];
        resolver_figures(&answer->addresses[i], text, sizeof(text));
        has = strcmp(text, address) == 0;
    }
    return has;
}

/* The address of the connection that there is, if it is still one of the name's; else another with
 * each attempt. */
static void choose_address(struct probe *probe, const struct resolver_answer *answer)
{
    char first[LIMIT_ADDRESS_BYTES] = "";
    for (uint32_t i = 0; i < answer->count; i++) {
        uint32_t at = (i + probe->attempts) % answer->count;
        char text[LIMIT_ADDRESS_BYTES];
        resolver_figures(&answer->addresses[at], text, sizeof(text));
        if (is_connected(probe) && strcmp(text, probe->asked_address) == 0) {
            memcpy(probe->address, text, sizeof(text));
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
        probe->has_moved =
            probe->last_address[0] != '\0' && !has_address(answer, probe->last_address);
        choose_address(probe, answer);
        start_connect(probe);
        return;
    }
    snprintf(why, sizeof(why), "the name \"%.80s\" has no address: %.40s", host, answer->error);
    probe->no_names = answer->no_name ? probe->no_names + 1 : 0;
    if (probe->no_names < 2) { /* once may be chance */
        go_on_without_name(probe, NODE_REFUSED, why);
    } else if (is_connected(probe) &&
               probe->setup.failed(probe->setup.argument, probe->setup.number, NODE_NAMELESS,
                                   why)) {
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
    wait_ms(probe, PROBE_RESOLVING, RESOLVE_MS);
    if (resolver_ask(&probe->setup.worker->resolver, server->host, server->port, &probe->wait) !=
        0) {
        go_on_without_name(probe, NODE_REFUSED, "the name cannot be looked up");
    }
}

/* --- what breaks ------------------------------------------------------------------------------ */

/* The connection that there is answers on: what was refused says nothing of the server's health. */
static void keep_connection(struct probe *probe, const char *why)
{
    snprintf(probe->warning, sizeof(probe->warning), "another connection is refused: %.*s",
             NODE_REASON_BYTES - 40, why);
    probe->attempts++;
    probe->renew_us = now_us(probe) + RENEW_US;
    ask(probe);
}

/* Somebody may have ended nothing but the connection: that is told by the next one, at once. */
static void connect_again(struct probe *probe, const char *why)
{
    snprintf(probe->lost, sizeof(probe->lost), "%s", why);
    close_all(probe);
    (void)probe->setup.failed(probe->setup.argument, probe->setup.number, NODE_LOST, probe->lost);
    begin(probe);
}

/* Who has answered before is not what the name leads to, whether it lives on or not. */
static void go_elsewhere(struct probe *probe, const char *why)
{
    char line[NODE_REASON_BYTES];
    snprintf(line, sizeof(line), "its name means %s now: %.*s", probe->address,
             NODE_REASON_BYTES - LIMIT_ADDRESS_BYTES - 32, why);
    memcpy(probe->last_address, probe->address, sizeof(probe->last_address));
    probe->has_moved = false;
    fail(probe, NODE_ELSEWHERE, line);
}

static void take_break(struct probe *probe, const struct pq_line *line)
{
    bool is_renewal = line != asked(probe) && is_connected(probe);
    if (line->shut_out && line != asked(probe) && probe->has_moved) {
        go_elsewhere(probe, line->why);
    } else if (is_renewal && line->shut_out) {
        keep_connection(probe, line->why);
    } else if (line == asked(probe) && probe->known) {
        connect_again(probe, line->why);
    } else {
        fail(probe, line->shut_out ? NODE_SHUT_OUT : NODE_REFUSED, line->why);
    }
}

/* --- events ----------------------------------------------------------------------------------- */

/* Of whichever line. */
static void hear(struct probe *probe, struct pq_line *line, enum pq_line_news news)
{
    switch (news) {
    case PQ_LINE_READY:
        make_plain(probe);
        return;
    case PQ_LINE_BROKEN:
        take_break(probe, line);
        return;
    case PQ_LINE_ANSWERED:
        if (line != asked(probe)) {
            take_connection(probe);
        } else if (probe->polled) {
            take_poll(probe);
        } else {
            take_answer(probe);
        }
        return;
    }
    UNREACHABLE();
}

static void on_first_heard(struct pq_line *line, enum pq_line_news news)
{
    hear(CONTAINER_OF(line, struct probe, lines[0]), line, news);
}

static void on_second_heard(struct pq_line *line, enum pq_line_news news)
{
    hear(CONTAINER_OF(line, struct probe, lines[1]), line, news);
}

static void on_timer(uv_timer_t *timer)
{
    struct probe *probe = timer->data;
    char why[NODE_REASON_BYTES];
    switch (probe->state) {
    case PROBE_RESTING:
        if (!is_connected(probe) || now_us(probe) >= probe->renew_us) {
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
    snprintf(probe->last_address, sizeof(probe->last_address), "%s", setup->address);
    probe->setup.address = NULL;
    pq_line_init(&probe->lines[0], setup->worker->epoll_fd, on_first_heard);
    pq_line_init(&probe->lines[1], setup->worker->epoll_fd, on_second_heard);
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
    pq_line_close(&probe->lines[0]);
    pq_line_close(&probe->lines[1]);
    uv_close((uv_handle_t *)&probe->timer, on_closed);
}

void probe_free(struct probe *probe)
{
    pq_line_free(&probe->lines[0]);
    pq_line_free(&probe->lines[1]);
    free(probe);
}

void probe_set_login(struct probe *probe, const struct pq_login *login, uint32_t interval_ms)
{
    probe->setup.login = *login;
    probe->setup.interval_ms = interval_ms;
}

void probe_set_interval(struct probe *probe, uint32_t interval_ms)
{
    bool shorter = interval_ms < probe->setup.interval_ms;
    probe->setup.interval_ms = interval_ms;
    if (shorter && probe->state == PROBE_RESTING) {
        rest(probe, interval_ms);
    }
}

const char *probe_address(const struct probe *probe)
{
    return probe->last_address;
}
