/* Balancing: which of the servers that may take a read gets it.
 *
 *   least_busy    two drawn at random, and the one with less to do of the two. Unlike the least
 *                 busy of all this needs no exact figures (each worker knows its own only), and a
 *                 server that has just come back is not run over by everybody at once; unlike one
 *                 drawn at random it keeps lines short (Mitzenmacher, "The Power of Two Choices in
 *                 Randomized Load Balancing", 1996).
 *   weighted      at random, in proportion to the weights
 *   round_robin   one after the other; weights don't count
 *
 * That is for reads that any of them may take. A session that must not see less than before stays
 * at one server, so that it needs few polls; from time to time it looks at another one, drawn at
 * random, and leaves its own with the probability by which, if all sessions there did so, both
 * would have the same to do for their power: by what they are at (least_busy), by their reads and
 * weights (weighted), or by their reads alone (round_robin). What it does itself it takes with
 * it: it goes by what the others do, so one that is alone stays. So sessions spread out again when
 * a server has come back, all at once or one by one; between servers that are even nobody moves,
 * and a few between those that nearly are.
 *
 * Pure, and determined by the generator that is given.
 */
#ifndef ROUTER_BALANCE_H
#define ROUTER_BALANCE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/random.h"

enum balance { BALANCE_LEAST_BUSY, BALANCE_WEIGHTED, BALANCE_ROUND_ROBIN };

/* What is known of one server. */
struct balance_node {
    uint32_t busy;       /* statements and transactions that it is at, of this worker */
    uint32_t waiting;    /* those in line for it */
    uint32_t latency_us; /* from question to answer of a probe; 0: not known */
    uint32_t weight;     /* LIMIT_WEIGHT_MIN .. LIMIT_WEIGHT_MAX: of its power */

    /* For balance_leaves alone: of late. */
    uint32_t reads;      /* that it was given in 1000 s */
    uint32_t busy_milli; /* statements that it was at, in the mean; thousandths */
    uint32_t own_milli;  /* of both, the part of the session that may leave; thousandths */
};

/* How long a statement would be under way: what the server has to do and this one, at its power, as
 * seen from here. Of two figures the lower one is better; they mean nothing else. */
uint64_t balance_load(const struct balance_node *node);

/* The number of one of the candidates, a bit each and at least one. `nodes` has an entry for each
 * of them, by number; others are not looked at. `turn` is the caller's for round_robin: 0 at
 * first. */
uint32_t balance_choose(enum balance balance, uint32_t candidates, const struct balance_node *nodes,
                        uint32_t *turn, struct random *random);

/* Whether a session that stays at one server is to leave it for another one. */
bool balance_leaves(enum balance balance, const struct balance_node *here,
                    const struct balance_node *there, struct random *random);

#endif
