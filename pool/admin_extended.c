/* The extended query protocol of the admin database. A command runs when its portal is executed,
 * once; its rows are kept with the portal, so that they can be fetched in parts. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/writer.h"
#include "pool/admin.h"
#include "pool/admin_console.h"
#include "pool/admin_lexer.h"
#include "pool/admin_task.h"
#include "pool/core.h"
#include "pool/session.h"
#include "protocol/message.h"

/* Statements and portals of one console. */
enum { NAMES_MAX = 1000 };

static void refuse(struct engine *engine, struct session *session, int code, const char *message)
{
    struct admin_error error = {.code = code};
    snprintf(error.message, sizeof(error.message), "%s", message);
    admin_tell_error(engine, session, &error);
    session->admin->skipping = true;
}

static void write_empty(struct engine *engine, struct session *session, char type)
{
    session_write_empty(engine, type);
    engine_flush_scratch(engine, &session->conn);
}

/* --- names ------------------------------------------------------------------------------------ */

static void free_prepared(struct admin *admin, struct admin_prepared *prepared)
{
    list_remove(&prepared->node);
    admin->prepared_count--;
    free(prepared->name);
    free(prepared->text);
    free(prepared->types);
    free(prepared);
}

static void free_portal(struct admin *admin, struct admin_portal *portal)
{
    list_remove(&portal->node);
    admin->portal_count--;
    if (admin->portal == portal) {
        admin->portal = NULL;
    }
    admin_statement_fini(&portal->statement);
    admin_table_fini(&portal->result);
    free(portal->name);
    free(portal->formats);
    free(portal);
}

void admin_close_portals(struct admin *admin)
{
    LIST_EACH (&admin->portals, node) {
        free_portal(admin, CONTAINER_OF(node, struct admin_portal, node));
    }
}

void admin_close_prepared(struct admin *admin, const char *name)
{
    LIST_EACH (&admin->prepared, node) {
        struct admin_prepared *prepared = CONTAINER_OF(node, struct admin_prepared, node);
        if (name == NULL || strcmp(prepared->name, name) == 0) {
            free_prepared(admin, prepared);
        }
    }
}

static struct admin_prepared *find_prepared(struct admin *admin, const char *name)
{
    LIST_EACH (&admin->prepared, node) {
        struct admin_prepared *prepared = CONTAINER_OF(node, struct admin_prepared, node);
        if (strcmp(prepared->name, name) == 0) {
            return prepared;
        }
    }
    return NULL;
}

static struct admin_portal *find_portal(struct admin *admin, const char *name)
{
    LIST_EACH (&admin->portals, node) {
        struct admin_portal *portal = CONTAINER_OF(node, struct admin_portal, node);
        if (strcmp(portal->name, name) == 0) {
            return portal;
        }
    }
    return NULL;
}

/* --- Parse ------------------------------------------------------------------------------------ */

/* Checks the text: one statement that means something. False when the client was told why not. */
static bool check_text(struct engine *engine, struct session *session, const char *text,
                       uint32_t *ret_parameters)
{
    struct admin_who who = admin_who(engine, session);
    struct admin_statement statement;
    struct admin_error error;
    size_t whole = strlen(text), bytes = admin_statement_bytes(text, whole);
    if (bytes < whole && strspn(text + bytes, "; \t\r\n") < whole - bytes) {
        refuse(engine, session, ERR_SYNTAX,
               "cannot insert multiple commands into a prepared statement");
        return false;
    }
    if (admin_parse(text, bytes, &who, &statement, &error) != 0) {
        admin_tell_error(engine, session, &error);
        session->admin->skipping = true;
        return false;
    }
    *ret_parameters = statement.parameter_count;
    admin_statement_fini(&statement);
    return true;
}

static struct admin_prepared *add_prepared(struct admin *admin, const char *name, const char *text,
                                           uint32_t type_count)
{
    struct admin_prepared *prepared = calloc(1, sizeof(*prepared));
    if (prepared == NULL) {
        return NULL;
    }
    list_init(&prepared->node);
    list_push_back(&admin->prepared, &prepared->node);
    admin->prepared_count++;
    prepared->name = strdup(name);
    prepared->text = strdup(text);
    prepared->types = calloc(type_count + 1, sizeof(*prepared->types));
    prepared->type_count = type_count;
    if (prepared->name == NULL || prepared->text == NULL || prepared->types == NULL) {
        free_prepared(admin, prepared);
        return NULL;
    }
    return prepared;
}

static void take_parse(struct engine *engine, struct session *session, struct reader *reader)
{
    struct admin *admin = session->admin;
    const char *name = reader_cstr(reader), *text = reader_cstr(reader);
    uint32_t given = reader_u16(reader), used = 0;
    if (reader->failed || reader->left != (size_t)given * 4) {
        refuse(engine, session, ERR_PROTOCOL, "invalid Parse message");
        return;
    }
    if (name[0] != '\0' && find_prepared(admin, name) != NULL) {
        refuse(engine, session, ERR_DUPLICATE_STATEMENT, "prepared statement already exists");
        return;
    }
    if (name[0] == '\0') {
        admin_close_prepared(admin, "");
    }
    if (admin->prepared_count >= NAMES_MAX) {
        refuse(engine, session, ERR_LIMIT, "too many prepared statements in one console");
        return;
    }
    if (!check_text(engine, session, text, &used)) {
        return;
    }
    struct admin_prepared *prepared = add_prepared(admin, name, text, used > given ? used : given);
    if (prepared == NULL) {
        refuse(engine, session, ERR_NO_MEMORY, error_message(ERR_NO_MEMORY));
        return;
    }
    for (uint32_t i = 0; i < given; i++) {
        prepared->types[i] = reader_u32(reader);
    }
    write_empty(engine, session, BACKEND_PARSE_COMPLETE);
}

/* --- Bind ------------------------------------------------------------------------------------- */

/* Parameters are looked at no closer than that they are there: nothing here uses one. */
static bool skip_parameters(struct reader *reader, uint32_t *ret_count)
{
    uint32_t formats = reader_u16(reader);
    reader_bytes(reader, (size_t)formats * 2);
    *ret_count = reader_u16(reader);
    for (uint32_t i = 0; i < *ret_count && !reader->failed; i++) {
        uint32_t bytes = reader_u32(reader);
        if (bytes != UINT32_MAX) {
            reader_bytes(reader, bytes);
        }
    }
    return !reader->failed;
}

static bool take_formats(struct admin_portal *portal, struct reader *reader)
{
    portal->format_count = reader_u16(reader);
    if (reader->failed || reader->left != (size_t)portal->format_count * 2) {
        return false;
    }
    portal->formats = calloc(portal->format_count + 1, sizeof(*portal->formats));
    for (uint32_t i = 0; portal->formats != NULL && i < portal->format_count; i++) {
        portal->formats[i] = reader_u16(reader);
        if (portal->formats[i] > 1) {
            return false;
        }
    }
    uint32_t columns = portal->statement.table.column_count;
    return portal->formats != NULL &&
           (portal->format_count <= 1 || portal->format_count == columns);
}

static struct admin_portal *add_portal(struct engine *engine, struct session *session,
                                       const char *name, const struct admin_prepared *prepared)
{
    struct admin *admin = session->admin;
    struct admin_who who = admin_who(engine, session);
    struct admin_portal *portal = calloc(1, sizeof(*portal));
    struct admin_error error;
    if (portal == NULL) {
        return NULL;
    }
    list_init(&portal->node);
    list_push_back(&admin->portals, &portal->node);
    admin->portal_count++;
    portal->name = strdup(name);
    admin_table_init(&portal->result, NULL, 0);
    admin_table_init(&portal->statement.table, NULL, 0);
    size_t bytes = admin_statement_bytes(prepared->text, strlen(prepared->text));
    if (portal->name == NULL ||
        admin_parse(prepared->text, bytes, &who, &portal->statement, &error) != 0) {
        free_portal(admin, portal);
        return NULL;
    }
    return portal;
}

static void take_bind(struct engine *engine, struct session *session, struct reader *reader)
{
    struct admin *admin = session->admin;
    const char *name = reader_cstr(reader);
    const char *statement_name = reader_cstr(reader);
    uint32_t parameters;
    struct admin_prepared *prepared = find_prepared(admin, statement_name);
    if (reader->failed || !skip_parameters(reader, &parameters)) {
        refuse(engine, session, ERR_PROTOCOL, "invalid Bind message");
        return;
    }
    if (prepared == NULL) {
        refuse(engine, session, ERR_UNDEFINED_STATEMENT, "prepared statement does not exist");
        return;
    }
    if (parameters != prepared->type_count) {
        refuse(engine, session, ERR_PROTOCOL, "wrong number of parameters in Bind message");
        return;
    }
    struct admin_portal *old = find_portal(admin, name);
    if (old != NULL && name[0] != '\0') {
        refuse(engine, session, ERR_DUPLICATE_CURSOR, error_message(ERR_DUPLICATE_CURSOR));
        return;
    }
    if (old != NULL) {
        free_portal(admin, old);
    }
    if (admin->portal_count >= NAMES_MAX) {
        refuse(engine, session, ERR_LIMIT, "too many portals in one console");
        return;
    }
    struct admin_portal *portal = add_portal(engine, session, name, prepared);
    if (portal == NULL) {
        refuse(engine, session, ERR_NO_MEMORY, error_message(ERR_NO_MEMORY));
        return;
    }
    if (!take_formats(portal, reader)) {
        free_portal(admin, portal);
        refuse(engine, session, ERR_PROTOCOL, "invalid result formats in Bind message");
        return;
    }
    write_empty(engine, session, BACKEND_BIND_COMPLETE);
}

/* --- Describe, Close -------------------------------------------------------------------------- */

static void describe_rows(struct engine *engine, struct session *session,
                          const struct admin_table *table, const uint16_t *formats,
                          uint32_t format_count)
{
    if (table->column_count == 0) {
        write_empty(engine, session, BACKEND_NO_DATA);
        return;
    }
    admin_table_describe(table, formats, format_count, &engine->scratch);
    engine_flush_scratch(engine, &session->conn);
}

static void describe_statement(struct engine *engine, struct session *session,
                               const struct admin_prepared *prepared)
{
    enum { OID_TEXT = 25 };
    struct admin_who who = admin_who(engine, session);
    struct admin_statement statement;
    struct admin_error error;
    size_t bytes = admin_statement_bytes(prepared->text, strlen(prepared->text));
    if (admin_parse(prepared->text, bytes, &who, &statement, &error) != 0) {
        admin_tell_error(engine, session, &error);
        session->admin->skipping = true;
        return;
    }
    uint32_t mark = writer_begin(&engine->scratch, BACKEND_PARAMETER_DESCRIPTION);
    writer_u16(&engine->scratch, (uint16_t)prepared->type_count);
    for (uint32_t i = 0; i < prepared->type_count; i++) {
        writer_u32(&engine->scratch, prepared->types[i] == 0 ? OID_TEXT : prepared->types[i]);
    }
    writer_end(&engine->scratch, mark);
    describe_rows(engine, session, &statement.table, NULL, 0);
    admin_statement_fini(&statement);
}

static void take_describe(struct engine *engine, struct session *session, struct reader *reader)
{
    uint8_t what = reader_u8(reader);
    const char *name = reader_cstr(reader);
    if (reader->failed || (what != 'S' && what != 'P')) {
        refuse(engine, session, ERR_PROTOCOL, "invalid Describe message");
        return;
    }
    if (what == 'S') {
        struct admin_prepared *prepared = find_prepared(session->admin, name);
        if (prepared == NULL) {
            refuse(engine, session, ERR_UNDEFINED_STATEMENT, "prepared statement does not exist");
            return;
        }
        describe_statement(engine, session, prepared);
        return;
    }
    struct admin_portal *portal = find_portal(session->admin, name);
    if (portal == NULL) {
        refuse(engine, session, ERR_UNDEFINED_CURSOR, error_message(ERR_UNDEFINED_CURSOR));
        return;
    }
    describe_rows(engine, session, &portal->statement.table, portal->formats, portal->format_count);
}

static void take_close(struct engine *engine, struct session *session, struct reader *reader)
{
    uint8_t what = reader_u8(reader);
    const char *name = reader_cstr(reader);
    if (reader->failed || (what != 'S' && what != 'P')) {
        refuse(engine, session, ERR_PROTOCOL, "invalid Close message");
        return;
    }
    struct admin_portal *portal = what == 'P' ? find_portal(session->admin, name) : NULL;
    if (what == 'S') {
        admin_close_prepared(session->admin, name);
    } else if (portal != NULL) {
        free_portal(session->admin, portal);
    }
    write_empty(engine, session, BACKEND_CLOSE_COMPLETE);
}

/* --- Execute ---------------------------------------------------------------------------------- */

/* Sends what the portal still has, up to the number of rows that is wanted. */
static void send_portal(struct engine *engine, struct session *session, struct admin_portal *portal)
{
    const struct admin_statement *statement = &portal->statement;
    const struct admin_command *command = statement->command;
    const struct admin_table *table = command != NULL ? &portal->result : &statement->table;
    uint32_t left = table->row_count - portal->row, max = session->admin->portal_rows_max;
    uint32_t end = portal->row + (max != 0 && max < left ? max : left);
    admin_write_rows(engine, session, table, portal->row, end, portal->formats,
                     portal->format_count);
    portal->row = end;
    if (end < table->row_count) {
        write_empty(engine, session, BACKEND_PORTAL_SUSPENDED);
    } else if (command != NULL) {
        admin_write_complete(engine, session, command->words, admin_command_tag_bytes(command));
    } else {
        admin_write_complete(engine, session, statement->tag, strlen(statement->tag));
    }
}

void admin_extended_done(struct engine *engine, struct session *session, struct admin_task *task)
{
    struct admin *admin = session->admin;
    struct admin_portal *portal = admin->portal;
    admin->portal = NULL;
    if (task->unanswered) {
        session_close(engine, session);
    } else if (task->error.code != 0) {
        admin_tell_error(engine, session, &task->error);
        admin->skipping = true;
    } else {
        admin_table_fini(&portal->result);
        portal->result = task->table;
        admin_table_init(&task->table, NULL, 0);
        send_portal(engine, session, portal);
    }
    admin_task_free(task);
}

static void execute(struct engine *engine, struct session *session, struct admin_portal *portal)
{
    struct admin *admin = session->admin;
    struct admin_task *task;
    portal->executed = true;
    if (portal->statement.command == NULL) {
        admin_apply_effect(admin, &portal->statement);
        send_portal(engine, session, portal);
        return;
    }
    admin->portal = portal;
    if (!admin_run(engine, session, &portal->statement, &task)) {
        return; /* admin_extended_done comes later */
    }
    if (task == NULL) {
        admin->portal = NULL;
        admin->skipping = true;
        return;
    }
    admin_extended_done(engine, session, task);
}

static void take_execute(struct engine *engine, struct session *session, struct reader *reader)
{
    const char *name = reader_cstr(reader);
    uint32_t rows_max = reader_u32(reader);
    struct admin_portal *portal = find_portal(session->admin, name);
    if (reader->failed) {
        refuse(engine, session, ERR_PROTOCOL, "invalid Execute message");
        return;
    }
    if (portal == NULL) {
        refuse(engine, session, ERR_UNDEFINED_CURSOR, error_message(ERR_UNDEFINED_CURSOR));
        return;
    }
    session->admin->portal_rows_max = rows_max > INT32_MAX ? 0 : rows_max;
    if (portal->statement.empty) {
        write_empty(engine, session, BACKEND_EMPTY_QUERY_RESPONSE);
    } else if (portal->executed) {
        send_portal(engine, session, portal);
    } else {
        execute(engine, session, portal);
    }
}

void admin_extended(struct engine *engine, struct session *session, uint8_t type,
                    const uint8_t *body, uint32_t body_bytes)
{
    struct reader reader = reader_of(body, body_bytes);
    switch (type) {
    case FRONTEND_PARSE:
        take_parse(engine, session, &reader);
        return;
    case FRONTEND_BIND:
        take_bind(engine, session, &reader);
        return;
    case FRONTEND_DESCRIBE:
        take_describe(engine, session, &reader);
        return;
    case FRONTEND_CLOSE:
        take_close(engine, session, &reader);
        return;
    case FRONTEND_EXECUTE:
        take_execute(engine, session, &reader);
        return;
    }
    refuse(engine, session, ERR_PROTOCOL, "unexpected message");
}
