/* A keyed hash for tables whose keys come from the outside.
 *
 * Folded 64 x 64 -> 128 bit multiplication, eight bytes a step. The key is random per process, so
 * that a client cannot choose colliding names; tables compare the whole key on a match all the same.
 */
#ifndef BASE_HASH_H
#define BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

uint64_t hash_bytes(uint64_t key, const void *bytes, size_t bytes_len);

/* Mixes one word; for keys that are numbers already. */
uint64_t hash_word(uint64_t key, uint64_t word);

#endif
