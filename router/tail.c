#include "router/tail.h"

void tail_told(struct tail *tail, uint64_t inserted, uint64_t flushed, uint64_t asked_us)
{
    tail->flushed = flushed;
    if (flushed < tail->lsn) {
        tail->is_stuck = asked_us >= tail->due_us;
        return;
    }
    *tail = (struct tail){.flushed = flushed};
    if (flushed < inserted) {
        tail->lsn = inserted;
        tail->wait_us = TAIL_US;
        tail->due_us = asked_us + TAIL_US;
    }
}

void tail_committed(struct tail *tail, uint64_t now_us)
{
    if (!tail->is_stuck) {
        return; /* the connection has broken, and what was known went with it */
    }
    tail->is_stuck = false;
    tail->due_us = now_us + tail->wait_us;
    tail->wait_us = tail->wait_us < TAIL_MAX_US / 2 ? 2 * tail->wait_us : TAIL_MAX_US;
}

bool tail_holds_up(const struct tail *tail, uint64_t replayed)
{
    return tail->flushed <= replayed && replayed < tail->lsn;
}
