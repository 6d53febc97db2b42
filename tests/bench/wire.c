#include "wire.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    BODY_BYTES_MAX = 1024,
    PROTOCOL_3_0 = 196608,
    SSL_REQUEST = 80877103,
    NONCE_BYTES = 18,
    NONCE_TEXT_BYTES = 24,
};

enum { AUTH_OK = 0, AUTH_SASL = 10, AUTH_SASL_CONTINUE = 11, AUTH_SASL_FINAL = 12 };

void wire_die(const char *what)
{
    fprintf(stderr, "load: %s (%s)\n", what, strerror(errno));
    exit(1);
}

SSL_CTX *wire_tls_new(void)
{
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());

    if (!context)
        wire_die("TLS context");
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
    return context;
}

void wire_send(struct wire *w, const void *bytes, size_t len)
{
    const uint8_t *next = bytes;

    while (len > 0) {
        ssize_t sent =
            w->ssl ? SSL_write(w->ssl, next, (int)len) : send(w->fd, next, len, MSG_NOSIGNAL);
        if (sent <= 0)
            wire_die("send");
        next += sent;
        len -= (size_t)sent;
    }
}

void wire_send_message(struct wire *w, char type, const void *body, size_t len)
{
    uint8_t message[5 + BODY_BYTES_MAX];
    uint32_t length = htonl((uint32_t)len + 4);

    if (len > BODY_BYTES_MAX)
        wire_die("message too long for the bench");
    message[0] = (uint8_t)type;
    memcpy(message + 1, &length, 4);
    if (len > 0)
        memcpy(message + 5, body, len);
    wire_send(w, message, 5 + len);
}

/* Makes at least one more byte available. */
static void fill(struct wire *w)
{
    struct wire_scratch *s = w->scratch;
    ssize_t got;

    if (s->in_off == s->in_len)
        s->in_off = s->in_len = 0;
    got = w->ssl ? SSL_read(w->ssl, s->in + s->in_len, (int)(sizeof(s->in) - s->in_len))
                 : recv(w->fd, s->in + s->in_len, sizeof(s->in) - s->in_len, 0);
    if (got <= 0)
        wire_die("the server closed the connection");
    s->in_len += (size_t)got;
    w->received_bytes += (uint64_t)got;
}

/* `len` contiguous bytes, consumed; valid until the next call. */
static const uint8_t *take(struct wire *w, size_t len)
{
    struct wire_scratch *s = w->scratch;
    const uint8_t *bytes;

    if (sizeof(s->in) - s->in_off < len) {
        memmove(s->in, s->in + s->in_off, s->in_len - s->in_off);
        s->in_len -= s->in_off;
        s->in_off = 0;
    }
    while (s->in_len - s->in_off < len)
        fill(w);
    bytes = s->in + s->in_off;
    s->in_off += len;
    return bytes;
}

static void skip(struct wire *w, size_t len)
{
    struct wire_scratch *s = w->scratch;

    while (s->in_len - s->in_off < len) {
        len -= s->in_len - s->in_off;
        s->in_off = s->in_len;
        fill(w);
    }
    s->in_off += len;
}

static void die_of_error(struct wire *w, size_t len)
{
    const uint8_t *body = take(w, len < BODY_BYTES_MAX ? len : BODY_BYTES_MAX);

    fprintf(stderr, "load: the server says:");
    for (size_t i = 0; i < len && i < BODY_BYTES_MAX; i++)
        fputc(body[i] ? body[i] : ' ', stderr);
    fputc('\n', stderr);
    exit(1);
}

/* The type of the next message, and the length of its body, which is still to be read. */
static char next_message(struct wire *w, size_t *ret_len)
{
    const uint8_t *head = take(w, 5);
    uint32_t length;
    char type = (char)head[0];

    memcpy(&length, head + 1, 4);
    length = ntohl(length);
    if (length < 4)
        wire_die("a message shorter than its length field");
    if (type == 'E')
        die_of_error(w, length - 4);
    *ret_len = length - 4;
    return type;
}

char wire_skip_message(struct wire *w)
{
    size_t len;
    char type = next_message(w, &len);

    skip(w, len);
    return type;
}

void wire_until_ready(struct wire *w)
{
    while (wire_skip_message(w) != 'Z')
        ;
}

/* The body of the AuthenticationRequest `kind` as a string, the kind left out. */
static void expect_auth(struct wire *w, uint32_t kind, char *text, size_t text_size)
{
    size_t len;
    uint32_t got;
    const uint8_t *body;

    if (next_message(w, &len) != 'R' || len < 4 || len - 4 >= text_size)
        wire_die("not the authentication message expected");
    body = take(w, len);
    memcpy(&got, body, 4);
    if (ntohl(got) != kind)
        wire_die("not the authentication step expected");
    memcpy(text, body + 4, len - 4);
    text[len - 4] = '\0';
}

static void hmac_sha256(const uint8_t *key, const void *text, size_t len, uint8_t *ret_mac)
{
    unsigned mac_len;

    if (!HMAC(EVP_sha256(), key, WIRE_KEY_BYTES, text, len, ret_mac, &mac_len))
        wire_die("HMAC");
}

static void salt_password(struct wire_scratch *s, const char *password, const char *salt_text,
                          unsigned iterations)
{
    uint8_t salt[WIRE_SALT_BYTES_MAX + 2];
    size_t text_len = strlen(salt_text);
    size_t padding = text_len >= 2 ? (size_t)(salt_text[text_len - 1] == '=') +
                                         (size_t)(salt_text[text_len - 2] == '=')
                                   : 0;
    int decoded;

    if (text_len > sizeof(salt) / 3 * 4)
        wire_die("a salt longer than the bench takes");
    decoded = EVP_DecodeBlock(salt, (const uint8_t *)salt_text, (int)text_len);
    if (decoded < (int)padding || (size_t)decoded - padding > WIRE_SALT_BYTES_MAX)
        wire_die("a salt that is not base64");
    if (s->salt_len == (size_t)decoded - padding && s->iterations == iterations &&
        memcmp(s->salt, salt, s->salt_len) == 0)
        return;
    s->salt_len = (size_t)decoded - padding;
    s->iterations = iterations;
    memcpy(s->salt, salt, s->salt_len);
    if (!PKCS5_PBKDF2_HMAC(password, (int)strlen(password), salt, (int)s->salt_len, (int)iterations,
                           EVP_sha256(), WIRE_KEY_BYTES, s->salted_password))
        wire_die("PBKDF2");
}

/* ClientProof of RFC 5802, section 3, in base64. */
static void client_proof(const uint8_t *salted_password, const char *auth_message, char *ret_text)
{
    uint8_t client_key[WIRE_KEY_BYTES], stored_key[WIRE_KEY_BYTES], signature[WIRE_KEY_BYTES];
    unsigned len;

    hmac_sha256(salted_password, "Client Key", strlen("Client Key"), client_key);
    if (!EVP_Digest(client_key, sizeof(client_key), stored_key, &len, EVP_sha256(), NULL))
        wire_die("SHA-256");
    hmac_sha256(stored_key, auth_message, strlen(auth_message), signature);
    for (size_t i = 0; i < WIRE_KEY_BYTES; i++)
        client_key[i] ^= signature[i];
    EVP_EncodeBlock((uint8_t *)ret_text, client_key, WIRE_KEY_BYTES);
}

/* SASLInitialResponse: mechanism, length of the rest, client-first-message. */
static void send_client_first(struct wire *w, const char *first_bare)
{
    static const char mechanism[] = "SCRAM-SHA-256";
    uint8_t body[256];
    size_t gs2_len = strlen("n,,"), bare_len = strlen(first_bare);
    uint32_t length = htonl((uint32_t)(gs2_len + bare_len));

    memcpy(body, mechanism, sizeof(mechanism));
    memcpy(body + sizeof(mechanism), &length, 4);
    memcpy(body + sizeof(mechanism) + 4, "n,,", gs2_len);
    memcpy(body + sizeof(mechanism) + 4 + gs2_len, first_bare, bare_len);
    wire_send_message(w, 'p', body, sizeof(mechanism) + 4 + gs2_len + bare_len);
}

static void login_scram(struct wire *w, const char *password)
{
    uint8_t random[NONCE_BYTES];
    char nonce[NONCE_TEXT_BYTES + 1], first_bare[64], server_first[512], final_bare[512];
    char auth_message[1200], proof[64], final[600];
    char server_nonce[256], salt[128];
    unsigned iterations;

    if (RAND_bytes(random, sizeof(random)) != 1)
        wire_die("random bytes");
    EVP_EncodeBlock((uint8_t *)nonce, random, sizeof(random));
    snprintf(first_bare, sizeof(first_bare), "n=,r=%s", nonce);
    send_client_first(w, first_bare);
    expect_auth(w, AUTH_SASL_CONTINUE, server_first, sizeof(server_first));
    if (sscanf(server_first, "r=%255[^,],s=%127[^,],i=%u", server_nonce, salt, &iterations) != 3)
        wire_die("a server-first-message of another form");
    salt_password(w->scratch, password, salt, iterations);
    snprintf(final_bare, sizeof(final_bare), "c=biws,r=%s", server_nonce);
    snprintf(auth_message, sizeof(auth_message), "%s,%s,%s", first_bare, server_first, final_bare);
    client_proof(w->scratch->salted_password, auth_message, proof);
    snprintf(final, sizeof(final), "%s,p=%s", final_bare, proof);
    wire_send_message(w, 'p', final, strlen(final));
    expect_auth(w, AUTH_SASL_FINAL, server_first, sizeof(server_first));
}

static void send_startup(struct wire *w, const struct wire_target *target)
{
    uint8_t packet[512];
    uint32_t version = htonl(PROTOCOL_3_0), length;
    int len = snprintf((char *)packet + 8, sizeof(packet) - 8,
                       "user%c%s%cdatabase%c%s%capplication_name%cload%c", 0, target->user, 0, 0,
                       target->database, 0, 0, 0);

    if (len < 0 || (size_t)len >= sizeof(packet) - 8)
        wire_die("user or database too long");
    length = htonl((uint32_t)len + 9); /* two words, the pairs, and the byte that snprintf ended */
    memcpy(packet, &length, 4);
    memcpy(packet + 4, &version, 4);
    wire_send(w, packet, (size_t)len + 9);
}

static void start_tls(struct wire *w, SSL_CTX *context)
{
    uint32_t request[2] = {htonl(8), htonl(SSL_REQUEST)};
    char answer;

    wire_send(w, request, sizeof(request));
    if (recv(w->fd, &answer, 1, 0) != 1 || answer != 'S')
        wire_die("the server does not speak TLS");
    w->ssl = SSL_new(context);
    if (!w->ssl || SSL_set_fd(w->ssl, w->fd) != 1 || SSL_connect(w->ssl) != 1)
        wire_die("TLS handshake");
}

static void tcp_connect(struct wire *w, uint16_t port)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET,
        .sin_port = htons(port),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };
    int one = 1;

    w->fd = socket(AF_INET, SOCK_STREAM, 0);
    if (w->fd < 0 || setsockopt(w->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)))
        wire_die("socket");
    if (connect(w->fd, (struct sockaddr *)&address, sizeof(address)))
        wire_die("connect");
}

void wire_open(struct wire *w, const struct wire_target *target, struct wire_scratch *scratch)
{
    char mechanisms[256];

    *w = (struct wire){.scratch = scratch};
    tcp_connect(w, target->port);
    if (target->tls)
        start_tls(w, target->tls);
    send_startup(w, target);
    if (target->password) {
        expect_auth(w, AUTH_SASL, mechanisms, sizeof(mechanisms));
        login_scram(w, target->password);
    }
    expect_auth(w, AUTH_OK, mechanisms, sizeof(mechanisms));
    wire_until_ready(w);
}

void wire_close(struct wire *w)
{
    wire_send_message(w, 'X', NULL, 0);
    SSL_free(w->ssl);
    close(w->fd);
}
