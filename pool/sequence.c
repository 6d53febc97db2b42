#include "pool/sequence.h"

#include <stdint.h>

#include "pool/account.h"
#include "pool/core.h"
#include "pool/link.h"
#include "pool/pin_limit.h"
#include "pool/pool.h"
#include "pool/session.h"
#include "pool/state.h"
#include "protocol/frontend.h"
#include "router/plan.h"

/* The session's name in link->sequenced_by; never 0, and not another worker's. */
static uint64_t name_of(const struct engine *engine, const struct session *session)
{
    return (uint64_t)(engine->worker + 1) << 56 ^ (uint64_t)session->conn.handle.generation << 24 ^
           session->conn.handle.slot;
}

/* Whether a statement may advance a sequence, by a column's default perhaps. */
static bool may_advance(const struct plan *plan)
{
    return (plan->touches & (PLAN_TOUCH_NEXTVAL | PLAN_TOUCH_UNKNOWN)) != 0 ||
           plan->class == PLAN_WRITE || plan->class == PLAN_COPY || plan->class >= PLAN_UTILITY;
}

/* Whether messages of ours with a Sync may go ahead of the client's next. */
static bool may_go_ahead(const struct link *link)
{
    return link->status != 'E' && !link->unsynced && due_empty(&link->due);
}

/* Another session's values are not for this one. In a pipeline it is one statement more of the
 * client's: it fails only where the client's own would, by the same error. */
static bool discard(struct engine *engine, struct link *link)
{
    static const char portal[] = "howdah_discard"; /* the unnamed one may be the client's */
    struct writer *writer = &engine->scratch;
    bool alone = may_go_ahead(link);
    uint8_t flags = alone ? DUE_FLAG_QUIET : 0;
    if (link->status == 'E') {
        return true; /* the client's is refused, too */
    }
    frontend_parse(writer, "", "DISCARD SEQUENCES");
    frontend_bind(writer, portal, "");
    frontend_execute(writer, portal);
    frontend_close(writer, 'P', portal);
    if (alone) {
        frontend_sync(writer);
    } else {
        link->unsynced = true;
    }
    link->sequences_mixed = false;
    link_unnamed_unknown(engine, link);
    engine_flush_scratch(engine, &link->conn);
    return link_due_executed(engine, link, 1, flags) &&
           link_due(engine, link, DUE_CLOSE, DUE_SWALLOW, flags) &&
           (!alone || link_due(engine, link, DUE_SYNC, DUE_SWALLOW, flags));
}

/* The statement asks for what an earlier one has left. */
static bool before_asking(struct engine *engine, struct session *session, bool others)
{
    struct link *link = session->link;
    session->pins |= PIN_SEQUENCE;
    session->asks_sequences = true;
    atomic_store_explicit(&session->pool->account->asks_sequences, true, memory_order_relaxed);
    link->sequenced_by = name_of(engine, session);
    state_pins_changed(engine, session);
    return !(others || link->sequences_mixed) || discard(engine, link);
}

/* `bound`: it is a prepared statement. */
static bool before(struct engine *engine, struct session *session, const struct plan *plan,
                   bool bound)
{
    struct link *link = session->link;
    uint64_t name = name_of(engine, session);
    bool others = link->sequenced_by != name && link->sequenced_by != 0;
    bool sent = true;
    if (session->owns_link) {
        return true;
    }
    if ((plan->touches & PLAN_TOUCH_SEQUENCE) != 0) {
        return before_asking(engine, session, others);
    }
    if (may_advance(plan)) {
        bool asked =
            atomic_load_explicit(&session->pool->account->asks_sequences, memory_order_relaxed);
        link->sequenced_by = name;
        link->sequences_mixed |= others;
        if (asked) {
            session->pins |= PIN_SEQUENCE;
            bool may = may_go_ahead(link) || (bound && (plan->touches & PLAN_TOUCH_ALONE) == 0);
            sent = !link->sequences_mixed || !may || discard(engine, link);
        }
    } else if (plan->class == PLAN_READ && !session->asks_sequences) {
        session->pins &= ~(uint32_t)PIN_SEQUENCE;
    }
    state_pins_changed(engine, session);
    return sent;
}

bool sequence_before(struct engine *engine, struct session *session, const struct plan *plan)
{
    return before(engine, session, plan, false);
}

bool sequence_before_statement(struct engine *engine, struct session *session,
                               struct statement *statement)
{
    const struct plan *plan = state_statement_plan(engine, session, statement);
    return plan == NULL || (plan->class == PLAN_READ && plan->touches == 0 && session->pins == 0) ||
           (plan->leaves != 0 &&
            pin_limit_refuses(session, pin_limit_leaves(session, plan)) != 0) ||
           before(engine, session, plan, true);
}
