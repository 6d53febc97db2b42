/* A world for the engine: clients, servers and a clock, all scripted, in one thread.
 *
 * The world does what the daemon's shell does (pool/engine.h): it lends bytes, takes to-dos and
 * actions, advances the time. Everything that the engine sends is cut into messages and written
 * down, one line each, so that a run leaves a trace that can be compared. Commands, one a line:
 *
 *    options KEY=VALUE ...      the configuration; before anything else (see world_option)
 *    reload KEY=VALUE ...       a new snapshot, with these changes
 *    C1 opens [unix] [tls] [at WORKER]     a client connects; `tls`: it begins with a TLS record
 *    C1 logs in [user=alice] [database=app] [k=v ...]  opens, sends the startup packet; a good
 *                               greeting is traced as "C1 is in"
 *    C1> MESSAGES               the client sends (tests/scenario/words.h)
 *    S1> MESSAGES               the server sends
 *    X closes | X resets        end of file; a reset, with unread bytes thrown away
 *    X stops reading | X reads [BYTES]     its socket is full; takes so many, or all again
 *    X tls ok | X tls fails     the handshake that was asked for ends
 *    S1 accepts | S1 refuses    where the option server=manual leaves that open
 *    cancel C1 | wrong cancel C1    a client `cancel` connects and sends a CancelRequest for C1
 *    secret "text" | secret none | secret fails   the answer to what was asked for last
 *    os user NAME | os user none  likewise, who the peer of a Unix socket is
 *    wait 10ms | wait 2s        time passes; timers fire on their microsecond
 *    drain                      EVENT_DRAIN
 *    catalog is known           of a database with server_user=...: there is nothing in it
 *    nodes are up [except N]    with replicas=N: EVENT_NODES; node 0 is the primary
 *    node N freezes | node N lags   likewise, and all others are up
 *    no node is the primary     likewise: another server is known to be it
 *    node N leads               with hosts=N: it is the primary, in a term of its own
 *    node N is at ADDRESS       with figures and dots; where it was known to be elsewhere, it is
 *                               another server now
 *    names mean ADDRESS         where dials lead for which the engine knows no address
 *    node N was restarted       it is up, as another run
 *    node N is lost to the polls    its probe's connection has ended; another one is made
 *    node N is at LSN           a poll that is sent now is answered; EVENT_TICKS for listeners
 *
 * Servers are S1, S2 ... in the order of their dials, cancel requests' connections K1, K2 ... With
 * server=auto (the default) a server accepts and logs the proxy in by itself.
 *
 * What the engine does is traced by lines that begin with four spaces:
 *
 *    C1< MESSAGE, S1< MESSAGE   it sent that
 *    S1 dialed, C1 closed, C1 to do TLS, S1 logged in ...
 */
#ifndef TESTS_SCENARIO_DRIVER_H
#define TESTS_SCENARIO_DRIVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/limits.h"
#include "pool/engine.h"
#include "tests/scenario/words.h"

enum { WORLD_ENGINES_MAX = 4, WORLD_ACTORS_MAX = 256 };

enum actor_kind { ACTOR_CLIENT, ACTOR_SERVER, ACTOR_CANCELLER };

struct actor {
    enum actor_kind kind;
    char name[16];
    uint32_t engine;
    struct handle handle;
    bool open;         /* the engine knows the handle */
    bool dialed;       /* servers: connected */
    bool logged_in;    /* servers with server=auto */
    bool eof;          /* to be told when `in` is empty */
    bool deaf;         /* its connection was reset: hears nothing more */
    bool handshake;    /* TLS is under way: bytes wait */
    bool greeting;     /* `logs in`: a good greeting is one line */
    bool started;      /* what it hears has type bytes from now on */
    uint64_t takes;    /* bytes that it still reads; UINT64_MAX = all */
    uint64_t heard;    /* bytes in all */
    struct text in;    /* sent, and not yet received by the engine */
    struct text out;   /* received, and not yet whole messages */
    struct text lines; /* of the trace, in this step */
    uint32_t cancel_pid;
    uint8_t cancel_key[256];
    uint32_t cancel_key_bytes;
    char status;        /* clients: of the last ReadyForQuery */
    char server_status; /* for a listener that plays the server: 'I', 'T', 'E', or 0 at first */
    bool server_copies, server_skips; /* likewise: reads COPY data; skips to the next Sync */

    char address[LIMIT_ADDRESS_BYTES]; /* servers: connected to; "" = nobody knows */
};

struct world {
    struct text settings; /* "KEY=VALUE " ... as given so far */
    struct options *options;
    struct shared *shared;
    struct engine *engines[WORLD_ENGINES_MAX];
    uint32_t engine_count;
    uint64_t now_us;
    struct actor actors[WORLD_ACTORS_MAX];
    uint32_t actor_count;
    struct topology *topology; /* tests/scenario/replicas.c; NULL: nothing was told of the nodes */
    char named[LIMIT_ADDRESS_BYTES]; /* what the servers' names mean; "" = nobody knows */
    bool server_manual, logs, cheap_keys, quiet;
    size_t step_bytes; /* at most so many bytes are received at once; 0 = any */
    struct handle asked;
    uint32_t asked_engine;
    struct text lines; /* of the step, that belong to no actor */
    struct text last;  /* the trace of the last step */
    struct text trace; /* of all steps */
    /* Called with each whole message that an actor hears; NULL = nobody listens. */
    void (*listener)(struct world *world, struct actor *actor, const uint8_t *message,
                     size_t bytes);
    char problem[256]; /* the first rule that the engine broke; "" = none */
};

/* True while an engine is at work, for tests that let its allocations fail. */
extern bool world_engine_works;

/* Called before and behind each step of an engine, for who measures it; NULL = nobody does. */
extern void (*world_measure)(bool before);

struct world *world_new(void);
void world_free(struct world *world);

/* Runs one command; its trace is in world->last. False when it is not understood. */
bool world_do(struct world *world, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* For matrices and fuzzers: bytes as they are, from an actor to the engine. */
void world_send(struct world *world, struct actor *actor, const void *bytes, size_t len);

/* The actor of that name; NULL when there is none. */
struct actor *world_actor(struct world *world, const char *name);

/* A client that has just been accepted. */
struct actor *world_open(struct world *world, uint32_t engine, bool is_unix, bool tls_first);

/* Lets time pass. */
void world_wait(struct world *world, uint64_t us);

/* How often `text` occurs in the whole trace, or in the last step. */
uint32_t world_count(const struct world *world, const char *text);
uint32_t world_count_last(const struct world *world, const char *text);

/* Does what the engine wants until it wants nothing more. */
void world_pump(struct world *world);

/* Ends the step: its lines go to world->last and world->trace. */
void world_end_step(struct world *world);

/* The first broken rule, kept. */
void world_problem(struct world *world, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Gives an event, which is about no connection, to an engine. */
void world_step(struct world *world, uint32_t engine, struct event event);

/* What a database with replicas is told (tests/scenario/replicas.c). False: it is none of these. */
bool world_replicas(struct world *world, const char *command);
void world_replicas_free(struct world *world);

/* Builds the snapshot from world->settings; aborts on an unknown key (settings.c). */
struct options *world_options(struct world *world);

/* Cuts what the actor has heard into lines (tests/scenario/hear.c). */
void world_hear(struct world *world, struct actor *actor);

#endif
