#include "router/tail.h"

#include <criterion/criterion.h>

#define MS UINT64_C(1000)
#define S UINT64_C(1000000)

Test(tail, is_stuck_if_it_is_not_flushed_after_a_while)
{
    struct tail tail = {0};
    tail_told(&tail, 500, 400, S);
    cr_assert(tail.lsn == 500 && tail.due_us == S + TAIL_US && !tail.is_stuck);
    tail_told(&tail, 500, 400, tail.due_us - 1);
    cr_assert(!tail.is_stuck);
    tail_told(&tail, 900, 499, tail.due_us);
    cr_assert(tail.is_stuck, "nobody commits, though more is inserted");
    cr_assert_eq(tail.lsn, 500);
    tail_told(&tail, 900, 500, tail.due_us + 1);
    cr_assert(!tail.is_stuck && tail.lsn == 900, "another one begins");
    tail_told(&tail, 900, 900, tail.due_us + 1);
    cr_assert(!tail.is_stuck && tail.lsn == 0);
}

Test(tail, is_never_stuck_where_somebody_commits)
{
    struct tail tail = {0};
    for (uint64_t at_us = S; at_us < 60 * S; at_us += 10 * MS) {
        uint64_t flushed_us = at_us - at_us % (250 * MS);
        tail_told(&tail, at_us, flushed_us, at_us);
        cr_assert(!tail.is_stuck);
    }
}

Test(tail, commits_that_do_not_help_come_ever_more_seldom)
{
    struct tail tail = {0};
    uint32_t commits = 0;
    for (uint64_t at_us = S; at_us < 101 * S; at_us += MS) {
        tail_told(&tail, 500, 400, at_us);
        if (tail.is_stuck) {
            tail_committed(&tail, at_us);
            commits++;
        }
        cr_assert(at_us > S + TAIL_US || commits <= 1);
    }
    cr_assert(commits >= 10 && commits <= 16, "%u", commits);
    tail_told(&tail, 600, 500, 101 * S);
    cr_assert_eq(tail.due_us, 101 * S + TAIL_US, "the next one begins from the start");
}

Test(tail, holds_up_who_has_all_the_rest)
{
    struct tail tail = {0};
    cr_assert(!tail_holds_up(&tail, 0));
    tail_told(&tail, 500, 400, S);
    cr_assert(!tail_holds_up(&tail, 399), "it is behind what was sent to it, too");
    cr_assert(tail_holds_up(&tail, 400));
    cr_assert(!tail_holds_up(&tail, 500));
}
