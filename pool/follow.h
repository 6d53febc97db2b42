/* Which server, and which address of it, a pool's links go to: a pool that follows its primary
 * (`hosts` in the configuration); and links that lead to where a server was, or to one that is not
 * the primary.
 *
 * The shell finds out who the primary is (router/nodes.h) and tells every engine. Each leadership
 * has a *term*, a number of this process; links carry the term that they were dialed in. With a new
 * one the pool goes to that server, and all links of other terms close at once. Nobody who waits
 * notices; a transaction that is under way ends with an error, for what an old primary would still
 * commit would be lost. That there is none is a new term, too: the one that there was is known to
 * be none. Until there is one, and while it does not answer, the pool is held (pool/hold.h).
 *
 * A pool that stays with one node, a replica's or that of a `primary`, has the node's incarnation
 * for its term (router/nodes.h): idle links of another one close, and others as soon as they are
 * free. So do those to a replica that has stopped answering, or has become the primary, where its
 * pool's links count then. Those to the primary that lead to another address than the new one end
 * at once; so do all where the server that was given as the primary is known to be none.
 *
 * Links are dialed at the address that the server's probe has been answered from (struct
 * topology_server), so that what was found out holds for them; names only where there is none,
 * without probes or while the server does not answer them. A link that turns out to lead elsewhere
 * is of no term: it is not lent again.
 *
 * A reload begins no term: it holds the pool until the primary is known anew, which is at once if
 * it is still one of the hosts, and what is under way there goes on. So it does at the only server
 * of a database, which nobody watches, when that gets its first replica, has lost the last, or is
 * one of `hosts` and turns out to be the primary.
 *
 * Workers hear of a term one after the other; a link that moves to another worker meanwhile is
 * compared there, and closed.
 */
#ifndef POOL_FOLLOW_H
#define POOL_FOLLOW_H

#include <stdbool.h>
#include <stdint.h>

struct database_options;
struct engine;
struct link;
struct pool;
struct server_options;
struct topology;

/* The server of a pool of that database: the primary of which is known, else the first. */
const struct server_options *follow_server(const struct engine *engine,
                                           const struct database_options *database);

/* The same for a pool that goes on under new options, of which `database` is one: until it is told
 * anew who the primary is, that is the server where it has been, if it is still one of them. */
const struct server_options *follow_server_again(const struct engine *engine,
                                                 const struct pool *pool,
                                                 const struct database_options *database);

/* For a pool that was just made, or has other options; `same`: for the same server as before. Its
 * term, and whether it is held. */
void follow_begin(struct engine *engine, struct pool *pool, bool same);

/* The incarnation of the server that a replica's pool dials (router/nodes.h), as it was known last:
 * behind a reload, too, until it is told anew. Of the primary's, or if nothing was known: 0. */
uint32_t follow_incarnation(const struct pool *pool);

/* Something is known of a database's nodes. */
void follow_news(struct engine *engine, const struct topology *topology);

/* The link is connected, to that address (NULL: it has none). */
void follow_connected(struct link *link, const char *address);

/* The link or its pool has another address, or another pool: where they differ the link gets
 * LINK_NO_TERM. */
void follow_compare(struct link *link);

#endif
