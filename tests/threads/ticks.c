/* What engines read of router/ticks.h while the control thread writes it.
 *
 * A primary whose WAL grows, a replica that follows it, one thread that polls both, and sessions
 * that write and read as engines do. ThreadSanitizer has nothing to say of it; and if the numbers
 * were not taken before the polls, or records could be read by halves, the counts that are printed
 * would not be 0.
 */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/assert.h"
#include "router/ticks.h"

enum { NODE = 3, SESSIONS = 3, ROUNDS = 30000, SERVED_MIN = 1000, LSN_STEP = 8 };

struct world {
    struct ticks *ticks;
    _Atomic uint64_t primary, replica; /* inserted, replayed */
    atomic_uint running;
    atomic_uint stale, torn, back, served;
};

static void *poll_both(void *argument)
{
    struct world *world = argument;
    uint64_t us = 0;
    while (atomic_load(&world->running) > 0) {
        uint64_t number = ticks_start(world->ticks);
        ticks_answered(world->ticks, number, atomic_load(&world->primary));
        uint64_t number_at = ticks_start_at(world->ticks, NODE);
        uint64_t lsn = atomic_load(&world->replica);
        const struct ticks_replayed answer = {lsn, number_at, ++us, (uint32_t)(number_at + 5), 0};
        /* All of one answer can be told from the others by its number. */
        ASSERT(us == number_at && ticks_answered_at(world->ticks, NODE, &answer));
    }
    return NULL;
}

static void *replay(void *argument)
{
    struct world *world = argument;
    while (atomic_load(&world->running) > 0) {
        atomic_store(&world->replica, atomic_load(&world->primary));
    }
    return NULL;
}

static void read_replica(struct world *world, uint64_t written, uint64_t need,
                         struct ticks_replayed *last)
{
    struct ticks_replayed found;
    uint64_t bound = 0;
    if (!ticks_bound(world->ticks, need, &bound) || !ticks_replayed(world->ticks, NODE, &found)) {
        return;
    }
    atomic_fetch_add(&world->stale, bound < written);
    atomic_fetch_add(&world->torn,
                     found.asked_us != found.number || found.incarnation != found.number + 5);
    atomic_fetch_add(&world->back, found.lsn < last->lsn || found.number < last->number);
    if (found.lsn >= bound) {
        atomic_fetch_add(&world->served, 1);
        atomic_fetch_add(&world->stale, atomic_load(&world->replica) < written);
    }
    *last = found;
}

static void *be_session(void *argument)
{
    struct world *world = argument;
    struct ticks_replayed last = {0};
    uint64_t strong = 0;
    for (int i = 0; i < ROUNDS || atomic_load(&world->served) < SERVED_MIN; i++) {
        uint64_t written = atomic_fetch_add(&world->primary, LSN_STEP) + LSN_STEP;
        uint64_t need = ticks_next(world->ticks);
        ticks_note_write(world->ticks);
        (void)ticks_want(world->ticks, need);
        atomic_fetch_add(&world->back, ticks_strong(world->ticks) < need || strong > need);
        strong = need;
        if (i % 16 == 0) {
            sched_yield(); /* there may be fewer processors than threads */
        }
        for (int k = 0; k < 10; k++) {
            read_replica(world, written, need, &last);
        }
    }
    atomic_fetch_sub(&world->running, 1);
    return NULL;
}

int main(void)
{
    struct world world = {.ticks = ticks_new(0), .running = SESSIONS};
    pthread_t threads[SESSIONS + 2];
    pthread_create(&threads[0], NULL, poll_both, &world);
    pthread_create(&threads[1], NULL, replay, &world);
    for (int i = 0; i < SESSIONS; i++) {
        pthread_create(&threads[2 + i], NULL, be_session, &world);
    }
    for (int i = 0; i < SESSIONS + 2; i++) {
        pthread_join(threads[i], NULL);
    }
    ticks_unref(world.ticks);
    printf("%u reads of the replica, %u stale, %u torn, %u that went back\n", world.served,
           world.stale, world.torn, world.back);
    return world.stale + world.torn + world.back == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
