#include "config/json.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/error.h"

/* --- the tree -------------------------------------------------------------------------------- */

static struct json_node *node_new(enum json_kind kind, struct config_place place)
{
    struct json_node *node = calloc(1, sizeof(*node));
    if (node != NULL) {
        node->kind = kind;
        node->place = place;
        node->key_place = place;
    }
    return node;
}

static void string_wipe(char *string)
{
    if (string != NULL) {
        explicit_bzero(string, strlen(string));
        free(string);
    }
}

struct json_node *json_node_string(const char *string, const char *source)
{
    struct json_node *node = node_new(JSON_NODE_STRING, (struct config_place){.source = source});
    if (node == NULL) {
        return NULL;
    }
    node->string = strdup(string);
    if (node->string == NULL) {
        free(node);
        return NULL;
    }
    return node;
}

struct json_node *json_node_object(const char *source)
{
    return node_new(JSON_NODE_OBJECT, (struct config_place){.source = source});
}

void json_node_free(struct json_node *root)
{
    struct json_node *node = root;
    while (node != NULL) {
        if (node->first != NULL) {
            struct json_node *child = node->first;
            node->first = NULL;
            node = child;
            continue;
        }
        struct json_node *after = NULL;
        if (node != root) {
            after = node->next != NULL ? node->next : node->parent;
        }
        string_wipe(node->string);
        free(node->key);
        free(node);
        node = after;
    }
}

struct json_node *json_node_get(const struct json_node *object, const char *key)
{
    for (struct json_node *child = object->first; child != NULL; child = child->next) {
        if (child->key != NULL && strcmp(child->key, key) == 0) {
            return child;
        }
    }
    return NULL;
}

void json_node_append(struct json_node *parent, struct json_node *value)
{
    ASSERT(value->parent == NULL);
    value->parent = parent;
    value->index = parent->child_count++;
    if (parent->last == NULL) {
        parent->first = value;
    } else {
        parent->last->next = value;
    }
    parent->last = value;
}

/* Puts `value` where `old` stands, and frees `old`. */
static void node_replace(struct json_node *old, struct json_node *value)
{
    struct json_node *parent = old->parent;
    struct json_node **link = &parent->first;
    struct json_node *before = NULL;
    while (*link != old) {
        before = *link;
        link = &before->next;
    }
    *link = value;
    value->next = old->next;
    value->parent = parent;
    value->index = old->index;
    if (parent->last == old) {
        parent->last = value;
    }
    old->next = NULL;
    old->parent = NULL;
    json_node_free(old);
}

int json_node_put(struct json_node *object, const char *key, struct json_node *value)
{
    ASSERT(object->kind == JSON_NODE_OBJECT);
    value->key = strdup(key);
    if (value->key == NULL) {
        json_node_free(value);
        return ERR_NO_MEMORY;
    }
    struct json_node *old = json_node_get(object, key);
    if (old != NULL) {
        node_replace(old, value);
    } else {
        json_node_append(object, value);
    }
    return 0;
}

struct json_node *json_node_skip(const struct json_node *node, const struct json_node *root)
{
    while (node != root) {
        if (node->next != NULL) {
            return node->next;
        }
        node = node->parent;
    }
    return NULL;
}

struct json_node *json_node_next(const struct json_node *node, const struct json_node *root)
{
    return node->first != NULL ? node->first : json_node_skip(node, root);
}

static void write_step(const struct json_node *node, FILE *out)
{
    if (node->key == NULL) {
        fprintf(out, "[%u]", node->index);
        return;
    }
    const char *dot = node->parent->parent == NULL ? "" : ".";
    bool plain = node->key[0] != '\0' && strpbrk(node->key, ".\"[] ") == NULL;
    fprintf(out, plain ? "%s%s" : "%s\"%s\"", dot, node->key);
}

void json_node_path(const struct json_node *node, char *ret_path, size_t path_bytes)
{
    const struct json_node *steps[JSON_DEPTH_MAX + 8];
    size_t count = 0;
    for (; node->parent != NULL && count < sizeof(steps) / sizeof(steps[0]); node = node->parent) {
        steps[count++] = node;
    }
    ret_path[0] = '\0';
    FILE *out = fmemopen(ret_path, path_bytes, "w");
    if (out == NULL) {
        return;
    }
    while (count > 0) {
        write_step(steps[--count], out);
    }
    fclose(out);
    ret_path[path_bytes - 1] = '\0';
}

const char *json_node_kind(const struct json_node *node)
{
    static const char *const names[] = {
        [JSON_NODE_NULL] = "null",        [JSON_NODE_BOOL] = "true or false",
        [JSON_NODE_INT] = "an integer",   [JSON_NODE_REAL] = "a number with a fraction",
        [JSON_NODE_STRING] = "a string",  [JSON_NODE_ARRAY] = "a list",
        [JSON_NODE_OBJECT] = "an object",
    };
    return names[node->kind];
}

/* --- reading --------------------------------------------------------------------------------- */

struct scan {
    const char *original; /* the caller's text: places are counted in it */
    char *text;           /* a copy with comments and trailing commas blanked */
    size_t bytes;
    size_t at;
    struct config_place place; /* of `counted` */
    size_t counted;
    struct json_node *root;
    struct json_node *open; /* the container that is being filled */
    char *key;              /* read, its value not yet */
    struct config_place key_place;
    uint32_t depth;
    struct config_errors *errors;
};

/* The place of a byte; places are asked for in rising order. Columns count characters. */
static struct config_place place_of(struct scan *scan, size_t offset)
{
    ASSERT(offset >= scan->counted && offset <= scan->bytes);
    for (; scan->counted < offset; scan->counted++) {
        unsigned char byte = (unsigned char)scan->original[scan->counted];
        if (byte == '\n') {
            scan->place.line++;
            scan->place.column = 1;
        } else if ((byte & 0xc0) != 0x80) {
            scan->place.column++;
        }
    }
    return scan->place;
}

static void place_rewind(struct scan *scan)
{
    scan->counted = 0;
    scan->place.line = 1;
    scan->place.column = 1;
}

static bool is_blank(char byte)
{
    return byte == ' ' || byte == '\t' || byte == '\n' || byte == '\r';
}

static void blank(struct scan *scan, size_t start, size_t end)
{
    for (size_t i = start; i < end; i++) {
        if (scan->text[i] != '\n') {
            scan->text[i] = ' ';
        }
    }
}

/* The first byte behind the string that begins at `at`, or the text's end. */
static size_t string_end(const struct scan *scan, size_t at)
{
    for (at++; at < scan->bytes; at++) {
        if (scan->text[at] == '\\') {
            at++;
        } else if (scan->text[at] == '"') {
            return at + 1;
        }
    }
    return scan->bytes;
}

/* The first byte behind the comment at `at`; 0 when none begins there; SIZE_MAX without an end. */
static size_t comment_end(const struct scan *scan, size_t at)
{
    if (scan->text[at] != '/' || scan->bytes - at < 2) {
        return 0;
    }
    if (scan->text[at + 1] == '/') {
        const char *end = memchr(scan->text + at, '\n', scan->bytes - at);
        return end == NULL ? scan->bytes : (size_t)(end - scan->text);
    }
    if (scan->text[at + 1] == '*') {
        const char *end = memmem(scan->text + at + 2, scan->bytes - at - 2, "*/", 2);
        return end == NULL ? SIZE_MAX : (size_t)(end - scan->text) + 2;
    }
    return 0;
}

static int blank_comments(struct scan *scan)
{
    if (scan->bytes >= 3 && memcmp(scan->text, "\xef\xbb\xbf", 3) == 0) {
        blank(scan, 0, 3);
    }
    for (size_t at = 0; at < scan->bytes;) {
        size_t end = scan->text[at] == '"' ? string_end(scan, at) : comment_end(scan, at);
        if (end == SIZE_MAX) {
            config_errors_add(scan->errors, place_of(scan, at), NULL,
                              "the comment that begins here has no end, allowed: /* … */");
            return ERR_CONFIG;
        }
        if (end == 0) {
            at++;
            continue;
        }
        if (scan->text[at] == '/') {
            blank(scan, at, end);
        }
        at = end;
    }
    return 0;
}

/* A comma right before a closing bracket goes, if a value stands before it. */
static void blank_trailing_commas(struct scan *scan)
{
    size_t comma = 0;
    bool trailing = false;
    char before = '\0';
    for (size_t at = 0; at < scan->bytes;) {
        char byte = scan->text[at];
        if (is_blank(byte)) {
            at++;
            continue;
        }
        if ((byte == '}' || byte == ']') && trailing) {
            blank(scan, comma, comma + 1);
        }
        trailing = byte == ',' && before != '\0' && strchr("[{,:", before) == NULL;
        comma = at;
        before = byte;
        at = byte == '"' ? string_end(scan, at) : at + 1;
    }
}

/* Where jansson's offending token begins; it tells where that token ends. */
static size_t token_start(const struct scan *scan, const json_error_t *error)
{
    size_t end = error->position < 0 ? 0 : (size_t)error->position;
    end = end > scan->bytes ? scan->bytes : end;
    const char *near = strstr(error->text, " near '");
    if (near == NULL) {
        return end;
    }
    near += strlen(" near '");
    size_t length = strlen(near);
    if (length < 2 || length - 1 > end) {
        return end;
    }
    length--; /* the closing quote */
    return memcmp(scan->text + end - length, near, length) == 0 ? end - length : end;
}

/* The part of jansson's message that says what it wanted: the token it quotes may be a secret. */
static void report_syntax(struct scan *scan, const json_error_t *error)
{
    size_t start = token_start(scan, error);
    const char *near = strstr(error->text, " near ");
    int length = near == NULL ? (int)strlen(error->text) : (int)(near - error->text);
    place_rewind(scan);
    config_errors_add(scan->errors, place_of(scan, start), NULL,
                      "not valid JSON: %.*s, allowed: JSON with comments and trailing commas",
                      length, error->text);
}

static int check_syntax(struct scan *scan)
{
    json_error_t error;
    json_t *value = json_loadb(scan->text, scan->bytes, JSON_DECODE_ANY, &error);
    if (value == NULL) {
        report_syntax(scan, &error);
        return ERR_CONFIG;
    }
    json_decref(value);
    return 0;
}

/* Text of a string token, decoded; NULL when memory is out. */
static char *decode_string(const char *token, size_t bytes)
{
    json_t *value = json_loadb(token, bytes, JSON_DECODE_ANY, NULL);
    if (value == NULL) {
        return NULL;
    }
    char *string = strdup(json_string_value(value));
    json_decref(value);
    return string;
}

static int decode_scalar(struct json_node *node, const char *token, size_t bytes)
{
    json_t *value = json_loadb(token, bytes, JSON_DECODE_ANY, NULL);
    if (value == NULL) {
        return ERR_NO_MEMORY;
    }
    const char *string = json_string_value(value);
    node->string = string != NULL ? strdup(string) : strndup(token, bytes);
    if (json_is_string(value)) {
        node->kind = JSON_NODE_STRING;
    } else if (json_is_integer(value)) {
        node->kind = JSON_NODE_INT;
        node->integer = json_integer_value(value);
    } else if (json_is_real(value)) {
        node->kind = JSON_NODE_REAL;
    } else if (json_is_boolean(value)) {
        node->kind = JSON_NODE_BOOL;
        node->truth = json_is_true(value);
    } else {
        node->kind = JSON_NODE_NULL;
    }
    json_decref(value);
    return node->string == NULL ? ERR_NO_MEMORY : 0;
}

static void report_duplicate(struct scan *scan, const struct json_node *first)
{
    char path[512];
    json_node_path(first, path, sizeof(path));
    config_errors_add(scan->errors, scan->key_place, path,
                      "given twice, first at line %u, allowed: once", first->key_place.line);
}

/* Takes `node` into the tree under the key that was read before it. */
static void attach(struct scan *scan, struct json_node *node)
{
    if (scan->open == NULL) {
        scan->root = node;
        return;
    }
    if (scan->key != NULL) {
        const struct json_node *first = json_node_get(scan->open, scan->key);
        if (first != NULL) {
            report_duplicate(scan, first);
        }
        node->key = scan->key;
        node->key_place = scan->key_place;
        scan->key = NULL;
    }
    json_node_append(scan->open, node);
}

static int open_container(struct scan *scan)
{
    struct config_place place = place_of(scan, scan->at);
    if (scan->depth == JSON_DEPTH_MAX) {
        config_errors_add(scan->errors, place, NULL, "nested too deeply, allowed: %u levels",
                          JSON_DEPTH_MAX);
        return ERR_CONFIG;
    }
    struct json_node *node =
        node_new(scan->text[scan->at] == '{' ? JSON_NODE_OBJECT : JSON_NODE_ARRAY, place);
    if (node == NULL) {
        return ERR_NO_MEMORY;
    }
    attach(scan, node);
    scan->open = node;
    scan->depth++;
    scan->at++;
    return 0;
}

static void close_container(struct scan *scan)
{
    scan->open = scan->open->parent;
    scan->depth--;
    scan->at++;
}

static int take_scalar(struct scan *scan)
{
    size_t start = scan->at;
    size_t end = start;
    bool string = scan->text[start] == '"';
    if (string) {
        end = string_end(scan, start);
    } else {
        while (end < scan->bytes && !is_blank(scan->text[end]) &&
               strchr(",]}", scan->text[end]) == NULL) {
            end++;
        }
    }
    scan->at = end;
    struct config_place place = place_of(scan, start);
    if (string && scan->open != NULL && scan->open->kind == JSON_NODE_OBJECT && scan->key == NULL) {
        scan->key_place = place;
        scan->key = decode_string(scan->text + start, end - start);
        return scan->key == NULL ? ERR_NO_MEMORY : 0;
    }
    struct json_node *node = node_new(JSON_NODE_NULL, place);
    if (node == NULL) {
        return ERR_NO_MEMORY;
    }
    attach(scan, node);
    return decode_scalar(node, scan->text + start, end - start);
}

/* Over text that jansson accepted, so brackets match and tokens are whole. */
static int build_tree(struct scan *scan)
{
    int error = 0;
    place_rewind(scan);
    while (error == 0 && scan->at < scan->bytes) {
        char byte = scan->text[scan->at];
        if (is_blank(byte) || byte == ',' || byte == ':') {
            scan->at++;
        } else if (byte == '{' || byte == '[') {
            error = open_container(scan);
        } else if (byte == '}' || byte == ']') {
            close_container(scan);
        } else {
            error = take_scalar(scan);
        }
    }
    return error;
}

int json_node_parse(const char *text, size_t bytes, const char *source, struct json_node **ret_root,
                    struct config_errors *errors)
{
    struct scan scan = {.original = text, .bytes = bytes, .errors = errors};
    scan.place = (struct config_place){.source = source, .line = 1, .column = 1};
    const char *nul = bytes == 0 ? NULL : memchr(text, 0, bytes);
    if (nul != NULL) { /* jansson takes some of them for an end */
        config_errors_add(errors, place_of(&scan, (size_t)(nul - text)), NULL,
                          "a NUL byte, allowed: text");
        return ERR_CONFIG;
    }
    scan.text = malloc(bytes + 1);
    if (scan.text == NULL) {
        return ERR_NO_MEMORY;
    }
    memcpy(scan.text, text, bytes);
    scan.text[bytes] = '\0';
    int error = blank_comments(&scan);
    if (error == 0) {
        blank_trailing_commas(&scan);
        error = check_syntax(&scan);
    }
    if (error == 0) {
        error = build_tree(&scan);
    }
    explicit_bzero(scan.text, bytes);
    free(scan.text);
    free(scan.key);
    if (error != 0) {
        json_node_free(scan.root);
        return error;
    }
    ASSERT(scan.root != NULL);
    *ret_root = scan.root;
    return 0;
}
