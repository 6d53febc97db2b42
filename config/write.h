/* Writing JSON from dotted paths: objects open and close as the paths change.
 *
 * Paths of one object must come together, as they stand in options.def.
 */
#ifndef CONFIG_WRITE_H
#define CONFIG_WRITE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#define WRITE_DEPTH_MAX 8
#define WRITE_KEY_BYTES 256

struct write_tree {
    FILE *out;
    size_t depth;                                /* objects open below the top */
    char open[WRITE_DEPTH_MAX][WRITE_KEY_BYTES]; /* their keys */
    bool empty;                                  /* nothing in the innermost object yet */
};

/* The string in quotes, escaped; bytes above 127 stay (the string is UTF-8). */
void write_json_string(const char *string, FILE *out);

/* Opens the top object; `out` is borrowed until write_tree_end. */
void write_tree_begin(struct write_tree *tree, FILE *out);

/* Ends the value before and writes `"key": ` at its place, opening and closing objects on the way;
 * `name` stands in for <name>. The caller writes the value next. */
void write_tree_key(struct write_tree *tree, const char *path, const char *name);

/* Closes what is open, and ends the last line. */
void write_tree_end(struct write_tree *tree);

#endif
