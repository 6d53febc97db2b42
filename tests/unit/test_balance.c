#include "router/balance.h"

#include <criterion/criterion.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/limits.h"

static const struct balance_node idle = {.weight = 1};

/* How often each of the nodes was chosen, in so many draws. */
static void draw(enum balance balance, uint32_t candidates, const struct balance_node *nodes,
                 uint32_t draws, uint32_t ret_counts[LIMIT_NODES])
{
    struct random random = {42};
    uint32_t turn = 0;
    memset(ret_counts, 0, LIMIT_NODES * sizeof(*ret_counts));
    for (uint32_t i = 0; i < draws; i++) {
        uint32_t at = balance_choose(balance, candidates, nodes, &turn, &random);
        cr_assert_lt(at, LIMIT_NODES);
        cr_assert((candidates & UINT32_C(1) << at) != 0, "%u is no candidate", at);
        ret_counts[at]++;
    }
}

/* Within 5 standard deviations of a binomial draw (and so 3 in 10 million draws of a right one). */
static void expect_share(uint32_t count, uint32_t draws, double share, const char *what)
{
    double mean = draws * share, variance = mean * (1 - share);
    double off = count - mean;
    cr_expect(off * off <= 25 * variance, "%s: %u of %u, expected %.0f", what, count, draws, mean);
}

static void fill(struct balance_node nodes[LIMIT_NODES])
{
    for (uint32_t i = 0; i < LIMIT_NODES; i++) {
        nodes[i] = idle;
    }
}

Test(balance, one_candidate_is_chosen)
{
    struct balance_node nodes[LIMIT_NODES];
    uint32_t counts[LIMIT_NODES];
    fill(nodes);
    nodes[31].busy = nodes[31].waiting = UINT32_MAX;
    nodes[31].latency_us = UINT32_MAX;
    for (enum balance balance = BALANCE_LEAST_BUSY; balance <= BALANCE_ROUND_ROBIN; balance++) {
        for (uint32_t at = 0; at < LIMIT_NODES; at++) {
            draw(balance, UINT32_C(1) << at, nodes, 10, counts);
            cr_assert_eq(counts[at], 10);
        }
    }
}

Test(balance, same_seed_same_choices)
{
    struct balance_node nodes[LIMIT_NODES];
    fill(nodes);
    for (enum balance balance = BALANCE_LEAST_BUSY; balance <= BALANCE_ROUND_ROBIN; balance++) {
        struct random left = {7}, right = {7};
        uint32_t left_turn = 0, right_turn = 0;
        for (uint32_t i = 0; i < 1000; i++) {
            cr_assert_eq(balance_choose(balance, 0xf0f1, nodes, &left_turn, &left),
                         balance_choose(balance, 0xf0f1, nodes, &right_turn, &right));
        }
    }
}

Test(balance, weighted_in_proportion)
{
    struct balance_node nodes[LIMIT_NODES];
    uint32_t counts[LIMIT_NODES], draws = 100000;
    fill(nodes);
    nodes[1].weight = 1;
    nodes[4].weight = 2;
    nodes[31].weight = 7;
    nodes[2].weight = LIMIT_WEIGHT_MAX; /* no candidate */
    draw(BALANCE_WEIGHTED, 1u << 1 | 1u << 4 | 1u << 31, nodes, draws, counts);
    expect_share(counts[1], draws, 0.1, "weight 1");
    expect_share(counts[4], draws, 0.2, "weight 2");
    expect_share(counts[31], draws, 0.7, "weight 7");
    /* What is busy counts for nothing. */
    nodes[31].busy = 1000;
    draw(BALANCE_WEIGHTED, 1u << 1 | 1u << 31, nodes, draws, counts);
    expect_share(counts[31], draws, 0.875, "weight 7, busy");
}

Test(balance, round_robin_by_turns)
{
    struct balance_node nodes[LIMIT_NODES];
    struct random random = {1};
    uint32_t turn = 0, counts[LIMIT_NODES];
    fill(nodes);
    nodes[3].weight = 100;
    nodes[3].busy = 100;
    static const uint32_t expected[] = {0, 3, 31, 0, 3, 31, 0};
    for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++) {
        cr_assert_eq(
            balance_choose(BALANCE_ROUND_ROBIN, 1u | 1u << 3 | 1u << 31, nodes, &turn, &random),
            expected[i]);
    }
    draw(BALANCE_ROUND_ROBIN, UINT32_MAX, nodes, 3200, counts);
    for (uint32_t i = 0; i < LIMIT_NODES; i++) {
        cr_assert_eq(counts[i], 100);
    }
    /* Who alone may be chosen meanwhile has had its turn then. */
    turn = 0;
    cr_assert_eq(balance_choose(BALANCE_ROUND_ROBIN, 1u << 1, nodes, &turn, &random), 1);
    cr_assert_eq(balance_choose(BALANCE_ROUND_ROBIN, 7, nodes, &turn, &random), 2);
    cr_assert_eq(balance_choose(BALANCE_ROUND_ROBIN, 7, nodes, &turn, &random), 0);
}

Test(balance, load_by_work_latency_and_weight)
{
    const struct balance_node busy = {.busy = 2, .weight = 1},
                              waiting = {.waiting = 2, .weight = 1};
    const struct balance_node strong = {.busy = 2, .weight = 3};
    const struct balance_node near = {.latency_us = 900, .weight = 1};
    const struct balance_node far = {.latency_us = 3000, .weight = 1};
    const struct balance_node worst = {
        .busy = UINT32_MAX, .waiting = UINT32_MAX, .latency_us = UINT32_MAX, .weight = 1};
    cr_assert_lt(balance_load(&idle), balance_load(&busy));
    cr_assert_eq(balance_load(&waiting), balance_load(&busy));
    cr_assert_eq(balance_load(&strong), balance_load(&idle));
    cr_assert_eq(balance_load(&near), balance_load(&idle));
    cr_assert_eq(balance_load(&far), balance_load(&busy));
    cr_assert_lt(balance_load(&far), balance_load(&worst));
}

/* Equals are equal; the busiest of all is never chosen, as it loses against whomever it meets. */
Test(balance, least_busy_of_two)
{
    struct balance_node nodes[LIMIT_NODES];
    uint32_t counts[LIMIT_NODES], draws = 100000;
    fill(nodes);
    draw(BALANCE_LEAST_BUSY, 0xf, nodes, draws, counts);
    for (uint32_t i = 0; i < 4; i++) {
        expect_share(counts[i], draws, 0.25, "equals");
    }
    for (uint32_t i = 0; i < 4; i++) {
        nodes[i].busy = i;
    }
    draw(BALANCE_LEAST_BUSY, 0xf, nodes, draws, counts);
    expect_share(counts[0], draws, 3.0 / 6, "least of four"); /* of the six pairs */
    expect_share(counts[1], draws, 2.0 / 6, "second of four");
    expect_share(counts[2], draws, 1.0 / 6, "third of four");
    cr_assert_eq(counts[3], 0);
    draw(BALANCE_LEAST_BUSY, 0x6, nodes, 1000, counts);
    cr_assert_eq(counts[1], 1000);
}

/* Statements that arrive one by one and end at random, at the servers' speeds: the greatest number
 * that one server has to do at a time, and what each has got. */
static uint32_t serve(enum balance balance, struct balance_node *nodes, uint32_t count,
                      const uint32_t *speeds, uint32_t statements, uint32_t *ret_done)
{
    struct random random = {99};
    uint32_t turn = 0, most = 0, candidates = (UINT32_C(1) << count) - 1;
    memset(ret_done, 0, count * sizeof(*ret_done));
    for (uint32_t i = 0; i < statements; i++) {
        uint32_t at = balance_choose(balance, candidates, nodes, &turn, &random);
        ret_done[at]++;
        nodes[at].busy++;
        most = nodes[at].busy > most ? nodes[at].busy : most;
        for (uint32_t j = 0; j < count; j++) {
            bool ends = random_below(&random, 1000) < speeds[j];
            nodes[j].busy -= ends && nodes[j].busy > 0;
        }
    }
    return most;
}

Test(balance, least_busy_keeps_lines_short)
{
    static const uint32_t speeds[8] = {140, 140, 140, 140, 140, 140, 140, 140}; /* of 125 needed */
    uint32_t done[8];
    struct balance_node nodes[LIMIT_NODES];
    fill(nodes);
    uint32_t least_busy = serve(BALANCE_LEAST_BUSY, nodes, 8, speeds, 200000, done);
    fill(nodes);
    uint32_t drawn = serve(BALANCE_WEIGHTED, nodes, 8, speeds, 200000, done);
    cr_expect_lt(3 * least_busy, drawn, "%u against %u", least_busy, drawn);
}

/* A server that is slow, for whatever reason, gets what it manages. */
Test(balance, least_busy_goes_by_what_servers_manage)
{
    static const uint32_t speeds[3] = {480, 480, 120}; /* of 1,000 that arrive */
    uint32_t done[3];
    struct balance_node nodes[LIMIT_NODES];
    fill(nodes);
    uint32_t most = serve(BALANCE_LEAST_BUSY, nodes, 3, speeds, 200000, done);
    cr_expect_lt(most, 200, "%u in one line", most);
    cr_expect_lt(done[2], 200000 * 13 / 100, "%u", done[2]);
    cr_expect_gt(done[2], 200000 * 8 / 100, "%u", done[2]);
}

/* --- staying ---------------------------------------------------------------------------------- */

enum { SESSIONS = 40 };

/* Sessions that stay at a server each, and read at one pace: how many of each server leave in one
 * round, in which each looks at one of the others; all go by the figures of before. */
static uint32_t look_round(enum balance balance, struct balance_node nodes[3], uint32_t count,
                           uint32_t at[SESSIONS], struct random *random)
{
    uint32_t moved = 0, sessions[3] = {0};
    for (uint32_t i = 0; i < SESSIONS; i++) {
        sessions[at[i]]++;
    }
    for (uint32_t node = 0; node < count; node++) {
        nodes[node].reads = sessions[node] * 1000;
        nodes[node].busy_milli = sessions[node] * 10;
        nodes[node].own_milli = sessions[node] == 0 ? 0 : 1000 / sessions[node];
    }
    for (uint32_t i = 0; i < SESSIONS; i++) {
        uint32_t to = (at[i] + 1 + (uint32_t)random_below(random, count - 1)) % count;
        if (balance_leaves(balance, &nodes[at[i]], &nodes[to], random)) {
            at[i] = to;
            moved++;
        }
    }
    return moved;
}

/* All are at the first server when the others come back; how many are at each, in the mean of what
 * comes behind the first rounds, and how many move in such a round. */
static double spread(enum balance balance, struct balance_node nodes[3], uint32_t count,
                     double ret_means[3])
{
    enum { ROUNDS = 2000, FIRST = 10 };
    struct random random = {11};
    uint32_t at[SESSIONS] = {0}, moved = 0;
    for (uint32_t round = 0; round < ROUNDS; round++) {
        uint32_t now = look_round(balance, nodes, count, at, &random);
        for (uint32_t i = 0; round >= FIRST && i < SESSIONS; i++) {
            ret_means[at[i]] += 1.0 / (ROUNDS - FIRST);
        }
        moved += round < FIRST ? 0 : now;
    }
    return (double)moved / (ROUNDS - FIRST);
}

static void expect_about(double found, double wanted, const char *what)
{
    cr_expect(found > wanted - 2 && found < wanted + 2, "%s: %.1f, wanted %.1f", what, found,
              wanted);
}

Test(balance, sessions_that_stay_spread_out_again)
{
    for (enum balance balance = BALANCE_LEAST_BUSY; balance <= BALANCE_ROUND_ROBIN; balance++) {
        struct balance_node nodes[3] = {idle, idle, idle};
        double means[3] = {0};
        double moved = spread(balance, nodes, 3, means);
        for (uint32_t node = 0; node < 3; node++) {
            expect_about(means[node], SESSIONS / 3.0, "a third each");
        }
        cr_expect(moved < SESSIONS * 0.15, "%.1f move in each round", moved);
    }
}

Test(balance, sessions_that_stay_keep_to_the_weights)
{
    for (enum balance balance = BALANCE_LEAST_BUSY; balance <= BALANCE_ROUND_ROBIN; balance++) {
        struct balance_node nodes[3] = {idle, idle, idle};
        double means[3] = {0};
        nodes[1].weight = 3;
        (void)spread(balance, nodes, 2, means);
        double share = balance == BALANCE_ROUND_ROBIN ? 0.5 : 0.75;
        expect_about(means[1], SESSIONS * share, "by the weights");
    }
}

Test(balance, a_half_moves_at_once_and_not_all)
{
    struct balance_node nodes[3] = {idle, idle, idle};
    struct random random = {5};
    uint32_t at[SESSIONS] = {0};
    uint32_t moved = look_round(BALANCE_LEAST_BUSY, nodes, 2, at, &random);
    cr_expect(moved > SESSIONS / 4 && moved < SESSIONS * 3 / 4, "%u", moved);
}

static uint32_t leave(enum balance balance, const struct balance_node *here,
                      const struct balance_node *there, uint32_t looks)
{
    struct random random = {17};
    uint32_t count = 0;
    for (uint32_t i = 0; i < looks; i++) {
        count += balance_leaves(balance, here, there, &random);
    }
    return count;
}

Test(balance, nobody_leaves_for_its_own_work)
{
    const uint32_t looks = 20000;
    for (enum balance balance = BALANCE_LEAST_BUSY; balance <= BALANCE_ROUND_ROBIN; balance++) {
        struct balance_node alone = {
            .weight = 1, .reads = 1000, .busy_milli = 400, .own_milli = 1000};
        struct balance_node two = {.weight = 1, .reads = 2000, .busy_milli = 800, .own_milli = 500};
        struct balance_node one = {.weight = 1, .reads = 1000, .busy_milli = 400};
        cr_expect_eq(leave(balance, &alone, &idle, looks), 0);
        cr_expect_eq(leave(balance, &two, &one, looks), 0, "each of three is with one or alone");
        expect_share(leave(balance, &two, &idle, looks), looks, 0.25, "one of two");
        two.own_milli = 0; /* there are many, elsewhere */
        expect_share(leave(balance, &two, &idle, looks), looks, 0.5, "one of many");
    }
}

Test(balance, nobody_leaves_for_what_is_not_better)
{
    struct random random = {3};
    for (enum balance balance = BALANCE_LEAST_BUSY; balance <= BALANCE_ROUND_ROBIN; balance++) {
        struct balance_node here = {.weight = 2, .reads = 200, .busy_milli = 200};
        struct balance_node even = {.weight = 2, .reads = 200, .busy_milli = 200};
        struct balance_node nothing = {.weight = 1};
        for (uint32_t i = 0; i < 1000; i++) {
            cr_assert_not(balance_leaves(balance, &here, &even, &random));
            cr_assert_not(balance_leaves(balance, &nothing, &nothing, &random));
        }
    }
    /* Few and slow, or many at it right now. */
    struct balance_node here = {.weight = 1, .busy_milli = 500};
    struct balance_node slow = {.weight = 1, .busy_milli = 100, .latency_us = 5000};
    struct balance_node busy = {.weight = 1, .busy_milli = 100, .busy = 1};
    for (uint32_t i = 0; i < 1000; i++) {
        cr_assert_not(balance_leaves(BALANCE_LEAST_BUSY, &here, &slow, &random));
        cr_assert_not(balance_leaves(BALANCE_LEAST_BUSY, &here, &busy, &random));
    }
    struct balance_node most = {.weight = LIMIT_WEIGHT_MAX,
                                .busy = 1000000,
                                .waiting = 1000000,
                                .busy_milli = UINT32_MAX,
                                .reads = UINT32_MAX};
    struct balance_node least = {.weight = 1, .latency_us = UINT32_MAX};
    for (enum balance balance = BALANCE_LEAST_BUSY; balance <= BALANCE_ROUND_ROBIN; balance++) {
        (void)balance_leaves(balance, &most, &least, &random);
        cr_assert_not(balance_leaves(balance, &least, &most, &random));
    }
}
