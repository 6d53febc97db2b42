/* A worker's shell: drives one engine as daemon/worker.c and daemon/socket.c do, over wires. */
#ifndef TESTS_SIM_SHELL_H
#define TESTS_SIM_SHELL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/handle.h"

struct engine;
struct options;
struct sim;
struct wire;

struct shell {
    struct sim *sim;
    uint32_t worker;
    struct engine *engine;
    struct wire **wires; /* by slot */
    size_t wire_capacity;
    bool flush_scheduled;
    uint64_t tick_us;        /* when a tick is scheduled; UINT64_MAX = none */
    uint32_t links_arriving; /* lent to it and under way */
};

struct shell *shell_new(struct sim *sim, uint32_t worker);
void shell_free(struct shell *shell);

/* A client's socket. False when the engine refuses it. */
bool shell_accept(struct shell *shell, struct wire *wire);

/* The engine takes over a snapshot; a reload that was asked for is done. */
void shell_reload(struct shell *shell, struct options *options);
void shell_reload_done(struct shell *shell, struct handle handle);

/* For net.c. */
bool shell_reads(struct shell *shell, const struct wire *wire);
/* Returns how many of the bytes were taken. */
size_t shell_receive(struct shell *shell, struct wire *wire, const uint8_t *bytes, size_t len);
void shell_end(struct shell *shell, struct wire *wire, bool failed);
void shell_writable(struct shell *shell, struct wire *wire);

#endif
