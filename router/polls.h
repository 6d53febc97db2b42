/* When which node of a database is polled for its LSN, for causal reads (router/ticks.h).
 *
 * Pure rules, like router/nodes.h: whoever asks the servers (daemon/prober.h) tells what is asked
 * and answered and when, and is told whom to ask next.
 *
 *   a want -> the primary is polled -> its answer is a bound -> each replica is polled, and again,
 *                                                               until it has reached the bound
 *
 * - Without a want nobody is polled.
 * - One poll of a node is under way at most, and a node is polled POLLS_BURST times in a row at
 *   most, then once in POLLS_GAP_US: so a single want is seen to at once, and a stream of them
 *   costs no more than that.
 * - A replica that is found behind is asked again after a quarter of the time that it was behind
 *   last, or is behind by now: a healthy one within fractions of a millisecond, one whose replay is
 *   delayed or paused ever more seldom, for nobody can be helped by asking it sooner.
 * - A replica is polled at least once after each answer of the primary that was wanted, behind or
 *   not, so that connections opened before come to count.
 * - Where a replica waits for nothing but WAL that the primary does not flush (router/tail.h), the
 *   primary is polled without a want, and once more with a commit.
 */
#ifndef ROUTER_POLLS_H
#define ROUTER_POLLS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/limits.h"
#include "router/tail.h"

struct ticks;

enum { POLLS_GAP_US = 500, POLLS_BURST = 8, POLLS_PATIENCE = 4 };

#define POLLS_NEVER UINT64_MAX

/* One node; only to be read from outside. */
struct poll_node {
    bool is_busy;        /* a poll is under way */
    uint64_t number;     /* of that poll; 0: it doesn't count any more */
    uint64_t asked_us;   /* the last one was sent */
    uint64_t credit_us;  /* when it may be polled in a burst again */
    uint64_t asked_seen; /* of the primary's answers, when the last one was sent */

    /* Of a replica. */
    uint64_t lsn;                   /* that counts; 0: none */
    uint64_t seen;                  /* of the primary's answers, when that was asked for */
    uint64_t behind_lsn, behind_us; /* what it was found behind, and when; 0: it isn't */
    uint64_t lag_us;                /* how long it was behind when it was last */
};

struct polls {
    struct ticks *ticks; /* a reference */
    uint32_t primary;    /* or a number that no node has */
    uint32_t run;        /* its incarnation; 0: there is none */
    struct tail tail;    /* of the primary */
    struct poll_node nodes[LIMIT_NODES];
};

/* Takes over the caller's reference. Nobody is the primary. */
void polls_init(struct polls *polls, struct ticks *ticks);
void polls_fini(struct polls *polls);

/* Another node is the primary, or another incarnation of it, or (NODES_NONE, 0) none is. Nothing
 * that is under way counts, and no LSN of a replica until it has been told anew. */
void polls_follow(struct polls *polls, uint32_t primary, uint32_t incarnation);

/* Whether that is the one already. */
bool polls_follows(const struct polls *polls, uint32_t primary, uint32_t incarnation);

/* A question to that node is about to be sent: a poll, or a larger one that tells the LSN, too. It
 * takes the place of one that had no answer yet. */
void polls_asked(struct polls *polls, uint32_t at, uint64_t now_us);

/* Its answer: an LSN that can be compared with the primary's. False: it went back within its
 * incarnation, and nothing of this node counts. */
bool polls_answered(struct polls *polls, uint32_t at, uint64_t lsn, uint32_t incarnation);

/* What that answer told of the primary besides: how far its WAL is flushed. */
void polls_flushed(struct polls *polls, uint64_t inserted, uint64_t flushed);

/* Nothing is under way at that node. */
void polls_lost(struct polls *polls, uint32_t at);

/* What was known of that node's LSN holds no more, nor does what is under way. */
void polls_forget(struct polls *polls, uint32_t at);

/* Who may be polled, a bit for each node. */
struct polls_who {
    uint32_t usable; /* the primary, and replicas that may be read */
    uint32_t late;   /* replicas that are taken for late, whoever wants what */
};

/* The nodes that are to be polled now, of those that are usable, and when to look again if nothing
 * happens before, or POLLS_NEVER. */
uint32_t polls_due(const struct polls *polls, struct polls_who who, uint64_t now_us,
                   uint64_t *ret_next_us);

/* Whether that poll of the primary is to commit something, so that it flushes; polls_committed when
 * it is sent. */
bool polls_commits(const struct polls *polls, struct polls_who who);
void polls_committed(struct polls *polls, uint64_t now_us);

/* Leaves it to the next want to wake us, if all that is wanted of the primary is answered. False:
 * more is wanted by now, look again. */
bool polls_sleep(struct polls *polls);

#endif
