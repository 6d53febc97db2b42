#include "protocol/scram.h"

#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/error.h"
#include "protocol/base64.h"

static bool text_is(struct scram_value value, const char *text)
{
    return value.count == strlen(text) && memcmp(value.bytes, text, value.count) == 0;
}

/* The moves drawn in the header. */
static void move(struct scram_server *server, enum scram_server_state to)
{
    enum scram_server_state from = server->state;

    ASSERT(to == SCRAM_SERVER_FAILED || (from == SCRAM_SERVER_INIT && to == SCRAM_SERVER_FIRST) ||
           (from == SCRAM_SERVER_FIRST && to == SCRAM_SERVER_DONE));
    server->state = to;
}

int scram_server_init(struct scram_server *server, const char *mechanism, size_t mechanism_count,
                      const struct scram_verifier *verifier, const uint8_t *binding,
                      size_t binding_bytes, const uint8_t nonce_raw[SCRAM_NONCE_RAW_BYTES])
{
    struct scram_value selected = {mechanism, mechanism_count};
    bool plus = text_is(selected, scram_mechanism_plus);

    ASSERT(binding_bytes <= SCRAM_BINDING_BYTES_MAX);
    ASSERT(verifier->salt_bytes <= LIMIT_SCRAM_SALT_BYTES);
    if ((plus && binding_bytes == 0) || (!plus && !text_is(selected, scram_mechanism))) {
        return ERR_PROTOCOL;
    }
    memset(server, 0, sizeof *server);
    server->state = SCRAM_SERVER_INIT;
    server->plus = plus;
    server->plus_offered = binding_bytes > 0;
    server->verifier = *verifier;
    server->binding_bytes = (uint8_t)binding_bytes;
    if (binding_bytes > 0) {
        memcpy(server->binding, binding, binding_bytes);
    }
    memcpy(server->nonce_raw, nonce_raw, SCRAM_NONCE_RAW_BYTES);
    return 0;
}

void scram_server_fini(struct scram_server *server)
{
    crypto_wipe(server, sizeof *server);
    server->state = SCRAM_SERVER_FAILED;
}

/* gs2-header = gs2-cbind-flag "," [ authzid ] "," (RFC 5802 section 7) */
static int read_header(struct scram_server *server, struct scram_reader *reader)
{
    static const char bound[] = "p=tls-server-end-point,";
    size_t flag_bytes = 2;

    if (reader->left < 3) {
        return ERR_PROTOCOL;
    }
    char flag = reader->at[0];
    if (flag == 'p') {
        flag_bytes = sizeof bound - 1;
        if (!server->plus || reader->left <= flag_bytes ||
            memcmp(reader->at, bound, flag_bytes) != 0) {
            return ERR_PROTOCOL;
        }
    } else if ((flag != 'n' && flag != 'y') || reader->at[1] != ',' || server->plus) {
        return ERR_PROTOCOL;
    } else if (flag == 'y' && server->plus_offered) {
        /* Somebody between us took -PLUS off the list that the client saw. */
        return ERR_PROTOCOL;
    }
    if (reader->at[flag_bytes] == 'a') {
        return ERR_UNSUPPORTED;
    }
    if (reader->at[flag_bytes] != ',') {
        return ERR_PROTOCOL;
    }
    server->binding_flag = flag;
    reader->at += flag_bytes + 1;
    reader->left -= flag_bytes + 1;
    return 0;
}

/* client-first-message-bare = [reserved-mext ","] username "," nonce ["," extensions] */
static int read_first_bare(struct scram_reader *reader, struct scram_value *ret_nonce)
{
    struct scram_value user, nonce, ignored;
    char letter;

    if (reader->left > 0 && reader->at[0] == 'm') {
        return ERR_UNSUPPORTED;
    }
    if (!scram_read(reader, 'n', &user) || !scram_read(reader, 'r', &nonce) ||
        !scram_printable(nonce.bytes, nonce.count) || nonce.count > LIMIT_SCRAM_NONCE_BYTES) {
        return ERR_PROTOCOL;
    }
    while (reader->left > 0) {
        if (!scram_read_any(reader, &letter, &ignored) || letter == 'm') {
            return ERR_PROTOCOL;
        }
    }
    ASSERT(reader->seen & SCRAM_SEEN('n') && reader->seen & SCRAM_SEEN('r'));
    *ret_nonce = nonce;
    return 0;
}

/* Adds to the AuthMessage (RFC 5802 section 3), which is only ever digested, never stored. */
static void add_auth_message(struct scram_server *server, const char *bytes, size_t count)
{
    crypto_hmac_add(&server->client_signature, bytes, count);
    crypto_hmac_add(&server->server_signature, bytes, count);
}

static size_t write_first(const struct scram_server *server, char *out)
{
    const struct scram_verifier *verifier = &server->verifier;
    char number[16];
    size_t at = 0;

    int digits = snprintf(number, sizeof number, "%u", verifier->iterations);
    at = scram_append(out, at, "r=", 2);
    at = scram_append(out, at, server->nonce, server->nonce_bytes);
    at = scram_append(out, at, ",s=", 3);
    at = scram_append_base64(out, at, verifier->salt, verifier->salt_bytes);
    at = scram_append(out, at, ",i=", 3);
    return scram_append(out, at, number, (size_t)digits);
}

int scram_server_first(struct scram_server *server, const char *in, size_t in_bytes,
                       char out[SCRAM_MESSAGE_BYTES_MAX], size_t *ret_bytes)
{
    struct scram_reader reader = {.at = in, .left = in_bytes};
    struct scram_value nonce;
    int error = ERR_PROTOCOL;

    if (server->state == SCRAM_SERVER_INIT) {
        error = read_header(server, &reader);
    }
    struct scram_value bare = {reader.at, reader.left};
    if (error == 0) {
        error = read_first_bare(&reader, &nonce);
    }
    if (error != 0) {
        move(server, SCRAM_SERVER_FAILED);
        return error;
    }
    memcpy(server->nonce, nonce.bytes, nonce.count);
    base64_encode(server->nonce_raw, SCRAM_NONCE_RAW_BYTES, server->nonce + nonce.count);
    server->nonce_bytes = (uint16_t)(nonce.count + SCRAM_NONCE_TEXT_BYTES);

    *ret_bytes = write_first(server, out);
    crypto_hmac_init(&server->client_signature, server->verifier.stored_key, SCRAM_KEY_BYTES);
    crypto_hmac_init(&server->server_signature, server->verifier.server_key, SCRAM_KEY_BYTES);
    add_auth_message(server, bare.bytes, bare.count);
    add_auth_message(server, ",", 1);
    add_auth_message(server, out, *ret_bytes);
    add_auth_message(server, ",", 1);
    move(server, SCRAM_SERVER_FIRST);
    return 0;
}

struct client_final {
    struct scram_value binding, nonce, without_proof;
    uint8_t proof[SCRAM_KEY_BYTES];
};

/* client-final-message = channel-binding "," nonce ["," extensions] "," proof */
static bool read_final(const char *in, size_t in_bytes, struct client_final *final)
{
    struct scram_reader reader = {.at = in, .left = in_bytes};
    struct scram_value value;
    char letter = '\0';
    const char *start = in;
    size_t proof_bytes = 0;

    if (!scram_read(&reader, 'c', &final->binding) || !scram_read(&reader, 'r', &final->nonce)) {
        return false;
    }
    while (letter != 'p') {
        start = reader.at;
        if (!scram_read_any(&reader, &letter, &value) || letter == 'm') {
            return false;
        }
    }
    if (reader.left != 0 || start == in ||
        base64_decode(value.bytes, value.count, final->proof, sizeof final->proof, &proof_bytes) !=
            0 ||
        proof_bytes != sizeof final->proof) {
        return false;
    }
    ASSERT(reader.seen & SCRAM_SEEN('c') && reader.seen & SCRAM_SEEN('r') &&
           reader.seen & SCRAM_SEEN('p'));
    final->without_proof = (struct scram_value){in, (size_t)(start - in) - 1};
    return true;
}

/* Whether StoredKey = H(ClientKey) for the ClientKey that the proof gives; keeps it if so. The same
 * work is done for a mock verifier. */
static bool verify_proof(struct scram_server *server, const uint8_t proof[SCRAM_KEY_BYTES])
{
    uint8_t signature[SCRAM_KEY_BYTES], client_key[SCRAM_KEY_BYTES], stored_key[SCRAM_KEY_BYTES];

    crypto_hmac_done(&server->client_signature, signature);
    for (size_t i = 0; i < SCRAM_KEY_BYTES; i++) {
        client_key[i] = (uint8_t)(proof[i] ^ signature[i]);
    }
    crypto_sha256(client_key, sizeof client_key, stored_key);
    bool right = crypto_equal(stored_key, server->verifier.stored_key, SCRAM_KEY_BYTES);
    right = right & !server->verifier.mock;
    if (right) {
        memcpy(server->client_key, client_key, SCRAM_KEY_BYTES);
    }
    crypto_wipe(client_key, sizeof client_key);
    return right;
}

static int check_final(struct scram_server *server, const char *in, size_t in_bytes)
{
    struct client_final final;
    char expected[SCRAM_MESSAGE_BYTES_MAX];

    if (server->state != SCRAM_SERVER_FIRST || !read_final(in, in_bytes, &final) ||
        final.nonce.count != server->nonce_bytes ||
        !crypto_equal(final.nonce.bytes, server->nonce, server->nonce_bytes)) {
        return ERR_PROTOCOL;
    }
    size_t count =
        scram_binding_text(server->binding_flag, server->binding, server->binding_bytes, expected);
    if (final.binding.count != count || !crypto_equal(final.binding.bytes, expected, count)) {
        return server->plus ? ERR_AUTH_REJECTED : ERR_PROTOCOL;
    }
    add_auth_message(server, final.without_proof.bytes, final.without_proof.count);
    return verify_proof(server, final.proof) ? 0 : ERR_AUTH_FAILED;
}

int scram_server_final(struct scram_server *server, const char *in, size_t in_bytes,
                       char out[SCRAM_MESSAGE_BYTES_MAX], size_t *ret_bytes)
{
    uint8_t signature[SCRAM_KEY_BYTES];

    int error = check_final(server, in, in_bytes);
    if (error != 0) {
        move(server, SCRAM_SERVER_FAILED);
        return error;
    }
    crypto_hmac_done(&server->server_signature, signature);
    size_t at = scram_append(out, 0, "v=", 2);
    *ret_bytes = scram_append_base64(out, at, signature, sizeof signature);
    move(server, SCRAM_SERVER_DONE);
    return 0;
}

void scram_server_keys(const struct scram_server *server, struct scram_keys *ret_keys)
{
    ASSERT(server->state == SCRAM_SERVER_DONE);
    memcpy(ret_keys->client_key, server->client_key, SCRAM_KEY_BYTES);
    memcpy(ret_keys->server_key, server->verifier.server_key, SCRAM_KEY_BYTES);
}
