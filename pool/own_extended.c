#include "pool/own_extended.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/limits.h"
#include "pool/account.h"
#include "pool/core.h"
#include "pool/deferred_begin.h"
#include "pool/link.h"
#include "pool/own.h"
#include "pool/own_answer.h"
#include "pool/session.h"
#include "pool/state.h"
#include "pool/statement_limit.h"
#include "protocol/frontend.h"
#include "protocol/message.h"
#include "router/explain.h"
#include "router/plan.h"

/* What was written goes to the client. */
static bool tell(struct engine *engine, struct session *session)
{
    engine_flush_scratch(engine, &session->conn);
    return !session->conn.closing;
}

/* In the message's place the client gets an error, and all is skipped up to the Sync: by the
 * server, if it has something under way that must fail by it. */
static bool refuse(struct engine *engine, struct session *session, const struct report *report)
{
    struct link *link = session->link;
    if (session->own != NULL) {
        own_errored(session);
    }
    if (link == NULL || (own_status(session) != 'T' && !link->unsynced)) {
        deferred_begin_refused(session);
        report_write(&engine->scratch, report);
        session->skipping = link == NULL;
        if (link != NULL) {
            link->due.skipping = true;
        }
        return tell(engine, session);
    }
    struct due_entry due = {.what = DUE_BIND, .kind = DUE_FORWARD, .refused = OWN_REFUSED};
    if (!own_keep_refusal(engine, session, report) || !link_due_entry(engine, link, &due)) {
        return false;
    }
    frontend_bind(&engine->scratch, "", "howdah_"); /* our prefix alone is no statement's name */
    engine_flush_scratch(engine, &link->conn);
    link->unsynced = true;
    return true;
}

/* --- Parse ------------------------------------------------------------------------------------ */

static bool is_ours(const struct statement *statement)
{
    return statement != NULL && statement->plan != NULL &&
           (statement->plan->touches & PLAN_TOUCHES_OURS) != 0;
}

/* Why the Parse is refused; report.code 0: it is not. */
static void judge_parse(const struct engine *engine, const struct session *session,
                        const char *name, const struct statement *statement,
                        struct own_answer *answer)
{
    const char *text = statement_query(statement);
    own_judge(session, statement->plan, text, (uint32_t)strlen(text), answer);
    if (answer->report.code != 0) {
        return;
    }
    if (statement->plan->step_count > 1) {
        answer->report =
            (struct report){.code = ERR_SYNTAX,
                            .message = "cannot insert multiple commands into a prepared statement"};
    } else if (name[0] != '\0' && session_statement_find(&session->statements, engine->hash_key,
                                                         name, strlen(name)) != NULL) {
        snprintf(answer->message, sizeof(answer->message),
                 "prepared statement \"%.100s\" already exists", name);
        answer->report =
            (struct report){.code = ERR_DUPLICATE_STATEMENT, .message = answer->message};
    } else if (name[0] != '\0' &&
               statement_limit_is_reached(session, strlen(name), statement->body_bytes)) {
        answer->report = statement_limit_report();
    }
}

bool own_extended_parse(struct engine *engine, struct session *session, const char *name,
                        struct statement *statement)
{
    struct own_answer answer = {.describes = false};
    struct own *own = own_waits(engine, session) ? NULL : own_of(engine, session);
    bool done = false;
    if (own == NULL) {
        done = session->blocked || (session->link != NULL && session->link->setup)
                   ? false
                   : session_no_memory(engine, session);
        statement_unref(&engine->statements, statement);
        return done;
    }
    judge_parse(engine, session, name, statement, &answer);
    if (name[0] == '\0') {
        session_drop_unnamed(engine, session);
    }
    if (answer.report.code != 0) {
        done = refuse(engine, session, &answer.report);
    } else if (name[0] == '\0') {
        statement_ref(statement);
        session->unnamed = statement;
        done = true;
    } else {
        done = session_statement_add(&session->statements, engine->hash_key, name, statement,
                                     shared_catalog(engine->shared)) != NULL ||
               session_no_memory(engine, session);
    }
    statement_unref(&engine->statements, statement);
    if (done && answer.report.code == 0) {
        own->busy = true;
        session_write_empty(engine, BACKEND_PARSE_COMPLETE);
        done = tell(engine, session);
    }
    return done;
}

/* A Parse that goes to the server. Where names are not virtual nobody else looks at it. */
static void note_parse(struct engine *engine, struct session *session, const char *name,
                       const char *text)
{
    struct own *own = session->own;
    if (name[0] == '\0' && is_ours(session->unnamed)) {
        session_drop_unnamed(engine, session); /* the server's takes its place */
    }
    if (own != NULL && name[0] == '\0' && !session_virtual_statements(session)) {
        plan_unref(own->parsed);
        own->parsed = state_plan(engine, session, text, (uint32_t)strlen(text));
    }
}

/* The client's statement of that name, if it is ours. */
static struct statement *find(const struct engine *engine, const struct session *session,
                              const char *name)
{
    const struct session_statement *named =
        name[0] == '\0'
            ? NULL
            : session_statement_find(&session->statements, engine->hash_key, name, strlen(name));
    struct statement *statement =
        name[0] == '\0' ? session->unnamed : (named == NULL ? NULL : named->statement);
    return is_ours(statement) ? statement : NULL;
}

/* The name is that of a statement which no server has. */
static bool refuse_duplicate(struct engine *engine, struct session *session, const char *name)
{
    char message[OWN_MESSAGE_BYTES];
    struct report report = {.code = ERR_DUPLICATE_STATEMENT, .message = message};
    snprintf(message, sizeof(message), "prepared statement \"%.100s\" already exists", name);
    if (own_waits(engine, session)) {
        return false;
    }
    if (own_status(session) == 'E') {
        report = (struct report){.code = ERR_FAILED_TRANSACTION};
    }
    return refuse(engine, session, &report);
}

/* Of a Parse that may be ours. */
static bool take_parse(struct engine *engine, struct session *session, struct reader *reader,
                       bool *ret_done)
{
    const char *name = reader_cstr(reader);
    const uint8_t *body = reader->at;
    uint32_t body_bytes = (uint32_t)reader->left;
    const char *text = reader_cstr(reader);
    uint16_t types = reader_u16(reader);
    reader_bytes(reader, (size_t)types * 4);
    if (reader->failed || reader->left != 0 || strlen(name) >= LIMIT_STATEMENT_NAME_BYTES) {
        return false;
    }
    struct plan *plan = own_plan(engine, session, text, (uint32_t)strlen(text));
    if (plan == NULL && name[0] != '\0' && find(engine, session, name) != NULL) {
        *ret_done = refuse_duplicate(engine, session, name);
        return true;
    }
    if (plan == NULL) {
        note_parse(engine, session, name, text);
        return false;
    }
    struct statement *statement =
        statement_intern(&engine->statements, session->settings->reading, body, body_bytes);
    if (statement == NULL) {
        plan_unref(plan);
        *ret_done = session_no_memory(engine, session);
        return true;
    }
    plan_unref(statement->plan);
    statement->plan = plan;
    *ret_done = own_extended_parse(engine, session, name, statement);
    return true;
}

/* --- Bind ------------------------------------------------------------------------------------- */

void own_extended_close(struct engine *engine, struct session *session)
{
    struct own *own = session->own;
    statement_unref(&engine->statements, own->portal);
    own->portal = NULL;
    free(own->portal_name);
    own->portal_name = NULL;
    if (own->portal_rows != NULL) {
        explanation_fini(own->portal_rows);
        free(own->portal_rows);
        own->portal_rows = NULL;
    }
}

/* Passes over what a Bind says behind its names. Returns the number of its parameters. */
static uint16_t read_bind(struct reader *reader, uint16_t *ret_format)
{
    uint16_t formats = reader_u16(reader);
    reader_bytes(reader, (size_t)formats * 2);
    uint16_t parameters = reader_u16(reader);
    for (uint16_t i = 0; i < parameters && !reader->failed; i++) {
        uint32_t bytes = reader_u32(reader);
        reader_bytes(reader, bytes == UINT32_MAX ? 0 : bytes);
    }
    uint16_t results = reader_u16(reader);
    *ret_format = results == 0 ? 0 : reader_u16(reader);
    return parameters;
}

static void judge_bind(const struct session *session, const struct statement *statement,
                       const char *name, uint16_t parameters, bool failed,
                       struct own_answer *answer)
{
    uint32_t wanted = explain_parameters(statement_query(statement),
                                         (uint32_t)strlen(statement_query(statement)));
    answer->report = (struct report){.code = 0};
    if (failed) {
        answer->report =
            (struct report){.code = ERR_PROTOCOL, .message = "invalid format of a Bind message"};
    } else if (own_status(session) == 'E') {
        answer->report = (struct report){.code = ERR_FAILED_TRANSACTION};
    } else if (parameters != wanted) {
        snprintf(
            answer->message, sizeof(answer->message),
            "bind message supplies %u parameters, but prepared statement \"%.60s\" requires %u",
            parameters, name, wanted);
        answer->report = (struct report){.code = ERR_PROTOCOL, .message = answer->message};
    }
}

static bool take_bind(struct engine *engine, struct session *session, struct reader *reader,
                      bool *ret_done)
{
    struct own *own = session->own;
    struct own_answer answer = {.describes = false};
    const char *portal = reader_cstr(reader), *name = reader_cstr(reader);
    struct statement *statement = reader->failed ? NULL : find(engine, session, name);
    if (statement == NULL) {
        if (own->portal_name != NULL && strcmp(own->portal_name, portal) == 0) {
            own_extended_close(engine, session);
        }
        if (!session_virtual_statements(session)) {
            own_bound(session, name[0] == '\0' ? own->parsed : NULL);
        }
        return false;
    }
    if (own_waits(engine, session)) {
        *ret_done = false;
        return true;
    }
    uint16_t format, parameters = read_bind(reader, &format);
    judge_bind(session, statement, name, parameters, reader->failed, &answer);
    if (answer.report.code != 0) {
        *ret_done = refuse(engine, session, &answer.report);
        return true;
    }
    own_extended_close(engine, session);
    own->portal_name = strdup(portal);
    if (own->portal_name == NULL) {
        *ret_done = session_no_memory(engine, session);
        return true;
    }
    statement_ref(statement);
    own->portal = statement;
    own->portal_row = 0;
    own->portal_format = format;
    session_write_empty(engine, BACKEND_BIND_COMPLETE);
    *ret_done = tell(engine, session);
    return true;
}

/* --- Describe and Close ----------------------------------------------------------------------- */

static bool is_portal(const struct session *session, const char *name)
{
    return session->own->portal != NULL && strcmp(session->own->portal_name, name) == 0;
}

/* ParameterDescription: as the Parse has it, and else text. */
static void describe_parameters(struct engine *engine, const struct statement *statement)
{
    enum { TYPE_TEXT = 25 };
    const char *text = statement_query(statement);
    uint32_t len = (uint32_t)strlen(text), count = explain_parameters(text, len);
    struct reader reader = reader_of(statement->body + len + 1, statement->body_bytes - len - 1);
    uint16_t types = reader_u16(&reader);
    uint32_t mark = writer_begin(&engine->scratch, BACKEND_PARAMETER_DESCRIPTION);
    writer_u16(&engine->scratch, (uint16_t)count);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t type = i < types ? reader_u32(&reader) : 0;
        writer_u32(&engine->scratch, type == 0 ? TYPE_TEXT : type);
    }
    writer_end(&engine->scratch, mark);
}

static bool take_describe(struct engine *engine, struct session *session, struct reader *reader,
                          bool *ret_done)
{
    bool of_statement = reader_u8(reader) == 'S';
    const char *name = reader_cstr(reader);
    const struct statement *statement =
        of_statement ? find(engine, session, name)
                     : (is_portal(session, name) ? session->own->portal : NULL);
    if (reader->failed || statement == NULL) {
        return false;
    }
    *ret_done = false;
    if (own_waits(engine, session)) {
        return true;
    }
    if (own_status(session) == 'E') {
        struct report report = {.code = ERR_FAILED_TRANSACTION};
        *ret_done = refuse(engine, session, &report);
        return true;
    }
    if (of_statement) {
        describe_parameters(engine, statement);
    }
    own_describe(engine, &statement->plan->steps[0],
                 of_statement ? 0 : session->own->portal_format);
    *ret_done = tell(engine, session);
    return true;
}

static bool take_close(struct engine *engine, struct session *session, struct reader *reader,
                       bool *ret_done)
{
    bool of_statement = reader_u8(reader) == 'S';
    const char *name = reader_cstr(reader);
    bool known = of_statement ? find(engine, session, name) != NULL : is_portal(session, name);
    if (reader->failed || !known) {
        return false;
    }
    *ret_done = false;
    if (own_waits(engine, session)) {
        return true;
    }
    if (!of_statement) {
        own_extended_close(engine, session);
    } else if (name[0] == '\0') {
        session_drop_unnamed(engine, session);
    } else {
        session_statement_remove(
            &engine->statements, &session->statements,
            session_statement_find(&session->statements, engine->hash_key, name, strlen(name)));
    }
    session_write_empty(engine, BACKEND_CLOSE_COMPLETE);
    *ret_done = tell(engine, session);
    return true;
}

/* --- Execute ---------------------------------------------------------------------------------- */

/* The rows of an EXPLAIN, as many as are wanted at a time (0: all). False: the report says why
 * not. */
static bool run_rows(struct engine *engine, struct session *session, uint32_t max,
                     struct own_answer *answer)
{
    struct own *own = session->own;
    const char *text = statement_query(own->portal), *at = NULL, *values[EXPLAIN_COLUMNS];
    uint32_t row = 0, sent = 0;
    if (own->portal_rows == NULL) {
        own->portal_rows = malloc(sizeof(*own->portal_rows));
        if (own->portal_rows == NULL) {
            answer->report = (struct report){.code = ERR_NO_MEMORY};
            return false;
        }
        explanation_init(own->portal_rows);
        if (!own_explained(engine, session, text, (uint32_t)strlen(text), own->portal_rows,
                           answer)) {
            return false;
        }
    }
    while ((max == 0 || sent < max) &&
           (at = explanation_next(own->portal_rows, at, values)) != NULL) {
        if (row++ >= own->portal_row) {
            own_write_row(engine, values, EXPLAIN_COLUMNS);
            sent++;
        }
    }
    own->portal_row += sent;
    if (max > 0 && sent == max) {
        session_write_empty(engine, BACKEND_PORTAL_SUSPENDED);
    } else {
        session_write_tag(engine, "EXPLAIN");
    }
    return true;
}

/* Its only row was told. */
static void run_again(struct engine *engine, const struct plan_step *step)
{
    session_write_tag(engine, step->kind == PLAN_STEP_SHOW ? "SHOW" : "SELECT 0");
}

/* The answer of anything else: one row at most. */
static bool run_once(struct engine *engine, struct session *session, uint32_t max,
                     struct own_answer *answer)
{
    struct own *own = session->own;
    const struct link *link = session->link;
    const struct plan_step *step = &own->portal->plan->steps[0];
    const char *text = statement_query(own->portal);
    if (own->portal_row > 0 && step->kind != PLAN_STEP_SET) {
        run_again(engine, step);
        return true;
    }
    if (own->portal_row > 0) {
        snprintf(answer->message, sizeof(answer->message), "portal \"%.100s\" cannot be run",
                 own->portal_name);
        answer->report = (struct report){.code = ERR_NOT_IN_STATE, .message = answer->message};
        return false;
    }
    own->portal_row = 1;
    answer->where = own_status(session) == 'T' ? OWN_BLOCK : OWN_IMPLICIT;
    answer->warns = answer->where == OWN_IMPLICIT && (link == NULL || !link->unsynced);
    answer->suspends = max == 1 && step->kind != PLAN_STEP_SET;
    return own_run(engine, session, step, text, (uint32_t)strlen(text), answer);
}

static bool take_execute(struct engine *engine, struct session *session, struct reader *reader,
                         bool *ret_done)
{
    struct own_answer answer = {.describes = false};
    const char *name = reader_cstr(reader);
    uint32_t max = reader_u32(reader);
    if (reader->failed || !is_portal(session, name)) {
        return false;
    }
    *ret_done = false;
    if (own_waits(engine, session)) {
        return true;
    }
    bool done = false;
    if (own_status(session) == 'E') {
        answer.report = (struct report){.code = ERR_FAILED_TRANSACTION};
    } else if (session->own->portal->plan->steps[0].kind == PLAN_STEP_EXPLAIN) {
        done = run_rows(engine, session, max > INT32_MAX ? 0 : max, &answer);
    } else {
        done = run_once(engine, session, max, &answer);
    }

    *ret_done = done ? tell(engine, session) : refuse(engine, session, &answer.report);
    return true;
}

/* --- all of them ------------------------------------------------------------------------------ */

/* Whether a Parse of which this is here may be ours. Where names are not virtual nobody else looks
 * at it. */
static bool may_be_ours(const struct session *session, const uint8_t *body, uint32_t have)
{
    const uint8_t *end = memchr(body, '\0', have);
    return end == NULL || own_may_begin(end + 1, have - (uint32_t)(end + 1 - body)) ||
           (!session_virtual_statements(session) && memmem(body, have, "howdah", 6) != NULL);
}

bool own_extended_take(struct engine *engine, struct session *session, const uint8_t *message,
                       uint32_t total, uint32_t have, uint32_t *ret_taken, uint32_t *ret_whole)
{
    bool busy = session->own != NULL && session->own->busy, done = false, ours = false;
    const uint8_t *body = message + MESSAGE_HEADER_BYTES;
    if (!busy && (message[0] != FRONTEND_PARSE ||
                  !may_be_ours(session, body, have - MESSAGE_HEADER_BYTES))) {
        return false;
    }
    if (have < total) {
        *ret_whole = total;
        return true;
    }
    struct reader reader = reader_of(body, total - MESSAGE_HEADER_BYTES);
    switch (message[0]) {
    case FRONTEND_PARSE:
        ours = take_parse(engine, session, &reader, &done);
        break;
    case FRONTEND_BIND:
        ours = take_bind(engine, session, &reader, &done);
        break;
    case FRONTEND_DESCRIBE:
        ours = take_describe(engine, session, &reader, &done);
        break;
    case FRONTEND_CLOSE:
        ours = take_close(engine, session, &reader, &done);
        break;
    case FRONTEND_EXECUTE:
        ours = take_execute(engine, session, &reader, &done);
        break;
    }
    *ret_taken = done ? total : 0;
    return ours;
}
