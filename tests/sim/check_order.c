/* First come, first served: of the sessions that wait at a worker for one pool's links none is
 * given one while another that came before it still waits. */
#include "tests/sim/check.h"

#include "base/handle.h"
#include "pool/core.h"
#include "pool/pool.h"
#include "pool/session.h"
#include "tests/sim/shell.h"
#include "tests/sim/sim.h"

void check_order_before(struct sim *sim, struct shell *shell)
{
    struct order *order = &sim->order;
    order->count = 0;
    LIST_EACH (&shell->engine->pool_list, node) {
        struct pool *pool = CONTAINER_OF(node, struct pool, listed);
        LIST_EACH (&pool->waiting, waiting) {
            struct session *session = CONTAINER_OF(waiting, struct session, waiting);
            if (order->count < SIM_WAITING_MAX) {
                order->waiting[order->count++] =
                    (struct order_entry){session->conn.handle, pool, session->wait_from_us};
            }
        }
    }
}

void check_order_after(struct sim *sim, struct shell *shell)
{
    const struct order *order = &sim->order;
    const struct pool *passed_over = NULL; /* somebody of this pool waits still */
    for (uint32_t i = 0; i < order->count; i++) {
        const struct order_entry *entry = &order->waiting[i];
        const struct session *session =
            handle_table_get(&shell->engine->connections, entry->session);
        if (session == NULL || session->conn.closing) {
            continue;
        }
        if (session->waits && session->wait_from_us == entry->since_us) {
            passed_over = entry->pool;
        } else if (session->link != NULL && !session->waits) {
            sim->grants++;
            if (passed_over == entry->pool) {
                sim_fail(sim, "ORDER: e%u: a session of %s was served before one that came earlier",
                         shell->worker, entry->pool->name);
            }
        }
    }
}
