#include "router/syntax.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/limits.h"
#include "router/parse.h"
#include "router/skeleton.h"

enum {
    PARSER_MAJOR = 15, /* PostgreSQL's version that libpg_query is of */
    /* No nesting in so many bytes is too deep for the parser's stack. */
    LEXICAL_BYTES_MAX = 4096,
};

/* Why it is opaque, of the first statement that is. */
static enum skeleton_opaque opaque_of(const char *text, uint32_t len)
{
    enum skeleton_opaque opaque = SKELETON_CLEAR;
    uint8_t *room = malloc(LIMIT_SKELETON_ROOM_BYTES);
    for (uint32_t at = 0; at < len && opaque == SKELETON_CLEAR && room != NULL;) {
        const struct skeleton_room lent = {.bytes = room, .bytes_max = LIMIT_SKELETON_ROOM_BYTES};
        struct skeleton skeleton;
        skeleton_make(text + at, len - at, &lent, &skeleton);
        opaque = skeleton.opaque;
        at += skeleton.next;
    }
    free(room);
    return opaque;
}

const char *syntax_why_opaque(const char *text, uint32_t len)
{
    static const char *const reasons[] = {
        [SKELETON_CLEAR] = NULL,
        [SKELETON_LONG_TEXT] = "the text is too long to be looked at",
        [SKELETON_LONG] = "the statement is too long to be looked at",
        [SKELETON_DEEP] = "it is nested too deep to be parsed",
        [SKELETON_LEXICAL] = "a literal or comment has no end, or a byte begins no token",
    };
    return reasons[opaque_of(text, len)];
}

int syntax_check(const struct plan_context *context, const char *text, uint32_t len,
                 uint32_t server_major, struct syntax_error *ret_error)
{
    enum skeleton_opaque opaque = opaque_of(text, len);
    bool clear = context->safe_encoding && context->standard_strings;
    *ret_error = (struct syntax_error){.position = 0};
    if (!clear ||
        (opaque != SKELETON_CLEAR && (opaque != SKELETON_LEXICAL || len > LEXICAL_BYTES_MAX))) {
        return 0;
    }
    char *copy = strndup(text, len);
    if (copy == NULL) {
        return ERR_NO_MEMORY;
    }
    parse_why_not(copy, ret_error->message, sizeof(ret_error->message), &ret_error->position);
    free(copy);
    return ret_error->message[0] != '\0' && server_major <= PARSER_MAJOR ? ERR_SYNTAX : 0;
}
