#include "router/facts.h"

#include <stddef.h>
#include <string.h>

#include "base/assert.h"
#include "router/catalog_own.h"

static void add(struct catalog_effect *sum, const struct catalog_effect *effect)
{
    sum->touches |= effect->touches;
    sum->flags |= effect->flags;
    sum->local |= effect->local;
}

/* What is named and not known may do anything: it was made since the facts were. */
static void add_name(const struct catalog *catalog, const struct plan_name *name,
                     struct catalog_effect *sum)
{
    const struct catalog_function *function;
    const struct catalog_relation *relation;
    switch ((enum plan_name_kind)name->kind) {
    case PLAN_NAME_FUNCTION:
        function = catalog_find_function(catalog, name->name);
        add(sum, function == NULL ? &catalog_worst : &function->effect);
        return;
    case PLAN_NAME_READ:
        relation = catalog_find_relation(catalog, name->name);
        add(sum, relation == NULL ? &catalog_worst : &relation->read);
        return;
    case PLAN_NAME_WRITE:
        relation = catalog_find_relation(catalog, name->name);
        add(sum, relation == NULL ? &catalog_worst : &relation->write);
        return;
    }
    UNREACHABLE();
}

/* Where `t` has a column f, `t.f` is that; it is not known which columns there are. */
static void add_columns(const struct catalog *catalog, const struct plan *plan,
                        struct catalog_effect *sum)
{
    const char *name = plan->columns == NULL ? "" : plan->columns;
    for (; *name != '\0'; name += strlen(name) + 1) {
        const struct catalog_function *function = catalog_find_function(catalog, name);
        if (function != NULL && function->takes_one) {
            add(sum, &function->effect);
        }
    }
}

bool facts_run(const struct plan *plan)
{
    return plan->class == PLAN_READ || plan->class >= PLAN_WRITE || plan->names_count > 0;
}

static void keep(struct plan *plan, uint64_t serial, const struct catalog_effect *effect,
                 uint8_t class)
{
    plan->facts_serial = serial;
    plan->facts_touches = effect->touches;
    plan->facts_flags = effect->flags;
    plan->facts_local = effect->local;
    plan->facts_class = class;
}

void facts_find(const struct catalog *catalog, struct plan *plan)
{
    struct catalog_effect sum = {.touches = plan->own_touches, .local = plan->local};
    if (plan->class == PLAN_OPAQUE || !facts_run(plan)) {
        sum.touches = plan->touches;
        sum.flags = facts_run(plan) ? catalog_worst.flags : 0;
        keep(plan, catalog->serial, &sum, plan->class);
        return;
    }
    add(&sum, &catalog->everywhere);
    if (plan->many_names) { /* those that are not kept may do anything */
        add(&sum, &catalog_worst);
    }
    if (plan->class == PLAN_DDL) {
        add(&sum, &catalog->ddl);
    }
    for (uint32_t i = 0; i < plan->names_count; i++) {
        add_name(catalog, &plan->names[i], &sum);
    }
    add_columns(catalog, plan, &sum);
    bool is_read = plan->own_class == PLAN_READ && sum.touches == 0 && sum.flags == 0;
    uint8_t class = plan->own_class == PLAN_READ && !is_read ? PLAN_WRITE : plan->own_class;
    keep(plan, catalog->serial, &sum, class);
}

struct facts facts_unknown(const struct plan *plan)
{
    struct facts facts = {.touches = plan->touches, .class = plan->class, .local = plan->local};
    if (plan->names_count > 0 || plan->columns != NULL) {
        facts.touches |= PLAN_TOUCH_UNKNOWN;
        facts.class = plan->class == PLAN_READ ? PLAN_WRITE : plan->class;
    }
    return facts;
}
