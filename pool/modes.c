#include "pool/modes.h"

#include <string.h>
#include <strings.h>

#include "pool/core.h"
#include "pool/link.h"
#include "pool/pool.h"
#include "pool/session.h"
#include "pool/settings.h"
#include "protocol/frontend.h"
#include "protocol/message.h"

/* How long an answer is believed. */
#define ASK_US (60 * 1000000ULL)

static const char default_isolation[] = "default_transaction_isolation";

/* By its name; PLAN_ISOLATION_DEFAULT: it is none. */
static enum plan_isolation isolation_named(const char *name, size_t len)
{
    static const char *const names[] = {"", "read uncommitted", "read committed", "repeatable read",
                                        "serializable"};
    enum plan_isolation found = PLAN_ISOLATION_DEFAULT;
    for (uint32_t i = 1; i < sizeof(names) / sizeof(names[0]); i++) {
        if (strlen(names[i]) == len && strncasecmp(name, names[i], len) == 0) {
            found = (enum plan_isolation)i;
        }
    }
    return found;
}

static bool is_fresh(const struct engine *engine, const struct pool *pool)
{
    return pool->isolation_term == pool->term && engine->now_us < pool->isolation_due_us;
}

enum plan_isolation modes_isolation(const struct engine *engine, const struct session *session)
{
    const struct pool *pool = session->pool;
    if (session->begin_modes.isolation != PLAN_ISOLATION_DEFAULT) {
        return (enum plan_isolation)session->begin_modes.isolation;
    }
    const char *own = settings_get(session->settings, default_isolation);
    if (own != NULL) {
        return isolation_named(own, strlen(own));
    }
    return is_fresh(engine, pool) ? (enum plan_isolation)pool->isolation : PLAN_ISOLATION_DEFAULT;
}

static bool is_on(const char *value)
{
    return strcasecmp(value, "on") == 0 || strcasecmp(value, "true") == 0 ||
           strcasecmp(value, "yes") == 0 || strcmp(value, "1") == 0;
}

bool modes_read_only(const struct session *session)
{
    static const char name[] = "default_transaction_read_only";
    if (session->begin_modes.read_only != PLAN_CHOICE_DEFAULT) {
        return session->begin_modes.read_only == PLAN_CHOICE_YES;
    }
    const char *value = settings_get(session->settings, name);
    if (value == NULL) {
        value = pool_reported(session->pool, name);
    }
    return value != NULL && is_on(value);
}

/* --- asking ----------------------------------------------------------------------------------- */

bool modes_ask(const struct engine *engine, const struct session *session)
{
    return session->routing != NULL && session->lender == session->pool &&
           session->begin_modes.isolation == PLAN_ISOLATION_DEFAULT &&
           settings_get(session->settings, default_isolation) == NULL &&
           !is_fresh(engine, session->pool);
}

/* Who begins before the answer is here goes by the last one, if it is of this server. */
void modes_write(struct engine *engine, const struct session *session)
{
    struct pool *pool = session->pool;
    if (pool->isolation_term == pool->term && pool->isolation != PLAN_ISOLATION_DEFAULT) {
        pool->isolation_due_us = engine->now_us + ASK_US;
    }
    frontend_parse(&engine->scratch, "", "SHOW transaction_isolation");
    frontend_bind(&engine->scratch, "", "");
    frontend_execute(&engine->scratch, "");
}

void modes_told(const struct engine *engine, struct link *link, const uint8_t *body,
                uint32_t body_bytes)
{
    struct pool *pool = link->pool;
    struct reader reader = reader_of(body, body_bytes);
    uint16_t columns = reader_u16(&reader);
    uint32_t len = reader_u32(&reader);
    const uint8_t *value = columns == 1 && len < body_bytes ? reader_bytes(&reader, len) : NULL;
    if (value == NULL || reader.failed || link->term != pool->term) {
        return;
    }
    pool->isolation = (uint8_t)isolation_named((const char *)value, len);
    pool->isolation_term = pool->term;
    pool->isolation_due_us = engine->now_us + ASK_US;
}

void modes_forget(struct pool *pool)
{
    pool->isolation = PLAN_ISOLATION_DEFAULT;
    pool->isolation_due_us = 0;
}
