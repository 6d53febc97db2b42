#include "router/skeleton.h"

#include <string.h>

#include "base/assert.h"
#include "base/hash.h"
#include "protocol/sql_lexer.h"
#include "protocol/sql_split.h"
#include "router/skeleton_literal.h"
#include "router/skeleton_word.h"

/* Lists that are folded may stand in one another this deep; deeper ones are written out. */
#define FOLDS_MAX 8

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
static const bool has_space[GLUE_COUNT][GLUE_COUNT] = {
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
    uint32_t folds_rest; /* of these, those behind their first element */
    struct sql_splitter splitter;
    struct fold folds[FOLDS_MAX];
    struct level *levels;
};

static void refuse(struct maker *maker, enum skeleton_opaque why)
{
    if (maker->ret->opaque == SKELETON_CLEAR) {
        maker->ret->opaque = why;
    }
}

/* --- writing ---------------------------------------------------------------------------------- */

static uint64_t lower_word(uint64_t word)
{
    const uint64_t ones = 0x0101010101010101u;
    uint64_t seven = word & 0x7f * ones;
    uint64_t is_upper = (seven + (0x80 - 'A') * ones) & ~(seven + (0x7f - 'Z') * ones) & ~word;
    return word | (is_upper & 0x80 * ones) >> 2;
}

/* Up to eight bytes of the text as a word, little-endian, with 0 behind them. */
static uint64_t load_text(const struct maker *maker, uint32_t at, uint32_t len)
{
    uint64_t word = 0;
    if (maker->lexer.len - at >= sizeof(word)) {
        memcpy(&word, maker->lexer.bytes + at, sizeof(word));
        word = le64toh(word);
        return len >= 8 ? word : word & (((uint64_t)1 << 8 * len) - 1);
    }
    memcpy(&word, maker->lexer.bytes + at, len);
    return le64toh(word);
}

/* Whether there is room for so much, a space before it and eight bytes behind it. */
static bool make_room(struct maker *maker, uint32_t len)
{
    if (maker->len_max - maker->len > len) {
        return true;
    }
    refuse(maker, SKELETON_LONG);
    return false;
}

static void put_space(struct maker *maker, enum glue glue)
{
    maker->out[maker->len] = ' ';
    maker->len += has_space[maker->glue][glue];
    maker->glue = glue;
}

static void put(struct maker *maker, enum glue glue, const void *bytes, uint32_t len)
{
    if (make_room(maker, len)) {
        put_space(maker, glue);
        memcpy(maker->out + maker->len, bytes, len);
        maker->len += len;
    }
}

static void put_token(struct maker *maker, enum glue glue, const struct sql_token *token)
{
    put(maker, glue, maker->lexer.bytes + token->at, token->len);
}

/* A word in lower case; returns its roles. */
static uint32_t put_word(struct maker *maker, const struct sql_token *token)
{
    struct skeleton_word_key key = {{0}};
    if (!make_room(maker, token->len)) {
        return 0;
    }
    put_space(maker, GLUE_WORD);
    for (uint32_t done = 0; done < token->len; done += 8) {
        uint64_t word = lower_word(load_text(maker, token->at + done, token->len - done));
        if (done < sizeof(key)) {
            key.part[done / 8] = word;
        }
        word = htole64(word);
        memcpy(maker->out + maker->len + done, &word, sizeof(word));
    }
    maker->len += token->len;
    return token->len <= sizeof(key) ? skeleton_word_roles(&key) : 0;
}

/* --- the depth of the parser's tree --------------------------------------------------------------
 *
 * A tree is as deep as brackets and CASEs are nested, plus, for each of these levels, the operators
 * of the expression, the joins and the unions that stand over one another. AND and OR lie side by
 * side however many there are, and so do the elements of a list.
 */

static struct level *level_now(struct maker *maker)
{
    return &maker->levels[maker->level];
}

static void add_weight(struct maker *maker, uint16_t *count)
{
    ++*count;
    if (++maker->weight > LIMIT_SKELETON_DEPTH) {
        refuse(maker, SKELETON_DEEP);
    }
}

static void forget(struct maker *maker, uint16_t *count)
{
    maker->weight -= *count;
    *count = 0;
}

static void open_level(struct maker *maker, char opener, bool positions)
{
    uint16_t none = 0;
    add_weight(maker, &none);
    if (maker->ret->opaque == SKELETON_CLEAR) {
        maker->level++;
        *level_now(maker) = (struct level){.opener = opener, .positions = positions};
    }
}

static void close_fold(struct maker *maker);

static void close_level(struct maker *maker)
{
    struct level *level = level_now(maker);
    forget(maker, &level->operators);
    forget(maker, &level->joins);
    forget(maker, &level->sets);
    while (maker->folds_open > 0 && maker->folds[maker->folds_open - 1].level >= maker->level) {
        close_fold(maker);
    }
    maker->weight--;
    maker->level--;
    if (maker->keep_level > maker->level) {
        maker->keep_level = 0;
    }
}

/* Words that are reserved: no column has such a name, so what stood before them is complete. */
static void count_word(struct maker *maker, uint32_t roles)
{
    struct level *level = level_now(maker);
    if ((roles & (ROLE_CLAUSE | ROLE_PART)) != 0) {
        forget(maker, &level->operators);
    }
    if ((roles & ROLE_CLAUSE) != 0) {
        level->positions = false;
    }
    if ((roles & ROLE_ARM) != 0) {
        forget(maker, &level->joins);
    }
    if ((roles & ROLE_OPERATOR) != 0) {
        add_weight(maker, &level->operators);
    }
    if ((roles & ROLE_JOIN) != 0) {
        add_weight(maker, &level->joins);
    }
    if ((roles & ROLE_SET) != 0) {
        add_weight(maker, &level->sets);
    }
    if ((roles & ROLE_BY) != 0) {
        level->positions = true;
    }
    if ((roles & ROLE_CASE) != 0) {
        open_level(maker, 'C', level->positions);
    } else if ((roles & ROLE_END) != 0 && level->opener == 'C') {
        close_level(maker);
    }
}

/* --- lists that are folded -------------------------------------------------------------------- */

static void open_fold(struct maker *maker, uint32_t level, bool rows)
{
    if (maker->folds_open < FOLDS_MAX && !maker->keep_all) {
        maker->folds[maker->folds_open++] = (struct fold){
            .level = level, .start = maker->len, .literal = maker->literal_count, .rows = rows};
    }
}

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
    maker->folds_rest += fold->elements == 0;
    fold->elements += fold->elements < 2;
}

static void close_fold(struct maker *maker)
{
    struct fold *fold = &maker->folds[--maker->folds_open];
    end_element(maker, fold);
    maker->folds_rest--;
}

/* Called for a token on the level of the list, before it is written. */
static void meet_fold(struct maker *maker, char self)
{
    struct fold *fold = &maker->folds[maker->folds_open - 1];
    if (fold->rows && self != '(' && self != ',') {
        close_fold(maker);
    } else if (self == ',') {
        end_element(maker, fold);
    }
}

/* What begins with such a word is a query and no list. */
static void drop_fold(struct maker *maker)
{
    struct fold *fold = &maker->folds[maker->folds_open - 1];
    if (!fold->rows && fold->elements == 0 && maker->self == '(') {
        maker->folds_open--;
    }
}

static void begin_element(struct maker *maker)
{
    struct fold *fold = &maker->folds[maker->folds_open - 1];
    fold->start = maker->len;
    fold->literal = maker->literal_count;
}

static bool is_fold_level(const struct maker *maker)
{
    return maker->folds_open > 0 && maker->folds[maker->folds_open - 1].level == maker->level;
}

/* --- literals --------------------------------------------------------------------------------- */

struct placeholder {
    char text[12];
    uint32_t len;
};

static const struct placeholder placeholders[] = {
    [SKELETON_INT4] = {"0", 1},       [SKELETON_INT8] = {"9000000000", 10},
    [SKELETON_NUMERIC] = {"0.0", 3},  [SKELETON_STRING] = {"''", 2},
    [SKELETON_BIT] = {"b''", 3},      [SKELETON_HEX] = {"x''", 3},
    [SKELETON_PARAMETER] = {"$0", 2},
};

static void put_literal(struct maker *maker, const struct sql_token *token, enum skeleton_kind kind)
{
    const struct placeholder *placeholder = &placeholders[kind];
    if (!make_room(maker, sizeof(placeholder->text))) {
        return;
    }
    put_space(maker, GLUE_LITERAL);
    if (maker->literal_count < maker->room->literals_max) {
        maker->room->literals[maker->literal_count] =
            (struct skeleton_literal){token->at, token->len, maker->len, kind};
        maker->ret->literal_count++;
    }
    maker->literal_count++;
    memcpy(maker->out + maker->len, placeholder->text, sizeof(placeholder->text));
    maker->len += placeholder->len;
}

static void look_for_times(struct maker *maker, const struct sql_token *token)
{
    const uint8_t *text = maker->lexer.bytes + token->at;
    bool escapes = token->kind == SQL_ESCAPE_STRING && memchr(text, '\\', token->len) != NULL;
    if (escapes || maker->lexer.continued || skeleton_literal_has_time(text, token->len)) {
        maker->ret->has_now = true;
    }
}

/* Whether a literal stays because of what stands before it. */
static bool is_kept(const struct maker *maker, const struct sql_token *token)
{
    if (maker->keep_all || maker->keep_level != 0 || token->kind == SQL_UNICODE_STRING ||
        (maker->roles & (ROLE_REG | ROLE_KEEP_NEXT)) != 0) {
        return true;
    }
    return token->kind == SQL_INTEGER && maker->levels[maker->level].positions &&
           ((maker->roles & ROLE_POSITIONS) != 0 || maker->self == ',' || maker->self == '(');
}

static void take_string(struct maker *maker, const struct sql_token *token)
{
    if (maker->times) {
        look_for_times(maker, token);
    }
    put_literal(maker, token, SKELETON_STRING);
    maker->is_string = true;
    maker->string = maker->len - placeholders[SKELETON_STRING].len;
    maker->string_at = token->at;
    maker->string_len = token->len;
}

static void take_literal(struct maker *maker, const struct sql_token *token)
{
    enum skeleton_kind kind = SKELETON_NUMERIC;
    bool is_string = token->kind != SQL_INTEGER && token->kind != SQL_DECIMAL;
    maker->is_string = false;
    if (is_kept(maker, token)) {
        maker->ret->has_now |= token->kind == SQL_UNICODE_STRING;
        put_token(maker, GLUE_LITERAL, token);
    } else if (token->kind == SQL_BIT || token->kind == SQL_HEX) {
        put_literal(maker, token, token->kind == SQL_BIT ? SKELETON_BIT : SKELETON_HEX);
    } else if (is_string) {
        take_string(maker, token);
    } else if (token->kind == SQL_INTEGER &&
               !skeleton_literal_integer(maker->lexer.bytes + token->at, token->len, &kind)) {
        put_token(maker, GLUE_LITERAL, token);
    } else {
        put_literal(maker, token, kind);
    }
}

static void take_parameter(struct maker *maker, const struct sql_token *token)
{
    maker->is_string = false;
    if (maker->folds_rest > 0) {
        put_literal(maker, token, SKELETON_PARAMETER);
    } else {
        put_token(maker, GLUE_LITERAL, token);
    }
}

/* A name's type follows its literal: 'x'::regclass. The literal comes back. */
static void keep_string(struct maker *maker)
{
    uint32_t gap = placeholders[SKELETON_STRING].len;
    uint32_t behind = maker->string + gap;
    uint32_t more = maker->string_len - gap;
    if (!make_room(maker, more)) {
        return;
    }
    memmove(maker->out + behind + more, maker->out + behind, maker->len - behind);
    memcpy(maker->out + maker->string, maker->lexer.bytes + maker->string_at, maker->string_len);
    maker->len += more;
    if (maker->literal_count == maker->ret->literal_count) {
        maker->ret->literal_count--;
    }
    maker->literal_count--;
    maker->is_string = false;
}

/* --- tokens ----------------------------------------------------------------------------------- */

/* At the statement's first word; a bracket may stand before it. */
static void take_verb(struct maker *maker, const struct sql_token *token)
{
    struct sql_lexer lexer = maker->lexer;
    lexer.at = token->at;
    enum sql_verb verb = token->kind == SQL_WORD ? sql_verb_next(&lexer) : SQL_VERB_UNKNOWN;
    maker->ret->verb = verb;
    maker->keep_all = !sql_verb_is_row(verb);
    maker->times = verb == SQL_VERB_SELECT || verb == SQL_VERB_WITH || verb == SQL_VERB_VALUES;
}

/* Returns the roles that are left to the word where it stands. */
static uint32_t take_word(struct maker *maker, const struct sql_token *token)
{
    uint32_t before = maker->roles;
    uint32_t roles = put_word(maker, token);
    if (roles == 0) {
        return 0;
    }
    if (maker->self == '.' && (roles & ROLE_NAME) == 0) {
        return 0; /* a column */
    }
    if ((before & ROLE_DISTINCT) != 0 && (roles & ROLE_FROM) != 0) {
        return 0; /* IS DISTINCT FROM */
    }
    if ((roles & ROLE_QUERY) != 0 && is_fold_level(maker)) {
        drop_fold(maker);
    }
    count_word(maker, roles);
    if ((roles & ROLE_VALUES) != 0) {
        open_fold(maker, maker->level, true);
    }
    if ((roles & ROLE_REG) != 0 && maker->is_string) {
        keep_string(maker);
    }
    if ((roles & ROLE_LONE) != 0) {
        maker->glue = GLUE_APART;
    }
    if ((roles & ROLE_ON) != 0 && (before & ROLE_DISTINCT) != 0) {
        roles |= ROLE_BY; /* DISTINCT ON: for the bracket alone */
    }
    return roles;
}

/* A quoted name may be that of a function or a type; of one written with escapes we don't know. */
static uint32_t take_quoted(struct maker *maker, const struct sql_token *token)
{
    uint32_t roles = 0;
    put_token(maker, token->kind == SQL_QUOTED ? GLUE_WORD : GLUE_APART, token);
    if (token->kind == SQL_UNICODE_QUOTED) {
        roles = ROLE_KEEP | ROLE_REG | ROLE_NAME;
    } else if (token->len - 2 <= sizeof(struct skeleton_word_key)) {
        struct skeleton_word_key key = {{0}};
        uint32_t len = token->len - 2;
        for (uint32_t done = 0; done < len; done += 8) {
            key.part[done / 8] =
                load_text(maker, token->at + 1 + done, len - done < 8 ? len - done : 8);
        }
        roles = skeleton_word_roles(&key);
    }
    if ((roles & ROLE_NAME) == 0) {
        return 0;
    }
    if ((roles & ROLE_REG) != 0 && maker->is_string) {
        keep_string(maker);
    }
    return roles;
}

static void take_open(struct maker *maker, char opener)
{
    uint32_t roles = maker->roles;
    put(maker, GLUE_OPEN, &opener, 1);
    open_level(maker, opener,
               level_now(maker)->positions || (roles & (ROLE_ON | ROLE_BY)) == (ROLE_ON | ROLE_BY));
    if (maker->keep_level == 0 && opener == '(' && (roles & (ROLE_KEEP | ROLE_REG)) != 0) {
        maker->keep_level = maker->level;
        maker->keep_named = false;
    }
    if ((opener == '(' && (roles & ROLE_IN) != 0) || (opener == '[' && (roles & ROLE_ARRAY) != 0)) {
        open_fold(maker, maker->level, false);
    }
}

/* A CASE without END inside of brackets was a name after all. */
static void close_cases(struct maker *maker)
{
    while (level_now(maker)->opener == 'C') {
        close_level(maker);
    }
}

static void take_close(struct maker *maker, char closer)
{
    close_cases(maker);
    if (maker->level > 0) {
        close_level(maker);
    }
    put(maker, GLUE_CLOSE, &closer, 1);
}

static void take_comma(struct maker *maker)
{
    struct level *level = level_now(maker);
    forget(maker, &level->operators);
    forget(maker, &level->joins);
    if (maker->keep_level == maker->level && !maker->keep_named) {
        maker->keep_level = 0;
    }
    put(maker, GLUE_COMMA, ",", 1);
    if (is_fold_level(maker)) {
        begin_element(maker);
    }
}

static void take_operator(struct maker *maker, const struct sql_token *token)
{
    put_token(maker, GLUE_OPERATOR, token);
    add_weight(maker, &level_now(maker)->operators);
    maker->is_string = false;
    if (token->kind == SQL_EQUALS_GREATER && maker->keep_level != 0) {
        maker->keep_named = true;
    }
}

static void take_cast(struct maker *maker, const struct sql_token *token)
{
    put_token(maker, GLUE_CAST, token);
    add_weight(maker, &level_now(maker)->operators);
}

/* N and its string are two tokens with nothing between. */
static void take_national(struct maker *maker)
{
    put(maker, GLUE_LITERAL, "N", 1);
    maker->glue = GLUE_NONE;
}

/* A semicolon that does not end the statement stands in a function's body or a rule. */
static void take_apart(struct maker *maker, const struct sql_token *token)
{
    struct level *level = level_now(maker);
    forget(maker, &level->operators);
    forget(maker, &level->joins);
    forget(maker, &level->sets);
    put_token(maker, GLUE_APART, token);
    maker->is_string = false;
}

static void take_self(struct maker *maker, const struct sql_token *token, char self)
{
    switch (self) {
    case '(':
    case '[':
        take_open(maker, self);
        break;
    case ')':
    case ']':
        take_close(maker, self);
        break;
    case ',':
        take_comma(maker);
        break;
    case '.':
        put(maker, GLUE_DOT, ".", 1);
        break;
    case ';':
        take_apart(maker, token);
        break;
    case ':':
        put_token(maker, GLUE_APART, token);
        break;
    default:
        take_operator(maker, token);
        break;
    }
}

static void take_token(struct maker *maker, const struct sql_token *token)
{
    char self = token->kind == SQL_SELF ? (char)maker->lexer.bytes[token->at] : 0;
    uint32_t roles = 0;
    if (is_fold_level(maker)) {
        meet_fold(maker, self);
    }
    switch (token->kind) {
    case SQL_WORD:
        roles = take_word(maker, token);
        break;
    case SQL_SELF:
        take_self(maker, token, self);
        break;
    case SQL_QUOTED:
    case SQL_UNICODE_QUOTED:
        roles = take_quoted(maker, token);
        break;
    case SQL_INTEGER:
    case SQL_DECIMAL:
    case SQL_STRING:
    case SQL_ESCAPE_STRING:
    case SQL_UNICODE_STRING:
    case SQL_DOLLAR_STRING:
    case SQL_BIT:
    case SQL_HEX:
        take_literal(maker, token);
        break;
    case SQL_PARAMETER:
        take_parameter(maker, token);
        break;
    case SQL_NATIONAL:
        take_national(maker);
        break;
    case SQL_TYPECAST:
        take_cast(maker, token);
        break;
    case SQL_OPERATOR:
    case SQL_EQUALS_GREATER:
    case SQL_LESS_EQUALS:
    case SQL_GREATER_EQUALS:
    case SQL_NOT_EQUALS:
        take_operator(maker, token);
        break;
    case SQL_DOT_DOT:
    case SQL_COLON_EQUALS:
        put_token(maker, GLUE_APART, token);
        break;
    case SQL_OTHER:
    case SQL_ERROR:
    case SQL_END:
    case SQL_TOKEN_KINDS:
        refuse(maker, SKELETON_LEXICAL);
        break;
    }
    maker->roles = roles;
    maker->self = self;
}

/* --- the statement ---------------------------------------------------------------------------- */

/* Whether this token is the semicolon that ends the statement. */
static bool ends(struct maker *maker, const struct sql_token *token)
{
    if (maker->ret->verb == SQL_VERB_CREATE) {
        return sql_splitter_ends(&maker->splitter, &maker->lexer, token);
    }
    if (!sql_token_is_self(&maker->lexer, token, ';')) {
        return false;
    }
    close_cases(maker);
    return maker->level == 0;
}

/* Past semicolons: false at the end of the text, and with the first token otherwise. */
static bool find_statement(struct sql_lexer *lexer, struct sql_token *token)
{
    do {
        sql_lexer_next(lexer, token);
    } while (sql_token_is_self(lexer, token, ';'));
    return token->kind != SQL_END;
}

/* Behind the semicolon: blanks and comments at the end of the text are this statement's too. */
static void find_next(struct maker *maker)
{
    struct sql_lexer lexer = maker->lexer;
    struct sql_token token;
    if (!find_statement(&lexer, &token)) {
        maker->lexer = lexer;
    }
    maker->ret->next = maker->lexer.at;
}

static void make(struct maker *maker, struct sql_token *token)
{
    struct skeleton *ret = maker->ret;
    ret->start = token->at;
    do {
        if (ret->verb == SQL_VERB_EMPTY && !sql_token_is_self(&maker->lexer, token, '(')) {
            take_verb(maker, token);
        }
        if (ends(maker, token)) {
            find_next(maker);
            break;
        }
        take_token(maker, token);
        ret->end = token->at + token->len;
    } while (ret->opaque == SKELETON_CLEAR && sql_lexer_next(&maker->lexer, token) != SQL_END);
    while (maker->folds_open > 0) {
        close_fold(maker);
    }
}

void skeleton_make(const char *text, size_t len, const struct skeleton_room *room,
                   struct skeleton *ret)
{
    struct level levels[LIMIT_SKELETON_DEPTH + 1];
    struct maker maker = {.room = room, .ret = ret, .out = room->bytes, .levels = levels};
    struct sql_token token;
    ASSERT(room->bytes_max > 64 && len <= LIMIT_MESSAGE_BYTES);
    uint32_t bytes_max = room->bytes_max - 32;
    maker.len_max = bytes_max < LIMIT_SKELETON_BYTES ? bytes_max : LIMIT_SKELETON_BYTES;
    levels[0] = (struct level){0};
    *ret = (struct skeleton){.bytes = room->bytes, .literals = room->literals};
    sql_lexer_init(&maker.lexer, text, len, 0);
    ret->next = maker.lexer.len;

    if (len > LIMIT_SKELETON_TEXT_BYTES) {
        refuse(&maker, SKELETON_LONG_TEXT);
        ret->verb = sql_verb_next(&maker.lexer);
    } else if (find_statement(&maker.lexer, &token)) {
        make(&maker, &token);
    }
    ret->hint_at = maker.lexer.hint_at;
    ret->hint_len = maker.lexer.hint_len;
    ret->has_hint = ret->hint_at != 0;
    ret->literals_cut = maker.literal_count > ret->literal_count;
    if (ret->opaque != SKELETON_CLEAR) {
        ret->next = ret->end = maker.lexer.len;
        ret->literal_count = 0;
        return;
    }
    ret->len = maker.len;
    ret->hash = hash_bytes(room->hash_key, room->bytes, maker.len);
}

const char *skeleton_opaque_text(enum skeleton_opaque opaque)
{
    static const char *const names[] = {
        [SKELETON_CLEAR] = "clear", [SKELETON_LONG_TEXT] = "long text", [SKELETON_LONG] = "long",
        [SKELETON_DEEP] = "deep",   [SKELETON_LEXICAL] = "lexical",
    };
    return names[opaque];
}
