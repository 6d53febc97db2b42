/* Lending: who gets which link, when.
 *
 * A session that needs a link and finds none free stands at the end of its worker's line. A link
 * that is given back goes to the first of that line. Where this alone could make somebody wait too
 * long (no link here will come back, one idles elsewhere or may be made, or LEND_PATIENCE_US have
 * passed), the worker puts a *ticket* for it into the line of the pool's home worker, where tickets
 * of all workers stand in order of arrival; and while any ticket is open, every link that becomes
 * free is the home's to give. So order of arrival is kept within a worker, and between workers up
 * to that patience, and in the common case no letter is written. The home serves its line whenever
 * a link is free or may be made:
 *
 *      worker                              home                               another worker
 *        |------- WANT (ticket) ------------>|                                       |
 *        |                                   |---- GIVE (to worker) ---------------->|
 *        |<=============================== the link, with its socket ================|
 *        |                                   |<--- GAVE, or NONE (none idle) --------|
 *        |<------ DIAL (make one) -----------|                                       |
 *        |------- FREED (idle, or ended) --->|                                       |
 *
 * A grant belongs to the worker and goes to the first of its line, so a session that has left the
 * line costs nothing but a grant that is passed back. While no ticket is open anywhere a worker
 * uses its own idle links without a word. Letters between a home and itself are calls.
 */
#ifndef POOL_LEND_H
#define POOL_LEND_H

#include <stdbool.h>
#include <stdint.h>

struct engine;
struct letter;
struct link;
struct pool;
struct session;

/* The session needs a link. True: it has one that takes statements now; false: it waits, or was
 * refused. */
bool lend_ask(struct engine *engine, struct session *session);

/* A connection of its own for a replication client: it counts under the caps of the database and
 * the user, not in the pool's size. */
void lend_replication(struct engine *engine, struct session *session);

/* A connection that listens for all sessions of the pool here (pool/listen.h), counted likewise; it
 * is in no list. NULL when there can be none. */
struct link *lend_hub(struct engine *engine, struct pool *pool);

/* A connection that is to stand for one of the pool's clients (pool/pid_hold.h), counted likewise.
 * NULL when there can be none. */
struct link *lend_stand_in(struct engine *engine, struct pool *pool);

/* The session no longer waits. */
void lend_leave(struct engine *engine, struct session *session);

/* A link is free: to the first that waits, or idle in its pool. It is in no list. */
void lend_link_free(struct engine *engine, struct link *link);

/* A link closes before it could serve the ticket that it was made or moved for: whoever waits gets
 * a new one when lend_link_ended is told. */
void lend_grant_lost(struct link *link);

/* The link's session is about to run what may pin it: takes a place of pool.max_pinned, which is
 * given back with the link. False when there is none. */
bool lend_may_pin(struct link *link);

/* The link's session is pinned to it: from now on it counts beside the pool's size, so that pinned
 * sessions don't starve the others, if pool.max_pinned lets it. Back among them it counts again;
 * false: it is one too many. */
void lend_pinned(struct engine *engine, struct link *link);
bool lend_unpinned(struct link *link);

/* A place of pool.max_pinned may be free: for links of this worker's that were pinned beyond it. */
void lend_pin_others(struct engine *engine, struct pool *pool);

/* A link is gone (or its dial failed): its place is free. `beside`: it did not count in the pool's
 * size. */
void lend_link_ended(struct engine *engine, struct pool *pool, bool beside);

/* The first login of the host in a row that succeeded. */
void lend_logged_in(struct engine *engine, struct link *link);

/* A login failed with this ErrorResponse body; `host`: the whole host is to be left alone for a
 * while, not only this user. Tells those who wait when there is no other link to hope for. */
void lend_login_failed(struct engine *engine, struct link *link, const uint8_t *body,
                       uint32_t body_bytes, bool host);

/* Refuses all who wait: there is no primary (pool/hold.h). */
void lend_refuse_all(struct engine *engine, struct pool *pool);

/* Gives tickets to those who wait without one: to all, or to those who have waited too long. */
void lend_escalate(struct engine *engine, struct pool *pool, bool all);

/* Serves the line at home; elsewhere tells the home that something is free. */
void lend_serve(struct engine *engine, struct pool *pool);

/* Keeps min_idle: dials when fewer links are there. */
void lend_keep_warm(struct engine *engine, struct pool *pool);

/* A letter has arrived; owns it. */
void lend_letter(struct engine *engine, struct letter *letter);

#endif
