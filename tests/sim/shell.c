#include "tests/sim/shell.h"

#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>

#include "base/error.h"
#include "pool/engine.h"
#include "pool/letter.h"
#include "tests/sim/check.h"
#include "tests/sim/console.h"
#include "tests/sim/net.h"
#include "tests/sim/server.h"
#include "tests/sim/sim.h"

enum { VECTORS_MAX = 16 };

/* Room that a receive offers may end anywhere; so may what the engine is given of it. */
struct shell *shell_new(struct sim *sim, uint32_t worker)
{
    struct shell *shell = calloc(1, sizeof(*shell));
    struct engine_setup setup = {.worker = worker,
                                 .shared = sim->shared,
                                 .options = sim->options,
                                 .now_us = sim->now_us,
                                 .wall_us = sim->now_us,
                                 .seed = sim->seed + worker};
    if (shell == NULL) {
        abort();
    }
    memcpy(setup.secret, &sim->seed, sizeof(sim->seed));
    shell->sim = sim;
    shell->worker = worker;
    shell->tick_us = UINT64_MAX;
    shell->engine = engine_new(&setup);
    if (shell->engine == NULL) {
        abort();
    }
    return shell;
}

void shell_free(struct shell *shell)
{
    if (shell != NULL) {
        engine_free(shell->engine);
        free(shell->wires);
        free(shell);
    }
}

static struct wire *find(const struct shell *shell, struct handle handle)
{
    struct wire *wire = handle.slot < shell->wire_capacity ? shell->wires[handle.slot] : NULL;
    return wire != NULL && handle_equal(wire->handle, handle) ? wire : NULL;
}

static void bind(struct shell *shell, struct wire *wire, struct handle handle)
{
    if (handle.slot >= shell->wire_capacity) {
        size_t capacity = handle.slot * 2 + 16;
        shell->wires = realloc(shell->wires, capacity * sizeof(*shell->wires));
        if (shell->wires == NULL) {
            abort();
        }
        memset(shell->wires + shell->wire_capacity, 0,
               (capacity - shell->wire_capacity) * sizeof(*shell->wires));
        shell->wire_capacity = capacity;
    }
    shell->wires[handle.slot] = wire;
    wire->handle = handle;
    wire->shell = shell;
}

static void unbind(struct shell *shell, struct wire *wire)
{
    shell->wires[wire->handle.slot] = NULL;
    wire->shell = NULL;
}

/* --- events in -------------------------------------------------------------------------------- */

static void flush(struct shell *shell);

static void flush_call(struct sim *sim, void *object, uint64_t argument)
{
    struct shell *shell = object;
    (void)sim;
    (void)argument;
    shell->flush_scheduled = false;
    flush(shell);
}

/* A loop's turn takes several events before it flushes; how many the seed decides. */
static void want_flush(struct shell *shell)
{
    if (!shell->flush_scheduled) {
        shell->flush_scheduled = true;
        sim_after(shell->sim, sim_random(shell->sim, 4) == 0 ? sim_random(shell->sim, 60) : 0,
                  flush_call, shell, 0);
    }
}

static void step(struct shell *shell, struct event *event)
{
    event->now_us = shell->sim->now_us;
    check_before(shell->sim, shell);
    engine_step(shell->engine, event);
    check_after(shell->sim, shell);
    want_flush(shell);
}

bool shell_reads(struct shell *shell, const struct wire *wire)
{
    return engine_reading(shell->engine, wire->handle);
}

size_t shell_receive(struct shell *shell, struct wire *wire, const uint8_t *bytes, size_t len)
{
    uint8_t *room;
    uint32_t room_bytes;
    if (!engine_rx(shell->engine, wire->handle, &room, &room_bytes)) {
        return 0;
    }
    if (room_bytes == 0) {
        sim_fail(shell->sim, "engine_rx lent no room");
        return 0;
    }
    if (len > room_bytes) {
        len = room_bytes;
    }
    memcpy(room, bytes, len);
    struct event event = {.kind = EVENT_BYTES, .handle = wire->handle, .bytes = (uint32_t)len};
    step(shell, &event);
    return len;
}

void shell_end(struct shell *shell, struct wire *wire, bool failed)
{
    struct event event = {.kind = EVENT_EOF,
                          .handle = wire->handle,
                          .code = failed ? ERR_IO : 0,
                          .text = failed ? "reset" : NULL};
    step(shell, &event);
}

static void sent(struct shell *shell, struct wire *wire, size_t bytes)
{
    struct event event = {.kind = EVENT_SENT, .handle = wire->handle, .bytes = (uint32_t)bytes};
    step(shell, &event);
}

/* Writes what there is; see flush_plain in daemon/socket.c. */
static void write_out(struct shell *shell, struct wire *wire)
{
    for (;;) {
        struct iovec vectors[VECTORS_MAX];
        int count = engine_tx(shell->engine, wire->handle, vectors, VECTORS_MAX);
        size_t wanted = 0, done = 0;
        if (wire->broken || wire->dialing) {
            return;
        }
        if (count == 0) {
            wire->full = false;
            return;
        }
        for (int i = 0; i < count; i++) {
            size_t taken = 0;
            if (done == wanted) {
                taken = wire_engine_send(wire, vectors[i].iov_base, vectors[i].iov_len);
            }
            wanted += vectors[i].iov_len;
            done += taken;
        }
        if (wire->broken) {
            return;
        }
        if (done > 0) {
            sent(shell, wire, done);
        }
        wire->full = done < wanted;
        if (wire->full) {
            sent(shell, wire, 0);
        }
        if (wire->full || count < VECTORS_MAX) {
            return;
        }
    }
}

void shell_writable(struct shell *shell, struct wire *wire)
{
    wire->full = false;
    write_out(shell, wire);
}

void shell_reload(struct shell *shell, struct options *options)
{
    struct event event = {.kind = EVENT_OPTIONS, .options = options};
    step(shell, &event);
}

void shell_reload_done(struct shell *shell, struct handle handle)
{
    engine_reload_done(shell->engine, handle, NULL, shell->sim->now_us);
    want_flush(shell);
}

bool shell_accept(struct shell *shell, struct wire *wire)
{
    struct origin origin = {.family = 4, .address = {127, 0, 0, 1}, .port = 1};
    struct handle handle;
    int code = engine_open(shell->engine, &origin, false, shell->sim->now_us, &handle);
    want_flush(shell);
    if (code != 0) {
        return false;
    }
    bind(shell, wire, handle);
    return true;
}

/* --- actions out ------------------------------------------------------------------------------ */

static void dialed(struct sim *sim, void *object, uint64_t code)
{
    struct wire *wire = object;
    struct shell *shell = wire->shell;
    if (shell == NULL) {
        return; /* closed meanwhile */
    }
    wire->dialing = false;
    struct event event = {.kind = EVENT_DIALED,
                          .handle = wire->handle,
                          .code = (int)code,
                          .text = code == 0 ? NULL : "connection refused"};
    if (code == 0) {
        server_connect(sim->server, wire);
    }
    step(shell, &event);
    wire_kick(wire);
}

static void dial(struct shell *shell, struct handle handle)
{
    struct sim *sim = shell->sim;
    struct wire *wire = wire_new(sim);
    bind(shell, wire, handle);
    wire->dialing = true;
    if (engine_server(shell->engine, handle) == NULL) {
        sim_fail(sim, "a dial without a server");
    }
    if (sim_chance(sim, sim->swarm.dial_hang_chance)) {
        return; /* connect_timeout is the engine's */
    }
    uint64_t code = sim_chance(sim, sim->swarm.dial_fail_chance) ? ERR_CONNECT : 0;
    sim_after(sim, sim_random(sim, 2000), dialed, wire, code);
}

static void close_phase(struct shell *shell, struct handle handle)
{
    struct wire *wire = find(shell, handle);
    struct event event = {.kind = EVENT_CLOSED, .handle = handle};
    if (wire != NULL) {
        wire->closing = true;
        if (!wire->full) {
            write_out(shell, wire);
        }
        unbind(shell, wire);
        wire_engine_close(wire);
    }
    step(shell, &event);
}

static void do_todo(struct shell *shell, const struct todo *todo)
{
    struct wire *wire;
    if ((todo->bits & TODO_CLOSE) != 0) {
        close_phase(shell, todo->handle);
        return;
    }
    if ((todo->bits & TODO_DIAL) != 0) {
        dial(shell, todo->handle);
    }
    wire = find(shell, todo->handle);
    if (wire == NULL) {
        return;
    }
    if ((todo->bits & TODO_SEND) != 0 && !wire->full) {
        write_out(shell, wire);
    }
    if ((todo->bits & TODO_READING) != 0) {
        wire_kick(wire);
    }
}

/* --- letters ---------------------------------------------------------------------------------- */

struct parcel {
    struct shell *to;
    struct letter *letter;
    struct wire *wire; /* NULL: a letter alone */
};

static void arrive(struct sim *sim, void *object, uint64_t argument)
{
    struct parcel *parcel = object;
    struct shell *shell = parcel->to;
    (void)argument;
    if (parcel->wire == NULL) {
        struct event event = {.kind = EVENT_MAIL, .letter = parcel->letter};
        step(shell, &event);
    } else {
        struct handle handle;
        shell->links_arriving--;
        check_before(sim, shell);
        int code = engine_adopt(shell->engine, parcel->letter, sim->now_us, &handle);
        if (code != 0) {
            sim_fail(sim, "engine_adopt failed: %d", code);
        } else {
            bind(shell, parcel->wire, handle);
            check_after(sim, shell);
            wire_kick(parcel->wire);
        }
        want_flush(shell);
    }
    free(parcel);
}

/* In order per pair of workers; to itself at once. */
static void post(struct shell *shell, uint32_t to, struct letter *letter, struct wire *wire)
{
    struct sim *sim = shell->sim;
    struct parcel *parcel = calloc(1, sizeof(*parcel));
    uint64_t *last_us = &sim->pair_us[shell->worker][to];
    if (parcel == NULL) {
        abort();
    }
    *parcel = (struct parcel){sim->shells[to], letter, wire};
    sim_log(sim, "letter %u>%u kind %d%s", shell->worker, to, (int)letter->kind,
            wire == NULL ? "" : " with a link");
    if (wire != NULL) {
        parcel->to->links_arriving++;
        sim->moves++;
    }
    if (to == shell->worker) {
        arrive(sim, parcel, 0);
        return;
    }
    uint64_t at_us = sim->now_us + 1 + sim_random(sim, sim->swarm.letter_delay_max_us);
    *last_us = at_us > *last_us ? at_us : *last_us;
    sim_after(sim, *last_us - sim->now_us, arrive, parcel, 0);
}

static void lend_out(struct shell *shell, const struct action *action)
{
    struct wire *wire = find(shell, action->handle);
    struct event event = {.kind = EVENT_CLOSED, .handle = action->handle};
    if (wire == NULL) {
        sim_fail(shell->sim, "a link without a socket is lent");
        return;
    }
    unbind(shell, wire);
    step(shell, &event);
    post(shell, action->worker, action->letter, wire);
}

static void act(struct shell *shell, const struct action *action)
{
    switch (action->kind) {
    case ACTION_MAIL:
        post(shell, action->worker, action->letter, NULL);
        return;
    case ACTION_LEND_OUT:
        lend_out(shell, action);
        return;
    case ACTION_LOG:
        sim_log(shell->sim, "e%u log: %s", shell->worker, action->text);
        return;
    case ACTION_RELOAD:
        console_reload(shell->sim, shell, action->handle);
        return;
    case ACTION_ASK_SECRET:
    case ACTION_FORGET_SECRET:
    case ACTION_ASK_CATALOG:
    case ACTION_PROBE:
    case ACTION_DERIVE:
    case ACTION_ASK_OS_USER:
    case ACTION_SHUTDOWN:
    case ACTION_DRAINED:
        sim_fail(shell->sim, "unexpected action %d", (int)action->kind);
        return;
    }
}

static void tick(struct sim *sim, void *object, uint64_t argument)
{
    struct shell *shell = object;
    if (shell->tick_us != argument) {
        return; /* an earlier one was wanted since */
    }
    shell->tick_us = UINT64_MAX;
    struct event event = {.kind = EVENT_TICK};
    if (engine_deadline_us(shell->engine) <= sim->now_us) {
        step(shell, &event);
    } else {
        want_flush(shell);
    }
}

static void flush(struct shell *shell)
{
    struct sim *sim = shell->sim;
    struct todo todo;
    struct action action;
    bool more;
    uint32_t rounds = 0;
    do {
        more = false;
        while (rounds < 10000 && engine_next_todo(shell->engine, &todo)) {
            do_todo(shell, &todo);
            more = true;
            rounds++;
        }
        while (engine_next_action(shell->engine, &action)) {
            act(shell, &action);
            more = true;
        }
        if (++rounds > 10000) {
            sim_fail(sim, "e%u: a turn of the loop does not end", shell->worker);
        }
    } while (more && !sim->failed);
    uint64_t deadline_us = engine_deadline_us(shell->engine);
    if (deadline_us < shell->tick_us) {
        uint64_t wait_us = deadline_us > sim->now_us ? deadline_us - sim->now_us : 0;
        wait_us += sim_random(sim, sim->swarm.late_tick_us);
        shell->tick_us = deadline_us;
        sim_after(sim, wait_us, tick, shell, deadline_us);
    }
}
