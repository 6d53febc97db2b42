#include "pool/restore.h"

#include <string.h>

#include "base/error.h"
#include "pool/core.h"
#include "pool/link.h"
#include "pool/session.h"
#include "protocol/frontend.h"
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
    session->restores_late |= (plan->touches & PLAN_TOUCH_DISCARD) != 0;
}

/* Writes and enters what was noted. False when the link has failed. */
static bool write_noted(struct engine *engine, struct session *session, bool syncs)
{
    struct link *link = session->link;
    uint32_t changes =
        session->restores_local
            ? settings_write_local(&engine->scratch, session->restores)
            : settings_write_change(&engine->scratch, engine->settings.none, session->restores);
    restore_forget(engine, session);
    if (syncs) {
        link->restoring++;
        frontend_sync(&engine->scratch);
    }
    link_unnamed_unknown(engine, link);
    engine_flush_scratch(engine, &link->conn);
    return link_due_executed(engine, link, changes, DUE_FLAG_RESTORE) &&
           (!syncs || link_due(engine, link, DUE_SYNC, DUE_SWALLOW, DUE_FLAG_RESTORE));
}

/* The same as a query, which the server skips if it skips the client's. */
static bool write_query(struct engine *engine, struct session *session)
{
    struct link *link = session->link;
    settings_write_query(&engine->scratch, session->restores, session->restores_local);
    restore_forget(engine, session);
    link->restoring++;
    engine_flush_scratch(engine, &link->conn);
    return link_due(engine, link, DUE_QUERY, DUE_SWALLOW, DUE_FLAG_RESTORE);
}

bool restore_send(struct engine *engine, struct session *session, bool in_batch)
{
    if (!in_batch) {
        return write_noted(engine, session, true);
    }
    if (session->settings->unsafe_encoding || session->startup->unsafe_encoding) {
        restore_forget(engine, session);
        return true;
    }
    return write_query(engine, session);
}

bool restore_executed(struct engine *engine, struct session *session)
{
    return session->restores_late || write_noted(engine, session, false);
}

bool restore_synced(struct engine *engine, struct session *session)
{
    if (session->restores_late) {
        return write_noted(engine, session, true);
    }
    restore_forget(engine, session);
    return true;
}

void restore_forget(struct engine *engine, struct session *session)
{
    settings_unref(&engine->settings, session->restores);
    session->restores = NULL;
    session->restores_local = session->restores_late = false;
}

const char *restore_told(const struct link *link, const char *name, const char *value)
{
    const struct session *owner = link->owner;
    const char *startup = settings_get(owner->startup, name);
    const char *usual = settings_get(link->baseline, name);
    if (startup == NULL || usual == NULL || strcmp(usual, value) != 0) {
        return value;
    }
    const char *told = settings_get(owner->settings, name);
    return strcmp(told == NULL ? usual : told, startup) == 0 ? NULL : startup;
}
