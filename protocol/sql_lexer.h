/* PostgreSQL's lexer of SQL (src/backend/parser/scan.l), as an iterator over bytes.
 *
 *   struct sql_lexer lexer;
 *   struct sql_token token;
 *   sql_lexer_init(&lexer, text, len, 0);
 *   while (sql_lexer_next(&lexer, &token) > SQL_END) ...
 *
 * Tokens have the kinds and the boundaries that version 15 gives them; nothing is decoded, no word
 * is looked up. It allocates nothing, does not recurse, and looks at each byte a bounded number of
 * times, which the server's own does not (a long run of + and - costs it the square).
 *
 * Where versions differ, it is the strictest: 0x1F and 1_000 (16 and later), 123abc (before 15) and
 * a vertical tab between tokens (16 and later) are errors here. An error here does not mean that
 * the server refuses the text, but the reverse holds, except for what is inside of a literal: the
 * escapes of E'' and U&'' and the encoding are not looked at.
 *
 * Bytes above 127 are letters, as in the server; so the encoding must be one whose multi-byte
 * characters have no ASCII in them.
 */
#ifndef PROTOCOL_SQL_LEXER_H
#define PROTOCOL_SQL_LEXER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum sql_token_kind {
    SQL_ERROR, /* no token begins here, or it is not terminated; the lexer stays where it is */
    SQL_END,
    SQL_WORD,           /* an identifier without quotes, or a keyword */
    SQL_QUOTED,         /* "name" */
    SQL_UNICODE_QUOTED, /* U&"name", without its UESCAPE */
    SQL_INTEGER,        /* digits; of any length */
    SQL_DECIMAL,        /* with a point or an exponent */
    SQL_STRING,         /* 'text', with the parts that continue it on other lines */
    SQL_ESCAPE_STRING,  /* E'text', and 'text' where backslashes escape; continued likewise */
    SQL_UNICODE_STRING, /* U&'text', without its UESCAPE; continued likewise */
    SQL_DOLLAR_STRING,  /* $tag$text$tag$ */
    SQL_BIT,            /* B'01', continued likewise */
    SQL_HEX,            /* X'1f', continued likewise */
    SQL_NATIONAL,       /* the N of N'text'; the string is the next token */
    SQL_PARAMETER,      /* $1 */
    SQL_OPERATOR,       /* any operator that has no kind of its own */
    SQL_SELF,           /* one of , ( ) [ ] . ; : + - * / % ^ < > = */
    SQL_TYPECAST,       /* :: */
    SQL_DOT_DOT,        /* .. */
    SQL_COLON_EQUALS,   /* := */
    SQL_EQUALS_GREATER, /* => */
    SQL_LESS_EQUALS,    /* <= */
    SQL_GREATER_EQUALS, /* >= */
    SQL_NOT_EQUALS,     /* <> and != */
    SQL_OTHER,          /* a byte that no rule knows; the grammar accepts none of them */
    SQL_TOKEN_KINDS
};

struct sql_token {
    uint32_t at;
    uint32_t len;
    enum sql_token_kind kind;
};

/* standard_conforming_strings is off: backslashes escape in plain strings too */
#define SQL_LEXER_BACKSLASHES 1u

struct sql_lexer {
    const uint8_t *bytes;
    uint32_t len;
    uint32_t at;        /* the next token begins here or behind blanks and comments */
    uint32_t signs_end; /* up to here there are only + and -, a token each */
    uint32_t hint_at;   /* behind "howdah:" of the last comment that began with it; 0 if none did */
    uint32_t hint_len;  /* up to that comment's end */
    uint32_t flags;
    bool continued; /* the last string had several parts */
};

/* `len` bytes of text, at most LIMIT_MESSAGE_BYTES; they stay the caller's. */
void sql_lexer_init(struct sql_lexer *lexer, const void *bytes, size_t len, uint32_t flags);

/* The next token, and its kind. Behind the last one SQL_END, and behind an error the error, each
 * time again. */
enum sql_token_kind sql_lexer_next(struct sql_lexer *lexer, struct sql_token *ret_token);

/* Passes over blanks and comments, taking hints from them: false if a comment does not end. */
bool sql_lexer_skip(struct sql_lexer *lexer);

/* Whether a byte can be inside of an identifier without quotes */
bool sql_lexer_is_word(uint8_t byte);

/* Whether a token is this word, given in lower case; false for anything in quotes. */
bool sql_token_is(const struct sql_lexer *lexer, const struct sql_token *token, const char *word);

/* Whether a token is this one character, of the kind SQL_SELF. */
static inline bool sql_token_is_self(const struct sql_lexer *lexer, const struct sql_token *token,
                                     char character)
{
    return token->kind == SQL_SELF && lexer->bytes[token->at] == (uint8_t)character;
}

#endif
