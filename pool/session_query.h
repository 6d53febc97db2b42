/* Taking simple queries: what a query does shows in its whole text, and says how it is sent.
 *
 *    whole text -> plan -> for Howdah itself?    pool/own_answer.h answers it
 *                          names statements?     pool/names.h sends it with other names
 *                          would pin too many?   pool/pin_limit.h sends one that fails
 *                          unlistens?            pool/listen.h sends it with the rest of the news
 *                          else                  it is forwarded as it came
 *
 * Most queries read or write rows and touch nothing else, and most sessions have nothing open that
 * a query could meet: such a *plain* query skips the questions above, and the look for pids in its
 * text (pool/pid_message.h), since a plan without touches calls no function of theirs.
 */
#ifndef POOL_SESSION_QUERY_H
#define POOL_SESSION_QUERY_H

#include <stdbool.h>
#include <stdint.h>

struct block;
struct due_entry;
struct engine;
struct session;

/* A Query of `total` bytes, of which `have` are at `message`, goes to the session's link. Returns
 * the bytes taken; or 0: it waits, with *ret_whole = how many bytes it needs to see together, or
 * the session is closing. */
uint32_t session_query_take(struct engine *engine, struct session *session, struct block *block,
                            uint8_t *message, uint32_t total, uint32_t have, uint32_t *ret_whole);

/* Takes a Query that is here whole, if it is plain. *ret_taken: the bytes taken; 0: the session is
 * closing. */
bool session_query_take_plain(struct engine *engine, struct session *session, struct block *block,
                              uint8_t *message, uint32_t total, uint32_t *ret_taken);

/* A Query is refused (pool/refusal.h); `due` is its entry. Returns the bytes taken; 0: the session
 * is closing. */
uint32_t session_query_refuse(struct engine *engine, struct session *session,
                              const struct due_entry *due, uint32_t total, uint32_t have);

/* Neither the session nor its link has an unnamed statement any more: a simple query ends it
 * (exec_simple_query, postgres.c). */
void session_query_drop_unnamed(struct engine *engine, struct session *session);

#endif
