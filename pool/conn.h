/* What a client's and a server's connection have in common: bytes held, bytes to send, to-do bits.
 *
 * Received bytes that could not be used yet (a part of a message, a client waiting for a link) are
 * *held*, always contiguous. Unsent bytes are a stream of pieces of blocks.
 */
#ifndef POOL_CONN_H
#define POOL_CONN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/handle.h"
#include "base/list.h"
#include "base/stream.h"
#include "base/timer.h"

struct engine;

enum conn_kind { CONN_CLIENT, CONN_LINK, CONN_CANCELLER, CONN_GHOST };

struct conn {
    struct handle handle;
    enum conn_kind kind;
    uint8_t todo;      /* TODO_ bits for the shell */
    bool reading;      /* wanted */
    bool closing;      /* TODO_CLOSE was asked; nothing is received any more */
    bool bulk;         /* the last receive filled its room: offer a whole block */
    bool full;         /* the socket took nothing more when it was last written to */
    bool handed;       /* bytes were handed to the socket since this was last cleared */
    struct list dirty; /* in engine->dirty while todo has bits */
    struct stream tx;
    struct block *held; /* NULL = nothing held */
    uint32_t held_at, held_len;
    struct timer timer;
};

/* 0, ERR_LIMIT or ERR_NO_MEMORY. */
int conn_init(struct engine *engine, struct conn *conn, enum conn_kind kind);

/* Frees what it holds; its handle dies. */
void conn_fini(struct engine *engine, struct conn *conn);

/* Adds TODO_ bits for the shell, which takes them by engine_next_todo. */
void conn_todo(struct engine *engine, struct conn *conn, uint32_t bits);

/* Queues bytes for the peer, by reference and by copy. Out of memory closes the connection. */
void conn_send(struct engine *engine, struct conn *conn, struct block *block, uint8_t *bytes,
               uint32_t len);
void conn_write(struct engine *engine, struct conn *conn, const void *bytes, uint32_t len);

/* conn_write without a send of its own: the bytes go with what is queued next, or by TODO_SEND, or
 * when LIMIT_ALONG_BYTES wait. */
void conn_write_along(struct engine *engine, struct conn *conn, const void *bytes, uint32_t len);

/* Asks the shell to close the socket after a last attempt to write. A client that reads too slowly
 * for that is given LIMIT_LINGER_US to take what is left, as a backend would wait for it. */
void conn_close(struct engine *engine, struct conn *conn);

/* Ends the waiting of a closing connection: all is written, time is up, or the socket is broken. */
void conn_close_now(struct engine *engine, struct conn *conn);

/* Whether the shell shall watch the socket for bytes; nothing happens on a closing connection. */
void conn_set_reading(struct engine *engine, struct conn *conn, bool reading);

/* Drops what is held. */
void conn_drop_held(struct engine *engine, struct conn *conn);

/* Keeps `len` bytes at `bytes` for later: they replace what was held, and may lie in it.
 * `whole_len` is how much room the bytes will need to become usable, when that is known, else 0.
 * False when memory is out; the connection is then closing. */
bool conn_hold(struct engine *engine, struct conn *conn, struct block *block, uint8_t *bytes,
               uint32_t len, uint32_t whole_len);

/* Arms the connection's timer for `due_us` unless it is armed for an earlier time: whoever handles
 * the timer looks at what is really due and arms again. */
void conn_wake_by(struct engine *engine, struct conn *conn, uint64_t due_us);

#endif
