#include "pool/account.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/hash.h"
#include "pool/pid.h"

/* Failed logins that are remembered; the oldest slot of a hash gives way. */
enum { LOGIN_SLOTS = 4096 };

/* Proven statement texts: 128 KiB a process. */
enum { PROVEN_SLOTS = 16384 };

enum { HOSTS_MAX = 256 };

struct login_failures {
    uint64_t key;
    uint64_t window_from_us;
    uint32_t count;
};

struct shared {
    uint32_t worker_count;
    struct pid_directory *pids;
    atomic_uint client_count;
    atomic_uint catalog;  /* changes */
    pthread_mutex_t lock; /* over what follows: first meetings and failed logins only */
    struct account *accounts;
    uint32_t account_count;
    struct shared_host *hosts;
    uint32_t host_count;
    struct login_failures logins[LOGIN_SLOTS];
    _Atomic uint64_t proven[PROVEN_SLOTS]; /* 0 = free */
};

static void account_free(struct account *account)
{
    free(account->key);
    free(account->first);
    free(account->second);
    free(account);
}

struct shared *shared_new(uint32_t worker_count)
{
    ASSERT(worker_count > 0 && worker_count <= LIMIT_WORKERS);
    struct shared *shared = calloc(1, sizeof(*shared));
    if (shared == NULL) {
        return NULL;
    }
    shared->worker_count = worker_count;
    atomic_init(&shared->catalog, 1);
    shared->pids = pid_directory_new(worker_count);
    if (shared->pids == NULL) {
        free(shared);
        return NULL;
    }
    if (pthread_mutex_init(&shared->lock, NULL) != 0) {
        pid_directory_free(shared->pids);
        free(shared);
        return NULL;
    }
    return shared;
}

void shared_free(struct shared *shared)
{
    if (shared == NULL) {
        return;
    }
    while (shared->accounts != NULL) {
        struct account *account = shared->accounts;
        shared->accounts = account->next;
        account_free(account);
    }
    while (shared->hosts != NULL) {
        struct shared_host *host = shared->hosts;
        shared->hosts = host->next;
        free(host);
    }
    pthread_mutex_destroy(&shared->lock);
    pid_directory_free(shared->pids);
    free(shared);
}

struct pid_directory *shared_pids(const struct shared *shared)
{
    return shared->pids;
}

uint32_t shared_worker_count(const struct shared *shared)
{
    return shared->worker_count;
}

/* "kind", the target, "first" and "second", behind the length of the one before: unique to them. */
static char *make_key(const char *kind, const char *first, const char *second, uint32_t target)
{
    size_t bytes = strlen(kind) + strlen(first) + strlen(second) + 64;
    char *key = malloc(bytes);
    if (key != NULL) {
        snprintf(key, bytes, "%s %u %zu %s %s", kind, target, strlen(first), first, second);
    }
    return key;
}

/* Owns the key. */
static struct account *account_new(char *key, const char *first, const char *second)
{
    struct account *account = calloc(1, sizeof(*account));
    if (account == NULL) {
        free(key);
        return NULL;
    }
    account->key = key;
    account->first = strdup(first);
    account->second = strdup(second);
    if (account->first == NULL || account->second == NULL) {
        account_free(account);
        return NULL;
    }
    return account;
}

/* Under the lock. */
static struct account *find(const struct shared *shared, const char *key)
{
    struct account *account = shared->accounts;
    while (account != NULL && strcmp(account->key, key) != 0) {
        account = account->next;
    }
    return account;
}

static void add(struct shared *shared, struct account *account)
{
    account->number = shared->account_count++;
    account->home = account->number % shared->worker_count;
    account->next = shared->accounts;
    shared->accounts = account;
}

struct account *shared_account_at(struct shared *shared, const char *kind, const char *first,
                                  const char *second, uint32_t target)
{
    char *key = make_key(kind, first, second, target);
    if (key == NULL) {
        return NULL;
    }
    pthread_mutex_lock(&shared->lock);
    struct account *account = find(shared, key);
    if (account != NULL) {
        free(key);
    } else if ((account = account_new(key, first, second)) != NULL) {
        account->target = target;
        add(shared, account);
    }
    pthread_mutex_unlock(&shared->lock);
    return account;
}

struct account *shared_account(struct shared *shared, const char *kind, const char *first,
                               const char *second)
{
    return shared_account_at(shared, kind, first, second, 0);
}

void account_under(struct account *pool, struct account *database, struct account *user)
{
    atomic_store(&pool->database, database);
    atomic_store(&pool->user, user);
}

struct account *shared_next_under(struct shared *shared, const struct account *cap,
                                  const struct account *after)
{
    pthread_mutex_lock(&shared->lock);
    struct account *at = after == NULL ? shared->accounts : after->next;
    pthread_mutex_unlock(&shared->lock);
    while (at != NULL && atomic_load(&at->database) != cap && atomic_load(&at->user) != cap) {
        at = at->next; /* which is never changed */
    }
    return at;
}

bool shared_client_enter(struct shared *shared, uint32_t max)
{
    unsigned count = atomic_load(&shared->client_count);
    do {
        if (count >= max) {
            return false;
        }
    } while (!atomic_compare_exchange_weak(&shared->client_count, &count, count + 1));
    return true;
}

void shared_client_leave(struct shared *shared)
{
    atomic_fetch_sub(&shared->client_count, 1);
}

static struct login_failures *login_slot(struct shared *shared, const uint8_t *address,
                                         const char *user, uint64_t *ret_key)
{
    uint64_t hash = hash_bytes(1, address, 16);
    *ret_key = hash_bytes(hash, user, strlen(user));
    return &shared->logins[*ret_key % LOGIN_SLOTS];
}

bool shared_login_allowed(struct shared *shared, const uint8_t *address, const char *user,
                          uint32_t limit, uint64_t window_us, uint64_t now_us)
{
    uint64_t key;
    if (limit == 0) {
        return true;
    }
    pthread_mutex_lock(&shared->lock);
    const struct login_failures *slot = login_slot(shared, address, user, &key);
    bool allowed =
        slot->key != key || now_us >= slot->window_from_us + window_us || slot->count < limit;
    pthread_mutex_unlock(&shared->lock);
    return allowed;
}

void shared_login_failed(struct shared *shared, const uint8_t *address, const char *user,
                         uint64_t window_us, uint64_t now_us)
{
    uint64_t key;
    pthread_mutex_lock(&shared->lock);
    struct login_failures *slot = login_slot(shared, address, user, &key);
    if (slot->key != key || now_us >= slot->window_from_us + window_us) {
        *slot = (struct login_failures){.key = key, .window_from_us = now_us};
    }
    slot->count++;
    pthread_mutex_unlock(&shared->lock);
}

/* Under the lock; NULL when there is no room for one more. */
static struct shared_host *host_find_or_add(struct shared *shared, const char *name)
{
    struct shared_host **at = &shared->hosts;
    while (*at != NULL && strcmp((*at)->name, name) != 0) {
        at = &(*at)->next;
    }
    if (*at == NULL && shared->host_count < HOSTS_MAX && strlen(name) < SHARED_HOST_BYTES) {
        *at = calloc(1, sizeof(**at));
        if (*at != NULL) {
            snprintf((*at)->name, sizeof((*at)->name), "%s", name);
            shared->host_count++;
        }
    }
    return *at;
}

void shared_host_resolved(struct shared *shared, const char *name, const char *addresses)
{
    pthread_mutex_lock(&shared->lock);
    struct shared_host *host = host_find_or_add(shared, name);
    if (host != NULL) {
        snprintf(host->addresses, sizeof(host->addresses), "%s", addresses);
    }
    pthread_mutex_unlock(&shared->lock);
}

bool shared_host_at(struct shared *shared, uint32_t index, struct shared_host *ret_host)
{
    pthread_mutex_lock(&shared->lock);
    const struct shared_host *host = shared->hosts;
    while (host != NULL && index > 0) {
        host = host->next;
        index--;
    }
    if (host != NULL) {
        *ret_host = *host;
    }
    pthread_mutex_unlock(&shared->lock);
    return host != NULL;
}

uint64_t shared_hash_key(const struct shared *shared)
{
    /* Where the process lies in memory is unpredictable enough for a hint. */
    return (uint64_t)(uintptr_t)shared;
}

void shared_prove(struct shared *shared, uint64_t hash)
{
    atomic_store(&shared->proven[hash % PROVEN_SLOTS], hash);
}

bool shared_proven(const struct shared *shared, uint64_t hash)
{
    return hash != 0 && atomic_load(&shared->proven[hash % PROVEN_SLOTS]) == hash;
}

uint32_t shared_catalog(const struct shared *shared)
{
    return atomic_load(&shared->catalog);
}

void shared_catalog_changed(struct shared *shared)
{
    atomic_fetch_add(&shared->catalog, 1);
}
