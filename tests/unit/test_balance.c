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
    const struct balance_node worst = {UINT32_MAX, UINT32_MAX, UINT32_MAX, 1};
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
