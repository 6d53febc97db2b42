/* The nodes of one database: which is the primary, which replicas may be read, and why not.
 *
 * Pure rules: whoever asks the servers (daemon/prober.h) tells what they answered and when, by its
 * own monotonic clock in microseconds; nothing here has a socket or a clock.
 *
 *                        good answer                 lag over max_lag, or unknown
 *      +---------+   +------------------->  +----+ ----------------------------> +---------+
 *      | UNKNOWN |---+                      | UP |                               | LAGGING |
 *      +---------+                          +----+  <-----------+                +---------+
 *           | ^ shut out                      |                 | the third good      | good
 *           v                                 v                 | answer in a row     v
 *   +-----------------------------------------------+  good   +-----------+ <---------+
 *   | DOWN    it refuses connections, or is lost    | ------> | RETURNING |
 *   | FROZEN  two deadlines missed in a row         | answer  +-----------+
 *   | FENCED  a primary that is not the primary     |
 *   | GONE    its name has no address any more      |   what puts a node down does so from any
 *   +-----------------------------------------------+   state; the primary needs no third answer
 *
 * The table of moves is in nodes.c. Only a node that is UP is read from. A replica that lags comes
 * back with three answers in a row of at most half of max_lag, so that it doesn't flap.
 *
 * Who is the primary (tests/unit/test_nodes.c has each as a story):
 * - A server *claims* to be it when it isn't in recovery (pg_is_in_recovery). A silent or refusing
 *   server's last claim stands: nobody knows what it does.
 * - Of several claims that on the highest timeline counts, for a promotion always begins a new one.
 *   A timeline that was ever heard of, also from a replica, makes all lower claims void for as long
 *   as these nodes are watched: the old primary that comes back is not written to.
 * - Two claims on that timeline: there is none, until only one of them stands.
 * - With roles found out by asking (`discovers`) there is none before all nodes were heard of; one
 *   that a reload adds holds up nobody. With given roles it is node 0 or nobody.
 * - Servers of another database system than the primary's are fenced, whatever they claim.
 *
 * Whoever asks may be *shut out*: a server has no connection left for it, or another password by
 * now. That says that there is a server, and nothing of what it is. As long as an older connection
 * answers nothing changes, but that people are warned. Without one the node is UNKNOWN, not
 * watched:
 * - a replica is not read, for nobody knows how far it is behind;
 * - the primary is *trusted*: statements go to it on, for no server that has been the primary stops
 *   being it without a restart, of which their connections would end, and one that was promoted
 *   beside it is heard of by its own answers. The trust ends with whatever says that it may have
 *   gone away: a refusal, silence, another claim, and that its name leads *elsewhere* when it shuts
 *   out who asks. From then on only an answer brings it back, so what may have been replaced is not
 *   written to.
 *
 * How far a replica is behind is told by LSNs alone, never by a server's clock: each answer of the
 * primary is a *sample* (when it was asked, its LSN), and the lag is the time between the newest
 * sample and the newest that the replica has replayed. That is never less than what the replica
 * was behind when the newest was asked for. The lag is unknown, which counts as infinite, where
 * - the replica's LSN or timeline is not known, or its timeline is not the primary's;
 * - there is no primary, or it has not answered within max_lag;
 * - the replica has not reached the oldest sample.
 * Without max_lag a replica may be any time behind, but must be on the primary's timeline.
 *
 * An LSN that a replica told counts only for connections that were opened before it was asked
 * (asked_us), and that are of its *incarnation*, which grows when the server restarts, its LSN goes
 * back or its name means another server's address. When the connection that asks breaks, the LSN is
 * forgotten until the next answer.
 */
#ifndef ROUTER_NODES_H
#define ROUTER_NODES_H

#include <stdbool.h>
#include <stdint.h>

#include "base/limits.h"

enum node_role { NODE_ROLE_UNKNOWN, NODE_ROLE_PRIMARY, NODE_ROLE_REPLICA };

enum node_state {
    NODE_UNKNOWN,
    NODE_UP,
    NODE_LAGGING,
    NODE_RETURNING,
    NODE_FROZEN,
    NODE_DOWN,
    NODE_FENCED,
    NODE_GONE,
    NODE_STATES,
};

enum node_failure {
    NODE_REFUSED,  /* no connection, or the server is not ready for any */
    NODE_SHUT_OUT, /* the server answers, and does not let in who asks */
    NODE_LOST, /* the connection broke; it is made anew at once, and what comes of that is told */
    NODE_LATE, /* no answer within the deadline */
    NODE_NO_NAME,   /* the name service says for certain that the name has no address */
    NODE_NAMELESS,  /* likewise, and the connection that there is answers on */
    NODE_ELSEWHERE, /* the name means another address, and who is there does not let in who asks */
};

enum {
    NODES_NONE = UINT8_MAX,
    NODES_STEADY = 3,     /* good answers in a row that bring a node back */
    NODES_PATIENCE = 2,   /* deadlines missed in a row that make a node frozen */
    NODES_SAMPLES = 64,   /* of the primary */
    NODES_EVENTS = 64,    /* of states that are kept */
    NODES_FAILOVERS = 32, /* of primaries that are kept */
    NODE_REASON_BYTES = 160,
};

#define NODE_LAG_UNKNOWN UINT64_MAX

/* What a server has said. */
struct node_answer {
    bool in_recovery;
    bool has_lsn;
    bool paused;            /* replay is, by hand */
    uint64_t lsn;           /* pg_current_wal_insert_lsn, or pg_last_wal_replay_lsn */
    uint64_t flushed;       /* pg_current_wal_flush_lsn; 0: not told */
    uint32_t timeline;      /* 0: not told */
    uint32_t segment_bytes; /* of its WAL; 0: not told */
    uint64_t system_id;     /* 0: not told */
    uint64_t started_us;    /* of the server, by its own clock; 0: not told */
    uint64_t asked_us, answered_us;
    const char *warning; /* for people: what threatens the next answers; NULL: nothing */
};

/* One node; only to be read from outside. */
struct node {
    enum node_state state;
    enum node_role role; /* by its last answer */
    bool heard;          /* it has answered, refused or been silent */
    bool trusted;        /* it was up as the primary, and nothing has said since that it isn't */
    bool has_lsn;
    uint64_t lsn; /* without page headers: nodes_round_lsn */
    uint64_t asked_us, answered_us;
    uint32_t timeline;
    uint64_t system_id, started_us;
    uint32_t incarnation;
    uint32_t silences; /* how often it has stopped answering */
    uint64_t lag_us;   /* or NODE_LAG_UNKNOWN; a primary's is 0 */
    uint64_t lag_bytes;
    uint64_t latency_us; /* of answers, smoothed; 0: none yet */
    uint32_t streak;     /* good answers in a row */
    uint32_t misses;
    uint64_t since_us; /* when it came into this state */
    char reason[NODE_REASON_BYTES];
    char warning[NODE_REASON_BYTES]; /* of its last answer */
};

/* A node has changed its state (or, with both the same, something else that is worth a line). */
struct node_event {
    uint64_t at_us;
    uint32_t node;
    enum node_state from, to;
    char reason[NODE_REASON_BYTES];
};

/* Another node is the primary, or none is (NODES_NONE). */
struct node_failover {
    uint64_t at_us;
    uint32_t from, to;
    uint32_t timeline;
    uint64_t without_us; /* since the last answer of the primary before; 0: there was none */
    char reason[NODE_REASON_BYTES];
};

struct nodes_rules {
    uint32_t count;       /* 1 to LIMIT_NODES */
    bool discovers;       /* roles are found out; else node 0 shall be the primary */
    uint64_t max_lag_us;  /* 0: any */
    uint32_t incarnation; /* to begin with */
};

struct node_sample {
    uint64_t at_us, lsn;
};

struct nodes {
    struct nodes_rules rules;
    struct node nodes[LIMIT_NODES];
    uint32_t primary;      /* or NODES_NONE */
    uint32_t last_primary; /* the primary, or the last one that there was */
    uint64_t led_us;       /* when the last primary has answered for the last time */
    bool disputed;         /* two claims on the highest timeline */
    bool settled;          /* some claim has won, so `timeline` is never forgotten */
    char why_none[NODE_REASON_BYTES];
    uint32_t timeline;  /* the highest that was heard of */
    uint64_t system_id; /* of the primary; 0: not known */

    /* Of the present primary on its timeline: the newest answer, and some before it. */
    struct node_sample newest, samples[NODES_SAMPLES];
    uint32_t sample_count;

    /* Rings: the n-th ever stands at n modulo their length. */
    struct node_event events[NODES_EVENTS];
    uint64_t event_count;
    struct node_failover failovers[NODES_FAILOVERS];
    uint64_t failover_count;
};

/* Nothing is known of any node. */
void nodes_init(struct nodes *nodes, const struct nodes_rules *rules, uint64_t now_us);

/* Behind nodes_init, with what is known of some of them: `places[i]` is the place that node i had
 * among those before, or NODES_NONE. Who is the primary, if it is one of them, that a given one is
 * none, and what makes claims void holds on; so does what was known of their states, for answers
 * will come soon. Events and fail-overs are forgotten. Incarnations begin anew but where the same
 * node has kept its place, so that connections to it are kept, too. Where none of the database
 * system that counted is among them its claims and timelines are forgotten. */
void nodes_go_on(struct nodes *nodes, const struct nodes *before, const uint32_t places[]);

/* The same where roles were given before and are to be found out now, or the other way round:
 * only what makes claims void holds on, where one of the database system that counted is left. */
void nodes_keep_timeline(struct nodes *nodes, const struct nodes *before, const uint32_t places[]);

/* A node has answered. */
void nodes_answered(struct nodes *nodes, uint32_t at, const struct node_answer *answer);

/* A node has not; `why` for people, copied. */
void nodes_failed(struct nodes *nodes, uint32_t at, enum node_failure failure, const char *why,
                  uint64_t now_us);

/* What is behind the node is another server from now on, or may be: `why` for people, copied. */
void nodes_changed(struct nodes *nodes, uint32_t at, const char *why, uint64_t now_us);

/* Another address of the node is about to answer that: another server, unless it is the same run of
 * the same one, which has several addresses. nodes_answered follows. */
void nodes_moved(struct nodes *nodes, uint32_t at, const struct node_answer *answer,
                 const char *why);

/* Another max_lag; it holds from the next answers on. */
void nodes_set_max_lag(struct nodes *nodes, uint64_t max_lag_us);

/* Whether statements may be sent to the primary: there is one, and it answers or is trusted. */
static inline bool nodes_may_write(const struct nodes *nodes)
{
    uint32_t at = nodes->primary;
    return at != NODES_NONE &&
           (nodes->nodes[at].state == NODE_UP ||
            (nodes->nodes[at].state == NODE_UNKNOWN && nodes->nodes[at].trusted));
}

/* Whether reads may go there: a replica that is up. */
static inline bool nodes_may_read(const struct nodes *nodes, uint32_t node)
{
    return nodes->nodes[node].state == NODE_UP && nodes->nodes[node].role == NODE_ROLE_REPLICA;
}

/* Whether it does not answer, as far as is known. */
static inline bool nodes_is_silent(const struct nodes *nodes, uint32_t node)
{
    enum node_state state = nodes->nodes[node].state;
    return state == NODE_FROZEN || state == NODE_DOWN || state == NODE_GONE;
}

/* Whether what it has answered last holds: it answers, whatever it says, or is trusted. */
static inline bool nodes_answers(const struct nodes *nodes, uint32_t node)
{
    return nodes->nodes[node].trusted ||
           (nodes->nodes[node].state != NODE_UNKNOWN && !nodes_is_silent(nodes, node));
}

/* Whether it is a replica that lags, or is on its way to: more than half of max_lag behind. */
bool nodes_is_late(const struct nodes *nodes, uint32_t node);

/* A record that ends with its page makes the insert position point behind the next page's header,
 * while a replica that has replayed it stands before that: the header is taken off
 * (SizeOfXLogShortPHD and SizeOfXLogLongPHD, src/include/access/xlog_internal.h). No record ends
 * inside a header, so nothing is lost. */
uint64_t nodes_round_lsn(uint64_t lsn, uint32_t segment_bytes);

/* "up", "lagging" ...; "primary", "replica", "unknown". Static storage. */
const char *nodes_state_name(enum node_state state);
const char *nodes_role_name(enum node_role role);

#endif
