#include "pool/route_batch.h"

#include <string.h>

#include "base/limits.h"
#include "pool/core.h"
#include "pool/options.h"
#include "pool/pool.h"
#include "pool/pool_facts.h"
#include "pool/route_whole.h"
#include "pool/session.h"
#include "pool/state.h"
#include "pool/statement.h"
#include "protocol/message.h"
#include "router/plan.h"
#include "router/rules.h"

/* No text that is longer is read as a time (MAXDATELEN and MAXDATEFIELDS in utils/datetime.h). */
enum { TIME_BYTES_MAX = 128 + 25 };

/* Statements that one batch may prepare. */
enum { BATCH_PARSES_MAX = 8 };

struct reading {
    struct engine *engine;
    struct session *session;
    struct route_batch *batch;
    const char *parsed[BATCH_PARSES_MAX]; /* names; all of them are reads */
    uint32_t parsed_count;
    uint32_t bind_count, execute_count;
};

bool route_batch_plan(struct engine *engine, const struct session *session, struct plan *plan,
                      struct route_batch *batch)
{
    const struct pool *pool = session->pool;
    struct facts facts = pool_facts_of(engine, session, plan);
    uint8_t local = PLAN_LOCAL_SERVER | (batch->in_transaction ? PLAN_LOCAL_TRANSACTION : 0);
    if (plan->hint != NULL) {
        batch->hint = plan->hint;
    }
    bool runs = plan->own_class == PLAN_UTILITY && (plan->touches & PLAN_TOUCH_ALONE) != 0;
    batch->writes |= plan->own_class == PLAN_WRITE || plan->own_class == PLAN_DDL || runs ||
                     (plan->touches & (PLAN_TOUCH_COPY_FROM | PLAN_TOUCH_NEXTVAL)) != 0;
    batch->other |= plan->own_class != PLAN_READ || plan->own_touches != 0;
    bool reads = facts.class == PLAN_READ && facts.touches == 0;
    if ((!reads && !(batch->whole && route_whole_declares(plan, &facts))) || session->pins != 0 ||
        (facts.local & local) != 0) {
        return false;
    }
    const struct rule *rule =
        rules_decide(pool->database->rules, pool->rules_of_user, plan, facts.class);
    batch->rule_primary |= rule != NULL && rule->action == RULE_PRIMARY;
    batch->rule_replica |= rule != NULL && rule->action == RULE_REPLICA;
    return true;
}

static bool may_be_read(struct reading *reading, struct plan *plan)
{
    return route_batch_plan(reading->engine, reading->session, plan, reading->batch);
}

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* Whether one of the words stands there that mean the transaction's time in a literal
 * ('now'::timestamptz, '04:05 today'; ParseDateTime in src/backend/utils/adt/datetime.c). */
static bool has_now(const char *text, uint32_t len)
{
    static const char *const words[] = {"now", "today", "tomorrow", "yesterday"};
    for (uint32_t at = 0; at < len; at++) {
        char first = (char)(text[at] | 0x20);
        if ((first != 'n' && first != 't' && first != 'y') || (at > 0 && is_letter(text[at - 1]))) {
            continue;
        }
        for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
            uint32_t bytes = (uint32_t)strlen(words[i]);
            if (len - at >= bytes && strncasecmp(text + at, words[i], bytes) == 0 &&
                (len - at == bytes || !is_letter(text[at + bytes]))) {
                return true;
            }
        }
    }
    return false;
}

/* Where the first literal of a text begins, if there is one: at a quote, or a $ that begins no
 * parameter. NULL: there is none. */
static const char *first_literal(const char *text, uint32_t len)
{
    const char *quote = memchr(text, '\'', len), *dollar = text;
    const char *end = quote == NULL ? text + len : quote;
    while ((dollar = memchr(dollar, '$', (size_t)(end - dollar))) != NULL) {
        dollar++;
        if (dollar < text + len && (*dollar < '0' || *dollar > '9')) {
            return dollar;
        }
    }
    return quote;
}

/* Literals are no part of a plan. */
static bool says_now(const char *text, uint32_t len)
{
    const char *from = first_literal(text, len);
    return from != NULL && has_now(from, (uint32_t)(text + len - from));
}

/* Whether a value of a Bind is such a text; `reader` stands behind the names. */
static bool binds_now(struct reader *reader)
{
    uint16_t formats = reader_u16(reader);
    (void)reader_bytes(reader, 2 * (size_t)formats);
    uint16_t count = reader_u16(reader);
    for (uint16_t i = 0; i < count && !reader->failed; i++) {
        uint32_t bytes = reader_u32(reader);
        bool is_null = bytes == UINT32_MAX;
        const uint8_t *value = is_null ? NULL : reader_bytes(reader, bytes);
        if (value != NULL && bytes <= TIME_BYTES_MAX && has_now((const char *)value, bytes)) {
            return true;
        }
    }
    return reader->failed;
}

/* A text without its NUL. */
static bool text_may_be_read(struct reading *reading, const char *text, uint32_t len)
{
    if (reading->batch->in_transaction && says_now(text, len)) {
        return false;
    }
    struct plan *known = state_known_plan(reading->engine, reading->session, text, len);
    if (known != NULL) {
        return may_be_read(reading, known);
    }
    struct plan *plan = state_plan(reading->engine, reading->session, text, len);
    bool may = may_be_read(reading, plan);
    if (plan->references == 1) {
        reading->batch->hint = NULL; /* nobody else has it */
    }
    plan_unref(plan);
    return may;
}

static enum route read_query(struct reading *reading, const uint8_t *at, uint32_t total,
                             uint32_t have)
{
    const char *text = (const char *)at + MESSAGE_HEADER_BYTES;
    uint32_t body_bytes = total - MESSAGE_HEADER_BYTES;
    if (total > LIMIT_PLAN_BYTES) {
        return ROUTE_NOT_A_READ;
    }
    if (have < total) {
        reading->batch->need = total;
        return ROUTE_BATCH;
    }
    reading->batch->bytes = total;
    uint32_t len = message_text_bytes(text, body_bytes);
    return len + 1 == body_bytes && text_may_be_read(reading, text, len) ? ROUTE_REPLICA
                                                                         : ROUTE_NOT_A_READ;
}

static bool parse_may_be_read(struct reading *reading, const uint8_t *body, uint32_t body_bytes)
{
    struct reader reader = reader_of(body, body_bytes);
    const char *name = reader_cstr(&reader);
    const char *text = reader_cstr(&reader);
    if (reader.failed || reading->parsed_count == BATCH_PARSES_MAX) {
        return false;
    }
    reading->parsed[reading->parsed_count++] = name;
    return text_may_be_read(reading, text, (uint32_t)strlen(text));
}

static bool was_parsed(const struct reading *reading, const char *name)
{
    for (uint32_t i = 0; i < reading->parsed_count; i++) {
        if (strcmp(reading->parsed[i], name) == 0) {
            return true;
        }
    }
    return false;
}

static bool statement_may_be_read(struct reading *reading, const char *name)
{
    struct session *session = reading->session;
    if (was_parsed(reading, name)) {
        return true;
    }
    struct session_statement *named =
        name[0] == '\0' ? NULL
                        : session_statement_find(&session->statements, reading->engine->hash_key,
                                                 name, strlen(name));
    struct statement *statement = name[0] == '\0' ? session->unnamed
                                  : named == NULL ? NULL
                                                  : named->statement;
    struct plan *plan =
        statement == NULL ? NULL : state_statement_plan(reading->engine, session, statement);
    if (plan == NULL || statement->names) {
        return false;
    }
    const char *text = statement_query(statement);
    return !(reading->batch->in_transaction && says_now(text, (uint32_t)strlen(text))) &&
           may_be_read(reading, plan);
}

static bool bind_may_be_read(struct reading *reading, const uint8_t *body, uint32_t body_bytes)
{
    struct reader reader = reader_of(body, body_bytes);
    const char *portal = reader_cstr(&reader);
    const char *name = reader_cstr(&reader);
    reading->bind_count++;
    bool alone = !reading->batch->in_transaction;
    return !reader.failed && (alone || (portal[0] == '\0' && !binds_now(&reader))) &&
           statement_may_be_read(reading, name);
}

/* In a transaction a portal outlives its batch, and may be executed by parts. */
static bool execute_may_be_read(struct reading *reading, const uint8_t *body, uint32_t body_bytes)
{
    struct reader reader = reader_of(body, body_bytes);
    const char *portal = reader_cstr(&reader);
    uint32_t rows_max = reader_u32(&reader);
    reading->execute_count++;
    return !reading->batch->in_transaction ||
           (!reader.failed && portal[0] == '\0' && rows_max == 0);
}

static bool describe_may_be_read(struct reading *reading, const uint8_t *body, uint32_t body_bytes)
{
    struct reader reader = reader_of(body, body_bytes);
    uint8_t kind = reader_u8(&reader);
    const char *name = reader_cstr(&reader);
    return !reader.failed && (kind == 'P' || statement_may_be_read(reading, name));
}

/* A whole message that isn't the Sync. */
static bool message_may_be_read(struct reading *reading, const uint8_t *at, uint32_t total)
{
    const uint8_t *body = at + MESSAGE_HEADER_BYTES;
    uint32_t body_bytes = total - MESSAGE_HEADER_BYTES;
    switch (at[0]) {
    case FRONTEND_PARSE:
        return parse_may_be_read(reading, body, body_bytes);
    case FRONTEND_BIND:
        return bind_may_be_read(reading, body, body_bytes);
    case FRONTEND_DESCRIBE:
        return describe_may_be_read(reading, body, body_bytes);
    case FRONTEND_EXECUTE:
        return execute_may_be_read(reading, body, body_bytes);
    case FRONTEND_CLOSE:
    case FRONTEND_FLUSH:
        return true;
    }
    return false;
}

static bool leaves_no_portal(const struct reading *reading)
{
    return !reading->batch->in_transaction || reading->bind_count == reading->execute_count;
}

/* Who has flushed awaits answers before it sends more. */
static enum route read_extended(struct reading *reading, const uint8_t *at, uint32_t have)
{
    bool flushed = false;
    uint32_t used = 0, body_bytes;
    while (used < LIMIT_DETOUR_BYTES) {
        if (have - used < MESSAGE_HEADER_BYTES) {
            break;
        }
        if (!message_header(message_frontend_bounds, at + used, &body_bytes)) {
            return ROUTE_BATCH;
        }
        uint32_t total = MESSAGE_HEADER_BYTES + body_bytes;
        if (total > LIMIT_DETOUR_BYTES - used) {
            return ROUTE_BATCH;
        }
        if (have - used < total) {
            reading->batch->need = used + total;
            return ROUTE_BATCH;
        }
        if (at[used] == FRONTEND_SYNC) {
            reading->batch->bytes = used + total;
            return total == MESSAGE_HEADER_BYTES && leaves_no_portal(reading) ? ROUTE_REPLICA
                                                                              : ROUTE_BATCH;
        }
        if (!message_may_be_read(reading, at + used, total)) {
            return ROUTE_NOT_A_READ;
        }
        flushed = at[used] == FRONTEND_FLUSH;
        used += total;
    }
    if (flushed && used == have && reading->bind_count + reading->execute_count == 0) {
        reading->batch->bytes = used;
        return ROUTE_REPLICA;
    }
    if (!flushed && used < LIMIT_DETOUR_BYTES) {
        reading->batch->need = have + MESSAGE_HEADER_BYTES;
    }
    return ROUTE_BATCH;
}

enum route route_batch_read(struct engine *engine, struct session *session, const uint8_t *at,
                            uint32_t have, struct route_batch *ret_batch)
{
    struct reading reading = {.engine = engine, .session = session, .batch = ret_batch};
    uint32_t body_bytes;
    if (at[0] == FRONTEND_QUERY && message_header(message_frontend_bounds, at, &body_bytes)) {
        return read_query(&reading, at, MESSAGE_HEADER_BYTES + body_bytes, have);
    }
    return session_virtual_statements(session) ? read_extended(&reading, at, have)
                                               : ROUTE_NOT_A_READ;
}
