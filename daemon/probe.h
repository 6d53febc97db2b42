/* One node's probe: a connection of our own to one server, asked again and again what it is.
 *
 * libpq without blocking, on worker 0's loop. The connection inherits nothing: its parameters and
 * its TLS are those of the node's own connection string, as for every session of daemon/pq.h.
 *
 *   RESTING --time--> RESOLVING --address--> CONNECTING --> PREPARING --> ASKING --answer--+
 *      ^  |         (nothing to look up: at once)                            ^             |
 *      |  +--time, with a connection that is young enough--------------------+             |
 *      +-----------------------------------------------------------------------------------+
 *   from all but RESTING: deadline, refusal -> RESTING without a connection, for longer each time
 *
 * A connection is kept and asked, and renewed every 10 s, by the name anew: so a name that means
 * another address is followed, and a server whose old sessions live while it takes no new ones is
 * noticed. When the name service can't be asked the connection is kept.
 */
#ifndef DAEMON_PROBE_H
#define DAEMON_PROBE_H

#include <stdbool.h>
#include <stdint.h>

#include "daemon/pq.h"
#include "router/nodes.h"

struct probe;
struct worker;

struct probe_setup {
    struct worker *worker; /* worker 0 */
    struct pq_login login; /* its strings live as long as the probe, or until probe_set_login */
    uint32_t interval_ms;  /* between answer and question */
    uint64_t seed;

    /* Who is told, with the number. They must not end the probe. */
    void *argument;
    uint32_t number;
    /* The question is about to be sent. */
    void (*asks)(void *argument, uint32_t number);
    void (*answered)(void *argument, uint32_t number, const struct node_answer *answer);
    /* Returns whether to go on with the connection that there is; of use with NODE_NO_NAME only. */
    bool (*failed)(void *argument, uint32_t number, enum node_failure failure, const char *why);
    /* Another address than before has accepted the connection. */
    void (*moved)(void *argument, uint32_t number, const char *why);
};

/* Begins at once. NULL when memory is out. */
struct probe *probe_new(const struct probe_setup *setup);

/* Ends it while the loop runs. */
void probe_close(struct probe *probe);

/* Frees it when the loop has ended. */
void probe_free(struct probe *probe);

/* The same login, in strings of another snapshot; and another interval from the next rest on. */
void probe_set_login(struct probe *probe, const struct pq_login *login, uint32_t interval_ms);

/* The address that the connection is to; "" = none, or no name was looked up. */
const char *probe_address(const struct probe *probe);

#endif
