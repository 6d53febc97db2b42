/* TLS over memory: ciphertext in and out by the caller's blocks, no socket, nothing kept.
 *
 * A tls_context holds what connections share (certificate, key, trusted authorities, policy). It is
 * immutable and counted: a reload makes a new one, and the old one goes with its last connection.
 * A tls is one connection, of one side. It reads ciphertext from a block that is lent for the
 * duration of a call and hands ciphertext to a sink before the call returns, so between calls it
 * keeps at most the record that has come only in part. It belongs to no thread: it may be moved
 * between two calls.
 *
 * Policy: TLS 1.2 or later, no compression, no renegotiation, no tickets and no session cache
 * (PostgreSQL uses none), ALPN "postgresql" (src/backend/libpq/be-secure-openssl.c). Records that
 * we write carry at most 8 KiB: libpq's asynchronous interface stalls on what OpenSSL holds back of
 * a record larger than its read buffer.
 *
 * The implementation is protocol/openssl.c.
 */
#ifndef PROTOCOL_TLS_H
#define PROTOCOL_TLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The most plaintext of one record that we write */
#define TLS_RECORD_BYTES_MAX 8192

/* A tls-server-end-point digest (RFC 5929 section 4) */
#define TLS_BINDING_BYTES_MAX 64

/* Room for a message of tls_error or a tls_context constructor */
#define TLS_ERROR_BYTES 256

/* What is asked of the peer's certificate */
enum tls_peer {
    TLS_PEER_ANY,  /* nothing. A server asks for one if it has authorities, and a client that shows
                    * one must then show a good one */
    TLS_PEER_CA,   /* it must be there and come from an authority we trust */
    TLS_PEER_NAME, /* client side: and be made out to the host we meant. Server side: TLS_PEER_CA;
                    * comparing the name with the user is the caller's (tls_peer_common_name) */
};

enum tls_version { TLS_VERSION_1_2, TLS_VERSION_1_3 };

/* Files are PEM; NULL means not given. Nothing is kept of this struct. */
struct tls_options {
    const char *cert; /* our certificate, then its chain; a server must have one */
    const char *key;  /* its private key */
    const char *ca;   /* trusted authorities; client side: "system" for the system's own */
    const char *crl;  /* revocation lists, checked for the whole chain */
    enum tls_peer peer;
    enum tls_version min_version;
};

struct tls_context;
struct tls;

/* Takes ciphertext to send; nonzero if it can't, which ends the connection. */
struct tls_sink {
    int (*write)(void *arg, const uint8_t *bytes, size_t count);
    void *arg;
};

/* Ciphertext that was received: tls_ calls advance `used`. What they leave is for the next call. */
struct tls_input {
    const uint8_t *bytes;
    size_t count;
    size_t used;
};

/* --- contexts ------------------------------------------------------------------------------ */

/* A context of the server's (`server`) or the client's side, with one reference. Reads the files.
 * ERR_CONFIG with a message that says which file and why, or ERR_NO_MEMORY. A private key must be a
 * plain file that group and others can't use, or, if root owns it, that the group may at most read
 * (libpq's rule, src/interfaces/libpq/fe-secure-openssl.c). */
int tls_context_new(bool server, const struct tls_options *options,
                    struct tls_context **ret_context, char error_text[TLS_ERROR_BYTES]);

/* Any thread may do this. */
struct tls_context *tls_context_ref(struct tls_context *context);

/* Drops one reference; takes NULL. */
void tls_context_unref(struct tls_context *context);

/* The tls-server-end-point digest of a server context's certificate; 0 bytes if its signature
 * algorithm has no single digest (Ed25519), in which case SCRAM-SHA-256-PLUS can't be offered. */
size_t tls_context_binding(const struct tls_context *context,
                           uint8_t ret_digest[TLS_BINDING_BYTES_MAX]);

/* --- connections ---------------------------------------------------------------------------- */

/* A connection, which takes a reference to its context. host (client side only, may be NULL): the
 * name or address that was asked for; a name is sent as SNI, and TLS_PEER_NAME compares with it and
 * so must have it (ERR_CONFIG). Names match as in RFC 6125, wildcards for a whole label only;
 * addresses match address entries only. */
int tls_new(struct tls_context *context, const char *host, struct tls **ret_tls);

/* Sends nothing; takes NULL. */
void tls_free(struct tls *tls);

/* Goes on with the handshake as far as the input reaches (a client begins it with empty input).
 * *ret_done tells whether it is over; input it has left then belongs to tls_read. ERR_TLS if it has
 * failed: an alert may have gone to the sink, the reason is tls_error's. ERR_NO_MEMORY if the sink
 * failed. After an error no call but tls_error and tls_free has any use. */
int tls_handshake(struct tls *tls, struct tls_input *input, const struct tls_sink *sink,
                  bool *ret_done);

/* Decrypts into `out` until it is full or the input is used up. More may be held when `out` was
 * filled: call again until *ret_bytes < out_bytes. Handshake replies go to the sink. Errors as
 * tls_handshake; plaintext that came before an error is given first, the error by the next call. */
int tls_read(struct tls *tls, struct tls_input *input, const struct tls_sink *sink, uint8_t *out,
             size_t out_bytes, size_t *ret_bytes);

/* Encrypts all of it to the sink. Errors as tls_handshake. */
int tls_write(struct tls *tls, const struct tls_sink *sink, const void *bytes, size_t count);

/* Says goodbye (close_notify), once. Best effort. */
void tls_shutdown(struct tls *tls, const struct tls_sink *sink);

/* Whether the peer has said goodbye. If the transport ends without that, the stream was cut. */
bool tls_peer_closed(const struct tls *tls);

/* Whether plaintext is held that tls_read can give without more input. */
bool tls_pending(const struct tls *tls);

/* Why the last call failed; returns `text`. */
const char *tls_error(const struct tls *tls, char text[TLS_ERROR_BYTES]);

/* --- what a finished handshake has settled --------------------------------------------------- */

/* Whether both sides named the protocol "postgresql". A direct connection (no SSLRequest) that
 * didn't is to be closed. */
bool tls_alpn(const struct tls *tls);

/* "TLSv1.3" and the cipher's name; static storage. */
const char *tls_version_name(const struct tls *tls);
const char *tls_cipher_name(const struct tls *tls);

/* Whether the peer showed a certificate that our authorities vouch for. */
bool tls_peer_verified(const struct tls *tls);

/* The common name of the peer's certificate, NUL-terminated; returns its length. ERR_BAD_VALUE if
 * there is no certificate, it has no common name, it doesn't fit, or it holds a NUL. */
int tls_peer_common_name(const struct tls *tls, char *out, size_t out_bytes, size_t *ret_length);

/* The tls-server-end-point digest of the server's certificate: ours or the peer's. 0 bytes if there
 * is none (see tls_context_binding). */
size_t tls_binding(const struct tls *tls, uint8_t ret_digest[TLS_BINDING_BYTES_MAX]);

#endif
