/* A quick way to the plan of a text that was seen before but for its integers.
 *
 * A skeleton costs as much as all the rest of a short query. Where a text has no quote, comment or
 * other letter that would need the lexer's care, it is *squeezed*: each integer becomes a 0. What
 * is left finds its plan by one comparison. Only plans that no integer can change are kept: of
 * queries that read and write rows, and set nothing.
 */
#ifndef ROUTER_PLAN_MEMO_H
#define ROUTER_PLAN_MEMO_H

#include <stdbool.h>
#include <stdint.h>

struct plan;

enum { PLAN_MEMO_TEXT_BYTES = 236, PLAN_MEMO_SLOTS = 512 };

struct plan_memo_slot {
    struct plan *plan; /* a reference, or NULL */
    uint32_t bytes;
    uint8_t text[PLAN_MEMO_TEXT_BYTES];
};

/* A text squeezed. */
struct plan_memo_key {
    uint64_t hash;
    uint32_t bytes;
    uint8_t text[PLAN_MEMO_TEXT_BYTES];
};

/* False when the text can't be squeezed. */
bool plan_memo_squeeze(const char *text, uint32_t len, uint64_t hash_key,
                       struct plan_memo_key *ret_key);

/* The plan kept for the key, borrowed; NULL when there is none. */
struct plan *plan_memo_find(const struct plan_memo_slot *slots, const struct plan_memo_key *key);

/* Keeps the plan, in place of another that has the same slot, if integers can't change it. */
void plan_memo_keep(struct plan_memo_slot *slots, const struct plan_memo_key *key,
                    struct plan *plan);

/* Gives all references back. */
void plan_memo_clear(struct plan_memo_slot *slots);

#endif
