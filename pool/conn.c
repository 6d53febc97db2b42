#include "pool/conn.h"

#include <string.h>

#include "base/assert.h"
#include "base/error.h"
#include "base/limits.h"
#include "pool/core.h"
#include "pool/engine.h"

/* Held bytes up to this size go into a small block from the free list. */
enum { HELD_SMALL_BYTES = 2048 };

int conn_init(struct engine *engine, struct conn *conn, enum conn_kind kind)
{
    *conn = (struct conn){.kind = kind, .reading = true};
    list_init(&conn->dirty);
    return handle_table_add(&engine->connections, conn, &conn->handle);
}

void conn_fini(struct engine *engine, struct conn *conn)
{
    timer_disarm(&engine->timers, &conn->timer);
    list_remove(&conn->dirty);
    stream_clear(&engine->blocks, &conn->tx);
    conn_drop_held(engine, conn);
    handle_table_remove(&engine->connections, conn->handle);
}

void conn_todo(struct engine *engine, struct conn *conn, uint32_t bits)
{
    if (conn->todo == 0) {
        list_push_back(&engine->dirty, &conn->dirty);
    }
    conn->todo = (uint8_t)(conn->todo | bits);
}

/* Behind what is unsent. Out of line: mostly nothing is. */
static __attribute__((noinline)) void send_behind(struct engine *engine, struct conn *conn,
                                                  struct block *block, uint8_t *bytes, uint32_t len)
{
    if (stream_append(&engine->blocks, &conn->tx, block, bytes, len) != 0) {
        conn_close(engine, conn);
        return;
    }
    conn_todo(engine, conn, TODO_SEND);
}

void conn_send(struct engine *engine, struct conn *conn, struct block *block, uint8_t *bytes,
               uint32_t len)
{
    if (conn->closing) {
        return;
    }
    if (conn->tx.last != NULL || len == 0) {
        send_behind(engine, conn, block, bytes, len);
        return;
    }
    stream_begin(&conn->tx, block, bytes, len);
    conn_todo(engine, conn, TODO_SEND);
}

void conn_write(struct engine *engine, struct conn *conn, const void *bytes, uint32_t len)
{
    if (conn->closing) {
        return;
    }
    if (stream_write(&engine->blocks, &conn->tx, bytes, len) != 0) {
        conn_close(engine, conn);
        return;
    }
    conn_todo(engine, conn, TODO_SEND);
}

void conn_write_along(struct engine *engine, struct conn *conn, const void *bytes, uint32_t len)
{
    if (conn->closing) {
        return;
    }
    if (stream_write(&engine->blocks, &conn->tx, bytes, len) != 0) {
        conn_close(engine, conn);
    } else if (conn->tx.bytes >= LIMIT_ALONG_BYTES) {
        conn_todo(engine, conn, TODO_SEND);
    }
}

void conn_close(struct engine *engine, struct conn *conn)
{
    if (conn->closing) {
        return;
    }
    conn->closing = true;
    conn->reading = false;
    timer_disarm(&engine->timers, &conn->timer);
    conn_drop_held(engine, conn);
    if (conn->kind == CONN_CLIENT && conn->tx.bytes > (conn->full ? 0 : LIMIT_LAST_WORDS_BYTES) &&
        timer_arm(&engine->timers, &conn->timer, engine->now_us + LIMIT_LINGER_US) == 0) {
        return; /* a slow reader gets its last answer: conn_close_now when all is written */
    }
    conn_todo(engine, conn, TODO_CLOSE);
}

void conn_close_now(struct engine *engine, struct conn *conn)
{
    ASSERT(conn->closing);
    timer_disarm(&engine->timers, &conn->timer);
    conn_todo(engine, conn, TODO_CLOSE);
}

void conn_set_reading(struct engine *engine, struct conn *conn, bool reading)
{
    if (conn->reading != reading && !conn->closing) {
        conn->reading = reading;
        conn_todo(engine, conn, TODO_READING);
    }
}

void conn_drop_held(struct engine *engine, struct conn *conn)
{
    if (conn->held != NULL) {
        struct block *held = conn->held;
        conn->held = NULL;
        conn->held_len = 0;
        block_unref(&engine->blocks, held);
    }
}

bool conn_hold(struct engine *engine, struct conn *conn, struct block *block, uint8_t *bytes,
               uint32_t len, uint32_t whole_len)
{
    uint32_t need = whole_len > len ? whole_len : len;
    if (len == 0) {
        conn_drop_held(engine, conn);
        return true;
    }
    if (block == conn->held && (uint32_t)(bytes - block->bytes) + need <= block->capacity) {
        conn->held_at = (uint32_t)(bytes - block->bytes);
        conn->held_len = len;
        return true;
    }
    struct block *own = need <= HELD_SMALL_BYTES ? blocks_small(&engine->blocks, HELD_SMALL_BYTES)
                                                 : blocks_private(&engine->blocks, need);
    if (own == NULL) {
        conn_close(engine, conn);
        return false;
    }
    memcpy(own->bytes, bytes, len);
    conn_drop_held(engine, conn);
    conn->held = own;
    conn->held_at = 0;
    conn->held_len = len;
    return true;
}

void conn_wake_by(struct engine *engine, struct conn *conn, uint64_t due_us)
{
    if (timer_armed(&conn->timer) && conn->timer.due_us <= due_us) {
        return;
    }
    if (timer_arm(&engine->timers, &conn->timer, due_us) != 0) {
        conn_close(engine, conn);
    }
}
