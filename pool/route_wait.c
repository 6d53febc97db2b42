#include "pool/route_wait.h"

#include "base/timer.h"
#include "pool/core.h"
#include "pool/options.h"
#include "pool/pool.h"
#include "pool/pool_nodes.h"
#include "router/topology.h"

static bool one_is_up(const struct topology *topology)
{
    for (uint32_t node = 0; node < topology->nodes.rules.count; node++) {
        if (nodes_may_read(&topology->nodes, node)) {
            return true;
        }
    }
    return false;
}

bool route_wait_may(const struct engine *engine, const struct session *session,
                    const struct topology *topology, enum route why)
{
    const struct routing *routing = session->routing;
    const struct database_options *database = session->pool->database;
    return (why == ROUTE_UNKNOWN || why == ROUTE_BEHIND) && database->wait_for_replica_ms > 0 &&
           database->routing_reads != READS_ANY &&
           (routing->late_us == 0 || engine->now_us < routing->late_us) && one_is_up(topology);
}

void route_wait_listen(struct engine *engine, struct session *session,
                       const struct topology *topology)
{
    struct routing *routing = session->routing;
    if (routing->late_us == 0) {
        session->wait_from_us = engine->now_us;
        routing->late_us =
            engine->now_us + session->pool->database->wait_for_replica_ms * UINT64_C(1000);
    }
    pool_nodes_listen(engine, topology);
}

void route_wait_begin(struct engine *engine, struct session *session)
{
    struct routing *routing = session->routing;
    if (!list_linked(&routing->late)) {
        routing->session = session;
        list_push_back(&engine->late, &routing->late);
    }
    conn_wake_by(engine, &session->conn, routing->late_us);
}

void route_wait_leave(struct session *session)
{
    if (session->routing != NULL) {
        list_remove(&session->routing->late);
    }
}

void route_wait_forget(struct session *session)
{
    route_wait_leave(session);
    if (session->routing != NULL) {
        session->routing->late_us = session->routing->opened_us = 0;
    }
}

static void ask_anew(struct engine *engine, struct routing *routing)
{
    list_remove(&routing->late);
    session_resume_later(engine, routing->session);
}

/* Who goes on to wait must listen before it looks. */
void route_wait_news(struct engine *engine, const struct topology *topology)
{
    bool listens = false;
    LIST_EACH (&engine->late, node) {
        struct routing *routing = CONTAINER_OF(node, struct routing, late);
        if (!pool_nodes_are_of(topology, routing->session->pool)) {
            continue;
        }
        if (!listens) {
            pool_nodes_listen(engine, topology);
            listens = true;
        }
        if (route_is_served(engine, routing->session)) {
            ask_anew(engine, routing);
        }
    }
}

void route_wait_all_ask(struct engine *engine, const struct topology *topology)
{
    LIST_EACH (&engine->late, node) {
        struct routing *routing = CONTAINER_OF(node, struct routing, late);
        if (topology == NULL || pool_nodes_are_of(topology, routing->session->pool)) {
            ask_anew(engine, routing);
        }
    }
}

uint64_t route_wait_timer(struct engine *engine, struct session *session)
{
    struct routing *routing = session->routing;
    if (!route_wait_is_on(session)) {
        return TIMER_NEVER;
    }
    if (engine->now_us < routing->late_us) {
        return routing->late_us;
    }
    ask_anew(engine, routing);
    return TIMER_NEVER;
}
