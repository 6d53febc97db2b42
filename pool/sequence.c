#include "pool/sequence.h"

#include <stdint.h>

#include "pool/account.h"
#include "pool/core.h"
#include "pool/link.h"
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

/* Another session's values are not for this one. */
static bool discard(struct engine *engine, struct link *link)
{
    struct writer *writer = &engine->scratch;
    frontend_parse(writer, "", "DISCARD SEQUENCES");
    frontend_bind(writer, "", "");
    frontend_execute(writer, "");
    frontend_sync(writer);
    link_unnamed_unknown(engine, link);
    engine_flush_scratch(engine, &link->conn);
    return link_due_executed(engine, link, 1, DUE_FLAG_QUIET) &&
           link_due(engine, link, DUE_SYNC, DUE_SWALLOW, DUE_FLAG_QUIET);
}

/* Whether messages of ours with a Sync may go ahead of the client's next. */
static bool may_go_ahead(const struct link *link)
{
    return link->status != 'E' && !link->unsynced && due_empty(&link->due);
}

bool sequence_before(struct engine *engine, struct session *session, const struct plan *plan)
{
    struct link *link = session->link;
    struct account *account = session->pool->account;
    uint64_t name = name_of(engine, session);
    if (session->owns_link) {
        return true;
    }
    if ((plan->touches & PLAN_TOUCH_SEQUENCE) != 0) {
        bool others = link->sequenced_by != name && link->sequenced_by != 0;
        session->pins |= PIN_SEQUENCE;
        session->asks_sequences = true;
        atomic_store_explicit(&account->asks_sequences, true, memory_order_relaxed);
        link->sequenced_by = name;
        state_pins_changed(engine, session);
        return !others || !may_go_ahead(link) || discard(engine, link);
    }
    if (may_advance(plan)) {
        link->sequenced_by = name;
        if (atomic_load_explicit(&account->asks_sequences, memory_order_relaxed)) {
            session->pins |= PIN_SEQUENCE;
        }
    } else if (plan->class == PLAN_READ && !session->asks_sequences) {
        session->pins &= ~(uint32_t)PIN_SEQUENCE;
    }
    state_pins_changed(engine, session);
    return true;
}
