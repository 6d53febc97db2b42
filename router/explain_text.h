/* The text of an EXPLAIN (HOWDAH): where the statement is that it asks about. */
#ifndef ROUTER_EXPLAIN_TEXT_H
#define ROUTER_EXPLAIN_TEXT_H

#include <stdbool.h>
#include <stdint.h>

struct explain_text {
    uint32_t at;     /* where the statement begins, in bytes; the text's length if there is none */
    bool has_others; /* other options than HOWDAH, or a value for that */
};

/* Whether the text's first statement is an EXPLAIN with the option HOWDAH; `ret` may be NULL. What
 * it asks about is not looked at. */
bool explain_text_find(const char *text, uint32_t len, struct explain_text *ret);

#endif
