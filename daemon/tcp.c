#include "daemon/tcp.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

enum {
    CLIENT_IDLE_S = 15,
    CLIENT_INTERVAL_S = 5,
    LINK_IDLE_S = 3,
    LINK_INTERVAL_S = 2,
    KEEPALIVE_COUNT = 3,
    RETRANSMITS_MIN = 3,
};

static void set(int fd, int level, int name, int value)
{
    (void)setsockopt(fd, level, name, &value, sizeof(value));
}

void tcp_tune(int fd, bool is_link)
{
    set(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    set(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
    set(fd, IPPROTO_TCP, TCP_KEEPIDLE, is_link ? LINK_IDLE_S : CLIENT_IDLE_S);
    set(fd, IPPROTO_TCP, TCP_KEEPINTVL, is_link ? LINK_INTERVAL_S : CLIENT_INTERVAL_S);
    set(fd, IPPROTO_TCP, TCP_KEEPCNT, KEEPALIVE_COUNT);
}

enum tcp_state tcp_look(int fd, uint32_t patience_ms)
{
    struct tcp_info info = {.tcpi_unacked = 0};
    socklen_t bytes = sizeof(info);
    if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &bytes) != 0 || info.tcpi_unacked == 0) {
        return TCP_STATE_QUIET;
    }
    if (info.tcpi_retransmits >= RETRANSMITS_MIN && info.tcpi_last_ack_recv >= patience_ms) {
        return TCP_STATE_LOST;
    }
    return TCP_STATE_IN_FLIGHT;
}
