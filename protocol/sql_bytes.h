/* The bytes of SQL: what a token may begin with, and words read sixteen bytes at a time.
 *
 * Words and numbers are short and of all lengths: a loop over their bytes costs a wrong guess of
 * the processor at the end of each. The vectors are the compilers' own (gcc, clang), so they are
 * the same on every machine.
 */
#ifndef PROTOCOL_SQL_BYTES_H
#define PROTOCOL_SQL_BYTES_H

#include <endian.h>
#include <stdint.h>
#include <string.h>

/* The low bits of a byte's class say how a token begins with it, the others where it may stand. */
enum sql_first {
    SQL_FIRST_OTHER,
    SQL_FIRST_WORD,
    SQL_FIRST_PREFIX, /* a letter that may belong to a literal: b e n u x */
    SQL_FIRST_DIGIT,
    SQL_FIRST_SELF, /* a token of its own, whatever follows */
    SQL_FIRST_OPERATOR,
    SQL_FIRST_QUOTE,
    SQL_FIRST_DOUBLE_QUOTE,
    SQL_FIRST_DOLLAR,
    SQL_FIRST_DOT,
    SQL_FIRST_COLON,
    SQL_FIRST_COMMENT, /* a minus or a slash: an operator, or a comment with the byte behind it */
    SQL_FIRST_SPACE,
};

#define SQL_FIRST_MASK 0x0fu
#define SQL_IN_WORD 0x10u
#define SQL_IN_OPERATOR 0x20u
#define SQL_NOT_STANDARD 0x40u /* an operator with it may end in + or - */
#define SQL_IN_TAG 0x80u       /* of $tag$, which has no $ in it */

extern const uint8_t sql_byte_class[256];

static inline enum sql_first sql_byte_first(uint8_t byte)
{
    return (enum sql_first)(sql_byte_class[byte] & SQL_FIRST_MASK);
}

#define SQL_VECTOR_BYTES 16

typedef uint8_t sql_vector __attribute__((vector_size(SQL_VECTOR_BYTES)));
typedef uint64_t sql_halves __attribute__((vector_size(SQL_VECTOR_BYTES)));

/* How many of these sixteen bytes, from the first on, a word can have; and, if ret_lower is not
 * NULL, all of them with ASCII letters in lower case. */
static inline uint32_t sql_bytes_word(const uint8_t *bytes, uint8_t *ret_lower)
{
    sql_vector all;
    memcpy(&all, bytes, sizeof(all));
    sql_vector letters = (sql_vector)((all | 0x20) - 'a' < 26);
    sql_vector others = (sql_vector)(all - '0' < 10) | (sql_vector)(all == '_') |
                        (sql_vector)(all == '$') | (sql_vector)(all >= 0x80);
    if (ret_lower != NULL) {
        sql_vector lower = all | (letters & 0x20);
        memcpy(ret_lower, &lower, sizeof(lower));
    }
    sql_halves outside = ~(sql_halves)(letters | others);
    uint64_t low = le64toh(outside[0]), high = le64toh(outside[1]);
    if (low != 0) {
        return (uint32_t)__builtin_ctzll(low) / 8;
    }
    return high != 0 ? 8 + (uint32_t)__builtin_ctzll(high) / 8 : SQL_VECTOR_BYTES;
}

#endif
