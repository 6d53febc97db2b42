/* TLS: versions, ALPN, hostile handshakes, SCRAM's channel binding over it, and what it costs. */
#include "tests/unit/tls_pair.h"

#include <malloc.h>

#include "protocol/scram.h"

/* --- policy ----------------------------------------------------------------------------------- */

Test(tls, versions_and_alpn)
{
    struct ends ends;
    bool at_server = false;

    /* TLS 1.2 is taken, with ALPN missing: the caller can tell. */
    connect_ends(&ends, plain_server(), plain_client(), NULL);
    SSL_set_max_proto_version(ends.client->ssl, TLS1_2_VERSION);
    SSL_set_alpn_protos(ends.client->ssl, NULL, 0);
    must_shake(&ends);
    cr_assert_str_eq(tls_version_name(ends.server), "TLSv1.2");
    cr_assert(strlen(tls_cipher_name(ends.server)) > 5);
    cr_assert_not(tls_alpn(ends.server));
    cr_assert_not(tls_alpn(ends.client));
    disconnect_ends(&ends);

    /* TLS 1.1 isn't, nor is another protocol's name. */
    connect_ends(&ends, plain_server(), plain_client(), NULL);
    SSL_set_security_level(ends.client->ssl, 0);
    SSL_set_min_proto_version(ends.client->ssl, TLS1_1_VERSION);
    SSL_set_max_proto_version(ends.client->ssl, TLS1_1_VERSION);
    cr_assert_eq(shake(&ends, &at_server), ERR_TLS);
    disconnect_ends(&ends);
    connect_ends(&ends, plain_server(), plain_client(), NULL);
    SSL_set_alpn_protos(ends.client->ssl, (const uint8_t *)"\x02h2\x0apostgresqk", 14);
    cr_assert_eq(shake(&ends, &at_server), ERR_TLS);
    cr_assert(at_server);
    disconnect_ends(&ends);
    connect_ends(&ends, plain_server(), plain_client(), NULL);
    SSL_set_alpn_protos(ends.client->ssl, (const uint8_t *)"\x02h2\x0apostgresql", 14);
    must_shake(&ends);
    cr_assert(tls_alpn(ends.server));
    disconnect_ends(&ends);
}

Test(tls, min_version_is_kept)
{
    struct tls_options options = {
        .cert = file("server.crt"), .key = file("server.key"), .min_version = TLS_VERSION_1_3};
    struct tls_context *server = NULL;
    struct ends ends;
    char text[TLS_ERROR_BYTES];
    bool at_server = false;

    cr_assert_eq(tls_context_new(true, &options, &server, text), 0);
    connect_ends(&ends, server, plain_client(), NULL);
    SSL_set_max_proto_version(ends.client->ssl, TLS1_2_VERSION);
    cr_assert_eq(shake(&ends, &at_server), ERR_TLS);
    cr_assert(at_server);
    disconnect_ends(&ends);
}

Test(tls, a_flood_of_key_updates_is_cut)
{
    struct ends ends;
    uint8_t plain[16];
    char text[TLS_ERROR_BYTES];
    size_t got = 0;

    connect_ends(&ends, plain_server(), plain_client(), NULL);
    must_shake(&ends);
    struct tls_sink sink = sink_of(ends.to_server), back = sink_of(ends.to_client);

    /* Some with data between them are fine. */
    for (int i = 0; i < 100; i++) {
        SSL_key_update(ends.client->ssl, SSL_KEY_UPDATE_REQUESTED);
        cr_assert_eq(tls_write(ends.client, &sink, "x", 1), 0);
        cr_assert_eq(receive(ends.server, ends.to_server, ends.to_client, 64, 16, plain), 1);
        cr_assert_eq(tls_write(ends.server, &back, "y", 1), 0);
        cr_assert_eq(receive(ends.client, ends.to_client, ends.to_server, 64, 16, plain), 1);
    }
    for (int i = 0; i < 1000; i++) {
        begin(ends.client, NULL, &sink);
        SSL_key_update(ends.client->ssl, SSL_KEY_UPDATE_REQUESTED);
        cr_assert_eq(SSL_do_handshake(ends.client->ssl), 1);
        cr_assert_eq(end(ends.client, 1), 0);
    }
    struct tls_input input = input_of(ends.to_server, SIZE_MAX);
    int error = 0;
    for (int i = 0; i < 10 && error == 0; i++) {
        error = tls_read(ends.server, &input, &back, plain, sizeof plain, &got);
    }
    cr_assert_eq(error, ERR_TLS);
    cr_assert_lt(ends.to_client->end, 4096, "the flood isn't answered in kind");
    cr_assert_str_eq(tls_error(ends.server, text), "too many key updates");
    disconnect_ends(&ends);
}

Test(tls, renegotiation_is_refused)
{
    struct ends ends;
    uint8_t plain[16];
    size_t got = 0;

    connect_ends(&ends, plain_server(), plain_client(), NULL);
    SSL_set_max_proto_version(ends.client->ssl, TLS1_2_VERSION);
    must_shake(&ends);
    struct tls_sink sink = sink_of(ends.to_server), back = sink_of(ends.to_client);
    SSL_clear_options(ends.client->ssl, SSL_OP_NO_RENEGOTIATION);
    begin(ends.client, NULL, &sink);
    SSL_renegotiate(ends.client->ssl);
    SSL_do_handshake(ends.client->ssl);
    cr_assert_gt(ends.to_server->end, ends.to_server->begin);
    struct tls_input input = input_of(ends.to_server, SIZE_MAX);
    cr_assert_eq(tls_read(ends.server, &input, &back, plain, sizeof plain, &got), 0);
    cr_assert_eq(got, 0);
    cr_assert_leq(ends.to_client->end - ends.to_client->begin, 64, "a warning, no handshake");
    cr_assert(SSL_is_init_finished(ends.server->ssl));
    disconnect_ends(&ends);
}

Test(tls, scram_plus_over_it)
{
    struct ends ends;
    uint8_t ours[TLS_BINDING_BYTES_MAX], theirs[TLS_BINDING_BYTES_MAX], nonce[18] = {1};
    struct scram_verifier verifier;
    struct scram_server server;
    struct scram_client client;
    struct scram_keys keys;
    char in[SCRAM_MESSAGE_BYTES_MAX], out[SCRAM_MESSAGE_BYTES_MAX];
    size_t bytes = 0;

    connect_ends(&ends, plain_server(), plain_client(), NULL);
    must_shake(&ends);
    size_t count = tls_binding(ends.server, ours);
    cr_assert_eq(tls_binding(ends.client, theirs), count);
    cr_assert_eq(scram_verifier_build("pw", 2, nonce, 16, 1, &verifier), 0);
    cr_assert_eq(
        scram_server_init(&server, scram_mechanism_plus, 18, &verifier, ours, count, nonce), 0);
    scram_client_init(&client, SCRAM_BINDING_BOUND, theirs, count, nonce);
    bytes = scram_client_first(&client, in);
    cr_assert_eq(scram_server_first(&server, in, bytes, out, &bytes), 0);
    cr_assert_eq(scram_client_challenge(&client, out, bytes), 0);
    cr_assert_eq(scram_derive("pw", 2, client.salt, client.salt_bytes, 1, &keys), 0);
    bytes = scram_client_final(&client, &keys, in);
    cr_assert_eq(scram_server_final(&server, in, bytes, out, &bytes), 0);
    cr_assert_eq(scram_client_verify(&client, out, bytes), 0);
    disconnect_ends(&ends);
}

/* --- memory ----------------------------------------------------------------------------------- */

static size_t heap_bytes(void)
{
    struct mallinfo2 info = mallinfo2();

    return info.uordblks + info.hblkhd;
}

/* What 1,000 idle connections of the server's side cost; their clients are gone. */
static size_t idle_bytes(int version)
{
    enum { COUNT = 1000 };
    struct tls_context *server = plain_server(), *client = plain_client();
    static struct tls *kept[COUNT];
    uint8_t plain[16];

    for (int warm = 0; warm < 2; warm++) {
        size_t before = heap_bytes();
        for (int i = 0; i < COUNT; i++) {
            struct ends ends;
            connect_ends(&ends, tls_context_ref(server), tls_context_ref(client), NULL);
            SSL_set_max_proto_version(ends.client->ssl, version);
            must_shake(&ends);
            struct tls_sink sink = sink_of(ends.to_server), back = sink_of(ends.to_client);
            cr_assert_eq(tls_write(ends.client, &sink, "query", 5), 0);
            cr_assert_eq(receive(ends.server, ends.to_server, ends.to_client, 4096, 16, plain), 5);
            cr_assert_eq(tls_write(ends.server, &back, "answer", 6), 0);
            kept[i] = ends.server;
            ends.server = NULL;
            disconnect_ends(&ends);
        }
        size_t each = (heap_bytes() - before) / COUNT;
        for (int i = 0; i < COUNT; i++) {
            tls_free(kept[i]);
        }
        if (warm == 1) {
            tls_context_unref(server);
            tls_context_unref(client);
            return each;
        }
    }
    return 0;
}

/* No buffer is kept: what is left is OpenSSL 3.0's own. 7,624 bytes are its SSL struct, 1,920 the
 * two AES-GCM states with their key schedules, 928 the session, 750 the ciphers that this client
 * offers, 1,500 digests and keys of the finished handshake, which no function lets go. */
#define IDLE_BYTES_MAX (15 * 1024)

Test(tls, an_idle_connection_is_small)
{
#ifdef __SANITIZE_ADDRESS__
    cr_skip_test("mallinfo2 counts nothing under AddressSanitizer");
#endif
    size_t modern = idle_bytes(TLS1_3_VERSION), older = idle_bytes(TLS1_2_VERSION);

    fprintf(stderr, "idle TLS connection: %zu bytes (TLS 1.3), %zu (TLS 1.2)\n", modern, older);
    cr_assert_gt(modern, 1000, "the measure measures");
    cr_assert_leq(modern, IDLE_BYTES_MAX);
    cr_assert_leq(older, IDLE_BYTES_MAX);
}
