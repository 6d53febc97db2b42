/* Messages of a session with a link that go to the server: each with its entry in the ledger, and
 * with what it may leave there noted. What is a simple query is session_query.h's, Parse, Bind,
 * Describe and Close with virtual names are extended.c's, a whole run of an extended query is
 * portal_run.h's.
 */
#ifndef POOL_SESSION_PASS_H
#define POOL_SESSION_PASS_H

#include <stdint.h>

struct block;
struct engine;
struct session;

/* A message of `total` bytes that is no Sync, of which, with what is behind it, `have` bytes are
 * here. Returns the bytes taken, or 0: the session is closing, or waits, or *ret_whole is how many
 * bytes must be seen together. */
uint32_t session_pass_message(struct engine *engine, struct session *session, struct block *block,
                              uint8_t *message, uint32_t total, uint32_t have, uint32_t *ret_whole);

/* A Sync. Returns the same. */
uint32_t session_pass_sync(struct engine *engine, struct session *session, struct block *block,
                           uint8_t *message, uint32_t total, uint32_t have);

#endif
