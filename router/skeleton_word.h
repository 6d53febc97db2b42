/* Words that mean something to the making of a skeleton (router/skeleton_word.def), found by a hash
 * without collisions among them.
 */
#ifndef ROUTER_SKELETON_WORD_H
#define ROUTER_SKELETON_WORD_H

#include <endian.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

enum skeleton_role {
    ROLE_CLAUSE = 1 << 0,    /* begins a clause: ends an expression and a list of positions */
    ROLE_PART = 1 << 1,      /* ends an expression */
    ROLE_ARM = 1 << 2,       /* ends a chain of joins */
    ROLE_JOIN = 1 << 3,      /* is one more join in it */
    ROLE_SET = 1 << 4,       /* is one more query of a UNION, INTERSECT or EXCEPT */
    ROLE_OPERATOR = 1 << 5,  /* is an operator, as the depth of the parser's tree goes */
    ROLE_CASE = 1 << 6,      /* opens a level */
    ROLE_END = 1 << 7,       /* closes it */
    ROLE_BY = 1 << 8,        /* a list of positions follows */
    ROLE_POSITIONS = 1 << 9, /* an integer right behind it may be a position */
    ROLE_DISTINCT = 1 << 10, /* DISTINCT FROM is no clause, and DISTINCT ON has positions */
    ROLE_ON = 1 << 11,
    ROLE_FROM = 1 << 12,
    ROLE_QUERY = 1 << 13,     /* begins a query: what follows IN ( is no list */
    ROLE_VALUES = 1 << 14,    /* rows follow */
    ROLE_IN = 1 << 15,        /* a bracket may follow that opens a list */
    ROLE_ARRAY = 1 << 16,     /* likewise */
    ROLE_KEEP = 1 << 17,      /* a function or type: its first argument stays */
    ROLE_REG = 1 << 18,       /* a type that reads names: what is cast to it stays */
    ROLE_NAME = 1 << 19,      /* means it also in quotes, and with a schema before it */
    ROLE_KEEP_NEXT = 1 << 20, /* the literal behind it stays */
    ROLE_LONE = 1 << 21,      /* must not touch what follows: U & 'x' is not U&'x' */
};

struct skeleton_word {
    _Alignas(32) char text[24];
    uint32_t roles;
};

#define SKELETON_WORD_SLOTS 256

extern const struct skeleton_word skeleton_word[SKELETON_WORD_SLOTS];

/* A word in lower case, little-endian and 0 behind its end; longer words have no roles. */
struct skeleton_word_key {
    uint64_t part[3];
};

static inline uint32_t skeleton_word_slot(const struct skeleton_word_key *key)
{
    return (uint32_t)((key->part[0] + 3 * key->part[1]) * 0x605481a4fd0f54b3u >> 56);
}

static inline uint32_t skeleton_word_roles(const struct skeleton_word_key *key)
{
    const struct skeleton_word *word = &skeleton_word[skeleton_word_slot(key)];
    uint64_t text[3];
    memcpy(&text[0], word->text, 8);
    if (le64toh(text[0]) != key->part[0]) {
        return 0;
    }
    memcpy(&text[1], word->text + 8, 16);
    return le64toh(text[1]) == key->part[1] && le64toh(text[2]) == key->part[2] ? word->roles : 0;
}

#endif
