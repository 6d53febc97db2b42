/* What causal reads count by: polls of one database's servers, numbered before they are sent.
 *
 * The control thread polls (daemon/prober.h), all engines read and ask; one object per watched
 * database, the same one for as long as that database has several servers: numbers go on growing
 * over a change of the primary, and over a reload that changes the servers. It needs no lock, and
 * nobody ever waits here.
 *
 * The rule (read your writes). When a server's acknowledgement of a write has been read, and before
 * the client gets it,
 *
 *     need = ticks_next()                  the number of the first poll of the primary that is
 *                                          *sent* after now
 *     ticks_bound(need) = LSN              what that poll answers covers the write; until it is
 *                                          there (false) the session reads at the primary
 *     ticks_replayed(node).lsn >= LSN      then any connection to this replica shows the write,
 *                                          if it was opened before the replica was asked (asked_us)
 *                                          and is of the same incarnation (router/nodes.h)
 *
 * The first poll *answered* after the write would be wrong, for it may have been asked before it. A
 * session's bound is the LSN of *its* poll, not of the newest: under constant writes the newest is
 * always ahead of every replica. So the last TICKS_KEPT are kept; who asks for an older one gets
 * the oldest that is, which is more than needed, and so not wrong. A poll that failed has the
 * answer of the next one that didn't. `strong` reads take ticks_strong() for their need.
 *
 * Monotonic reads. When the answer of a read at replica R has been read, and before the client gets
 * it, need_r = ticks_next_at(R), with R's incarnation. Until ticks_replayed(R) has a number >=
 * need_r in the same incarnation, only R or the primary may be read; with it, its LSN is a bound as
 * above. In another incarnation it never comes; nor does it if R was lost to the polls since the
 * read was sent (ticks_next_at(R) was below `since` then), for a server that recovers from a crash
 * under the same postmaster tells so by nothing else. Then need = ticks_next() is as good: the
 * primary is ahead of all that R has shown. R itself needs no LSN for a connection that was open
 * when the read was answered; a newer one may be to a server that has gone back, so it counts like
 * that to any other replica.
 *
 * Another primary. After an asynchronous fail-over the new primary's WAL may end before what was
 * lost with the old one, so no replica would reach a bound of before for a long time. What survived
 * the new primary has: a bound that is not of the present one (ticks_voided) is dropped for the
 * answer of a poll that was sent since.
 *
 * Asking. Without a want nobody polls more often than the probes' interval. ticks_want(need), best
 * when the write is acknowledged, asks for poll `need` and then for replicas until each has reached
 * what it answered; wants that come while a poll is under way share the next one. It costs one
 * load when somebody has asked for as much before. A new connection to a replica counts with the
 * next poll of that replica: ticks_want(ticks_next()) asks all of them at least once, behind or
 * not.
 *
 * Waiting. A worker that wants to know when something new has come says so by ticks_listen, and
 * only then looks; EVENT_TICKS (pool/engine.h) comes once, with the next news. In this order none
 * is missed: the control thread stores the news before it looks who listens.
 *
 * Why the order of memory is right. One thread writes, all operations are sequentially consistent.
 * - `started` grows before a poll is sent. A write that was acknowledged before `started` was read
 *   precedes the poll `started + 1`, whose number is stored later still.
 * - Answers stand in a ring; the newest number is stored behind the answer. A reader looks at the
 *   newest number, at the answer, and at the newest number again: the answer's place is used again
 *   only after many more numbers were published, which the second look would show.
 * - A replica's answer (LSN, number, time, incarnation) is one record of a small ring, read in the
 *   same way: never half of one and half of another.
 * - Within an incarnation a replica's LSN and its numbers only grow. So a record that is old by the
 *   time it is used is right, too: a replica has replayed no less since. What ends an incarnation
 *   also ends its connections, whose users see them break.
 */
#ifndef ROUTER_TICKS_H
#define ROUTER_TICKS_H

#include <stdbool.h>
#include <stdint.h>

struct ticks;

/* Answers of the primary that are kept at least: half a second of polls without a pause. */
enum { TICKS_KEPT = 512 };

/* The newest answer of a replica. */
struct ticks_replayed {
    uint64_t lsn;         /* replayed */
    uint64_t number;      /* of the poll; see ticks_next_at */
    uint64_t asked_us;    /* before the poll was sent, by the monotonic clock of all workers */
    uint32_t incarnation; /* as in struct node */
    uint64_t since;       /* the first number that counts; set by ticks_answered_at */
};

/* With one reference; nothing has been polled. `workers` will join. NULL when memory is out. */
struct ticks *ticks_new(uint32_t workers);

/* One holder more or less; any thread. Both take NULL. */
struct ticks *ticks_ref(struct ticks *ticks);
void ticks_unref(struct ticks *ticks);

/* --- for engines, any thread ----------------------------------------------------------------- */

/* The number of the first poll of the primary that is sent after this call; above 0. */
uint64_t ticks_next(const struct ticks *ticks);

/* The LSN that covers all that was written before poll `need` was sent. False: not answered yet.
 * A need of 0 is none: LSN 0. */
bool ticks_bound(const struct ticks *ticks, uint64_t need, uint64_t *ret_lsn);

/* That worker (below LIMIT_WORKERS) knows these ticks, and notes its writes from now on; those that
 * it has acknowledged before count as noted now. */
void ticks_join(struct ticks *ticks, uint32_t worker);

/* It knows them no more. */
void ticks_leave(struct ticks *ticks, uint32_t worker);

/* A write was acknowledged: `strong` reads that begin from now on must see it. */
void ticks_note_write(struct ticks *ticks);

/* The need of a `strong` read that begins now: of the last write that was noted; until all workers
 * have joined, the next poll. */
uint64_t ticks_strong(const struct ticks *ticks);

/* The number of the first poll of that node, as a replica, that is sent after this call. */
uint64_t ticks_next_at(const struct ticks *ticks, uint32_t node);

/* What a replica has told last. False: nothing that counts. */
bool ticks_replayed(const struct ticks *ticks, uint32_t node, struct ticks_replayed *ret_replayed);

/* Polls up to this number may be of another primary than the present one, or of another run of it:
 * what they have answered says nothing of the present one's WAL. */
uint64_t ticks_voided(const struct ticks *ticks);

/* Asks for poll `need` (a number that ticks_next gave), and for replicas until they have reached
 * what it answers. True: nobody is awake to see it, so the caller has to append ACTION_PROBE; where
 * it can't, it calls ticks_unwant, and the next higher want makes up for it. */
bool ticks_want(struct ticks *ticks, uint64_t need);
void ticks_unwant(struct ticks *ticks);

/* EVENT_TICKS is to come to this worker (below LIMIT_WORKERS), once, with the next news. */
void ticks_listen(struct ticks *ticks, uint32_t worker);

/* --- for the control thread alone ------------------------------------------------------------ */

/* Before a poll of the primary is sent: its number. At most one is under way. */
uint64_t ticks_start(struct ticks *ticks);

/* Its answer, without page headers (nodes_round_lsn). One that was voided is ignored. */
void ticks_answered(struct ticks *ticks, uint64_t number, uint64_t lsn);

/* The newest number that is answered; the newest that was ever started. */
uint64_t ticks_newest(const struct ticks *ticks);
uint64_t ticks_started(const struct ticks *ticks);

/* Another server is the primary, or another run of it, or none is: the poll under way doesn't count
 * any more. */
void ticks_void(struct ticks *ticks);

/* Before a poll of a replica is sent: its number. */
uint64_t ticks_start_at(struct ticks *ticks, uint32_t node);

/* Its answer. False: it was forgotten meanwhile and is ignored, or (then what was known is
 * forgotten) its LSN went back within its incarnation. */
bool ticks_answered_at(struct ticks *ticks, uint32_t node, const struct ticks_replayed *answer);

/* What the replica has told counts no more, nor does a poll of it that is under way. */
void ticks_forget_at(struct ticks *ticks, uint32_t node);

/* The highest number that was wanted. */
uint64_t ticks_wanted(const struct ticks *ticks);

/* The control thread will not look at ticks_wanted by itself any more: the next want makes an
 * ACTION_PROBE. False, and it has to go on: something else is wanted meanwhile than `wanted`, which
 * it has seen last. */
bool ticks_sleep(struct ticks *ticks, uint64_t wanted);

/* Takes the workers that listen, a bit for each; after the news is stored. */
uint64_t ticks_take_listeners(struct ticks *ticks);

#endif
