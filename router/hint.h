/* A hint: what one statement says in a comment of how it is to be treated.
 *
 *    select * from t where id = 42   -- howdah: route=primary
 *    select count(*) from t          -- howdah: cache=60s, shard_key='a b'
 *
 * (or between slashes and stars).
 *
 * A comment is a hint when it begins with "howdah:" (blanks may stand before that). Behind it stand
 * pairs of a name and a value of router/control.def, with blanks or a comma between. A value is
 * written bare, or in single quotes, with a quote in it doubled. What is anything else is an error,
 * and the statement is not run: a hint that is not understood must not be obeyed by half. Of
 * several hints in one statement the last one counts.
 */
#ifndef ROUTER_HINT_H
#define ROUTER_HINT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "router/control.h"

struct hint {
    bool said[CONTROL_COUNT];
    char values[CONTROL_COUNT][CONTROL_VALUE_BYTES]; /* as SHOW would show them */
};

/* What is wrong with one. */
struct hint_error {
    uint32_t at; /* bytes, in the text that was read */
    char message[160];
    const char *help; /* static storage */
};

/* Room for what hint_write writes. */
enum { HINT_TEXT_BYTES = CONTROL_COUNT * (2 * CONTROL_VALUE_BYTES + CONTROL_NAME_BYTES) };

/* Reads what stands behind "howdah:". ERR_SYNTAX with `ret_error`, and the hint is then empty. */
int hint_read(const char *text, uint32_t bytes, struct hint *ret_hint,
              struct hint_error *ret_error);

/* The same hint in always the same words, for a key: its bytes, without a NUL. 0: it doesn't fit
 * into `max`. */
uint32_t hint_write(const struct hint *hint, char *ret_text, uint32_t max);

/* The first error among the hints of a text of any number of statements; `ret_error->at` is then a
 * place in that text. False: there is none. */
bool hint_find_error(const char *text, size_t bytes, struct hint_error *ret_error);

#endif
