#include "base/stream.h"

#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>

#include "base/assert.h"
#include "base/error.h"
#include "base/limits.h"

/* Free blocks kept for the next use: 64 x 64 KiB = 4 MiB a worker. */
enum { BLOCKS_FREE_MAX = 64 };

/* Likewise of the small ones: 512 x 2 KiB = 1 MiB. */
enum { BLOCKS_SMALL_FREE_MAX = 512 };

/* To copy so many is cheaper than a piece more, and a send of several vectors. */
enum { COPY_BYTES_MAX = 256 };

void blocks_init(struct blocks *blocks)
{
    *blocks = (struct blocks){0};
    slab_init(&blocks->pieces, sizeof(struct piece));
}

static void free_list(struct block *block)
{
    while (block != NULL) {
        struct block *next = block->next_free;
        free(block);
        block = next;
    }
}

void blocks_fini(struct blocks *blocks)
{
    if (blocks->current != NULL) {
        struct block *current = blocks->current;
        blocks->current = NULL;
        block_unref(blocks, current);
    }
    free_list(blocks->free_first);
    free_list(blocks->small_free_first);
    slab_fini(&blocks->pieces);
}

struct block *blocks_private(struct blocks *blocks, uint32_t capacity)
{
    struct block *block = malloc(sizeof(*block) + capacity);
    if (block == NULL) {
        return NULL;
    }
    *block = (struct block){.references = 1, .capacity = capacity};
    blocks->allocated_bytes += capacity;
    return block;
}

struct block *blocks_small(struct blocks *blocks, uint32_t capacity)
{
    struct block *block = blocks->small_free_first;
    ASSERT(blocks->small_capacity == 0 || blocks->small_capacity == capacity);
    blocks->small_capacity = capacity;
    if (block == NULL) {
        return blocks_private(blocks, capacity);
    }
    blocks->small_free_first = block->next_free;
    blocks->small_free_count--;
    block->references = 1;
    block->used = 0;
    return block;
}

static struct block *shared_block(struct blocks *blocks)
{
    struct block *block = blocks->free_first;
    if (block == NULL) {
        return blocks_private(blocks, LIMIT_BLOCK_BYTES);
    }
    blocks->free_first = block->next_free;
    blocks->free_count--;
    block->references = 1;
    block->used = 0;
    return block;
}

struct block *blocks_renew(struct blocks *blocks, uint32_t bytes_min)
{
    struct block *before = blocks->current;
    ASSERT(bytes_min <= LIMIT_BLOCK_BYTES);
    struct block *fresh = shared_block(blocks);
    if (fresh == NULL) {
        return NULL;
    }
    blocks->current = fresh;
    if (before != NULL) {
        block_unref(blocks, before);
    }
    return fresh;
}

void blocks_take_back(struct blocks *blocks, struct block *block)
{
    ASSERT(block->references == 0);
    if (block->capacity == LIMIT_BLOCK_BYTES && blocks->free_count < BLOCKS_FREE_MAX) {
        block->next_free = blocks->free_first;
        blocks->free_first = block;
        blocks->free_count++;
        return;
    }
    if (block->capacity == blocks->small_capacity &&
        blocks->small_free_count < BLOCKS_SMALL_FREE_MAX) {
        block->next_free = blocks->small_free_first;
        blocks->small_free_first = block;
        blocks->small_free_count++;
        return;
    }
    blocks->allocated_bytes -= block->capacity;
    free(block);
}

/* Whether the bytes were copied behind the stream's last piece: few are, if that ends where the
 * current block's free room begins. */
static bool copy_behind(const struct blocks *blocks, struct stream *stream, const uint8_t *bytes,
                        uint32_t len)
{
    struct block *block = blocks->current;
    struct piece *last = stream->last;
    if (len > COPY_BYTES_MAX || last->block != block ||
        last->bytes + last->len != block->bytes + block->used ||
        len > block->capacity - block->used) {
        return false;
    }
    memcpy(block->bytes + block->used, bytes, len);
    block->used += len;
    last->len += len;
    stream->bytes += len;
    return true;
}

int stream_append_piece(struct blocks *blocks, struct stream *stream, struct block *block,
                        uint8_t *bytes, uint32_t len)
{
    if (copy_behind(blocks, stream, bytes, len)) {
        return 0;
    }
    struct piece *piece = slab_alloc(&blocks->pieces);
    if (piece == NULL) {
        return ERR_NO_MEMORY;
    }
    block_ref(block);
    *piece = (struct piece){.block = block, .bytes = bytes, .len = len};
    stream->last->next = piece;
    stream->last = piece;
    stream->bytes += len;
    return 0;
}

int stream_write(struct blocks *blocks, struct stream *stream, const void *bytes, uint32_t len)
{
    const uint8_t *at = bytes;
    while (len > 0) {
        struct block *block = blocks_reserve(blocks, 1);
        if (block == NULL) {
            return ERR_NO_MEMORY;
        }
        uint32_t room = block->capacity - block->used;
        uint32_t step = len < room ? len : room;
        memcpy(block->bytes + block->used, at, step);
        int code = stream_append(blocks, stream, block, block->bytes + block->used, step);
        if (code != 0) {
            return code;
        }
        block->used += step;
        at += step;
        len -= step;
    }
    return 0;
}

int stream_peek(const struct stream *stream, struct iovec *vectors, int max)
{
    int count = 0;
    for (const struct piece *piece = stream->first; piece != NULL && count < max;
         piece = piece->next) {
        vectors[count++] = (struct iovec){.iov_base = piece->bytes, .iov_len = piece->len};
    }
    return count;
}

void stream_consume_pieces(struct blocks *blocks, struct stream *stream, uint32_t len)
{
    ASSERT(len <= stream->bytes);
    stream->bytes -= len;
    while (len > 0) {
        struct piece *piece = stream->first;
        ASSERT(piece != NULL);
        if (len < piece->len) {
            piece->bytes += len;
            piece->len -= len;
            return;
        }
        len -= piece->len;
        stream->first = piece->next;
        if (stream->first == NULL) {
            stream->last = NULL;
        }
        block_unref(blocks, piece->block);
        if (piece != &stream->own) {
            slab_free(&blocks->pieces, piece);
        }
    }
}

void stream_clear(struct blocks *blocks, struct stream *stream)
{
    stream_consume(blocks, stream, stream->bytes);
}

void stream_settle(struct blocks *blocks, struct stream *stream)
{
    for (struct piece *piece = stream->first; piece != NULL; piece = piece->next) {
        if (piece->block->capacity != LIMIT_BLOCK_BYTES || piece->len > LIMIT_BLOCK_BYTES / 4) {
            continue;
        }
        struct block *own = blocks_private(blocks, piece->len);
        if (own == NULL) {
            return;
        }
        memcpy(own->bytes, piece->bytes, piece->len);
        own->used = piece->len;
        block_unref(blocks, piece->block);
        piece->block = own;
        piece->bytes = own->bytes;
    }
}
