#include "router/causal.h"

#include <criterion/criterion.h>

#include "router/nodes.h"
#include "router/ticks.h"

enum { ONE = 1, OTHER = 2, THIRD = 3, RUN = 4 };

static void poll_primary(struct ticks *ticks, uint64_t lsn)
{
    ticks_answered(ticks, ticks_start(ticks), lsn);
}

static void poll_replica(struct ticks *ticks, uint32_t node, uint64_t lsn, uint64_t asked_us,
                         uint32_t incarnation)
{
    const struct ticks_replayed answer = {lsn, ticks_start_at(ticks, node), asked_us, incarnation,
                                          0};
    cr_assert(ticks_answered_at(ticks, node, &answer));
}

static void read_replica(struct causal *causal, struct ticks *ticks, uint32_t node,
                         uint32_t incarnation, uint64_t now_us)
{
    causal_ask_replica(causal, ticks, node);
    causal_at_replica(causal, ticks, node, incarnation, now_us);
}

Test(causal, who_has_seen_nothing_may_read_anywhere)
{
    struct ticks *ticks = ticks_new(0);
    struct causal causal;
    causal_init(&causal);
    cr_assert(causal_settle(&causal, ticks));
    cr_assert(causal_may_read(&causal, ticks, ONE), "though nothing is known of it");
    cr_assert(causal_may_use(&causal, ticks, ONE, RUN, 1000));
    ticks_unref(ticks);
}

Test(causal, a_write_is_read_where_its_poll_is_replayed)
{
    struct ticks *ticks = ticks_new(0);
    struct causal causal;
    causal_init(&causal);
    poll_replica(ticks, ONE, 500, 10, RUN);
    causal_at_primary(&causal, ticks);
    cr_assert(!causal_settle(&causal, ticks), "not polled since");
    poll_primary(ticks, 600);
    cr_assert(causal_settle(&causal, ticks));
    cr_assert(!causal_may_read(&causal, ticks, ONE), "it has replayed 500");
    poll_replica(ticks, ONE, 600, 20, RUN);
    cr_assert(causal_may_read(&causal, ticks, ONE));
    cr_assert(!causal_may_read(&causal, ticks, OTHER), "nothing is known of it");
    cr_assert(causal_may_use(&causal, ticks, ONE, RUN, 19));
    cr_assert(!causal_may_use(&causal, ticks, ONE, RUN, 20),
              "it was opened too late for that poll");
    cr_assert(!causal_may_use(&causal, ticks, ONE, RUN - 1, 19), "it is of an earlier run");
    ticks_unref(ticks);
}

Test(causal, what_one_replica_has_shown_the_other_must_have)
{
    struct ticks *ticks = ticks_new(0);
    struct causal causal;
    causal_init(&causal);
    poll_replica(ticks, ONE, 500, 10, RUN);
    poll_replica(ticks, OTHER, 500, 10, RUN);
    read_replica(&causal, ticks, ONE, RUN, 11);
    cr_assert(causal_may_read(&causal, ticks, ONE));
    cr_assert(causal_may_use(&causal, ticks, ONE, RUN, 10), "it was open when that was read");
    cr_assert(!causal_may_use(&causal, ticks, ONE, RUN, 12), "it may be of a run that lacks it");
    cr_assert(!causal_may_read(&causal, ticks, OTHER), "who knows what was shown");
    poll_replica(ticks, ONE, 510, 12, RUN);
    cr_assert(!causal_may_read(&causal, ticks, OTHER), "510 may have been");
    poll_replica(ticks, OTHER, 510, 13, RUN);
    cr_assert(causal_may_read(&causal, ticks, OTHER));
    ticks_unref(ticks);
}

Test(causal, what_a_run_that_is_over_has_shown_the_primary_tells)
{
    struct ticks *ticks = ticks_new(0);
    struct causal causal;
    causal_init(&causal);
    read_replica(&causal, ticks, ONE, RUN, 11);
    poll_replica(ticks, ONE, 400, 12, RUN + 1);
    poll_replica(ticks, OTHER, 500, 12, RUN);
    cr_assert(!causal_may_read(&causal, ticks, OTHER));
    cr_assert(!causal_settle(&causal, ticks), "the next poll of the primary is needed");
    poll_primary(ticks, 500);
    cr_assert(causal_settle(&causal, ticks));
    cr_assert(causal_may_read(&causal, ticks, OTHER));
    cr_assert(!causal_may_read(&causal, ticks, ONE), "it has gone back to 400");
    ticks_unref(ticks);
}

Test(causal, what_a_replica_that_is_gone_has_shown_the_primary_tells)
{
    struct ticks *ticks = ticks_new(0);
    struct causal causal;
    causal_init(&causal);
    poll_replica(ticks, ONE, 500, 10, RUN);
    poll_replica(ticks, OTHER, 520, 10, RUN);
    poll_replica(ticks, THIRD, 490, 10, RUN);
    read_replica(&causal, ticks, ONE, RUN, 11);
    ticks_forget_at(ticks, ONE); /* and nobody hears of it any more */
    cr_assert(!causal_may_read(&causal, ticks, OTHER));
    cr_assert(!causal_may_read(&causal, ticks, THIRD), "nor is one that is looked at next");
    cr_assert(!causal_settle(&causal, ticks), "the next poll of the primary is needed");
    poll_primary(ticks, 520);
    cr_assert(causal_settle(&causal, ticks));
    cr_assert(causal_may_read(&causal, ticks, OTHER));
    ticks_unref(ticks);
}

Test(causal, a_replica_that_was_lost_may_have_gone_back)
{
    struct ticks *ticks = ticks_new(0);
    struct causal causal;
    causal_init(&causal);
    poll_replica(ticks, ONE, 500, 10, RUN);
    read_replica(&causal, ticks, ONE, RUN, 11); /* it may have shown more by then */
    ticks_forget_at(ticks, ONE);                /* a crash that its postmaster survived */
    poll_replica(ticks, ONE, 450, 20, RUN);
    poll_replica(ticks, OTHER, 450, 20, RUN);
    cr_assert(!causal_may_use(&causal, ticks, ONE, RUN, 15), "opened since, and it shows 450");
    cr_assert(causal_may_use(&causal, ticks, ONE, RUN, 5), "it has survived: no crash");
    cr_assert(!causal_may_read(&causal, ticks, OTHER));
    cr_assert(!causal_settle(&causal, ticks), "the next poll of the primary is needed");
    poll_primary(ticks, 520);
    poll_replica(ticks, ONE, 520, 30, RUN);
    cr_assert(causal_settle(&causal, ticks));
    cr_assert(causal_may_read(&causal, ticks, ONE) && causal_may_use(&causal, ticks, ONE, RUN, 15));
    cr_assert(!causal_may_read(&causal, ticks, OTHER));
    ticks_unref(ticks);
}

Test(causal, an_answer_that_is_read_late_may_be_of_before_the_crash)
{
    struct ticks *ticks = ticks_new(0);
    struct causal causal;
    causal_init(&causal);
    poll_replica(ticks, ONE, 500, 10, RUN);
    causal_ask_replica(&causal, ticks, ONE);
    ticks_forget_at(ticks, ONE);
    causal_at_replica(&causal, ticks, ONE, RUN, 11);
    poll_replica(ticks, ONE, 450, 20, RUN);
    poll_replica(ticks, OTHER, 450, 20, RUN);
    cr_assert(!causal_may_use(&causal, ticks, ONE, RUN, 15));
    cr_assert(!causal_may_read(&causal, ticks, OTHER));
    cr_assert(!causal_settle(&causal, ticks), "the next poll of the primary is needed");
    ticks_unref(ticks);
}

Test(causal, an_eventual_read_does_not_keep_the_session_at_a_late_replica)
{
    struct ticks *ticks = ticks_new(0);
    struct causal causal;
    causal_init(&causal);
    causal_at_primary(&causal, ticks);
    poll_primary(ticks, 600);
    poll_replica(ticks, ONE, 500, 10, RUN);
    cr_assert(causal_settle(&causal, ticks));
    causal_ask_replica(&causal, ticks, ONE);
    causal_at_any_replica(&causal, ticks, ONE, RUN, 11);
    cr_assert(!causal_may_read(&causal, ticks, ONE), "it has replayed 500");
    cr_assert(!causal_may_use(&causal, ticks, ONE, RUN, 5));
    poll_replica(ticks, ONE, 600, 20, RUN);
    cr_assert(causal_may_read(&causal, ticks, ONE) && causal_may_use(&causal, ticks, ONE, RUN, 5));
    ticks_unref(ticks);
}

Test(causal, an_eventual_read_elsewhere_does_not_take_back_what_was_seen)
{
    struct ticks *ticks = ticks_new(0);
    struct causal causal;
    causal_init(&causal);
    poll_replica(ticks, ONE, 500, 10, RUN);
    poll_replica(ticks, OTHER, 400, 10, RUN);
    read_replica(&causal, ticks, ONE, RUN, 11); /* it has shown 510 */
    causal_ask_replica(&causal, ticks, OTHER);
    causal_at_any_replica(&causal, ticks, OTHER, RUN, 12);
    poll_replica(ticks, OTHER, 410, 13, RUN);
    cr_assert(!causal_settle(&causal, ticks), "the next poll of the primary is needed");
    poll_primary(ticks, 510);
    cr_assert(causal_settle(&causal, ticks));
    cr_assert(!causal_may_read(&causal, ticks, OTHER), "410 is less than was seen");
    poll_replica(ticks, OTHER, 510, 14, RUN);
    cr_assert(causal_may_read(&causal, ticks, OTHER));
    ticks_unref(ticks);
}

Test(causal, an_eventual_read_elsewhere_leaves_a_bound_that_is_known)
{
    struct ticks *ticks = ticks_new(0);
    struct causal causal;
    causal_init(&causal);
    poll_replica(ticks, ONE, 500, 10, RUN);
    read_replica(&causal, ticks, ONE, RUN, 11);
    poll_replica(ticks, ONE, 510, 12, RUN);
    causal_ask_replica(&causal, ticks, OTHER);
    causal_at_any_replica(&causal, ticks, OTHER, RUN, 13);
    cr_assert(causal_settle(&causal, ticks), "no poll of the primary is needed");
    poll_replica(ticks, OTHER, 509, 14, RUN);
    cr_assert(!causal_may_read(&causal, ticks, OTHER));
    poll_replica(ticks, OTHER, 510, 15, RUN);
    cr_assert(causal_may_read(&causal, ticks, OTHER));
    ticks_unref(ticks);
}

Test(causal, its_own_write_counts_at_the_replica_that_it_stays_at)
{
    struct ticks *ticks = ticks_new(0);
    struct causal causal;
    causal_init(&causal);
    poll_replica(ticks, ONE, 500, 10, RUN);
    read_replica(&causal, ticks, ONE, RUN, 11);
    causal_at_primary(&causal, ticks);
    poll_primary(ticks, 600);
    cr_assert(causal_settle(&causal, ticks));
    cr_assert(!causal_may_read(&causal, ticks, ONE));
    cr_assert(!causal_may_use(&causal, ticks, ONE, RUN, 5));
    poll_replica(ticks, ONE, 601, 12, RUN);
    cr_assert(causal_may_read(&causal, ticks, ONE) && causal_may_use(&causal, ticks, ONE, RUN, 5));
    ticks_unref(ticks);
}

Test(causal, strong_reads_see_what_others_have_written)
{
    struct ticks *ticks = ticks_new(0);
    struct causal causal;
    causal_init(&causal);
    poll_primary(ticks, 100);
    ticks_note_write(ticks);
    causal_must_see(&causal, ticks_strong(ticks));
    cr_assert(!causal_settle(&causal, ticks));
    poll_primary(ticks, 200);
    poll_replica(ticks, ONE, 199, 10, RUN);
    cr_assert(causal_settle(&causal, ticks) && !causal_may_read(&causal, ticks, ONE));
    poll_replica(ticks, ONE, 200, 11, RUN);
    cr_assert(causal_may_read(&causal, ticks, ONE));
    ticks_unref(ticks);
}

Test(causal, what_is_to_be_polled_covers_what_was_seen)
{
    struct ticks *ticks = ticks_new(0);
    struct causal causal;
    causal_init(&causal);
    poll_replica(ticks, ONE, 500, 10, RUN);
    read_replica(&causal, ticks, ONE, RUN, 11);
    uint64_t next = ticks_next(ticks);
    cr_assert_eq(causal_wants(&causal, ticks, true), next);
    poll_primary(ticks, 505);
    cr_assert_eq(causal_wants(&causal, ticks, true), next, "once");
    poll_replica(ticks, ONE, 510, 12, RUN);
    poll_replica(ticks, OTHER, 505, 12, RUN);
    cr_assert(!causal_may_read(&causal, ticks, OTHER), "510 may have been seen");
    cr_assert_eq(causal_wants(&causal, ticks, true), ticks_next(ticks));
    read_replica(&causal, ticks, ONE, RUN, 13);
    cr_assert_eq(causal_wants(&causal, ticks, false), ticks_next(ticks));
    cr_assert(!causal_settle(&causal, ticks), "who has shown it is not polled");
    poll_primary(ticks, 520);
    poll_replica(ticks, OTHER, 520, 14, RUN);
    cr_assert(causal_settle(&causal, ticks) && causal_may_read(&causal, ticks, OTHER));
    causal_at_primary(&causal, ticks);
    cr_assert_eq(causal_wants(&causal, ticks, true), causal.need);
    poll_primary(ticks, 530);
    cr_assert(causal_settle(&causal, ticks));
    cr_assert_eq(causal_wants(&causal, ticks, true), causal.settled);
    ticks_unref(ticks);
}

/* --- an asynchronous fail-over: what the old primary had beyond 800 is lost ------------------- */

Test(causal, after_a_fail_over_the_new_primary_tells_what_must_be_seen)
{
    struct ticks *ticks = ticks_new(0);
    struct causal causal;
    causal_init(&causal);
    causal_at_primary(&causal, ticks);
    poll_primary(ticks, 900);
    cr_assert(causal_settle(&causal, ticks));
    ticks_void(ticks);
    causal_at_primary(&causal, ticks); /* it has read at the new one */
    cr_assert(!causal_settle(&causal, ticks));
    poll_primary(ticks, 800);
    poll_replica(ticks, ONE, 800, 20, RUN);
    poll_replica(ticks, OTHER, 799, 20, RUN);
    cr_assert(causal_settle(&causal, ticks));
    cr_assert(causal_may_read(&causal, ticks, ONE), "it shows all that there is");
    cr_assert(!causal_may_read(&causal, ticks, OTHER), "what has survived must be seen");
    ticks_unref(ticks);
}

Test(causal, after_a_fail_over_a_bound_that_was_known_counts_no_more)
{
    struct ticks *ticks = ticks_new(0);
    struct causal causal;
    causal_init(&causal);
    causal_at_primary(&causal, ticks);
    poll_primary(ticks, 700);
    cr_assert(causal_settle(&causal, ticks)); /* 700 has survived */
    ticks_void(ticks);
    poll_primary(ticks, 800);
    poll_replica(ticks, ONE, 799, 20, RUN);
    cr_assert(causal_settle(&causal, ticks), "nothing is open");
    cr_assert(!causal_may_read(&causal, ticks, ONE), "who knows of which WAL that bound was");
    cr_assert(!causal_settle(&causal, ticks), "the next poll of the primary is needed");
    poll_primary(ticks, 801);
    cr_assert(causal_settle(&causal, ticks) && !causal_may_read(&causal, ticks, ONE));
    poll_replica(ticks, ONE, 801, 30, RUN);
    cr_assert(causal_may_read(&causal, ticks, ONE) && causal_may_use(&causal, ticks, ONE, RUN, 29));
    ticks_unref(ticks);
}

Test(causal, after_a_fail_over_what_the_old_primary_has_answered_is_asked_anew)
{
    struct ticks *ticks = ticks_new(0);
    struct causal causal, strong;
    causal_init(&causal);
    causal_init(&strong);
    causal_at_primary(&causal, ticks);
    ticks_note_write(ticks);
    poll_primary(ticks, 900); /* before it was looked at */
    ticks_void(ticks);
    causal_must_see(&strong, ticks_strong(ticks));
    cr_assert(!causal_settle(&causal, ticks) && !causal_settle(&strong, ticks));
    cr_assert_eq(causal.need, ticks_next(ticks), "what is to be asked for");
    poll_primary(ticks, 800);
    poll_replica(ticks, ONE, 800, 20, RUN);
    cr_assert(causal_settle(&causal, ticks) && causal_may_read(&causal, ticks, ONE));
    cr_assert(causal_settle(&strong, ticks) && causal_may_read(&strong, ticks, ONE));
    causal_must_see(&strong, ticks_strong(ticks));
    cr_assert(causal_settle(&strong, ticks), "once is enough");
    ticks_unref(ticks);
}

/* What it has seen since at a replica of the new primary is not lost with the bound of before. */
Test(causal, after_a_fail_over_reads_stay_monotonic)
{
    struct ticks *ticks = ticks_new(0);
    struct causal causal;
    causal_init(&causal);
    causal_at_primary(&causal, ticks);
    poll_primary(ticks, 900);
    poll_replica(ticks, ONE, 900, 10, RUN);
    cr_assert(causal_settle(&causal, ticks) && causal_may_read(&causal, ticks, ONE));
    read_replica(&causal, ticks, ONE, RUN, 11);
    ticks_void(ticks);
    ticks_forget_at(ticks, ONE);
    poll_primary(ticks, 800);
    cr_assert(causal_may_read(&causal, ticks, ONE), "it has shown that");
    read_replica(&causal, ticks, ONE, RUN, 21); /* it has shown 950 */
    poll_replica(ticks, ONE, 950, 22, RUN);
    poll_replica(ticks, OTHER, 940, 22, RUN);
    cr_assert(!causal_may_read(&causal, ticks, OTHER));
    cr_assert(!causal_settle(&causal, ticks), "the next poll of the primary is needed");
    poll_primary(ticks, 960);
    poll_replica(ticks, OTHER, 960, 30, RUN);
    cr_assert(causal_settle(&causal, ticks) && causal_may_read(&causal, ticks, OTHER));
    ticks_unref(ticks);
}
