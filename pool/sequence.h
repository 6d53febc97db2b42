/* currval() and lastval(): what an earlier nextval() has left in a server's session.
 *
 * A direct connection's INSERT and the lastval() behind it meet in one server session; here another
 * client's statements may come between. A link knows whose statements have been able to
 * advance a sequence there: what anybody else may have left is discarded before a client asks for
 * it, or calls a function that might, so it gets PostgreSQL's own error and never another client's
 * value. In a transaction they are discarded already ahead of an INSERT without RETURNING, so what
 * it has advanced can be asked for behind it. And from the first time that somebody asks in a pool,
 * whoever advances a sequence has the values of others discarded before and keeps its link until it
 * does something else, and who has asked itself keeps it for good. What a trigger asks for is not
 * seen.
 */
#ifndef POOL_SEQUENCE_H
#define POOL_SEQUENCE_H

#include <stdbool.h>
#include <stdint.h>

struct engine;
struct plan;
struct session;
struct statement;

/* link->sequenced_by: of several sessions, or it is not known whose. */
#define SEQUENCED_BY_MANY UINT64_MAX

/* A Parse of this plan is about to be sent on the session's link. Sends what must go ahead of
 * it. False when the link has failed. */
bool sequence_before(struct engine *engine, struct session *session, const struct plan *plan);

/* The same for what a simple query runs. */
bool sequence_before_query(struct engine *engine, struct session *session, const struct plan *plan);

/* The same for a prepared statement, before anything of its Bind is sent. False also when it has to
 * wait: what discards others' values may yet be skipped, in a batch of before. */
bool sequence_before_statement(struct engine *engine, struct session *session,
                               struct statement *statement);

/* Whether a query must wait: messages of the client's stand ahead of it without a Sync, and others'
 * values are there. What discards them becomes a part of that batch, for a query would end it; and
 * refused, where something in it has failed, that would have the server skip the client's query to
 * a Sync that never comes. Likewise where that is under way in a batch of before. */
bool sequence_waits(struct engine *engine, struct session *session);

/* What is sent on the session's link may advance any sequence. */
void sequence_touch(const struct engine *engine, struct session *session);

/* The statement is what an EXECUTE that was so announced runs. */
void sequence_executed(struct engine *engine, struct session *session, struct statement *statement);

#endif
