/* A pool's size is a property of the process: links of all workers together never exceed it, and
 * the account that all workers share says what there is. */
#include "tests/sim/check.h"

#include <stdatomic.h>
#include <stdio.h>

#include "pool/account.h"
#include "pool/core.h"
#include "pool/link.h"
#include "pool/pool.h"
#include "pool/session.h"
#include "tests/sim/console.h"
#include "tests/sim/shell.h"
#include "tests/sim/sim.h"

/* Those that stand for clients do not count in the pool's size. */
static uint32_t counted(const struct list *links)
{
    uint32_t count = 0;
    LIST_EACH (links, at) {
        count += !CONTAINER_OF(at, struct link, in_pool)->beside;
    }
    return count;
}

static uint32_t links_of(const struct sim *sim, const struct account *account)
{
    uint32_t links = 0;
    for (uint32_t i = 0; i < sim->shell_count; i++) {
        LIST_EACH (&sim->shells[i]->engine->pool_list, node) {
            const struct pool *pool = CONTAINER_OF(node, struct pool, listed);
            if (pool->account == account) {
                links += pool->idle_count + counted(&pool->busy) + counted(&pool->dialing);
            }
        }
    }
    return links;
}

/* Once PAUSE is answered there is no link any more until RESUME, but one that is on its way from
 * one worker to another, and closed there. */
static void check_paused(struct sim *sim, const struct pool *pool)
{
    uint32_t links = links_of(sim, pool->account);
    if (links > 0 && console_has_paused(sim->console, pool->name)) {
        sim_fail(sim, "PAUSE: %s/%s is paused and has %u links", pool->name, pool->user, links);
    }
}

void check_pool(struct sim *sim)
{
    const struct pool_options *limits = &sim->swarm.pool;
    for (uint32_t i = 0; i < sim->shell_count; i++) {
        LIST_EACH (&sim->shells[i]->engine->pool_list, node) {
            const struct pool *pool = CONTAINER_OF(node, struct pool, listed);
            uint32_t links = links_of(sim, pool->account);
            check_paused(sim, pool);
            uint32_t total = atomic_load(&pool->account->total);
            /* One that may yet be pinned counts as both. */
            uint32_t all = total + atomic_load(&pool->account->pinned);
            uint32_t in_database = atomic_load(&pool->database_account->total);
            if (total > limits->size + limits->reserve) {
                sim_fail(sim, "POOL SIZE: %s/%s has %u links, its size is %u", pool->name,
                         pool->user, total, limits->size);
            }
            if (links > all || (sim->shell_count == 1 && links < total)) {
                sim_fail(sim, "POOL SIZE: %s/%s has %u links, its account says %u", pool->name,
                         pool->user, links, all);
            }
            if (sim->swarm.database_cap > 0 && in_database > sim->swarm.database_cap) {
                sim_fail(sim, "POOL SIZE: database %s has %u links, its cap is %u", pool->name,
                         in_database, sim->swarm.database_cap);
            }
        }
    }
}

/* What a link is at, for the reader of a failure. */
static void print_link(const struct link *link)
{
    const struct session *owner = link->owner;
    printf("    backend %u: state %d status %c due %u", link->backend_pid, (int)link->state,
           link->status, link->due.count);
    if (!due_empty(&link->due)) {
        const struct due_entry *head = due_head(&link->due);
        printf(" first %d kind %d", (int)head->what, (int)head->kind);
    }
    printf("%s%s%s%s%s", link->question != NULL ? " question" : "", link->setup ? " setup" : "",
           link->unsynced ? " unsynced" : "", link->due.skipping ? " skipping" : "",
           link->body_left > 0 ? " body" : "");
    if (owner != NULL) {
        printf("; its session: touched %x pins %x held %u%s%s%s%s%s", owner->touched, owner->pins,
               owner->conn.held_len, owner->blocked ? " blocked" : "",
               owner->ready_held ? " ready held" : "", owner->gone ? " gone" : "",
               owner->ahead ? " ahead" : "", owner->discards ? " discards" : "");
    }
    printf("\n");
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
            LIST_EACH (&pool->busy, at) {
                print_link(CONTAINER_OF(at, struct link, in_pool));
            }
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
    check_links(sim, shell);
    check_lent(sim, shell);
    sim->steps++;
}
