/* Waiting for a replica: routing.wait_for_replica.
 *
 * A read for which no replica shows enough yet waits for one, for at most so long from its first
 * look, and is the primary's then. It holds no link and stands in no line; what the client has sent
 * is held.
 *
 *    route_ask                  no replica shows enough, and one is up: listens for news of the
 *                               polls, looks once more (so that none is missed), and waits
 *    EVENT_TICKS                those whom a replica may serve now ask anew; the others listen on
 *    EVENT_NODES, new options   all ask anew: what they wait for may never come
 *    time is up                 it asks anew, and may wait no more
 *    cancel, close              it leaves
 *
 * With routing.reads "any" the primary is as good as a replica, and nobody waits.
 */
#ifndef POOL_ROUTE_WAIT_H
#define POOL_ROUTE_WAIT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "pool/route.h"
#include "pool/session.h"

struct engine;
struct topology;

/* Whether the session waits for a replica. */
static inline bool route_wait_is_on(const struct session *session)
{
    return session->routing != NULL && list_linked(&session->routing->late);
}

/* Whether its read, which is to go to the primary for that reason, may wait instead. */
bool route_wait_may(const struct engine *engine, const struct session *session,
                    const struct topology *topology, enum route why);

/* Listens for news. The session's time runs from the first call for a read. */
void route_wait_listen(struct engine *engine, struct session *session,
                       const struct topology *topology);

/* From now on it waits; where it does so already, it goes on. */
void route_wait_begin(struct engine *engine, struct session *session);

/* It doesn't wait any more: it will ask once more for the same read, or (forget) for no such. */
void route_wait_leave(struct session *session);
void route_wait_forget(struct session *session);

/* There is news in the ticks of that database. */
void route_wait_news(struct engine *engine, const struct topology *topology);

/* All who wait ask anew: those of that database, or with NULL of all. */
void route_wait_all_ask(struct engine *engine, const struct topology *topology);

/* The session's timer. Returns when to look again; TIMER_NEVER when it doesn't wait. */
uint64_t route_wait_timer(struct engine *engine, struct session *session);

#endif
