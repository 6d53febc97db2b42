#include "router/catalog_own.h"

#include <string.h>

#include "router/classify_local.h"
#include "router/functions.h"
#include "router/plan.h"

const struct catalog_effect catalog_worst = {.touches = PLAN_TOUCH_UNKNOWN,
                                             .flags = CATALOG_VOLATILE | CATALOG_WRITES};

uint32_t catalog_followed(uint32_t touches)
{
    bool reads = (touches & PLAN_TOUCH_SEQUENCE) != 0;
    return (touches & ~(uint32_t)PLAN_TOUCH_SEQUENCE) | (reads ? PLAN_TOUCH_UNKNOWN : 0);
}

/* Functions that contrib's extensions have in C: volatile and harmless, or run SQL that they are
 * given though they are not volatile. */
static const char *const harmless[] = {
    "gen_random_bytes",   "gen_random_uuid",  "gen_salt",        "normal_rand",
    "pg_stat_statements", "pgp_pub_encrypt",  "pgp_sym_encrypt", "uuid_generate_v1",
    "uuid_generate_v1mc", "uuid_generate_v4",
};
static const char *const runs_sql[] = {"connectby", "crosstab", "crosstab_hash", "xpath_table"};

/* PostgreSQL's own that functions.def leaves out, for they can't be called. */
static const char *const own_triggers[] = {
    "suppress_redundant_updates_trigger",
    "tsvector_update_trigger",
    "tsvector_update_trigger_column",
    "unique_key_recheck",
};

/* What CREATE TYPE .. AS RANGE makes functions of, in the type's schema. */
static const char *const constructors[] = {
    "multirange_constructor0", "multirange_constructor1", "multirange_constructor2",
    "range_constructor2",      "range_constructor3",
};

#define IS_IN(name, list) is_in(name, list, sizeof(list) / sizeof((list)[0]))

static bool is_in(const char *name, const char *const *list, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(list[i], name) == 0) {
            return true;
        }
    }
    return false;
}

static struct catalog_effect system_effect(const struct catalog_function_row *row)
{
    const struct function_fact *fact = function_find(row->name);
    if (fact != NULL) {
        bool writes = fact->class != PLAN_READ;
        return (struct catalog_effect){
            .touches = catalog_followed(fact->touches),
            .flags = (uint8_t)(writes ? CATALOG_VOLATILE | CATALOG_WRITES : 0)};
    }
    bool is_trigger = strncmp(row->name, "RI_FKey_", 8) == 0 || IS_IN(row->name, own_triggers);
    return row->volatility != 'v' || is_trigger ? (struct catalog_effect){0} : catalog_worst;
}

bool catalog_reads_source(const struct catalog_function_row *row)
{
    return !row->is_system && !row->is_aggregate && row->source != NULL &&
           (strcmp(row->language, "sql") == 0 || strcmp(row->language, "plpgsql") == 0);
}

struct catalog_effect catalog_own_effect(const struct catalog_function_row *row)
{
    struct catalog_effect effect = {.flags =
                                        (uint8_t)(row->volatility == 'v' ? CATALOG_VOLATILE : 0)};
    bool in_c = row->of_extension &&
                (strcmp(row->language, "c") == 0 || strcmp(row->language, "internal") == 0);
    if (row->is_system) {
        effect = system_effect(row);
        effect.local = classify_local_function(row->name);
        return effect;
    }
    if (row->customs != NULL) {
        effect.touches |= PLAN_TOUCH_UNKNOWN;
    }
    if (row->is_aggregate || catalog_reads_source(row)) {
        return effect;
    }
    if (strcmp(row->language, "internal") == 0 && row->source != NULL &&
        IS_IN(row->source, constructors)) {
        return effect;
    }
    bool is_believed = in_c && !IS_IN(row->name, runs_sql) &&
                       (row->volatility != 'v' || IS_IN(row->name, harmless));
    return is_believed ? effect : catalog_worst;
}
