#include "router/plan_memo.h"

#include <string.h>

#include "base/hash.h"
#include "router/plan.h"

/* What a byte means where no quote or comment is open. */
enum byte_class { OTHER, WORD, DIGIT, MINUS, CARE };

/* WORD: what a digit may follow without beginning a number, a parameter's $ and a point among it.
 * CARE: what only the lexer can read. A slash may begin a comment, and so may two MINUS. */
static const uint8_t classes[256] = {
    ['\0'] = CARE,        ['\''] = CARE,         ['"'] = CARE,         ['\\'] = CARE,
    ['/'] = CARE,         ['-'] = MINUS,         ['$'] = WORD,         ['_'] = WORD,
    ['.'] = WORD,         ['0' ... '9'] = DIGIT, ['a' ... 'z'] = WORD, ['A' ... 'Z'] = WORD,
    [128 ... 255] = WORD,
};

/* Past the integer at `at`; NULL when that is more than an integer: 1.5, 1e5, or an error. */
static const uint8_t *past_integer(const uint8_t *at, const uint8_t *end)
{
    while (at < end && classes[*at] == DIGIT) {
        at++;
    }
    return at < end && classes[*at] == WORD ? NULL : at;
}

bool plan_memo_squeeze(const char *text, uint32_t len, uint64_t hash_key,
                       struct plan_memo_key *ret_key)
{
    const uint8_t *at = (const uint8_t *)text, *end = at + len;
    uint8_t *to = ret_key->text, before = OTHER;
    if (len > PLAN_MEMO_TEXT_BYTES) {
        return false;
    }
    while (at < end) {
        uint8_t class = classes[*at];
        if (class <= WORD) {
            before = class;
        } else if (class == DIGIT && before == OTHER) {
            at = past_integer(at, end);
            if (at == NULL) {
                return false;
            }
            *to++ = '0';
            continue;
        } else if (class == MINUS && (end - at == 1 || at[1] != '-')) {
            before = OTHER;
        } else if (class != DIGIT) {
            return false;
        }
        *to++ = *at++;
    }
    ret_key->bytes = (uint32_t)(to - ret_key->text);
    ret_key->hash = hash_bytes(hash_key, ret_key->text, ret_key->bytes);
    return true;
}

struct plan *plan_memo_find(const struct plan_memo_slot *slots, const struct plan_memo_key *key)
{
    const struct plan_memo_slot *slot = &slots[key->hash % PLAN_MEMO_SLOTS];
    return slot->plan != NULL && slot->bytes == key->bytes &&
                   memcmp(slot->text, key->text, key->bytes) == 0
               ? slot->plan
               : NULL;
}

void plan_memo_keep(struct plan_memo_slot *slots, const struct plan_memo_key *key,
                    struct plan *plan)
{
    struct plan_memo_slot *slot = &slots[key->hash % PLAN_MEMO_SLOTS];
    if ((plan->class != PLAN_READ && plan->class != PLAN_WRITE) || plan->settings_count > 0) {
        return;
    }
    plan_ref(plan);
    plan_unref(slot->plan);
    slot->plan = plan;
    slot->bytes = key->bytes;
    memcpy(slot->text, key->text, key->bytes);
}

void plan_memo_clear(struct plan_memo_slot *slots)
{
    for (uint32_t i = 0; i < PLAN_MEMO_SLOTS; i++) {
        plan_unref(slots[i].plan);
        slots[i].plan = NULL;
    }
}
