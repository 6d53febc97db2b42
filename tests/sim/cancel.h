/* A CancelRequest, on a connection of its own that hears nothing and ends with it. */
#ifndef TESTS_SIM_CANCEL_H
#define TESTS_SIM_CANCEL_H

#include <stdbool.h>
#include <stddef.h>

struct sim;

/* `key` is a pid and the key behind it. False: the engine takes no connections. */
bool cancel_send(struct sim *sim, const void *key, size_t key_bytes);

#endif
