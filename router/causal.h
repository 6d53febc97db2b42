/* What one session must see when it reads from a replica: its own writes, and never less than it
 * has seen before. The rules, and why they hold, stand in router/ticks.h.
 *
 *    at the primary     need = the next poll of the primary: covers what was written or seen there
 *    at replica R       need_at = R's next poll: covers what was seen there
 *    poll answered      its LSN is the bound: a replica that has replayed it may be read
 *
 *    another primary    a bound of before counts no more: need = its next poll, which covers what
 *                       has survived
 *
 * Until the answer is there the session reads at the primary, or (need_at alone) at R. A session
 * that has seen nothing may read anywhere. At R it needs no LSN for a connection that was open when
 * it was last answered there, if it has seen nothing elsewhere since.
 */
#ifndef ROUTER_CAUSAL_H
#define ROUTER_CAUSAL_H

#include <stdbool.h>
#include <stdint.h>

struct ticks;

struct causal {
    uint64_t need;        /* 0: nothing is open */
    uint64_t settled;     /* a poll that covers the bound; 0: none is known */
    uint64_t bound;       /* an LSN */
    uint64_t voided;      /* ticks_voided when that was taken */
    uint64_t need_at;     /* 0: likewise */
    uint64_t asked_at;    /* the number of the next poll when the last read was sent to a replica */
    uint64_t since;       /* the same of the node's last one that was answered */
    uint32_t node;        /* that was read from last, or NODES_NONE */
    uint32_t incarnation; /* of it then */
    uint64_t seen_us;     /* when that was answered */
    uint64_t shown;       /* the bound that it met */
};

/* A session that has seen nothing. */
void causal_init(struct causal *causal);

/* A read is about to be sent to that replica. */
void causal_ask_replica(struct causal *causal, const struct ticks *ticks, uint32_t node);

/* The primary has answered the session, or a replica has: before the client gets it. */
void causal_at_primary(struct causal *causal, const struct ticks *ticks);
void causal_at_replica(struct causal *causal, const struct ticks *ticks, uint32_t node,
                       uint32_t incarnation, uint64_t now_us);

/* The same of a read that did not ask for the bound (`eventual`): the replica need not have met it,
 * and the session does not stay there for having read there. What it has seen elsewhere before is
 * not forgotten. */
void causal_at_any_replica(struct causal *causal, const struct ticks *ticks, uint32_t node,
                           uint32_t incarnation, uint64_t now_us);

/* The session is to see at least what poll `need` of the primary answers. */
void causal_must_see(struct causal *causal, uint64_t need);

/* Takes the primary's answer if it is there. False: the bound is not known yet. */
bool causal_settle(struct causal *causal, const struct ticks *ticks);

/* Behind that, the poll of the primary to ask for (ticks_want) so that a replica will show enough
 * soon: its answer covers all that the session has seen. `polled`: so is the replica that it has
 * read last; else what that has shown is the primary's to tell. */
uint64_t causal_wants(struct causal *causal, const struct ticks *ticks, bool polled);

/* Whether the node, a replica, shows enough; behind causal_settle, which was true. False may mean
 * that what the session has seen at another replica is not known yet. */
bool causal_may_read(struct causal *causal, const struct ticks *ticks, uint32_t node);

/* Whether that holds for a connection to the node: it was logged in at `ready_us`, and the node's
 * incarnation when it was dialed was `incarnation`. */
bool causal_may_use(const struct causal *causal, const struct ticks *ticks, uint32_t node,
                    uint32_t incarnation, uint64_t ready_us);

#endif
