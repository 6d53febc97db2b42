#include "pool/pin_limit.h"

#include <stdatomic.h>
#include <string.h>

#include "base/assert.h"
#include "base/error.h"
#include "pool/account.h"
#include "pool/lend.h"
#include "pool/link.h"
#include "pool/pool.h"
#include "pool/session.h"
#include "pool/state.h"
#include "protocol/message.h"
#include "protocol/report.h"
#include "router/plan.h"

/* Which pin comes of what. */
static const struct {
    uint32_t leaves;
    uint8_t pin;
} rules[] = {
    {PLAN_TOUCH_TEMP, PIN_INDEX_TEMP},         {PLAN_TOUCH_ADVISORY, PIN_INDEX_ADVISORY},
    {PLAN_TOUCH_HOLD, PIN_INDEX_HOLD},         {PLAN_TOUCH_PREPARE, PIN_INDEX_PREPARE},
    {PLAN_TOUCH_LOAD, PIN_INDEX_LOAD},         {PLAN_TOUCH_SEED, PIN_INDEX_SEED},
    {PLAN_TOUCH_SEQUENCE, PIN_INDEX_SEQUENCE}, {PLAN_TOUCH_FORGETS, PIN_INDEX_SEQUENCE},
    {PLAN_TOUCH_NAMELESS, PIN_INDEX_NAMELESS},
};

bool pin_limit_is_reached(const struct session *session)
{
    const struct pool *pool = session->pool;
    return atomic_load(&pool->account->pinned) >= pool->limits.max_pinned;
}

/* In a transaction that has failed the server itself refuses whatever comes. */
static bool has_failed(const struct link *link)
{
    return link->status == 'E' && due_empty(&link->due);
}

uint32_t pin_limit_leaves(const struct session *session, const struct plan *plan)
{
    uint32_t without = session_virtual_statements(session) ? PLAN_TOUCH_PREPARE : 0;
    return plan->leaves & ~without;
}

uint8_t pin_limit_refuses(const struct session *session, uint32_t leaves)
{
    struct link *link = session->link;
    if (leaves == 0 || session->owns_link || session->pins != 0 ||
        (link == NULL ? !pin_limit_is_reached(session) : has_failed(link) || lend_may_pin(link))) {
        return 0;
    }
    for (uint32_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++) {
        if ((leaves & rules[i].leaves) != 0) {
            return rules[i].pin + 1;
        }
    }
    UNREACHABLE();
}

uint8_t pin_limit_refuses_large(const struct session *session)
{
    struct link *link = session->link;
    bool may =
        session->owns_link || session->pinned_us != 0 || has_failed(link) || lend_may_pin(link);
    return may ? 0 : PIN_COUNT + 1; /* behind those of pins.def */
}

uint32_t pin_limit_pins(uint32_t leaves)
{
    uint32_t pins = 0;
    for (uint32_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++) {
        pins |= (leaves & rules[i].leaves) != 0 ? UINT32_C(1) << rules[i].pin : 0;
    }
    return pins;
}

uint8_t pin_limit_of_query(struct engine *engine, const struct session *session,
                           const uint8_t *message, uint32_t body_bytes)
{
    const char *text = (const char *)message + MESSAGE_HEADER_BYTES;
    struct plan *plan = state_plan(engine, session, text, message_text_bytes(text, body_bytes));
    uint8_t refused = pin_limit_refuses(session, pin_limit_leaves(session, plan));
    plan_unref(plan);
    return refused;
}

struct report pin_limit_report(uint8_t refused)
{
    static const struct {
        const char *detail, *hint;
    } texts[] = {
#define PIN(name, text, avoid)                                                                 \
    {"The statement would pin the session (" text "), and pool.max_pinned others are pinned.", \
     "SHOW PINS in the admin database lists them. To do without: " avoid                       \
     "; or raise pool.max_pinned."},
#include "pool/pins.def"
#undef PIN
        {"The Parse is too large to be stored, so it would pin the session, and pool.max_pinned "
         "others are pinned.",
         "SHOW PINS in the admin database lists them. To do without: make it shorter than 1 MiB; "
         "or raise pool.max_pinned."},
    };
    ASSERT(refused > 0 && refused <= sizeof(texts) / sizeof(texts[0]));
    return (struct report){
        .code = ERR_PINNED, .detail = texts[refused - 1].detail, .hint = texts[refused - 1].hint};
}
