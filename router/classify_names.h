/* What the statements of a parse tree name: for the catalog's facts (router/facts.h).
 *
 * Names of common table expressions are none of relations, as far as they reach: the statement that
 * they stand before, and each other in the order of WITH.
 */
#ifndef ROUTER_CLASSIFY_NAMES_H
#define ROUTER_CLASSIFY_NAMES_H

#include <stdbool.h>
#include <stdint.h>

#include "router/parse.h"
#include "router/plan.h"

/* Zeroed is empty. */
struct classify_names {
    uint32_t count;
    bool many;   /* there was no room for all */
    bool failed; /* memory ran out */
    struct plan_name items[PLAN_NAMES_MAX];
    char *columns; /* as in struct plan, without the "" */
    uint32_t columns_bytes, columns_room;
};

/* Notes a name once. */
void classify_name(struct classify_names *names, enum plan_name_kind kind, const char *name);

/* The name that stands in a text node, if it is behind a dot: that of a column, or of a function of
 * what stands before it. `t.f` and `(x).f` are f(t) and f(x) where those have no column f
 * (ParseFuncOrColumn in src/backend/parser/parse_func.c). NULL: it does not. */
const char *classify_column(const struct parse_tree *tree, uint32_t node);

/* Notes such a name that isn't one of PostgreSQL's own functions. The catalog says whether it is a
 * function's at all, so that all of them are kept: they take less room than their text. */
void classify_add_column(struct classify_names *names, const char *name);

/* Notes the relations of one statement; `writes` where all of them may be written to. */
void classify_relations(const struct parse_tree *tree, uint32_t stmt, bool writes,
                        struct classify_names *names);

/* Of a node with a relation's name (field "relname"): whether that is one of a common table
 * expression, and whether rows are written to it. */
bool classify_is_cte(const struct parse_tree *tree, uint32_t stmt, uint32_t relation);
bool classify_is_written(const struct parse_tree *tree, uint32_t relation);

/* Makes the names the plan's. ERR_NO_MEMORY. */
int classify_names_keep(struct classify_names *names, struct plan *plan);

/* Frees those that were not kept. */
void classify_names_fini(struct classify_names *names);

/* The plan has no names any more. */
void classify_free_names(struct plan *plan);

#endif
