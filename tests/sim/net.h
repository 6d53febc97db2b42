/* Wires: what a TCP connection does to bytes, without TCP.
 *
 * One end is a shell's socket, the other a model (a client, a backend). Bytes of a direction arrive
 * in order, in pieces and at times that the seed decides; an end can close, close its sending half,
 * or reset, which loses what is on its way.
 */
#ifndef TESTS_SIM_NET_H
#define TESTS_SIM_NET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/handle.h"
#include "tests/sim/bytes.h"

struct shell;
struct sim;

struct flow {
    struct bytes bytes;
    bool ended; /* the sender sends no more */
    bool reset; /* … because it failed */
    bool end_told;
    bool scheduled; /* a delivery is */
};

struct wire_peer {
    void *object;
    void (*on_bytes)(void *object, const uint8_t *bytes, size_t len);
    void (*on_end)(void *object, bool reset);
};

struct wire {
    struct sim *sim;
    struct wire *next;
    uint32_t id;
    struct flow to_engine, to_peer;
    struct shell *shell; /* NULL while it moves between workers, or when the engine has closed it */
    struct handle handle;
    bool dialing, full, broken, writable_scheduled;
    bool closing; /* the engine's last attempt to write is under way */
    bool peer_closed, engine_closed;
    uint64_t stalled_until_us; /* the peer does not read before */
    struct wire_peer peer;
};

struct wire *wire_new(struct sim *sim);
void wires_free(struct sim *sim);

/* The peer's end. */
void wire_peer_send(struct wire *wire, const void *bytes, size_t len);
void wire_peer_half_close(struct wire *wire);
void wire_peer_close(struct wire *wire);
/* Loses a random part of what is on its way to the engine, then fails there. */
void wire_peer_reset(struct wire *wire);

/* The engine's end (shell.c). Bytes taken, at most `len`. */
size_t wire_engine_send(struct wire *wire, const void *bytes, size_t len);
void wire_engine_close(struct wire *wire);
/* Delivers what waits: reading was switched on, or the wire has a shell again. */
void wire_kick(struct wire *wire);

#endif
