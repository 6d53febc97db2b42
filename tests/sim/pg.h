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
 * There are two ways to say most of it. The first is not SQL: Howdah takes it for a statement that
 * may have done anything.
 *
 *    select TAG ROWS WIDTH MS    ROWS rows "TAG#i", padded to WIDTH bytes, after MS milliseconds
 *    insert TAG                  no rows
 *    error TAG, notice TAG       an error, a notice with the tag in its message
 *    copyin TAG, copyout TAG N   a COPY line "bad…" is an error
 *    set NAME VALUE, reset NAME, show NAME
 *    begin [MODES], start transaction [MODES], set transaction MODES
 *    commit, end, rollback, abort [and chain]
 *    discard all, deallocate all, deallocate NAME
 *    SELECT pg_catalog.set_config($1, $2, false)
 *
 * The second is SQL, of which Howdah has a plan:
 *
 *    select 'TAG', ROWS, WIDTH, MS                      insert into t values ('TAG')
 *    select 'TAG'::int, do 'TAG'                        an error, a notice
 *    set [local] NAME to 'VALUE', reset all             select set_config('NAME', 'VALUE', LOCAL)
 *    select current_setting('app.who', true)            NULL is told as no row
 *    savepoint NAME, rollback to NAME, release NAME
 *    prepare NAME [(text)] as .., execute NAME [('TAG')]
 *    create temp table mine [on commit drop] as select 'TAG', select * from mine, drop table mine
 *    declare NAME cursor [with hold] for select .., fetch N from NAME, close NAME
 *    select pg_try_advisory_lock(KEY), pg_advisory_unlock(KEY), pg_advisory_unlock_all()
 *    select nextval('s'), select currval('s'), discard sequences
 *    select * from changing                             a table that others alter
 *    select pg_cancel_backend(PID), pg_terminate_backend(PID)
 *    listen NAME, unlisten NAME, unlisten *, notify NAME, 'TAG'
 *    the question of pool/state.c, answered from what the backend has
 *    set, show .. of howdah.shard and howdah.route, and explain (howdah) ..: the oracle alone
 *
 * What other backends have a say in (locks, sequences, notifications) lies in a pg_world. The
 * oracle has none: it writes a value "?.." for check_state.c to judge the true one by.
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
    PG_TEXT_BYTES = 160,
    PG_SAVEPOINTS_MAX = 4,
    PG_CURSORS_MAX = 2,
    PG_CHANNELS_MAX = 12,
    PG_PENDING_MAX = 24,
    PG_LOCKS = 3,
    PG_ISOLATIONS = 4,
    PG_OUTPUT_BYTES = 8192, /* PQ_SEND_BUFFER_SIZE, src/backend/libpq/pqcomm.c */
};

/* What is said of all that comes in a failed transaction, but for its end. */
#define PG_ABORTED "current transaction is aborted, commands ignored until end of transaction block"

enum pg_parameter_id {
    PG_DATE_STYLE,
    PG_TIME_ZONE,
    PG_APPLICATION_NAME,
    PG_CLIENT_ENCODING,
    PG_REPORTED_COUNT, /* the others are not reported */
    PG_TABLESPACE = PG_REPORTED_COUNT,
    PG_CUSTOM, /* "app.who": there is none before somebody sets it */
    PG_SERVER_COUNT,
    /* Howdah's own: the oracle has them, no server. */
    PG_OWN_SHARD = PG_SERVER_COUNT,
    PG_OWN_ROUTE,
    PG_PARAMETER_COUNT,
};

/* What a BEGIN asks for besides. */
struct pg_modes {
    uint8_t isolation; /* of pg_isolations; 0 = the default */
    bool read_only, deferrable;
};

extern const char *const pg_isolations[PG_ISOLATIONS];
extern const char *const pg_parameter_names[PG_PARAMETER_COUNT];

/* What a transaction's end, or a savepoint's, decides about. */
struct pg_state {
    struct pg_value {
        char current[PG_VALUE_BYTES];
        char session[PG_VALUE_BYTES]; /* what holds when the transaction commits */
    } values[PG_PARAMETER_COUNT];
    char temp[PG_VALUE_BYTES]; /* the tag in the table "mine"; "" = there is none */
    bool temp_drops;           /* ON COMMIT DROP */
    struct pg_cursor {
        char name[PG_NAME_BYTES]; /* "" = none */
        char tag[PG_VALUE_BYTES];
        uint32_t rows, next;
        bool hold;
    } cursors[PG_CURSORS_MAX];
    uint32_t pending_count; /* of what LISTEN, UNLISTEN and NOTIFY will do at the commit */
};

struct pg_pending {
    enum { PG_DO_LISTEN, PG_DO_UNLISTEN, PG_DO_NOTIFY } what;
    char channel[PG_NAME_BYTES]; /* "*": all */
    char payload[PG_VALUE_BYTES];
};

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
    PG_MODES, /* SET TRANSACTION */
    PG_COMMIT,
    PG_ROLLBACK,
    PG_DISCARD_ALL,
    PG_DEALLOCATE_ALL,
    PG_DEALLOCATE,
    PG_SYNTAX_ERROR,
    PG_RESET_ALL,
    PG_CURRENT_SETTING,
    PG_SAVEPOINT,
    PG_ROLLBACK_TO,
    PG_RELEASE,
    PG_PREPARE,
    PG_EXECUTE,
    PG_CREATE_TEMP,
    PG_SELECT_TEMP,
    PG_DROP_TEMP,
    PG_DECLARE,
    PG_FETCH,
    PG_CLOSE,
    PG_TRY_LOCK,
    PG_UNLOCK,
    PG_UNLOCK_ALL,
    PG_NEXTVAL,
    PG_CURRVAL,
    PG_DISCARD_SEQUENCES,
    PG_LISTEN,
    PG_UNLISTEN,
    PG_NOTIFY,
    PG_EXPLAIN,
    PG_CHANGING, /* a table that others alter */
    PG_SIGNAL,
};

struct pg_command {
    enum pg_command_kind kind;
    char tag[PG_VALUE_BYTES]; /* also the parameter's name of set, reset, show */
    char value[PG_VALUE_BYTES];
    uint32_t rows, width, ms;
    uint32_t argument_count;  /* $1 … that it needs */
    struct pg_modes modes;    /* BEGIN */
    bool flag;                /* SET LOCAL, WITH HOLD, ON COMMIT DROP, START, AND CHAIN */
    char text[PG_TEXT_BYTES]; /* PREPARE: the statement; STATE: the question */
};

struct pg_statement {
    bool used, from_sql;
    char name[PG_NAME_BYTES];
    uint32_t catalog; /* the world's when it was prepared */
    struct pg_command command;
};

struct pg_portal {
    bool used, done;
    char name[PG_NAME_BYTES];
    struct pg_command command;
    char arguments[PG_ARGUMENTS_MAX][PG_VALUE_BYTES];
    uint32_t next_row;
};

/* What the backends of one database share. */
struct pg_world {
    struct pg *backends;
    struct pg *lock_owners[PG_LOCKS];
    uint32_t lock_counts[PG_LOCKS];
    uint32_t sequence;
    uint32_t catalog; /* how often others have altered a table */
    void *object;
    /* A commit notifies; then this backend has something in its inbox. */
    void (*noted)(void *object, const char *channel, const char *payload);
    void (*wake)(struct pg *pg);
    /* pg_cancel_backend, or pg_terminate_backend, of a pid. False: there is no such backend. */
    bool (*signal)(void *object, struct pg *pg, uint32_t pid, bool terminate);
};

/* What is being run. */
enum pg_run { PG_RUN_NOTHING, PG_RUN_QUERY, PG_RUN_EXECUTE };

struct pg {
    struct bytes in;
    struct writer out; /* answers; what lies below `flushed` may be sent */
    uint32_t flushed;
    char status;           /* 'I', 'T', 'E' */
    bool skipping;         /* to Sync */
    bool extended;         /* messages of the extended query came since the last Sync */
    bool touched;          /* … other than Parse, which needs no connection when it is known */
    bool closed;           /* … Close, which a pool needs none for, either, if it has none */
    bool pooled;           /* it stands for a pool: the oracle */
    bool empty;            /* a transaction in which nothing was sent yet that needs a connection */
    bool was_empty;        /* … at the last ReadyForQuery */
    struct pg_modes modes; /* of the transaction */
    bool asleep, slept;
    bool copying;
    bool ended;          /* Terminate, or FATAL was said */
    bool cancel_pending; /* what comes next is canceled, if it comes before the backend is idle */
    const char *routine; /* of the error that is being told; NULL = not said */
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
    char start[PG_PARAMETER_COUNT][PG_VALUE_BYTES];
    char reported[PG_REPORTED_COUNT][PG_VALUE_BYTES];
    bool has_custom;
    struct pg_state now, before, saved[PG_SAVEPOINTS_MAX];
    char saved_names[PG_SAVEPOINTS_MAX][PG_NAME_BYTES];
    uint32_t saved_count;
    struct pg_pending pending[PG_PENDING_MAX];
    char channels[PG_CHANNELS_MAX][PG_NAME_BYTES]; /* "" = none */
    uint32_t last_value;                           /* of the sequence; 0 = none */
    struct pg_world *world;                        /* NULL: an oracle */
    struct pg *next_in_world;
    void *object;
    uint32_t pid;
    struct writer inbox; /* notifications */
};

void pg_init(struct pg *pg);
void pg_fini(struct pg *pg);

/* A startup parameter; unknown ones are left aside. False for a value that the server refuses. */
bool pg_start_parameter(struct pg *pg, const char *name, const char *value);

/* What ALTER ROLE has set for a user; before its startup parameters. */
void pg_start_role(struct pg *pg, const char *user);

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

/* Loses one of the statements that Howdah has prepared, as a function may that deallocates them.
 * False: there is none. */
bool pg_lose_statement(struct pg *pg, uint32_t which);

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
/* Whether it is one that Howdah answers itself, so that it needs no connection. */
bool pg_is_own(const struct pg_command *command);

/* pg_run.c: what commands do. */
void pg_error(struct pg *pg, const char *sqlstate, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void pg_row_description(struct pg *pg, const struct pg_command *command);
/* False: an error was told, or it waits (asleep, copying). */
bool pg_execute(struct pg *pg);
void pg_copy_end(struct pg *pg);
void pg_commit(struct pg *pg);
void pg_abort(struct pg *pg);
void pg_drop_portals(struct pg *pg);
void pg_report_parameters(struct pg *pg);
void pg_write_report(struct pg *pg, char type, const char *severity, const char *sqlstate,
                     const char *message);
void pg_complete(struct pg *pg, const char *tag);
void pg_complete_rows(struct pg *pg, const char *verb, uint32_t rows);
void pg_data(struct pg *pg, char type, const char *tag, uint32_t row, uint32_t width);
void pg_value(struct pg *pg, const char *text); /* a row of one column */
struct pg_statement *pg_find_statement(struct pg *pg, const char *name);
/* 42P05 or 53200 when it can't. */
struct pg_statement *pg_add_statement(struct pg *pg, const char *name,
                                      const struct pg_command *command);
/* Whether others have altered what the statement shows. */
bool pg_has_changed(const struct pg *pg, const struct pg_statement *statement);

/* The same: an error was told (plancache.c). */
bool pg_is_outdated(struct pg *pg, const struct pg_statement *statement);
/* What an EXECUTE stands for; it may name nothing. */
const struct pg_statement *pg_executed(struct pg *pg, const struct pg_command *command);

/* pg_settings.c */
bool pg_set(struct pg *pg, const char *name, const char *value, bool local);
bool pg_reset(struct pg *pg, const char *name);
void pg_reset_all(struct pg *pg);
bool pg_show(struct pg *pg, const char *name);
void pg_current_setting(struct pg *pg, const char *name);
void pg_tell_state(struct pg *pg, const char *text, const char *names);

/* pg_session.c: what a session has besides. The same result as pg_execute. */
bool pg_perform_session(struct pg *pg, const struct pg_command *command, const char *tag);
void pg_discard_session(struct pg *pg);
/* At a commit; what it does can't be undone. */
void pg_commit_session(struct pg *pg);
/* Whether a backend has something that a next client must not find. */
bool pg_has_sql_statement(const struct pg *pg);
bool pg_has_cursor(const struct pg *pg, bool hold);
bool pg_has_lock(const struct pg *pg);
bool pg_listens(const struct pg *pg, const char *channel); /* NULL: to anything */
/* Notifications are told when nothing runs. */
void pg_deliver(struct pg *pg);
/* A backend comes into a world, and leaves it. */
void pg_join(struct pg *pg, struct pg_world *world);
void pg_leave(struct pg *pg);

/* The oracle's last command has failed after all. */
void pg_fail_late(struct pg *pg, const char *sqlstate, const char *message);

#endif
