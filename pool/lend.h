/* Lending: who gets which link, when.
 *
 * Every session that needs a link and finds none free puts itself at the end of its worker's line and
 * a *ticket* into the line of the pool's home worker, where tickets of all workers stand in order of
 * arrival. The home serves the line whenever a link is free or may be made:
 *
 *      worker                              home                               another worker
 *        |------- WANT (ticket) ------------>|                                       |
 *        |                                   |---- GIVE (to worker) ---------------->|
 *        |<=============================== the link, with its socket ================|
 *        |                                   |<--- GAVE, or NONE (none idle) --------|
 *        |<------ DIAL (make one) -----------|                                       |
 *        |------- FREED (idle, or ended) --->|                                       |
 *
 * A grant belongs to the worker and goes to the first of its line, so a session that has left the line
 * costs nothing but a grant that is passed back. While no ticket is open anywhere a worker uses its own
 * idle links without a word. Letters between a home and itself are calls.
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

/* A connection of its own for a replication client. */
void lend_replication(struct engine *engine, struct session *session);

/* The session no longer waits. */
void lend_leave(struct engine *engine, struct session *session);

/* A link has become idle in its pool. */
void lend_link_free(struct engine *engine, struct link *link);

/* A link is gone (or its dial failed): its place is free. */
void lend_link_ended(struct engine *engine, struct pool *pool);

/* The first login of the host in a row that succeeded. */
void lend_logged_in(struct engine *engine, struct link *link);

/* A login failed with this ErrorResponse body; `host`: the whole host is to be left alone for a
 * while, not only this user. Tells those who wait when there is no other link to hope for. */
void lend_login_failed(struct engine *engine, struct link *link, const uint8_t *body,
                       uint32_t body_bytes, bool host);

/* Serves the line at home; elsewhere tells the home that something is free. */
void lend_serve(struct engine *engine, struct pool *pool);

/* Keeps min_idle: dials when fewer links are there. */
void lend_keep_warm(struct engine *engine, struct pool *pool);

/* A letter has arrived; owns it. */
void lend_letter(struct engine *engine, struct letter *letter);

#endif
