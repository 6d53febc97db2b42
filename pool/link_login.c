/* Logging in at a server: SSLRequest, StartupMessage, authentication, the first ReadyForQuery.
 *
 * Nothing that a server says before it has let us in reaches a client, except the reason why it
 * refused, once the transport policy (TLS, certificate) has been met. AuthenticationOk counts only
 * if a SCRAM exchange that was begun has proven the server, too.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/error.h"
#include "base/limits.h"
#include "pool/core.h"
#include "pool/hold.h"
#include "pool/lend.h"
#include "pool/link.h"
#include "pool/listen.h"
#include "pool/login.h"
#include "pool/options.h"
#include "pool/pid_hold.h"
#include "pool/pool.h"
#include "pool/session.h"
#include "protocol/crypto.h"
#include "protocol/md5auth.h"
#include "protocol/message.h"
#include "protocol/report.h"
#include "protocol/scram.h"
#include "protocol/startup.h"

struct link_login {
    bool sasl; /* begun: only a proven server may let us in */
    bool authenticated;
    bool deriving;
    struct scram_client scram;
    char replication[16];
};

void link_login_free(struct link *link)
{
    if (link->login != NULL) {
        crypto_wipe(link->login, sizeof(*link->login));
        free(link->login);
        link->login = NULL;
    }
}

/* The report is copied out of the scratch buffer, which telling the sessions writes to. */
static void fail_login(struct engine *engine, struct link *link, const struct report *report)
{
    uint8_t *body = NULL;
    uint32_t body_bytes = 0;
    report_write(&engine->scratch, report);
    if (!engine->scratch.failed) {
        pool_copy_bytes(&body, &body_bytes, engine->scratch.bytes + MESSAGE_HEADER_BYTES,
                        engine->scratch.len - MESSAGE_HEADER_BYTES);
    }
    writer_reset(&engine->scratch);
    if (body != NULL) {
        bool lost = report->code == ERR_SERVER_LOST && hold_is_for(link->pool);
        lend_login_failed(engine, link, body, body_bytes, lost || report->code == ERR_CONNECT);
        free(body);
    }
    link->terminated = link->end_told = true; /* whoever waits: by lend_login_failed */
    link_fail(engine, link, report->code, report->detail);
}

void link_login_failed(struct engine *engine, struct link *link, int code, const char *detail)
{
    struct report report = {.fatal = true, .code = code, .detail = detail};
    if (!link->conn.closing) {
        fail_login(engine, link, &report);
    }
}

static void fail_with_hint(struct engine *engine, struct link *link, const char *detail)
{
    struct report report = {.fatal = true,
                            .code = ERR_AUTH_FAILED,
                            .detail = detail,
                            .hint = "Give the user a password in the connection string or the "
                                    "users file, or copy the server's own SCRAM verifier there, so "
                                    "that the client's proof can be passed through."};
    fail_login(engine, link, &report);
}

/* --- transport -------------------------------------------------------------------------------- */

static void write_parameter(struct writer *writer, const char *name, const char *value)
{
    if (value != NULL) {
        writer_cstr(writer, name);
        writer_cstr(writer, value);
    }
}

/* A walsender takes no extended query: what its client wants goes into the startup packet. */
static void write_replication(struct engine *engine, const struct link *link)
{
    const struct session *owner = link->owner;
    if (owner == NULL || owner->login == NULL) {
        return;
    }
    write_parameter(&engine->scratch, "replication", owner->login->replication);
    for (uint32_t i = 0; i < owner->settings->count; i++) {
        write_parameter(&engine->scratch, owner->settings->items[i].name,
                        owner->settings->items[i].value);
    }
}

static void send_startup(struct engine *engine, struct link *link)
{
    struct writer *scratch = &engine->scratch;
    const struct pool *pool = link->pool;
    uint32_t mark = writer_begin(scratch, 0);
    writer_u32(scratch, STARTUP_PROTOCOL_3_2);
    write_parameter(scratch, "user", pool->server_user);
    write_parameter(scratch, "database", pool->server_dbname);
    write_parameter(scratch, "application_name", pool->server->application_name);
    write_parameter(scratch, "options", pool->server->options);
    if (link->replication) {
        write_replication(engine, link);
    }
    writer_u8(scratch, 0);
    writer_end(scratch, mark);
    engine_flush_scratch(engine, &link->conn);
    link->state = LINK_LOGIN;
}

void link_login_start(struct engine *engine, struct link *link)
{
    const struct server_options *server = link->pool->server;
    ASSERT(link->state == LINK_DIALING);
    link->login = calloc(1, sizeof(*link->login));
    if (link->login == NULL) {
        link_login_failed(engine, link, ERR_NO_MEMORY, NULL);
        return;
    }
    bool unix_socket = server->host != NULL && server->host[0] == '/';
    if (server->sslmode == TLS_DISABLE || unix_socket) {
        send_startup(engine, link);
        return;
    }
    if (server->ssl_direct) {
        link->state = LINK_TLS;
        conn_todo(engine, &link->conn, TODO_TLS_CONNECT);
        return;
    }
    uint32_t mark = writer_begin(&engine->scratch, 0);
    writer_u32(&engine->scratch, STARTUP_SSL);
    writer_end(&engine->scratch, mark);
    engine_flush_scratch(engine, &link->conn);
    link->state = LINK_TLS_ASK;
}

/* The server's one byte. What it says in more bytes before TLS is neither used nor shown. */
static void take_tls_answer(struct engine *engine, struct link *link, const uint8_t *bytes,
                            uint32_t len)
{
    if (len == 1 && bytes[0] == 'S') {
        link->state = LINK_TLS;
        conn_todo(engine, &link->conn, TODO_TLS_CONNECT);
    } else if (len == 1 && bytes[0] == 'N' && link->pool->server->sslmode < TLS_REQUIRE) {
        send_startup(engine, link);
    } else if (len == 1 && bytes[0] == 'N') {
        link_login_failed(engine, link, ERR_TLS_REQUIRED,
                          "The server does not support TLS, but sslmode asks for it.");
    } else {
        link_login_failed(engine, link, ERR_SERVER_PROTOCOL, "unexpected answer to SSLRequest");
    }
}

void link_login_tls(struct engine *engine, struct link *link, const struct tls_facts *facts)
{
    ASSERT(link->state == LINK_TLS);
    link->tls.on = true;
    memcpy(link->tls.version, facts->version, sizeof(link->tls.version));
    memcpy(link->tls.cipher, facts->cipher, sizeof(link->tls.cipher));
    memcpy(link->tls.end_point, facts->end_point, sizeof(link->tls.end_point));
    link->tls.end_point_bytes = facts->end_point_bytes;
    send_startup(engine, link);
}

/* --- authentication --------------------------------------------------------------------------- */

static void send_password(struct engine *engine, struct link *link, const void *bytes, size_t len)
{
    uint32_t mark = writer_begin(&engine->scratch, FRONTEND_PASSWORD);
    writer_bytes(&engine->scratch, bytes, len);
    writer_end(&engine->scratch, mark);
    engine_flush_scratch(engine, &link->conn);
}

static void answer_password(struct engine *engine, struct link *link, const uint8_t *salt)
{
    const char *password = link->pool->password;
    const char *user = link->pool->server_user;
    char response[MD5AUTH_TEXT_BYTES + 1];
    bool md5_only = password != NULL && md5auth_is_secret(password, strlen(password));
    if (link->pool->server->channel_binding == CHANNEL_BINDING_REQUIRE) {
        link_login_failed(engine, link, ERR_AUTH_METHOD,
                          "channel_binding=require, but the server asked for a password");
        return;
    }
    if (password == NULL || (salt == NULL && md5_only)) {
        fail_with_hint(engine, link,
                       "The server asks for a password that the proxy does not have.");
        return;
    }
    if (salt == NULL) {
        send_password(engine, link, password, strlen(password) + 1);
        return;
    }
    md5auth_answer(password, strlen(password), user, strlen(user), salt, response);
    send_password(engine, link, response, sizeof(response));
    crypto_wipe(response, sizeof(response));
}

static void sasl_begin(struct engine *engine, struct link *link, const uint8_t *body,
                       uint32_t body_bytes)
{
    struct link_login *login = link->login;
    enum channel_binding policy = link->pool->server->channel_binding;
    enum scram_binding mode;
    char first[SCRAM_MESSAGE_BYTES_MAX];
    uint8_t nonce[SCRAM_NONCE_RAW_BYTES];
    bool can_bind =
        link->tls.on && link->tls.end_point_bytes > 0 && policy != CHANNEL_BINDING_DISABLE;
    int code = scram_client_choose((const char *)body, body_bytes, can_bind,
                                   policy == CHANNEL_BINDING_REQUIRE, &mode);
    if (code != 0 || login->sasl) {
        link_login_failed(engine, link, ERR_AUTH_METHOD,
                          "The server offers no SASL mechanism that suits channel_binding.");
        return;
    }
    engine_random(engine, nonce, sizeof(nonce));
    scram_client_init(&login->scram, mode, link->tls.end_point, link->tls.end_point_bytes, nonce);
    login->sasl = true;
    size_t len = scram_client_first(&login->scram, first);
    struct writer *scratch = &engine->scratch;
    uint32_t mark = writer_begin(scratch, FRONTEND_PASSWORD);
    writer_cstr(scratch, scram_client_mechanism(mode));
    writer_u32(scratch, (uint32_t)len);
    writer_bytes(scratch, first, len);
    writer_end(scratch, mark);
    engine_flush_scratch(engine, &link->conn);
}

static void sasl_prove(struct engine *engine, struct link *link, const uint8_t *keys)
{
    struct scram_keys scram_keys;
    char final[SCRAM_MESSAGE_BYTES_MAX];
    memcpy(scram_keys.client_key, keys, SCRAM_KEY_BYTES);
    memcpy(scram_keys.server_key, keys + SCRAM_KEY_BYTES, SCRAM_KEY_BYTES);
    size_t len = scram_client_final(&link->login->scram, &scram_keys, final);
    crypto_wipe(&scram_keys, sizeof(scram_keys));
    send_password(engine, link, final, len);
}

/* The keys of an earlier login, or of a client's own proof, serve when salt and iteration count are
 * the same. */
static bool have_keys(const struct link *link)
{
    const struct pool *pool = link->pool;
    const struct scram_client *scram = &link->login->scram;
    return pool->has_keys && pool->keys_iterations == scram->iterations &&
           pool->keys_salt_bytes == scram->salt_bytes &&
           memcmp(pool->keys_salt, scram->salt, scram->salt_bytes) == 0;
}

static void sasl_continue(struct engine *engine, struct link *link, const uint8_t *body,
                          uint32_t body_bytes)
{
    const struct pool *pool = link->pool;
    struct scram_client *scram = &link->login->scram;
    int code = link->login->sasl && scram->state == SCRAM_CLIENT_SENT
                   ? scram_client_challenge(scram, (const char *)body, body_bytes)
                   : ERR_SERVER_PROTOCOL;
    if (code != 0) {
        link_login_failed(engine, link, code, "SCRAM challenge refused");
        return;
    }
    if (have_keys(link)) {
        sasl_prove(engine, link, pool->keys);
        return;
    }
    if (pool->password == NULL || md5auth_is_secret(pool->password, strlen(pool->password))) {
        fail_with_hint(engine, link,
                       "The server asks for SCRAM, and neither a password nor keys that suit its "
                       "salt and iterations are known.");
        return;
    }
    struct action *action = engine_action(engine, ACTION_DERIVE);
    if (action == NULL) {
        link_login_failed(engine, link, ERR_NO_MEMORY, NULL);
        return;
    }
    action->handle = link->conn.handle;
    link->login->deriving = true;
}

bool link_login_derivation(const struct link *link, struct derivation *ret_derivation)
{
    const struct link_login *login = link->login;
    if (login == NULL || !login->deriving || link->pool->password == NULL ||
        strlen(link->pool->password) >= sizeof(ret_derivation->password)) {
        return false;
    }
    const struct scram_client *scram = &login->scram;
    memcpy(ret_derivation->password, link->pool->password, strlen(link->pool->password) + 1);
    memcpy(ret_derivation->salt, scram->salt, scram->salt_bytes);
    ret_derivation->salt_bytes = scram->salt_bytes;
    ret_derivation->iterations = scram->iterations;
    return true;
}

void link_login_derived(struct engine *engine, struct link *link, const uint8_t *keys)
{
    struct pool *pool = link->pool;
    if (link->login == NULL || !link->login->deriving || link->conn.closing) {
        return;
    }
    const struct scram_client *scram = &link->login->scram;
    link->login->deriving = false;
    memcpy(pool->keys, keys, sizeof(pool->keys));
    memcpy(pool->keys_salt, scram->salt, scram->salt_bytes);
    pool->keys_salt_bytes = scram->salt_bytes;
    pool->keys_iterations = scram->iterations;
    pool->has_keys = true;
    sasl_prove(engine, link, keys);
}

static void take_authentication(struct engine *engine, struct link *link, const uint8_t *body,
                                uint32_t body_bytes)
{
    struct link_login *login = link->login;
    uint32_t request = message_load_u32(body);
    bool required = link->pool->server->channel_binding == CHANNEL_BINDING_REQUIRE;
    const uint8_t *rest = body + 4;
    uint32_t rest_bytes = body_bytes - 4;
    switch (request) {
    case 0:
        if ((login->sasl && !scram_client_done(&login->scram)) ||
            (required && (!login->sasl || login->scram.mode != SCRAM_BINDING_BOUND))) {
            link_login_failed(engine, link, ERR_SERVER_PROTOCOL,
                              "The server let us in before it had proven itself.");
            return;
        }
        login->authenticated = true;
        return;
    case 3:
        answer_password(engine, link, NULL);
        return;
    case 5:
        if (rest_bytes != MD5AUTH_SALT_BYTES) {
            break;
        }
        answer_password(engine, link, rest);
        return;
    case 10:
        sasl_begin(engine, link, rest, rest_bytes);
        return;
    case 11:
        sasl_continue(engine, link, rest, rest_bytes);
        return;
    case 12:
        if (!login->sasl || login->scram.state != SCRAM_CLIENT_PROVED ||
            scram_client_verify(&login->scram, (const char *)rest, rest_bytes) != 0) {
            link_login_failed(engine, link, ERR_SERVER_LOGIN,
                              "The server could not prove that it knows the password.");
        }
        return;
    }
    char text[64];
    snprintf(text, sizeof(text), "authentication request %u is not supported", request);
    link_login_failed(engine, link, ERR_AUTH_METHOD, text);
}

/* --- the rest of the login -------------------------------------------------------------------- */

static void take_parameter(struct engine *engine, struct link *link, const uint8_t *body,
                           uint32_t body_bytes)
{
    struct reader reader = reader_of(body, body_bytes);
    const char *name = reader_cstr(&reader);
    const char *value = reader_cstr(&reader);
    if (reader.failed || !settings_name_ok(name)) {
        return;
    }
    const struct settings *before = link->baseline == NULL ? engine->settings.none : link->baseline;
    struct settings *now = settings_with(&engine->settings, before, name, value);
    if (now != NULL) {
        settings_unref(&engine->settings, link->baseline);
        link->baseline = now;
    }
}

static void logged_in(struct engine *engine, struct link *link)
{
    struct pool *pool = link->pool;
    struct session *owner = link->owner;
    timer_disarm(&engine->timers, &link->conn.timer);
    link_login_free(link);
    link->ready_us = engine->now_us;
    link->settings = engine->settings.none;
    settings_ref(link->settings);
    if (link->baseline == NULL) {
        link->baseline = engine->settings.none;
        settings_ref(link->baseline);
    }
    lend_logged_in(engine, link);
    if (link->hub != NULL) {
        listen_hub_ready(engine, link);
        return;
    }
    if (!link->replication && link->stand_in == NULL) {
        link_ready(engine, link);
        return;
    }
    list_remove(&link->in_pool);
    pool->dialing_count--;
    link->state = LINK_LENT;
    list_push_back(&pool->busy, &link->in_pool);
    pool->busy_count++;
    if (link->stand_in != NULL) {
        pid_hold_logged_in(engine, link);
        return;
    }
    if (owner == NULL) {
        link_abandon(engine, link);
        return;
    }
    settings_unref(&engine->settings, link->settings);
    link->settings = owner->settings;
    settings_ref(link->settings);
    link->setup = false;
    session_link_ready(engine, owner);
}

static void take_error(struct engine *engine, struct link *link, const uint8_t *body,
                       uint32_t body_bytes)
{
    struct report_fields fields;
    bool known = report_parse(body, body_bytes, &fields);
    bool ends = known && strncmp(fields.sqlstate, "57P", 3) == 0 && hold_is_for(link->pool);
    bool host =
        ends ||
        (known && (strcmp(fields.sqlstate, "57P03") == 0 || strcmp(fields.sqlstate, "53300") == 0));
    engine_log(engine, LOG_WARNING, "server refused a login: db=%s user=%s: %s", link->pool->name,
               link->pool->user, known ? fields.message : "malformed ErrorResponse");
    if (known && strcmp(fields.sqlstate, "28P01") == 0) {
        link->pool->has_keys = false; /* the password may have changed */
        if (!link->pool->dsn_password) {
            pool_set_password(link->pool, NULL);
        }
    }
    lend_login_failed(engine, link, body, body_bytes, host);
    link->terminated = link->end_told = true;
    link_fail(engine, link, ERR_SERVER_LOGIN, known ? fields.message : NULL);
}

/* One whole message. */
static void take_message(struct engine *engine, struct link *link, uint8_t type,
                         const uint8_t *body, uint32_t body_bytes)
{
    bool in = link->login->authenticated;
    switch (type) {
    case BACKEND_AUTHENTICATION:
        take_authentication(engine, link, body, body_bytes);
        return;
    case BACKEND_ERROR_RESPONSE:
        take_error(engine, link, body, body_bytes);
        return;
    case BACKEND_NOTICE_RESPONSE:
    case BACKEND_NEGOTIATE_PROTOCOL_VERSION:
        return;
    case BACKEND_PARAMETER_STATUS:
        if (in) {
            take_parameter(engine, link, body, body_bytes);
            return;
        }
        break;
    case BACKEND_BACKEND_KEY_DATA:
        if (in) {
            link->backend_pid = message_load_u32(body);
            link->cancel_key_bytes = body_bytes - 4;
            memcpy(link->cancel_key, body + 4, body_bytes - 4);
            return;
        }
        break;
    case BACKEND_READY_FOR_QUERY:
        if (in && body[0] == 'I') {
            logged_in(engine, link);
            return;
        }
        break;
    }
    link_login_failed(engine, link, ERR_SERVER_PROTOCOL, message_backend_name(type));
}

void link_login_bytes(struct engine *engine, struct link *link, struct block *block, uint8_t *bytes,
                      uint32_t len)
{
    uint32_t used = 0, whole = 0;
    if (link->state == LINK_TLS_ASK) {
        take_tls_answer(engine, link, bytes, len);
        return;
    }
    while (link->state == LINK_LOGIN && len - used >= MESSAGE_HEADER_BYTES) {
        uint8_t *at = bytes + used;
        uint32_t body_bytes;
        if (!message_header(message_backend_bounds, at, &body_bytes) ||
            body_bytes > LIMIT_SERVER_WHOLE_BYTES) {
            link_login_failed(engine, link, ERR_SERVER_PROTOCOL, "unknown message in the login");
            return;
        }
        if (len - used - MESSAGE_HEADER_BYTES < body_bytes) {
            whole = MESSAGE_HEADER_BYTES + body_bytes;
            break;
        }
        used += MESSAGE_HEADER_BYTES + body_bytes;
        if (used == len) {
            conn_drop_held(engine, &link->conn); /* the release gate looks at it */
        }
        take_message(engine, link, at[0], at + MESSAGE_HEADER_BYTES, body_bytes);
    }
    if (link->conn.closing || used == len) {
        return;
    }
    if (link->state != LINK_LOGIN) {
        link_fail(engine, link, ERR_SERVER_PROTOCOL, "more than the login's end");
        return;
    }
    conn_hold(engine, &link->conn, block, bytes + used, len - used, whole);
}
