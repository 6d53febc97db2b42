#include "router/ticks.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "base/assert.h"
#include "base/limits.h"

/* Places: of the primary's answers, twice what is kept, so that a reader of the oldest has time;
 * and of a replica's. */
enum { RING = 2 * TICKS_KEPT, RECORDS = 4 };

struct record {
    _Atomic uint64_t lsn, number, asked_us, since;
    _Atomic uint32_t incarnation;
    atomic_bool counts;
};

/* One node, as a replica. */
struct replica {
    _Atomic uint64_t started;
    _Atomic uint64_t newest; /* record; the n-th ever stands at n modulo RECORDS */
    struct record records[RECORDS];
    uint64_t voided; /* the control thread's: polls up to this number don't count */
};

struct ticks {
    atomic_uint references;

    /* Written by engines. */
    _Alignas(64) _Atomic uint64_t wanted;
    _Atomic uint64_t strong, listeners, joined;
    uint64_t workers; /* all of them; set once */
    atomic_bool awake;

    /* Written by the control thread. */
    _Alignas(64) _Atomic uint64_t started;
    _Atomic uint64_t newest;     /* number that is answered */
    _Atomic uint64_t lsns[RING]; /* of poll n at n modulo RING */
    _Atomic uint64_t voided;     /* polls up to this number don't count */
    struct replica nodes[LIMIT_NODES];
};

/* A bit for each. */
static uint64_t mask_of(uint32_t workers)
{
    ASSERT(workers <= LIMIT_WORKERS && LIMIT_WORKERS <= 64);
    return workers == 64 ? UINT64_MAX : (UINT64_C(1) << workers) - 1;
}

/* --- the object ------------------------------------------------------------------------------- */

struct ticks *ticks_new(uint32_t workers)
{
    struct ticks *ticks = aligned_alloc(_Alignof(struct ticks), sizeof(*ticks));
    if (ticks == NULL) {
        return NULL;
    }
    *ticks = (struct ticks){.references = 1, .strong = 1, .workers = mask_of(workers)};
    return ticks;
}

struct ticks *ticks_ref(struct ticks *ticks)
{
    if (ticks != NULL) {
        unsigned before = atomic_fetch_add(&ticks->references, 1);
        ASSERT(before > 0);
    }
    return ticks;
}

void ticks_unref(struct ticks *ticks)
{
    if (ticks != NULL && atomic_fetch_sub(&ticks->references, 1) == 1) {
        free(ticks);
    }
}

/* --- for engines ------------------------------------------------------------------------------ */

/* Returns whether it has raised it. */
static bool raise_to(_Atomic uint64_t *number, uint64_t to)
{
    uint64_t seen = atomic_load(number);
    while (seen < to) {
        if (atomic_compare_exchange_weak(number, &seen, to)) {
            return true;
        }
    }
    return false;
}

uint64_t ticks_next(const struct ticks *ticks)
{
    return atomic_load(&ticks->started) + 1;
}

bool ticks_bound(const struct ticks *ticks, uint64_t need, uint64_t *ret_lsn)
{
    uint64_t newest = atomic_load(&ticks->newest), at = need, lsn = 0;
    while (newest >= need && need > 0) {
        if (newest - at >= TICKS_KEPT) {
            at = newest - TICKS_KEPT + 1;
        }
        lsn = atomic_load(&ticks->lsns[at % RING]);
        /* Poll at + RING is written there, after the one before it was published. */
        newest = atomic_load(&ticks->newest);
        if (newest < at + RING - 1) {
            break;
        }
    }
    if (newest < need) {
        return false;
    }
    *ret_lsn = lsn;
    return true;
}

/* Sets the worker's bit; it costs a load where it is set. */
static void set_bit(_Atomic uint64_t *bits, uint32_t worker)
{
    ASSERT(worker < LIMIT_WORKERS && LIMIT_WORKERS <= 64);
    uint64_t bit = UINT64_C(1) << worker;
    if ((atomic_load(bits) & bit) == 0) {
        atomic_fetch_or(bits, bit);
    }
}

void ticks_join(struct ticks *ticks, uint32_t worker)
{
    ticks_note_write(ticks);
    set_bit(&ticks->joined, worker);
}

void ticks_leave(struct ticks *ticks, uint32_t worker)
{
    atomic_fetch_and(&ticks->joined, ~(UINT64_C(1) << worker));
}

void ticks_note_write(struct ticks *ticks)
{
    raise_to(&ticks->strong, ticks_next(ticks));
}

uint64_t ticks_strong(const struct ticks *ticks)
{
    bool all = atomic_load(&ticks->joined) == ticks->workers;
    return all ? atomic_load(&ticks->strong) : ticks_next(ticks);
}

uint64_t ticks_next_at(const struct ticks *ticks, uint32_t node)
{
    ASSERT(node < LIMIT_NODES);
    return atomic_load(&ticks->nodes[node].started) + 1;
}

bool ticks_replayed(const struct ticks *ticks, uint32_t node, struct ticks_replayed *ret_replayed)
{
    ASSERT(node < LIMIT_NODES);
    const struct replica *replica = &ticks->nodes[node];
    struct ticks_replayed found;
    uint64_t at, newest = atomic_load(&replica->newest);
    bool counts;
    do {
        at = newest;
        const struct record *record = &replica->records[at % RECORDS];
        counts = atomic_load(&record->counts);
        found.lsn = atomic_load(&record->lsn);
        found.number = atomic_load(&record->number);
        found.asked_us = atomic_load(&record->asked_us);
        found.incarnation = atomic_load(&record->incarnation);
        found.since = atomic_load(&record->since);
        newest = atomic_load(&replica->newest);
    } while (newest >= at + RECORDS - 1); /* the next but few may be written there by now */
    if (counts) {
        *ret_replayed = found;
    }
    return counts;
}

uint64_t ticks_voided(const struct ticks *ticks)
{
    return atomic_load(&ticks->voided);
}

bool ticks_want(struct ticks *ticks, uint64_t need)
{
    return raise_to(&ticks->wanted, need) && !atomic_load(&ticks->awake) &&
           !atomic_exchange(&ticks->awake, true);
}

void ticks_unwant(struct ticks *ticks)
{
    atomic_store(&ticks->awake, false);
}

void ticks_listen(struct ticks *ticks, uint32_t worker)
{
    set_bit(&ticks->listeners, worker);
}

/* --- for the control thread: the primary ------------------------------------------------------ */

uint64_t ticks_start(struct ticks *ticks)
{
    return atomic_fetch_add(&ticks->started, 1) + 1;
}

/* Polls between that failed get this answer, too: it was asked for later. */
void ticks_answered(struct ticks *ticks, uint64_t number, uint64_t lsn)
{
    ASSERT(number <= atomic_load(&ticks->started));
    if (number <= atomic_load(&ticks->voided)) {
        return;
    }
    for (uint64_t at = atomic_load(&ticks->newest) + 1; at <= number; at++) {
        atomic_store(&ticks->lsns[at % RING], lsn);
        atomic_store(&ticks->newest, at);
    }
}

uint64_t ticks_newest(const struct ticks *ticks)
{
    return atomic_load(&ticks->newest);
}

uint64_t ticks_started(const struct ticks *ticks)
{
    return atomic_load(&ticks->started);
}

void ticks_void(struct ticks *ticks)
{
    atomic_store(&ticks->voided, atomic_load(&ticks->started));
}

/* --- for the control thread: replicas --------------------------------------------------------- */

uint64_t ticks_start_at(struct ticks *ticks, uint32_t node)
{
    ASSERT(node < LIMIT_NODES);
    return atomic_fetch_add(&ticks->nodes[node].started, 1) + 1;
}

static void publish(struct replica *replica, const struct ticks_replayed *answer, bool counts)
{
    uint64_t at = atomic_load(&replica->newest) + 1;
    struct record *record = &replica->records[at % RECORDS];
    atomic_store(&record->lsn, answer->lsn);
    atomic_store(&record->number, answer->number);
    atomic_store(&record->asked_us, answer->asked_us);
    atomic_store(&record->incarnation, answer->incarnation);
    atomic_store(&record->since, replica->voided + 1);
    atomic_store(&record->counts, counts);
    atomic_store(&replica->newest, at);
}

bool ticks_answered_at(struct ticks *ticks, uint32_t node, const struct ticks_replayed *answer)
{
    struct ticks_replayed last;
    ASSERT(node < LIMIT_NODES && answer->number <= atomic_load(&ticks->nodes[node].started));
    struct replica *replica = &ticks->nodes[node];
    if (answer->number <= replica->voided) {
        return false;
    }
    if (ticks_replayed(ticks, node, &last) && last.incarnation == answer->incarnation &&
        answer->lsn < last.lsn) {
        ticks_forget_at(ticks, node);
        return false;
    }
    publish(replica, answer, true);
    return true;
}

void ticks_forget_at(struct ticks *ticks, uint32_t node)
{
    static const struct ticks_replayed nothing = {0};
    struct ticks_replayed last;
    ASSERT(node < LIMIT_NODES);
    struct replica *replica = &ticks->nodes[node];
    /* No poll has this number: who was told it as the next one can see that it is void. */
    replica->voided = atomic_fetch_add(&replica->started, 1) + 1;
    if (ticks_replayed(ticks, node, &last)) {
        publish(replica, &nothing, false);
    }
}

/* --- for the control thread: wants ------------------------------------------------------------ */

uint64_t ticks_wanted(const struct ticks *ticks)
{
    return atomic_load(&ticks->wanted);
}

bool ticks_sleep(struct ticks *ticks, uint64_t wanted)
{
    atomic_store(&ticks->awake, false);
    if (atomic_load(&ticks->wanted) == wanted) {
        return true;
    }
    /* Whoever has found nobody awake meanwhile sends its ACTION_PROBE. */
    return atomic_exchange(&ticks->awake, true);
}

uint64_t ticks_take_listeners(struct ticks *ticks)
{
    return atomic_load(&ticks->listeners) == 0 ? 0 : atomic_exchange(&ticks->listeners, 0);
}
