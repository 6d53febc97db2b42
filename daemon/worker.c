#include "daemon/worker.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/error.h"
#include "daemon/derive.h"
#include "daemon/log.h"
#include "daemon/os_user.h"
#include "daemon/secrets.h"
#include "daemon/server.h"
#include "daemon/snapshot.h"
#include "daemon/socket.h"
#include "daemon/tcp.h"
#include "daemon/tls_socket.h"
#include "pool/admin.h"
#include "protocol/crypto.h"
#include "router/catalog.h"
#include "router/topology.h"

enum {
    EVENTS_MAX = 256,
    SWEEP_MS = 1000,
    /* How long a peer may leave sent data unacknowledged: a client may be on a poor line. */
    LINK_PATIENCE_MS = 3000,
    CLIENT_PATIENCE_MS = 10000,
};

/* --- the engine's wishes --------------------------------------------------------------------- */

void worker_step(struct worker *worker, struct event *event)
{
    event->now_us = worker_now_us(worker);
    worker->dirty = true;
    engine_step(worker->engine, event);
}

static void lend_out(struct worker *worker, const struct action *action)
{
    struct sock *sock = sock_find(worker, action->handle);
    struct message message = {
        .kind = MESSAGE_LENT, .worker = worker->index, .letter = action->letter};
    ASSERT(sock != NULL);
    message.tcp = (sock->flags & SOCK_TCP) != 0;
    sock_detach(sock, &message.fd, &message.tls);
    struct event event = {.kind = EVENT_CLOSED, .handle = action->handle};
    worker_step(worker, &event);
    worker_post(worker, server_worker(worker->server, action->worker), &message);
}

static char *copy_text(const char *text)
{
    char *copy = strdup(text);
    if (copy == NULL) {
        abort(); /* as worker_post: see there */
    }
    return copy;
}

static void ask_control(struct worker *worker, enum message_kind kind, const struct action *action)
{
    struct message message = {.kind = kind, .worker = worker->index, .handle = action->handle};
    message.ask.database = copy_text(action->database);
    message.ask.user = copy_text(action->user);
    worker_post(worker, server_worker(worker->server, 0), &message);
}

static void tell_control(struct worker *worker, enum message_kind kind, const struct action *action)
{
    struct message message = {.kind = kind,
                              .worker = worker->index,
                              .handle = action->handle,
                              .shutdown = (uint8_t)action->worker};
    if (kind == MESSAGE_ASK_RELOAD && action->text[0] != '\0') {
        message.setting = copy_text(action->text);
    }
    worker_post(worker, server_worker(worker->server, 0), &message);
}

static void act(struct worker *worker, const struct action *action)
{
    switch (action->kind) {
    case ACTION_ASK_SECRET:
        ask_control(worker, MESSAGE_ASK_SECRET, action);
        return;
    case ACTION_FORGET_SECRET:
        ask_control(worker, MESSAGE_FORGET_SECRET, action);
        return;
    case ACTION_ASK_CATALOG:
        ask_control(worker, MESSAGE_ASK_CATALOG, action);
        return;
    case ACTION_PROBE:
        ask_control(worker, MESSAGE_ASK_PROBE, action);
        return;
    case ACTION_DERIVE:
        derive_start(worker, action->handle);
        return;
    case ACTION_ASK_OS_USER:
        os_user_ask(worker, action->handle, action->uid);
        return;
    case ACTION_MAIL: {
        struct message message = {
            .kind = MESSAGE_LETTER, .worker = worker->index, .letter = action->letter};
        worker_post(worker, server_worker(worker->server, action->worker), &message);
        return;
    }
    case ACTION_LEND_OUT:
        lend_out(worker, action);
        return;
    case ACTION_LOG:
        log_text(worker->log, action->level, (int)worker->index, action->text);
        return;
    case ACTION_RELOAD:
        tell_control(worker, MESSAGE_ASK_RELOAD, action);
        return;
    case ACTION_SHUTDOWN:
        tell_control(worker, MESSAGE_ASK_SHUTDOWN, action);
        return;
    case ACTION_DRAINED:
        tell_control(worker, MESSAGE_DRAINED, action);
        return;
    }
    UNREACHABLE();
}

static void on_deadline(uv_timer_t *timer);

/* A deadline that moves later leaves the timer as it is: it fires early once and is set anew. */
static void arm_deadline(struct worker *worker)
{
    uint64_t deadline_us = engine_deadline_us(worker->engine);
    if (deadline_us >= worker->armed_us) {
        return;
    }
    uint64_t now_us = worker_now_us(worker);
    uint64_t wait_us = deadline_us > now_us ? deadline_us - now_us : 0;
    worker->armed_us = deadline_us;
    uv_timer_start(&worker->deadline, on_deadline, (wait_us + 999) / 1000, 0);
}

static void on_deadline(uv_timer_t *timer)
{
    struct worker *worker = timer->data;
    worker->armed_us = UINT64_MAX;
    if (engine_deadline_us(worker->engine) <= worker_now_us(worker)) {
        struct event event = {.kind = EVENT_TICK};
        worker_step(worker, &event);
    } else {
        arm_deadline(worker);
    }
}

/* Everything that the engine wants after the events of this turn. */
static void flush(struct worker *worker)
{
    struct todo todo;
    struct action action;
    bool more;
    do {
        more = false;
        worker->dirty = false;
        while (engine_next_todo(worker->engine, &todo)) {
            sock_do(worker, &todo);
            more = true;
        }
        while (engine_next_action(worker->engine, &action)) {
            act(worker, &action);
            more = true;
        }
    } while (more || worker->dirty);
    arm_deadline(worker);
}

/* --- mail ------------------------------------------------------------------------------------ */

static void take_snapshot(struct worker *worker, struct snapshot *snapshot)
{
    struct event event = {.kind = EVENT_OPTIONS, .options = snapshot->options};
    snapshot_unref(worker->snapshot);
    worker->snapshot = snapshot;
    worker_step(worker, &event);
}

static void take_secret(struct worker *worker, const struct message *message)
{
    const struct secret_answer answer = secret_copy_answer(message->secret);
    struct event event = {.kind = EVENT_SECRET, .handle = message->handle, .secret = &answer};
    worker_step(worker, &event);
    secret_copy_free(message->secret);
}

static void take_catalog(struct worker *worker, const struct message *message)
{
    struct event event = {.kind = EVENT_CATALOG,
                          .text = message->facts.database,
                          .catalog = message->facts.catalog,
                          .generation = message->facts.generation};
    worker_step(worker, &event);
    catalog_unref(message->facts.catalog);
    free(message->facts.database);
}

static void take_topology(struct worker *worker, const struct message *message)
{
    bool is_news = message->kind == MESSAGE_TICKS;
    struct event event = {.kind = is_news ? EVENT_TICKS : EVENT_NODES,
                          .topology = message->topology};
    worker_step(worker, &event);
    topology_unref(message->topology);
}

static void handle_message(struct worker *worker, const struct message *message)
{
    struct event event = {.kind = EVENT_DRAIN};
    switch (message->kind) {
    case MESSAGE_LETTER:
        event = (struct event){.kind = EVENT_MAIL, .letter = message->letter};
        worker_step(worker, &event);
        return;
    case MESSAGE_LENT:
        sock_adopt(worker, message);
        return;
    case MESSAGE_CLIENT:
        sock_accept(worker, message->fd, &message->origin);
        return;
    case MESSAGE_SNAPSHOT:
        take_snapshot(worker, message->snapshot);
        return;
    case MESSAGE_SECRET:
        take_secret(worker, message);
        return;
    case MESSAGE_CATALOG:
        take_catalog(worker, message);
        return;
    case MESSAGE_TOPOLOGY:
    case MESSAGE_TICKS:
        take_topology(worker, message);
        return;
    case MESSAGE_RELOADED:
        engine_reload_done(worker->engine, message->handle, message->why_not,
                           worker_now_us(worker));
        worker->dirty = true;
        free(message->why_not);
        return;
    case MESSAGE_DRAIN:
        event.code = message->shutdown == SHUTDOWN_CLIENTS;
        worker_step(worker, &event);
        return;
    case MESSAGE_STOP:
        worker_stop(worker);
        return;
    case MESSAGE_PING:
        atomic_fetch_add(&worker->pongs, 1);
        return;
    case MESSAGE_ASK_SECRET:
    case MESSAGE_FORGET_SECRET:
    case MESSAGE_ASK_CATALOG:
    case MESSAGE_ASK_PROBE:
    case MESSAGE_ASK_RELOAD:
    case MESSAGE_ASK_SHUTDOWN:
    case MESSAGE_DRAINED:
        server_control(worker->server, message);
        return;
    }
    UNREACHABLE();
}

static void take_mail(struct worker *worker)
{
    mailbox_take(&worker->mailbox, &worker->mail);
    for (uint32_t i = 0; i < worker->mail.count; i++) {
        handle_message(worker, &worker->mail.messages[i]);
    }
    worker->mail.count = 0;
}

/* A letter carries a place in a pool: one that got lost would be missed for ever, so where there is
 * no memory for it the process cannot go on. */
void worker_post(struct worker *from, struct worker *to, const struct message *message)
{
    bool wake = false;
    if (from == to) {
        handle_message(to, message);
        return;
    }
    if (mailbox_put(&to->mailbox, message, &wake) != 0) {
        log_text(from->log, LOG_ERROR, (int)from->index, "out of memory between workers");
        abort();
    }
    if (wake) {
        (void)eventfd_write(to->wake_fd, 1);
    }
}

/* --- the sweep ------------------------------------------------------------------------------- */

static void sweep_one(struct sock *sock)
{
    bool is_client = (sock->flags & SOCK_CLIENT) != 0;
    if ((sock->flags & SOCK_STARVED) != 0) {
        sock->flags &= (uint16_t)~SOCK_STARVED;
        if (sock->tls != NULL && (sock->flags & (SOCK_STOPPED | SOCK_EOF)) == 0) {
            tls_sock_resume(sock);
        }
        sock_watch(sock);
    }
    if ((sock->flags & SOCK_SENT) == 0) {
        return;
    }
    if ((sock->flags & SOCK_TCP) == 0 || (sock->flags & SOCK_BROKEN) != 0) {
        sock->flags &= (uint16_t)~SOCK_SENT;
        return;
    }
    switch (tcp_look(sock->fd, is_client ? CLIENT_PATIENCE_MS : LINK_PATIENCE_MS)) {
    case TCP_STATE_QUIET:
        sock->flags &= (uint16_t)~SOCK_SENT;
        return;
    case TCP_STATE_IN_FLIGHT:
        worker_want_sweep(sock_worker(sock));
        return;
    case TCP_STATE_LOST:
        sock_failed(sock, ETIMEDOUT);
        return;
    }
    UNREACHABLE();
}

/* Runs once a second while something goes on; an idle worker has no timer. */
static void on_sweep(uv_timer_t *timer)
{
    struct worker *worker = timer->data;
    worker->starved = false;
    sock_expire_nascent(worker);
    for (uint32_t i = 0; i < worker->by_slot_count; i++) {
        if (worker->by_slot[i] != NULL) {
            sweep_one(worker->by_slot[i]);
        }
    }
    if (!list_empty(&worker->nascent) || worker->starved) {
        worker_want_sweep(worker);
    }
}

void worker_want_sweep(struct worker *worker)
{
    if (!uv_is_active((const uv_handle_t *)&worker->sweep)) {
        uv_timer_start(&worker->sweep, on_sweep, SWEEP_MS, 0);
    }
}

/* --- the table of sockets -------------------------------------------------------------------- */

int worker_reserve(struct worker *worker, uint32_t slot)
{
    uint32_t count = worker->by_slot_count == 0 ? 64 : worker->by_slot_count;
    while (count <= slot) {
        count *= 2;
    }
    if (count == worker->by_slot_count) {
        return 0;
    }
    struct sock **by_slot = realloc(worker->by_slot, count * sizeof(*by_slot));
    if (by_slot == NULL) {
        return ERR_NO_MEMORY;
    }
    for (uint32_t i = worker->by_slot_count; i < count; i++) {
        by_slot[i] = NULL;
    }
    worker->by_slot = by_slot;
    worker->by_slot_count = count;
    return 0;
}

void worker_bind(struct worker *worker, struct handle handle, struct sock *sock)
{
    ASSERT(handle.slot < worker->by_slot_count);
    ASSERT(sock == NULL || worker->by_slot[handle.slot] == NULL);
    worker->by_slot[handle.slot] = sock;
}

/* --- beginning and end ----------------------------------------------------------------------- */

static uint64_t wall_us(void)
{
    uv_timeval64_t now;
    return uv_gettimeofday(&now) == 0 ? (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_usec : 0;
}

static int make_engine(struct worker *worker, const struct worker_setup *setup)
{
    struct engine_setup engine_setup = {
        .worker = setup->index,
        .shared = setup->shared,
        .options = setup->snapshot->options,
        .now_us = worker_now_us(worker),
        .wall_us = wall_us(),
        .seed = setup->seed + setup->index,
        .tls_available = snapshot_offers_tls(setup->snapshot),
    };
    memcpy(engine_setup.secret, setup->secret, sizeof(engine_setup.secret));
    worker->engine = engine_new(&engine_setup);
    crypto_wipe(&engine_setup, sizeof(engine_setup));
    return worker->engine != NULL ? 0 : ERR_NO_MEMORY;
}

/* The mail is looked after in every turn. */
static void on_woken(struct watch *watch, uint32_t events)
{
    (void)watch, (void)events;
}

static void on_loop_ready(struct watch *watch, uint32_t events)
{
    (void)events;
    CONTAINER_OF(watch, struct worker, loop_watch)->loop_due = true;
}

static void close_loops(struct worker *worker)
{
    uv_loop_close(&worker->loop);
    close(worker->wake_fd);
    close(worker->epoll_fd);
}

/* The epoll set, libuv's loop in it, and what other threads wake it by: each write is one edge, so
 * it is never read. */
static int make_loops(struct worker *worker)
{
    int loop_code = uv_loop_init(&worker->loop);
    worker->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    worker->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    worker->wake_watch.ready = on_woken;
    worker->loop_watch.ready = on_loop_ready;
    worker->loop_due = true; /* its first run registers what it waits for */
    if (loop_code == 0 && worker->epoll_fd >= 0 && worker->wake_fd >= 0 &&
        watch_set(worker->epoll_fd, worker->wake_fd, &worker->wake_watch, EPOLLIN | EPOLLET) == 0 &&
        watch_set(worker->epoll_fd, uv_backend_fd(&worker->loop), &worker->loop_watch, EPOLLIN) ==
            0) {
        worker->loop.data = worker;
        return 0;
    }
    if (loop_code == 0) {
        uv_loop_close(&worker->loop);
    }
    if (worker->epoll_fd >= 0) {
        close(worker->epoll_fd);
    }
    if (worker->wake_fd >= 0) {
        close(worker->wake_fd);
    }
    return ERR_IO;
}

int worker_init(struct worker *worker, const struct worker_setup *setup)
{
    memset(worker, 0, sizeof(*worker));
    worker->armed_us = UINT64_MAX;
    worker->index = setup->index;
    worker->server = setup->server;
    worker->log = setup->log;
    worker->dirty = true; /* the engine may have wishes of its own from the start */
    if (make_loops(worker) != 0) {
        return ERR_IO;
    }
    if (make_engine(worker, setup) != 0) {
        close_loops(worker);
        return ERR_NO_MEMORY;
    }
    uv_timer_init(&worker->loop, &worker->deadline);
    uv_timer_init(&worker->loop, &worker->sweep);
    worker->deadline.data = worker->sweep.data = worker;
    slab_init(&worker->socks, sizeof(struct sock));
    list_init(&worker->nascent);
    resolver_init(&worker->resolver, worker);
    mailbox_init(&worker->mailbox);
    worker->snapshot = snapshot_ref(setup->snapshot);
    return 0;
}

/* How long libuv's loop can wait to be run: 0 if it is due, -1 for ever. */
static int loop_wait_ms(const struct worker *worker)
{
    if (worker->loop_due) {
        return 0;
    }
    return uv_loop_alive(&worker->loop) ? uv_backend_timeout(&worker->loop) : -1;
}

static void turn(struct worker *worker)
{
    struct epoll_event events[EVENTS_MAX];
    int loop_ms = loop_wait_ms(worker);
    bool sleeps = loop_ms != 0 && mailbox_sleep(&worker->mailbox);
    int count = epoll_wait(worker->epoll_fd, events, EVENTS_MAX, sleeps ? loop_ms : 0);
    worker->now_known = false;
    uv_update_time(&worker->loop); /* libuv's timers count from here */
    watch_tell(events, count);
    if (mailbox_awake(&worker->mailbox)) {
        take_mail(worker);
    }
    if (worker->loop_due || loop_ms == 0 || (sleeps && count <= 0)) {
        worker->loop_due = false;
        uv_run(&worker->loop, UV_RUN_NOWAIT);
    }
    if (worker->dirty) {
        flush(worker);
    }
    sock_free_dead(worker);
}

void worker_run(struct worker *worker)
{
    while (!worker->stopping) {
        turn(worker);
    }
}

void worker_stop(struct worker *worker)
{
    worker->stopping = true;
}

/* Mail that nobody will read. */
static void discard_mail(struct worker *worker)
{
    mailbox_take(&worker->mailbox, &worker->mail);
    for (uint32_t i = 0; i < worker->mail.count; i++) {
        const struct message *message = &worker->mail.messages[i];
        if (message->kind == MESSAGE_LETTER || message->kind == MESSAGE_LENT) {
            letter_free(message->letter);
        }
        if (message->kind == MESSAGE_LENT || message->kind == MESSAGE_CLIENT) {
            tls_sock_free(message->tls);
            close(message->fd);
        } else if (message->kind == MESSAGE_SNAPSHOT) {
            snapshot_unref(message->snapshot);
        } else if (message->kind == MESSAGE_SECRET) {
            secret_copy_free(message->secret);
        } else if (message->kind == MESSAGE_CATALOG) {
            catalog_unref(message->facts.catalog);
            free(message->facts.database);
        } else if (message->kind == MESSAGE_TOPOLOGY || message->kind == MESSAGE_TICKS) {
            topology_unref(message->topology);
        } else if (message->kind == MESSAGE_RELOADED) {
            free(message->why_not);
        } else if (message->kind == MESSAGE_ASK_RELOAD) {
            free(message->setting);
        } else if (message->kind == MESSAGE_ASK_SECRET || message->kind == MESSAGE_FORGET_SECRET ||
                   message->kind == MESSAGE_ASK_CATALOG || message->kind == MESSAGE_ASK_PROBE) {
            free(message->ask.database);
            free(message->ask.user);
        }
    }
    free(worker->mail.messages);
}

static void close_handle(uv_handle_t *handle, void *argument)
{
    (void)argument;
    if (!uv_is_closing(handle)) {
        uv_close(handle, NULL);
    }
}

void worker_fini(struct worker *worker)
{
    worker->stopping = true;
    sock_expire_nascent(worker);
    for (uint32_t i = 0; i < worker->by_slot_count; i++) {
        if (worker->by_slot[i] != NULL) {
            sock_drop(worker->by_slot[i]);
        }
    }
    uv_walk(&worker->loop, close_handle, NULL);
    uv_run(&worker->loop, UV_RUN_DEFAULT); /* the closings, and jobs that come back */
    close_loops(worker);
    discard_mail(worker);
    mailbox_fini(&worker->mailbox);
    engine_free(worker->engine);
    snapshot_unref(worker->snapshot);
    sock_free_dead(worker);
    slab_fini(&worker->socks);
    free(worker->by_slot);
    if (worker->scratch_in != NULL) {
        crypto_wipe(worker->scratch_in, WORKER_SCRATCH_BYTES);
    }
    if (worker->scratch_out != NULL) {
        crypto_wipe(worker->scratch_out, WORKER_SCRATCH_BYTES);
    }
    free(worker->scratch_in);
    free(worker->scratch_out);
}
