#include "protocol/scram.h"

#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/error.h"
#include "protocol/base64.h"

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

/* --- SASLprep ------------------------------------------------------------------------------ */

struct code_range {
    uint32_t first, last;
};

/* RFC 3454 C.1.2, mapped to a space (RFC 4013 2.1) */
static const struct code_range spaces[] = {
    {0x00A0, 0x00A0}, {0x1680, 0x1680}, {0x2000, 0x200B},
    {0x202F, 0x202F}, {0x205F, 0x205F}, {0x3000, 0x3000},
};

/* RFC 3454 B.1, mapped to nothing. U+200B stands in both tables; PostgreSQL asks for spaces
 * first. */
static const struct code_range nothings[] = {
    {0x00AD, 0x00AD}, {0x034F, 0x034F}, {0x1806, 0x1806}, {0x180B, 0x180D},
    {0x200C, 0x200D}, {0x2060, 0x2060}, {0xFE00, 0xFE0F}, {0xFEFF, 0xFEFF},
};

/* RFC 3454 C.2.1, C.2.2, C.3, C.4, C.6, C.7, C.8, C.9, less what is mapped before. C.4 ends each
 * plane; that is in prohibited() */
static const struct code_range prohibited_ranges[] = {
    {0x0000, 0x001F},   {0x007F, 0x009F},   {0x0340, 0x0341},     {0x06DD, 0x06DD},
    {0x070F, 0x070F},   {0x180E, 0x180E},   {0x200E, 0x200F},     {0x2028, 0x202E},
    {0x2061, 0x2063},   {0x206A, 0x206F},   {0x2FF0, 0x2FFB},     {0xE000, 0xF8FF},
    {0xFDD0, 0xFDEF},   {0xFFF9, 0xFFFD},   {0x1D173, 0x1D17A},   {0xE0001, 0xE0001},
    {0xE0020, 0xE007F}, {0xF0000, 0xFFFFF}, {0x100000, 0x10FFFF},
};

static bool in_ranges(uint32_t code, const struct code_range *ranges, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (code >= ranges[i].first && code <= ranges[i].last) {
            return true;
        }
    }
    return false;
}

#define IN(code, ranges) in_ranges(code, ranges, sizeof(ranges) / sizeof(ranges)[0])

static bool prohibited(uint32_t code)
{
    return (code & 0xFFFE) == 0xFFFE || IN(code, prohibited_ranges);
}

/* Decodes one character (RFC 3629: shortest form, no surrogates); returns its bytes, 0 if it is
 * invalid. */
static size_t utf8_decode(const uint8_t *in, size_t left, uint32_t *ret_code)
{
    static const uint32_t least[5] = {0, 0, 0x80, 0x800, 0x10000};
    size_t need = in[0] < 0x80             ? 1
                  : (in[0] & 0xE0) == 0xC0 ? 2
                  : (in[0] & 0xF0) == 0xE0 ? 3
                  : (in[0] & 0xF8) == 0xF0 ? 4
                                           : 0;

    if (need == 0 || need > left) {
        return 0;
    }
    uint32_t code = need == 1 ? in[0] : in[0] & (0x7Fu >> need);
    for (size_t i = 1; i < need; i++) {
        if ((in[i] & 0xC0) != 0x80) {
            return 0;
        }
        code = code << 6 | (in[i] & 0x3Fu);
    }
    if (code < least[need] || code > 0x10FFFF || (code >= 0xD800 && code <= 0xDFFF)) {
        return 0;
    }
    *ret_code = code;
    return need;
}

/* The mapped text, or 0 bytes if the text has to be taken as it is. */
static size_t saslprep_map(const char *in, size_t count, char *out)
{
    size_t written = 0;
    uint32_t code = 0;
    bool beyond_ascii = false;

    for (size_t at = 0, used; at < count; at += used) {
        used = utf8_decode((const uint8_t *)in + at, count - at, &code);
        if (used == 0) {
            return 0;
        }
        beyond_ascii |= code > 0x7F;
    }
    if (!beyond_ascii) {
        return 0;
    }
    for (size_t at = 0, used; at < count; at += used) {
        used = utf8_decode((const uint8_t *)in + at, count - at, &code);
        if (IN(code, spaces)) {
            out[written++] = ' ';
        } else if (IN(code, nothings)) {
            continue;
        } else if (prohibited(code)) {
            return 0;
        } else {
            memcpy(out + written, in + at, used);
            written += used;
        }
    }
    return written;
}

size_t scram_saslprep(const char *password, size_t password_count, char *out)
{
    size_t written = saslprep_map(password, password_count, out);

    if (written == 0 && password_count > 0) {
        memcpy(out, password, password_count);
        written = password_count;
    }
    return written;
}

/* --- keys and verifiers -------------------------------------------------------------------- */

int scram_derive(const char *password, size_t password_count, const uint8_t *salt,
                 size_t salt_bytes, uint32_t iterations, struct scram_keys *ret_keys)
{
    char prepared[SCRAM_PASSWORD_BYTES_MAX];
    uint8_t salted[SCRAM_KEY_BYTES];

    if (password_count > sizeof prepared || salt_bytes > LIMIT_SCRAM_SALT_BYTES || iterations < 1 ||
        iterations > LIMIT_SCRAM_ITERATIONS) {
        return ERR_LIMIT;
    }
    size_t count = scram_saslprep(password, password_count, prepared);
    crypto_pbkdf2(prepared, count, salt, salt_bytes, iterations, salted);
    crypto_hmac(salted, sizeof salted, "Client Key", 10, ret_keys->client_key);
    crypto_hmac(salted, sizeof salted, "Server Key", 10, ret_keys->server_key);
    crypto_wipe(prepared, sizeof prepared);
    crypto_wipe(salted, sizeof salted);
    return 0;
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
