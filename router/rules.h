/* Rules: where the statements of a database go, and which of them are refused.
 *
 * The configuration's routing.rules, checked and immutable (config/fill_rules.h makes them), held
 * against plans. A rule has up to three conditions, and holds where all of them do: the user who
 * has logged in, the statement's class, and the tables that it names. What it then says is where
 * the statement goes, or that it is refused.
 *
 * The first rule that holds counts. What a text does more than one of is held against the rules one
 * by one, as if each statement, and each table of a statement, came alone: what any of that is
 * refused for, all of it is; else the primary is stronger than a replica. So nobody gets past a
 * rule by naming a second table or adding a second statement.
 *
 * A rule that refuses fails closed: what may be anything (an opaque text, DO) is of every class and
 * names every table for it, and what may concern tables that it doesn't name (more tables than a
 * plan keeps, functions that run a text, DROP SCHEMA ..; classify_tables.h) names every table. For
 * rules that route it is what it shows. Transaction control is refused only by a rule that says
 * class "transaction", so that everybody can get out of a failed transaction.
 *
 * The outcome is kept in the plan for the last rules, user and class that asked: a known statement
 * costs three comparisons, and one of a database without rules nothing.
 */
#ifndef ROUTER_RULES_H
#define ROUTER_RULES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "router/plan.h"

/* In order of power: of a text's parts the highest counts. */
enum rule_action {
    RULE_REPLICA, /* reads to a replica; what is none goes to the primary all the same */
    RULE_PRIMARY, /* to the primary */
    RULE_REJECT,  /* 42501, it is not run */
};

struct rule_table {
    char *schema; /* NULL: of any */
    char *name;
};

/* A condition without items holds always. */
struct rule {
    enum rule_action action;
    uint32_t number;  /* its place in the list, from 0 */
    char *reject;     /* with RULE_REJECT: what the user is told */
    uint16_t classes; /* bits of enum plan_class */
    uint32_t user_count, table_count;
    char **users; /* who have logged in, not whom they have SET ROLE to */
    struct rule_table *tables;
};

struct rules {
    uint64_t serial; /* of what they say: equal rules have the same one; not 0 */
    uint32_t count;  /* at most LIMIT_RULES */
    struct rule items[];
};

/* --- making them ------------------------------------------------------------------------------ */

/* So many rules without conditions; NULL: memory is out. Whoever made them fills them, and seals
 * them before anybody asks. */
struct rules *rules_new(uint32_t count);
void rules_seal(struct rules *rules);

/* NULL is allowed. */
void rules_free(struct rules *rules);

/* One more of the tables: "name" or "schema.name", as the catalog has them. ERR_BAD_VALUE: it is
 * neither; ERR_NO_MEMORY. */
int rule_add_table(struct rule *rule, const char *text);

/* One more of the users; ERR_NO_MEMORY. */
int rule_add_user(struct rule *rule, const char *user);

/* One more of the classes, by the word that EXPLAIN (HOWDAH) shows. False: it is none. */
bool rule_add_class(struct rule *rule, const char *word);

/* --- asking ----------------------------------------------------------------------------------- */

/* Those whose condition on users holds, a bit each: found once for a session. 0 without rules. */
uint64_t rules_of_user(const struct rules *rules, const char *user);

/* All rules, whoever they are for. */
#define RULES_OF_ANYBODY UINT64_MAX

/* Whether one of those has that action. `rules` may be NULL. */
bool rules_have(const struct rules *rules, uint64_t of_user, enum rule_action action);

/* Finds and keeps in the plan which rule counts: use rules_decide. */
void rules_find(const struct rules *rules, uint64_t of_user, struct plan *plan, uint8_t class);

/* The rule that counts for a plan, whose class is `class` by the facts; NULL: none. `rules` may be
 * NULL. */
static inline const struct rule *rules_decide(const struct rules *rules, uint64_t of_user,
                                              struct plan *plan, uint8_t class)
{
    if (rules == NULL) {
        return NULL;
    }
    if (plan->rules_serial != rules->serial || plan->rules_user != of_user ||
        plan->rules_class != class) {
        rules_find(rules, of_user, plan, class);
    }
    return plan->rules_found == 0 ? NULL : &rules->items[plan->rules_found - 1];
}

/* Room for the words of most rules. */
enum { RULE_TEXT_BYTES = 256 };

/* Where it stands and when it holds: "routing.rules[2]: tables secrets, class ddl"; cut off where
 * there is no room. */
void rule_describe(const struct rule *rule, char *ret_text, size_t bytes);

#endif
