/* EXPLAIN (HOWDAH) and howdah --explain: what a statement does (router/explain.h), by its text and
 * by what is known of the catalog, where it would go, what it would leave behind, and what is set.
 * Nothing is run. */
#ifndef POOL_OWN_EXPLAIN_H
#define POOL_OWN_EXPLAIN_H

#include <stdbool.h>
#include <stdint.h>

#include "pool/options.h"
#include "router/control.h"

struct catalog;
struct engine;
struct explanation;
struct plan_cache;
struct plan_context;
struct session;

/* What is known of where it is asked. */
struct own_explain {
    enum pool_mode mode;
    bool owns_link;                /* a connection for the whole session */
    bool virtual_names;            /* of prepared statements */
    uint32_t server_major;         /* the server's version; 0: not known */
    const struct catalog *catalog; /* NULL: none is to be believed */
    bool is_stale;                 /* whatever the statement names may do anything */
    const char *catalog_why;       /* why it is, or isn't, believed */
    bool has_replicas;
    struct engine *engine; /* with has_replicas: of the session that asks, or both NULL */
    struct session *session;
    const char *values[CONTROL_COUNT], *sources[CONTROL_COUNT]; /* of the howdah.* settings */
};

/* Adds the rows. ERR_SYNTAX: the text is no SQL, and the explanation says why; ERR_NO_MEMORY. */
int own_explain(struct plan_cache *plans, const struct plan_context *context,
                const struct own_explain *facts, const char *text, uint32_t len,
                struct explanation *explanation);

/* The same for a statement of that session. */
int own_explain_session(struct engine *engine, struct session *session, const char *text,
                        uint32_t len, struct explanation *explanation);

#endif
