#include "protocol/scram.h"

#include <string.h>

#include "base/assert.h"
#include "base/error.h"
#include "protocol/base64.h"

static const char binding_flags[] = {
    [SCRAM_BINDING_NONE] = 'n',
    [SCRAM_BINDING_UNUSED] = 'y',
    [SCRAM_BINDING_BOUND] = 'p',
};

/* The moves drawn in the header: one step on, or FAILED. */
static void move(struct scram_client *client, enum scram_client_state to)
{
    ASSERT(to == SCRAM_CLIENT_FAILED || (int)to == (int)client->state + 1);
    client->state = to;
}

static int fail(struct scram_client *client, int error)
{
    move(client, SCRAM_CLIENT_FAILED);
    return error;
}

int scram_client_choose(const char *mechanisms, size_t count, bool can_bind, bool required,
                        enum scram_binding *ret_mode)
{
    bool plain = false, plus = false;

    while (count > 0 && mechanisms[0] != '\0') {
        const char *end = memchr(mechanisms, '\0', count);
        if (end == NULL) {
            return ERR_SERVER_PROTOCOL;
        }
        plain |= strcmp(mechanisms, scram_mechanism) == 0;
        plus |= strcmp(mechanisms, scram_mechanism_plus) == 0;
        count -= (size_t)(end - mechanisms) + 1;
        mechanisms = end + 1;
    }
    if (plus && can_bind) {
        *ret_mode = SCRAM_BINDING_BOUND;
    } else if (!plain || required) {
        return ERR_AUTH_METHOD;
    } else {
        *ret_mode = can_bind ? SCRAM_BINDING_UNUSED : SCRAM_BINDING_NONE;
    }
    return 0;
}

const char *scram_client_mechanism(enum scram_binding mode)
{
    return mode == SCRAM_BINDING_BOUND ? scram_mechanism_plus : scram_mechanism;
}

void scram_client_init(struct scram_client *client, enum scram_binding mode, const uint8_t *binding,
                       size_t binding_bytes, const uint8_t nonce_raw[SCRAM_NONCE_RAW_BYTES])
{
    memset(client, 0, sizeof *client);
    client->state = SCRAM_CLIENT_INIT;
    client->mode = mode;
    if (mode == SCRAM_BINDING_BOUND) {
        ASSERT(binding_bytes > 0 && binding_bytes <= SCRAM_BINDING_BYTES_MAX);
        client->binding_bytes = (uint8_t)binding_bytes;
        memcpy(client->binding, binding, binding_bytes);
    }
    base64_encode(nonce_raw, SCRAM_NONCE_RAW_BYTES, client->nonce_own);
}

void scram_client_fini(struct scram_client *client)
{
    crypto_wipe(client, sizeof *client);
    client->state = SCRAM_CLIENT_FAILED;
}

static size_t write_first_bare(const struct scram_client *client, char *out, size_t at)
{
    at = scram_append(out, at, "n=,r=", 5);
    return scram_append(out, at, client->nonce_own, sizeof client->nonce_own);
}

size_t scram_client_first(struct scram_client *client, char out[SCRAM_MESSAGE_BYTES_MAX])
{
    static const char bound[] = "p=tls-server-end-point,,";
    size_t at;

    ASSERT(client->state == SCRAM_CLIENT_INIT);
    if (client->mode == SCRAM_BINDING_BOUND) {
        at = scram_append(out, 0, bound, sizeof bound - 1);
    } else {
        at = scram_append(out, 0, &binding_flags[client->mode], 1);
        at = scram_append(out, at, ",,", 2);
    }
    move(client, SCRAM_CLIENT_SENT);
    return write_first_bare(client, out, at);
}

/* server-first-message = [reserved-mext ","] nonce "," salt "," iteration-count ["," extensions] */
int scram_client_challenge(struct scram_client *client, const char *in, size_t in_bytes)
{
    struct scram_reader reader = {.at = in, .left = in_bytes};
    struct scram_value nonce, salt, count, ignored;
    size_t salt_bytes = 0;
    char letter;

    if (client->state != SCRAM_CLIENT_SENT || in_bytes > sizeof client->server_first ||
        !scram_read(&reader, 'r', &nonce) || !scram_read(&reader, 's', &salt) ||
        !scram_read(&reader, 'i', &count)) {
        return fail(client, ERR_SERVER_PROTOCOL);
    }
    while (reader.left > 0) {
        if (!scram_read_any(&reader, &letter, &ignored) || letter == 'm') {
            return fail(client, ERR_SERVER_PROTOCOL);
        }
    }
    ASSERT(reader.seen & SCRAM_SEEN('r') && reader.seen & SCRAM_SEEN('s') &&
           reader.seen & SCRAM_SEEN('i'));

    /* The nonce must be ours with something of the server's behind it. */
    if (!scram_printable(nonce.bytes, nonce.count) || nonce.count > sizeof client->nonce ||
        nonce.count <= sizeof client->nonce_own ||
        !crypto_equal(nonce.bytes, client->nonce_own, sizeof client->nonce_own) ||
        base64_decode(salt.bytes, salt.count, client->salt, sizeof client->salt, &salt_bytes) !=
            0 ||
        salt_bytes == 0 || !scram_parse_iterations(count, &client->iterations)) {
        return fail(client, ERR_SERVER_PROTOCOL);
    }
    if (client->iterations > LIMIT_SCRAM_ITERATIONS) {
        return fail(client, ERR_LIMIT);
    }
    client->salt_bytes = (uint16_t)salt_bytes;
    client->nonce_bytes = (uint16_t)nonce.count;
    memcpy(client->nonce, nonce.bytes, nonce.count);
    client->server_first_bytes = (uint16_t)in_bytes;
    memcpy(client->server_first, in, in_bytes);
    move(client, SCRAM_CLIENT_ASKED);
    return 0;
}

/* The AuthMessage (RFC 5802 section 3) under one key. */
static void sign(const struct scram_client *client, const uint8_t key[SCRAM_KEY_BYTES],
                 const char *without_proof, size_t count, uint8_t ret_signature[SCRAM_KEY_BYTES])
{
    char bare[SCRAM_MESSAGE_BYTES_MAX];
    struct crypto_hmac hmac;

    crypto_hmac_init(&hmac, key, SCRAM_KEY_BYTES);
    crypto_hmac_add(&hmac, bare, write_first_bare(client, bare, 0));
    crypto_hmac_add(&hmac, ",", 1);
    crypto_hmac_add(&hmac, client->server_first, client->server_first_bytes);
    crypto_hmac_add(&hmac, ",", 1);
    crypto_hmac_add(&hmac, without_proof, count);
    crypto_hmac_done(&hmac, ret_signature);
}

size_t scram_client_final(struct scram_client *client, const struct scram_keys *keys,
                          char out[SCRAM_MESSAGE_BYTES_MAX])
{
    char binding[SCRAM_MESSAGE_BYTES_MAX];
    uint8_t stored_key[SCRAM_KEY_BYTES], proof[SCRAM_KEY_BYTES];

    ASSERT(client->state == SCRAM_CLIENT_ASKED);
    size_t count = scram_binding_text(binding_flags[client->mode], client->binding,
                                      client->binding_bytes, binding);
    size_t at = scram_append(out, 0, "c=", 2);
    at = scram_append(out, at, binding, count);
    at = scram_append(out, at, ",r=", 3);
    at = scram_append(out, at, client->nonce, client->nonce_bytes);

    crypto_sha256(keys->client_key, SCRAM_KEY_BYTES, stored_key);
    sign(client, stored_key, out, at, proof);
    sign(client, keys->server_key, out, at, client->server_signature);
    for (size_t i = 0; i < SCRAM_KEY_BYTES; i++) {
        proof[i] ^= keys->client_key[i];
    }
    at = scram_append(out, at, ",p=", 3);
    move(client, SCRAM_CLIENT_PROVED);
    return scram_append_base64(out, at, proof, sizeof proof);
}

/* server-final-message = (server-error / verifier) ["," extensions] */
int scram_client_verify(struct scram_client *client, const char *in, size_t in_bytes)
{
    struct scram_reader reader = {.at = in, .left = in_bytes};
    struct scram_value value, ignored;
    uint8_t signature[SCRAM_KEY_BYTES];
    size_t bytes = 0;
    char letter, extension;

    if (client->state != SCRAM_CLIENT_PROVED || !scram_read_any(&reader, &letter, &value)) {
        return fail(client, ERR_SERVER_PROTOCOL);
    }
    if (letter == 'e') {
        return fail(client, ERR_SERVER_LOGIN);
    }
    while (reader.left > 0) {
        if (!scram_read_any(&reader, &extension, &ignored)) {
            return fail(client, ERR_SERVER_PROTOCOL);
        }
    }
    if (letter != 'v' ||
        base64_decode(value.bytes, value.count, signature, sizeof signature, &bytes) != 0 ||
        bytes != sizeof signature) {
        return fail(client, ERR_SERVER_PROTOCOL);
    }
    if (!crypto_equal(signature, client->server_signature, sizeof signature)) {
        return fail(client, ERR_SERVER_LOGIN);
    }
    move(client, SCRAM_CLIENT_DONE);
    return 0;
}
