#include "protocol/sql_lexer.h"

#include <endian.h>
#include <string.h>

#include "base/assert.h"
#include "base/limits.h"
#include "protocol/sql_bytes.h"

/* --- bytes ------------------------------------------------------------------------------------ */

#define LETTER (SQL_FIRST_WORD | SQL_IN_WORD | SQL_IN_TAG)
#define PREFIX (SQL_FIRST_PREFIX | SQL_IN_WORD | SQL_IN_TAG)
#define DIGIT (SQL_FIRST_DIGIT | SQL_IN_WORD | SQL_IN_TAG)
#define OPERATOR (SQL_FIRST_OPERATOR | SQL_IN_OPERATOR)
#define OPERATOR_OWN (SQL_FIRST_OPERATOR | SQL_IN_OPERATOR | SQL_NOT_STANDARD)

const uint8_t sql_byte_class[256] = {
    ['\t'] = SQL_FIRST_SPACE,
    ['\n'] = SQL_FIRST_SPACE,
    ['\f'] = SQL_FIRST_SPACE,
    ['\r'] = SQL_FIRST_SPACE,
    [' '] = SQL_FIRST_SPACE,
    ['!'] = OPERATOR_OWN,
    ['"'] = SQL_FIRST_DOUBLE_QUOTE,
    ['#'] = OPERATOR_OWN,
    ['$'] = SQL_FIRST_DOLLAR | SQL_IN_WORD,
    ['%'] = OPERATOR_OWN,
    ['&'] = OPERATOR_OWN,
    ['\''] = SQL_FIRST_QUOTE,
    ['('] = SQL_FIRST_SELF,
    [')'] = SQL_FIRST_SELF,
    ['*'] = OPERATOR,
    ['+'] = OPERATOR,
    [','] = SQL_FIRST_SELF,
    ['-'] = SQL_FIRST_COMMENT | SQL_IN_OPERATOR,
    ['.'] = SQL_FIRST_DOT,
    ['/'] = SQL_FIRST_COMMENT | SQL_IN_OPERATOR,
    ['0' ... '9'] = DIGIT,
    [':'] = SQL_FIRST_COLON,
    [';'] = SQL_FIRST_SELF,
    ['<'] = OPERATOR,
    ['='] = OPERATOR,
    ['>'] = OPERATOR,
    ['?'] = OPERATOR_OWN,
    ['@'] = OPERATOR_OWN,
    ['A'] = LETTER,
    ['B'] = PREFIX,
    ['C' ... 'D'] = LETTER,
    ['E'] = PREFIX,
    ['F' ... 'M'] = LETTER,
    ['N'] = PREFIX,
    ['O' ... 'T'] = LETTER,
    ['U'] = PREFIX,
    ['V' ... 'W'] = LETTER,
    ['X'] = PREFIX,
    ['Y' ... 'Z'] = LETTER,
    ['['] = SQL_FIRST_SELF,
    [']'] = SQL_FIRST_SELF,
    ['^'] = OPERATOR_OWN,
    ['_'] = LETTER,
    ['`'] = OPERATOR_OWN,
    ['a'] = LETTER,
    ['b'] = PREFIX,
    ['c' ... 'd'] = LETTER,
    ['e'] = PREFIX,
    ['f' ... 'm'] = LETTER,
    ['n'] = PREFIX,
    ['o' ... 't'] = LETTER,
    ['u'] = PREFIX,
    ['v' ... 'w'] = LETTER,
    ['x'] = PREFIX,
    ['y' ... 'z'] = LETTER,
    ['|'] = OPERATOR_OWN,
    ['~'] = OPERATOR_OWN,
    [0x80 ... 0xff] = LETTER,
};

/* The byte there, or 0 at the end: no rule has 0 in it. */
static uint8_t byte_at(const struct sql_lexer *lexer, uint32_t at)
{
    return at < lexer->len ? lexer->bytes[at] : 0;
}

static uint8_t class_at(const struct sql_lexer *lexer, uint32_t at)
{
    return sql_byte_class[byte_at(lexer, at)];
}

static bool is_digit_at(const struct sql_lexer *lexer, uint32_t at)
{
    return (class_at(lexer, at) & SQL_FIRST_MASK) == SQL_FIRST_DIGIT;
}

/* ident_start of scan.l: letters, _ and bytes above 127 */
static bool is_letter_at(const struct sql_lexer *lexer, uint32_t at)
{
    return (class_at(lexer, at) & SQL_IN_TAG) != 0 && !is_digit_at(lexer, at);
}

static bool is_newline(uint8_t byte)
{
    return byte == '\n' || byte == '\r';
}

/* Where that byte is next, from `at` on; the text's end if nowhere. */
static uint32_t find_byte(const struct sql_lexer *lexer, uint32_t at, uint8_t byte)
{
    const uint64_t ones = 0x0101010101010101u;
    while (lexer->len - at >= 8) {
        uint64_t word;
        memcpy(&word, lexer->bytes + at, sizeof(word));
        word = le64toh(word) ^ ones * byte;
        uint64_t zeros = (word - ones) & ~word & ones << 7;
        if (zeros != 0) {
            return at + (uint32_t)__builtin_ctzll(zeros) / 8;
        }
        at += 8;
    }
    while (at < lexer->len && lexer->bytes[at] != byte) {
        at++;
    }
    return at;
}

static uint32_t skip_word(const struct sql_lexer *lexer, uint32_t at)
{
    while (lexer->len - at >= SQL_VECTOR_BYTES) {
        uint32_t len = sql_bytes_word(lexer->bytes + at, NULL);
        at += len;
        if (len < SQL_VECTOR_BYTES) {
            return at;
        }
    }
    while (at < lexer->len && (sql_byte_class[lexer->bytes[at]] & SQL_IN_WORD) != 0) {
        at++;
    }
    return at;
}

static uint32_t skip_digits(const struct sql_lexer *lexer, uint32_t at)
{
    const uint64_t ones = 0x0101010101010101u;
    while (lexer->len - at >= 8) {
        uint64_t eight;
        memcpy(&eight, lexer->bytes + at, sizeof(eight));
        eight = le64toh(eight) ^ '0' * ones; /* digits are 0 to 9 now */
        uint64_t others = (((eight & 0x7f * ones) + 0x76 * ones) | eight) & 0x80 * ones;
        if (others != 0) {
            return at + (uint32_t)__builtin_ctzll(others) / 8;
        }
        at += 8;
    }
    while (is_digit_at(lexer, at)) {
        at++;
    }
    return at;
}

/* --- blanks and comments ---------------------------------------------------------------------- */

/* A comment's text, without what opens and closes it. */
static void take_hint(struct sql_lexer *lexer, uint32_t at, uint32_t end)
{
    static const char prefix[] = "howdah:";
    const uint32_t prefix_len = sizeof(prefix) - 1;
    while (at < end && (sql_byte_class[lexer->bytes[at]] & SQL_FIRST_MASK) == SQL_FIRST_SPACE) {
        at++;
    }
    if (end - at >= prefix_len && memcmp(lexer->bytes + at, prefix, prefix_len) == 0) {
        lexer->hint_at = at + prefix_len;
        lexer->hint_len = end - lexer->hint_at;
    }
}

/* The end of a line, from behind "--": the newline is not part of the comment. */
static uint32_t line_comment_end(const struct sql_lexer *lexer, uint32_t at)
{
    while (at < lexer->len && !is_newline(lexer->bytes[at])) {
        at++;
    }
    return at;
}

/* Behind the end of a comment, from behind its first slash and star; 0 if it has none. They nest,
 * and each opening and closing has a star in it. */
static uint32_t block_comment_end(const struct sql_lexer *lexer, uint32_t at)
{
    uint32_t depth = 1;
    uint32_t taken = at; /* a slash before it belongs to another opening or closing */
    for (;;) {
        uint32_t star = find_byte(lexer, at, '*');
        if (star == lexer->len) {
            return 0;
        }
        at = star + 1;
        if (star > taken && lexer->bytes[star - 1] == '/') {
            depth++;
            taken = at;
        } else if (byte_at(lexer, at) == '/') {
            at++;
            taken = at;
            if (--depth == 0) {
                return at;
            }
        }
    }
}

bool sql_lexer_skip(struct sql_lexer *lexer)
{
    uint32_t at = lexer->at;
    for (;;) {
        uint8_t byte = byte_at(lexer, at);
        if ((sql_byte_class[byte] & SQL_FIRST_MASK) == SQL_FIRST_SPACE) {
            at++;
        } else if (byte == '-' && byte_at(lexer, at + 1) == '-') {
            uint32_t end = line_comment_end(lexer, at + 2);
            take_hint(lexer, at + 2, end);
            at = end;
        } else if (byte == '/' && byte_at(lexer, at + 1) == '*') {
            uint32_t end = block_comment_end(lexer, at + 2);
            lexer->at = at;
            if (end == 0) {
                return false;
            }
            take_hint(lexer, at + 2, end - 2);
            at = end;
        } else {
            lexer->at = at;
            return true;
        }
    }
}

/* --- strings ---------------------------------------------------------------------------------- */

/* Behind the quote that ends a literal, from behind the one that began it; 0 if there is none. */
static uint32_t quoted_end(const struct sql_lexer *lexer, uint32_t at, uint8_t quote, bool doubled)
{
    for (;;) {
        at = find_byte(lexer, at, quote);
        if (at == lexer->len) {
            return 0;
        }
        at++;
        if (!doubled || byte_at(lexer, at) != quote) {
            return at;
        }
        at++;
    }
}

static uint32_t escaped_end(const struct sql_lexer *lexer, uint32_t at)
{
    while (at < lexer->len) {
        uint8_t byte = lexer->bytes[at++];
        if (byte == '\'') {
            if (byte_at(lexer, at) != '\'') {
                return at;
            }
            at++;
        } else if (byte == '\\') {
            at += at < lexer->len;
        }
    }
    return 0;
}

/* Behind the quote that goes on with a string that has ended at `at`; 0 if it does not go on. There
 * must be a newline between them, and there may be comments of one line (quotecontinue). */
static uint32_t continued_at(const struct sql_lexer *lexer, uint32_t at)
{
    bool newline = false;
    for (;;) {
        uint8_t byte = byte_at(lexer, at);
        if ((sql_byte_class[byte] & SQL_FIRST_MASK) == SQL_FIRST_SPACE) {
            newline = newline || is_newline(byte);
            at++;
        } else if (byte == '-' && byte_at(lexer, at + 1) == '-') {
            at = line_comment_end(lexer, at + 2);
        } else {
            return byte == '\'' && newline ? at + 1 : 0;
        }
    }
}

/* From behind the opening quote of a literal of that kind. */
static enum sql_token_kind lex_string(struct sql_lexer *lexer, uint32_t at,
                                      enum sql_token_kind kind)
{
    lexer->continued = false;
    for (;;) {
        uint32_t end = kind == SQL_ESCAPE_STRING
                           ? escaped_end(lexer, at)
                           : quoted_end(lexer, at, '\'', kind != SQL_BIT && kind != SQL_HEX);
        if (end == 0) {
            return SQL_ERROR;
        }
        lexer->at = end;
        at = continued_at(lexer, end);
        if (at == 0) {
            return kind;
        }
        lexer->continued = true;
    }
}

static enum sql_token_kind lex_plain_string(struct sql_lexer *lexer, uint32_t at)
{
    bool escapes = (lexer->flags & SQL_LEXER_BACKSLASHES) != 0;
    return lex_string(lexer, at, escapes ? SQL_ESCAPE_STRING : SQL_STRING);
}

/* A delimited identifier must not be empty. */
static enum sql_token_kind lex_quoted(struct sql_lexer *lexer, uint32_t at,
                                      enum sql_token_kind kind)
{
    uint32_t end = quoted_end(lexer, at, '"', true);
    if (end == 0 || end - at == 1) {
        return SQL_ERROR;
    }
    lexer->at = end;
    return kind;
}

static enum sql_token_kind lex_dollar(struct sql_lexer *lexer)
{
    uint32_t start = lexer->at;
    if (is_digit_at(lexer, start + 1)) {
        lexer->at = skip_digits(lexer, start + 1);
        return is_letter_at(lexer, lexer->at) ? SQL_ERROR : SQL_PARAMETER;
    }
    uint32_t at = start + 1;
    while ((class_at(lexer, at) & SQL_IN_TAG) != 0) {
        at++;
    }
    if (byte_at(lexer, at) != '$') {
        lexer->at = start + 1;
        return SQL_OTHER;
    }
    /* A tag has no $ inside, so no byte is compared twice. */
    uint32_t tag_len = at + 1 - start;
    for (at = find_byte(lexer, at + 1, '$'); lexer->len - at >= tag_len;
         at = find_byte(lexer, at + 1, '$')) {
        if (memcmp(lexer->bytes + at, lexer->bytes + start, tag_len) == 0) {
            lexer->at = at + tag_len;
            return SQL_DOLLAR_STRING;
        }
    }
    return SQL_ERROR;
}

/* --- words, numbers, operators ---------------------------------------------------------------- */

static enum sql_token_kind lex_word(struct sql_lexer *lexer)
{
    lexer->at = skip_word(lexer, lexer->at + 1);
    return SQL_WORD;
}

/* A word that begins with a letter that may belong to a literal. */
static enum sql_token_kind lex_prefix(struct sql_lexer *lexer)
{
    uint32_t at = lexer->at + 1;
    uint8_t next = byte_at(lexer, at);
    if (next != '\'' && next != '&') {
        return lex_word(lexer);
    }
    uint8_t letter = lexer->bytes[lexer->at] | 0x20;
    if (next == '\'') {
        switch (letter) {
        case 'b':
            return lex_string(lexer, at + 1, SQL_BIT);
        case 'x':
            return lex_string(lexer, at + 1, SQL_HEX);
        case 'e':
            return lex_string(lexer, at + 1, SQL_ESCAPE_STRING);
        case 'n':
            lexer->at = at;
            return SQL_NATIONAL;
        }
    } else if (letter == 'u') {
        if (byte_at(lexer, at + 1) == '"') {
            return lex_quoted(lexer, at + 2, SQL_UNICODE_QUOTED);
        }
        if (byte_at(lexer, at + 1) == '\'') {
            bool escapes = (lexer->flags & SQL_LEXER_BACKSLASHES) != 0;
            return escapes ? SQL_ERROR : lex_string(lexer, at + 2, SQL_UNICODE_STRING);
        }
    }
    return lex_word(lexer);
}

/* From its first digit or point. Letters right behind a number are an error since version 15. */
static enum sql_token_kind lex_number(struct sql_lexer *lexer)
{
    enum sql_token_kind kind = SQL_INTEGER;
    uint32_t at = skip_digits(lexer, lexer->at);
    bool range = at > lexer->at && byte_at(lexer, at) == '.' && byte_at(lexer, at + 1) == '.';
    if (byte_at(lexer, at) == '.' && !range) {
        kind = SQL_DECIMAL;
        at = skip_digits(lexer, at + 1);
    }
    if ((byte_at(lexer, at) | 0x20) == 'e') {
        uint32_t exponent = at + 1;
        uint8_t sign = byte_at(lexer, exponent);
        exponent += sign == '+' || sign == '-';
        if (!is_digit_at(lexer, exponent)) {
            return SQL_ERROR;
        }
        kind = SQL_DECIMAL;
        at = skip_digits(lexer, exponent);
    }
    if (is_letter_at(lexer, at)) {
        return SQL_ERROR;
    }
    lexer->at = at;
    return kind;
}

static enum sql_token_kind operator_kind(const uint8_t *bytes, uint32_t len)
{
    if (len == 1) {
        return memchr("+-*/%^<>=", bytes[0], 9) != NULL ? SQL_SELF : SQL_OPERATOR;
    }
    if (len == 2) {
        switch (bytes[0] << 8 | bytes[1]) {
        case '=' << 8 | '>':
            return SQL_EQUALS_GREATER;
        case '<' << 8 | '=':
            return SQL_LESS_EQUALS;
        case '>' << 8 | '=':
            return SQL_GREATER_EQUALS;
        case '<' << 8 | '>':
        case '!' << 8 | '=':
            return SQL_NOT_EQUALS;
        }
    }
    return SQL_OPERATOR;
}

/* The longest run, up to a comment; without the + and - at its end, unless it has a character that
 * SQL's own operators have not. */
static enum sql_token_kind lex_operator(struct sql_lexer *lexer)
{
    uint32_t start = lexer->at;
    if (start < lexer->signs_end) {
        lexer->at++;
        return SQL_SELF;
    }
    uint8_t seen = 0;
    uint32_t end = start;
    while ((class_at(lexer, end) & SQL_IN_OPERATOR) != 0) {
        uint8_t byte = lexer->bytes[end];
        uint8_t next = byte_at(lexer, end + 1);
        if ((byte == '-' && next == '-') || (byte == '/' && next == '*')) {
            break;
        }
        seen |= sql_byte_class[byte];
        end++;
    }
    uint32_t len = end - start;
    if ((seen & SQL_NOT_STANDARD) == 0) {
        while (len > 1 &&
               (lexer->bytes[start + len - 1] == '+' || lexer->bytes[start + len - 1] == '-')) {
            len--;
        }
        lexer->signs_end = end;
    }
    if (len >= LIMIT_NAME_BYTES) {
        return SQL_ERROR; /* "operator too long" */
    }
    lexer->at = start + len;
    return operator_kind(lexer->bytes + start, len);
}

static enum sql_token_kind lex_colon(struct sql_lexer *lexer)
{
    uint8_t next = byte_at(lexer, lexer->at + 1);
    lexer->at += next == ':' || next == '=' ? 2 : 1;
    return next == ':' ? SQL_TYPECAST : next == '=' ? SQL_COLON_EQUALS : SQL_SELF;
}

static enum sql_token_kind lex_dot(struct sql_lexer *lexer)
{
    uint8_t next = byte_at(lexer, lexer->at + 1);
    if ((sql_byte_class[next] & SQL_FIRST_MASK) == SQL_FIRST_DIGIT) {
        return lex_number(lexer);
    }
    lexer->at += next == '.' ? 2 : 1;
    return next == '.' ? SQL_DOT_DOT : SQL_SELF;
}

/* --- the iterator ----------------------------------------------------------------------------- */

static enum sql_token_kind lex(struct sql_lexer *lexer)
{
    switch ((enum sql_first)(sql_byte_class[lexer->bytes[lexer->at]] & SQL_FIRST_MASK)) {
    case SQL_FIRST_WORD:
        return lex_word(lexer);
    case SQL_FIRST_PREFIX:
        return lex_prefix(lexer);
    case SQL_FIRST_SELF:
        lexer->at++;
        return SQL_SELF;
    case SQL_FIRST_DIGIT:
        return lex_number(lexer);
    case SQL_FIRST_OPERATOR:
    case SQL_FIRST_COMMENT:
        return lex_operator(lexer);
    case SQL_FIRST_QUOTE:
        return lex_plain_string(lexer, lexer->at + 1);
    case SQL_FIRST_DOUBLE_QUOTE:
        return lex_quoted(lexer, lexer->at + 1, SQL_QUOTED);
    case SQL_FIRST_DOLLAR:
        return lex_dollar(lexer);
    case SQL_FIRST_DOT:
        return lex_dot(lexer);
    case SQL_FIRST_COLON:
        return lex_colon(lexer);
    case SQL_FIRST_OTHER:
    case SQL_FIRST_SPACE:
        break;
    }
    lexer->at++;
    return lexer->bytes[lexer->at - 1] == 0 ? SQL_ERROR : SQL_OTHER;
}

void sql_lexer_init(struct sql_lexer *lexer, const void *bytes, size_t len, uint32_t flags)
{
    ASSERT(len <= LIMIT_MESSAGE_BYTES);
    *lexer = (struct sql_lexer){.bytes = bytes, .len = (uint32_t)len, .flags = flags};
}

enum sql_token_kind sql_lexer_next(struct sql_lexer *lexer, struct sql_token *ret_token)
{
    bool skipped = true;
    lexer->at += byte_at(lexer, lexer->at) == ' '; /* there is mostly one, or none */
    if (sql_byte_first(byte_at(lexer, lexer->at)) >= SQL_FIRST_COMMENT) {
        skipped = sql_lexer_skip(lexer);
    }
    uint32_t start = lexer->at;
    enum sql_token_kind kind;
    if (!skipped) {
        kind = SQL_ERROR;
    } else if (start == lexer->len) {
        kind = SQL_END;
    } else {
        kind = lex(lexer);
    }
    if (kind == SQL_ERROR) {
        lexer->at = start;
    }
    *ret_token = (struct sql_token){start, lexer->at - start, kind};
    return kind;
}

bool sql_lexer_is_word(uint8_t byte)
{
    return (sql_byte_class[byte] & SQL_IN_WORD) != 0;
}

bool sql_token_is(const struct sql_lexer *lexer, const struct sql_token *token, const char *word)
{
    if (token->kind != SQL_WORD || strlen(word) != token->len) {
        return false;
    }
    for (uint32_t i = 0; i < token->len; i++) {
        uint8_t byte = lexer->bytes[token->at + i];
        if ((byte >= 'A' && byte <= 'Z' ? byte | 0x20 : byte) != (uint8_t)word[i]) {
            return false;
        }
    }
    return true;
}
