/* max_server_connections of a database and of a user: caps over several pools.
 *
 * Which pools share a cap is known by their accounts, which all workers have (pool/account.h): a
 * worker has a pool only of users whose clients it has. Where a cap is reached, an idle link of
 * another pool gives way, at whatever worker it is; and when a link ends, the homes of all pools
 * are told that wait for a place under the same cap.
 *
 *      B's home                            a worker with an idle link of A
 *        |  no place under the cap                     |
 *        |---------------- EVICT (A) ----------------->|  closes it: its place is free
 *        |<--------------- FREED (B) ------------------|
 *        |  a place is taken, a link is dialed         |
 */
#ifndef POOL_LEND_CAPS_H
#define POOL_LEND_CAPS_H

#include <stdbool.h>

struct account;
struct engine;
struct pool;

/* Closes the least recently used idle link of this worker. False when none is idle. */
bool lend_close_oldest(struct engine *engine, struct pool *pool);

/* The cap of a database or a user is reached, and the pool wants a place under it: has an idle link
 * of another pool closed, wherever one is. */
void lend_evict(struct engine *engine, const struct pool *pool, const struct account *cap);

/* A link of the pool is gone: other pools may have waited for its place. */
void lend_serve_sharers(struct engine *engine, const struct pool *pool);

#endif
