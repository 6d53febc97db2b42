/* Where the statements of a simple Query's text end, as the server's grammar sees it.
 *
 * It is at a semicolon outside of brackets (CREATE RULE has them inside: DO (a; b)), and outside of
 * the body of a function in SQL, which is BEGIN ATOMIC a; b; END.
 */
#ifndef PROTOCOL_SQL_SPLIT_H
#define PROTOCOL_SQL_SPLIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "protocol/sql_lexer.h"

/* What must be known of a statement's tokens so far; zeroed at its beginning. */
struct sql_splitter {
    uint32_t depth;  /* open brackets */
    uint32_t bodies; /* open BEGIN ATOMICs */
    uint32_t words;  /* tokens so far, up to four */
    bool routine;    /* CREATE [OR REPLACE] FUNCTION or PROCEDURE */
    bool begin;      /* the token before this one was BEGIN */
    bool may_end;    /* the token before this one was ATOMIC, or a semicolon of a body */
};

/* Takes the next token of a statement: true if it is the semicolon that ends it. */
bool sql_splitter_ends(struct sql_splitter *splitter, const struct sql_lexer *lexer,
                       const struct sql_token *token);

struct sql_statement {
    uint32_t start; /* of the first token */
    uint32_t end;   /* of the last token, before the semicolon and what is blank before that */
    bool broken;    /* the lexer knew no further: it takes all that is left */
};

/* The next statement that has a token in it; false if there is none any more. */
bool sql_split_next(struct sql_lexer *lexer, struct sql_statement *ret_statement);

#endif
