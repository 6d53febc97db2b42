#include "pool/deferred_begin.h"

#include <string.h>

#include "base/assert.h"
#include "base/error.h"
#include "base/limits.h"
#include "pool/account.h"
#include "pool/core.h"
#include "pool/listen.h"
#include "pool/options.h"
#include "pool/own.h"
#include "pool/pool.h"
#include "pool/state.h"
#include "pool/statement_limit.h"
#include "protocol/frontend.h"
#include "protocol/report.h"
#include "protocol/sql_verb.h"
#include "router/plan.h"

/* No BEGIN or COMMIT that is worth a look is longer. */
enum { TEXT_BYTES_MAX = 256 };

/* --- what a text says ------------------------------------------------------------------------- */

static bool is_ascii(const char *text, uint32_t len)
{
    uint8_t all = 0;
    for (uint32_t i = 0; i < len; i++) {
        all |= (uint8_t)text[i];
    }
    return all < 0x80;
}

/* Whether a server of the pool is sure to accept such a BEGIN (check_transaction_isolation and
 * check_transaction_read_only, variable.c). */
static bool is_certain(const struct pool *pool, const struct plan_modes *modes)
{
    const char *standby =
        pool->baseline == NULL ? NULL : settings_get(pool->baseline, "in_hot_standby");
    return (standby != NULL && strcmp(standby, "off") == 0) ||
           (modes->isolation != PLAN_SERIALIZABLE && modes->read_only != PLAN_CHOICE_NO);
}

/* Whether a statement with that plan is one that is answered here in the session's state. */
static bool is_ours(const struct session *session, const struct plan *plan)
{
    bool begins = plan->control == PLAN_CONTROL_BEGIN || plan->control == PLAN_CONTROL_START;
    switch ((enum session_begin)session->begin) {
    case BEGIN_NONE:
        return begins && is_certain(session->pool, &plan->modes);
    case BEGIN_DEFERRED:
        return plan->control == PLAN_CONTROL_COMMIT || plan->control == PLAN_CONTROL_ROLLBACK;
    case BEGIN_FAILED:
        return plan->control != PLAN_CONTROL_NONE && !begins;
    }
    UNREACHABLE();
}

/* Whether it may be: the cheapest look. */
static bool verb_may_be(const struct session *session, enum sql_verb verb)
{
    if (session->begin == BEGIN_NONE) {
        return verb == SQL_VERB_BEGIN || verb == SQL_VERB_START_TRANSACTION;
    }
    return verb == SQL_VERB_COMMIT || verb == SQL_VERB_END || verb == SQL_VERB_ROLLBACK ||
           verb == SQL_VERB_ABORT ||
           (verb == SQL_VERB_PREPARE_TRANSACTION && session->begin == BEGIN_FAILED);
}

/* The same by a text's first two letters: most texts are a SELECT, and go their way. */
static bool letters_may_be(const char *text, uint32_t len)
{
    char first = len == 0 ? ' ' : (char)(text[0] | ' ');
    return first < 'a' || first > 'z' || first == 'b' ||
           (first == 's' && (len < 2 || (text[1] | ' ') == 't'));
}

/* The plan of a text (without its NUL) that is answered here: a reference; or NULL. */
static struct plan *plan_of_ours(struct engine *engine, const struct session *session,
                                 const char *text, uint32_t len)
{
    if (len > TEXT_BYTES_MAX || (session->begin == BEGIN_NONE && !letters_may_be(text, len)) ||
        !verb_may_be(session, sql_verb_read(text, len)) || !is_ascii(text, len)) {
        return NULL;
    }
    struct plan *plan = state_plan(engine, session, text, len);
    if (is_ours(session, plan)) {
        return plan;
    }
    plan_unref(plan);
    return NULL;
}

/* --- answers ---------------------------------------------------------------------------------- */

static void write_empty(struct engine *engine, char type)
{
    writer_end(&engine->scratch, writer_begin(&engine->scratch, type));
}

static void write_tag(struct engine *engine, const char *tag)
{
    uint32_t mark = writer_begin(&engine->scratch, BACKEND_COMMAND_COMPLETE);
    writer_cstr(&engine->scratch, tag);
    writer_end(&engine->scratch, mark);
}

/* A simple query, or a Parse of another, ends what the unnamed statement was. */
static void drop_unnamed(struct engine *engine, struct session *session)
{
    statement_unref(&engine->statements, session->unnamed);
    session->unnamed = NULL;
}

/* The last of an answer. */
static void write_end(struct engine *engine, struct session *session)
{
    session_write_ready(engine, deferred_begin_status(session));
    engine_flush_scratch(engine, &session->conn);
}

static void begins(struct engine *engine, struct session *session, const struct plan *plan)
{
    const struct pool_options *limits = &session->pool->limits;
    session->begin = BEGIN_DEFERRED;
    session->begin_modes = plan->modes;
    session->transaction_from_us = engine->now_us;
    if (limits->idle_transaction_timeout_ms > 0) {
        conn_wake_by(engine, &session->conn,
                     engine->now_us + limits->idle_transaction_timeout_ms * UINT64_C(1000));
    }
    write_tag(engine, plan->control == PLAN_CONTROL_START ? "START TRANSACTION" : "BEGIN");
}

/* COMMIT or ROLLBACK: AND CHAIN begins another with the same modes. */
static void ends(struct engine *engine, struct session *session, const struct plan *plan)
{
    struct pool *pool = session->pool;
    bool commits = plan->control == PLAN_CONTROL_COMMIT && session->begin == BEGIN_DEFERRED;
    pool->stats.transactions++;
    pool->stats.transaction_us += engine->now_us - session->transaction_from_us;
    if (session->own != NULL) { /* what was set for this transaction */
        if (!commits) {
            own_errored(session);
        }
        own_ready(engine, session, 'I');
    }
    session->begin = plan->chain ? BEGIN_DEFERRED : BEGIN_NONE;
    session->transaction_from_us = plan->chain ? engine->now_us : 0;
    write_tag(engine, commits ? "COMMIT" : "ROLLBACK");
    if (plan->chain) {
        return;
    }
    listen_unlinked(engine, session);
    if (pool->limits.client_idle_timeout_ms > 0) {
        conn_wake_by(engine, &session->conn,
                     engine->now_us + pool->limits.client_idle_timeout_ms * UINT64_C(1000));
    }
    if (engine->draining && !engine->patient) {
        session_resume_later(engine, session);
    }
}

/* The CommandComplete of a statement that is answered here. */
static void answer(struct engine *engine, struct session *session, const struct plan *plan)
{
    session->pool->stats.queries++;
    if (session->begin == BEGIN_NONE) {
        begins(engine, session, plan);
    } else {
        ends(engine, session, plan);
    }
}

static void refuse(struct engine *engine)
{
    struct report report = {.code = ERR_FAILED_TRANSACTION};
    report_write(&engine->scratch, &report);
}

/* --- simple query ----------------------------------------------------------------------------- */

/* What of a failed transaction's queries does not end it. Returns the bytes taken; 0: it passes. */
static uint32_t refuse_query(struct engine *engine, struct session *session, const char *text,
                             uint32_t len, uint32_t total, uint32_t have)
{
    enum sql_verb verb = sql_verb_read(text, len);
    if (verb == SQL_VERB_ROLLBACK || verb == SQL_VERB_ABORT) {
        session->begin = BEGIN_DEFERRED; /* there is more behind it: for a server to roll back */
        return 0;
    }
    drop_unnamed(engine, session);
    if (verb == SQL_VERB_EMPTY && have >= total) {
        write_empty(engine, BACKEND_EMPTY_QUERY_RESPONSE);
    } else {
        refuse(engine);
    }
    write_end(engine, session);
    return session_discard(session, total, have);
}

static uint32_t take_query(struct engine *engine, struct session *session, const uint8_t *at,
                           uint32_t total, uint32_t have, uint32_t *ret_whole)
{
    const char *text = (const char *)at + MESSAGE_HEADER_BYTES;
    uint32_t body_bytes = total - MESSAGE_HEADER_BYTES;
    bool is_short = body_bytes <= TEXT_BYTES_MAX;
    if (session->begin == BEGIN_NONE && !letters_may_be(text, have - MESSAGE_HEADER_BYTES)) {
        return 0;
    }
    if (have < total && is_short) {
        *ret_whole = total;
        return 0;
    }
    struct plan *plan = NULL;
    if (is_short && message_text_bytes(text, body_bytes) + 1 == body_bytes &&
        (session->begin != BEGIN_NONE || have == total)) {
        plan = plan_of_ours(engine, session, text, body_bytes - 1);
    }
    if (plan == NULL) {
        uint32_t here = (have < total ? have : total) - MESSAGE_HEADER_BYTES;
        return session->begin == BEGIN_FAILED
                   ? refuse_query(engine, session, text, message_text_bytes(text, here), total,
                                  have)
                   : 0;
    }
    drop_unnamed(engine, session);
    answer(engine, session, plan);
    plan_unref(plan);
    write_end(engine, session);
    return total;
}

/* --- extended query --------------------------------------------------------------------------- */

/* The messages of a batch, one by one. */
struct batch {
    const uint8_t *at;
    uint32_t left;
    bool short_of; /* more bytes must be seen */
    bool failed;   /* it is not a batch that is answered here */
};

/* The body of the next message, which is `bytes` long and of that type at the batch's front; the
 * reader has failed when it isn't. `needed`: then the batch has, too. */
static struct reader next_of(struct batch *batch, uint8_t type, bool needed)
{
    struct reader none = {.failed = true};
    uint32_t body_bytes;
    if (batch->failed || batch->short_of) {
        return none;
    }
    if (batch->left < MESSAGE_HEADER_BYTES) {
        batch->failed = batch->left > 0 && batch->at[0] != type && needed;
        batch->short_of = !batch->failed;
        return none;
    }
    if (batch->at[0] != type || !message_header(message_frontend_bounds, batch->at, &body_bytes) ||
        body_bytes > 2 * TEXT_BYTES_MAX) {
        batch->failed = needed || batch->at[0] == type;
        return none;
    }
    if (batch->left - MESSAGE_HEADER_BYTES < body_bytes) {
        batch->short_of = true;
        return none;
    }
    struct reader reader = reader_of(batch->at + MESSAGE_HEADER_BYTES, body_bytes);
    batch->at += MESSAGE_HEADER_BYTES + body_bytes;
    batch->left -= MESSAGE_HEADER_BYTES + body_bytes;
    return reader;
}

/* What is understood of one. */
struct shape {
    const char *name; /* of the statement */
    const char *text; /* of the Parse; NULL when there is none */
    const uint8_t *body;
    uint32_t body_bytes; /* of the statement, as it is stored */
    bool describes_statement, describes_portal;
};

static void take_parse(struct batch *batch, struct shape *shape)
{
    struct reader reader = next_of(batch, FRONTEND_PARSE, true);
    if (reader.failed) {
        return;
    }
    shape->name = reader_cstr(&reader);
    shape->body = reader.at;
    shape->body_bytes = (uint32_t)reader.left;
    shape->text = reader_cstr(&reader);
    batch->failed = reader_u16(&reader) != 0 || reader.failed || reader.left != 0 ||
                    strlen(shape->name) >= LIMIT_STATEMENT_NAME_BYTES;
}

/* A Describe of that kind and name. */
static bool take_describe(struct batch *batch, char kind, const char *name)
{
    struct batch before = *batch;
    struct reader reader = next_of(batch, FRONTEND_DESCRIBE, false);
    if (reader.failed) {
        return false;
    }
    uint8_t found = reader_u8(&reader);
    const char *text = reader_cstr(&reader);
    if (!reader.failed && reader.left == 0 && found == (uint8_t)kind && strcmp(text, name) == 0) {
        return true;
    }
    *batch = before; /* the next one's, or nobody's */
    return false;
}

/* A Bind of the statement to the unnamed portal, without parameters. */
static void take_bind(struct batch *batch, struct shape *shape)
{
    struct reader reader = next_of(batch, FRONTEND_BIND, true);
    if (reader.failed) {
        return;
    }
    const char *portal = reader_cstr(&reader), *name = reader_cstr(&reader);
    uint16_t formats = reader_u16(&reader), parameters = reader_u16(&reader);
    uint16_t results = reader_u16(&reader);
    for (uint32_t i = 0; i < results && !reader.failed; i++) {
        reader.failed = reader_u16(&reader) > 1;
    }
    batch->failed = reader.failed || reader.left != 0 || portal[0] != '\0' || formats != 0 ||
                    parameters != 0 || results > 1 ||
                    (shape->name != NULL && strcmp(shape->name, name) != 0);
    shape->name = name;
}

static void take_execute(struct batch *batch)
{
    struct reader reader = next_of(batch, FRONTEND_EXECUTE, true);
    if (reader.failed) {
        return;
    }
    const char *portal = reader_cstr(&reader);
    reader_u32(&reader);
    batch->failed = reader.failed || reader.left != 0 || portal[0] != '\0';
}

static struct session_statement *find_named(const struct engine *engine,
                                            const struct session *session, const char *name)
{
    return session_statement_find(&session->statements, engine->hash_key, name, strlen(name));
}

/* The plan of what the batch executes, when it is answered here: a reference; or NULL. */
static struct plan *plan_of_shape(struct engine *engine, const struct session *session,
                                  const struct shape *shape)
{
    const char *text = shape->text;
    bool unnamed = shape->name[0] == '\0';
    const struct session_statement *named =
        unnamed ? NULL : find_named(engine, session, shape->name);
    if (text != NULL && named != NULL) {
        return NULL; /* 42P05 */
    }
    if (text == NULL) {
        const struct statement *statement = unnamed         ? session->unnamed
                                            : named == NULL ? NULL
                                                            : named->statement;
        if (statement == NULL || statement->from_sql) {
            return NULL;
        }
        text = (const char *)statement->body;
    }
    return plan_of_ours(engine, session, text, (uint32_t)strlen(text));
}

/* The Parse's statement is the session's. False: there is no room for it. */
static bool keep_statement(struct engine *engine, struct session *session,
                           const struct shape *shape)
{
    if (shape->name[0] != '\0' &&
        statement_limit_is_reached(session, strlen(shape->name), shape->body_bytes)) {
        return false;
    }
    struct statement *statement = statement_intern(&engine->statements, session->settings->reading,
                                                   shape->body, shape->body_bytes);
    if (statement == NULL) {
        return false;
    }
    session->pool->stats.client_parses++;
    if (shape->name[0] == '\0') {
        drop_unnamed(engine, session);
        session->unnamed = statement;
        return true;
    }
    bool added = session_statement_add(&session->statements, engine->hash_key, shape->name,
                                       statement, shared_catalog(engine->shared)) != NULL;
    statement_unref(&engine->statements, statement);
    return added;
}

static void answer_batch(struct engine *engine, struct session *session, const struct shape *shape,
                         const struct plan *plan)
{
    if (shape->text != NULL) {
        write_empty(engine, BACKEND_PARSE_COMPLETE);
    }
    if (shape->describes_statement) {
        uint32_t mark = writer_begin(&engine->scratch, BACKEND_PARAMETER_DESCRIPTION);
        writer_u16(&engine->scratch, 0);
        writer_end(&engine->scratch, mark);
        write_empty(engine, BACKEND_NO_DATA);
    }
    write_empty(engine, BACKEND_BIND_COMPLETE);
    if (shape->describes_portal) {
        write_empty(engine, BACKEND_NO_DATA);
    }
    session->pool->stats.binds++;
    answer(engine, session, plan);
    write_end(engine, session);
}

/* A whole batch that does nothing but begin, or end, a transaction. */
static uint32_t take_batch(struct engine *engine, struct session *session, const uint8_t *at,
                           uint32_t have, uint32_t *ret_whole)
{
    struct batch batch = {.at = at, .left = have};
    struct shape shape = {0};
    struct plan *plan = NULL;
    if (at[0] == FRONTEND_PARSE) {
        take_parse(&batch, &shape);
        if (!batch.failed && !batch.short_of) {
            plan = plan_of_shape(engine, session, &shape);
            batch.failed = plan == NULL;
            shape.describes_statement = take_describe(&batch, 'S', shape.name);
        }
    }
    take_bind(&batch, &shape);
    if (plan == NULL && !batch.failed && !batch.short_of) {
        plan = plan_of_shape(engine, session, &shape);
        batch.failed = plan == NULL;
    }
    shape.describes_portal = take_describe(&batch, 'P', "");
    take_execute(&batch);
    batch.failed |= next_of(&batch, FRONTEND_SYNC, true).left > 0;
    if (batch.failed || batch.short_of || (session->begin == BEGIN_NONE && batch.left > 0) ||
        (shape.text != NULL && !keep_statement(engine, session, &shape))) {
        plan_unref(plan);
        if (!batch.failed && batch.short_of) {
            *ret_whole = have + 1;
        }
        return 0;
    }
    ASSERT(plan != NULL);
    answer_batch(engine, session, &shape, plan);
    plan_unref(plan);
    return have - batch.left;
}

/* Close is allowed in a failed transaction. */
static uint32_t take_close(struct engine *engine, struct session *session, const uint8_t *at,
                           uint32_t total, uint32_t have, uint32_t *ret_whole)
{
    if (have < total) {
        *ret_whole = total;
        return 0;
    }
    struct reader reader = reader_of(at + MESSAGE_HEADER_BYTES, total - MESSAGE_HEADER_BYTES);
    uint8_t kind = reader_u8(&reader);
    const char *name = reader_cstr(&reader);
    if (!reader.failed && kind == 'S' && name[0] != '\0') {
        struct session_statement *named = find_named(engine, session, name);
        if (named != NULL) {
            session_statement_remove(&engine->statements, &session->statements, named);
        }
    } else if (!reader.failed && kind == 'S') {
        drop_unnamed(engine, session);
    }
    write_empty(engine, BACKEND_CLOSE_COMPLETE);
    engine_flush_scratch(engine, &session->conn);
    return total;
}

/* Of a failed transaction what is not answered otherwise. */
static uint32_t refuse_message(struct engine *engine, struct session *session, const uint8_t *at,
                               uint32_t total, uint32_t have)
{
    uint8_t type = at[0];
    if (type == FRONTEND_PARSE && have > MESSAGE_HEADER_BYTES && at[MESSAGE_HEADER_BYTES] == '\0') {
        drop_unnamed(engine, session); /* before it is refused (exec_parse_message, postgres.c) */
    }
    refuse(engine);
    if (type == FRONTEND_FUNCTION_CALL) {
        write_end(engine, session);
    } else {
        session->skipping = true;
        engine_flush_scratch(engine, &session->conn);
    }
    return session_discard(session, total, have);
}

uint32_t deferred_begin_take(struct engine *engine, struct session *session, const uint8_t *at,
                             uint32_t total, uint32_t have, uint32_t *ret_whole)
{
    bool failed = session->begin == BEGIN_FAILED;
    if (session->begin == BEGIN_NONE &&
        (!session->pool->limits.deferred_begin || session->pool->limits.mode != POOL_TRANSACTION ||
         session->owns_link || !session->virtual_names)) {
        return 0;
    }
    if (at[0] == FRONTEND_BIND && session->begin == BEGIN_NONE && !engine->statements.begins) {
        return 0;
    }
    switch (at[0]) {
    case FRONTEND_QUERY:
        return take_query(engine, session, at, total, have, ret_whole);
    case FRONTEND_PARSE:
    case FRONTEND_BIND: {
        uint32_t taken = take_batch(engine, session, at, have, ret_whole);
        return taken > 0 || *ret_whole > have || !failed
                   ? taken
                   : refuse_message(engine, session, at, total, have);
    }
    case FRONTEND_CLOSE:
        return failed ? take_close(engine, session, at, total, have, ret_whole) : 0;
    case FRONTEND_DESCRIBE:
    case FRONTEND_EXECUTE:
    case FRONTEND_FUNCTION_CALL:
        return failed ? refuse_message(engine, session, at, total, have) : 0;
    }
    return 0;
}

/* --- at the server ---------------------------------------------------------------------------- */

static void write_parse(struct writer *writer, const struct plan_modes *modes)
{
    static const char *const isolations[] = {
        "", " ISOLATION LEVEL READ UNCOMMITTED", " ISOLATION LEVEL READ COMMITTED",
        " ISOLATION LEVEL REPEATABLE READ", " ISOLATION LEVEL SERIALIZABLE"};
    static const char *const read_only[] = {"", " READ WRITE", " READ ONLY"};
    static const char *const deferrable[] = {"", " NOT DEFERRABLE", " DEFERRABLE"};
    uint32_t mark = writer_begin(writer, FRONTEND_PARSE);
    writer_cstr(writer, "");
    writer_format(writer, "BEGIN%s%s%s", isolations[modes->isolation], read_only[modes->read_only],
                  deferrable[modes->deferrable]);
    writer_u8(writer, '\0');
    writer_u16(writer, 0);
    writer_end(writer, mark);
}

/* Parse, Bind and Execute; most BEGINs say no more. */
static void write_begin(struct writer *writer, const struct plan_modes *modes)
{
    static const char plain[] = "P\0\0\0\15\0BEGIN\0\0\0" /* unnamed, without types */
                                "B\0\0\0\14\0\0\0\0\0\0\0\0"
                                "E\0\0\0\11\0\0\0\0\0";
    if (modes->isolation == PLAN_ISOLATION_DEFAULT && modes->read_only == PLAN_CHOICE_DEFAULT &&
        modes->deferrable == PLAN_CHOICE_DEFAULT) {
        writer_bytes(writer, plain, sizeof(plain) - 1);
        return;
    }
    write_parse(writer, modes);
    frontend_bind(writer, "", "");
    frontend_execute(writer, "");
}

bool deferred_begin_send(struct engine *engine, struct session *session)
{
    struct link *link = session->link;
    ASSERT(session->begin == BEGIN_DEFERRED);
    session->begin = BEGIN_NONE; /* from now on it is the link's status that tells */
    if (!link_due_executed(engine, link, 1, (struct due_entry){.begins = true})) {
        return false;
    }
    write_begin(&engine->scratch, &session->begin_modes);
    link->unsynced = true;
    link->begun = true;
    link->heal.incomplete = true; /* what is sent again would find the transaction failed */
    link_unnamed_unknown(engine, link);
    engine_flush_scratch(engine, &link->conn);
    return !session->conn.closing;
}

void deferred_begin_failed(struct engine *engine, struct link *link, const uint8_t *message,
                           uint32_t total)
{
    struct session *session = link->owner;
    bool asked = extended_status_is_open(link);
    conn_write(engine, &session->conn, message, total);
    if (session->own != NULL) {
        own_errored(session);
    }
    link_skip_to_sync(engine, link); /* while it has its owner: what was prepared never was */
    session_unlink(session);
    session->begin = BEGIN_FAILED;
    session->skipping = !asked;
    if (asked) {
        write_end(engine, session);
    }
    link_end(engine, link); /* without a Sync: the server runs none of it */
    session_resume_later(engine, session);
}
