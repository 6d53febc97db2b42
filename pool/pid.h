/* Backend pids that clients were told, in what they send.
 *
 * A client's pid is virtual (pool/cancel.h). Functions that take a pid are to reach the backend
 * that the client of this pid has now: so virtual pids in the arguments of pg_cancel_backend,
 * pg_terminate_backend, pg_blocking_pids and their like are replaced, be they numbers, strings,
 * arrays in a string, or parameters. What is not a pid of ours passes as it is; so does the pid of
 * a client that has no backend now, which no server knows.
 *
 * The directory says which pid has which backend. It is written when a link is lent, and never
 * cleared: what it says of a virtual pid counts only while the backend's entry says the same.
 */
#ifndef POOL_PID_H
#define POOL_PID_H

#include <stdbool.h>
#include <stdint.h>

struct pid_directory;
struct writer;

/* Above PID_MAX_LIMIT of Linux (2^22): no server process can have such a pid. Then 6 bits of worker
 * and 20 bits of slot (base/limits.h). */
enum { PID_BASE = 1 << 22, PID_SLOT_BITS = 20 };

/* NULL when memory is out. */
struct pid_directory *pid_directory_new(uint32_t worker_count);
void pid_directory_free(struct pid_directory *directory);

/* The backend of that server (the number of its host's account) now serves the client. By any
 * worker. */
void pid_lent(struct pid_directory *directory, uint32_t host, uint32_t virtual_pid, uint32_t pid);

/* The backend of the client, or 0; the client whose the backend is or was last, or 0. */
uint32_t pid_of_client(struct pid_directory *directory, uint32_t host, uint32_t virtual_pid);
uint32_t pid_client_of(struct pid_directory *directory, uint32_t host, uint32_t pid);

/* Whether a text names a function that takes pids, perhaps in a comment. A quick look. */
bool pid_function_in(const uint8_t *text, uint32_t len);

/* What the text has in the arguments of such functions. */
struct pid_use {
    uint64_t parameters; /* bit n - 1: $n is one, for n up to 64 */
    bool changed;        /* the text has virtual pids, and differs now */
};

/* Appends the text with virtual pids replaced. */
struct pid_use pid_rewrite_text(struct pid_directory *directory, uint32_t host, const uint8_t *text,
                                uint32_t len, struct writer *writer);

/* Appends a Bind's body behind the two names, with these parameters replaced where they are virtual
 * pids. False when the body is not well-formed: it is not to be used then. */
bool pid_rewrite_parameters(struct pid_directory *directory, uint32_t host, uint64_t parameters,
                            const uint8_t *body, uint32_t body_bytes, struct writer *writer);

#endif
