/* The checkers. Each judges by itself, calls sim_fail, and changes nothing. */
#ifndef TESTS_SIM_CHECK_H
#define TESTS_SIM_CHECK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct client;
struct shell;
struct sim;

/* Around every step of an engine: pool size and conservation (check_pool.c), the order in which
 * links are granted (check_order.c). */
void check_before(struct sim *sim, struct shell *shell);
void check_after(struct sim *sim, struct shell *shell);

void check_pool(struct sim *sim);
void check_pool_print(const struct sim *sim);
void check_order_before(struct sim *sim, struct shell *shell);
void check_order_after(struct sim *sim, struct shell *shell);

/* check_link.c: what links remember, against what their backends know. */
void check_links(struct sim *sim, struct shell *shell);

/* check_session.c. A value that the oracle has left open ("?..."): whether it may be that one. */
bool check_chance(struct client *client, const char *wanted, const char *got);
/* DISCARD ALL was done. */
void check_discarded(struct client *client);
/* A commit at the server has notified; a client has heard it; what a client listens to is known; it
 * has been idle for long. */
void check_notified(struct sim *sim, uint32_t database, const char *channel, const char *payload);
void check_notification(struct client *client, const uint8_t *message, size_t len);
void check_listens(struct client *client);
void check_heard(struct client *client);

/* check_pids.c: which backends clients have, after a step; the backend that serves a client signals
 * another by its pid. */
void check_lent(struct sim *sim, struct shell *shell);
void check_signal(struct sim *sim, uint32_t asker_pid, uint32_t pid, bool terminate);

/* check_witness.c: whose tags the bytes of a message carry. */
void check_witness(struct sim *sim, uint64_t client_id, const uint8_t *body, size_t len);

/* check_quiesce.c: after all clients have left and time has passed. */
void check_quiesce(struct sim *sim);

#endif
