#include "config/fill.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/error.h"
#include "base/limits.h"
#include "config/dsn.h"
#include "config/file.h"
#include "config/fill_rules.h"
#include "config/option.h"
#include "config/units.h"

struct fill {
    struct options *options;
    struct config_errors *errors;
};

/* --- findings -------------------------------------------------------------------------------- */

/* Adds "path: <what is wrong>, allowed: <what the table says>". */
__attribute__((format(printf, 4, 5))) static int refuse(struct fill *fill,
                                                        const struct json_node *node,
                                                        const struct option *option,
                                                        const char *format, ...)
{
    char wrong[300];
    char path[OPTION_PATH_BYTES];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(wrong, sizeof(wrong), format, arguments);
    va_end(arguments);
    json_node_path(node, path, sizeof(path));
    char *allowed = NULL;
    size_t bytes = 0;
    FILE *out = open_memstream(&allowed, &bytes);
    if (out == NULL) {
        return ERR_NO_MEMORY;
    }
    option_write_allowed(option, out);
    if (fclose(out) != 0) {
        free(allowed);
        return ERR_NO_MEMORY;
    }
    config_errors_add(fill->errors, node->place, path, "%s, allowed: %s", wrong, allowed);
    free(allowed);
    return 0;
}

static int refuse_kind(struct fill *fill, const struct json_node *node, const struct option *option)
{
    if (node->kind == JSON_NODE_INT && option->type != OPTION_SECRET) {
        return refuse(fill, node, option, "%.40s is an integer", node->string);
    }
    return refuse(fill, node, option, "the value is %s", json_node_kind(node));
}

/* --- storing --------------------------------------------------------------------------------- */

static void store_number(void *base, size_t offset, size_t size, uint32_t value)
{
    char *field = (char *)base + offset;
    if (size == sizeof(bool)) {
        bool flag = value != 0;
        memcpy(field, &flag, sizeof(flag));
        return;
    }
    ASSERT(size == sizeof(value));
    memcpy(field, &value, sizeof(value));
}

static void store_value(void *base, const struct option *option, uint32_t value)
{
    store_number(base, option->offset, option->size, value);
    if (option->second_offset != OPTION_NONE) {
        store_number(base, option->second_offset, option->second_size, 1);
    }
}

static int store_string(void *base, const struct option *option, const char *string)
{
    char *copy = strdup(string);
    if (copy == NULL) {
        return ERR_NO_MEMORY;
    }
    char **field = (char **)(void *)((char *)base + option->offset);
    if (*field != NULL) {
        explicit_bzero(*field, strlen(*field));
        free(*field);
    }
    *field = copy;
    return 0;
}

static uint32_t *list_count(void *base, const struct option *option)
{
    return (uint32_t *)(void *)((char *)base + option->second_offset);
}

static char ***list_field(void *base, const struct option *option)
{
    return (char ***)(void *)((char *)base + option->offset);
}

static int list_append(void *base, const struct option *option, const char *string)
{
    uint32_t *count = list_count(base, option);
    char ***list = list_field(base, option);
    char *copy = strdup(string);
    char **grown = reallocarray(*list, *count + 1, sizeof(**list));
    if (grown != NULL) {
        *list = grown;
    }
    if (copy == NULL || grown == NULL) {
        free(copy);
        return ERR_NO_MEMORY;
    }
    grown[(*count)++] = copy;
    return 0;
}

static void list_clear(void *base, const struct option *option)
{
    uint32_t *count = list_count(base, option);
    char ***list = list_field(base, option);
    for (uint32_t i = 0; i < *count; i++) {
        free((*list)[i]);
    }
    free(*list);
    *list = NULL;
    *count = 0;
}

/* --- one value, by its type ------------------------------------------------------------------ */

/* Whether the value may be read as text: a scalar of a flag counts, since a shell has no types. */
static bool is_text(const struct json_node *node)
{
    bool scalar = node->kind == JSON_NODE_INT || node->kind == JSON_NODE_REAL;
    return node->kind == JSON_NODE_STRING || (scalar && node->place.line == 0);
}

static int fill_word(struct fill *fill, const struct option *option, const struct json_node *node,
                     void *base)
{
    if (!is_text(node)) {
        return refuse_kind(fill, node, option);
    }
    for (const struct option_word *word = option->words; word->word != NULL; word++) {
        if (strcmp(word->word, node->string) == 0) {
            store_value(base, option, word->value);
            return 0;
        }
    }
    return refuse(fill, node, option, "\"%.60s\" is not possible", node->string);
}

static int fill_int(struct fill *fill, const struct option *option, const struct json_node *node,
                    void *base)
{
    if (option->words != NULL && node->kind == JSON_NODE_STRING) {
        return fill_word(fill, option, node, base);
    }
    if (node->kind != JSON_NODE_INT) {
        return refuse_kind(fill, node, option);
    }
    if (node->integer < (int64_t)option->low || node->integer > (int64_t)option->high) {
        return refuse(fill, node, option, "%.40s is out of range", node->string);
    }
    store_value(base, option, (uint32_t)node->integer);
    return 0;
}

static int fill_bool(struct fill *fill, const struct option *option, const struct json_node *node,
                     void *base)
{
    if (node->kind != JSON_NODE_BOOL) {
        return refuse_kind(fill, node, option);
    }
    store_value(base, option, node->truth);
    return 0;
}

static int fill_duration(struct fill *fill, const struct option *option,
                         const struct json_node *node, void *base)
{
    uint32_t duration_ms;
    bool zero = node->kind == JSON_NODE_INT && node->integer == 0;
    if (node->kind == JSON_NODE_INT && !zero) {
        return refuse(fill, node, option, "%.40s has no unit", node->string);
    }
    if (node->kind != JSON_NODE_STRING && !zero) {
        return refuse_kind(fill, node, option);
    }
    if (units_parse_duration(node->string, &duration_ms) != 0) {
        return refuse(fill, node, option, "\"%.60s\" is not a duration", node->string);
    }
    if (duration_ms < option->low || duration_ms > option->high) {
        return refuse(fill, node, option, "\"%.60s\" is out of range", node->string);
    }
    store_value(base, option, duration_ms);
    return 0;
}

static int fill_rate(struct fill *fill, const struct option *option, const struct json_node *node,
                     void *base)
{
    uint32_t count;
    uint32_t window_ms;
    if (node->kind != JSON_NODE_STRING) {
        return refuse_kind(fill, node, option);
    }
    if (units_parse_rate(node->string, &count, &window_ms) != 0) {
        return refuse(fill, node, option, "\"%.60s\" is not a rate", node->string);
    }
    if (count < option->low || count > option->high) {
        return refuse(fill, node, option, "\"%.60s\" is out of range", node->string);
    }
    store_number(base, option->offset, option->size, count);
    store_number(base, option->second_offset, option->second_size, window_ms);
    return 0;
}

static int fill_string(struct fill *fill, const struct option *option, const struct json_node *node,
                       void *base)
{
    if (!is_text(node)) {
        return refuse_kind(fill, node, option);
    }
    if (node->string[0] == '\0') {
        return refuse(fill, node, option, "the string is empty");
    }
    return store_string(base, option, node->string);
}

static int fill_secret_file(struct fill *fill, const struct option *option,
                            const struct json_node *path, void *base)
{
    char *text;
    size_t bytes;
    const char *reason;
    int error = file_read(path->string, true, &text, &bytes, &reason);
    if (error == ERR_IO) {
        return refuse(fill, path, option, "cannot use file \"%.150s\": %s", path->string, reason);
    }
    if (error != 0) {
        return error;
    }
    size_t length = strcspn(text, "\r\n");
    if (length == 0 || length + strspn(text + length, "\r\n") != bytes) {
        error = refuse(fill, path, option, "file \"%.150s\" is not one line of text", path->string);
    } else {
        text[length] = '\0';
        error = store_string(base, option, text);
    }
    explicit_bzero(text, bytes);
    free(text);
    return error;
}

static int fill_secret(struct fill *fill, const struct option *option, const struct json_node *node,
                       void *base)
{
    if (node->kind != JSON_NODE_OBJECT) {
        return fill_string(fill, option, node, base);
    }
    const struct json_node *source = node->first;
    bool file = source != NULL && strcmp(source->key, "file") == 0;
    bool variable = source != NULL && strcmp(source->key, "env") == 0;
    if (node->child_count != 1 || !(file || variable)) {
        return refuse(fill, node, option, "the object has other keys");
    }
    if (source->kind != JSON_NODE_STRING) {
        return refuse_kind(fill, source, option);
    }
    if (file) {
        return fill_secret_file(fill, option, source, base);
    }
    const char *value = getenv(source->string);
    if (value == NULL || value[0] == '\0') {
        return refuse(fill, source, option, "variable \"%.60s\" is not set", source->string);
    }
    return store_string(base, option, value);
}

static int fill_element(struct fill *fill, const struct option *option,
                        const struct json_node *node, void *base)
{
    struct listen_address address;
    if (node->kind != JSON_NODE_STRING) {
        return refuse_kind(fill, node, option);
    }
    if (node->string[0] == '\0') {
        return refuse(fill, node, option, "the string is empty");
    }
    if (option->type == OPTION_LISTEN && units_parse_listen(node->string, &address) != 0) {
        return refuse(fill, node, option, "\"%.120s\" is not an address", node->string);
    }
    return list_append(base, option, node->string);
}

/* A lone string counts as a list of one. */
static int fill_list(struct fill *fill, const struct option *option, const struct json_node *node,
                     void *base)
{
    if (node->kind != JSON_NODE_ARRAY && node->kind != JSON_NODE_STRING) {
        return refuse_kind(fill, node, option);
    }
    uint32_t length = node->kind == JSON_NODE_STRING ? 1 : node->child_count;
    if (length < option->low || length > option->high) {
        return refuse(fill, node, option, "the list has %u elements, from %u to %u are possible",
                      length, option->low, option->high);
    }
    list_clear(base, option);
    if (node->kind == JSON_NODE_STRING) {
        return fill_element(fill, option, node, base);
    }
    int error = 0;
    for (const struct json_node *at = node->first; at != NULL && error == 0; at = at->next) {
        error = fill_element(fill, option, at, base);
    }
    return error;
}

/* The primary stands before replicas, wherever it stood in the file. Takes the server over, also on
 * failure. */
static int add_server(struct database_options *database, struct server_options *server,
                      bool is_primary)
{
    struct server_options *grown =
        reallocarray(database->servers, database->server_count + 1, sizeof(*grown));
    if (grown == NULL) {
        server_options_fini(server);
        return ERR_NO_MEMORY;
    }
    uint32_t at = is_primary ? 0 : database->server_count;
    memmove(&grown[at + 1], &grown[at], (database->server_count - at) * sizeof(*grown));
    grown[at] = *server;
    database->servers = grown;
    database->server_count++;
    database->has_primary = database->has_primary || is_primary;
    return 0;
}

static int fill_server(struct fill *fill, const struct option *option, const struct json_node *node,
                       struct database_options *database, uint32_t weight)
{
    if (node->kind != JSON_NODE_STRING) {
        return refuse_kind(fill, node, option);
    }
    char path[OPTION_PATH_BYTES];
    struct dsn_report report;
    struct server_options server;
    json_node_path(node, path, sizeof(path));
    int error = dsn_parse(node->string, &server, &report);
    if (error == ERR_CONFIG) {
        config_errors_add(fill->errors, node->place, path, "%s", report.error);
        return 0;
    }
    if (error != 0) {
        return error;
    }
    if (report.note[0] != '\0') {
        config_errors_note(fill->errors, node->place, path, "%s", report.note);
    }
    server.weight = weight;
    return add_server(database, &server, option->type == OPTION_DSN);
}

/* {"dsn": …, "weight": …} */
static int fill_weighted(struct fill *fill, const struct option *option,
                         const struct json_node *node, struct database_options *database)
{
    const struct json_node *dsn = json_node_get(node, "dsn");
    const struct json_node *weight = json_node_get(node, "weight");
    if (dsn == NULL) {
        return refuse(fill, node, option, "the object has no \"dsn\"");
    }
    if (node->child_count > (weight != NULL ? 2 : 1)) {
        return refuse(fill, node, option, "the object has other keys");
    }
    if (weight != NULL && (weight->kind != JSON_NODE_INT || weight->integer < LIMIT_WEIGHT_MIN ||
                           weight->integer > LIMIT_WEIGHT_MAX)) {
        return refuse(fill, weight, option, "the weight is not possible");
    }
    return fill_server(fill, option, dsn, database,
                       weight != NULL ? (uint32_t)weight->integer : LIMIT_WEIGHT_MIN);
}

/* A lone string counts as a list of one. */
static int fill_replicas(struct fill *fill, const struct option *option,
                         const struct json_node *node, struct database_options *database)
{
    bool none = node->kind == JSON_NODE_ARRAY && node->child_count == 0;
    database->discovers = database->discovers || (option->type == OPTION_HOSTS && !none);
    if (node->kind == JSON_NODE_STRING) {
        return fill_server(fill, option, node, database, LIMIT_WEIGHT_MIN);
    }
    if (node->kind != JSON_NODE_ARRAY) {
        return refuse_kind(fill, node, option);
    }
    if (node->child_count > option->high) {
        return refuse(fill, node, option, "the list has %u elements", node->child_count);
    }
    int error = 0;
    for (const struct json_node *at = node->first; at != NULL && error == 0; at = at->next) {
        error = at->kind == JSON_NODE_OBJECT
                    ? fill_weighted(fill, option, at, database)
                    : fill_server(fill, option, at, database, LIMIT_WEIGHT_MIN);
    }
    return error;
}

static int fill_null(struct fill *fill, const struct option *option, const struct json_node *node,
                     void *base)
{
    if (!option_nullable(option)) {
        return refuse_kind(fill, node, option);
    }
    switch (option->type) {
    case OPTION_INT:
    case OPTION_DURATION:
    case OPTION_RATE:
    case OPTION_WORD:
        store_number(base, option->offset, option->size, 0);
        if (option->second_offset != OPTION_NONE) {
            store_number(base, option->second_offset, option->second_size, 0);
        }
        break;
    case OPTION_BOOL:
    case OPTION_STRING:
    case OPTION_SECRET:
    case OPTION_STRINGS:
    case OPTION_LISTEN:
    case OPTION_DSN:
    case OPTION_RULES:
    case OPTION_REPLICAS:
    case OPTION_HOSTS:
        break; /* nothing was stored: their default is null, or null is refused */
    }
    return 0;
}

static int fill_value(struct fill *fill, const struct option *option, const struct json_node *node,
                      void *base)
{
    if (node->kind == JSON_NODE_NULL) {
        return fill_null(fill, option, node, base);
    }
    switch (option->type) {
    case OPTION_INT:
        return fill_int(fill, option, node, base);
    case OPTION_DURATION:
        return fill_duration(fill, option, node, base);
    case OPTION_RATE:
        return fill_rate(fill, option, node, base);
    case OPTION_WORD:
        return fill_word(fill, option, node, base);
    case OPTION_BOOL:
        return fill_bool(fill, option, node, base);
    case OPTION_STRING:
        return fill_string(fill, option, node, base);
    case OPTION_SECRET:
        return fill_secret(fill, option, node, base);
    case OPTION_STRINGS:
    case OPTION_LISTEN:
        return fill_list(fill, option, node, base);
    case OPTION_RULES:
        if (node->kind != JSON_NODE_ARRAY) {
            return refuse_kind(fill, node, option);
        }
        if (node->child_count > option->high) {
            return refuse(fill, node, option, "the list has %u elements", node->child_count);
        }
        return fill_rules(node, fill->errors, base);
    case OPTION_DSN:
        return fill_server(fill, option, node, base, LIMIT_WEIGHT_MIN);
    case OPTION_REPLICAS:
    case OPTION_HOSTS:
        return fill_replicas(fill, option, node, base);
    }
    UNREACHABLE();
}

/* --- the whole tree -------------------------------------------------------------------------- */

static int fill_defaults(struct fill *fill, enum option_home home, void *base)
{
    for (size_t i = 0; i < option_count(); i++) {
        const struct option *option = option_at(i);
        if (option->home != home || option->fallback == NULL ||
            strcmp(option->fallback, "null") == 0) {
            continue;
        }
        struct json_node *node;
        size_t errors_before = fill->errors->error_count;
        int error = json_node_parse(option->fallback, strlen(option->fallback), option->path, &node,
                                    fill->errors);
        if (error == 0) {
            error = fill_value(fill, option, node, base);
            json_node_free(node);
        }
        ASSERT(error == ERR_NO_MEMORY || fill->errors->error_count == errors_before);
        if (error != 0) {
            return error;
        }
    }
    return 0;
}

static const struct json_node *object_of(const struct json_node *root, const char *key)
{
    const struct json_node *node = json_node_get(root, key);
    return node != NULL && node->kind == JSON_NODE_OBJECT ? node : NULL;
}

static int make_databases(struct fill *fill, const struct json_node *node)
{
    struct options *options = fill->options;
    if (node == NULL || node->child_count == 0) {
        return 0;
    }
    options->databases = calloc(node->child_count, sizeof(*options->databases));
    if (options->databases == NULL) {
        return ERR_NO_MEMORY;
    }
    for (const struct json_node *at = node->first; at != NULL; at = at->next) {
        struct database_options *database = &options->databases[options->database_count++];
        database->name = strdup(at->key);
        int error = fill_defaults(fill, HOME_DATABASE, database);
        if (error != 0 || database->name == NULL) {
            return ERR_NO_MEMORY;
        }
    }
    return 0;
}

static int make_users(struct fill *fill, const struct json_node *node)
{
    struct options *options = fill->options;
    if (node == NULL || node->child_count == 0) {
        return 0;
    }
    options->users = calloc(node->child_count, sizeof(*options->users));
    if (options->users == NULL) {
        return ERR_NO_MEMORY;
    }
    for (const struct json_node *at = node->first; at != NULL; at = at->next) {
        struct user_options *user = &options->users[options->user_count++];
        user->name = strdup(at->key);
        int error = fill_defaults(fill, HOME_USER, user);
        if (error != 0 || user->name == NULL) {
            return ERR_NO_MEMORY;
        }
    }
    return 0;
}

/* The pattern of a node, whose parents are all objects of the table. False for a key that the table
 * cannot have. */
static bool node_pattern(const struct json_node *node, char *ret_pattern, size_t bytes)
{
    const struct json_node *steps[JSON_DEPTH_MAX];
    size_t count = 0;
    for (; node->parent != NULL; node = node->parent) {
        ASSERT(count < JSON_DEPTH_MAX);
        steps[count++] = node;
    }
    size_t used = 0;
    ret_pattern[0] = '\0';
    while (count > 0) {
        const char *key = steps[--count]->key;
        if (used > 0 && option_kind(ret_pattern) == OPTION_NAMED) {
            key = "<name>";
        } else if (key[0] == '\0' || strpbrk(key, ".<") != NULL) {
            return false;
        }
        int written = snprintf(ret_pattern + used, bytes - used, "%s%s", used > 0 ? "." : "", key);
        if (written < 0 || (size_t)written >= bytes - used) {
            return false;
        }
        used += (size_t)written;
    }
    return true;
}

static void *home_of(struct fill *fill, const struct option *option, const struct json_node *node)
{
    while (node->parent->parent != NULL && node->parent->parent->parent != NULL) {
        node = node->parent; /* up to the child of "databases" or "users" */
    }
    switch (option->home) {
    case HOME_ROOT:
        return fill->options;
    case HOME_DATABASE:
        return &fill->options->databases[node->index];
    case HOME_USER:
        return &fill->options->users[node->index];
    }
    UNREACHABLE();
}

static int report_unknown(struct fill *fill, const struct json_node *node)
{
    char path[OPTION_PATH_BYTES];
    char pattern[OPTION_PATH_BYTES] = "";
    char near[64];
    json_node_path(node, path, sizeof(path));
    if (node->parent->parent != NULL) {
        bool known = node_pattern(node->parent, pattern, sizeof(pattern));
        ASSERT(known);
    }
    if (option_suggest(pattern, node->key, near, sizeof(near))) {
        config_errors_add(fill->errors, node->key_place, path, "unknown key, did you mean \"%s\"?",
                          near);
        return 0;
    }
    char *allowed = NULL;
    size_t bytes = 0;
    FILE *out = open_memstream(&allowed, &bytes);
    if (out == NULL) {
        return ERR_NO_MEMORY;
    }
    option_write_keys(pattern, out);
    if (fclose(out) != 0) {
        free(allowed);
        return ERR_NO_MEMORY;
    }
    config_errors_add(fill->errors, node->key_place, path, "unknown key, allowed: %s", allowed);
    free(allowed);
    return 0;
}

/* Handles one node of an object of the table; *ret_descend tells whether to look below it. */
static int fill_node(struct fill *fill, const struct json_node *node, bool *ret_descend)
{
    char pattern[OPTION_PATH_BYTES];
    char path[OPTION_PATH_BYTES];
    *ret_descend = false;
    enum option_kind kind =
        node_pattern(node, pattern, sizeof(pattern)) ? option_kind(pattern) : OPTION_UNKNOWN;
    json_node_path(node, path, sizeof(path));
    switch (kind) {
    case OPTION_VALUE: {
        const struct option *option = option_find(pattern);
        return fill_value(fill, option, node, home_of(fill, option, node));
    }
    case OPTION_OBJECT:
    case OPTION_NAMED:
        if (node->kind == JSON_NODE_OBJECT) {
            *ret_descend = true;
        } else if (node->kind != JSON_NODE_NULL) {
            config_errors_add(fill->errors, node->place, path,
                              "the value is %s, allowed: an object", json_node_kind(node));
        }
        return 0;
    case OPTION_LATER:
        config_errors_add(fill->errors, node->key_place, path,
                          "this version does not support this key yet, allowed: leave it out");
        return 0;
    case OPTION_UNKNOWN:
        return report_unknown(fill, node);
    }
    UNREACHABLE();
}

int fill_options(const struct json_node *root, struct options *options,
                 struct config_errors *errors)
{
    struct fill fill = {.options = options, .errors = errors};
    int error = fill_defaults(&fill, HOME_ROOT, options);
    if (root->kind != JSON_NODE_OBJECT) {
        config_errors_add(errors, root->place, NULL, "the top is %s, allowed: an object",
                          json_node_kind(root));
        return error;
    }
    if (error == 0) {
        error = make_databases(&fill, object_of(root, "databases"));
    }
    if (error == 0) {
        error = make_users(&fill, object_of(root, "users"));
    }
    const struct json_node *node = root->first;
    while (node != NULL && error == 0) {
        bool descend = false;
        bool first = json_node_get(node->parent, node->key) == node;
        if (first) { /* a key given twice is a finding already */
            error = fill_node(&fill, node, &descend);
        }
        node = descend ? json_node_next(node, root) : json_node_skip(node, root);
    }
    return error;
}
