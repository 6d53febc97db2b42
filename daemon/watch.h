/* Descriptors that a worker waits for: an epoll set of its own, beside libuv's loop, which is one
 * of the descriptors in it.
 *
 * Sockets are most of what a worker does. Under uv_poll_t each took 160 bytes more, four system
 * calls more when it came and went, and a detour for every event; libuv keeps what is rare: timers,
 * signals, the thread pool.
 */
#ifndef DAEMON_WATCH_H
#define DAEMON_WATCH_H

#include <stdint.h>

struct epoll_event;

struct watch {
    /* Gets epoll's events, of which EPOLLERR and EPOLLHUP come unasked. NULL: nobody is left to be
     * told; the memory must last until the end of the turn, which may have an event for it yet. */
    void (*ready)(struct watch *watch, uint32_t events);
    uint32_t events; /* asked for; 0: the descriptor is not in the set */
};

/* Asks for EPOLLIN, EPOLLOUT, EPOLLRDHUP from now on, 0 for none at all. ERR_NO_MEMORY, which only
 * a descriptor that was not in the set can meet. */
int watch_set(int epoll_fd, int fd, struct watch *watch, uint32_t events);

/* Tells the watches of what epoll_wait has found. */
void watch_tell(const struct epoll_event *events, int count);

#endif
