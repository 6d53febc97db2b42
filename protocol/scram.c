#include "protocol/scram.h"

#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/error.h"
#include "protocol/base64.h"
#include "protocol/saslprep.h"

_Static_assert(SCRAM_PASSWORD_BYTES_MAX == SASLPREP_BYTES_MAX, "each password is prepared");

const char scram_mechanism[] = "SCRAM-SHA-256";
const char scram_mechanism_plus[] = "SCRAM-SHA-256-PLUS";

/* The longest message we write, or take and store: a server-first with everything at its bound, and
 * the client-final for it. */
_Static_assert(sizeof "r=,s=,i=4294967295" + LIMIT_SCRAM_NONCE_BYTES + SCRAM_NONCE_TEXT_BYTES +
                       BASE64_ENCODED_BYTES(LIMIT_SCRAM_SALT_BYTES) <=
                   SCRAM_MESSAGE_BYTES_MAX,
               "a server-first-message may not fit");
_Static_assert(sizeof "c=,r=,p=" + BASE64_ENCODED_BYTES(32 + SCRAM_BINDING_BYTES_MAX) +
                       LIMIT_SCRAM_NONCE_BYTES + SCRAM_NONCE_TEXT_BYTES +
                       BASE64_ENCODED_BYTES(SCRAM_KEY_BYTES) <=
                   SCRAM_MESSAGE_BYTES_MAX,
               "a client-final-message may not fit");
_Static_assert(sizeof "SCRAM-SHA-256$4294967295:$:" + BASE64_ENCODED_BYTES(LIMIT_SCRAM_SALT_BYTES) +
                       2 * BASE64_ENCODED_BYTES(SCRAM_KEY_BYTES) <=
                   SCRAM_SECRET_BYTES_MAX,
               "a verifier may not fit");

/* --- keys and verifiers -------------------------------------------------------------------- */

int scram_derive(const char *password, size_t password_count, const uint8_t *salt,
                 size_t salt_bytes, uint32_t iterations, struct scram_keys *ret_keys)
{
    char prepared[SASLPREP_BYTES_MAX];
    uint8_t salted[SCRAM_KEY_BYTES];
    size_t count;

    if (password_count > sizeof prepared || salt_bytes > LIMIT_SCRAM_SALT_BYTES || iterations < 1 ||
        iterations > LIMIT_SCRAM_ITERATIONS) {
        return ERR_LIMIT;
    }
    int code = saslprep(password, password_count, prepared, &count);
    if (code == 0) {
        crypto_pbkdf2(prepared, count, salt, salt_bytes, iterations, salted);
        crypto_hmac(salted, sizeof salted, "Client Key", 10, ret_keys->client_key);
        crypto_hmac(salted, sizeof salted, "Server Key", 10, ret_keys->server_key);
        crypto_wipe(salted, sizeof salted);
    }
    crypto_wipe(prepared, sizeof prepared);
    return code;
}

int scram_verifier_build(const char *password, size_t password_count, const uint8_t *salt,
                         size_t salt_bytes, uint32_t iterations,
                         struct scram_verifier *ret_verifier)
{
    struct scram_keys keys;

    int error = scram_derive(password, password_count, salt, salt_bytes, iterations, &keys);
    if (error != 0) {
        return error;
    }
    memset(ret_verifier, 0, sizeof *ret_verifier);
    ret_verifier->iterations = iterations;
    ret_verifier->salt_bytes = (uint16_t)salt_bytes;
    memcpy(ret_verifier->salt, salt, salt_bytes);
    crypto_sha256(keys.client_key, sizeof keys.client_key, ret_verifier->stored_key);
    memcpy(ret_verifier->server_key, keys.server_key, sizeof keys.server_key);
    crypto_wipe(&keys, sizeof keys);
    return 0;
}

/* Takes the text before `separator`, or all of it for '\0'. False if there is no separator. */
static bool cut(struct scram_value *rest, char separator, struct scram_value *ret_field)
{
    const char *end =
        separator == '\0' ? rest->bytes + rest->count : memchr(rest->bytes, separator, rest->count);

    if (end == NULL) {
        return false;
    }
    *ret_field = (struct scram_value){rest->bytes, (size_t)(end - rest->bytes)};
    size_t taken = ret_field->count + (separator != '\0');
    *rest = (struct scram_value){rest->bytes + taken, rest->count - taken};
    return true;
}

bool scram_parse_iterations(struct scram_value text, uint32_t *ret_iterations)
{
    uint32_t value = 0;

    if (text.count == 0 || text.count > 10) {
        return false;
    }
    for (size_t i = 0; i < text.count; i++) {
        if (text.bytes[i] < '0' || text.bytes[i] > '9') {
            return false;
        }
        uint32_t digit = (uint32_t)(text.bytes[i] - '0');
        if (value > (UINT32_MAX - digit) / 10) {
            return false;
        }
        value = value * 10 + digit;
    }
    *ret_iterations = value;
    return value >= 1;
}

static bool decode_key(struct scram_value text, uint8_t key[SCRAM_KEY_BYTES])
{
    size_t bytes = 0;

    return base64_decode(text.bytes, text.count, key, SCRAM_KEY_BYTES, &bytes) == 0 &&
           bytes == SCRAM_KEY_BYTES;
}

bool scram_is_verifier(const char *stored)
{
    static const char scheme[] = "SCRAM-SHA-256$";
    return strncmp(stored, scheme, sizeof(scheme) - 1) == 0;
}

int scram_verifier_parse(const char *text, size_t count, struct scram_verifier *ret_verifier)
{
    struct scram_value rest = {text, count};
    struct scram_value scheme, iterations, salt, stored_key, server_key;
    struct scram_verifier verifier = {0};
    size_t salt_bytes = 0;
    int error = ERR_BAD_VALUE;

    if (cut(&rest, '$', &scheme) && cut(&rest, ':', &iterations) && cut(&rest, '$', &salt) &&
        cut(&rest, ':', &stored_key) && cut(&rest, '\0', &server_key) &&
        scheme.count == strlen(scram_mechanism) &&
        memcmp(scheme.bytes, scram_mechanism, scheme.count) == 0 &&
        scram_parse_iterations(iterations, &verifier.iterations) &&
        verifier.iterations <= INT32_MAX &&
        base64_decode(salt.bytes, salt.count, verifier.salt, sizeof verifier.salt, &salt_bytes) ==
            0 &&
        salt_bytes > 0 && decode_key(stored_key, verifier.stored_key) &&
        decode_key(server_key, verifier.server_key)) {
        verifier.salt_bytes = (uint16_t)salt_bytes;
        *ret_verifier = verifier;
        error = 0;
    }
    crypto_wipe(&verifier, sizeof verifier);
    return error;
}

size_t scram_verifier_format(const struct scram_verifier *verifier,
                             char ret_text[SCRAM_SECRET_BYTES_MAX])
{
    int prefix =
        snprintf(ret_text, SCRAM_SECRET_BYTES_MAX, "%s$%u:", scram_mechanism, verifier->iterations);
    ASSERT(prefix > 0 && verifier->salt_bytes <= LIMIT_SCRAM_SALT_BYTES);
    char *at = ret_text + prefix;

    at += base64_encode(verifier->salt, verifier->salt_bytes, at);
    *at++ = '$';
    at += base64_encode(verifier->stored_key, sizeof verifier->stored_key, at);
    *at++ = ':';
    at += base64_encode(verifier->server_key, sizeof verifier->server_key, at);
    *at = '\0';
    return (size_t)(at - ret_text);
}

void scram_verifier_mock(const uint8_t *seed, size_t seed_bytes, const char *user,
                         size_t user_count, struct scram_verifier *ret_verifier)
{
    uint8_t mac[CRYPTO_SHA256_BYTES];

    _Static_assert(sizeof mac >= SCRAM_SALT_BYTES_DEFAULT, "the salt is the front of the digest");
    crypto_hmac(seed, seed_bytes, user, user_count, mac);
    memset(ret_verifier, 0, sizeof *ret_verifier);
    ret_verifier->mock = true;
    ret_verifier->iterations = SCRAM_ITERATIONS_DEFAULT;
    ret_verifier->salt_bytes = SCRAM_SALT_BYTES_DEFAULT;
    memcpy(ret_verifier->salt, mac, SCRAM_SALT_BYTES_DEFAULT);
}

bool scram_verifier_matches(const struct scram_verifier *verifier, const uint8_t *salt,
                            size_t salt_bytes, uint32_t iterations)
{
    return !verifier->mock && verifier->iterations == iterations &&
           verifier->salt_bytes == salt_bytes && memcmp(verifier->salt, salt, salt_bytes) == 0;
}

/* --- shared by the two sides --------------------------------------------------------------- */

bool scram_read_any(struct scram_reader *reader, char *ret_letter, struct scram_value *ret_value)
{
    if (reader->left < 2 || reader->at[1] != '=') {
        return false;
    }
    char letter = reader->at[0];
    bool is_letter = (letter >= 'a' && letter <= 'z') || (letter >= 'A' && letter <= 'Z');
    if (!is_letter || (reader->seen & SCRAM_SEEN(letter)) != 0) {
        return false;
    }
    const char *value = reader->at + 2;
    size_t left = reader->left - 2;
    const char *comma = memchr(value, ',', left);
    size_t count = comma == NULL ? left : (size_t)(comma - value);
    if (memchr(value, '\0', count) != NULL) {
        return false;
    }
    /* A comma at the very end announces an attribute that doesn't come. */
    if (comma != NULL && left - count == 1) {
        return false;
    }
    size_t taken = count + (comma != NULL);
    reader->at = value + taken;
    reader->left = left - taken;
    reader->seen |= SCRAM_SEEN(letter);
    *ret_letter = letter;
    *ret_value = (struct scram_value){value, count};
    return true;
}

bool scram_read(struct scram_reader *reader, char letter, struct scram_value *ret_value)
{
    char found;

    return reader->left > 0 && reader->at[0] == letter && scram_read_any(reader, &found, ret_value);
}

bool scram_printable(const char *text, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (text[i] < 0x21 || text[i] > 0x7E || text[i] == ',') {
            return false;
        }
    }
    return count > 0;
}

size_t scram_binding_text(char flag, const uint8_t *binding, size_t binding_bytes,
                          char out[SCRAM_MESSAGE_BYTES_MAX])
{
    static const char header[] = "p=tls-server-end-point,,";
    uint8_t data[sizeof header - 1 + SCRAM_BINDING_BYTES_MAX];

    ASSERT(binding_bytes <= SCRAM_BINDING_BYTES_MAX);
    if (flag != 'p') {
        return base64_encode(flag == 'y' ? "y,," : "n,,", 3, out);
    }
    memcpy(data, header, sizeof header - 1);
    memcpy(data + sizeof header - 1, binding, binding_bytes);
    return base64_encode(data, sizeof header - 1 + binding_bytes, out);
}

size_t scram_append(char out[SCRAM_MESSAGE_BYTES_MAX], size_t at, const char *bytes, size_t count)
{
    ASSERT(at <= SCRAM_MESSAGE_BYTES_MAX && count <= SCRAM_MESSAGE_BYTES_MAX - at);
    memcpy(out + at, bytes, count);
    return at + count;
}

size_t scram_append_base64(char out[SCRAM_MESSAGE_BYTES_MAX], size_t at, const void *bytes,
                           size_t count)
{
    ASSERT(at <= SCRAM_MESSAGE_BYTES_MAX && count <= LIMIT_SCRAM_SALT_BYTES &&
           BASE64_ENCODED_BYTES(count) <= SCRAM_MESSAGE_BYTES_MAX - at);
    return at + base64_encode(bytes, count, out + at);
}
