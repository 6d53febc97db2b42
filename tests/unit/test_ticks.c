#include "router/ticks.h"

#include <criterion/criterion.h>

enum { NODE = 3, INCARNATION = 7 };

/* A poll of the primary that is answered at once. */
static uint64_t poll_primary(struct ticks *ticks, uint64_t lsn)
{
    uint64_t number = ticks_start(ticks);
    ticks_answered(ticks, number, lsn);
    return number;
}

static bool poll_replica(struct ticks *ticks, uint64_t lsn, uint64_t asked_us)
{
    const struct ticks_replayed answer = {lsn, ticks_start_at(ticks, NODE), asked_us, INCARNATION,
                                          0};
    return ticks_answered_at(ticks, NODE, &answer);
}

Test(ticks, a_write_is_covered_by_the_first_poll_that_is_sent_after_it)
{
    struct ticks *ticks = ticks_new(0);
    uint64_t lsn = 0;
    uint64_t before = ticks_start(ticks); /* is under way while the write is acknowledged */
    uint64_t need = ticks_next(ticks);
    ticks_answered(ticks, before, 100);
    cr_assert(!ticks_bound(ticks, need, &lsn), "asked before the write");
    cr_assert_eq(ticks_start(ticks), need);
    cr_assert(!ticks_bound(ticks, need, &lsn), "not answered yet");
    ticks_answered(ticks, need, 200);
    cr_assert(ticks_bound(ticks, need, &lsn) && lsn == 200);
    poll_primary(ticks, 300);
    cr_assert(ticks_bound(ticks, need, &lsn) && lsn == 200, "its own poll's, not the newest");
    cr_assert(ticks_bound(ticks, before, &lsn) && lsn == 100);
    ticks_unref(ticks);
}

Test(ticks, no_need_is_no_bound)
{
    struct ticks *ticks = ticks_new(0);
    uint64_t lsn = 1;
    cr_assert(ticks_bound(ticks, 0, &lsn) && lsn == 0);
    for (uint64_t i = 1; i < 10 * TICKS_KEPT; i++) {
        poll_primary(ticks, i);
    }
    cr_assert(ticks_bound(ticks, 0, &lsn) && lsn == 0);
    ticks_unref(ticks);
}

Test(ticks, a_failed_poll_has_the_next_answer)
{
    struct ticks *ticks = ticks_new(0);
    uint64_t lsn = 0, need = ticks_next(ticks);
    poll_primary(ticks, 10);
    uint64_t failed = ticks_start(ticks);
    ticks_start(ticks); /* fails, too */
    poll_primary(ticks, 40);
    cr_assert(ticks_bound(ticks, failed, &lsn) && lsn == 40);
    cr_assert(ticks_bound(ticks, failed + 1, &lsn) && lsn == 40);
    cr_assert(ticks_bound(ticks, need, &lsn) && lsn == 10);
    cr_assert(!ticks_bound(ticks, ticks_next(ticks), &lsn));
    for (int i = 0; i < 10 * TICKS_KEPT; i++) {
        ticks_start(ticks); /* a long failure */
    }
    uint64_t last = poll_primary(ticks, 50);
    cr_assert(ticks_bound(ticks, last, &lsn) && lsn == 50);
    cr_assert(ticks_bound(ticks, failed, &lsn) && lsn == 50, "is kept no more");
    ticks_unref(ticks);
}

Test(ticks, what_is_kept_no_more_has_the_oldest_that_is)
{
    struct ticks *ticks = ticks_new(0);
    uint64_t lsn = 0;
    for (uint64_t i = 1; i <= 100 * TICKS_KEPT; i++) {
        cr_assert_eq(poll_primary(ticks, i * 10), i);
        uint64_t oldest = i > TICKS_KEPT ? i - TICKS_KEPT + 1 : 1;
        cr_assert(ticks_bound(ticks, oldest, &lsn) && lsn == oldest * 10);
        cr_assert(ticks_bound(ticks, 1, &lsn) && lsn == oldest * 10);
        cr_assert(ticks_bound(ticks, i, &lsn) && lsn == i * 10);
        cr_assert(!ticks_bound(ticks, i + 1, &lsn));
    }
    ticks_unref(ticks);
}

Test(ticks, what_a_former_primary_answers_does_not_count)
{
    struct ticks *ticks = ticks_new(0);
    uint64_t lsn = 0;
    poll_primary(ticks, 100);
    uint64_t late = ticks_start(ticks);
    cr_assert_eq(ticks_voided(ticks), 0);
    ticks_void(ticks);
    cr_assert_eq(ticks_voided(ticks), late);
    ticks_answered(ticks, late, 999);
    cr_assert(!ticks_bound(ticks, late, &lsn));
    cr_assert_eq(ticks_newest(ticks), late - 1);
    poll_primary(ticks, 150); /* the new one's */
    cr_assert(ticks_bound(ticks, late, &lsn) && lsn == 150);
    cr_assert(ticks_bound(ticks, 1, &lsn) && lsn == 100);
    ticks_unref(ticks);
}

Test(ticks, strong_reads_need_what_follows_the_last_write_of_all)
{
    struct ticks *ticks = ticks_new(0);
    uint64_t lsn = 0;
    cr_assert(!ticks_bound(ticks, ticks_strong(ticks), &lsn), "nothing is known yet");
    poll_primary(ticks, 10);
    cr_assert(ticks_bound(ticks, ticks_strong(ticks), &lsn) && lsn == 10);
    ticks_start(ticks);
    ticks_note_write(ticks);
    ticks_note_write(ticks);
    cr_assert_eq(ticks_strong(ticks), 3);
    ticks_answered(ticks, 2, 20);
    cr_assert(!ticks_bound(ticks, ticks_strong(ticks), &lsn));
    poll_primary(ticks, 30);
    cr_assert(ticks_bound(ticks, ticks_strong(ticks), &lsn) && lsn == 30);
    poll_primary(ticks, 40);
    cr_assert(ticks_bound(ticks, ticks_strong(ticks), &lsn) && lsn == 30);
    ticks_unref(ticks);
}

Test(ticks, what_a_replica_has_told)
{
    struct ticks *ticks = ticks_new(0);
    struct ticks_replayed found;
    cr_assert(!ticks_replayed(ticks, NODE, &found));
    for (uint64_t i = 1; i < 20; i++) {
        cr_assert_eq(ticks_next_at(ticks, NODE), i);
        cr_assert(poll_replica(ticks, i * 10, i));
        cr_assert(ticks_replayed(ticks, NODE, &found));
        cr_assert(found.lsn == i * 10 && found.asked_us == i && found.number == i &&
                  found.incarnation == INCARNATION);
    }
    cr_assert(!ticks_replayed(ticks, NODE - 1, &found) && !ticks_replayed(ticks, NODE + 1, &found));
    ticks_unref(ticks);
}

Test(ticks, what_is_forgotten_of_a_replica_counts_no_more)
{
    struct ticks *ticks = ticks_new(0);
    struct ticks_replayed found;
    poll_replica(ticks, 10, 1);
    const struct ticks_replayed late = {20, ticks_start_at(ticks, NODE), 2, INCARNATION, 0};
    ticks_forget_at(ticks, NODE);
    cr_assert(!ticks_replayed(ticks, NODE, &found));
    cr_assert(!ticks_answered_at(ticks, NODE, &late), "it was under way");
    cr_assert(!ticks_replayed(ticks, NODE, &found));
    cr_assert(poll_replica(ticks, 30, 3));
    cr_assert(ticks_replayed(ticks, NODE, &found) && found.lsn == 30);
    cr_assert(found.since == 4 && found.number == 4, "what was asked for before is lost");
    poll_replica(ticks, 30, 4);
    cr_assert(ticks_replayed(ticks, NODE, &found) && found.since == 4 && found.number == 5);
    ticks_unref(ticks);
}

Test(ticks, an_lsn_that_goes_back_is_forgotten)
{
    struct ticks *ticks = ticks_new(0);
    struct ticks_replayed found;
    cr_assert(poll_replica(ticks, 100, 1));
    cr_assert(poll_replica(ticks, 100, 2));
    cr_assert(!poll_replica(ticks, 99, 3));
    cr_assert(!ticks_replayed(ticks, NODE, &found));
    /* In another incarnation it may. */
    cr_assert(poll_replica(ticks, 100, 4));
    const struct ticks_replayed other = {50, ticks_start_at(ticks, NODE), 5, INCARNATION + 1, 0};
    cr_assert(ticks_answered_at(ticks, NODE, &other));
    cr_assert(ticks_replayed(ticks, NODE, &found) && found.lsn == 50);
    ticks_unref(ticks);
}

Test(ticks, only_the_first_want_has_to_tell)
{
    struct ticks *ticks = ticks_new(0);
    cr_assert(ticks_want(ticks, 1));
    cr_assert(!ticks_want(ticks, 1) && !ticks_want(ticks, 2));
    cr_assert_eq(ticks_wanted(ticks), 2);
    cr_assert(!ticks_sleep(ticks, 1), "more is wanted than was seen");
    cr_assert(!ticks_want(ticks, 3), "so it is awake");
    cr_assert(ticks_sleep(ticks, 3));
    cr_assert(!ticks_want(ticks, 3) && !ticks_want(ticks, 1), "that was seen");
    cr_assert_eq(ticks_wanted(ticks), 3);
    cr_assert(ticks_want(ticks, 4) && !ticks_want(ticks, 5));
    ticks_unwant(ticks);
    cr_assert(ticks_want(ticks, 6), "nobody has told of 4");
    ticks_unref(ticks);
}

Test(ticks, strong_reads_need_the_next_poll_until_all_workers_note_their_writes)
{
    struct ticks *ticks = ticks_new(2);
    ticks_join(ticks, 0);
    ticks_start(ticks);
    ticks_start(ticks);
    cr_assert_eq(ticks_strong(ticks), 3, "the other may have acknowledged something");
    ticks_join(ticks, 1);
    ticks_start(ticks);
    cr_assert_eq(ticks_strong(ticks), 3, "what it has, before it joined");
    ticks_note_write(ticks);
    cr_assert_eq(ticks_strong(ticks), 4);
    ticks_leave(ticks, 0);
    ticks_start(ticks);
    cr_assert_eq(ticks_strong(ticks), 5, "it acknowledges without noting");
    ticks_join(ticks, 0);
    cr_assert_eq(ticks_strong(ticks), 5);
    ticks_unref(ticks);
}

Test(ticks, who_listens_is_told_once)
{
    struct ticks *ticks = ticks_new(0);
    cr_assert_eq(ticks_take_listeners(ticks), 0);
    ticks_listen(ticks, 0);
    ticks_listen(ticks, 63);
    ticks_listen(ticks, 0);
    cr_assert_eq(ticks_take_listeners(ticks), (UINT64_C(1) << 63) | 1);
    cr_assert_eq(ticks_take_listeners(ticks), 0);
    ticks_unref(ticks);
}

Test(ticks, references)
{
    struct ticks *ticks = ticks_new(0);
    cr_assert_eq(ticks_ref(ticks), ticks);
    ticks_unref(ticks);
    cr_assert_eq(ticks_next(ticks), 1);
    ticks_unref(ticks);
    cr_assert_null(ticks_ref(NULL));
    ticks_unref(NULL);
}
