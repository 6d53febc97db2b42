#include "pool/apply.h"

#include <string.h>

#include "base/assert.h"
#include "base/limits.h"
#include "pool/core.h"
#include "pool/own.h"
#include "pool/pool.h"
#include "pool/pool_facts.h"
#include "pool/route.h"
#include "pool/session.h"
#include "pool/state.h"
#include "protocol/message.h"
#include "protocol/report.h"
#include "router/plan.h"

/* --- what they may travel with ---------------------------------------------------------------- */

/* What a look at the client's messages has shown. */
enum look { LOOK_PLAIN, LOOK_OTHER, LOOK_SHORT };

/* Neither leaves anything in the session nor cares for the transaction that it is in. */
static bool plan_is_plain(struct engine *engine, const struct session *session, struct plan *plan)
{
    struct facts facts = pool_facts_of(engine, session, plan);
    return (facts.class == PLAN_READ || facts.class == PLAN_WRITE) && facts.touches == 0;
}

static bool text_is_plain(struct engine *engine, const struct session *session, const char *text,
                          uint32_t len)
{
    struct plan *plan = state_plan(engine, session, text, len);
    bool plain = plan_is_plain(engine, session, plan);
    plan_unref(plan);
    return plain;
}

static enum look look_at_query(struct engine *engine, const struct session *session,
                               const uint8_t *at, uint32_t total, uint32_t have)
{
    const char *text = (const char *)at + MESSAGE_HEADER_BYTES;
    if (total > LIMIT_PLAN_BYTES) {
        return LOOK_OTHER;
    }
    if (have < total) {
        return LOOK_SHORT;
    }
    uint32_t len = message_text_bytes(text, total - MESSAGE_HEADER_BYTES);
    return text_is_plain(engine, session, text, len) ? LOOK_PLAIN : LOOK_OTHER;
}

static bool parse_is_plain(struct engine *engine, const struct session *session,
                           struct reader *reader, bool *unnamed)
{
    const char *name = reader_cstr(reader), *text = reader_cstr(reader);
    *unnamed = *unnamed || name[0] == '\0';
    return !reader->failed && text_is_plain(engine, session, text, (uint32_t)strlen(text));
}

/* `unnamed`: a Parse of the batch has made what the unnamed statement is. Of another name which the
 * session does not have the batch has made a statement as well, or the server refuses it. */
static bool bind_is_plain(struct engine *engine, const struct session *session,
                          struct reader *reader, bool unnamed)
{
    reader_cstr(reader); /* the portal's name */
    const char *name = reader_cstr(reader);
    const struct session_statement *named =
        session_statement_find(&session->statements, engine->hash_key, name, strlen(name));
    struct statement *statement = name[0] == '\0' ? (unnamed ? NULL : session->unnamed)
                                  : named == NULL ? NULL
                                                  : named->statement;
    if (reader->failed || statement == NULL) {
        return !reader->failed;
    }
    struct plan *plan = state_statement_plan(engine, session, statement);
    return plan != NULL && !statement->from_sql && plan_is_plain(engine, session, plan);
}

static bool message_is_plain(struct engine *engine, const struct session *session, uint8_t type,
                             struct reader *reader, bool *unnamed)
{
    switch (type) {
    case FRONTEND_PARSE:
        return parse_is_plain(engine, session, reader, unnamed);
    case FRONTEND_BIND:
        return bind_is_plain(engine, session, reader, *unnamed);
    case FRONTEND_DESCRIBE:
    case FRONTEND_EXECUTE:
    case FRONTEND_CLOSE:
        return true;
    }
    return false; /* also a Flush: its client may wait for what comes before it */
}

/* All of a batch up to its Sync. */
static enum look look_at_batch(struct engine *engine, const struct session *session,
                               const uint8_t *at, uint32_t have)
{
    uint32_t body_bytes;
    bool unnamed = false, is_long = have >= LIMIT_HELD_BYTES;
    while (have >= MESSAGE_HEADER_BYTES) {
        if (!message_header(message_frontend_bounds, at, &body_bytes) ||
            body_bytes > LIMIT_HELD_BYTES) {
            return LOOK_OTHER;
        }
        if (at[0] == FRONTEND_SYNC) {
            return LOOK_PLAIN;
        }
        if (body_bytes > have - MESSAGE_HEADER_BYTES) {
            break;
        }
        struct reader reader = reader_of(at + MESSAGE_HEADER_BYTES, body_bytes);
        if (!message_is_plain(engine, session, at[0], &reader, &unnamed)) {
            return LOOK_OTHER;
        }
        at += MESSAGE_HEADER_BYTES + body_bytes;
        have -= MESSAGE_HEADER_BYTES + body_bytes;
    }
    return is_long ? LOOK_OTHER : LOOK_SHORT;
}

/* Whether none of the differences belongs to a transaction: the server takes the defaults when one
 * begins, and what a startup asks of the first is not for a statement's own. */
static bool is_timely(const struct settings *from, const struct settings *to)
{
    static const char *const early[] = {
        "default_transaction_deferrable", "default_transaction_isolation",
        "default_transaction_read_only",  "transaction_deferrable",
        "transaction_isolation",          "transaction_read_only"};
    for (size_t i = 0; i < sizeof(early) / sizeof(early[0]); i++) {
        const char *had = settings_get(from, early[i]), *wanted = settings_get(to, early[i]);
        if ((had == NULL) != (wanted == NULL) || (had != NULL && strcmp(had, wanted) != 0)) {
            return false;
        }
    }
    return true;
}

static enum look look(struct engine *engine, const struct session *session, const uint8_t *at,
                      uint32_t total, uint32_t have)
{
    const struct link *link = session->link;
    if (!session->virtual_names || session->owns_link || session->begin != BEGIN_NONE ||
        session->pins != 0 || link->status != 'I' || link->unsynced ||
        !is_timely(link->settings, session->settings)) {
        return LOOK_OTHER;
    }
    return at[0] == FRONTEND_QUERY ? look_at_query(engine, session, at, total, have)
                                   : look_at_batch(engine, session, at, have);
}

bool apply_settings(struct engine *engine, struct session *session, const uint8_t *at,
                    uint32_t total, uint32_t have, uint32_t *ret_whole)
{
    if (!due_empty(&session->link->due)) {
        session->blocked = true; /* link_after_reply comes back to it */
        return false;
    }
    switch (look(engine, session, at, total, have)) {
    case LOOK_PLAIN:
        return link_setup_ahead(engine, session->link);
    case LOOK_OTHER:
        return link_setup(engine, session->link);
    case LOOK_SHORT:
        *ret_whole = have < total ? total : have + 1;
        return false;
    }
    UNREACHABLE();
}

/* --- what becomes of them --------------------------------------------------------------------- */

void apply_ended(struct engine *engine, struct link *link)
{
    struct session *owner = link->owner;
    bool failed = link->erred;
    link->spoilt |= link->status != 'I'; /* no statement that they travel with begins anything */
    link_settings_settle(engine, link, failed);
    if (owner == NULL) {
        return;
    }
    if (failed) {
        link->lacks_settings = link->settings != owner->settings;
    } else {
        settings_replace(&engine->settings, &owner->settings, link->settings);
    }
}

void apply_failed(struct engine *engine, struct link *link, const struct report_fields *fields)
{
    struct session *session = link->owner;
    bool asked = extended_status_is_open(link);
    bool again = route_may_survive(link);
    link->erred = true;
    link_skip_to_sync(engine, link); /* while it has its owner: what was prepared never was */
    if (again) {
        route_again_without(engine, link);
        return;
    }
    report_write_fields(&engine->scratch, "ERROR", fields);
    session_unlink(session);
    route_refused(session);
    session->skipping = !asked;
    if (asked) {
        session_write_ready(engine, 'I');
    }
    engine_flush_scratch(engine, &session->conn);
    if (asked && session->own != NULL) {
        own_ready(engine, session, 'I');
    }
    session_resume_later(engine, session);
    if (link_swallow_sync(engine, link)) {
        link_abandon(engine, link);
    }
}

bool apply_is_told(const struct link *link, const char *name, const char *value)
{
    const char *wanted = settings_get(link->owner->settings, name);
    if (wanted == NULL) {
        wanted = settings_get(link->baseline, name);
    }
    return settings_fixed(name) || (wanted != NULL && strcmp(wanted, value) == 0);
}
