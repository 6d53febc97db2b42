/* Error codes with their SQLSTATE; the table is base/error.def.
 *
 * A function that can fail returns int: 0, or one of these codes; its ret_* results are untouched
 * on failure.
 */
#ifndef BASE_ERROR_H
#define BASE_ERROR_H

enum error_code {
    ERR_NONE = 0,
#define ERROR_CODE(name, sqlstate, message) name,
#include "base/error.def"
#undef ERROR_CODE
    ERR_COUNT
};

/* Five characters and a NUL; static storage. */
const char *error_sqlstate(int code);

/* The primary message; static storage. */
const char *error_message(int code);

/* The code's own name, for logs and tests ("ERR_PROTOCOL"); static storage. */
const char *error_name(int code);

#endif
