/* What all engines of a process share: a few counters, and the directory of accounts.
 *
 * A pool's size is a property of the process. Its account counts the links that exist or are being
 * made anywhere (total) and the tickets in its waiting line; the line itself stands at the pool's
 * home worker (pool/lend.c). A local idle link may be used without a word only while the line is
 * empty. All counters are sequentially consistent; the directory's lock is taken only when an
 * engine meets a pool for the first time.
 */
#ifndef POOL_ACCOUNT_H
#define POOL_ACCOUNT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/limits.h"

struct account {
    struct account *next;       /* in the directory; never removed while the process lives */
    char *key;                  /* kind and names, see shared_account */
    char *first, *second;       /* the names */
    uint32_t target;            /* of pools: enum pool_target */
    uint32_t number;            /* in the order in which they were made: the same in every run */
    uint32_t home;              /* worker index of the waiting line */
    atomic_uint clients;        /* users only */
    atomic_uint total;          /* links, dialing ones included */
    atomic_bool asks_sequences; /* some session has called currval or lastval */
    atomic_uint pinned;         /* links of pinned sessions: not in total */
    atomic_uint tickets;        /* asked for and not yet granted */
    atomic_uint idle[LIMIT_WORKERS];
    _Atomic uint64_t retry_at_us; /* hosts only: no dial before */
    atomic_uint failures;         /* hosts only: dials failed in a row */
    _Atomic uint64_t reads;       /* hosts only: given to a replica there (pool/route_stay.h) */

    /* Of "pool" only: under whose caps it counts, too. NULL until an engine has met the pool. */
    _Atomic(struct account *) database, user;

    /* Of "facts" only: pool/pool_facts.h. */
    atomic_uint ddl_open;          /* sessions whose transaction has DDL in it */
    _Atomic uint64_t ddl_count;    /* such transactions that have ended */
    _Atomic uint64_t facts_due_us; /* when the catalog is to be looked at again */
    atomic_uint vacates;           /* how often its database was to be left: pool/vacate.h */
};

struct pid_directory;
struct shared;

/* NULL when memory is out. */
struct shared *shared_new(uint32_t worker_count);
void shared_free(struct shared *shared);

/* How many workers, and so engines, the process has. */
uint32_t shared_worker_count(const struct shared *shared);

/* Which client has which backend (pool/pid.h). */
struct pid_directory *shared_pids(const struct shared *shared);

/* The account of that name, made when it is new; NULL when memory is out. Names: "pool/db/user",
 * "db/db", "user/user", "host/host:port", "facts/db". Lives as long as `shared`. */
struct account *shared_account(struct shared *shared, const char *kind, const char *first,
                               const char *second);

/* The same for a pool or a database at one target (pool/pool.h): 0 is shared_account. */
struct account *shared_account_at(struct shared *shared, const char *kind, const char *first,
                                  const char *second, uint32_t target);

/* The pool of that account counts under the caps of these two. */
void account_under(struct account *pool, struct account *database, struct account *user);

/* The next pool's account behind `after` (NULL: from the first) that counts under this one; NULL
 * when there is no more. */
struct account *shared_next_under(struct shared *shared, const struct account *cap,
                                  const struct account *after);

/* Clients of the whole process; admission against max_clients. False when it is full. */
bool shared_client_enter(struct shared *shared, uint32_t max);
void shared_client_leave(struct shared *shared);

/* Login failures per client address and user: whether another attempt is allowed now, and counting
 * one. `limit` attempts within `window_us`. */
bool shared_login_allowed(struct shared *shared, const uint8_t *address, const char *user,
                          uint32_t limit, uint64_t window_us, uint64_t now_us);
void shared_login_failed(struct shared *shared, const uint8_t *address, const char *user,
                         uint64_t window_us, uint64_t now_us);

enum { SHARED_HOST_BYTES = 256, SHARED_ADDRESSES_BYTES = 512 };

/* What the name of a server was last resolved to; "" = to nothing. For SHOW DNS_HOSTS alone, nobody
 * dials by it. The 256 names met first are kept. */
struct shared_host {
    struct shared_host *next;
    char name[SHARED_HOST_BYTES];
    char addresses[SHARED_ADDRESSES_BYTES]; /* with commas between, as many as fit */
};

/* Keeps a copy of both; does without when memory is out. */
void shared_host_resolved(struct shared *shared, const char *name, const char *addresses);

/* A copy of the index-th; false when there is none. */
bool shared_host_at(struct shared *shared, uint32_t index, struct shared_host *ret_host);

/* Texts of prepared statements that some server has accepted, by their hash under shared_hash_key:
 * a hint for all workers, that forgets when slots collide. */
uint64_t shared_hash_key(const struct shared *shared);
void shared_prove(struct shared *shared, uint64_t hash);
bool shared_proven(const struct shared *shared, uint64_t hash);

/* How often the catalog may have changed, as far as anybody here knows; from 1. What a server has
 * parsed before need not be what it would parse now. */
uint32_t shared_catalog(const struct shared *shared);
void shared_catalog_changed(struct shared *shared);

/* Takes one of `limit` places of the account (0 = no limit). False when there is none. */
static inline bool account_take(struct account *account, uint32_t limit)
{
    unsigned total = atomic_load(&account->total);
    do {
        if (limit != 0 && total >= limit) {
            return false;
        }
    } while (!atomic_compare_exchange_weak(&account->total, &total, total + 1));
    return true;
}

/* Counts a client; false when `limit` (0 = none) is reached. */
static inline bool account_enter(struct account *account, uint32_t limit)
{
    unsigned clients = atomic_fetch_add(&account->clients, 1);
    if (limit != 0 && clients >= limit) {
        atomic_fetch_sub(&account->clients, 1);
        return false;
    }
    return true;
}

static inline void account_leave(struct account *account)
{
    atomic_fetch_sub(&account->clients, 1);
}

/* Gives back a place that account_take took. */
static inline void account_give_back(struct account *account)
{
    atomic_fetch_sub(&account->total, 1);
}

#endif
