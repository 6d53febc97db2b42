#include "pool/session.h"

#include <stdlib.h>

#include "base/assert.h"
#include "base/error.h"
#include "base/limits.h"
#include "pool/account.h"
#include "pool/admin.h"
#include "pool/cancel.h"
#include "pool/core.h"
#include "pool/deferred_begin.h"
#include "pool/lend.h"
#include "pool/link.h"
#include "pool/listen.h"
#include "pool/names.h"
#include "pool/own.h"
#include "pool/pool.h"
#include "pool/pool_facts.h"
#include "pool/prepare.h"
#include "pool/route_wait.h"
#include "protocol/report.h"
#include "router/plan.h"

struct session *session_new(struct engine *engine, const struct origin *origin)
{
    struct session *session = slab_alloc(&engine->sessions);
    if (session == NULL) {
        return NULL;
    }
    *session = (struct session){.origin = *origin,
                                .connected_us = engine->now_us,
                                .active_us = engine->now_us,
                                .settings = engine->settings.none,
                                .startup = engine->settings.none,
                                .custom = engine->settings.none};
    if (conn_init(engine, &session->conn, CONN_CLIENT) != 0) {
        slab_free(&engine->sessions, session);
        return NULL;
    }
    session->pid = cancel_virtual_pid(engine->worker, session->conn.handle);
    settings_ref(session->settings);
    settings_ref(session->startup);
    settings_ref(session->custom);
    list_init(&session->waiting);
    session_statements_init(&session->statements);
    engine->client_count++;
    conn_wake_by(engine, &session->conn, engine->now_us + LIMIT_LOGIN_US);
    return session;
}

/* --- reports ---------------------------------------------------------------------------------- */

void session_report(struct engine *engine, struct session *session, const struct report *report)
{
    report_write(&engine->scratch, report);
    engine_flush_scratch(engine, &session->conn);
}

void session_fail(struct engine *engine, struct session *session, const struct report *report)
{
    struct report fatal = *report;
    fatal.fatal = true;
    if (session->conn.closing) {
        return;
    }
    if (session->link == NULL || link_client_at_boundary(session->link)) {
        session_report(engine, session, &fatal);
    }
    session_close(engine, session);
}

bool session_no_memory(struct engine *engine, struct session *session)
{
    struct report report = {.code = ERR_NO_MEMORY};
    session_fail(engine, session, &report);
    return false;
}

void session_write_ready(struct engine *engine, char status)
{
    uint32_t mark = writer_begin(&engine->scratch, 'Z');
    writer_u8(&engine->scratch, (uint8_t)status);
    writer_end(&engine->scratch, mark);
}

void session_write_tag(struct engine *engine, const char *tag)
{
    uint32_t mark = writer_begin(&engine->scratch, BACKEND_COMMAND_COMPLETE);
    writer_cstr(&engine->scratch, tag);
    writer_end(&engine->scratch, mark);
}

void session_write_empty(struct engine *engine, char type)
{
    writer_end(&engine->scratch, writer_begin(&engine->scratch, type));
}

void session_drop_unnamed(struct engine *engine, struct session *session)
{
    statement_unref(&engine->statements, session->unnamed);
    session->unnamed = NULL;
}

bool session_is_waiting(const struct session *session)
{
    return session->waits || route_wait_is_on(session);
}

/* --- the end of a session --------------------------------------------------------------------- */

void session_close(struct engine *engine, struct session *session)
{
    struct link *link = session->link;
    if (session->conn.closing) {
        return;
    }
    if (session->waits) {
        lend_leave(engine, session);
    }
    if (session->changes_facts) {
        pool_facts_changed(engine, session);
    }
    route_wait_leave(session);
    list_remove(&session->waiting);
    session->state = SESSION_CLOSING;
    prepare_altered(engine, session);
    if (link != NULL && listen_waits(session)) {
        link->spoilt = true; /* its notifications are on their way: they are nobody else's */
    }
    listen_free(engine, session);
    conn_close(engine, &session->conn);
    if (link != NULL) {
        session->link = NULL;
        link->client_body = session->body_left > 0 && session->body_fate == BODY_FORWARD;
        /* What custom settings it has left the server was not asked for yet. */
        link->spoilt |=
            session->keeps_named || session->keeps_unnamed || session->custom->count > 0;
        link->session_used |=
            session->pins != 0 || session->touched != 0 || session->set_alone != NULL;
        link_abandon(engine, link);
    }
}

void session_closed(struct engine *engine, struct session *session)
{
    bool counted = session->counted;
    ASSERT(session->conn.closing);
    struct link *link = session->link;
    if (link != NULL) { /* conn_close for want of memory went around session_close */
        session->link = NULL;
        link_abandon(engine, link);
    }
    if (session->changes_facts) {
        pool_facts_changed(engine, session);
    }
    if (session->waits) {
        lend_leave(engine, session);
    }
    list_remove(&session->waiting);
    plan_unref(session->plain_plan);
    free(session->vacates);
    listen_free(engine, session);
    route_free(session);
    login_free(engine, session);
    admin_free(engine, session);
    session_statements_clear(&engine->statements, &session->statements);
    statement_unref(&engine->statements, session->unnamed);
    names_free(engine, session);
    own_free(engine, session);
    settings_unref(&engine->settings, session->settings);
    settings_unref(&engine->settings, session->startup);
    settings_unref(&engine->settings, session->restores);
    settings_unref(&engine->settings, session->restored);
    plan_unref(session->set_alone);
    settings_unref(&engine->settings, session->custom);
    if (session->pool != NULL) {
        session->pool->client_count--;
        account_leave(session->pool->user_account);
    }
    conn_fini(engine, &session->conn);
    slab_free(&engine->sessions, session);
    engine_client_left(engine, counted);
}

void session_drain(struct engine *engine, struct session *session)
{
    struct report report = {.code = ERR_SHUTTING_DOWN};
    const struct link *link = session->link;
    /* A walsender has no transactions to wait for. */
    bool between =
        session->replication || (link == NULL ? !session->waits && !deferred_begin_is_open(session)
                                              : link_may_release(link));
    if (between && session->conn.held_len == 0 && session->admin == NULL) {
        session_fail(engine, session, &report);
    }
}
