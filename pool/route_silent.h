/* A replica that does not answer: a server that is frozen, a network that drops everything.
 *
 * Nothing is sent there any more, as it is no candidate (router/nodes.h). What was sent before
 * would wait until it answers after all, or until its connections are found to be lost, so at each
 * news of such a node
 *
 *    who waits in the line of its pool     goes to the primary
 *    a batch of which the client has       is put back, and run at the primary (pool/route.h); its
 *    heard nothing                         link closes
 *    a batch that was answered in part,    stay: nobody can go on with them elsewhere, and the node
 *    a transaction that is the replica's   may only be slow. They end when their connection does
 *    idle links, and what is dialed        close: the pool has another term (pool/follow.h)
 *
 * A replica that merely lags keeps what it is at.
 */
#ifndef POOL_ROUTE_SILENT_H
#define POOL_ROUTE_SILENT_H

struct engine;
struct topology;

/* Something is known of a database's nodes; behind follow_news. */
void route_silent_news(struct engine *engine, const struct topology *topology);

#endif
