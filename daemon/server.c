#include "daemon/server.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <uv.h>

#include "base/assert.h"
#include "base/error.h"
#include "base/limits.h"
#include "daemon/catalogs.h"
#include "daemon/listener.h"
#include "daemon/log.h"
#include "daemon/notify.h"
#include "daemon/prober.h"
#include "daemon/process.h"
#include "daemon/reload.h"
#include "daemon/secrets.h"
#include "daemon/snapshot.h"
#include "daemon/worker.h"
#include "pool/account.h"
#include "pool/admin.h"
#include "pool/options.h"
#include "protocol/crypto.h"

enum {
    EXIT_BAD_CONFIG = 2,
};

struct server {
    const struct config_sources *sources;
    struct log *log;
    struct snapshot *snapshot; /* the present one */
    struct shared *shared;
    struct worker *workers;
    uint32_t worker_count, threads_started;
    struct listeners listeners;
    struct secrets *secrets;
    struct catalogs *catalogs;
    struct prober *prober;
    struct reload *reload;
    struct notify notify;

    uv_signal_t sigterm, sigint, sighup;
    uv_timer_t shutdown_timer, watchdog;
    bool draining, ended;
    uint32_t drained_count;
    unsigned pings; /* sent to each worker by the watchdog */
};

struct worker *server_worker(struct server *server, uint32_t index)
{
    ASSERT(index < server->worker_count);
    return &server->workers[index];
}

const struct server_options *server_to_ask(struct server *server,
                                           const struct database_options *database)
{
    return prober_server(server->prober, database);
}

static void tell_all(struct server *server, const struct message *message)
{
    for (uint32_t i = 0; i < server->worker_count; i++) {
        worker_post(&server->workers[0], &server->workers[i], message);
    }
}

void server_hand_out(struct server *server, int fd, const struct origin *origin)
{
    struct worker *fewest = &server->workers[0];
    for (uint32_t i = 1; i < server->worker_count; i++) {
        struct worker *worker = &server->workers[i];
        if (atomic_load(&worker->clients) < atomic_load(&fewest->clients)) {
            fewest = worker;
        }
    }
    struct message message = {.kind = MESSAGE_CLIENT, .fd = fd, .origin = *origin};
    atomic_fetch_add(&fewest->clients, 1);
    worker_post(&server->workers[0], fewest, &message);
}

/* --- ending ---------------------------------------------------------------------------------- */

static void end(struct server *server)
{
    if (server->ended) {
        return;
    }
    struct message message = {.kind = MESSAGE_STOP};
    server->ended = true;
    tell_all(server, &message);
}

static void on_shutdown_timeout(uv_timer_t *timer)
{
    struct server *server = timer->data;
    log_line(server->log, LOG_WARNING, LOG_NO_WORKER,
             "shutdown_timeout is over: ending with transactions still running");
    end(server);
}

static void drain(struct server *server, const char *why, enum shutdown_kind kind)
{
    uint32_t timeout_ms = server->snapshot->options->shutdown_timeout_ms;
    struct message message = {.kind = MESSAGE_DRAIN, .shutdown = (uint8_t)kind};
    if (server->draining) {
        log_line(server->log, LOG_NOTICE, LOG_NO_WORKER, "%s again: ending at once", why);
        end(server);
        return;
    }
    log_line(server->log, LOG_NOTICE, LOG_NO_WORKER,
             kind == SHUTDOWN_CLIENTS ? "%s: no new clients; those that are in may stay"
                                      : "%s: no new clients; running transactions may finish",
             why);
    notify_stopping(&server->notify);
    server->draining = true;
    listeners_close(&server->listeners);
    if (timeout_ms > 0 && kind != SHUTDOWN_CLIENTS) {
        uv_timer_start(&server->shutdown_timer, on_shutdown_timeout, timeout_ms, 0);
    }
    tell_all(server, &message);
}

static void on_signal(uv_signal_t *signal, int number)
{
    struct server *server = signal->data;
    if (number == SIGHUP) {
        reload_ask(server->reload, NULL, NULL);
    } else {
        drain(server, number == SIGTERM ? "SIGTERM" : "SIGINT", SHUTDOWN_SERVERS);
    }
}

/* --- reload ---------------------------------------------------------------------------------- */

/* The outcome of a reload, from reload.c: `snapshot` is ours now; NULL: nothing changes. */
static void on_reloaded(void *argument, struct snapshot *snapshot)
{
    struct server *server = argument;
    if (snapshot == NULL) {
        notify_ready(&server->notify, "Serving; the last reload was refused, see the log");
        return;
    }
    const struct options *options = snapshot->options;
    log_configure(server->log, (enum log_event_level)options->log_level, options->log_json);
    snapshot_unref(server->snapshot);
    server->snapshot = snapshot;
    secrets_forget(server->secrets);
    catalogs_tell_missing(server->catalogs, options);
    for (uint32_t i = 0; i < server->worker_count; i++) {
        struct message message = {.kind = MESSAGE_SNAPSHOT, .snapshot = snapshot_ref(snapshot)};
        worker_post(&server->workers[0], &server->workers[i], &message);
    }
    prober_configure(server->prober, snapshot);
    notify_ready(&server->notify, "Serving");
}

static void on_reload_started(void *argument)
{
    struct server *server = argument;
    notify_reloading(&server->notify);
}

static struct snapshot *current_snapshot(void *argument)
{
    struct server *server = argument;
    return server->snapshot;
}

/* --- messages -------------------------------------------------------------------------------- */

void server_control(struct server *server, const struct message *message)
{
    switch (message->kind) {
    case MESSAGE_ASK_SECRET:
        secrets_ask(server->secrets, server->snapshot, message->ask.database, message->ask.user,
                    message->worker, message->handle);
        free(message->ask.database);
        free(message->ask.user);
        return;
    case MESSAGE_FORGET_SECRET:
        secrets_forget_one(server->secrets, message->ask.database, message->ask.user);
        free(message->ask.database);
        free(message->ask.user);
        return;
    case MESSAGE_ASK_CATALOG:
        catalogs_ask(server->catalogs, server->snapshot, message->ask.database, message->worker);
        free(message->ask.database);
        free(message->ask.user);
        return;
    case MESSAGE_ASK_PROBE:
        prober_poll(server->prober, message->ask.database);
        free(message->ask.database);
        free(message->ask.user);
        return;
    case MESSAGE_ASK_RELOAD: {
        const struct reload_asker asker = {.worker = message->worker, .handle = message->handle};
        reload_ask(server->reload, &asker, message->setting);
        free(message->setting);
        return;
    }
    case MESSAGE_ASK_SHUTDOWN:
        if (message->shutdown == SHUTDOWN_NOW) {
            log_line(server->log, LOG_NOTICE, LOG_NO_WORKER, "SHUTDOWN: ending at once");
            listeners_close(&server->listeners);
            end(server);
        } else if (!server->draining) {
            drain(server, "SHUTDOWN", (enum shutdown_kind)message->shutdown);
        }
        return;
    case MESSAGE_DRAINED:
        server->drained_count++;
        if (server->drained_count == server->worker_count) {
            end(server);
        }
        return;
    case MESSAGE_LETTER:
    case MESSAGE_LENT:
    case MESSAGE_CLIENT:
    case MESSAGE_SNAPSHOT:
    case MESSAGE_SECRET:
    case MESSAGE_CATALOG:
    case MESSAGE_TOPOLOGY:
    case MESSAGE_TICKS:
    case MESSAGE_RELOADED:
    case MESSAGE_DRAIN:
    case MESSAGE_STOP:
    case MESSAGE_PING:
        break;
    }
    UNREACHABLE();
}

/* systemd is told that we live only while every worker turns its loop. */
static void on_watchdog(uv_timer_t *timer)
{
    struct server *server = timer->data;
    struct message message = {.kind = MESSAGE_PING};
    for (uint32_t i = 0; i < server->worker_count; i++) {
        if (atomic_load(&server->workers[i].pongs) < server->pings) {
            return;
        }
    }
    notify_alive(&server->notify);
    server->pings++;
    tell_all(server, &message);
}

/* --- beginning ------------------------------------------------------------------------------- */

/* Prints every finding; the snapshot, or NULL. */
static struct snapshot *load_first(const struct config_sources *sources, struct log *log)
{
    struct options *options = NULL;
    struct snapshot *snapshot = NULL;
    struct config_errors errors;
    char why[SNAPSHOT_ERROR_BYTES];
    config_errors_init(&errors);
    int code = config_load(sources, &options, &errors);
    config_errors_write(&errors, stderr);
    config_errors_fini(&errors);
    if (code != 0) {
        return NULL;
    }
    log_configure(log, (enum log_event_level)options->log_level, options->log_json);
    process_fit_clients(options, log);
    if (snapshot_new(options, &snapshot, why) != 0) {
        log_text(log, LOG_ERROR, LOG_NO_WORKER, why);
        return NULL;
    }
    return snapshot;
}

static int make_workers(struct server *server)
{
    struct worker_setup setup = {.server = server,
                                 .log = server->log,
                                 .shared = server->shared,
                                 .snapshot = server->snapshot};
    if (crypto_random(setup.secret, sizeof(setup.secret)) != 0 ||
        crypto_random(&setup.seed, sizeof(setup.seed)) != 0) {
        return ERR_INTERNAL;
    }
    for (uint32_t i = 0; i < server->worker_count; i++) {
        setup.index = i;
        int code = worker_init(&server->workers[i], &setup);
        if (code != 0) {
            while (i > 0) {
                worker_fini(&server->workers[--i]);
            }
            return code;
        }
    }
    server->secrets = secrets_new(&server->workers[0], setup.seed);
    server->prober = prober_new(&server->workers[0], server->worker_count, setup.seed);
    crypto_wipe(&setup, sizeof(setup));
    server->catalogs = catalogs_new(&server->workers[0], server->shared);
    bool made = server->secrets != NULL && server->catalogs != NULL && server->prober != NULL;
    return made ? 0 : ERR_NO_MEMORY;
}

static void run_worker(void *argument)
{
    worker_run(argument);
}

/* Signals are worker 0's: its thread alone may be interrupted by them. */
static int start_threads(struct server *server)
{
    const uv_thread_options_t stack = {.flags = UV_THREAD_HAS_STACK_SIZE,
                                       .stack_size = LIMIT_STACK_BYTES};
    sigset_t all, before;
    int code = 0;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    for (uint32_t i = 1; i < server->worker_count && code == 0; i++) {
        code = uv_thread_create_ex(&server->workers[i].thread, &stack, run_worker,
                                   &server->workers[i]);
        server->threads_started += code == 0;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return code == 0 ? 0 : ERR_IO;
}

static void start_control(struct server *server)
{
    uv_loop_t *loop = &server->workers[0].loop;
    uv_signal_t *signals[] = {&server->sigterm, &server->sigint, &server->sighup};
    const int numbers[] = {SIGTERM, SIGINT, SIGHUP};
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        uv_signal_init(loop, signals[i]);
        signals[i]->data = server;
        uv_signal_start(signals[i], on_signal, numbers[i]);
    }
    uv_timer_init(loop, &server->shutdown_timer);
    uv_timer_init(loop, &server->watchdog);
    server->shutdown_timer.data = server->watchdog.data = server;
    if (server->notify.watchdog_us > 0) {
        uint64_t period_ms = server->notify.watchdog_us / 3000;
        uv_timer_start(&server->watchdog, on_watchdog, period_ms, period_ms);
    }
}

/* From the listeners to the last worker's end; the exit code. */
static int serve(struct server *server)
{
    char text[LISTENERS_ERROR_BYTES];
    const struct options *options = server->snapshot->options;
    if (listeners_open(&server->listeners, options->listen, options->listen_count, text) != 0) {
        log_text(server->log, LOG_ERROR, LOG_NO_WORKER, text);
        return EXIT_FAILURE;
    }
    start_control(server);
    if (start_threads(server) != 0 ||
        listeners_start(&server->listeners, &server->workers[0], server, server->log) != 0) {
        log_line(server->log, LOG_ERROR, LOG_NO_WORKER, "cannot start: out of resources");
        listeners_close(&server->listeners);
        end(server);
        return EXIT_FAILURE;
    }
    listeners_describe(&server->listeners, text, sizeof(text));
    char ready[LISTENERS_ERROR_BYTES + 64];
    snprintf(ready, sizeof(ready), "howdah %s ready on %s with %u worker%s", HOWDAH_VERSION, text,
             server->worker_count, server->worker_count == 1 ? "" : "s");
    log_announce(server->log, ready);
    catalogs_tell_missing(server->catalogs, options);
    prober_configure(server->prober, server->snapshot);
    notify_ready(&server->notify, "Serving");
    worker_run(&server->workers[0]);
    return EXIT_SUCCESS;
}

/* Threads are joined before anything is freed. Jobs that still block (a server that does not
 * answer) are not waited for: the process ends under them. */
static void finish(struct server *server, int exit_code)
{
    bool jobs_left = false;
    for (uint32_t i = 0; i < server->threads_started; i++) {
        uv_thread_join(&server->workers[i + 1].thread);
    }
    for (uint32_t i = 0; i < server->worker_count; i++) {
        jobs_left = jobs_left || server->workers[i].jobs > 0;
    }
    listeners_close(&server->listeners);
    log_line(server->log, LOG_NOTICE, LOG_NO_WORKER, "ended");
    if (jobs_left) {
        _exit(exit_code);
    }
    for (uint32_t i = 0; i < server->worker_count; i++) {
        worker_fini(&server->workers[i]);
    }
}

int server_run(const struct config_sources *sources, struct log *log)
{
    struct server *server = calloc(1, sizeof(*server));
    int exit_code = EXIT_FAILURE;
    if (server == NULL) {
        return EXIT_FAILURE;
    }
    server->sources = sources;
    server->log = log;
    server->listeners.open = false;
    notify_init(&server->notify);
    server->snapshot = load_first(sources, log);
    if (server->snapshot == NULL) {
        exit_code = EXIT_BAD_CONFIG;
        goto out;
    }
    uint32_t workers = server->snapshot->options->workers;
    server->worker_count = workers != 0 ? workers : process_cpu_count();
    if (server->worker_count > LIMIT_WORKERS) {
        server->worker_count = LIMIT_WORKERS;
    }
    server->shared = shared_new(server->worker_count);
    server->workers = aligned_alloc(64, sizeof(struct worker) * server->worker_count);
    if (server->shared == NULL || server->workers == NULL || make_workers(server) != 0) {
        log_line(log, LOG_ERROR, LOG_NO_WORKER, "cannot start: out of memory or descriptors");
        goto out;
    }
    const struct reload_setup reload_setup = {.worker = &server->workers[0],
                                              .server = server,
                                              .log = log,
                                              .sources = sources,
                                              .argument = server,
                                              .current = current_snapshot,
                                              .started = on_reload_started,
                                              .done = on_reloaded};
    server->reload = reload_new(&reload_setup);
    if (server->reload != NULL) {
        exit_code = serve(server);
    }
    finish(server, exit_code);
out:
    reload_free(server->reload);
    secrets_free(server->secrets);
    catalogs_free(server->catalogs);
    prober_free(server->prober);
    shared_free(server->shared);
    free(server->workers);
    snapshot_unref(server->snapshot);
    notify_fini(&server->notify);
    free(server);
    return exit_code;
}
