#include "pool/vacate.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/timer.h"
#include "pool/account.h"
#include "pool/core.h"
#include "pool/letter.h"
#include "pool/link.h"
#include "pool/pool.h"
#include "pool/session.h"
#include "router/plan.h"

/* For so long min_idle is not kept: as long as the server waits, and a little more. */
enum { VACANT_US = 6 * 1000 * 1000 };

enum { VACATE_FIRST_US = 100 * 1000, VACATE_AGAIN_US = 1000 * 1000 };

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
    if (engine->now_us < pool->vacate_after_us) {
        return;
    }
    pool->vacate_after_us = engine->now_us + VACATE_AGAIN_US;
    atomic_fetch_add(&pool->facts.account->vacates, 1);
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

/* All workers'. */
static void vacate_everywhere(struct engine *engine, uint32_t host, const char *name)
{
    for (uint32_t i = 0; i < shared_worker_count(engine->shared); i++) {
        if (i != engine->worker) {
            struct letter *letter = letter_new(LETTER_VACATE, host, name, NULL);
            if (letter != NULL) { /* else the statement fails as it would without us */
                letter_post(engine, i, letter);
            }
        }
    }
    vacate(engine, host, name);
}

/* How many replies of that kind the client awaits. */
static uint32_t awaited(const struct link *link, enum due_what what)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < link->due.count; i++) {
        const struct due_entry *entry = due_at(&link->due, i);
        count += entry->what == what && entry->kind != DUE_SWALLOW;
    }
    return count;
}

void vacate_before(struct engine *engine, struct session *session, const struct plan *plan)
{
    const struct link *link = session->link;
    if (plan->database == NULL || plan->statement_count != 1 || link->status != 'I' ||
        session->transaction_from_us != 0 || awaited(link, DUE_SYNC) > 0 ||
        strcmp(plan->database, session->pool->server_dbname) == 0) {
        return; /* its own the server refuses, and any in a transaction */
    }
    free(session->vacates);
    session->vacates = strdup(plan->database);
    session->vacates_from_us = engine->now_us;
    conn_wake_by(engine, &session->conn, engine->now_us + VACATE_FIRST_US);
}

/* Whether it is the only one of its batch, and not answered yet. */
static bool is_at_it(const struct session *session)
{
    const struct link *link = session->link;
    if (link == NULL || session->transaction_from_us != session->vacates_from_us) {
        return false;
    }
    uint32_t queries = awaited(link, DUE_QUERY), executed = awaited(link, DUE_EXECUTE);
    return (queries == 1 && executed == 0) ||
           (queries == 0 && executed == 1 && awaited(link, DUE_BIND) == 1);
}

uint64_t vacate_timer(struct engine *engine, struct session *session)
{
    if (session->vacates == NULL) {
        return TIMER_NEVER;
    }
    if (engine->now_us < session->vacates_from_us + VACATE_FIRST_US) {
        return session->vacates_from_us + VACATE_FIRST_US;
    }
    if (!is_at_it(session)) {
        free(session->vacates);
        session->vacates = NULL;
        return TIMER_NEVER;
    }
    vacate_everywhere(engine, session->pool->host_account->number, session->vacates);
    return engine->now_us + VACATE_AGAIN_US;
}

void vacate_letter(struct engine *engine, const struct letter *letter)
{
    vacate(engine, letter->worker, letter->database);
}
