#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "tests/sim/pg.h"

const char *const pg_isolations[PG_ISOLATIONS] = {"read committed", "read uncommitted",
                                                  "repeatable read", "serializable"};

/* A form of a command: the text up to a '%' as it is, whatever its case; then
 *    %t  a tag in quotes, or $1; %v  a value in quotes
 *    %i  a name, in quotes perhaps, into the tag; %c  the same into the value
 *    %u  a number: rows, width, ms in turn
 *    %*  whatever follows */
static const struct form {
    const char *text;
    enum pg_command_kind kind;
    bool flag;
} forms[] = {
    {"select %t, %u, %u, %u", PG_SELECT, false},
    {"select %t::int", PG_ERROR, false},
    {"insert into t values (%t)", PG_INSERT, false},
    {"do %t", PG_NOTICE, false},
    {"copy t from stdin", PG_COPY_IN, false},
    {"copy (select %t, %u) to stdout", PG_COPY_OUT, false},
    {"set local %i to %v", PG_SET, true},
    {"set %i to %v", PG_SET, false},
    {"reset all", PG_RESET_ALL, false},
    {"reset %i", PG_RESET, false},
    {"show %i", PG_SHOW, false},
    {"select set_config('%i', %v, true)", PG_SET_CONFIG, true},
    {"select set_config('%i', %v, false)", PG_SET_CONFIG, false},
    {"select pg_catalog.set_config($1, $2, false)", PG_SET_CONFIG, false},
    {"select current_setting('%i', true)", PG_CURRENT_SETTING, false},
    {"select 's', name, setting %*", PG_STATE, false},
    {"select 'p', %*", PG_STATE, false},
    {"select 'l', %*", PG_STATE, false},
    {"begin%*", PG_BEGIN, false},
    {"start transaction%*", PG_BEGIN, true},
    {"set transaction %*", PG_MODES, false},
    {"commit and chain", PG_COMMIT, true},
    {"commit", PG_COMMIT, false},
    {"end", PG_COMMIT, false},
    {"rollback to %i", PG_ROLLBACK_TO, false},
    {"rollback and chain", PG_ROLLBACK, true},
    {"rollback", PG_ROLLBACK, false},
    {"abort", PG_ROLLBACK, false},
    {"explain (howdah) %*", PG_EXPLAIN, false},
    {"select * from changing", PG_CHANGING, false},
    {"select pg_cancel_backend(%u)", PG_SIGNAL, false},
    {"select pg_terminate_backend(%u)", PG_SIGNAL, true},
    {"savepoint %i", PG_SAVEPOINT, false},
    {"release %i", PG_RELEASE, false},
    {"discard all", PG_DISCARD_ALL, false},
    {"discard sequences", PG_DISCARD_SEQUENCES, false},
    {"deallocate all", PG_DEALLOCATE_ALL, false},
    {"deallocate %i", PG_DEALLOCATE, false},
    {"prepare %i (text) as %*", PG_PREPARE, false},
    {"prepare %i as %*", PG_PREPARE, false},
    {"execute %i (%v)", PG_EXECUTE, true},
    {"execute %i", PG_EXECUTE, false},
    {"create temp table mine on commit drop as select %t", PG_CREATE_TEMP, true},
    {"create temp table mine as select %t", PG_CREATE_TEMP, false},
    {"select * from mine", PG_SELECT_TEMP, false},
    {"drop table mine", PG_DROP_TEMP, false},
    {"declare %c cursor with hold for select %t, %u", PG_DECLARE, true},
    {"declare %c cursor for select %t, %u", PG_DECLARE, false},
    {"fetch %u from %c", PG_FETCH, false},
    {"close %c", PG_CLOSE, false},
    {"select pg_try_advisory_lock(%u)", PG_TRY_LOCK, false},
    {"select pg_advisory_unlock(%u)", PG_UNLOCK, false},
    {"select pg_advisory_unlock_all()", PG_UNLOCK_ALL, false},
    {"select nextval('s')", PG_NEXTVAL, false},
    {"select currval('s')", PG_CURRVAL, false},
    {"listen %i", PG_LISTEN, false},
    {"unlisten *", PG_UNLISTEN, true},
    {"unlisten %i", PG_UNLISTEN, false},
    {"notify %i, %v", PG_NOTIFY, false},
    /* No SQL. */
    {"select %i %u %u %u", PG_SELECT, false},
    {"select %i %u", PG_SELECT, false},
    {"insert %i", PG_INSERT, false},
    {"error %i", PG_ERROR, false},
    {"notice %i", PG_NOTICE, false},
    {"copyin %i", PG_COPY_IN, false},
    {"copyout %i %u", PG_COPY_OUT, false},
    {"set %i %*", PG_SET, false},
};

/* Copies up to `end`; false when it is not there. */
static bool take_up_to(const char **at, char end, char value[PG_VALUE_BYTES])
{
    const char *found = strchr(*at, end);
    if (found == NULL || found - *at >= PG_VALUE_BYTES) {
        return false;
    }
    snprintf(value, PG_VALUE_BYTES, "%.*s", (int)(found - *at), *at);
    *at = found + 1;
    return true;
}

static bool take_name(const char **at, char value[PG_VALUE_BYTES])
{
    static const char in_names[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.$";
    if (**at == '"') {
        (*at)++;
        return take_up_to(at, '"', value);
    }
    size_t len = strspn(*at, in_names);
    if (len == 0 || len >= PG_VALUE_BYTES) {
        return false;
    }
    snprintf(value, PG_VALUE_BYTES, "%.*s", (int)len, *at);
    *at += len;
    return true;
}

static bool take_quoted(const char **at, char value[PG_VALUE_BYTES])
{
    if (strncmp(*at, "$1", 2) == 0) {
        snprintf(value, PG_VALUE_BYTES, "$1");
        *at += 2;
        return true;
    }
    return *(*at)++ == '\'' && take_up_to(at, '\'', value);
}

static bool take_number(const char **at, struct pg_command *command, uint32_t index)
{
    uint32_t *const numbers[] = {&command->rows, &command->width, &command->ms};
    char *end;
    if (index >= 3 || **at < '0' || **at > '9') {
        return false;
    }
    *numbers[index] = (uint32_t)strtoul(*at, &end, 10);
    *at = end;
    return true;
}

static bool take_part(char part, const char **at, struct pg_command *command, uint32_t *numbers)
{
    switch (part) {
    case 't':
        return take_quoted(at, command->tag);
    case 'v':
        return take_quoted(at, command->value);
    case 'i':
        return take_name(at, command->tag);
    case 'c':
        return take_name(at, command->value);
    case 'u':
        return take_number(at, command, (*numbers)++);
    default:
        snprintf(command->text, sizeof(command->text), "%s", *at);
        *at += strlen(*at);
        return true;
    }
}

static bool fits(const struct form *form, const char *text, struct pg_command *command)
{
    const char *at = text;
    uint32_t numbers = 0;
    *command = (struct pg_command){.kind = form->kind, .flag = form->flag};
    for (const char *want = form->text; *want != '\0'; want++) {
        if (*want == '%') {
            if (!take_part(*++want, &at, command, &numbers)) {
                return false;
            }
        } else if (strncasecmp(want, at++, 1) != 0) {
            return false;
        }
    }
    return *at == '\0';
}

/* What the question asks for, a letter each; NULL when there is something else in it. */
static bool read_question(const char *text, struct pg_command *command)
{
    static const struct {
        const char *part;
        char letter;
    } parts[] = {{"SELECT 's', name, setting FROM pg_catalog.pg_settings WHERE", 's'},
                 {"SELECT 's', n, pg_catalog.current_setting(n, true)", '\0'},
                 {"SELECT 's', 'role', r", '\0'},
                 {"SELECT 's', 'session_authorization', session_user", '\0'},
                 {"SELECT 'p', 'TEMP', ''", 'T'},
                 {"SELECT 'p', 'ADVISORY', ''", 'A'},
                 {"SELECT 'p', 'HOLD', ''", 'H'},
                 {"SELECT 'l', c, '' FROM pg_catalog.pg_listening_channels()", 'l'},
                 {"SELECT 'p', 'PREPARE', ''", 'P'}};
    uint32_t understood = 0, asked = 0;
    size_t at = 0;
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        if (strstr(text, parts[i].part) != NULL) {
            understood++;
            command->text[at] = parts[i].letter;
            at += parts[i].letter != '\0';
        }
    }
    command->text[at] = '\0';
    for (const char *from = text; (from = strstr(from, "SELECT '")) != NULL; from++) {
        asked++;
    }
    command->argument_count = strstr(text, "$2") == NULL ? 0 : 2;
    return asked == understood;
}

static void read_modes(struct pg_command *command)
{
    struct pg_modes *modes = &command->modes;
    for (uint8_t i = 1; i < PG_ISOLATIONS; i++) {
        if (strcasestr(command->text, pg_isolations[i]) != NULL) {
            modes->isolation = i;
        }
    }
    modes->read_only = strcasestr(command->text, "read only") != NULL;
    modes->deferrable = strcasestr(command->text, "deferrable") != NULL &&
                        strcasestr(command->text, "not deferrable") == NULL;
}

static void parse(const char *text, struct pg_command *command)
{
    bool found = false;
    for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]) && !found; i++) {
        found = fits(&forms[i], text, command);
    }
    if (found && command->kind == PG_STATE) {
        found = read_question(text, command);
    } else if (found) {
        command->argument_count = strcmp(command->tag, "$1") == 0 ? 1 : 0;
    }
    if (!found) {
        *command = (struct pg_command){.kind = text[0] == '\0' ? PG_EMPTY : PG_SYNTAX_ERROR};
        snprintf(command->tag, sizeof(command->tag), "%s", text);
        return;
    }
    if (command->kind == PG_BEGIN || command->kind == PG_MODES) {
        read_modes(command);
    } else if (command->kind == PG_SET && command->value[0] == '\0') {
        snprintf(command->value, sizeof(command->value), "%.*s", (int)sizeof(command->value) - 1,
                 command->text);
    } else if (command->kind == PG_SET_CONFIG && command->tag[0] == '\0') {
        command->argument_count = 2;
    } else if (command->kind == PG_EXECUTE) {
        command->argument_count = command->flag ? 1 : 0;
    } else if (command->kind == PG_UNLISTEN && command->flag) {
        snprintf(command->tag, sizeof(command->tag), "*");
    }
}

bool pg_parse_next(char **at, struct pg_command *ret_command)
{
    char *from = *at, *end = strchr(from, ';');
    if (*from == '\0') {
        return false;
    }
    if (end == NULL) {
        *at = from + strlen(from);
    } else {
        *end = '\0';
        *at = end + 1;
    }
    while (*from == ' ') {
        from++;
    }
    parse(from, ret_command);
    return true;
}

bool pg_is_own(const struct pg_command *command)
{
    bool sets = command->kind == PG_SET || command->kind == PG_RESET || command->kind == PG_SHOW ||
                command->kind == PG_SET_CONFIG || command->kind == PG_CURRENT_SETTING;
    return command->kind == PG_EXPLAIN || (sets && strncmp(command->tag, "howdah.", 7) == 0);
}

bool pg_returns_rows(const struct pg_command *command)
{
    static const enum pg_command_kind kinds[] = {
        PG_SELECT,      PG_SHOW,    PG_SET_CONFIG, PG_STATE,    PG_CURRENT_SETTING,
        PG_SELECT_TEMP, PG_FETCH,   PG_TRY_LOCK,   PG_UNLOCK,   PG_UNLOCK_ALL,
        PG_NEXTVAL,     PG_CURRVAL, PG_EXPLAIN,    PG_CHANGING, PG_SIGNAL};
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        if (command->kind == kinds[i]) {
            return true;
        }
    }
    return false;
}
