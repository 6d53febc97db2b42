#include "pool/prepare.h"

#include "base/assert.h"
#include "base/error.h"
#include "base/limits.h"
#include "pool/account.h"
#include "pool/core.h"
#include "pool/link.h"
#include "pool/pool.h"
#include "pool/session.h"
#include "protocol/frontend.h"
#include "protocol/message.h"
#include "router/plan.h"

void prepare_write(struct engine *engine, const char *name, const struct statement *statement)
{
    uint32_t mark = writer_begin(&engine->scratch, FRONTEND_PARSE);
    writer_cstr(&engine->scratch, name);
    writer_bytes(&engine->scratch, statement->body, statement->body_bytes);
    writer_end(&engine->scratch, mark);
}

void prepare_flush(struct engine *engine, struct link *link)
{
    link->unsynced = true;
    if (engine->scratch.failed) {
        link_fail(engine, link, ERR_NO_MEMORY, NULL);
    } else {
        link_write(engine, link, engine->scratch.bytes, engine->scratch.len);
    }
    writer_reset(&engine->scratch);
}

/* --- closing ---------------------------------------------------------------------------------- */

/* Behind an error the server skips it: then the statement is there as before. */
static bool send_close(struct engine *engine, struct link *link, struct link_statement *entry)
{
    struct due_entry due = {.what = DUE_CLOSE, .kind = DUE_SWALLOW, .prepared = entry};
    link_statement_close(&link->statements, entry);
    if (!link_due_entry(engine, link, &due)) {
        return false;
    }
    frontend_close(&engine->scratch, 'S', entry->name);
    prepare_flush(engine, link);
    return true;
}

bool prepare_make_room(struct engine *engine, struct link *link)
{
    uint32_t max = link->pool->limits.prepared_statements;
    while (link->statements.by_id.count - link->statements.closing_count >= max ||
           link->statements.bytes > LIMIT_LINK_STATEMENTS_BYTES) {
        struct link_statement *oldest = link_statement_oldest(&link->statements);
        if (oldest == NULL) {
            return true; /* a pipeline longer than the limit: over it until it is answered */
        }
        if (!send_close(engine, link, oldest)) {
            return false;
        }
    }
    return true;
}

/* --- preparing -------------------------------------------------------------------------------- */

/* What SQL has prepared is prepared by SQL, too: only so can its types be named. All of it is
 * swallowed; the entry refers to what the link will have. */
static bool send_sql_prepare(struct engine *engine, struct link *link, struct link_statement *entry)
{
    static const char portal[] = "howdah_prepare"; /* the unnamed one may be the client's */
    static const enum due_what steps[] = {DUE_PARSE, DUE_BIND, DUE_EXECUTE, DUE_CLOSE};
    struct writer *scratch = &engine->scratch;
    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
        struct due_entry due = {.what = (uint8_t)steps[i],
                                .kind = DUE_SWALLOW,
                                .prepared = steps[i] == DUE_EXECUTE ? entry : NULL};
        if (!link_due_entry(engine, link, &due)) {
            return false;
        }
    }
    uint32_t mark = writer_begin(scratch, FRONTEND_PARSE);
    writer_u8(scratch, '\0');
    writer_format(scratch, "PREPARE %s%s", entry->name, (const char *)entry->statement->body);
    writer_bytes(scratch, "\0\0", 3); /* the text's NUL, and no types */
    writer_end(scratch, mark);
    frontend_bind(scratch, portal, "");
    frontend_execute(scratch, portal);
    frontend_close(scratch, 'P', portal);
    prepare_flush(engine, link);
    link_unnamed_unknown(engine, link);
    link->pool->stats.server_parses++;
    return true;
}

struct link_statement *prepare_send(struct engine *engine, struct link *link,
                                    struct statement *statement, enum due_kind kind,
                                    struct session_statement *named)
{
    if (!prepare_make_room(engine, link)) {
        return NULL;
    }
    uint64_t name_id = statement->id;
    if (link_statement_has_name(&link->statements, statement, name_id)) {
        name_id = statement_other_name(&engine->statements); /* its Close may yet be skipped */
    }
    struct link_statement *entry =
        link_statement_add(&link->statements, statement, name_id, shared_catalog(engine->shared));
    if (entry == NULL) {
        link_fail(engine, link, ERR_NO_MEMORY, NULL);
        return NULL;
    }
    entry->pending++;
    if (statement->from_sql) {
        ASSERT(kind == DUE_SWALLOW && named == NULL);
        return send_sql_prepare(engine, link, entry) ? entry : NULL;
    }
    struct due_entry due = {
        .what = DUE_PARSE, .kind = (uint8_t)kind, .prepared = entry, .named = named};
    if (!link_due_entry(engine, link, &due)) {
        return NULL;
    }
    prepare_write(engine, entry->name, statement);
    prepare_flush(engine, link);
    link->pool->stats.server_parses++;
    return entry;
}

/* --- what is there ---------------------------------------------------------------------------- */

struct link_statement *prepare_find(struct engine *engine, struct link *link,
                                    struct statement *statement, uint32_t catalog)
{
    struct link_statement *entry = link_statement_find(&link->statements, statement);
    if (entry == NULL) {
        return NULL;
    }
    if (entry->catalog < catalog) {
        send_close(engine, link, entry); /* if that fails, so does what comes in its place */
        return NULL;
    }
    link_statement_used(&link->statements, entry);
    return entry;
}

void prepare_reread(struct engine *engine, const struct session *session,
                    struct statement **statement)
{
    struct statement *old = *statement, *now;
    uint64_t reading = session->settings->reading;
    if (old->reading == reading) {
        return;
    }
    now = statement_intern(&engine->statements, reading, old->body, old->body_bytes);
    if (now != NULL) { /* else what others have may be read as this session reads */
        *statement = now;
        statement_unref(&engine->statements, old);
    }
}

struct link_statement *prepare_named(struct engine *engine, struct session *session,
                                     struct session_statement *named)
{
    struct link *link = session->link;
    struct link_statement *entry = prepare_find(engine, link, named->statement, named->catalog);
    if (entry == NULL && named->statement->reading != session->settings->reading) {
        prepare_reread(engine, session, &named->statement);
        entry = prepare_find(engine, link, named->statement, named->catalog);
    }
    return entry != NULL ? entry : prepare_send(engine, link, named->statement, DUE_SWALLOW, NULL);
}

/* --- the catalog ------------------------------------------------------------------------------ */

void prepare_alters(struct session *session, const struct plan *plan)
{
    bool alters = plan->class == PLAN_DDL || (plan->class > PLAN_DDL && plan->statement_count > 1);
    bool makes_temp = (plan->touches & PLAN_TOUCH_TEMP) != 0;
    if (alters && makes_temp && plan->statement_count == 1 && session->virtual_names) {
        link_statements_shadow(&session->link->statements);
    } else if (alters && session->virtual_names) {
        link_statements_doubt(&session->link->statements);
        session->alters |= !makes_temp;
    }
}

void prepare_altered(struct engine *engine, struct session *session)
{
    if (session->alters) {
        session->alters = false;
        shared_catalog_changed(engine->shared);
    }
}

void prepare_outdated(struct engine *engine, struct link *link)
{
    link_statements_doubt(&link->statements);
    shared_catalog_changed(engine->shared);
}
