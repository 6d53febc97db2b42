/* Statements on a link: prepared there when first needed, closed when there are too many.
 *
 * What a link has is used for whoever means the same text, read alike (pool/statement.h), as long
 * as it is not older than what the client has prepared: if the catalog has changed in between, so
 * may have the columns, types and names that the text stands for. Such a one is closed and prepared
 * anew. What was prepared before its client made a temporary object stays what it was, as at a
 * server. Of changes by others than our clients only an error tells (pool/heal.h).
 */
#ifndef POOL_PREPARE_H
#define POOL_PREPARE_H

#include <stdbool.h>
#include <stdint.h>

#include "pool/due.h"

struct engine;
struct link;
struct plan;
struct session;
struct session_statement;
struct statement;

/* Appends a Parse under that name to the engine's scratch, which prepare_flush sends. */
void prepare_write(struct engine *engine, const char *name, const struct statement *statement);
void prepare_flush(struct engine *engine, struct link *link);

/* Closes the least recently used statements of the link while it has as many as it may. False: the
 * link has failed. */
bool prepare_make_room(struct engine *engine, struct link *link);

/* Prepares the statement on the link under our name; who sees the answer is `kind`. NULL: the link
 * has failed. */
struct link_statement *prepare_send(struct engine *engine, struct link *link,
                                    struct statement *statement, enum due_kind kind,
                                    struct session_statement *named);

/* The link's entry of the statement, now the most recently used. One from before the catalog was
 * `catalog` is closed: NULL, as when there is none. */
struct link_statement *prepare_find(struct engine *engine, struct link *link,
                                    struct statement *statement, uint32_t catalog);

/* The link's entry of what the session has prepared; it is prepared there if need be. NULL: the
 * link has failed. */
struct link_statement *prepare_named(struct engine *engine, struct session *session,
                                     struct session_statement *named);

/* A statement that is to be parsed anew means what its text means under the session's settings of
 * now: replaced, with its reference, if those read it otherwise. */
void prepare_reread(struct engine *engine, const struct session *session,
                    struct statement **statement);

/* A statement of the plan is sent on the session's link: if it changes the catalog, then for what
 * is prepared on the link from now on, and when its transaction has ended, for all. */
void prepare_alters(struct session *session, const struct plan *plan);
void prepare_altered(struct engine *engine, struct session *session);

/* The link's server has refused a statement whose result has changed, so others have changed the
 * catalog. */
void prepare_outdated(struct engine *engine, struct link *link);

#endif
