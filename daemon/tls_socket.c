#include "daemon/tls_socket.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "base/assert.h"
#include "base/error.h"
#include "daemon/snapshot.h"
#include "daemon/socket.h"
#include "daemon/worker.h"
#include "protocol/tls.h"

enum {
    VECTORS_MAX = 16,
    /* Plaintext of one write: with the records' overhead it fits the scratch. */
    PLAIN_BYTES = 48 * 1024,
    /* More than this unsent means that a handshake is being abused. */
    UNSENT_BYTES_MAX = 256 * 1024,
};

struct tls_sock {
    struct tls *tls;
    uint8_t *unsent, *held; /* NULL when there is nothing */
    uint32_t unsent_count, unsent_used;
    uint32_t held_count;
    bool direct;
};

/* Where ciphertext goes during one call. */
struct out {
    struct sock *sock;
    uint32_t count; /* in the worker's scratch_out */
    bool failed;
};

void tls_sock_free(struct tls_sock *tls_sock)
{
    if (tls_sock != NULL) {
        tls_free(tls_sock->tls);
        free(tls_sock->unsent);
        free(tls_sock->held);
        free(tls_sock);
    }
}

/* --- ciphertext out -------------------------------------------------------------------------- */

/* As much as the socket takes; -1 when it has failed. */
static ssize_t send_some(struct sock *sock, const uint8_t *bytes, uint32_t count)
{
    ssize_t sent;
    do {
        sent = send(sock->fd, bytes, count, MSG_NOSIGNAL | MSG_DONTWAIT);
    } while (sent < 0 && errno == EINTR);
    if (sent < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
        return 0;
    }
    return sent;
}

static int keep_unsent(struct tls_sock *tls_sock, const uint8_t *bytes, uint32_t count)
{
    uint32_t left = tls_sock->unsent_count - tls_sock->unsent_used;
    ASSERT(left == 0 || tls_sock->unsent != NULL);
    if (count > UNSENT_BYTES_MAX - left) {
        return ERR_LIMIT;
    }
    uint8_t *all = malloc((size_t)left + count);
    if (all == NULL) {
        return ERR_NO_MEMORY;
    }
    if (left > 0) {
        memcpy(all, tls_sock->unsent + tls_sock->unsent_used, left);
    }
    memcpy(all + left, bytes, count);
    free(tls_sock->unsent);
    tls_sock->unsent = all;
    tls_sock->unsent_used = 0;
    tls_sock->unsent_count = left + count;
    return 0;
}

/* Empties the scratch: to the socket, and what it does not take to `unsent`. */
static int push(struct out *out)
{
    struct sock *sock = out->sock;
    uint8_t *scratch = sock_worker(sock)->scratch_out;
    uint32_t sent_bytes = 0;
    if (out->count == 0) {
        return 0;
    }
    if (sock->tls->unsent == NULL) {
        ssize_t sent = send_some(sock, scratch, out->count);
        if (sent < 0) {
            return ERR_IO;
        }
        sent_bytes = (uint32_t)sent;
    }
    uint32_t left = out->count - sent_bytes;
    out->count = 0;
    return left == 0 ? 0 : keep_unsent(sock->tls, scratch + sent_bytes, left);
}

static int write_out(void *arg, const uint8_t *bytes, size_t count)
{
    struct out *out = arg;
    uint8_t *scratch = sock_worker(out->sock)->scratch_out;
    while (count > 0) {
        if (out->count == WORKER_SCRATCH_BYTES && push(out) != 0) {
            out->failed = true;
            return -1;
        }
        uint32_t room = WORKER_SCRATCH_BYTES - out->count;
        uint32_t part = count < room ? (uint32_t)count : room;
        memcpy(scratch + out->count, bytes, part);
        out->count += part;
        bytes += part;
        count -= part;
    }
    return 0;
}

/* Sends what an earlier call could not; true when nothing of it is left. */
static bool send_unsent(struct sock *sock)
{
    struct tls_sock *tls_sock = sock->tls;
    if (tls_sock->unsent == NULL) {
        return true;
    }
    ssize_t sent = send_some(sock, tls_sock->unsent + tls_sock->unsent_used,
                             tls_sock->unsent_count - tls_sock->unsent_used);
    if (sent < 0) {
        sock_failed(sock, errno);
        return false;
    }
    tls_sock->unsent_used += (uint32_t)sent;
    if (tls_sock->unsent_used < tls_sock->unsent_count) {
        return false;
    }
    free(tls_sock->unsent);
    tls_sock->unsent = NULL;
    tls_sock->unsent_count = tls_sock->unsent_used = 0;
    return true;
}

/* The end of a call that may have written: WRITABLE is awaited exactly while something is unsent.
 * */
static void finish_out(struct out *out)
{
    struct sock *sock = out->sock;
    if (out->failed || push(out) != 0) {
        sock_failed(sock, errno != 0 ? errno : EPIPE);
    } else if (sock->tls->unsent != NULL) {
        sock->flags |= SOCK_FULL;
        sock_watch(sock);
    }
}

/* Encrypts the next part of what the engine shows; its bytes count as sent, for they cannot be
 * taken back. 0 when there is nothing more. */
static uint32_t encrypt_some(struct sock *sock, struct out *out)
{
    struct worker *worker = sock_worker(sock);
    struct iovec vectors[VECTORS_MAX];
    const struct tls_sink sink = {.write = write_out, .arg = out};
    int count = engine_tx(worker->engine, sock->handle, vectors, VECTORS_MAX);
    if (count == 0) {
        return 0;
    }
    const uint8_t *plain = vectors[0].iov_base;
    size_t plain_bytes = vectors[0].iov_len < PLAIN_BYTES ? vectors[0].iov_len : PLAIN_BYTES;
    if (count > 1 && plain_bytes < PLAIN_BYTES) {
        /* Many small pieces become one record. */
        plain_bytes = 0;
        for (int i = 0; i < count && plain_bytes < PLAIN_BYTES; i++) {
            size_t room = PLAIN_BYTES - plain_bytes;
            size_t part = vectors[i].iov_len < room ? vectors[i].iov_len : room;
            memcpy(worker->scratch_in + plain_bytes, vectors[i].iov_base, part);
            plain_bytes += part;
        }
        plain = worker->scratch_in;
    }
    if (tls_write(sock->tls->tls, &sink, plain, plain_bytes) != 0) {
        out->failed = true;
        return 0;
    }
    return (uint32_t)plain_bytes;
}

void tls_sock_flush(struct sock *sock)
{
    if (!send_unsent(sock)) {
        if ((sock->flags & SOCK_BROKEN) == 0) {
            sock_sent(sock, 0, true);
        }
        return;
    }
    sock_sent(sock, 0, false);
    if ((sock->flags & SOCK_HANDSHAKE) != 0) {
        return;
    }
    while (sock->tls->unsent == NULL && (sock->flags & SOCK_BROKEN) == 0) {
        struct out out = {.sock = sock};
        uint32_t encrypted = encrypt_some(sock, &out);
        if (encrypted == 0 && !out.failed) {
            return;
        }
        finish_out(&out);
        if (encrypted > 0) {
            sock_sent(sock, encrypted, sock->tls->unsent != NULL);
        }
        if (encrypted < PLAIN_BYTES && encrypted > 0) {
            struct iovec next;
            if (engine_tx(sock_worker(sock)->engine, sock->handle, &next, 1) == 0) {
                return;
            }
        }
    }
}

void tls_sock_goodbye(struct sock *sock)
{
    struct out out = {.sock = sock};
    const struct tls_sink sink = {.write = write_out, .arg = &out};
    if ((sock->flags & SOCK_HANDSHAKE) == 0 && sock->tls->unsent == NULL) {
        tls_shutdown(sock->tls->tls, &sink);
        (void)push(&out);
    }
}

/* --- ciphertext in --------------------------------------------------------------------------- */

/* What the engine does not want now is kept for tls_sock_resume. */
static void hold(struct sock *sock, const struct tls_input *input)
{
    struct tls_sock *tls_sock = sock->tls;
    size_t left = input->count - input->used;
    uint8_t *held = NULL;
    if (left > 0) {
        ASSERT(input->bytes != NULL);
        held = malloc(left);
        if (held == NULL) {
            sock_failed(sock, ENOMEM);
            return;
        }
        memcpy(held, input->bytes + input->used, left);
    }
    free(tls_sock->held);
    tls_sock->held = held;
    tls_sock->held_count = (uint32_t)left;
}

static void tell_failure(struct sock *sock, enum event_kind kind, const char *why)
{
    struct event event = {.kind = kind, .handle = sock->handle, .code = ERR_TLS, .text = why};
    if (kind == EVENT_EOF) {
        sock_ended(sock, ERR_TLS, why);
        return;
    }
    sock->flags |= SOCK_EOF;
    sock_watch(sock);
    worker_step(sock_worker(sock), &event);
}

static void tell_facts(struct sock *sock)
{
    struct tls_sock *tls_sock = sock->tls;
    struct tls *tls = tls_sock->tls;
    struct tls_facts facts = {
        .direct = tls_sock->direct,
        .alpn_postgresql = tls_alpn(tls),
        .certificate_ok = tls_peer_verified(tls),
    };
    size_t length;
    if (tls_peer_common_name(tls, facts.common_name, sizeof(facts.common_name), &length) != 0) {
        facts.common_name[0] = '\0';
    }
    _Static_assert(sizeof(facts.end_point) >= TLS_BINDING_BYTES_MAX, "a digest must fit");
    facts.end_point_bytes = (uint32_t)tls_binding(tls, facts.end_point);
    /* Static texts of a few bytes. */
    memccpy(facts.version, tls_version_name(tls), '\0', sizeof(facts.version) - 1);
    memccpy(facts.cipher, tls_cipher_name(tls), '\0', sizeof(facts.cipher) - 1);
    struct event event = {.kind = EVENT_TLS, .handle = sock->handle, .tls = &facts};
    worker_step(sock_worker(sock), &event);
}

/* True when the handshake is over and the input's rest is the session's. */
static bool go_on_handshake(struct sock *sock, struct tls_input *input)
{
    struct tls_sock *tls_sock = sock->tls;
    struct out out = {.sock = sock};
    const struct tls_sink sink = {.write = write_out, .arg = &out};
    char text[TLS_ERROR_BYTES];
    bool done = false;
    int code = tls_handshake(tls_sock->tls, input, &sink, &done);
    finish_out(&out);
    if (code != 0) {
        tell_failure(sock, EVENT_TLS, tls_error(tls_sock->tls, text));
        return false;
    }
    if (!done || (sock->flags & SOCK_BROKEN) != 0) {
        return false;
    }
    sock->flags &= (uint16_t)~SOCK_HANDSHAKE;
    if (tls_sock->direct && !tls_alpn(tls_sock->tls)) {
        tell_failure(sock, EVENT_TLS, "direct TLS needs the ALPN protocol \"postgresql\"");
        return false;
    }
    tell_facts(sock);
    return true;
}

/* Decrypts into the engine's room until the input is used up or the engine wants no more. */
static void decrypt(struct sock *sock, struct tls_input *input)
{
    struct worker *worker = sock_worker(sock);
    struct out out = {.sock = sock};
    const struct tls_sink sink = {.write = write_out, .arg = &out};
    size_t plain_bytes = 0;
    uint32_t room_bytes = 0;
    int code = 0;
    do {
        uint8_t *room;
        if (!engine_reading(worker->engine, sock->handle)) {
            sock->flags |= SOCK_STOPPED;
            break;
        }
        if (!engine_rx(worker->engine, sock->handle, &room, &room_bytes)) {
            sock_starve(sock);
            break;
        }
        code = tls_read(sock->tls->tls, input, &sink, room, room_bytes, &plain_bytes);
        if (code == 0 && plain_bytes > 0) {
            struct event event = {
                .kind = EVENT_BYTES, .handle = sock->handle, .bytes = (uint32_t)plain_bytes};
            worker_step(worker, &event);
        }
    } while (code == 0 && plain_bytes == room_bytes);
    finish_out(&out);
    if (code != 0) {
        char text[TLS_ERROR_BYTES];
        tell_failure(sock, EVENT_EOF, tls_error(sock->tls->tls, text));
    } else if (tls_peer_closed(sock->tls->tls) && !tls_pending(sock->tls->tls)) {
        sock_ended(sock, 0, NULL);
    } else {
        hold(sock, input);
        sock_watch(sock);
    }
}

static void take_input(struct sock *sock, struct tls_input *input)
{
    if ((sock->flags & SOCK_HANDSHAKE) != 0) {
        if (!go_on_handshake(sock, input)) {
            return;
        }
        if (input->used == input->count && !tls_pending(sock->tls->tls)) {
            sock_watch(sock);
            return;
        }
    }
    decrypt(sock, input);
}

void tls_sock_feed(struct sock *sock, const uint8_t *bytes, uint32_t count)
{
    if (sock->tls != NULL) {
        struct tls_input input = {.bytes = bytes, .count = count};
        take_input(sock, &input);
    }
}

void tls_sock_readable(struct sock *sock)
{
    struct worker *worker = sock_worker(sock);
    ASSERT(sock->tls->held == NULL);
    ssize_t received = recv(sock->fd, worker->scratch_in, WORKER_SCRATCH_BYTES, MSG_DONTWAIT);
    if (received > 0) {
        tls_sock_feed(sock, worker->scratch_in, (uint32_t)received);
    } else if (received == 0) {
        sock_ended(sock, 0, NULL);
    } else if (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR) {
        sock_failed(sock, errno);
    }
}

void tls_sock_resume(struct sock *sock)
{
    struct tls_sock *tls_sock = sock->tls;
    if ((sock->flags & SOCK_HANDSHAKE) != 0 ||
        (tls_sock->held == NULL && !tls_pending(tls_sock->tls))) {
        return;
    }
    uint8_t *held = tls_sock->held;
    struct tls_input input = {.bytes = held, .count = tls_sock->held_count};
    tls_sock->held = NULL;
    tls_sock->held_count = 0;
    decrypt(sock, &input);
    free(held);
}

void tls_sock_moved(struct sock *sock)
{
    if (sock->tls == NULL) {
        return;
    }
    if (sock->tls->unsent != NULL) {
        sock->flags |= SOCK_FULL;
        sock_watch(sock);
    }
    if ((sock->flags & SOCK_STOPPED) == 0) {
        tls_sock_resume(sock);
    }
}

/* --- the beginning --------------------------------------------------------------------------- */

int tls_sock_make_room(struct worker *worker, const struct tls_sock *tls_sock)
{
    if (tls_sock == NULL) {
        return 0;
    }
    if (worker->scratch_in == NULL) {
        worker->scratch_in = malloc(WORKER_SCRATCH_BYTES);
    }
    if (worker->scratch_out == NULL) {
        worker->scratch_out = malloc(WORKER_SCRATCH_BYTES);
    }
    return worker->scratch_in != NULL && worker->scratch_out != NULL ? 0 : ERR_NO_MEMORY;
}

static int make(struct sock *sock, bool accept, bool direct)
{
    struct worker *worker = sock_worker(sock);
    const char *host = NULL;
    struct tls_context *context =
        accept ? worker->snapshot->server_tls
               : snapshot_client_tls(worker->snapshot, engine_server(worker->engine, sock->handle),
                                     &host);
    if (context == NULL) {
        return ERR_CONFIG;
    }
    struct tls_sock *tls_sock = calloc(1, sizeof(*tls_sock));
    if (tls_sock == NULL || tls_sock_make_room(worker, tls_sock) != 0) {
        free(tls_sock);
        return ERR_NO_MEMORY;
    }
    int code = tls_new(context, host, &tls_sock->tls);
    if (code != 0) {
        free(tls_sock);
        return code;
    }
    tls_sock->direct = direct;
    sock->tls = tls_sock;
    return 0;
}

void tls_sock_start(struct sock *sock, bool accept, bool direct)
{
    int code = sock->tls != NULL ? ERR_INTERNAL : make(sock, accept, direct);
    if (code != 0) {
        struct event event = {
            .kind = EVENT_TLS, .handle = sock->handle, .code = code, .text = error_message(code)};
        worker_step(sock_worker(sock), &event);
        return;
    }
    sock->flags |= SOCK_HANDSHAKE;
    sock_watch(sock);
    if (!accept) {
        struct tls_input nothing = {.bytes = NULL};
        (void)go_on_handshake(sock, &nothing);
    }
}
