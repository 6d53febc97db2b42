#include "tests/sim/net.h"

#include "base/limits.h"
#include "tests/sim/shell.h"
#include "tests/sim/sim.h"

struct wire *wire_new(struct sim *sim)
{
    struct wire *wire = calloc(1, sizeof(*wire));
    if (wire == NULL) {
        abort();
    }
    wire->sim = sim;
    wire->id = ++sim->wire_count;
    wire->next = sim->wires;
    sim->wires = wire;
    return wire;
}

void wires_free(struct sim *sim)
{
    while (sim->wires != NULL) {
        struct wire *wire = sim->wires;
        sim->wires = wire->next;
        bytes_fini(&wire->to_engine.bytes);
        bytes_fini(&wire->to_peer.bytes);
        free(wire);
    }
}

static uint64_t delay_us(struct sim *sim)
{
    return sim_random(sim, 8) == 0 ? sim_random(sim, sim->swarm.delay_max_us) : sim_random(sim, 40);
}

/* How many of `len` bytes come together. */
static size_t segment(struct sim *sim, size_t len)
{
    size_t most = len;
    switch (sim->swarm.segment_mode) {
    case 0:
        return len;
    case 1:
        most = sim_random(sim, 4) == 0 ? len : 1 + sim_random(sim, len);
        break;
    case 2:
        most = 1 + sim_random(sim, 40);
        break;
    case 3:
        most = 1 + sim_random(sim, 2);
        break;
    }
    /* Byte by byte is for the beginnings: a long stream would take for ever. */
    if (len > 4096) {
        most += len / 8;
    }
    return most < len ? most : len;
}

/* --- to the peer ------------------------------------------------------------------------------ */

static void deliver_to_peer(struct sim *sim, void *object, uint64_t argument);

static void schedule_to_peer(struct wire *wire)
{
    struct flow *flow = &wire->to_peer;
    if (flow->scheduled || wire->peer_closed || flow->end_told) {
        return;
    }
    if (flow->bytes.len > 0 || flow->ended) {
        uint64_t wait_us = delay_us(wire->sim);
        if (wire->stalled_until_us > wire->sim->now_us + wait_us) {
            wait_us = wire->stalled_until_us - wire->sim->now_us;
        }
        flow->scheduled = true;
        sim_after(wire->sim, wait_us, deliver_to_peer, wire, 0);
    }
}

static void writable(struct sim *sim, void *object, uint64_t argument)
{
    struct wire *wire = object;
    (void)argument;
    wire->writable_scheduled = false;
    if (wire->shell != NULL && wire->full &&
        wire->to_peer.bytes.len < sim->swarm.socket_room_bytes) {
        shell_writable(wire->shell, wire);
    }
}

static void deliver_to_peer(struct sim *sim, void *object, uint64_t argument)
{
    struct wire *wire = object;
    struct flow *flow = &wire->to_peer;
    (void)argument;
    flow->scheduled = false;
    if (wire->peer_closed) {
        return;
    }
    if (flow->bytes.len > 0) {
        size_t len = segment(sim, flow->bytes.len);
        uint8_t *copy = malloc(len);
        if (copy == NULL) {
            abort();
        }
        memcpy(copy, bytes_at(&flow->bytes), len);
        bytes_drop(&flow->bytes, len);
        wire->peer.on_bytes(wire->peer.object, copy, len);
        free(copy);
    } else if (flow->ended && !flow->end_told) {
        flow->end_told = true;
        wire->peer.on_end(wire->peer.object, flow->reset);
    }
    if (wire->full && !wire->writable_scheduled) {
        wire->writable_scheduled = true;
        sim_after(sim, delay_us(sim), writable, wire, 0);
    }
    schedule_to_peer(wire);
}

/* The socket failed in a write, and its end had been told already. */
static void fail_late(struct sim *sim, void *object, uint64_t argument)
{
    struct wire *wire = object;
    (void)sim;
    (void)argument;
    if (wire->shell != NULL) {
        shell_end(wire->shell, wire, true);
    }
}

size_t wire_engine_send(struct wire *wire, const void *bytes, size_t len)
{
    struct sim *sim = wire->sim;
    size_t room = sim->swarm.socket_room_bytes;
    if (wire->peer_closed) { /* the kernel takes it, the peer resets */
        if (sim_random(sim, 2) == 0) {
            if (!wire->broken && wire->to_engine.end_told) {
                sim_after(sim, 0, fail_late, wire, 0);
            }
            wire->broken = true;
            return 0;
        }
        return len;
    }
    /* A socket that is not full takes some more at once (LIMIT_LAST_WORDS_BYTES). */
    room = wire->to_peer.bytes.len < room ? room - wire->to_peer.bytes.len : 0;
    room = room > 0 && room < LIMIT_LAST_WORDS_BYTES ? LIMIT_LAST_WORDS_BYTES : room;
    if (len > room) {
        len = room;
    }
    if (len > 1 && !wire->closing && sim->swarm.segment_mode != 0 && sim_random(sim, 16) == 0) {
        len = 1 + sim_random(sim, len);
    }
    bytes_push(&wire->to_peer.bytes, bytes, len);
    schedule_to_peer(wire);
    if (!wire->writable_scheduled) {
        wire->writable_scheduled = true;
        sim_after(sim, 1 + delay_us(sim), writable, wire, 0);
    }
    return len;
}

void wire_engine_close(struct wire *wire)
{
    wire->engine_closed = true;
    wire->shell = NULL;
    wire->to_peer.ended = true;
    bytes_drop(&wire->to_engine.bytes, wire->to_engine.bytes.len);
    if (wire->peer.object != NULL) {
        schedule_to_peer(wire);
    }
}

/* --- to the engine ---------------------------------------------------------------------------- */

static void deliver_to_engine(struct sim *sim, void *object, uint64_t argument)
{
    struct wire *wire = object;
    struct flow *flow = &wire->to_engine;
    (void)argument;
    flow->scheduled = false;
    if (wire->shell == NULL || wire->dialing || flow->end_told) {
        return;
    }
    if (flow->bytes.len > 0) {
        if (!shell_reads(wire->shell, wire)) {
            return; /* wire_kick comes when it does */
        }
        size_t len =
            shell_receive(wire->shell, wire, bytes_at(&flow->bytes), segment(sim, flow->bytes.len));
        if (wire->engine_closed) {
            return;
        }
        bytes_drop(&flow->bytes, len);
    } else if (flow->ended) {
        flow->end_told = true;
        wire->broken = wire->broken || flow->reset;
        shell_end(wire->shell, wire, flow->reset);
        return;
    }
    wire_kick(wire);
}

void wire_kick(struct wire *wire)
{
    struct flow *flow = &wire->to_engine;
    if (flow->scheduled || wire->shell == NULL || wire->dialing || flow->end_told ||
        (flow->bytes.len == 0 && !flow->ended)) {
        return;
    }
    flow->scheduled = true;
    sim_after(wire->sim, delay_us(wire->sim), deliver_to_engine, wire, 0);
}

void wire_peer_send(struct wire *wire, const void *bytes, size_t len)
{
    if (wire->engine_closed || wire->to_engine.ended) {
        return;
    }
    bytes_push(&wire->to_engine.bytes, bytes, len);
    wire_kick(wire);
}

void wire_peer_half_close(struct wire *wire)
{
    wire->to_engine.ended = true;
    wire_kick(wire);
}

void wire_peer_close(struct wire *wire)
{
    wire->peer_closed = true;
    bytes_drop(&wire->to_peer.bytes, wire->to_peer.bytes.len);
    wire_peer_half_close(wire);
}

void wire_peer_reset(struct wire *wire)
{
    struct bytes *bytes = &wire->to_engine.bytes;
    if (!wire->to_engine.ended) {
        bytes->len = sim_random(wire->sim, bytes->len + 1);
        wire->to_engine.reset = true;
    }
    wire_peer_close(wire);
}
