#include "base/stream.h"

#include <criterion/criterion.h>
#include <string.h>
#include <sys/uio.h>

#include "base/limits.h"
#include "base/random.h"

static void expect_bytes(const struct stream *stream, const uint8_t *bytes, size_t len)
{
    struct iovec vectors[64];
    int count = stream_peek(stream, vectors, 64);
    size_t at = 0;
    cr_assert_eq(stream->bytes, len);
    for (int i = 0; i < count; i++) {
        cr_assert_leq(at + vectors[i].iov_len, len);
        cr_assert_arr_eq(vectors[i].iov_base, bytes + at, vectors[i].iov_len);
        at += vectors[i].iov_len;
    }
    cr_assert(at == len || count == 64);
}

Test(stream, neighbours_in_a_block_become_one_piece)
{
    struct blocks blocks;
    struct stream stream = {0};
    blocks_init(&blocks);
    struct block *block = blocks_reserve(&blocks, 100);
    memcpy(block->bytes, "abcdef", 6);
    cr_assert_eq(stream_append(&blocks, &stream, block, block->bytes, 2), 0);
    cr_assert_eq(stream_append(&blocks, &stream, block, block->bytes + 2, 4), 0);
    cr_assert_eq(stream_append(&blocks, &stream, block, block->bytes + 6, 0), 0);
    struct iovec vectors[4];
    cr_assert_eq(stream_peek(&stream, vectors, 4), 1);
    expect_bytes(&stream, (const uint8_t *)"abcdef", 6);
    stream_consume(&blocks, &stream, 1);
    expect_bytes(&stream, (const uint8_t *)"bcdef", 5);
    stream_clear(&blocks, &stream);
    expect_bytes(&stream, NULL, 0);
    blocks_fini(&blocks);
}

Test(stream, few_bytes_behind_a_copy_are_copied)
{
    struct blocks blocks;
    struct stream stream = {0};
    static uint8_t many[1000];
    struct iovec vectors[4];
    blocks_init(&blocks);
    struct block *other = blocks_private(&blocks, 100);
    memcpy(other->bytes, "defghi", 6);
    cr_assert_eq(stream_write(&blocks, &stream, "abc", 3), 0);
    cr_assert_eq(stream_append(&blocks, &stream, other, other->bytes, 6), 0);
    cr_assert_eq(stream_peek(&stream, vectors, 4), 1);
    cr_assert_eq(other->references, 1);
    expect_bytes(&stream, (const uint8_t *)"abcdefghi", 9);
    /* Not behind what lies elsewhere by now, and not many. */
    cr_assert_eq(blocks_reserve(&blocks, 1), blocks.current);
    blocks.current->used++;
    cr_assert_eq(stream_append(&blocks, &stream, other, other->bytes, 3), 0);
    cr_assert_eq(stream_peek(&stream, vectors, 4), 2);
    stream_clear(&blocks, &stream);
    struct block *big = blocks_private(&blocks, sizeof(many));
    memcpy(big->bytes, many, sizeof(many));
    cr_assert_eq(stream_write(&blocks, &stream, "abc", 3), 0);
    cr_assert_eq(stream_append(&blocks, &stream, big, big->bytes, sizeof(many)), 0);
    cr_assert_eq(stream_peek(&stream, vectors, 4), 2);
    stream_clear(&blocks, &stream);
    block_unref(&blocks, other);
    block_unref(&blocks, big);
    blocks_fini(&blocks);
}

Test(stream, the_current_block_starts_again_when_nobody_refers_to_it)
{
    struct blocks blocks;
    struct stream stream = {0};
    blocks_init(&blocks);
    cr_assert_eq(stream_write(&blocks, &stream, "hello", 5), 0);
    struct block *block = blocks.current;
    stream_consume(&blocks, &stream, 5);
    cr_assert_eq(blocks_reserve(&blocks, LIMIT_BLOCK_BYTES), block);
    cr_assert_eq(block->used, 0);
    blocks_fini(&blocks);
}

Test(stream, bytes_stay_while_someone_refers_to_their_block)
{
    struct blocks blocks;
    struct stream stream = {0};
    static uint8_t filler[LIMIT_BLOCK_BYTES];
    blocks_init(&blocks);
    cr_assert_eq(stream_write(&blocks, &stream, "keep", 4), 0);
    struct block *first = blocks.current;
    struct block *second = blocks_reserve(&blocks, LIMIT_BLOCK_BYTES);
    cr_assert_neq(first, second);
    memset(second->bytes, 'x', sizeof(filler));
    expect_bytes(&stream, (const uint8_t *)"keep", 4);
    stream_clear(&blocks, &stream);
    blocks_fini(&blocks);
}

Test(stream, agrees_with_a_model_over_random_writes_and_reads)
{
    static uint8_t model[4 << 20], chunk[200000];
    size_t from = 0, to = 0;
    struct random random = {4};
    struct blocks blocks;
    struct stream stream = {0};
    blocks_init(&blocks);
    while (to < sizeof(model) - sizeof(chunk)) {
        uint32_t len =
            (uint32_t)random_below(&random, random_below(&random, 10) == 0 ? sizeof(chunk) : 300);
        for (uint32_t i = 0; i < len; i++) {
            chunk[i] = (uint8_t)random_next(&random);
        }
        memcpy(model + to, chunk, len);
        cr_assert_eq(stream_write(&blocks, &stream, chunk, len), 0);
        to += len;
        if (random_below(&random, 8) == 0) {
            stream_settle(&blocks, &stream);
        }
        uint32_t read = (uint32_t)random_below(&random, stream.bytes + 1);
        stream_consume(&blocks, &stream, read);
        from += read;
        expect_bytes(&stream, model + from, to - from);
    }
    stream_clear(&blocks, &stream);
    cr_assert_leq(blocks.allocated_bytes, 64 * LIMIT_BLOCK_BYTES + LIMIT_BLOCK_BYTES);
    blocks_fini(&blocks);
}

Test(stream, settling_frees_a_big_block_kept_by_a_few_bytes)
{
    struct blocks blocks;
    struct stream stream = {0};
    blocks_init(&blocks);
    cr_assert_eq(stream_write(&blocks, &stream, "few", 3), 0);
    struct block *big = blocks.current;
    cr_assert_eq(big->references, 2);
    stream_settle(&blocks, &stream);
    cr_assert_eq(big->references, 1);
    expect_bytes(&stream, (const uint8_t *)"few", 3);
    cr_assert_eq(stream.first->block->capacity, 3);
    stream_clear(&blocks, &stream);
    blocks_fini(&blocks);
}

Test(stream, small_blocks_come_back_from_their_own_list)
{
    struct blocks blocks;
    blocks_init(&blocks);
    struct block *first = blocks_small(&blocks, 2048);
    block_unref(&blocks, first);
    cr_assert_eq(blocks.small_free_count, 1);
    cr_assert_eq(blocks_small(&blocks, 2048), first);
    cr_assert_eq(blocks.small_free_count, 0);
    block_unref(&blocks, first);
    blocks_fini(&blocks);
}
