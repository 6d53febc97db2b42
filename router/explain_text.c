#include "router/explain_text.h"

#include "protocol/sql_lexer.h"

/* The list of options, from behind its bracket to behind the one that closes it. False: it does not
 * end, or none of them is HOWDAH. */
static bool read_options(struct sql_lexer *lexer, struct explain_text *text)
{
    struct sql_token token;
    bool found = false, begins = true;
    uint32_t depth = 1;
    while (depth > 0) {
        enum sql_token_kind kind = sql_lexer_next(lexer, &token);
        if (kind == SQL_ERROR || kind == SQL_END) {
            return false;
        }
        bool is_comma = depth == 1 && sql_token_is_self(lexer, &token, ',');
        bool is_howdah = begins && sql_token_is(lexer, &token, "howdah");
        depth += sql_token_is_self(lexer, &token, '(');
        depth -= sql_token_is_self(lexer, &token, ')');
        found = found || is_howdah;
        text->has_others = text->has_others || (depth > 0 && !is_howdah);
        begins = is_comma;
    }
    return found;
}

bool explain_text_find(const char *text, uint32_t len, struct explain_text *ret)
{
    struct sql_lexer lexer;
    struct sql_token token;
    struct explain_text found = {.at = len};
    sql_lexer_init(&lexer, text, len, 0);
    do {
        sql_lexer_next(&lexer, &token);
    } while (sql_token_is_self(&lexer, &token, ';'));
    if (!sql_token_is(&lexer, &token, "explain")) {
        return false;
    }
    sql_lexer_next(&lexer, &token);
    if (!sql_token_is_self(&lexer, &token, '(') || !read_options(&lexer, &found)) {
        return false;
    }
    sql_lexer_next(&lexer, &token);
    found.at = token.at;
    if (ret != NULL) {
        *ret = found;
    }
    return true;
}
