/* Messages of a client with pids in them (pool/pid.h): they are rewritten before they are sent.
 *
 * A simple query is rewritten as it comes. A Parse is not, for its statement may run later, and
 * each time on another link, and so may those whose pids it names: what a Bind runs is prepared for
 * it in the form that the text has then. Where statements have virtual names that is done like any
 * preparing (pool/extended.c); elsewhere for the unnamed one alone, ahead of its Bind.
 *
 * Pids that are signalled are held before the message is sent (pool/pid_hold.h). In what outlives
 * its transaction (a view, a PREPARE of SQL) they stay as they are, and are nobody's.
 */
#ifndef POOL_PID_MESSAGE_H
#define POOL_PID_MESSAGE_H

#include <stdbool.h>
#include <stdint.h>

struct block;
struct engine;
struct session;
struct statement;

/* A message is about to be sent to the session's server; `have` bytes of it are here. True: it is
 * not to be sent yet: it must be here whole first, or waits. *ret_rewritten: the whole message to
 * be sent instead, at the front of a block whose reference is the caller's; left alone when it is
 * to be sent as it is. */
bool pid_message(struct engine *engine, struct session *session, const uint8_t *message,
                 uint32_t total, uint32_t have, struct block **ret_rewritten);

/* The form of a statement that names pids, with what its session's link holds: a reference. */
struct statement *pid_message_form(struct engine *engine, struct session *session,
                                   struct statement *statement);

#endif
