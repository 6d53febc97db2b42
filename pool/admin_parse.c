#include "pool/admin_parse.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/assert.h"
#include "base/error.h"
#include "pool/admin_lexer.h"

static const char use_help[] = "Use SHOW HELP.";

static void fail(struct admin_error *error, int code, const char *message,
                 const struct admin_token *token)
{
    error->code = code;
    error->hint = use_help;
    if (token == NULL) {
        snprintf(error->message, sizeof(error->message), "%s", message);
    } else if (token->kind == TOKEN_END) {
        snprintf(error->message, sizeof(error->message), "%s at end of input", message);
    } else {
        snprintf(error->message, sizeof(error->message), "%s at or near \"%.*s\"", message,
                 token->bytes > 64 ? 64 : (int)token->bytes, token->text);
    }
}

/* --- which command ---------------------------------------------------------------------------- */

/* Whether the text begins with the command's words; then the lexer stands behind them. */
static bool has_words(struct admin_lexer *lexer, const char *words)
{
    while (*words != '\0') {
        size_t bytes = strcspn(words, " ");
        struct admin_token token = admin_lexer_next(lexer);
        if (token.kind != TOKEN_WORD || token.bytes != bytes ||
            strncasecmp(token.text, words, bytes) != 0) {
            return false;
        }
        words += bytes + (words[bytes] == ' ' ? 1 : 0);
    }
    return true;
}

/* The command with the most words that fit; NULL when there is none. */
static const struct admin_command *find(struct admin_lexer *lexer)
{
    const struct admin_command *found = NULL;
    struct admin_lexer behind = *lexer;
    for (size_t i = 0; i < admin_command_count(); i++) {
        const struct admin_command *command = admin_command_at(i);
        struct admin_lexer copy = *lexer;
        if (has_words(&copy, command->words) &&
            (found == NULL || strlen(command->words) > strlen(found->words))) {
            found = command;
            behind = copy;
        }
    }
    *lexer = behind;
    return found;
}

/* --- what follows it -------------------------------------------------------------------------- */

static int take_argument(struct admin_lexer *lexer, bool may_miss,
                         struct admin_statement *statement, struct admin_error *error)
{
    struct admin_token token = admin_lexer_next(lexer);
    if (token.kind == TOKEN_END && may_miss) {
        return 0;
    }
    if (token.kind == TOKEN_END || token.kind == TOKEN_SYMBOL || token.kind == TOKEN_PARAMETER) {
        fail(error, ERR_SYNTAX, "syntax error", &token);
        return ERR_SYNTAX;
    }
    statement->argument = admin_token_value(&token);
    return statement->argument == NULL ? ERR_NO_MEMORY : 0;
}

static const char *trim(const char *from, const char *to, size_t *ret_bytes)
{
    while (from < to && (*from == ' ' || (*from >= '\t' && *from <= '\r'))) {
        from++;
    }
    while (to > from && (to[-1] == ' ' || (to[-1] >= '\t' && to[-1] <= '\r'))) {
        to--;
    }
    *ret_bytes = (size_t)(to - from);
    return from;
}

/* "key = value" or "key TO value". The value is a string in quotes, or anything up to the end. */
static int take_setting(struct admin_lexer *lexer, struct admin_statement *statement,
                        struct admin_error *error)
{
    const char *from = lexer->at;
    size_t key_bytes, value_bytes;
    struct admin_token token;
    do {
        token = admin_lexer_next(lexer);
    } while (token.kind == TOKEN_QUOTED ||
             (token.kind == TOKEN_WORD && !admin_token_is(&token, "to")) ||
             admin_token_is_symbol(&token, '.'));
    const char *key = trim(from, token.text, &key_bytes);
    if (key_bytes == 0 || (!admin_token_is_symbol(&token, '=') && !admin_token_is(&token, "to"))) {
        fail(error, ERR_SYNTAX, "syntax error", &token);
        return ERR_SYNTAX;
    }
    const char *value = trim(lexer->at, lexer->end, &value_bytes);
    struct admin_token first = admin_lexer_next(lexer);
    struct admin_token last = admin_lexer_peek(lexer);
    statement->argument = strndup(key, key_bytes);
    statement->value = first.kind == TOKEN_STRING && last.kind == TOKEN_END
                           ? admin_token_value(&first)
                           : strndup(value, value_bytes);
    lexer->at = lexer->end;
    return statement->argument == NULL || statement->value == NULL ? ERR_NO_MEMORY : 0;
}

static int take_shape(struct admin_lexer *lexer, struct admin_statement *statement,
                      struct admin_error *error)
{
    int code = 0;
    switch (statement->command->shape) {
    case SHAPE_NOTHING:
        break;
    case SHAPE_DATABASE:
    case SHAPE_CLIENT:
        code = take_argument(lexer, false, statement, error);
        break;
    case SHAPE_MAYBE_DATABASE:
        code = take_argument(lexer, true, statement, error);
        break;
    case SHAPE_SETTING:
        code = take_setting(lexer, statement, error);
        break;
    }
    struct admin_token behind = admin_lexer_next(lexer);
    if (code == 0 && behind.kind != TOKEN_END) {
        fail(error, ERR_SYNTAX, "syntax error", &behind);
        code = ERR_SYNTAX;
    }
    return code;
}

/* SET of something that is PostgreSQL's and not an option. */
static bool is_driver_set(const struct admin_lexer *lexer)
{
    struct admin_lexer copy = *lexer;
    struct admin_token token = admin_lexer_next(&copy);
    token = admin_lexer_next(&copy);
    if (admin_token_is(&token, "session") || admin_token_is(&token, "local")) {
        token = admin_lexer_next(&copy);
    }
    return token.kind == TOKEN_WORD && admin_driver_parameter(token.text, token.bytes);
}

static uint32_t count_parameters(const struct admin_lexer *lexer)
{
    struct admin_lexer copy = *lexer;
    struct admin_token token;
    uint32_t count = 0;
    while ((token = admin_lexer_next(&copy)).kind != TOKEN_END) {
        if (token.kind == TOKEN_PARAMETER && token.bytes <= 6) {
            uint32_t number = (uint32_t)strtoul(token.text + 1, NULL, 10);
            count = number > count && number <= UINT16_MAX ? number : count;
        }
    }
    return count;
}

static int parse(struct admin_lexer *lexer, const struct admin_who *who,
                 struct admin_statement *statement, struct admin_error *error)
{
    struct admin_token first = admin_lexer_peek(lexer);
    if (first.kind == TOKEN_END) {
        statement->empty = true;
        return 0;
    }
    statement->parameter_count = count_parameters(lexer);
    if (!admin_token_is(&first, "set") || !is_driver_set(lexer)) {
        statement->command = find(lexer);
    }
    if (statement->command != NULL) {
        admin_table_init(&statement->table, statement->command->shown,
                         statement->command->shown_count);
        return take_shape(lexer, statement, error);
    }
    admin_lexer_next(lexer);
    if (admin_driver_parse(&first, lexer, who, statement)) {
        return statement->table.failed ? ERR_NO_MEMORY : 0;
    }
    fail(error, ERR_SYNTAX, "invalid command", &first);
    return ERR_SYNTAX;
}

int admin_parse(const char *text, size_t bytes, const struct admin_who *who,
                struct admin_statement *ret_statement, struct admin_error *ret_error)
{
    struct admin_lexer lexer = {text, text + bytes};
    struct admin_statement statement = {0};
    admin_table_init(&statement.table, NULL, 0);
    int code = parse(&lexer, who, &statement, ret_error);
    if (code != 0) {
        admin_statement_fini(&statement);
        if (code == ERR_NO_MEMORY) {
            fail(ret_error, code, error_message(code), NULL);
            ret_error->hint = NULL;
        }
        return code;
    }
    *ret_statement = statement;
    return 0;
}

void admin_statement_fini(struct admin_statement *statement)
{
    free(statement->argument);
    free(statement->value);
    admin_table_fini(&statement->table);
}
