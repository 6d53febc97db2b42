/* SHOW CLIENTS, SERVERS, SOCKETS, ACTIVE_SOCKETS. */
#include <arpa/inet.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "pool/admin.h"
#include "pool/admin_task.h"
#include "pool/cancel.h"
#include "pool/core.h"
#include "pool/link.h"
#include "pool/login.h"
#include "pool/options.h"
#include "pool/pool.h"
#include "pool/session.h"
#include "pool/show.h"

enum { POINTER_BYTES = 24 };

static void format_pointer(const struct engine *engine, struct handle handle,
                           char text[POINTER_BYTES])
{
    snprintf(text, POINTER_BYTES, "0x%" PRIx64, admin_pointer(engine->worker, handle));
}

void show_format_time(const struct engine *engine, uint64_t at_us, char text[SHOW_TIME_BYTES])
{
    struct tm parts;
    time_t seconds = (time_t)((at_us + engine->wall_offset_us) / 1000000);
    if (gmtime_r(&seconds, &parts) == NULL ||
        strftime(text, SHOW_TIME_BYTES, "%Y-%m-%d %H:%M:%S UTC", &parts) == 0) {
        text[0] = '\0';
    }
}

void show_format_address(const struct origin *origin, char text[SHOW_ADDRESS_BYTES])
{
    int family = origin->family == 6 ? AF_INET6 : AF_INET;
    if (origin->is_unix) {
        snprintf(text, SHOW_ADDRESS_BYTES, "unix");
    } else if (inet_ntop(family, origin->address, text, SHOW_ADDRESS_BYTES) == NULL) {
        text[0] = '\0';
    }
}

/* The port that all clients come to, if there is only one address that is listened on. */
static int64_t local_port(const struct engine *engine)
{
    const struct options *options = engine->options;
    const char *colon = options->listen_count == 1 ? strrchr(options->listen[0], ':') : NULL;
    return colon == NULL ? 0 : strtol(colon + 1, NULL, 10);
}

/* What both kinds of rows end with. */
static void add_buffers(struct admin_table *table, const struct conn *conn, uint32_t body_left)
{
    admin_table_number(table, conn->held_len);
    admin_table_number(table, 0);
    admin_table_number(table, body_left);
    admin_table_number(table, 0);
    admin_table_number(table, conn->tx.bytes);
    admin_table_number(table, conn->held_len);
    admin_table_number(table, conn->tx.bytes);
}

/* --- clients ---------------------------------------------------------------------------------- */

static const char *client_state(const struct session *session)
{
    if (session_is_waiting(session)) {
        return "waiting";
    }
    if (session->state == SESSION_READY && session->link == NULL && session->admin == NULL &&
        session->begin == BEGIN_NONE) {
        return "idle";
    }
    return session->state < SESSION_LOGIN ? "login" : "active";
}

static const char *client_user(const struct session *session)
{
    if (session->pool != NULL) {
        return session->pool->user;
    }
    if (session->admin != NULL) {
        return admin_user(session);
    }
    return session->login == NULL ? NULL : session->login->user;
}

static const char *client_database(const struct session *session)
{
    if (session->pool != NULL) {
        return session->pool->name;
    }
    if (session->admin != NULL) {
        return "howdah";
    }
    return session->login == NULL ? NULL : session->login->database;
}

static const char *client_tls(const struct session *session)
{
    if (!session->tls) {
        return "";
    }
    return session->login != NULL ? session->login->tls.version : "TLS";
}

static void add_client_names(const struct engine *engine, struct admin_table *table,
                             const struct session *session)
{
    char address[SHOW_ADDRESS_BYTES];
    show_format_address(&session->origin, address);
    admin_table_text(table, "C");
    admin_table_text(table, client_user(session));
    admin_table_text(table, client_database(session));
    admin_table_text(table, session->replication ? "logical" : "none");
    admin_table_text(table, client_state(session));
    admin_table_text(table, address);
    admin_table_number(table, session->origin.port);
    admin_table_text(table, session->origin.is_unix ? "unix" : "");
    admin_table_number(table, local_port(engine));
}

static void add_client(struct engine *engine, struct admin_table *table,
                       const struct session *session, bool buffers)
{
    char time[SHOW_TIME_BYTES], pointer[POINTER_BYTES], link[POINTER_BYTES] = "";
    uint64_t wait_us = session_is_waiting(session) ? engine->now_us - session->wait_from_us : 0;
    const char *name = settings_get(session->settings, "application_name");
    add_client_names(engine, table, session);
    show_format_time(engine, session->connected_us, time);
    admin_table_text(table, time);
    show_format_time(engine, session->active_us, time);
    admin_table_text(table, time);
    admin_table_number(table, (int64_t)(wait_us / 1000000));
    admin_table_number(table, (int64_t)(wait_us % 1000000));
    admin_table_number(table, 0);
    format_pointer(engine, session->conn.handle, pointer);
    admin_table_text(table, pointer);
    if (session->link != NULL) {
        format_pointer(engine, session->link->conn.handle, link);
    }
    admin_table_text(table, link);
    admin_table_number(table, 0);
    admin_table_text(table, client_tls(session));
    admin_table_text(table, name == NULL ? "" : name);
    admin_table_number(table, session->statements.by_name.count);
    admin_table_number(table, cancel_virtual_pid(engine->worker, session->conn.handle));
    if (buffers) {
        add_buffers(table, &session->conn, session->body_left);
    }
    admin_table_number(table, engine->worker);
}

/* --- servers ---------------------------------------------------------------------------------- */

static const char *link_state(const struct link *link)
{
    if (link->cancels > 0) {
        return "being_canceled";
    }
    switch (link->state) {
    case LINK_DIALING:
    case LINK_TLS_ASK:
    case LINK_TLS:
    case LINK_LOGIN:
        return "new";
    case LINK_IDLE:
        return "idle";
    case LINK_RESET:
        return "tested";
    case LINK_LENT:
    case LINK_CLOSING:
        break;
    }
    return "active";
}

static void add_link_names(struct admin_table *table, const struct link *link)
{
    const struct server_options *server = link->pool->server;
    const char *host = server->hostaddr != NULL ? server->hostaddr : server->host;
    admin_table_text(table, "S");
    admin_table_text(table, link->pool->server_user);
    admin_table_text(table, link->pool->name);
    admin_table_text(table, link->replication ? "logical" : "none");
    admin_table_text(table, link_state(link));
    admin_table_text(table, host);
    admin_table_number(table, server->port);
    admin_table_text(table, "");
    admin_table_number(table, 0);
}

static void add_link(struct engine *engine, struct admin_table *table, const struct link *link,
                     bool buffers)
{
    char time[SHOW_TIME_BYTES], pointer[POINTER_BYTES], owner[POINTER_BYTES] = "";
    const char *name =
        link->settings == NULL ? NULL : settings_get(link->settings, "application_name");
    add_link_names(table, link);
    show_format_time(engine, link->connected_us, time);
    admin_table_text(table, time);
    show_format_time(engine, link->used_us == 0 ? link->connected_us : link->used_us, time);
    admin_table_text(table, time);
    admin_table_number(table, 0);
    admin_table_number(table, 0);
    admin_table_number(table, link->epoch != link->pool->epoch || link->term != link->pool->term ||
                                  link->pool->retired);
    format_pointer(engine, link->conn.handle, pointer);
    admin_table_text(table, pointer);
    if (link->owner != NULL) {
        format_pointer(engine, link->owner->conn.handle, owner);
    }
    admin_table_text(table, owner);
    admin_table_number(table, link->backend_pid);
    admin_table_text(table, link->tls.on ? link->tls.version : "");
    admin_table_text(table, name == NULL ? "" : name);
    admin_table_number(table, link->statements.by_id.count);
    admin_table_number(table, cancel_virtual_pid(engine->worker, link->conn.handle));
    if (buffers) {
        add_buffers(table, &link->conn, link->body_left);
    }
    admin_table_number(table, engine->worker);
}

/* --- both ------------------------------------------------------------------------------------- */

enum { WANT_CLIENTS = 1, WANT_SERVERS = 2, WANT_BUFFERS = 4, WANT_ACTIVE = 8 };

static void add_all(struct engine *engine, struct admin_task *task, unsigned want)
{
    bool buffers = (want & WANT_BUFFERS) != 0, active = (want & WANT_ACTIVE) != 0;
    for (uint32_t slot = 0; slot < engine->connections.count; slot++) {
        const struct conn *conn = engine->connections.slots[slot].object;
        if (conn == NULL || conn->closing) {
            continue;
        }
        if (conn->kind == CONN_CLIENT && (want & WANT_CLIENTS) != 0) {
            const struct session *session = (const struct session *)conn;
            if (!active || strcmp(client_state(session), "idle") != 0) {
                add_client(engine, &task->table, session, buffers);
            }
        } else if (conn->kind == CONN_LINK && (want & WANT_SERVERS) != 0) {
            const struct link *link = (const struct link *)conn;
            if (!active || link->state != LINK_IDLE) {
                add_link(engine, &task->table, link, buffers);
            }
        }
    }
}

void show_clients(struct engine *engine, struct admin_task *task)
{
    add_all(engine, task, WANT_CLIENTS);
}

void show_servers(struct engine *engine, struct admin_task *task)
{
    add_all(engine, task, WANT_SERVERS);
}

void show_sockets(struct engine *engine, struct admin_task *task)
{
    add_all(engine, task, WANT_CLIENTS | WANT_SERVERS | WANT_BUFFERS);
}

void show_active_sockets(struct engine *engine, struct admin_task *task)
{
    add_all(engine, task, WANT_CLIENTS | WANT_SERVERS | WANT_BUFFERS | WANT_ACTIVE);
}
