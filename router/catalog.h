/* Catalog facts: what the functions and relations of one database do when a statement runs them.
 *
 * A statement's text does not show what a function does that isn't PostgreSQL's own, that a view
 * calls one, or that a trigger, a default, a rule, a policy or a cascade runs when a row is
 * written. The database's catalogs do. router/catalog_build.h makes these facts of them, and
 * router/facts.h puts together what they mean for a plan.
 *
 * An *effect* is the worst of what may happen, over all overloads of a function, over everything of
 * that name in any schema (so that nobody has to follow search_path), and over everything that is
 * run in turn: callees of functions, functions and relations of views, triggers, defaults, checks,
 * index expressions, policies and rules, children and cascades. What is not known counts as one
 * that does anything.
 *
 * Immutable and counted; pure data without the server. Strings live as long as the catalog.
 */
#ifndef ROUTER_CATALOG_H
#define ROUTER_CATALOG_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum catalog_effect_flag {
    CATALOG_VOLATILE = 1 << 0, /* calls what is declared volatile: its result is of the moment */
    CATALOG_WRITES = 1 << 1,   /* has what writes in its source, or calls what does */
};

struct catalog_effect {
    uint32_t touches; /* enum plan_touch; PLAN_TOUCH_UNKNOWN: suspected of changing the session */
    uint8_t flags;
    uint8_t local; /* enum plan_local: what only one server, or one transaction, can say */
};

/* A function or procedure that isn't PostgreSQL's own. */
struct catalog_function {
    const char *name;
    struct catalog_effect effect;
    bool takes_one; /* one of that name can be called with one argument, and so as t.f */
};

enum catalog_relation_flag {
    CATALOG_TABLE = 1 << 0,
    CATALOG_VIEW = 1 << 1,
    CATALOG_MATERIALIZED_VIEW = 1 << 2,
    CATALOG_PARTITIONED = 1 << 3,
    CATALOG_FOREIGN = 1 << 4,
    CATALOG_SEQUENCE = 1 << 5,
    CATALOG_ROW_SECURITY = 1 << 6, /* policies shape what a role sees of it */
    CATALOG_TRIGGERS = 1 << 7,     /* of users */
    CATALOG_RULES = 1 << 8,        /* other than a view's own */
    CATALOG_DEFAULTS = 1 << 9,     /* columns whose default or generation calls a function */
    CATALOG_CASCADES = 1 << 10,    /* foreign keys of others that write when its rows change */
    CATALOG_CHILDREN = 1 << 11,    /* partitions, or tables that inherit */
    CATALOG_SYSTEM = 1 << 12,      /* of PostgreSQL's own schemas */
    CATALOG_UNLOGGED = 1 << 13,    /* replicas have nothing of it */
};

struct catalog_relation {
    const char *name;
    uint32_t flags;              /* of all relations of that name */
    struct catalog_effect read;  /* when its rows are read */
    struct catalog_effect write; /* when rows are written; has what `read` has */
    uint32_t uses_from, uses_count;
};

struct catalog {
    atomic_uint references;
    uint64_t serial;                    /* unlike that of any other catalog of the process; not 0 */
    struct catalog_function *functions; /* by name */
    struct catalog_relation *relations; /* by name */
    uint32_t function_count, relation_count;
    uint32_t *uses; /* indexes of relations that a view, parent or rule reads: uses_from.. */
    /* What any statement may run without naming it: operators, casts, types, domains and functions
     * that stand beside PostgreSQL's own of the same name. */
    struct catalog_effect everywhere;
    struct catalog_effect ddl; /* event triggers */
    char **customs;            /* settings ("a.b") that suspected functions name; lower case */
    uint32_t custom_count;
    char *names; /* the memory of all strings */
};

/* One holder more or less; any thread. unref takes NULL. */
void catalog_ref(struct catalog *catalog);
void catalog_unref(struct catalog *catalog);

/* The facts of a name in any schema; NULL: there is none of that name, or it was made since. */
const struct catalog_function *catalog_find_function(const struct catalog *catalog,
                                                     const char *name);
const struct catalog_relation *catalog_find_relation(const struct catalog *catalog,
                                                     const char *name);

#endif
