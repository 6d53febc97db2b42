/* What a primary has written to its WAL and does not flush, so that no replica gets it.
 *
 * A record that belongs to no commit (what a read that ended with ROLLBACK has pruned, for example)
 * is flushed by the server's next commit, or after 15 to 25 s by its background writer. On an idle
 * primary that is long: pg_current_wal_insert_lsn() counts the record, so that replicas seem to be
 * behind, and are not read from, while they show all that there is to be seen.
 *
 *      answer              an answer of TAIL_US later           a commit has been asked for
 *   flushed < inserted ->  flushed < what was inserted then ->  the same TAIL_US, then twice as
 *   (usual while it works) (stuck: a commit would help)         long, and so on up to TAIL_MAX_US
 *
 * Commits alone are seldom stuck: the WAL writer flushes up to the last one of synchronous_commit =
 * off after wal_writer_delay, 200 ms (XLogSetAsyncXactLSN and XLogBackgroundFlush in
 * src/backend/access/transam/xlog.c), and TAIL_US is longer than that.
 */
#ifndef ROUTER_TAIL_H
#define ROUTER_TAIL_H

#include <stdbool.h>
#include <stdint.h>

#define TAIL_US (300 * 1000ULL)
#define TAIL_MAX_US (10 * 1000000ULL)

/* All zero: nothing is known. */
struct tail {
    uint64_t lsn;     /* was inserted, and is not flushed yet; 0: there is no such */
    uint64_t flushed; /* by the last answer */
    uint64_t due_us;  /* an answer from then on says whether it is stuck */
    uint64_t wait_us;
    bool is_stuck;
};

/* The primary was asked at that time and has answered; LSNs without page headers. */
void tail_told(struct tail *tail, uint64_t inserted, uint64_t flushed, uint64_t asked_us);

/* A commit is being asked for, which makes the server flush. Nothing where that is not stuck (any
 * more). */
void tail_committed(struct tail *tail, uint64_t now_us);

/* Whether a replica that has replayed that much waits for nothing but the tail. */
bool tail_holds_up(const struct tail *tail, uint64_t replayed);

#endif
