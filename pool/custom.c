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
enum { TEXT_NAMES_MAX = 256 };

/* What is not looked into, and may set what it is given the name of. */
enum { BLIND_TOUCHES = PLAN_TOUCH_UNKNOWN | PLAN_TOUCH_EXECUTE | PLAN_TOUCH_OPAQUE };

/* The session may have a setting that the server will not be asked for. */
static void lose(struct engine *engine, struct session *session)
{
    session->link->spoilt = true;
    session->pins |= PIN_NAMELESS;
    state_pins_changed(engine, session);
}

static bool is_new(const struct session *session, const char *name)
{
    return strchr(name, '.') != NULL && settings_name_ok(name) &&
           settings_get(session->custom, name) == NULL;
}

/* Notes these, too. False: there is no room for them. */
static bool add(struct engine *engine, struct session *session, const struct setting *names,
                uint32_t count)
{
    const struct settings *known = session->custom;
    struct setting items[SETTINGS_COUNT_MAX];
    if (count > SETTINGS_COUNT_MAX - known->count) {
        return false;
    }
    memcpy(items, known->items, known->count * sizeof(*items));
    memcpy(items + known->count, names, count * sizeof(*items));
    struct settings *more = settings_intern(&engine->settings, items, known->count + count);
    if (more == NULL) {
        return false;
    }
    settings_unref(&engine->settings, session->custom);
    session->custom = more;
    return true;
}

void custom_note_plan(struct engine *engine, struct session *session, const struct plan *plan)
{
    for (uint32_t i = 0; i < plan->settings_count; i++) {
        const struct setting name = {plan->settings[i].name, ""};
        if (is_new(session, name.name) && !add(engine, session, &name, 1)) {
            lose(engine, session);
        }
    }
}

static bool is_letter(uint8_t byte)
{
    return (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') || byte == '_';
}

/* Where names are looked for: in a text a $ is a quote. */
enum place { IN_TEXT, IN_PARAMETERS };

static bool is_of_name(uint8_t byte, enum place place)
{
    return is_letter(byte) || (byte >= '0' && byte <= '9') || byte == '.' ||
           (byte == '$' && place == IN_PARAMETERS);
}

/* The next thing in the bytes from *at on that looks like the name of a custom setting; *at is then
 * behind it. Before it may stand anything that is no letter: a parameter's length, too. */
static bool next_name(const uint8_t *bytes, uint32_t len, enum place place, uint32_t *at,
                      char name[LIMIT_NAME_BYTES])
{
    while (*at < len) {
        uint32_t from = *at;
        while (from < len && !is_letter(bytes[from])) {
            from++;
        }
        uint32_t end = from;
        while (end < len && is_of_name(bytes[end], place)) {
            end++;
        }
        *at = end + 1;
        if (end > from && end - from < LIMIT_NAME_BYTES &&
            memchr(bytes + from, '.', end - from) != NULL) {
            memcpy(name, bytes + from, end - from);
            name[end - from] = '\0';
            return true;
        }
    }
    return false;
}

/* False: there are more than can be noted. */
static bool note_bytes(struct engine *engine, struct session *session, enum place place,
                       const uint8_t *bytes, uint32_t len)
{
    char texts[TEXT_NAMES_MAX + 1][LIMIT_NAME_BYTES];
    struct setting names[TEXT_NAMES_MAX];
    uint32_t at = 0, seen = 0, count = 0;
    while (next_name(bytes, len, place, &at, texts[count])) {
        if (seen++ == TEXT_NAMES_MAX) {
            return false;
        }
        if (is_new(session, texts[count])) {
            names[count] = (struct setting){texts[count], ""};
            count++;
        }
    }
    return count == 0 || add(engine, session, names, count);
}

/* Where in a text names may stand of which its plan does not know; `len` when there are none. */
static uint32_t unknown_from(const struct plan *plan, const char *text, uint32_t len)
{
    uint32_t at = 0;
    if (plan == NULL || (plan->touches & PLAN_TOUCH_OPAQUE) != 0) {
        return 0;
    }
    if ((plan->touches & BLIND_TOUCHES) == 0) {
        return len;
    }
    while (at < len && text[at] != '\'' && text[at] != '$') {
        at++;
    }
    return at;
}

/* Whether the statement itself has a set_config() that is given its name; of functions nobody knows
 * whether they set anything. */
static bool sets_given(const struct plan *plan)
{
    return plan != NULL && (plan->touches & PLAN_TOUCH_UNKNOWN) != 0 &&
           (plan->touches & (PLAN_TOUCH_SETTINGS | PLAN_TOUCH_LOCAL)) != 0;
}

void custom_note_text(struct engine *engine, struct session *session, const struct plan *plan,
                      const char *text, uint32_t len)
{
    uint32_t at = unknown_from(plan, text, len);
    if (!note_bytes(engine, session, IN_TEXT, (const uint8_t *)text + at, len - at) &&
        sets_given(plan)) {
        lose(engine, session);
    }
}

void custom_note_statement(struct engine *engine, struct session *session,
                           struct statement *statement)
{
    const char *text = statement_query(statement);
    custom_note_text(engine, session, state_statement_plan(engine, session, statement), text,
                     (uint32_t)strlen(text));
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
    session->link->spoilt |= any || next_name((const uint8_t *)text, len, IN_TEXT, &at, name);
}

bool custom_is_blind(const struct session *session, const struct plan *plan)
{
    return !session->owns_link && (plan == NULL || (plan->touches & BLIND_TOUCHES) != 0);
}

void custom_note_bind(struct engine *engine, struct session *session, const struct plan *plan,
                      const uint8_t *parameters, uint32_t len, bool whole)
{
    bool all = note_bytes(engine, session, IN_PARAMETERS, parameters, len) && whole;
    if (!all && sets_given(plan)) {
        lose(engine, session);
    }
}

void custom_note_bound(struct engine *engine, struct session *session, struct statement *statement,
                       const uint8_t *parameters, uint32_t len, bool whole)
{
    const struct plan *plan = state_statement_plan(engine, session, statement);
    if (custom_is_blind(session, plan)) {
        custom_note_statement(engine, session, statement);
        custom_note_bind(engine, session, plan, parameters, len, whole);
    }
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

void custom_discarded(const struct session *session)
{
    const struct settings *noted = session->custom;
    for (uint32_t i = 0; i < noted->count; i++) {
        if (settings_get(session->link->settings, noted->items[i].name) == NULL) {
            session->link->spoilt = true; /* it was asked for, and there was no answer */
        }
    }
}
