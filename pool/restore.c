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
    if (session->restores != NULL) { /* several in one pipeline: all of them */
        settings_unref(&engine->settings, part);
        part = session->startup;
        settings_ref(part);
    }
    settings_unref(&engine->settings, session->restores);
    session->restores = part;
}

/* Writes and enters what was noted. False when the link has failed. */
static bool write_noted(struct engine *engine, struct session *session, bool syncs)
{
    struct link *link = session->link;
    uint32_t changes =
        settings_write_change(&engine->scratch, engine->settings.none, session->restores);
    restore_forget(engine, session);
    if (syncs) {
        frontend_sync(&engine->scratch);
    }
    link_unnamed_unknown(engine, link);
    engine_flush_scratch(engine, &link->conn);
    return link_due_executed(engine, link, changes, DUE_FLAG_RESTORE) &&
           (!syncs || link_due(engine, link, DUE_SYNC, DUE_SWALLOW, DUE_FLAG_RESTORE));
}

bool restore_send(struct engine *engine, struct session *session)
{
    session->link->restoring++;
    return write_noted(engine, session, true);
}

bool restore_send_within(struct engine *engine, struct session *session)
{
    return write_noted(engine, session, false);
}

void restore_forget(struct engine *engine, struct session *session)
{
    settings_unref(&engine->settings, session->restores);
    session->restores = NULL;
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
