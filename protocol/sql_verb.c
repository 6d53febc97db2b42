#include "protocol/sql_verb.h"

#include <string.h>

#include "protocol/sql_lexer.h"

static const char *const verb_text[SQL_VERB_COUNT] = {
#define SQL_VERB(name, text) [SQL_VERB_##name] = text,
#include "protocol/sql_verb.def"
#undef SQL_VERB
};

const char *sql_verb_text(enum sql_verb verb)
{
    return verb < SQL_VERB_COUNT ? verb_text[verb] : "?";
}

/* The row of this one word. Few begin alike, so the first letter sorts out almost all. */
static enum sql_verb find(const struct sql_lexer *lexer, const struct sql_token *token)
{
    char letter = (char)(lexer->bytes[token->at] | 0x20);
    for (enum sql_verb verb = SQL_VERB_SELECT; verb < SQL_VERB_COUNT; verb++) {
        if (verb_text[verb][0] == letter && sql_token_is(lexer, token, verb_text[verb])) {
            return verb;
        }
    }
    return SQL_VERB_UNKNOWN;
}

/* What follows COMMIT, ROLLBACK and PREPARE; ROLLBACK has a noise word before TO. */
static enum sql_verb refine(enum sql_verb verb, struct sql_lexer *lexer)
{
    struct sql_token token;
    sql_lexer_next(lexer, &token);
    if (verb == SQL_VERB_PREPARE) {
        /* A statement may have this name: then its types or AS come next. */
        bool is_transaction = sql_token_is(lexer, &token, "transaction");
        enum sql_token_kind next = is_transaction ? sql_lexer_next(lexer, &token) : SQL_END;
        return next >= SQL_STRING && next <= SQL_DOLLAR_STRING ? SQL_VERB_PREPARE_TRANSACTION
                                                               : SQL_VERB_PREPARE;
    }
    if (sql_token_is(lexer, &token, "prepared")) {
        return verb == SQL_VERB_COMMIT ? SQL_VERB_COMMIT_PREPARED : SQL_VERB_ROLLBACK_PREPARED;
    }
    if (verb == SQL_VERB_ROLLBACK) {
        if (sql_token_is(lexer, &token, "work") || sql_token_is(lexer, &token, "transaction")) {
            sql_lexer_next(lexer, &token);
        }
        return sql_token_is(lexer, &token, "to") ? SQL_VERB_ROLLBACK_TO : verb;
    }
    return verb;
}

enum sql_verb sql_verb_next(struct sql_lexer *lexer)
{
    struct sql_token token = {0};
    enum sql_token_kind kind;
    bool bracket = false;
    do {
        bracket = bracket || sql_token_is_self(lexer, &token, '(');
        kind = sql_lexer_next(lexer, &token);
    } while (sql_token_is_self(lexer, &token, ';') || sql_token_is_self(lexer, &token, '('));
    if (kind == SQL_END) {
        return SQL_VERB_EMPTY;
    }
    if (kind != SQL_WORD) {
        return SQL_VERB_UNKNOWN;
    }
    enum sql_verb verb = find(lexer, &token);
    if (bracket && !sql_verb_is_row(verb)) {
        return SQL_VERB_UNKNOWN;
    }
    return verb == SQL_VERB_COMMIT || verb == SQL_VERB_ROLLBACK || verb == SQL_VERB_PREPARE
               ? refine(verb, lexer)
               : verb;
}

enum sql_verb sql_verb_read(const char *text, size_t len)
{
    struct sql_lexer lexer;
    sql_lexer_init(&lexer, text, len, 0);
    return sql_verb_next(&lexer);
}
