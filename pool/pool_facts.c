#include "pool/pool_facts.h"

#include <stdatomic.h>
#include <string.h>

#include "base/assert.h"
#include "pool/account.h"
#include "pool/core.h"
#include "pool/settings.h"

/* How long facts are believed while the database is in use and nothing is seen to change. */
#define POLL_US (10 * 1000000ULL)

/* No account's ddl_count. */
#define NEVER UINT64_MAX

/* The action makes up for what is not known; without memory for it the next statement asks. */
static void ask(struct engine *engine, struct pool *pool)
{
    struct action *action = engine_action(engine, ACTION_ASK_CATALOG);
    if (action != NULL) {
        engine_action_names(action, pool->name, "");
        pool->facts.asked = true;
        atomic_store(&pool->facts.account->facts_due_us, engine->now_us + POLL_US);
    }
}

bool pool_facts_begin(struct engine *engine, struct pool *pool)
{
    struct pool_facts *facts = &pool->facts;
    facts->generation = NEVER;
    facts->account = shared_account(engine->shared, "facts", pool->name, "");
    return facts->account != NULL;
}

void pool_facts_forget(struct pool *pool)
{
    struct pool_facts *facts = &pool->facts;
    catalog_unref(facts->catalog);
    facts->catalog = NULL;
    facts->generation = NEVER;
    facts->asked = facts->failed = false;
    atomic_fetch_add(&facts->account->ddl_count, 1);
}

void pool_facts_options(struct pool *pool)
{
    pool->facts.has_login = pool->target == POOL_PRIMARY &&
                            (pool->database->service_user != NULL || pool->server->user != NULL);
}

void pool_facts_fini(struct pool *pool)
{
    catalog_unref(pool->facts.catalog);
    pool->facts.catalog = NULL;
}

static bool are_fresh(const struct pool_facts *facts)
{
    const struct account *account = facts->account;
    return atomic_load(&account->ddl_open) == 0 &&
           atomic_load(&account->ddl_count) == facts->generation;
}

enum pool_facts_state pool_facts_state(struct engine *engine, const struct session *session)
{
    const struct pool_facts *facts = &session->pool->facts;
    if (!facts->has_login) {
        return POOL_FACTS_NO_LOGIN;
    }
    if (!facts->asked || engine->now_us >= atomic_load_explicit(&facts->account->facts_due_us,
                                                                memory_order_relaxed)) {
        ask(engine, session->pool);
    }
    if (facts->failed) {
        return POOL_FACTS_FAILED;
    }
    if (facts->catalog == NULL) {
        return POOL_FACTS_ASKED;
    }
    return session->changes_facts || !are_fresh(facts) ? POOL_FACTS_CHANGING : POOL_FACTS_KNOWN;
}

struct facts pool_facts_look(struct engine *engine, const struct session *session,
                             struct plan *plan)
{
    enum pool_facts_state state = pool_facts_state(engine, session);
    if (state == POOL_FACTS_KNOWN) {
        return facts_of(session->pool->facts.catalog, plan);
    }
    return state < POOL_FACTS_ASKED ? facts_of(NULL, plan) : facts_unknown(plan);
}

void pool_facts_change(struct session *session)
{
    if (!session->changes_facts) {
        session->changes_facts = true;
        atomic_fetch_add(&session->pool->facts.account->ddl_open, 1);
    }
}

void pool_facts_changed(struct engine *engine, struct session *session)
{
    struct account *account = session->pool->facts.account;
    ASSERT(session->changes_facts);
    session->changes_facts = false;
    atomic_fetch_add(&account->ddl_count, 1);
    atomic_fetch_sub(&account->ddl_open, 1);
    if (session->pool->facts.has_login) {
        ask(engine, session->pool);
    }
}

void pool_facts_customs(struct engine *engine, struct session *session)
{
    const struct catalog *catalog = session->pool->facts.catalog;
    for (uint32_t i = 0; catalog != NULL && i < catalog->custom_count; i++) {
        if (settings_get(session->custom, catalog->customs[i]) == NULL) {
            settings_set(&engine->settings, &session->custom, catalog->customs[i], "");
        }
    }
}

void pool_facts_take(struct engine *engine, const char *database, struct catalog *catalog,
                     uint64_t generation)
{
    LIST_EACH (&engine->pool_list, node) {
        struct pool *pool = CONTAINER_OF(node, struct pool, listed);
        struct pool_facts *facts = &pool->facts;
        if (strcmp(pool->name, database) != 0 || !facts->has_login) {
            continue;
        }
        facts->asked = true;
        facts->failed = catalog == NULL && facts->catalog == NULL;
        facts->generation = catalog == NULL ? NEVER : generation;
        if (catalog != NULL) {
            catalog_ref(catalog);
            catalog_unref(facts->catalog);
            facts->catalog = catalog;
        }
    }
}
