#include "pool/cancel.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/error.h"
#include "base/limits.h"
#include "pool/account.h"
#include "pool/admin.h"
#include "pool/core.h"
#include "pool/lend.h"
#include "pool/letter.h"
#include "pool/link.h"
#include "pool/options.h"
#include "pool/pid.h"
#include "pool/pool.h"
#include "pool/session.h"
#include "protocol/crypto.h"
#include "protocol/report.h"
#include "protocol/startup.h"

uint32_t cancel_virtual_pid(uint32_t worker, struct handle handle)
{
    return pid_make(worker, handle);
}

void cancel_make_key(struct engine *engine, struct session *session)
{
    engine_random(engine, session->cancel_key, sizeof(session->cancel_key));
}

/* More than these under way for one link are pointless: each of them cancels. */
enum { CANCELS_MAX = 8 };

static bool send_cancel(struct engine *engine, struct link *link, uint32_t requester_worker,
                        struct handle requester)
{
    if (link->cancel_key_bytes == 0 || link->cancellers >= CANCELS_MAX) {
        return false;
    }
    struct canceller *canceller = calloc(1, sizeof(*canceller));
    if (canceller == NULL || conn_init(engine, &canceller->conn, CONN_CANCELLER) != 0) {
        free(canceller);
        return false;
    }
    canceller->pool = link->pool;
    canceller->link = link->conn.handle;
    canceller->requester_worker = requester_worker;
    canceller->requester = requester;
    link->cancels++;
    link->cancellers++;
    conn_todo(engine, &canceller->conn, TODO_DIAL);
    conn_wake_by(engine, &canceller->conn, engine->now_us + LIMIT_CANCEL_US);
    return true;
}

/* --- requests from clients -------------------------------------------------------------------- */

static uint32_t key_bytes_of(const struct session *session)
{
    return session->protocol >= 2 ? sizeof(session->cancel_key) : 4;
}

/* A client in line, or that waits for a replica, is taken out of it, and told. */
static void cancel_waiting(struct engine *engine, struct session *session)
{
    struct report report = {.code = ERR_CANCELED};
    if (session->state == SESSION_READY) {
        if (session->waits) {
            lend_leave(engine, session);
        }
        session_refuse(engine, session, &report, NULL, 0);
    }
}

static struct session *session_at_slot(struct engine *engine, uint32_t slot)
{
    struct conn *conn =
        slot < engine->connections.count ? engine->connections.slots[slot].object : NULL;
    return conn == NULL || conn->kind != CONN_CLIENT || conn->closing ? NULL
                                                                      : (struct session *)conn;
}

/* Who asked, and what it knows of whom. */
struct request {
    uint32_t worker;
    struct handle requester;
    uint32_t slot;
    const uint8_t *key;
    uint32_t key_bytes;
};

/* True when a CancelRequest is on its way to a server and will report its end. */
static bool cancel_at_slot(struct engine *engine, const struct request *request)
{
    struct session *session = session_at_slot(engine, request->slot);
    if (session == NULL || session->state != SESSION_READY ||
        request->key_bytes != key_bytes_of(session) ||
        !crypto_equal(request->key, session->cancel_key, request->key_bytes)) {
        return false;
    }
    if (session->admin != NULL) {
        admin_cancel(engine, session);
    }
    if (session->pool == NULL) {
        return false;
    }
    if (session_is_waiting(session)) {
        cancel_waiting(engine, session);
        return false;
    }
    if (session->link == NULL || session->link->setup || due_empty(&session->link->due)) {
        return false;
    }
    return send_cancel(engine, session->link, request->worker, request->requester);
}

void cancel_done(struct engine *engine, uint32_t worker, struct handle requester)
{
    if (handle_is_none(requester)) {
        return;
    }
    if (worker != engine->worker) {
        struct letter *letter = letter_new(LETTER_CANCELED, worker, NULL, NULL);
        if (letter != NULL) {
            letter->requester = requester;
            letter_post(engine, worker, letter);
        }
        return;
    }
    struct session *session = handle_table_get(&engine->connections, requester);
    if (session != NULL) {
        session_close(engine, session);
    }
}

void cancel_request(struct engine *engine, struct session *requester, uint32_t pid,
                    const uint8_t *key, uint32_t key_bytes)
{
    uint32_t worker, slot;
    bool known = pid_place(pid, &worker, &slot);
    struct request request = {.worker = engine->worker,
                              .requester = requester->conn.handle,
                              .slot = slot,
                              .key = key,
                              .key_bytes = key_bytes};
    struct letter *letter = NULL;
    if (known && worker < shared_worker_count(engine->shared) && worker != engine->worker &&
        key_bytes <= sizeof(letter->key)) {
        letter = letter_new(LETTER_CANCEL, worker, NULL, NULL);
    }
    if (letter != NULL) {
        letter->target.slot = request.slot;
        letter->requester = request.requester;
        memcpy(letter->key, key, key_bytes);
        letter->key_bytes = key_bytes;
        letter_post(engine, worker, letter);
        return;
    }
    if (!known || worker != engine->worker || !cancel_at_slot(engine, &request)) {
        session_close(engine, requester);
    }
}

void cancel_letter(struct engine *engine, const struct letter *letter)
{
    struct request request = {.worker = letter->sender,
                              .requester = letter->requester,
                              .slot = letter->target.slot,
                              .key = letter->key,
                              .key_bytes = letter->key_bytes};
    if (!cancel_at_slot(engine, &request)) {
        cancel_done(engine, letter->sender, letter->requester);
    }
}

/* --- requests to servers ---------------------------------------------------------------------- */

bool cancel_link(struct engine *engine, struct link *link)
{
    return send_cancel(engine, link, engine->worker, (struct handle){0});
}

static struct link *link_of(struct engine *engine, const struct canceller *canceller)
{
    return handle_is_none(canceller->link)
               ? NULL
               : handle_table_get(&engine->connections, canceller->link);
}

void cancel_forget_link(struct engine *engine, struct link *link)
{
    for (uint32_t slot = 0; link->cancellers > 0 && slot < engine->connections.count; slot++) {
        struct conn *conn = engine->connections.slots[slot].object;
        if (conn == NULL || conn->kind != CONN_CANCELLER) {
            continue;
        }
        struct canceller *canceller = (struct canceller *)conn;
        if (handle_equal(canceller->link, link->conn.handle)) {
            canceller->link = (struct handle){0};
            link->cancels--;
            link->cancellers--;
            if (!canceller->sent) {
                conn_close(engine, &canceller->conn); /* its pool may go next */
            }
        }
    }
}

static void send_request(struct engine *engine, struct canceller *canceller)
{
    const struct link *link = link_of(engine, canceller);
    if (link == NULL) {
        conn_close(engine, &canceller->conn);
        return;
    }
    startup_write_cancel(&engine->scratch, link->backend_pid, link->cancel_key,
                         link->cancel_key_bytes);
    engine_flush_scratch(engine, &canceller->conn);
    canceller->sent = true;
}

static void connected(struct engine *engine, struct canceller *canceller)
{
    const struct server_options *server = canceller->pool->server;
    bool unix_socket = server->host != NULL && server->host[0] == '/';
    if (server->sslmode == TLS_DISABLE || unix_socket) {
        send_request(engine, canceller);
    } else if (server->ssl_direct) {
        conn_todo(engine, &canceller->conn, TODO_TLS_CONNECT);
    } else {
        uint32_t mark = writer_begin(&engine->scratch, 0);
        writer_u32(&engine->scratch, STARTUP_SSL);
        writer_end(&engine->scratch, mark);
        engine_flush_scratch(engine, &canceller->conn);
        canceller->tls_asked = true;
    }
}

void canceller_bytes(struct engine *engine, struct canceller *canceller, const uint8_t *bytes,
                     uint32_t len)
{
    if (!canceller->tls_asked || len != 1 || canceller->sent) {
        conn_close(engine, &canceller->conn);
        return;
    }
    canceller->tls_asked = false;
    if (bytes[0] == 'S') {
        conn_todo(engine, &canceller->conn, TODO_TLS_CONNECT);
    } else if (bytes[0] == 'N' && canceller->pool->server->sslmode < TLS_REQUIRE) {
        send_request(engine, canceller);
    } else {
        conn_close(engine, &canceller->conn);
    }
}

void canceller_event(struct engine *engine, struct canceller *canceller, const struct event *event)
{
    switch (event->kind) {
    case EVENT_DIALED:
        if (event->code != 0) {
            conn_close(engine, &canceller->conn);
        } else {
            connected(engine, canceller);
        }
        return;
    case EVENT_TLS:
        if (event->code != 0) {
            conn_close(engine, &canceller->conn);
        } else {
            send_request(engine, canceller);
        }
        return;
    case EVENT_EOF: /* the server has taken the request, or never will */
        conn_close(engine, &canceller->conn);
        return;
    case EVENT_CLOSED:
        canceller_closed(engine, canceller);
        return;
    case EVENT_BYTES:
    case EVENT_SENT:
    case EVENT_SECRET:
    case EVENT_DERIVED:
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

void canceller_timer(struct engine *engine, struct canceller *canceller)
{
    conn_close(engine, &canceller->conn);
}

void canceller_closed(struct engine *engine, struct canceller *canceller)
{
    struct link *link = link_of(engine, canceller);
    cancel_done(engine, canceller->requester_worker, canceller->requester);
    conn_fini(engine, &canceller->conn);
    free(canceller);
    if (link != NULL) {
        link->cancels--;
        link->cancellers--;
        link_canceller_ended(engine, link);
    }
}
