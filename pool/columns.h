/* The columns that a client was told a named statement gives.
 *
 * Drivers keep what a Describe has told them, and read the rows of later runs by it. When DDL has
 * changed the columns a server refuses a statement that it had prepared before (0A000,
 * RevalidateCachedQuery in plancache.c), and drivers wait for that error to describe the statement
 * anew. A link that prepares it anew would send the new columns' rows instead. So what was told is
 * kept as a hash, and once the catalog has changed a Bind with no Describe behind it waits for one
 * of ours:
 *
 *    client   B E S                                       2 D C Z, or E(0A000) Z
 *    link             C P D H   3 1 t T   the same: B E S
 *                                         others: a Bind that must fail, S
 *
 * Who describes what it binds is told of the new columns, and runs what is prepared anew; who was
 * told nothing, too. A server's own 0A000 is healed first (pool/heal.h), and then comes here.
 */
#ifndef POOL_COLUMNS_H
#define POOL_COLUMNS_H

#include <stdbool.h>
#include <stdint.h>

#include "protocol/report.h"

struct block;
struct due_entry;
struct engine;
struct session;
struct session_statement;

/* due_entry.refused of a Bind of other columns. */
enum { COLUMNS_REFUSED = UINT8_MAX - 1 };

/* Whether a Bind that was sent to hear its own errors first, before it is refused, has failed for
 * the columns themselves: a backend looks at these (RevalidateCachedQuery, plancache.c) before it
 * looks at the formats that the Bind wants of them (PortalSetResultFormat, pquery.c). */
bool columns_misfit(const struct due_entry *head, const struct report_fields *fields);

/* What the client is told of it: the server's own error. */
struct report columns_report(void);

/* The bytes of the Describe of a portal that is at the front of `have` bytes, whole; 0: none is. */
uint32_t columns_describe_bytes(const uint8_t *at, uint32_t have);

/* A Bind of the statement waits until it is known whether its columns are still those that the
 * client was told (or the session is closing). False: it is known, or nobody was told. */
bool columns_wait(struct engine *engine, struct session *session, struct session_statement *named);

/* Sends the Describe of a portal, of `bytes` bytes (0: there is none), that stands right behind the
 * Bind of the statement (NULL: it has no name), if its answer is worth keeping. Returns the bytes
 * taken. */
uint32_t columns_learn(struct engine *engine, struct session *session, struct block *block,
                       uint8_t *at, uint32_t bytes, struct session_statement *named);

/* The answer to a Describe that has `named` in its entry is at `at`: a RowDescription or NoData,
 * whole unless it is larger than LIMIT_SERVER_WHOLE_BYTES: such a one is not kept. */
void columns_described(const struct engine *engine, const struct due_entry *entry,
                       const uint8_t *at, uint32_t total);

#endif
