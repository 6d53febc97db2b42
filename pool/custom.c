#include "pool/custom.h"

#include <stdbool.h>
#include <string.h>

#include "base/limits.h"
#include "base/writer.h"
#include "pool/core.h"
#include "pool/link.h"
#include "pool/session.h"
#include "pool/settings.h"
#include "pool/state.h"
#include "pool/statement.h"
#include "router/plan.h"

/* More things with a dot than this in one text are no names of settings. */
enum { TEXT_NAMES_MAX = 32 };

static void note(struct engine *engine, struct session *session, const char *name)
{
    if (strchr(name, '.') == NULL || !settings_name_ok(name) ||
        settings_get(session->custom, name) != NULL) {
        return;
    }
    settings_set(&engine->settings, &session->custom, name, "");
}

void custom_note_plan(struct engine *engine, struct session *session, const struct plan *plan)
{
    for (uint32_t i = 0; i < plan->settings_count; i++) {
        note(engine, session, plan->settings[i].name);
    }
}

static bool is_letter(uint8_t byte)
{
    return (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') || byte == '_';
}

static bool is_of_name(uint8_t byte)
{
    return is_letter(byte) || (byte >= '0' && byte <= '9') || byte == '$' || byte == '.';
}

/* The next thing in the bytes from *at on that looks like the name of a custom setting; *at is then
 * behind it. */
static bool next_name(const uint8_t *bytes, uint32_t len, uint32_t *at, char name[LIMIT_NAME_BYTES])
{
    while (*at < len) {
        uint32_t from = *at, end = from;
        while (end < len && is_of_name(bytes[end])) {
            end++;
        }
        *at = end + 1;
        if (end > from && end - from < LIMIT_NAME_BYTES && is_letter(bytes[from]) &&
            memchr(bytes + from, '.', end - from) != NULL) {
            memcpy(name, bytes + from, end - from);
            name[end - from] = '\0';
            return true;
        }
    }
    return false;
}

static void note_bytes(struct engine *engine, struct session *session, const uint8_t *bytes,
                       uint32_t len)
{
    char name[LIMIT_NAME_BYTES];
    uint32_t at = 0;
    for (uint32_t i = 0; i < TEXT_NAMES_MAX && next_name(bytes, len, &at, name); i++) {
        note(engine, session, name);
    }
}

/* Where in a text names may stand of which its plan does not know; `len` when there are none. */
static uint32_t unknown_from(const struct plan *plan, const char *text, uint32_t len)
{
    uint32_t at = 0;
    if (plan == NULL || (plan->touches & PLAN_TOUCH_OPAQUE) != 0) {
        return 0;
    }
    if ((plan->touches & PLAN_TOUCH_UNKNOWN) == 0) {
        return len;
    }
    while (at < len && text[at] != '\'' && text[at] != '$') {
        at++;
    }
    return at;
}

void custom_note_text(struct engine *engine, struct session *session, const struct plan *plan,
                      const char *text, uint32_t len)
{
    uint32_t at = unknown_from(plan, text, len);
    note_bytes(engine, session, (const uint8_t *)text + at, len - at);
}

bool custom_may_set(const char *text, uint32_t len)
{
    for (uint32_t i = 2; i < len; i++) {
        if ((text[i] | 0x20) == 't' && (text[i - 1] | 0x20) == 'e' && (text[i - 2] | 0x20) == 's') {
            return true;
        }
    }
    return false;
}

void custom_spoils(struct session *session, const struct plan *plan, const char *text, uint32_t len)
{
    char name[LIMIT_NAME_BYTES];
    uint32_t at = unknown_from(plan, text, len);
    /* set_config() by a name that stands in no text */
    bool any =
        (plan->touches & PLAN_TOUCH_UNKNOWN) != 0 && (plan->touches & PLAN_TOUCH_SETTINGS) != 0;
    for (uint32_t i = 0; i < plan->settings_count; i++) {
        any |= strchr(plan->settings[i].name, '.') != NULL;
    }
    session->link->spoilt |= any || next_name((const uint8_t *)text, len, &at, name);
}

void custom_note_bind(struct engine *engine, struct session *session, const struct plan *plan,
                      const struct statement *statement, const uint8_t *parameters, uint32_t len)
{
    const uint32_t any = PLAN_TOUCH_UNKNOWN | PLAN_TOUCH_OPAQUE;
    if (session->owns_link || (plan != NULL && (plan->touches & any) == 0)) {
        return;
    }
    const char *text = statement_query(statement);
    custom_note_text(engine, session, plan, text, (uint32_t)strlen(text));
    note_bytes(engine, session, parameters, len);
}

/* Adds the custom settings of `from`; takes the reference of `names`, and gives one back. */
static struct settings *add_custom(struct engine *engine, struct settings *names,
                                   const struct settings *from)
{
    for (uint32_t i = 0; from->has_custom && names != NULL && i < from->count; i++) {
        if (strchr(from->items[i].name, '.') == NULL) {
            continue;
        }
        struct settings *more = settings_with(&engine->settings, names, from->items[i].name, "");
        settings_unref(&engine->settings, names);
        names = more;
    }
    return names;
}

struct settings *custom_asked(struct engine *engine, const struct session *session)
{
    struct settings *names = engine->settings.none;
    settings_ref(names);
    names = add_custom(engine, names, session->link->settings); /* the spelling of the link's */
    names = add_custom(engine, names, session->settings);
    return add_custom(engine, names, session->custom);
}

void custom_answered(struct engine *engine, struct session *session)
{
    if (session->touched == 0) { /* none was noted since */
        settings_replace(&engine->settings, &session->custom, engine->settings.none);
    }
}
