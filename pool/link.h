/* A link: one connection to a server, from dial to close.
 *
 *    DIALING -> TLS_ASK -> TLS -> LOGIN -> IDLE <-> LENT -> ... -> CLOSING
 *        \________________________/^        ^        |
 *                                           +- RESET <+   (session mode's end, a client that died)
 *    any -> CLOSING
 *
 * IDLE links belong to their pool. A LENT link has an owner and a ledger of replies due; it goes
 * back only through the release gate (link_may_release): no reply due, last status 'I', no COPY,
 * nothing half read or half written, no cancel under way, settings known.
 */
#ifndef POOL_LINK_H
#define POOL_LINK_H

#include <stdbool.h>
#include <stdint.h>

#include "base/limits.h"
#include "base/list.h"
#include "pool/conn.h"
#include "pool/due.h"
#include "pool/heal.h"
#include "pool/statement.h"

struct derivation;
struct engine;
struct event;
struct hub;
struct link_login;
struct pid_holds;
struct pool;
struct question;
struct session;
struct settings;
struct stand_in;
struct tls_facts;

enum link_state {
    LINK_DIALING,
    LINK_TLS_ASK, /* SSLRequest sent, one byte awaited */
    LINK_TLS,     /* handshake under way */
    LINK_LOGIN,
    LINK_IDLE,
    LINK_LENT,
    LINK_RESET, /* cleaning up: ROLLBACK, DISCARD ALL */
    LINK_CLOSING,
};

/* Of no pool: it leads elsewhere than to what was probed, and is not lent again (pool/follow.h). */
#define LINK_NO_TERM UINT64_MAX

struct link {
    struct conn conn;
    enum link_state state;
    struct pool *pool;
    struct list in_pool;
    struct session *owner; /* while LENT; NULL when the client died and its statement still runs */
    struct due due;
    struct heal heal; /* what its session has sent that is not answered */
    char status;      /* of the last ReadyForQuery: 'I', 'T', 'E' */
    bool setup;       /* settings are being applied for the owner */
    bool setup_failed;
    bool lacks_settings; /* of the owner's: they go ahead of its first message (pool/apply.h) */
    bool used;           /* in this lease */
    bool told;           /* in this lease its client has got bytes of the server's */
    bool pinned;         /* counts in the account's pinned, not in its total */
    bool may_pin;        /* counts in both: its session has run what is likely to pin it */
    bool granted;        /* made or moved here for a ticket of this worker */
    bool terminated;     /* the server has said FATAL */
    bool end_told;       /* and so was its client, or who has waited for it */
    bool killed;         /* and that it was told to end: 57P01 */
    bool doubted;        /* it may have been told to end, and is held until it has answered */
    bool beside;         /* it stands for a client, and does not count in the pool's size */
    bool replication;
    bool erred;           /* an ErrorResponse came since this was last cleared */
    bool ends_failed;     /* what has run in a failed transaction since: its end */
    bool unsynced;        /* extended-query messages were sent and no Sync since */
    bool query_timed_out; /* the cancel under way is query_timeout's */
    bool spoilt;          /* holds what its last session alone knows of: not lent again */
    bool client_body;  /* the client's message was sent in part: nothing may follow but its rest */
    bool session_used; /* session mode: must be reset before the next client */
    uint64_t sequenced_by; /* whose currval and lastval are there (pool/sequence.h) */
    bool listens;          /* what a session has listened to, and another link listens to by now */
    bool begun;            /* behind the last ReadyForQuery a deferred BEGIN was sent */
    bool sift;             /* with DUE_SIFT: the last CommandComplete was that of an UNLISTEN */
    uint32_t synthesised;  /* messages made up for the client in this lease */
    uint32_t epoch;
    uint32_t host;        /* its server's account's number: a reload may give its pool another */
    uint32_t incarnation; /* of a replica, when it was dialed (router/nodes.h) */
    uint64_t term;        /* of its pool when it was dialed, or LINK_NO_TERM */

    /* The server's message that is passing through. */
    uint32_t body_left;
    bool body_forward;

    struct settings *settings; /* what differs from the baseline; NULL before login has ended */
    struct settings *settings_before; /* while settings are applied: what holds if that fails */
    struct settings *baseline;
    struct link_statements statements;
    struct statement *unnamed; /* what the unnamed statement is there; NULL = not known */
    bool no_unnamed;           /* it is known that there is none */
    struct hub *hub;           /* it listens for others (pool/listen.h); NULL = it does not */
    struct question *question; /* about its owner's state, under way; NULL = none */
    uint8_t *deferred_error;   /* of a failed setup: the ErrorResponse's body; NULL = none */
    uint32_t deferred_error_bytes;

    uint32_t backend_pid;
    uint8_t cancel_key[LIMIT_CANCEL_KEY_BYTES];
    uint32_t cancel_key_bytes;
    uint32_t cancellers;       /* CancelRequests under way */
    uint32_t cancels;          /* these, and what pool/pid_hold.h counts; not lent on meanwhile */
    struct pid_holds *holds;   /* what its statements signal; NULL = nothing */
    struct stand_in *stand_in; /* for whom it stands; NULL = for nobody */

    uint64_t connected_us, ready_us, used_us, expires_us; /* ready: logged in */
    struct link_login *login;                             /* while not yet IDLE */
    struct tls_brief {
        char version[16], cipher[64];
        uint8_t end_point[64];
        uint32_t end_point_bytes;
        bool on;
    } tls;
    char address[LIMIT_ADDRESS_BYTES]; /* to connect to, then connected to; "" = none, not known */
};

/* Dials a new link for the pool; its place is already taken in the accounts and is given back if
 * this fails. NULL when memory is out. */
struct link *link_dial(struct engine *engine, struct pool *pool, struct session *for_replication);

/* The socket's events. */
void link_event(struct engine *engine, struct link *link, const struct event *event);
void link_bytes(struct engine *engine, struct link *link, struct block *block, uint8_t *bytes,
                uint32_t len);
void link_timer(struct engine *engine, struct link *link);

/* Less than LIMIT_TX_LOW_BYTES are unsent. */
void link_sent(struct engine *engine, struct link *link);

/* The login dialogue (pool/link_login.c). */
void link_login_start(struct engine *engine, struct link *link);
void link_login_tls(struct engine *engine, struct link *link, const struct tls_facts *facts);
void link_login_bytes(struct engine *engine, struct link *link, struct block *block, uint8_t *bytes,
                      uint32_t len);

/* The login has failed: remembered for those who wait, who are told. */
void link_login_failed(struct engine *engine, struct link *link, int code, const char *detail);
void link_login_derived(struct engine *engine, struct link *link, const uint8_t *keys);
bool link_login_derivation(const struct link *link, struct derivation *ret_derivation);
void link_login_free(struct link *link);

/* Server to client (pool/relay.h). */
void relay_bytes(struct engine *engine, struct link *link, struct block *block, uint8_t *bytes,
                 uint32_t len);

/* Sends to the server. */
void link_send(struct engine *engine, struct link *link, struct block *block, uint8_t *bytes,
               uint32_t len);
void link_write(struct engine *engine, struct link *link, const void *bytes, uint32_t len);

/* Has the server say what it has answered so far, unless it is asked to already. */
void link_flush(struct engine *engine, struct link *link);

/* Enters a reply due; closes the link (and its client) when the ledger can take no more. */
bool link_due(struct engine *engine, struct link *link, enum due_what what, enum due_kind kind,
              uint8_t flags);
bool link_due_entry(struct engine *engine, struct link *link, const struct due_entry *entry);

/* The same for a Parse, a Bind and an Execute of ours, that often, each marked `like` that; their
 * replies are swallowed. */
bool link_due_executed(struct engine *engine, struct link *link, uint32_t times,
                       struct due_entry like);

/* The login is done, a reset has ended, or a lease is over: to whom it may concern. */
void link_ready(struct engine *engine, struct link *link);

/* Everything that was received is dealt with: the owner is told when nothing is due any more. */
void link_after_reply(struct engine *engine, struct link *link);

/* The release gate. Asserted again when the link is lent. */
static inline bool link_may_release(const struct link *link)
{
    uint32_t open = link->due.count | link->body_left | link->conn.held_len | link->conn.tx.bytes |
                    link->cancels;
    bool busy = link->unsynced | link->due.skipping | link->due.copy_in | link->due.copy_both |
                link->setup | link->terminated | link->conn.closing;
    return open == 0 && !busy && link->status == 'I';
}

/* Whether the transaction there has failed. What the server has run without an error since the last
 * ReadyForQuery that said so can only have ended it, or gone back to a savepoint. */
static inline bool link_has_failed(const struct link *link)
{
    return link->status == 'E' && !(link->unsynced && link->ends_failed);
}

/* Whether bytes of ours can follow what the link's client has got: no message is half sent. */
static inline bool link_client_at_boundary(const struct link *link)
{
    return link->body_left == 0 || !link->body_forward;
}

/* Takes the link from its owner: to the pool if the gate lets it, else it is cleaned or closed. */
void link_release(struct engine *engine, struct link *link);

/* The same where link_may_release has just said yes. */
void link_give_back(struct engine *engine, struct link *link);

/* The client is gone: lets what runs end, rolls back, then releases. */
void link_abandon(struct engine *engine, struct link *link);

/* A CancelRequest for it has ended. */
void link_canceller_ended(struct engine *engine, struct link *link);

/* Ends a link that is in no list and has no owner. */
void link_end(struct engine *engine, struct link *link);

/* Closes. An owner is told by a FATAL error `code` with `detail`, unless the server has already
 * said why, and is closed too. */
void link_fail(struct engine *engine, struct link *link, int code, const char *detail);

/* link_due for what the client asks and gets the answer to as it is. */
static inline bool link_due_forward(struct engine *engine, struct link *link, enum due_what what)
{
    int code = due_push_plain(&link->due, (uint8_t)what, DUE_FORWARD, 0);
    link->used = true;
    if (code != 0) {
        link_fail(engine, link, code, "too many replies are due");
    }
    return code == 0;
}

/* The second phase: the socket is gone. */
void link_closed(struct engine *engine, struct link *link);

/* The Sync behind the owner's settings was answered: the session goes on, or is refused. */
void link_setup_ended(struct engine *engine, struct link *link);

/* RESET ALL was done there. */
void link_settings_reset(struct engine *engine, struct link *link);

/* Applies the owner's settings where they differ. True when the link suits already. */
bool link_setup(struct engine *engine, struct link *link);

/* The same as a part of what is sent next (pool/apply.h). False: the link has failed. */
bool link_setup_ahead(struct engine *engine, struct link *link);

/* Settings that were applied, or travelled, hold now, or (`failed`) those of before. */
void link_settings_settle(struct engine *engine, struct link *link, bool failed);

/* Drops pending entries of the ledger up to the next Sync, undoing what they would have changed. */
void link_skip_to_sync(struct engine *engine, struct link *link);

/* Behind link_skip_to_sync: nobody hears the ReadyForQuery of the Sync; if none was sent, one is.
 * False: the link has failed. */
bool link_swallow_sync(struct engine *engine, struct link *link);

/* An entry has been answered. */
void link_entry_done(struct engine *engine, struct link *link, const struct due_entry *entry);

/* The owner's prepared statement is gone; duplicates further on in the ledger forget it. */
void link_remove_named(struct engine *engine, struct link *link, struct session_statement *named);

/* What the unnamed statement is at the server is not known any more. */
void link_unnamed_unknown(struct engine *engine, struct link *link);

/* DISCARD ALL or DEALLOCATE ALL was done: the prepared statements of client and link are gone, but
 * for those whose Parse the server has yet to answer. */
void link_forget_statements(struct engine *engine, struct link *link);

/* Sends synthesised answers that have come to the head of the ledger. */
void link_synthesise(struct engine *engine, struct link *link);

/* Notes a reported parameter of the server. */
void link_parameter(struct engine *engine, struct link *link, const char *name, const char *value);

void link_free(struct engine *engine, struct link *link);

#endif
