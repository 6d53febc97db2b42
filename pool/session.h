/* A session: one client, from its first byte to its last.
 *
 *    STARTUP -> TLS -> STARTUP -> AUTH -> LOGIN -> READY -> CLOSING
 *        \___________________________________________________^
 *         \-> CANCEL ----------------------------------------^
 *
 * STARTUP: a startup packet is awaited. AUTH: pool/login.c proves who it is; identity is written
 * once. LOGIN: authenticated, and waiting for a link that tells what the server's parameters are.
 * READY: statements are taken; `link` is the server connection while one is lent.
 */
#ifndef POOL_SESSION_H
#define POOL_SESSION_H

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "base/map.h"
#include "pool/conn.h"
#include "pool/due.h"
#include "pool/engine.h"
#include "pool/statement.h"
#include "router/plan.h"

struct admin;
struct link;
struct link_statement;
struct listener;
struct login;
struct names;
struct own;
struct pool;
struct report;
struct routing;
struct setting;
struct settings;
struct startup;

enum session_state {
    SESSION_STARTUP,
    SESSION_TLS,
    SESSION_AUTH,
    SESSION_LOGIN,
    SESSION_READY,
    SESSION_CANCEL, /* it carried a CancelRequest, and ends when the server has that */
    SESSION_CLOSING,
};

/* A transaction that no server knows of (pool/deferred_begin.h). */
enum session_begin {
    BEGIN_NONE,
    BEGIN_DEFERRED, /* the client is in a transaction: BEGIN goes with its first statement */
    BEGIN_FAILED,   /* that could not be sent: the client is in a failed transaction */
};

/* What becomes of the rest of a message's body as it arrives. */
enum body_fate { BODY_FORWARD, BODY_DISCARD };

struct session {
    struct conn conn;
    enum session_state state;
    struct link *link;
    struct pool *pool;            /* the primary's; NULL until AUTH has ended; write-once */
    struct pool *lender;          /* where it asks for links: that, or a replica's (pool/route.h) */
    struct list waiting;          /* in pool->waiting while it waits, or in engine->resumable */
    struct settings *settings;    /* what it wants */
    struct settings *startup;     /* what it asked for at its startup: RESET goes back to it */
    struct settings *custom;      /* names of custom settings ("a.b") that it has used */
    struct login *login;          /* NULL once READY */
    struct settings *login_asked; /* in LOGIN: the settings whose canonical spelling is awaited */
    struct admin *admin;          /* of the admin database; then pool is NULL */
    struct listener *listener;    /* NULL: it does not listen */
    struct session_statements statements; /* prepared */
    uint32_t name_uses;                   /* struct session_statement, used */
    struct statement *unnamed;
    struct routing *routing; /* pool/route.h; NULL: the database has one server */
    struct own *own;         /* howdah.* settings, and what else is answered here; NULL until one */
    struct names *names;     /* of statements that name statements (pool/names.h); NULL until one */
    struct origin origin;
    uint8_t cancel_key[32];
    uint32_t protocol; /* minor version: 0 or 2 */
    uint32_t pid;      /* its virtual pid: pool/pid.h */

    enum body_fate body_fate;
    uint32_t body_left;

    bool tls, tls_asked, gss_asked;
    bool counted;       /* in max_clients */
    bool waits;         /* has asked for a link */
    bool blocked;       /* the ledger is full */
    bool gone;          /* the client has closed: finish what it asked for, then end */
    bool skipping;      /* no link, and an error was told: skip to Sync */
    bool guarded;       /* rules may refuse what it says: its pool's `refuses` */
    bool refused;       /* with skipping: the first message held is the one that was refused */
    bool terminated;    /* it has said Terminate */
    bool detours;       /* with a link: a replica's; or it is of the admin database */
    bool owns_link;     /* session mode as it was at login, or replication: for the whole session */
    bool virtual_names; /* of prepared statements; as it was at login */
    bool discards;      /* DISCARD ALL, or our DEALLOCATE ALL as it is, was sent */
    bool ahead;         /* its query waits for what it executes to be prepared on the link */
    bool ahead_refused; /* that has failed, and the client has been told */
    bool batch_writes;  /* a Bind since the last ReadyForQuery was of no known read */
    bool keeps_named, keeps_unnamed; /* a statement too large to be stored is on its link */
    bool deaf;                       /* its socket has failed: what it would be told is dropped */
    bool replication;
    uint32_t touched; /* enum plan_touch: what the server is to be asked about (pool/state.h) */
    struct settings *restores; /* of the startup's, to be set again behind a RESET; or NULL */
    struct settings *restored; /* what was so sent last and not been told yet; or NULL */
    uint8_t begin;             /* enum session_begin */
    struct plan_modes begin_modes;
    bool resets_custom;      /* a custom setting was reset, or all, amid a query: pool/state.c */
    bool restores_local;     /* until the transaction ends */
    bool restored_local;     /* the same of what was sent last */
    uint8_t restores_late;   /* enum restore_late: pool/restore.h */
    struct plan *plain_plan; /* of the unnamed statement, where none are kept; a reference */
    struct plan *set_alone;  /* of the one SET under way outside a transaction; a reference */
    uint32_t pins;           /* PIN_*: why the session keeps its link */
    bool asks_sequences;     /* it has called currval or lastval */
    uint8_t ends;            /* ENDS_*: pool/outcome.h */
    bool ends_prepared;      /* in session mode: what may end a transaction has a name */
    uint8_t refused_pin;     /* of the statement at hand: pool/pin_limit.h; 0 = it may run */
    bool checks_state;       /* pool/state_check.h */
    bool changes_facts;      /* its transaction has DDL in it: pool/pool_facts.h */
    bool ran;                /* a statement was sent since the server was last asked */
    bool alters;             /* its transaction has changed the catalog: pool/prepare.h */
    bool notifies;           /* its transaction has NOTIFY in it */
    bool unlistens;          /* the statement that is being sent has UNLISTEN in it */
    bool healed;             /* what it has sent is being sent again: pool/heal.h */
    bool query_is_one;  /* the simple query that was sent last is one statement with one name */
    bool ready_held;    /* a ReadyForQuery waits for pool/listen.h; nothing is taken meanwhile */
    bool query_is_read; /* what was sent last */
    bool ran_others;    /* since its link was idle something was sent that is no read */
    bool cancel_sent;
    uint16_t plan_slot;               /* where the plan of its last query was found: plan_known */
    uint64_t connected_us, active_us; /* active: of the last message */
    uint64_t wait_from_us, query_from_us, transaction_from_us, gone_us;
    uint64_t pinned_us;    /* since when it is pinned; 0 = it is not */
    uint64_t rules_serial; /* of the rules at its login: pool/firewall.h */
    char *vacates;         /* the database that its statement wants to be left; NULL = none */
    uint64_t vacates_from_us;
};

/* A session for a client that was just accepted; NULL when memory or handles are out. */
struct session *session_new(struct engine *engine, const struct origin *origin);

/* The connection's part of the engine's events: what the shell tells of it (event), bytes from the
 * client, which lie in `block` (bytes), and its timer. Each may close the session; it is freed by
 * EVENT_CLOSED alone. */
void session_event(struct engine *engine, struct session *session, const struct event *event);
void session_bytes(struct engine *engine, struct session *session, struct block *block,
                   uint8_t *bytes, uint32_t len);
void session_timer(struct engine *engine, struct session *session);

/* Its link is about to end, and with it all that the session had there. */
void session_unlink(struct session *session);

/* The same where it had nothing there, and all is answered: its client notices nothing. */
void session_spared(struct engine *engine, struct session *session);

/* Whether the session has a link that takes statements now; asks for one when it has none. */
bool session_need_link(struct engine *engine, struct session *session);

/* A link that was needed only for the greeting goes back. */
void session_release_unused(struct engine *engine, struct session *session);

/* Goes on with what is held, after a link has come, room was made, or a reply was completed.
 * session_resume_later puts it into engine->resumable: the engine resumes it at the end of the
 * step, so that one session's progress never runs inside another's. */
void session_resume(struct engine *engine, struct session *session);
void session_resume_later(struct engine *engine, struct session *session);

/* A statement opened a transaction block in statement mode: an error, a rollback, and on. */
void session_refuse_transaction(struct engine *engine, struct session *session);

/* The server has more for a client that can't hear it: what runs is canceled, as in a backend that
 * can't send. */
void session_unheard(struct engine *engine, struct session *session);

/* Nothing more will come from the client; what it asked for is finished first. */
void session_end_of_input(struct engine *engine, struct session *session);

/* Whether protocol-level prepared statements have virtual names: not when a session owns a link. */
bool session_virtual_statements(const struct session *session);

/* The startup packet and authentication (pool/login.c). The take functions return how many bytes
 * they took, or 0 with *ret_whole = how many they need to see together. */
uint32_t login_take_packet(struct engine *engine, struct session *session, uint8_t *at,
                           uint32_t have, uint32_t *ret_whole);
uint32_t login_take_message(struct engine *engine, struct session *session, uint8_t *at,
                            uint32_t have, uint32_t *ret_whole);
void login_secret(struct engine *engine, struct session *session,
                  const struct secret_answer *answer);
void login_os_user(struct engine *engine, struct session *session, const char *name);
void login_derived(struct engine *engine, struct session *session, const uint8_t *keys);
bool login_derivation(const struct session *session, struct derivation *ret_derivation);
void login_tls(struct engine *engine, struct session *session, const struct tls_facts *facts);
void login_timer(struct engine *engine, struct session *session);
void login_free(struct engine *engine, struct session *session);

/* A link was lent to the session, with the session's settings applied. */
void session_link_ready(struct engine *engine, struct session *session);

/* The link's ReadyForQuery with nothing due behind it was passed on. */
void session_idle(struct engine *engine, struct session *session);

/* All that was sent on the session's link is written, and nothing is due on it. */
void session_link_drained(struct engine *engine, struct session *session);

/* The line was left without a link: an ErrorResponse (whole message body, from a server), or a code
 * of ours. The session lives on when it was READY. */
void session_refuse(struct engine *engine, struct session *session, const struct report *report,
                    const uint8_t *body, uint32_t body_bytes);

/* Tells an error, unless the client has half of another message, and closes. */
void session_fail(struct engine *engine, struct session *session, const struct report *report);

/* The same where memory is out. Returns false, for callers that do. */
bool session_no_memory(struct engine *engine, struct session *session);

/* Tells an error, nothing more. */
void session_report(struct engine *engine, struct session *session, const struct report *report);

/* The process ends: the session does so as soon as it is in no transaction. */
void session_drain(struct engine *engine, struct session *session);

/* Ends the session: its link is abandoned, its socket closed. */
void session_close(struct engine *engine, struct session *session);

/* The second phase: the socket is gone. */
void session_closed(struct engine *engine, struct session *session);

/* The messages that greet a client: AuthenticationOk was sent; parameters, key, ReadyForQuery. */
void session_welcome(struct engine *engine, struct session *session, struct settings *baseline,
                     struct settings *canonical);

/* The client is told a parameter's value, as if the server reported it. */
void session_tell_parameter(struct engine *engine, struct session *session,
                            const struct setting *parameter);

/* Takes a message of the client's, of which `have` bytes are here: they are sent to its link (the
 * entry in the ledger is the caller's), or dropped; so is the rest as it comes. */
void session_forward(struct engine *engine, struct session *session, struct block *block,
                     uint8_t *message, uint32_t total, uint32_t have);
uint32_t session_discard(struct session *session, uint32_t total, uint32_t have);

/* Append to the engine's scratch: a ReadyForQuery, a CommandComplete, a message without a body. */
void session_write_ready(struct engine *engine, char status);
void session_write_tag(struct engine *engine, const char *tag);
void session_write_empty(struct engine *engine, char type);

/* The session has no unnamed statement any more: a simple query, a Parse of another, or a Close has
 * ended what it was. */
void session_drop_unnamed(struct engine *engine, struct session *session);

/* Whether it stands in line for a link, or waits for a replica (pool/route_wait.h). */
bool session_is_waiting(const struct session *session);

/* Extended query with virtual names (pool/extended.c); the link is there. True: the whole message
 * was taken; false: the session is closing. */
bool extended_parse(struct engine *engine, struct session *session, struct block *block,
                    uint8_t *message, uint32_t body_bytes);
bool extended_describe(struct engine *engine, struct session *session, struct block *block,
                       uint8_t *message, uint32_t body_bytes);
bool extended_close(struct engine *engine, struct session *session, struct block *block,
                    uint8_t *message, uint32_t body_bytes);

/* Whether what is under way may yet fail the transaction, or end it: until then nobody but the
 * server knows what becomes of what is sent behind it. */
bool extended_status_is_open(const struct link *link);

/* A statement is sent: what is counted and timed. */
void session_query_begins(struct engine *engine, struct session *session);

/* Why a Bind that is here whole may not run (pool/pin_limit.h); 0: it may. */
uint8_t extended_bind_refused(struct engine *engine, const struct session *session,
                              const uint8_t *message, uint32_t body_bytes);

/* A server has prepared it. */
void session_statement_proven(struct engine *engine, const struct pool *pool,
                              const struct link_statement *prepared);

/* A Parse of a text that servers are known to accept needs none: it is answered at once, so that a
 * client never waits in line only to prepare. False when it needs a link. */
bool extended_parse_known(struct engine *engine, struct session *session, const uint8_t *message,
                          uint32_t body_bytes);

/* A Parse or Bind that will pass as it is: notes what its statement may leave (session_plain.c).
 * False: *ret_whole is how many bytes it needs to see together (else the link has failed). */
bool session_note_plain(struct engine *engine, struct session *session, const uint8_t *message,
                        uint32_t total, uint32_t have, uint32_t *ret_whole);

/* In session mode, a Parse of which `len` bytes of the body are here: notes what a statement leaves
 * that nobody can take away, and what it wants of others. */
void session_note_owned(struct engine *engine, struct session *session, const uint8_t *body,
                        uint32_t len);

/* Needs only the names at the message's front; the rest passes on as it comes. Returns the bytes
 * taken, or 0 with *ret_whole = how many it needs to see together. */
uint32_t extended_bind(struct engine *engine, struct session *session, struct block *block,
                       uint8_t *message, uint32_t body_bytes, uint32_t have, uint32_t *ret_whole);

#endif
