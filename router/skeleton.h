/* A statement without its values: the key under which plans are kept.
 *
 * Of SQL text one pass makes its skeleton, a canonical SQL text:
 *
 *   SELECT a  FROM t WHERE aid = 4711 -- x         select a from t where aid=0
 *   insert into t values (1,'a'),(2,'b'),(3,'c')   insert into t values(0,''),(0,'')
 *   select * from t where a in ($1, $2, $3)        select*from t where a in($1,$0)
 *
 *   - words are lower-case (ASCII letters only), blanks and comments are one separator or none;
 *   - a literal is a placeholder of its class, which is what the server's resolution of types sees
 *     of it: 0 (int4), 9000000000 (int8), 0.0 (numeric), '' (unknown), b'' and x'' (bit);
 *   - from the second element of VALUES, IN and ARRAY lists a parameter is $0; from the third on an
 *     element that equals the one before it is left out;
 *   - literals that decide what the statement is stay as they are: positions in ORDER BY, GROUP BY
 *     and DISTINCT ON, names given to nextval, currval, setval, set_config, current_setting and
 *     to_regclass, whatever is cast to a reg... type, U&'' strings, and all of them in statements
 *     other than SELECT, INSERT, UPDATE, DELETE, MERGE, WITH, VALUES and TABLE.
 *
 * So a plan is a function of the skeleton: parse the skeleton itself, never the text. It is SQL if
 * the text is, with the same tables, functions and shape, and if the text is none it isn't either,
 * but for a bad escape in an E'' string. The location of a constant in it is the `place` of the
 * literals that stood there (several where a list was folded). Its size and the depth of its tree
 * are bounded (base/limits.h), so that the parser can't be driven to the end of its stack or of our
 * patience.
 *
 * What can't have a skeleton is opaque, with the reason; its verb is still told.
 *
 * The caller sees to two things first: standard_conforming_strings is on, and client_encoding is
 * one in which no byte of a multi-byte character looks like ASCII (not SJIS, BIG5, GBK, UHC, JOHAB,
 * GB18030, SHIFT_JIS_2004). Where it isn't so, sql_verb_read() is all that may be asked.
 */
#ifndef ROUTER_SKELETON_H
#define ROUTER_SKELETON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/limits.h"
#include "protocol/sql_verb.h"

enum skeleton_opaque {
    SKELETON_CLEAR,     /* not opaque: there is a skeleton */
    SKELETON_LONG_TEXT, /* more than LIMIT_SKELETON_TEXT_BYTES */
    SKELETON_LONG,      /* more than LIMIT_SKELETON_BYTES or _TOKENS, or than there is room */
    SKELETON_DEEP,      /* more than LIMIT_SKELETON_DEPTH */
    SKELETON_LEXICAL,   /* an unterminated literal, a byte or number no token begins with */
};

enum skeleton_kind {
    SKELETON_INT4,      /* an integer up to 2147483647 */
    SKELETON_INT8,      /* one that needs bigint */
    SKELETON_NUMERIC,   /* a decimal, one with an exponent, an integer beyond bigint */
    SKELETON_STRING,    /* '', E'' and $$ $$: of type unknown until the server has resolved it */
    SKELETON_BIT,       /* b'' */
    SKELETON_HEX,       /* x'' */
    SKELETON_PARAMETER, /* $n of a folded list; one that is $n in the skeleton too isn't listed */
    SKELETON_KINDS
};

struct skeleton_literal {
    uint32_t at;    /* in the text: of the token, with quotes and prefix */
    uint32_t len;   /* of the token; continued strings with all of their parts */
    uint32_t place; /* in the skeleton: of its placeholder */
    enum skeleton_kind kind;
};

/* What the caller lends: room for the skeleton and for the literals, and the key of the hash. */
struct skeleton_room {
    uint8_t *bytes;
    struct skeleton_literal *literals;
    uint32_t bytes_max;    /* LIMIT_SKELETON_ROOM_BYTES is always enough */
    uint32_t literals_max; /* LIMIT_SKELETON_LITERALS, or less */
    uint64_t hash_key;     /* random, the same for all skeletons that are compared */
};

struct skeleton {
    enum sql_verb verb;
    enum skeleton_opaque opaque;

    /* The skeleton, in the room's bytes; nothing if opaque or of an empty text. */
    const uint8_t *bytes;
    uint32_t len;
    uint64_t hash;

    /* The statement in the text: its first token to the end of its last one, without a semicolon;
     * and where the next statement may begin: the text's length if there is none. An opaque
     * statement takes all that is left. */
    uint32_t start;
    uint32_t end;
    uint32_t next;

    /* In the order of the text, in the room's literals. What didn't fit isn't listed. */
    const struct skeleton_literal *literals;
    uint32_t literal_count;
    bool literals_cut;

    bool folded;  /* an element of a list was left out */
    bool has_now; /* a string of a SELECT, WITH or VALUES may be a time that moves: 'now', 'today'.
                         Of this text, not of its skeleton: ask each time */
    uint32_t hint_at; /* behind "howdah:" of the last comment that has it, in the text; its bytes */
    uint32_t hint_len; /* up to the comment's end */
    bool has_hint;
};

/* The skeleton of the first statement of `text` that is not empty; for those behind it call it
 * again with what is left from `next` on: offsets are relative to `text`. All of `ret` is set. */
void skeleton_make(const char *text, size_t len, const struct skeleton_room *room,
                   struct skeleton *ret);

/* The name of a reason, for logs and EXPLAIN; static storage. */
const char *skeleton_opaque_text(enum skeleton_opaque opaque);

#endif
