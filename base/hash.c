#include "base/hash.h"

#include <string.h>

/* Odd constants with about half their bits set, from the fractions of sqrt(2) and sqrt(3). */
static const uint64_t mix_a = 0x6a09e667f3bcc909u;
static const uint64_t mix_b = 0xbb67ae8584caa73bu;

static uint64_t fold(uint64_t left, uint64_t right)
{
    __uint128_t product = (__uint128_t)left * right;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static uint64_t load_word(const uint8_t *at)
{
    uint64_t word;
    memcpy(&word, at, sizeof(word));
    return word;
}

/* The last `bytes_len` bytes, at most 8, as the low ones of a word; the rest of it is 0. */
static uint64_t load_rest(const uint8_t *at, size_t bytes_len)
{
    uint64_t word = 0;
    if (bytes_len == 8) {
        return load_word(at);
    }
    for (size_t i = bytes_len; i > 0; i--) {
        word = word << 8 | at[i - 1];
    }
    return word;
}

/* A step has to wait for the multiplication of the step before it. Long input is dealt out to lanes
 * that don't wait for each other, a word to each in turn. */
#define LANES 4
#define LANES_BYTES (LANES * sizeof(uint64_t))

/* Takes as many whole rows of words as there are; moves *at behind them. */
static uint64_t hash_rows(uint64_t state, const uint8_t **at, size_t rows)
{
    uint64_t lane[LANES] = {state, state ^ mix_a, state ^ mix_b, ~state};
    for (; rows > 0; rows--) {
        for (size_t i = 0; i < LANES; i++) {
            lane[i] = fold(lane[i] ^ load_word(*at + i * sizeof(uint64_t)) ^ mix_a, mix_b);
        }
        *at += LANES_BYTES;
    }
    for (size_t i = 1; i < LANES; i++) {
        lane[0] = fold(lane[0] ^ lane[i] ^ mix_a, mix_b);
    }
    return lane[0];
}

uint64_t hash_bytes(uint64_t key, const void *bytes, size_t bytes_len)
{
    const uint8_t *at = bytes;
    uint64_t state = key ^ fold(bytes_len ^ mix_a, mix_b);
    size_t left = bytes_len;

    if (left > 2 * LANES_BYTES) {
        state = hash_rows(state, &at, left / LANES_BYTES);
        left %= LANES_BYTES;
    }
    while (left > 8) {
        state = fold(state ^ load_word(at) ^ mix_a, mix_b);
        at += 8;
        left -= 8;
    }
    state = fold(state ^ load_rest(at, left) ^ mix_a, mix_b);
    return fold(state ^ mix_b, key | 1);
}

uint64_t hash_word(uint64_t key, uint64_t word)
{
    return fold(fold(key ^ word ^ mix_a, mix_b) ^ mix_b, key | 1);
}
