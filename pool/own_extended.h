/* Extended query of statements that are answered here (pool/own_answer.h).
 *
 * They are among the client's prepared statements as any other, by their names, and no server has
 * them. Of portals there is one at a time: the next Bind of such a statement ends it. Each message
 * waits until nothing is due.
 */
#ifndef POOL_OWN_EXTENDED_H
#define POOL_OWN_EXTENDED_H

#include <stdbool.h>
#include <stdint.h>

struct engine;
struct plan;
struct session;
struct statement;

/* As own_take (pool/own_answer.h), for Parse, Bind, Describe, Execute and Close. */
bool own_extended_take(struct engine *engine, struct session *session, const uint8_t *message,
                       uint32_t total, uint32_t have, uint32_t *ret_taken, uint32_t *ret_whole);

/* A Parse of a statement whose plan has PLAN_TOUCHES_OURS; the reference to the statement is
 * consumed. False: it waits, or the session is closing. */
bool own_extended_parse(struct engine *engine, struct session *session, const char *name,
                        struct statement *statement);

/* The portal ends, if there is one. */
void own_extended_close(struct engine *engine, struct session *session);

#endif
