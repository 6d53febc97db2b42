/* One libpq connection on a worker's loop, without blocking: it logs in, is asked one question at a
 * time, and tells when something has come of it.
 *
 *   NONE --connect--> CONNECTING --READY--> IDLE --ask--> BUSY --ANSWERED--> IDLE
 *     ^                                                                        |
 *     +--- BROKEN, from any state; pq_line_close ------------------------------+
 *
 * News may come while the function that causes it is still at work. A socket is registered once per
 * connection: a question and its answer cost one send, one receive and no change of the epoll set.
 */
#ifndef DAEMON_PQ_LINE_H
#define DAEMON_PQ_LINE_H

#include <stdbool.h>
#include <stdint.h>

#include "daemon/pq.h"
#include "daemon/watch.h"

enum pq_line_state { PQ_LINE_NONE, PQ_LINE_CONNECTING, PQ_LINE_IDLE, PQ_LINE_BUSY };

enum pq_line_news {
    PQ_LINE_READY,    /* logged in */
    PQ_LINE_ANSWERED, /* all results are in; the last can be looked at until the next question */
    PQ_LINE_BROKEN,   /* by then closed */
};

enum { PQ_LINE_WHY_BYTES = 160 };

struct pq_line {
    enum pq_line_state state;
    int epoll_fd, fd;
    struct watch watch;
    struct pg_conn *connection;
    struct pg_result *result;    /* the last one */
    char why[PQ_LINE_WHY_BYTES]; /* of what went wrong last, for people */
    bool shut_out;               /* of BROKEN: the server answered, and did not let us in */
    void (*heard)(struct pq_line *line, enum pq_line_news news);
};

void pq_line_init(struct pq_line *line, int epoll_fd,
                  void (*heard)(struct pq_line *line, enum pq_line_news news));

/* From NONE; as pq_begin. */
void pq_line_connect(struct pq_line *line, const struct pq_login *login, const char *address,
                     const char *application_name);

/* From IDLE. Simple queries, of whose results the last counts; or a statement that was prepared
 * without parameters, whose results come in binary. */
void pq_line_ask(struct pq_line *line, const char *query);
void pq_line_execute(struct pq_line *line, const char *statement);

/* To NONE, from any state; the loop runs, or (pq_line_free) it has ended. Nothing is told. */
void pq_line_close(struct pq_line *line);
void pq_line_free(struct pq_line *line);

/* --- the last result, in state IDLE ----------------------------------------------------------- */

/* Whether it is one row of that many columns; if not, `why` tells. */
bool pq_line_row(struct pq_line *line, int columns);

/* Values of that row. Text, and NULL for a null; binary big-endian, 0 for a null. */
const char *pq_line_text(const struct pq_line *line, int column);
uint64_t pq_line_binary(const struct pq_line *line, int column);
bool pq_line_null(const struct pq_line *line, int column);

#endif
