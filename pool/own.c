#include "pool/own.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/error.h"
#include "base/hash.h"
#include "pool/core.h"
#include "pool/own_extended.h"
#include "pool/session.h"
#include "router/plan.h"

/* More savepoints than this in one another, and the oldest is taken for the transaction's begin. */
enum { LEVELS_MAX = 4096, LEVELS_MIN = 8 };

struct own *own_of(struct engine *engine, struct session *session)
{
    if (session->own != NULL) {
        return session->own;
    }
    struct own *own = calloc(1, sizeof(*own));
    if (own == NULL) {
        return NULL;
    }
    own->startup = own->now = own->kept = engine->settings.none;
    settings_ref(own->startup);
    settings_ref(own->now);
    settings_ref(own->kept);
    own->busy = !session->virtual_names; /* nobody else looks at its extended queries */
    session->own = own;
    return own;
}

static void drop_levels(struct engine *engine, struct own *own, uint32_t from)
{
    for (uint32_t i = from; i < own->level_count; i++) {
        settings_unref(&engine->settings, own->levels[i].kept);
        settings_unref(&engine->settings, own->levels[i].now);
    }
    own->level_count = from;
}

static void forget_noted(struct own *own)
{
    plan_unref(own->noted);
    own->noted = NULL;
    own->step = 0;
}

void own_free(struct engine *engine, struct session *session)
{
    struct own *own = session->own;
    if (own == NULL) {
        return;
    }
    own_extended_close(engine, session);
    drop_levels(engine, own, 0);
    free(own->levels);
    forget_noted(own);
    plan_unref(own->bound);
    plan_unref(own->parsed);
    settings_unref(&engine->settings, own->startup);
    settings_unref(&engine->settings, own->now);
    settings_unref(&engine->settings, own->kept);
    settings_unref(&engine->settings, own->before);
    free(own);
    session->own = NULL;
}

/* --- values ----------------------------------------------------------------------------------- */

void own_began(struct engine *engine, struct session *session)
{
    struct own *own = session->own;
    settings_replace(&engine->settings, &own->startup, own->kept);
}

static const char *value_in(const struct settings *settings, enum control control)
{
    const char *value = settings_get(settings, control_label(control));
    return value == NULL ? control_usual(control) : value;
}

const char *own_get(const struct session *session, enum control control)
{
    return session->own == NULL ? control_usual(control) : value_in(session->own->now, control);
}

const char *own_source(const struct session *session, enum control control)
{
    const struct own *own = session->own;
    if (own == NULL || settings_get(own->now, control_label(control)) == NULL) {
        return "default";
    }
    const char *now = value_in(own->now, control);
    if (strcmp(now, value_in(own->kept, control)) != 0) {
        return "SET LOCAL: until the transaction ends";
    }
    const char *startup = settings_get(own->startup, control_label(control));
    return startup != NULL && strcmp(startup, now) == 0 ? "the client said so when it connected"
                                                        : "SET";
}

/* --- the transaction -------------------------------------------------------------------------- */

static void begin_pending(struct engine *engine, struct own *own, enum own_where where)
{
    if (own->pending || where == OWN_ALONE) {
        return;
    }
    settings_replace(&engine->settings, &own->before, own->kept);
    own->pending = own->notes = true;
    own->erred = false;
}

static void settle(struct engine *engine, struct own *own, bool commit)
{
    if (!own->pending) {
        return;
    }
    if (!commit) {
        settings_replace(&engine->settings, &own->kept, own->before);
    }
    settings_replace(&engine->settings, &own->now, own->kept);
    drop_levels(engine, own, 0);
    own->pending = own->erred = false;
}

/* One value in a set. False: memory is out. */
static bool put(struct engine *engine, struct settings **at, const struct settings *startup,
                enum control control, const char *value)
{
    const char *label = control_label(control);
    const char *now = value == NULL ? settings_get(startup, label) : value;
    struct settings *with = settings_with(&engine->settings, *at, label, now);
    if (with != NULL) {
        settings_unref(&engine->settings, *at);
        *at = with;
    }
    return with != NULL;
}

int own_set(struct engine *engine, struct session *session, enum control control, const char *value,
            bool local, enum own_where where)
{
    struct own *own = own_of(engine, session);
    if (own == NULL) {
        return ERR_NO_MEMORY;
    }
    if (local && where == OWN_ALONE) {
        return 0; /* it has ended already */
    }
    begin_pending(engine, own, where);
    bool done = put(engine, &own->now, own->startup, control, value) &&
                (local || put(engine, &own->kept, own->startup, control, value));
    return done ? 0 : ERR_NO_MEMORY;
}

static void save(struct engine *engine, struct own *own, uint64_t name)
{
    if (own->level_count == LEVELS_MAX) {
        settings_unref(&engine->settings, own->levels[0].kept);
        settings_unref(&engine->settings, own->levels[0].now);
        own->level_count--;
        memmove(&own->levels[0], &own->levels[1], own->level_count * sizeof(*own->levels));
    }
    if (own->level_count == own->level_capacity) {
        uint32_t capacity = own->level_capacity == 0 ? LEVELS_MIN : 2 * own->level_capacity;
        struct own_level *levels = realloc(own->levels, capacity * sizeof(*levels));
        if (levels == NULL) {
            return; /* likewise */
        }
        own->levels = levels;
        own->level_capacity = capacity;
    }
    settings_ref(own->kept);
    settings_ref(own->now);
    own->levels[own->level_count++] =
        (struct own_level){.name = name, .kept = own->kept, .now = own->now};
}

/* The newest savepoint of that name; level_count when it was set before anything was changed. */
static uint32_t find_level(const struct own *own, uint64_t name)
{
    for (uint32_t i = own->level_count; i > 0; i--) {
        if (own->levels[i - 1].name == name) {
            return i - 1;
        }
    }
    return own->level_count;
}

static void roll_back_to(struct engine *engine, struct own *own, uint64_t name)
{
    uint32_t at = find_level(own, name);
    bool known = at < own->level_count;
    settings_replace(&engine->settings, &own->kept, known ? own->levels[at].kept : own->before);
    settings_replace(&engine->settings, &own->now, known ? own->levels[at].now : own->before);
    drop_levels(engine, own, known ? at + 1 : 0);
}

static void release(struct engine *engine, struct own *own, uint64_t name)
{
    uint32_t at = find_level(own, name);
    drop_levels(engine, own, at < own->level_count ? at : 0);
}

static void reset_all(struct engine *engine, struct own *own)
{
    begin_pending(engine, own, OWN_IMPLICIT);
    settings_replace(&engine->settings, &own->kept, own->startup);
    settings_replace(&engine->settings, &own->now, own->startup);
}

/* --- what the server says --------------------------------------------------------------------- */

bool own_must_note(const struct session *session, const struct plan *plan)
{
    static const uint32_t ends = PLAN_TOUCH_END | PLAN_TOUCH_SAVEPOINT | PLAN_TOUCH_OPAQUE;
    const struct own *own = session->own;
    return own != NULL && ((own->pending && (plan->touches & ends) != 0) ||
                           ((plan->touches & PLAN_TOUCH_RESET) != 0 && plan->step_count > 0));
}

void own_notes(struct session *session, struct plan *plan)
{
    struct own *own = session->own;
    forget_noted(own);
    plan_ref(plan);
    own->noted = plan;
    own->notes = true;
}

/* The statement that was completed, of those that have a tag of their own. */
static const struct plan_step *next_step(struct own *own)
{
    const struct plan *plan = own->noted;
    while (plan != NULL && own->step < plan->step_count) {
        const struct plan_step *step = &plan->steps[own->step++];
        if (step->kind > PLAN_STEP_EXPLAIN) {
            return step;
        }
    }
    return NULL;
}

static uint64_t hash_name(const struct engine *engine, const struct plan_step *step)
{
    return step->name == NULL ? 0 : hash_bytes(engine->hash_key, step->name, strlen(step->name));
}

void own_completed(struct engine *engine, struct session *session, const char *tag)
{
    static const char *const tags[] = {
        "COMMIT", "ROLLBACK", "SAVEPOINT", "RELEASE", "PREPARE TRANSACTION", "RESET"};
    struct own *own = session->own;
    bool known = false;
    for (size_t i = 0; i < sizeof(tags) / sizeof(tags[0]); i++) {
        known = known || strcmp(tag, tags[i]) == 0;
    }
    const struct plan_step *step = known ? next_step(own) : NULL;
    if (!known) {
        return;
    }
    if (tag[0] == 'C' || tag[0] == 'P') {
        settle(engine, own, true);
    } else if (step == NULL) {
        own->erred |= tag[1] == 'O'; /* own_ready sees whether it has ended the transaction */
    } else if (step->kind == PLAN_STEP_ROLLBACK_TO) {
        roll_back_to(engine, own, hash_name(engine, step));
    } else if (tag[1] == 'O') { /* a COMMIT of what has failed, too */
        settle(engine, own, false);
    } else if (step->kind == PLAN_STEP_SAVEPOINT) {
        save(engine, own, hash_name(engine, step));
    } else if (step->kind == PLAN_STEP_RELEASE) {
        release(engine, own, hash_name(engine, step));
    } else if (step->kind == PLAN_STEP_RESET_ALL) {
        reset_all(engine, own);
    }
}

void own_ready(struct engine *engine, struct session *session, char status)
{
    struct own *own = session->own;
    if (own->pending && status == 'I') {
        settle(engine, own, !own->erred);
    }

    own->notes = own->pending;
    forget_noted(own);
    if (status == 'I') {
        own_extended_close(engine, session);
    }
}

void own_errored(struct session *session)
{
    session->own->erred = true;
}

void own_discarded(struct engine *engine, struct session *session)
{
    struct own *own = session->own;
    settle(engine, own, true);
    settings_replace(&engine->settings, &own->kept, own->startup);
    settings_replace(&engine->settings, &own->now, own->startup);
}
