#include "protocol/sql_split.h"

/* CREATE [OR REPLACE] FUNCTION | PROCEDURE; `words` is 0 for the first token and 5 once it is
 * clear that it is nothing of the kind. */
static void take_head(struct sql_splitter *splitter, const struct sql_lexer *lexer,
                      const struct sql_token *token)
{
    static const char *const head[] = {"create", "or", "replace"};
    uint32_t words = splitter->words;
    bool is_routine = words > 0 && (sql_token_is(lexer, token, "function") ||
                                    sql_token_is(lexer, token, "procedure"));
    if ((words == 1 || words == 3) && is_routine) {
        splitter->routine = true;
        splitter->words = 5;
    } else if (words < 3 && sql_token_is(lexer, token, head[words])) {
        splitter->words++;
    } else {
        splitter->words = 5;
    }
}

static void take_body(struct sql_splitter *splitter, const struct sql_lexer *lexer,
                      const struct sql_token *token)
{
    bool opens = splitter->begin && sql_token_is(lexer, token, "atomic");
    if (opens) {
        splitter->bodies++;
    } else if (splitter->may_end && splitter->bodies > 0 && sql_token_is(lexer, token, "end")) {
        splitter->bodies--;
    }
    splitter->begin = sql_token_is(lexer, token, "begin");
    splitter->may_end = opens;
}

bool sql_splitter_ends(struct sql_splitter *splitter, const struct sql_lexer *lexer,
                       const struct sql_token *token)
{
    if (token->kind == SQL_SELF) {
        switch (lexer->bytes[token->at]) {
        case '(':
        case '[':
            splitter->depth++;
            break;
        case ')':
        case ']':
            splitter->depth -= splitter->depth > 0;
            break;
        case ';':
            if (splitter->depth == 0 && splitter->bodies == 0) {
                return true;
            }
            splitter->may_end = splitter->depth == 0;
            splitter->begin = false;
            return false;
        }
    }
    if (splitter->words < 5) {
        take_head(splitter, lexer, token);
    } else if (splitter->routine && splitter->depth == 0) {
        take_body(splitter, lexer, token);
    }
    return false;
}

bool sql_split_next(struct sql_lexer *lexer, struct sql_statement *ret_statement)
{
    struct sql_splitter splitter = {0};
    struct sql_statement statement = {0};
    struct sql_token token;
    bool any = false;
    while (sql_lexer_next(lexer, &token) > SQL_END) {
        if (sql_splitter_ends(&splitter, lexer, &token)) {
            if (any) {
                break;
            }
            splitter = (struct sql_splitter){0};
            continue;
        }
        if (!any) {
            any = true;
            statement.start = token.at;
        }
        statement.end = token.at + token.len;
    }
    if (token.kind == SQL_ERROR && token.at < lexer->len) {
        statement = (struct sql_statement){any ? statement.start : token.at, lexer->len, true};
        lexer->at = lexer->len;
        any = true;
    }
    if (any) {
        *ret_statement = statement;
    }
    return any;
}
