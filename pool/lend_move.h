/* Letters between engines, and links that move with them. */
#ifndef POOL_LEND_MOVE_H
#define POOL_LEND_MOVE_H

#include <stdbool.h>
#include <stdint.h>

#include "pool/letter.h"

struct engine;
struct link;
struct pool;

/* Posts a letter about the pool. Out of memory it is lost, which a wait_timeout ends. */
void lend_post(struct engine *engine, uint32_t to, struct pool *pool, enum letter_kind kind,
               uint32_t about_worker);

/* The same; when `to` is this engine it is a call. */
void lend_post_about(struct engine *engine, uint32_t to, struct pool *pool, enum letter_kind kind,
                     uint32_t about_worker);

/* What a letter about a pool asks for (pool/lend.c). */
void lend_letter_for_pool(struct engine *engine, struct pool *pool, const struct letter *letter);

/* Takes the most recently used idle link of this worker out of the pool; NULL when none is idle. */
struct link *lend_take_idle(struct engine *engine, struct pool *pool);

/* Gives an idle link with its socket to another worker. False: there is none, or memory is out. */
bool lend_move_out(struct engine *engine, struct pool *pool, uint32_t to);

#endif
