#include "router/plan_memo.h"

#include <stdlib.h>
#include <string.h>

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

static bool is_digit(uint8_t byte)
{
    return byte >= '0' && byte <= '9';
}

struct plan_memo *plan_memo_new(void)
{
    return calloc(1, sizeof(struct plan_memo));
}

void plan_memo_free(struct plan_memo *memo)
{
    for (uint32_t i = 0; memo != NULL && i < PLAN_MEMO_SETS * PLAN_MEMO_WAYS; i++) {
        plan_unref(memo->slots[i / PLAN_MEMO_WAYS][i % PLAN_MEMO_WAYS].plan);
    }
    free(memo);
}

/* --- finding ---------------------------------------------------------------------------------- */

/* The sum of a word's letters, eight bytes at once: letters have the bit 0x40, which digits have
 * not. Of each only the low five bits count, so that the sum fits the product's highest byte. */
static uint64_t sum_of_letters(uint64_t word)
{
    const uint64_t ones = UINT64_C(0x0101010101010101);
    uint64_t letters = word & ones * 0x40;
    uint64_t low_bits = (letters >> 1) - (letters >> 6); /* 0x1f for each */
    return (word & low_bits) * ones >> 56;
}

/* By its letters, wherever they stand: the same for any integers. */
static uint32_t set_of(const uint8_t *text, uint32_t len)
{
    uint64_t sum = 0, word;
    const uint8_t *at = text, *words_end = text + (len & ~(uint32_t)7);
    for (; at < words_end; at += sizeof(word)) {
        memcpy(&word, at, sizeof(word));
        sum += sum_of_letters(word);
    }
    word = 0;
    memcpy(&word, at, len & 7);
    return (uint32_t)(sum + sum_of_letters(word)) % PLAN_MEMO_SETS;
}

/* Whether the text is the slot's pieces with integers between them. Behind an integer no letter can
 * follow: the next piece has none in front, and the last is the text's end. */
static bool is_kept(const struct plan_memo_slot *slot, const uint8_t *text, uint32_t len)
{
    const uint8_t *at = text, *end = text + len, *kept = slot->text;
    for (uint32_t i = 0; i < slot->piece_count; i++) {
        uint32_t piece = slot->pieces[i];
        if (i > 0) {
            const uint8_t *number = at;
            while (at < end && is_digit(*at)) {
                at++;
            }
            if (at == number) {
                return false;
            }
        }
        if (piece > (uint32_t)(end - at) || memcmp(at, kept, piece) != 0) {
            return false;
        }
        at += piece;
        kept += piece;
    }
    return slot->piece_count > 0 && at == end;
}

struct plan *plan_memo_find(const struct plan_memo *memo, const char *text, uint32_t len)
{
    if (len > PLAN_MEMO_TEXT_BYTES) {
        return NULL;
    }
    const struct plan_memo_slot *slots = memo->slots[set_of((const uint8_t *)text, len)];
    for (uint32_t i = 0; i < PLAN_MEMO_WAYS; i++) {
        if (is_kept(&slots[i], (const uint8_t *)text, len)) {
            return slots[i].plan;
        }
    }
    return NULL;
}

/* --- keeping ---------------------------------------------------------------------------------- */

/* Past the integer at `at`; NULL when that is more than an integer: 1.5, 1e5, or an error. */
static const uint8_t *past_integer(const uint8_t *at, const uint8_t *end)
{
    while (at < end && is_digit(*at)) {
        at++;
    }
    return at < end && classes[*at] == WORD ? NULL : at;
}

static bool end_piece(struct plan_memo_slot *slot, const uint8_t *piece, const uint8_t *end,
                      uint32_t *text_bytes)
{
    uint32_t len = (uint32_t)(end - piece);
    if (slot->piece_count == PLAN_MEMO_PIECES) {
        return false;
    }
    memcpy(slot->text + *text_bytes, piece, len);
    slot->pieces[slot->piece_count++] = (uint8_t)len;
    *text_bytes += len;
    return true;
}

/* Whether the byte at `at`, which is no integer's, means what it seems to. */
static bool is_plain(const uint8_t *at, const uint8_t *end)
{
    uint8_t class = classes[*at];
    return class != CARE && (class != MINUS || end - at == 1 || at[1] != '-');
}

/* Fills the slot's pieces. False when the text can't be cut without a lexer, or into so few. */
static bool cut(struct plan_memo_slot *slot, const uint8_t *text, uint32_t len)
{
    const uint8_t *at = text, *end = text + len, *piece = text;
    uint8_t before = OTHER;
    uint32_t text_bytes = 0;
    if (len > PLAN_MEMO_TEXT_BYTES) {
        return false;
    }
    while (at < end) {
        if (classes[*at] == DIGIT && before == OTHER) {
            const uint8_t *past = past_integer(at, end);
            if (past == NULL || !end_piece(slot, piece, at, &text_bytes)) {
                return false;
            }
            at = piece = past;
            continue;
        }
        if (!is_plain(at, end)) {
            return false;
        }
        before = classes[*at] == WORD || classes[*at] == DIGIT ? WORD : OTHER;
        at++;
    }
    return end_piece(slot, piece, end, &text_bytes);
}

void plan_memo_keep(struct plan_memo *memo, const char *text, uint32_t len, struct plan *plan)
{
    struct plan_memo_slot fresh = {.plan = plan};
    bool reads_or_writes =
        (plan->class == PLAN_READ || plan->class == PLAN_WRITE) && plan->settings_count == 0;
    if ((!reads_or_writes && plan->control == PLAN_CONTROL_NONE) ||
        !cut(&fresh, (const uint8_t *)text, len) || (!reads_or_writes && fresh.piece_count > 1)) {
        return;
    }
    struct plan_memo_slot *slots = memo->slots[set_of((const uint8_t *)text, len)];
    struct plan_memo_slot *slot = &slots[memo->keeps++ % PLAN_MEMO_WAYS];
    plan_ref(plan);
    plan_unref(slot->plan);
    *slot = fresh;
}
