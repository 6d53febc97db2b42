#include "daemon/watch.h"

#include <errno.h>
#include <stddef.h>
#include <sys/epoll.h>

#include "base/assert.h"
#include "base/error.h"

int watch_set(int epoll_fd, int fd, struct watch *watch, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.ptr = watch};
    int how = EPOLL_CTL_MOD;
    if (events == watch->events) {
        return 0;
    }
    if (watch->events == 0) {
        how = EPOLL_CTL_ADD;
    } else if (events == 0) {
        how = EPOLL_CTL_DEL;
    }
    if (epoll_ctl(epoll_fd, how, fd, &event) != 0) {
        ASSERT(how == EPOLL_CTL_ADD && (errno == ENOMEM || errno == ENOSPC));
        return ERR_NO_MEMORY;
    }
    watch->events = events;
    return 0;
}

void watch_tell(const struct epoll_event *events, int count)
{
    for (int i = 0; i < count; i++) {
        struct watch *watch = events[i].data.ptr;
        if (watch->ready != NULL) {
            watch->ready(watch, events[i].events);
        }
    }
}
