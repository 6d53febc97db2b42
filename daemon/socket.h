/* One socket of a worker: a client's, a link's, or a canceller's.
 *
 *            first byte           the engine says so
 *   NASCENT ------------> open ------------------------> closed        a client
 *   DIALING ------------> open ------------------------> closed        a link or canceller
 *            connected      |
 *                           +--> detached, adopted by another worker   a link that is lent out
 *
 * EPOLLIN and EPOLLRDHUP are watched always, EPOLLOUT only after the socket was found full, so that
 * a query costs no epoll_ctl. One receive per readiness, but a stream's; one send per turn.
 *
 * A client is NASCENT until its first bytes are here: they tell whether it begins with TLS, which
 * the engine is told when the client is opened. It costs no system call, only the order of two
 * steps.
 */
#ifndef DAEMON_SOCKET_H
#define DAEMON_SOCKET_H

#include <stdbool.h>
#include <stdint.h>

#include "daemon/watch.h"
#include "daemon/worker.h"
#include "pool/engine.h"

struct dial;
struct nascent;
struct tls_sock;

enum {
    SOCK_CLIENT = 1 << 0,
    SOCK_NASCENT = 1 << 1,
    SOCK_DIALING = 1 << 2,
    SOCK_FULL = 1 << 3,         /* EPOLLOUT is awaited */
    SOCK_EOF = 1 << 4,          /* the engine knows that nothing more comes */
    SOCK_BROKEN = 1 << 5,       /* nothing more can be written */
    SOCK_HUNG_UP = 1 << 6,      /* EPOLLRDHUP was seen while reading was stopped */
    SOCK_STARVED = 1 << 7,      /* the engine had no room; tried again by the sweep */
    SOCK_STOPPED = 1 << 8,      /* the engine wants no bytes at present */
    SOCK_TLS_ACCEPT = 1 << 9,   /* to be done when all is written */
    SOCK_TLS_CONNECT = 1 << 10, /* likewise */
    SOCK_SENT = 1 << 11, /* something was sent since the sweep found all of it acknowledged */
    SOCK_TCP = 1 << 12,
    SOCK_HANDSHAKE = 1 << 14, /* of TLS: bytes are wanted whatever the engine says */
};

/* Flags that keep a plain socket from being simply read, and from being simply written. */
enum {
    SOCK_NOT_READING = SOCK_NASCENT | SOCK_DIALING | SOCK_EOF | SOCK_STARVED | SOCK_STOPPED,
    SOCK_NOT_WRITING =
        SOCK_NASCENT | SOCK_DIALING | SOCK_FULL | SOCK_BROKEN | SOCK_TLS_ACCEPT | SOCK_TLS_CONNECT,
};

struct sock {
    struct watch watch; /* first: its callback gets this */
    struct worker *worker;
    struct handle handle;
    int fd; /* -1: none yet */
    uint16_t flags;
    struct tls_sock *tls; /* NULL: plain */
    union {
        struct dial *dial;       /* while DIALING */
        struct nascent *nascent; /* while NASCENT */
        struct sock *next_dead;  /* dropped: freed at the end of the turn */
    };
};

/* A client's idle memory is a target. */
_Static_assert(sizeof(struct sock) <= 56, "struct sock has grown");

static inline struct worker *sock_worker(const struct sock *sock)
{
    return sock->worker;
}

/* The socket behind a live handle, or NULL for a stale one. */
struct sock *sock_find(const struct worker *worker, struct handle handle);

/* A socket without descriptor; NULL when memory is out. */
struct sock *sock_new(struct worker *worker);

/* Gives it its descriptor, which is non-blocking, and watches it. On error (ERR_NO_MEMORY) the
 * descriptor stays the caller's. */
int sock_attach(struct sock *sock, int fd);

/* An accepted client; takes the descriptor over, also when it fails (then it is closed). */
void sock_accept(struct worker *worker, int fd, const struct origin *origin);

/* A link from another worker: descriptor, TLS object and letter are taken over. */
void sock_adopt(struct worker *worker, const struct message *message);

/* Does what the engine wants for one connection. */
void sock_do(struct worker *worker, const struct todo *todo);

/* Takes the socket from its worker and frees it; *ret_fd and *ret_tls are the caller's then. */
void sock_detach(struct sock *sock, int *ret_fd, struct tls_sock **ret_tls);

/* Closes and frees without a word to the engine. */
void sock_drop(struct sock *sock);

/* At the end of a turn: frees what was dropped or detached in it. */
void sock_free_dead(struct worker *worker);

/* Clients that have not said a byte for too long are closed. */
void sock_expire_nascent(struct worker *worker);

/* For socket's own siblings (tls_socket, dial, sweep): */

/* The peer ended, or with a code the socket failed: tells the engine, once. */
void sock_ended(struct sock *sock, int code, const char *text);

/* The socket can be written no more. */
void sock_failed(struct sock *sock, int error_number);

/* Brings what is watched in line with the flags. */
void sock_watch(struct sock *sock);

/* Told the engine or not, `bytes` of what it gave are written. */
void sock_sent(struct sock *sock, uint32_t bytes, bool full);

/* The engine offered no room: not read again before the sweep. */
void sock_starve(struct sock *sock);

#endif
