/* What concerns the process as a whole: its descriptors, its signals, what others may see of it. */
#ifndef DAEMON_PROCESS_H
#define DAEMON_PROCESS_H

#include <stdbool.h>
#include <stdint.h>

struct log;
struct options;

/* Ignores SIGPIPE, forbids new privileges and core dumps of our memory (it holds secrets), and
 * takes what would change libpq's connections (PG…) out of the environment. Before any thread
 * starts. */
void process_harden(void);

/* Raises the main thread's stack, if it is smaller, to LIMIT_STACK_BYTES: it is worker 0's. False
 * when the hard limit is below that. Before anything large is on the stack. */
bool process_raise_stack(void);

/* Raises the soft limit of open files to the hard one; returns it. */
uint64_t process_raise_files(void);

/* Lowers max_clients, with a warning, to what the limit of open files leaves beside the configured
 * server connections: clients must not take the descriptors that their own queries need. For a
 * snapshot that nobody shares yet; any thread. */
void process_fit_clients(struct options *options, struct log *log);

/* CPUs that this process may run on, at least 1. */
uint32_t process_cpu_count(void);

#endif
