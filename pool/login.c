#include "pool/login.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/assert.h"
#include "base/error.h"
#include "base/limits.h"
#include "pool/account.h"
#include "pool/admin.h"
#include "pool/cancel.h"
#include "pool/core.h"
#include "pool/firewall.h"
#include "pool/lend.h"
#include "pool/link.h"
#include "pool/options.h"
#include "pool/own_answer.h"
#include "pool/pool.h"
#include "pool/route.h"
#include "pool/session.h"
#include "protocol/crypto.h"
#include "protocol/message.h"
#include "protocol/report.h"
#include "protocol/startup.h"
#include "protocol/userlist.h"

static struct login *login_of(struct session *session)
{
    if (session->login == NULL) {
        session->login = calloc(1, sizeof(*session->login));
    }
    return session->login;
}

void login_free(struct engine *engine, struct session *session)
{
    struct login *login = session->login;
    settings_unref(&engine->settings, session->login_asked);
    session->login_asked = NULL;
    if (login == NULL) {
        return;
    }
    if (login->secret != NULL) {
        crypto_wipe(login->secret, strlen(login->secret));
    }
    if (login->password != NULL) {
        crypto_wipe(login->password, strlen(login->password));
    }
    free(login->secret);
    free(login->password);
    free(login->database);
    free(login->user);
    free(login->replication);
    crypto_wipe(login, sizeof(*login));
    free(login);
    session->login = NULL;
}

static void fail(struct engine *engine, struct session *session, int code, const char *message)
{
    struct report report = {.code = code, .message = message};
    session_fail(engine, session, &report);
}

/* --- TLS -------------------------------------------------------------------------------------- */

/* SSLRequest and GSSENCRequest, each at most once. What lies behind an SSLRequest that is granted
 * was written before TLS and is never interpreted after it: it ends the connection. */
static void take_encryption_request(struct engine *engine, struct session *session, uint32_t code,
                                    bool more_behind)
{
    bool is_tls = code == STARTUP_SSL;
    bool *asked = is_tls ? &session->tls_asked : &session->gss_asked;
    if (*asked || session->tls) {
        fail(engine, session, ERR_PROTOCOL, "encryption was requested twice");
        return;
    }
    *asked = true;
    if (!is_tls || !engine->tls_available || session->origin.is_unix) {
        conn_write(engine, &session->conn, "N", 1);
        return;
    }
    if (more_behind) {
        fail(engine, session, ERR_PROTOCOL, "received unencrypted data after SSL request");
        return;
    }
    session->state = SESSION_TLS;
    conn_write(engine, &session->conn, "S", 1);
    conn_todo(engine, &session->conn, TODO_TLS_ACCEPT);
}

void login_tls(struct engine *engine, struct session *session, const struct tls_facts *facts)
{
    struct login *login = login_of(session);
    ASSERT(session->state == SESSION_TLS);
    if (login == NULL) {
        session_close(engine, session);
        return;
    }
    if (facts->direct && !facts->alpn_postgresql) {
        session_close(engine, session); /* as PostgreSQL: direct TLS must name the protocol */
        return;
    }
    login->tls = *facts;
    session->tls = true;
    session->state = SESSION_STARTUP;
}

/* --- the startup packet ----------------------------------------------------------------------- */

struct options_text {
    char text[LIMIT_STARTUP_BYTES];
    struct setting items[LIMIT_STARTUP_PARAMETERS * 2];
    uint32_t count;
};

/* Splits at spaces; a backslash takes the next character as it is (pg_split_opts, postinit.c).
 * Returns the next word, which is written over the text itself, or NULL. */
static char *next_word(char **at)
{
    char *from = *at, *word, *to;
    while (*from == ' ' || (*from >= '\t' && *from <= '\r')) {
        from++;
    }
    if (*from == '\0') {
        return NULL;
    }
    word = to = from;
    while (*from != '\0' && *from != ' ' && !(*from >= '\t' && *from <= '\r')) {
        if (*from == '\\' && from[1] != '\0') {
            from++;
        }
        *to++ = *from++;
    }
    *at = *from == '\0' ? from : from + 1;
    *to = '\0';
    return word;
}

static bool add_setting(struct options_text *parsed, char *name, const char *value)
{
    for (char *at = name; *at != '\0'; at++) {
        if (*at == '-') { /* ParseLongOption, guc.c */
            *at = '_';
        }
    }
    if (!settings_name_ok(name) || parsed->count == LIMIT_STARTUP_PARAMETERS * 2) {
        return false;
    }
    parsed->items[parsed->count++] = (struct setting){name, value};
    return true;
}

/* "-c name=value", "-cname=value" and "--name=value", as backends take them. False for anything
 * else. */
static bool parse_options(struct options_text *parsed, const char *options)
{
    char *at = parsed->text, *word;
    snprintf(parsed->text, sizeof(parsed->text), "%s", options);
    while ((word = next_word(&at)) != NULL) {
        if (strcmp(word, "-c") == 0) {
            word = next_word(&at);
            if (word == NULL) {
                return false;
            }
        } else if (strncmp(word, "--", 2) == 0 || strncmp(word, "-c", 2) == 0) {
            word += 2;
        } else {
            return false;
        }
        char *equals = strchr(word, '=');
        if (equals == NULL) {
            return false;
        }
        *equals = '\0';
        if (!add_setting(parsed, word, equals + 1)) {
            return false;
        }
    }
    return true;
}

/* The howdah.* settings of them are Howdah's own, and no server's. False: the client was told why
 * not. */
static bool take_own(struct engine *engine, struct session *session, struct options_text *parsed)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < parsed->count; i++) {
        const struct setting *item = &parsed->items[i];
        struct own_answer answer = {.where = OWN_ALONE};
        if (!control_is_ours(item->name)) {
            parsed->items[kept++] = *item;
        } else if (!own_startup(engine, session, item->name, item->value, &answer)) {
            session_fail(engine, session, &answer.report);
            return false;
        }
    }
    parsed->count = kept;
    return true;
}

/* What the session wants, from the packet. ERR_BAD_VALUE, ERR_NO_MEMORY. */
static int take_settings(struct engine *engine, struct session *session,
                         const struct startup *startup)
{
    static const char *const not_settings[] = {"user", "database", "replication", "options"};
    struct options_text *parsed = calloc(1, sizeof(*parsed));
    const char *options = startup_parameter(startup, "options");
    int code = 0;
    if (parsed == NULL) {
        return ERR_NO_MEMORY;
    }
    if (options != NULL && !parse_options(parsed, options)) {
        code = ERR_BAD_VALUE;
    }
    for (uint32_t i = 0; code == 0 && i < startup->parameter_count; i++) {
        const char *name = startup->parameters[i].name;
        bool skip = strncmp(name, "_pq_.", 5) == 0;
        for (size_t k = 0; k < sizeof(not_settings) / sizeof(not_settings[0]); k++) {
            skip = skip || strcmp(name, not_settings[k]) == 0;
        }
        if (!skip && (!settings_name_ok(name) || parsed->count == LIMIT_STARTUP_PARAMETERS * 2)) {
            code = ERR_BAD_VALUE;
        } else if (!skip) {
            parsed->items[parsed->count++] = (struct setting){name, startup->parameters[i].value};
        }
    }
    if (code == 0 && !take_own(engine, session, parsed)) {
        free(parsed);
        return ERR_NONE; /* it has been told */
    }
    if (code == 0) {
        struct settings *wanted = settings_intern(&engine->settings, parsed->items, parsed->count);
        code = wanted == NULL ? ERR_NO_MEMORY : 0;
        if (wanted != NULL) {
            settings_unref(&engine->settings, session->settings);
            session->settings = wanted;
        }
    }
    free(parsed);
    return code;
}

static char *copy_name(const char *name)
{
    return strndup(name, LIMIT_NAME_BYTES - 1); /* as PostgreSQL truncates them */
}

/* "replication" is a boolean or "database" (ProcessStartupPacket, backend_startup.c). */
static bool take_replication(struct session *session, const char *value)
{
    static const char *const yes[] = {"true", "on", "yes", "1", "t", "y"};
    static const char *const no[] = {"false", "off", "no", "0", "f", "n"};
    if (value == NULL) {
        return true;
    }
    for (size_t i = 0; i < sizeof(yes) / sizeof(yes[0]); i++) {
        if (strcasecmp(value, no[i]) == 0) {
            return true;
        }
        session->login->physical_replication |= strcasecmp(value, yes[i]) == 0;
    }
    session->replication = session->login->physical_replication || strcmp(value, "database") == 0;
    session->login->replication = session->replication ? strdup(value) : NULL;
    return session->replication;
}

/* Takes over what the packet says. Returns false when the session was told why not. */
static bool take_identity(struct engine *engine, struct session *session,
                          const struct startup *startup)
{
    struct login *login = login_of(session);
    const char *user = startup_parameter(startup, "user");
    const char *database = startup_parameter(startup, "database");
    if (login == NULL) {
        session_close(engine, session);
        return false;
    }
    if (user == NULL || user[0] == '\0') {
        fail(engine, session, ERR_AUTH_REJECTED,
             "no PostgreSQL user name specified in startup packet");
        return false;
    }
    ASSERT(login->user == NULL && login->database == NULL); /* identity is written once */
    login->user = copy_name(user);
    login->database = copy_name(database == NULL || database[0] == '\0' ? user : database);
    if (login->user == NULL || login->database == NULL) {
        session_close(engine, session);
        return false;
    }
    if (!take_replication(session, startup_parameter(startup, "replication"))) {
        fail(engine, session, ERR_BAD_VALUE, "invalid value for parameter \"replication\"");
        return false;
    }
    int code = take_settings(engine, session, startup);
    if (session->conn.closing) {
        return false;
    }
    if (code != 0) {
        struct report report = {.code = code,
                                .message = "invalid startup parameter",
                                .hint = "Parameters are name=value; options take the forms "
                                        "\"-c name=value\" and \"--name=value\"."};
        session_fail(engine, session, &report);
        return false;
    }
    return true;
}

static enum auth_method method_of(struct engine *engine, struct session *session)
{
    struct login *login = session->login;
    const struct options *options = engine->options;
    if (options->auth.method != AUTH_HBA) {
        return options->auth.method;
    }
    struct hba_client client = {.local = session->origin.is_unix,
                                .tls = session->tls,
                                .ipv6 = session->origin.family == 6,
                                .database = login->database,
                                .user = login->user,
                                .physical_replication = login->physical_replication};
    struct hba_result result;
    memcpy(client.address, session->origin.address, sizeof(client.address));
    if (options->hba == NULL || !hba_match(options->hba, &client, &result)) {
        return AUTH_REJECT;
    }
    login->clientcert = result.clientcert;
    return result.method;
}

static bool certificate_suits(const struct session *session, enum tls_mode mode)
{
    const struct login *login = session->login;
    bool full = login->method == AUTH_CERT || login->clientcert == HBA_CLIENTCERT_VERIFY_FULL ||
                (session->tls && mode == TLS_VERIFY_FULL);
    if (!full && login->clientcert == HBA_CLIENTCERT_NONE) {
        return true;
    }
    return session->tls && login->tls.certificate_ok &&
           (!full || strcmp(login->tls.common_name, login->user) == 0);
}

bool login_allowed(struct engine *engine, struct session *session)
{
    const struct auth_options *auth = &engine->options->auth;
    if (shared_login_allowed(engine->shared, session->origin.address, session->login->user,
                             auth->fail_limit_count, auth->fail_limit_window_ms * UINT64_C(1000),
                             engine->now_us)) {
        return true;
    }
    struct report report = {.code = ERR_AUTH_FAILED,
                            .message = "too many failed logins",
                            .hint = "Wait; auth.fail_limit says for how long."};
    session_fail(engine, session, &report);
    return false;
}

static void start_session(struct engine *engine, struct session *session,
                          const struct startup *startup)
{
    struct login *login;
    uint32_t minor = startup->code & 0xffff;
    session->protocol = minor > 2 ? 2 : minor;
    if (minor > 2 || startup->unknown_option_count > 0) {
        startup_write_negotiate(&engine->scratch, startup, session->protocol);
        engine_flush_scratch(engine, &session->conn);
    }
    if (!take_identity(engine, session, startup)) {
        return;
    }
    login = session->login;
    session->state = SESSION_AUTH;
    if (engine->options->tls.mode >= TLS_REQUIRE && !session->tls && !session->origin.is_unix) {
        fail(engine, session, ERR_TLS_REQUIRED, NULL);
        return;
    }
    if (!login_allowed(engine, session)) {
        return;
    }
    login->method = method_of(engine, session);
    if (login->method == AUTH_REJECT) {
        struct report report = {.code = ERR_AUTH_REJECTED,
                                .hint = "Its pg_hba.conf has no line that lets this user, database "
                                        "and address in."};
        session_fail(engine, session, &report);
        return;
    }
    if (!certificate_suits(session, engine->options->tls.mode)) {
        login_refuse(engine, session, "no client certificate that suits");
        return;
    }
    login_auth_start(engine, session);
}

uint32_t login_take_packet(struct engine *engine, struct session *session, uint8_t *at,
                           uint32_t have, uint32_t *ret_whole)
{
    struct startup startup;
    uint32_t total;
    if (have < 4) {
        return 0;
    }
    if (startup_length(at, &total) != 0) {
        fail(engine, session, ERR_PROTOCOL, "invalid length of startup packet");
        return 0;
    }
    if (have < total) {
        *ret_whole = total;
        return 0;
    }
    int code = startup_parse(at, total, &startup);
    if (code != 0 && startup.code == STARTUP_CANCEL) {
        session_close(engine, session); /* a CancelRequest is never answered */
        return total;
    }
    if (code != 0) {
        fail(engine, session, code, "invalid startup packet layout");
        return 0;
    }
    switch (startup.code) {
    case STARTUP_SSL:
    case STARTUP_GSSENC:
        take_encryption_request(engine, session, startup.code, have > total);
        return total;
    case STARTUP_CANCEL:
        session->state = SESSION_CANCEL;
        cancel_request(engine, session, startup.cancel_pid, startup.cancel_key,
                       startup.cancel_key_bytes);
        return total;
    }
    if (startup.code >> 16 != 3) {
        char text[96];
        snprintf(text, sizeof(text),
                 "unsupported frontend protocol %u.%u: server supports 3.0 to 3.2",
                 startup.code >> 16, startup.code & 0xffff);
        fail(engine, session, ERR_UNSUPPORTED_PROTOCOL, text);
        return total;
    }
    start_session(engine, session, &startup);
    return total;
}

uint32_t login_take_message(struct engine *engine, struct session *session, uint8_t *at,
                            uint32_t have, uint32_t *ret_whole)
{
    uint32_t body_bytes;
    enum login_phase phase = session->login->phase;
    if (have < MESSAGE_HEADER_BYTES || phase == LOGIN_OS_USER) {
        return 0; /* method peer asks the client nothing: it may go on already */
    }
    if (at[0] == FRONTEND_TERMINATE) {
        session_close(engine, session);
        return 0;
    }
    if (at[0] != FRONTEND_PASSWORD || !message_header(message_frontend_bounds, at, &body_bytes)) {
        fail(engine, session, ERR_PROTOCOL, "expected a password message");
        return 0;
    }
    if (phase != LOGIN_PASSWORD && phase != LOGIN_SASL_INITIAL && phase != LOGIN_SASL_FIRST &&
        phase != LOGIN_SASL_FINAL) {
        return 0; /* an answer of ours is under way; what is sent ahead waits */
    }
    if (have < MESSAGE_HEADER_BYTES + body_bytes) {
        *ret_whole = MESSAGE_HEADER_BYTES + body_bytes;
        return 0;
    }
    login_auth_message(engine, session, at + MESSAGE_HEADER_BYTES, body_bytes);
    return MESSAGE_HEADER_BYTES + body_bytes;
}

/* --- after authentication --------------------------------------------------------------------- */

/* application_name as any server would report it: then it need not be asked for. */
static bool plain_application_name(const char *value)
{
    size_t len = strlen(value);
    for (size_t i = 0; i < len; i++) {
        if (value[i] < 32 || value[i] > 126) {
            return false;
        }
    }
    return len < LIMIT_NAME_BYTES;
}

/* The settings whose canonical spelling only a server can tell. */
static struct settings *settings_to_ask(struct engine *engine, struct session *session)
{
    const char *name = settings_get(session->settings, "application_name");
    if (name == NULL || !plain_application_name(name)) {
        settings_ref(session->settings);
        return session->settings;
    }
    return settings_with(&engine->settings, session->settings, "application_name", NULL);
}

/* The canonical settings plus the session's own application_name. */
static bool take_canonical(struct engine *engine, struct session *session,
                           struct settings *canonical)
{
    const char *name = settings_get(session->settings, "application_name");
    struct settings *own;
    if (name == NULL || settings_get(canonical, "application_name") != NULL) {
        settings_ref(canonical);
        own = canonical;
    } else {
        own = settings_with(&engine->settings, canonical, "application_name", name);
    }
    if (own == NULL) {
        return false;
    }
    settings_unref(&engine->settings, session->settings);
    session->settings = own;
    return true;
}

static void greet(struct engine *engine, struct session *session)
{
    struct pool *pool = session->pool;
    session->login_asked = settings_to_ask(engine, session);
    if (session->login_asked == NULL) {
        session_close(engine, session);
        return;
    }
    if (session->replication) {
        lend_replication(engine, session);
        return;
    }
    struct settings *canonical = pool_welcome(pool, session->login_asked);
    if (canonical == NULL || pool->disabled) {
        session->wait_from_us = engine->now_us;
        if (lend_ask(engine, session) && session->state == SESSION_LOGIN) {
            session_link_ready(engine, session);
        }
        return;
    }
    if (!take_canonical(engine, session, canonical)) {
        session_close(engine, session);
        return;
    }
    session_welcome(engine, session, pool->baseline, session->settings);
}

/* What logs the pool in at the server: what the client has proven, when the server's user is the
 * same one; else, or without a proof, what the users file says of the server's user. A password of
 * the connection string comes before either. */
static void keep_credentials(const struct engine *engine, struct session *session)
{
    struct login *login = session->login;
    struct pool *pool = session->pool;
    const struct userlist *users = engine->options->users_secrets;
    bool own = strcmp(pool->server_user, pool->user) == 0;
    const char *password = login->password != NULL ? login->password : login->secret;
    if (own && login->scram.state == SCRAM_SERVER_DONE) {
        struct scram_keys keys;
        scram_server_keys(&login->scram, &keys);
        memcpy(pool->keys, keys.client_key, SCRAM_KEY_BYTES);
        memcpy(pool->keys + SCRAM_KEY_BYTES, keys.server_key, SCRAM_KEY_BYTES);
        memcpy(pool->keys_salt, login->verifier.salt, login->verifier.salt_bytes);
        pool->keys_salt_bytes = login->verifier.salt_bytes;
        pool->keys_iterations = login->verifier.iterations;
        pool->has_keys = true;
        crypto_wipe(&keys, sizeof(keys));
    }
    if (!own || password == NULL) {
        password = users == NULL ? NULL : userlist_find(users, pool->server_user);
    }
    if (password != NULL && !pool->dsn_password && !scram_is_verifier(password)) {
        pool_set_password(pool, password);
    }
}

/* Counts the client under the limits of the process, its database and its user, as far as they are
 * there; false, and the client is told, when one is reached. */
static bool enter(struct engine *engine, struct session *session, struct pool *pool)
{
    const struct user_options *user = options_find_user(engine->options, session->login->user);
    struct report report = {.code = ERR_TOO_MANY_CLIENTS,
                            .hint = "max_clients of the proxy or the user is reached."};
    if (pool->disabled) {
        fail(engine, session, ERR_DATABASE_DISABLED, NULL);
        return false;
    }
    if (!session->counted ||
        !account_enter(pool->user_account, user == NULL ? 0 : user->max_clients)) {
        session_fail(engine, session, &report);
        return false;
    }
    return true;
}

/* A walsender is not in any database, and pg_basebackup and its kin name "replication": where that
 * is no database of ours and there is only one, its server is meant. */
static const char *database_of(const struct engine *engine, const struct login *login)
{
    const struct options *options = engine->options;
    bool any = login->physical_replication && options->database_count == 1 &&
               options_find_database(options, login->database) == NULL;
    return any ? options->databases[0].name : login->database;
}

void login_authenticated(struct engine *engine, struct session *session)
{
    struct login *login = session->login;
    int code = 0;
    uint32_t mark = writer_begin(&engine->scratch, 'R');
    writer_u32(&engine->scratch, 0);
    writer_end(&engine->scratch, mark);
    engine_flush_scratch(engine, &session->conn);
    login->phase = LOGIN_DONE;
    session->state = SESSION_LOGIN;
    if (admin_is_database(login->database)) {
        admin_open(engine, session, login->user);
        return;
    }
    ASSERT(session->pool == NULL); /* identity is written once */
    struct pool *pool =
        pool_get(engine, database_of(engine, login), login->user, POOL_PRIMARY, &code);
    if (pool == NULL) {
        char text[LIMIT_NAME_BYTES + 32];
        snprintf(text, sizeof(text), "database \"%s\" does not exist", login->database);
        fail(engine, session, code, code == ERR_NO_DATABASE ? text : NULL);
        return;
    }
    if (!enter(engine, session, pool)) {
        return;
    }
    session->pool = session->lender = pool;
    session->owns_link = pool->limits.mode == POOL_SESSION || session->replication;
    session->virtual_names = !session->owns_link && pool->limits.prepared_statements > 0;
    session->checks_state = !session->owns_link && pool->limits.check_state;
    pool->client_count++;
    firewall_begin(session);
    if (!route_begin(session)) {
        session_no_memory(engine, session);
        return;
    }
    keep_credentials(engine, session);
    engine_log(engine, LOG_DEBUG, "login: db=%s user=%s tls=%s", login->database, login->user,
               session->tls ? login->tls.version : "off");
    if (engine->draining) {
        fail(engine, session, ERR_SHUTTING_DOWN, NULL);
        return;
    }
    greet(engine, session);
}

void login_refuse(struct engine *engine, struct session *session, const char *why)
{
    struct login *login = session->login;
    const struct auth_options *auth = &engine->options->auth;
    shared_login_failed(engine->shared, session->origin.address, login->user,
                        auth->fail_limit_window_ms * UINT64_C(1000), engine->now_us);
    struct action *action = login->looked_up ? engine_action(engine, ACTION_FORGET_SECRET) : NULL;
    if (action != NULL) { /* it may have been changed since it was looked up */
        engine_action_names(action, login->database, login->user);
    }
    engine_log(engine, LOG_NOTICE, "login refused: db=%s user=%s: %s", login->database, login->user,
               why);
    login->phase = LOGIN_DELAY;
    login->refuse_at_us = engine->now_us + auth->fail_delay_ms * UINT64_C(1000);
    conn_wake_by(engine, &session->conn, login->refuse_at_us);
}

void login_timer(struct engine *engine, struct session *session)
{
    struct login *login = session->login;
    uint64_t deadline_us = session->connected_us + LIMIT_LOGIN_US;
    if (login != NULL && login->phase == LOGIN_DELAY) {
        if (engine->now_us < login->refuse_at_us) {
            conn_wake_by(engine, &session->conn, login->refuse_at_us);
            return;
        }
        char text[LIMIT_NAME_BYTES + 64];
        snprintf(text, sizeof(text), "%s authentication failed for user \"%s\"",
                 login->method == AUTH_CERT ? "certificate" : "password", login->user);
        fail(engine, session, login->method == AUTH_CERT ? ERR_AUTH_REJECTED : ERR_AUTH_FAILED,
             text);
        return;
    }
    if (engine->now_us >= deadline_us) {
        fail(engine, session, ERR_AUTH_TIMEOUT, NULL);
        return;
    }
    conn_wake_by(engine, &session->conn, deadline_us);
}
