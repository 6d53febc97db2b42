#include "router/plan_memo.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "router/plan.h"

/* What a byte means where no string or comment is open. */
enum byte_class { OTHER, WORD, DIGIT, MINUS, DOLLAR, CARE };

/* WORD: what a digit may follow without beginning a number, a point among it. DOLLAR: a
 * parameter's, or of a string. CARE: what only the lexer can read. A slash may begin a comment, and
 * so may two MINUS. Single quotes are looked for before. */
static const uint8_t classes[256] = {
    ['\0'] = CARE,        ['\''] = OTHER,        ['"'] = CARE,         ['\\'] = CARE,
    ['/'] = CARE,         ['-'] = MINUS,         ['$'] = DOLLAR,       ['_'] = WORD,
    ['.'] = WORD,         ['0' ... '9'] = DIGIT, ['a' ... 'z'] = WORD, ['A' ... 'Z'] = WORD,
    [128 ... 255] = WORD,
};

static bool is_digit(uint8_t byte)
{
    return byte >= '0' && byte <= '9';
}

static const uint8_t *past_digits(const uint8_t *at, const uint8_t *end)
{
    while (at < end && is_digit(*at)) {
        at++;
    }
    return at;
}

/* From behind a string's quote to its other quote, or to what no string here may have. */
static const uint8_t *past_string(const uint8_t *at, const uint8_t *end)
{
    while (at < end && *at != '\'' && *at != '\\' && *at != '\0') {
        at++;
    }
    return at;
}

struct plan_memo *plan_memo_new(void)
{
    return calloc(1, sizeof(struct plan_memo));
}

void plan_memo_free(struct plan_memo *memo)
{
    for (uint32_t i = 0; memo != NULL && i < PLAN_MEMO_SETS * PLAN_MEMO_WAYS; i++) {
        plan_unref(memo->slots[i].plan);
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

/* The first slot of the text's set: by its letters up to the first string, wherever they stand, so
 * the same for any integers and strings. */
static uint16_t set_of(const uint8_t *text, uint32_t len)
{
    uint64_t sum = 0, word;
    const uint8_t *quote = memchr(text, '\'', len);
    len = quote == NULL ? len : (uint32_t)(quote - text);
    const uint8_t *at = text, *words_end = text + (len & ~(uint32_t)7);
    for (; at < words_end; at += sizeof(word)) {
        memcpy(&word, at, sizeof(word));
        sum += sum_of_letters(word);
    }
    word = 0;
    memcpy(&word, at, len & 7);
    return (uint16_t)((sum + sum_of_letters(word)) % PLAN_MEMO_SETS * PLAN_MEMO_WAYS);
}

/* The last piece is often a semicolon, or nothing: a call would cost more than the look. */
static inline bool same_bytes(const uint8_t *left, const uint8_t *right, uint32_t len)
{
    return len == 0 || (left[0] == right[0] && (len == 1 || memcmp(left, right, len) == 0));
}

/* Whether the text is the slot's pieces with integers between them, and strings behind those that
 * end with a quote. Behind an integer no letter can follow: the next piece has none in front, and
 * the last is the text's end. In line, for every query whose plan is known asks it. */
static inline __attribute__((always_inline)) bool is_kept(const struct plan_memo_slot *slot,
                                                          const uint8_t *text, uint32_t len)
{
    const uint8_t *at = text, *end = text + len, *kept = slot->text;
    for (uint32_t i = 0; i < slot->piece_count; i++) {
        uint32_t piece = slot->pieces[i];
        if (i > 0 && kept > slot->text && kept[-1] == '\'') {
            at = past_string(at, end);
        } else if (i > 0) {
            const uint8_t *number = at;
            at = past_digits(at, end);
            if (at == number) {
                return false;
            }
        }
        if (piece > (uint32_t)(end - at) || !same_bytes(at, kept, piece)) {
            return false;
        }
        at += piece;
        kept += piece;
    }
    return slot->piece_count > 0 && at == end;
}

struct plan *plan_memo_find(const struct plan_memo *memo, const char *text, uint32_t len,
                            uint16_t *ret_slot)
{
    if (len > PLAN_MEMO_TEXT_BYTES) {
        return NULL;
    }
    uint16_t first = set_of((const uint8_t *)text, len);
    for (uint32_t i = first; i < first + (uint32_t)PLAN_MEMO_WAYS; i++) {
        if (is_kept(&memo->slots[i], (const uint8_t *)text, len)) {
            *ret_slot = (uint16_t)i;
            return memo->slots[i].plan;
        }
    }
    return NULL;
}

struct plan *plan_memo_find_again(const struct plan_memo *memo, const char *text, uint32_t len,
                                  uint16_t *slot)
{
    ASSERT(*slot < PLAN_MEMO_SETS * PLAN_MEMO_WAYS);
    if (is_kept(&memo->slots[*slot], (const uint8_t *)text, len)) {
        return memo->slots[*slot].plan;
    }
    return plan_memo_find(memo, text, len, slot);
}

/* --- keeping ---------------------------------------------------------------------------------- */

/* Whether a digit behind it begins no number. */
static bool is_of_word(uint8_t byte)
{
    uint8_t class = classes[byte];
    return class == WORD || class == DIGIT || class == DOLLAR;
}

/* Past the integer at `at`; NULL when that is more than an integer: 1.5, 1e5, or an error. */
static const uint8_t *past_integer(const uint8_t *at, const uint8_t *end)
{
    at = past_digits(at, end);
    return at < end && is_of_word(*at) ? NULL : at;
}

/* The quote that ends the string whose first quote is at `at`. NULL: it is not a plain one (E'',
 * U&'' and their like, one with quotes or backslashes in it), or empty: that may be one whose text
 * decides what the statement is, and couldn't be told from others in the skeleton. */
static const uint8_t *closing_quote(const uint8_t *text, const uint8_t *at, const uint8_t *end)
{
    const uint8_t *close = past_string(at + 1, end);
    bool prefixed = at > text && (is_of_word(at[-1]) || at[-1] == '&');
    bool doubled = end - close > 1 && close[1] == '\'';
    return prefixed || close == end || *close != '\'' || doubled || close == at + 1 ? NULL : close;
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
    bool parameter = end - at > 1 && is_digit(at[1]);
    return class != CARE && (class != MINUS || end - at == 1 || at[1] != '-') &&
           (class != DOLLAR || parameter);
}

/* Fills the slot's pieces. False when the text can't be cut without a lexer, or into so few. */
static bool cut(struct plan_memo_slot *slot, const uint8_t *text, uint32_t len)
{
    const uint8_t *at = text, *end = text + len, *piece = text;
    bool in_word = false;
    uint32_t text_bytes = 0;
    if (len > PLAN_MEMO_TEXT_BYTES) {
        return false;
    }
    while (at < end) {
        bool quote = *at == '\'';
        if (!quote && (in_word || !is_digit(*at))) {
            if (!is_plain(at, end)) {
                return false;
            }
            in_word = is_of_word(*at++);
            continue;
        }
        const uint8_t *past = quote ? closing_quote(text, at, end) : past_integer(at, end);
        if (past == NULL || !end_piece(slot, piece, at + quote, &text_bytes)) {
            return false;
        }
        piece = past;
        at = past + quote;
        in_word = quote;
    }
    return end_piece(slot, piece, end, &text_bytes);
}

/* Whether a skeleton has a string that is not a placeholder: the plan is for that one alone. */
static bool has_own_string(const uint8_t *skeleton, uint32_t len)
{
    const uint8_t *at = skeleton, *end = skeleton + len;
    while (at < end && (at = memchr(at, '\'', (size_t)(end - at))) != NULL) {
        if (end - at < 2 || at[1] != '\'') {
            return true;
        }
        at += 2;
    }
    return false;
}

void plan_memo_keep(struct plan_memo *memo, const char *text, uint32_t len, struct plan *plan)
{
    struct plan_memo_slot fresh = {.plan = plan};
    bool reads_or_writes =
        (plan->class == PLAN_READ || plan->class == PLAN_WRITE) && plan->settings_count == 0;
    if ((!reads_or_writes && plan->control == PLAN_CONTROL_NONE) ||
        has_own_string(plan->skeleton, plan->skeleton_bytes) ||
        !cut(&fresh, (const uint8_t *)text, len) || (!reads_or_writes && fresh.piece_count > 1)) {
        return;
    }
    uint16_t first = set_of((const uint8_t *)text, len);
    struct plan_memo_slot *slot = &memo->slots[first + memo->keeps++ % PLAN_MEMO_WAYS];
    plan_ref(plan);
    plan_unref(slot->plan);
    *slot = fresh;
}
