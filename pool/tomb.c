#include "pool/tomb.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/limits.h"
#include "protocol/sql_lexer.h"

#define TOMB_PREFIX "howdah unlisten "

enum { TOMB_PREFIX_LEN = sizeof(TOMB_PREFIX) - 1 };

/* The channel's name as the server will read it (scansup.c), without its NUL: the length; 0 when it
 * is none that we can read. */
static uint32_t read_name(const struct sql_lexer *lexer, const struct sql_token *token,
                          char name[LIMIT_NAME_BYTES])
{
    const uint8_t *at = lexer->bytes + token->at, *end = at + token->len;
    bool quoted = token->kind == SQL_QUOTED;
    uint32_t len = 0;
    if (!quoted && token->kind != SQL_WORD) {
        return 0;
    }
    for (at += quoted, end -= quoted; at < end && len < LIMIT_NAME_BYTES; at++) {
        at += quoted && *at == '"'; /* each is doubled */
        bool folds = !quoted && *at >= 'A' && *at <= 'Z';
        name[len++] = (char)(folds ? *at + ('a' - 'A') : *at);
    }
    bool cut = len == LIMIT_NAME_BYTES;
    len -= cut;
    while (cut && len > 0 && ((uint8_t)name[len] & 0xC0) == 0x80) {
        len--; /* no part of a character stays */
    }
    return len;
}

/* The tombstone of the channel, or the star, behind UNLISTEN. False: it can't be read. */
static bool make_tomb(uint64_t hash_key, const struct sql_lexer *lexer,
                      const struct sql_token *token, char tomb[TOMB_BYTES])
{
    char name[LIMIT_NAME_BYTES];
    if (sql_token_is_self(lexer, token, '*')) {
        snprintf(tomb, TOMB_BYTES, TOMB_PREFIX "*");
        return true;
    }
    uint32_t len = read_name(lexer, token, name);
    snprintf(tomb, TOMB_BYTES, TOMB_PREFIX "%016llx",
             (unsigned long long)hash_bytes(hash_key, name, len));
    return len > 0;
}

bool tomb_next(uint64_t hash_key, struct sql_lexer *lexer, char tomb[TOMB_BYTES])
{
    struct sql_token token;
    bool begins = true;
    while (sql_lexer_next(lexer, &token) > SQL_END) {
        if (begins && sql_token_is(lexer, &token, "unlisten") &&
            sql_lexer_next(lexer, &token) > SQL_END && make_tomb(hash_key, lexer, &token, tomb)) {
            return true;
        }
        begins = sql_token_is_self(lexer, &token, ';');
    }
    return false;
}

bool tomb_is(const char *name)
{
    return strncmp(name, TOMB_PREFIX, TOMB_PREFIX_LEN) == 0;
}

bool tomb_read(const char *tomb, uint64_t *ret_hash)
{
    const char *which = tomb + TOMB_PREFIX_LEN;
    *ret_hash = strtoull(which, NULL, 16);
    return strcmp(which, "*") != 0;
}
