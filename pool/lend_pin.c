/* Links of pinned sessions: they count beside the pool's size, up to max_pinned. */
#include "base/assert.h"
#include "pool/account.h"
#include "pool/lend.h"
#include "pool/link.h"
#include "pool/options.h"
#include "pool/pool.h"
#include "pool/session.h"

bool lend_may_pin(struct link *link)
{
    struct pool *pool = link->pool;
    unsigned pinned = atomic_load(&pool->account->pinned);
    do {
        if (link->pinned || link->may_pin) {
            return true;
        }
        if (pinned >= pool->limits.max_pinned) {
            return false;
        }
    } while (!atomic_compare_exchange_weak(&pool->account->pinned, &pinned, pinned + 1));
    link->may_pin = true;
    return true;
}

/* What shows only afterwards (what functions do) pins beyond pool.max_pinned, too: such a link
 * keeps its place in pool.size, so that there are never more than both together. */
void lend_pinned(struct engine *engine, struct link *link)
{
    struct pool *pool = link->pool;
    ASSERT(!link->pinned);
    if (!lend_may_pin(link)) {
        return; /* it is tried again behind each transaction */
    }
    link->pinned = true;
    link->may_pin = false;
    account_give_back(pool->account);
    lend_escalate(engine, pool, true);
    if (atomic_load(&pool->account->tickets) > 0) {
        lend_serve(engine, pool);
    }
}

void lend_pin_others(struct engine *engine, struct pool *pool)
{
    LIST_EACH (&pool->busy, node) {
        struct link *link = CONTAINER_OF(node, struct link, in_pool);
        if (link->owner != NULL && link->owner->pinned_us != 0 && !link->pinned) {
            lend_pinned(engine, link);
        }
    }
}

bool lend_unpinned(struct link *link)
{
    struct pool *pool = link->pool;
    if (link->pinned || link->may_pin) {
        atomic_fetch_sub(&pool->account->pinned, 1);
    }
    link->may_pin = false;
    if (!link->pinned) {
        return true;
    }
    link->pinned = false;
    return atomic_fetch_add(&pool->account->total, 1) < pool->limits.size;
}
