/*
 * relay: the floor under every proxy. One thread, epoll, no parsing, one backend connection per
 * client: a receive and a send per hop and whatever epoll_wait costs, which is all that the
 * kernel makes a proxy on two TCP connections pay. The bench divides by what this uses.
 *
 *     relay LISTEN_PORT BACKEND_PORT        both on 127.0.0.1
 *
 * Bytes that a side does not take are kept for it, and its peer is not read until they are gone,
 * so memory is bounded by one buffer a side. An end of stream or an error on one side closes both.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BUFFER_BYTES = 65536, EVENTS_MAX = 256, BACKLOG = 4096 };

/* One socket of a pair. `kept` are bytes read from the peer that this socket did not take yet. */
struct side {
    int fd;
    struct side *peer;
    uint8_t *kept;
    size_t kept_off, kept_len;
    uint32_t watched; /* the events epoll knows of, so that it is told only of changes */
    bool closed;
    struct side *next_closed;
};

struct relay {
    int epoll_fd, listen_fd;
    struct sockaddr_in backend;
    struct side *closed; /* freed after the batch, which may still name them */
    uint8_t buffer[BUFFER_BYTES];
};

static void die(const char *what)
{
    perror(what);
    exit(1);
}

static void side_watch(struct relay *r, struct side *s)
{
    uint32_t wanted = (s->peer->kept ? 0 : EPOLLIN) | (s->kept ? EPOLLOUT : 0);
    struct epoll_event event = {.events = wanted, .data.ptr = s};

    if (wanted == s->watched)
        return;
    if (epoll_ctl(r->epoll_fd, EPOLL_CTL_MOD, s->fd, &event))
        die("epoll_ctl");
    s->watched = wanted;
}

static void pair_watch(struct relay *r, struct side *s)
{
    side_watch(r, s);
    side_watch(r, s->peer);
}

static void side_close(struct relay *r, struct side *s)
{
    close(s->fd);
    free(s->kept);
    s->kept = NULL;
    s->closed = true;
    s->next_closed = r->closed;
    r->closed = s;
}

static void pair_close(struct relay *r, struct side *s)
{
    side_close(r, s->peer);
    side_close(r, s);
}

static void free_closed(struct relay *r)
{
    while (r->closed) {
        struct side *s = r->closed;
        r->closed = s->next_closed;
        free(s);
    }
}

/* Bytes taken by the socket, 0 if it is full, -1 if it is broken. */
static ssize_t side_send(struct side *s, const uint8_t *bytes, size_t len)
{
    ssize_t n = send(s->fd, bytes, len, MSG_NOSIGNAL);

    return n < 0 && errno == EAGAIN ? 0 : n;
}

static void side_keep(struct side *s, const uint8_t *bytes, size_t len)
{
    s->kept = malloc(len);
    if (!s->kept)
        die("malloc");
    memcpy(s->kept, bytes, len);
    s->kept_off = 0;
    s->kept_len = len;
}

static void side_readable(struct relay *r, struct side *s)
{
    ssize_t got = recv(s->fd, r->buffer, sizeof(r->buffer), 0);
    ssize_t taken;

    if (got < 0 && errno == EAGAIN)
        return;
    taken = got > 0 ? side_send(s->peer, r->buffer, (size_t)got) : -1;
    if (taken < 0) {
        pair_close(r, s);
        return;
    }
    if (taken < got) {
        side_keep(s->peer, r->buffer + taken, (size_t)(got - taken));
        pair_watch(r, s);
    }
}

static void side_writable(struct relay *r, struct side *s)
{
    ssize_t taken = side_send(s, s->kept + s->kept_off, s->kept_len);

    if (taken < 0) {
        pair_close(r, s);
        return;
    }
    s->kept_off += (size_t)taken;
    s->kept_len -= (size_t)taken;
    if (s->kept_len == 0) {
        free(s->kept);
        s->kept = NULL;
        pair_watch(r, s);
    }
}

static struct side *side_new(struct relay *r, int fd)
{
    struct side *s = calloc(1, sizeof(*s));
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = s};
    int one = 1;

    if (!s)
        die("calloc");
    s->fd = fd;
    s->watched = EPOLLIN;
    if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)))
        die("TCP_NODELAY");
    if (epoll_ctl(r->epoll_fd, EPOLL_CTL_ADD, fd, &event))
        die("epoll_ctl");
    return s;
}

/* A connected, non-blocking socket to the backend, or -1. The connect itself blocks: on loopback
 * it does not wait for the server to accept. */
static int backend_connect(const struct relay *r)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    if (fd < 0)
        return -1;
    if (connect(fd, (const struct sockaddr *)&r->backend, sizeof(r->backend)) ||
        fcntl(fd, F_SETFL, O_NONBLOCK)) {
        close(fd);
        return -1;
    }
    return fd;
}

static void accept_client(struct relay *r)
{
    int client_fd = accept4(r->listen_fd, NULL, NULL, SOCK_NONBLOCK);
    int backend_fd;
    struct side *client, *backend;

    if (client_fd < 0)
        return;
    backend_fd = backend_connect(r);
    if (backend_fd < 0) {
        close(client_fd);
        return;
    }
    client = side_new(r, client_fd);
    backend = side_new(r, backend_fd);
    client->peer = backend;
    backend->peer = client;
}

static void side_event(struct relay *r, struct side *s, uint32_t events)
{
    if (s->closed)
        return;
    if (s->kept && (events & EPOLLOUT))
        side_writable(r, s);
    if (s->closed || !(events & (EPOLLIN | EPOLLHUP | EPOLLERR)))
        return;
    if (!s->peer->kept)
        side_readable(r, s);
    else if (events & (EPOLLHUP | EPOLLERR))
        pair_close(r, s); /* its last bytes can't be kept as well: whoever was cut off sees it */
}

static struct sockaddr_in loopback(const char *port)
{
    return (struct sockaddr_in){
        .sin_family = AF_INET,
        .sin_port = htons((uint16_t)strtoul(port, NULL, 10)),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };
}

static void relay_listen(struct relay *r, const char *port)
{
    struct sockaddr_in address = loopback(port);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
    int one = 1;

    r->listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    r->epoll_fd = epoll_create1(0);
    if (r->listen_fd < 0 || r->epoll_fd < 0)
        die("socket");
    if (setsockopt(r->listen_fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) ||
        bind(r->listen_fd, (struct sockaddr *)&address, sizeof(address)) ||
        listen(r->listen_fd, BACKLOG) ||
        epoll_ctl(r->epoll_fd, EPOLL_CTL_ADD, r->listen_fd, &event))
        die("listen");
}

static void relay_run(struct relay *r)
{
    struct epoll_event events[EVENTS_MAX];

    for (;;) {
        int count = epoll_wait(r->epoll_fd, events, EVENTS_MAX, -1);
        for (int i = 0; i < count; i++) {
            if (events[i].data.ptr)
                side_event(r, events[i].data.ptr, events[i].events);
            else
                accept_client(r);
        }
        free_closed(r);
    }
}

int main(int argc, char **argv)
{
    struct relay relay = {.closed = NULL};

    if (argc != 3) {
        fprintf(stderr, "usage: relay LISTEN_PORT BACKEND_PORT\n");
        return 2;
    }
    relay.backend = loopback(argv[2]);
    relay_listen(&relay, argv[1]);
    relay_run(&relay);
    return 0;
}
