/* What a session has said to Howdah itself: its howdah.* settings (router/control.h).
 *
 * No server sees them, but they are kept and undone as PostgreSQL does it with settings of its own:
 *
 *    SET          holds from now on, once the transaction commits
 *    SET LOCAL    holds until the transaction ends
 *    RESET        goes back to what the client said when it connected
 *    ROLLBACK, ROLLBACK TO, an error without a transaction block: as it was before
 *
 * So there are two sets: what holds now, and what will hold after COMMIT; and a copy of both for
 * each savepoint. A savepoint matters only when the transaction has changed something before; what
 * is rolled back to one that was set earlier is what the transaction began with. So nothing is
 * noted, and nothing costs anything, until a transaction has changed a setting. From then on what
 * ends it or names savepoints is sent alone, and its CommandComplete (DUE_NOTE in the ledger) tells
 * what came of it.
 *
 * A session that never says anything of the kind has none of this.
 */
#ifndef POOL_OWN_H
#define POOL_OWN_H

#include <stdbool.h>
#include <stdint.h>

#include "router/control.h"

struct engine;
struct explanation;
struct plan;
struct session;
struct settings;
struct statement;

enum { OWN_MESSAGE_BYTES = 200 };

/* What became of a savepoint's time. */
struct own_level {
    uint64_t name; /* its hash */
    struct settings *kept, *now;
};

struct own {
    struct settings *startup; /* by the names behind "howdah." */
    struct settings *now;
    struct settings *kept; /* what holds when the transaction has committed; else the same as now */
    struct settings *before; /* while pending: as the transaction has found it */
    bool pending;            /* a transaction has changed something */
    bool erred;              /* since then an error came, or a ROLLBACK that is not understood */
    uint32_t level_count, level_capacity;
    struct own_level *levels;

    struct plan *noted;  /* of what runs and may end the transaction; a reference, or NULL */
    uint32_t step;       /* of it: those before are done */
    bool notes;          /* CommandCompletes are to be looked at */
    struct plan *parsed; /* of the last Parse without a name, where names are not virtual */
    struct plan *bound;  /* of the last Bind */

    /* What a statement of the server's fails with in place of one that is answered here. */
    int refused_code;
    uint32_t refused_at;
    const char *refused_detail, *refused_hint; /* static storage */
    char refused_message[OWN_MESSAGE_BYTES];

    /* Extended query (pool/own_extended.c): the one portal there is, and its statement. */
    bool busy; /* the session may have a statement or a portal that is answered here */
    char *portal_name;
    struct statement *portal; /* a reference; NULL: there is none */
    uint32_t portal_row;
    uint16_t portal_format;
    struct explanation *portal_rows; /* of an EXPLAIN that has begun */
};

/* A session that has none gets one. NULL when memory is out. */
struct own *own_of(struct engine *engine, struct session *session);
void own_free(struct engine *engine, struct session *session);

/* What is set now is what the client said when it connected. */
void own_began(struct engine *engine, struct session *session);

/* What holds now; static storage, or as long as nothing is set. */
const char *own_get(const struct session *session, enum control control);

/* Why: "default", "startup" ...; static storage. */
const char *own_source(const struct session *session, enum control control);

enum own_where { OWN_ALONE, OWN_IMPLICIT, OWN_BLOCK };

/* Sets one (a checked value; NULL: the startup's), alone, in a transaction without a block, or in
 * a block. ERR_NO_MEMORY. */
int own_set(struct engine *engine, struct session *session, enum control control, const char *value,
            bool local, enum own_where where);

/* Whether a statement with this plan may change or undo settings at the server's word: it is to be
 * sent when nothing else is due, and own_notes called before. */
bool own_must_note(const struct session *session, const struct plan *plan);
void own_notes(struct session *session, struct plan *plan);

/* A CommandComplete under DUE_NOTE; a ReadyForQuery for the client; an error. */
void own_completed(struct engine *engine, struct session *session, const char *tag);
void own_ready(struct engine *engine, struct session *session, char status);
void own_errored(struct session *session);

/* DISCARD ALL was done. */
void own_discarded(struct engine *engine, struct session *session);

#endif
