/* What a client may say of how its statements are to be treated: howdah.route and its kin.
 *
 * The table is router/control.def. A value is said by SET, at the startup, or in a hint (a comment
 * of a statement, router/hint.h). Nothing of it ever reaches a server. Names and words compare
 * without case, as PostgreSQL's settings do.
 */
#ifndef ROUTER_CONTROL_H
#define ROUTER_CONTROL_H

#include <stdbool.h>
#include <stddef.h>

enum control {
#define CONTROL(name, label, usual, values, doc) CONTROL_##name,
#include "router/control.def"
#undef CONTROL
    CONTROL_COUNT /* also: none of them */
};

enum {
    CONTROL_VALUE_BYTES = 256, /* the longest value, with its NUL */
    CONTROL_NAME_BYTES = 32,   /* the longest name with "howdah.", with its NUL */
};

/* The name behind "howdah.", the value that holds when nothing was said, and what it decides;
 * static storage. */
const char *control_label(enum control control);
const char *control_usual(enum control control);
const char *control_doc(enum control control);

/* Whether a setting's name begins with "howdah.". */
bool control_is_ours(const char *name);

/* The setting of that name, without "howdah."; CONTROL_COUNT: none. */
enum control control_find(const char *label, size_t bytes);

/* The one whose name is nearest to a mistyped one; CONTROL_COUNT: none is near. */
enum control control_nearest(const char *label, size_t bytes);

/* The value as SHOW shows it. ERR_BAD_VALUE: it is none, and control_allowed says what is. */
int control_check(enum control control, const char *value, size_t bytes,
                  char ret_value[static CONTROL_VALUE_BYTES]);

/* What a value may be, for the HINT of an error; static storage. */
const char *control_allowed(enum control control);

#endif
