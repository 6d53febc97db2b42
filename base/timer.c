#include "base/timer.h"

#include <stdlib.h>

#include "base/assert.h"
#include "base/error.h"

enum { TIMERS_MIN = 64 };

void timer_heap_init(struct timer_heap *heap)
{
    *heap = (struct timer_heap){0};
}

void timer_heap_fini(struct timer_heap *heap)
{
    free(heap->timers);
    timer_heap_init(heap);
}

static void put(struct timer_heap *heap, uint32_t position, struct timer *timer)
{
    heap->timers[position] = timer;
    timer->position = position;
}

static void sift_up(struct timer_heap *heap, uint32_t position)
{
    struct timer *timer = heap->timers[position];
    while (position > 1 && heap->timers[position / 2]->due_us > timer->due_us) {
        put(heap, position, heap->timers[position / 2]);
        position /= 2;
    }
    put(heap, position, timer);
}

static void sift_down(struct timer_heap *heap, uint32_t position)
{
    struct timer *timer = heap->timers[position];
    for (;;) {
        uint32_t child = position * 2;
        if (child > heap->count) {
            break;
        }
        if (child < heap->count && heap->timers[child + 1]->due_us < heap->timers[child]->due_us) {
            child++;
        }
        if (heap->timers[child]->due_us >= timer->due_us) {
            break;
        }
        put(heap, position, heap->timers[child]);
        position = child;
    }
    put(heap, position, timer);
}

static int grow(struct timer_heap *heap)
{
    uint32_t capacity = heap->capacity == 0 ? TIMERS_MIN : heap->capacity * 2;
    struct timer **timers = realloc(heap->timers, (capacity + 1) * sizeof(struct timer *));
    if (timers == NULL) {
        return ERR_NO_MEMORY;
    }
    heap->timers = timers;
    heap->capacity = capacity;
    return 0;
}

int timer_arm(struct timer_heap *heap, struct timer *timer, uint64_t due_us)
{
    if (timer_armed(timer)) {
        uint64_t before_us = timer->due_us;
        timer->due_us = due_us;
        if (due_us < before_us) {
            sift_up(heap, timer->position);
        } else {
            sift_down(heap, timer->position);
        }
        return 0;
    }
    if (heap->count == heap->capacity) {
        int code = grow(heap);
        if (code != 0) {
            return code;
        }
    }
    timer->due_us = due_us;
    put(heap, ++heap->count, timer);
    sift_up(heap, timer->position);
    return 0;
}

void timer_disarm(struct timer_heap *heap, struct timer *timer)
{
    uint32_t position = timer->position;
    if (position == 0) {
        return;
    }
    ASSERT(heap->timers[position] == timer);
    struct timer *last = heap->timers[heap->count--];
    timer->position = 0;
    if (last != timer) {
        put(heap, position, last);
        sift_up(heap, position);
        sift_down(heap, last->position);
    }
}

uint64_t timer_next_us(const struct timer_heap *heap)
{
    return heap->count == 0 ? TIMER_NEVER : heap->timers[1]->due_us;
}

struct timer *timer_pop(struct timer_heap *heap, uint64_t now_us)
{
    if (heap->count == 0 || heap->timers[1]->due_us > now_us) {
        return NULL;
    }
    struct timer *timer = heap->timers[1];
    timer_disarm(heap, timer);
    return timer;
}
