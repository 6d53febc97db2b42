#include "daemon/dial.h"

#include <errno.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/error.h"
#include "base/limits.h"
#include "daemon/resolver.h"
#include "daemon/socket.h"
#include "daemon/tcp.h"
#include "daemon/watch.h"
#include "daemon/worker.h"
#include "pool/options.h"

enum { WHY_BYTES = 384 };

struct dial {
    struct watch watch; /* of the attempt under way */
    struct sock *sock;  /* NULL once abandoned */
    struct worker *worker;
    struct resolver_wait wait;
    struct resolver_answer answer;
    uint32_t next; /* address to be tried */
    int fd;        /* of the attempt under way; -1 */
    uint16_t port;
    char host[256];                    /* for messages */
    char address[LIMIT_ADDRESS_BYTES]; /* of the attempt under way; "" = a Unix socket */
    char why[WHY_BYTES];               /* of the last attempt that failed */
};

static void try_next(struct dial *dial);

/* Tells the engine. `code` 0: dial->fd is connected and goes to the socket. */
static void finish(struct dial *dial, int code)
{
    struct sock *sock = dial->sock;
    struct event event = {.kind = EVENT_DIALED, .handle = sock->handle};
    sock->flags &= (uint16_t)~SOCK_DIALING;
    sock->dial = NULL;
    if (code == 0 && (sock->flags & SOCK_TCP) != 0) {
        tcp_tune(dial->fd, true);
    }
    if (code == 0 && sock_attach(sock, dial->fd) != 0) {
        close(dial->fd);
        snprintf(dial->why, sizeof(dial->why), "the socket cannot be watched");
        code = ERR_CONNECT;
    }
    event.code = code;
    event.text = code != 0 ? dial->why : dial->address[0] != '\0' ? dial->address : NULL;
    worker_step(dial->worker, &event);
}

static void explain(struct dial *dial, int error_number)
{
    if (dial->host[0] == '/') {
        snprintf(dial->why, sizeof(dial->why),
                 "connection to server on socket \"%s/.s.PGSQL.%u\" failed: %s", dial->host,
                 dial->port, strerror(error_number));
    } else { /* as libpq, whose users look for it */
        bool is_name = strcmp(dial->host, dial->address) != 0;
        snprintf(dial->why, sizeof(dial->why),
                 "connection to server at \"%s\"%s%s%s, port %u failed: %s", dial->host,
                 is_name ? " (" : "", is_name ? dial->address : "", is_name ? ")" : "", dial->port,
                 strerror(error_number));
    }
}

/* The attempt is decided: connected, or not. */
static void on_ready(struct watch *watch, uint32_t events)
{
    struct dial *dial = CONTAINER_OF(watch, struct dial, watch);
    int error_number = 0;
    socklen_t bytes = sizeof(error_number);
    if (getsockopt(dial->fd, SOL_SOCKET, SO_ERROR, &error_number, &bytes) != 0) {
        error_number = errno;
    }
    if (error_number == 0 && (events & EPOLLERR) != 0) {
        error_number = ECONNREFUSED;
    }
    /* The descriptor leaves this watch for the socket's own. */
    (void)watch_set(dial->worker->epoll_fd, dial->fd, watch, 0);
    if (error_number != 0) {
        explain(dial, error_number);
        close(dial->fd);
        dial->fd = -1;
        try_next(dial);
        return;
    }
    finish(dial, 0);
    free(dial);
}

/* Waits for the kernel's verdict on dial->fd; false when that is impossible. */
static bool await(struct dial *dial)
{
    dial->watch.ready = on_ready;
    return watch_set(dial->worker->epoll_fd, dial->fd, &dial->watch, EPOLLOUT) == 0;
}

/* Begins to connect to each address in turn until one is under way, connected, or none is left. */
static void try_next(struct dial *dial)
{
    while (dial->next < dial->answer.count) {
        const struct resolver_address *to = &dial->answer.addresses[dial->next++];
        int family = to->address.ss_family;
        if (family != AF_UNIX) {
            resolver_figures(to, dial->address, sizeof(dial->address));
        }
        dial->fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        if (dial->fd < 0) {
            explain(dial, errno);
            continue;
        }
        dial->sock->flags = (uint16_t)(family == AF_UNIX ? dial->sock->flags & ~SOCK_TCP
                                                         : dial->sock->flags | SOCK_TCP);
        if (connect(dial->fd, (const struct sockaddr *)&to->address, to->bytes) == 0) {
            finish(dial, 0);
            free(dial);
            return;
        }
        int error_number = errno;
        if (error_number == EINPROGRESS && await(dial)) {
            return;
        }
        explain(dial, error_number);
        close(dial->fd);
        dial->fd = -1;
    }
    finish(dial, ERR_CONNECT);
    free(dial);
}

static void on_resolved(struct resolver_wait *wait, const struct resolver_answer *answer)
{
    struct dial *dial = CONTAINER_OF(wait, struct dial, wait);
    dial->answer = *answer;
    if (answer->error != NULL) {
        snprintf(dial->why, sizeof(dial->why),
                 "could not translate host name \"%s\" to address: %s", dial->host, answer->error);
    }
    try_next(dial);
}

static void use_unix(struct dial *dial)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int length = snprintf(address.sun_path, sizeof(address.sun_path), "%s/.s.PGSQL.%u", dial->host,
                          dial->port);
    if (length < 0 || (size_t)length >= sizeof(address.sun_path)) {
        explain(dial, ENAMETOOLONG);
        return;
    }
    struct resolver_address *to = &dial->answer.addresses[0];
    memcpy(&to->address, &address, sizeof(address));
    to->bytes = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + (size_t)length + 1);
    dial->answer.count = 1;
}

/* What was given in figures needs no look-up; `address` goes before the name. */
static bool use_figures(struct dial *dial, const char *name, const char *address)
{
    struct resolver_address *first = &dial->answer.addresses[0];
    bool known = resolver_numeric(address, dial->port, first) == 0 ||
                 resolver_numeric(name, dial->port, first) == 0;
    dial->answer.count = known;
    return known;
}

static void begin(struct dial *dial, const struct server_options *server, const char *address)
{
    const char *name = server->hostaddr != NULL ? server->hostaddr : server->host;
    if (name == NULL) {
        name = "localhost";
    }
    dial->port = server->port;
    snprintf(dial->host, sizeof(dial->host), "%s", name);
    snprintf(dial->why, sizeof(dial->why), "host name \"%s\" cannot be looked up", dial->host);
    list_init(&dial->wait.node);
    dial->wait.done = on_resolved;
    if (name[0] == '/') {
        use_unix(dial);
    } else if (use_figures(dial, name, address)) {
        /* nothing to look up */
    } else if (resolver_ask(&dial->worker->resolver, name, server->port, &dial->wait) == 0) {
        return;
    }
    try_next(dial);
}

void dial_start(struct worker *worker, struct handle handle)
{
    const struct server_options *server = engine_server(worker->engine, handle);
    struct sock *sock = server != NULL ? sock_new(worker) : NULL;
    struct dial *dial = calloc(1, sizeof(*dial));
    if (sock == NULL || dial == NULL || worker_reserve(worker, handle.slot) != 0) {
        struct event event = {.kind = EVENT_DIALED,
                              .handle = handle,
                              .code = ERR_NO_MEMORY,
                              .text = error_message(ERR_NO_MEMORY)};
        if (sock != NULL) {
            slab_free(&worker->socks, sock);
        }
        free(dial);
        worker_step(worker, &event);
        return;
    }
    sock->handle = handle;
    sock->flags = SOCK_DIALING;
    sock->dial = dial;
    worker_bind(worker, handle, sock);
    dial->sock = sock;
    dial->worker = worker;
    dial->fd = -1;
    begin(dial, server, engine_address(worker->engine, handle));
}

void dial_abandon(struct dial *dial)
{
    if (list_linked(&dial->wait.node)) {
        resolver_forget(&dial->wait);
        free(dial);
    } else {
        ASSERT(dial->watch.events != 0); /* an attempt is under way */
        close(dial->fd);
        free(dial);
    }
}
