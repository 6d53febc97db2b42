/* Tombstones: channels that say which others a session listens to no more (pool/listen.h).
 *
 * The name is a prefix and the hash of the channel's name, or a star for all of them: so it is
 * short enough for any channel, and needs no quoting but the quotes.
 */
#ifndef POOL_TOMB_H
#define POOL_TOMB_H

#include <stdbool.h>
#include <stdint.h>

struct sql_lexer;

enum { TOMB_BYTES = 40 };

/* The next UNLISTEN of the text, and its tombstone, with the lexer behind it. Channels that
 * can't be read (U&"...") are passed over. False: there is none. */
bool tomb_next(uint64_t hash_key, struct sql_lexer *lexer, char tomb[TOMB_BYTES]);

/* Whether a channel is a tombstone. */
bool tomb_is(const char *name);

/* The hash, under the same key, of the name (without its NUL) of the channel whose tombstone it is.
 * False: it is that of all channels. */
bool tomb_read(const char *tomb, uint64_t *ret_hash);

#endif
