#include "daemon/listener.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/error.h"
#include "base/list.h"
#include "base/writer.h"
#include "config/units.h"
#include "daemon/log.h"
#include "daemon/server.h"
#include "daemon/tcp.h"
#include "daemon/watch.h"
#include "daemon/worker.h"
#include "pool/engine.h"
#include "protocol/report.h"

enum {
    BACKLOG = 4096, /* the kernel caps it at net.core.somaxconn */
    ACCEPTS_PER_TURN = 64,
    PAUSE_MS = 100,
    TELL_AGAIN_MS = 10000,
    SYSTEMD_FD_FIRST = 3, /* SD_LISTEN_FDS_START of sd_listen_fds(3) */
    SYSTEMD_FDS_MAX = 64,
};

union address {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
    struct sockaddr_un local;
    struct sockaddr_storage storage;
};

struct listener {
    struct watch watch;
    int fd;
    int family;
    bool ours; /* made by us: a Unix socket's file is ours to remove */
    dev_t device;
    ino_t inode; /* of that file */
    struct listeners *owner;
    char path[LISTEN_PATH_BYTES];
    char name[128]; /* for people */
};

static void describe(struct listener *listener, const union address *address)
{
    char text[INET6_ADDRSTRLEN] = "";
    listener->family = address->any.sa_family;
    if (address->any.sa_family == AF_INET) {
        inet_ntop(AF_INET, &address->v4.sin_addr, text, sizeof(text));
        snprintf(listener->name, sizeof(listener->name), "%s:%u", text,
                 ntohs(address->v4.sin_port));
    } else if (address->any.sa_family == AF_INET6) {
        inet_ntop(AF_INET6, &address->v6.sin6_addr, text, sizeof(text));
        snprintf(listener->name, sizeof(listener->name), "[%s]:%u", text,
                 ntohs(address->v6.sin6_port));
    } else {
        snprintf(listener->name, sizeof(listener->name), "unix:%s", address->local.sun_path);
    }
}

/* Takes the bound descriptor; ERR_NO_MEMORY leaves it to the caller. */
static int add(struct listeners *listeners, int fd, bool ours)
{
    union address address = {.storage = {.ss_family = AF_UNSPEC}};
    socklen_t bytes = sizeof(address);
    if (listeners->count == listeners->capacity) {
        uint32_t capacity = listeners->capacity == 0 ? 8 : listeners->capacity * 2;
        struct listener *all = realloc(listeners->all, capacity * sizeof(*all));
        if (all == NULL) {
            return ERR_NO_MEMORY;
        }
        listeners->all = all;
        listeners->capacity = capacity;
    }
    struct listener *listener = &listeners->all[listeners->count];
    *listener = (struct listener){.fd = fd, .ours = ours};
    (void)getsockname(fd, &address.any, &bytes);
    describe(listener, &address);
    if (listener->family == AF_UNIX) {
        struct stat status;
        memcpy(listener->path, address.local.sun_path, sizeof(listener->path) - 1);
        if (stat(listener->path, &status) == 0) {
            listener->device = status.st_dev;
            listener->inode = status.st_ino;
        }
    } else {
        /* What is accepted inherits these on Linux: no system call per client. */
        tcp_tune(fd, false);
    }
    listeners->count++;
    return 0;
}

static int fail(char *ret_error, const char *what, const char *address, int error_number)
{
    snprintf(ret_error, LISTENERS_ERROR_BYTES, "cannot %s %s: %s", what, address,
             strerror(error_number));
    return ERR_IO;
}

/* --- Unix sockets ---------------------------------------------------------------------------- */

/* A file that nobody listens behind is left from a process that was killed. */
static bool is_stale(const union address *address)
{
    struct stat status;
    if (lstat(address->local.sun_path, &status) != 0 || !S_ISSOCK(status.st_mode)) {
        return false;
    }
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return false;
    }
    bool stale = connect(fd, &address->any, sizeof(address->local)) != 0 && errno == ECONNREFUSED;
    close(fd);
    return stale;
}

static int open_unix(struct listeners *listeners, const char *path, char *ret_error)
{
    union address address = {.local = {.sun_family = AF_UNIX}};
    memccpy(address.local.sun_path, path, '\0', sizeof(address.local.sun_path) - 1);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return fail(ret_error, "open a socket for", path, errno);
    }
    int bound = bind(fd, &address.any, sizeof(address.local));
    if (bound != 0 && errno == EADDRINUSE && is_stale(&address)) {
        unlink(path);
        bound = bind(fd, &address.any, sizeof(address.local));
    }
    /* 0777 is PostgreSQL's default (unix_socket_permissions): who may log in is auth's matter. */
    if (bound != 0 || chmod(path, 0777) != 0 || listen(fd, BACKLOG) != 0) {
        int error_number = errno;
        close(fd);
        return fail(ret_error, "listen on unix socket", path, error_number);
    }
    int code = add(listeners, fd, true);
    if (code != 0) {
        close(fd);
    }
    return code;
}

/* --- TCP ------------------------------------------------------------------------------------- */

static int open_tcp(struct listeners *listeners, const struct addrinfo *info, const char *name,
                    char *ret_error)
{
    int on = 1;
    int fd = socket(info->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return fail(ret_error, "open a socket for", name, errno);
    }
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (info->ai_family == AF_INET6) {
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
    }
    if (bind(fd, info->ai_addr, info->ai_addrlen) != 0 || listen(fd, BACKLOG) != 0) {
        int error_number = errno;
        close(fd);
        return fail(ret_error, "listen on", name, error_number);
    }
    int code = add(listeners, fd, true);
    if (code != 0) {
        close(fd);
    }
    return code;
}

/* Whether systemd has given us this address already. */
static bool is_inherited(const struct listeners *listeners, const struct addrinfo *info,
                         const char *path)
{
    struct listener wanted = {.fd = -1};
    if (info != NULL) {
        describe(&wanted, (const union address *)(const void *)info->ai_addr);
    } else {
        snprintf(wanted.name, sizeof(wanted.name), "unix:%s", path);
    }
    for (uint32_t i = 0; i < listeners->count; i++) {
        if (!listeners->all[i].ours && strcmp(listeners->all[i].name, wanted.name) == 0) {
            return true;
        }
    }
    return false;
}

static int open_address(struct listeners *listeners, const char *text, char *ret_error)
{
    const struct addrinfo hints = {
        .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE};
    struct listen_address address;
    struct addrinfo *infos = NULL;
    char service[8];
    if (units_parse_listen(text, &address) != 0) {
        snprintf(ret_error, LISTENERS_ERROR_BYTES, "listen: \"%s\" is no address", text);
        return ERR_CONFIG;
    }
    if (address.path[0] != '\0') {
        return is_inherited(listeners, NULL, address.path)
                   ? 0
                   : open_unix(listeners, address.path, ret_error);
    }
    bool every = strcmp(address.host, "*") == 0;
    snprintf(service, sizeof(service), "%u", address.port);
    int status = getaddrinfo(every ? NULL : address.host, service, &hints, &infos);
    if (status != 0) {
        snprintf(ret_error, LISTENERS_ERROR_BYTES, "cannot listen on %s: %s", text,
                 gai_strerror(status));
        return ERR_IO;
    }
    int code = ERR_IO;
    for (const struct addrinfo *info = infos; info != NULL; info = info->ai_next) {
        int one =
            is_inherited(listeners, info, NULL) ? 0 : open_tcp(listeners, info, text, ret_error);
        /* Of "*" one family is enough, as on a machine without IPv6. */
        code = one == 0 || (every && code == 0) ? 0 : one;
        if (one != 0 && !every) {
            break;
        }
    }
    freeaddrinfo(infos);
    return code;
}

/* --- systemd --------------------------------------------------------------------------------- */

static int take_inherited(struct listeners *listeners)
{
    const char *count_text = getenv("LISTEN_FDS");
    const char *pid_text = getenv("LISTEN_PID");
    long count = 0;
    if (count_text != NULL && pid_text != NULL && strtol(pid_text, NULL, 10) == getpid()) {
        count = strtol(count_text, NULL, 10);
    }
    unsetenv("LISTEN_FDS");
    unsetenv("LISTEN_PID");
    unsetenv("LISTEN_FDNAMES");
    for (int i = 0; i < count && i < SYSTEMD_FDS_MAX; i++) {
        int fd = SYSTEMD_FD_FIRST + i;
        int listening = 0;
        socklen_t bytes = sizeof(listening);
        if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &bytes) != 0 || !listening) {
            continue;
        }
        fcntl(fd, F_SETFD, FD_CLOEXEC);
        fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
        if (add(listeners, fd, false) != 0) {
            return ERR_NO_MEMORY;
        }
    }
    return 0;
}

int listeners_open(struct listeners *listeners, char *const *addresses, uint32_t address_count,
                   char ret_error[LISTENERS_ERROR_BYTES])
{
    *listeners = (struct listeners){.reserve_fd = -1, .open = true};
    snprintf(ret_error, LISTENERS_ERROR_BYTES, "%s", error_message(ERR_NO_MEMORY));
    listeners->reserve_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    int code = take_inherited(listeners);
    for (uint32_t i = 0; i < address_count && code == 0; i++) {
        code = open_address(listeners, addresses[i], ret_error);
    }
    if (code != 0) {
        listeners_close(listeners);
    }
    return code;
}

/* --- accepting ------------------------------------------------------------------------------- */

static struct origin origin_of(int fd, const union address *address)
{
    struct origin origin = {.family = 0};
    if (address->any.sa_family == AF_INET) {
        origin.family = 4;
        origin.port = ntohs(address->v4.sin_port);
        memcpy(origin.address, &address->v4.sin_addr, 4);
    } else if (address->any.sa_family == AF_INET6) {
        origin.family = 6;
        origin.port = ntohs(address->v6.sin6_port);
        memcpy(origin.address, &address->v6.sin6_addr, 16);
    } else {
        struct ucred peer = {.uid = (uid_t)-1};
        socklen_t bytes = sizeof(peer);
        origin.is_unix = true;
        (void)getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &bytes);
        origin.unix_uid = peer.uid;
    }
    return origin;
}

static void turn_away(int fd)
{
    struct writer writer;
    writer_init(&writer);
    report_write(&writer, &(struct report){.fatal = true,
                                           .code = ERR_TOO_MANY_CLIENTS,
                                           .detail = "The proxy has no descriptor left."});
    if (!writer.failed) {
        (void)send(fd, writer.bytes, writer.len, MSG_NOSIGNAL | MSG_DONTWAIT);
    }
    writer_fini(&writer);
    char unread[1024];
    (void)recv(fd, unread, sizeof(unread), MSG_DONTWAIT);
    close(fd);
}

/* EPOLLIN: clients are accepted; 0: not for now. ERR_NO_MEMORY. */
static int listen_for(struct listeners *listeners, uint32_t events)
{
    int code = 0;
    for (uint32_t i = 0; i < listeners->count && listeners->worker != NULL; i++) {
        struct listener *listener = &listeners->all[i];
        int one = watch_set(listeners->worker->epoll_fd, listener->fd, &listener->watch, events);
        code = one != 0 ? one : code;
    }
    return code;
}

static void on_pause_over(uv_timer_t *timer)
{
    struct listeners *listeners = timer->data;
    if (listen_for(listeners, EPOLLIN) != 0) {
        uv_timer_start(timer, on_pause_over, PAUSE_MS, 0);
    }
}

static void out_of_descriptors(struct listeners *listeners, int listener_fd, int error_number)
{
    uint64_t now_ms = worker_now_us(listeners->worker) / 1000;
    if (listeners->told_ms == 0 || now_ms - listeners->told_ms >= TELL_AGAIN_MS) {
        listeners->told_ms = now_ms;
        log_line(listeners->log, LOG_ERROR, LOG_NO_WORKER,
                 "cannot accept clients: %s; trying again every %d ms", strerror(error_number),
                 PAUSE_MS);
    }
    if (listeners->reserve_fd >= 0) {
        close(listeners->reserve_fd);
        int fd = accept4(listener_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            turn_away(fd);
        }
        listeners->reserve_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    }
    (void)listen_for(listeners, 0);
    uv_timer_start(&listeners->pause, on_pause_over, PAUSE_MS, 0);
}

static void on_ready(struct watch *watch, uint32_t events)
{
    const struct listener *listener = CONTAINER_OF(watch, struct listener, watch);
    struct listeners *listeners = listener->owner;
    (void)events;
    for (int i = 0; i < ACCEPTS_PER_TURN; i++) {
        union address address = {.storage = {.ss_family = AF_UNSPEC}};
        socklen_t bytes = sizeof(address);
        int fd = accept4(listener->fd, &address.any, &bytes, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            const struct origin origin = origin_of(fd, &address);
            server_hand_out(listeners->server, fd, &origin);
        } else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
            out_of_descriptors(listeners, listener->fd, errno);
            return;
        } else if (errno != EINTR && errno != ECONNABORTED) {
            return; /* EAGAIN: all have been accepted */
        }
    }
}

int listeners_start(struct listeners *listeners, struct worker *worker, struct server *server,
                    struct log *log)
{
    listeners->worker = worker;
    listeners->server = server;
    listeners->log = log;
    uv_timer_init(&worker->loop, &listeners->pause);
    listeners->pause.data = listeners;
    for (uint32_t i = 0; i < listeners->count; i++) {
        struct listener *listener = &listeners->all[i];
        listener->owner = listeners;
        listener->watch.ready = on_ready;
    }
    return listen_for(listeners, EPOLLIN);
}

static void remove_file(const struct listener *listener)
{
    struct stat status;
    if (listener->ours && listener->path[0] == '/' && lstat(listener->path, &status) == 0 &&
        status.st_dev == listener->device && status.st_ino == listener->inode) {
        unlink(listener->path);
    }
}

void listeners_close(struct listeners *listeners)
{
    if (!listeners->open) {
        return;
    }
    (void)listen_for(listeners, 0); /* systemd keeps its own open: closing ours would not do */
    for (uint32_t i = 0; i < listeners->count; i++) {
        const struct listener *listener = &listeners->all[i];
        remove_file(listener);
        close(listener->fd);
    }
    if (listeners->worker != NULL) {
        uv_timer_stop(&listeners->pause);
    }
    if (listeners->reserve_fd >= 0) {
        close(listeners->reserve_fd);
    }
    free(listeners->all);
    listeners->all = NULL;
    listeners->count = listeners->capacity = 0;
    listeners->open = false;
}

void listeners_describe(const struct listeners *listeners, char *ret_text, uint32_t text_bytes)
{
    size_t used = 0;
    ret_text[0] = '\0';
    for (uint32_t i = 0; i < listeners->count && used < text_bytes; i++) {
        int written = snprintf(ret_text + used, text_bytes - used, "%s%s", i > 0 ? ", " : "",
                               listeners->all[i].name);
        used += written > 0 ? (size_t)written : 0;
    }
}
