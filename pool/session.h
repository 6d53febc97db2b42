/* A session: one client, from its first byte to its last.
 *
 *    STARTUP -> TLS -> STARTUP -> AUTH -> LOGIN -> READY -> CLOSING
 *        \___________________________________________________^
 *
 * STARTUP: a startup packet is awaited. AUTH: pool/login.c proves who it is; identity is written once.
 * LOGIN: authenticated, and waiting for a link that tells what the server's parameters are. READY:
 * statements are taken; `link` is the server connection while one is lent.
 */
#ifndef POOL_SESSION_H
#define POOL_SESSION_H

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "base/map.h"
#include "pool/conn.h"
#include "pool/engine.h"

struct admin;
struct link;
struct login;
struct pool;
struct report;
struct settings;
struct startup;
struct statement;

enum session_state {
    SESSION_STARTUP,
    SESSION_TLS,
    SESSION_AUTH,
    SESSION_LOGIN,
    SESSION_READY,
    SESSION_CLOSING,
};

/* What becomes of the rest of a message's body as it arrives. */
enum body_fate { BODY_FORWARD, BODY_DISCARD };

struct session {
    struct conn conn;
    enum session_state state;
    struct link *link;
    struct pool *pool;         /* NULL until AUTH has ended; write-once */
    struct list waiting;       /* in pool->waiting while it has asked for a link */
    struct settings *settings; /* what it wants */
    struct login *login;       /* NULL once READY */
    struct admin *admin;       /* of the admin database; then pool is NULL */
    struct map statements;     /* prepared, by name */
    struct statement *unnamed;
    struct origin origin;
    uint8_t cancel_key[32];
    uint32_t protocol; /* minor version: 0 or 2 */

    enum body_fate body_fate;
    uint32_t body_left;

    bool tls, tls_asked, gss_asked;
    bool counted;      /* in max_clients */
    bool gone;         /* the client has closed: finish what it asked for, then end */
    bool skipping;     /* no link, and an error was told: skip to Sync */
    bool terminated;   /* it has said Terminate */
    bool replication;
    bool query_is_read;    /* what runs now may be cancelled when the client is gone */
    bool in_transaction_error; /* reserved for what is played without a link */
    bool cancel_sent;
    uint64_t connected_us, active_us; /* active: of the last message */
    uint64_t wait_from_us, query_from_us, transaction_from_us, gone_us;
};

/* A session for a client that was just accepted; NULL when memory or handles are out. */
struct session *session_new(struct engine *engine, const struct origin *origin);

void session_event(struct engine *engine, struct session *session, const struct event *event);
void session_bytes(struct engine *engine, struct session *session, struct block *block,
                   uint8_t *bytes, uint32_t len);
void session_timer(struct engine *engine, struct session *session);

/* Goes on with what is held, after a link has come, room was made, or a Sync was answered. */
void session_resume(struct engine *engine, struct session *session);

/* The startup packet and authentication (pool/login.c). */
void login_packet(struct engine *engine, struct session *session, const uint8_t *packet,
                  uint32_t len);
void login_message(struct engine *engine, struct session *session, const uint8_t *body,
                   uint32_t body_bytes);
void login_secret(struct engine *engine, struct session *session,
                  const struct secret_answer *answer);
void login_derived(struct engine *engine, struct session *session, const uint8_t *keys);
void login_tls(struct engine *engine, struct session *session, const struct tls_facts *facts);
void login_timer(struct engine *engine, struct session *session);
void login_free(struct engine *engine, struct session *session);

/* A link was lent to the session, with the session's settings applied. */
void session_link_ready(struct engine *engine, struct session *session);

/* The link's ReadyForQuery with nothing due behind it was passed on. */
void session_idle(struct engine *engine, struct session *session);

/* The line was left without a link: an ErrorResponse (whole message body, from a server), or a code
 * of ours. The session lives on when it was READY. */
void session_refuse(struct engine *engine, struct session *session, const struct report *report,
                    const uint8_t *body, uint32_t body_bytes);

/* Tells an error and closes. */
void session_fail(struct engine *engine, struct session *session, const struct report *report);

/* Tells an error, nothing more. */
void session_report(struct engine *engine, struct session *session, const struct report *report);

/* Ends the session: its link is abandoned, its socket closed. */
void session_close(struct engine *engine, struct session *session);

/* The second phase: the socket is gone. */
void session_closed(struct engine *engine, struct session *session);

/* The messages that greet a client: AuthenticationOk was sent; parameters, key, ReadyForQuery. */
void session_welcome(struct engine *engine, struct session *session, struct settings *baseline,
                     struct settings *canonical);

/* Extended query (pool/extended.c). True: taken; false: it must wait, or the session is closing. */
bool extended_parse(struct engine *engine, struct session *session, struct block *block,
                    uint8_t *message, uint32_t body_bytes);
bool extended_bind(struct engine *engine, struct session *session, struct block *block,
                   uint8_t *message, uint32_t body_bytes, uint32_t have_bytes);
bool extended_describe(struct engine *engine, struct session *session, struct block *block,
                       uint8_t *message, uint32_t body_bytes);
bool extended_close(struct engine *engine, struct session *session, struct block *block,
                    uint8_t *message, uint32_t body_bytes);

#endif
