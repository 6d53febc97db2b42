/* SCRAM-SHA-256 and SCRAM-SHA-256-PLUS (RFC 5802, RFC 7677), both sides, as PostgreSQL has them
 * (src/backend/libpq/auth-scram.c, src/interfaces/libpq/fe-auth-scram.c).
 *
 * Both sides are state machines over messages: bytes in, bytes out, nothing allocated, no clock and
 * no source of chance (the caller hands over random bytes). A machine is one struct, is moved by
 * copying it, and holds secrets: wipe it by scram_server_fini or scram_client_fini. The peer is
 * taken to be hostile on both sides: each attribute has a bound, comes once, in its place, and a
 * message is used only when all of its mandatory attributes have been seen.
 *
 * The one slow step, the derivation of keys from a password, is apart (scram_derive), so that a
 * caller can run it on another thread between two messages.
 *
 * The server's side recovers the ClientKey from a proof it has verified. With it, and without any
 * password, the same user can be logged in at a server that has the same verifier.
 */
#ifndef PROTOCOL_SCRAM_H
#define PROTOCOL_SCRAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/limits.h"
#include "protocol/crypto.h"

#define SCRAM_KEY_BYTES CRYPTO_SHA256_BYTES

/* Random bytes behind a nonce: SCRAM_RAW_NONCE_LEN, src/include/common/scram-common.h */
#define SCRAM_NONCE_RAW_BYTES 18
#define SCRAM_NONCE_TEXT_BYTES 24

/* What PostgreSQL uses for secrets that it makes (SCRAM_SHA_256_DEFAULT_ITERATIONS,
 * SCRAM_DEFAULT_SALT_LEN) */
#define SCRAM_ITERATIONS_DEFAULT 4096
#define SCRAM_SALT_BYTES_DEFAULT 16

/* Channel binding data: the longest digest there is */
#define SCRAM_BINDING_BYTES_MAX 64

/* Room that any message written here needs; a server-first-message beyond it is refused. */
#define SCRAM_MESSAGE_BYTES_MAX 1024

/* Room that scram_verifier_format needs, with the NUL */
#define SCRAM_SECRET_BYTES_MAX 512

/* A password beyond this is refused with ERR_LIMIT. */
#define SCRAM_PASSWORD_BYTES_MAX 4096

extern const char scram_mechanism[];      /* "SCRAM-SHA-256" */
extern const char scram_mechanism_plus[]; /* "SCRAM-SHA-256-PLUS" */

/* --- passwords, keys and verifiers --------------------------------------------------------- */

struct scram_keys {
    uint8_t client_key[SCRAM_KEY_BYTES];
    uint8_t server_key[SCRAM_KEY_BYTES];
};

/* What a server stores of a password. It is a secret, if a lesser one. */
struct scram_verifier {
    uint32_t iterations;
    uint16_t salt_bytes;
    bool mock; /* made up for a user who can't log in: no proof satisfies it */
    uint8_t salt[LIMIT_SCRAM_SALT_BYTES];
    uint8_t stored_key[SCRAM_KEY_BYTES];
    uint8_t server_key[SCRAM_KEY_BYTES];
};

/* The keys of a password: slow (iterations), pure, may run on any thread. ERR_LIMIT if the password
 * (also as SASLprep makes it) is longer than SCRAM_PASSWORD_BYTES_MAX, the salt than
 * LIMIT_SCRAM_SALT_BYTES, or iterations are not 1 to LIMIT_SCRAM_ITERATIONS; ERR_NO_MEMORY. */
int scram_derive(const char *password, size_t password_count, const uint8_t *salt,
                 size_t salt_bytes, uint32_t iterations, struct scram_keys *ret_keys);

/* The verifier of a password; errors and cost as scram_derive. */
int scram_verifier_build(const char *password, size_t password_count, const uint8_t *salt,
                         size_t salt_bytes, uint32_t iterations,
                         struct scram_verifier *ret_verifier);

/* Reads "SCRAM-SHA-256$<iterations>:<salt>$<StoredKey>:<ServerKey>" as pg_authid.rolpassword has
 * it. ERR_BAD_VALUE if it isn't one. */
int scram_verifier_parse(const char *text, size_t count, struct scram_verifier *ret_verifier);

/* Whether what is stored for a user begins as such a verifier does: it is no password then. */
bool scram_is_verifier(const char *stored);

/* Writes that form, NUL-terminated, and returns its length. */
size_t scram_verifier_format(const struct scram_verifier *verifier,
                             char ret_text[SCRAM_SECRET_BYTES_MAX]);

/* A verifier for a user who doesn't exist or has no usable secret, so that a stranger can't tell
 * who does: the salt is the same each time for the same seed and user (mock_scram_secret). */
void scram_verifier_mock(const uint8_t *seed, size_t seed_bytes, const char *user,
                         size_t user_count, struct scram_verifier *ret_verifier);

/* Whether keys derived for `verifier` also answer a server that asks with this salt and these
 * iterations; whether its stored key is the same too only that server knows. */
bool scram_verifier_matches(const struct scram_verifier *verifier, const uint8_t *salt,
                            size_t salt_bytes, uint32_t iterations);

/* --- the server's side, towards clients ----------------------------------------------------
 *
 *    INIT --client-first--> FIRST --client-final--> DONE
 *      \________________________\___________________> FAILED
 */

enum scram_server_state {
    SCRAM_SERVER_INIT,
    SCRAM_SERVER_FIRST,
    SCRAM_SERVER_DONE,
    SCRAM_SERVER_FAILED,
};

struct scram_server {
    enum scram_server_state state;
    bool plus;         /* the client selected -PLUS */
    bool plus_offered; /* we offered it */
    char binding_flag; /* 'n', 'y' or 'p', from the client's GS2 header */
    uint16_t nonce_bytes;
    uint8_t binding_bytes;
    uint8_t nonce_raw[SCRAM_NONCE_RAW_BYTES];
    char nonce[LIMIT_SCRAM_NONCE_BYTES + SCRAM_NONCE_TEXT_BYTES]; /* the client's, then ours */
    uint8_t binding[SCRAM_BINDING_BYTES_MAX];
    struct scram_verifier verifier;
    struct crypto_hmac client_signature, server_signature; /* over the AuthMessage so far */
    uint8_t client_key[SCRAM_KEY_BYTES];
};

/* Starts the exchange for a mechanism that the client selected in its SASLInitialResponse.
 * binding is the tls-server-end-point digest of our certificate and must be given (binding_bytes
 * > 0) exactly if -PLUS was offered. nonce_raw must be fresh from crypto_random. ERR_PROTOCOL if
 * the mechanism isn't one that was offered. */
int scram_server_init(struct scram_server *server, const char *mechanism, size_t mechanism_count,
                      const struct scram_verifier *verifier, const uint8_t *binding,
                      size_t binding_bytes, const uint8_t nonce_raw[SCRAM_NONCE_RAW_BYTES]);

void scram_server_fini(struct scram_server *server);

/* Takes the client-first-message, writes the server-first-message. The user name in it is ignored,
 * as PostgreSQL does: the startup message's counts. ERR_PROTOCOL if it is malformed or if a client
 * that could bind says we didn't offer it (a downgrade); ERR_UNSUPPORTED for an authorization
 * identity or a mandatory extension. */
int scram_server_first(struct scram_server *server, const char *in, size_t in_bytes,
                       char out[SCRAM_MESSAGE_BYTES_MAX], size_t *ret_bytes);

/* Takes the client-final-message; 0 with the server-final-message if the proof is right.
 * ERR_AUTH_FAILED if it is wrong or the verifier a mock one, ERR_AUTH_REJECTED if the channel
 * binding isn't ours, ERR_PROTOCOL if the message is malformed. Nothing is to be sent but the error
 * then. */
int scram_server_final(struct scram_server *server, const char *in, size_t in_bytes,
                       char out[SCRAM_MESSAGE_BYTES_MAX], size_t *ret_bytes);

/* After success only: the ClientKey recovered from the proof and the verifier's ServerKey. */
void scram_server_keys(const struct scram_server *server, struct scram_keys *ret_keys);

/* --- the client's side, towards servers ----------------------------------------------------
 *
 *    INIT --client-first--> SENT --server-first--> ASKED --client-final--> PROVED
 *                                                           --server-final--> DONE
 *    any of them -> FAILED
 */

enum scram_client_state {
    SCRAM_CLIENT_INIT,
    SCRAM_CLIENT_SENT,
    SCRAM_CLIENT_ASKED,
    SCRAM_CLIENT_PROVED,
    SCRAM_CLIENT_DONE,
    SCRAM_CLIENT_FAILED,
};

/* What the GS2 header says (RFC 5802 section 6) */
enum scram_binding {
    SCRAM_BINDING_NONE,   /* 'n': we can't bind: no TLS, or turned off */
    SCRAM_BINDING_UNUSED, /* 'y': we could, but the server didn't offer it */
    SCRAM_BINDING_BOUND,  /* 'p': SCRAM-SHA-256-PLUS */
};

struct scram_client {
    enum scram_client_state state;
    enum scram_binding mode;
    uint8_t binding_bytes;
    uint16_t salt_bytes;
    uint16_t nonce_bytes;
    uint16_t server_first_bytes;
    uint32_t iterations;
    char nonce_own[SCRAM_NONCE_TEXT_BYTES];
    char nonce[SCRAM_NONCE_TEXT_BYTES + LIMIT_SCRAM_NONCE_BYTES]; /* ours, then the server's */
    uint8_t binding[SCRAM_BINDING_BYTES_MAX];
    uint8_t salt[LIMIT_SCRAM_SALT_BYTES];
    char server_first[SCRAM_MESSAGE_BYTES_MAX];
    uint8_t server_signature[SCRAM_KEY_BYTES];
};

/* Chooses from the mechanisms of AuthenticationSASL (each with a NUL, then an empty one).
 * can_bind: the link has TLS and the digest of the server's certificate. ERR_AUTH_METHOD if none is
 * possible, or if binding is `required` and can't be had. */
int scram_client_choose(const char *mechanisms, size_t count, bool can_bind, bool required,
                        enum scram_binding *ret_mode);

/* The mechanism's name that goes with a mode; static storage. */
const char *scram_client_mechanism(enum scram_binding mode);

/* binding: the tls-server-end-point digest of the server's certificate for SCRAM_BINDING_BOUND,
 * else ignored. nonce_raw must be fresh from crypto_random. */
void scram_client_init(struct scram_client *client, enum scram_binding mode, const uint8_t *binding,
                       size_t binding_bytes, const uint8_t nonce_raw[SCRAM_NONCE_RAW_BYTES]);

void scram_client_fini(struct scram_client *client);

/* Writes the client-first-message; returns its length. The user name is left empty: PostgreSQL
 * takes that of the startup message. */
size_t scram_client_first(struct scram_client *client, char out[SCRAM_MESSAGE_BYTES_MAX]);

/* Takes the server-first-message: client->salt, salt_bytes and iterations are then what keys are
 * to be derived from. ERR_SERVER_PROTOCOL if it is malformed, ERR_LIMIT if it asks for more than
 * LIMIT_SCRAM_ITERATIONS. */
int scram_client_challenge(struct scram_client *client, const char *in, size_t in_bytes);

/* Writes the client-final-message for keys that were derived, or known from a client's own proof;
 * returns its length. */
size_t scram_client_final(struct scram_client *client, const struct scram_keys *keys,
                          char out[SCRAM_MESSAGE_BYTES_MAX]);

/* Takes the server-final-message. 0: the server has proved that it knows the verifier, and only
 * then may its AuthenticationOk count (scram_client_done). ERR_SERVER_LOGIN if its signature is
 * wrong or it reports an error, ERR_SERVER_PROTOCOL if the message is malformed. */
int scram_client_verify(struct scram_client *client, const char *in, size_t in_bytes);

static inline bool scram_client_done(const struct scram_client *client)
{
    return client->state == SCRAM_CLIENT_DONE;
}

/* --- shared by the two sides --------------------------------------------------------------- */

/* A message being read. `seen` has a bit for each attribute letter that has come: none may come
 * twice, and a message is accepted only if all that it must have are there. */
struct scram_reader {
    const char *at;
    size_t left;
    uint64_t seen;
};

struct scram_value {
    const char *bytes;
    size_t count;
};

#define SCRAM_SEEN(letter) (UINT64_C(1) << ((letter)&63))

/* Reads "x=value" up to a comma, which it takes, or the end. False if there is none, the letter
 * isn't a letter or has come before, or the text holds a NUL. */
bool scram_read_any(struct scram_reader *reader, char *ret_letter, struct scram_value *ret_value);

/* The same for one letter that must come now. */
bool scram_read(struct scram_reader *reader, char letter, struct scram_value *ret_value);

/* Whether a nonce is made of "printable" characters (RFC 5802 section 7) and not empty. */
bool scram_printable(const char *text, size_t count);

/* A decimal number from 1 to 2^32 - 1. */
bool scram_parse_iterations(struct scram_value text, uint32_t *ret_iterations);

/* The GS2 header and binding data in base64, as "c=" has it; returns the characters written. */
size_t scram_binding_text(char flag, const uint8_t *binding, size_t binding_bytes,
                          char out[SCRAM_MESSAGE_BYTES_MAX]);

/* Appends to a message under construction, which must have the room. */
size_t scram_append(char out[SCRAM_MESSAGE_BYTES_MAX], size_t at, const char *bytes, size_t count);
size_t scram_append_base64(char out[SCRAM_MESSAGE_BYTES_MAX], size_t at, const void *bytes,
                           size_t count);

#endif
