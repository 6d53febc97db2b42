/* What concerns the process as a whole: its descriptors, its signals, what others may see of it. */
#ifndef DAEMON_PROCESS_H
#define DAEMON_PROCESS_H

#include <stdint.h>

/* Ignores SIGPIPE, forbids new privileges and core dumps of our memory (it holds secrets), and
 * takes what would change libpq's connections (PG…) out of the environment. Before any thread
 * starts. */
void process_harden(void);

/* Raises the soft limit of open files to the hard one; returns it. */
uint64_t process_raise_files(void);

/* CPUs that this process may run on, at least 1. */
uint32_t process_cpu_count(void);

#endif
