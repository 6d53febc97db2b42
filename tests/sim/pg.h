/* A model of a PostgreSQL backend, written from the protocol chapter and
 * src/backend/tcop/postgres.c.
 *
 * It has no time and no chance: it is fed a client's messages and says what a backend would
 * answer. So the same model stands behind the pool as the server, and beside each client as the
 * oracle that knows what a direct connection would have said. Where a backend would take time (a
 * sleeping query) it waits until it is told to wake or to be interrupted.
 *
 * Its SQL (commands separated by ';'):
 *
 *    select TAG ROWS WIDTH MS    ROWS rows "TAG#i", padded to WIDTH bytes, after MS milliseconds
 *    insert TAG                  no rows
 *    error TAG, notice TAG       an error, a notice with the tag in its message
 *    copyin TAG, copyout TAG N   a COPY line "bad…" is an error
 *    set NAME VALUE, reset NAME, show NAME
 *    begin, commit, rollback, discard all, deallocate all, deallocate NAME
 *    SELECT pg_catalog.set_config($1, $2, false)
 *
 * A TAG may be $1. Every tag begins with the id of the client that asked ("w" and 16 hex digits).
 */
#ifndef TESTS_SIM_PG_H
#define TESTS_SIM_PG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/writer.h"
#include "tests/sim/bytes.h"

enum {
    PG_STATEMENTS_MAX = 64,
    PG_PORTALS_MAX = 16,
    PG_NAME_BYTES = 64,
    PG_VALUE_BYTES = 64,
    PG_ARGUMENTS_MAX = 2,
    PG_OUTPUT_BYTES = 8192, /* PQ_SEND_BUFFER_SIZE, src/backend/libpq/pqcomm.c */
};

enum pg_parameter_id {
    PG_DATE_STYLE,
    PG_TIME_ZONE,
    PG_APPLICATION_NAME,
    PG_CLIENT_ENCODING,
    PG_PARAMETER_COUNT,
};

struct pg_parameter {
    char start[PG_VALUE_BYTES], committed[PG_VALUE_BYTES], current[PG_VALUE_BYTES];
    char reported[PG_VALUE_BYTES];
};

extern const char *const pg_parameter_names[PG_PARAMETER_COUNT];

enum pg_command_kind {
    PG_EMPTY,
    PG_SELECT,
    PG_INSERT,
    PG_ERROR,
    PG_NOTICE,
    PG_COPY_IN,
    PG_COPY_OUT,
    PG_SET,
    PG_SET_CONFIG,
    PG_RESET,
    PG_SHOW,
    PG_STATE, /* the question of pool/state.c */
    PG_BEGIN,
    PG_COMMIT,
    PG_ROLLBACK,
    PG_DISCARD,
    PG_DEALLOCATE_ALL,
    PG_DEALLOCATE,
    PG_SYNTAX_ERROR,
};

struct pg_command {
    enum pg_command_kind kind;
    char tag[PG_VALUE_BYTES]; /* also the parameter's name of set, reset, show */
    char value[PG_VALUE_BYTES];
    uint32_t rows, width, ms;
    uint32_t argument_count; /* $1 … that it needs */
};

struct pg_statement {
    bool used;
    char name[PG_NAME_BYTES];
    struct pg_command command;
};

struct pg_portal {
    bool used, done;
    char name[PG_NAME_BYTES];
    struct pg_command command;
    char arguments[PG_ARGUMENTS_MAX][PG_VALUE_BYTES];
    uint32_t next_row;
};

/* What is being run. */
enum pg_run { PG_RUN_NOTHING, PG_RUN_QUERY, PG_RUN_EXECUTE };

struct pg {
    struct bytes in;
    struct writer out; /* answers; what lies below `flushed` may be sent */
    uint32_t flushed;
    char status;   /* 'I', 'T', 'E' */
    bool skipping; /* to Sync */
    bool extended; /* messages of the extended query came since the last Sync */
    bool touched;  /* … other than Parse, which needs no connection when it is known */
    bool asleep, slept;
    bool copying;
    bool ended; /* Terminate, or FATAL was said */
    enum pg_run run;
    char *query, *query_at; /* PG_RUN_QUERY: what is left of it */
    struct pg_command command;
    char arguments[PG_ARGUMENTS_MAX][PG_VALUE_BYTES];
    struct pg_portal *portal; /* PG_RUN_EXECUTE */
    uint32_t row_limit;
    uint32_t copy_rows;
    uint64_t messages;
    struct pg_statement statements[PG_STATEMENTS_MAX];
    struct pg_portal portals[PG_PORTALS_MAX];
    struct pg_parameter parameters[PG_PARAMETER_COUNT];
};

void pg_init(struct pg *pg);
void pg_fini(struct pg *pg);

/* A startup parameter; unknown ones are left aside. False for a value that the server refuses. */
bool pg_start_parameter(struct pg *pg, const char *name, const char *value);

/* Writes the ParameterStatus messages of a new connection. */
void pg_greet(struct pg *pg);

/* Appends client bytes. */
void pg_feed(struct pg *pg, const void *bytes, size_t len);

/* Handles one message, or a part of a query. False when nothing more can be done before more is
 * fed, or it is woken or interrupted. */
bool pg_step(struct pg *pg);

/* The type of the next message, 0 when none is whole. */
uint8_t pg_next_type(const struct pg *pg);

/* Whether it stands between transactions, with nothing begun. */
bool pg_at_rest(const struct pg *pg);

void pg_wake(struct pg *pg);
/* ERROR, or FATAL which ends it. While it sleeps or, as the oracle does, before the next message.
 * */
void pg_interrupt(struct pg *pg, const char *sqlstate, const char *message);
void pg_terminate(struct pg *pg, const char *sqlstate, const char *message);

/* The next message fails with this error: for the oracle, when the pool could not serve it. */
void pg_refuse_next(struct pg *pg, const char *sqlstate, const char *message);

/* Forgets the first `len` bytes of what was flushed. */
void pg_sent(struct pg *pg, uint32_t len);

/* pg_parse.c: reads one command up to a ';' and moves *at behind it; false at the text's end. */
bool pg_parse_next(char **at, struct pg_command *ret_command);
bool pg_returns_rows(const struct pg_command *command);

/* pg_run.c: what commands do. */
void pg_error(struct pg *pg, const char *sqlstate, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void pg_row_description(struct pg *pg);
/* False: an error was told, or it waits (asleep, copying). */
bool pg_execute(struct pg *pg);
void pg_copy_end(struct pg *pg);
void pg_commit(struct pg *pg);
void pg_abort(struct pg *pg);
void pg_drop_portals(struct pg *pg);
void pg_report_parameters(struct pg *pg);

#endif
