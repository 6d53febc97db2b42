/* A quick way to the plan of a text that was seen before but for its integers.
 *
 * A skeleton costs as much as all the rest of a short query. Where a text has no quote, comment or
 * other letter that would need the lexer's care, what lies between its integers, its *pieces*, is
 * kept with its plan; a text with the same pieces and any integers between them has the same plan.
 * Only plans that no integer can change are kept: of queries that read and write rows, and set
 * nothing; and of BEGIN, COMMIT and their kin without any.
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
    struct plan_memo_slot slots[PLAN_MEMO_SETS][PLAN_MEMO_WAYS];
};

/* The memo, empty; NULL when memory is out. Freed with all its references. */
struct plan_memo *plan_memo_new(void);
void plan_memo_free(struct plan_memo *memo);

/* The plan kept for such a text, borrowed; NULL when there is none. */
struct plan *plan_memo_find(const struct plan_memo *memo, const char *text, uint32_t len);

/* Keeps the plan, in place of another of the same set, if the text can be cut into pieces and no
 * integer can change the plan. The text has none in the memo. */
void plan_memo_keep(struct plan_memo *memo, const char *text, uint32_t len, struct plan *plan);

#endif
