#include "router/catalog_source.h"

#include <stddef.h>
#include <string.h>

#include "protocol/sql_lexer.h"
#include "router/catalog_own.h"
#include "router/classify_local.h"
#include "router/functions.h"
#include "router/plan.h"

/* Words of UPDATE [ONLY] schema.table AS alias SET. */
enum { UPDATE_WORDS_MAX = 6 };

/* The names that may be followed from a text in a string: EXECUTE 'SET a.b ..'. */
enum { STRING_DEPTH_MAX = 2 };

static const struct {
    const char *word;
    uint32_t touches;
    bool writes;
} words[] = {
    {"alter", PLAN_TOUCH_UNKNOWN, true},
    {"call", 0, true},
    {"copy", 0, true},
    {"create", PLAN_TOUCH_UNKNOWN, true},
    {"deallocate", PLAN_TOUCH_UNKNOWN, false},
    {"delete", 0, true},
    {"discard", PLAN_TOUCH_UNKNOWN, false},
    {"drop", PLAN_TOUCH_UNKNOWN, true},
    {"execute", PLAN_TOUCH_UNKNOWN, true},
    {"insert", 0, true},
    {"listen", PLAN_TOUCH_UNKNOWN, true},
    {"load", PLAN_TOUCH_UNKNOWN, true},
    {"lock", 0, true},
    {"merge", 0, true},
    {"notify", PLAN_TOUCH_NOTIFY, true},
    {"pg_settings", PLAN_TOUCH_UNKNOWN, false}, /* its rule sets what is updated */
    {"pg_temp", PLAN_TOUCH_UNKNOWN, true},
    {"prepare", PLAN_TOUCH_UNKNOWN, false},
    {"refresh", 0, true},
    {"reset", PLAN_TOUCH_UNKNOWN, false},
    {"set", PLAN_TOUCH_UNKNOWN, false},
    {"share", 0, true}, /* FOR SHARE */
    {"temp", PLAN_TOUCH_UNKNOWN, true},
    {"temporary", PLAN_TOUCH_UNKNOWN, true},
    {"truncate", 0, true},
    {"unlisten", PLAN_TOUCH_UNKNOWN, true},
    {"update", 0, true},
};

struct source_reader {
    struct sql_lexer lexer;
    struct sql_token token;
    char word[LIMIT_NAME_BYTES]; /* the token's, if it is a name */
    uint32_t update_words;       /* since UPDATE; 0: not behind one */
    bool locks;                  /* the last word was FOR or KEY: of FOR UPDATE */
};

/* The name that the token is, as the server reads it (cut at its length); false if it is none. */
static bool take_name(struct source_reader *reader)
{
    const struct sql_token *token = &reader->token;
    const char *text = (const char *)reader->lexer.bytes + token->at;
    bool quoted = token->kind == SQL_QUOTED;
    uint32_t len = 0;
    if (token->kind != SQL_WORD && !quoted) {
        return false;
    }
    for (uint32_t i = quoted; i < token->len - quoted && len < sizeof(reader->word) - 1; i++) {
        bool is_upper = !quoted && text[i] >= 'A' && text[i] <= 'Z';
        reader->word[len++] = (char)(is_upper ? text[i] - 'A' + 'a' : text[i]);
        i += quoted && text[i] == '"'; /* of two, one */
    }
    reader->word[len] = '\0';
    return len > 0;
}

/* Keeps track of UPDATE .. SET; true: this word is that SET. */
static bool is_set_of_update(struct source_reader *reader, bool is_word)
{
    bool locks = reader->locks;
    reader->locks =
        is_word && (strcmp(reader->word, "for") == 0 || strcmp(reader->word, "key") == 0);
    if (!is_word) {
        bool goes_on = reader->token.kind == SQL_QUOTED ||
                       sql_token_is_self(&reader->lexer, &reader->token, '.') ||
                       sql_token_is_self(&reader->lexer, &reader->token, '*');
        reader->update_words = goes_on ? reader->update_words : 0;
        return false;
    }
    if (strcmp(reader->word, "update") == 0) {
        reader->update_words = locks ? 0 : 1;
        return false;
    }
    if (reader->update_words == 0) {
        return false;
    }
    bool is_set = strcmp(reader->word, "set") == 0;
    bool ends = is_set || strcmp(reader->word, "loop") == 0 || strcmp(reader->word, "then") == 0 ||
                reader->update_words == UPDATE_WORDS_MAX;
    reader->update_words = ends ? 0 : reader->update_words + 1;
    return is_set;
}

static void look_at_word(struct source_reader *reader, bool is_keyword,
                         struct catalog_source *found)
{
    const struct function_fact *fact = function_find(reader->word);
    if (fact != NULL) {
        found->touches |= catalog_followed(fact->touches);
        found->local |= classify_local_function(reader->word);
        found->writes |= fact->class != PLAN_READ;
    }
    if (is_keyword) {
        found->local |= classify_local_keyword(reader->word);
    }
    for (size_t i = 0; is_keyword && i < sizeof(words) / sizeof(words[0]); i++) {
        if (strcmp(words[i].word, reader->word) == 0) {
            found->touches |= words[i].touches;
            found->writes |= words[i].writes;
        }
    }
}

static void start(struct source_reader *reader, const void *text, size_t len)
{
    memset(reader, 0, sizeof(*reader));
    sql_lexer_init(&reader->lexer, text, len, 0);
}

/* A backslash before the closing quote: written when backslashes escaped. */
static bool is_odd(const struct source_reader *reader)
{
    const struct sql_token *token = &reader->token;
    return token->kind == SQL_UNICODE_QUOTED ||
           (token->kind == SQL_STRING && token->len > 2 &&
            reader->lexer.bytes[token->at + token->len - 2] == '\\');
}

struct catalog_source catalog_source_read(const char *source, catalog_word_fn *tell, void *argument)
{
    const struct catalog_source worst = {.touches = PLAN_TOUCH_UNKNOWN, .writes = true};
    struct catalog_source found = {.touches = 0};
    struct source_reader reader;
    start(&reader, source, strlen(source));
    while (sql_lexer_next(&reader.lexer, &reader.token) > SQL_END) {
        bool is_word = take_name(&reader);
        bool is_plain = reader.token.kind == SQL_WORD;
        if (is_odd(&reader)) {
            return worst;
        }
        if (is_set_of_update(&reader, is_word && is_plain) || !is_word) {
            continue;
        }
        look_at_word(&reader, is_plain || strncmp(reader.word, "pg_", 3) == 0, &found);
        if (!tell(argument, reader.word)) {
            return worst;
        }
    }
    return reader.token.kind == SQL_ERROR ? worst : found;
}

/* --- custom settings ------------------------------------------------------------------------- */

/* "a.b", and so on: what settings_name_ok of pool/settings.h takes. */
static bool is_custom(const uint8_t *text, uint32_t len, char name[LIMIT_NAME_BYTES])
{
    bool begins = true, dotted = false;
    if (len == 0 || len >= LIMIT_NAME_BYTES) {
        return false;
    }
    for (uint32_t i = 0; i < len; i++) {
        uint8_t c = text[i];
        uint8_t lower = c >= 'A' && c <= 'Z' ? (uint8_t)(c - 'A' + 'a') : c;
        bool is_letter = (lower >= 'a' && lower <= 'z') || lower == '_';
        bool goes_on = !begins && ((lower >= '0' && lower <= '9') || lower == '$');
        if (c == '.' ? begins : !is_letter && !goes_on) {
            return false;
        }
        dotted |= c == '.';
        begins = c == '.';
        name[i] = (char)lower;
    }
    name[len] = '\0';
    return dotted && !begins;
}

/* What stands between a string's quotes; false of other tokens. */
static bool inside(const struct source_reader *reader, const uint8_t **ret_text, uint32_t *ret_len)
{
    const struct sql_token *token = &reader->token;
    const uint8_t *text = reader->lexer.bytes + token->at;
    uint32_t from = 1, end = token->len;
    if (token->kind == SQL_DOLLAR_STRING) {
        while (text[from] != '$') {
            from++;
        }
        from++;
        end -= from;
    } else if (token->kind == SQL_STRING || token->kind == SQL_ESCAPE_STRING) {
        from = token->kind == SQL_STRING ? 1 : 2;
        end -= 1;
    } else {
        return false;
    }
    if (token->len < 2 || end < from) {
        return false;
    }
    *ret_text = text + from;
    *ret_len = end - from;
    return true;
}

/* SET [LOCAL | SESSION] a.b: the dotted name that begins with the token behind SET. */
static void set_name(const struct source_reader *reader, catalog_word_fn *tell, void *argument)
{
    struct sql_lexer ahead = reader->lexer;
    struct sql_token token;
    char name[LIMIT_NAME_BYTES];
    (void)sql_lexer_next(&ahead, &token);
    if (sql_token_is(&ahead, &token, "local") || sql_token_is(&ahead, &token, "session")) {
        (void)sql_lexer_next(&ahead, &token);
    }
    uint32_t from = token.at, end = token.at + token.len;
    while (token.kind == SQL_WORD && sql_lexer_next(&ahead, &token) == SQL_SELF &&
           sql_token_is_self(&ahead, &token, '.') && sql_lexer_next(&ahead, &token) == SQL_WORD) {
        end = token.at + token.len;
    }
    if (is_custom(ahead.bytes + from, end - from, name)) {
        (void)tell(argument, name);
    }
}

void catalog_source_customs(const char *source, catalog_word_fn *tell, void *argument)
{
    struct source_reader readers[STRING_DEPTH_MAX];
    uint32_t depth = 0;
    start(&readers[0], source, strlen(source));
    for (;;) {
        struct source_reader *reader = &readers[depth];
        const uint8_t *text;
        uint32_t len;
        char name[LIMIT_NAME_BYTES];
        if (sql_lexer_next(&reader->lexer, &reader->token) <= SQL_END) {
            if (depth == 0) {
                return;
            }
            depth--;
        } else if (sql_token_is(&reader->lexer, &reader->token, "set")) {
            set_name(reader, tell, argument);
        } else if (inside(reader, &text, &len)) {
            if (is_custom(text, len, name)) {
                (void)tell(argument, name);
            } else if (depth + 1 < STRING_DEPTH_MAX) {
                start(&readers[++depth], text, len);
            }
        }
    }
}
