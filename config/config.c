#include "config/config.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "config/dsn.h"
#include "config/file.h"
#include "config/fill.h"
#include "config/json.h"

#define SOURCE_URL "$HOWDAH_DATABASE_URL"
#define KEYS_MAX 8

/* --- flags laid over the tree ---------------------------------------------------------------- */

struct overlay {
    struct json_node *root;
    struct config_errors *errors;
    const char *source; /* names the flag in findings */
};

static int refuse(struct overlay *overlay, const char *message)
{
    config_errors_add(overlay->errors, (struct config_place){.source = overlay->source}, NULL, "%s",
                      message);
    return 0;
}

/* Puts `value` (taken over) at the end of the keys, making the objects on the way. */
static int put_at(struct overlay *overlay, char *const *keys, size_t key_count,
                  struct json_node *value)
{
    struct json_node *object = overlay->root;
    if (value == NULL) {
        return ERR_NO_MEMORY;
    }
    for (size_t i = 0; i + 1 < key_count; i++) {
        struct json_node *child = json_node_get(object, keys[i]);
        if (child == NULL || child->kind == JSON_NODE_NULL) {
            child = json_node_object(overlay->source);
            int error = child == NULL ? ERR_NO_MEMORY : json_node_put(object, keys[i], child);
            if (error != 0) {
                json_node_free(value);
                return error;
            }
        }
        if (child->kind != JSON_NODE_OBJECT) {
            json_node_free(value);
            return refuse(overlay, "the path leads through a value that is no object, allowed: "
                                   "KEY=VALUE with the path of an option");
        }
        object = child;
    }
    return json_node_put(object, keys[key_count - 1], value);
}

/* Splits "databases.\"a.b\".primary" in place. Returns the number of keys, 0 when it is no path. */
static size_t split_path(char *path, char **keys)
{
    size_t count = 0;
    for (;;) {
        if (count == KEYS_MAX) {
            return 0;
        }
        bool quoted = *path == '"';
        char *end = quoted ? strchr(path + 1, '"') : path + strcspn(path, ".");
        if (end == NULL || end == path) {
            return 0;
        }
        keys[count++] = path + quoted;
        char after = end[quoted];
        *end = '\0';
        if (after == '\0') {
            return count;
        }
        if (after != '.') {
            return 0;
        }
        path = end + quoted + 1;
    }
}

/* A value of --set has no place in a file: findings name the flag alone. */
static void clear_lines(struct json_node *root)
{
    for (struct json_node *node = root; node != NULL; node = json_node_next(node, root)) {
        node->place.line = 0;
        node->key_place.line = 0;
    }
}

/* JSON if it is, else a string. */
static int parse_value(const char *text, const char *source, struct json_node **ret_value)
{
    struct config_errors ignored;
    config_errors_init(&ignored);
    int error = json_node_parse(text, strlen(text), source, ret_value, &ignored);
    bool clean = error == 0 && ignored.error_count == 0;
    config_errors_fini(&ignored);
    if (clean) {
        clear_lines(*ret_value);
        return 0;
    }
    if (error == 0) {
        json_node_free(*ret_value);
    } else if (error != ERR_CONFIG) {
        return error;
    }
    *ret_value = json_node_string(text, source);
    return *ret_value == NULL ? ERR_NO_MEMORY : 0;
}

static int overlay_set(struct overlay *overlay, const char *text)
{
    char *keys[KEYS_MAX];
    char *path = strdup(text);
    if (path == NULL) {
        return ERR_NO_MEMORY;
    }
    char *equals = strchr(path, '=');
    size_t key_count = 0;
    if (equals != NULL) {
        *equals = '\0';
        key_count = split_path(path, keys);
    }
    int error;
    if (key_count == 0) {
        error = refuse(overlay, "not a path and a value, allowed: KEY=VALUE, such as "
                                "databases.app.pool.size=40");
    } else {
        struct json_node *value;
        error = parse_value(equals + 1, overlay->source, &value);
        if (error == 0) {
            error = put_at(overlay, keys, key_count, value);
        }
    }
    explicit_bzero(path, strlen(text));
    free(path);
    return error;
}

static int put_primary(struct overlay *overlay, char *name, const char *dsn)
{
    char databases[] = "databases";
    char primary[] = "primary";
    char *keys[] = {databases, name, primary};
    return put_at(overlay, keys, 3, json_node_string(dsn, overlay->source));
}

static int overlay_database(struct overlay *overlay, const char *text)
{
    const char *equals = strchr(text, '=');
    if (equals == NULL || equals == text) {
        return refuse(overlay, "not a name and a DSN, allowed: NAME=DSN, such as "
                               "app=postgres://host:5432/app");
    }
    char *name = strndup(text, (size_t)(equals - text));
    if (name == NULL) {
        return ERR_NO_MEMORY;
    }
    int error = put_primary(overlay, name, equals + 1);
    free(name);
    return error;
}

/* The DSN's own database name is the name that clients connect to. */
static int overlay_url(struct overlay *overlay, const char *url)
{
    struct dsn_report report;
    struct server_options server;
    int error = dsn_parse(url, &server, &report);
    if (error == ERR_CONFIG) {
        return refuse(overlay, report.error);
    }
    if (error != 0) {
        return error;
    }
    char *name = server.dbname != NULL ? server.dbname : server.user;
    if (name == NULL) {
        error = refuse(overlay, "the URL names no database, allowed: postgres://host:port/app");
    } else {
        error = put_primary(overlay, name, url);
    }
    server_options_fini(&server);
    return error;
}

/* The first --listen replaces the file's list, the others add to it. */
static int overlay_listen(struct overlay *overlay, const char *text, bool first)
{
    if (first) {
        struct json_node *list;
        int error = parse_value("[]", overlay->source, &list);
        if (error == 0) {
            error = json_node_put(overlay->root, "listen", list);
        }
        if (error != 0) {
            return error;
        }
    }
    struct json_node *list = json_node_get(overlay->root, "listen");
    struct json_node *address = json_node_string(text, overlay->source);
    if (address == NULL) {
        return ERR_NO_MEMORY;
    }
    json_node_append(list, address);
    return 0;
}

static int overlay_flag(struct overlay *overlay, const struct config_override *override,
                        bool *listen_given)
{
    int error = 0;
    switch (override->flag) {
    case CONFIG_LISTEN:
        overlay->source = "--listen";
        error = overlay_listen(overlay, override->text, !*listen_given);
        *listen_given = true;
        break;
    case CONFIG_DATABASE:
        overlay->source = "--database";
        error = overlay_database(overlay, override->text);
        break;
    case CONFIG_SET:
        overlay->source = "--set";
        error = overlay_set(overlay, override->text);
        break;
    }
    return error;
}

static int overlay_all(const struct config_sources *sources, struct json_node *root,
                       struct config_errors *errors)
{
    struct overlay overlay = {.root = root, .errors = errors, .source = SOURCE_URL};
    bool listen_given = false;
    int error = 0;
    if (sources->database_url != NULL) {
        error = overlay_url(&overlay, sources->database_url);
    }
    for (size_t i = 0; i < sources->override_count && error == 0; i++) {
        error = overlay_flag(&overlay, &sources->overrides[i], &listen_given);
    }
    return error;
}

/* --- loading --------------------------------------------------------------------------------- */

/* The file's tree, or an empty object without a file. */
static int load_tree(const struct config_sources *sources, struct json_node **ret_root,
                     struct config_errors *errors)
{
    const char *file = sources->file;
    if (file == NULL && access(CONFIG_FILE_DEFAULT, F_OK) == 0) {
        file = CONFIG_FILE_DEFAULT;
    }
    if (file == NULL) {
        *ret_root = json_node_object("command line");
        return *ret_root == NULL ? ERR_NO_MEMORY : 0;
    }
    char *text;
    size_t bytes;
    const char *reason;
    int error = file_read(file, false, &text, &bytes, &reason);
    if (error == ERR_IO) {
        config_errors_add(errors, (struct config_place){.source = file}, NULL,
                          "cannot read the file: %s", reason);
        return ERR_CONFIG;
    }
    if (error != 0) {
        return error;
    }
    error = json_node_parse(text, bytes, file, ret_root, errors);
    explicit_bzero(text, bytes);
    free(text);
    return error;
}

int config_load(const struct config_sources *sources, struct options **ret_options,
                struct config_errors *errors)
{
    struct json_node *root;
    int error = load_tree(sources, &root, errors);
    if (error != 0) {
        return error;
    }
    struct options *options = options_new();
    error = options == NULL ? ERR_NO_MEMORY : 0;
    if (error == 0 && root->kind == JSON_NODE_OBJECT) {
        error = overlay_all(sources, root, errors);
    }
    if (error == 0) {
        error = fill_options(root, options, errors);
    }
    if (error == 0) {
        error = check_options(root, options, errors);
    }
    json_node_free(root);
    if (error == 0) {
        error = config_errors_code(errors);
    }
    if (error != 0) {
        options_unref(options);
        return error;
    }
    options->list_rows = config_rows;
    options->free_rows = config_rows_free;
    *ret_options = options;
    return 0;
}
