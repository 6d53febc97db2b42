#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/error.h"
#include "pool/core.h"
#include "pool/login.h"
#include "pool/options.h"
#include "pool/session.h"
#include "protocol/crypto.h"
#include "protocol/md5auth.h"
#include "protocol/report.h"
#include "protocol/userlist.h"

/* Authentication requests (protocol chapter, "Message Formats") */
enum {
    AUTH_REQUEST_PASSWORD = 3,
    AUTH_REQUEST_MD5 = 5,
    AUTH_REQUEST_SASL = 10,
    AUTH_REQUEST_SASL_CONTINUE = 11,
    AUTH_REQUEST_SASL_FINAL = 12,
};

static void send_request(struct engine *engine, struct session *session, uint32_t request,
                         const void *body, size_t body_bytes)
{
    uint32_t mark = writer_begin(&engine->scratch, 'R');
    writer_u32(&engine->scratch, request);
    writer_bytes(&engine->scratch, body, body_bytes);
    writer_end(&engine->scratch, mark);
    engine_flush_scratch(engine, &session->conn);
}

/* --- which dialogue --------------------------------------------------------------------------- */

static void ask_password(struct engine *engine, struct session *session)
{
    session->login->phase = LOGIN_PASSWORD;
    send_request(engine, session, AUTH_REQUEST_PASSWORD, NULL, 0);
}

static void ask_md5(struct engine *engine, struct session *session)
{
    struct login *login = session->login;
    engine_random(engine, login->md5_salt, sizeof(login->md5_salt));
    login->phase = LOGIN_PASSWORD;
    send_request(engine, session, AUTH_REQUEST_MD5, login->md5_salt, sizeof(login->md5_salt));
}

static void ask_sasl(struct engine *engine, struct session *session)
{
    struct login *login = session->login;
    struct writer *scratch = &engine->scratch;
    uint32_t mark = writer_begin(scratch, 'R');
    writer_u32(scratch, AUTH_REQUEST_SASL);
    if (session->tls && login->tls.end_point_bytes > 0) {
        writer_cstr(scratch, scram_mechanism_plus);
    }
    writer_cstr(scratch, scram_mechanism);
    writer_u8(scratch, 0);
    writer_end(scratch, mark);
    engine_flush_scratch(engine, &session->conn);
    login->phase = LOGIN_SASL_INITIAL;
}

static void derive(struct engine *engine, struct session *session, enum login_phase phase)
{
    struct action *action = engine_action(engine, ACTION_DERIVE);
    if (action == NULL) {
        session_close(engine, session);
        return;
    }
    session->login->phase = phase;
    action->handle = session->conn.handle;
}

/* A verifier for a plain secret: from the cache, or derived off the loop. */
static void verifier_from_plain(struct engine *engine, struct session *session)
{
    struct login *login = session->login;
    if (verifier_cache_find(&engine->verifiers, login->user, login->secret, &login->verifier)) {
        ask_sasl(engine, session);
        return;
    }
    engine_random(engine, login->derive_salt, sizeof(login->derive_salt));
    derive(engine, session, LOGIN_VERIFIER);
}

/* The secret is known, or known not to be (login->mock). */
static void start_dialogue(struct engine *engine, struct session *session)
{
    struct login *login = session->login;
    bool verifier = !login->mock && scram_is_verifier(login->secret);
    if (login->method == AUTH_PASSWORD) {
        ask_password(engine, session);
        return;
    }
    /* As PostgreSQL: method md5 with a SCRAM secret plays SCRAM. */
    if (login->method == AUTH_MD5 && !verifier) {
        ask_md5(engine, session);
        return;
    }
    bool md5_only = !login->mock && md5auth_is_secret(login->secret, strlen(login->secret));
    if (verifier &&
        scram_verifier_parse(login->secret, strlen(login->secret), &login->verifier) != 0) {
        md5_only = true;
    }
    if (login->mock || md5_only) {
        login->mock = true;
        login->refusal = md5_only ? "the stored secret does not allow SCRAM" : "unknown user";
        scram_verifier_mock(engine->secret, sizeof(engine->secret), login->user,
                            strlen(login->user), &login->verifier);
        ask_sasl(engine, session);
        return;
    }
    if (verifier) {
        ask_sasl(engine, session);
        return;
    }
    verifier_from_plain(engine, session);
}

static void have_secret(struct engine *engine, struct session *session, const char *secret)
{
    struct login *login = session->login;
    login->mock = secret == NULL || secret[0] == '\0';
    if (!login->mock) {
        login->secret = strdup(secret);
        if (login->secret == NULL) {
            session_close(engine, session);
            return;
        }
    }
    start_dialogue(engine, session);
}

/* --- peer: the kernel says who it is ---------------------------------------------------------- */

static void ask_os_user(struct engine *engine, struct session *session)
{
    struct action *action = engine_action(engine, ACTION_ASK_OS_USER);
    if (action == NULL) {
        session_close(engine, session);
        return;
    }
    action->handle = session->conn.handle;
    action->uid = session->origin.unix_uid;
    session->login->phase = LOGIN_OS_USER;
}

void login_os_user(struct engine *engine, struct session *session, const char *name)
{
    struct login *login = session->login;
    if (session->state != SESSION_AUTH || login->phase != LOGIN_OS_USER) {
        return;
    }
    if (name != NULL && strcmp(name, login->user) == 0) {
        login_authenticated(engine, session);
        session_resume_later(engine, session);
        return;
    }
    engine_log(engine, LOG_NOTICE, "login refused: db=%s user=%s: the peer is %s (uid %u)",
               login->database, login->user, name == NULL ? "nobody known" : name,
               session->origin.unix_uid);
    char message[LIMIT_NAME_BYTES * 4 + 64];
    struct report report = {.code = ERR_AUTH_REJECTED, .message = message};
    snprintf(message, sizeof(message), "peer authentication failed for user \"%s\"", login->user);
    session_fail(engine, session, &report);
}

void login_auth_start(struct engine *engine, struct session *session)
{
    struct login *login = session->login;
    const struct options *options = engine->options;
    if (login->method == AUTH_TRUST || login->method == AUTH_CERT) {
        login_authenticated(engine, session);
        return;
    }
    if (login->method == AUTH_PEER) {
        ask_os_user(engine, session);
        return;
    }
    const char *secret =
        options->users_secrets == NULL ? NULL : userlist_find(options->users_secrets, login->user);
    if (secret != NULL) {
        have_secret(engine, session, secret);
        return;
    }
    struct action *action = engine_action(engine, ACTION_ASK_SECRET);
    if (action == NULL) {
        session_close(engine, session);
        return;
    }
    action->handle = session->conn.handle;
    engine_action_names(action, login->database, login->user);
    login->phase = LOGIN_SECRET;
}

void login_secret(struct engine *engine, struct session *session,
                  const struct secret_answer *answer)
{
    struct login *login = session->login;
    if (session->state != SESSION_AUTH || login->phase != LOGIN_SECRET) {
        return;
    }
    if (answer->code == ERR_NO_SECRETS) {
        struct report report = {.code = ERR_NO_SECRETS,
                                .hint = "Set auth.users_file, auth.query, or a password in the "
                                        "database's connection string."};
        session_fail(engine, session, &report);
        return;
    }
    if (answer->code != 0) {
        engine_log(engine, LOG_WARNING, "secret lookup failed: db=%s user=%s: %s", login->database,
                   login->user, answer->detail == NULL ? "" : answer->detail);
    }
    login->looked_up = true;
    bool usable = answer->code == 0 && answer->found;
    have_secret(engine, session, usable ? answer->secret : NULL);
    session_resume_later(engine, session);
}

/* --- derivations ------------------------------------------------------------------------------ */

bool login_derivation(const struct session *session, struct derivation *ret_derivation)
{
    const struct login *login = session->login;
    const char *password;
    if (login == NULL) {
        return false;
    }
    if (login->phase == LOGIN_VERIFIER) {
        password = login->secret;
        memcpy(ret_derivation->salt, login->derive_salt, sizeof(login->derive_salt));
        ret_derivation->salt_bytes = sizeof(login->derive_salt);
        ret_derivation->iterations = SCRAM_ITERATIONS_DEFAULT;
    } else if (login->phase == LOGIN_CHECK) {
        password = login->password;
        memcpy(ret_derivation->salt, login->verifier.salt, login->verifier.salt_bytes);
        ret_derivation->salt_bytes = login->verifier.salt_bytes;
        ret_derivation->iterations = login->verifier.iterations;
    } else {
        return false;
    }
    size_t len = strlen(password);
    if (len >= sizeof(ret_derivation->password)) {
        return false;
    }
    memcpy(ret_derivation->password, password, len + 1);
    return true;
}

void login_derived(struct engine *engine, struct session *session, const uint8_t *keys)
{
    struct login *login = session->login;
    uint8_t stored_key[SCRAM_KEY_BYTES];
    if (session->state != SESSION_AUTH || login == NULL) {
        return;
    }
    crypto_sha256(keys, SCRAM_KEY_BYTES, stored_key);
    if (login->phase == LOGIN_CHECK) {
        if (crypto_equal(stored_key, login->verifier.stored_key, SCRAM_KEY_BYTES)) {
            login_authenticated(engine, session);
        } else {
            login_refuse(engine, session, "wrong password");
        }
    } else if (login->phase == LOGIN_VERIFIER) {
        struct scram_verifier *verifier = &login->verifier;
        *verifier = (struct scram_verifier){.iterations = SCRAM_ITERATIONS_DEFAULT,
                                            .salt_bytes = sizeof(login->derive_salt)};
        memcpy(verifier->salt, login->derive_salt, sizeof(login->derive_salt));
        memcpy(verifier->stored_key, stored_key, SCRAM_KEY_BYTES);
        memcpy(verifier->server_key, keys + SCRAM_KEY_BYTES, SCRAM_KEY_BYTES);
        verifier_cache_add(&engine->verifiers, login->user, login->secret, verifier);
        ask_sasl(engine, session);
    }
    session_resume_later(engine, session);
}

/* --- the client's messages -------------------------------------------------------------------- */

static void check_password(struct engine *engine, struct session *session, const char *password)
{
    struct login *login = session->login;
    size_t len = strlen(password);
    if (login->mock || len == 0) { /* an empty password is never right (CVE-2017-7546) */
        login_refuse(engine, session, "unknown user or empty password");
        return;
    }
    login->password = strdup(password);
    if (login->password == NULL) {
        session_close(engine, session);
        return;
    }
    size_t secret_len = strlen(login->secret);
    if (scram_is_verifier(login->secret)) {
        if (scram_verifier_parse(login->secret, secret_len, &login->verifier) != 0) {
            login_refuse(engine, session, "the stored secret is malformed");
            return;
        }
        derive(engine, session, LOGIN_CHECK);
        return;
    }
    bool right = secret_len == len && crypto_equal(login->secret, password, len);
    if (md5auth_is_secret(login->secret, secret_len)) {
        char given[MD5AUTH_TEXT_BYTES + 1];
        md5auth_secret(password, len, login->user, strlen(login->user), given);
        right = crypto_equal(given, login->secret, MD5AUTH_TEXT_BYTES);
        crypto_wipe(given, sizeof(given));
    }
    if (right) {
        login_authenticated(engine, session);
    } else {
        login_refuse(engine, session, "wrong password");
    }
}

static void take_password(struct engine *engine, struct session *session, const uint8_t *body,
                          uint32_t body_bytes)
{
    struct login *login = session->login;
    if (body_bytes == 0 || memchr(body, 0, body_bytes) != body + body_bytes - 1) {
        struct report report = {.code = ERR_PROTOCOL, .message = "invalid password packet size"};
        session_fail(engine, session, &report);
        return;
    }
    if (login->method == AUTH_PASSWORD) {
        check_password(engine, session, (const char *)body);
        return;
    }
    if (!login->mock &&
        md5auth_check(login->secret, strlen(login->secret), login->user, strlen(login->user),
                      login->md5_salt, (const char *)body, body_bytes - 1)) {
        login_authenticated(engine, session);
        return;
    }
    login_refuse(engine, session, login->mock ? "unknown user" : "wrong password");
}

static void sasl_failed(struct engine *engine, struct session *session, int code)
{
    struct login *login = session->login;
    if (code == ERR_AUTH_FAILED) {
        login_refuse(engine, session, login->mock ? login->refusal : "wrong password");
        return;
    }
    struct report report = {.code = code, .message = "malformed SCRAM message"};
    if (code == ERR_AUTH_REJECTED) {
        report.message = "SCRAM channel binding check failed";
    }
    session_fail(engine, session, &report);
}

static void sasl_first(struct engine *engine, struct session *session, const char *in,
                       size_t in_bytes)
{
    char out[SCRAM_MESSAGE_BYTES_MAX];
    size_t out_bytes;
    int code = scram_server_first(&session->login->scram, in, in_bytes, out, &out_bytes);
    if (code != 0) {
        sasl_failed(engine, session, code);
        return;
    }
    session->login->phase = LOGIN_SASL_FINAL;
    send_request(engine, session, AUTH_REQUEST_SASL_CONTINUE, out, out_bytes);
}

static void sasl_initial(struct engine *engine, struct session *session, const uint8_t *body,
                         uint32_t body_bytes)
{
    struct login *login = session->login;
    struct reader reader = reader_of(body, body_bytes);
    uint8_t nonce[SCRAM_NONCE_RAW_BYTES];
    const char *mechanism = reader_cstr(&reader);
    uint32_t len = reader_u32(&reader);
    bool none = len == UINT32_MAX;
    const uint8_t *in = none ? NULL : reader_bytes(&reader, len);
    if (reader.failed || reader.left != 0) {
        sasl_failed(engine, session, ERR_PROTOCOL);
        return;
    }
    engine_random(engine, nonce, sizeof(nonce));
    int code = scram_server_init(&login->scram, mechanism, strlen(mechanism), &login->verifier,
                                 session->tls ? login->tls.end_point : NULL,
                                 session->tls ? login->tls.end_point_bytes : 0, nonce);
    if (code != 0) {
        sasl_failed(engine, session, code);
        return;
    }
    if (none) {
        login->phase = LOGIN_SASL_FIRST;
        send_request(engine, session, AUTH_REQUEST_SASL_CONTINUE, NULL, 0);
        return;
    }
    sasl_first(engine, session, (const char *)in, len);
}

static void sasl_final(struct engine *engine, struct session *session, const uint8_t *body,
                       uint32_t body_bytes)
{
    char out[SCRAM_MESSAGE_BYTES_MAX];
    size_t out_bytes;
    int code =
        scram_server_final(&session->login->scram, (const char *)body, body_bytes, out, &out_bytes);
    if (code != 0) {
        sasl_failed(engine, session, code);
        return;
    }
    send_request(engine, session, AUTH_REQUEST_SASL_FINAL, out, out_bytes);
    login_authenticated(engine, session);
}

void login_auth_message(struct engine *engine, struct session *session, const uint8_t *body,
                        uint32_t body_bytes)
{
    if (!login_allowed(engine, session)) { /* others may have failed since it began */
        return;
    }
    switch (session->login->phase) {
    case LOGIN_PASSWORD:
        take_password(engine, session, body, body_bytes);
        return;
    case LOGIN_SASL_INITIAL:
        sasl_initial(engine, session, body, body_bytes);
        return;
    case LOGIN_SASL_FIRST:
        sasl_first(engine, session, (const char *)body, body_bytes);
        return;
    case LOGIN_SASL_FINAL:
        sasl_final(engine, session, body, body_bytes);
        return;
    case LOGIN_STARTING:
    case LOGIN_SECRET:
    case LOGIN_OS_USER:
    case LOGIN_VERIFIER:
    case LOGIN_CHECK:
    case LOGIN_DELAY:
    case LOGIN_DONE:
        UNREACHABLE();
    }
}
