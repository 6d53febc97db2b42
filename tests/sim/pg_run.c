/* What the model's commands do, and transactions. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "tests/sim/pg.h"

/* --- reports ---------------------------------------------------------------------------------- */

void pg_write_report(struct pg *pg, char type, const char *severity, const char *sqlstate,
                     const char *message)
{
    uint32_t mark = writer_begin(&pg->out, type);
    const char *const fields[] = {"S", severity, "V", severity, "C", sqlstate, "M", message};
    for (size_t i = 0; i < 8; i += 2) {
        writer_u8(&pg->out, (uint8_t)fields[i][0]);
        writer_cstr(&pg->out, fields[i + 1]);
    }
    if (pg->routine != NULL) {
        writer_u8(&pg->out, 'R');
        writer_cstr(&pg->out, pg->routine);
        pg->routine = NULL;
    }
    writer_u8(&pg->out, 0);
    writer_end(&pg->out, mark);
    pg->flushed = pg->out.len; /* send_message_to_frontend flushes */
}

void pg_error(struct pg *pg, const char *sqlstate, const char *format, ...)
{
    char message[256];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message, sizeof(message), format, arguments);
    va_end(arguments);
    pg_write_report(pg, 'E', "ERROR", sqlstate, message);
    pg_abort(pg);
    pg->copying = pg->asleep = pg->slept = false;
    if (pg->run == PG_RUN_QUERY) {
        pg->query_at = NULL; /* the rest of the string is not run */
    } else {
        pg->run = PG_RUN_NOTHING;
        pg->skipping = pg->extended;
    }
}

void pg_terminate(struct pg *pg, const char *sqlstate, const char *message)
{
    pg_write_report(pg, 'E', "FATAL", sqlstate, message);
    pg->ended = true;
}

void pg_complete(struct pg *pg, const char *tag)
{
    uint32_t mark = writer_begin(&pg->out, 'C');
    writer_cstr(&pg->out, tag);
    writer_end(&pg->out, mark);
}

void pg_complete_rows(struct pg *pg, const char *verb, uint32_t rows)
{
    char tag[64];
    snprintf(tag, sizeof(tag), "%s %u", verb, rows);
    pg_complete(pg, tag);
}

/* --- transactions ----------------------------------------------------------------------------- */

void pg_drop_portals(struct pg *pg)
{
    for (uint32_t i = 0; i < PG_PORTALS_MAX; i++) {
        pg->portals[i].used = false;
    }
}

static void drop_cursors(struct pg_state *state)
{
    for (uint32_t i = 0; i < PG_CURSORS_MAX; i++) {
        if (!state->cursors[i].hold) {
            state->cursors[i].name[0] = '\0';
        }
    }
}

void pg_commit(struct pg *pg)
{
    struct pg_state *now = &pg->now;
    for (uint32_t i = 0; i < PG_PARAMETER_COUNT; i++) {
        memcpy(now->values[i].current, now->values[i].session, PG_VALUE_BYTES);
    }
    if (now->temp_drops) {
        now->temp[0] = '\0';
        now->temp_drops = false;
    }
    drop_cursors(now);
    pg->modes = (struct pg_modes){0};
    pg_commit_session(pg);
    now->pending_count = 0;
    pg->before = *now;
    pg->saved_count = 0;
    pg_drop_portals(pg);
    pg->status = 'I';
}

static void roll_back(struct pg *pg)
{
    pg->now = pg->before;
    pg->saved_count = 0;
    pg->modes = (struct pg_modes){0};
    pg_drop_portals(pg);
}

/* An error ends what was done since the last savepoint at once. */
void pg_abort(struct pg *pg)
{
    if (pg->status == 'I') {
        roll_back(pg);
        return;
    }
    pg->now = pg->saved_count > 0 ? pg->saved[pg->saved_count - 1] : pg->before;
    pg_drop_portals(pg);
    pg->status = 'E';
}

static bool find_savepoint(struct pg *pg, const char *name, uint32_t *ret_at)
{
    for (uint32_t i = pg->saved_count; i-- > 0;) {
        if (strcmp(pg->saved_names[i], name) == 0) {
            *ret_at = i;
            return true;
        }
    }
    pg_error(pg, "3B001", "savepoint \"%s\" does not exist", name);
    return false;
}

static bool use_savepoint(struct pg *pg, const struct pg_command *command)
{
    uint32_t at;
    if (pg->status == 'I') {
        pg_error(pg, "25P01", "savepoints can only be used in transaction blocks");
        return false;
    }
    if (command->kind == PG_SAVEPOINT) {
        if (pg->saved_count == PG_SAVEPOINTS_MAX) {
            pg_error(pg, "53200", "the model has no room for more savepoints");
            return false;
        }
        snprintf(pg->saved_names[pg->saved_count], PG_NAME_BYTES, "%s", command->tag);
        pg->saved[pg->saved_count++] = pg->now;
        pg_complete(pg, "SAVEPOINT");
        return true;
    }
    if (!find_savepoint(pg, command->tag, &at)) {
        return false;
    }
    if (command->kind == PG_RELEASE) {
        pg->saved_count = at;
        pg_complete(pg, "RELEASE");
        return true;
    }
    pg->now = pg->saved[at];
    pg->saved_count = at + 1;
    pg_drop_portals(pg);
    pg->status = 'T';
    pg_complete(pg, "ROLLBACK");
    return true;
}

/* --- rows ------------------------------------------------------------------------------------- */

static const char *column_name(const struct pg_command *command)
{
    if (!pg_is_own(command)) {
        return "w";
    }
    return command->kind == PG_SHOW         ? command->tag
           : command->kind == PG_SET_CONFIG ? "set_config"
                                            : "current_setting";
}

void pg_row_description(struct pg *pg, const struct pg_command *command)
{
    static const char *const explained[] = {"item", "value", "why"};
    bool explains = command->kind == PG_EXPLAIN;
    uint32_t mark = writer_begin(&pg->out, 'T');
    uint16_t columns = explains ? sizeof(explained) / sizeof(explained[0]) : 1;
    writer_u16(&pg->out, columns);
    for (uint16_t i = 0; i < columns; i++) {
        writer_cstr(&pg->out, explains ? explained[i] : column_name(command));
        writer_u32(&pg->out, 0);
        writer_u16(&pg->out, 0);
        writer_u32(&pg->out, 25);
        writer_u16(&pg->out, 65535);
        writer_u32(&pg->out, UINT32_MAX);
        writer_u16(&pg->out, 0);
    }
    writer_end(&pg->out, mark);
}

void pg_data(struct pg *pg, char type, const char *tag, uint32_t row, uint32_t width)
{
    char text[128];
    int len = snprintf(text, sizeof(text), "%s#%u", tag, row);
    uint32_t padding = width > (uint32_t)len ? width - (uint32_t)len : 0;
    uint32_t mark = writer_begin(&pg->out, type);
    if (type == 'D') {
        writer_u16(&pg->out, 1);
        writer_u32(&pg->out, (uint32_t)len + padding);
    }
    writer_bytes(&pg->out, text, (size_t)len);
    while (padding > 0) {
        static const char dots[] =
            "................................................................";
        uint32_t part = padding < sizeof(dots) - 1 ? padding : (uint32_t)sizeof(dots) - 1;
        writer_bytes(&pg->out, dots, part);
        padding -= part;
    }
    writer_end(&pg->out, mark);
}

/* Rows of a SELECT, from the portal's place on and as many as its Execute asks for. */
static void select_rows(struct pg *pg, const char *tag)
{
    const struct pg_command *command = &pg->command;
    struct pg_portal *portal = pg->run == PG_RUN_EXECUTE ? pg->portal : NULL;
    uint32_t row = portal == NULL ? 0 : portal->next_row, count = 0;
    uint32_t limit = portal == NULL || pg->row_limit == 0 ? UINT32_MAX : pg->row_limit;
    while (row < command->rows && count < limit) {
        pg_data(pg, 'D', tag, row++, command->width);
        count++;
    }
    if (portal != NULL) {
        portal->next_row = row;
        if (count == limit) {
            writer_end(&pg->out, writer_begin(&pg->out, 's'));
            return;
        }
    }
    pg_complete_rows(pg, "SELECT", count);
}

static void copy_response(struct pg *pg, char type)
{
    uint32_t mark = writer_begin(&pg->out, type);
    writer_u8(&pg->out, 0);
    writer_u16(&pg->out, 1);
    writer_u16(&pg->out, 0);
    writer_end(&pg->out, mark);
}

static void copy_out(struct pg *pg, const char *tag)
{
    copy_response(pg, 'H');
    for (uint32_t i = 0; i < pg->command.rows; i++) {
        pg_data(pg, 'd', tag, i, pg->command.width);
    }
    writer_end(&pg->out, writer_begin(&pg->out, 'c'));
    pg_complete_rows(pg, "COPY", pg->command.rows);
}

void pg_copy_end(struct pg *pg)
{
    pg->copying = false;
    pg_complete_rows(pg, "COPY", pg->copy_rows);
}

/* --- commands --------------------------------------------------------------------------------- */

static void begin(struct pg *pg, const struct pg_command *command)
{
    if (pg->status == 'T') {
        pg_write_report(pg, 'N', "WARNING", "25001", "there is already a transaction in progress");
    } else {
        pg->modes = command->modes;
    }
    pg->empty = pg->status == 'I';
    pg->status = 'T';
    pg_complete(pg, command->flag ? "START TRANSACTION" : "BEGIN");
}

/* AND CHAIN: the next has the same modes, and has begun where this one has. */
static bool chain(struct pg *pg, bool commit)
{
    struct pg_modes modes = pg->modes;
    bool failed = pg->status == 'E';
    if (pg->status == 'I') {
        pg_error(pg, "25P01", "%s AND CHAIN can only be used in transaction blocks",
                 commit ? "COMMIT" : "ROLLBACK");
        return false;
    }
    if (commit && !failed) {
        pg_commit(pg);
    } else {
        roll_back(pg);
    }
    pg->status = 'T';
    pg->modes = modes;
    pg->empty = pg->was_empty;
    pg_complete(pg, commit && !failed ? "COMMIT" : "ROLLBACK");
    return true;
}

static void end_transaction(struct pg *pg, bool commit)
{
    bool failed = pg->status == 'E';
    if (pg->status == 'I') {
        pg_write_report(pg, 'N', "WARNING", "25P01", "there is no transaction in progress");
    }
    if (commit && !failed) {
        pg_commit(pg);
    } else {
        roll_back(pg);
        pg->status = 'I';
    }
    pg_complete(pg, commit && !failed ? "COMMIT" : "ROLLBACK");
}

/* DropAllPreparedStatements: the unnamed one is not among them. */
static void forget_statements(struct pg *pg)
{
    for (uint32_t i = 0; i < PG_STATEMENTS_MAX; i++) {
        pg->statements[i].used = pg->statements[i].used && pg->statements[i].name[0] == '\0';
    }
}

static bool deallocate_all(struct pg *pg)
{
    forget_statements(pg);
    pg_complete(pg, "DEALLOCATE ALL");
    return true;
}

static bool deallocate(struct pg *pg, const char *name)
{
    for (uint32_t i = 0; i < PG_STATEMENTS_MAX; i++) {
        if (pg->statements[i].used && strcmp(pg->statements[i].name, name) == 0) {
            pg->statements[i].used = false;
            pg_complete(pg, "DEALLOCATE");
            return true;
        }
    }
    pg_error(pg, "26000", "prepared statement \"%s\" does not exist", name);
    return false;
}

static bool discard_all(struct pg *pg)
{
    if (pg->status != 'I') {
        pg_error(pg, "25001", "DISCARD ALL cannot run inside a transaction block");
        return false;
    }
    pg_reset_all(pg);
    forget_statements(pg);
    pg_discard_session(pg);
    pg_commit(pg);
    pg_complete(pg, "DISCARD ALL");
    return true;
}

void pg_value(struct pg *pg, const char *text)
{
    uint32_t mark = writer_begin(&pg->out, 'D');
    writer_u16(&pg->out, 1);
    writer_u32(&pg->out, (uint32_t)strlen(text));
    writer_bytes(&pg->out, text, strlen(text));
    writer_end(&pg->out, mark);
}

static bool perform_setting(struct pg *pg, const struct pg_command *command)
{
    switch ((int)command->kind) {
    case PG_SET:
        if (command->flag && pg->status == 'I' && pg_is_own(command)) {
            pg_write_report(pg, 'N', "WARNING", "25P01",
                            "SET LOCAL can only be used in transaction blocks");
        }
        if (!pg_set(pg, command->tag, command->value, command->flag)) {
            return false;
        }
        pg_complete(pg, "SET");
        return true;
    case PG_SET_CONFIG: {
        bool bound = command->argument_count == 2;
        const char *value = bound ? pg->arguments[1] : command->value;
        if (!pg_set(pg, bound ? pg->arguments[0] : command->tag, value, command->flag)) {
            return false;
        }
        if (pg_is_own(command)) {
            pg_value(pg, value);
        } else {
            pg_data(pg, 'D', value, 0, 0);
        }
        pg_complete(pg, "SELECT 1");
        return true;
    }
    case PG_RESET:
        return pg_reset(pg, command->tag);
    case PG_RESET_ALL:
        pg_reset_all(pg);
        pg_complete(pg, "RESET");
        return true;
    case PG_SHOW:
        return pg_show(pg, command->tag);
    case PG_CURRENT_SETTING:
        pg_current_setting(pg, command->tag);
        return true;
    default:
        return false;
    }
}

static bool perform_transaction(struct pg *pg, const struct pg_command *command)
{
    switch ((int)command->kind) {
    case PG_SAVEPOINT:
    case PG_ROLLBACK_TO:
    case PG_RELEASE:
        return use_savepoint(pg, command);
    case PG_BEGIN:
        begin(pg, command);
        return true;
    case PG_MODES:
        if (pg->status == 'I') {
            pg_write_report(pg, 'N', "WARNING", "25P01",
                            "SET TRANSACTION can only be used in transaction blocks");
        }
        pg->modes.read_only |= command->modes.read_only;
        pg_complete(pg, "SET");
        return true;
    case PG_COMMIT:
    case PG_ROLLBACK:
        if (command->flag) {
            return chain(pg, command->kind == PG_COMMIT);
        }
        end_transaction(pg, command->kind == PG_COMMIT);
        return true;
    default:
        return false;
    }
}

static void notice(struct pg *pg, const char *tag)
{
    char text[128];
    snprintf(text, sizeof(text), "notice for %s", tag);
    pg_write_report(pg, 'N', "NOTICE", "00000", text);
    pg_complete(pg, "DO");
}

static bool perform(struct pg *pg, const struct pg_command *command, const char *tag)
{
    switch ((int)command->kind) {
    case PG_EMPTY:
        writer_end(&pg->out, writer_begin(&pg->out, 'I'));
        return true;
    case PG_SELECT:
        select_rows(pg, tag);
        return true;
    case PG_INSERT:
        if (pg->modes.read_only) {
            pg_error(pg, "25006", "cannot execute INSERT in a read-only transaction");
            return false;
        }
        pg_complete(pg, "INSERT 0 1");
        return true;
    case PG_ERROR:
        pg_error(pg, "22012", "error asked for by %s", tag);
        return false;
    case PG_NOTICE:
        notice(pg, tag);
        return true;
    case PG_COPY_IN:
        copy_response(pg, 'G');
        pg->copying = true;
        pg->copy_rows = 0;
        pg->flushed = pg->out.len;
        return false;
    case PG_COPY_OUT:
        copy_out(pg, tag);
        return true;
    case PG_SET:
    case PG_SET_CONFIG:
    case PG_RESET:
    case PG_RESET_ALL:
    case PG_SHOW:
    case PG_CURRENT_SETTING:
        return perform_setting(pg, command);
    case PG_STATE:
        pg_tell_state(pg, command->text, pg->arguments[0]);
        break;
    case PG_SAVEPOINT:
    case PG_ROLLBACK_TO:
    case PG_RELEASE:
    case PG_BEGIN:
    case PG_MODES:
    case PG_COMMIT:
    case PG_ROLLBACK:
        return perform_transaction(pg, command);
    case PG_DISCARD_ALL:
        return discard_all(pg);
    case PG_DEALLOCATE_ALL:
        return deallocate_all(pg);
    case PG_DEALLOCATE:
        return deallocate(pg, tag);
    case PG_SYNTAX_ERROR:
        pg_error(pg, "42601", "syntax error at or near \"%s\"", tag);
        return false;
    default:
        return pg_perform_session(pg, command, tag);
    }
    return true;
}

bool pg_execute(struct pg *pg)
{
    const struct pg_command *command = &pg->command;
    if (pg->status == 'E' && command->kind != PG_COMMIT && command->kind != PG_ROLLBACK &&
        command->kind != PG_ROLLBACK_TO) {
        pg_error(pg, "25P02", PG_ABORTED);
        return false;
    }
    if (command->kind == PG_EXECUTE) {
        const struct pg_statement *statement = pg_executed(pg, command);
        if (statement == NULL) {
            pg_error(pg, "26000", "prepared statement \"%s\" does not exist", command->tag);
            return false;
        }
        if (statement->command.argument_count != command->argument_count) {
            pg_error(pg, "42601", "wrong number of parameters for prepared statement");
            return false;
        }
        if (pg_is_outdated(pg, statement)) {
            return false;
        }
        memcpy(pg->arguments[0], command->value, PG_VALUE_BYTES);
        pg->command = statement->command;
    }
    if (command->ms > 0 && !pg->slept) {
        pg->asleep = true;
        return false;
    }
    pg->slept = false;
    return perform(pg, command, strcmp(command->tag, "$1") == 0 ? pg->arguments[0] : command->tag);
}

/* What it wrote was not said yet. */
void pg_fail_late(struct pg *pg, const char *sqlstate, const char *message)
{
    bool simple = !pg->extended;
    pg->out.len = pg->flushed = 0;
    pg_error(pg, sqlstate, "%s", message);
    if (simple) {
        pg_report_parameters(pg);
        uint32_t mark = writer_begin(&pg->out, 'Z');
        writer_u8(&pg->out, (uint8_t)pg->status);
        writer_end(&pg->out, mark);
    }
}
