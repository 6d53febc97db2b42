#include "base/timer.h"

#include <criterion/criterion.h>

#include "base/random.h"

Test(timer, an_empty_heap_is_never_due)
{
    struct timer_heap heap;
    timer_heap_init(&heap);
    cr_assert_eq(timer_next_us(&heap), TIMER_NEVER);
    cr_assert_null(timer_pop(&heap, TIMER_NEVER));
    timer_heap_fini(&heap);
}

Test(timer, is_due_on_its_microsecond)
{
    struct timer_heap heap;
    struct timer timer = {0};
    timer_heap_init(&heap);
    cr_assert_eq(timer_arm(&heap, &timer, 100), 0);
    cr_assert_null(timer_pop(&heap, 99));
    cr_assert(timer_armed(&timer));
    cr_assert_eq(timer_pop(&heap, 100), &timer);
    cr_assert(!timer_armed(&timer));
    cr_assert_null(timer_pop(&heap, 100));
    timer_heap_fini(&heap);
}

Test(timer, disarming_one_that_is_not_armed_is_harmless)
{
    struct timer_heap heap;
    struct timer timer = {0};
    timer_heap_init(&heap);
    timer_disarm(&heap, &timer);
    cr_assert_eq(timer_arm(&heap, &timer, 1), 0);
    timer_disarm(&heap, &timer);
    timer_disarm(&heap, &timer);
    cr_assert_eq(heap.count, 0);
    timer_heap_fini(&heap);
}

/* Against the plainest model: an array that is searched. */
Test(timer, agrees_with_a_model_over_random_changes)
{
    enum { TIMERS = 300 };
    static struct timer timers[TIMERS];
    static uint64_t due[TIMERS];
    struct random random = {2};
    struct timer_heap heap;
    uint64_t now = 0;
    timer_heap_init(&heap);
    for (int i = 0; i < TIMERS; i++) {
        due[i] = TIMER_NEVER;
    }
    for (int turn = 0; turn < 30000; turn++) {
        uint64_t which = random_below(&random, TIMERS), first = TIMER_NEVER;
        if (random_below(&random, 3) > 0) {
            due[which] = now + random_below(&random, 1000);
            cr_assert_eq(timer_arm(&heap, &timers[which], due[which]), 0);
        } else {
            due[which] = TIMER_NEVER;
            timer_disarm(&heap, &timers[which]);
        }
        for (int i = 0; i < TIMERS; i++) {
            first = due[i] < first ? due[i] : first;
        }
        cr_assert_eq(timer_next_us(&heap), first);
        if (turn % 50 == 0) {
            now += random_below(&random, 300);
            struct timer *timer;
            uint64_t before = 0;
            while ((timer = timer_pop(&heap, now)) != NULL) {
                cr_assert_eq(due[timer - timers], timer->due_us);
                cr_assert_geq(timer->due_us, before);
                before = timer->due_us;
                due[timer - timers] = TIMER_NEVER;
            }
            for (int i = 0; i < TIMERS; i++) {
                cr_assert(due[i] == TIMER_NEVER || due[i] > now);
            }
        }
    }
    timer_heap_fini(&heap);
}
