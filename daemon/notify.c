#include "daemon/notify.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

static int open_socket(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t bytes = strlen(path);
    if ((path[0] != '/' && path[0] != '@') || bytes >= sizeof(address.sun_path)) {
        return -1;
    }
    memcpy(address.sun_path, path, bytes);
    if (path[0] == '@') {
        address.sun_path[0] = '\0'; /* an abstract name, unix(7) */
    }
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) {
        return -1;
    }
    socklen_t length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + bytes);
    if (connect(fd, (const struct sockaddr *)&address, length) != 0) {
        close(fd);
        return -1;
    }
    return fd;
}

void notify_init(struct notify *notify)
{
    *notify = (struct notify){.fd = -1};
    const char *path = getenv("NOTIFY_SOCKET");
    const char *watchdog = getenv("WATCHDOG_USEC");
    const char *watchdog_pid = getenv("WATCHDOG_PID");
    if (path != NULL) {
        notify->fd = open_socket(path);
    }
    if (watchdog != NULL && (watchdog_pid == NULL || strtoll(watchdog_pid, NULL, 10) == getpid())) {
        notify->watchdog_us = strtoull(watchdog, NULL, 10);
    }
    unsetenv("NOTIFY_SOCKET");
    unsetenv("WATCHDOG_USEC");
    unsetenv("WATCHDOG_PID");
}

void notify_fini(struct notify *notify)
{
    if (notify->fd >= 0) {
        close(notify->fd);
    }
    notify->fd = -1;
}

static void send_state(const struct notify *notify, const char *state)
{
    if (notify->fd >= 0) {
        /* A supervisor that is gone is no reason to stop serving. */
        (void)send(notify->fd, state, strlen(state), MSG_NOSIGNAL);
    }
}

void notify_ready(const struct notify *notify, const char *status)
{
    char state[256];
    snprintf(state, sizeof(state), "READY=1\nSTATUS=%s", status);
    send_state(notify, state);
}

void notify_reloading(const struct notify *notify)
{
    struct timespec now;
    char state[96];
    clock_gettime(CLOCK_MONOTONIC, &now);
    snprintf(state, sizeof(state), "RELOADING=1\nMONOTONIC_USEC=%llu",
             (unsigned long long)now.tv_sec * 1000000ULL +
                 (unsigned long long)now.tv_nsec / 1000ULL);
    send_state(notify, state);
}

void notify_stopping(const struct notify *notify)
{
    send_state(notify, "STOPPING=1");
}

void notify_alive(const struct notify *notify)
{
    send_state(notify, "WATCHDOG=1");
}
