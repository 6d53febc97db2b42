/* Two TLS ends in memory, with certificates that the openssl program makes, for the tests of TLS.
 *
 * The implementation is included, not linked: only so can a peer be made to misbehave (KeyUpdates,
 * renegotiation) through the library itself.
 */
#ifndef TESTS_UNIT_TLS_PAIR_H
#define TESTS_UNIT_TLS_PAIR_H

#include "protocol/openssl.c"

#include <criterion/criterion.h>
#include <criterion/hooks.h>

#include <stdlib.h>
#include <unistd.h>

#define ROOM (1 << 20)

/* One direction: ciphertext on its way. */
struct wire {
    size_t begin, end;
    size_t writes_left; /* the sink fails when this is used up */
    uint8_t bytes[ROOM];
};

struct ends {
    struct tls_context *server_context, *client_context;
    struct tls *server, *client;
    struct wire *to_server, *to_client;
    size_t step; /* bytes handed over at a time */
};

static char *folder;

static const char make_certificates[] =
    "set -e; cd \"$HOWDAH_TLS_FOLDER\"; exec 2>make.log\n"
    "key() { openssl ecparam -name prime256v1 -genkey -noout -out $1.key; }\n"
    "req() { openssl req -new -key $1.key -subj \"$2\" -out $1.csr; }\n"
    "sign() { openssl x509 -req -in $1.csr -CA $2.crt -CAkey $2.key -set_serial $3 -days $4 $5 \\\n"
    "         -extfile $1.ext -out $1.crt; }\n"
    "for ca in ca otherca; do key $ca\n"
    "openssl req -x509 -new -key $ca.key -subj /CN=$ca -days 30 -out $ca.crt; done\n"
    "for name in server expired; do key $name; req $name /CN=common.example\n"
    "echo subjectAltName=DNS:db.example,DNS:*.wild.example,IP:127.0.0.1,IP:::1 >$name.ext; done\n"
    "sign server ca 1 30; sign expired ca 2 -1\n"
    "for name in client revoked; do key $name; req $name /CN=alice; : >$name.ext; done\n"
    "sign client ca 3 30; sign revoked ca 4 30\n"
    "openssl genrsa -out rsa.key 2048; req rsa /CN=rsa; : >rsa.ext; sign rsa ca 5 30\n"
    "openssl req -x509 -new -key rsa.key -sha512 -subj /CN=rsa -days 30 -out sha512.crt\n"
    "openssl req -x509 -new -key rsa.key -sha1 -subj /CN=rsa -days 30 -out sha1.crt\n"
    "openssl genpkey -algorithm ed25519 -out ed.key\n"
    "openssl req -x509 -new -key ed.key -subj /CN=ed -days 30 -out ed.crt\n"
    "openssl ec -in server.key -aes128 -passout pass:x -out locked.key\n"
    "cp server.key open.key; : >index.txt; echo 01 >crlnumber\n"
    "printf '[ca]\\ndefault_ca=d\\n[d]\\ndatabase=index.txt\\ncrlnumber=crlnumber\\n' >ca.cnf\n"
    "printf 'default_md=sha256\\ndefault_crl_days=30\\n' >>ca.cnf\n"
    "openssl ca -config ca.cnf -cert ca.crt -keyfile ca.key -revoke revoked.crt\n"
    "openssl ca -config ca.cnf -cert ca.crt -keyfile ca.key -gencrl -out ca.crl\n"
    "chmod 600 *.key; chmod 644 open.key\n";

ReportHook(PRE_ALL)(struct criterion_test_set *tests)
{
    static char template[] = "/tmp/howdah-tls-XXXXXX";

    (void)tests;
    folder = mkdtemp(template);
    if (folder == NULL || setenv("HOWDAH_TLS_FOLDER", folder, 1) != 0 ||
        system(make_certificates) != 0) {
        fprintf(stderr, "test_tls: can't make certificates in %s\n", folder);
        exit(1);
    }
}

ReportHook(POST_ALL)(struct criterion_global_stats *stats)
{
    (void)stats;
    if (system("rm -rf \"$HOWDAH_TLS_FOLDER\"") != 0) {
        fprintf(stderr, "test_tls: %s is left over\n", folder);
    }
}

/* The path of a certificate file, good until eight more were asked for. NULL for NULL. */
static inline const char *file(const char *name)
{
    static char paths[8][128];
    static size_t next;

    if (name == NULL) {
        return NULL;
    }
    char *path = paths[next++ % 8];
    snprintf(path, sizeof paths[0], "%s/%s", getenv("HOWDAH_TLS_FOLDER"), name);
    return path;
}

static inline struct tls_context *context(bool server, const char *cert, const char *key,
                                          const char *ca, enum tls_peer peer)
{
    struct tls_options options = {
        .cert = file(cert), .key = file(key), .ca = file(ca), .peer = peer};
    struct tls_context *made = NULL;
    char text[TLS_ERROR_BYTES] = "";

    int error = tls_context_new(server, &options, &made, text);
    cr_assert_eq(error, 0, "%s", text);
    return made;
}

static inline int store(void *arg, const uint8_t *bytes, size_t count)
{
    struct wire *wire = arg;

    if (wire->writes_left == 0 || count > ROOM - wire->end) {
        return 1;
    }
    wire->writes_left--;
    memcpy(wire->bytes + wire->end, bytes, count);
    wire->end += count;
    return 0;
}

static inline struct wire *wire_new(void)
{
    struct wire *wire = malloc(sizeof *wire);

    wire->begin = wire->end = 0;
    wire->writes_left = SIZE_MAX;
    return wire;
}

/* Takes the contexts' references over. */
static inline void connect_ends(struct ends *ends, struct tls_context *server,
                                struct tls_context *client, const char *host)
{
    *ends = (struct ends){server, client, NULL, NULL, wire_new(), wire_new(), SIZE_MAX};
    cr_assert_eq(tls_new(server, NULL, &ends->server), 0);
    cr_assert_eq(tls_new(client, host, &ends->client), 0);
    tls_context_unref(server);
    tls_context_unref(client);
}

static inline void disconnect_ends(struct ends *ends)
{
    tls_free(ends->server);
    tls_free(ends->client);
    free(ends->to_server);
    free(ends->to_client);
}

static inline struct tls_sink sink_of(struct wire *wire)
{
    return (struct tls_sink){store, wire};
}

static inline struct tls_input input_of(const struct wire *wire, size_t step)
{
    size_t count = wire->end - wire->begin;

    return (struct tls_input){wire->bytes + wire->begin, count < step ? count : step, 0};
}

static inline void settle(struct wire *wire, const struct tls_input *input)
{
    wire->begin += input->used;
    if (wire->begin == wire->end) {
        wire->begin = wire->end = 0;
    }
}

static inline int shake_one(struct tls *tls, struct wire *in, struct wire *out, size_t step,
                            bool *done)
{
    struct tls_sink sink = sink_of(out);
    struct tls_input input = input_of(in, step);

    int error = tls_handshake(tls, &input, &sink, done);
    if (error == 0 && !*done) {
        cr_assert_eq(input.used, input.count, "a waiting handshake leaves no input");
    }
    settle(in, &input);
    return error;
}

/* 0, or the first error, and whose it was. */
static inline int shake(struct ends *ends, bool *ret_at_server)
{
    bool server_done = false, client_done = false;

    for (size_t turn = 0; turn < 100000 && !(server_done && client_done); turn++) {
        int error = 0;
        if (!client_done) {
            error =
                shake_one(ends->client, ends->to_client, ends->to_server, ends->step, &client_done);
            *ret_at_server = false;
        }
        if (error == 0 && !server_done) {
            error =
                shake_one(ends->server, ends->to_server, ends->to_client, ends->step, &server_done);
            *ret_at_server = true;
        }
        if (error != 0) {
            return error;
        }
    }
    cr_assert(server_done && client_done, "the handshake got stuck");
    return 0;
}

static inline void must_shake(struct ends *ends)
{
    bool at_server = false;
    char text[TLS_ERROR_BYTES];

    int error = shake(ends, &at_server);
    cr_assert_eq(error, 0, "%s: %s", at_server ? "server" : "client",
                 tls_error(at_server ? ends->server : ends->client, text));
}

/* Reads what has arrived, `step` bytes of ciphertext and `room` of plaintext at a time. */
static inline size_t receive(struct tls *tls, struct wire *in, struct wire *out, size_t step,
                             size_t room, uint8_t *plain)
{
    struct tls_sink sink = sink_of(out);
    size_t total = 0, got = 0;

    do {
        struct tls_input input = input_of(in, step);
        cr_assert_eq(tls_read(tls, &input, &sink, plain + total, room, &got), 0);
        cr_assert(input.used == input.count || got == room, "input is left only for want of room");
        settle(in, &input);
        total += got;
    } while (in->begin != in->end || got == room);
    return total;
}

static inline struct tls_context *plain_server(void)
{
    return context(true, "server.crt", "server.key", NULL, TLS_PEER_ANY);
}

static inline struct tls_context *plain_client(void)
{
    return context(false, NULL, NULL, NULL, TLS_PEER_ANY);
}

static inline void pattern(uint8_t *bytes, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        bytes[i] = (uint8_t)(i * 31 + i / 251);
    }
}

#endif
