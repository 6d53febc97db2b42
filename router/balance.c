#include "router/balance.h"

#include <stdbool.h>

#include "base/assert.h"
#include "base/limits.h"

_Static_assert(LIMIT_NODES <= 32, "a bit each");

/* Latencies below this count as this: it is about what a short statement takes at all, and servers
 * of one place must not be told apart by what jitters. */
enum { LATENCY_FLOOR_US = 1000 };

static uint64_t latency_us(const struct balance_node *node)
{
    return node->latency_us < LATENCY_FLOOR_US ? LATENCY_FLOOR_US : node->latency_us;
}

uint64_t balance_load(const struct balance_node *node)
{
    ASSERT(node->weight > 0);
    uint64_t work = (uint64_t)node->busy + node->waiting + 1;
    return work * latency_us(node) * LIMIT_WEIGHT_MAX / node->weight;
}

/* The n-th candidate, from 0. */
static uint32_t nth(uint32_t candidates, uint32_t n)
{
    for (; n > 0; n--) {
        candidates &= candidates - 1;
    }
    ASSERT(candidates != 0);
    return (uint32_t)__builtin_ctz(candidates);
}

static uint32_t least_busy(uint32_t candidates, const struct balance_node *nodes,
                           struct random *random)
{
    uint32_t count = (uint32_t)__builtin_popcount(candidates);
    uint32_t left = nth(candidates, (uint32_t)random_below(random, count));
    uint32_t others = candidates & ~(UINT32_C(1) << left);
    uint32_t right = nth(others, (uint32_t)random_below(random, count - 1));
    return balance_load(&nodes[right]) < balance_load(&nodes[left]) ? right : left;
}

static uint32_t weighted(uint32_t candidates, const struct balance_node *nodes,
                         struct random *random)
{
    uint64_t sum = 0;
    for (uint32_t left = candidates; left != 0; left &= left - 1) {
        sum += nodes[__builtin_ctz(left)].weight;
    }
    ASSERT(sum > 0);
    uint64_t drawn = random_below(random, sum);
    uint32_t at = (uint32_t)__builtin_ctz(candidates);
    while (drawn >= nodes[at].weight) {
        drawn -= nodes[at].weight;
        candidates &= candidates - 1;
        at = (uint32_t)__builtin_ctz(candidates);
    }
    return at;
}

/* The first candidate from `turn` on, and round again. */
static uint32_t by_turns(uint32_t candidates, uint32_t *turn)
{
    uint32_t from = *turn % 32;
    uint32_t later = candidates & (UINT32_MAX << from);
    uint32_t at = (uint32_t)__builtin_ctz(later != 0 ? later : candidates);
    *turn = at + 1;
    return at;
}

uint32_t balance_choose(enum balance balance, uint32_t candidates, const struct balance_node *nodes,
                        uint32_t *turn, struct random *random)
{
    ASSERT(candidates != 0);
    bool is_one = (candidates & (candidates - 1)) == 0;
    if (is_one && balance != BALANCE_ROUND_ROBIN) {
        return (uint32_t)__builtin_ctz(candidates);
    }
    switch (balance) {
    case BALANCE_LEAST_BUSY:
        return least_busy(candidates, nodes, random);
    case BALANCE_WEIGHTED:
        return weighted(candidates, nodes, random);
    case BALANCE_ROUND_ROBIN:
        return by_turns(candidates, turn);
    }
    UNREACHABLE();
}

/* --- staying ---------------------------------------------------------------------------------- */

/* What is to be even: work for power. */
struct share {
    uint64_t work, power;
};

static struct share share_of(enum balance balance, const struct balance_node *node)
{
    switch (balance) {
    case BALANCE_LEAST_BUSY: { /* what is under way now may be long; the mean has what is short */
        uint64_t now_milli = ((uint64_t)node->busy + node->waiting) * 1000;
        uint64_t power = (uint64_t)node->weight * 1000 * LATENCY_FLOOR_US / latency_us(node);
        return (struct share){node->busy_milli + now_milli, power == 0 ? 1 : power};
    }
    case BALANCE_WEIGHTED:
        return (struct share){node->reads, node->weight};
    case BALANCE_ROUND_ROBIN:
        return (struct share){node->reads, 1};
    }
    UNREACHABLE();
}

static uint32_t without(uint32_t work, uint32_t own_milli)
{
    ASSERT(own_milli <= 1000);
    return work - (uint32_t)((uint64_t)work * own_milli / 1000);
}

bool balance_leaves(enum balance balance, const struct balance_node *here,
                    const struct balance_node *there, struct random *random)
{
    struct balance_node others = *here;
    others.reads = without(here->reads, here->own_milli);
    others.busy_milli = without(here->busy_milli, here->own_milli);
    struct share from = share_of(balance, here), to = share_of(balance, there);
    uint64_t left = share_of(balance, &others).work * to.power, right = to.work * from.power;
    /* (work - m) / power is the same at both for m = (left - right) / (the sum of the powers). */
    return left > right && random_below(random, from.work * (from.power + to.power)) < left - right;
}
