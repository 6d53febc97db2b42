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
 * Pure, and determined by the generator that is given.
 */
#ifndef ROUTER_BALANCE_H
#define ROUTER_BALANCE_H

#include <stdint.h>

#include "base/random.h"

enum balance { BALANCE_LEAST_BUSY, BALANCE_WEIGHTED, BALANCE_ROUND_ROBIN };

/* What is known of one server. */
struct balance_node {
    uint32_t busy;       /* statements and transactions that it is at, of this worker */
    uint32_t waiting;    /* those in line for it */
    uint32_t latency_us; /* from question to answer of a probe; 0: not known */
    uint32_t weight;     /* LIMIT_WEIGHT_MIN .. LIMIT_WEIGHT_MAX: of its power */
};

/* How long a statement would be under way: what the server has to do and this one, at its power, as
 * seen from here. Of two figures the lower one is better; they mean nothing else. */
uint64_t balance_load(const struct balance_node *node);

/* The number of one of the candidates, a bit each and at least one. `nodes` has an entry for each
 * of them, by number; others are not looked at. `turn` is the caller's for round_robin: 0 at
 * first. */
uint32_t balance_choose(enum balance balance, uint32_t candidates, const struct balance_node *nodes,
                        uint32_t *turn, struct random *random);

#endif
