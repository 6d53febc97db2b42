/* What an administrator has paused, disabled or reconnected, on one engine.
 *
 * Gates are kept by name, so a pool that is made later obeys as one that was there. Every engine
 * has the same gates: a command visits them all.
 */
#ifndef POOL_ADMIN_GATE_H
#define POOL_ADMIN_GATE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"

struct engine;
struct pool;

struct gate {
    struct list node;
    bool paused, disabled;
    uint32_t epoch; /* how many RECONNECTs have named this database */
    char name[];
};

struct gates {
    struct list named;
    bool paused, suspended; /* all databases */
    uint32_t epoch;         /* how many RECONNECTs were for all databases */
};

void gates_init(struct gates *gates);
void gates_fini(struct gates *gates);

/* The gate of that database; NULL when nothing was ever asked of it. */
struct gate *gate_find(const struct gates *gates, const char *database);

/* The same, made when there is none; NULL when memory is out. */
struct gate *gate_get(struct gates *gates, const char *database);

/* Whether nothing of that database may be lent. */
bool gate_paused(const struct gates *gates, const char *database);

/* Sets what the gates say about the pool; `is_new`: its epoch, too. A database that the
 * configuration no longer has stays disabled. */
void gates_apply(const struct gates *gates, struct pool *pool, bool is_new);

#endif
