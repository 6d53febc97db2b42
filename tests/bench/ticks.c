/* How soon causal reads can go to replicas: from a write's acknowledgement to the primary's poll,
 * and to replicas that have replayed it.
 *
 *     bench-ticks CONFIG PRIMARY SESSIONS MILLISECONDS SECONDS [WANTS]
 *
 * CONFIG has one database, "app", with a primary and replicas; PRIMARY is libpq's connection string
 * to the primary. The daemon's own worker and prober run, in place of engines there are threads
 * that write through libpq, want what an engine would, and after MILLISECONDS look where a read
 * could go. With WANTS nobody writes, but so many wants a second are made. Prints one line;
 * tests/bench/measure-ticks.py starts the servers.
 */
#include <libpq-fe.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "base/error.h"
#include "config/config.h"
#include "daemon/log.h"
#include "daemon/prober.h"
#include "daemon/server.h"
#include "daemon/snapshot.h"
#include "daemon/worker.h"
#include "pool/account.h"
#include "router/ticks.h"
#include "router/topology.h"

enum {
    SAMPLES_MAX = 200000,
    SESSIONS_MAX = 64,
    GIVE_UP_US = 1000000,
    LOOK_US = 50,
    LATE_LOOKS = 400
};

struct server {
    struct worker workers[2]; /* the second is no worker, but has a mailbox */
    struct prober *prober;
};

struct bench {
    struct server server;
    const char *primary;
    struct topology *topology;
    uint32_t pause_us, session_count, seconds, wants;
    atomic_uint count, primary_only, reached_one, reached_all;
    atomic_uint given_up; /* not reached by all within GIVE_UP_US */
    atomic_uint sample_count;
    uint32_t bound_us[SAMPLES_MAX], first_us[SAMPLES_MAX], all_us[SAMPLES_MAX];
    pthread_mutex_t post;
    double cpu_s, took_s;
    uint64_t polls;
};

/* --- in place of daemon/server.c -------------------------------------------------------------- */

struct worker *server_worker(struct server *server, uint32_t index)
{
    return &server->workers[index];
}

void server_control(struct server *server, const struct message *message)
{
    if (message->kind == MESSAGE_ASK_PROBE) {
        prober_poll(server->prober, message->ask.database);
        free(message->ask.database);
        free(message->ask.user);
    }
}

const struct server_options *server_to_ask(struct server *server,
                                           const struct database_options *database)
{
    return prober_server(server->prober, database);
}

void server_hand_out(struct server *server, int fd, const struct origin *origin)
{
    (void)server, (void)fd, (void)origin;
}

/* --- sessions --------------------------------------------------------------------------------- */

static uint64_t now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static void sleep_us(uint64_t us)
{
    struct timespec pause = {.tv_sec = (time_t)(us / 1000000),
                             .tv_nsec = (long)(us % 1000000) * 1000};
    nanosleep(&pause, NULL);
}

static void want(struct bench *bench, uint64_t need)
{
    if (!ticks_want(bench->topology->ticks, need)) {
        return;
    }
    struct message message = {.kind = MESSAGE_ASK_PROBE, .worker = 1};
    message.ask.database = strdup("app");
    message.ask.user = strdup("");
    worker_post(&bench->server.workers[1], &bench->server.workers[0], &message);
}

/* How many replicas have reached the bound of `need`; -1: it isn't known. */
static int reached(const struct bench *bench, uint64_t need)
{
    struct ticks_replayed replayed;
    uint64_t lsn;
    int count = 0;
    if (!ticks_bound(bench->topology->ticks, need, &lsn)) {
        return -1;
    }
    for (uint32_t i = 1; i < bench->topology->nodes.rules.count; i++) {
        count += ticks_replayed(bench->topology->ticks, i, &replayed) && replayed.lsn >= lsn;
    }
    return count;
}

/* Times from the want, of what is there only after the pause, too. */
static void watch_need(struct bench *bench, uint64_t need, uint64_t began_us)
{
    int all = (int)bench->topology->nodes.rules.count - 1;
    uint64_t bound_us = 0, first_us = 0, all_us = 0, look_us = began_us;
    bool looked = false;
    int found = -1;
    while (look_us - began_us < GIVE_UP_US && (found < all || !looked)) {
        found = reached(bench, need);
        look_us = now_us();
        bound_us = bound_us == 0 && found >= 0 ? look_us : bound_us;
        first_us = first_us == 0 && found >= 1 ? look_us : first_us;
        all_us = all_us == 0 && found == all ? look_us : all_us;
        if (!looked && look_us - began_us >= bench->pause_us) {
            looked = true;
            atomic_fetch_add(&bench->count, 1);
            atomic_fetch_add(&bench->primary_only, found < 0);
            atomic_fetch_add(&bench->reached_one, found >= 1);
            atomic_fetch_add(&bench->reached_all, found == all);
        }
        if (found < all) {
            sleep_us(LOOK_US);
        } else if (!looked) {
            sleep_us(began_us + bench->pause_us - look_us);
        }
    }
    if (found < all) {
        atomic_fetch_add(&bench->given_up, 1);
        return;
    }
    uint32_t at = atomic_fetch_add(&bench->sample_count, 1);
    if (at < SAMPLES_MAX) {
        bench->bound_us[at] = (uint32_t)(bound_us - began_us);
        bench->first_us[at] = (uint32_t)(first_us - began_us);
        bench->all_us[at] = (uint32_t)(all_us - began_us);
    }
}

static void *be_session(void *argument)
{
    struct bench *bench = argument;
    PGconn *connection = PQconnectdb(bench->primary);
    uint64_t end_us = now_us() + bench->seconds * UINT64_C(1000000);
    while (now_us() < end_us) {
        PGresult *result = PQexec(connection, "INSERT INTO ticks VALUES (1)");
        if (PQresultStatus(result) != PGRES_COMMAND_OK) {
            fprintf(stderr, "bench-ticks: %s", PQerrorMessage(connection));
            exit(EXIT_FAILURE);
        }
        PQclear(result);
        uint64_t began_us = now_us(), need = ticks_next(bench->topology->ticks);
        want(bench, need);
        watch_need(bench, need, began_us);
    }
    PQfinish(connection);
    return NULL;
}

static void *want_only(void *argument)
{
    struct bench *bench = argument;
    uint64_t begin_us = now_us(), end_us = begin_us + bench->seconds * UINT64_C(1000000);
    for (uint64_t i = 0; now_us() < end_us; i++) {
        uint64_t due_us = begin_us + i * 1000000 / bench->wants, at_us = now_us();
        if (due_us > at_us) {
            sleep_us(due_us - at_us);
        }
        want(bench, ticks_next(bench->topology->ticks));
    }
    return NULL;
}

/* --- the conductor ---------------------------------------------------------------------------- */

/* The newest topology, until all may be read; or (`late`) all were heard of. */
static bool take_topology(struct bench *bench, bool late)
{
    struct mail mail = {.messages = NULL};
    mailbox_take(&bench->server.workers[1].mailbox, &mail);
    for (uint32_t i = 0; i < mail.count; i++) {
        topology_unref(bench->topology);
        bench->topology = mail.messages[i].topology;
    }
    free(mail.messages);
    const struct topology *topology = bench->topology;
    bool all = topology != NULL;
    for (uint32_t i = 0; all && i < topology->nodes.rules.count; i++) {
        all = i == topology->nodes.primary || nodes_may_read(&topology->nodes, i) ||
              (late && topology->nodes.nodes[i].state != NODE_UNKNOWN);
    }
    return all;
}

static void *conduct(void *argument)
{
    struct bench *bench = argument;
    struct message stop = {.kind = MESSAGE_STOP};
    pthread_t threads[SESSIONS_MAX];
    for (uint32_t i = 0; !take_topology(bench, i > LATE_LOOKS); i++) {
        sleep_us(10000);
    }
    uint64_t polls = ticks_started(bench->topology->ticks), began_us = now_us();
    for (uint32_t i = 0; i < bench->session_count; i++) {
        pthread_create(&threads[i], NULL, bench->wants > 0 ? want_only : be_session, bench);
    }
    for (uint32_t i = 0; i < bench->session_count; i++) {
        pthread_join(threads[i], NULL);
    }
    bench->took_s = (double)(now_us() - began_us) / 1e6;
    bench->polls = ticks_started(bench->topology->ticks) - polls;
    worker_post(&bench->server.workers[1], &bench->server.workers[0], &stop);
    return NULL;
}

/* Of the calling thread. */
static double cpu_s(void)
{
    struct rusage usage;
    getrusage(RUSAGE_THREAD, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

static int by_size(const void *left, const void *right)
{
    uint32_t a = *(const uint32_t *)left, b = *(const uint32_t *)right;
    return (a > b) - (a < b);
}

static void print_times(const char *what, uint32_t *times, uint32_t count)
{
    if (count == 0) {
        return;
    }
    qsort(times, count, sizeof(*times), by_size);
    printf("  %s p50 %u p99 %u max %u us", what, times[count / 2], times[count * 99 / 100],
           times[count - 1]);
}

static void print(struct bench *bench)
{
    double count = bench->count > 0 ? bench->count : 1;
    uint32_t samples = bench->sample_count < SAMPLES_MAX ? bench->sample_count : SAMPLES_MAX;
    printf("sessions %u pause %u us", bench->session_count, bench->pause_us);
    if (bench->wants == 0) {
        printf(" writes/s %.0f: no bound %.1f %%, one replica %.1f %%, all %.1f %%, given up %u;",
               bench->count / bench->took_s, bench->primary_only / count * 100,
               bench->reached_one / count * 100, bench->reached_all / count * 100, bench->given_up);
        print_times("bound", bench->bound_us, samples);
        print_times("first", bench->first_us, samples);
        print_times("all", bench->all_us, samples);
    }
    printf("; polls/s %.0f, CPU of worker 0 %.1f %%\n", (double)bench->polls / bench->took_s,
           bench->cpu_s / bench->took_s * 100);
}

static struct snapshot *load(const char *path)
{
    const struct config_sources sources = {.file = path};
    struct options *options = NULL;
    struct snapshot *snapshot = NULL;
    struct config_errors errors;
    char why[SNAPSHOT_ERROR_BYTES];
    config_errors_init(&errors);
    int code = config_load(&sources, &options, &errors);
    config_errors_write(&errors, stderr);
    config_errors_fini(&errors);
    return code == 0 && snapshot_new(options, &snapshot, why) == 0 ? snapshot : NULL;
}

int main(int argc, char **argv)
{
    static struct bench bench;
    pthread_t conductor;
    struct snapshot *snapshot = argc >= 6 ? load(argv[1]) : NULL;
    if (snapshot == NULL) {
        fprintf(stderr, "bench-ticks CONFIG PRIMARY SESSIONS MILLISECONDS SECONDS [WANTS]\n");
        return EXIT_FAILURE;
    }
    bench.primary = argv[2];
    bench.session_count = (uint32_t)strtoul(argv[3], NULL, 10);
    bench.pause_us = (uint32_t)(strtod(argv[4], NULL) * 1000);
    bench.seconds = (uint32_t)strtoul(argv[5], NULL, 10);
    bench.wants = argc > 6 ? (uint32_t)strtoul(argv[6], NULL, 10) : 0;
    if (bench.session_count == 0 || bench.session_count > SESSIONS_MAX) {
        return EXIT_FAILURE;
    }
    struct log *log = log_new(2);
    const struct worker_setup setup = {
        .server = &bench.server, .log = log, .shared = shared_new(1), .snapshot = snapshot};
    mailbox_init(&bench.server.workers[1].mailbox);
    if (worker_init(&bench.server.workers[0], &setup) != 0) {
        return EXIT_FAILURE;
    }
    bench.server.prober = prober_new(&bench.server.workers[0], 2, 1);
    prober_configure(bench.server.prober, snapshot);
    pthread_create(&conductor, NULL, conduct, &bench);
    worker_run(&bench.server.workers[0]);
    bench.cpu_s = cpu_s();
    pthread_join(conductor, NULL);
    print(&bench);
    return EXIT_SUCCESS;
}
