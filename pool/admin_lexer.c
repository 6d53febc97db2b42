#include "pool/admin_lexer.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

static bool is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || (c & 0x80) != 0;
}

static size_t left_of(const struct admin_lexer *lexer)
{
    return (size_t)(lexer->end - lexer->at);
}

static bool starts_with(const struct admin_lexer *lexer, const char *two)
{
    return left_of(lexer) >= 2 && memcmp(lexer->at, two, 2) == 0;
}

/* Spaces and comments. */
static void skip(struct admin_lexer *lexer)
{
    for (;;) {
        if (lexer->at < lexer->end && is_space(*lexer->at)) {
            lexer->at++;
        } else if (starts_with(lexer, "--")) {
            const char *line = memchr(lexer->at, '\n', left_of(lexer));
            lexer->at = line == NULL ? lexer->end : line;
        } else if (starts_with(lexer, "/*")) {
            const char *close = memmem(lexer->at + 2, left_of(lexer) - 2, "*/", 2);
            lexer->at = close == NULL ? lexer->end : close + 2;
        } else {
            return;
        }
    }
}

static void take_quoted(struct admin_lexer *lexer, char quote)
{
    lexer->at++;
    while (lexer->at < lexer->end) {
        if (*lexer->at++ != quote) {
            continue;
        }
        if (lexer->at == lexer->end || *lexer->at != quote) {
            return;
        }
        lexer->at++;
    }
}

/* Names of databases may have a hyphen in them, where SQL would want quotes. */
static void take_word(struct admin_lexer *lexer)
{
    while (lexer->at < lexer->end &&
           (is_letter(*lexer->at) || is_digit(*lexer->at) || *lexer->at == '$' ||
            *lexer->at == '.' || (*lexer->at == '-' && !starts_with(lexer, "--")))) {
        lexer->at++;
    }
}

struct admin_token admin_lexer_next(struct admin_lexer *lexer)
{
    skip(lexer);
    struct admin_token token = {.kind = TOKEN_END, .text = lexer->at};
    if (lexer->at == lexer->end) {
        return token;
    }
    char first = *lexer->at;
    bool digit_next = left_of(lexer) > 1 && is_digit(lexer->at[1]);
    if (first == '\'' || first == '"') {
        token.kind = first == '"' ? TOKEN_QUOTED : TOKEN_STRING;
        take_quoted(lexer, first);
    } else if (is_letter(first)) {
        token.kind = TOKEN_WORD;
        take_word(lexer);
    } else if (is_digit(first) || (first == '-' && digit_next) || (first == '$' && digit_next)) {
        token.kind = first == '$' ? TOKEN_PARAMETER : TOKEN_NUMBER;
        lexer->at++;
        take_word(lexer); /* 0x7f…, too: the ptr of a client */
    } else {
        token.kind = TOKEN_SYMBOL;
        lexer->at++;
    }
    token.bytes = (size_t)(lexer->at - token.text);
    return token;
}

struct admin_token admin_lexer_peek(const struct admin_lexer *lexer)
{
    struct admin_lexer copy = *lexer;
    return admin_lexer_next(&copy);
}

bool admin_token_is(const struct admin_token *token, const char *word)
{
    return token->kind == TOKEN_WORD && token->bytes == strlen(word) &&
           strncasecmp(token->text, word, token->bytes) == 0;
}

bool admin_token_is_symbol(const struct admin_token *token, char symbol)
{
    return token->kind == TOKEN_SYMBOL && token->text[0] == symbol;
}

char *admin_token_value(const struct admin_token *token)
{
    char *value = malloc(token->bytes + 1);
    size_t count = 0;
    bool quoted = token->kind == TOKEN_QUOTED || token->kind == TOKEN_STRING;
    if (value == NULL) {
        return NULL;
    }
    for (size_t i = quoted ? 1 : 0; i < token->bytes; i++) {
        if (quoted && token->text[i] == token->text[0]) {
            i++; /* the first of a doubled one, or the last of all */
            if (i >= token->bytes) {
                break;
            }
        }
        value[count++] = token->text[i];
    }
    value[count] = '\0';
    return value;
}

size_t admin_statement_bytes(const char *text, size_t bytes)
{
    struct admin_lexer lexer = {text, text + bytes};
    struct admin_token token;
    do {
        token = admin_lexer_next(&lexer);
    } while (token.kind != TOKEN_END && !admin_token_is_symbol(&token, ';'));
    return (size_t)(token.text - text);
}
