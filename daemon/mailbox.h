/* What threads of the process say to each other: messages to a worker, in the order they were put.
 *
 * A mailbox is an array under a mutex that is held for the time of one copy; the receiver takes the
 * whole array and leaves the one it emptied before, so that nothing is allocated once both have
 * grown. A receiver that is at work looks into it by itself, without a system call; only one that
 * sleeps is woken.
 *
 *   to a worker                                     to the control (which is worker 0's thread)
 *   LETTER, LENT    from another engine             ASK_SECRET     look a secret up
 *   CLIENT          an accepted socket              ASK_RELOAD     an administrator's RELOAD
 *   SNAPSHOT        new options                     ASK_SHUTDOWN   an administrator's SHUTDOWN
 *   SECRET          the answer to ASK_SECRET        DRAINED        this worker's last session has
 *   RELOADED        the answer to ASK_RELOAD                       gone
 *   CATALOG         facts of a database
 *   TOPOLOGY        what its servers are            ASK_PROBE      poll a database's servers
 *   TICKS           polls were answered
 *   DRAIN, STOP, PING
 */
#ifndef DAEMON_MAILBOX_H
#define DAEMON_MAILBOX_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/handle.h"
#include "pool/engine.h"

struct catalog;
struct secret_copy;
struct snapshot;
struct tls_sock;
struct topology;

enum message_kind {
    MESSAGE_LETTER,
    MESSAGE_LENT,
    MESSAGE_CLIENT,
    MESSAGE_SNAPSHOT,
    MESSAGE_SECRET,
    MESSAGE_CATALOG,
    MESSAGE_TOPOLOGY,
    MESSAGE_TICKS,
    MESSAGE_RELOADED,
    MESSAGE_DRAIN,
    MESSAGE_STOP,
    MESSAGE_PING,
    MESSAGE_ASK_SECRET,
    MESSAGE_FORGET_SECRET,
    MESSAGE_ASK_CATALOG,
    MESSAGE_ASK_PROBE,
    MESSAGE_ASK_RELOAD,
    MESSAGE_ASK_SHUTDOWN,
    MESSAGE_DRAINED,
};

/* Strings and objects in a message belong to whoever holds the message. */
struct message {
    enum message_kind kind;
    uint32_t worker;      /* who asks, where an answer is wanted */
    struct handle handle; /* whom it concerns there */
    int fd;               /* of LENT, CLIENT */
    bool tcp;             /* of LENT */
    uint8_t shutdown;     /* of ASK_SHUTDOWN, DRAIN: enum shutdown_kind */
    struct letter *letter;
    struct tls_sock *tls; /* of LENT; NULL for a plain socket */
    union {
        struct origin origin;
        struct snapshot *snapshot;
        struct secret_copy *secret;
        char *why_not; /* of RELOADED; NULL: it worked */
        char *setting; /* of ASK_RELOAD: "key=value" to be laid over; NULL: none */
        struct {
            char *database, *user;
        } ask; /* of ASK_SECRET, FORGET_SECRET, ASK_CATALOG, ASK_PROBE (whose user is "") */
        struct {
            char *database;
            struct catalog *catalog; /* a reference; NULL: it can't be had */
            uint64_t generation;
        } facts;                   /* of CATALOG */
        struct topology *topology; /* a reference; of TOPOLOGY, TICKS */
    };
};

struct mailbox {
    pthread_mutex_t lock;
    struct message *messages;
    uint32_t count, capacity;
    atomic_bool has_mail;
    atomic_bool asleep; /* and nobody has undertaken to wake the receiver */
};

/* What the receiver has taken out. */
struct mail {
    struct message *messages;
    uint32_t count, capacity;
};

void mailbox_init(struct mailbox *mailbox);

/* What still lies in it is forgotten, not freed: take it out before. */
void mailbox_fini(struct mailbox *mailbox);

/* Copies the message in; *ret_wake tells that the receiver sleeps, and is this caller's to wake.
 * ERR_NO_MEMORY. */
int mailbox_put(struct mailbox *mailbox, const struct message *message, bool *ret_wake);

/* The receiver is about to sleep; false: there is mail, it must not. */
bool mailbox_sleep(struct mailbox *mailbox);

/* The receiver sleeps no more. Returns whether there is mail. */
bool mailbox_awake(struct mailbox *mailbox);

/* Takes everything; `mail` gives its emptied array in exchange. */
void mailbox_take(struct mailbox *mailbox, struct mail *mail);

#endif
