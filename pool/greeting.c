/* The messages that greet a client once its login is done. */
#include "pool/cancel.h"
#include "pool/core.h"
#include "pool/link.h"
#include "pool/options.h"
#include "pool/pool.h"
#include "pool/session.h"
#include "protocol/message.h"

static void write_parameter(struct engine *engine, const char *name, const char *value)
{
    uint32_t mark = writer_begin(&engine->scratch, BACKEND_PARAMETER_STATUS);
    writer_cstr(&engine->scratch, name);
    writer_cstr(&engine->scratch, value);
    writer_end(&engine->scratch, mark);
}

void session_tell_parameter(struct engine *engine, struct session *session,
                            const struct setting *parameter)
{
    write_parameter(engine, parameter->name, parameter->value);
    engine_flush_scratch(engine, &session->conn);
}

/* What a startup asks of its transaction was for the one that a server logs a client in with
 * (InitPostgres in postinit.c): no other has it, and no link holds it. */
static void forget_of_transaction(struct engine *engine, struct session *session)
{
    static const char *const names[] = {"transaction_deferrable", "transaction_isolation",
                                        "transaction_read_only"};
    struct link *link = session->link;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (settings_get(session->settings, names[i]) == NULL) {
            continue;
        }
        settings_set(&engine->settings, &session->settings, names[i], NULL);
        if (link != NULL) {
            settings_set(&engine->settings, &link->settings, names[i], NULL);
        }
    }
}

void session_welcome(struct engine *engine, struct session *session, struct settings *baseline,
                     struct settings *canonical)
{
    struct writer *scratch = &engine->scratch;
    for (uint32_t i = 0; i < baseline->count; i++) {
        const char *own = settings_get(canonical, baseline->items[i].name);
        write_parameter(engine, baseline->items[i].name,
                        own == NULL ? baseline->items[i].value : own);
    }
    cancel_make_key(engine, session);
    uint32_t mark = writer_begin(scratch, 'K');
    writer_u32(scratch, cancel_virtual_pid(engine->worker, session->conn.handle));
    writer_bytes(scratch, session->cancel_key,
                 session->protocol >= 2 ? sizeof(session->cancel_key) : 4);
    writer_end(scratch, mark);
    session_write_ready(engine, 'I');
    engine_flush_scratch(engine, &session->conn);
    session->state = SESSION_READY;
    forget_of_transaction(engine, session);
    settings_ref(session->settings);
    settings_unref(&engine->settings, session->startup);
    session->startup = session->settings;
    timer_disarm(&engine->timers, &session->conn.timer); /* the login's deadline */
    login_free(engine, session);
    if (session->pool != NULL && session->pool->limits.client_idle_timeout_ms > 0) {
        conn_wake_by(engine, &session->conn,
                     engine->now_us +
                         session->pool->limits.client_idle_timeout_ms * UINT64_C(1000));
    }
}
