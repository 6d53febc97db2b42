/* Blocks of bytes shared by reference, and streams: queues of pieces of such blocks. A stream that
 * holds bytes must not be moved in memory.
 *
 * Bytes are received into the current block of a `struct blocks` (one per worker), one reader's
 * bytes behind the other's, and reach the writer's stream by reference. The current block starts
 * again from its beginning as soon as nobody refers to it, so a worker that only talks keeps to one
 * block, hot in the cache.
 */
#ifndef BASE_STREAM_H
#define BASE_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/assert.h"
#include "base/slab.h"

struct iovec;

struct block {
    struct block *next_free;
    uint32_t references;
    uint32_t capacity, used; /* bytes */
    uint8_t bytes[];
};

struct blocks {
    struct block *current; /* holds one reference; NULL until first used */
    struct block *free_first;
    uint32_t free_count;
    struct block *small_free_first; /* all of one capacity, small_capacity */
    uint32_t small_free_count, small_capacity;
    uint64_t allocated_bytes; /* of all live blocks, for SHOW MEM */
    struct slab pieces;
};

struct piece {
    struct piece *next;
    struct block *block;
    uint8_t *bytes;
    uint32_t len;
};

struct stream {
    struct piece *first, *last;
    uint32_t bytes;
    struct piece own; /* the first piece of an empty stream: most never have a second */
};

void blocks_init(struct blocks *blocks);
void blocks_fini(struct blocks *blocks);

/* blocks_reserve where the current block has no room: it is replaced by an empty one. */
struct block *blocks_renew(struct blocks *blocks, uint32_t bytes_min);

/* Makes sure that the current block has room for `bytes_min` more (at most LIMIT_BLOCK_BYTES).
 * Returns the block, whose free room begins at bytes + used; NULL when memory is out. */
static inline struct block *blocks_reserve(struct blocks *blocks, uint32_t bytes_min)
{
    struct block *block = blocks->current;
    if (block != NULL) {
        if (block->references == 1) {
            block->used = 0;
        }
        if (block->capacity - block->used >= bytes_min) {
            return block;
        }
    }
    return blocks_renew(blocks, bytes_min);
}

/* A block of its own for bytes that must be held together; one reference, the caller's. */
struct block *blocks_private(struct blocks *blocks, uint32_t capacity);

/* The same from a free list of its own, for the one size that is asked for again and again; the
 * first call fixes that size. */
struct block *blocks_small(struct blocks *blocks, uint32_t capacity);

/* Where a block goes that nobody refers to any more. */
void blocks_take_back(struct blocks *blocks, struct block *block);

static inline void block_ref(struct block *block)
{
    ASSERT(block->references > 0);
    block->references++;
}

static inline void block_unref(struct blocks *blocks, struct block *block)
{
    ASSERT(block->references > 0);
    if (--block->references == 0) {
        blocks_take_back(blocks, block);
    }
}

/* stream_append where the stream has pieces and the bytes do not lie behind the last one's. Out of
 * line likewise. */
__attribute__((noinline)) int stream_append_piece(struct blocks *blocks, struct stream *stream,
                                                  struct block *block, uint8_t *bytes,
                                                  uint32_t len);

/* Appends to an empty stream, which cannot fail. */
static inline void stream_begin(struct stream *stream, struct block *block, uint8_t *bytes,
                                uint32_t len)
{
    block_ref(block);
    stream->own = (struct piece){.block = block, .bytes = bytes, .len = len};
    stream->first = stream->last = &stream->own;
    stream->bytes = len;
}

/* Appends by reference; a few bytes behind a copy are copied themselves. 0, or ERR_NO_MEMORY with
 * the stream unchanged. */
static inline int stream_append(struct blocks *blocks, struct stream *stream, struct block *block,
                                uint8_t *bytes, uint32_t len)
{
    struct piece *last = stream->last;
    if (len == 0) {
        return 0;
    }
    if (last == NULL) {
        stream_begin(stream, block, bytes, len);
        return 0;
    }
    if (last->block == block && last->bytes + last->len == bytes) {
        last->len += len;
    } else {
        return stream_append_piece(blocks, stream, block, bytes, len);
    }
    stream->bytes += len;
    return 0;
}

/* Appends a copy. 0, or ERR_NO_MEMORY, after which a part may have been appended. */
int stream_write(struct blocks *blocks, struct stream *stream, const void *bytes, uint32_t len);

/* Fills at most `max` vectors with what comes first; returns how many. */
int stream_peek(const struct stream *stream, struct iovec *vectors, int max);

/* stream_consume in all cases. Out of line, so that the common one stays small where it is used. */
__attribute__((noinline)) void stream_consume_pieces(struct blocks *blocks, struct stream *stream,
                                                     uint32_t len);

/* Drops the first `len` bytes, which must be there. */
static inline void stream_consume(struct blocks *blocks, struct stream *stream, uint32_t len)
{
    if (len == stream->bytes && stream->last == &stream->own) {
        /* All of it, in the one piece that most streams are. */
        stream->first = stream->last = NULL;
        stream->bytes = 0;
        block_unref(blocks, stream->own.block);
        return;
    }
    stream_consume_pieces(blocks, stream, len);
}

/* Drops everything: the pieces and their references to blocks. */
void stream_clear(struct blocks *blocks, struct stream *stream);

/* For a peer that does not read: moves small rests out of big shared blocks into blocks of their
 * own size, so that a few bytes do not keep 64 KiB alive. Best effort. */
void stream_settle(struct blocks *blocks, struct stream *stream);

#endif
