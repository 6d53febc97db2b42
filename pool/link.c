#include "pool/link.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/error.h"
#include "base/limits.h"
#include "pool/account.h"
#include "pool/cancel.h"
#include "pool/core.h"
#include "pool/follow.h"
#include "pool/lend.h"
#include "pool/listen.h"
#include "pool/names.h"
#include "pool/options.h"
#include "pool/outcome.h"
#include "pool/pid.h"
#include "pool/pid_hold.h"
#include "pool/pool.h"
#include "pool/route.h"
#include "pool/sequence.h"
#include "pool/session.h"
#include "pool/state.h"
#include "protocol/frontend.h"
#include "protocol/message.h"
#include "protocol/report.h"

/* --- making and ending ------------------------------------------------------------------------ */

static uint64_t lifetime_end(struct engine *engine, const struct pool *pool)
{
    uint64_t lifetime_us = pool->limits.max_lifetime_ms * UINT64_C(1000);
    if (lifetime_us == 0) {
        return TIMER_NEVER;
    }
    /* A tenth of jitter, so that links made together do not end together. */
    return engine->now_us + lifetime_us - random_below(&engine->random, lifetime_us / 10 + 1);
}

struct link *link_dial(struct engine *engine, struct pool *pool, struct session *for_replication)
{
    struct link *link = calloc(1, sizeof(*link));
    if (link == NULL || conn_init(engine, &link->conn, CONN_LINK) != 0) {
        free(link);
        return NULL;
    }
    link->state = LINK_DIALING;
    link->pool = pool;
    link->epoch = pool->epoch;
    link->term = pool->term;
    memcpy(link->address, pool->address, sizeof(link->address));
    link->host = pool->host_account->number;
    link->incarnation = follow_incarnation(pool);
    link->status = 'I';
    link->replication = for_replication != NULL;
    link->owner = for_replication;
    link->connected_us = engine->now_us;
    link->expires_us = lifetime_end(engine, pool);
    list_init(&link->in_pool);
    due_init(&link->due);
    link_statements_init(&link->statements);
    list_push_back(&pool->dialing, &link->in_pool);
    pool->dialing_count++;
    engine->link_count++;
    conn_todo(engine, &link->conn, TODO_DIAL);
    conn_wake_by(engine, &link->conn,
                 engine->now_us + pool->limits.connect_timeout_ms * UINT64_C(1000));
    return link;
}

/* Takes the link out of its pool's lists. */
static void leave_lists(struct engine *engine, struct link *link)
{
    struct pool *pool = link->pool;
    if (!list_linked(&link->in_pool)) {
        return;
    }
    list_remove(&link->in_pool);
    if (link->state == LINK_IDLE) {
        pool->idle_count--;
        atomic_fetch_sub(&pool->account->idle[engine->worker], 1);
    } else if (link->state == LINK_LENT || link->state == LINK_RESET) {
        pool->busy_count--;
    } else {
        pool->dialing_count--;
    }
}

void link_free(struct engine *engine, struct link *link)
{
    for (uint32_t i = 0; i < link->due.count; i++) {
        statement_unref(&engine->statements, due_at(&link->due, i)->unnamed_before);
    }
    due_fini(&link->due);
    link_login_free(link);
    link_statements_clear(&engine->statements, &link->statements);
    statement_unref(&engine->statements, link->unnamed);
    settings_unref(&engine->settings, link->settings);
    settings_unref(&engine->settings, link->settings_before);
    settings_unref(&engine->settings, link->baseline);
    free(link->deferred_error);
    heal_free(&link->heal);
    state_free(link);
    conn_fini(engine, &link->conn);
    engine->link_count--;
    free(link);
}

static void close_link(struct engine *engine, struct link *link)
{
    static const uint8_t terminate[] = {FRONTEND_TERMINATE, 0, 0, 0, 4};
    struct pool *pool = link->pool;
    bool hub = link->hub != NULL;
    if (link->conn.closing) {
        return;
    }
    if (hub) {
        listen_hub_lost(engine, link);
    }
    if (link->holds != NULL || link->stand_in != NULL) {
        pid_hold_lost(engine, link);
    }
    if ((link->state == LINK_IDLE || link->state == LINK_LENT || link->state == LINK_RESET) &&
        link->conn.tx.bytes == 0) {
        link_write(engine, link, terminate, sizeof(terminate));
    }
    pid_ended(shared_pids(engine->shared), link->host, link->backend_pid);
    leave_lists(engine, link);
    lend_grant_lost(link);
    lend_unpinned(link);
    cancel_forget_link(engine, link);
    conn_close(engine, &link->conn);
    link->state = LINK_CLOSING;
    lend_link_ended(engine, pool, link->replication || hub || link->beside);
}

void link_closed(struct engine *engine, struct link *link)
{
    if (!link->conn.closing) {
        link_fail(engine, link, ERR_SERVER_LOST, NULL);
    } else if (link->state != LINK_CLOSING) { /* conn_close for want of memory */
        link->conn.closing = false;
        link_fail(engine, link, ERR_NO_MEMORY, NULL);
    }
    link_free(engine, link);
}

void link_end(struct engine *engine, struct link *link)
{
    ASSERT(link->owner == NULL);
    close_link(engine, link);
}

static void tell_owner(struct engine *engine, struct link *link, int code, const char *detail)
{
    struct session *owner = link->owner;
    char text[OUTCOME_TEXT_BYTES];
    struct report report = outcome_report(link, code, detail, text);
    link->owner = NULL;
    owner->link = NULL;
    if (owner->state == SESSION_LOGIN && link->terminated) {
        session_close(engine, owner);
    } else if (!link->end_told && link_client_at_boundary(link)) {
        session_fail(engine, owner, &report);
    } else {
        session_close(engine, owner); /* it has been told, or can't be */
    }
}

void link_fail(struct engine *engine, struct link *link, int code, const char *detail)
{
    if (link->conn.closing) {
        return;
    }
    engine_log(engine, link->terminated ? LOG_NOTICE : LOG_WARNING,
               "server connection ended: db=%s user=%s pid=%u: %s%s%s", link->pool->name,
               link->pool->user, link->backend_pid, error_message(code), detail == NULL ? "" : ": ",
               detail == NULL ? "" : detail);
    if (link->owner != NULL && code == ERR_SERVER_LOST && state_spares(link)) {
        session_spared(engine, link->owner);
    } else if (link->owner != NULL && !route_survives(engine, link)) {
        tell_owner(engine, link, code, detail);
    }
    close_link(engine, link);
}

/* --- sending ---------------------------------------------------------------------------------- */

void link_send(struct engine *engine, struct link *link, struct block *block, uint8_t *bytes,
               uint32_t len)
{
    conn_send(engine, &link->conn, block, bytes, len);
}

void link_write(struct engine *engine, struct link *link, const void *bytes, uint32_t len)
{
    conn_write(engine, &link->conn, bytes, len);
}

void link_flush(struct engine *engine, struct link *link)
{
    static const uint8_t flush[] = {FRONTEND_FLUSH, 0, 0, 0, 4};
    if (!link->due.flushed) {
        link->due.flushed = true;
        link_write(engine, link, flush, sizeof(flush));
    }
}

void link_sent(struct engine *engine, struct link *link)
{
    struct session *owner = link->owner;
    /* Who is blocked waits for a reply, not for room. */
    if (owner != NULL && !owner->conn.reading && !owner->gone && !owner->blocked) {
        session_resume_later(engine, owner);
        conn_set_reading(engine, &owner->conn, true);
    }
    if (link->conn.tx.bytes > 0 || !due_empty(&link->due)) {
        return;
    }
    if (link->hub != NULL) {
        return;
    }
    if (owner != NULL) { /* the server had answered before it had taken everything */
        session_link_drained(engine, owner);
    } else if (link->state == LINK_LENT || link->state == LINK_RESET) {
        link_abandon(engine, link);
    }
}

bool link_due_entry(struct engine *engine, struct link *link, const struct due_entry *entry)
{
    int code = due_push(&link->due, entry);
    link->used = link->used || (entry->flags & DUE_FLAG_SETUP) == 0;
    if (code != 0) {
        link_fail(engine, link, code, "too many replies are due");
        return false;
    }
    return true;
}

bool link_due(struct engine *engine, struct link *link, enum due_what what, enum due_kind kind,
              uint8_t flags)
{
    struct due_entry entry = {.what = (uint8_t)what, .kind = (uint8_t)kind, .flags = flags};
    return link_due_entry(engine, link, &entry);
}

bool link_due_executed(struct engine *engine, struct link *link, uint32_t times,
                       struct due_entry like)
{
    static const enum due_what steps[] = {DUE_PARSE, DUE_BIND, DUE_EXECUTE};
    like.kind = DUE_SWALLOW;
    for (uint32_t i = 0; i < times * 3; i++) {
        like.what = (uint8_t)steps[i % 3];
        if (!link_due_entry(engine, link, &like)) {
            return false;
        }
    }
    return true;
}

/* --- the ledger's entries --------------------------------------------------------------------- */

/* The names that stood in a text that was answered: what the server has not done, it will not. */
static void end_names(struct engine *engine, struct link *link)
{
    uint32_t count = 0;
    while (count < link->due.count && due_at(&link->due, count)->what == DUE_NAME) {
        count++;
    }
    for (uint32_t i = count; i > 0; i--) {
        struct due_entry entry = *due_at(&link->due, i - 1);
        if (entry.flags != 0) {
            names_undo(engine, link, &entry);
        }
    }
    for (uint32_t i = 0; i < count; i++) {
        due_pop(&link->due);
    }
}

/* What has been answered takes effect; the entries behind it wait for link_synthesise. */
static void settle_entry(struct engine *engine, struct link *link, const struct due_entry *entry)
{
    if (entry->prepared != NULL && entry->what == DUE_CLOSE) {
        link_statement_remove(&engine->statements, &link->statements, entry->prepared);
    } else if (entry->prepared != NULL) {
        entry->prepared->pending--;
        session_statement_proven(engine, link->pool, entry->prepared);
    }
    if (entry->named != NULL && entry->what == DUE_PARSE &&
        (entry->flags & DUE_FLAG_DUPLICATE) == 0) {
        entry->named->pending_parse = false;
    }
    if (entry->named != NULL && entry->what == DUE_CLOSE && link->owner != NULL) {
        link_remove_named(engine, link, entry->named);
    }
    statement_unref(&engine->statements, entry->unnamed_before);
    end_names(engine, link);
    while (!due_empty(&link->due) && due_head(&link->due)->what == DUE_COPY_END) {
        due_pop(&link->due);
    }
}

void link_synthesise(struct engine *engine, struct link *link)
{
    static const uint8_t parse_complete[] = {BACKEND_PARSE_COMPLETE, 0, 0, 0, 4};
    static const uint8_t close_complete[] = {BACKEND_CLOSE_COMPLETE, 0, 0, 0, 4};
    const struct due_entry *head;
    while ((head = due_head(&link->due)) != NULL && head->kind == DUE_SYNTHESISE) {
        struct due_entry entry = *head;
        due_pop(&link->due);
        const uint8_t *made = entry.what == DUE_PARSE ? parse_complete : close_complete;
        if (link->owner != NULL && !route_is_muted(link->owner, made[0])) {
            conn_write(engine, &link->owner->conn, made, sizeof(parse_complete));
            link->synthesised++;
        }
        settle_entry(engine, link, &entry);
    }
}

void link_unnamed_unknown(struct engine *engine, struct link *link)
{
    statement_unref(&engine->statements, link->unnamed);
    link->unnamed = NULL;
    link->no_unnamed = false;
}

void link_entry_done(struct engine *engine, struct link *link, const struct due_entry *entry)
{
    settle_entry(engine, link, entry);
    link_synthesise(engine, link);
    if ((entry->flags & DUE_FLAG_SETUP) != 0 && entry->what == DUE_SYNC) {
        link_setup_ended(engine, link);
    } else if ((entry->flags & DUE_FLAG_ASK) != 0 && entry->what == DUE_SYNC) {
        state_answered(engine, link);
    } else if (link->hub != NULL) {
        listen_hub_answered(link);
    }
}

void link_remove_named(struct engine *engine, struct link *link, struct session_statement *named)
{
    for (uint32_t i = 0; i < link->due.count; i++) {
        struct due_entry *entry = due_at(&link->due, i);
        entry->named = entry->named == named ? NULL : entry->named;
    }
    session_statement_remove(&engine->statements, &link->owner->statements, named);
}

/* The client's unnamed statement is `statement` again (whose reference it takes), but for what its
 * Parse messages from ledger entry `behind` on have made of it since. */
static void put_unnamed_back(struct engine *engine, struct link *link, uint32_t behind,
                             struct statement *statement)
{
    struct statement **at = link->owner == NULL ? NULL : &link->owner->unnamed;
    for (uint32_t i = behind; i < link->due.count; i++) {
        if ((due_at(&link->due, i)->flags & DUE_FLAG_UNNAMED) != 0) {
            at = &due_at(&link->due, i)->unnamed_before;
            break;
        }
    }
    if (at == NULL) {
        statement_unref(&engine->statements, statement);
        return;
    }
    statement_unref(&engine->statements, *at);
    *at = statement;
}

/* An entry that will never be answered; `behind` is the first that may be. */
static void entry_undone(struct engine *engine, struct link *link, const struct due_entry *entry,
                         uint32_t behind)
{
    struct session *owner = link->owner;
    if (entry->what == DUE_NAME) {
        if (entry->flags != 0) {
            names_undo(engine, link, entry);
        }
        return;
    }
    if (entry->sequences) {
        link->sequenced_by = SEQUENCED_BY_MANY;
    }
    if (entry->what == DUE_QUERY && (entry->flags & DUE_FLAG_RESTORE) != 0 && owner != NULL) {
        settings_unref(&engine->settings, owner->restored);
        owner->restored = NULL;
    }
    if (entry->prepared != NULL && entry->what == DUE_CLOSE) {
        link_statement_keep(&link->statements, entry->prepared);
    } else if (entry->prepared != NULL && --entry->prepared->pending == 0) {
        link_statement_remove(&engine->statements, &link->statements, entry->prepared);
    }
    if (entry->named != NULL && owner != NULL && (entry->flags & DUE_FLAG_DUPLICATE) == 0) {
        if (entry->what == DUE_PARSE) {
            link_remove_named(engine, link, entry->named);
        } else if (entry->what == DUE_CLOSE) {
            entry->named->pending_close = false;
        }
    }
    if (entry->what == DUE_PARSE && (entry->flags & DUE_FLAG_UNNAMED) != 0) {
        put_unnamed_back(engine, link, behind, entry->unnamed_before);
    }
}

void link_skip_to_sync(struct engine *engine, struct link *link)
{
    /* The newest first: each puts back what it found. */
    uint32_t drop = 0;
    const struct due_entry *head = due_head(&link->due);
    bool unnamed_failed = head != NULL && (head->flags & DUE_FLAG_UNNAMED) != 0;
    while (drop < link->due.count && due_at(&link->due, drop)->what != DUE_SYNC) {
        drop++;
    }
    if (drop > 0) { /* which of them ran and which were skipped shows only by and by */
        link_unnamed_unknown(engine, link);
    }
    for (uint32_t i = drop; i > 0; i--) {
        struct due_entry entry = *due_at(&link->due, i - 1);
        entry_undone(engine, link, &entry, drop);
    }
    if (unnamed_failed) { /* a Parse that fails has ended what was before */
        put_unnamed_back(engine, link, drop, NULL);
    }
    for (uint32_t i = 0; i < drop; i++) {
        due_pop(&link->due);
    }
    link->due.skipping = due_empty(&link->due);
}

bool link_swallow_sync(struct engine *engine, struct link *link)
{
    static const uint8_t sync[] = {FRONTEND_SYNC, 0, 0, 0, 4};
    if (!due_empty(&link->due)) {
        due_head(&link->due)->kind = DUE_SWALLOW;
        return true;
    }
    link_write(engine, link, sync, sizeof(sync));
    link->due.skipping = false;
    link->unsynced = false;
    return link_due(engine, link, DUE_SYNC, DUE_SWALLOW, 0);
}

/* --- lending back ----------------------------------------------------------------------------- */

static void limit_reset(struct engine *engine, struct link *link)
{
    link->used_us = engine->now_us;
    conn_wake_by(engine, &link->conn, engine->now_us + LIMIT_RESET_US);
}

/* A simple query of ours, its reply swallowed; the link is nobody's meanwhile. */
static void clean_by(struct engine *engine, struct link *link, const char *sql)
{
    struct writer *scratch = &engine->scratch;
    frontend_query(scratch, sql);
    link->state = LINK_RESET;
    limit_reset(engine, link);
    link_unnamed_unknown(engine, link);
    if (link_due(engine, link, DUE_QUERY, DUE_SWALLOW, 0)) {
        engine_flush_scratch(engine, &link->conn);
    } else {
        writer_reset(scratch);
    }
}

/* What an ended session-mode lease leaves behind is taken away by DISCARD ALL. */
static void forget_session(struct engine *engine, struct link *link)
{
    link->session_used = false;
    link->listens = false;
    link_statements_clear(&engine->statements, &link->statements);
    link_settings_reset(engine, link);
}

void link_release(struct engine *engine, struct link *link)
{
    if (link->conn.closing) {
        return;
    }
    if (link_may_release(link)) {
        link_give_back(engine, link);
    } else {
        link_abandon(engine, link);
    }
}

/* In a function of its own, for every query ends with it: link_ready without a call. */
static inline void make_ready(struct engine *engine, struct link *link)
{
    struct pool *pool = link->pool;
    ASSERT(link->owner == NULL);
    leave_lists(engine, link);
    bool has_place = lend_unpinned(link);
    if (!has_place || pool->retired || pool->paused || link->spoilt || link->epoch != pool->epoch ||
        link->term != pool->term || engine->now_us >= link->expires_us) {
        link->state = LINK_RESET; /* in no list any more: only to be closed */
        close_link(engine, link);
        return;
    }
    link->used_us = engine->now_us;
    lend_link_free(engine, link);
}

void link_give_back(struct engine *engine, struct link *link)
{
    heal_forget(&link->heal);
    link->owner = NULL;
    if (!link->conn.reading) {
        conn_set_reading(engine, &link->conn, true);
    }
    if (link->replication) {
        close_link(engine, link);
        return;
    }
    if (link->session_used || link->listens) {
        forget_session(engine, link);
        clean_by(engine, link, "DISCARD ALL");
        return;
    }
    make_ready(engine, link);
}

void link_ready(struct engine *engine, struct link *link)
{
    make_ready(engine, link);
}

/* The client's entries are its own: it may be freed before they are answered. */
static void disown_entries(struct link *link)
{
    for (uint32_t i = 0; i < link->due.count; i++) {
        due_at(&link->due, i)->named = NULL;
    }
}

void link_forget_statements(struct engine *engine, struct link *link)
{
    struct session *owner = link->owner;
    LIST_EACH (&link->statements.recent, node) {
        struct link_statement *entry = CONTAINER_OF(node, struct link_statement, recent);
        if (entry->pending == 0) {
            link_statement_remove(&engine->statements, &link->statements, entry);
        }
    }
    link_unnamed_unknown(engine, link);
    if (owner == NULL) {
        return;
    }
    struct map_node *next, *node = map_walk(&owner->statements.by_name, NULL);
    for (; node != NULL; node = next) {
        struct session_statement *entry = CONTAINER_OF(node, struct session_statement, node);
        next = map_walk(&owner->statements.by_name,
                        node); /* removing this one leaves it where it is */
        if (!entry->pending_parse) {
            link_remove_named(engine, link, entry);
        }
    }
}

void link_abandon(struct engine *engine, struct link *link)
{
    link->owner = NULL;
    disown_entries(link);
    if (link->conn.closing) {
        return;
    }
    if (!link->conn.reading) {
        conn_set_reading(engine, &link->conn, true);
    }
    if (link->replication || link->unsynced || link->due.skipping || link->due.copy_in ||
        link->due.copy_both || link->client_body || link->state == LINK_LOGIN ||
        link->state == LINK_DIALING || link->terminated) {
        close_link(engine, link); /* what it was at is rolled back by the server */
        return;
    }
    if (link->cancels > 0) {
        pid_hold_settle(engine, link);
    }
    if (!due_empty(&link->due) || link->setup || link->conn.tx.bytes > 0 || link->cancels > 0) {
        return; /* link_after_reply, link_sent or the canceller's end come back here */
    }
    if (link->stand_in != NULL) {
        pid_hold_stood(engine, link);
    }
    if (link->status != 'I') {
        clean_by(engine, link, "ROLLBACK");
        return;
    }
    if (link_may_release(link)) {
        link_give_back(engine, link);
    }
}

void link_canceller_ended(struct engine *engine, struct link *link)
{
    if (!link->conn.closing) {
        link_after_reply(engine, link);
    }
}

void link_after_reply(struct engine *engine, struct link *link)
{
    struct session *owner = link->owner;
    if (link->hub != NULL) {
        listen_hub_after_reply(engine, link);
        return;
    }
    if (owner != NULL) {
        if (owner->blocked && link->due.count < LIMIT_DUE / 2) {
            session_resume_later(engine, owner);
        }
        if (link->used && due_empty(&link->due) && !link->setup && !link->unsynced &&
            owner->state == SESSION_READY && link->body_left == 0) {
            session_idle(engine, owner);
        }
        return;
    }
    if (link->state == LINK_LENT || link->state == LINK_RESET) {
        link_abandon(engine, link);
    }
}

/* --- events ----------------------------------------------------------------------------------- */

/* A message has come in part: until the rest is here the link is not idle, since nobody could have
 * it. */
static void await_rest(struct engine *engine, struct link *link)
{
    leave_lists(engine, link);
    link->state = LINK_RESET;
    list_push_back(&link->pool->busy, &link->in_pool);
    link->pool->busy_count++;
    limit_reset(engine, link);
}

/* Between leases a server may say little: parameters, notices, and that it ends. */
static void idle_bytes(struct engine *engine, struct link *link, struct block *block,
                       uint8_t *bytes, uint32_t len)
{
    uint32_t used = 0, body_bytes = 0;
    while (len - used >= MESSAGE_HEADER_BYTES) {
        uint8_t *at = bytes + used;
        bool known = message_header(message_backend_bounds, at, &body_bytes);
        bool aside =
            known && (at[0] == BACKEND_NOTICE_RESPONSE || at[0] == BACKEND_PARAMETER_STATUS ||
                      at[0] == BACKEND_NOTIFICATION_RESPONSE);
        if (!aside || body_bytes > LIMIT_SERVER_WHOLE_BYTES) {
            link->terminated = known && at[0] == BACKEND_ERROR_RESPONSE;
            link_fail(engine, link, link->terminated ? ERR_SERVER_LOST : ERR_SERVER_PROTOCOL,
                      "while idle");
            return;
        }
        if (len - used - MESSAGE_HEADER_BYTES < body_bytes) {
            break;
        }
        if (at[0] == BACKEND_PARAMETER_STATUS) {
            struct reader reader = reader_of(at + MESSAGE_HEADER_BYTES, body_bytes);
            const char *name = reader_cstr(&reader);
            const char *value = reader_cstr(&reader);
            if (!reader.failed && settings_name_ok(name)) {
                link_parameter(engine, link, name, value);
            }
        }
        used += MESSAGE_HEADER_BYTES + body_bytes;
    }
    if (used < len) {
        await_rest(engine, link);
    }
    conn_hold(engine, &link->conn, block, bytes + used, len - used,
              len - used < MESSAGE_HEADER_BYTES ? 0 : MESSAGE_HEADER_BYTES + body_bytes);
}

void link_bytes(struct engine *engine, struct link *link, struct block *block, uint8_t *bytes,
                uint32_t len)
{
    switch (link->state) {
    case LINK_LENT:
    case LINK_RESET:
        relay_bytes(engine, link, block, bytes, len);
        return;
    case LINK_IDLE:
        idle_bytes(engine, link, block, bytes, len);
        return;
    case LINK_TLS_ASK:
    case LINK_LOGIN:
        link_login_bytes(engine, link, block, bytes, len);
        return;
    case LINK_DIALING:
    case LINK_TLS:
    case LINK_CLOSING:
        return;
    }
}

void link_timer(struct engine *engine, struct link *link)
{
    if (link->state == LINK_DIALING || link->state == LINK_TLS_ASK || link->state == LINK_TLS ||
        link->state == LINK_LOGIN) {
        uint64_t due_us =
            link->connected_us + link->pool->limits.connect_timeout_ms * UINT64_C(1000);
        if (engine->now_us < due_us) {
            conn_wake_by(engine, &link->conn, due_us);
            return;
        }
        link_login_failed(engine, link, ERR_CONNECT, "timeout expired");
    } else if (link->state == LINK_RESET) {
        if (engine->now_us < link->used_us + LIMIT_RESET_US) {
            conn_wake_by(engine, &link->conn, link->used_us + LIMIT_RESET_US);
            return;
        }
        link_fail(engine, link, ERR_SERVER_LOST, "no end of a reset");
    } else if (link->hub != NULL) {
        listen_hub_timer(engine, link);
    } else {
        pid_hold_timer(engine, link);
    }
}

void link_event(struct engine *engine, struct link *link, const struct event *event)
{
    bool logging_in = link->state < LINK_IDLE;
    if (link->conn.closing && event->kind != EVENT_CLOSED) {
        return; /* an event of the same turn has ended it already */
    }
    switch (event->kind) {
    case EVENT_EOF:
        if (logging_in) {
            link_login_failed(engine, link, ERR_SERVER_LOST, event->text);
        } else {
            link_fail(engine, link, ERR_SERVER_LOST, event->text);
        }
        return;
    case EVENT_DIALED:
        if (event->code != 0) {
            link_login_failed(engine, link, ERR_CONNECT, event->text);
        } else {
            follow_connected(link, event->text);
            link_login_start(engine, link);
        }
        return;
    case EVENT_TLS:
        if (event->code != 0) {
            link_login_failed(engine, link, ERR_TLS, event->text);
        } else {
            link_login_tls(engine, link, event->tls);
        }
        return;
    case EVENT_DERIVED:
        if (event->code != 0) {
            link_login_failed(engine, link, event->code, "the password could not be derived");
        } else {
            link_login_derived(engine, link, event->keys);
        }
        return;
    case EVENT_CLOSED:
        link_closed(engine, link);
        return;
    case EVENT_BYTES:
    case EVENT_SENT:
    case EVENT_SECRET:
    case EVENT_OS_USER:
    case EVENT_MAIL:
    case EVENT_CATALOG:
    case EVENT_NODES:
    case EVENT_TICKS:
    case EVENT_OPTIONS:
    case EVENT_DRAIN:
    case EVENT_TICK:
        UNREACHABLE();
    }
}
