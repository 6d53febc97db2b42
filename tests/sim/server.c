#include "tests/sim/server.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/startup.h"
#include "tests/sim/check.h"
#include "tests/sim/net.h"
#include "tests/sim/pg.h"
#include "tests/sim/sim.h"

struct backend {
    struct backend *next;
    struct server *server;
    struct wire *wire;
    struct pg pg;
    uint32_t pid;
    uint8_t key[32];
    uint32_t key_bytes;
    bool started, scheduled, input_ended, gone;
    uint64_t nap; /* counts sleeps, so that an old alarm does not wake a new sleep */
};

enum { SERVER_DATABASES = 2, DISTURB_US = 150 * 1000 };

struct server {
    struct sim *sim;
    struct backend *backends;
    uint32_t next_pid;
    struct world {
        struct pg_world pg;
        struct server *server;
    } worlds[SERVER_DATABASES];
};

static void on_noted(void *object, const char *channel, const char *payload)
{
    struct world *world = object;
    uint32_t database = (uint32_t)(world - world->server->worlds);
    check_notified(world->server->sim, database, channel, payload);
}

static void on_wake(struct pg *pg);
static bool on_signal(void *object, struct pg *pg, uint32_t pid, bool terminate);
static void disturb(struct sim *sim, void *object, uint64_t argument);

struct server *server_new(struct sim *sim)
{
    struct server *server = calloc(1, sizeof(*server));
    if (server == NULL) {
        abort();
    }
    server->sim = sim;
    server->next_pid = 100;
    for (uint32_t i = 0; i < SERVER_DATABASES; i++) {
        server->worlds[i].server = server;
        server->worlds[i].pg = (struct pg_world){
            .object = &server->worlds[i], .noted = on_noted, .wake = on_wake, .signal = on_signal};
    }
    if (sim->swarm.heals) {
        sim_after(sim, sim_random(sim, DISTURB_US), disturb, server, 0);
    }
    return server;
}

void server_free(struct server *server)
{
    while (server != NULL && server->backends != NULL) {
        struct backend *backend = server->backends;
        server->backends = backend->next;
        pg_fini(&backend->pg);
        free(backend);
    }
    free(server);
}

uint32_t server_backend_count(const struct server *server)
{
    uint32_t count = 0;
    for (const struct backend *at = server->backends; at != NULL; at = at->next) {
        count += at->started && !at->gone && !at->wire->engine_closed;
    }
    return count;
}

const struct pg *server_quiet_backend(const struct server *server, uint32_t pid)
{
    for (const struct backend *at = server->backends; at != NULL; at = at->next) {
        const struct pg *pg = &at->pg;
        if (at->pid == pid) {
            bool quiet = at->started && !at->gone && !at->scheduled && !at->input_ended &&
                         !pg->ended && !pg->asleep && !pg->touched && !pg->skipping &&
                         pg->run == PG_RUN_NOTHING && pg->in.len == 0 && pg->out.len == 0 &&
                         pg->inbox.len == 0 && at->wire->to_peer.bytes.len == 0 &&
                         at->wire->to_engine.bytes.len == 0;
            return quiet ? pg : NULL;
        }
    }
    return NULL;
}

static void leave(struct backend *backend)
{
    backend->gone = true;
    pg_leave(&backend->pg);
    wire_peer_close(backend->wire);
    backend->wire->to_engine.ended = true;
}

static void send_flushed(struct backend *backend)
{
    if (backend->pg.flushed > 0) {
        wire_peer_send(backend->wire, backend->pg.out.bytes, backend->pg.flushed);
        pg_sent(&backend->pg, backend->pg.flushed);
    }
}

/* The process dies: some of what it said is on its way, even of what it had not flushed. */
static void die(struct backend *backend)
{
    struct sim *sim = backend->server->sim;
    uint32_t len = backend->pg.out.len;
    uint32_t part = (uint32_t)sim_random(sim, len + 1);
    sim_log(sim, "backend %u dies behind %u of %u bytes", backend->pid, part, len);
    wire_peer_send(backend->wire, backend->pg.out.bytes, part);
    backend->gone = true;
    pg_leave(&backend->pg);
    if (sim_random(sim, 2) == 0) {
        wire_peer_reset(backend->wire);
    } else {
        wire_peer_close(backend->wire);
    }
}

static void run(struct sim *sim, void *object, uint64_t argument);

static void want_run(struct backend *backend)
{
    struct sim *sim = backend->server->sim;
    if (!backend->scheduled && !backend->gone) {
        backend->scheduled = true;
        sim_after(sim, sim_random(sim, 8) == 0 ? sim_random(sim, 3000) : sim_random(sim, 60), run,
                  backend, 0);
    }
}

static void on_wake(struct pg *pg)
{
    want_run(pg->object);
}

static void alarm_rings(struct sim *sim, void *object, uint64_t nap)
{
    struct backend *backend = object;
    (void)sim;
    if (!backend->gone && backend->pg.asleep && backend->nap == nap) {
        pg_wake(&backend->pg);
        want_run(backend);
    }
}

static void idle_end(struct sim *sim, void *object, uint64_t messages)
{
    struct backend *backend = object;
    if (backend->gone || backend->pg.ended || backend->pg.messages != messages ||
        backend->pg.asleep) {
        return;
    }
    sim_log(sim, "backend %u is terminated while idle", backend->pid);
    pg_terminate(&backend->pg, "57P01", "terminating connection due to administrator command");
    want_run(backend);
}

static bool fault(struct backend *backend)
{
    struct sim *sim = backend->server->sim;
    if (sim_chance(sim, sim->swarm.server_cut_chance)) {
        die(backend);
        return true;
    }
    if (sim_chance(sim, sim->swarm.server_fatal_chance)) {
        sim_log(sim, "backend %u is terminated", backend->pid);
        pg_terminate(&backend->pg, "57P01", "terminating connection due to administrator command");
    }
    return false;
}

static void run(struct sim *sim, void *object, uint64_t argument)
{
    struct backend *backend = object;
    struct pg *pg = &backend->pg;
    bool more = true;
    (void)argument;
    backend->scheduled = false;
    while (!backend->gone && more) {
        bool was_asleep = pg->asleep;
        if (sim->verbose && !was_asleep && pg_next_type(pg) != 0) {
            printf("           backend %u takes %c, status %c\n", backend->pid, pg_next_type(pg),
                   pg->status);
        }
        more = pg_step(pg);
        if (more && fault(backend)) {
            return;
        }
        if (pg->asleep && !was_asleep) {
            backend->nap++;
            sim_after(sim, pg->command.ms * UINT64_C(1000), alarm_rings, backend, backend->nap);
        }
        if (more && sim_random(sim, 16) == 0) {
            want_run(backend); /* it was scheduled away */
            more = false;
        }
    }
    if (backend->gone) {
        return;
    }
    if (pg_at_rest(pg) && !pg->asleep) {
        pg_deliver(pg);
    }
    send_flushed(backend);
    if (pg->ended || (backend->input_ended && !pg->asleep && !backend->scheduled)) {
        leave(backend);
        return;
    }
    if (sim_chance(sim, sim->swarm.idle_fatal_chance)) {
        sim_after(sim, sim_random(sim, 200000), idle_end, backend, pg->messages);
    }
}

/* --- what others do --------------------------------------------------------------------------- */

static void cancel_arrives(struct sim *sim, void *object, uint64_t argument)
{
    struct backend *backend = object;
    (void)argument;
    sim_log(sim, "backend %u is asked to cancel%s", backend->pid,
            backend->pg.asleep ? "" : ", and has nothing to");
    if (!backend->gone && backend->pg.asleep) {
        pg_interrupt(&backend->pg, "57014", "canceling statement due to user request");
        want_run(backend);
    } else if (sim->swarm.late_cancels && backend->scheduled && pg_next_type(&backend->pg) != 0) {
        backend->pg.cancel_pending = true;
    }
}

static struct backend *find_backend(const struct server *server, uint32_t pid)
{
    struct backend *at = server->backends;
    while (at != NULL && (at->pid != pid || !at->started)) {
        at = at->next;
    }
    return at;
}

static bool on_signal(void *object, struct pg *pg, uint32_t pid, bool terminate)
{
    const struct world *world = object;
    struct sim *sim = world->server->sim;
    struct backend *target = find_backend(world->server, pid);
    check_signal(sim, pg->pid, pid, terminate);
    if (target == NULL || target->gone || &target->pg == pg) {
        return false;
    }
    if (terminate && !target->pg.ended) {
        pg_terminate(&target->pg, "57P01", "terminating connection due to administrator command");
        want_run(target);
    } else if (!terminate) {
        cancel_arrives(sim, target, 0);
    }
    return true;
}

/* Somebody alters a table, or a function deallocates a statement. */
static void disturb(struct sim *sim, void *object, uint64_t argument)
{
    struct server *server = object;
    bool done = sim_random(sim, 2) == 0;
    (void)argument;
    if (done) {
        server->worlds[sim_random(sim, SERVER_DATABASES)].pg.catalog++;
        sim_log(sim, "a table is altered");
    }
    for (struct backend *at = server->backends; at != NULL && !done; at = at->next) {
        done = at->started && !at->gone && pg_at_rest(&at->pg) && sim_random(sim, 3) == 0 &&
               pg_lose_statement(&at->pg, (uint32_t)sim_random(sim, PG_STATEMENTS_MAX));
        if (done) {
            sim_log(sim, "backend %u loses a statement", at->pid);
        }
    }
    if (done) {
        sim->disturbed_us[0] = sim->disturbed_us[1];
        sim->disturbed_us[1] = sim->now_us;
    }
    sim_after(sim, sim_random(sim, DISTURB_US), disturb, server, 0);
}

/* --- beginnings ------------------------------------------------------------------------------- */

static void take_cancel(struct backend *backend, const struct startup *startup)
{
    struct sim *sim = backend->server->sim;
    struct backend *target = find_backend(backend->server, startup->cancel_pid);
    bool known = target != NULL && target->key_bytes == startup->cancel_key_bytes &&
                 memcmp(target->key, startup->cancel_key, target->key_bytes) == 0;
    if (known) {
        /* The signal is sent before the connection ends (ProcessCancelRequest). */
        cancel_arrives(sim, target, 0);
    } else {
        sim_fail(sim, "a CancelRequest with a wrong key");
    }
    leave(backend);
}

static void refuse(struct backend *backend)
{
    static const char *const codes[] = {"57P03", "53300", "28P01", "3D000"};
    struct sim *sim = backend->server->sim;
    const char *code = codes[sim_random(sim, 4)];
    sim_log(sim, "backend %u refuses a login: %s", backend->pid, code);
    pg_terminate(&backend->pg, code, "this login is refused");
    send_flushed(backend);
    leave(backend);
}

static void write_greeting(struct backend *backend, uint32_t minor_asked)
{
    struct sim *sim = backend->server->sim;
    struct writer *out = &backend->pg.out;
    bool newer = minor_asked >= 2 && sim->swarm.protocol_32;
    if (minor_asked >= 2 && !newer) {
        uint32_t negotiate = writer_begin(out, 'v');
        writer_u32(out, 0);
        writer_u32(out, 0);
        writer_end(out, negotiate);
    }
    uint32_t mark = writer_begin(out, 'R');
    writer_u32(out, 0);
    writer_end(out, mark);
    pg_greet(&backend->pg);
    backend->key_bytes = newer ? sizeof(backend->key) : 4;
    for (uint32_t i = 0; i < backend->key_bytes; i++) {
        backend->key[i] = (uint8_t)sim_random(sim, 256);
    }
    mark = writer_begin(out, 'K');
    writer_u32(out, backend->pid);
    writer_bytes(out, backend->key, backend->key_bytes);
    writer_end(out, mark);
    mark = writer_begin(out, 'Z');
    writer_u8(out, 'I');
    writer_end(out, mark);
    backend->pg.flushed = out->len;
}

/* The startup packet, when it is whole. */
static void take_startup(struct backend *backend)
{
    struct sim *sim = backend->server->sim;
    struct bytes *in = &backend->pg.in;
    struct startup startup;
    uint32_t len;
    if (in->len < 4 || startup_length(bytes_at(in), &len) != 0 || in->len < len) {
        return;
    }
    if (startup_parse(bytes_at(in), len, &startup) != 0) {
        sim_fail(sim, "a malformed startup packet reached the server");
        return;
    }
    if (startup.code == STARTUP_CANCEL) {
        take_cancel(backend, &startup);
        return;
    }
    if (sim_chance(sim, sim->swarm.login_refuse_chance)) {
        refuse(backend);
        return;
    }
    if (sim->swarm.roles) {
        pg_start_role(&backend->pg, startup_parameter(&startup, "user"));
    }
    for (uint32_t i = 0; i < startup.parameter_count; i++) {
        pg_start_parameter(&backend->pg, startup.parameters[i].name, startup.parameters[i].value);
    }
    uint32_t database = strcmp(startup_parameter(&startup, "database"), "db1") == 0 ? 1 : 0;
    backend->pg.pid = backend->pid;
    backend->pg.object = backend;
    pg_join(&backend->pg, &backend->server->worlds[database].pg);
    sim_log(sim, "backend %u starts", backend->pid);
    backend->started = true;
    bytes_drop(in, len);
    write_greeting(backend, startup.code & 0xffff);
    if (sim_chance(sim, sim->swarm.server_cut_chance)) {
        die(backend);
        return;
    }
    want_run(backend);
}

static void on_bytes(void *object, const uint8_t *bytes, size_t len)
{
    struct backend *backend = object;
    if (backend->gone) {
        return;
    }
    pg_feed(&backend->pg, bytes, len);
    if (!backend->started) {
        take_startup(backend);
    } else {
        want_run(backend);
    }
}

static void on_end(void *object, bool reset)
{
    struct backend *backend = object;
    (void)reset;
    backend->input_ended = true;
    if (backend->gone) {
        return;
    }
    if (backend->started) {
        want_run(backend);
    } else {
        leave(backend);
    }
}

void server_connect(struct server *server, struct wire *wire)
{
    struct backend *backend = calloc(1, sizeof(*backend));
    if (backend == NULL) {
        abort();
    }
    pg_init(&backend->pg);
    backend->server = server;
    backend->wire = wire;
    backend->pid = server->next_pid++;
    backend->next = server->backends;
    server->backends = backend;
    wire->peer = (struct wire_peer){backend, on_bytes, on_end};
}
