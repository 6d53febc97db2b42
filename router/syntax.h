/* Whether a text is SQL at all, where that matters more than what it does: a plan that is opaque
 * does not say why it is.
 */
#ifndef ROUTER_SYNTAX_H
#define ROUTER_SYNTAX_H

#include <stdint.h>

#include "router/plan.h"

enum { SYNTAX_MESSAGE_BYTES = 256 };

struct syntax_error {
    char message[SYNTAX_MESSAGE_BYTES]; /* the parser's */
    uint32_t position;                  /* in characters from 1; 0: not said */
};

/* Why a text has no skeleton, for people, in static storage; NULL: it has one. */
const char *syntax_why_opaque(const char *text, uint32_t len);

/* Asks the parser about a text (without its NUL) whose plan is opaque. ERR_SYNTAX: a server of
 * version `server_major` (0: not known), which is not later than the parser's, refuses it, too.
 * 0: nobody knows; ret_error->message is what the parser says, "" if it was not asked.
 * ERR_NO_MEMORY. */
int syntax_check(const struct plan_context *context, const char *text, uint32_t len,
                 uint32_t server_major, struct syntax_error *ret_error);

#endif
