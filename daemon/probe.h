/* One node's probe: a connection of our own to one server, asked again and again what it is.
 *
 * libpq without blocking, on worker 0's loop. The connection inherits nothing: its parameters and
 * its TLS are those of the node's own connection string, as for every session of daemon/pq.h.
 *
 *   RESTING --time--> RESOLVING --address--> CONNECTING --> PREPARING --> ASKING --answer--+
 *      ^  |         (nothing to look up: at once)                            ^             |
 *      |  +--time, with a connection that is young enough--------------------+             |
 *      +-----------------------------------------------------------------------------------+
 *   from all but RESTING: deadline, refusal -> RESTING without a connection, for longer each time;
 *   a connection that has answered breaks -> RESOLVING at once, and only what comes of that tells
 *   whether more than the connection is lost
 *
 * A connection is kept and asked, and renewed every 10 s, by the name anew: so a name that means
 * another address is followed, and a server whose old sessions live while it takes no new ones is
 * noticed. It is kept where the name service can't be asked, and where the server does not let us
 * in any more for reasons that are not its own health (no connection left, another password); but
 * not where another address than it has does so, which the name means by now.
 *
 * Beside that a server can be polled for its LSN alone (probe_poll), which costs it a prepared
 * statement. The old connection answers polls until the new one takes its place. A poll of the
 * primary may commit a transaction that has done nothing but take a number (txid_current): then the
 * server flushes all that it has logged, soon after. Nobody waits for that: such a commit needs no
 * standby's word, and not the disk's, whatever synchronous_commit says (RecordTransactionCommit in
 * src/backend/access/transam/xact.c). It needs no privilege, and a read-only transaction may.
 */
#ifndef DAEMON_PROBE_H
#define DAEMON_PROBE_H

#include <stdbool.h>
#include <stdint.h>

#include "daemon/pq.h"
#include "router/nodes.h"

struct probe;
struct worker;

/* What a poll has told. */
struct node_poll {
    uint64_t lsn;      /* inserted or replayed; without page headers */
    uint64_t flushed;  /* likewise; of a primary, else 0 */
    uint64_t asked_us; /* before it was sent */
};

struct probe_setup {
    struct worker *worker; /* worker 0 */
    struct pq_login login; /* its strings live as long as the probe, or until probe_set_login */
    uint32_t interval_ms;  /* between answer and question */
    uint64_t seed;
    const char *address; /* that has answered a probe of the same node before; "" = none; copied */

    /* Who is told, with the number. They must not end the probe. */
    void *argument;
    uint32_t number;
    /* The question, or a poll, is about to be sent; one before it that has no answer yet will
     * have none. */
    void (*asks)(void *argument, uint32_t number);
    /* NULL: the poll has told nothing. */
    void (*polled)(void *argument, uint32_t number, const struct node_poll *poll);
    void (*answered)(void *argument, uint32_t number, const struct node_answer *answer);
    /* Returns whether to go on with the connection that there is, for NODE_NAMELESS. */
    bool (*failed)(void *argument, uint32_t number, enum node_failure failure, const char *why);
    /* Another address than before has answered, as `answered` is told next. */
    void (*moved)(void *argument, uint32_t number, const struct node_answer *answer,
                  const char *why);
};

/* Begins at once. NULL when memory is out. */
struct probe *probe_new(const struct probe_setup *setup);

/* Ends it while the loop runs. */
void probe_close(struct probe *probe);

/* Frees it when the loop has ended. */
void probe_free(struct probe *probe);

/* The same login, in strings of another snapshot; and another interval from the next rest on. */
void probe_set_login(struct probe *probe, const struct pq_login *login, uint32_t interval_ms);

/* Asks for nothing but the LSN, at once; `commits` (of a primary): and commits something. False:
 * there is no connection that has answered the whole question before, or something is under way on
 * it; what comes of that is told. That the connection has broken may be told before it returns. */
bool probe_poll(struct probe *probe, bool commits);

/* Asks for all now, instead of after the rest of the interval. */
void probe_hurry(struct probe *probe);

/* Another interval; a shorter one ends the rest that is under way. */
void probe_set_interval(struct probe *probe, uint32_t interval_ms);

/* The address that has answered last, or has shut the probe out since; "" = none, or no name was
 * looked up. */
const char *probe_address(const struct probe *probe);

#endif
