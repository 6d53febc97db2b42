/* Backends that a statement signals are held for it.
 *
 * pg_cancel_backend and pg_terminate_backend of a client's virtual pid are to hit the backend that
 * serves this client, and never another client's; and a backend that serves it now may serve
 * another when the statement runs. So before such a statement is sent, each client that it names is
 * asked for its backend, at whatever worker it lives, and its link is *held*, which is to say not
 * lent on, until the caller's transaction has ended: by then no portal or cursor of it can run.
 *
 *    the caller's link                              the client's link
 *    .. pg_terminate_backend(V) ..  --- ASK ------> held (link->cancels)
 *       the message waits           <-- ANSWER ---  its pid; 0: there is no such client
 *    .. pg_terminate_backend(P) ..  is sent
 *       ReadyForQuery 'I'           --- END ------> let go
 *
 * The server judges whether the caller may, by the users of both, and its answer passes as it is.
 *
 * A client without a link, idle or in line for one, is *stood for* by one that is nobody's: an idle
 * one of its pool if nobody waits for that, else a new one beside the pool's size, so that neither
 * a full pool nor a caller that has its only link can keep the statement waiting. It has the
 * client's user, so the server judges likewise. Nothing runs there, so a cancel does nothing; if
 * the server ends it by a signal, the client is ended in the same words. Where no such link can be
 * had there is no pid, and the server says what it says of a pid that is no backend's.
 *
 * When the statement has ended its signals have been sent, but not for sure dealt with. A cancel is
 * dropped by a backend that has nothing to run, before it reads the next query (PostgresMain,
 * postgres.c). One that is to terminate ends before it answers what it reads next: so the link is
 * *doubted* until a Sync that was sent behind the statement's end is answered, and is not lent on
 * before. Where the statement can't be seen to end, since its own link is lost or it takes more
 * than LIMIT_PID_HOLD_US, the links that it names serve their clients on, and are closed after
 * them.
 */
#ifndef POOL_PID_HOLD_H
#define POOL_PID_HOLD_H

#include <stdbool.h>
#include <stdint.h>

#include "pool/link.h"

struct engine;
struct letter;
struct pid_signals;
struct session;

/* A statement that the session is about to send on its link signals these. True: what stands for
 * each is filled in, and is held. False: the message waits, and the session is resumed. */
bool pid_hold_ask(struct engine *engine, struct session *session, struct pid_signals *signals);

/* What stands for them by what the session's link holds already. */
void pid_hold_known(const struct link *link, struct pid_signals *signals);

/* Whether the session waits for an answer. */
bool pid_hold_awaits(const struct link *link);

/* The link has link->cancels: what it holds is let go if its statements have ended, and if it is in
 * doubt itself the server is asked. */
void pid_hold_settle(struct engine *engine, struct link *link);

/* LIMIT_PID_HOLD_US may be over. */
void pid_hold_timer(struct engine *engine, struct link *link);

/* A link that stands for a client has logged in; or it is at nothing any more. */
void pid_hold_logged_in(struct engine *engine, struct link *link);
void pid_hold_stood(struct engine *engine, struct link *link);

/* The link is closing. */
void pid_hold_lost(struct engine *engine, struct link *link);

/* LETTER_PID_ASK, LETTER_PID_ANSWER, LETTER_PID_END. */
void pid_hold_letter(struct engine *engine, const struct letter *letter);

#endif
