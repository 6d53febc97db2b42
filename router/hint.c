#include "router/hint.h"

#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "protocol/sql_lexer.h"
#include "protocol/sql_split.h"

static const char help_form[] =
    "A hint is a comment such as /* howdah: route=primary cache=60s */.";

/* A bare value longer than this is shown cut off. */
enum { SHOWN_BYTES = 60 };

struct hint_reader {
    const char *text;
    uint32_t at, bytes;
    struct hint_error *error;
};

static int refuse(struct hint_reader *reader, uint32_t at, const char *message, const char *help)
{
    reader->error->at = at;
    reader->error->help = help;
    snprintf(reader->error->message, sizeof(reader->error->message), "%s", message);
    return ERR_SYNTAX;
}

static int refuse_word(struct hint_reader *reader, uint32_t at, uint32_t end, const char *format,
                       const char *help)
{
    char message[sizeof(reader->error->message)];
    int shown = (int)(end - at < SHOWN_BYTES ? end - at : SHOWN_BYTES);
    snprintf(message, sizeof(message), format, shown, reader->text + at);
    return refuse(reader, at, message, help);
}

static bool is_blank(char c)
{
    return c == ' ' || c == ',' || (c >= '\t' && c <= '\r');
}

/* To the end of a bare word, before `stop` or what can't be in one. */
static uint32_t word_end(const struct hint_reader *reader, char stop)
{
    uint32_t at = reader->at;
    while (at < reader->bytes && !is_blank(reader->text[at]) && reader->text[at] != stop &&
           reader->text[at] != '\'') {
        at++;
    }
    return at;
}

static const char *suggestion(const char *label, uint32_t bytes)
{
    static const char *const texts[CONTROL_COUNT] = {
#define CONTROL(name, label, usual, values, doc) "Perhaps you mean \"" label "\".",
#include "router/control.def"
#undef CONTROL
    };
    enum control nearest = control_nearest(label, bytes);
    return nearest == CONTROL_COUNT
               ? "A hint may say route, consistency, shard, shard_key and cache."
               : texts[nearest];
}

/* The name in front of a value, and past the sign of equality. */
static int read_name(struct hint_reader *reader, enum control *ret_control)
{
    uint32_t at = reader->at, end = word_end(reader, '=');
    enum control control = control_find(reader->text + at, end - at);
    if (end == at) {
        return refuse(reader, at, "a hint has a value without a name", help_form);
    }
    if (control == CONTROL_COUNT) {
        return refuse_word(reader, at, end, "unknown name \"%.*s\" in a hint",
                           suggestion(reader->text + at, end - at));
    }
    if (end == reader->bytes || reader->text[end] != '=') {
        return refuse_word(reader, at, end, "\"%.*s\" has no value in a hint", help_form);
    }
    reader->at = end + 1;
    *ret_control = control;
    return 0;
}

/* A value in quotes, without them. */
static int read_quoted(struct hint_reader *reader, char value[static CONTROL_VALUE_BYTES],
                       uint32_t *ret_bytes)
{
    uint32_t at = reader->at + 1, count = 0;
    for (; at < reader->bytes; at++) {
        if (reader->text[at] == '\'') {
            at++;
            if (at == reader->bytes || reader->text[at] != '\'') {
                reader->at = at;
                *ret_bytes = count;
                return 0;
            }
        }
        if (count == CONTROL_VALUE_BYTES) {
            return refuse(reader, reader->at, "a value in a hint is too long", help_form);
        }
        value[count++] = reader->text[at];
    }
    return refuse(reader, reader->at, "unterminated quoted value in a hint", help_form);
}

/* Whether a comment could not hold it as it is. */
static bool has_comment(const char *value)
{
    return strstr(value, "/*") != NULL || strstr(value, "*/") != NULL;
}

static int read_value(struct hint_reader *reader, enum control control, struct hint *hint)
{
    char quoted[CONTROL_VALUE_BYTES];
    uint32_t at = reader->at, bytes = 0;
    const char *value = quoted;
    if (at < reader->bytes && reader->text[at] == '\'') {
        int code = read_quoted(reader, quoted, &bytes);
        if (code != 0) {
            return code;
        }
    } else {
        reader->at = word_end(reader, '\0');
        value = reader->text + at;
        bytes = reader->at - at;
    }
    if (reader->at < reader->bytes && !is_blank(reader->text[reader->at])) {
        return refuse(reader, reader->at, "a value in a hint ends in the middle", help_form);
    }
    if (bytes == 0 && value != quoted) {
        return refuse(reader, at, "a name in a hint has no value", help_form);
    }
    if (control_check(control, value, bytes, hint->values[control]) != 0 ||
        has_comment(hint->values[control])) {
        char message[160];
        snprintf(message, sizeof(message), "invalid value for \"%s\" in a hint: \"%.*s\"",
                 control_label(control), (int)(bytes < SHOWN_BYTES ? bytes : SHOWN_BYTES), value);
        return refuse(reader, at, message, control_allowed(control));
    }
    hint->said[control] = true;
    return 0;
}

int hint_read(const char *text, uint32_t bytes, struct hint *ret_hint, struct hint_error *ret_error)
{
    struct hint_reader reader = {.text = text, .bytes = bytes, .error = ret_error};
    struct hint hint = {.said = {false}};
    int code = 0;
    for (;;) {
        enum control control = CONTROL_COUNT;
        while (reader.at < bytes && is_blank(text[reader.at])) {
            reader.at++;
        }
        if (reader.at == bytes || code != 0) {
            break;
        }
        code = read_name(&reader, &control);
        if (code == 0) {
            code = read_value(&reader, control, &hint);
        }
    }
    *ret_hint = code == 0 ? hint : (struct hint){.said = {false}};
    return code;
}

/* --- writing ---------------------------------------------------------------------------------- */

uint32_t hint_write(const struct hint *hint, char *ret_text, uint32_t max)
{
    uint32_t len = 0;
    for (enum control control = 0; control < CONTROL_COUNT; control++) {
        const char *value = hint->values[control];
        if (!hint->said[control]) {
            continue;
        }
        size_t room = strlen(control_label(control)) + 2 * strlen(value) + 4;
        if (room > max - len) {
            return 0;
        }
        len += (uint32_t)snprintf(ret_text + len, max - len, "%s%s='", len == 0 ? "" : " ",
                                  control_label(control));
        for (; *value != '\0'; value++) {
            ret_text[len++] = *value;
            if (*value == '\'') {
                ret_text[len++] = '\'';
            }
        }
        ret_text[len++] = '\'';
    }
    return len;
}

/* --- looking for what is wrong ---------------------------------------------------------------- */

bool hint_find_error(const char *text, size_t bytes, struct hint_error *ret_error)
{
    struct sql_lexer lexer;
    struct sql_statement statement;
    struct hint hint;
    uint32_t looked_at = 0;
    bool more = true;
    sql_lexer_init(&lexer, text, bytes, 0);
    while (more) {
        more = sql_split_next(&lexer, &statement); /* what is behind the last one, too */
        if (lexer.hint_at != looked_at) {
            looked_at = lexer.hint_at;
            if (hint_read(text + looked_at, lexer.hint_len, &hint, ret_error) != 0) {
                ret_error->at += looked_at;
                return true;
            }
        }
    }
    return false;
}
