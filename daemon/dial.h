/* Connecting to a server, without blocking: to the address that the engine knows (engine_address),
 * else to that or those of the server's name, each in turn.
 *
 * The outcome is EVENT_DIALED. How long it may take is the engine's business: it closes the handle,
 * and what is under way is abandoned.
 */
#ifndef DAEMON_DIAL_H
#define DAEMON_DIAL_H

#include "base/handle.h"

struct dial;
struct worker;

/* Makes the handle's socket and connects it to engine_address(handle), or else to
 * engine_server(handle). */
void dial_start(struct worker *worker, struct handle handle);

/* Its socket goes away: nothing more is told. */
void dial_abandon(struct dial *dial);

#endif
