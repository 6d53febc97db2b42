/* Messages of a client with pids in them (pool/pid.h): they are rewritten before they are sent.
 *
 * A simple query, and a Parse of what is not kept by us under a virtual name, is rewritten as it
 * comes. A statement with a virtual name may run on another link each time, and so may those whose
 * pids it names: it is prepared anew under every text that it has come to have.
 */
#ifndef POOL_PID_MESSAGE_H
#define POOL_PID_MESSAGE_H

#include <stdbool.h>
#include <stdint.h>

struct block;
struct engine;
struct session;

/* A message is about to be sent to the session's server; `have` bytes of it are here. True: it
 * must be here whole first. *ret_rewritten: the whole message to be sent instead, at the front of a
 * block whose reference is the caller's; left alone when it is to be sent as it is. */
bool pid_message(struct engine *engine, struct session *session, const uint8_t *message,
                 uint32_t total, uint32_t have, struct block **ret_rewritten);

#endif
