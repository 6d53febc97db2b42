#include "router/parse.h"

#include <pg_query.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/error.h"

/* Not a node of its own, but a member of the one that it is of. */
static const char location_field[] = "location";

static const char *const type_labels[] = {
#define NODE(name, label, class, touches) label,
#include "router/parse.def"
#undef NODE
};

static enum parse_type type_of(const char *label)
{
    size_t low = 0, high = sizeof(type_labels) / sizeof(type_labels[0]);
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = strcmp(label, type_labels[middle]);
        if (order == 0) {
            return (enum parse_type)(PARSE_OTHER + 1 + middle);
        }
        if (order < 0) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    return PARSE_OTHER;
}

/* --- reading JSON ---------------------------------------------------------------------------- */

/* libpg_query writes it without white space, and we trust it to be JSON: what isn't as expected
 * ends the reading, not the process. */
struct json_reader {
    struct parse_tree *tree;
    char *at;
    const char *name; /* of the value that comes next */
    uint32_t open;    /* the container that is being read */
    bool done;
};

static int add_node(struct json_reader *reader, enum parse_kind kind)
{
    struct parse_tree *tree = reader->tree;
    if (tree->count == tree->count_max) {
        uint32_t count_max = tree->count_max * 2;
        struct parse_node *nodes = realloc(tree->nodes, count_max * sizeof(*nodes));
        if (nodes == NULL) {
            return ERR_NO_MEMORY;
        }
        tree->nodes = nodes;
        tree->count_max = count_max;
    }
    tree->nodes[tree->count] = (struct parse_node){.name = reader->name,
                                                   .end = tree->count + 1,
                                                   .parent = reader->open,
                                                   .kind = (uint8_t)kind};
    tree->count++;
    reader->name = NULL;
    return 0;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The library escapes control characters alone with \u: one byte each. */
static char unescape(char **at)
{
    char c = *(*at)++;
    switch (c) {
    case 'b':
        return '\b';
    case 'f':
        return '\f';
    case 'n':
        return '\n';
    case 'r':
        return '\r';
    case 't':
        return '\t';
    case 'u': {
        int high = 0, low = 0;
        if (strnlen(*at, 4) < 4 || (high = hex_digit((*at)[2])) < 0 ||
            (low = hex_digit((*at)[3])) < 0) {
            return '?';
        }
        *at += 4;
        return (char)(high * 16 + low);
    }
    default:
        return c;
    }
}

/* The text behind an opening quote, unescaped in place; NULL if it has no end. */
static char *read_string(struct json_reader *reader)
{
    char *start = reader->at, *out = start;
    for (char *at = start; *at != '\0';) {
        char c = *at++;
        if (c == '"') {
            *out = '\0';
            reader->at = at;
            return start;
        }
        if (c == '\\' && *at != '\0') {
            c = unescape(&at);
        }
        *out++ = c;
    }
    return NULL;
}

static int read_key(struct json_reader *reader)
{
    struct parse_tree *tree = reader->tree;
    char *key = read_string(reader);
    if (key == NULL || *reader->at++ != ':') {
        return ERR_SYNTAX;
    }
    struct parse_node *open = &tree->nodes[reader->open];
    bool is_type = key[0] >= 'A' && key[0] <= 'Z';
    if (is_type && *reader->at == '{' && open->end == tree->count && !open->is_named) {
        open->type = (uint16_t)type_of(key);
        open->is_named = true;
        reader->at++;
        return 0;
    }
    reader->name = key;
    return 0;
}

static int read_scalar(struct json_reader *reader)
{
    struct parse_tree *tree = reader->tree;
    bool is_location = reader->name != NULL && strcmp(reader->name, location_field) == 0;
    enum parse_kind kind = PARSE_NUMBER;
    char *text = NULL;
    int64_t number = 0;
    if (*reader->at == '"') {
        reader->at++;
        kind = PARSE_TEXT;
        text = read_string(reader);
        if (text == NULL) {
            return ERR_SYNTAX;
        }
    } else if (strncmp(reader->at, "true", 4) == 0) {
        kind = PARSE_BOOL;
        number = 1;
        reader->at += 4;
    } else if (strncmp(reader->at, "false", 5) == 0) {
        kind = PARSE_BOOL;
        reader->at += 5;
    } else {
        char *end;
        number = strtoll(reader->at, &end, 10);
        if (end == reader->at) {
            return ERR_SYNTAX;
        }
        reader->at = end;
    }
    if (is_location) {
        tree->nodes[reader->open].location = (int32_t)number;
        reader->name = NULL;
        return 0;
    }
    int code = add_node(reader, kind);
    if (code == 0 && kind == PARSE_TEXT) {
        tree->nodes[tree->count - 1].value.text = text;
    } else if (code == 0) {
        tree->nodes[tree->count - 1].value.number = number;
    }
    return code;
}

static void close_container(struct json_reader *reader)
{
    struct parse_tree *tree = reader->tree;
    struct parse_node *open = &tree->nodes[reader->open];
    if (open->is_named) {
        open->is_named = false;
        return;
    }
    open->end = tree->count;
    reader->done = reader->open == 0;
    reader->open = open->parent;
}

static int read_token(struct json_reader *reader)
{
    const struct parse_node *open = &reader->tree->nodes[reader->open];
    char c = *reader->at;
    int code;
    switch (c) {
    case '{':
    case '[':
        code = add_node(reader, c == '{' ? PARSE_OBJECT : PARSE_LIST);
        reader->open = code == 0 ? reader->tree->count - 1 : reader->open;
        reader->at++;
        return code;
    case '}':
    case ']':
        close_container(reader);
        reader->at++;
        return 0;
    case ',':
        reader->at++;
        return 0;
    case '"':
        if (open->kind == PARSE_OBJECT && reader->name == NULL) {
            reader->at++;
            return read_key(reader);
        }
        return read_scalar(reader);
    default:
        return read_scalar(reader);
    }
}

static int read_tree(struct parse_tree *tree)
{
    struct json_reader reader = {.tree = tree, .at = tree->json};
    if (*reader.at != '{') {
        return ERR_SYNTAX;
    }
    int code = add_node(&reader, PARSE_OBJECT);
    reader.at++;
    while (code == 0 && !reader.done) {
        code = read_token(&reader);
    }
    return code;
}

int parse_text(const char *text, struct parse_tree *ret_tree)
{
    struct parse_tree tree = {.count_max = 64, .text = text};
    int code = 0;
    PgQueryParseResult result = pg_query_parse(text);
    if (result.error != NULL || result.parse_tree == NULL) {
        code = ERR_SYNTAX;
        goto out;
    }
    tree.json = result.parse_tree;
    tree.nodes = malloc(tree.count_max * sizeof(*tree.nodes));
    if (tree.nodes == NULL) {
        code = ERR_NO_MEMORY;
        goto out;
    }
    code = read_tree(&tree);
out:
    if (code == 0) {
        *ret_tree = tree;
        result.parse_tree = NULL; /* the tree's now */
    } else {
        free(tree.nodes);
    }
    pg_query_free_parse_result(result);
    return code;
}

void parse_fini(struct parse_tree *tree)
{
    free(tree->nodes);
    free(tree->json);
    *tree = (struct parse_tree){0};
}

void parse_why_not(const char *text, char *ret_message, size_t message_bytes,
                   uint32_t *ret_position)
{
    PgQueryParseResult result = pg_query_parse(text);
    const PgQueryError *error = result.error;
    snprintf(ret_message, message_bytes, "%s", error == NULL ? "" : error->message);
    *ret_position = error == NULL || error->cursorpos < 0 ? 0 : (uint32_t)error->cursorpos;
    pg_query_free_parse_result(result);
}

/* --- looking at it --------------------------------------------------------------------------- */

uint32_t parse_field(const struct parse_tree *tree, uint32_t node, const char *name)
{
    ASSERT(node < tree->count);
    uint32_t end = tree->nodes[node].end;
    if (tree->nodes[node].kind != PARSE_OBJECT) {
        return 0;
    }
    for (uint32_t i = node + 1; i < end; i = tree->nodes[i].end) {
        if (strcmp(tree->nodes[i].name, name) == 0) {
            return i;
        }
    }
    return 0;
}

const char *parse_field_text(const struct parse_tree *tree, uint32_t node, const char *name)
{
    uint32_t field = parse_field(tree, node, name);
    return field != 0 && tree->nodes[field].kind == PARSE_TEXT ? tree->nodes[field].value.text : "";
}

int64_t parse_field_number(const struct parse_tree *tree, uint32_t node, const char *name)
{
    uint32_t field = parse_field(tree, node, name);
    return field != 0 && tree->nodes[field].kind >= PARSE_NUMBER ? tree->nodes[field].value.number
                                                                 : 0;
}

uint32_t parse_child_count(const struct parse_tree *tree, uint32_t node)
{
    uint32_t count = 0;
    for (uint32_t i = node + 1; i < tree->nodes[node].end; i = tree->nodes[i].end) {
        count++;
    }
    return count;
}
