/* What a statement does, in rows for people: item, value, why.
 *
 * Made of the same plan by which the statement would be treated, and of the same parse tree as that
 * plan; nothing is run. Whoever knows more (where it would go, what is set) adds rows of its own
 * (pool/own_explain.h).
 */
#ifndef ROUTER_EXPLAIN_H
#define ROUTER_EXPLAIN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/writer.h"
#include "router/plan.h"

struct catalog;
struct plan;
struct plan_cache;
struct plan_context;

enum { EXPLAIN_COLUMNS = 3, EXPLAIN_MESSAGE_BYTES = 256 };

/* The names of the columns: "item", "value", "why". */
extern const char *const explain_columns[EXPLAIN_COLUMNS];

struct explanation {
    struct writer texts; /* each row's three texts, each with its NUL */
    uint32_t row_count;

    /* With ERR_SYNTAX: what the parser says, and where, in characters from 1 (0: not said). */
    char error[EXPLAIN_MESSAGE_BYTES];
    uint32_t error_at;
};

void explanation_init(struct explanation *explanation);
void explanation_fini(struct explanation *explanation);

/* Adds a row; not a second one with the same item and value. Memory that ran out shows in
 * texts.failed. */
void explanation_add(struct explanation *explanation, const char *item, const char *value,
                     const char *why);

/* The texts of the next row behind `at` (NULL: of the first one); NULL: there is none. */
const char *explanation_next(const struct explanation *explanation, const char *at,
                             const char *ret_texts[EXPLAIN_COLUMNS]);

/* How a server's kind of statement is called: "read", "write" ... ; static storage. */
const char *explain_class_name(enum plan_class class);
const char *explain_class(const struct plan *plan);

/* The part of the session that this one of enum plan_touch is about; NULL: it is none. */
const char *explain_touched(uint32_t touch);

/* Adds the rows of what the text is and does; `plan` is its plan, as the facts have it, and
 * `catalog` where they come from (NULL: nowhere). ERR_SYNTAX: it is no SQL for a server of the
 * parser's version or an older one (`server_major`, 0: not known). ERR_NO_MEMORY. */
int explain_text(const struct plan_context *context, const struct plan *plan,
                 const struct catalog *catalog, const char *text, uint32_t len,
                 uint32_t server_major, struct explanation *explanation);

/* The highest number of a $n in it. */
uint32_t explain_parameters(const char *text, uint32_t len);

/* Adds the rows of its plan's key: the skeleton and its hash. */
void explain_key(const struct plan *plan, struct explanation *explanation);

#endif
