/* SQL PREPARE, EXECUTE and DEALLOCATE in transaction mode: names in the text are virtual, too.
 *
 * A statement that SQL prepares is in the same store as one of the protocol's (pool/statement.h),
 * and each is known to both. What the client writes is sent with only the names in it replaced:
 *
 *    PREPARE p (int) AS ..   PREPARE howdah_5 (int) AS ..   the link has it when that is answered
 *    EXECUTE p (1)           EXECUTE howdah_5 (1)           prepared there first, if it is not
 *    DEALLOCATE p, ALL       DEALLOCATE howdah_6            a decoy: an empty statement; the link
 *                                                           keeps the real one for others
 *
 * So each is run, or refused, by the server, where and when it would be on a direct connection. A
 * name that the client has already is prepared under that of a decoy, which the server refuses. A
 * DUE_NAME entry follows the reply's own in the ledger for each name: it says what the
 * CommandComplete of a PREPARE or DEALLOCATE changes, undoes that if it does not come, and knows
 * how far the positions in an error are off.
 *
 * A text that is not understood passes as it is. What it prepares has its own name at the server,
 * and its session is pinned (pool/state.h); while it is, its other PREPAREs pass likewise.
 */
#ifndef POOL_NAMES_H
#define POOL_NAMES_H

#include <stdbool.h>
#include <stdint.h>

struct due_entry;
struct engine;
struct link;
struct plan;
struct session;
struct statement;

/* A simple query (whole, with its header) whose plan says that it has such names. False: it passes
 * as it is. True: *ret_taken is its length; or 0, it waits or the session is closing. */
bool names_query(struct engine *engine, struct session *session, struct plan *plan,
                 const uint8_t *message, uint32_t total, uint32_t *ret_taken);

/* Of a held query that could not be prepared for: its error was told, and it is to be skipped. */
bool names_refused(struct session *session);

/* An empty statement on the link, which is prepared there if need be, also in a transaction that
 * has failed: what is prepared under its name is refused, and it may be deallocated in place of
 * others. NULL: the link has failed. */
struct link_statement *names_decoy(struct engine *engine, struct link *link);

/* Whether what a statement with names would prepare is more than the session may have. */
bool names_are_too_many(const struct session *session, const struct statement *statement);

/* Whether a statement with names must wait for what was sent before it. */
bool names_wait(struct engine *engine, struct session *session, const struct statement *statement);

/* What stands for a statement with names on the session's link: a reference; the link has what it
 * names. NULL: the session is closing. */
struct statement *names_form(struct engine *engine, struct session *session,
                             struct statement *statement);

/* The form was bound to that portal; names_execute: is it executed, then what is behind its entry
 * in the ledger is entered there. */
void names_bound(struct engine *engine, struct session *session, const struct statement *statement,
                 const char *portal);
bool names_execute(struct engine *engine, struct session *session, const char *portal);

/* Of an Execute: another statement is bound to the portal. */
void names_rebound(struct session *session, const char *portal);

/* The server has completed a PREPARE or DEALLOCATE, as the tag says. True: the client is to be told
 * DEALLOCATE ALL. */
bool names_completed(struct engine *engine, struct link *link);

/* An ErrorResponse's body with what the client's text says in place of ours, as a message in the
 * engine's scratch. False: nothing in it is ours. */
bool names_error(struct engine *engine, const struct link *link, const uint8_t *body,
                 uint32_t body_bytes);

/* A DUE_NAME entry is answered; or never will be. */
void names_settle(struct engine *engine, struct link *link, const struct due_entry *entry);
void names_undo(struct engine *engine, struct link *link, const struct due_entry *entry);

/* What of this a session that ends still has. */
void names_free(struct engine *engine, struct session *session);

#endif
