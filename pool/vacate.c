#include "pool/vacate.h"

#include <string.h>

#include "pool/account.h"
#include "pool/core.h"
#include "pool/letter.h"
#include "pool/link.h"
#include "pool/pool.h"
#include "pool/session.h"
#include "router/plan.h"

/* For so long min_idle is not kept: as long as the server waits, and a little more. */
enum { VACANT_US = 6 * 1000 * 1000 };

/* They close when they are free. */
static void spoil(struct list *links)
{
    LIST_EACH (links, node) {
        CONTAINER_OF(node, struct link, in_pool)->spoilt = true;
    }
}

static void vacate_pool(struct engine *engine, struct pool *pool)
{
    uint64_t vacant_us = engine->now_us + VACANT_US;
    pool->retry_at_us = pool->retry_at_us > vacant_us ? pool->retry_at_us : vacant_us;
    spoil(&pool->busy);
    spoil(&pool->dialing);
    while (!list_empty(&pool->idle)) {
        pool_close_idle(engine, pool, CONTAINER_OF(list_first(&pool->idle), struct link, in_pool));
    }
}

/* `host` is the number of the host's account, `name` the database's at the server. */
static void vacate(struct engine *engine, uint32_t host, const char *name)
{
    LIST_EACH (&engine->pool_list, node) {
        struct pool *pool = CONTAINER_OF(node, struct pool, listed);
        if (pool->host_account->number == host && strcmp(pool->server_dbname, name) == 0) {
            vacate_pool(engine, pool);
        }
    }
}

void vacate_before(struct engine *engine, const struct session *session, const struct plan *plan)
{
    uint32_t host = session->pool->host_account->number;
    if (plan->database == NULL || strcmp(plan->database, session->pool->server_dbname) == 0) {
        return; /* its own the server refuses */
    }
    for (uint32_t i = 0; i < shared_worker_count(engine->shared); i++) {
        if (i != engine->worker) {
            struct letter *letter = letter_new(LETTER_VACATE, host, plan->database, NULL);
            if (letter != NULL) { /* else the statement fails as it would without us */
                letter_post(engine, i, letter);
            }
        }
    }
    vacate(engine, host, plan->database);
}

void vacate_letter(struct engine *engine, const struct letter *letter)
{
    vacate(engine, letter->worker, letter->database);
}
