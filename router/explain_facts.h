/* What the catalog (router/catalog.h) says of the functions and relations that a statement names,
 * in words for EXPLAIN (HOWDAH): why it is a write, and what of the session it may touch. */
#ifndef ROUTER_EXPLAIN_FACTS_H
#define ROUTER_EXPLAIN_FACTS_H

#include <stdbool.h>

struct catalog;
struct explanation;
struct plan;

enum { EXPLAIN_FACT_BYTES = 400 };

/* Writes what a function or relation of that name (without its schema) does when it is called, or
 * when its rows are read, or written. */
void explain_function(const struct catalog *catalog, const char *name,
                      char text[static EXPLAIN_FACT_BYTES]);
void explain_relation(const struct catalog *catalog, const char *name, bool is_written,
                      char text[static EXPLAIN_FACT_BYTES]);

/* Adds rows for what the statement runs without naming it: operators, casts and types; behind DDL
 * event triggers. None where that does nothing. */
void explain_unnamed(const struct catalog *catalog, const struct plan *plan,
                     struct explanation *explanation);

#endif
