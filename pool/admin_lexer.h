/* The words of a statement to the admin database: as SQL has them, as far as that is needed. */
#ifndef POOL_ADMIN_LEXER_H
#define POOL_ADMIN_LEXER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum admin_token_kind {
    TOKEN_END,
    TOKEN_WORD,   /* keyword or name, with dots in it if it has some */
    TOKEN_QUOTED, /* a name in double quotes */
    TOKEN_STRING, /* in single quotes */
    TOKEN_NUMBER,
    TOKEN_PARAMETER, /* $1 */
    TOKEN_SYMBOL,    /* any other character */
};

struct admin_token {
    enum admin_token_kind kind;
    const char *text; /* quotes included */
    size_t bytes;
};

struct admin_lexer {
    const char *at, *end;
};

/* The next token; TOKEN_END at the end, again and again. A quote that nothing closes ends there. */
struct admin_token admin_lexer_next(struct admin_lexer *lexer);

/* The next token, which stays the next. */
struct admin_token admin_lexer_peek(const struct admin_lexer *lexer);

/* Whether the token is that keyword, in any case. */
bool admin_token_is(const struct admin_token *token, const char *word);
bool admin_token_is_symbol(const struct admin_token *token, char symbol);

/* What the token stands for: quotes removed, doubled ones made single. malloc'ed; NULL when memory
 * is out. */
char *admin_token_value(const struct admin_token *token);

/* Bytes of the first statement of a text, without the ';' that ends it. */
size_t admin_statement_bytes(const char *text, size_t bytes);

#endif
