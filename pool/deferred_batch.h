/* A BEGIN or COMMIT in extended query: the whole of Parse, Bind, Describe, Execute and Sync is one,
 * or a BEGIN without the Sync in front of more (pool/deferred_begin.h).
 */
#ifndef POOL_DEFERRED_BATCH_H
#define POOL_DEFERRED_BATCH_H

#include <stdint.h>

struct engine;
struct session;

/* A batch that begins, or ends, a transaction: `have` bytes of it, and of what is behind it, are at
 * `at`. Returns the bytes that were taken and answered here; 0: it is none, or *ret_whole says how
 * many bytes must be seen together first. */
uint32_t deferred_batch_take(struct engine *engine, struct session *session, const uint8_t *at,
                             uint32_t have, uint32_t *ret_whole);

#endif
