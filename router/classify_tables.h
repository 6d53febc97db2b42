/* What the statements of a parse tree name and may hide: for rules (router/rules.h).
 *
 * Not what the catalog is asked about (router/classify_names.h): also a table that is defined,
 * dropped, locked, commented on or granted, with its schema where the text has it. What a view, a
 * function or a trigger does with other tables doesn't show here, nor what an index belongs to.
 *
 * Some statements may concern tables without naming them, and say so (enum plan_hides): DO, whose
 * text may be anything; functions of PostgreSQL's own that run a text or are told a table's name by
 * one; what is done to a schema, an extension, or whatever a role owns.
 */
#ifndef ROUTER_CLASSIFY_TABLES_H
#define ROUTER_CLASSIFY_TABLES_H

#include <stdbool.h>
#include <stdint.h>

#include "router/parse.h"
#include "router/plan.h"

/* Zeroed is empty. */
struct classify_tables {
    uint8_t count;
    uint8_t hides;         /* enum plan_hides */
    uint16_t classes;      /* of all statements */
    uint16_t bare_classes; /* of those without a table */
    bool failed;           /* memory ran out */
    struct plan_table items[PLAN_TABLES_MAX];
};

/* Notes what one statement names and hides; `classes` are its own. */
void classify_tables(const struct parse_tree *tree, uint32_t stmt, uint16_t classes,
                     struct classify_tables *tables);

/* Notes a statement of which nothing is known. */
void classify_tables_opaque(struct classify_tables *tables);

/* Makes them the plan's. ERR_NO_MEMORY. */
int classify_tables_keep(struct classify_tables *tables, struct plan *plan);

/* Frees those that were not kept. */
void classify_tables_fini(struct classify_tables *tables);

/* The plan has none any more. */
void classify_free_tables(struct plan *plan);

#endif
