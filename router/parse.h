/* SQL text to a parse tree, by libpg_query (PostgreSQL 15's own parser); its only user.
 *
 * The tree is an array in preorder: a node's children are behind it, each child's `end` is where
 * the next one begins. Nothing here recurses. libpg_query does, a few hundred bytes of stack for
 * each step down, so the text's size and depth must be bounded before (a skeleton's are:
 * router/skeleton.h) and the thread's stack be LIMIT_STACK_BYTES.
 *
 * Of the library's outputs the JSON is read, not the protobuf: it costs an eighth of the time, and
 * its cost is linear (protobuf-c moves what is nested once for each level).
 */
#ifndef ROUTER_PARSE_H
#define ROUTER_PARSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What libpg_query calls a node; a struct that only ever stands in one field (the RangeVar of an
 * INSERT) comes without its name and is PARSE_OTHER. */
enum parse_type {
    PARSE_OTHER,
#define NODE(name, label, class, touches) PARSE_##name,
#include "router/parse.def"
#undef NODE
    PARSE_TYPE_COUNT
};

enum parse_kind {
    PARSE_OBJECT,
    PARSE_LIST,
    PARSE_TEXT, /* also the names of C enums: "TRANS_STMT_BEGIN" */
    PARSE_NUMBER,
    PARSE_BOOL,
};

struct parse_node {
    const char *name; /* of the field; NULL in a list */
    union {
        const char *text;
        int64_t number; /* of a bool, too */
    } value;
    uint32_t end; /* behind the last node below it */
    uint32_t parent;
    int32_t location; /* in the text, of an object: libpg_query's, in bytes */
    uint16_t type;    /* enum parse_type */
    uint8_t kind;     /* enum parse_kind */
    bool is_named;    /* while it is being read: a node's own braces are open inside its parent's */
};

struct parse_tree {
    struct parse_node *nodes; /* the first is the root, whose field "stmts" lists the statements */
    uint32_t count;
    uint32_t count_max;
    const char *text; /* what was parsed: the caller's */
    char *json;       /* the texts are in it */
};

/* The tree of a text (NUL at its end), for the caller to free with parse_fini and no longer alive
 * than the text. ERR_SYNTAX: the parser doesn't understand it (PostgreSQL's later versions might);
 * ERR_NO_MEMORY. */
int parse_text(const char *text, struct parse_tree *ret_tree);

void parse_fini(struct parse_tree *tree);

/* Why the parser doesn't take a text: its message, and the place, in characters from 1 (0: it names
 * none). "" if it takes it. The text is bounded as parse_text's. */
void parse_why_not(const char *text, char *ret_message, size_t message_bytes,
                   uint32_t *ret_position);

/* The field of that name of an object; 0 if it has none. libpg_query leaves out what is 0, false,
 * empty or NULL. */
uint32_t parse_field(const struct parse_tree *tree, uint32_t node, const char *name);

/* The text of a field; "" if there is none. */
const char *parse_field_text(const struct parse_tree *tree, uint32_t node, const char *name);

/* The number, or bool, of a field; 0 if there is none. */
int64_t parse_field_number(const struct parse_tree *tree, uint32_t node, const char *name);

/* The elements of a list, or fields of an object. */
uint32_t parse_child_count(const struct parse_tree *tree, uint32_t node);

#endif
