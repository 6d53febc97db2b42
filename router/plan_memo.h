/* A quick way to the plan of a text that was seen before but for its integers and strings.
 *
 * A skeleton costs as much as all the rest of a short query. Where a text has no comment, quoted
 * name or other letter that would need the lexer's care, what lies between its integers and
 * strings, its *pieces*, is kept with its plan; a text with the same pieces and any others between
 * them has the same plan:
 *
 *    select a from t where i = 4711 and s = 'x'
 *    |--------- 1 -----------|    |-- 2 --|  3      (a string's quotes are of the pieces)
 *
 * A string is '...' without a quote or backslash in it, so that any server ends it where we do.
 * Only plans that none of them can change are kept: of queries that read and write rows, and set
 * nothing, and whose skeleton has no string but ''; and of BEGIN, COMMIT and their kin without any.
 * Who asks remembers where the last answer was, and mostly asks for the same again.
 */
#ifndef ROUTER_PLAN_MEMO_H
#define ROUTER_PLAN_MEMO_H

#include <stdbool.h>
#include <stdint.h>

struct plan;

enum {
    PLAN_MEMO_TEXT_BYTES = 232,
    PLAN_MEMO_PIECES = 15,
    PLAN_MEMO_SETS = 128,
    PLAN_MEMO_WAYS = 4, /* texts that differ in digits alone, as t1 and t2, share a set */
};

struct plan_memo_slot {
    struct plan *plan; /* a reference, or NULL */
    uint8_t piece_count;
    uint8_t pieces[PLAN_MEMO_PIECES];   /* how long each is; the last may be empty */
    uint8_t text[PLAN_MEMO_TEXT_BYTES]; /* one piece behind the other */
};

struct plan_memo {
    uint32_t keeps;
    struct plan_memo_slot slots[PLAN_MEMO_SETS * PLAN_MEMO_WAYS]; /* set by set */
};

/* The memo, empty; NULL when memory is out. Freed with all its references. */
struct plan_memo *plan_memo_new(void);
void plan_memo_free(struct plan_memo *memo);

/* The plan kept for such a text, borrowed, and where it was found; NULL when there is none. */
struct plan *plan_memo_find(const struct plan_memo *memo, const char *text, uint32_t len,
                            uint16_t *ret_slot);

/* The same for who mostly asks for the same again: *slot is looked at first, and is where it was
 * found afterwards; any number below the slots' will do at the beginning. */
struct plan *plan_memo_find_again(const struct plan_memo *memo, const char *text, uint32_t len,
                                  uint16_t *slot);

/* Keeps the plan, in place of another of the same set, if the text can be cut into pieces and no
 * integer or string can change the plan. The text has none in the memo. */
void plan_memo_keep(struct plan_memo *memo, const char *text, uint32_t len, struct plan *plan);

#endif
