#include "base/hash.h"

#include <criterion/criterion.h>
#include <string.h>

#include "base/random.h"

static int bits(uint64_t word)
{
    return __builtin_popcountll(word);
}

Test(hash, depends_on_the_key_on_every_byte_and_on_the_length)
{
    uint8_t bytes[200] = {0}; /* also what is dealt out to lanes */
    for (size_t len = 0; len <= sizeof(bytes); len++) {
        uint64_t hash = hash_bytes(1, bytes, len);
        cr_assert_neq(hash, hash_bytes(2, bytes, len), "key, length %zu", len);
        if (len < sizeof(bytes)) {
            cr_assert_neq(hash, hash_bytes(1, bytes, len + 1), "length %zu", len);
        }
        for (size_t at = 0; at < len; at++) {
            bytes[at] ^= 0x10;
            cr_assert_neq(hash, hash_bytes(1, bytes, len), "byte %zu of %zu", at, len);
            bytes[at] ^= 0x10;
        }
        cr_assert_eq(hash, hash_bytes(1, bytes, len));
    }
}

Test(hash, one_bit_changes_about_half_of_the_result)
{
    struct random random = {3};
    uint64_t changed, tries;
    for (size_t len = 8; len <= 160; len += 8) {
        uint64_t words[20];
        changed = tries = 0;
        for (int i = 0; i < 50; i++) {
            for (size_t word = 0; word < 20; word++) {
                words[word] = random_next(&random);
            }
            uint64_t before = hash_bytes(9, words, len);
            for (size_t bit = 0; bit < 8 * len; bit += 7) {
                words[bit / 64] ^= UINT64_C(1) << (bit % 64);
                changed += (uint64_t)bits(before ^ hash_bytes(9, words, len));
                words[bit / 64] ^= UINT64_C(1) << (bit % 64);
                tries++;
            }
        }
        cr_assert_gt(changed, tries * 30, "length %zu", len);
        cr_assert_lt(changed, tries * 34, "length %zu", len);
    }
}

Test(hash, words_that_change_places_change_the_hash)
{
    uint64_t words[16];
    struct random random = {4};
    for (size_t i = 0; i < 16; i++) {
        words[i] = random_next(&random);
    }
    uint64_t before = hash_bytes(9, words, sizeof(words));
    for (size_t i = 0; i < 16; i++) {
        for (size_t j = 0; j < i; j++) {
            uint64_t word = words[i];
            words[i] = words[j];
            words[j] = word;
            cr_assert_neq(before, hash_bytes(9, words, sizeof(words)), "words %zu and %zu", i, j);
            words[j] = words[i];
            words[i] = word;
        }
    }
}

Test(hash, numbers_in_a_row_fill_buckets_evenly)
{
    enum { BUCKETS = 256 };
    int by_word[BUCKETS] = {0}, by_bytes[BUCKETS] = {0};
    for (uint64_t i = 0; i < BUCKETS * 100; i++) {
        by_word[hash_word(5, i) % BUCKETS]++;
        by_bytes[hash_bytes(5, &i, sizeof(i)) % BUCKETS]++;
    }
    for (int i = 0; i < BUCKETS; i++) {
        cr_assert(by_word[i] > 40 && by_word[i] < 180, "%d", by_word[i]);
        cr_assert(by_bytes[i] > 40 && by_bytes[i] < 180, "%d", by_bytes[i]);
    }
}
