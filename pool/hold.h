/* Holding: nobody is lent a link to the primary while it is not to be written to, or does not
 * answer; who waits goes on waiting, at most for routing.failover_wait.
 *
 * That is for databases whose servers are watched (router/nodes.h), so that it is known who is the
 * primary: `hosts`, and `primary` with replicas.
 *
 *   none counts as the primary, or it does not answer
 *               the pool is *held*: nothing is lent or dialed until that is over. With `hosts` also
 *               before anything is known. A given primary that was never heard of, since nobody may
 *               ask it, or that the probe alone is refused by, is not held for it
 *   a dial is refused
 *               it is dialed again, later each time, and at once when the shell has heard of the
 *               primary since; what is there goes on being lent
 *
 * Either *begins* a wait that all who come share; it ends when links can be had again. When it has
 * lasted for failover_wait they are refused with 57P03 and the reason, and so are later ones at
 * once.
 *
 * The primary of a database with one server is not watched, and what a dial fails with is told at
 * once, as without Howdah.
 */
#ifndef POOL_HOLD_H
#define POOL_HOLD_H

#include <stdbool.h>
#include <stdint.h>

struct engine;
struct pool;
struct session;
struct topology;

/* Whether the pool leads to a primary that is watched. */
bool hold_is_for(const struct pool *pool);

/* Whether it is known that the server that was given as the primary is none. */
bool hold_is_fenced(const struct pool *pool, const struct topology *topology);

/* For a pool that was just made, or has other options; `same`: for the same server as before.
 * NULL: nothing is known. */
void hold_begin(struct engine *engine, struct pool *pool, const struct topology *topology,
                bool same);

/* Something is known of the nodes. First hold_stop, while links of before are still there: what
 * becomes free when they close is not to be lent. Then hold_go_on. */
void hold_stop(struct engine *engine, struct pool *pool, const struct topology *topology);
void hold_go_on(struct engine *engine, struct pool *pool, const struct topology *topology);

/* A dial has failed for its host's sake; what it failed with is pool->failure. True: nobody is to
 * be told of it. */
bool hold_refused(struct engine *engine, struct pool *pool);

/* The server has let a link in, or has refused it for what it asked for. */
void hold_answered(struct pool *pool);

/* The server has let a link in that is the pool's now, here or at another worker: what has failed
 * before is over. */
void hold_let_in(struct pool *pool);

/* Whether somebody who asks now is to be refused, for others have waited in vain. */
bool hold_is_over(const struct engine *engine, const struct pool *pool);

/* Whether who waits does so for want of a primary. */
bool hold_is_why(const struct pool *pool);

/* Refuses who has waited for too long. */
void hold_upkeep(struct engine *engine, struct pool *pool);

/* Refuses the session, which does not wait in the line (any more), with the reason. */
void hold_refuse(struct engine *engine, struct session *session);

#endif
