/* One worker: a thread, its epoll set and libuv loop, its engine, and the sockets that belong to
 * it.
 *
 * A turn: whatever is ready is read first and told to the engine, all of it, and the mail; libuv's
 * loop runs if it has anything due (timers, signals, jobs that come back); then the worker does
 * what the engine wants until it wants nothing more, so that one send per socket and turn carries
 * everything. The clock is read once a turn, when first needed.
 *
 * Worker 0 runs on the main thread, and the control (daemon/server.h) with it: with one worker the
 * whole process has one loop, and nothing crosses threads.
 */
#ifndef DAEMON_WORKER_H
#define DAEMON_WORKER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "base/list.h"
#include "base/slab.h"
#include "daemon/mailbox.h"
#include "daemon/resolver.h"
#include "daemon/watch.h"
#include "pool/engine.h"

struct log;
struct server;
struct shared;
struct snapshot;
struct sock;

/* Ciphertext of one receive, and of one write: several TLS records */
enum { WORKER_SCRATCH_BYTES = 64 * 1024 };

struct worker {
    int epoll_fd;
    uv_loop_t loop;
    struct watch loop_watch; /* libuv's own descriptor in the set */
    bool loop_due;
    uv_timer_t deadline, sweep;
    int wake_fd; /* an eventfd: another thread has put mail while this one slept */
    struct watch wake_watch;

    struct engine *engine;
    uint64_t now_us;
    bool now_known; /* now_us is of this turn */
    bool dirty;     /* the engine was told something since the last flush */
    bool flushing;
    bool stopping;
    uint64_t armed_us; /* when the deadline timer fires; UINT64_MAX: not armed */

    struct slab socks;
    struct sock **by_slot; /* of the engine's handles */
    uint32_t by_slot_count;
    struct sock *dead;   /* freed at the end of the turn */
    struct list nascent; /* clients that have not said a byte yet, oldest first */
    uint32_t jobs;       /* in the thread pool, coming back to this loop */
    bool starved;        /* some socket was offered no room and is to be tried again */

    struct resolver resolver;
    struct snapshot *snapshot;
    uint8_t *scratch_in, *scratch_out; /* WORKER_SCRATCH_BYTES each; made when TLS is first used */

    struct server *server;
    struct log *log;
    uint32_t index;
    uv_thread_t thread; /* of all but worker 0 */
    struct mailbox mailbox;
    struct mail mail;
    _Alignas(64) atomic_uint clients; /* accepted for it and not closed; control reads it */
    atomic_uint pongs;                /* of the watchdog */
};

struct worker_setup {
    uint32_t index;
    struct server *server;
    struct log *log;
    struct shared *shared;
    struct snapshot *snapshot; /* the worker takes its own reference */
    uint8_t secret[32];
    uint64_t seed;
};

/* Makes loop and engine; nothing runs yet. ERR_NO_MEMORY or ERR_IO; fini undoes a success only, on
 * the thread that ran the loop or after it has ended. */
int worker_init(struct worker *worker, const struct worker_setup *setup);
void worker_fini(struct worker *worker);

/* Serves until worker_stop. */
void worker_run(struct worker *worker);

/* Ends worker_run; on the worker's own thread. */
void worker_stop(struct worker *worker);

/* Hands a message over, from any thread; `from` is the calling worker. A message to itself is done
 * at once, without a wake-up. Never fails: where memory is out the process ends. */
void worker_post(struct worker *from, struct worker *to, const struct message *message);

/* The time of this turn, in microseconds of the monotonic clock. */
static inline uint64_t worker_now_us(struct worker *worker)
{
    if (!worker->now_known) {
        worker->now_us = uv_hrtime() / 1000;
        worker->now_known = true;
    }
    return worker->now_us;
}

/* Tells the engine; `event` gets its time here. */
void worker_step(struct worker *worker, struct event *event);

/* The socket of a live handle, or NULL. */
static inline struct sock *worker_sock(const struct worker *worker, struct handle handle)
{
    return handle.slot < worker->by_slot_count ? worker->by_slot[handle.slot] : NULL;
}

/* Makes room for the handle's slot, so that worker_bind cannot fail. ERR_NO_MEMORY. */
int worker_reserve(struct worker *worker, uint32_t slot);

/* The socket that `handle` means from now on; NULL for none. */
void worker_bind(struct worker *worker, struct handle handle, struct sock *sock);

/* Has idle sockets looked after again soon (daemon/sweep.h). */
void worker_want_sweep(struct worker *worker);

#endif
