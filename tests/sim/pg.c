#include "tests/sim/pg.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/message.h"

void pg_init(struct pg *pg)
{
    static const char *const defaults[PG_PARAMETER_COUNT] = {"ISO, MDY", "UTC", "", "UTF8",
                                                             "",         "",    "", "auto"};
    *pg = (struct pg){.status = 'I'};
    writer_init(&pg->out);
    writer_init(&pg->inbox);
    for (uint32_t i = 0; i < PG_PARAMETER_COUNT; i++) {
        pg_start_parameter(pg, pg_parameter_names[i], defaults[i]);
    }
}

void pg_fini(struct pg *pg)
{
    bytes_fini(&pg->in);
    pg_leave(pg);
    writer_fini(&pg->out);
    writer_fini(&pg->inbox);
    free(pg->query);
    pg->query = NULL;
}

void pg_feed(struct pg *pg, const void *bytes, size_t len)
{
    bytes_push(&pg->in, bytes, len);
}

void pg_sent(struct pg *pg, uint32_t len)
{
    memmove(pg->out.bytes, pg->out.bytes + len, pg->out.len - len);
    pg->out.len -= len;
    pg->flushed -= len;
}

/* A backend's buffer is sent whenever it is full. */
static void spill(struct pg *pg)
{
    while (pg->out.len - pg->flushed >= PG_OUTPUT_BYTES) {
        pg->flushed += PG_OUTPUT_BYTES;
    }
}

static void empty(struct pg *pg, char type)
{
    writer_end(&pg->out, writer_begin(&pg->out, type));
}

/* finish_xact_command, ReadyForQuery. */
static void ready(struct pg *pg)
{
    if (pg->status == 'I') {
        pg_commit(pg);
    }
    pg_report_parameters(pg);
    if (pg->status == 'I') {
        pg_deliver(pg);
    }
    uint32_t mark = writer_begin(&pg->out, 'Z');
    writer_u8(&pg->out, (uint8_t)pg->status);
    writer_end(&pg->out, mark);
    pg->flushed = pg->out.len;
    pg->was_empty = pg->empty;
    pg->skipping = pg->extended = pg->touched = pg->closed = pg->cancel_pending = false;
    pg->run = PG_RUN_NOTHING;
}

/* --- what was prepared ------------------------------------------------------------------------ */

struct pg_statement *pg_find_statement(struct pg *pg, const char *name)
{
    for (uint32_t i = 0; i < PG_STATEMENTS_MAX; i++) {
        if (pg->statements[i].used && strcmp(pg->statements[i].name, name) == 0) {
            return &pg->statements[i];
        }
    }
    return NULL;
}

static struct pg_portal *find_portal(struct pg *pg, const char *name)
{
    for (uint32_t i = 0; i < PG_PORTALS_MAX; i++) {
        if (pg->portals[i].used && strcmp(pg->portals[i].name, name) == 0) {
            return &pg->portals[i];
        }
    }
    return NULL;
}

/* An EXECUTE returns what its statement does. */
static bool returns_rows(struct pg *pg, const struct pg_command *command)
{
    if (command->kind == PG_EXECUTE) {
        const struct pg_statement *statement = pg_executed(pg, command);
        return statement != NULL && pg_returns_rows(&statement->command);
    }
    return pg_returns_rows(command);
}

static bool ends_transaction(const struct pg_command *command)
{
    return command->kind == PG_COMMIT || command->kind == PG_ROLLBACK ||
           command->kind == PG_ROLLBACK_TO;
}

/* In a failed transaction only its end is taken. False after the error. */
static bool taken_now(struct pg *pg, const struct pg_command *command)
{
    if (pg->status == 'E' && !ends_transaction(command) && command->kind != PG_EMPTY) {
        pg_error(pg, "25P02", PG_ABORTED);
        return false;
    }
    return true;
}

static void drop_unnamed(struct pg *pg)
{
    struct pg_statement *unnamed = pg_find_statement(pg, "");
    if (unnamed != NULL) {
        unnamed->used = false;
    }
}

struct pg_statement *pg_add_statement(struct pg *pg, const char *name,
                                      const struct pg_command *command)
{
    if (pg_find_statement(pg, name) != NULL) {
        pg_error(pg, "42P05", "prepared statement \"%s\" already exists", name);
        return NULL;
    }
    for (uint32_t i = 0; i < PG_STATEMENTS_MAX; i++) {
        struct pg_statement *statement = &pg->statements[i];
        if (!statement->used) {
            *statement = (struct pg_statement){
                .used = true,
                .catalog = pg->world == NULL ? 0 : pg->world->catalog,
                .command = *command,
            };
            snprintf(statement->name, PG_NAME_BYTES, "%s", name);
            return statement;
        }
    }
    pg_error(pg, "53200", "the model has no room for more statements");
    return NULL;
}

/* exec_parse_message */
static void take_parse(struct pg *pg, struct reader *reader)
{
    const char *name = reader_cstr(reader);
    char *text = strdup(reader_cstr(reader)), *at = text;
    struct pg_command command = {.kind = PG_EMPTY}, second;
    if (name[0] == '\0') {
        drop_unnamed(pg);
    }
    (void)pg_parse_next(&at, &command);
    bool several = pg_parse_next(&at, &second);
    free(text);
    if (command.kind == PG_SYNTAX_ERROR) {
        pg_error(pg, "42601", "syntax error at or near \"%s\"", command.tag);
        return;
    }
    if (several) {
        pg_error(pg, "42601", "cannot insert multiple commands into a prepared statement");
        return;
    }
    if (!taken_now(pg, &command)) {
        return;
    }
    if (pg_add_statement(pg, name, &command) != NULL) {
        empty(pg, '1');
    }
}

static struct pg_portal *new_portal(struct pg *pg, const char *name)
{
    struct pg_portal *portal = find_portal(pg, name);
    if (portal != NULL && name[0] != '\0') {
        pg_error(pg, "42P03", "cursor \"%s\" already exists", name);
        return NULL;
    }
    for (uint32_t i = 0; i < PG_PORTALS_MAX && portal == NULL; i++) {
        portal = pg->portals[i].used ? NULL : &pg->portals[i];
    }
    if (portal == NULL) {
        pg_error(pg, "53200", "the model has no room for more portals");
        return NULL;
    }
    *portal = (struct pg_portal){.used = true};
    snprintf(portal->name, PG_NAME_BYTES, "%s", name);
    return portal;
}

static uint32_t arguments_of(const struct pg_command *command)
{
    return command->kind == PG_EXECUTE ? 0 : command->argument_count; /* that has its own */
}

/* exec_bind_message */
static void take_bind(struct pg *pg, struct reader *reader)
{
    const char *portal_name = reader_cstr(reader);
    const char *name = reader_cstr(reader);
    const struct pg_statement *statement = pg_find_statement(pg, name);
    char arguments[PG_ARGUMENTS_MAX][PG_VALUE_BYTES] = {{0}};
    if (statement == NULL) {
        pg_error(pg, "26000", "prepared statement \"%s\" does not exist", name);
        return;
    }
    uint16_t formats = reader_u16(reader);
    reader_bytes(reader, (size_t)formats * 2);
    uint16_t count = reader_u16(reader);
    for (uint16_t i = 0; i < count && !reader->failed; i++) {
        uint32_t len = reader_u32(reader);
        const uint8_t *value = reader_bytes(reader, len);
        if (value != NULL && i < PG_ARGUMENTS_MAX) {
            snprintf(arguments[i], PG_VALUE_BYTES, "%.*s", (int)len, (const char *)value);
        }
    }
    uint32_t needed = arguments_of(&statement->command);
    if (count != needed) {
        pg_error(pg, "08P01",
                 "bind message supplies %u parameters, but prepared statement \"%s\" requires %u",
                 count, name, needed);
        return;
    }
    if (!taken_now(pg, &statement->command) || pg_is_outdated(pg, statement)) {
        return;
    }
    struct pg_portal *portal = new_portal(pg, portal_name);
    if (portal != NULL) {
        portal->command = statement->command;
        memcpy(portal->arguments, arguments, sizeof(arguments));
        empty(pg, '2');
    }
}

static void describe_rows(struct pg *pg, const struct pg_command *command)
{
    if (returns_rows(pg, command)) {
        pg_row_description(pg, command);
    } else {
        empty(pg, 'n');
    }
}

static void take_describe(struct pg *pg, struct reader *reader)
{
    uint8_t kind = reader_u8(reader);
    const char *name = reader_cstr(reader);
    if (kind == 'P') {
        struct pg_portal *portal = find_portal(pg, name);
        if (portal == NULL) {
            pg_error(pg, "34000", "portal \"%s\" does not exist", name);
        } else if (!returns_rows(pg, &portal->command) || taken_now(pg, &portal->command)) {
            describe_rows(pg, &portal->command);
        }
        return;
    }
    struct pg_statement *statement = pg_find_statement(pg, name);
    if (statement == NULL) {
        pg_error(pg, "26000", "prepared statement \"%s\" does not exist", name);
    } else if ((!returns_rows(pg, &statement->command) || taken_now(pg, &statement->command)) &&
               !pg_is_outdated(pg, statement)) {
        uint32_t mark = writer_begin(&pg->out, 't');
        uint32_t count = arguments_of(&statement->command);
        writer_u16(&pg->out, (uint16_t)count);
        for (uint32_t i = 0; i < count; i++) {
            writer_u32(&pg->out, 25);
        }
        writer_end(&pg->out, mark);
        describe_rows(pg, &statement->command);
    }
}

static void take_close(struct pg *pg, struct reader *reader)
{
    uint8_t kind = reader_u8(reader);
    const char *name = reader_cstr(reader);
    struct pg_statement *statement = kind == 'S' ? pg_find_statement(pg, name) : NULL;
    struct pg_portal *portal = kind == 'P' ? find_portal(pg, name) : NULL;
    if (statement != NULL) {
        statement->used = false;
    }
    if (portal != NULL) {
        portal->used = false;
    }
    empty(pg, '3');
}

/* --- running ---------------------------------------------------------------------------------- */

/* Whether a row description comes at once: not before a sleep, or an EXECUTE that fails. */
static bool says_rows(struct pg *pg)
{
    const struct pg_command *command = &pg->command;
    if (command->kind != PG_EXECUTE) {
        bool lacks = command->kind == PG_SELECT_TEMP && pg->now.temp[0] == '\0';
        return pg_returns_rows(command) && command->ms == 0 && !lacks;
    }
    const struct pg_statement *statement = pg_executed(pg, command);
    return statement != NULL && pg_returns_rows(&statement->command) &&
           statement->command.ms == 0 && !pg_has_changed(pg, statement) &&
           statement->command.argument_count == command->argument_count;
}

/* exec_simple_query, from where it stands. */
static void run_query(struct pg *pg)
{
    while (pg->query_at != NULL) {
        bool again = pg->slept; /* the command that slept goes on */
        if (!again) {
            if (!pg_parse_next(&pg->query_at, &pg->command)) {
                break;
            }
            if (pg->command.kind == PG_EMPTY) {
                continue;
            }
            bool fails = pg->status == 'E' && !ends_transaction(&pg->command);
            if (!fails && says_rows(pg)) {
                pg_row_description(pg, &pg->command);
            }
        } else if (returns_rows(pg, &pg->command)) {
            pg_row_description(pg, &pg->command);
        }
        if (!pg_execute(pg) && (pg->asleep || pg->copying)) {
            spill(pg);
            return;
        }
    }
    ready(pg);
}

static void take_query(struct pg *pg, struct reader *reader)
{
    free(pg->query);
    pg->query = strdup(reader_cstr(reader));
    pg->query_at = pg->query;
    pg->run = PG_RUN_QUERY;
    drop_unnamed(pg);
    struct pg_portal *portal = find_portal(pg, "");
    if (portal != NULL) {
        portal->used = false;
    }
    if (strspn(pg->query, " ;") == strlen(pg->query)) {
        empty(pg, 'I');
        ready(pg);
        return;
    }
    run_query(pg);
}

/* exec_execute_message */
static void take_execute(struct pg *pg, struct reader *reader)
{
    const char *name = reader_cstr(reader);
    struct pg_portal *portal = find_portal(pg, name);
    if (portal == NULL) {
        pg_error(pg, "34000", "portal \"%s\" does not exist", name);
        return;
    }
    pg->row_limit = reader_u32(reader);
    if (portal->command.kind == PG_EMPTY) {
        empty(pg, 'I');
        return;
    }
    if (!taken_now(pg, &portal->command)) {
        return;
    }
    if (portal->done) {
        pg_error(pg, "55000", "portal \"%s\" cannot be run", name);
        return;
    }
    if (portal->command.kind == PG_EXECUTE) {
        const struct pg_statement *statement = pg_executed(pg, &portal->command);
        if (statement != NULL && pg_is_outdated(pg, statement)) {
            return;
        }
        if (statement != NULL &&
            statement->command.argument_count == portal->command.argument_count) {
            memcpy(portal->arguments[0], portal->command.value, PG_VALUE_BYTES);
            portal->command = statement->command;
        }
    }
    portal->done = portal->command.kind != PG_SELECT;
    pg->portal = portal;
    pg->command = portal->command;
    memcpy(pg->arguments, portal->arguments, sizeof(pg->arguments));
    if (portal->next_row > 0) {
        pg->command.ms = 0; /* it has slept */
    }
    pg->run = PG_RUN_EXECUTE;
    if (pg_execute(pg) || (!pg->asleep && !pg->copying)) {
        pg->run = PG_RUN_NOTHING;
    }
}

/* Goes on behind a sleep or a COPY. */
static void resume(struct pg *pg)
{
    if (pg->run == PG_RUN_QUERY) {
        run_query(pg);
        return;
    }
    if (pg->run == PG_RUN_EXECUTE) {
        if (!pg->slept || pg_execute(pg) || (!pg->asleep && !pg->copying)) {
            pg->run = PG_RUN_NOTHING;
        }
    }
}

/* CopyGetData */
static void take_copy(struct pg *pg, uint8_t type, const uint8_t *body, uint32_t body_bytes)
{
    switch (type) {
    case FRONTEND_COPY_DATA:
        if (body_bytes >= 3 && memcmp(body, "bad", 3) == 0) {
            pg_error(pg, "22P04", "bad line in a COPY");
            break;
        }
        pg->copy_rows++;
        return;
    case FRONTEND_COPY_DONE:
        pg_copy_end(pg);
        pg->slept = false;
        break;
    case FRONTEND_COPY_FAIL:
        pg_error(pg, "57014", "COPY from stdin failed");
        break;
    case FRONTEND_FLUSH:
    case FRONTEND_SYNC:
        return;
    default:
        pg_terminate(pg, "08P01",
                     "terminating connection because protocol synchronization was lost");
        return;
    }
    resume(pg);
}

/* --- messages --------------------------------------------------------------------------------- */

/* Whether a message with that body ends what the unnamed statement was, whatever becomes of it. */
static bool ends_unnamed(uint8_t type, const uint8_t *body)
{
    return type == FRONTEND_QUERY || (type == FRONTEND_PARSE && body[0] == '\0');
}

/* Messages that take a moment, in which a cancel request can come. */
static bool is_run(uint8_t type)
{
    return type == FRONTEND_QUERY || type == FRONTEND_PARSE || type == FRONTEND_BIND ||
           type == FRONTEND_EXECUTE;
}

/* Neither exec_simple_query nor exec_parse_message looks for interrupts before the unnamed
 * statement is dropped. */
static void cancel_message(struct pg *pg, uint8_t type, struct reader reader)
{
    pg->cancel_pending = false;
    pg->extended = type != FRONTEND_QUERY;
    if (ends_unnamed(type, reader.at)) {
        drop_unnamed(pg);
    }
    pg_error(pg, "57014", "canceling statement due to user request");
    if (type == FRONTEND_QUERY) {
        ready(pg);
    }
}

/* Whether the message is about a statement that Howdah answers itself. */
static bool is_own(struct pg *pg, uint8_t type, struct reader reader)
{
    struct pg_command command;
    const struct pg_statement *statement = NULL;
    const struct pg_portal *portal = NULL;
    if (type == FRONTEND_QUERY) {
        char *text = strdup(reader_cstr(&reader)), *at = text;
        bool own = pg_parse_next(&at, &command) && pg_is_own(&command);
        free(text);
        return own;
    }
    if (type == FRONTEND_BIND) {
        reader_cstr(&reader);
        statement = pg_find_statement(pg, reader_cstr(&reader));
    } else if (type == FRONTEND_EXECUTE) {
        portal = find_portal(pg, reader_cstr(&reader));
    } else if (type == FRONTEND_DESCRIBE || type == FRONTEND_CLOSE) {
        bool is_statement = reader_u8(&reader) == 'S';
        const char *name = reader_cstr(&reader);
        statement = is_statement ? pg_find_statement(pg, name) : NULL;
        portal = is_statement ? NULL : find_portal(pg, name);
    }
    return (statement != NULL && pg_is_own(&statement->command)) ||
           (portal != NULL && pg_is_own(&portal->command));
}

static void take(struct pg *pg, uint8_t type, const uint8_t *body, uint32_t body_bytes)
{
    struct reader reader = reader_of(body, body_bytes);
    if (type == FRONTEND_TERMINATE) {
        pg->ended = true;
        return;
    }
    if (pg->copying) {
        take_copy(pg, type, body, body_bytes);
        return;
    }
    if (type == FRONTEND_SYNC) {
        ready(pg);
        return;
    }
    bool own = is_own(pg, type, reader) || (type == FRONTEND_CLOSE && pg->pooled);
    pg->empty =
        pg->empty && (pg->status == 'E' || type == FRONTEND_PARSE || type == FRONTEND_FLUSH || own);
    if (pg->cancel_pending && !pg->skipping && is_run(type)) {
        cancel_message(pg, type, reader);
        return;
    }
    if (type == FRONTEND_QUERY && !pg->skipping) {
        take_query(pg, &reader);
        return;
    }
    if (pg->skipping || type == FRONTEND_COPY_DATA || type == FRONTEND_COPY_DONE ||
        type == FRONTEND_COPY_FAIL) {
        return;
    }
    if (type == FRONTEND_FLUSH) {
        pg->flushed = pg->out.len;
        return;
    }
    pg->extended = true;
    pg->touched = pg->touched || (type != FRONTEND_PARSE && !own);
    pg->closed = pg->closed || type == FRONTEND_CLOSE;
    switch (type) {
    case FRONTEND_PARSE:
        take_parse(pg, &reader);
        break;
    case FRONTEND_BIND:
        take_bind(pg, &reader);
        break;
    case FRONTEND_DESCRIBE:
        take_describe(pg, &reader);
        break;
    case FRONTEND_EXECUTE:
        take_execute(pg, &reader);
        break;
    case FRONTEND_CLOSE:
        take_close(pg, &reader);
        break;
    default:
        pg_terminate(pg, "08P01", "invalid frontend message type");
        break;
    }
}

static bool next_whole(const struct pg *pg, uint32_t *ret_body_bytes)
{
    if (pg->in.len < MESSAGE_HEADER_BYTES) {
        return false;
    }
    *ret_body_bytes = message_load_u32(bytes_at(&pg->in) + 1) - 4;
    return *ret_body_bytes <= pg->in.len - MESSAGE_HEADER_BYTES;
}

uint8_t pg_next_type(const struct pg *pg)
{
    uint32_t body_bytes;
    return next_whole(pg, &body_bytes) ? *bytes_at(&pg->in) : 0;
}

bool pg_at_rest(const struct pg *pg)
{
    return (pg->status == 'I' || pg->empty) && !pg->touched && !pg->skipping &&
           pg->run == PG_RUN_NOTHING && !pg->ended;
}

bool pg_step(struct pg *pg)
{
    uint32_t body_bytes;
    if (pg->ended || pg->asleep) {
        return false;
    }
    if (pg->slept) {
        resume(pg);
        spill(pg);
        return true;
    }
    if (!next_whole(pg, &body_bytes)) {
        return false;
    }
    /* The message must stay where it is while it is taken. */
    const uint8_t *message = bytes_at(&pg->in);
    pg->messages++;
    take(pg, message[0], message + MESSAGE_HEADER_BYTES, body_bytes);
    bytes_drop(&pg->in, MESSAGE_HEADER_BYTES + body_bytes);
    spill(pg);
    return true;
}

void pg_wake(struct pg *pg)
{
    pg->asleep = false;
    pg->slept = true;
}

void pg_interrupt(struct pg *pg, const char *sqlstate, const char *message)
{
    pg_error(pg, sqlstate, "%s", message);
    if (pg->run == PG_RUN_QUERY) {
        run_query(pg);
    }
}

void pg_refuse_next(struct pg *pg, const char *sqlstate, const char *message)
{
    uint32_t body_bytes;
    if (!next_whole(pg, &body_bytes)) {
        return;
    }
    uint8_t type = *bytes_at(&pg->in);
    pg->extended = type != FRONTEND_QUERY;
    bool ends = ends_unnamed(type, bytes_at(&pg->in) + MESSAGE_HEADER_BYTES);
    if (ends && strcmp(sqlstate, "25P02") == 0) {
        drop_unnamed(pg); /* before it is refused */
    }
    pg_error(pg, sqlstate, "%s", message);
    bytes_drop(&pg->in, MESSAGE_HEADER_BYTES + body_bytes);
    if (type == FRONTEND_QUERY) {
        ready(pg);
    }
}
