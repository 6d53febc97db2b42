#include "router/polls.h"

#include <string.h>

#include "base/assert.h"
#include "router/nodes.h"
#include "router/ticks.h"

_Static_assert(LIMIT_NODES <= 32, "a bit for each node");

void polls_init(struct polls *polls, struct ticks *ticks)
{
    *polls = (struct polls){.ticks = ticks, .primary = NODES_NONE};
}

void polls_fini(struct polls *polls)
{
    ticks_unref(polls->ticks);
    polls->ticks = NULL;
}

/* --- what happens ----------------------------------------------------------------------------- */

void polls_follow(struct polls *polls, uint32_t primary, uint32_t incarnation)
{
    polls->primary = primary;
    polls->run = incarnation;
    polls->tail = (struct tail){0};
    ticks_void(polls->ticks);
    for (uint32_t i = 0; i < LIMIT_NODES; i++) {
        polls_forget(polls, i);
    }
}

bool polls_follows(const struct polls *polls, uint32_t primary, uint32_t incarnation)
{
    return polls->primary == primary && polls->run == incarnation;
}

void polls_asked(struct polls *polls, uint32_t at, uint64_t now_us)
{
    ASSERT(at < LIMIT_NODES);
    struct poll_node *node = &polls->nodes[at];
    node->is_busy = true;
    node->number =
        at == polls->primary ? ticks_start(polls->ticks) : ticks_start_at(polls->ticks, at);
    node->asked_us = now_us;
    node->asked_seen = ticks_newest(polls->ticks);
    node->credit_us = (node->credit_us > now_us ? node->credit_us : now_us) + POLLS_GAP_US;
}

/* What replicas are to reach: the answer to the newest poll that was wanted, or (while that has
 * none yet) to the newest; 0: nothing. */
static uint64_t target(const struct polls *polls, uint64_t *ret_lsn)
{
    uint64_t wanted = ticks_wanted(polls->ticks), newest = ticks_newest(polls->ticks);
    uint64_t number = wanted < newest ? wanted : newest;
    *ret_lsn = 0;
    return ticks_bound(polls->ticks, number, ret_lsn) ? number : 0;
}

static void note_behind(struct polls *polls, struct poll_node *node)
{
    uint64_t lsn;
    (void)target(polls, &lsn);
    if (node->behind_lsn != 0 && node->lsn >= node->behind_lsn) {
        node->lag_us = node->asked_us - node->behind_us;
        node->behind_lsn = 0;
    } else if (node->behind_lsn == 0) {
        node->lag_us = 0;
    }
    if (node->behind_lsn == 0 && node->lsn < lsn) {
        node->behind_lsn = lsn;
        node->behind_us = node->asked_us;
    }
}

bool polls_answered(struct polls *polls, uint32_t at, uint64_t lsn, uint32_t incarnation)
{
    ASSERT(at < LIMIT_NODES);
    struct poll_node *node = &polls->nodes[at];
    const struct ticks_replayed answer = {lsn, node->number, node->asked_us, incarnation, 0};
    polls_lost(polls, at);
    if (answer.number == 0) {
        return true;
    }
    if (at == polls->primary) {
        ticks_answered(polls->ticks, answer.number, lsn);
        return true;
    }
    if (!ticks_answered_at(polls->ticks, at, &answer)) {
        polls_forget(polls, at);
        return false;
    }
    node->lsn = lsn;
    node->seen = node->asked_seen;
    note_behind(polls, node);
    return true;
}

void polls_flushed(struct polls *polls, uint64_t inserted, uint64_t flushed)
{
    ASSERT(polls->primary < LIMIT_NODES);
    tail_told(&polls->tail, inserted, flushed, polls->nodes[polls->primary].asked_us);
}

void polls_lost(struct polls *polls, uint32_t at)
{
    ASSERT(at < LIMIT_NODES);
    polls->nodes[at].is_busy = false;
    polls->nodes[at].number = 0;
}

void polls_forget(struct polls *polls, uint32_t at)
{
    struct poll_node *node = &polls->nodes[at];
    polls_lost(polls, at);
    ticks_forget_at(polls->ticks, at);
    node->lsn = node->seen = 0;
    node->behind_lsn = node->lag_us = 0;
    if (at == polls->primary) {
        polls->tail = (struct tail){0};
    }
}

/* --- whom to ask ------------------------------------------------------------------------------ */

static uint64_t earliest_us(const struct poll_node *node)
{
    const uint64_t burst_us = (POLLS_BURST - 1) * POLLS_GAP_US;
    uint64_t at_us = node->credit_us > burst_us ? node->credit_us - burst_us : 0;
    if (node->behind_lsn == 0) {
        return at_us;
    }
    uint64_t behind_us = node->asked_us - node->behind_us;
    uint64_t lag_us = behind_us > node->lag_us ? behind_us : node->lag_us;
    uint64_t again_us = node->asked_us + lag_us / POLLS_PATIENCE;
    return at_us > again_us ? at_us : again_us;
}

/* Whether the tail is what keeps a replica from what is wanted, or makes it late. */
static bool tail_matters(const struct polls *polls, struct polls_who who)
{
    uint64_t lsn;
    (void)target(polls, &lsn);
    for (uint32_t i = 0; i < LIMIT_NODES; i++) {
        const struct poll_node *node = &polls->nodes[i];
        bool is_awaited =
            (who.late >> i & 1) != 0 || ((who.usable >> i & 1) != 0 && node->lsn < lsn);
        if (i != polls->primary && is_awaited && tail_holds_up(&polls->tail, node->lsn)) {
            return true;
        }
    }
    return false;
}

/* When the primary is to be polled, as far as the tail goes. */
static uint64_t tail_us(const struct polls *polls, struct polls_who who)
{
    return tail_matters(polls, who) ? polls->tail.due_us : POLLS_NEVER;
}

uint32_t polls_due(const struct polls *polls, struct polls_who who, uint64_t now_us,
                   uint64_t *ret_next_us)
{
    uint64_t lsn, number = target(polls, &lsn), unflushed_us = tail_us(polls, who);
    bool wants_primary = ticks_wanted(polls->ticks) > ticks_newest(polls->ticks);
    uint32_t due = 0;
    *ret_next_us = POLLS_NEVER;
    for (uint32_t i = 0; i < LIMIT_NODES; i++) {
        const struct poll_node *node = &polls->nodes[i];
        bool is_primary = i == polls->primary;
        bool is_wanted = is_primary ? wants_primary || unflushed_us != POLLS_NEVER
                                    : node->seen < number || node->lsn < lsn;
        if ((who.usable >> i & 1) == 0 || !is_wanted || node->is_busy) {
            continue;
        }
        uint64_t at_us = earliest_us(node);
        if (is_primary && !wants_primary && at_us < unflushed_us) {
            at_us = unflushed_us;
        }
        if (at_us <= now_us) {
            due |= UINT32_C(1) << i;
        } else if (at_us < *ret_next_us) {
            *ret_next_us = at_us;
        }
    }
    return due;
}

bool polls_commits(const struct polls *polls, struct polls_who who)
{
    return polls->tail.is_stuck && tail_matters(polls, who);
}

void polls_committed(struct polls *polls, uint64_t now_us)
{
    tail_committed(&polls->tail, now_us);
}

bool polls_sleep(struct polls *polls)
{
    uint64_t wanted = ticks_wanted(polls->ticks);
    if (wanted > ticks_newest(polls->ticks)) {
        return true; /* the answer will have us look */
    }
    return ticks_sleep(polls->ticks, wanted);
}
