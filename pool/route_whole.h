/* Transactions that are a replica's from their first statement to their end: those that begin as
 * REPEATABLE READ READ ONLY, by what BEGIN says or by defaults (pool/modes.h).
 *
 * Such a transaction has one snapshot, so all of it is one server's. Its BEGIN is deferred; where
 * the first statement may be read, BEGIN goes with it:
 *
 *    BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY    answered here (pool/deferred_begin.h)
 *    the first statement    is it a read, or a cursor's over one, and does a replica show enough?
 *                           To that, BEGIN ahead of it; else to the primary, with all that follows
 *    those behind it        to the same link, one message at a time
 *    COMMIT, ROLLBACK       likewise. What is sent behind it waits for the answer: it is outside.
 *                           A transaction that AND CHAIN has begun is asked about anew
 *
 * A statement that could show or do something else there than at the primary is not sent: advisory
 * locks, LISTEN, functions that are not proven to read, what is not understood, and settings that
 * could not be taken along from there. A snapshot can't be moved, so the transaction fails,
 * with 40001, as when a replica cancels it for its replay: whoever runs transactions again is
 * served, as from then on the session's are the primary's. What a READ ONLY transaction is refused
 * anywhere passes: the server says so.
 *
 * SERIALIZABLE is not for standbys (check_transaction_isolation, variable.c).
 */
#ifndef POOL_ROUTE_WHOLE_H
#define POOL_ROUTE_WHOLE_H

#include <stdbool.h>
#include <stdint.h>

#include "pool/link.h"
#include "pool/route.h"
#include "pool/session.h"
#include "pool/statement_limit.h"
#include "router/facts.h"

struct engine;
struct plan;
struct report;

/* In struct due_entry's `refused`. */
enum { WHOLE_REFUSED = STATEMENTS_REFUSED - 1 };

/* Whether the transaction that the session has begun, and no server knows of, may be a replica's as
 * a whole. */
bool route_whole_may(const struct engine *engine, const struct session *session);

/* Whether a statement with this plan, which does that, makes a cursor over what may be read. */
bool route_whole_declares(const struct plan *plan, const struct facts *facts);

/* Whether the session's transaction is a replica's, and what it began with was sent. */
static inline bool route_whole_is_on(const struct session *session)
{
    const struct routing *routing = session->routing;
    return routing->whole && routing->checked && routing->left == 0 && session->link->used;
}

/* Of a message in such a transaction. */
enum route_whole {
    WHOLE_PASSES,
    WHOLE_ENDS,  /* it passes, and what comes behind it waits: route_whole_ends, when it is taken */
    WHOLE_TAKEN, /* it was refused, or can't be taken yet */
};

/* A message of which `have` bytes are here. With WHOLE_TAKEN, *ret_taken of its bytes were taken
 * (the rest will be); 0: it waits, or *ret_whole bytes must be seen together first. */
enum route_whole route_whole_look(struct engine *engine, struct session *session, const uint8_t *at,
                                  uint32_t have, uint32_t *ret_taken, uint32_t *ret_whole);
void route_whole_ends(struct session *session);

/* The session is in no such transaction. */
void route_whole_forget(struct routing *routing);

/* A ReadyForQuery has come, with that status, and nothing is due behind it. */
void route_whole_ready(struct session *session, uint8_t status);

/* What failed at the replica before the client has heard of it is to be run at the primary, with
 * the BEGIN. */
void route_whole_again(struct session *session);

/* What the client is told in place of the error of an entry with WHOLE_REFUSED. Static texts. */
struct report route_whole_report(const struct link *link);

#endif
