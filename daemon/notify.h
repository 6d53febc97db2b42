/* Telling systemd how we are: the datagrams of sd_notify(3), written by ourselves.
 *
 * Without $NOTIFY_SOCKET everything here does nothing.
 */
#ifndef DAEMON_NOTIFY_H
#define DAEMON_NOTIFY_H

#include <stdint.h>

struct notify {
    int fd;               /* -1: nobody wants to know */
    uint64_t watchdog_us; /* 0: no WATCHDOG=1 is expected */
};

/* Reads $NOTIFY_SOCKET, $WATCHDOG_USEC and $WATCHDOG_PID, and takes them out of the environment. */
void notify_init(struct notify *notify);
void notify_fini(struct notify *notify);

/* READY=1, also after a reload, with a line for `systemctl status`. */
void notify_ready(const struct notify *notify, const char *status);

/* RELOADING=1 with the monotonic clock, as Type=notify-reload wants it. */
void notify_reloading(const struct notify *notify);

/* STOPPING=1. */
void notify_stopping(const struct notify *notify);

/* WATCHDOG=1. */
void notify_alive(const struct notify *notify);

#endif
