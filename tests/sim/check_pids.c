/* A pid that a client was told reaches the backend that this client has now, or one that is
 * nobody's and stands for it (pool/pid_hold.h), and never another client's; one that no client was
 * told passes as it is. Who has which backend is taken from the engines themselves. */
#include "tests/sim/check.h"

#include "pool/cancel.h"
#include "pool/core.h"
#include "pool/link.h"
#include "pool/pool.h"
#include "pool/session.h"
#include "protocol/message.h"
#include "tests/sim/client.h"
#include "tests/sim/shell.h"
#include "tests/sim/sim.h"

static struct client *client_of(const struct sim *sim, const struct shell *shell,
                                const struct session *session)
{
    uint32_t pid = cancel_virtual_pid(shell->worker, session->conn.handle);
    for (uint32_t i = 0; i < sim->client_count; i++) {
        struct client *client = sim->clients[i];
        if (client->cancel_bytes > 0 && client->state != CLIENT_DONE &&
            message_load_u32(client->cancel_body) == pid) {
            return client;
        }
    }
    return NULL;
}

void check_lent(struct sim *sim, struct shell *shell)
{
    if (!sim->swarm.pids) {
        return;
    }
    LIST_EACH (&shell->engine->pool_list, node) {
        const struct pool *pool = CONTAINER_OF(node, struct pool, listed);
        LIST_EACH (&pool->busy, at) {
            const struct link *link = CONTAINER_OF(at, struct link, in_pool);
            struct client *client = link->owner == NULL ? NULL : client_of(sim, shell, link->owner);
            if (client != NULL) {
                client->backend = link->backend_pid;
            }
        }
    }
}

/* Whom a backend serves now; NULL: nobody that is here. And since when in one transaction. */
static struct client *owner_of(const struct sim *sim, uint32_t pid, uint64_t *ret_since_us)
{
    *ret_since_us = UINT64_MAX;
    for (uint32_t i = 0; i < sim->shell_count; i++) {
        LIST_EACH (&sim->shells[i]->engine->pool_list, node) {
            const struct pool *pool = CONTAINER_OF(node, struct pool, listed);
            LIST_EACH (&pool->busy, at) {
                const struct link *link = CONTAINER_OF(at, struct link, in_pool);
                if (link->backend_pid == pid && link->owner != NULL) {
                    if (link->status != 'I') {
                        *ret_since_us = link->owner->transaction_from_us;
                    }
                    return client_of(sim, sim->shells[i], link->owner);
                }
            }
        }
    }
    return NULL;
}

/* Whether the pid is the one that was meant. */
static bool is_meant(const struct sim *sim, const struct client *asker, const struct client *hit,
                     uint32_t pid)
{
    const struct client *target = sim->clients[asker->signals];
    uint64_t since_us;
    if (asker->signals_foreign) {
        return pid == CLIENT_FOREIGN_PID;
    }
    if (owner_of(sim, target->backend, &since_us) == target && since_us < asker->signal_us) {
        return pid == target->backend;
    }
    return hit == NULL || hit == target;
}

void check_signal(struct sim *sim, uint32_t asker_pid, uint32_t pid, bool terminate)
{
    uint64_t since_us;
    const struct client *asker = owner_of(sim, asker_pid, &since_us);
    const struct client *hit = owner_of(sim, pid, &since_us);
    sim_log(sim, "backend %u %s backend %u", asker_pid, terminate ? "terminates" : "cancels", pid);
    if (asker != NULL && !is_meant(sim, asker, hit, pid)) {
        sim_fail(sim, "PID: c%u signals c%u, whose backend is %u, and %u is hit, of c%d",
                 asker->number, asker->signals, sim->clients[asker->signals]->backend, pid,
                 hit == NULL ? -1 : (int)hit->number);
    }
}
