#include "pool/columns.h"

#include <string.h>

#include "base/error.h"
#include "base/hash.h"
#include "base/limits.h"
#include "pool/account.h"
#include "pool/core.h"
#include "pool/link.h"
#include "pool/prepare.h"
#include "pool/session.h"
#include "pool/statement.h"
#include "protocol/frontend.h"
#include "protocol/message.h"

/* Of a statement that gives no rows. */
enum { NO_COLUMNS = 1 };

/* Of each column what RevalidateCachedQuery compares: its name, type and modifier; not its table,
 * which may be another one now, nor its format. 0: the message is malformed. */
static uint64_t hash_columns(uint64_t key, const uint8_t *at, uint32_t total)
{
    struct reader reader = reader_of(at + MESSAGE_HEADER_BYTES, total - MESSAGE_HEADER_BYTES);
    if (at[0] == BACKEND_NO_DATA) {
        return NO_COLUMNS;
    }
    uint64_t hash = key;
    uint16_t count = reader_u16(&reader);
    for (uint32_t i = 0; i < count && !reader.failed; i++) {
        const char *name = reader_cstr(&reader);
        reader_u32(&reader); /* the table */
        reader_u16(&reader); /* its column */
        uint32_t type = reader_u32(&reader);
        reader_u16(&reader); /* the type's length */
        uint32_t modifier = reader_u32(&reader);
        reader_u16(&reader); /* the format */
        if (!reader.failed) {
            hash = hash_word(hash_bytes(hash, name, strlen(name)), (uint64_t)type << 32 | modifier);
        }
    }
    return reader.failed ? 0 : hash > NO_COLUMNS ? hash : NO_COLUMNS + 1;
}

bool columns_misfit(const struct due_entry *head, const struct report_fields *fields)
{
    return head->what == DUE_BIND && head->kind == DUE_SWALLOW &&
           strcmp(fields->routine, "PortalSetResultFormat") == 0;
}

struct report columns_report(void)
{
    return (struct report){.code = ERR_OUTDATED_STATEMENT, .routine = "RevalidateCachedQuery"};
}

uint32_t columns_describe_bytes(const uint8_t *at, uint32_t have)
{
    bool describes = have > MESSAGE_HEADER_BYTES && at[0] == FRONTEND_DESCRIBE &&
                     at[MESSAGE_HEADER_BYTES] == 'P';
    return describes ? message_whole_bytes(message_frontend_bounds, at, have) : 0;
}

static bool is_asked(const struct link *link, const struct session_statement *named)
{
    for (uint32_t i = 0; i < link->due.count; i++) {
        const struct due_entry *entry = due_at(&link->due, i);
        if (entry->what == DUE_DESCRIBE_STATEMENT && entry->kind == DUE_SWALLOW &&
            entry->named == named) {
            return true;
        }
    }
    return false;
}

/* Asks of a statement that the link has prepared by the catalog of now, or prepares it so: one of
 * before would fail. False: the session is closing. */
static bool ask(struct engine *engine, struct session *session, struct session_statement *named,
                uint32_t catalog)
{
    struct link *link = session->link;
    struct link_statement *entry = prepare_find(engine, link, named->statement, catalog);
    if (entry == NULL) {
        entry = prepare_send(engine, link, named->statement, DUE_SWALLOW, NULL);
    }
    struct due_entry due = {
        .what = DUE_DESCRIBE_STATEMENT, .kind = DUE_SWALLOW, .catalog = catalog, .named = named};
    if (entry == NULL || !link_due_entry(engine, link, &due)) {
        return false;
    }
    frontend_describe(&engine->scratch, entry->name);
    prepare_flush(engine, link);
    link_flush(engine, link);
    link->unsynced = true;
    return true;
}

/* The session's transaction has DDL in it, which no other knows of: whether what is known of the
 * statement comes of what the link has prepared since. What has changed is asked each time, as
 * ROLLBACK TO may have put it back. */
static bool holds_in_transaction(struct link *link, struct session_statement *named,
                                 uint32_t catalog)
{
    struct link_statement *entry = link_statement_find(&link->statements, named->statement);
    bool known = entry != NULL && entry->catalog == catalog &&
                 (!named->columns_changed || named->columns_answered);
    named->columns_answered = false;
    if (!known && entry != NULL) {
        entry->catalog = 0;
    }
    return known;
}

bool columns_wait(struct engine *engine, struct session *session, struct session_statement *named)
{
    struct link *link = session->link;
    uint32_t catalog = shared_catalog(engine->shared);
    if (named->columns == 0 || named->statement->names || named->statement->names_pids ||
        named->statement->from_sql || (named->columns_catalog == catalog && !session->alters)) {
        return false;
    }
    if (!is_asked(link, named)) {
        if (named->columns_catalog == catalog && holds_in_transaction(link, named, catalog)) {
            return false;
        }
        if (!ask(engine, session, named, catalog)) {
            return true;
        }
    }
    session->blocked = true; /* link_after_reply comes back to it */
    return true;
}

uint32_t columns_learn(struct engine *engine, struct session *session, struct block *block,
                       uint8_t *at, uint32_t bytes, struct session_statement *named)
{
    uint32_t catalog = shared_catalog(engine->shared);
    if (bytes == 0 || named == NULL ||
        (named->columns_catalog == catalog && !named->columns_changed)) {
        return 0;
    }
    struct due_entry due = {
        .what = DUE_DESCRIBE_PORTAL, .kind = DUE_FORWARD, .catalog = catalog, .named = named};
    if (!link_due_entry(engine, session->link, &due)) {
        return 0;
    }
    link_send(engine, session->link, block, at, bytes);
    return bytes;
}

void columns_described(const struct engine *engine, const struct due_entry *entry,
                       const uint8_t *at, uint32_t total)
{
    struct session_statement *named = entry->named;
    uint64_t columns = total > MESSAGE_HEADER_BYTES + LIMIT_SERVER_WHOLE_BYTES
                           ? 0
                           : hash_columns(engine->hash_key, at, total);
    bool ours = entry->kind == DUE_SWALLOW;
    named->columns_changed = ours && columns != 0 && columns != named->columns;
    if (!ours || columns == 0) {
        named->columns = columns;
    }
    named->columns_answered = ours;
    named->columns_catalog = entry->catalog;
}
