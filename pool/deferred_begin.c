#include "pool/deferred_begin.h"

#include <string.h>

#include "base/assert.h"
#include "base/limits.h"
#include "pool/core.h"
#include "pool/deferred_answer.h"
#include "pool/deferred_batch.h"
#include "pool/link.h"
#include "pool/modes.h"
#include "pool/options.h"
#include "pool/own.h"
#include "pool/pool.h"
#include "pool/route.h"
#include "pool/session.h"
#include "protocol/frontend.h"
#include "protocol/message.h"
#include "protocol/sql_verb.h"
#include "router/plan.h"

/* What of a failed transaction's queries does not end it. Returns the bytes taken; 0: it passes, or
 * *ret_whole says how many bytes must be seen together first. */
static uint32_t refuse_query(struct engine *engine, struct session *session, const char *text,
                             uint32_t total, uint32_t have, uint32_t *ret_whole)
{
    if (have < total && total <= LIMIT_PLAN_BYTES) {
        *ret_whole = total;
        return 0;
    }
    uint32_t here = (have < total ? have : total) - MESSAGE_HEADER_BYTES;
    uint32_t len = message_text_bytes(text, here);
    enum sql_verb verb = sql_verb_read(text, len);
    if (verb == SQL_VERB_ROLLBACK || verb == SQL_VERB_ABORT) {
        session->begin = BEGIN_DEFERRED; /* there is more behind it: for a server to roll back */
        return 0;
    }
    session_drop_unnamed(engine, session);
    if (verb == SQL_VERB_EMPTY && have >= total) {
        session_write_empty(engine, BACKEND_EMPTY_QUERY_RESPONSE);
    } else {
        deferred_answer_write_refusal(engine, session, have < total ? NULL : text, len, false);
    }
    deferred_answer_write_end(engine, session);
    return session_discard(session, total, have);
}

static uint32_t take_query(struct engine *engine, struct session *session, const uint8_t *at,
                           uint32_t total, uint32_t have, uint32_t *ret_whole)
{
    const char *text = (const char *)at + MESSAGE_HEADER_BYTES;
    uint32_t body_bytes = total - MESSAGE_HEADER_BYTES;
    bool is_short = body_bytes <= DEFERRED_TEXT_BYTES_MAX;
    if (session->begin == BEGIN_NONE &&
        !deferred_answer_may_begin(text, have - MESSAGE_HEADER_BYTES)) {
        return 0;
    }
    if (have < total && is_short) {
        *ret_whole = total;
        return 0;
    }
    struct plan *plan = NULL;
    if (is_short && message_text_bytes(text, body_bytes) + 1 == body_bytes &&
        (session->begin != BEGIN_NONE || session->routing != NULL || have == total)) {
        plan = deferred_answer_plan(engine, session, text, body_bytes - 1);
    }
    if (plan == NULL) {
        return session->begin == BEGIN_FAILED
                   ? refuse_query(engine, session, text, total, have, ret_whole)
                   : 0;
    }
    session_drop_unnamed(engine, session);
    deferred_answer_write_tag(engine, session, plan);
    plan_unref(plan);
    deferred_answer_write_end(engine, session);
    return total;
}

/* Without a link there is no portal, and a statement is the session's alone. Close is allowed in a
 * failed transaction, too. */
static uint32_t take_close(struct engine *engine, struct session *session, const uint8_t *at,
                           uint32_t total, uint32_t have, uint32_t *ret_whole)
{
    static const uint8_t close_complete[] = {BACKEND_CLOSE_COMPLETE, 0, 0, 0, 4};
    bool failed = session->begin == BEGIN_FAILED;
    if (!failed && total > MESSAGE_HEADER_BYTES + LIMIT_STATEMENT_NAME_BYTES) {
        return 0;
    }
    if (have < total) {
        *ret_whole = total;
        return 0;
    }
    struct reader reader = reader_of(at + MESSAGE_HEADER_BYTES, total - MESSAGE_HEADER_BYTES);
    uint8_t kind = reader_u8(&reader);
    const char *name = reader_cstr(&reader);
    bool wrong = reader.failed || reader.left != 0 || (kind != 'S' && kind != 'P');
    if (wrong && !failed) {
        return 0; /* a server is to say what is wrong with it */
    }
    if (!wrong && kind == 'S' && name[0] != '\0') {
        struct session_statement *named =
            session_statement_find(&session->statements, engine->hash_key, name, strlen(name));
        if (named != NULL) {
            session_statement_remove(&engine->statements, &session->statements, named);
        }
    } else if (!wrong && kind == 'S') {
        session_drop_unnamed(engine, session);
    }
    conn_write_along(engine, &session->conn, close_complete, sizeof(close_complete));
    return total;
}

/* Of a failed transaction what is not answered otherwise. */
static uint32_t refuse_message(struct engine *engine, struct session *session, const uint8_t *at,
                               uint32_t total, uint32_t have, uint32_t *ret_whole)
{
    uint8_t type = at[0];
    const char *text = NULL;
    if (type == FRONTEND_PARSE && have < total && total <= LIMIT_PLAN_BYTES) {
        *ret_whole = total;
        return 0;
    }
    if (type == FRONTEND_PARSE && have > MESSAGE_HEADER_BYTES && at[MESSAGE_HEADER_BYTES] == '\0') {
        session_drop_unnamed(engine,
                             session); /* before it is refused (exec_parse_message, postgres.c) */
    }
    if (type == FRONTEND_PARSE && have >= total) {
        struct reader reader = reader_of(at + MESSAGE_HEADER_BYTES, total - MESSAGE_HEADER_BYTES);
        reader_cstr(&reader);
        text = reader_cstr(&reader);
        text = reader.failed ? NULL : text;
    }
    deferred_answer_write_refusal(engine, session, text, text == NULL ? 0 : (uint32_t)strlen(text),
                                  true);
    if (type == FRONTEND_FUNCTION_CALL) {
        deferred_answer_write_end(engine, session);
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
        uint32_t taken = deferred_batch_take(engine, session, at, have, ret_whole);
        return taken > 0 || *ret_whole > have || !failed
                   ? taken
                   : refuse_message(engine, session, at, total, have, ret_whole);
    }
    case FRONTEND_CLOSE: /* of what is put back for the primary it is known what was told */
        return !failed && session->routing != NULL && session->routing->again
                   ? 0
                   : take_close(engine, session, at, total, have, ret_whole);
    case FRONTEND_DESCRIBE:
    case FRONTEND_EXECUTE:
    case FRONTEND_FUNCTION_CALL:
        return failed ? refuse_message(engine, session, at, total, have, ret_whole) : 0;
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
    struct plan_modes modes = session->begin_modes;
    bool asks = modes_ask(engine, session);
    if (session->lender != session->pool) { /* its defaults may be others than the primary's */
        modes.isolation = PLAN_REPEATABLE_READ;
        modes.read_only = PLAN_CHOICE_YES;
    }
    if (!link_due_executed(engine, link, asks ? 2 : 1, (struct due_entry){.begins = true})) {
        return false;
    }
    write_begin(&engine->scratch, &modes);
    if (asks) {
        modes_write(engine, session);
    }
    link->unsynced = true;
    link->begun = true;
    link->heal.incomplete |= /* what is sent again would find the transaction failed */
        session->lender == session->pool;
    link_unnamed_unknown(engine, link);
    engine_flush_scratch(engine, &link->conn);
    return !session->conn.closing;
}

void deferred_begin_failed(struct engine *engine, struct link *link, const uint8_t *message,
                           uint32_t total)
{
    struct session *session = link->owner;
    if (route_survives(engine, link)) {
        link_end(engine, link);
        return;
    }
    bool asked = extended_status_is_open(link);
    conn_write(engine, &session->conn, message, total);
    if (session->own != NULL) {
        own_errored(session);
    }
    link_skip_to_sync(engine, link); /* while it has its owner: what was prepared never was */
    session_unlink(session);
    route_refused(session);
    session->begin = BEGIN_FAILED;
    session->skipping = !asked;
    if (asked) {
        deferred_answer_write_end(engine, session);
    }
    link_end(engine, link); /* without a Sync: the server runs none of it */
    session_resume_later(engine, session);
}
