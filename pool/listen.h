/* LISTEN in transaction mode: one listening link for all sessions of a pool at a worker.
 *
 * A session that listens holds no link. Its LISTEN is an ordinary statement of its transaction, on
 * whatever link that has: so the server itself decides what becomes of it, also when it is rolled
 * back, or comes from a function. When the transaction has ended, the server is asked which
 * channels the link listens to now (pool/state.h), and these are taken over:
 *
 *    ReadyForQuery 'I' of the commit        held back
 *    the question's answer: channels   ->   listen_answered
 *    the pool's *hub*, a link of its own:   LISTEN, and its answer: from then on it is the hub that
 *                                           hears for the session
 *    the session's link:                    UNLISTEN *
 *    the ReadyForQuery                      passed on, and the link goes back
 *
 * What the session's own link hears before that ReadyForQuery is passed on as it comes: so a
 * transaction that listens and notifies hears itself.
 *
 * An UNLISTEN would find nothing on a link that does not listen. So the server is made to remember
 * it, also across savepoints: behind each UNLISTEN goes a LISTEN of ours to a *tombstone*, a
 * channel that names what is to be dropped. What holds in the end: what was, less the tombstones,
 * and what the link listens to.
 *
 * PostgreSQL shows a session its own notifications before the ReadyForQuery of the commit. So that
 * one is held, too, if the session listens to anything and has done what may notify: until the hub
 * has answered a message sent after the commit. (A backend sends its pending notifications before
 * each of its ReadyForQuery; postgres.c, PostgresMain.) At other times notifications wait while a
 * transaction is open, as in async.c.
 *
 * The hub counts under the caps of the database and of the user, not in the pool's size. If it is
 * lost, so may notifications be: its sessions end as a listening backend would. Where there can be
 * no hub, or the session has another client_encoding than it, or more than LIMIT_CHANNELS, the
 * session keeps its link (a pin).
 */
#ifndef POOL_LISTEN_H
#define POOL_LISTEN_H

#include <stdbool.h>
#include <stdint.h>

#include "pool/session.h"
#include "router/plan.h"

struct engine;
struct hub;
struct link;
struct pool;

/* Of a session that listens; NULL for all others. */
struct listener;

/* A statement with this plan is sent. */
void listen_touch(struct session *session, const struct plan *plan);

/* It may have done anything. */
void listen_touch_all(struct session *session);

/* Whether the ReadyForQuery that says that its transaction has ended is to be held back. */
bool listen_holds(const struct session *session);

/* Whether the message of that type, which is next, waits for a ReadyForQuery that is due: its own
 * notifications come before that one, and more than one can't be held back. */
bool listen_delays(const struct session *session, uint8_t type);

/* The Query with UNLISTEN in it that the session is about to send is sent with tombstones in its
 * place, entered in the ledger. False: there are none to be put in, nothing was sent. */
bool listen_send_query(struct engine *engine, struct session *session, const char *text,
                       uint32_t len);

/* A statement is bound to the portal; `text`: one with UNLISTEN, else NULL. When that portal is
 * executed, the tombstone goes behind it. */
void listen_bound(struct engine *engine, struct session *session, const char *portal,
                  const char *text);
void listen_executed(struct engine *engine, struct session *session, const char *portal);

/* A CommandComplete under DUE_SIFT: whether it is that of a tombstone. */
bool listen_sifts(struct link *link, const uint8_t *body, uint32_t body_bytes);

/* The server's answer: `count` channels that the session's link listens to, each with its NUL.
 * False: the session is to keep its link for them. */
bool listen_answered(struct engine *engine, struct session *session, const char *names,
                     uint32_t count);

/* The session's link is ready, nothing is due, and the server was asked what there was to ask.
 * True: something is awaited still, after which session_idle is called again. False: the
 * ReadyForQuery has been passed on if it was held, and what had come meanwhile. */
bool listen_settle(struct engine *engine, struct session *session);

/* A transaction that no server knew of has ended: what was notified meanwhile is told, behind what
 * the engine's scratch has for the client. */
void listen_unlinked(struct engine *engine, struct session *session);

/* Whether it waits for the hub, with its link. */
bool listen_waits(const struct session *session);

/* A NotificationResponse from a link. Returns whether it passes on as it is. */
bool listen_notification(struct engine *engine, struct link *link, const uint8_t *body,
                         uint32_t body_bytes);

/* DISCARD ALL was done; the session ends. */
void listen_discarded(struct engine *engine, struct session *session);
void listen_free(struct engine *engine, struct session *session);

/* The pool has another epoch, term or address: a hub of those before ends. */
void listen_end(struct engine *engine, struct pool *pool);

/* The hub's link. */
struct link *listen_link(const struct hub *hub);

/* The hub has logged in; an entry of its ledger was answered; all that was received is dealt with;
 * its timer; it is lost. */
void listen_hub_ready(struct engine *engine, struct link *link);
void listen_hub_answered(struct link *link);
void listen_hub_after_reply(struct engine *engine, struct link *link);
void listen_hub_timer(struct engine *engine, struct link *link);
void listen_hub_lost(struct engine *engine, struct link *link);

#endif
