/* Makes a catalog (router/catalog.h) of rows of PostgreSQL's catalogs.
 *
 * Rows may come in any order. Objects have numbers (oid); a *use* says that one runs another:
 *
 *      USE_CALLS        function              -> function    an aggregate's parts, BEGIN ATOMIC
 *      USE_FOLLOWS      function              -> relation    of BEGIN ATOMIC
 *      USE_READ_CALLS   relation when read    -> function    of a view, of a policy
 *      USE_READS        relation when read    -> relation    of a view; children
 *      USE_WRITE_CALLS  relation when written -> function    triggers, defaults, checks, indexes
 *      USE_WRITES       relation when written -> relation    rules, cascades, views, children
 *      USE_EVERYWHERE   anything              -> function    operators, casts, types, domains
 *      USE_DDL          DDL                   -> function    event triggers
 *
 * What a function in SQL or PL/pgSQL runs is read from its source (router/catalog_source.h). It is
 * *suspected* (PLAN_TOUCH_UNKNOWN) of changing the session if its source says so or could hide it
 * (EXECUTE), if it can't be read (its source is too long, or in another language), or if it sets a
 * custom setting for itself: that one is '' ever after, where it was NULL. Other settings of a
 * function's SET clause are put back by the server when it returns. A function in C that comes with
 * an extension and isn't volatile is believed: its authors say that it looks at nothing but data.
 * Effects then spread along the uses until nothing changes.
 */
#ifndef ROUTER_CATALOG_BUILD_H
#define ROUTER_CATALOG_BUILD_H

#include <stdbool.h>
#include <stdint.h>

#include "router/catalog.h"

enum catalog_use {
    USE_CALLS,
    USE_FOLLOWS,
    USE_READ_CALLS,
    USE_READS,
    USE_WRITE_CALLS,
    USE_WRITES,
    USE_EVERYWHERE,
    USE_DDL,
};

struct catalog_function_row {
    uint32_t oid;
    const char *name;
    const char *language; /* pg_language.lanname */
    const char *source;   /* of SQL, PL/pgSQL and internal ones; NULL: can't be had */
    const char *customs;  /* custom settings of its SET clause, blanks between; NULL: none */
    char volatility;      /* pg_proc.provolatile */
    bool is_system;       /* of pg_catalog */
    bool of_extension;
    bool is_aggregate;
    bool takes_one; /* can be called with one argument */
};

struct catalog_builder;

/* NULL when memory is out. */
struct catalog_builder *catalog_builder_new(void);
void catalog_builder_free(struct catalog_builder *builder);

/* Strings are copied. ERR_NO_MEMORY; ERR_LIMIT: a catalog of more than LIMIT_CATALOG_OBJECTS or
 * LIMIT_CATALOG_BYTES. */
int catalog_add_function(struct catalog_builder *builder, const struct catalog_function_row *row);
int catalog_add_relation(struct catalog_builder *builder, uint32_t oid, const char *name,
                         uint32_t flags);

/* `from` is 0 for USE_EVERYWHERE and USE_DDL. A `to` that no row tells of is taken for one that
 * does anything; a `from` that is none is ignored. */
int catalog_add_use(struct catalog_builder *builder, enum catalog_use use, uint32_t from,
                    uint32_t to);

/* More flags of a relation. */
int catalog_add_flags(struct catalog_builder *builder, uint32_t oid, uint32_t flags);

/* One reference; ERR_NO_MEMORY, ERR_LIMIT. The builder is of no further use but to be freed. */
int catalog_build(struct catalog_builder *builder, uint64_t serial, struct catalog **ret_catalog);

#endif
