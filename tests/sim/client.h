/* One session of a client: it connects, says things in the style of a driver, checks every answer
 * against its oracle, and leaves in one way or another. */
#ifndef TESTS_SIM_CLIENT_H
#define TESTS_SIM_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/random.h"
#include "base/writer.h"
#include "tests/sim/bytes.h"
#include "tests/sim/oracle.h"

struct sim;
struct wire;

enum client_state { CLIENT_NEW, CLIENT_ACTIVE, CLIENT_LEAVING, CLIENT_DONE };

enum {
    CLIENT_NAMES = 4,
    CLIENT_ID_TEXT_BYTES = 40,
    CLIENT_COMMAND_BYTES = 160,
    CLIENT_CHANNELS = 3,
    CLIENT_FOREIGN_PID = 7, /* no backend has it, and no client */
};

struct client {
    struct sim *sim;
    uint32_t number;
    uint64_t id, sequence;
    struct random random; /* its own: what it says does not depend on how bytes travel */
    enum client_state state;
    struct wire *wire;
    struct bytes in;
    struct writer out; /* the batch being made */
    struct oracle oracle;
    uint8_t cancel_body[36]; /* pid and key */
    uint32_t cancel_bytes;
    uint32_t cancels;
    char status; /* of the last ReadyForQuery */
    uint32_t ops_left;
    uint32_t due_ready; /* ReadyForQuery awaited */
    uint32_t due_acks;  /* answers awaited behind a Flush */
    bool open_pipeline; /* a Flush was sent and no Sync since */
    bool pipelined;     /* the batch has several Syncs */
    bool copy_extended;
    bool unnamed_copies; /* the unnamed statement may be a COPY: it is not bound again unseen */
    bool no_custom;      /* it has said DISCARD ALL: whether a custom setting is '' or not there */
    bool opaque;         /* what it says now is no SQL */
    bool alone;          /* it is the only statement of its text */
    bool half_closed, told_fatal, cut, hostile;
    uint32_t fatal_count;
    uint64_t waiting_from_us; /* 0: nothing is awaited */

    /* For check_session.c. */
    uint32_t database;
    uint32_t last_value; /* of the sequence, as it was told; 0 = none */
    uint32_t locks[PG_LOCKS];
    uint32_t asked_channels;               /* it has ever asked to listen to: bits */
    uint32_t heard_from[CLIENT_CHANNELS];  /* the first note that it must hear; UINT32_MAX = none */
    uint32_t notes_heard[CLIENT_CHANNELS]; /* the number behind the last one */
    bool lingered;

    /* For check_pids.c. */
    uint32_t backend;     /* that it has, or had last; 0 = none yet */
    uint32_t signals;     /* whom it has asked to be signaled: a client's number */
    bool signals_foreign; /* ... or a pid that is nobody's */
    uint64_t signal_us;   /* when */
    bool terminated;      /* somebody has asked to end its backend */
};

struct client *client_new(struct sim *sim, uint32_t number);
void client_free(struct client *client);

/* Connects. */
void client_start(struct sim *sim, void *object, uint64_t argument);

/* client_ops.c: makes the next batch in client->out. */
void client_make_batch(struct client *client);
/* … the lines of a COPY. */
void client_make_copy(struct client *client);

/* client_state.c: one command about the session's state, or a plain one. */
void client_make_state(struct client *client, char text[CLIENT_COMMAND_BYTES], const char *tag,
                       bool own);

/* client_wide.c: another way to say begin, commit or rollback; what asks for a transaction's modes
 * or changes them (false: not now); howdah.* settings and EXPLAIN (HOWDAH). */
const char *client_vary(struct client *client, const char *command);
bool client_make_modes(struct client *client, char text[CLIENT_COMMAND_BYTES]);
bool client_make_signal(struct client *client, char text[CLIENT_COMMAND_BYTES]);
void client_make_own(struct client *client, char text[CLIENT_COMMAND_BYTES], const char *tag,
                     bool simple);

/* For client_ops.c. */
uint64_t client_random(struct client *client, uint64_t bound);
/* A tag that is the client's own. */
void client_tag(struct client *client, char text[CLIENT_ID_TEXT_BYTES]);

#endif
