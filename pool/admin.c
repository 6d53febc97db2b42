#include "pool/admin.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/error.h"
#include "base/limits.h"
#include "pool/admin_action.h"
#include "pool/admin_console.h"
#include "pool/admin_lexer.h"
#include "pool/admin_task.h"
#include "pool/cancel.h"
#include "pool/core.h"
#include "pool/letter.h"
#include "pool/login.h"
#include "pool/options.h"
#include "pool/session.h"
#include "protocol/message.h"
#include "protocol/report.h"

enum {
    ROUND_US = 20 * 1000,    /* between two looks at what a command waits for */
    FLUSH_BYTES = 32 * 1024, /* of rows, before they are handed to the connection */
};

bool admin_is_database(const char *name)
{
    return strcmp(name, "howdah") == 0 || strcmp(name, "pgbouncer") == 0;
}

uint64_t admin_pointer(uint32_t worker, struct handle handle)
{
    return (uint64_t)(worker + 1) << 52 | (uint64_t)handle.generation << 20 | handle.slot;
}

const char *admin_user(const struct session *session)
{
    return session->admin->user;
}

struct admin_who admin_who(const struct engine *engine, const struct session *session)
{
    return (struct admin_who){
        .user = session->admin->user,
        .database = session->admin->database,
        .application_name = settings_get(session->settings, "application_name"),
        .pid = cancel_virtual_pid(engine->worker, session->conn.handle),
    };
}

/* --- who may come in -------------------------------------------------------------------------- */

static bool is_listed(char *const *names, uint32_t count, const char *name)
{
    for (uint32_t i = 0; i < count; i++) {
        if (strcmp(names[i], name) == 0) {
            return true;
        }
    }
    return false;
}

/* Looked up for every command: a reload can take a role away. */
static enum admin_role role_of(const struct engine *engine, const char *user)
{
    const struct options *options = engine->options;
    if (is_listed(options->admin_users, options->admin_user_count, user)) {
        return ROLE_ADMIN;
    }
    return is_listed(options->stats_users, options->stats_user_count, user) ? ROLE_STATS
                                                                            : ROLE_NOBODY;
}

static void greet(struct engine *engine, struct session *session)
{
    static const struct setting fixed[] = {
        {"server_version", ADMIN_SERVER_VERSION},
        {"server_encoding", "UTF8"},
        {"client_encoding", "UTF8"},
        {"DateStyle", "ISO, MDY"},
        {"IntervalStyle", "postgres"},
        {"TimeZone", "GMT"},
        {"integer_datetimes", "on"},
        {"standard_conforming_strings", "on"},
        {"is_superuser", "off"},
        {"default_transaction_read_only", "off"},
        {"in_hot_standby", "off"},
    };
    enum { FIXED = sizeof(fixed) / sizeof(fixed[0]) };
    struct setting items[FIXED + 2];
    const char *name = settings_get(session->settings, "application_name");
    memcpy(items, fixed, sizeof(fixed));
    items[FIXED] = (struct setting){"session_authorization", session->admin->user};
    items[FIXED + 1] = (struct setting){"application_name", name == NULL ? "" : name};
    struct settings *told = settings_intern(&engine->settings, items, FIXED + 2);
    if (told == NULL) {
        session_close(engine, session);
        return;
    }
    session_welcome(engine, session, told, engine->settings.none);
    settings_unref(&engine->settings, told);
}

void admin_open(struct engine *engine, struct session *session, const char *user)
{
    if (role_of(engine, user) == ROLE_NOBODY) {
        struct report report = {.code = ERR_PRIVILEGE,
                                .message = "not allowed",
                                .hint = "admin.users and admin.stats_users list who may open the "
                                        "admin database."};
        session_fail(engine, session, &report);
        return;
    }
    struct admin *admin = calloc(1, sizeof(*admin));
    if (admin == NULL) {
        session_close(engine, session);
        return;
    }
    list_init(&admin->prepared);
    list_init(&admin->portals);
    admin->status = 'I';
    admin->user = strdup(user);
    admin->database = strdup(session->login->database);
    session->admin = admin;
    session->detours = true;
    engine->console_count++;
    if (admin->user == NULL || admin->database == NULL) {
        session_close(engine, session);
        return;
    }
    engine_log(engine, LOG_DEBUG, "admin: user=%s opens the console", user);
    greet(engine, session);
}

void admin_free(struct engine *engine, struct session *session)
{
    struct admin *admin = session->admin;
    if (admin == NULL) {
        return;
    }
    engine->console_count--;
    session->admin = NULL;
    session->detours = false;
    admin_close_portals(admin);
    admin_close_prepared(admin, NULL);
    admin_task_free(admin->task);
    free(admin->script);
    free(admin->user);
    free(admin->database);
    free(admin);
}

/* --- messages of our own ---------------------------------------------------------------------- */

void admin_write_rows(struct engine *engine, struct session *session,
                      const struct admin_table *table, uint32_t from, uint32_t to,
                      const uint16_t *formats, uint32_t format_count)
{
    for (uint32_t row = from; row < to; row++) {
        admin_table_write_row(table, row, formats, format_count, &engine->scratch);
        if (engine->scratch.len >= FLUSH_BYTES) {
            engine_flush_scratch(engine, &session->conn);
        }
    }
    engine_flush_scratch(engine, &session->conn);
}

void admin_write_complete(struct engine *engine, struct session *session, const char *tag,
                          size_t tag_bytes)
{
    uint32_t mark = writer_begin(&engine->scratch, BACKEND_COMMAND_COMPLETE);
    writer_bytes(&engine->scratch, tag, tag_bytes);
    writer_u8(&engine->scratch, 0);
    writer_end(&engine->scratch, mark);
    engine_flush_scratch(engine, &session->conn);
}

void admin_write_ready(struct engine *engine, struct session *session)
{
    uint32_t mark = writer_begin(&engine->scratch, BACKEND_READY_FOR_QUERY);
    writer_u8(&engine->scratch, (uint8_t)session->admin->status);
    writer_end(&engine->scratch, mark);
    engine_flush_scratch(engine, &session->conn);
}

void admin_tell_error(struct engine *engine, struct session *session,
                      const struct admin_error *error)
{
    struct report report = {.code = error->code, .message = error->message, .hint = error->hint};
    if (session->admin->status == 'T') {
        session->admin->status = 'E';
    }
    session_report(engine, session, &report);
}

/* --- running ---------------------------------------------------------------------------------- */

void admin_apply_effect(struct admin *admin, const struct admin_statement *statement)
{
    switch (statement->effect) {
    case EFFECT_NONE:
        return;
    case EFFECT_BEGIN:
        admin->status = 'T';
        return;
    case EFFECT_END:
        admin->status = 'I';
        return;
    case EFFECT_DEALLOCATE:
        if (statement->argument != NULL) {
            admin_close_prepared(admin, statement->argument);
        }
        return;
    case EFFECT_DISCARD:
        admin_close_prepared(admin, NULL);
        return;
    }
    UNREACHABLE();
}

/* Ends a task that waits. Who gives up waiting for a pause does not want it to come later either:
 * PgBouncer does the same. */
static enum admin_progress cancel_task(struct engine *engine, struct admin_task *task)
{
    static const struct admin_command undo = {
        .words = "PAUSE", .scope = SCOPE_EVERYWHERE, .visit = admin_undo_pause};
    bool pauses = task->command->visit == admin_pause || task->command->visit == admin_suspend;
    task->canceled = true;
    if (!pauses) {
        return PROGRESS_DONE;
    }
    task->command = &undo;
    return admin_task_begin(engine, task);
}

/* Where the task goes after a step. True when it is done and the caller's. */
static bool took_step(struct engine *engine, struct session *session, struct admin_task *task,
                      enum admin_progress progress)
{
    struct admin *admin = session->admin;
    bool until_done = task->command->scope == SCOPE_UNTIL_DONE;
    if (progress == PROGRESS_PARKED && until_done && admin->canceled) {
        progress = cancel_task(engine, task);
    }
    if (progress == PROGRESS_DONE && task->canceled) {
        admin_task_fail(task, ERR_CANCELED, NULL, "%s", error_message(ERR_CANCELED));
    }
    admin->waiting = progress != PROGRESS_DONE;
    admin->task = NULL;
    if (progress == PROGRESS_PARKED) {
        admin->task = task;
        if (until_done) {
            conn_wake_by(engine, &session->conn, engine->now_us + ROUND_US);
        }
    }
    return progress == PROGRESS_DONE;
}

bool admin_run(struct engine *engine, struct session *session, struct admin_statement *statement,
               struct admin_task **ret_task)
{
    const struct admin_command *command = statement->command;
    struct admin_error error = {.code = ERR_NO_MEMORY, .message = "out of memory"};
    struct admin_task *task = NULL;
    session->admin->canceled = false;
    *ret_task = NULL;
    if (!admin_command_allowed(command, role_of(engine, session->admin->user))) {
        error = (struct admin_error){.code = ERR_PRIVILEGE,
                                     .message = "admin access needed",
                                     .hint = "admin.users lists who may do this."};
    } else {
        task = admin_task_new(engine, session, statement);
    }
    if (task == NULL) {
        admin_tell_error(engine, session, &error);
        return true;
    }
    if (command->role == ROLE_ADMIN) {
        engine_log(engine, LOG_NOTICE, "admin: user=%s %s %s", session->admin->user, command->words,
                   task->argument == NULL ? "" : task->argument);
    }
    if (!took_step(engine, session, task, admin_task_begin(engine, task))) {
        return false;
    }
    *ret_task = task;
    return true;
}

static void end_script(struct engine *engine, struct session *session)
{
    struct admin *admin = session->admin;
    free(admin->script);
    admin->script = NULL;
    admin_write_ready(engine, session);
}

/* Answers a simple query's command; owns the task. False when the script must end here. */
static bool answer_simple(struct engine *engine, struct session *session, struct admin_task *task)
{
    bool good = task->error.code == 0;
    if (task->unanswered) {
        session_close(engine, session);
        good = false;
    } else if (!good) {
        admin_tell_error(engine, session, &task->error);
    } else {
        if (task->table.column_count > 0) {
            admin_table_describe(&task->table, NULL, 0, &engine->scratch);
            admin_write_rows(engine, session, &task->table, 0, task->table.row_count, NULL, 0);
        }
        admin_write_complete(engine, session, task->command->words,
                             admin_command_tag_bytes(task->command));
    }
    admin_task_free(task);
    return good;
}

static void answer_driver(struct engine *engine, struct session *session,
                          const struct admin_statement *statement)
{
    const struct admin_table *table = &statement->table;
    admin_apply_effect(session->admin, statement);
    if (table->column_count > 0) {
        admin_table_describe(table, NULL, 0, &engine->scratch);
        admin_write_rows(engine, session, table, 0, table->row_count, NULL, 0);
    }
    admin_write_complete(engine, session, statement->tag, strlen(statement->tag));
}

/* The next statement of the script. False when it has ended, waits, or has failed. */
static bool run_statement(struct engine *engine, struct session *session)
{
    struct admin *admin = session->admin;
    struct admin_statement statement;
    struct admin_error error;
    struct admin_task *task = NULL;
    struct admin_who who = admin_who(engine, session);
    const char *text = admin->script + admin->script_at;
    size_t bytes = admin_statement_bytes(text, admin->script_bytes - admin->script_at);
    bool is_last = admin->script_at + bytes >= admin->script_bytes;
    bool goes_on = true;
    admin->script_at += bytes + (is_last ? 0 : 1);
    if (admin_parse(text, bytes, &who, &statement, &error) != 0) {
        admin_tell_error(engine, session, &error);
        end_script(engine, session);
        return false;
    }
    if (statement.command != NULL) {
        goes_on = admin_run(engine, session, &statement, &task);
        if (goes_on && (task == NULL || !answer_simple(engine, session, task))) {
            admin->script_at = admin->script_bytes;
        }
    } else if (!statement.empty) {
        answer_driver(engine, session, &statement);
    }
    admin_statement_fini(&statement);
    return goes_on && !session->conn.closing;
}

static void run_script(struct engine *engine, struct session *session)
{
    struct admin *admin = session->admin;
    while (admin->script_at < admin->script_bytes) {
        if (!run_statement(engine, session)) {
            return;
        }
    }
    end_script(engine, session);
}

static bool is_blank(const char *text, size_t bytes)
{
    struct admin_lexer lexer = {text, text + bytes};
    struct admin_token token;
    do {
        token = admin_lexer_next(&lexer);
    } while (admin_token_is_symbol(&token, ';'));
    return token.kind == TOKEN_END;
}

static void take_query(struct engine *engine, struct session *session, const uint8_t *body,
                       uint32_t body_bytes)
{
    struct admin *admin = session->admin;
    const char *text = (const char *)body;
    size_t bytes = message_text_bytes(text, body_bytes);
    if (is_blank(text, bytes)) {
        session_write_empty(engine, BACKEND_EMPTY_QUERY_RESPONSE);
        admin_write_ready(engine, session);
        return;
    }
    admin->script = strndup(text, bytes);
    admin->script_bytes = bytes;
    admin->script_at = 0;
    if (admin->script == NULL) {
        session_close(engine, session);
        return;
    }
    run_script(engine, session);
}

/* A task that was waited for is done; owns it. */
static void finish_task(struct engine *engine, struct session *session, struct admin_task *task)
{
    struct admin *admin = session->admin;
    admin->waiting = false;
    if (admin->portal != NULL) {
        admin_extended_done(engine, session, task);
    } else if (answer_simple(engine, session, task)) {
        run_script(engine, session);
    } else if (!session->conn.closing) {
        end_script(engine, session);
    }
    session_resume_later(engine, session);
}

/* --- what tasks wait for ---------------------------------------------------------------------- */

void admin_letter(struct engine *engine, struct letter *letter)
{
    struct admin_task *task = letter->task;
    letter->task = NULL;
    letter_free(letter);
    if (task->home != engine->worker) {
        admin_task_visit(engine, task);
        return;
    }
    struct conn *conn = handle_table_get(&engine->connections, task->asker);
    if (conn == NULL || conn->closing) {
        admin_task_free(task);
        return;
    }
    struct session *session = (struct session *)conn;
    if (took_step(engine, session, task, admin_task_home(engine, task))) {
        finish_task(engine, session, task);
    }
}

void admin_timer(struct engine *engine, struct session *session)
{
    struct admin *admin = session->admin;
    struct admin_task *task = admin == NULL ? NULL : admin->task;
    if (task == NULL || task->command->scope != SCOPE_UNTIL_DONE || session->conn.closing) {
        return;
    }
    task->round++;
    if (took_step(engine, session, task, admin_task_begin(engine, task))) {
        finish_task(engine, session, task);
    }
}

void admin_cancel(struct engine *engine, struct session *session)
{
    struct admin *admin = session->admin;
    struct admin_task *task = admin->task;
    admin->canceled = admin->waiting; /* on its way through the engines: when it comes home */
    if (task == NULL || task->command->scope != SCOPE_UNTIL_DONE) {
        return;
    }
    if (took_step(engine, session, task, PROGRESS_PARKED)) {
        finish_task(engine, session, task);
    }
}

void admin_reload_done(struct engine *engine, struct session *session, const char *why_not)
{
    struct admin *admin = session->admin;
    struct admin_task *task = admin == NULL ? NULL : admin->task;
    if (task == NULL || task->command->scope != SCOPE_SHELL) {
        return;
    }
    admin->task = NULL;
    if (why_not != NULL) {
        size_t bytes = strcspn(why_not, "\n");
        admin_task_fail(task, ERR_CONFIG, "Nothing was changed; the log has all reasons.", "%.*s",
                        (int)bytes, why_not);
    }
    finish_task(engine, session, task);
}

/* --- messages --------------------------------------------------------------------------------- */

static void take_message(struct engine *engine, struct session *session, uint8_t type,
                         const uint8_t *body, uint32_t body_bytes)
{
    struct admin *admin = session->admin;
    switch (type) {
    case FRONTEND_SYNC:
        admin->skipping = false;
        if (admin->status == 'I') {
            admin_close_portals(admin);
        }
        admin_write_ready(engine, session);
        return;
    case FRONTEND_TERMINATE:
        session_close(engine, session);
        return;
    case FRONTEND_FLUSH:
    case FRONTEND_COPY_DATA:
    case FRONTEND_COPY_DONE:
    case FRONTEND_COPY_FAIL:
        return;
    }
    if (admin->skipping) {
        return;
    }
    switch (type) {
    case FRONTEND_QUERY:
        take_query(engine, session, body, body_bytes);
        return;
    case FRONTEND_FUNCTION_CALL: {
        struct report report = {.code = ERR_UNSUPPORTED};
        session_report(engine, session, &report);
        admin_write_ready(engine, session);
        return;
    }
    default:
        admin_extended(engine, session, type, body, body_bytes);
        return;
    }
}

uint32_t admin_take(struct engine *engine, struct session *session, uint8_t *at, uint32_t have,
                    uint32_t *ret_whole)
{
    uint32_t body_bytes;
    if (session->admin->waiting || have < MESSAGE_HEADER_BYTES) {
        return 0;
    }
    if (!message_header(message_frontend_bounds, at, &body_bytes) || at[0] == FRONTEND_PASSWORD) {
        struct report report = {.code = ERR_PROTOCOL};
        session_fail(engine, session, &report);
        return 0;
    }
    if (body_bytes > LIMIT_PARSE_BYTES) {
        struct report report = {.code = ERR_LIMIT,
                                .detail = "A message to the admin database is too long."};
        session_fail(engine, session, &report);
        return 0;
    }
    if (have - MESSAGE_HEADER_BYTES < body_bytes) {
        *ret_whole = MESSAGE_HEADER_BYTES + body_bytes;
        return 0;
    }
    take_message(engine, session, at[0], at + MESSAGE_HEADER_BYTES, body_bytes);
    return MESSAGE_HEADER_BYTES + body_bytes;
}
