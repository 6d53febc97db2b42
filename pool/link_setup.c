/* The settings of a link: what its server reports, and what its owner wants applied. */
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "pool/core.h"
#include "pool/link.h"
#include "pool/pool.h"
#include "pool/restore.h"
#include "pool/route.h"
#include "pool/session.h"
#include "pool/state.h"
#include "protocol/frontend.h"
#include "protocol/report.h"

void link_parameter(struct engine *engine, struct link *link, const char *name, const char *value)
{
    const char *usual = settings_get(link->baseline, name);
    bool is_usual = usual != NULL && strcmp(usual, value) == 0;
    if (settings_fixed(name)) {
        return;
    }
    bool hidden = link->owner != NULL && restore_hides(link, name, value);
    value = is_usual ? NULL : value;
    if (!settings_set(&engine->settings, &link->settings, name, value)) {
        link_fail(engine, link, ERR_NO_MEMORY, NULL);
    } else if (link->owner != NULL && !link->setup && !hidden) {
        settings_set(&engine->settings, &link->owner->settings, name, value);
    }
}

static bool push_setup(struct engine *engine, struct link *link, uint32_t changes, bool tidy)
{
    return link_due_executed(engine, link, changes, (struct due_entry){.flags = DUE_FLAG_SETUP}) &&
           (!tidy || link_due(engine, link, DUE_CLOSE, DUE_SWALLOW, DUE_FLAG_SETUP)) &&
           link_due(engine, link, DUE_SYNC, DUE_SWALLOW, DUE_FLAG_SETUP);
}

/* What the link has if the server reports nothing while it is set up: of the parameters that it
 * reports, what it had, since it reports every change, and in its own spelling (link_parameter); of
 * the others, what is asked for; also of session_authorization, whose report is not kept. A
 * reference; NULL when memory is out. */
static struct settings *settings_expected(struct engine *engine, const struct link *link,
                                          struct settings *wanted)
{
    struct settings *expected = wanted;
    settings_ref(expected);
    for (uint32_t i = 0; expected != NULL && i < link->baseline->count; i++) {
        const char *name = link->baseline->items[i].name;
        const char *had = settings_get(link->settings, name);
        const char *asked = settings_get(expected, name);
        if (settings_fixed(name) || (had == NULL && asked == NULL) ||
            (had != NULL && asked != NULL && strcmp(had, asked) == 0)) {
            continue;
        }
        struct settings *next = settings_with(&engine->settings, expected, name, had);
        settings_unref(&engine->settings, expected);
        expected = next;
    }
    return expected;
}

/* From now on the link is taken to have them. False: it has failed. */
static bool expect(struct engine *engine, struct link *link, struct settings *wanted)
{
    struct settings *expected = settings_expected(engine, link, wanted);
    if (expected == NULL) {
        link_fail(engine, link, ERR_NO_MEMORY, NULL);
        return false;
    }
    settings_unref(&engine->settings, link->settings_before);
    link->settings_before = link->settings;
    link->settings = expected;
    return true;
}

bool link_setup(struct engine *engine, struct link *link)
{
    struct settings *wanted = link->owner->settings;
    link->lacks_settings = false;
    if (link->settings == wanted) {
        return true;
    }
    uint32_t changes = settings_write_change(&engine->scratch, link->settings, wanted);
    bool tidy = !session_virtual_statements(link->owner);
    if (tidy) { /* its unnamed statement passes as it is: it must not find ours */
        frontend_close(&engine->scratch, 'S', "");
    }
    frontend_sync(&engine->scratch);
    link->setup = true;
    link->setup_failed = false;
    link_unnamed_unknown(engine, link);
    engine_flush_scratch(engine, &link->conn); /* first: a failure writes to the scratch, too */
    if (!push_setup(engine, link, changes, tidy)) {
        return false;
    }
    expect(engine, link, wanted);
    return false;
}

bool link_setup_ahead(struct engine *engine, struct link *link)
{
    struct settings *wanted = link->owner->settings;
    uint32_t changes = settings_write_change(&engine->scratch, link->settings, wanted);
    link->lacks_settings = false;
    link->erred = false;
    link->unsynced = changes > 0;
    link_unnamed_unknown(engine, link);
    engine_flush_scratch(engine, &link->conn); /* first: a failure writes to the scratch, too */
    if (!link_due_executed(engine, link, changes, (struct due_entry){.applies = true}) ||
        !expect(engine, link, wanted)) {
        return false;
    }
    if (changes == 0) {
        link_settings_settle(engine, link, false);
    }
    return true;
}

void link_settings_settle(struct engine *engine, struct link *link, bool failed)
{
    if (failed) { /* one transaction, rolled back as a whole, but for custom settings */
        link->spoilt |= settings_strange(link->settings, link->settings_before);
        settings_unref(&engine->settings, link->settings);
        link->settings = link->settings_before;
    } else {
        settings_unref(&engine->settings, link->settings_before);
    }
    link->settings_before = NULL;
}

void link_settings_reset(struct engine *engine, struct link *link)
{
    struct settings *left =
        settings_reset(&engine->settings, link->settings, engine->settings.none);
    if (left == NULL) {
        link->spoilt = true;
        return;
    }
    settings_unref(&engine->settings, link->settings);
    link->settings = left;
}

void link_setup_ended(struct engine *engine, struct link *link)
{
    bool left = link->setup_failed && route_does_without(engine, link);
    struct session *owner = left ? NULL : link->owner;
    link->setup = false;
    link_settings_settle(engine, link, link->setup_failed);
    if (owner == NULL) {
        link->setup_failed = false;
        free(link->deferred_error);
        link->deferred_error = NULL;
        return;
    }
    if (link->setup_failed) {
        uint8_t *body = link->deferred_error;
        struct report report = {.code = ERR_BAD_VALUE};
        link->setup_failed = false;
        link->deferred_error = NULL;
        link->session_used |= owner->pins != 0;
        owner->pins = 0;
        state_pins_changed(engine, owner);
        owner->link = NULL;
        link->owner = NULL;
        session_refuse(engine, owner, &report, body, link->deferred_error_bytes);
        free(body);
        link_release(engine, link);
        return;
    }
    settings_replace(&engine->settings, &owner->settings, link->settings); /* the server's words */
    session_link_ready(engine, owner);
}
