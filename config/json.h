/* JSON with comments and trailing commas, as a tree that remembers where everything stood.
 *
 * The text is read with jansson (RFC 8259), after comments and trailing commas are blanked in
 * place, so positions stay those of the file. Jansson keeps no positions of values: an own scan
 * over the text that jansson has accepted builds the tree, and jansson decodes each scalar of it.
 * Nesting deeper than JSON_DEPTH_MAX is an error.
 */
#ifndef CONFIG_JSON_H
#define CONFIG_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config/errors.h"

/* Objects and lists inside each other; the contract needs 6. */
#define JSON_DEPTH_MAX 16

enum json_kind {
    JSON_NODE_NULL,
    JSON_NODE_BOOL,
    JSON_NODE_INT,
    JSON_NODE_REAL,
    JSON_NODE_STRING,
    JSON_NODE_ARRAY,
    JSON_NODE_OBJECT,
};

struct json_node {
    enum json_kind kind;
    bool truth;                    /* of a BOOL */
    int64_t integer;               /* of an INT */
    char *string;                  /* of a STRING; of another scalar, how it was written */
    char *key;                     /* NULL for list elements and the top */
    struct config_place place;     /* of the value; the source's name is borrowed */
    struct config_place key_place; /* of the key, else of the value */
    uint32_t index;                /* among its siblings */
    uint32_t child_count;
    struct json_node *parent, *first, *last, *next;
};

/* Parses a whole text; `source` names it in places and must outlive the tree. Returns 0, or
 * ERR_CONFIG with the findings added, or ERR_NO_MEMORY. A duplicate key is a finding too, but both
 * members are in the tree, so that the caller can go on looking for errors. */
int json_node_parse(const char *text, size_t bytes, const char *source, struct json_node **ret_root,
                    struct config_errors *errors);

/* A string; NULL when memory is out. */
struct json_node *json_node_string(const char *string, const char *source);

/* An empty object; NULL when memory is out. */
struct json_node *json_node_object(const char *source);

/* Frees the tree and wipes its strings, which may be secrets. NULL is allowed. */
void json_node_free(struct json_node *root);

/* The member of that name, or NULL. */
struct json_node *json_node_get(const struct json_node *object, const char *key);

/* Puts `value` (no parent yet) into the object, in place of a member of that name if there is one.
 * Takes the value over, also on failure: ERR_NO_MEMORY. */
int json_node_put(struct json_node *object, const char *key, struct json_node *value);

/* Appends to a list, or to an object what has a key; takes the value over. */
void json_node_append(struct json_node *parent, struct json_node *value);

/* The node that follows in document order within `root`: first child, else next sibling, else that
 * of a parent; NULL at the end. */
struct json_node *json_node_next(const struct json_node *node, const struct json_node *root);

/* Likewise, but leaves out what is below `node`. */
struct json_node *json_node_skip(const struct json_node *node, const struct json_node *root);

/* The path from the top, "databases.app.pool.size" or "listen[0]", cut when it does not fit. */
void json_node_path(const struct json_node *node, char *ret_path, size_t path_bytes);

/* "a string", "an object" … */
const char *json_node_kind(const struct json_node *node);

#endif
