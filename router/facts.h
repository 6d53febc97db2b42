/* What a plan does, by the catalog: the one place where the two are put together.
 *
 * A plan without a catalog takes each function that isn't PostgreSQL's own for one that may do
 * anything (plan->class, plan->touches), and each relation for a plain table. With one:
 *
 *   touches = what the statement itself touches + what the functions and relations that it names
 *             may touch + what any statement may run (operators, casts ...)
 *   class   = read only if all of that neither writes nor is volatile nor touches anything
 *   local   = what the statement itself, or what it names, says of one server or transaction alone
 *
 * The outcome is kept in the plan for the last catalog that asked, so a known statement costs one
 * comparison. Facts that may be out of date (DDL under way) are not asked: facts_unknown().
 */
#ifndef ROUTER_FACTS_H
#define ROUTER_FACTS_H

#include <stdbool.h>
#include <stdint.h>

#include "router/catalog.h"
#include "router/plan.h"

struct facts {
    uint32_t touches; /* enum plan_touch */
    uint8_t class;    /* enum plan_class */
    uint8_t flags;    /* enum catalog_effect_flag, of what it runs; 0 without a catalog */
    uint8_t local;    /* enum plan_local */
};

/* Whether the plan runs anything that a catalog can say something of. */
bool facts_run(const struct plan *plan);

/* Finds and keeps in the plan what it does by this catalog: use facts_of. */
void facts_find(const struct catalog *catalog, struct plan *plan);

/* NULL: no facts are to be had; the plan's own assumptions. */
static inline struct facts facts_of(const struct catalog *catalog, struct plan *plan)
{
    if (catalog == NULL) {
        return (struct facts){.touches = plan->touches, .class = plan->class, .local = plan->local};
    }
    if (plan->facts_serial != catalog->serial) {
        facts_find(catalog, plan);
    }
    return (struct facts){plan->facts_touches, plan->facts_class, plan->facts_flags,
                          plan->facts_local};
}

/* The worst, for when the facts are being found: whatever the statement names may do anything. */
struct facts facts_unknown(const struct plan *plan);

#endif
