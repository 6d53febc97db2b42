/* What is answered in place of a server while a BEGIN is deferred (pool/deferred_begin.h): which
 * texts are, and the answers. Answers are appended to the engine's scratch, which
 * deferred_answer_write_end sends.
 */
#ifndef POOL_DEFERRED_ANSWER_H
#define POOL_DEFERRED_ANSWER_H

#include <stdbool.h>
#include <stdint.h>

struct engine;
struct plan;
struct session;

/* No BEGIN or COMMIT that is worth a look is longer. */
enum { DEFERRED_TEXT_BYTES_MAX = 256 };

/* Whether a text may be a BEGIN, by its first two letters: most texts are a SELECT, and go their
 * way. */
bool deferred_answer_may_begin(const char *text, uint32_t len);

/* The plan of a text (without its NUL) that is answered here in the session's state: a reference;
 * or NULL. */
struct plan *deferred_answer_plan(struct engine *engine, const struct session *session,
                                  const char *text, uint32_t len);

/* A statement with such a plan is done: the CommandComplete. */
void deferred_answer_write_tag(struct engine *engine, struct session *session,
                               const struct plan *plan);

/* What a failed transaction answers to anything but its end: 25P02; to a text (without its NUL;
 * NULL: there is none) that is no SQL 42601, as a server parses first. `prepares`: it is a Parse's,
 * which takes one statement. */
void deferred_answer_write_refusal(struct engine *engine, const struct session *session,
                                   const char *text, uint32_t len, bool prepares);

/* The last of an answer: ReadyForQuery. */
void deferred_answer_write_end(struct engine *engine, struct session *session);

#endif
