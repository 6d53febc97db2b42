#include "pool/hold.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/error.h"
#include "pool/account.h"
#include "pool/core.h"
#include "pool/lend.h"
#include "pool/options.h"
#include "pool/pool.h"
#include "pool/pool_nodes.h"
#include "pool/session.h"
#include "protocol/report.h"
#include "router/topology.h"

enum { DETAIL_BYTES = 2 * NODE_REASON_BYTES };

/* How soon it is looked again whether the last dials of those that are to be refused have ended. */
enum { DIALS_END_US = 50 * 1000 };

bool hold_is_for(const struct pool *pool)
{
    return pool->target == POOL_PRIMARY && options_is_watched(pool->database);
}

bool hold_is_fenced(const struct pool *pool, const struct topology *topology)
{
    return hold_is_for(pool) && !pool->database->discovers && topology != NULL &&
           topology_primary(topology) == NULL;
}

/* What a probe is refused, down, may be its own login: then dials tell. A held pool stays so where
 * the servers are watched anew, until the primary was heard of; that it shuts its probe out is
 * something that was heard. */
static bool given_stops(const struct pool *pool, const struct node *primary)
{
    return primary == NULL || (primary->state == NODE_FROZEN && primary->answered_us != 0) ||
           (pool->held && primary->state == NODE_UNKNOWN && !primary->heard);
}

static bool stops(const struct pool *pool, const struct topology *topology)
{
    const struct node *primary = topology_primary(topology);
    if (!hold_is_for(pool)) {
        return false;
    }
    if (!pool->database->discovers) {
        return topology != NULL && given_stops(pool, primary);
    }
    return topology == NULL || !nodes_may_write(&topology->nodes);
}

/* --- beginning and ending --------------------------------------------------------------------- */

static uint64_t end_us(const struct pool *pool)
{
    return pool->held_us + pool->database->failover_wait_ms * UINT64_C(1000);
}

static bool has_lasted(const struct engine *engine, const struct pool *pool)
{
    return pool->held_us != 0 && engine->now_us >= end_us(pool);
}

/* The wait begins, if it has not yet. */
static void begin(struct engine *engine, struct pool *pool)
{
    if (pool->held_us == 0) {
        pool->held_us = engine->now_us;
    }
    pool_wake_by(engine, pool, has_lasted(engine, pool) ? engine->now_us : end_us(pool));
}

static void hold(struct engine *engine, struct pool *pool)
{
    pool->held = true;
    begin(engine, pool);
}

/* Who waits may dial now. */
static void dial_again(struct engine *engine, struct pool *pool)
{
    atomic_store(&pool->host_account->retry_at_us, 0);
    atomic_store(&pool->host_account->failures, 0);
    pool->retry_at_us = 0;
    lend_escalate(engine, pool, true);
    lend_serve(engine, pool);
    lend_keep_warm(engine, pool);
}

/* A given primary may be no better than it was: then dials tell, and the wait goes on. */
static void release(struct engine *engine, struct pool *pool, bool answers)
{
    pool->held = false;
    pool->held_us = answers ? 0 : pool->held_us;
    dial_again(engine, pool);
}

/* --- what happens ----------------------------------------------------------------------------- */

void hold_begin(struct engine *engine, struct pool *pool, const struct topology *topology,
                bool same)
{
    bool dials = same && !pool->held;
    if (same && topology == NULL && hold_is_for(pool) && !pool->database->discovers) {
        return; /* what was known holds until it is told anew */
    }
    if (stops(pool, topology)) {
        hold(engine, pool);
        return;
    }
    pool->held = false;
    pool->held_us = dials ? pool->held_us : 0;
}

void hold_stop(struct engine *engine, struct pool *pool, const struct topology *topology)
{
    if (stops(pool, topology)) {
        hold(engine, pool);
    }
}

void hold_go_on(struct engine *engine, struct pool *pool, const struct topology *topology)
{
    const struct node *primary = topology_primary(topology);
    if (stops(pool, topology) || pool->held_us == 0) {
        return;
    }
    if (pool->held) {
        release(engine, pool, nodes_may_write(&topology->nodes));
    } else if (primary->state == NODE_UP && primary->answered_us > pool->refused_us) {
        pool->held_us = pool->waiting_count == 0 ? 0 : pool->held_us;
        dial_again(engine, pool);
    }
}

bool hold_refused(struct engine *engine, struct pool *pool)
{
    if (!hold_is_for(pool) || pool->orphaned) {
        return false;
    }
    pool->refused_us = engine->now_us;
    begin(engine, pool);
    return true;
}

void hold_answered(struct pool *pool)
{
    if (!pool->held) {
        pool->held_us = 0;
    }
}

void hold_let_in(struct pool *pool)
{
    hold_answered(pool);
    pool->failures = 0;
    pool->retry_at_us = 0;
    free(pool->failure);
    pool->failure = NULL;
}

/* --- waiting in vain -------------------------------------------------------------------------- */

/* Whether there is no link that could come free, nor one on its way. */
static bool has_none(const struct pool *pool)
{
    return atomic_load(&pool->account->total) == 0;
}

bool hold_is_over(const struct engine *engine, const struct pool *pool)
{
    if (!has_lasted(engine, pool)) { /* first: it is asked for every lease */
        return false;
    }
    uint64_t retry_us = atomic_load(&pool->host_account->retry_at_us);
    bool refused = !pool->paused && has_none(pool) && engine->now_us < retry_us;
    return pool->held || refused;
}

bool hold_is_why(const struct pool *pool)
{
    return pool->held || (pool->held_us != 0 && pool->busy_count + pool->idle_count == 0);
}

void hold_upkeep(struct engine *engine, struct pool *pool)
{
    if (pool->held_us == 0) {
        return;
    }
    if (!has_lasted(engine, pool)) {
        pool_wake_by(engine, pool, end_us(pool));
    } else if (pool->held || (!pool->paused && has_none(pool))) {
        lend_refuse_all(engine, pool);
    } else if (pool->waiting_count > 0) {
        pool_wake_by(engine, pool, engine->now_us + DIALS_END_US);
    }
}

/* What the last dial failed with. */
static void tell_failure(const struct pool *pool, char detail[DETAIL_BYTES])
{
    struct report_fields fields;
    if (pool->failure != NULL && report_parse(pool->failure, pool->failure_bytes, &fields)) {
        snprintf(detail, DETAIL_BYTES, "The primary takes no connection: %s%s%s.", fields.message,
                 fields.detail[0] == '\0' ? "" : ": ", fields.detail);
    }
}

static void tell_why(const struct pool *pool, const struct topology *topology,
                     char detail[DETAIL_BYTES])
{
    const struct node *primary = topology_primary(topology);
    if (topology != NULL && primary == NULL) {
        snprintf(detail, DETAIL_BYTES, "There is none: %s.", topology->nodes.why_none);
    } else if (pool->held && primary != NULL && primary->state != NODE_UP) {
        snprintf(detail, DETAIL_BYTES, "The primary is %s: %s.", nodes_state_name(primary->state),
                 primary->reason[0] != '\0' ? primary->reason : "it was not heard of yet");
    } else {
        tell_failure(pool, detail);
    }
}

void hold_refuse(struct engine *engine, struct session *session)
{
    const struct pool *pool = session->pool;
    char detail[DETAIL_BYTES] = "Nothing is known of the servers yet.";
    struct report report = {.code = ERR_NO_PRIMARY,
                            .detail = detail,
                            .hint = "SHOW REPLICAS in the admin database says how they are."};
    tell_why(pool, pool_nodes_of(engine, pool->database->name), detail);
    session_refuse(engine, session, &report, NULL, 0);
}
