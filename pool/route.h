/* Routing: whether what a session sends next runs at the primary or may be read from a replica.
 *
 * Asked when a session without a link needs one, with what it has sent so far: a simple query, or
 * the messages of an extended one up to and with their Sync. Only if all of that is proven to read
 * and nothing else, by the catalog's facts, it may go to a replica; so a batch is taken whole, and
 * what comes behind it is asked about anew:
 *
 *    route_ask       session->lender = the pool of the replica; `left` = the batch's bytes
 *    lend_ask        a link of that pool, or the session waits in its line
 *    route_take      the batch goes there; nothing behind it, until
 *    ReadyForQuery   the link goes back, and the next batch is asked about
 *
 * What a replica must have replayed to be read is router/causal.h's; which of those that have is
 * chosen, is balance's, and pool/route_stay.h's for a session that stays at one. Where none may be
 * read the primary answers, or the session waits for one first (pool/route_wait.h).
 *
 * A transaction whose BEGIN is still deferred may read there, too, each statement on its own, as
 * READ COMMITTED has a snapshot for each (routing.transaction_reads, and READ ONLY). No server
 * knows of the transaction then; the first statement that is anything else sends its BEGIN to the
 * primary, and it stays there. What would show the difference stays away from replicas: now() and
 * its kin, cursors, portals that outlive their batch. REPEATABLE READ READ ONLY is a replica's as a
 * whole (pool/route_whole.h).
 *
 * A replica can fail where a primary would not: it cancels reads that hold up its replay (40001),
 * ends (57P01), or lacks what is not replicated (unlogged tables: 0A000), or what the session's
 * settings name (a locale, a role that it has not replayed yet). If the client has heard nothing of
 * the batch yet, it is put back and sent to the primary. Who has refused settings is left out for a
 * while by the session that has them.
 */
#ifndef POOL_ROUTE_H
#define POOL_ROUTE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "pool/link.h"
#include "pool/outcome.h"
#include "pool/session.h"
#include "router/causal.h"
#include "router/route.h"

struct engine;
struct plan;
struct report_fields;

/* Replicas that have refused a session's settings: they are not asked again while it has these. */
struct route_refusers {
    uint64_t settings; /* a hash of these */
    uint64_t until_us; /* what they name may have been made there by then */
    uint32_t nodes;    /* bits */
};

/* Of a session whose database has replicas. */
struct routing {
    struct causal causal;
    struct list late;        /* in engine->late while it waits: pool/route_wait.h */
    struct session *session; /* whose it is, while it waits */
    uint64_t late_us;        /* until when a read may wait for a replica; 0: it did not have to */
    uint64_t opened_us;      /* of a link that was opened too late for it; 0: there was none */
    uint32_t left;    /* bytes of the batch at hand that were not taken with the replica's link */
    uint32_t mute;    /* messages that the client has had already: they are not told again */
    uint8_t node;     /* of the replica that it asks */
    bool strict;      /* the batch must see what the session has seen */
    bool checked;     /* the link shows enough */
    bool again;       /* the primary is to answer what a replica couldn't */
    bool reads;       /* it reads, so where a replica has to be is asked for at each write */
    bool unnoted;     /* it has seen something while nobody counted */
    bool whole;       /* its transaction is the replica's: pool/route_whole.h */
    bool ending;      /* what may end that was sent */
    bool bound;       /* to its unnamed portal: what may end that, once it is executed */
    bool chained;     /* and another one has begun, in which nothing was done */
    bool strays;      /* such a transaction has had to fail: the next ones are the primary's */
    uint8_t home;     /* where strict reads stay, pool/route_stay.h; or NODES_NONE */
    uint8_t to;       /* for where it is leaving that; or NODES_NONE */
    uint8_t tries;    /* reads after which it goes there by way of the primary */
    uint64_t look_us; /* when it looks at another one */
    uint64_t look_reads; /* since it has looked last: what its host had been given then */
    uint32_t own_reads;  /* and its own reads at home */
    struct route_refusers refusers;
    enum route last;
};

/* For a session that has its pool. False when memory is out. */
bool route_begin(struct session *session);

/* Its pool has new options: an open session of one that has others to read from by now is asked
 * about from now on. */
void route_reloaded(struct engine *engine, struct session *session);
void route_free(struct session *session);

/* Chooses session->lender for what is at `at`, for a session that has no link and doesn't wait.
 * False: *ret_whole bytes must be seen together first. */
bool route_ask(struct engine *engine, struct session *session, const uint8_t *at, uint32_t have,
               uint32_t *ret_whole);

/* Whether the session, which waits for a replica, would get one now. */
bool route_is_served(struct engine *engine, struct session *session);

/* The session was told an error: what it has sent goes nowhere. */
void route_refused(struct session *session);

/* Where a statement with this plan would go if the session, which is in no transaction, sent it
 * now; with ROUTE_REPLICA also which server of the database that is. */
enum route route_explain(struct engine *engine, struct session *session, struct plan *plan,
                         uint32_t *ret_node);

/* The session has a link of a replica's: how many bytes from `at` on it may be sent, at most
 * `have`. 0: nothing now, or *ret_whole bytes must be seen together first. */
uint32_t route_may_send(struct engine *engine, struct session *session, const uint8_t *at,
                        uint32_t have, uint32_t *ret_whole);

/* So many were taken. */
void route_sent(struct session *session, uint32_t bytes);

/* A ReadyForQuery has come for the link's session. Returns the status that the session is to be
 * told: a read at a replica is outside of the transaction that the client is in. */
uint8_t route_ready(struct engine *engine, struct link *link, uint8_t status);

/* Whether what the session executes now may be committed, and told, before the ReadyForQuery that
 * belongs to it: its CommandCompletes are to be noted (DUE_NOTE). */
static inline bool route_notes(const struct session *session)
{
    return session->routing != NULL && session->lender == session->pool &&
           ((session->ends & (ENDS_MAYBE | ENDS_ITSELF)) != 0 || session->ends_prepared);
}

/* Such a CommandComplete, which the client has not had yet. */
void route_completed(const struct engine *engine, const struct session *session);

/* The session was told of a commit by a notification: what it reads from now on shows that. */
void route_heard(struct engine *engine, struct session *session);

/* The link's session is told an error: if it reads for a transaction, that has failed. */
void route_erred(struct link *link);

/* The pool of a session that waits there can make no link now, because of an error: the session
 * asks at the primary. False: that is where it asks. */
bool route_turns_back(struct engine *engine, struct session *session);

/* Whether an error that the link's session would be told is one that the primary might not have:
 * then the ledger is to be skipped to the Sync, and route_again called. */
bool route_can_again(const struct link *link, const struct report_fields *fields);
void route_again(struct engine *engine, struct link *link);

/* The same where it is the session's settings that the replica has refused. */
void route_again_without(struct engine *engine, struct link *link);

/* Whether the link is a replica's, and its session could go on without it: the client has heard
 * nothing of what is under way there. */
bool route_may_survive(const struct link *link);

/* The link is lost. True: its session goes on without it. */
bool route_survives(struct engine *engine, struct link *link);

/* The link's server has refused its session's settings, which are the link's first. True: it was a
 * replica, which may lack what they name, and its session goes on without it. */
bool route_does_without(struct engine *engine, struct link *link);

/* Whether some of what the server says now was told already. */
static inline bool route_mutes(const struct link *link)
{
    const struct routing *routing = link->owner == NULL ? NULL : link->owner->routing;
    return routing != NULL && routing->mute > 0;
}

/* Whether a message of this type, which the server sends or which is made up, was told already. */
bool route_is_muted(struct session *session, uint8_t type);

#endif
