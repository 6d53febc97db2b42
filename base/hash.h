/* A keyed hash for tables whose keys come from the outside.
 *
 * Folded 64 x 64 -> 128 bit multiplication, eight bytes a step. The key is random per process, so
 * that a client cannot choose colliding names; tables still compare the whole key on a match.
 */
#ifndef BASE_HASH_H
#define BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

/* The hash of `bytes_len` bytes under `key`. Hashes of several parts are chained: the hash of one
 * is the key of the next. */
uint64_t hash_bytes(uint64_t key, const void *bytes, size_t bytes_len) __asm__(
    "howdah_hash_bytes"); /* to the linker: libpg_query exports a hash_bytes, too */

/* Mixes one word; for keys that are numbers already. */
uint64_t hash_word(uint64_t key, uint64_t word);

#endif
