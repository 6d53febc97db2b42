/* What a direct connection would have said (check_transcript.c).
 *
 * The oracle is a backend of the client's own, fed with the same bytes. It is run one message at a
 * time, when an answer has come: so that where chance decides (a cancel that hit, a pool that
 * timed out) it follows what happened, if that may happen at that point, and then says what must
 * come next.
 */
#ifndef TESTS_SIM_ORACLE_H
#define TESTS_SIM_ORACLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tests/sim/pg.h"

struct client;
struct sim;

struct oracle {
    struct pg pg;
    bool blind; /* the client has sent what no oracle follows: only the witness looks on */
};

void oracle_init(struct oracle *oracle);
void oracle_fini(struct oracle *oracle);

/* The client has sent these bytes. */
void oracle_sent(struct oracle *oracle, const void *bytes, size_t len);

/* A message has come. */
void oracle_received(struct client *client, const uint8_t *message, size_t len);

/* The greeting has come: parameters that a direct connection would have been told. */
void oracle_parameter(struct client *client, const char *name, const char *value);

/* No more will come: complains when an answer is missing. */
void oracle_ended(struct client *client);

#endif
