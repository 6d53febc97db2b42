/* What a client is told in place of an error that a server was made to have (struct due_entry's
 * `refused`). */
#ifndef POOL_REFUSAL_H
#define POOL_REFUSAL_H

struct due_entry;
struct report;
struct session;

enum { REFUSAL_DETAIL_BYTES = 256 };

/* `detail` is room of REFUSAL_DETAIL_BYTES, and lives as long as the report. */
struct report refusal_report(const struct session *session, const struct due_entry *entry,
                             char *detail);

#endif
