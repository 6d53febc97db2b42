/* A pool: the links of one (database, user) at one server, and who waits for them on this worker.
 *
 * The pool's size belongs to the process. Its *account* (pool/account.h) counts links and tickets;
 * its *home* worker keeps the line of tickets and decides who gets what (pool/lend.c). Every other
 * worker has a pool of the same name with its own idle links and its own waiting sessions.
 */
#ifndef POOL_POOL_H
#define POOL_POOL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/limits.h"
#include "base/list.h"
#include "base/map.h"
#include "base/timer.h"
#include "pool/options.h"
#include "router/route.h"

struct account;
struct catalog;
struct engine;
struct hub;
struct link;
struct session;
struct settings;

/* Counters of one pool at one worker, as SHOW STATS sums them. Times in microseconds. */
struct pool_stats {
    uint64_t transactions, queries, server_assignments;
    uint64_t bytes_received, bytes_sent; /* from and to clients */
    uint64_t transaction_us, query_us, wait_us;
    uint64_t client_parses, server_parses, binds;
};

/* The canonical spelling that a server gave to settings which some client asked for at login. */
struct welcome {
    struct settings *asked, *canonical;
};

enum { POOL_WELCOMES = 16 };

/* What a replica was given of late: in some time, and what the counters were at its end
 * (pool/route_stay.h). */
struct pool_share {
    uint64_t from_us, from_reads, from_query_us;
    uint64_t told_reads;        /* to the host's account */
    uint32_t reads, busy_milli; /* as in struct balance_node */
};

/* See pool/pool_facts.h. */
struct pool_facts {
    struct catalog *catalog; /* NULL: none was had so far */
    struct account *account;
    uint64_t generation; /* the account's ddl_count when they were loaded */
    bool has_login;      /* as whom to ask the server is known */
    bool asked;
    bool failed; /* they couldn't be had, and there are none from before */
};

/* A ticket of a worker in the home's line. */
struct ticket {
    uint32_t worker;
    uint64_t since_us;
};

/* Which of the database's servers a pool's links go to. */
enum pool_target {
    POOL_PRIMARY,
    POOL_REPLICA, /* and those behind it: POOL_REPLICA + n reads from servers[n] */
};

struct pool {
    struct map_node node;    /* engine->pools, by (database, user, target) */
    struct list listed;      /* engine->pool_list */
    struct options *options; /* the snapshot that `database` and `server` lie in */
    const struct database_options *database;
    const struct server_options *server;
    uint32_t target; /* enum pool_target */
    struct pool
        *replicas[LIMIT_NODES];        /* the primary's: those of the same name and user, or NULL */
    uint32_t turn;                     /* the primary's: balance_choose's */
    bool routes;                       /* likewise: what reads may go to others */
    bool refuses;                      /* some statements, by a rule (pool/firewall.h) */
    uint64_t rules_of_user;            /* which of the database's rules may hold */
    uint64_t routed[ROUTE_COUNT];      /* statements, or batches of them, by where and why */
    struct pool_share share;           /* a replica's */
    uint64_t waited;                   /* of these, for a replica first: pool/route_wait.h */
    struct pool_options limits;        /* the database's, with the user's overrides */
    char *name, *user;                 /* the database name and user that the client gave */
    char *server_user, *server_dbname; /* at the server */
    bool forced_user;                  /* server_user comes from the DSN, not from the client */

    struct account *account, *database_account, *user_account, *host_account;
    uint32_t database_limit, user_limit; /* server connections; 0 = none */

    struct list idle;    /* links, the most recently used first */
    struct list busy;    /* links lent, or being set up or reset */
    struct list dialing; /* links on their way to idle */
    struct list waiting; /* sessions, in order of arrival */
    uint32_t idle_count, busy_count, dialing_count, waiting_count;
    uint32_t client_count;
    uint32_t tickets; /* this worker's tickets in the line */

    /* At the home only: the line, a ring. */
    struct ticket *line;
    uint32_t line_capacity, line_first, line_count;
    uint32_t asked[LIMIT_WORKERS]; /* letters "give one" under way */

    struct pool_facts facts;

    struct hub *hub; /* listens for its sessions (pool/listen.h); NULL = nobody listens */

    struct settings *baseline; /* what a fresh link reports; NULL until the first has logged in */
    uint8_t isolation;         /* enum plan_isolation: the servers' default (pool/modes.h) */
    uint64_t isolation_term, isolation_due_us; /* of which term it is; when it is to be asked for */
    char *server_version;
    struct welcome welcomes[POOL_WELCOMES];
    uint32_t welcome_next;

    /* How to log in: the password, or the keys of a client that proved them. */
    char *password;
    bool dsn_password; /* it comes from the connection string, and nothing else replaces it */
    bool has_keys;
    uint8_t keys[64]; /* ClientKey, ServerKey */
    uint8_t keys_salt[LIMIT_SCRAM_SALT_BYTES];
    uint32_t keys_salt_bytes, keys_iterations;

    /* The last login failure, told to those who ask before the next try. */
    uint8_t *failure; /* a whole ErrorResponse's body, or NULL */
    uint32_t failure_bytes;
    uint32_t failures; /* in a row */
    uint64_t retry_at_us;
    uint64_t vacate_after_us; /* not before: pool/vacate.h */

    union {
        struct {
            bool paused, held; /* by an administrator; for want of a primary (pool/hold.h) */
        };
        uint16_t stopped; /* not 0: nothing is lent */
    };
    bool disabled, retired;       /* retired: of an old snapshot, drains */
    bool orphaned;                /* the configuration no longer has its database */
    uint64_t term;                /* pool/follow.h */
    uint64_t held_us, refused_us; /* pool/hold.h: since when links can't be had, 0 = they can; the
                                   * last dial that failed */
    uint32_t epoch;               /* RECONNECT: free links of an older epoch close */
    struct timer timer;           /* upkeep: idle links, lifetimes, min_idle, retries */
    struct pool_stats stats, stats_at_period, stats_average;

    char address[LIMIT_ADDRESS_BYTES]; /* that links are dialed at (pool/follow.h); "" = by name */
};

/* The pool of (database, user, target) on this engine, made when it is new. NULL with the reason in
 * *ret_code: ERR_NO_DATABASE, ERR_NO_MEMORY. */
struct pool *pool_get(struct engine *engine, const char *database, const char *user,
                      uint32_t target, int *ret_code);

/* The pool if it exists. */
struct pool *pool_find(const struct engine *engine, const char *database, const char *user,
                       uint32_t target);

/* The primary's pool's pool that reads from servers[node], made when it is new, with what is known
 * of how to log in. NULL when memory is out, or there is no such server. */
struct pool *pool_of_replica(struct engine *engine, struct pool *primary, uint32_t node);

/* What its servers report of a setting as they log in; NULL: nothing, or none has logged in yet. */
const char *pool_reported(const struct pool *pool, const char *name);

/* The major version of its servers; 0: none has logged in yet. */
uint32_t pool_server_major(const struct pool *pool);

void pool_free(struct engine *engine, struct pool *pool);

/* Replaces the password by a copy, wiping the old one; NULL forgets it. */
void pool_set_password(struct pool *pool, const char *password);

/* Arms the upkeep timer for `due_us` or earlier. */
void pool_wake_by(struct engine *engine, struct pool *pool, uint64_t due_us);

/* When the next link of the pool is too old or idle for too long. */
uint64_t pool_next_upkeep_us(const struct engine *engine, const struct pool *pool);

/* Closes a link that is idle. */
void pool_close_idle(struct engine *engine, struct pool *pool, struct link *link);

/* Closes links that are too old or idle for too long, keeps min_idle, retries dials. */
void pool_upkeep(struct engine *engine, struct pool *pool);

/* Replaces *bytes (malloc'ed, or NULL) by a copy; NULL when memory is out. */
void pool_copy_bytes(uint8_t **bytes, uint32_t *count, const uint8_t *from, uint32_t from_count);

/* Takes over another server, login or database: links of the old one close as they become free. */
void pool_change_server(struct engine *engine, struct pool *pool);

/* The same where the pool follows its primary, and links are told apart by their term. */
void pool_take_server(struct engine *engine, struct pool *pool);

/* The pool has another epoch or term: what is being dialed, the hub and idle links of others close
 * at once. */
void pool_drop_links(struct engine *engine, struct pool *pool);

/* Those that are lent and of which `is` holds end: their sessions get ERR_SERVER_LOST and `why`, a
 * sentence without a stop, if they can't go on without. */
void pool_fail_links(struct engine *engine, struct pool *pool, bool (*is)(const struct link *link),
                     const char *why);

/* The configuration has changed: pools whose options changed retire, their links drain. */
void pools_reload(struct engine *engine);

/* What a client that asked for `asked` is to be told; NULL when no server has said yet. A borrowed
 * reference. */
struct settings *pool_welcome(const struct pool *pool, const struct settings *asked);
void pool_add_welcome(struct engine *engine, struct pool *pool, struct settings *asked,
                      struct settings *canonical);

#endif
