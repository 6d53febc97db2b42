/* What a pool knows of its database's catalog (router/catalog.h), and when that can be trusted.
 *
 * The shell loads the facts, one catalog per database and process (ACTION_ASK_CATALOG), and gives
 * them to every engine (EVENT_CATALOG). They are asked for at the first statement, again every 10 s
 * while statements come, and at once behind DDL:
 *
 *    no login for it  ->  no facts: plans say what they say without a catalog
 *    asked            ->  facts_unknown: whatever a statement names may do anything
 *    known            ->  facts_of, if nothing has changed since
 *    failed           ->  with earlier facts facts_unknown, else as without a login
 *
 * DDL that goes through this process is never missed: from its sending to its transaction's end it
 * is counted in the account's ddl_open, at the end in ddl_count, both for all workers, and facts
 * are believed only while the first is 0 and the second what it was before they were loaded. The
 * session that sends it believes nothing from there on until the end. What others change behind the
 * proxy's back is seen by the next poll; until then the facts are those of before.
 */
#ifndef POOL_POOL_FACTS_H
#define POOL_POOL_FACTS_H

#include <stdbool.h>
#include <stdint.h>

#include "pool/pool.h"
#include "pool/session.h"
#include "router/facts.h"

struct catalog;
struct engine;

/* For a pool that was just made. False when memory is out. */
bool pool_facts_begin(struct engine *engine, struct pool *pool);
void pool_facts_fini(struct pool *pool);

/* The pool has its options, or other ones; and its server is another one now. */
void pool_facts_options(struct pool *pool);
void pool_facts_forget(struct pool *pool);

/* What the facts are good for now, in this session. */
enum pool_facts_state {
    POOL_FACTS_NO_LOGIN,
    POOL_FACTS_FAILED, /* no facts were ever had, as the last attempt has failed */
    POOL_FACTS_ASKED,
    POOL_FACTS_CHANGING, /* DDL is under way, or has been since */
    POOL_FACTS_KNOWN,
};

/* Asks for facts when it is time to. */
enum pool_facts_state pool_facts_state(struct engine *engine, const struct session *session);

/* Use pool_facts_of. */
struct facts pool_facts_look(struct engine *engine, const struct session *session,
                             struct plan *plan);

/* What a plan does in the session's database; as of now. */
static inline struct facts pool_facts_of(struct engine *engine, const struct session *session,
                                         struct plan *plan)
{
    if (!session->pool->facts.has_login) {
        return facts_of(NULL, plan);
    }
    return pool_facts_look(engine, session, plan);
}

/* The session sends DDL; the transaction that had it has ended (or the session). */
void pool_facts_change(struct session *session);
void pool_facts_changed(struct engine *engine, struct session *session);

/* Notes the custom settings that functions of the database may set, so that the server is asked for
 * them too (pool/state.h). */
void pool_facts_customs(struct engine *engine, struct session *session);

/* EVENT_CATALOG: the facts of a database as they were when its ddl_count was `generation`; NULL:
 * they can't be had. */
void pool_facts_take(struct engine *engine, const char *database, struct catalog *catalog,
                     uint64_t generation);

#endif
