/*
 * wire: a blocking PostgreSQL client for the bench, cheap enough that it is not what is measured.
 *
 * It logs in (trust or SCRAM-SHA-256, RFC 5802 and 7677; plain or TLS), sends bytes that the
 * caller has framed, and reads messages without keeping their bodies. Whatever goes wrong ends the
 * program with a line on stderr: a bench has nothing better to do.
 */
#ifndef BENCH_WIRE_H
#define BENCH_WIRE_H

#include <openssl/ssl.h>
#include <stddef.h>
#include <stdint.h>

enum { WIRE_BUFFER_BYTES = 262144, WIRE_SALT_BYTES_MAX = 64, WIRE_KEY_BYTES = 32 };

/* Where to connect on 127.0.0.1, and as whom. `tls` is NULL for a plain connection; `password`
 * is NULL where the server is to trust. */
struct wire_target {
    uint16_t port;
    const char *user, *database, *password;
    SSL_CTX *tls;
};

/* What connections used one after the other share: the receive buffer (empty whenever a login or
 * an answer is complete), and the last salted password, because 4096 rounds of HMAC a login would
 * make the client the slowest part. One a thread; zero it before use. */
struct wire_scratch {
    uint8_t in[WIRE_BUFFER_BYTES];
    size_t in_off, in_len;
    uint8_t salt[WIRE_SALT_BYTES_MAX];
    size_t salt_len;
    unsigned iterations;
    uint8_t salted_password[WIRE_KEY_BYTES];
};

/* One connection. `received_bytes` counts what came off the socket, after TLS. */
struct wire {
    int fd;
    SSL *ssl;
    struct wire_scratch *scratch;
    uint64_t received_bytes;
};

/* Ends the program with "load: what". */
void wire_die(const char *what) __attribute__((noreturn));

/* A TLS client context that verifies nothing and resumes nothing. */
SSL_CTX *wire_tls_new(void);

/* Connects, logs in and reads up to ReadyForQuery. */
void wire_open(struct wire *w, const struct wire_target *target, struct wire_scratch *scratch);

/* Sends Terminate and closes. */
void wire_close(struct wire *w);

/* Sends all the bytes. */
void wire_send(struct wire *w, const void *bytes, size_t len);

/* Sends one message: type, length, body. The body is at most 1,024 bytes. */
void wire_send_message(struct wire *w, char type, const void *body, size_t len);

/* Reads one message and drops its body; returns its type. An ErrorResponse ends the program. */
char wire_skip_message(struct wire *w);

/* Reads up to the ReadyForQuery. */
void wire_until_ready(struct wire *w);

#endif
