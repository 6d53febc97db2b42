#include "daemon/socket.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/error.h"
#include "base/limits.h"
#include "base/writer.h"
#include "daemon/dial.h"
#include "daemon/log.h"
#include "daemon/snapshot.h"
#include "daemon/tls_socket.h"
#include "protocol/report.h"

enum {
    VECTORS_MAX = 16,
    FIRST_BYTES = 4096,
    BULK_BYTES = 8192,           /* so many at once are part of a stream */
    TLS_RECORD_HANDSHAKE = 0x16, /* RFC 8446 5.1: what a direct TLS client begins with */
};

/* A client must say its first byte within this; after that the engine's own deadlines hold. */
#define NASCENT_US (10 * 1000000ULL)

struct nascent {
    struct list node; /* in worker->nascent */
    struct sock *sock;
    struct origin origin;
    uint64_t accepted_us;
};

struct sock *sock_find(const struct worker *worker, struct handle handle)
{
    struct sock *sock = worker_sock(worker, handle);
    return sock != NULL && handle_equal(sock->handle, handle) ? sock : NULL;
}

struct sock *sock_new(struct worker *worker)
{
    struct sock *sock = slab_alloc(&worker->socks);
    if (sock == NULL) {
        return NULL;
    }
    memset(sock, 0, sizeof(*sock));
    sock->worker = worker;
    sock->fd = -1;
    return sock;
}

/* That many bytes lie in the room that engine_rx has lent. */
static void received_some(struct worker *worker, uint32_t bytes)
{
    worker->dirty = true;
    engine_received(worker->engine, bytes, worker_now_us(worker));
}

/* Something is on its way to the peer: the sweep looks whether it arrives. It goes on while any
 * socket has the flag. Out of line: once a second and socket. */
static __attribute__((noinline)) void note_sent(struct sock *sock)
{
    sock->flags |= SOCK_SENT;
    worker_want_sweep(sock_worker(sock));
}

/* That many bytes of what engine_tx showed are written; 0 = the socket is full. */
static void sent_some(struct sock *sock, uint32_t bytes)
{
    struct worker *worker = sock_worker(sock);
    if (bytes > 0 && (sock->flags & SOCK_SENT) == 0) {
        note_sent(sock);
    }
    worker->dirty = true;
    engine_sent(worker->engine, sock->handle, bytes, worker_now_us(worker));
}

/* All of the piece of the to-do at hand is written. */
static inline void sent_piece(struct sock *sock)
{
    struct worker *worker = sock_worker(sock);
    if ((sock->flags & SOCK_SENT) == 0) {
        note_sent(sock);
    }
    worker->dirty = true;
    engine_sent_piece(worker->engine, worker_now_us(worker));
}

void sock_ended(struct sock *sock, int code, const char *text)
{
    if ((sock->flags & (SOCK_EOF | SOCK_NASCENT | SOCK_DIALING)) != 0) {
        return;
    }
    sock->flags |= SOCK_EOF;
    struct event event = {.kind = EVENT_EOF, .handle = sock->handle, .code = code, .text = text};
    worker_step(sock_worker(sock), &event);
    sock_watch(sock);
}

/* A failure is told even if the peer's end has been: half closed is not yet gone. */
void sock_failed(struct sock *sock, int error_number)
{
    bool known = (sock->flags & SOCK_BROKEN) != 0;
    sock->flags = (uint16_t)((sock->flags | SOCK_BROKEN) & ~SOCK_FULL);
    if (!known) {
        sock->flags &= (uint16_t)~SOCK_EOF;
        sock_ended(sock, ERR_IO, strerror(error_number));
    }
    sock_watch(sock);
}

void sock_sent(struct sock *sock, uint32_t bytes, bool full)
{
    if (bytes > 0) {
        sent_some(sock, bytes);
    }
    if (full) {
        sock->flags |= SOCK_FULL;
        sent_some(sock, 0);
        sock_watch(sock);
    } else if ((sock->flags & SOCK_FULL) != 0) {
        sock->flags &= (uint16_t)~SOCK_FULL;
        sock_watch(sock);
    }
}

static void try_later(struct sock *sock)
{
    sock->flags |= SOCK_STARVED;
    sock_worker(sock)->starved = true;
    worker_want_sweep(sock_worker(sock));
}

void sock_starve(struct sock *sock)
{
    try_later(sock);
    sock_watch(sock);
}

/* --- writing --------------------------------------------------------------------------------- */

/* A send of less than was wanted. True: it is to be tried again. */
static bool sent_less(struct sock *sock, ssize_t sent)
{
    if (sent >= 0) {
        sock_sent(sock, (uint32_t)sent, true);
    } else if (errno == EINTR) {
        return true;
    } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
        sock_sent(sock, 0, true);
    } else {
        sock_failed(sock, errno);
    }
    return false;
}

/* Out of line: most of what is sent is one piece, for a socket that was not full. */
static __attribute__((noinline)) void flush_pieces(struct sock *sock)
{
    struct worker *worker = sock_worker(sock);
    struct iovec vectors[VECTORS_MAX];
    bool again;
    do {
        int count = engine_tx(worker->engine, sock->handle, vectors, VECTORS_MAX);
        struct msghdr message = {.msg_iov = vectors, .msg_iovlen = (size_t)count};
        ssize_t wanted = 0;
        for (int i = 0; i < count; i++) {
            wanted += (ssize_t)vectors[i].iov_len;
        }
        ssize_t sent = count == 0 ? 0 : sendmsg(sock->fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent == wanted) {
            sock_sent(sock, (uint32_t)sent, false);
            again = count == VECTORS_MAX;
        } else {
            again = sent_less(sock, sent);
        }
    } while (again);
}

static inline void flush_piece(struct sock *sock, const struct todo *todo)
{
    ssize_t sent = send(sock->fd, todo->piece, todo->piece_bytes, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent == (ssize_t)todo->piece_bytes) {
        sent_piece(sock);
    } else if (sent_less(sock, sent)) {
        flush_pieces(sock);
    }
}

/* Writes what there is and, when all is written, begins the handshake that waited for it. */
static void flush(struct sock *sock)
{
    if ((sock->flags & (SOCK_BROKEN | SOCK_DIALING | SOCK_NASCENT)) != 0 || sock->fd < 0) {
        return;
    }
    if (sock->tls != NULL) {
        tls_sock_flush(sock);
    } else {
        flush_pieces(sock);
    }
    if ((sock->flags & (SOCK_TLS_ACCEPT | SOCK_TLS_CONNECT)) != 0 &&
        (sock->flags & (SOCK_FULL | SOCK_BROKEN)) == 0) {
        bool accept = (sock->flags & SOCK_TLS_ACCEPT) != 0;
        sock->flags &= (uint16_t) ~(SOCK_TLS_ACCEPT | SOCK_TLS_CONNECT);
        tls_sock_start(sock, accept, false);
    }
}

/* --- reading --------------------------------------------------------------------------------- */

/* One receive into the engine's room. Returns how many bytes came: 0 when there is nothing more at
 * present. */
static uint32_t receive(struct sock *sock)
{
    struct worker *worker = sock_worker(sock);
    uint8_t *room;
    uint32_t room_bytes;
    if (!engine_rx(worker->engine, sock->handle, &room, &room_bytes)) {
        sock_starve(sock);
        return 0;
    }
    ssize_t received = recv(sock->fd, room, room_bytes, MSG_DONTWAIT);
    if (received > 0) {
        received_some(worker, (uint32_t)received);
        return (uint32_t)received;
    }
    if (received == 0) {
        sock_ended(sock, 0, NULL);
    } else if (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR) {
        sock_failed(sock, errno);
    }
    return 0;
}

/* One receive; more while a stream comes in, up to a block: what comes meanwhile then needs no
 * wake and no send of its own. Returns how many bytes came. receive() is called from here alone, so
 * that it stands in line: a query has two. */
static uint32_t read_plain(struct sock *sock)
{
    uint32_t received, all = 0;
    do {
        received = receive(sock);
        all += received;
    } while (received >= BULK_BYTES && all < LIMIT_BLOCK_BYTES &&
             engine_reading(sock_worker(sock)->engine, sock->handle));
    return all;
}

static bool wants_bytes(const struct sock *sock)
{
    uint32_t against = SOCK_EOF;
    if ((sock->flags & SOCK_HANDSHAKE) == 0) {
        against |= SOCK_STOPPED | SOCK_STARVED;
    }
    return (sock->flags & against) == 0;
}

/* The peer hung up while nothing is read: an end is told now if nothing lies before it. */
static void hung_up(struct sock *sock)
{
    char byte;
    sock->flags |= SOCK_HUNG_UP;
    ssize_t peeked = recv(sock->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    if (peeked == 0) {
        sock_ended(sock, 0, NULL);
    }
    sock_watch(sock);
}

/* EPOLLERR. What has come is read before the failure is told. */
static void poll_failed(struct sock *sock)
{
    int error_number = 0;
    socklen_t bytes = sizeof(error_number);
    getsockopt(sock->fd, SOL_SOCKET, SO_ERROR, &error_number, &bytes);
    if (sock->tls == NULL) {
        while (wants_bytes(sock) && read_plain(sock) > 0) {
            sock->flags = (uint16_t)(engine_reading(sock_worker(sock)->engine, sock->handle)
                                         ? sock->flags & ~SOCK_STOPPED
                                         : sock->flags | SOCK_STOPPED);
        }
    }
    sock_failed(sock, error_number != 0 ? error_number : ECONNRESET);
}

static void client_first(struct sock *sock);

/* All that may be ready, in any state. Out of line: on_ready is of every query. */
static __attribute__((noinline)) void on_any(struct sock *sock, uint32_t events)
{
    if ((sock->flags & SOCK_NASCENT) != 0) {
        client_first(sock);
        return;
    }
    if ((events & EPOLLERR) != 0) {
        poll_failed(sock);
        return;
    }
    if ((events & EPOLLHUP) != 0) {
        events |= sock->watch.events; /* whatever is tried now meets the end */
    }
    if ((events & EPOLLOUT) != 0) {
        flush(sock);
    }
    if ((events & (EPOLLIN | EPOLLRDHUP)) != 0) {
        if (!wants_bytes(sock)) {
            hung_up(sock);
        } else if (sock->tls != NULL) {
            tls_sock_readable(sock);
        } else {
            read_plain(sock);
        }
    }
}

static void on_ready(struct watch *watch, uint32_t events)
{
    struct sock *sock = (struct sock *)(void *)watch;
    if (events == EPOLLIN && (sock->flags & SOCK_NOT_READING) == 0 && sock->tls == NULL) {
        read_plain(sock);
    } else {
        on_any(sock, events);
    }
}

static uint32_t events_wanted(const struct sock *sock)
{
    uint32_t events = 0;
    if ((sock->flags & SOCK_BROKEN) != 0) {
        return 0;
    }
    if (wants_bytes(sock)) {
        events |= EPOLLIN | EPOLLRDHUP;
    } else if ((sock->flags & (SOCK_EOF | SOCK_HUNG_UP)) == 0) {
        events |= EPOLLRDHUP;
    }
    if ((sock->flags & SOCK_FULL) != 0) {
        events |= EPOLLOUT;
    }
    return events;
}

void sock_watch(struct sock *sock)
{
    uint32_t events = events_wanted(sock);
    if (sock->fd < 0 || events == sock->watch.events) {
        return;
    }
    if (watch_set(sock_worker(sock)->epoll_fd, sock->fd, &sock->watch, events) != 0) {
        try_later(sock);
    }
}

int sock_attach(struct sock *sock, int fd)
{
    sock->watch.ready = on_ready;
    int code = watch_set(sock_worker(sock)->epoll_fd, fd, &sock->watch, events_wanted(sock));
    if (code == 0) {
        sock->fd = fd;
    }
    return code;
}

/* --- ending ---------------------------------------------------------------------------------- */

/* Takes it from the tables; the descriptor is not closed, which takes it from the epoll set. */
static void forget(struct sock *sock)
{
    struct worker *worker = sock_worker(sock);
    if ((sock->flags & SOCK_NASCENT) != 0) {
        ASSERT(sock->nascent != NULL);
        list_remove(&sock->nascent->node);
        free(sock->nascent);
    } else if ((sock->flags & SOCK_DIALING) != 0) {
        dial_abandon(sock->dial);
    }
    if (!handle_is_none(sock->handle)) {
        worker_bind(worker, sock->handle, NULL);
    }
    if ((sock->flags & SOCK_CLIENT) != 0) {
        atomic_fetch_sub(&worker->clients, 1);
    }
    sock->fd = -1;
    sock->watch.ready = NULL;
    sock->next_dead = worker->dead;
    worker->dead = sock;
}

void sock_free_dead(struct worker *worker)
{
    struct sock *sock;
    while ((sock = worker->dead) != NULL) {
        worker->dead = sock->next_dead;
        slab_free(&worker->socks, sock);
    }
}

void sock_drop(struct sock *sock)
{
    int fd = sock->fd;
    tls_sock_free(sock->tls);
    sock->tls = NULL;
    forget(sock);
    if (fd >= 0) {
        close(fd);
    }
}

void sock_detach(struct sock *sock, int *ret_fd, struct tls_sock **ret_tls)
{
    *ret_fd = sock->fd;
    *ret_tls = sock->tls;
    (void)watch_set(sock_worker(sock)->epoll_fd, sock->fd, &sock->watch, 0);
    forget(sock);
}

/* Bytes that nobody has read would make close() send a reset, and that could overtake our last
 * words at the peer. One receive is enough for what a client says before it is refused. */
static void swallow_unread(int fd)
{
    char unread[FIRST_BYTES];
    (void)recv(fd, unread, sizeof(unread), MSG_DONTWAIT);
}

/* One last attempt to write, then the end: EVENT_CLOSED. */
static void close_phase(struct sock *sock)
{
    struct worker *worker = sock_worker(sock);
    struct handle handle = sock->handle;
    if ((sock->flags & SOCK_FULL) == 0) {
        flush(sock);
    }
    if (sock->tls != NULL && (sock->flags & SOCK_BROKEN) == 0) {
        tls_sock_goodbye(sock);
    }
    if ((sock->flags & SOCK_CLIENT) != 0 && (sock->flags & (SOCK_EOF | SOCK_BROKEN)) == 0) {
        swallow_unread(sock->fd);
    }
    sock_drop(sock);
    struct event event = {.kind = EVENT_CLOSED, .handle = handle};
    worker_step(worker, &event);
}

/* --- clients and links that come ------------------------------------------------------------- */

/* Says why before it closes, in the clear: the client has not begun anything yet. */
static void refuse(struct sock *sock, int code)
{
    struct writer writer;
    writer_init(&writer);
    report_write(&writer, &(struct report){.fatal = true, .code = code});
    if (!writer.failed) {
        (void)send(sock->fd, writer.bytes, writer.len, MSG_NOSIGNAL | MSG_DONTWAIT);
    }
    writer_fini(&writer);
    sock_drop(sock);
}

static void feed(struct sock *sock, const uint8_t *bytes, size_t count)
{
    struct worker *worker = sock_worker(sock);
    while (count > 0) {
        uint8_t *room;
        uint32_t room_bytes;
        if (!engine_rx(worker->engine, sock->handle, &room, &room_bytes)) {
            /* What is not taken now would be missing later. */
            sock_ended(sock, ERR_NO_MEMORY, error_message(ERR_NO_MEMORY));
            return;
        }
        uint32_t part = count < room_bytes ? (uint32_t)count : room_bytes;
        memcpy(room, bytes, part);
        received_some(worker, part);
        bytes += part;
        count -= part;
    }
}

/* The first bytes are here: the client becomes the engine's. */
static void client_first(struct sock *sock)
{
    struct worker *worker = sock_worker(sock);
    uint8_t first[FIRST_BYTES];
    ssize_t received = recv(sock->fd, first, sizeof(first), MSG_DONTWAIT);
    if (received < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR)) {
        return;
    }
    if (received <= 0) {
        sock_drop(sock);
        return;
    }
    bool tls_first = first[0] == TLS_RECORD_HANDSHAKE && snapshot_offers_tls(worker->snapshot);
    struct handle handle;
    int code = engine_open(worker->engine, &sock->nascent->origin, tls_first, worker_now_us(worker),
                           &handle);
    worker->dirty = true;
    if (code != 0) {
        refuse(sock, code);
        return;
    }
    list_remove(&sock->nascent->node);
    free(sock->nascent);
    sock->nascent = NULL;
    sock->flags &= (uint16_t)~SOCK_NASCENT;
    if (worker_reserve(worker, handle.slot) != 0) {
        /* The engine's TODO_CLOSE finds no socket and is answered all the same. */
        sock_drop(sock);
        struct event event = {.kind = EVENT_EOF, .handle = handle, .code = ERR_NO_MEMORY};
        worker_step(worker, &event);
        return;
    }
    sock->handle = handle;
    worker_bind(worker, handle, sock);
    if (tls_first) {
        tls_sock_start(sock, true, true);
        tls_sock_feed(sock, first, (uint32_t)received);
    } else {
        feed(sock, first, (size_t)received);
    }
    explicit_bzero(first, (size_t)received);
}

void sock_accept(struct worker *worker, int fd, const struct origin *origin)
{
    struct sock *sock = sock_new(worker);
    struct nascent *nascent = malloc(sizeof(*nascent));
    if (sock == NULL || nascent == NULL) {
        free(nascent);
        if (sock != NULL) {
            slab_free(&worker->socks, sock);
        }
        atomic_fetch_sub(&worker->clients, 1);
        close(fd);
        return;
    }
    *nascent =
        (struct nascent){.sock = sock, .origin = *origin, .accepted_us = worker_now_us(worker)};
    sock->nascent = nascent;
    sock->flags = (uint16_t)(SOCK_CLIENT | SOCK_NASCENT | (origin->is_unix ? 0 : SOCK_TCP));
    list_push_back(&worker->nascent, &nascent->node);
    worker_want_sweep(worker);
    if (sock_attach(sock, fd) != 0) {
        sock->fd = fd;
        sock_drop(sock);
    }
}

void sock_expire_nascent(struct worker *worker)
{
    uint64_t now_us = worker_now_us(worker);
    for (;;) {
        struct list *node = list_first(&worker->nascent);
        if (node == NULL) {
            return;
        }
        struct nascent *nascent = CONTAINER_OF(node, struct nascent, node);
        if (now_us - nascent->accepted_us < NASCENT_US && !worker->stopping) {
            return;
        }
        sock_drop(nascent->sock);
    }
}

void sock_adopt(struct worker *worker, const struct message *message)
{
    struct handle handle;
    int code = engine_adopt(worker->engine, message->letter, worker_now_us(worker), &handle);
    worker->dirty = true;
    struct sock *sock = code == 0 ? sock_new(worker) : NULL;
    if (sock != NULL && worker_reserve(worker, handle.slot) == 0 &&
        tls_sock_make_room(worker, message->tls) == 0) {
        sock->handle = handle;
        sock->tls = message->tls;
        sock->flags = message->tcp ? SOCK_TCP : 0;
        if (!engine_reading(worker->engine, handle)) {
            sock->flags |= SOCK_STOPPED;
        }
        worker_bind(worker, handle, sock);
        if (sock_attach(sock, message->fd) == 0) {
            tls_sock_moved(sock);
            return;
        }
        sock->fd = message->fd;
        sock_drop(sock);
    } else {
        if (sock != NULL) {
            slab_free(&worker->socks, sock);
        }
        tls_sock_free(message->tls);
        close(message->fd);
    }
    if (code == 0) {
        struct event event = {.kind = EVENT_EOF, .handle = handle, .code = ERR_NO_MEMORY};
        worker_step(worker, &event);
    }
}

/* --- what the engine wants ------------------------------------------------------------------- */

static void update_reading(struct sock *sock)
{
    struct worker *worker = sock_worker(sock);
    if (engine_reading(worker->engine, sock->handle)) {
        sock->flags &= (uint16_t)~SOCK_STOPPED;
        if (sock->tls != NULL && wants_bytes(sock)) {
            tls_sock_resume(sock);
        }
    } else {
        sock->flags |= SOCK_STOPPED;
    }
    sock_watch(sock);
}

/* Whatever the engine wants. Out of line: sock_do is of every query. */
static __attribute__((noinline)) void do_any(struct worker *worker, const struct todo *todo)
{
    uint32_t bits = todo->bits;
    if ((bits & TODO_DIAL) != 0 && (bits & TODO_CLOSE) == 0) {
        dial_start(worker, todo->handle);
    }
    struct sock *sock = sock_find(worker, todo->handle);
    if (sock == NULL) {
        if ((bits & TODO_CLOSE) != 0) {
            struct event event = {.kind = EVENT_CLOSED, .handle = todo->handle};
            worker_step(worker, &event);
        }
        return;
    }
    if ((bits & TODO_CLOSE) != 0) {
        close_phase(sock);
        return;
    }
    if ((bits & TODO_TLS_ACCEPT) != 0) {
        sock->flags |= SOCK_TLS_ACCEPT;
    }
    if ((bits & TODO_TLS_CONNECT) != 0) {
        sock->flags |= SOCK_TLS_CONNECT;
    }
    if ((bits & (TODO_SEND | TODO_TLS_ACCEPT | TODO_TLS_CONNECT)) != 0 &&
        (sock->flags & SOCK_FULL) == 0) {
        flush(sock);
    }
    if ((bits & TODO_READING) != 0) {
        update_reading(sock);
    }
}

void sock_do(struct worker *worker, const struct todo *todo)
{
    struct sock *sock = sock_find(worker, todo->handle);
    if (todo->bits == TODO_SEND && todo->piece != NULL && sock != NULL &&
        (sock->flags & SOCK_NOT_WRITING) == 0 && sock->tls == NULL) {
        flush_piece(sock, todo);
    } else {
        do_any(worker, todo);
    }
}
