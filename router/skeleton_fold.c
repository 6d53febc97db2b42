#include "router/skeleton_maker.h"

#include "protocol/sql_bytes.h"
#include "router/skeleton_literal.h"

void skeleton_fold_open(struct maker *maker, uint32_t level, bool rows)
{
    if (maker->folds_open < FOLDS_MAX && !maker->keep_all) {
        maker->folds[maker->folds_open++] = (struct fold){
            .level = level, .start = maker->len, .literal = maker->literal_count, .rows = rows};
        maker->fold_level = level;
    }
}

static void pop_fold(struct maker *maker)
{
    maker->folds_open--;
    maker->fold_level =
        maker->folds_open > 0 ? maker->folds[maker->folds_open - 1].level : NO_LEVEL;
}

/* --- what an element may be to be seen at once ---------------------------------------------------
 *
 * Rows by the hundred are alike, token for token: once two of them are written, the second is the
 * pattern for those that follow. Where the text is not what the pattern says, in the plainest of
 * forms, the lexer has another look at it.
 */

struct piece {
    char text[12];
    uint32_t len;
    enum skeleton_kind kind; /* SKELETON_KINDS if it is no literal */
};

/* In this order: 0.0 is no 0. */
static const struct piece pieces[] = {
    {"(", 1, SKELETON_KINDS},          {")", 1, SKELETON_KINDS},
    {",", 1, SKELETON_KINDS},          {"''", 2, SKELETON_STRING},
    {"0.0", 3, SKELETON_NUMERIC},      {"0", 1, SKELETON_INT4},
    {"9000000000", 10, SKELETON_INT8}, {"$0", 2, SKELETON_PARAMETER},
    {"null", 4, SKELETON_KINDS},       {"true", 4, SKELETON_KINDS},
    {"false", 5, SKELETON_KINDS},      {"default", 7, SKELETON_KINDS},
};

/* The piece that a pattern goes on with, or NULL. */
static const struct piece *find_piece(const uint8_t *pattern, uint32_t len)
{
    for (uint32_t i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++) {
        if (len >= pieces[i].len && memcmp(pattern, pieces[i].text, pieces[i].len) == 0) {
            return &pieces[i];
        }
    }
    return NULL;
}

/* Takes an element for the pattern, if it is plain and short enough. */
static void learn(struct fold *fold, const uint8_t *pattern, uint32_t len)
{
    uint32_t count = 0;
    while (len > 0) {
        const struct piece *piece = find_piece(pattern, len);
        if (piece == NULL || count == FOLD_PIECES_MAX) {
            fold->piece_count = 0;
            return;
        }
        fold->pieces[count++] = (uint8_t)(piece - pieces);
        pattern += piece->len;
        len -= piece->len;
    }
    fold->piece_count = (uint8_t)count;
}

static bool is_digit(uint8_t byte)
{
    return byte >= '0' && byte <= '9';
}

/* Behind a number of that kind that begins at `at`; `at` if it is none. */
static const uint8_t *see_number(const uint8_t *at, const uint8_t *end, enum skeleton_kind kind)
{
    const uint8_t *from = at;
    enum skeleton_kind seen = SKELETON_NUMERIC;
    while (at < end && is_digit(*at)) {
        at++;
    }
    if (at > from && at < end && *at == '.') {
        do {
            at++;
        } while (at < end && is_digit(*at));
    } else if (at == from || !skeleton_literal_integer(from, (uint32_t)(at - from), &seen)) {
        return from;
    }
    return seen == kind ? at : from;
}

/* Behind a literal of that kind that begins at `at`; `at` if it is none. */
static const uint8_t *see_literal(const uint8_t *at, const uint8_t *end, enum skeleton_kind kind)
{
    if (kind == SKELETON_STRING) {
        const uint8_t *quote =
            at < end && *at == '\'' ? memchr(at + 1, '\'', (size_t)(end - at - 1)) : NULL;
        return quote == NULL ? at : quote + 1;
    }
    if (kind == SKELETON_PARAMETER) {
        const uint8_t *from = at;
        at += at < end && *at == '$';
        while (at > from && at < end && is_digit(*at)) {
            at++;
        }
        return at - from < 2 ? from : at;
    }
    return see_number(at, end, kind);
}

static const uint8_t *see_word(const uint8_t *at, const uint8_t *end, const struct piece *piece)
{
    if (piece->len == 1) {
        return at + (at < end && *at == (uint8_t)piece->text[0]);
    }
    uint32_t same = 0;
    while (same < piece->len && at + same < end && (at[same] | 0x20) == piece->text[same]) {
        same++;
    }
    return same == piece->len ? at + same : at;
}

static const uint8_t *skip_space(const uint8_t *at, const uint8_t *end)
{
    while (at < end && sql_byte_first(*at) == SQL_FIRST_SPACE) {
        at++;
    }
    return at;
}

static void note_literal(struct maker *maker, uint32_t index, struct skeleton_literal literal)
{
    const uint8_t *text = maker->lexer.bytes + literal.at;
    if (index < maker->room->literals_max) {
        maker->room->literals[index] = literal;
    }
    if (maker->times && literal.kind == SKELETON_STRING &&
        skeleton_literal_has_time(text, literal.len)) {
        maker->ret->has_now = true;
    }
}

/* Passes over one more element and the comma behind it, if it is what the pattern says. Nothing but
 * a bracket or a comma may stand right behind a word or literal. */
static bool see_element(struct maker *maker, const struct fold *fold)
{
    const uint8_t *text = maker->lexer.bytes, *end = text + maker->lexer.len;
    const uint8_t *at = text + maker->lexer.at;
    uint32_t index = maker->literal_count;
    uint32_t place = fold->kept;
    for (uint32_t i = 0; i < fold->piece_count; i++) {
        const struct piece *piece = &pieces[fold->pieces[i]];
        bool is_literal = piece->kind != SKELETON_KINDS;
        at = skip_space(at, end);
        const uint8_t *behind =
            is_literal ? see_literal(at, end, piece->kind) : see_word(at, end, piece);
        if (behind == at || ((piece->len > 1 || is_literal) &&
                             (behind == end || (*behind != ',' && *behind != ')')))) {
            return false;
        }
        if (is_literal) {
            note_literal(maker, index++,
                         (struct skeleton_literal){(uint32_t)(at - text), (uint32_t)(behind - at),
                                                   place, piece->kind});
        }
        at = behind;
        place += piece->len;
    }
    at = skip_space(at, end);
    if (at == end || *at != ',') {
        return false;
    }
    maker->lexer.at = (uint32_t)(at + 1 - text);
    maker->literal_count = index;
    maker->ret->literal_count =
        index < maker->room->literals_max ? index : maker->room->literals_max;
    return true;
}

/* --- lists ------------------------------------------------------------------------------------ */

/* The element that is now complete goes, with the comma before it, if it equals the one before it
 * and that is not the first. Its literals then belong to the places of the one that stays. */
static void end_element(struct maker *maker, struct fold *fold)
{
    uint32_t len = maker->len - fold->start;
    if (fold->elements == 2 && len == fold->kept_len &&
        memcmp(maker->out + fold->start, maker->out + fold->kept, len) == 0) {
        uint32_t shift = fold->start - fold->kept;
        for (uint32_t i = fold->literal; i < maker->ret->literal_count; i++) {
            maker->room->literals[i].place -= shift;
        }
        maker->len = fold->start - 1;
        maker->ret->folded = true;
        maker->is_string = false;
        return;
    }
    fold->kept = fold->start;
    fold->kept_len = len;
    if (fold->elements > 0) {
        learn(fold, maker->out + fold->start, len);
    }
    maker->folds_rest += fold->elements == 0;
    fold->elements += fold->elements < 2;
}

void skeleton_fold_close(struct maker *maker)
{
    end_element(maker, &maker->folds[maker->folds_open - 1]);
    maker->folds_rest--;
    pop_fold(maker);
}

/* Called for a token on the level of the list, before it is written. */
void skeleton_fold_meet(struct maker *maker, char self)
{
    struct fold *fold = &maker->folds[maker->folds_open - 1];
    if (fold->rows && self != '(' && self != ',') {
        skeleton_fold_close(maker);
    } else if (self == ',') {
        end_element(maker, fold);
    }
}

/* What begins with such a word is a query and no list. */
void skeleton_fold_drop(struct maker *maker)
{
    struct fold *fold = &maker->folds[maker->folds_open - 1];
    if (!fold->rows && fold->elements == 0 && maker->self == '(') {
        pop_fold(maker);
    }
}

void skeleton_fold_next(struct maker *maker)
{
    struct fold *fold = &maker->folds[maker->folds_open - 1];
    fold->start = maker->len;
    if (fold->elements == 2 && fold->piece_count > 0 && maker->keep_level == 0 &&
        !level_now(maker)->positions) {
        while (see_element(maker, fold)) {
            maker->ret->folded = true;
        }
    }
    fold->literal = maker->literal_count;
}
