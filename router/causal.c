#include "router/causal.h"

#include "router/nodes.h"
#include "router/ticks.h"

void causal_init(struct causal *causal)
{
    *causal = (struct causal){.node = NODES_NONE};
}

static bool has_seen_nothing(const struct causal *causal)
{
    return causal->need == 0 && causal->bound == 0 && causal->node == NODES_NONE;
}

/* Whether the bound is of another primary's WAL, which no replica of the present one need reach. */
static bool is_of_before(const struct causal *causal, const struct ticks *ticks)
{
    return causal->bound != 0 && causal->voided != ticks_voided(ticks);
}

/* What is needed instead covers all that has survived. */
static void drop_bound(struct causal *causal)
{
    causal->bound = 0;
    causal->shown = UINT64_MAX; /* no LSN */
}

void causal_at_primary(struct causal *causal, const struct ticks *ticks)
{
    if (is_of_before(causal, ticks)) { /* asked before the number is taken, so that that is above */
        drop_bound(causal);
    }
    causal->need = ticks_next(ticks);
    causal->need_at = 0; /* the primary is ahead of all that a replica has shown */
}

void causal_ask_replica(struct causal *causal, const struct ticks *ticks, uint32_t node)
{
    causal->asked_at = ticks_next_at(ticks, node);
}

void causal_at_replica(struct causal *causal, const struct ticks *ticks, uint32_t node,
                       uint32_t incarnation, uint64_t now_us)
{
    causal->need_at = ticks_next_at(ticks, node);
    causal->since = causal->asked_at;
    causal->node = node;
    causal->incarnation = incarnation;
    causal->seen_us = now_us;
    causal->shown = causal->bound;
}

/* Whether it has read at that node last, and seen nothing elsewhere since. */
static bool stays_at(const struct causal *causal, uint32_t node)
{
    return node == causal->node && causal->need == 0 && causal->bound == causal->shown;
}

void causal_must_see(struct causal *causal, uint64_t need)
{
    causal->need = need > causal->need ? need : causal->need;
}

bool causal_settle(struct causal *causal, const struct ticks *ticks)
{
    uint64_t lsn, voided = ticks_voided(ticks);
    if (causal->need == 0) {
        return true;
    }
    /* Sent later, it covers no less; who was the primary before may have answered those. */
    causal_must_see(causal, voided + 1);
    if (!ticks_bound(ticks, causal->need, &lsn)) {
        return false;
    }
    if (causal->bound != 0 && causal->voided != voided) {
        drop_bound(causal);
    }
    if (lsn >= causal->bound) {
        causal->bound = lsn;
        causal->settled = causal->need;
    }
    causal->voided = voided;
    causal->need = 0;
    return true;
}

/* Whether the replica that was read last was restarted since, or may have recovered from a crash:
 * what it shows now need not be what it has shown. */
static bool is_lost(const struct causal *causal, const struct ticks_replayed *replayed)
{
    return replayed->incarnation != causal->incarnation || causal->since < replayed->since;
}

/* Takes the answer to what was seen at the replica that was read last. False: there is none yet. */
static bool settle_seen(struct causal *causal, const struct ticks *ticks)
{
    struct ticks_replayed seen;
    uint64_t voided = ticks_voided(ticks);
    if (causal->need_at == 0) {
        return true;
    }
    /* If nothing is known of it any more, or is lost, it never comes; the primary has all of it. */
    if (is_of_before(causal, ticks) || !ticks_replayed(ticks, causal->node, &seen) ||
        is_lost(causal, &seen)) {
        causal_at_primary(causal, ticks);
        return false;
    }
    if (seen.number < causal->need_at) {
        return false;
    }
    if (seen.lsn > causal->bound) {
        causal->bound = seen.lsn;
        causal->settled = 0;
    }
    causal->voided = voided;
    causal->need_at = 0;
    return true;
}

uint64_t causal_wants(struct causal *causal, const struct ticks *ticks, bool polled)
{
    if (causal->need_at != 0 && !polled) {
        causal_at_primary(causal, ticks);
    }
    if (causal->need != 0) {
        return causal->need;
    }
    if (causal->settled == 0) {
        causal->settled = ticks_next(ticks);
    }
    return causal->settled;
}

void causal_at_any_replica(struct causal *causal, const struct ticks *ticks, uint32_t node,
                           uint32_t incarnation, uint64_t now_us)
{
    bool open = !settle_seen(causal, ticks);
    causal_at_replica(causal, ticks, node, incarnation, now_us);
    causal->shown = UINT64_MAX; /* no LSN */
    if (open) {                 /* only one node's answer can be waited for */
        causal_at_primary(causal, ticks);
    }
}

bool causal_may_read(struct causal *causal, const struct ticks *ticks, uint32_t node)
{
    struct ticks_replayed replayed;
    if (has_seen_nothing(causal) || stays_at(causal, node)) {
        return true;
    }
    if (causal->need != 0) { /* by the look at another one: what it has shown is not known */
        return false;
    }
    if (is_of_before(causal, ticks)) {
        causal_at_primary(causal, ticks);
        return false;
    }
    bool same = node == causal->node && ticks_replayed(ticks, node, &replayed) &&
                !is_lost(causal, &replayed);
    if (!same && !settle_seen(causal, ticks)) {
        return false;
    }
    return ticks_replayed(ticks, node, &replayed) && replayed.lsn >= causal->bound;
}

bool causal_may_use(const struct causal *causal, const struct ticks *ticks, uint32_t node,
                    uint32_t incarnation, uint64_t ready_us)
{
    struct ticks_replayed replayed;
    if (has_seen_nothing(causal)) {
        return true;
    }
    if (stays_at(causal, node) && incarnation == causal->incarnation &&
        ready_us < causal->seen_us) {
        return true;
    }
    if (!ticks_replayed(ticks, node, &replayed)) {
        return false;
    }
    bool covers = causal->need_at == 0 || !is_lost(causal, &replayed);
    return covers && replayed.lsn >= causal->bound && replayed.incarnation == incarnation &&
           ready_us < replayed.asked_us;
}
