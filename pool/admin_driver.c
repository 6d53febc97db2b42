/* What drivers and tools say to any PostgreSQL server on connecting. */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "pool/admin_lexer.h"
#include "pool/admin_parse.h"

struct parameter {
    const char *name, *value; /* value NULL: settable, but not shown */
};

/* The parameters that a server would have, as far as somebody asks for them. Ordered by nothing. */
static const struct parameter parameters[] = {
    {"client_encoding", "UTF8"},
    {"server_encoding", "UTF8"},
    {"datestyle", "ISO, MDY"},
    {"timezone", "GMT"},
    {"time zone", "GMT"},
    {"intervalstyle", "postgres"},
    {"integer_datetimes", "on"},
    {"standard_conforming_strings", "on"},
    {"server_version", ADMIN_SERVER_VERSION},
    {"server_version_num", ADMIN_SERVER_VERSION_NUM},
    {"default_transaction_read_only", "off"},
    {"in_hot_standby", "off"},
    {"is_superuser", "off"},
    {"search_path", "\"$user\", public"},
    {"transaction_isolation", "read committed"},
    {"default_transaction_isolation", "read committed"},
    {"transaction_read_only", "off"},
    {"transaction", "read committed"},
    {"max_identifier_length", "63"},
    {"statement_timeout", "0"},
    {"lock_timeout", "0"},
    {"idle_in_transaction_session_timeout", "0"},
    {"extra_float_digits", "1"},
    {"bytea_output", "hex"},
    {"client_min_messages", "notice"},
    {"jit", "off"},
    {"application_name", NULL},
    {"session_authorization", NULL},
    {"characteristics", NULL},
    {"names", NULL},
    {"time", NULL},
    {"role", NULL},
    {"xmloption", NULL},
    {"synchronize_seqscans", NULL},
    {"row_security", NULL},
};

static const struct parameter *find_parameter(const char *name, size_t bytes)
{
    for (size_t i = 0; i < sizeof(parameters) / sizeof(parameters[0]); i++) {
        if (strlen(parameters[i].name) == bytes &&
            strncasecmp(parameters[i].name, name, bytes) == 0) {
            return &parameters[i];
        }
    }
    return NULL;
}

bool admin_driver_parameter(const char *name, size_t bytes)
{
    return find_parameter(name, bytes) != NULL;
}

/* --- SELECT ----------------------------------------------------------------------------------- */

/* One expression of a SELECT list: its value and its type. */
struct item {
    enum admin_type type;
    bool null;
    int64_t number;
    char *text; /* owned */
    char *name;
};

enum { ITEMS_MAX = 64 };

struct select {
    const struct admin_who *who;
    struct item items[ITEMS_MAX];
    uint32_t count;
    bool known; /* every expression so far has a value */
};

static bool take_text(struct item *item, const char *text)
{
    item->type = ADMIN_TEXT;
    item->null = text == NULL;
    item->text = text == NULL ? NULL : strdup(text);
    return true;
}

static bool take_number(struct item *item, enum admin_type type, int64_t number)
{
    item->type = type;
    item->number = number;
    return true;
}

/* A function or a keyword that stands for one; `argument` is its first one if it is a string. */
static bool take_function(struct select *select, struct item *item, const char *name,
                          const char *argument)
{
    const struct admin_who *who = select->who;
    const struct parameter *parameter;
    if (strcasecmp(name, "version") == 0) {
        return take_text(item, "PostgreSQL " ADMIN_SERVER_VERSION);
    }
    if (strcasecmp(name, "current_schema") == 0) {
        return take_text(item, "public");
    }
    if (strcasecmp(name, "current_database") == 0 || strcasecmp(name, "current_catalog") == 0) {
        return take_text(item, who->database);
    }
    if (strcasecmp(name, "current_user") == 0 || strcasecmp(name, "session_user") == 0 ||
        strcasecmp(name, "user") == 0) {
        return take_text(item, who->user);
    }
    if (strcasecmp(name, "pg_backend_pid") == 0) {
        return take_number(item, ADMIN_INT4, who->pid);
    }
    if (strcasecmp(name, "pg_is_in_recovery") == 0 || strcasecmp(name, "false") == 0 ||
        strcasecmp(name, "true") == 0) {
        return take_number(item, ADMIN_BOOL, strcasecmp(name, "true") == 0);
    }
    if (strcasecmp(name, "null") == 0) {
        return take_text(item, NULL);
    }
    if (strcasecmp(name, "current_setting") == 0 && argument != NULL) {
        parameter = find_parameter(argument, strlen(argument));
        return take_text(item, parameter == NULL ? NULL : parameter->value);
    }
    return false;
}

static bool ends_item(const struct admin_token *token, uint32_t depth)
{
    return token->kind == TOKEN_END ||
           (depth == 0 && (admin_token_is_symbol(token, ',') || admin_token_is(token, "from") ||
                           admin_token_is(token, "where") || admin_token_is(token, "limit") ||
                           admin_token_is(token, "order")));
}

static void take_value(struct select *select, struct item *item, const struct admin_token *first,
                       const struct admin_token *argument)
{
    char *text = admin_token_value(first);
    char *inner = argument->kind == TOKEN_STRING ? admin_token_value(argument) : NULL;
    bool known = false;
    if (text != NULL && first->kind == TOKEN_NUMBER) {
        known = take_number(item, ADMIN_INT4, strtol(text, NULL, 10));
    } else if (text != NULL && first->kind == TOKEN_STRING) {
        known = take_text(item, text);
    } else if (text != NULL && first->kind == TOKEN_WORD) {
        const char *name = strncasecmp(text, "pg_catalog.", 11) == 0 ? text + 11 : text;
        known = take_function(select, item, name, inner);
        if (known && item->name == NULL) {
            item->name = strdup(name);
        }
    }
    select->known = select->known && known;
    free(text);
    free(inner);
}

/* Takes one expression up to the ',' or FROM behind it, which is returned. */
static struct admin_token take_item(struct select *select, struct admin_lexer *lexer)
{
    struct item *item = &select->items[select->count++];
    struct admin_token token = admin_lexer_peek(lexer), first = token, last = token;
    struct admin_token argument = {.kind = TOKEN_END};
    uint32_t depth = 0, tokens = 0;
    bool cast = false;
    while (!ends_item(&token, depth)) {
        token = admin_lexer_next(lexer);
        depth += admin_token_is_symbol(&token, '(');
        depth -= admin_token_is_symbol(&token, ')') && depth > 0;
        if (tokens++ == 2 && depth == 1) {
            argument = token;
        }
        cast = cast || admin_token_is_symbol(&token, ':');
        if (depth == 0 && (token.kind == TOKEN_WORD || token.kind == TOKEN_QUOTED)) {
            last = token;
        }
        token = admin_lexer_peek(lexer);
    }
    if (last.text != first.text && !cast) {
        item->name = admin_token_value(&last);
    }
    take_value(select, item, &first, &argument);
    if (item->name == NULL) {
        char *name = admin_token_value(&last);
        const char *dot = name == NULL ? NULL : strrchr(name, '.');
        bool named = last.kind == TOKEN_WORD || last.kind == TOKEN_QUOTED;
        item->name = strdup(!named || name == NULL ? "?column?" : dot != NULL ? dot + 1 : name);
        free(name);
    }
    return token;
}

/* Whether something of a catalog is asked for: there is nothing in any. */
static bool names_catalog(const struct admin_lexer *lexer)
{
    struct admin_lexer copy = *lexer;
    struct admin_token token;
    while ((token = admin_lexer_next(&copy)).kind != TOKEN_END) {
        if (token.kind == TOKEN_WORD && (strncasecmp(token.text, "pg_", 3) == 0 ||
                                         strncasecmp(token.text, "information_schema.", 19) == 0)) {
            return true;
        }
    }
    return false;
}

static void answer_select(struct select *select, bool rows, struct admin_statement *statement)
{
    struct admin_table *table = &statement->table;
    for (uint32_t i = 0; i < select->count; i++) {
        const struct item *item = &select->items[i];
        const char *name = item->name == NULL ? "?column?" : item->name;
        admin_table_add_column(table, name, strlen(name), item->type);
    }
    for (uint32_t i = 0; rows && !table->failed && i < select->count; i++) {
        const struct item *item = &select->items[i];
        if (item->type == ADMIN_TEXT) {
            admin_table_text(table, item->null ? NULL : item->text);
        } else {
            admin_table_number(table, item->number);
        }
    }
    statement->tag = rows ? "SELECT 1" : "SELECT 0";
}

static bool parse_select(struct admin_lexer *lexer, const struct admin_who *who,
                         struct admin_statement *statement)
{
    struct select select = {.who = who, .known = true};
    bool catalog = names_catalog(lexer);
    struct admin_token token;
    do {
        token = take_item(&select, lexer);
        if (admin_token_is_symbol(&token, ',')) {
            admin_lexer_next(lexer);
        }
    } while (admin_token_is_symbol(&token, ',') && select.count < ITEMS_MAX);
    bool rows = select.known && token.kind == TOKEN_END;
    bool answered = rows || (catalog && !admin_token_is_symbol(&token, ','));
    if (answered) {
        answer_select(&select, rows, statement);
    }
    for (uint32_t i = 0; i < select.count; i++) {
        free(select.items[i].text);
        free(select.items[i].name);
    }
    return answered;
}

/* WITH … SELECT … FROM pg_…: asyncpg's and others' questions about types. The list behind the last
 * SELECT that stands in no parentheses names the columns. */
static bool parse_with(struct admin_lexer *lexer, const struct admin_who *who,
                       struct admin_statement *statement)
{
    uint32_t depth = 0;
    struct admin_token token;
    while ((token = admin_lexer_next(lexer)).kind != TOKEN_END) {
        depth += admin_token_is_symbol(&token, '(');
        depth -= admin_token_is_symbol(&token, ')') && depth > 0;
        if (depth == 0 && admin_token_is(&token, "select")) {
            struct select select = {.who = who, .known = false};
            struct admin_token behind;
            do {
                behind = take_item(&select, lexer);
                admin_lexer_next(lexer);
            } while (admin_token_is_symbol(&behind, ',') && select.count < ITEMS_MAX);
            answer_select(&select, false, statement);
            for (uint32_t i = 0; i < select.count; i++) {
                free(select.items[i].text);
                free(select.items[i].name);
            }
            return true;
        }
    }
    return false;
}

/* --- the rest --------------------------------------------------------------------------------- */

static bool parse_show(struct admin_lexer *lexer, const struct admin_who *who,
                       struct admin_statement *statement)
{
    struct admin_token token = admin_lexer_next(lexer);
    const struct parameter *parameter =
        token.kind == TOKEN_WORD || token.kind == TOKEN_QUOTED
            ? find_parameter(token.text + (token.kind == TOKEN_QUOTED),
                             token.bytes - (token.kind == TOKEN_QUOTED ? 2 : 0))
            : NULL;
    if (parameter == NULL) {
        return false;
    }
    const char *value = parameter->value;
    const char *name = strcmp(parameter->name, "transaction") == 0 ? "transaction_isolation"
                       : strcmp(parameter->name, "time") == 0      ? "TimeZone"
                                                                   : parameter->name;
    if (strcmp(name, "application_name") == 0) {
        value = who->application_name == NULL ? "" : who->application_name;
    } else if (strcmp(name, "session_authorization") == 0 || strcmp(name, "role") == 0) {
        value = who->user;
    } else if (value == NULL) {
        value = strcmp(name, "TimeZone") == 0 ? "GMT" : "";
    }
    admin_table_add_column(&statement->table, name, strlen(name), ADMIN_TEXT);
    if (!statement->table.failed) {
        admin_table_text(&statement->table, value);
    }
    statement->tag = "SHOW";
    return true;
}

struct phrase {
    const char *word, *tag;
    enum admin_effect effect;
};

/* What has nothing to do here, by its first word. */
static const struct phrase phrases[] = {
    {"set", "SET", EFFECT_NONE},
    {"reset", "RESET", EFFECT_NONE},
    {"begin", "BEGIN", EFFECT_BEGIN},
    {"start", "START TRANSACTION", EFFECT_BEGIN},
    {"commit", "COMMIT", EFFECT_END},
    {"end", "COMMIT", EFFECT_END},
    {"rollback", "ROLLBACK", EFFECT_END},
    {"abort", "ROLLBACK", EFFECT_END},
    {"savepoint", "SAVEPOINT", EFFECT_NONE},
    {"release", "RELEASE", EFFECT_NONE},
    {"discard", "DISCARD ALL", EFFECT_DISCARD},
    {"deallocate", "DEALLOCATE ALL", EFFECT_DISCARD},
    {"close", "CLOSE CURSOR ALL", EFFECT_NONE},
    {"unlisten", "UNLISTEN", EFFECT_NONE},
};

/* ALL, or * for UNLISTEN: one thing by its name is nothing that we have. */
static bool says_all(struct admin_lexer *lexer)
{
    struct admin_token token = admin_lexer_next(lexer);
    return admin_token_is(&token, "all") || admin_token_is_symbol(&token, '*');
}

/* ROLLBACK TO a savepoint. */
static bool goes_to_savepoint(const struct admin_lexer *lexer)
{
    struct admin_lexer copy = *lexer;
    struct admin_token token = admin_lexer_next(&copy);
    if (admin_token_is(&token, "work") || admin_token_is(&token, "transaction")) {
        token = admin_lexer_next(&copy);
    }
    return admin_token_is(&token, "to");
}

/* DEALLOCATE [PREPARE] name or ALL. */
static bool parse_deallocate(struct admin_lexer *lexer, struct admin_statement *statement)
{
    struct admin_token token = admin_lexer_next(lexer);
    if (admin_token_is(&token, "prepare")) {
        token = admin_lexer_next(lexer);
    }
    if (admin_token_is(&token, "all")) {
        statement->tag = "DEALLOCATE ALL";
        statement->effect = EFFECT_DISCARD;
        return true;
    }
    statement->tag = "DEALLOCATE";
    statement->effect = EFFECT_DEALLOCATE;
    statement->argument = admin_token_value(&token);
    return token.kind == TOKEN_WORD || token.kind == TOKEN_QUOTED;
}

bool admin_driver_parse(const struct admin_token *first, struct admin_lexer *lexer,
                        const struct admin_who *who, struct admin_statement *statement)
{
    if (admin_token_is(first, "show")) {
        return parse_show(lexer, who, statement);
    }
    if (admin_token_is(first, "select")) {
        return parse_select(lexer, who, statement);
    }
    if (admin_token_is(first, "with")) {
        return names_catalog(lexer) && parse_with(lexer, who, statement);
    }
    for (size_t i = 0; i < sizeof(phrases) / sizeof(phrases[0]); i++) {
        const struct phrase *phrase = &phrases[i];
        if (!admin_token_is(first, phrase->word)) {
            continue;
        }
        if (phrase->effect == EFFECT_DISCARD && admin_token_is(first, "deallocate")) {
            return parse_deallocate(lexer, statement);
        }
        bool needs_all = strstr(phrase->tag, "ALL") != NULL || strcmp(phrase->tag, "UNLISTEN") == 0;
        if (needs_all && !says_all(lexer)) {
            return false;
        }
        statement->tag = phrase->tag;
        statement->effect = phrase->effect;
        if (phrase->effect == EFFECT_END && goes_to_savepoint(lexer)) {
            statement->effect = EFFECT_BEGIN; /* the transaction goes on */
        }
        return true;
    }
    return false;
}
