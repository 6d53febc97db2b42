/* Backend pids that clients were told, in what they send.
 *
 * A client's pid is virtual (pool/cancel.h). Functions that take a pid are to reach the backend
 * that the client of this pid has now: so virtual pids in the arguments of pg_cancel_backend,
 * pg_terminate_backend, pg_blocking_pids and their like are replaced, be they numbers, strings,
 * arrays in a string, or parameters. What is not a pid of ours passes as it is; so does the pid of
 * a client that has no backend now, which no server knows.
 *
 * The directory says which pid has which backend. It is written when a link is lent; a backend's
 * entry is cleared when the backend has ended, since another process may get its pid, a client's
 * never: what it says of a virtual pid counts only while the backend's entry says the same. That
 * is enough for functions that look: they may find that the backend serves another client by now.
 * Those that signal (pg_cancel_backend, pg_terminate_backend) must not: what stands for their pids
 * the caller says, who has seen to it that it stays so (pool/pid_hold.h).
 */
#ifndef POOL_PID_H
#define POOL_PID_H

#include <stdbool.h>
#include <stdint.h>

#include "base/handle.h"

struct pid_directory;
struct writer;

/* Above PID_MAX_LIMIT of Linux (2^22): no server process can have such a pid. Then, from the
 * lowest, 20 bits of slot and 6 of worker (base/limits.h), and one of PID_TIMES numbers for the
 * clients that have the slot one after the other: as much as fits into an int4. */
enum { PID_BASE = 1 << 22, PID_SLOT_BITS = 20, PID_WORKER_BITS = 6, PID_TIMES = 31 };

/* The pid of the client at that slot of that worker. */
uint32_t pid_make(uint32_t worker, struct handle handle);

/* Where the client of a pid is. False: no client has such a pid. */
bool pid_place(uint32_t pid, uint32_t *ret_worker, uint32_t *ret_slot);

/* NULL when memory is out. */
struct pid_directory *pid_directory_new(uint32_t worker_count);
void pid_directory_free(struct pid_directory *directory);

/* The backend of that server (the number of its host's account) now serves the client. By any
 * worker. */
void pid_lent(struct pid_directory *directory, uint32_t host, uint32_t virtual_pid, uint32_t pid);

/* The backend has ended, and with it what is said of its pid. */
void pid_ended(struct pid_directory *directory, uint32_t host, uint32_t pid);

/* The backend of the client, or 0; the client whose the backend is or was last, or 0. */
uint32_t pid_of_client(struct pid_directory *directory, uint32_t host, uint32_t virtual_pid);
uint32_t pid_client_of(struct pid_directory *directory, uint32_t host, uint32_t pid);

/* Whether a text names a function that takes pids, perhaps in a comment. A quick look. */
bool pid_function_in(const uint8_t *text, uint32_t len);

/* Pids that a text signals: of clients, and of the backends that stand for them (0: none). */
enum { PID_SIGNALS_MAX = 16 };

struct pid_signals {
    uint32_t count;
    bool terminates; /* pg_terminate_backend is called */
    struct {
        uint32_t virtual_pid, pid;
    } items[PID_SIGNALS_MAX];
};

/* By what pids are replaced. */
struct pid_view {
    struct pid_directory *directory;
    uint32_t host;
    struct pid_signals *signals; /* what is not among them is added; NULL: such pids stay */
};

/* What the text has in the arguments of such functions. */
struct pid_use {
    uint64_t parameters; /* bit n - 1: $n is one, for n up to 64 */
    uint64_t signalled;  /* those of them that are signalled */
    bool changed;        /* the text has virtual pids, and differs now */
};

/* Appends the text with virtual pids replaced. */
struct pid_use pid_rewrite_text(const struct pid_view *view, const uint8_t *text, uint32_t len,
                                struct writer *writer);

/* Appends a Bind's body behind the two names, with the parameters of a text replaced where they are
 * virtual pids. False when the body is not well-formed: it is not to be used then. */
bool pid_rewrite_parameters(const struct pid_view *view, const struct pid_use *use,
                            const uint8_t *body, uint32_t body_bytes, struct writer *writer);

#endif
