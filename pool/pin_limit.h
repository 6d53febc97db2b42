/* pool.max_pinned: a statement that would pin its session while as many are pinned as may be is
 * refused with 53300 and not run; the session lives on.
 *
 * Refused is what a plan shows before: temporary objects, locks, cursors WITH HOLD and the like. A
 * session without a link is told at once, one with a link through its server (pool/refusal.h). A
 * statement that is let through takes a place of the limit for its link before it runs
 * (lend_may_pin). What a function does shows only afterwards, and is not bound; but beyond the
 * limit its link counts in pool.size on (lend_pinned).
 */
#ifndef POOL_PIN_LIMIT_H
#define POOL_PIN_LIMIT_H

#include <stdbool.h>
#include <stdint.h>

struct engine;
struct plan;
struct report;
struct session;

/* Whether no further session of the pool may be pinned just now. */
bool pin_limit_is_reached(const struct session *session);

/* What a statement with this plan may leave: touches of enum plan_touch. A PREPARE that
 * pool/names.h understands leaves nothing. */
uint32_t pin_limit_leaves(const struct session *session, const struct plan *plan);

/* Why a statement that may leave this may not run: the pin's index + 1; 0: it may, and the
 * session's link (if it has one) has a place for it. */
uint8_t pin_limit_refuses(const struct session *session, uint32_t leaves);

/* The same for a Parse that is too large to be stored. */
uint8_t pin_limit_refuses_large(const struct session *session);

/* The same for the body of a Query. */
uint8_t pin_limit_of_query(struct engine *engine, const struct session *session,
                           const uint8_t *message, uint32_t body_bytes);

/* The pins (PIN_*) that come of what a plan leaves. */
uint32_t pin_limit_pins(uint32_t leaves);

/* What the client is told; `refused` is what pin_limit_refuses has returned. Static texts. */
struct report pin_limit_report(uint8_t refused);

#endif
