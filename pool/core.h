/* The engine's insides, for the files of pool/ only. */
#ifndef POOL_CORE_H
#define POOL_CORE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/handle.h"
#include "base/list.h"
#include "base/map.h"
#include "base/random.h"
#include "base/slab.h"
#include "base/stream.h"
#include "base/timer.h"
#include "base/writer.h"
#include "pool/admin_gate.h"
#include "pool/engine.h"
#include "pool/settings.h"
#include "pool/statement.h"
#include "pool/verifier_cache.h"
#include "router/plan.h"

struct conn;
struct options;
struct pool;
struct session;
struct topology;

/* The most actions of one step: log lines beyond it are counted and dropped, nothing else is. */
enum { ENGINE_ACTIONS_MAX = 256 };

/* Clients beyond max_clients that are let in as far as a clear error, or the admin console. */
enum { ENGINE_OVER_MAX = 64 };

struct action_node {
    struct list queued;
    struct action action;
};

struct engine {
    uint32_t worker;
    struct shared *shared;
    struct options *options;
    uint64_t now_us, wall_offset_us; /* wall = now + offset */
    uint64_t hash_key;
    uint8_t secret[32];
    struct random random;
    bool tls_available;
    bool draining, drained;
    bool patient;             /* with draining: sessions stay until their clients leave */
    struct gates gates;       /* what an administrator has paused */
    uint32_t console_count;   /* sessions of the admin database */
    uint64_t stats_due_us;    /* when the present period of averages ends */
    uint64_t stats_period_us; /* how long the last one was; 0: none has ended */

    struct handle_table connections;
    struct slab sessions;
    struct blocks blocks;
    struct timer_heap timers, pool_timers;
    struct list dirty;     /* conns with to-do bits */
    struct list resumable; /* sessions that can go on with what they hold */
    struct list late;      /* struct routing of those that wait for a replica */
    struct list actions;   /* struct action_node */
    uint32_t action_count;
    struct action_node *action_taken; /* freed at the next take */
    uint64_t log_lines_dropped;

    struct topology **topologies; /* pool/pool_nodes.h */
    uint32_t topology_count;

    struct map pools;
    struct list pool_list;
    struct statement_store statements;
    struct settings_store settings;
    struct plan_cache plans;
    struct verifier_cache verifiers;
    uint64_t random_count;
    struct writer scratch; /* for messages of our own; empty between uses */
    uint32_t over_count;   /* clients beyond max_clients, who are told so after their login */
    uint32_t client_count, link_count;
    uint32_t stand_in_count; /* links that stand for clients: pool/pid_hold.h */
    uint64_t pid_serial;

    struct conn *tx_conn; /* whose to-do was taken last, if that has a piece */

    /* The room that engine_rx has lent. */
    struct conn *rx_conn;
    struct block *rx_block;
    uint32_t rx_at, rx_prefix, rx_bytes;
};

/* Queues a rarer action; NULL when memory is out (a log line beyond the bound, too). */
struct action *engine_action(struct engine *engine, enum action_kind kind);

/* Whom a secret's action is about: the names are copied, for their session may end before the shell
 * takes the action. */
void engine_action_names(struct action *action, const char *database, const char *user);

/* A log line, formatted only when its level is on. */
void engine_log(struct engine *engine, enum log_event_level level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
bool engine_logs(const struct engine *engine, enum log_event_level level);

/* Unpredictable bytes: HMAC of a counter under the secret of the process, so that the same setup
 * gives the same bytes (the simulator), and nobody outside can tell them. */
void engine_random(struct engine *engine, void *bytes, size_t count);

/* A session has ended: it counts no more. */
void engine_client_left(struct engine *engine, bool counted);

/* EVENT_DRAIN. */
void engine_drain(struct engine *engine);

/* Lets sessions that can go on do so. */
void engine_run_resumable(struct engine *engine);

/* Sends what `scratch` holds to the connection and empties it. */
void engine_flush_scratch(struct engine *engine, struct conn *conn);

#endif
