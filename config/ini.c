#include "config/ini.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "config/file.h"

/* One file that is being read. */
struct level {
    char *file;
    char *text;
    size_t bytes;
    char *at;
    uint32_t line;
};

struct reader {
    struct level levels[INI_DEPTH_MAX];
    size_t depth;
    char *section; /* NULL before the first one */
    struct ini ini;
    FILE *err;
};

static int refuse(const struct reader *reader, const char *message)
{
    const struct level *level = &reader->levels[reader->depth - 1];
    fprintf(reader->err, "%s:%u: %s\n", level->file, level->line, message);
    return ERR_CONFIG;
}

static int push_file(struct reader *reader, const char *file)
{
    const char *reason;
    struct level level = {0};
    if (reader->depth == INI_DEPTH_MAX) {
        return refuse(reader, "files include each other too deeply");
    }
    int error = file_read(file, false, &level.text, &level.bytes, &reason);
    if (error == ERR_IO) {
        fprintf(reader->err, "%s: cannot read the file: %s\n", file, reason);
        return ERR_CONFIG;
    }
    if (error != 0) {
        return error;
    }
    level.file = strdup(file);
    if (level.file == NULL) {
        free(level.text);
        return ERR_NO_MEMORY;
    }
    level.at = level.text;
    reader->levels[reader->depth++] = level;
    return 0;
}

static void pop_file(struct reader *reader)
{
    struct level *level = &reader->levels[--reader->depth];
    explicit_bzero(level->text, level->bytes);
    free(level->text);
    free(level->file);
}

static char *skip_space(char *at)
{
    while (isspace((unsigned char)*at)) {
        at++;
    }
    return at;
}

/* Takes a key, quoted or not, off *at; NULL when there is none. It is unquoted in place. */
static char *take_key(char **at)
{
    char *start = *at;
    char *end = start;
    if (*start != '"') {
        while (isalnum((unsigned char)*end) || (*end != '\0' && strchr("_.-*", *end) != NULL)) {
            end++;
        }
        *at = end;
        return end == start ? NULL : strndup(start, (size_t)(end - start));
    }
    char *key = malloc(strlen(start));
    size_t length = 0;
    for (end++; key != NULL; end++) {
        if (*end == '\0') {
            free(key);
            return NULL;
        }
        if (*end == '"') {
            end++;
            if (*end != '"') {
                break;
            }
        }
        key[length++] = *end;
    }
    if (key != NULL) {
        key[length] = '\0';
    }
    *at = end;
    return key;
}

static int add_entry(struct reader *reader, char *key, const char *value)
{
    struct ini *ini = &reader->ini;
    const struct level *level = &reader->levels[reader->depth - 1];
    struct ini_entry *entries = reallocarray(ini->entries, ini->count + 1, sizeof(*entries));
    if (entries == NULL) {
        free(key);
        return ERR_NO_MEMORY;
    }
    ini->entries = entries;
    struct ini_entry *entry = &entries[ini->count++];
    *entry = (struct ini_entry){.section = strdup(reader->section),
                                .key = key,
                                .value = strdup(value),
                                .file = strdup(level->file),
                                .line = level->line};
    bool whole = entry->section != NULL && entry->value != NULL && entry->file != NULL;
    return whole ? 0 : ERR_NO_MEMORY;
}

static int take_section(struct reader *reader, char *at)
{
    char *end = strchr(at, ']');
    if (end == NULL || *skip_space(end + 1) != '\0') {
        return refuse(reader, "a section is written [name]");
    }
    free(reader->section);
    reader->section = strndup(at + 1, (size_t)(end - at - 1));
    return reader->section == NULL ? ERR_NO_MEMORY : 0;
}

static int take_setting(struct reader *reader, char *at)
{
    if (reader->section == NULL) {
        return refuse(reader, "a setting before the first [section]");
    }
    char *key = take_key(&at);
    if (key == NULL) {
        return refuse(reader, "neither a comment, a [section], %include nor key = value");
    }
    at = skip_space(at);
    if (*at != '=') {
        free(key);
        return refuse(reader, "no \"=\" after the key");
    }
    return add_entry(reader, key, skip_space(at + 1));
}

/* One line, without its end and trailing blanks. */
static int take_line(struct reader *reader, char *line)
{
    for (size_t length = strlen(line); length > 0 && isspace((unsigned char)line[length - 1]);) {
        line[--length] = '\0';
    }
    line = skip_space(line);
    if (*line == '\0' || *line == ';' || *line == '#') {
        return 0;
    }
    if (strncmp(line, "%include", 8) == 0 && isspace((unsigned char)line[8])) {
        return push_file(reader, skip_space(line + 8));
    }
    return *line == '[' ? take_section(reader, line) : take_setting(reader, line);
}

int ini_read(const char *file, struct ini *ret_ini, FILE *err)
{
    struct reader reader = {.err = err};
    int error = push_file(&reader, file);
    while (error == 0 && reader.depth > 0) {
        struct level *level = &reader.levels[reader.depth - 1];
        char *line = level->at;
        if (*line == '\0') {
            pop_file(&reader);
            continue;
        }
        size_t length = strcspn(line, "\n");
        level->at = line + length + (line[length] == '\n');
        line[length] = '\0';
        level->line++;
        error = take_line(&reader, line);
    }
    while (reader.depth > 0) {
        pop_file(&reader);
    }
    free(reader.section);
    if (error != 0) {
        ini_fini(&reader.ini);
        return error;
    }
    *ret_ini = reader.ini;
    return 0;
}

void ini_fini(struct ini *ini)
{
    for (size_t i = 0; i < ini->count; i++) {
        struct ini_entry *entry = &ini->entries[i];
        if (entry->value != NULL) {
            explicit_bzero(entry->value, strlen(entry->value));
        }
        free(entry->value);
        free(entry->section);
        free(entry->key);
        free(entry->file);
    }
    free(ini->entries);
    *ini = (struct ini){0};
}

const struct ini_entry *ini_find(const struct ini *ini, const char *section, const char *key)
{
    for (size_t i = ini->count; i > 0; i--) {
        const struct ini_entry *entry = &ini->entries[i - 1];
        if (strcmp(entry->section, section) == 0 && strcmp(entry->key, key) == 0) {
            return entry;
        }
    }
    return NULL;
}

/* A value in quotes or up to a blank. */
static int take_value(const char **at, char **ret_value)
{
    const char *from = *at;
    char *value = malloc(strlen(from) + 1);
    size_t length = 0;
    if (value == NULL) {
        return ERR_NO_MEMORY;
    }
    bool quoted = *from == '\'';
    for (from += quoted; *from != '\0'; from++) {
        if (quoted && *from == '\'') {
            from++;
            if (*from != '\'') {
                quoted = false;
                break;
            }
        } else if (!quoted && isspace((unsigned char)*from)) {
            break;
        }
        value[length++] = *from;
    }
    value[length] = '\0';
    if (quoted) {
        free(value);
        return ERR_CONFIG;
    }
    *at = from;
    *ret_value = value;
    return 0;
}

int ini_next_pair(const char **at, char **ret_key, char **ret_value)
{
    const char *from = *at + strspn(*at, " \t");
    *ret_key = NULL;
    *ret_value = NULL;
    if (*from == '\0') {
        return 0;
    }
    size_t length = strcspn(from, "= \t");
    const char *after = from + length + strspn(from + length, " \t");
    if (length == 0 || *after != '=') {
        return ERR_CONFIG;
    }
    after++;
    after += strspn(after, " \t");
    char *key = strndup(from, length);
    char *value = NULL;
    int error = key == NULL ? ERR_NO_MEMORY : take_value(&after, &value);
    if (error != 0) {
        free(key);
        return error;
    }
    *at = after;
    *ret_key = key;
    *ret_value = value;
    return 0;
}
