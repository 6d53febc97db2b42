/* The one writer of logs: a line on stderr, as text or as a JSON object.
 *
 * Any thread may write. A reader of our stderr that has stopped reading never stops a worker: a
 * line that would not fit the pipe at once is dropped and counted, and the count is told when
 * there is room again. Control characters in a line are masked, so that no client can forge one.
 */
#ifndef DAEMON_LOG_H
#define DAEMON_LOG_H

#include <stdbool.h>
#include <stdint.h>

#include "pool/engine.h"

struct log;

enum { LOG_LINE_BYTES = 2048, LOG_NO_WORKER = -1 };

/* Writes to `fd`, which stays the caller's. NULL when memory is out. */
struct log *log_new(int fd);
void log_free(struct log *log);

/* From now on lines up to `level` are written. Any thread. */
void log_configure(struct log *log, enum log_event_level level, bool json);

/* Whether a line of that level is written; a single load. */
bool log_wants(const struct log *log, enum log_event_level level);

/* One line; `worker` is an index or LOG_NO_WORKER. Cut at LOG_LINE_BYTES. */
void log_text(struct log *log, enum log_event_level level, int worker, const char *text);

/* A line that is written at any level: what others wait for. */
void log_announce(struct log *log, const char *text);

/* As log_text, formatted. */
__attribute__((format(printf, 4, 5))) void log_line(struct log *log, enum log_event_level level,
                                                    int worker, const char *format, ...);

#endif
