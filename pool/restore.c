#include "pool/restore.h"

#include <string.h>

#include "base/error.h"
#include "base/writer.h"
#include "pool/account.h"
#include "pool/core.h"
#include "pool/link.h"
#include "pool/session.h"
#include "pool/state.h"
#include "pool/statement.h"
#include "protocol/frontend.h"
#include "protocol/message.h"
#include "protocol/sql_verb.h"
#include "router/plan.h"

/* What the plan resets of the startup's settings; a reference, or NULL for none (or no memory). */
static struct settings *reset_part(struct engine *engine, struct settings *startup,
                                   const struct plan *plan)
{
    if (!plan->is_plain_setting) { /* RESET ALL, DISCARD ALL */
        settings_ref(startup);
        return startup;
    }
    const char *value = settings_get(startup, plan->settings[0].name);
    struct setting item = {plan->settings[0].name, value};
    return value == NULL ? NULL : settings_intern(&engine->settings, &item, 1);
}

void restore_note(struct engine *engine, struct session *session, const struct plan *plan)
{
    if (session->startup->count == 0 || plan->statement_count != 1 ||
        (plan->touches & PLAN_TOUCH_RESET) == 0) {
        return;
    }
    struct settings *part = reset_part(engine, session->startup, plan);
    if (part == NULL) {
        return;
    }
    bool local = plan->is_plain_setting && plan->settings[0].local;
    if (session->restores != NULL) { /* several in one pipeline: all of them */
        settings_unref(&engine->settings, part);
        part = session->startup;
        settings_ref(part);
        local = local && session->restores_local;
    }
    settings_unref(&engine->settings, session->restores);
    session->restores = part;
    session->restores_local = local;
    if ((plan->touches & PLAN_TOUCH_DISCARD) != 0) {
        session->restores_late = RESTORE_LATE;
    }
}

/* What the client is told of at the ReadyForQuery of its RESET. */
static void remember_sent(struct engine *engine, struct session *session)
{
    settings_unref(&engine->settings, session->restored);
    session->restored = session->restores;
    session->restored_local = session->restores_local;
    settings_ref(session->restored);
}

/* Writes and enters what was noted. False when the link has failed. */
static bool write_noted(struct engine *engine, struct session *session, bool syncs)
{
    struct link *link = session->link;
    uint32_t changes =
        settings_write_again(&engine->scratch, session->restores, session->restores_local);
    restore_forget(engine, session);
    if (syncs) {
        frontend_sync(&engine->scratch);
    }
    link_unnamed_unknown(engine, link);
    engine_flush_scratch(engine, &link->conn);
    return link_due_executed(engine, link, changes,
                             (struct due_entry){.flags = DUE_FLAG_RESTORE}) &&
           (!syncs || link_due(engine, link, DUE_SYNC, DUE_SWALLOW, DUE_FLAG_RESTORE));
}

/* The same as a query, which the server skips if it skips the client's. */
static bool write_query(struct engine *engine, struct session *session)
{
    struct link *link = session->link;
    settings_write_query(&engine->scratch, session->restores, session->restores_local);
    remember_sent(engine, session);
    restore_forget(engine, session);
    engine_flush_scratch(engine, &link->conn);
    return link_due(engine, link, DUE_QUERY, DUE_SWALLOW, DUE_FLAG_RESTORE);
}

bool restore_send(struct engine *engine, struct session *session, bool in_batch)
{
    if (!in_batch) {
        remember_sent(engine, session);
        return write_noted(engine, session, true);
    }
    if (session->restores_late == RESTORE_LATE) {
        restore_synced(engine, session);
        return true;
    }
    if (session->settings->unsafe_encoding || session->startup->unsafe_encoding) {
        restore_forget(engine, session);
        return true;
    }
    return write_query(engine, session);
}

bool restore_executed(struct engine *engine, struct session *session)
{
    return session->restores_late != RESTORE_AT_ONCE || write_noted(engine, session, false);
}

void restore_synced(struct engine *engine, struct session *session)
{
    if (session->restores_late == RESTORE_AT_ONCE) {
        restore_forget(engine, session);
        return;
    }
    remember_sent(engine, session);
    session->restores_late = RESTORE_AWAITED;
}

bool restore_discarded(struct engine *engine, struct session *session)
{
    if (session->restores == NULL || session->restores_late == RESTORE_AT_ONCE) {
        return false;
    }
    if (session->restores_late == RESTORE_LATE) { /* it was flushed */
        remember_sent(engine, session);
    }
    if (!session->owns_link) {
        restore_forget(engine, session);
    }
    session->restores_late = RESTORE_BEHIND;
    return true;
}

bool restore_waits(struct engine *engine, struct session *session)
{
    if (session->restores_late < RESTORE_AWAITED) {
        return false;
    }
    struct link *link = session->link;
    if (!due_empty(&link->due)) {
        session->blocked = true; /* link_after_reply comes back to it */
        link_flush(engine, link);
        return true;
    }
    if (session->restores_late == RESTORE_BEHIND) {
        return !write_noted(engine, session, true);
    }
    restore_ready(engine, session);
    return false;
}

void restore_ready(struct engine *engine, struct session *session)
{
    if (session->restores_late == RESTORE_AWAITED) {
        restore_forget(engine, session);
        settings_unref(&engine->settings, session->restored);
        session->restored = NULL;
    }
}

void restore_forget(struct engine *engine, struct session *session)
{
    settings_unref(&engine->settings, session->restores);
    session->restores = NULL;
    session->restores_local = false;
    session->restores_late = RESTORE_AT_ONCE;
}

bool restore_hides(const struct link *link, const char *name, const char *value)
{
    const struct settings *restored = link->owner->restored;
    const char *usual = settings_get(link->baseline, name);
    return restored != NULL && usual != NULL && strcmp(usual, value) == 0 &&
           settings_get(restored, name) != NULL;
}

bool restore_is_next(const struct link *link)
{
    uint32_t next = 1;
    while (next < link->due.count && due_at(&link->due, next)->what == DUE_NAME) {
        next++;
    }
    if (next < link->due.count) {
        return (due_at(&link->due, next)->flags & DUE_FLAG_RESTORE) != 0;
    }
    return link->owner->restores_late == RESTORE_BEHIND;
}

void restore_tell(struct engine *engine, struct link *link)
{
    struct session *owner = link->owner;
    struct settings *restored = owner->restored;
    owner->restored = NULL;
    if (owner->restores == NULL) {
        owner->restores_late = RESTORE_AT_ONCE;
    }
    /* SET LOCAL without a transaction block has set nothing. */
    bool none = link->status == 'E' || (link->status == 'I' && owner->restored_local);
    for (uint32_t i = 0; !none && i < link->baseline->count; i++) {
        const struct setting *usual = &link->baseline->items[i];
        const char *value = settings_get(restored, usual->name);
        const char *told = settings_get(owner->settings, usual->name);
        if (value != NULL && strcmp(told == NULL ? usual->value : told, value) != 0) {
            bool is_usual = strcmp(usual->value, value) == 0;
            session_tell_parameter(engine, owner, &(struct setting){usual->name, value});
            settings_set(&engine->settings, &owner->settings, usual->name, is_usual ? NULL : value);
        }
    }
    settings_unref(&engine->settings, restored);
}

/* --- session mode ----------------------------------------------------------------------------- */

static bool may_reset(const char *text, size_t len)
{
    enum sql_verb verb = sql_verb_read(text, len);
    return verb == SQL_VERB_RESET || verb == SQL_VERB_SET || verb == SQL_VERB_DISCARD;
}

/* What is known of the name is replaced; `known` is NULL or a reference that is given here. Texts
 * with pids are noted elsewhere (pool/pid_message.h). */
static void remember(struct engine *engine, struct session *session, const char *name,
                     struct statement *known)
{
    struct session_statement *before =
        session_statement_find(&session->statements, engine->hash_key, name, strlen(name));
    if (name[0] == '\0' &&
        (known != NULL || (session->unnamed != NULL && !session->unnamed->names_pids))) {
        statement_unref(&engine->statements, session->unnamed);
        session->unnamed = known;
        return;
    }
    if (name[0] != '\0' && before != NULL && !before->statement->names_pids) {
        session_statement_remove(&engine->statements, &session->statements, before);
        before = NULL;
    }
    if (name[0] != '\0' && before == NULL && known != NULL) {
        session_statement_add(&session->statements, engine->hash_key, name, known,
                              shared_catalog(engine->shared));
    }
    statement_unref(&engine->statements, known);
}

void restore_parse(struct engine *engine, struct session *session, const uint8_t *message,
                   uint32_t total)
{
    struct reader reader = reader_of(message + MESSAGE_HEADER_BYTES, total - MESSAGE_HEADER_BYTES);
    const char *name = reader_cstr(&reader);
    struct statement *known = NULL;
    if (reader.failed) {
        return; /* the server is to say what is wrong with it */
    }
    if (may_reset((const char *)reader.at, reader.left)) {
        known = statement_intern(&engine->statements, session->settings->reading, reader.at,
                                 (uint32_t)reader.left);
    }
    remember(engine, session, name, known);
}

void restore_bind(struct engine *engine, struct session *session, const uint8_t *message,
                  uint32_t have)
{
    struct reader reader = reader_of(message + MESSAGE_HEADER_BYTES, have - MESSAGE_HEADER_BYTES);
    reader_cstr(&reader); /* the portal's name */
    const char *name = reader_cstr(&reader);
    if (reader.failed) {
        return;
    }
    const struct session_statement *named =
        session_statement_find(&session->statements, engine->hash_key, name, strlen(name));
    struct statement *statement = name[0] == '\0' ? session->unnamed
                                  : named == NULL ? NULL
                                                  : named->statement;
    const struct plan *plan =
        statement == NULL ? NULL : state_statement_plan(engine, session, statement);
    if (plan != NULL) {
        restore_note(engine, session, plan);
    }
}
