/* What a transaction is whose BEGIN is deferred: its isolation level, and whether it only reads. It
 * is what BEGIN says, else the session's defaults, else those of the servers.
 *
 * Servers report default_transaction_read_only, but not default_transaction_isolation, which may
 * come from postgresql.conf, the database, the role or the connection string. So the primary is
 * asked for it, in the same packet as a BEGIN that goes to the primary and leaves it open:
 *
 *    Parse, Bind, Execute: BEGIN
 *    Parse, Bind, Execute: SHOW transaction_isolation    the answer is swallowed
 *    the transaction's first statement
 *
 * Until that is answered nothing is taken for granted, and such transactions are the primary's. The
 * answer is asked for again after a minute, for ALTER ROLE and the like count for new links only,
 * and at once of another server.
 */
#ifndef POOL_MODES_H
#define POOL_MODES_H

#include <stdbool.h>
#include <stdint.h>

#include "router/plan.h"

struct engine;
struct link;
struct pool;
struct session;

/* Of the transaction that the session has begun, and no server knows of. PLAN_ISOLATION_DEFAULT: it
 * is not known. */
enum plan_isolation modes_isolation(const struct engine *engine, const struct session *session);
bool modes_read_only(const struct session *session);

/* Whether the primary is to be asked with the session's BEGIN. */
bool modes_ask(const struct engine *engine, const struct session *session);

/* The question goes to the session's link; its entries in the ledger are the caller's. */
void modes_write(struct engine *engine, const struct session *session);

/* A DataRow's body: the answer. */
void modes_told(const struct engine *engine, struct link *link, const uint8_t *body,
                uint32_t body_bytes);

/* The pool's server is another one, or its links are made anew. */
void modes_forget(struct pool *pool);

#endif
