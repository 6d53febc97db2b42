#include "protocol/sql_names.h"

#include <string.h>

#include "protocol/sql_lexer.h"
#include "protocol/sql_split.h"

/* The name of a token as the server's scanner makes it: words in lower case (ASCII only, as in an
 * encoding of several bytes), quotes taken off. */
static bool read_name(const char *text, const struct sql_token *token, struct sql_name *ret_name)
{
    const char *from = text + token->at, *end = from + token->len;
    bool quoted = token->kind == SQL_QUOTED;
    uint32_t len = 0;
    if (!quoted && token->kind != SQL_WORD) {
        return false;
    }
    from += quoted;
    end -= quoted;
    while (from < end && len < SQL_NAME_BYTES - 1) {
        char letter = *from;
        from += quoted && letter == '"' ? 2 : 1; /* a quote inside is doubled */
        ret_name->text[len++] =
            !quoted && letter >= 'A' && letter <= 'Z' ? (char)(letter | 0x20) : letter;
    }
    ret_name->text[len] = '\0';
    ret_name->at = token->at;
    ret_name->len = token->len;
    return from >= end && len > 0;
}

/* The token behind EXPLAIN and its options. */
static void skip_options(struct sql_lexer *lexer, struct sql_token *token)
{
    sql_lexer_next(lexer, token);
    if (sql_token_is_self(lexer, token, '(')) {
        uint32_t depth = 1;
        while (depth > 0 && sql_lexer_next(lexer, token) > SQL_END) {
            depth += sql_token_is_self(lexer, token, '(');
            depth -= sql_token_is_self(lexer, token, ')');
        }
        sql_lexer_next(lexer, token);
        return;
    }
    while (sql_token_is(lexer, token, "analyze") || sql_token_is(lexer, token, "analyse") ||
           sql_token_is(lexer, token, "verbose")) {
        sql_lexer_next(lexer, token);
    }
}

/* The token behind the first AS outside of brackets: of CREATE TABLE .. AS what is run. */
static void skip_to_as(struct sql_lexer *lexer, struct sql_token *token)
{
    uint32_t depth = 0;
    while (sql_lexer_next(lexer, token) > SQL_END) {
        if (sql_token_is_self(lexer, token, '(')) {
            depth++;
        } else if (sql_token_is_self(lexer, token, ')')) {
            depth -= depth > 0;
        } else if (depth == 0 && sql_token_is(lexer, token, "as")) {
            break;
        }
    }
    sql_lexer_next(lexer, token);
}

/* DEALLOCATE [PREPARE] name | ALL; a statement may be called "prepare". */
static bool read_deallocate(struct sql_lexer *lexer, const char *text, struct sql_name *ret_name)
{
    struct sql_token token, next;
    sql_lexer_next(lexer, &token);
    if (sql_token_is(lexer, &token, "prepare") && sql_lexer_next(lexer, &next) > SQL_END) {
        token = next;
    }
    ret_name->kind = sql_token_is(lexer, &token, "all") ? SQL_NAME_ALL : SQL_NAME_DEALLOCATE;
    return read_name(text, &token, ret_name);
}

enum found { FOUND_NONE, FOUND_ONE, FOUND_STRANGE };

/* The name in the statement that ends at `end`, where the lexer stands before it. */
static enum found find_one(struct sql_lexer *lexer, const char *text, struct sql_name *ret_name)
{
    struct sql_token token;
    bool read;
    while (sql_lexer_next(lexer, &token) > SQL_END && sql_token_is_self(lexer, &token, ';')) {
    }
    if (sql_token_is(lexer, &token, "explain")) {
        skip_options(lexer, &token);
    }
    if (sql_token_is(lexer, &token, "create")) {
        skip_to_as(lexer, &token);
        if (!sql_token_is(lexer, &token, "execute")) {
            return FOUND_NONE;
        }
    }
    if (sql_token_is(lexer, &token, "deallocate")) {
        read = read_deallocate(lexer, text, ret_name);
    } else if (sql_token_is(lexer, &token, "execute")) {
        ret_name->kind = SQL_NAME_EXECUTE;
        sql_lexer_next(lexer, &token);
        read = read_name(text, &token, ret_name);
    } else if (sql_token_is(lexer, &token, "prepare")) {
        struct sql_token next;
        ret_name->kind = SQL_NAME_PREPARE;
        sql_lexer_next(lexer, &token);
        read = read_name(text, &token, ret_name);
        bool transaction = sql_token_is(lexer, &token, "transaction");
        if (transaction && sql_lexer_next(lexer, &next) >= SQL_STRING &&
            next.kind <= SQL_DOLLAR_STRING) {
            return FOUND_NONE;
        }
    } else {
        return FOUND_NONE;
    }
    return read ? FOUND_ONE : FOUND_STRANGE;
}

uint32_t sql_names_find(const char *text, size_t len, struct sql_name *ret_names)
{
    struct sql_lexer statements;
    struct sql_statement statement;
    uint32_t count = 0;
    sql_lexer_init(&statements, text, len, 0);
    while (sql_split_next(&statements, &statement)) {
        struct sql_lexer lexer;
        struct sql_name name;
        sql_lexer_init(&lexer, text, statement.end, 0);
        lexer.at = statement.start;
        enum found found = statement.broken ? FOUND_STRANGE : find_one(&lexer, text, &name);
        if (found == FOUND_STRANGE || (found == FOUND_ONE && count == SQL_NAMES_MAX)) {
            return SQL_NAMES_STRANGE;
        }
        if (found == FOUND_ONE) {
            name.end = statement.end;
            ret_names[count++] = name;
        }
    }
    return count;
}

size_t sql_names_query_at(const char *tail, size_t len)
{
    struct sql_lexer lexer;
    struct sql_token token;
    uint32_t depth = 0;
    sql_lexer_init(&lexer, tail, len, 0);
    while (sql_lexer_next(&lexer, &token) > SQL_END) {
        if (depth == 0 && sql_token_is(&lexer, &token, "as")) {
            return lexer.at;
        }
        depth += sql_token_is_self(&lexer, &token, '(');
        depth -= depth > 0 && sql_token_is_self(&lexer, &token, ')');
    }
    return len;
}

uint32_t sql_names_characters(const char *text, uint32_t len)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < len; i++) {
        count += ((uint8_t)text[i] & 0xC0) != 0x80; /* not a further byte of UTF-8 */
    }
    return count;
}
