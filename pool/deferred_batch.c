#include "pool/deferred_batch.h"

#include <string.h>

#include "base/assert.h"
#include "base/limits.h"
#include "pool/account.h"
#include "pool/core.h"
#include "pool/deferred_answer.h"
#include "pool/options.h"
#include "pool/pool.h"
#include "pool/session.h"
#include "pool/statement_limit.h"
#include "protocol/message.h"
#include "router/plan.h"

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
        body_bytes > 2 * DEFERRED_TEXT_BYTES_MAX) {
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
    ASSERT(shape->name != NULL); /* by a Parse or a Bind */
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
    return deferred_answer_plan(engine, session, text, (uint32_t)strlen(text));
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
        session_drop_unnamed(engine, session);
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
        session_write_empty(engine, BACKEND_PARSE_COMPLETE);
    }
    if (shape->describes_statement) {
        uint32_t mark = writer_begin(&engine->scratch, BACKEND_PARAMETER_DESCRIPTION);
        writer_u16(&engine->scratch, 0);
        writer_end(&engine->scratch, mark);
        session_write_empty(engine, BACKEND_NO_DATA);
    }
    session_write_empty(engine, BACKEND_BIND_COMPLETE);
    if (shape->describes_portal) {
        session_write_empty(engine, BACKEND_NO_DATA);
    }
    session->pool->stats.binds++;
    deferred_answer_write_tag(engine, session, plan);
}

/* Its Sync. False: something else is there, or there is nothing yet. */
static bool take_sync(struct batch *batch)
{
    if (batch->left > 0 && batch->at[0] != FRONTEND_SYNC) {
        return false;
    }
    struct reader reader = next_of(batch, FRONTEND_SYNC, true);
    batch->failed |= reader.left > 0; /* a server is to say what is wrong with it */
    return !reader.failed && !batch->failed;
}

/* Whether more may follow what was taken. Behind a BEGIN only where that may be another server's
 * than the BEGIN is: else all of it may as well go there at once. */
static bool may_go_on(const struct session *session, const struct batch *batch, bool synced)
{
    if (session->begin != BEGIN_NONE) {
        return synced;
    }
    return session->routing != NULL || (synced && batch->left == 0);
}

/* As a server, which sends nothing before a Sync or Flush asks for it, or its buffer is full. */
static void tell_along(struct engine *engine, struct session *session)
{
    if (engine->scratch.failed) {
        conn_close(engine, &session->conn);
    } else {
        conn_write_along(engine, &session->conn, engine->scratch.bytes, engine->scratch.len);
    }
    writer_reset(&engine->scratch);
}

uint32_t deferred_batch_take(struct engine *engine, struct session *session, const uint8_t *at,
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
    bool synced = take_sync(&batch);
    if (batch.failed || batch.short_of || !may_go_on(session, &batch, synced) ||
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
    if (synced) {
        deferred_answer_write_end(engine, session);
    } else {
        tell_along(engine, session);
    }
    return have - batch.left;
}
