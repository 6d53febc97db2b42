/* TLS: bytes in pieces of any size, ends of a stream, certificates and their files. */
#include "tests/unit/tls_pair.h"

/* --- bytes --------------------------------------------------------------------------------- */

static void exchange(size_t step, size_t room, size_t count)
{
    struct ends ends;
    uint8_t *sent = malloc(count), *got = malloc(count + room);

    pattern(sent, count);
    connect_ends(&ends, plain_server(), plain_client(), "db.example");
    ends.step = step;
    must_shake(&ends);
    cr_assert_str_eq(tls_version_name(ends.server), "TLSv1.3");
    cr_assert(tls_alpn(ends.server) && tls_alpn(ends.client));

    struct tls_sink to_client = sink_of(ends.to_client), to_server = sink_of(ends.to_server);
    cr_assert_eq(tls_write(ends.server, &to_client, sent, count), 0);
    cr_assert_eq(receive(ends.client, ends.to_client, ends.to_server, step, room, got), count);
    cr_assert_eq(memcmp(sent, got, count), 0);
    memset(got, 0, count);
    cr_assert_eq(tls_write(ends.client, &to_server, sent, count), 0);
    cr_assert_eq(receive(ends.server, ends.to_server, ends.to_client, step, room, got), count);
    cr_assert_eq(memcmp(sent, got, count), 0);
    cr_assert_not(tls_pending(ends.server));
    disconnect_ends(&ends);
    free(sent);
    free(got);
}

Test(tls, one_byte_at_a_time)
{
    exchange(1, 1, 20000);
}

Test(tls, odd_pieces)
{
    exchange(777, 100, 100000);
    exchange(1, 65536, 20000);
    exchange(65536, 1, 20000);
}

Test(tls, whole_blocks)
{
    exchange(65536, 65536, 700000);
}

Test(tls, records_carry_at_most_8_kib)
{
    struct ends ends;
    static uint8_t plain[100000];
    size_t records = 0;

    connect_ends(&ends, plain_server(), plain_client(), NULL);
    must_shake(&ends);
    ends.to_client->begin = ends.to_client->end = 0;
    struct tls_sink sink = sink_of(ends.to_client);
    cr_assert_eq(tls_write(ends.server, &sink, plain, sizeof plain), 0);
    cr_assert_eq(tls_write(ends.server, &sink, plain, 0), 0);
    const uint8_t *bytes = ends.to_client->bytes;
    for (size_t at = 0; at < ends.to_client->end; records++) {
        size_t length = (size_t)bytes[at + 3] << 8 | bytes[at + 4];
        cr_assert_leq(length, TLS_RECORD_BYTES_MAX + 256);
        at += 5 + length;
    }
    cr_assert_eq(records, 13);
    disconnect_ends(&ends);
}

/* What comes behind the handshake in the same block is the stream's. */
Test(tls, data_right_behind_the_handshake)
{
    struct ends ends;
    uint8_t plain[16];
    bool done = false;

    connect_ends(&ends, plain_server(), plain_client(), NULL);
    cr_assert_eq(shake_one(ends.client, ends.to_client, ends.to_server, SIZE_MAX, &done), 0);
    cr_assert_eq(shake_one(ends.server, ends.to_server, ends.to_client, SIZE_MAX, &done), 0);
    cr_assert_not(done);
    cr_assert_eq(shake_one(ends.client, ends.to_client, ends.to_server, SIZE_MAX, &done), 0);
    cr_assert(done);
    struct tls_sink sink = sink_of(ends.to_server);
    cr_assert_eq(tls_write(ends.client, &sink, "startup", 7), 0);
    cr_assert_eq(shake_one(ends.server, ends.to_server, ends.to_client, SIZE_MAX, &done), 0);
    cr_assert(done);
    cr_assert_neq(ends.to_server->begin, ends.to_server->end);
    cr_assert_eq(receive(ends.server, ends.to_server, ends.to_client, SIZE_MAX, 16, plain), 7);
    cr_assert_eq(memcmp(plain, "startup", 7), 0);
    disconnect_ends(&ends);
}

Test(tls, goodbye_and_a_cut_stream)
{
    struct ends ends;
    uint8_t plain[64];
    size_t got = 0;

    connect_ends(&ends, plain_server(), plain_client(), NULL);
    must_shake(&ends);
    struct tls_sink sink = sink_of(ends.to_server), back = sink_of(ends.to_client);
    cr_assert_eq(tls_write(ends.client, &sink, "hello", 5), 0);

    /* Cut inside a record: nothing comes, and nobody has said goodbye. */
    struct tls_input input = {ends.to_server->bytes, ends.to_server->end - 1, 0};
    cr_assert_eq(tls_read(ends.server, &input, &back, plain, sizeof plain, &got), 0);
    cr_assert_eq(got, 0);
    cr_assert_not(tls_peer_closed(ends.server));
    ends.to_server->begin = ends.to_server->end - 1;
    cr_assert_eq(receive(ends.server, ends.to_server, ends.to_client, 64, 64, plain), 5);
    cr_assert_not(tls_peer_closed(ends.server));

    tls_shutdown(ends.client, &sink);
    size_t said = ends.to_server->end;
    cr_assert_gt(said, 0);
    tls_shutdown(ends.client, &sink);
    cr_assert_eq(ends.to_server->end, said, "goodbye is said once");
    cr_assert_eq(receive(ends.server, ends.to_server, ends.to_client, 64, 64, plain), 0);
    cr_assert(tls_peer_closed(ends.server));
    disconnect_ends(&ends);
}

Test(tls, broken_record_comes_after_what_was_good)
{
    struct ends ends;
    uint8_t plain[64];
    char text[TLS_ERROR_BYTES];
    size_t got = 99;

    connect_ends(&ends, plain_server(), plain_client(), NULL);
    must_shake(&ends);
    struct tls_sink sink = sink_of(ends.to_server), back = sink_of(ends.to_client);
    cr_assert_eq(tls_write(ends.client, &sink, "good", 4), 0);
    cr_assert_eq(tls_write(ends.client, &sink, "evil", 4), 0);
    ends.to_server->bytes[ends.to_server->end - 1] ^= 1;
    struct tls_input input = input_of(ends.to_server, SIZE_MAX);
    cr_assert_eq(tls_read(ends.server, &input, &back, plain, sizeof plain, &got), 0);
    cr_assert_eq(got, 4);
    cr_assert_eq(tls_read(ends.server, &input, &back, plain, sizeof plain, &got), ERR_TLS);
    cr_assert_eq(got, 4, "a result must be untouched on failure");
    cr_assert(strstr(tls_error(ends.server, text), "bad record mac") != NULL, "%s", text);
    cr_assert_eq(tls_write(ends.server, &back, "x", 1), ERR_TLS);
    disconnect_ends(&ends);
}

Test(tls, not_tls_at_all)
{
    static const char *const texts[] = {"GET / HTTP/1.0\r\n\r\n",
                                        "\x16\x03\x01\xff\xff garbage here",
                                        "\0\0\0\x08\x04\xd2\x16\x2f"};

    for (size_t i = 0; i < 3; i++) {
        struct ends ends;
        bool done = false;
        char text[TLS_ERROR_BYTES];
        connect_ends(&ends, plain_server(), plain_client(), NULL);
        struct tls_input input = {(const uint8_t *)texts[i], i == 2 ? 8 : strlen(texts[i]), 0};
        struct tls_sink sink = sink_of(ends.to_client);
        cr_assert_eq(tls_handshake(ends.server, &input, &sink, &done), ERR_TLS, "row %zu", i);
        cr_assert_not(done);
        cr_assert_str_neq(tls_error(ends.server, text), "unknown TLS error");
        disconnect_ends(&ends);
    }
}

Test(tls, a_sink_that_fails_ends_it)
{
    for (size_t writes = 0; writes < 4; writes++) {
        struct ends ends;
        bool at_server = false;
        connect_ends(&ends, plain_server(), plain_client(), NULL);
        ends.to_client->writes_left = writes;
        int error = shake(&ends, &at_server);
        if (error == 0) {
            struct tls_sink sink = sink_of(ends.to_client);
            for (size_t i = 0; i < 4 && error == 0; i++) {
                error = tls_write(ends.server, &sink, "x", 1);
            }
        }
        cr_assert_eq(error, ERR_NO_MEMORY);
        disconnect_ends(&ends);
    }
}

/* --- certificates -------------------------------------------------------------------------- */

static int verify(const char *cert, const char *key, const char *ca, enum tls_peer peer,
                  const char *host, char text[TLS_ERROR_BYTES])
{
    struct ends ends;
    bool at_server = false;

    connect_ends(&ends, context(true, cert, key, NULL, TLS_PEER_ANY),
                 context(false, NULL, NULL, ca, peer), host);
    int error = shake(&ends, &at_server);
    cr_assert(error == 0 || !at_server);
    cr_assert_eq(tls_peer_verified(ends.client), error == 0 && peer != TLS_PEER_ANY);
    tls_error(ends.client, text);
    disconnect_ends(&ends);
    return error;
}

Test(tls, client_verifies_authority_and_name)
{
    static const struct {
        const char *name, *ca, *host;
        enum tls_peer peer;
        const char *reason; /* NULL: it succeeds */
    } rows[] = {
        {"server", "ca.crt", "db.example", TLS_PEER_NAME, NULL},
        {"server", "ca.crt", "DB.Example", TLS_PEER_NAME, NULL},
        {"server", "ca.crt", "a.wild.example", TLS_PEER_NAME, NULL},
        {"server", "ca.crt", "127.0.0.1", TLS_PEER_NAME, NULL},
        {"server", "ca.crt", "::1", TLS_PEER_NAME, NULL},
        {"server", "ca.crt", "evil.example", TLS_PEER_NAME, "hostname mismatch"},
        {"server", "ca.crt", "common.example", TLS_PEER_NAME, "hostname mismatch"},
        {"server", "ca.crt", "a.b.wild.example", TLS_PEER_NAME, "hostname mismatch"},
        {"server", "ca.crt", "db.example.evil", TLS_PEER_NAME, "hostname mismatch"},
        {"server", "ca.crt", "127.0.0.2", TLS_PEER_NAME, "IP address mismatch"},
        {"server", "ca.crt", "evil.example", TLS_PEER_CA, NULL},
        {"server", "ca.crt", NULL, TLS_PEER_CA, NULL},
        {"server", "otherca.crt", "db.example", TLS_PEER_NAME, "unable to get local issuer"},
        {"server", "otherca.crt", "db.example", TLS_PEER_CA, "unable to get local issuer"},
        {"server", "otherca.crt", "evil.example", TLS_PEER_ANY, NULL},
        {"server", NULL, NULL, TLS_PEER_ANY, NULL},
        {"expired", "ca.crt", "db.example", TLS_PEER_CA, "certificate has expired"},
        {"expired", "ca.crt", "db.example", TLS_PEER_ANY, NULL},
        {"ed", "ca.crt", "db.example", TLS_PEER_CA, "self-signed"},
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char cert[32], key[32], text[TLS_ERROR_BYTES];
        snprintf(cert, sizeof cert, "%s.crt", rows[i].name);
        snprintf(key, sizeof key, "%s.key", rows[i].name);
        int error = verify(cert, key, rows[i].ca, rows[i].peer, rows[i].host, text);
        cr_assert_eq(error, rows[i].reason == NULL ? 0 : ERR_TLS, "row %zu: %s", i, text);
        cr_assert(rows[i].reason == NULL || strcasestr(text, rows[i].reason) != NULL, "row %zu: %s",
                  i, text);
    }
}

Test(tls, verify_full_needs_a_host)
{
    struct tls_context *client = context(false, NULL, NULL, "ca.crt", TLS_PEER_NAME);
    struct tls *tls = NULL;

    cr_assert_eq(tls_new(client, NULL, &tls), ERR_CONFIG);
    cr_assert_eq(tls_new(client, "", &tls), ERR_CONFIG);
    cr_assert_null(tls);
    tls_context_unref(client);
}

Test(tls, server_verifies_client_certificates)
{
    static const struct {
        const char *name, *ca;
        enum tls_peer peer;
        bool good, verified;
    } rows[] = {
        {"client", "ca.crt", TLS_PEER_CA, true, true},
        {"client", "ca.crt", TLS_PEER_ANY, true, true},
        {NULL, "ca.crt", TLS_PEER_ANY, true, false},
        {NULL, "ca.crt", TLS_PEER_CA, false, false},
        {NULL, "ca.crt", TLS_PEER_NAME, false, false},
        {"client", "otherca.crt", TLS_PEER_CA, false, false},
        {"client", "otherca.crt", TLS_PEER_ANY, false, false},
        {"client", NULL, TLS_PEER_ANY, true, false},
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct ends ends;
        bool at_server = false, named = rows[i].name != NULL;
        char name[64] = "";
        size_t length = 0;
        connect_ends(&ends, context(true, "server.crt", "server.key", rows[i].ca, rows[i].peer),
                     context(false, named ? "client.crt" : NULL, named ? "client.key" : NULL, NULL,
                             TLS_PEER_ANY),
                     NULL);
        int error = shake(&ends, &at_server);
        cr_assert_eq(error, rows[i].good ? 0 : ERR_TLS, "row %zu", i);
        cr_assert(error == 0 || at_server);
        cr_assert_eq(tls_peer_verified(ends.server), rows[i].verified, "row %zu", i);
        if (rows[i].verified) {
            cr_assert_eq(tls_peer_common_name(ends.server, name, sizeof name, &length), 0);
            cr_assert_str_eq(name, "alice");
            cr_assert_eq(length, 5);
            cr_assert_eq(tls_peer_common_name(ends.server, name, 5, &length), ERR_BAD_VALUE);
        } else if (error == 0) {
            cr_assert_eq(tls_peer_common_name(ends.server, name, sizeof name, &length),
                         ERR_BAD_VALUE);
        }
        disconnect_ends(&ends);
    }
}

Test(tls, revoked_certificates_are_refused)
{
    struct tls_options options = {.cert = file("server.crt"),
                                  .key = file("server.key"),
                                  .ca = file("ca.crt"),
                                  .crl = file("ca.crl"),
                                  .peer = TLS_PEER_CA};
    char text[TLS_ERROR_BYTES];

    for (int revoked = 0; revoked < 2; revoked++) {
        struct ends ends;
        struct tls_context *server = NULL;
        bool at_server = false;
        cr_assert_eq(tls_context_new(true, &options, &server, text), 0);
        connect_ends(&ends, server,
                     context(false, revoked ? "revoked.crt" : "client.crt",
                             revoked ? "revoked.key" : "client.key", NULL, TLS_PEER_ANY),
                     NULL);
        cr_assert_eq(shake(&ends, &at_server), revoked ? ERR_TLS : 0);
        cr_assert(!revoked || strstr(tls_error(ends.server, text), "revoked") != NULL);
        disconnect_ends(&ends);
    }
}

/* The digest, compared with what the openssl program computes. */
static void check_binding(const char *cert, const char *key, const char *digest, size_t bytes)
{
    struct ends ends;
    uint8_t ours[TLS_BINDING_BYTES_MAX] = {0}, theirs[TLS_BINDING_BYTES_MAX] = {0};
    char command[512], expected[200] = "", text[2 * TLS_BINDING_BYTES_MAX + 1] = "";

    connect_ends(&ends, context(true, cert, key, NULL, TLS_PEER_ANY), plain_client(), NULL);
    must_shake(&ends);
    cr_assert_eq(tls_binding(ends.server, ours), bytes);
    cr_assert_eq(tls_binding(ends.client, theirs), bytes);
    cr_assert_eq(memcmp(ours, theirs, bytes), 0);
    if (bytes > 0) {
        snprintf(command, sizeof command,
                 "openssl x509 -in %s -outform DER | openssl dgst -%s -r | cut -d' ' -f1",
                 file(cert), digest);
        FILE *pipe = popen(command, "r");
        cr_assert_not_null(fgets(expected, sizeof expected, pipe));
        pclose(pipe);
        expected[strcspn(expected, "\n")] = '\0';
        for (size_t i = 0; i < bytes; i++) {
            snprintf(text + 2 * i, 3, "%02x", ours[i]);
        }
        cr_assert_str_eq(text, expected);
    }
    disconnect_ends(&ends);
}

Test(tls, channel_binding_of_rfc_5929)
{
    check_binding("server.crt", "server.key", "sha256", 32);
    check_binding("sha512.crt", "rsa.key", "sha512", 64);
    check_binding("sha1.crt", "rsa.key", "sha256", 32);
    check_binding("ed.crt", "ed.key", "", 0);
}

static void refused(bool server, const struct tls_options *options, const char *reason)
{
    struct tls_context *made = NULL;
    char text[TLS_ERROR_BYTES] = "";

    cr_assert_eq(tls_context_new(server, options, &made, text), ERR_CONFIG, "%s", reason);
    cr_assert_null(made);
    cr_assert(strstr(text, reason) != NULL, "\"%s\" in: %s", reason, text);
}

Test(tls, bad_files_are_told)
{
    const char *cert = file("server.crt"), *key = file("server.key"), *none = file("none");

    refused(true, &(struct tls_options){0}, "certificate needs a private key");
    refused(true, &(struct tls_options){.cert = cert}, "certificate needs a private key");
    refused(false, &(struct tls_options){.key = key}, "certificate needs a private key");
    refused(true, &(struct tls_options){.cert = none, .key = key}, "No such file");
    refused(true, &(struct tls_options){.cert = cert, .key = none}, "No such file");
    refused(true, &(struct tls_options){.cert = key, .key = key}, "could not load certificate");
    refused(true, &(struct tls_options){.cert = cert, .key = file("client.key")}, "mismatch");
    refused(true, &(struct tls_options){.cert = cert, .key = file("open.key")}, "group or world");
    refused(true, &(struct tls_options){.cert = cert, .key = file("locked.key")},
            "could not load private key");
    refused(true, &(struct tls_options){.cert = cert, .key = file(".")}, "not a regular file");
    refused(true, &(struct tls_options){.cert = cert, .key = key, .ca = none}, "No such file");
    refused(true, &(struct tls_options){.cert = cert, .key = key, .crl = none}, "No such file");
    refused(true, &(struct tls_options){.cert = cert, .key = key, .peer = TLS_PEER_CA},
            "root certificate");
    refused(false, &(struct tls_options){.peer = TLS_PEER_NAME}, "root certificate");
}

Test(tls, key_file_modes_follow_libpq)
{
    char path[256], text[TLS_ERROR_BYTES];
    struct tls_options options = {.cert = file("server.crt"), .key = path};

    snprintf(path, sizeof path, "%s", file("server.key"));
    for (mode_t mode = 0400; mode <= 0677; mode++) {
        struct tls_context *made = NULL;
        mode_t forbidden = geteuid() == 0 ? 0037 : 0077;
        cr_assert_eq(chmod(path, mode), 0);
        int error = tls_context_new(true, &options, &made, text);
        cr_assert_eq(error == 0, (mode & forbidden) == 0, "%o: %s", (unsigned)mode, text);
        tls_context_unref(made);
    }
    cr_assert_eq(chmod(path, 0600), 0);
}
