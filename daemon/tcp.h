/* What every TCP socket of ours is told, and how a peer that is gone is found out.
 *
 * TCP_USER_TIMEOUT would do it while data is in flight, but it also ends connections whose peer
 * merely does not read for a while (a zero window), which a server's own connection survives. So
 * the kernel is asked (TCP_INFO): data unacknowledged, retransmitted several times, and no
 * acknowledgement of anything for some seconds, is a peer that is gone; one that answers window
 * probes is not. Where nothing is in flight, keepalive does the asking.
 */
#ifndef DAEMON_TCP_H
#define DAEMON_TCP_H

#include <stdbool.h>
#include <stdint.h>

/* TCP_NODELAY and keepalive, patient with clients and less so with servers: a link that waits for a
 * reply which will never come is found within 9 seconds. What the kernel refuses is done
 * without. */
void tcp_tune(int fd, bool is_link);

enum tcp_state {
    TCP_STATE_QUIET, /* nothing in flight */
    TCP_STATE_IN_FLIGHT,
    TCP_STATE_LOST, /* the peer has not acknowledged for `patience_ms` */
};

/* A system call. */
enum tcp_state tcp_look(int fd, uint32_t patience_ms);

#endif
