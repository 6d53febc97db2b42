#include "pool/pid_message.h"

#include <string.h>

#include "base/limits.h"
#include "base/stream.h"
#include "base/writer.h"
#include "pool/account.h"
#include "pool/core.h"
#include "pool/link.h"
#include "pool/pid.h"
#include "pool/pid_hold.h"
#include "pool/pool.h"
#include "pool/prepare.h"
#include "pool/session.h"
#include "pool/state.h"
#include "protocol/message.h"
#include "router/plan.h"

static uint32_t host_of(const struct session *session)
{
    return session->link != NULL ? session->link->host : session->pool->host_account->number;
}

/* Moves the message that the scratch buffer holds into a block; NULL when memory is out: then the
 * message passes as it was. */
static struct block *block_of_scratch(struct engine *engine)
{
    struct writer *scratch = &engine->scratch;
    struct block *block = scratch->failed ? NULL : blocks_private(&engine->blocks, scratch->len);
    if (block != NULL) {
        memcpy(block->bytes, scratch->bytes, scratch->len);
        block->used = scratch->len;
    }
    writer_reset(scratch);
    return block;
}

/* Whether what the plan is of ends with its transaction: nothing keeps the pids in it. */
static bool may_signal(const struct plan *plan)
{
    return plan != NULL && plan->class != PLAN_DDL && plan->class != PLAN_OPAQUE &&
           (plan->touches & (PLAN_TOUCH_PREPARE | PLAN_TOUCH_OPAQUE)) == 0;
}

static struct pid_view view_of(const struct engine *engine, const struct session *session,
                               struct pid_signals *signals)
{
    return (struct pid_view){
        .directory = shared_pids(engine->shared), .host = host_of(session), .signals = signals};
}

/* Appends the query with pids replaced, and what stands behind it. */
static struct pid_use write_text(struct engine *engine, const struct pid_view *view,
                                 const uint8_t *body, uint32_t body_bytes)
{
    uint32_t len = message_text_bytes(body, body_bytes);
    struct pid_use use = pid_rewrite_text(view, body, len, &engine->scratch);
    writer_bytes(&engine->scratch, body + len, body_bytes - len);
    return use;
}

/* --- Query ------------------------------------------------------------------------------------ */

static struct pid_use write_query(struct engine *engine, const struct pid_view *view,
                                  const uint8_t *message, uint32_t total)
{
    uint32_t mark = writer_begin(&engine->scratch, FRONTEND_QUERY);
    struct pid_use use =
        write_text(engine, view, message + MESSAGE_HEADER_BYTES, total - MESSAGE_HEADER_BYTES);
    writer_end(&engine->scratch, mark);
    return use;
}

/* True: it waits. */
static bool rewrite_query(struct engine *engine, struct session *session, const uint8_t *message,
                          uint32_t total, struct block **ret_rewritten)
{
    const char *text = (const char *)message + MESSAGE_HEADER_BYTES;
    struct plan *plan =
        state_plan(engine, session, text, message_text_bytes(text, total - MESSAGE_HEADER_BYTES));
    struct pid_signals signals = {0};
    struct pid_view view = view_of(engine, session, may_signal(plan) ? &signals : NULL);
    plan_unref(plan);
    struct pid_use use = write_query(engine, &view, message, total);
    if (signals.count > 0) {
        writer_reset(&engine->scratch);
        if (!pid_hold_ask(engine, session, &signals)) {
            return true;
        }
        use = write_query(engine, &view, message, total);
    }
    if (use.changed) {
        *ret_rewritten = block_of_scratch(engine);
    } else {
        writer_reset(&engine->scratch);
    }
    return false;
}

/* --- Parse ------------------------------------------------------------------------------------ */

/* Where names are the server's, texts with pids are noted for their Binds. */
static void note_parse(struct engine *engine, struct session *session, const uint8_t *message,
                       uint32_t total, bool names_pids)
{
    struct reader reader = reader_of(message + MESSAGE_HEADER_BYTES, total - MESSAGE_HEADER_BYTES);
    const char *name = reader_cstr(&reader);
    struct statement *statement = NULL;
    if (reader.failed) {
        return;
    }
    if (names_pids) {
        statement = statement_intern(&engine->statements, session->settings->reading, reader.at,
                                     (uint32_t)reader.left);
    }
    if (name[0] == '\0') {
        if (statement != NULL || (session->unnamed != NULL && session->unnamed->names_pids)) {
            statement_unref(&engine->statements, session->unnamed);
            session->unnamed = statement;
        }
        return;
    }
    if (statement != NULL && session_statement_find(&session->statements, engine->hash_key, name,
                                                    strlen(name)) == NULL) {
        session_statement_add(&session->statements, engine->hash_key, name, statement, 0);
    }
    statement_unref(&engine->statements, statement);
}

/* There, functions that look find what serves the clients now. What is signalled stays. */
static struct block *rewrite_parse(struct engine *engine, struct session *session,
                                   const uint8_t *message, uint32_t total)
{
    struct reader reader = reader_of(message + MESSAGE_HEADER_BYTES, total - MESSAGE_HEADER_BYTES);
    const char *name = reader_cstr(&reader);
    struct pid_view view = view_of(engine, session, NULL);
    uint32_t mark = writer_begin(&engine->scratch, FRONTEND_PARSE);
    writer_cstr(&engine->scratch, name);
    struct pid_use use = write_text(engine, &view, reader.at, (uint32_t)reader.left);
    writer_end(&engine->scratch, mark);
    if (reader.failed || !use.changed) {
        writer_reset(&engine->scratch);
        return NULL;
    }
    return block_of_scratch(engine);
}

/* --- Bind ------------------------------------------------------------------------------------- */

/* A Bind, and the statement that it names. */
struct binding {
    const uint8_t *names; /* both, with their NULs */
    uint32_t names_bytes;
    bool unnamed;
    struct statement *statement;
    const uint8_t *rest;
    uint32_t rest_bytes;
};

/* False: the Bind has nothing to do with pids. */
static bool read_binding(const struct engine *engine, const struct session *session,
                         const uint8_t *message, uint32_t total, struct binding *ret_binding)
{
    struct reader reader = reader_of(message + MESSAGE_HEADER_BYTES, total - MESSAGE_HEADER_BYTES);
    reader_cstr(&reader); /* the portal's name */
    const char *name = reader_cstr(&reader);
    if (reader.failed) {
        return false;
    }
    const struct session_statement *named =
        session_statement_find(&session->statements, engine->hash_key, name, strlen(name));
    *ret_binding = (struct binding){.names = message + MESSAGE_HEADER_BYTES,
                                    .unnamed = name[0] == '\0',
                                    .rest = reader.at,
                                    .rest_bytes = (uint32_t)reader.left};
    ret_binding->names_bytes = (uint32_t)(reader.at - ret_binding->names);
    ret_binding->statement = ret_binding->unnamed ? session->unnamed
                             : named == NULL      ? NULL
                                                  : named->statement;
    return ret_binding->statement != NULL && ret_binding->statement->names_pids;
}

/* The Bind with its parameters replaced goes into the scratch buffer, if it is well-formed: else
 * the server is to say what is wrong with it. */
static bool write_binding(struct engine *engine, const struct pid_view *view,
                          const struct binding *binding, const struct pid_use *use)
{
    struct writer *scratch = &engine->scratch;
    uint32_t mark = writer_begin(scratch, FRONTEND_BIND);
    writer_bytes(scratch, binding->names, binding->names_bytes);
    if (!pid_rewrite_parameters(view, use, binding->rest, binding->rest_bytes, scratch)) {
        writer_reset(scratch);
        return false;
    }
    writer_end(scratch, mark);
    return true;
}

/* What the Bind has to do with pids, as it is now. */
static struct pid_use look(struct engine *engine, const struct pid_view *view,
                           const struct binding *binding)
{
    const struct statement *statement = binding->statement;
    struct pid_use use = write_text(engine, view, statement->body, statement->body_bytes);
    writer_reset(&engine->scratch);
    if (use.parameters != 0 && write_binding(engine, view, binding, &use)) {
        writer_reset(&engine->scratch);
    }
    return use;
}

/* The unnamed statement of a session whose names are the server's, in the form that it has now. */
static void send_form(struct engine *engine, struct session *session, struct statement *statement)
{
    struct statement *form = pid_message_form(engine, session, statement);
    if (link_due(engine, session->link, DUE_PARSE, DUE_SWALLOW, 0)) {
        session->link->unsynced = true;
        prepare_write(engine, "", form);
        engine_flush_scratch(engine, &session->link->conn);
    }
    statement_unref(&engine->statements, form);
}

/* True: it waits. */
static bool rewrite_bind(struct engine *engine, struct session *session, const uint8_t *message,
                         uint32_t total, struct block **ret_rewritten)
{
    struct binding binding;
    struct pid_signals signals = {0};
    bool is_virtual = session_virtual_statements(session);
    if (!read_binding(engine, session, message, total, &binding)) {
        return false;
    }
    const struct plan *plan = state_statement_plan(engine, session, binding.statement);
    struct pid_view view = view_of(engine, session, may_signal(plan) ? &signals : NULL);
    struct pid_use use = look(engine, &view, &binding);
    if (signals.count > 0 && !pid_hold_ask(engine, session, &signals)) {
        return true;
    }
    if (!is_virtual && binding.unnamed) {
        send_form(engine, session, binding.statement);
    }
    if (!session->conn.closing && use.parameters != 0 &&
        write_binding(engine, &view, &binding, &use)) {
        *ret_rewritten = block_of_scratch(engine);
    }
    return session->conn.closing;
}

struct statement *pid_message_form(struct engine *engine, struct session *session,
                                   struct statement *statement)
{
    struct writer *scratch = &engine->scratch;
    struct pid_signals signals = {0};
    const struct plan *plan = state_statement_plan(engine, session, statement);
    struct pid_view view = view_of(engine, session, may_signal(plan) ? &signals : NULL);
    struct statement *form = NULL;
    if (!statement->from_sql) {
        write_text(engine, &view, statement->body, statement->body_bytes);
        writer_reset(scratch);
        pid_hold_known(session->link, &signals);
        struct pid_use use = write_text(engine, &view, statement->body, statement->body_bytes);
        if (use.changed && !scratch->failed) {
            form = statement_intern(&engine->statements, statement->reading, scratch->bytes,
                                    scratch->len);
        }
        writer_reset(scratch);
    }
    if (form == NULL) {
        statement_ref(statement);
        form = statement;
    }
    return form;
}

/* --- any message ------------------------------------------------------------------------------ */

bool pid_message(struct engine *engine, struct session *session, const uint8_t *message,
                 uint32_t total, uint32_t have, struct block **ret_rewritten)
{
    uint8_t type = message[0];
    bool binds = type == FRONTEND_BIND && engine->statements.names_pids;
    bool says =
        type == FRONTEND_QUERY || (type == FRONTEND_PARSE && !session_virtual_statements(session));
    if ((!binds && !says) || total > LIMIT_PLAN_BYTES || session->replication) {
        return false;
    }
    if (have < total) {
        return true;
    }
    if (binds) {
        return rewrite_bind(engine, session, message, total, ret_rewritten);
    }
    bool names_pids = pid_function_in(message + MESSAGE_HEADER_BYTES, total - MESSAGE_HEADER_BYTES);
    if (type == FRONTEND_PARSE) {
        note_parse(engine, session, message, total, names_pids);
        if (names_pids) {
            *ret_rewritten = rewrite_parse(engine, session, message, total);
        }
        return false;
    }
    return names_pids && rewrite_query(engine, session, message, total, ret_rewritten);
}
