#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/error.h"
#include "base/limits.h"
#include "config/config.h"
#include "config/dsn.h"
#include "config/fill_rules.h"
#include "config/option.h"
#include "config/units.h"
#include "config/write.h"

#define MASK "********"

static uint32_t load_number(const void *base, size_t offset, size_t size)
{
    const char *field = (const char *)base + offset;
    if (size == sizeof(bool)) {
        bool flag;
        memcpy(&flag, field, sizeof(flag));
        return flag;
    }
    uint32_t value;
    ASSERT(size == sizeof(value));
    memcpy(&value, field, sizeof(value));
    return value;
}

static void write_number(const struct option *option, uint32_t value, FILE *out)
{
    char text[UNITS_BYTES];
    const char *word = option_word(option, value);
    if (word != NULL) {
        write_json_string(word, out);
    } else if (option->type == OPTION_DURATION && value == 0) {
        fputs("null", out);
    } else if (option->type == OPTION_DURATION) {
        units_format_duration(value, text);
        write_json_string(text, out);
    } else if (value == 0 && option_nullable(option)) {
        fputs("null", out);
    } else {
        fprintf(out, "%u", value);
    }
}

static void write_rate(const struct option *option, const void *base, FILE *out)
{
    uint32_t count = load_number(base, option->offset, option->size);
    uint32_t window_ms = load_number(base, option->second_offset, option->second_size);
    char text[UNITS_BYTES];
    if (count == 0) {
        fputs("null", out);
        return;
    }
    units_format_duration(window_ms, text);
    fprintf(out, "\"%u/%s\"", count, text);
}

static void write_list(const struct option *option, const void *base, FILE *out)
{
    char *const *list = *(char ***)(void *)((char *)base + option->offset);
    uint32_t count = load_number(base, option->second_offset, option->second_size);
    fputc('[', out);
    for (uint32_t i = 0; i < count; i++) {
        fputs(i > 0 ? ", " : "", out);
        write_json_string(list[i], out);
    }
    fputc(']', out);
}

static void write_dsn(const struct server_options *server, FILE *out)
{
    char *text = server != NULL ? dsn_format(server, false) : NULL;
    if (text == NULL) {
        fputs("null", out);
        return;
    }
    write_json_string(text, out);
    free(text);
}

/* The hosts, or the replicas; none where the servers are of the other key. */
static void write_servers(const struct database_options *database, bool hosts, FILE *out)
{
    uint32_t first = hosts ? 0 : 1;
    fputc('[', out);
    for (uint32_t i = first; hosts != database->has_primary && i < database->server_count; i++) {
        const struct server_options *server = &database->servers[i];
        fputs(i > first ? ", " : "", out);
        if (server->weight == LIMIT_WEIGHT_MIN) {
            write_dsn(server, out);
            continue;
        }
        fputs("{\"dsn\": ", out);
        write_dsn(server, out);
        fprintf(out, ", \"weight\": %u}", server->weight);
    }
    fputc(']', out);
}

static const struct server_options *primary_of(const struct database_options *database)
{
    return database->has_primary ? &database->servers[0] : NULL;
}

static void write_value(const struct option *option, const void *base, FILE *out)
{
    const char *const *string =
        (const char *const *)(const void *)((const char *)base + option->offset);
    switch (option->type) {
    case OPTION_INT:
    case OPTION_DURATION:
    case OPTION_WORD:
        if (option->second_offset != OPTION_NONE &&
            load_number(base, option->second_offset, option->second_size) == 0) {
            fputs("null", out);
        } else {
            write_number(option, load_number(base, option->offset, option->size), out);
        }
        break;
    case OPTION_BOOL:
        fputs(load_number(base, option->offset, option->size) != 0 ? "true" : "false", out);
        break;
    case OPTION_RATE:
        write_rate(option, base, out);
        break;
    case OPTION_STRING:
    case OPTION_SECRET:
        if (*string == NULL) {
            fputs("null", out);
        } else {
            write_json_string(option->type == OPTION_SECRET ? MASK : *string, out);
        }
        break;
    case OPTION_STRINGS:
    case OPTION_LISTEN:
        write_list(option, base, out);
        break;
    case OPTION_DSN:
        write_dsn(primary_of(base), out);
        break;
    case OPTION_RULES:
        fill_rules_write(((const struct database_options *)base)->rules, out);
        break;
    case OPTION_REPLICAS:
        write_servers(base, false, out);
        break;
    case OPTION_HOSTS:
        write_servers(base, true, out);
        break;
    }
}

static void print_home(struct write_tree *tree, enum option_home home, const char *name,
                       const void *base)
{
    for (size_t i = 0; i < option_count(); i++) {
        const struct option *option = option_at(i);
        if (option->home == home) {
            write_tree_key(tree, option->path, name);
            write_value(option, base, tree->out);
        }
    }
}

void config_print(const struct options *options, FILE *out)
{
    struct write_tree tree;
    write_tree_begin(&tree, out);
    print_home(&tree, HOME_ROOT, NULL, options);
    for (uint32_t i = 0; i < options->user_count; i++) {
        print_home(&tree, HOME_USER, options->users[i].name, &options->users[i]);
    }
    for (uint32_t i = 0; i < options->database_count; i++) {
        print_home(&tree, HOME_DATABASE, options->databases[i].name, &options->databases[i]);
    }
    write_tree_end(&tree);
}

/* --- rows ------------------------------------------------------------------------------------ */

static char *value_text(const struct option *option, const void *base)
{
    char *text = NULL;
    size_t bytes = 0;
    FILE *out = open_memstream(&text, &bytes);
    if (out == NULL) {
        return NULL;
    }
    write_value(option, base, out);
    if (fclose(out) != 0) {
        free(text);
        return NULL;
    }
    return text;
}

/* The path with the name in place of <name>. */
static char *path_text(const char *path, const char *name)
{
    const char *hole = strchr(path, '<');
    char *text = NULL;
    if (hole == NULL) {
        return strdup(path);
    }
    const char *after = strchr(hole, '>') + 1;
    if (asprintf(&text, "%.*s%s%s", (int)(hole - path), path, name, after) < 0) {
        return NULL;
    }
    return text;
}

static int add_rows(struct config_row *rows, size_t *count, enum option_home home, const char *name,
                    const void *base)
{
    for (size_t i = 0; i < option_count(); i++) {
        const struct option *option = option_at(i);
        if (option->home != home) {
            continue;
        }
        struct config_row *row = &rows[(*count)++];
        row->key = path_text(option->path, name);
        row->value = value_text(option, base);
        row->fallback = option->fallback;
        row->changeable = (option->flags & OPTION_FIXED) == 0;
        if (row->key == NULL || row->value == NULL) {
            return ERR_NO_MEMORY;
        }
    }
    return 0;
}

int config_rows(const struct options *options, struct config_row **ret_rows, size_t *ret_count)
{
    size_t homes = 1 + (size_t)options->user_count + options->database_count;
    struct config_row *rows = calloc(homes * option_count(), sizeof(*rows));
    size_t count = 0;
    if (rows == NULL) {
        return ERR_NO_MEMORY;
    }
    int error = add_rows(rows, &count, HOME_ROOT, NULL, options);
    for (uint32_t i = 0; i < options->user_count && error == 0; i++) {
        error = add_rows(rows, &count, HOME_USER, options->users[i].name, &options->users[i]);
    }
    for (uint32_t i = 0; i < options->database_count && error == 0; i++) {
        error = add_rows(rows, &count, HOME_DATABASE, options->databases[i].name,
                         &options->databases[i]);
    }
    if (error != 0) {
        config_rows_free(rows, count);
        return error;
    }
    *ret_rows = rows;
    *ret_count = count;
    return 0;
}

void config_rows_free(struct config_row *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        free(rows[i].key);
        free(rows[i].value);
    }
    free(rows);
}

const char *config_fixed_change(const struct options *before, const struct options *after)
{
    for (size_t i = 0; i < option_count(); i++) {
        const struct option *option = option_at(i);
        if ((option->flags & OPTION_FIXED) == 0) {
            continue;
        }
        ASSERT(option->home == HOME_ROOT);
        char *old_text = value_text(option, before);
        char *new_text = value_text(option, after);
        bool changed = old_text == NULL || new_text == NULL || strcmp(old_text, new_text) != 0;
        free(old_text);
        free(new_text);
        if (changed) {
            return option->path;
        }
    }
    return NULL;
}
