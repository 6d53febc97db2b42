/* TLS on a socket: ciphertext between the descriptor and protocol/tls.h, plaintext between that and
 * the engine's own memory.
 *
 * Ciphertext is received into the worker's scratch and decrypted straight into the engine's room;
 * what the engine does not want yet is held, at most one receive's worth. What is to be sent is
 * encrypted into another scratch and written at once; what the socket does not take is kept, and
 * nothing more is encrypted before that has gone, so it never exceeds WORKER_SCRATCH_BYTES. A quiet
 * connection holds neither.
 */
#ifndef DAEMON_TLS_SOCKET_H
#define DAEMON_TLS_SOCKET_H

#include <stdbool.h>
#include <stdint.h>

struct sock;
struct tls_sock;
struct worker;

/* Begins a handshake as the server (`accept`) or the client. `direct`: the client did without
 * SSLRequest, so ALPN "postgresql" is a must. The outcome is EVENT_TLS. */
void tls_sock_start(struct sock *sock, bool accept, bool direct);

/* Ciphertext that was received already. */
void tls_sock_feed(struct sock *sock, const uint8_t *bytes, uint32_t count);

/* The descriptor is readable: one receive. */
void tls_sock_readable(struct sock *sock);

/* The engine wants bytes again: what is held comes first. */
void tls_sock_resume(struct sock *sock);

/* Encrypts and writes what engine_tx shows, as far as the socket takes it. */
void tls_sock_flush(struct sock *sock);

/* close_notify, as a courtesy. */
void tls_sock_goodbye(struct sock *sock);

/* What the worker needs for a TLS object that comes from another one; takes NULL. ERR_NO_MEMORY. */
int tls_sock_make_room(struct worker *worker, const struct tls_sock *tls_sock);

/* The socket has come to another worker: goes on with what was held. */
void tls_sock_moved(struct sock *sock);

void tls_sock_free(struct tls_sock *tls_sock);

#endif
