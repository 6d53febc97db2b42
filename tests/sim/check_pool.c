/* A pool's size is a property of the process: links of all workers together never exceed it, and
 * the account that all workers share says what there is. */
#include "tests/sim/check.h"

#include <stdatomic.h>
#include <stdio.h>

#include "pool/account.h"
#include "pool/core.h"
#include "pool/pool.h"
#include "tests/sim/shell.h"
#include "tests/sim/sim.h"

static uint32_t links_of(const struct sim *sim, const struct account *account)
{
    uint32_t links = 0;
    for (uint32_t i = 0; i < sim->shell_count; i++) {
        LIST_EACH (&sim->shells[i]->engine->pool_list, node) {
            const struct pool *pool = CONTAINER_OF(node, struct pool, listed);
            if (pool->account == account) {
                links += pool->idle_count + pool->busy_count + pool->dialing_count;
            }
        }
    }
    return links;
}

void check_pool(struct sim *sim)
{
    const struct pool_options *limits = &sim->swarm.pool;
    for (uint32_t i = 0; i < sim->shell_count; i++) {
        LIST_EACH (&sim->shells[i]->engine->pool_list, node) {
            const struct pool *pool = CONTAINER_OF(node, struct pool, listed);
            uint32_t links = links_of(sim, pool->account);
            uint32_t total = atomic_load(&pool->account->total);
            uint32_t in_database = atomic_load(&pool->database_account->total);
            if (total > limits->size + limits->reserve) {
                sim_fail(sim, "POOL SIZE: %s/%s has %u links, its size is %u", pool->name,
                         pool->user, total, limits->size);
            }
            if (links > total || (sim->shell_count == 1 && links != total)) {
                sim_fail(sim, "POOL SIZE: %s/%s has %u links, its account says %u", pool->name,
                         pool->user, links, total);
            }
            if (sim->swarm.database_cap > 0 && in_database > sim->swarm.database_cap) {
                sim_fail(sim, "POOL SIZE: database %s has %u links, its cap is %u", pool->name,
                         in_database, sim->swarm.database_cap);
            }
        }
    }
}

void check_pool_print(const struct sim *sim)
{
    for (uint32_t i = 0; i < sim->shell_count; i++) {
        LIST_EACH (&sim->shells[i]->engine->pool_list, node) {
            const struct pool *pool = CONTAINER_OF(node, struct pool, listed);
            const struct account *account = pool->account;
            printf("  e%u %s/%s%s: %u idle %u busy %u dialing %u waiting %u tickets %u in line; "
                   "all: %u links, %u tickets, idle here %u\n",
                   i, pool->name, pool->user, account->home == i ? " home" : "", pool->idle_count,
                   pool->busy_count, pool->dialing_count, pool->waiting_count, pool->tickets,
                   pool->line_count, atomic_load(&account->total), atomic_load(&account->tickets),
                   atomic_load(&account->idle[i]));
        }
    }
}

void check_before(struct sim *sim, struct shell *shell)
{
    check_order_before(sim, shell);
}

void check_after(struct sim *sim, struct shell *shell)
{
    check_order_after(sim, shell);
    check_pool(sim);
    sim->steps++;
}
