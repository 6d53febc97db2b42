/* The seeded simulator: the real engines, a virtual clock, and models of everything around them.
 *
 *    clients (client*.c) <-> wires (net.c) <-> shells (shell.c) with engines <-> wires <-> server.c
 *         |                                            |                          pg*.c: PostgreSQL
 *         +-- oracle (check_transcript.c), witness     +-- pool size, order, quiesce (check_*.c)
 *         +-- locks, sequence, notifications           +-- what links remember (check_link.c)
 *             (check_session.c)                        +-- whom a pid reaches (check_pids.c)
 *    an administrator (console.c) <-> wires <-> shells; others who alter tables (server.c)
 *
 * One thread, one generator, no sockets: a seed decides everything, so a seed that fails fails
 * again. What may happen in a run (faults, small limits, kinds of clients) is drawn first
 * (swarm.c), because a run in which everything happens finds less than many runs of which each
 * lets some of it happen.
 */
#ifndef TESTS_SIM_SIM_H
#define TESTS_SIM_SIM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/handle.h"
#include "base/random.h"
#include "pool/options.h"

struct client;
struct console;
struct options;
struct pool;
struct server;
struct shared;
struct shell;
struct wire;

enum {
    SIM_WORKERS_MAX = 4,
    SIM_CLIENTS_MAX = 64,
    SIM_WAITING_MAX = 128,
    SIM_LOG_LINES = 400,
    SIM_LINE_BYTES = 160,
    SIM_STATE_SEED = 10000, /* seeds below were kept before clients had any: they draw none */
    SIM_WIDE_SEED = 20000,  /* likewise what swarm_draw_wide draws */
};

/* What one run lets happen. Chances are per mille. */
struct swarm {
    uint32_t workers, clients, databases;
    struct pool_options pool;
    uint32_t database_cap; /* max_server_connections of a database; 0 = none */
    uint32_t users;        /* 1 or 2 per database */
    uint32_t segment_mode; /* 0 whole, 1 random, 2 small, 3 byte by byte */
    uint32_t delay_max_us;
    uint32_t letter_delay_max_us;
    uint32_t socket_room_bytes; /* what a socket takes before it is full */
    uint32_t late_tick_us;
    uint32_t ops_max; /* of a client */
    bool protocol_32; /* the server speaks it */
    bool extended, named, portals, pipelines, flushes, copies, transactions, parameters, discards;
    bool notices, sleeps, cancels, batches, big_rows;
    bool startup_parameters;
    bool rebinds; /* unnamed statements are used again by a later batch */
    uint32_t error_chance;
    /* Faults. */
    uint32_t client_cut_chance; /* a client vanishes at a random byte */
    uint32_t half_close_chance;
    uint32_t hostile_chance;
    uint32_t slow_reader_chance;
    uint32_t dial_fail_chance, dial_hang_chance, login_refuse_chance;
    uint32_t server_fatal_chance, server_cut_chance; /* per message handled by a backend */
    uint32_t idle_fatal_chance;                      /* a backend ends after it has been idle */
    bool pauses; /* clients think for long, in and out of transactions */
    /* Session state, said in SQL (client_state.c): drawn for seeds from SIM_STATE_SEED on. */
    bool state;
    bool state_settings, state_savepoints, state_prepares, state_temps, state_cursors;
    bool state_locks, state_listens, state_sequences;
    uint32_t opaque_chance; /* of a command that is no SQL */
    /* For seeds from SIM_WIDE_SEED on. */
    bool begins; /* BEGIN with modes, and its other spellings; AND CHAIN */
    bool own;    /* howdah.* settings, EXPLAIN (HOWDAH) */
    bool roles;  /* a user has settings of its own */
    bool console;
    bool heals;        /* others change the catalog, and statements are lost */
    bool pids;         /* pg_cancel_backend and pg_terminate_backend of another client's pid */
    bool late_cancels; /* a cancel request can hit whatever the backend does next */
};

/* Who waited before the step under way (check_order.c). */
struct order {
    uint32_t count;
    struct order_entry {
        struct handle session;
        const struct pool *pool;
        uint64_t since_us;
    } waiting[SIM_WAITING_MAX];
};

/* A notification that was committed. */
struct note {
    uint64_t at_us;
    uint32_t database, channel;
    char payload[64];
};

struct sim {
    uint64_t seed;
    struct random random; /* the world's; a client has its own */
    uint64_t now_us;
    struct swarm swarm;
    struct options *options;
    struct shared *shared;
    uint32_t shell_count;
    struct shell *shells[SIM_WORKERS_MAX];
    struct server *server;
    struct console *console;
    uint32_t server_changes;  /* by reloads */
    uint64_t disturbed_us[2]; /* when others last changed the catalog, or lost a statement */
    uint32_t client_count;
    struct client *clients[SIM_CLIENTS_MAX];
    struct wire *wires; /* all that ever were */
    uint32_t wire_count;
    uint64_t pair_us[SIM_WORKERS_MAX][SIM_WORKERS_MAX]; /* the last letter's arrival */

    struct sim_item *items; /* a heap by (time, number) */
    size_t item_count, item_capacity;
    uint64_t item_number, steps;
    struct order order;
    struct note *notes;
    uint32_t note_count, note_capacity;

    bool verbose, failed;
    char failure[512];
    uint64_t hash; /* of the log */
    uint32_t log_next;
    char log[SIM_LOG_LINES][SIM_LINE_BYTES];

    /* For the summary. */
    uint64_t responses, rows, errors, grants, moves, fatals, cancels, lost, refused, heard;
};

typedef void sim_call(struct sim *sim, void *object, uint64_t argument);

struct sim_item {
    uint64_t at_us, number;
    sim_call *call;
    void *object;
    uint64_t argument;
};

/* Runs one seed to its end. False when a checker objected; sim->failure says what. */
bool sim_run(struct sim *sim, uint64_t seed, uint64_t steps_max);

/* Frees what the run has left; a leak is the address sanitizer's to find. */
void sim_fini(struct sim *sim);

/* Calls later, in order of time, then of asking. */
void sim_after(struct sim *sim, uint64_t delay_us, sim_call *call, void *object, uint64_t argument);

/* A line of the log, which is hashed: nothing that differs between two runs may stand in it. */
void sim_log(struct sim *sim, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* A checker objects. The first objection counts and ends the run. */
void sim_fail(struct sim *sim, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* From 0 up to, not including, bound; 0 for bound 0. */
uint64_t sim_random(struct sim *sim, uint64_t bound);
bool sim_chance(struct sim *sim, uint32_t per_mille);

/* Draws what the run lets happen. */
void swarm_draw(struct swarm *swarm, struct random *random);
void swarm_draw_state(struct swarm *swarm, struct random *random);
void swarm_draw_wide(struct swarm *swarm, struct random *random);
void swarm_print(const struct swarm *swarm);
/* A snapshot of options for it. */
struct options *swarm_options(const struct swarm *swarm);
/* Whether a client may lose its session through no fault of its own. */
bool swarm_server_fails(const struct swarm *swarm);

#endif
