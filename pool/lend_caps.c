#include "pool/lend_caps.h"

#include <stdint.h>

#include "base/list.h"
#include "pool/account.h"
#include "pool/core.h"
#include "pool/lend.h"
#include "pool/letter.h"
#include "pool/link.h"
#include "pool/pool.h"

bool lend_close_oldest(struct engine *engine, struct pool *pool)
{
    struct list *node = list_last(&pool->idle);
    if (node == NULL) {
        return false;
    }
    pool_close_idle(engine, pool, CONTAINER_OF(node, struct link, in_pool));
    return true;
}

/* Closes an idle link of the account's pool at this worker. */
static bool close_here(struct engine *engine, const struct account *account)
{
    struct pool *pool = pool_find(engine, account->first, account->second, account->target);
    return pool != NULL && lend_close_oldest(engine, pool);
}

/* The same at any worker: there it is asked for. */
static bool close_anywhere(struct engine *engine, const struct account *account)
{
    uint32_t workers = shared_worker_count(engine->shared);
    if (close_here(engine, account)) {
        return true;
    }
    for (uint32_t worker = 0; worker < workers; worker++) {
        if (worker != engine->worker && atomic_load(&account->idle[worker]) > 0) {
            letter_post(engine, worker, letter_about(LETTER_EVICT, worker, account));
            return true;
        }
    }
    return false;
}

void lend_evict(struct engine *engine, const struct pool *pool, const struct account *cap)
{
    const struct account *account = NULL;
    while ((account = shared_next_under(engine->shared, cap, account)) != NULL) {
        if (account != pool->account && close_anywhere(engine, account)) {
            return;
        }
    }
}

static void serve_under(struct engine *engine, const struct pool *pool, const struct account *cap)
{
    const struct account *account = NULL;
    while ((account = shared_next_under(engine->shared, cap, account)) != NULL) {
        if (account == pool->account || atomic_load(&account->tickets) == 0) {
            continue;
        }
        if (account->home != engine->worker) {
            letter_post(engine, account->home, letter_about(LETTER_FREED, engine->worker, account));
            continue;
        }
        struct pool *other = pool_find(engine, account->first, account->second, account->target);
        if (other != NULL) {
            lend_serve(engine, other);
        }
    }
}

void lend_serve_sharers(struct engine *engine, const struct pool *pool)
{
    if (pool->database_limit != 0) {
        serve_under(engine, pool, pool->database_account);
    }
    if (pool->user_limit != 0) {
        serve_under(engine, pool, pool->user_account);
    }
}
