/* Deadlines over the caller's clock: a binary heap of intrusive timers.
 *
 * Times are microseconds of the caller's monotonic clock. Arming and disarming cost O(log n); a
 * deadline that only moves later is best left armed and looked at again when it fires.
 */
#ifndef BASE_TIMER_H
#define BASE_TIMER_H

#include <stdbool.h>
#include <stdint.h>

#define TIMER_NEVER UINT64_MAX

struct timer {
    uint64_t due_us;
    uint32_t position; /* in the heap, from 1; 0 = not armed */
};

struct timer_heap {
    struct timer **timers; /* [0] is unused */
    uint32_t count, capacity;
};

void timer_heap_init(struct timer_heap *heap);
void timer_heap_fini(struct timer_heap *heap);

static inline bool timer_armed(const struct timer *timer)
{
    return timer->position != 0;
}

/* Arms the timer or moves it. 0, or ERR_NO_MEMORY with the timer as it was. */
int timer_arm(struct timer_heap *heap, struct timer *timer, uint64_t due_us);

/* Harmless on a timer that is not armed. */
void timer_disarm(struct timer_heap *heap, struct timer *timer);

/* TIMER_NEVER when nothing is armed. */
uint64_t timer_next_us(const struct timer_heap *heap);

/* Takes out and returns a timer that is due at `now_us`, earliest first; NULL when none is. */
struct timer *timer_pop(struct timer_heap *heap, uint64_t now_us);

#endif
