/* What the statements of a parse tree do: the plan's class, touches and settings.
 *
 * A read is proven or it is a write: each function that is called must be one that pg_catalog has
 * in every supported version and that changes nothing (router/functions.h), no row may be locked,
 * no INSERT, UPDATE, DELETE or MERGE stand anywhere below, nothing of the session be touched.
 *
 * What a parse tree can't show is assumed, and is for the catalog's facts to correct:
 *   - operators, casts, types, domains, collations and aggregates are taken for harmless, unless an
 *     operator is written with a schema that isn't pg_catalog;
 *   - a name without a schema that pg_catalog has is taken for that: nobody shadows PostgreSQL's
 *     functions by a search_path with another schema first, or overloads them with writing ones;
 *   - views, row security policies, rules, triggers, defaults and foreign tables run what they run;
 *   - tables named by search_path may be temporary ones, where that begins with pg_temp.
 */
#ifndef ROUTER_CLASSIFY_H
#define ROUTER_CLASSIFY_H

#include "router/parse.h"
#include "router/plan.h"

/* Sets class, touches, locks_rows, control, statement_count, the settings and the steps of a plan,
 * which has none so far. ERR_NO_MEMORY: it has none then either. */
int classify(const struct parse_tree *tree, struct plan *plan);

/* Frees what classify() made for a plan: its settings, steps, names, tables and database. */
void classify_free(struct plan *plan);

/* Its part for the steps and is_ours (router/classify_step.c). */
int classify_steps(const struct parse_tree *tree, struct plan *plan);

/* The plan has no steps any more. */
void classify_free_steps(struct plan *plan);

/* Whether a statement's list of options, the field of that name, has one of that name. */
bool classify_has_option(const struct parse_tree *tree, uint32_t stmt, const char *field,
                         const char *option);

/* The value that set_config() takes for a VariableSetStmt of the setting `name`, as PostgreSQL's
 * flatten_set_variable_args makes it of the arguments: in `ret_value`, the caller's to free.
 * ERR_UNSUPPORTED: it has none (SET TIME ZONE INTERVAL ..); ERR_NO_MEMORY. */
int classify_set_value(const struct parse_tree *tree, uint32_t stmt, const char *name,
                       char **ret_value);

/* Whether the name of a setting, the first argument of a set_config(), stands in the text or, as a
 * parameter, in what comes with it; or is one of those that pg_settings shows. */
bool classify_name_shows(const struct parse_tree *tree, uint32_t node);

/* The control, chain and modes of a TransactionStmt that is a text's only statement. */
void classify_control(const struct parse_tree *tree, uint32_t stmt, struct plan *plan);

#endif
