/* SCRAM messages to the server's side (first byte even) or to the client's (odd), a newline behind
 * each.
 *
 * Nobody knows the password: no proof and no server signature can be right.
 */
#include <string.h>

#include "protocol/scram.h"
#include "tests/fuzz/fuzz.h"

static const uint8_t nonce[SCRAM_NONCE_RAW_BYTES] = "0123456789abcdefg";
static const uint8_t binding[32] = "the digest of some certificate";

static size_t next_line(const uint8_t **at, size_t *left, const char **ret_line)
{
    const uint8_t *end = *left == 0 ? NULL : memchr(*at, '\n', *left);
    size_t len = end == NULL ? *left : (size_t)(end - *at);
    *ret_line = (const char *)*at;
    *at += end == NULL ? len : len + 1;
    *left -= end == NULL ? len : len + 1;
    return len;
}

static void as_server(const uint8_t *at, size_t left, bool plus)
{
    char out[SCRAM_MESSAGE_BYTES_MAX];
    const char *line;
    size_t out_bytes;
    struct scram_verifier verifier;
    struct scram_server server;
    scram_verifier_mock((const uint8_t *)"seed", 4, "alice", 5, &verifier);
    verifier.mock = false;
    size_t len = next_line(&at, &left, &line);
    if (scram_server_init(&server, line, len, &verifier, plus ? binding : NULL,
                          plus ? sizeof(binding) : 0, nonce) != 0) {
        return;
    }
    len = next_line(&at, &left, &line);
    if (scram_server_first(&server, line, len, out, &out_bytes) == 0) {
        if (out_bytes > sizeof(out)) {
            fuzz_fail("a message beyond its room");
        }
        len = next_line(&at, &left, &line);
        if (scram_server_final(&server, line, len, out, &out_bytes) == 0) {
            fuzz_fail("a proof without a password");
        }
    }
    scram_server_fini(&server);
}

static void as_client(const uint8_t *at, size_t left, bool plus)
{
    char out[SCRAM_MESSAGE_BYTES_MAX];
    const char *line;
    enum scram_binding mode;
    struct scram_client client;
    struct scram_keys keys = {"some key", "another key"};
    size_t len = next_line(&at, &left, &line);
    if (scram_client_choose(line, len, plus, false, &mode) != 0) {
        mode = plus ? SCRAM_BINDING_BOUND : SCRAM_BINDING_NONE;
    }
    scram_client_init(&client, mode, binding, sizeof(binding), nonce);
    scram_client_first(&client, out);
    len = next_line(&at, &left, &line);
    if (scram_client_challenge(&client, line, len) == 0) {
        if (client.iterations == 0 || client.iterations > LIMIT_SCRAM_ITERATIONS) {
            fuzz_fail("iterations out of bounds");
        }
        scram_client_final(&client, &keys, out);
        len = next_line(&at, &left, &line);
        if (scram_client_verify(&client, line, len) == 0) {
            fuzz_fail("a server that does not know the password");
        }
    }
    scram_client_fini(&client);
}

void fuzz_one(const uint8_t *bytes, size_t len)
{
    struct scram_verifier verifier;
    if (len == 0) {
        return;
    }
    if (scram_verifier_parse((const char *)bytes + 1, len - 1, &verifier) == 0) {
        char text[SCRAM_SECRET_BYTES_MAX];
        scram_verifier_format(&verifier, text);
    }
    if ((bytes[0] & 1) == 0) {
        as_server(bytes + 1, len - 1, (bytes[0] & 2) != 0);
    } else {
        as_client(bytes + 1, len - 1, (bytes[0] & 2) != 0);
    }
}
