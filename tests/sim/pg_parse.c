#include <stdio.h>
#include <string.h>

#include "tests/sim/pg.h"

static const struct {
    const char *word;
    enum pg_command_kind kind;
} words[] = {
    {"select ", PG_SELECT},
    {"insert ", PG_INSERT},
    {"error ", PG_ERROR},
    {"notice ", PG_NOTICE},
    {"copyin ", PG_COPY_IN},
    {"copyout ", PG_COPY_OUT},
    {"set ", PG_SET},
    {"reset ", PG_RESET},
    {"RESET ", PG_RESET},
    {"show ", PG_SHOW},
    {"begin", PG_BEGIN},
    {"commit", PG_COMMIT},
    {"rollback", PG_ROLLBACK},
    {"ROLLBACK", PG_ROLLBACK},
    {"discard ", PG_DISCARD},
    {"DISCARD ", PG_DISCARD},
    {"deallocate all", PG_DEALLOCATE_ALL},
    {"deallocate ", PG_DEALLOCATE},
    {"SELECT pg_catalog.set_config($1, $2, false)", PG_SET_CONFIG},
    {"SELECT 's', name, setting ", PG_STATE},
    {"SELECT 'p', ", PG_STATE},
};

static void parse(const char *text, struct pg_command *command)
{
    const char *rest = NULL;
    *command = (struct pg_command){.kind = PG_SYNTAX_ERROR};
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]) && rest == NULL; i++) {
        size_t len = strlen(words[i].word);
        if (strncmp(text, words[i].word, len) == 0) {
            command->kind = words[i].kind;
            rest = text + len;
        }
    }
    if (rest == NULL) {
        command->kind = text[0] == '\0' ? PG_EMPTY : PG_SYNTAX_ERROR;
        snprintf(command->tag, sizeof(command->tag), "%s", text);
        return;
    }
    if (command->kind == PG_SET) {
        if (sscanf(rest, "%63s %63[^;]", command->tag, command->value) != 2) {
            command->kind = PG_SYNTAX_ERROR;
        }
    } else if (command->kind == PG_SET_CONFIG) {
        command->argument_count = 2;
    } else if (command->kind == PG_STATE) { /* with settings, names and the user are arguments */
        command->argument_count = strstr(rest, "$2") == NULL ? 0 : 2;
    } else {
        sscanf(rest, "%63s %u %u %u", command->tag, &command->rows, &command->width, &command->ms);
        command->argument_count = strcmp(command->tag, "$1") == 0 ? 1 : 0;
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

bool pg_returns_rows(const struct pg_command *command)
{
    return command->kind == PG_SELECT || command->kind == PG_SHOW ||
           command->kind == PG_SET_CONFIG || command->kind == PG_STATE;
}
