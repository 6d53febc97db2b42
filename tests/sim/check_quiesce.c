/* After all clients have left and time has passed, an engine has its idle links and nothing else.
 * */
#include "tests/sim/check.h"

#include <stdatomic.h>

#include "pool/account.h"
#include "pool/core.h"
#include "pool/link.h"
#include "pool/pool.h"
#include "tests/sim/server.h"
#include "tests/sim/shell.h"
#include "tests/sim/sim.h"

/* Returns how many links may be busy: those of a server that died in the middle of a message. */
static uint32_t check_one_pool(struct sim *sim, const struct shell *shell, const struct pool *pool)
{
    uint32_t dying = 0;
    LIST_EACH (&pool->busy, node) {
        const struct link *link = CONTAINER_OF(node, struct link, in_pool);
        sim_log(sim,
                "busy link: state %d, due %u, first %d, status %c, %u unsent, %u held, owner %s",
                (int)link->state, link->due.count,
                due_empty(&link->due) ? -1 : (int)due_head(&link->due)->what, link->status,
                link->conn.tx.bytes, link->conn.held_len, link->owner == NULL ? "none" : "some");
        dying += link->state == LINK_RESET && swarm_server_fails(&sim->swarm);
    }
    if (pool->busy_count - dying + pool->waiting_count + pool->client_count + pool->tickets +
            pool->line_count !=
        0) {
        sim_fail(sim, "QUIESCE: e%u %s/%s: %u busy, %u waiting, %u clients, %u tickets, %u in line",
                 shell->worker, pool->name, pool->user, pool->busy_count, pool->waiting_count,
                 pool->client_count, pool->tickets, pool->line_count);
    }
    if (atomic_load(&pool->account->tickets) != 0) {
        sim_fail(sim, "QUIESCE: %s/%s: %u tickets in the account", pool->name, pool->user,
                 atomic_load(&pool->account->tickets));
    }
    if (atomic_load(&pool->account->idle[shell->worker]) != pool->idle_count) {
        sim_fail(sim, "QUIESCE: e%u %s/%s: %u idle, the account says %u", shell->worker, pool->name,
                 pool->user, pool->idle_count, atomic_load(&pool->account->idle[shell->worker]));
    }
    for (uint32_t i = 0; i < sim->shell_count; i++) {
        if (pool->asked[i] != 0) {
            sim_fail(sim, "QUIESCE: e%u %s/%s: still asks worker %u for a link", shell->worker,
                     pool->name, pool->user, i);
        }
    }
    LIST_EACH (&pool->idle, node) {
        const struct link *link = CONTAINER_OF(node, struct link, in_pool);
        if (!link_may_release(link) || link->owner != NULL) {
            sim_fail(sim, "QUIESCE: e%u %s/%s: a link that is not clean is idle", shell->worker,
                     pool->name, pool->user);
        }
    }
    return dying;
}

static uint32_t live_connections(const struct engine *engine)
{
    uint32_t live = 0;
    for (uint32_t slot = 0; slot < engine->connections.count; slot++) {
        live += engine->connections.slots[slot].object != NULL;
    }
    return live;
}

void check_quiesce(struct sim *sim)
{
    uint32_t all_links = 0;
    bool dialing = false;
    for (uint32_t i = 0; i < sim->shell_count; i++) {
        const struct engine *engine = sim->shells[i]->engine;
        uint32_t links = 0;
        LIST_EACH (&engine->pool_list, node) {
            const struct pool *pool = CONTAINER_OF(node, struct pool, listed);
            links += check_one_pool(sim, sim->shells[i], pool);
            links += pool->idle_count + pool->dialing_count;
            dialing = dialing || pool->dialing_count > 0;
        }
        if (engine->client_count != 0 || engine->link_count != links ||
            live_connections(engine) != links) {
            sim_fail(sim, "QUIESCE: e%u: %u clients, %u links of which %u in pools, %u connections",
                     i, engine->client_count, engine->link_count, links, live_connections(engine));
        }
        all_links += links;
    }
    if (!dialing && !swarm_server_fails(&sim->swarm) &&
        server_backend_count(sim->server) != all_links) {
        sim_fail(sim, "QUIESCE: %u links, but %u backends", all_links,
                 server_backend_count(sim->server));
    }
}
