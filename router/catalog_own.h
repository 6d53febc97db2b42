/* What one function does by itself, by its row in pg_proc: by its volatility and its language. What
 * its source says is read by router/catalog_source.h; what it calls is added by
 * router/catalog_build.h, where the rules stand. */
#ifndef ROUTER_CATALOG_OWN_H
#define ROUTER_CATALOG_OWN_H

#include <stdbool.h>

#include "router/catalog.h"
#include "router/catalog_build.h"

/* Of what nothing is known. */
extern const struct catalog_effect catalog_worst;

/* Without what its source says. */
struct catalog_effect catalog_own_effect(const struct catalog_function_row *row);

/* What a statement touches by calling what touches this: currval() inside of a function does not
 * pin, it makes the function suspected (pool/sequence.h). */
uint32_t catalog_followed(uint32_t touches);

/* Whether what it does stands in its source. */
bool catalog_reads_source(const struct catalog_function_row *row);

#endif
