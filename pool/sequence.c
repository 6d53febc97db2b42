#include "pool/sequence.h"

#include <stddef.h>

#include "pool/account.h"
#include "pool/apply.h"
#include "pool/core.h"
#include "pool/link.h"
#include "pool/pin_limit.h"
#include "pool/pool.h"
#include "pool/session.h"
#include "pool/state.h"
#include "protocol/frontend.h"
#include "router/plan.h"

/* The session's name in link->sequenced_by; never 0 or SEQUENCED_BY_MANY, and not another worker's.
 */
static uint64_t name_of(const struct engine *engine, const struct session *session)
{
    return (uint64_t)(engine->worker + 1) << 56 ^ (uint64_t)session->conn.handle.generation << 24 ^
           session->conn.handle.slot;
}

/* Whether a statement may advance a sequence, by a column's default perhaps. */
static bool may_advance(const struct plan *plan)
{
    return (plan->touches & (PLAN_TOUCH_NEXTVAL | PLAN_TOUCH_UNKNOWN)) != 0 ||
           plan->class >= PLAN_WRITE;
}

/* Whether it may ask for what was advanced: itself, in what it executes by name, or in a function
 * that is not looked into. */
static bool may_ask(const struct plan *plan)
{
    return (plan->touches & (PLAN_TOUCH_SEQUENCE | PLAN_TOUCH_EXECUTE | PLAN_TOUCH_UNKNOWN |
                             PLAN_TOUCH_OPAQUE)) != 0;
}

/* Whether it asks, or ends what there is: behind a DISCARD SEQUENCES lastval() has to fail. */
static bool knows_of_sequences(const struct plan *plan)
{
    return (plan->touches & (PLAN_TOUCH_SEQUENCE | PLAN_TOUCH_FORGETS)) != 0;
}

/* Whether it is likely that what it advances is asked for in the same transaction, where the link
 * is still the session's. */
static bool may_be_asked_for(const struct link *link, const struct plan *plan)
{
    const struct due_entry *head = due_head(&link->due);
    bool inside = link->status == 'T' || (head != NULL && head->begins) ||
                  (plan->touches & PLAN_TOUCH_BEGIN) != 0;
    return inside && (plan->inserts || (plan->touches & PLAN_TOUCH_NEXTVAL) != 0 ||
                      (plan->touches & PLAN_TOUCH_COPY_FROM) != 0);
}

/* Whether all that stands ahead without a Sync is ours: a deferred BEGIN, or settings. Then a query
 * ends nothing that is the client's. */
static bool is_ours(const struct link *link)
{
    return link->begun || apply_is_open(link);
}

/* A standby advances none and asks for none, so there is nothing to keep its link for: nor may that
 * be kept, as the session's next batch is not sent there. */
static bool is_standbys(const struct session *session)
{
    return session->lender != session->pool;
}

/* Ahead of a query, behind messages without a Sync. Where it is refused the server does not skip
 * the client's query to a Sync that never comes. */
static bool discard_by_query(struct engine *engine, struct link *link)
{
    struct due_entry due = {
        .what = DUE_QUERY, .kind = DUE_SWALLOW, .flags = DUE_FLAG_QUIET, .sequences = true};
    frontend_query(&engine->scratch, "DISCARD SEQUENCES");
    engine_flush_scratch(engine, &link->conn);
    return link_due_entry(engine, link, &due);
}

/* Whether others' values are being discarded in a batch of before: that may be skipped, and what
 * comes now isn't. */
static bool discards_before(const struct link *link)
{
    bool ended = false;
    for (uint32_t i = link->due.count; i-- > 0;) {
        const struct due_entry *entry = due_at(&link->due, i);
        if (ended && entry->sequences && (entry->flags & DUE_FLAG_QUIET) == 0) {
            return true;
        }
        ended |=
            entry->what == DUE_SYNC || entry->what == DUE_QUERY || entry->what == DUE_FUNCTION_CALL;
    }
    return false;
}

/* Other sessions' values are not for this one. Under a name and a portal of our own: the unnamed
 * ones may be the client's. In a batch of the client's it is a part of that, and is skipped only
 * with what it stands ahead of. */
static bool discard(struct engine *engine, struct link *link)
{
    static const char name[] = "howdah_sequences";
    static const enum due_what steps[] = {DUE_CLOSE, DUE_PARSE, DUE_BIND, DUE_EXECUTE, DUE_CLOSE};
    struct writer *writer = &engine->scratch;
    bool alone = !link->unsynced;
    uint8_t flags = alone ? DUE_FLAG_QUIET : 0;
    frontend_close(writer, 'S', name); /* one before may have been skipped */
    frontend_parse(writer, name, "DISCARD SEQUENCES");
    frontend_bind(writer, name, name);
    frontend_execute(writer, name);
    frontend_close(writer, 'P', name);
    if (alone) {
        frontend_sync(writer);
    }
    engine_flush_scratch(engine, &link->conn);
    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
        struct due_entry due = {.what = (uint8_t)steps[i],
                                .kind = DUE_SWALLOW,
                                .flags = flags,
                                .sequences = steps[i] == DUE_EXECUTE};
        if (!link_due_entry(engine, link, &due)) {
            return false;
        }
    }
    return !alone || link_due(engine, link, DUE_SYNC, DUE_SWALLOW, flags);
}

void sequence_touch(const struct engine *engine, struct session *session)
{
    struct link *link = session->link;
    uint64_t name = name_of(engine, session);
    bool others = link->sequenced_by != 0 && link->sequenced_by != name;
    link->sequenced_by = others ? SEQUENCED_BY_MANY : name;
}

/* Notes that the session's values come on top of what is there; if anybody may ask for them, of
 * others nothing is left. */
static bool take_over(struct engine *engine, struct session *session, bool asks, bool by_query)
{
    struct link *link = session->link;
    /* The server refuses. */
    bool fails = link->due.copy_in || (link_has_failed(link) && !extended_status_is_open(link));
    sequence_touch(engine, session);
    if (link->sequenced_by != SEQUENCED_BY_MANY || !asks || fails) {
        return true;
    }
    link->sequenced_by = name_of(engine, session);
    return by_query && link->unsynced && is_ours(link) ? discard_by_query(engine, link)
                                                       : discard(engine, link);
}

/* Who asks keeps its link, and so does from now on whoever may be about to. */
static void note_asking(struct engine *engine, struct session *session)
{
    session->pins |= PIN_SEQUENCE;
    session->asks_sequences = true;
    atomic_store_explicit(&session->pool->account->asks_sequences, true, memory_order_relaxed);
    state_pins_changed(engine, session);
}

static bool go_ahead(struct engine *engine, struct session *session, const struct plan *plan,
                     bool by_query)
{
    struct account *account = session->pool->account;
    bool asked = atomic_load_explicit(&account->asks_sequences, memory_order_relaxed);
    bool goes_on = true;
    if (session->owns_link || is_standbys(session)) {
        return true;
    }
    if (knows_of_sequences(plan)) {
        note_asking(engine, session);
    }
    if ((plan->touches & PLAN_TOUCH_SEQUENCE) != 0) {
        goes_on = take_over(engine, session, true, by_query);
    } else if (may_advance(plan)) {
        /* Nothing may go ahead of it. */
        bool alone = (plan->touches & (PLAN_TOUCH_ALONE | PLAN_TOUCH_MODES)) != 0;
        session->pins |= asked ? PIN_SEQUENCE : 0;
        bool asks = asked || may_ask(plan) || may_be_asked_for(session->link, plan);
        goes_on = take_over(engine, session, !alone && asks, by_query);
    } else if (plan->class == PLAN_READ && !session->asks_sequences) {
        session->pins &= ~(uint32_t)PIN_SEQUENCE;
    }
    state_pins_changed(engine, session);
    return goes_on;
}

bool sequence_before(struct engine *engine, struct session *session, const struct plan *plan)
{
    return go_ahead(engine, session, plan, false);
}

bool sequence_before_query(struct engine *engine, struct session *session, const struct plan *plan)
{
    return go_ahead(engine, session, plan, true);
}

bool sequence_before_statement(struct engine *engine, struct session *session,
                               struct statement *statement)
{
    const struct plan *plan = state_statement_plan(engine, session, statement);
    if (plan != NULL && (knows_of_sequences(plan) || may_advance(plan)) &&
        discards_before(session->link)) {
        session->blocked = true; /* link_after_reply comes back to it */
        return false;
    }
    return plan == NULL || (plan->class == PLAN_READ && plan->touches == 0 && session->pins == 0) ||
           (plan->leaves != 0 &&
            pin_limit_refuses(session, pin_limit_leaves(session, plan)) != 0) ||
           sequence_before(engine, session, plan);
}

bool sequence_waits(struct engine *engine, struct session *session)
{
    struct link *link = session->link;
    bool others = link->sequenced_by != 0 && link->sequenced_by != name_of(engine, session);
    if (discards_before(link)) {
        session->blocked = true;
        return true;
    }
    if (!link->unsynced || !others || is_ours(link) || link->due.copy_in || due_empty(&link->due)) {
        return false;
    }
    session->blocked = true; /* link_after_reply comes back to it */
    link_flush(engine, link);
    return true;
}

void sequence_executed(struct engine *engine, struct session *session, struct statement *statement)
{
    const struct plan *plan = state_statement_plan(engine, session, statement);
    if (plan != NULL && knows_of_sequences(plan) && !is_standbys(session)) {
        note_asking(engine, session);
    }
}
