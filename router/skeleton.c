#include "router/skeleton.h"

#include <string.h>

#include "base/assert.h"
#include "base/hash.h"
#include "protocol/sql_bytes.h"
#include "protocol/sql_lexer.h"
#include "protocol/sql_split.h"
#include "router/skeleton_literal.h"
#include "router/skeleton_maker.h"
#include "router/skeleton_word.h"

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

static uint32_t put_long_word(struct maker *maker, const struct sql_token *token)
{
    struct skeleton_word_key key = {{0}};
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

/* A word in lower case; returns its roles. */
static uint32_t put_word(struct maker *maker, const struct sql_token *token)
{
    if (!make_room(maker, token->len)) {
        return 0;
    }
    put_space(maker, GLUE_WORD);
    if (token->len > 8) {
        return put_long_word(maker, token);
    }
    uint64_t word = lower_word(load_text(maker, token->at, token->len));
    struct skeleton_word_key key = {{word, 0, 0}};
    word = htole64(word);
    memcpy(maker->out + maker->len, &word, sizeof(word));
    maker->len += token->len;
    return skeleton_word_roles(&key);
}

/* --- the depth of the parser's tree --------------------------------------------------------------
 *
 * A tree is as deep as brackets and CASEs are nested, plus, for each of these levels, the operators
 * of the expression, the joins and the unions that stand over one another. AND and OR lie side by
 * side however many there are, and so do the elements of a list.
 */

static void open_level(struct maker *maker, char opener, bool positions)
{
    uint16_t none = 0;
    add_weight(maker, &none);
    if (maker->ret->opaque == SKELETON_CLEAR) {
        maker->level++;
        *level_now(maker) = (struct level){.opener = opener, .positions = positions};
    }
}

static void close_level(struct maker *maker)
{
    struct level *level = level_now(maker);
    forget(maker, &level->operators);
    forget(maker, &level->joins);
    forget(maker, &level->sets);
    while (maker->folds_open > 0 && maker->folds[maker->folds_open - 1].level >= maker->level) {
        skeleton_fold_close(maker);
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
    static const char select[8] = "select";
    enum sql_verb verb = SQL_VERB_UNKNOWN;
    uint64_t word;
    memcpy(&word, select, sizeof(word));
    if (token->len == 6 && lower_word(load_text(maker, token->at, 6)) == le64toh(word)) {
        verb = SQL_VERB_SELECT;
    } else if (token->kind == SQL_WORD) {
        struct sql_lexer lexer = maker->lexer;
        lexer.at = token->at;
        verb = sql_verb_next(&lexer);
    }
    if (maker->level > 0 && !sql_verb_is_row(verb)) {
        verb = SQL_VERB_UNKNOWN; /* only queries may stand in brackets */
    }
    maker->ret->verb = verb;
    maker->keep_all = !sql_verb_is_row(verb);
    maker->hurry = verb != SQL_VERB_CREATE;
    maker->times = verb == SQL_VERB_SELECT || verb == SQL_VERB_WITH || verb == SQL_VERB_VALUES;
}

/* Of a word that is written; returns the roles that are left to it where it stands. */
static uint32_t take_roles(struct maker *maker, uint32_t roles)
{
    uint32_t before = maker->roles;
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
        skeleton_fold_drop(maker);
    }
    count_word(maker, roles);
    if ((roles & ROLE_VALUES) != 0) {
        skeleton_fold_open(maker, maker->level, true);
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
    maker->is_string = false;
    put_byte(maker, GLUE_OPEN, opener);
    open_level(maker, opener,
               level_now(maker)->positions || (roles & (ROLE_ON | ROLE_BY)) == (ROLE_ON | ROLE_BY));
    if (maker->keep_level == 0 && opener == '(' && (roles & (ROLE_KEEP | ROLE_REG)) != 0) {
        maker->keep_level = maker->level;
        maker->keep_named = false;
    }
    if ((opener == '(' && (roles & ROLE_IN) != 0) || (opener == '[' && (roles & ROLE_ARRAY) != 0)) {
        skeleton_fold_open(maker, maker->level, false);
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
    maker->is_string = maker->is_string && closer == ')';
    put_byte(maker, GLUE_CLOSE, closer);
}

static void take_comma(struct maker *maker)
{
    struct level *level = level_now(maker);
    maker->is_string = false;
    if ((level->operators | level->joins) != 0) {
        forget(maker, &level->operators);
        forget(maker, &level->joins);
    }
    if (maker->keep_level == maker->level && !maker->keep_named) {
        maker->keep_level = 0;
    }
    put_byte(maker, GLUE_COMMA, ',');
    if (is_fold_level(maker)) {
        skeleton_fold_next(maker);
    }
}

/* An operator of one character */
static void take_sign(struct maker *maker, char sign)
{
    put_byte(maker, GLUE_OPERATOR, sign);
    add_weight(maker, &level_now(maker)->operators);
    maker->is_string = false;
}

static void take_operator(struct maker *maker, const struct sql_token *token)
{
    if (token->len == 1) {
        take_sign(maker, (char)maker->lexer.bytes[token->at]);
        return;
    }
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
    put_byte(maker, GLUE_LITERAL, 'N');
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
        put_byte(maker, GLUE_DOT, '.');
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
        skeleton_fold_meet(maker, self);
    }
    switch (token->kind) {
    case SQL_WORD:
        roles = take_roles(maker, put_word(maker, token));
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

/* --- the short cut -------------------------------------------------------------------------------
 *
 * Most tokens are words of less than 32 bytes, commas, dots, brackets, signs. Where there is such
 * a one and enough text behind it, it needs no lexer to know it.
 */

/* Of the word in lower case at `lower`, behind which there may be anything. */
static uint32_t find_roles(const uint8_t *lower, uint32_t len)
{
    struct skeleton_word_key key = {{0}};
    uint32_t parts = (len + 7) / 8;
    if (len > sizeof(key)) {
        return 0;
    }
    memcpy(key.part, lower, 16);
    key.part[0] = le64toh(key.part[0]);
    key.part[1] = parts < 2 ? 0 : le64toh(key.part[1]);
    if (parts == 3) {
        memcpy(&key.part[2], lower + 16, 8);
        key.part[2] = le64toh(key.part[2]);
    }
    uint32_t cut = (0 - 8 * len) & 63;
    key.part[parts - 1] = key.part[parts - 1] << cut >> cut;
    return skeleton_word_roles(&key);
}

/* What a run of short tokens changes with each of them. */
struct run {
    uint32_t at, len;
    enum glue glue;
    uint32_t roles;
    char self;
};

static struct run begin_run(const struct maker *maker)
{
    return (struct run){.at = maker->lexer.at,
                        .len = maker->len,
                        .glue = maker->glue,
                        .roles = maker->roles,
                        .self = maker->self};
}

static void end_run(struct maker *maker, const struct run *run)
{
    maker->lexer.at = run->at;
    maker->len = run->len;
    maker->glue = run->glue;
    maker->roles = run->roles;
    maker->self = run->self;
}

/* The word in lower case behind what is written, and its length; 0 if it has 32 bytes or more. */
static uint32_t copy_short_word(const uint8_t *word, uint8_t *out)
{
    uint32_t len = sql_bytes_word(word, out);
    if (len == SQL_VECTOR_BYTES) {
        len += sql_bytes_word(word + SQL_VECTOR_BYTES, out + SQL_VECTOR_BYTES);
    }
    return len < 2 * SQL_VECTOR_BYTES ? len : 0;
}

/* A sign that is more than a byte to be written. */
static bool take_short_self(struct maker *maker, char self, uint8_t next)
{
    switch (self) {
    case ',':
        take_comma(maker);
        return true;
    case '(':
        take_open(maker, '(');
        return true;
    case ')':
        take_close(maker, ')');
        return true;
    case '=':
    case '<':
    case '>':
    case '*':
    case '+':
        if ((sql_byte_class[next] & SQL_IN_OPERATOR) == 0) {
            take_sign(maker, self);
            return true;
        }
        return false;
    }
    return false;
}

/* Takes tokens for as long as they are short. */
static void take_run(struct maker *maker)
{
    const uint8_t *bytes = maker->lexer.bytes;
    const uint32_t text_len = maker->lexer.len, len_max = maker->len_max;
    uint8_t *const out = maker->out;
    struct run run = begin_run(maker);
    while (maker->hurry && text_len - run.at > 2 * SQL_VECTOR_BYTES + 1 &&
           len_max - run.len > 3 * SQL_VECTOR_BYTES && !is_fold_level(maker)) {
        uint32_t at = run.at + (bytes[run.at] == ' ');
        enum sql_first first = sql_byte_first(bytes[at]);
        uint8_t next = bytes[at + 1];
        out[run.len] = ' ';
        if (first == SQL_FIRST_WORD || (first == SQL_FIRST_PREFIX && next != '\'' && next != '&')) {
            uint32_t from = run.len + skeleton_has_space[run.glue][GLUE_WORD];
            uint32_t len = copy_short_word(bytes + at, out + from);
            if (len == 0) {
                break;
            }
            uint32_t roles = find_roles(out + from, len);
            run = (struct run){at + len, from + len, GLUE_WORD, run.roles, run.self};
            if (roles != 0) {
                end_run(maker, &run);
                roles = take_roles(maker, roles);
                run = begin_run(maker);
            }
            run.roles = roles;
            run.self = 0;
        } else if (first == SQL_FIRST_DOT && sql_byte_first(next) == SQL_FIRST_WORD) {
            run.len += skeleton_has_space[run.glue][GLUE_DOT];
            out[run.len] = '.';
            run = (struct run){at + 1, run.len + 1, GLUE_DOT, 0, '.'};
        } else {
            end_run(maker, &run);
            if (!take_short_self(maker, (char)bytes[at], next)) {
                break;
            }
            run = begin_run(maker);
            run.at = at + 1;
            run.roles = 0;
            run.self = (char)bytes[at];
        }
    }
    end_run(maker, &run);
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
    if (lexer.at == lexer.len || !find_statement(&lexer, &token)) {
        maker->lexer = lexer;
    }
    maker->ret->next = maker->lexer.at;
}

static void make(struct maker *maker, struct sql_token *token)
{
    struct skeleton *ret = maker->ret;
    ret->start = token->at;
    do {
        bool is_semicolon = sql_token_is_self(&maker->lexer, token, ';');
        if (ret->verb == SQL_VERB_EMPTY && !sql_token_is_self(&maker->lexer, token, '(')) {
            take_verb(maker, token);
        }
        if ((is_semicolon || ret->verb == SQL_VERB_CREATE) && ends(maker, token)) {
            find_next(maker);
            break;
        }
        take_token(maker, token);
        take_run(maker);
        ret->end = maker->lexer.at;
    } while (ret->opaque == SKELETON_CLEAR && sql_lexer_next(&maker->lexer, token) != SQL_END);
    while (maker->folds_open > 0) {
        skeleton_fold_close(maker);
    }
}

/* A token has a byte at least, so few skeletons are long enough to be looked at again. */
static bool has_too_many_tokens(const struct maker *maker)
{
    struct sql_lexer lexer;
    struct sql_token token;
    uint32_t count = 0;
    if (maker->len <= LIMIT_SKELETON_TOKENS) {
        return false;
    }
    sql_lexer_init(&lexer, maker->out, maker->len, 0);
    while (sql_lexer_next(&lexer, &token) > SQL_END) {
        count++;
    }
    return count > LIMIT_SKELETON_TOKENS;
}

void skeleton_make(const char *text, size_t len, const struct skeleton_room *room,
                   struct skeleton *ret)
{
    struct level levels[LIMIT_SKELETON_DEPTH + 1];
    struct fold folds[FOLDS_MAX];
    struct maker maker = {.room = room,
                          .ret = ret,
                          .out = room->bytes,
                          .levels = levels,
                          .folds = folds,
                          .fold_level = NO_LEVEL};
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
    if (has_too_many_tokens(&maker)) {
        refuse(&maker, SKELETON_LONG);
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
