/* What the model's commands do, and transactions. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "tests/sim/pg.h"

const char *const pg_parameter_names[PG_PARAMETER_COUNT] = {"DateStyle", "TimeZone",
                                                            "application_name", "client_encoding"};

/* --- reports ---------------------------------------------------------------------------------- */

static void write_report(struct pg *pg, char type, const char *severity, const char *sqlstate,
                         const char *message)
{
    uint32_t mark = writer_begin(&pg->out, type);
    const char *const fields[] = {"S", severity, "V", severity, "C", sqlstate, "M", message};
    for (size_t i = 0; i < 8; i += 2) {
        writer_u8(&pg->out, (uint8_t)fields[i][0]);
        writer_cstr(&pg->out, fields[i + 1]);
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
    write_report(pg, 'E', "ERROR", sqlstate, message);
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
    write_report(pg, 'E', "FATAL", sqlstate, message);
    pg->ended = true;
}

static void complete(struct pg *pg, const char *tag)
{
    uint32_t mark = writer_begin(&pg->out, 'C');
    writer_cstr(&pg->out, tag);
    writer_end(&pg->out, mark);
}

static void complete_rows(struct pg *pg, const char *verb, uint32_t rows)
{
    char tag[64];
    snprintf(tag, sizeof(tag), "%s %u", verb, rows);
    complete(pg, tag);
}

/* --- transactions ----------------------------------------------------------------------------- */

void pg_drop_portals(struct pg *pg)
{
    for (uint32_t i = 0; i < PG_PORTALS_MAX; i++) {
        pg->portals[i].used = false;
    }
}

void pg_commit(struct pg *pg)
{
    for (uint32_t i = 0; i < PG_PARAMETER_COUNT; i++) {
        struct pg_parameter *parameter = &pg->parameters[i];
        memcpy(parameter->committed, parameter->current, sizeof(parameter->committed));
    }
    pg_drop_portals(pg);
    pg->status = 'I';
}

static void roll_back(struct pg *pg)
{
    for (uint32_t i = 0; i < PG_PARAMETER_COUNT; i++) {
        struct pg_parameter *parameter = &pg->parameters[i];
        memcpy(parameter->current, parameter->committed, sizeof(parameter->current));
    }
    pg_drop_portals(pg);
}

void pg_abort(struct pg *pg)
{
    roll_back(pg);
    pg->status = pg->status == 'I' ? 'I' : 'E';
}

/* --- parameters ------------------------------------------------------------------------------- */

static struct pg_parameter *find_parameter(struct pg *pg, const char *name,
                                           enum pg_parameter_id *ret_id)
{
    for (uint32_t i = 0; i < PG_PARAMETER_COUNT; i++) {
        if (strcasecmp(pg_parameter_names[i], name) == 0) {
            *ret_id = (enum pg_parameter_id)i;
            return &pg->parameters[i];
        }
    }
    return NULL;
}

/* The server's own spelling; NULL for a value that it refuses. */
static const char *canonical(enum pg_parameter_id id, const char *value)
{
    static const char *const spellings[][2] = {
        {"iso", "ISO, MDY"}, {"german", "German, DMY"}, {"utf8", "UTF8"}, {"latin1", "LATIN1"}};
    if (id != PG_DATE_STYLE && id != PG_CLIENT_ENCODING) {
        return value;
    }
    for (size_t i = 0; i < sizeof(spellings) / sizeof(spellings[0]); i++) {
        bool date = i < 2;
        if (date == (id == PG_DATE_STYLE) &&
            (strcasecmp(value, spellings[i][0]) == 0 || strcmp(value, spellings[i][1]) == 0)) {
            return spellings[i][1];
        }
    }
    return NULL;
}

static bool set_parameter(struct pg *pg, const char *name, const char *value)
{
    enum pg_parameter_id id;
    struct pg_parameter *parameter = find_parameter(pg, name, &id);
    const char *spelled = parameter == NULL ? NULL : canonical(id, value);
    if (parameter == NULL) {
        pg_error(pg, "42704", "unrecognized configuration parameter \"%s\"", name);
        return false;
    }
    if (spelled == NULL) {
        pg_error(pg, "22023", "invalid value for parameter \"%s\": \"%s\"", name, value);
        return false;
    }
    snprintf(parameter->current, sizeof(parameter->current), "%s", spelled);
    return true;
}

bool pg_start_parameter(struct pg *pg, const char *name, const char *value)
{
    enum pg_parameter_id id;
    struct pg_parameter *parameter = find_parameter(pg, name, &id);
    const char *spelled = parameter == NULL ? "" : canonical(id, value);
    if (parameter == NULL || spelled == NULL) {
        return parameter == NULL;
    }
    snprintf(parameter->start, sizeof(parameter->start), "%s", spelled);
    memcpy(parameter->committed, parameter->start, sizeof(parameter->start));
    memcpy(parameter->current, parameter->start, sizeof(parameter->start));
    memcpy(parameter->reported, parameter->start, sizeof(parameter->start));
    return true;
}

static void report(struct pg *pg, const char *name, const char *value)
{
    uint32_t mark = writer_begin(&pg->out, 'S');
    writer_cstr(&pg->out, name);
    writer_cstr(&pg->out, value);
    writer_end(&pg->out, mark);
}

/* ReportChangedGUCOptions: before ReadyForQuery, what differs from what was reported last. */
void pg_report_parameters(struct pg *pg)
{
    for (uint32_t i = 0; i < PG_PARAMETER_COUNT; i++) {
        struct pg_parameter *parameter = &pg->parameters[i];
        if (strcmp(parameter->current, parameter->reported) != 0) {
            report(pg, pg_parameter_names[i], parameter->current);
            memcpy(parameter->reported, parameter->current, sizeof(parameter->reported));
        }
    }
}

void pg_greet(struct pg *pg)
{
    for (uint32_t i = 0; i < PG_PARAMETER_COUNT; i++) {
        report(pg, pg_parameter_names[i], pg->parameters[i].current);
    }
    report(pg, "server_version", "15.0");
    report(pg, "server_encoding", "UTF8");
    report(pg, "is_superuser", "off");
}

/* --- rows ------------------------------------------------------------------------------------- */

void pg_row_description(struct pg *pg)
{
    uint32_t mark = writer_begin(&pg->out, 'T');
    writer_u16(&pg->out, 1);
    writer_cstr(&pg->out, "w");
    writer_u32(&pg->out, 0);
    writer_u16(&pg->out, 0);
    writer_u32(&pg->out, 25);
    writer_u16(&pg->out, 65535);
    writer_u32(&pg->out, UINT32_MAX);
    writer_u16(&pg->out, 0);
    writer_end(&pg->out, mark);
}

static void data(struct pg *pg, char type, const char *tag, uint32_t row, uint32_t width)
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
        data(pg, 'D', tag, row++, command->width);
        count++;
    }
    if (portal != NULL) {
        portal->next_row = row;
        if (count == limit) {
            writer_end(&pg->out, writer_begin(&pg->out, 's'));
            return;
        }
    }
    complete_rows(pg, "SELECT", count);
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
        data(pg, 'd', tag, i, pg->command.width);
    }
    writer_end(&pg->out, writer_begin(&pg->out, 'c'));
    complete_rows(pg, "COPY", pg->command.rows);
}

void pg_copy_end(struct pg *pg)
{
    pg->copying = false;
    complete_rows(pg, "COPY", pg->copy_rows);
}

/* --- commands --------------------------------------------------------------------------------- */

static void begin(struct pg *pg)
{
    if (pg->status == 'T') {
        write_report(pg, 'N', "WARNING", "25001", "there is already a transaction in progress");
    }
    pg->status = 'T';
    complete(pg, "BEGIN");
}

static void end_transaction(struct pg *pg, bool commit)
{
    bool failed = pg->status == 'E';
    if (pg->status == 'I') {
        write_report(pg, 'N', "WARNING", "25P01", "there is no transaction in progress");
    }
    if (commit && !failed) {
        pg_commit(pg);
    } else {
        roll_back(pg);
        pg->status = 'I';
    }
    complete(pg, commit && !failed ? "COMMIT" : "ROLLBACK");
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
    complete(pg, "DEALLOCATE ALL");
    return true;
}

static bool deallocate(struct pg *pg, const char *name)
{
    for (uint32_t i = 0; i < PG_STATEMENTS_MAX; i++) {
        if (pg->statements[i].used && strcmp(pg->statements[i].name, name) == 0) {
            pg->statements[i].used = false;
            complete(pg, "DEALLOCATE");
            return true;
        }
    }
    pg_error(pg, "26000", "prepared statement \"%s\" does not exist", name);
    return false;
}

static bool discard(struct pg *pg, const char *what)
{
    if (strcmp(what, "SEQUENCES") == 0) {
        complete(pg, "DISCARD SEQUENCES");
        return true;
    }
    if (pg->status != 'I') {
        pg_error(pg, "25001", "DISCARD ALL cannot run inside a transaction block");
        return false;
    }
    for (uint32_t i = 0; i < PG_PARAMETER_COUNT; i++) {
        struct pg_parameter *parameter = &pg->parameters[i];
        memcpy(parameter->current, parameter->start, sizeof(parameter->current));
    }
    forget_statements(pg);
    pg_commit(pg);
    complete(pg, "DISCARD ALL");
    return true;
}

static bool show(struct pg *pg, const char *name)
{
    enum pg_parameter_id id;
    struct pg_parameter *parameter = find_parameter(pg, name, &id);
    if (parameter == NULL) {
        pg_error(pg, "42704", "unrecognized configuration parameter \"%s\"", name);
        return false;
    }
    data(pg, 'D', parameter->current, 0, 0);
    complete(pg, "SHOW");
    return true;
}

static void column(struct pg *pg, const char *text)
{
    writer_u32(&pg->out, (uint32_t)strlen(text));
    writer_bytes(&pg->out, text, strlen(text));
}

/* What of the session differs from its start; there is nothing else that could stay. */
static void tell_state(struct pg *pg, uint32_t arguments)
{
    uint32_t rows = 0;
    for (uint32_t i = 0; i < PG_PARAMETER_COUNT && arguments > 0; i++) {
        const struct pg_parameter *parameter = &pg->parameters[i];
        if (strcmp(parameter->current, parameter->start) != 0) {
            uint32_t mark = writer_begin(&pg->out, 'D');
            writer_u16(&pg->out, 3);
            column(pg, "s");
            column(pg, pg_parameter_names[i]);
            column(pg, parameter->current);
            writer_end(&pg->out, mark);
            rows++;
        }
    }
    complete(pg, rows == 0 ? "SELECT 0" : "SELECT 1");
}

static bool reset(struct pg *pg, const char *name)
{
    enum pg_parameter_id id;
    struct pg_parameter *parameter = find_parameter(pg, name, &id);
    if (parameter == NULL) {
        pg_error(pg, "42704", "unrecognized configuration parameter \"%s\"", name);
        return false;
    }
    memcpy(parameter->current, parameter->start, sizeof(parameter->current));
    complete(pg, "RESET");
    return true;
}

static bool perform(struct pg *pg, const struct pg_command *command, const char *tag)
{
    switch (command->kind) {
    case PG_EMPTY:
        writer_end(&pg->out, writer_begin(&pg->out, 'I'));
        return true;
    case PG_SELECT:
        select_rows(pg, tag);
        return true;
    case PG_INSERT:
        complete(pg, "INSERT 0 1");
        return true;
    case PG_ERROR:
        pg_error(pg, "22012", "error asked for by %s", tag);
        return false;
    case PG_NOTICE: {
        char text[128];
        snprintf(text, sizeof(text), "notice for %s", tag);
        write_report(pg, 'N', "NOTICE", "00000", text);
        complete(pg, "DO");
        return true;
    }
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
        if (!set_parameter(pg, command->tag, command->value)) {
            return false;
        }
        complete(pg, "SET");
        return true;
    case PG_SET_CONFIG:
        if (!set_parameter(pg, pg->arguments[0], pg->arguments[1])) {
            return false;
        }
        data(pg, 'D', pg->arguments[1], 0, 0);
        complete(pg, "SELECT 1");
        return true;
    case PG_RESET:
        return reset(pg, command->tag);
    case PG_SHOW:
        return show(pg, command->tag);
    case PG_STATE:
        tell_state(pg, command->argument_count);
        break;
    case PG_BEGIN:
        begin(pg);
        break;
    case PG_COMMIT:
    case PG_ROLLBACK:
        end_transaction(pg, command->kind == PG_COMMIT);
        return true;
    case PG_DISCARD:
        return discard(pg, tag);
    case PG_DEALLOCATE_ALL:
        return deallocate_all(pg);
    case PG_DEALLOCATE:
        return deallocate(pg, tag);
    case PG_SYNTAX_ERROR:
        pg_error(pg, "42601", "syntax error at or near \"%s\"", tag);
        return false;
    }
    return true;
}

bool pg_execute(struct pg *pg)
{
    const struct pg_command *command = &pg->command;
    if (pg->status == 'E' && command->kind != PG_COMMIT && command->kind != PG_ROLLBACK) {
        pg_error(pg, "25P02", "current transaction is aborted");
        return false;
    }
    if (command->ms > 0 && !pg->slept) {
        pg->asleep = true;
        return false;
    }
    pg->slept = false;
    return perform(pg, command, strcmp(command->tag, "$1") == 0 ? pg->arguments[0] : command->tag);
}
