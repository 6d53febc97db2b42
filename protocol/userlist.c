#include "protocol/userlist.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/limits.h"

struct userlist_entry {
    char *name;
    char *secret;
    uint32_t line;
};

struct userlist {
    struct userlist_entry *entries; /* by name */
    size_t count, room;
};

/* The cursor: never past `end`. */
struct reader {
    const char *at, *end;
    uint32_t line;
    struct userlist_error *error;
};

static int refuse(struct reader *reader, uint32_t line, const char *message)
{
    reader->error->line = line;
    snprintf(reader->error->message, sizeof(reader->error->message), "%s", message);
    return ERR_CONFIG;
}

/* Blanks within the line. */
static void skip_blanks(struct reader *reader)
{
    while (reader->at < reader->end &&
           (*reader->at == ' ' || *reader->at == '\t' || *reader->at == '\r')) {
        reader->at++;
    }
}

static void skip_line(struct reader *reader)
{
    const char *newline = memchr(reader->at, '\n', (size_t)(reader->end - reader->at));
    reader->at = newline == NULL ? reader->end : newline;
}

/* A quoted string with "" for one quote, within its line; the caller frees it. */
static int take_quoted(struct reader *reader, char **ret_string)
{
    if (reader->at == reader->end || *reader->at != '"') {
        return refuse(reader, reader->line,
                      "no double quote where a string begins, allowed: \"name\" \"secret\"");
    }
    const char *start = ++reader->at;
    size_t quotes = 0;
    for (;; reader->at++) {
        if (reader->at == reader->end || *reader->at == '\n' || *reader->at == '\0') {
            return refuse(reader, reader->line,
                          "a string without its closing quote, allowed: \"name\" \"secret\"");
        }
        if (*reader->at != '"') {
            continue;
        }
        if (reader->end - reader->at < 2 || reader->at[1] != '"') {
            break;
        }
        quotes++;
        reader->at++;
    }
    size_t bytes = (size_t)(reader->at - start);
    char *string = malloc(bytes - quotes + 1);
    if (string == NULL) {
        return ERR_NO_MEMORY;
    }
    size_t length = 0;
    for (size_t i = 0; i < bytes; i++) {
        string[length++] = start[i];
        i += start[i] == '"';
    }
    string[length] = '\0';
    reader->at++;
    *ret_string = string;
    return 0;
}

static void entry_fini(struct userlist_entry *entry)
{
    if (entry->secret != NULL) {
        explicit_bzero(entry->secret, strlen(entry->secret));
    }
    free(entry->secret);
    free(entry->name);
}

static int add_entry(struct userlist *list, struct userlist_entry entry)
{
    if (list->count == list->room) {
        size_t room = list->room == 0 ? 16 : list->room * 2;
        struct userlist_entry *entries = reallocarray(list->entries, room, sizeof(*entries));
        if (entries == NULL) {
            return ERR_NO_MEMORY;
        }
        list->entries = entries;
        list->room = room;
    }
    list->entries[list->count++] = entry;
    return 0;
}

static int take_entry(struct reader *reader, struct userlist *list)
{
    struct userlist_entry entry = {.line = reader->line};
    int error = take_quoted(reader, &entry.name);
    if (error == 0 && (entry.name[0] == '\0' || strlen(entry.name) >= LIMIT_NAME_BYTES)) {
        error =
            refuse(reader, reader->line, "a name of an impossible length, allowed: 1 to 63 bytes");
    }
    if (error == 0) {
        skip_blanks(reader);
        error = take_quoted(reader, &entry.secret);
    }
    if (error == 0) {
        error = add_entry(list, entry);
    }
    if (error != 0) {
        entry_fini(&entry);
    }
    return error;
}

static int compare_entries(const void *a, const void *b)
{
    const struct userlist_entry *left = a;
    const struct userlist_entry *right = b;
    int order = strcmp(left->name, right->name);
    return order != 0 ? order : (left->line > right->line) - (left->line < right->line);
}

/* Sorts, and finds names that are there twice. */
static int finish(struct reader *reader, struct userlist *list)
{
    if (list->count > 1) {
        qsort(list->entries, list->count, sizeof(*list->entries), compare_entries);
    }
    for (size_t i = 1; i < list->count; i++) {
        if (strcmp(list->entries[i - 1].name, list->entries[i].name) == 0) {
            char message[160];
            snprintf(message, sizeof(message), "user \"%s\" is given twice, first at line %u",
                     list->entries[i].name, list->entries[i - 1].line);
            return refuse(reader, list->entries[i].line, message);
        }
    }
    return 0;
}

int userlist_parse(const char *text, size_t bytes, struct userlist **ret_list,
                   struct userlist_error *ret_error)
{
    struct reader reader = {.at = text, .end = text + bytes, .line = 1, .error = ret_error};
    struct userlist *list = calloc(1, sizeof(*list));
    int error = list == NULL ? ERR_NO_MEMORY : 0;
    while (error == 0) {
        skip_blanks(&reader);
        if (reader.at == reader.end) {
            break;
        }
        if (*reader.at == '\n') {
            reader.at++;
            reader.line++;
            continue;
        }
        if (*reader.at != ';') {
            error = take_entry(&reader, list);
        }
        skip_line(&reader);
    }
    if (error == 0) {
        error = finish(&reader, list);
    }
    if (error != 0) {
        userlist_free(list);
        return error;
    }
    *ret_list = list;
    return 0;
}

void userlist_free(struct userlist *list)
{
    if (list == NULL) {
        return;
    }
    for (size_t i = 0; i < list->count; i++) {
        entry_fini(&list->entries[i]);
    }
    free(list->entries);
    free(list);
}

static int compare_name(const void *name, const void *entry)
{
    return strcmp(name, ((const struct userlist_entry *)entry)->name);
}

const char *userlist_find(const struct userlist *list, const char *name)
{
    if (list->count == 0) {
        return NULL;
    }
    const struct userlist_entry *entry =
        bsearch(name, list->entries, list->count, sizeof(*list->entries), compare_name);
    return entry == NULL ? NULL : entry->secret;
}

size_t userlist_count(const struct userlist *list)
{
    return list->count;
}
