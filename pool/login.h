/* A client's login, for pool/login.c (startup packet, policy, what comes after) and
 * pool/login_auth.c (the dialogues that prove an identity).
 *
 *    startup packet -> which method? -> [secret awaited] -> dialogue -> authenticated -> pool
 *                          |                                  |
 *                          +-> refused                        +-> [delay] -> refused
 */
#ifndef POOL_LOGIN_H
#define POOL_LOGIN_H

#include <stdbool.h>
#include <stdint.h>

#include "pool/engine.h"
#include "protocol/auth_method.h"
#include "protocol/hba.h"
#include "protocol/scram.h"

struct report;
struct session;
struct startup;

enum login_phase {
    LOGIN_STARTING,
    LOGIN_SECRET,   /* ACTION_ASK_SECRET is under way */
    LOGIN_OS_USER,  /* ACTION_ASK_OS_USER is under way */
    LOGIN_VERIFIER, /* a verifier is being derived from a plain secret */
    LOGIN_PASSWORD, /* a password message is awaited: password or md5 */
    LOGIN_CHECK,    /* a clear-text password is being derived, to compare with a verifier */
    LOGIN_SASL_INITIAL,
    LOGIN_SASL_FIRST, /* the client sent no initial response: its first message is awaited */
    LOGIN_SASL_FINAL,
    LOGIN_DELAY, /* refused, and waiting to say so */
    LOGIN_DONE,
};

struct login {
    enum login_phase phase;
    enum auth_method method;
    enum hba_clientcert clientcert;
    bool mock;      /* no such user, or no secret of use: play the dialogue and refuse */
    bool looked_up; /* the secret is the answer to ACTION_ASK_SECRET */
    bool physical_replication;
    char *database, *user;
    char *secret;        /* as stored: plain, md5…, SCRAM-SHA-256$… */
    char *password;      /* proven clear text, for the server */
    char *replication;   /* the startup parameter as given, or NULL */
    const char *refusal; /* static detail for the log */
    uint8_t md5_salt[4];
    uint64_t refuse_at_us;
    struct tls_facts tls;
    struct scram_server scram;
    struct scram_verifier verifier;
    uint8_t derive_salt[SCRAM_SALT_BYTES_DEFAULT];
};

/* Begins the dialogue of login->method. */
void login_auth_start(struct engine *engine, struct session *session);

/* One password message ('p'). */
void login_auth_message(struct engine *engine, struct session *session, const uint8_t *body,
                        uint32_t body_bytes);

/* Whether the address and user may try (auth.fail_limit); if not, the client is told. */
bool login_allowed(struct engine *engine, struct session *session);

/* The identity is proven. */
void login_authenticated(struct engine *engine, struct session *session);

/* The identity is not proven: counts, waits fail_delay, tells. `why`: static, for the log only. */
void login_refuse(struct engine *engine, struct session *session, const char *why);

#endif
