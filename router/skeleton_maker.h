/* The inside of a skeleton's making, shared by its files: what is known at a token.
 */
#ifndef ROUTER_SKELETON_MAKER_H
#define ROUTER_SKELETON_MAKER_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/limits.h"
#include "protocol/sql_lexer.h"
#include "protocol/sql_split.h"
#include "router/skeleton.h"

/* Lists that are folded may stand in one another this deep; deeper ones are written out. */
#define FOLDS_MAX 8

/* Tokens of an element that is seen at once */
#define FOLD_PIECES_MAX 96

#define NO_LEVEL UINT32_MAX

/* What a token is to its neighbours: whether there must be a space between them. */
enum glue {
    GLUE_NONE, /* before the first token */
    GLUE_WORD,
    GLUE_LITERAL,
    GLUE_OPERATOR,
    GLUE_OPEN,
    GLUE_CLOSE,
    GLUE_COMMA,
    GLUE_DOT,
    GLUE_CAST,
    GLUE_APART, /* a space on both sides, to be sure */
    GLUE_COUNT
};

/* [before][behind]. Where a space may be left out, the lexer finds the same two tokens. */
static const bool skeleton_has_space[GLUE_COUNT][GLUE_COUNT] = {
    [GLUE_WORD] = {[GLUE_WORD] = true, [GLUE_LITERAL] = true, [GLUE_APART] = true},
    [GLUE_LITERAL] =
        {[GLUE_WORD] = true, [GLUE_LITERAL] = true, [GLUE_DOT] = true, [GLUE_APART] = true},
    [GLUE_OPERATOR] =
        {[GLUE_OPERATOR] = true, [GLUE_DOT] = true, [GLUE_CAST] = true, [GLUE_APART] = true},
    [GLUE_CLOSE] = {[GLUE_APART] = true},
    [GLUE_DOT] =
        {[GLUE_LITERAL] = true, [GLUE_DOT] = true, [GLUE_CAST] = true, [GLUE_APART] = true},
    [GLUE_CAST] = {[GLUE_LITERAL] = true,
                   [GLUE_OPERATOR] = true,
                   [GLUE_DOT] = true,
                   [GLUE_CAST] = true,
                   [GLUE_APART] = true},
    [GLUE_APART] = {[GLUE_WORD] = true,
                    [GLUE_LITERAL] = true,
                    [GLUE_OPERATOR] = true,
                    [GLUE_DOT] = true,
                    [GLUE_CAST] = true,
                    [GLUE_APART] = true},
};

/* A level of the statement: between brackets, or CASE and END; the first is the statement itself.
 * What it counts bounds the depth of the parser's tree below it. */
struct level {
    uint16_t operators; /* since the expression began */
    uint16_t joins;     /* since FROM or a comma */
    uint16_t sets;      /* of UNION and the like */
    char opener;        /* ( [ or C for CASE */
    bool positions;     /* in ORDER BY and the like: integers between commas are positions */
};

/* A list that is being folded. */
struct fold {
    uint32_t level;          /* its elements are parted by commas on this level */
    uint32_t start;          /* of the element that is being written, in the skeleton */
    uint32_t kept, kept_len; /* the last complete element that is there */
    uint32_t literal;        /* the first literal of the element being written */
    uint32_t elements;       /* complete ones, up to two */
    bool rows;               /* of VALUES: each element is a bracket */
    uint8_t piece_count;     /* of the kept element, if it is of plain literals alone; else 0 */
    uint8_t pieces[FOLD_PIECES_MAX];
};

struct maker {
    struct sql_lexer lexer;
    const struct skeleton_room *room;
    struct skeleton *ret;
    uint8_t *out;
    uint32_t len;
    uint32_t len_max;
    uint32_t literal_count; /* all, also those that are not in the list */
    enum glue glue;         /* of the token before */
    uint32_t roles;         /* likewise, of a word */
    char self;              /* likewise, if it was of the kind SQL_SELF; else 0 */
    bool hurry;             /* short tokens may be taken without the lexer */
    bool keep_all;          /* literals of this statement stay */
    bool times;             /* strings may be times that move */
    bool keep_named;        /* the arguments of this call have names: all of them stay */
    bool is_string;         /* the last literal is a string that a cast to follow may make stay */
    uint32_t string;        /* that literal's place */
    uint32_t string_at;     /* and where it is in the text */
    uint32_t string_len;
    uint32_t keep_level; /* literals stay until a comma on this level; 0 if none is open */
    uint32_t weight;     /* what the open levels count, and themselves */
    uint32_t level;      /* of those in `levels` */
    uint32_t folds_open;
    uint32_t fold_level; /* of the last of them; none has NO_LEVEL */
    uint32_t folds_rest; /* of these, those behind their first element */
    struct sql_splitter splitter;
    struct fold *folds;
    struct level *levels;
};

static inline void refuse(struct maker *maker, enum skeleton_opaque why)
{
    maker->hurry = false;
    if (maker->ret->opaque == SKELETON_CLEAR) {
        maker->ret->opaque = why;
    }
}

/* Whether there is room for so much, a space before it and eight bytes behind it. */
static inline bool make_room(struct maker *maker, uint32_t len)
{
    if (maker->len_max - maker->len > len) {
        return true;
    }
    refuse(maker, SKELETON_LONG);
    return false;
}

static inline void put_space(struct maker *maker, enum glue glue)
{
    maker->out[maker->len] = ' ';
    maker->len += skeleton_has_space[maker->glue][glue];
    maker->glue = glue;
}

static inline void put_byte(struct maker *maker, enum glue glue, char byte)
{
    if (make_room(maker, 1)) {
        put_space(maker, glue);
        maker->out[maker->len++] = (uint8_t)byte;
    }
}

static inline struct level *level_now(struct maker *maker)
{
    return &maker->levels[maker->level];
}

static inline void add_weight(struct maker *maker, uint16_t *count)
{
    ++*count;
    if (++maker->weight > LIMIT_SKELETON_DEPTH) {
        refuse(maker, SKELETON_DEEP);
    }
}

static inline void forget(struct maker *maker, uint16_t *count)
{
    maker->weight -= *count;
    *count = 0;
}

static inline bool is_fold_level(const struct maker *maker)
{
    return maker->fold_level == maker->level;
}

/* --- lists that are folded (skeleton_fold.c) -------------------------------------------------- */

/* Begins a list with its first element here; parted by commas on that level. */
void skeleton_fold_open(struct maker *maker, uint32_t level, bool rows);

/* Ends the last list that was begun, with its last element. */
void skeleton_fold_close(struct maker *maker);

/* For a token on the level of the last list, before it is written: its character, if it is of the
 * kind SQL_SELF. */
void skeleton_fold_meet(struct maker *maker, char self);

/* The last list is a query in brackets, if it has just begun. */
void skeleton_fold_drop(struct maker *maker);

/* Behind the comma that begins an element. As many elements as are seen at once to be what would be
 * left out are passed over. */
void skeleton_fold_next(struct maker *maker);

#endif
