#include "pool/pid_message.h"

#include <string.h>

#include "base/limits.h"
#include "base/stream.h"
#include "base/writer.h"
#include "pool/account.h"
#include "pool/core.h"
#include "pool/pid.h"
#include "pool/pool.h"
#include "pool/session.h"
#include "protocol/message.h"

static uint32_t host_of(const struct session *session)
{
    return session->pool->host_account->number;
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

/* Appends the query with pids replaced, and what stands behind it. */
static struct pid_use write_text(struct engine *engine, const struct session *session,
                                 const uint8_t *body, uint32_t body_bytes)
{
    uint32_t len = message_text_bytes(body, body_bytes);
    struct pid_use use = pid_rewrite_text(shared_pids(engine->shared), host_of(session), body, len,
                                          &engine->scratch);
    writer_bytes(&engine->scratch, body + len, body_bytes - len);
    return use;
}

/* A Query, or a Parse whose name is `name_bytes` long with its NUL. */
static struct block *rewrite_text(struct engine *engine, const struct session *session,
                                  const uint8_t *message, uint32_t total, uint32_t name_bytes)
{
    struct writer *scratch = &engine->scratch;
    uint32_t front = MESSAGE_HEADER_BYTES + name_bytes;
    uint32_t mark = writer_begin(scratch, (char)message[0]);
    writer_bytes(scratch, message + MESSAGE_HEADER_BYTES, name_bytes);
    struct pid_use use = write_text(engine, session, message + front, total - front);
    writer_end(scratch, mark);
    if (!use.changed) {
        writer_reset(scratch);
        return NULL;
    }
    return block_of_scratch(engine);
}

/* Where the session knows its statements itself, those with pids are noted for their Binds. */
static void note_own_statement(struct engine *engine, struct session *session, const char *name,
                               const uint8_t *body, uint32_t body_bytes)
{
    struct statement *statement =
        statement_intern(&engine->statements, session->settings->reading, body, body_bytes);
    if (statement == NULL) {
        return;
    }
    if (name[0] == '\0') {
        statement_unref(&engine->statements, session->unnamed);
        session->unnamed = statement;
        return;
    }
    if (session_statement_find(&session->statements, engine->hash_key, name, strlen(name)) ==
        NULL) {
        session_statement_add(&session->statements, engine->hash_key, name, statement, 0);
    }
    statement_unref(&engine->statements, statement);
}

static struct block *rewrite_parse(struct engine *engine, struct session *session,
                                   const uint8_t *message, uint32_t total)
{
    struct reader reader = reader_of(message + MESSAGE_HEADER_BYTES, total - MESSAGE_HEADER_BYTES);
    const char *name = reader_cstr(&reader);
    if (reader.failed || (session_virtual_statements(session) && name[0] != '\0')) {
        return NULL;
    }
    if (!session_virtual_statements(session)) {
        note_own_statement(engine, session, name, reader.at, (uint32_t)reader.left);
    }
    return rewrite_text(engine, session, message, total, (uint32_t)strlen(name) + 1);
}

/* A statement with a virtual name becomes the one that its text means now. */
static void renew(struct engine *engine, struct session *session, struct session_statement *named)
{
    struct writer *scratch = &engine->scratch;
    if (named->pending_parse || named->pending_close) {
        return;
    }
    struct statement *told = named->told == NULL ? named->statement : named->told;
    write_text(engine, session, told->body, told->body_bytes);
    struct statement *now = scratch->failed ? NULL
                                            : statement_intern(&engine->statements, told->reading,
                                                               scratch->bytes, scratch->len);
    writer_reset(scratch);
    if (now == NULL || now == named->statement) {
        statement_unref(&engine->statements, now);
        return;
    }
    if (named->told == NULL) {
        named->told = named->statement; /* its reference, too */
    } else {
        statement_unref(&engine->statements, named->statement);
    }
    named->statement = now;
}

static struct statement *bound_statement(struct engine *engine, struct session *session,
                                         const char *name)
{
    if (name[0] == '\0') {
        return session->unnamed;
    }
    struct session_statement *named =
        session_statement_find(&session->statements, engine->hash_key, name, strlen(name));
    if (named == NULL || !named->statement->names_pids) {
        return NULL;
    }
    if (session_virtual_statements(session)) {
        renew(engine, session, named);
    }
    return named->statement;
}

static struct block *rewrite_bind(struct engine *engine, struct session *session,
                                  const uint8_t *message, uint32_t total)
{
    struct writer *scratch = &engine->scratch;
    struct reader reader = reader_of(message + MESSAGE_HEADER_BYTES, total - MESSAGE_HEADER_BYTES);
    reader_cstr(&reader); /* the portal's name */
    const char *name = reader_cstr(&reader);
    const struct statement *statement =
        reader.failed ? NULL : bound_statement(engine, session, name);
    if (statement == NULL || !statement->names_pids) {
        return NULL;
    }
    struct pid_use use = write_text(engine, session, statement->body, statement->body_bytes);
    writer_reset(scratch);
    if (use.parameters == 0) {
        return NULL;
    }
    uint32_t names_bytes = (uint32_t)(reader.at - message) - MESSAGE_HEADER_BYTES;
    uint32_t mark = writer_begin(scratch, FRONTEND_BIND);
    writer_bytes(scratch, message + MESSAGE_HEADER_BYTES, names_bytes);
    if (!pid_rewrite_parameters(shared_pids(engine->shared), host_of(session), use.parameters,
                                reader.at, (uint32_t)reader.left, scratch)) {
        writer_reset(scratch);
        return NULL; /* the server is to say what is wrong with it */
    }
    writer_end(scratch, mark);
    return block_of_scratch(engine);
}

bool pid_message(struct engine *engine, struct session *session, const uint8_t *message,
                 uint32_t total, uint32_t have, struct block **ret_rewritten)
{
    uint8_t type = message[0];
    bool binds = type == FRONTEND_BIND && engine->statements.names_pids;
    bool says = type == FRONTEND_QUERY || type == FRONTEND_PARSE;
    struct block *rewritten = NULL;
    if ((!binds && !says) || total > LIMIT_PLAN_BYTES || session->replication) {
        return false;
    }
    if (have < total) {
        return true;
    }
    if (says && !pid_function_in(message + MESSAGE_HEADER_BYTES, total - MESSAGE_HEADER_BYTES)) {
        return false;
    }
    if (binds) {
        rewritten = rewrite_bind(engine, session, message, total);
    } else if (type == FRONTEND_PARSE) {
        rewritten = rewrite_parse(engine, session, message, total);
    } else {
        rewritten = rewrite_text(engine, session, message, total, 0);
    }
    if (rewritten != NULL) {
        *ret_rewritten = rewritten;
    }
    return false;
}
