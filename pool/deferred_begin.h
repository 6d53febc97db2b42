/* Deferred BEGIN: in transaction mode a BEGIN is answered here, at once, and holds no link. It goes
 * to the server with the transaction's first statement, in the same packet:
 *
 *    client            here                                     server
 *    BEGIN       ->    DEFERRED: modes noted
 *                <-    BEGIN, ReadyForQuery 'T'
 *    UPDATE ..   ->    a link; its ledger: 3 swallowed, Query   -> Parse, Bind, Execute: BEGIN ..
 *                                                                  Query: UPDATE ..
 *                <-    what the server says of the UPDATE       <-
 *    COMMIT      ->    passes, as ever
 *
 * So a round trip is saved, and a transaction in which nothing is done touches no server: COMMIT
 * and ROLLBACK of a deferred one are answered here, too. All else is sent behind the BEGIN, a
 * second BEGIN or a text that does not parse among them: the server says what is wrong with it.
 *
 * What the client has been told must come true. Only texts are deferred which a server can't
 * refuse: one statement in ASCII that the parser has understood, and not a mode that a standby
 * refuses, unless the servers say that they are none. What is left is chance: a cancel request that
 * comes a moment early, memory that is out. Therefore the BEGIN is sent as extended-query messages
 * without a Sync: if it fails, the server skips what stands behind it, also a Query, and no
 * statement ever runs outside of the transaction that it was meant for; what comes behind the first
 * batch waits until the BEGIN is answered. Then, as when no link was to be had for the first
 * statement, the transaction is
 *
 *    FAILED: no link, ReadyForQuery 'E', and 25P02 for everything but what ends it.
 *
 * In extended query the whole of Parse, Bind, Describe, Execute and Sync is one BEGIN, and COMMIT
 * likewise; anything else around them passes. Who sends more right behind its BEGIN is not waiting
 * for the answer: all of that passes as it is, unless the database has replicas. Then the BEGIN is
 * deferred all the same, for what comes behind it may be one's to answer; and where that is under
 * the same Sync, as pgjdbc and pipelines send it, the BEGIN is answered in front of the rest:
 *
 *    Parse, Bind, Execute: BEGIN         ->   DEFERRED; what is to be told waits, as at a server,
 *    Parse, Bind, Execute: SELECT .. Sync     for the rest's answers, a Flush or the Sync
 *                                        ->   the rest is asked about (pool/route.h): a batch like
 *                                             any other behind a deferred BEGIN
 *
 * A Close, which needs no server either, is answered in the same way: so those in front of a BEGIN
 * are not in its way (drivers send them with whatever comes next).
 *
 * A session that has a link (it is pinned) begins there.
 *
 * Timeouts, drain and notifications take a transaction to be under way from its BEGIN on.
 */
#ifndef POOL_DEFERRED_BEGIN_H
#define POOL_DEFERRED_BEGIN_H

#include <stdbool.h>
#include <stdint.h>

#include "pool/link.h"
#include "pool/session.h"
#include "protocol/message.h"

/* Whether the session is in a transaction that no server knows of. */
static inline bool deferred_begin_is_open(const struct session *session)
{
    return session->begin != BEGIN_NONE;
}

/* The status that a ReadyForQuery tells while the session has no link. */
static inline char deferred_begin_status(const struct session *session)
{
    return session->begin == BEGIN_NONE ? 'I' : session->begin == BEGIN_DEFERRED ? 'T' : 'E';
}

/* A message of `total` bytes of a session without a link, of which, with what is behind it, `have`
 * bytes are at `at`. Returns the bytes that were taken and answered here; 0: the message is
 * none of these, or *ret_whole says how many bytes must be seen together first. */
uint32_t deferred_begin_take(struct engine *engine, struct session *session, const uint8_t *at,
                             uint32_t total, uint32_t have, uint32_t *ret_whole);

/* The deferred BEGIN goes to the session's link, ahead of what follows. False: the session is
 * closing. */
bool deferred_begin_send(struct engine *engine, struct session *session);

/* Whether the client's next message must wait for the answer to the BEGIN: its first batch, or
 * query, is sent. */
static inline bool deferred_begin_waits(const struct link *link)
{
    const struct due_entry *head = due_head(&link->due);
    return head != NULL && head->begins && extended_status_is_open(link);
}

/* The session was told an error without a link: its transaction has failed. */
static inline void deferred_begin_refused(struct session *session)
{
    session->begin = session->begin == BEGIN_NONE ? BEGIN_NONE : BEGIN_FAILED;
}

/* The server has refused the BEGIN, by this ErrorResponse (with its header). The link ends. */
void deferred_begin_failed(struct engine *engine, struct link *link, const uint8_t *message,
                           uint32_t total);

#endif
