/* What holds on where given roles are to be found out from now on, or the other way round. */
#include <criterion/criterion.h>

#include "router/nodes.h"

#define MS UINT64_C(1000)

enum { SYSTEM = 7 };

static struct nodes fresh(bool discovers)
{
    const struct nodes_rules rules = {2, discovers, 10000 * MS, 0};
    struct nodes nodes;
    nodes_init(&nodes, &rules, 1);
    return nodes;
}

static void answers(struct nodes *nodes, uint32_t at, uint64_t now_ms, bool in_recovery,
                    uint32_t timeline)
{
    const struct node_answer answer = {.in_recovery = in_recovery,
                                       .has_lsn = true,
                                       .lsn = 1000,
                                       .timeline = timeline,
                                       .segment_bytes = 16 * 1024 * 1024,
                                       .system_id = SYSTEM,
                                       .started_us = at + 1,
                                       .asked_us = now_ms * MS,
                                       .answered_us = now_ms * MS + 500};
    nodes_answered(nodes, at, &answer);
}

/* Node 0 leads, on timeline 2. */
static struct nodes settled(bool discovers)
{
    struct nodes nodes = fresh(discovers);
    answers(&nodes, 0, 1, false, 2);
    answers(&nodes, 1, 1, true, 2);
    cr_assert_eq(nodes.primary, 0);
    return nodes;
}

/* The promoted server is silent meanwhile, and the old primary is back. */
Test(nodes_reload, a_timeline_that_was_heard_of_holds_on)
{
    for (int discovers = 0; discovers < 2; discovers++) {
        struct nodes before = settled(discovers == 0), nodes = fresh(discovers == 1);
        nodes_keep_timeline(&nodes, &before, (uint32_t[]){1, 0});
        nodes_failed(&nodes, 1, NODE_REFUSED, "refused", 2 * MS);
        answers(&nodes, 0, 3, false, 1);
        cr_expect_eq(nodes.primary, NODES_NONE, "it is on timeline 1");
        answers(&nodes, 1, 4, false, 2);
        cr_expect_eq(nodes.primary, discovers ? 1 : NODES_NONE, "a given one leads or nobody");
        answers(&nodes, 0, 5, false, 3);
        cr_expect_eq(nodes.primary, 0);
    }
}

Test(nodes_reload, with_none_of_the_servers_of_before_nothing_does)
{
    for (int discovers = 0; discovers < 2; discovers++) {
        struct nodes before = settled(discovers == 0), nodes = fresh(discovers == 1);
        nodes_keep_timeline(&nodes, &before, (uint32_t[]){NODES_NONE, NODES_NONE});
        answers(&nodes, 0, 2, false, 1);
        answers(&nodes, 1, 2, true, 1);
        cr_expect_eq(nodes.primary, 0);
    }
}
