/* Names to addresses, off the loop.
 *
 * Dials of one name that come while it is being looked up share the answer; nothing is kept after
 * that, so a changed DNS entry is followed at once. The C library's own limits hold for one
 * look-up; whoever asks may stop waiting at any time.
 */
#ifndef DAEMON_RESOLVER_H
#define DAEMON_RESOLVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "base/list.h"

struct worker;

enum { RESOLVER_ADDRESSES_MAX = 16 };

struct resolver_address {
    struct sockaddr_storage address; /* with its port */
    socklen_t bytes;
};

struct resolver_answer {
    const char *error; /* NULL, or why there are none; static storage */
    bool no_name;      /* with an error: for certain, there is no such name or no address of it */
    uint32_t count;
    struct resolver_address addresses[RESOLVER_ADDRESSES_MAX];
};

/* One who waits; embedded in the asker. */
struct resolver_wait {
    struct list node;
    void (*done)(struct resolver_wait *wait, const struct resolver_answer *answer);
};

struct resolver {
    struct worker *worker;
    struct list jobs;
};

void resolver_init(struct resolver *resolver, struct worker *worker);

/* A numeric address needs no resolver: 0, else ERR_BAD_VALUE. */
int resolver_numeric(const char *text, uint16_t port, struct resolver_address *ret_address);

/* The address in figures, as resolver_numeric reads it; "" for what isn't one. */
void resolver_figures(const struct resolver_address *address, char *text, size_t bytes);

/* Looks `host` up; `wait->done` is called later, from the loop, unless resolver_forget comes first.
 * ERR_NO_MEMORY or ERR_LIMIT. */
int resolver_ask(struct resolver *resolver, const char *host, uint16_t port,
                 struct resolver_wait *wait);

/* Harmless on one that does not wait. */
void resolver_forget(struct resolver_wait *wait);

#endif
