/* Cancel: keys given to clients, CancelRequests received, CancelRequests sent on.
 *
 * A client's backend pid is virtual: it lies above every pid that a server can have and says at
 * which worker and slot the session lives, so that a CancelRequest, which may arrive at any worker,
 * finds its way without a directory. It is forwarded only if the key is right and the session has a
 * link; the link is not lent on until the connection that carried the request has ended, so that it
 * can hit no one else (design 3).
 */
#ifndef POOL_CANCEL_H
#define POOL_CANCEL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/handle.h"
#include "pool/conn.h"

struct engine;
struct event;
struct letter;
struct link;
struct pool;
struct session;

/* Carries one CancelRequest to a server, under the transport policy of the link it is about. */
struct canceller {
    struct conn conn;
    struct pool *pool;
    struct handle link; /* none when the link has gone meanwhile */
    uint32_t requester_worker;
    struct handle requester; /* the client's connection, closed when the server has the request */
    bool tls_asked, sent;
};

/* The pid that the client of that connection of that worker is told (see above). */
uint32_t cancel_virtual_pid(uint32_t worker, struct handle handle);

/* Gives the session its cancel key. */
void cancel_make_key(struct engine *engine, struct session *session);

/* A client sent a CancelRequest. There is no answer, but its connection ends only when the server
 * has taken the request, as a direct one would: so what the client sends next is not hit. Wrong
 * requests end at once. */
void cancel_request(struct engine *engine, struct session *requester, uint32_t pid,
                    const uint8_t *key, uint32_t key_bytes);
/* The request is dealt with. */
void cancel_done(struct engine *engine, uint32_t worker, struct handle requester);
void cancel_letter(struct engine *engine, const struct letter *letter);

/* Asks the server to cancel what runs on the link. False when that can't be done. */
bool cancel_link(struct engine *engine, struct link *link);

/* The link is closing: its cancellers no longer refer to it. */
void cancel_forget_link(struct engine *engine, struct link *link);

/* The connection's part of the engine's events: a result of dialing or TLS, or its end (event); the
 * answer to an SSLRequest (bytes); no success in time (timer). canceller_closed frees it. */
void canceller_event(struct engine *engine, struct canceller *canceller, const struct event *event);
void canceller_bytes(struct engine *engine, struct canceller *canceller, const uint8_t *bytes,
                     uint32_t len);
void canceller_timer(struct engine *engine, struct canceller *canceller);
void canceller_closed(struct engine *engine, struct canceller *canceller);

#endif
