#include "pool/engine.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>

#include "base/assert.h"
#include "base/error.h"
#include "base/limits.h"
#include "pool/account.h"
#include "pool/admin.h"
#include "pool/cancel.h"
#include "pool/conn.h"
#include "pool/core.h"
#include "pool/firewall.h"
#include "pool/follow.h"
#include "pool/lend.h"
#include "pool/link.h"
#include "pool/options.h"
#include "pool/pool.h"
#include "pool/pool_facts.h"
#include "pool/pool_nodes.h"
#include "pool/route_silent.h"
#include "pool/route_wait.h"
#include "pool/session.h"
#include "pool/show.h"
#include "protocol/crypto.h"

/* Held bytes up to this length are copied in front of the next receive, so that a message cut by
 * the end of a receive does not shrink the next one. */
enum { RX_PREFIX_BYTES = 512 };

struct engine *engine_new(const struct engine_setup *setup)
{
    struct engine *engine = calloc(1, sizeof(*engine));
    if (engine == NULL) {
        return NULL;
    }
    engine->worker = setup->worker;
    engine->shared = setup->shared;
    engine->options = setup->options;
    engine->now_us = setup->now_us;
    engine->wall_offset_us = setup->wall_us - setup->now_us;
    engine->random.state = setup->seed;
    engine->hash_key = random_next(&engine->random);
    memcpy(engine->secret, setup->secret, sizeof(engine->secret));
    engine->tls_available = setup->tls_available;
    handle_table_init(&engine->connections, LIMIT_CONNECTIONS);
    slab_init(&engine->sessions, sizeof(struct session));
    blocks_init(&engine->blocks);
    timer_heap_init(&engine->timers);
    timer_heap_init(&engine->pool_timers);
    list_init(&engine->dirty);
    list_init(&engine->resumable);
    list_init(&engine->late);
    list_init(&engine->actions);
    list_init(&engine->pool_list);
    gates_init(&engine->gates);
    map_init(&engine->pools);
    verifier_cache_init(&engine->verifiers);
    writer_init(&engine->scratch);
    statement_store_init(&engine->statements, setup->worker, engine->hash_key);
    if (settings_store_init(&engine->settings, engine->hash_key) != 0) {
        free(engine);
        return NULL;
    }
    if (plan_cache_init(&engine->plans, engine->hash_key, LIMIT_PLANS) != 0) {
        settings_store_fini(&engine->settings);
        free(engine);
        return NULL;
    }
    options_ref(engine->options);
    return engine;
}

/* The shell has detached the socket of a link that was lent to another worker. */
static void ghost_closed(struct engine *engine, struct conn *ghost)
{
    handle_table_remove(&engine->connections, ghost->handle);
    free(ghost);
}

static void free_connections(struct engine *engine)
{
    for (uint32_t slot = 0; slot < engine->connections.count; slot++) {
        struct conn *conn = engine->connections.slots[slot].object;
        if (conn == NULL) {
            continue;
        }
        conn_close(engine, conn);
        switch (conn->kind) {
        case CONN_CLIENT:
            session_closed(engine, (struct session *)conn);
            break;
        case CONN_LINK:
            link_closed(engine, (struct link *)conn);
            break;
        case CONN_CANCELLER:
            canceller_closed(engine, (struct canceller *)conn);
            break;
        case CONN_GHOST:
            ghost_closed(engine, conn);
            break;
        }
    }
}

void engine_free(struct engine *engine)
{
    if (engine == NULL) {
        return;
    }
    engine->draining = engine->drained = true; /* nothing is dialed any more */
    free_connections(engine);
    LIST_EACH (&engine->pool_list, node) {
        pool_free(engine, CONTAINER_OF(node, struct pool, listed));
    }
    map_fini(&engine->pools);
    pool_nodes_forget(engine);
    LIST_EACH (&engine->actions, node) {
        struct action_node *queued = CONTAINER_OF(node, struct action_node, queued);
        letter_free(queued->action.letter);
        free(queued);
    }
    free(engine->action_taken);
    statement_store_fini(&engine->statements);
    settings_store_fini(&engine->settings);
    plan_cache_fini(&engine->plans);
    verifier_cache_fini(&engine->verifiers);
    gates_fini(&engine->gates);
    writer_fini(&engine->scratch);
    timer_heap_fini(&engine->timers);
    timer_heap_fini(&engine->pool_timers);
    handle_table_fini(&engine->connections);
    slab_fini(&engine->sessions);
    blocks_fini(&engine->blocks);
    options_unref(engine->options);
    free(engine);
}

int engine_open(struct engine *engine, const struct origin *origin, bool tls_first, uint64_t now_us,
                struct handle *ret_handle)
{
    engine->now_us = now_us;
    bool counted = shared_client_enter(engine->shared, engine->options->max_clients);
    if (engine->draining || (!counted && engine->over_count >= ENGINE_OVER_MAX)) {
        if (counted) {
            shared_client_leave(engine->shared);
        }
        return ERR_TOO_MANY_CLIENTS;
    }
    struct session *session = session_new(engine, origin);
    if (session == NULL) {
        if (counted) {
            shared_client_leave(engine->shared);
        }
        return ERR_NO_MEMORY;
    }
    session->counted = counted;
    engine->over_count += !counted;
    if (tls_first) {
        session->state = SESSION_TLS;
        session->tls_asked = true;
    }
    *ret_handle = session->conn.handle;
    return 0;
}

/* --- bytes in and out ------------------------------------------------------------------------- */

static bool rx_behind_held(struct engine *engine, struct conn *conn)
{
    struct block *held = conn->held;
    uint32_t end = conn->held_at + conn->held_len;
    if (held->capacity == end) {
        if (!conn_hold(engine, conn, held, held->bytes + conn->held_at, conn->held_len,
                       conn->held_len * 2)) {
            return false;
        }
        held = conn->held;
    }
    engine->rx_block = held;
    engine->rx_at = conn->held_at;
    engine->rx_prefix = conn->held_len;
    return true;
}

static bool rx_in_shared(struct engine *engine, struct conn *conn)
{
    uint32_t want = conn->bulk ? LIMIT_BLOCK_BYTES : LIMIT_READ_BYTES_MIN;
    struct block *block = blocks_reserve(&engine->blocks, want);
    if (block == NULL) {
        conn_close(engine, conn);
        return false;
    }
    engine->rx_block = block;
    engine->rx_at = block->used;
    engine->rx_prefix = conn->held_len;
    if (conn->held_len > 0) {
        ASSERT(conn->held != NULL);
        memcpy(block->bytes + block->used, conn->held->bytes + conn->held_at, conn->held_len);
    }
    return true;
}

/* A block that was made for a whole message is filled, not made again with every segment of it. */
static bool goes_behind_held(const struct conn *conn)
{
    const struct block *held = conn->held;
    return held != NULL &&
           (conn->held_len > RX_PREFIX_BYTES ||
            held->capacity - conn->held_at - conn->held_len >= LIMIT_READ_BYTES_MIN);
}

bool engine_rx(struct engine *engine, struct handle handle, uint8_t **ret_room, uint32_t *ret_bytes)
{
    struct conn *conn = handle_table_get(&engine->connections, handle);
    if (conn == NULL || conn->closing) {
        return false;
    }
    if (goes_behind_held(conn) ? !rx_behind_held(engine, conn) : !rx_in_shared(engine, conn)) {
        return false;
    }
    uint32_t at = engine->rx_at + engine->rx_prefix;
    engine->rx_conn = conn;
    engine->rx_bytes = engine->rx_block->capacity - at;
    *ret_room = engine->rx_block->bytes + at;
    *ret_bytes = engine->rx_bytes;
    return true;
}

/* In line, for a query has two. */
static inline __attribute__((always_inline)) void conn_bytes(struct engine *engine,
                                                             struct conn *conn, uint32_t received)
{
    struct block *block = engine->rx_block;
    ASSERT(received <= engine->rx_bytes);
    uint8_t *bytes = block->bytes + engine->rx_at;
    uint32_t len = engine->rx_prefix + received;
    engine->rx_conn = NULL;
    conn->bulk = received == engine->rx_bytes;
    block->used = engine->rx_at + len;
    block_ref(block);
    if (conn->held != NULL && conn->held != block) {
        conn_drop_held(engine, conn);
    }
    switch (conn->kind) {
    case CONN_CLIENT:
        session_bytes(engine, (struct session *)conn, block, bytes, len);
        break;
    case CONN_LINK:
        link_bytes(engine, (struct link *)conn, block, bytes, len);
        break;
    case CONN_CANCELLER:
        canceller_bytes(engine, (struct canceller *)conn, bytes, len);
        break;
    case CONN_GHOST:
        UNREACHABLE(); /* closing: no room was lent */
    }
    block_unref(&engine->blocks, block);
}

int engine_tx(struct engine *engine, struct handle handle, struct iovec *vectors, int max)
{
    struct conn *conn = handle_table_get(&engine->connections, handle);
    return conn == NULL ? 0 : stream_peek(&conn->tx, vectors, max);
}

/* What SUSPEND stops: links at work, and clients of a database. */
static bool is_frozen(const struct conn *conn)
{
    return (conn->kind == CONN_LINK && ((const struct link *)conn)->state >= LINK_IDLE) ||
           (conn->kind == CONN_CLIENT && ((const struct session *)conn)->pool != NULL);
}

bool engine_reading(const struct engine *engine, struct handle handle)
{
    const struct conn *conn = handle_table_get(&engine->connections, handle);
    return conn != NULL && conn->reading && !(engine->gates.suspended && is_frozen(conn));
}

/* Hardly anything is unsent: what was held back may come. */
static void conn_has_room(struct engine *engine, struct conn *conn)
{
    if (conn->kind == CONN_CLIENT) {
        struct session *session = (struct session *)conn;
        if (session->link != NULL && !session->link->conn.reading) {
            conn_set_reading(engine, &session->link->conn, true);
        }
        if (!conn->reading && !session->gone) {
            session_resume_later(engine, session);
        }
    } else if (conn->kind == CONN_LINK) {
        link_sent(engine, (struct link *)conn);
    }
}

/* Not all is sent, or it was the last of a connection. Out of line: conn_sent is of every query. */
static __attribute__((noinline)) void conn_sent_partly(struct engine *engine, struct conn *conn)
{
    if (conn->closing && conn->tx.bytes == 0) {
        conn_close_now(engine, conn);
        return;
    }
    if (conn->tx.bytes > 0) {
        stream_settle(&engine->blocks, &conn->tx);
    }
    if (conn->tx.bytes < LIMIT_TX_LOW_BYTES) {
        conn_has_room(engine, conn);
    }
}

static void conn_sent(struct engine *engine, struct conn *conn, uint32_t bytes)
{
    conn->full = bytes == 0 && conn->tx.bytes > 0;
    conn->handed |= bytes > 0;
    stream_consume(&engine->blocks, &conn->tx, bytes);
    if (conn->closing || conn->tx.bytes > 0) {
        conn_sent_partly(engine, conn);
    } else {
        conn_has_room(engine, conn);
    }
}

/* --- events ----------------------------------------------------------------------------------- */

static void conn_event(struct engine *engine, struct conn *conn, const struct event *event)
{
    switch (conn->kind) {
    case CONN_CLIENT:
        session_event(engine, (struct session *)conn, event);
        break;
    case CONN_LINK:
        link_event(engine, (struct link *)conn, event);
        break;
    case CONN_CANCELLER:
        canceller_event(engine, (struct canceller *)conn, event);
        break;
    case CONN_GHOST:
        if (event->kind == EVENT_CLOSED) {
            ghost_closed(engine, conn);
        }
        break;
    }
}

static void conn_timer(struct engine *engine, struct conn *conn)
{
    if (conn->closing) {
        conn_close_now(engine, conn);
        return;
    }
    switch (conn->kind) {
    case CONN_CLIENT:
        session_timer(engine, (struct session *)conn);
        break;
    case CONN_LINK:
        link_timer(engine, (struct link *)conn);
        break;
    case CONN_CANCELLER:
        canceller_timer(engine, (struct canceller *)conn);
        break;
    case CONN_GHOST:
        UNREACHABLE();
    }
}

static void run_timers(struct engine *engine)
{
    struct timer *timer;
    while ((timer = timer_pop(&engine->timers, engine->now_us)) != NULL) {
        conn_timer(engine, CONTAINER_OF(timer, struct conn, timer));
    }
    while ((timer = timer_pop(&engine->pool_timers, engine->now_us)) != NULL) {
        pool_upkeep(engine, CONTAINER_OF(timer, struct pool, timer));
    }
}

void engine_run_resumable(struct engine *engine)
{
    struct list *node;
    while ((node = list_first(&engine->resumable)) != NULL) {
        list_remove(node);
        session_resume(engine, CONTAINER_OF(node, struct session, waiting));
    }
}

/* Every pool has its new options. */
static void reload_sessions(struct engine *engine)
{
    for (uint32_t slot = 0; slot < engine->connections.count; slot++) {
        struct session *session = engine->connections.slots[slot].object;
        if (session != NULL && session->conn.kind == CONN_CLIENT && !session->conn.closing &&
            session->pool != NULL) {
            firewall_reloaded(session);
            route_reloaded(engine, session);
        }
    }
}

static void take_options(struct engine *engine, struct options *options)
{
    struct options *before = engine->options;
    options_ref(options);
    engine->options = options;
    engine->tls_available = options->tls.mode != TLS_DISABLE && options->tls.cert != NULL;
    pool_nodes_forget(engine);
    pools_reload(engine);
    reload_sessions(engine);
    route_wait_all_ask(engine, NULL);
    options_unref(before);
}

static void process_event(struct engine *engine, const struct event *event)
{
    switch (event->kind) {
    case EVENT_MAIL:
        lend_letter(engine, event->letter);
        return;
    case EVENT_OPTIONS:
        take_options(engine, event->options);
        return;
    case EVENT_NODES:
        pool_nodes_take(engine, event->topology);
        follow_news(engine, event->topology);
        route_silent_news(engine, event->topology);
        route_wait_all_ask(engine, event->topology);
        return;
    case EVENT_TICKS:
        route_wait_news(engine, event->topology);
        return;
    case EVENT_CATALOG:
        pool_facts_take(engine, event->text, event->catalog, event->generation);
        return;
    case EVENT_DRAIN:
        engine->patient = event->code != 0;
        engine_drain(engine);
        return;
    case EVENT_TICK:
        run_timers(engine);
        return;
    case EVENT_BYTES:
    case EVENT_SENT:
    case EVENT_EOF:
    case EVENT_DIALED:
    case EVENT_TLS:
    case EVENT_CLOSED:
    case EVENT_SECRET:
    case EVENT_DERIVED:
    case EVENT_OS_USER:
        break;
    }
    struct conn *conn = handle_table_get(&engine->connections, event->handle);
    if (conn == NULL) {
        return; /* a late answer for a connection that has died meanwhile */
    }
    if (event->kind == EVENT_BYTES) {
        ASSERT(engine->rx_conn == conn);
        conn_bytes(engine, conn, event->bytes);
    } else if (event->kind == EVENT_SENT) {
        conn_sent(engine, conn, event->bytes);
    } else {
        conn_event(engine, conn, event);
    }
}

static void run_due(struct engine *engine)
{
    engine_run_resumable(engine);
    if (engine->now_us >= engine->stats_due_us) {
        show_stats_period(engine);
    }
}

static inline void end_step(struct engine *engine)
{
    if (!list_empty(&engine->resumable) || engine->now_us >= engine->stats_due_us) {
        run_due(engine);
    }
}

void engine_step(struct engine *engine, const struct event *event)
{
    engine->now_us = event->now_us;
    process_event(engine, event);
    end_step(engine);
}

void engine_received(struct engine *engine, uint32_t bytes, uint64_t now_us)
{
    ASSERT(engine->rx_conn != NULL);
    engine->now_us = now_us;
    conn_bytes(engine, engine->rx_conn, bytes);
    end_step(engine);
}

void engine_sent(struct engine *engine, struct handle handle, uint32_t bytes, uint64_t now_us)
{
    struct conn *conn = handle_table_get(&engine->connections, handle);
    engine->now_us = now_us;
    if (conn != NULL) {
        conn_sent(engine, conn, bytes);
        end_step(engine);
    }
}

void engine_sent_piece(struct engine *engine, uint64_t now_us)
{
    struct conn *conn = engine->tx_conn;
    ASSERT(conn != NULL && conn->tx.first == conn->tx.last);
    engine->tx_conn = NULL;
    engine->now_us = now_us;
    conn->full = false;
    conn->handed = true;
    stream_consume(&engine->blocks, &conn->tx, conn->tx.bytes);
    if (conn->closing) {
        conn_sent_partly(engine, conn);
    } else {
        conn_has_room(engine, conn);
    }
    if (!list_empty(&engine->resumable)) {
        run_due(engine);
    }
}

uint64_t engine_deadline_us(const struct engine *engine)
{
    uint64_t conn_us = timer_next_us(&engine->timers);
    uint64_t pool_us = timer_next_us(&engine->pool_timers);
    return conn_us < pool_us ? conn_us : pool_us;
}

/* --- the end ---------------------------------------------------------------------------------- */

static void drained_if_empty(struct engine *engine)
{
    if (engine->draining && !engine->drained && engine->client_count == engine->console_count) {
        engine->drained = engine_action(engine, ACTION_DRAINED) != NULL;
    }
}

void engine_client_left(struct engine *engine, bool counted)
{
    ASSERT(engine->client_count > 0);
    engine->client_count--;
    if (counted) {
        shared_client_leave(engine->shared);
    } else {
        engine->over_count--;
    }
    drained_if_empty(engine);
}

void engine_drain(struct engine *engine)
{
    engine->draining = true;
    for (uint32_t slot = 0; slot < engine->connections.count; slot++) {
        struct conn *conn = engine->connections.slots[slot].object;
        if (conn != NULL && conn->kind == CONN_CLIENT && !conn->closing && !engine->patient) {
            session_drain(engine, (struct session *)conn);
        }
    }
    drained_if_empty(engine);
}

void engine_host_resolved(struct engine *engine, const char *name, const char *addresses)
{
    shared_host_resolved(engine->shared, name, addresses);
}

uint32_t engine_client_count(const struct engine *engine)
{
    return engine->client_count;
}

/* --- actions ---------------------------------------------------------------------------------- */

bool engine_next_todo(struct engine *engine, struct todo *ret_todo)
{
    struct list *node = list_first(&engine->dirty);
    if (node == NULL) {
        return false;
    }
    struct conn *conn = CONTAINER_OF(node, struct conn, dirty);
    const struct piece *piece = conn->tx.first == conn->tx.last ? conn->tx.first : NULL;
    list_remove(node);
    *ret_todo = (struct todo){.handle = conn->handle,
                              .bits = conn->todo,
                              .piece_bytes = conn->tx.bytes,
                              .piece = piece == NULL ? NULL : piece->bytes};
    engine->tx_conn = piece == NULL ? NULL : conn;
    conn->todo = 0;
    return true;
}

struct action *engine_action(struct engine *engine, enum action_kind kind)
{
    if (kind == ACTION_LOG && engine->action_count >= ENGINE_ACTIONS_MAX) {
        engine->log_lines_dropped++;
        return NULL;
    }
    struct action_node *node = malloc(sizeof(*node));
    if (node == NULL) {
        return NULL;
    }
    memset(&node->action, 0, offsetof(struct action, text) + 1);
    node->action.kind = kind;
    list_init(&node->queued);
    list_push_back(&engine->actions, &node->queued);
    engine->action_count++;
    return &node->action;
}

void engine_action_names(struct action *action, const char *database, const char *user)
{
    size_t database_bytes = strlen(database) + 1, user_bytes = strlen(user) + 1;
    ASSERT(database_bytes <= LIMIT_NAME_BYTES && user_bytes <= LIMIT_NAME_BYTES);
    action->database = memcpy(action->text, database, database_bytes);
    action->user = memcpy(action->text + database_bytes, user, user_bytes);
}

bool engine_next_action(struct engine *engine, struct action *ret_action)
{
    struct list *node = list_first(&engine->actions);
    if (node == NULL) {
        return false;
    }
    struct action_node *taken = CONTAINER_OF(node, struct action_node, queued);
    list_remove(node);
    engine->action_count--;
    *ret_action = taken->action;
    free(engine->action_taken);
    engine->action_taken = taken;
    return true;
}

bool engine_logs(const struct engine *engine, enum log_event_level level)
{
    return (int)level <= engine->options->log_level;
}

void engine_log(struct engine *engine, enum log_event_level level, const char *format, ...)
{
    if (!engine_logs(engine, level)) {
        return;
    }
    struct action *action = engine_action(engine, ACTION_LOG);
    if (action == NULL) {
        return;
    }
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(action->text, sizeof(action->text), format, arguments);
    va_end(arguments);
    action->level = level;
}

void engine_random(struct engine *engine, void *bytes, size_t count)
{
    uint8_t *at = bytes;
    while (count > 0) {
        uint64_t input[2] = {engine->worker, ++engine->random_count};
        uint8_t digest[CRYPTO_SHA256_BYTES];
        size_t step = count < sizeof(digest) ? count : sizeof(digest);
        crypto_hmac(engine->secret, sizeof(engine->secret), input, sizeof(input), digest);
        memcpy(at, digest, step);
        at += step;
        count -= step;
    }
}

const struct server_options *engine_server(const struct engine *engine, struct handle handle)
{
    const struct conn *conn = handle_table_get(&engine->connections, handle);
    if (conn == NULL || conn->closing) {
        return NULL;
    }
    switch (conn->kind) {
    case CONN_LINK:
        return ((const struct link *)conn)->pool->server;
    case CONN_CANCELLER:
        return ((const struct canceller *)conn)->pool->server;
    case CONN_CLIENT:
    case CONN_GHOST:
        break;
    }
    return NULL;
}

const char *engine_address(const struct engine *engine, struct handle handle)
{
    const struct conn *conn = handle_table_get(&engine->connections, handle);
    const struct link *link = NULL;
    if (conn != NULL && conn->kind == CONN_LINK) {
        link = (const struct link *)conn;
    } else if (conn != NULL && conn->kind == CONN_CANCELLER) {
        link = handle_table_get(&engine->connections, ((const struct canceller *)conn)->link);
    }
    return link == NULL ? "" : link->address;
}

void engine_reload_done(struct engine *engine, struct handle handle, const char *why_not,
                        uint64_t now_us)
{
    struct conn *conn = handle_table_get(&engine->connections, handle);
    engine->now_us = now_us;
    if (conn != NULL && conn->kind == CONN_CLIENT && !conn->closing) {
        admin_reload_done(engine, (struct session *)conn, why_not);
    }
    engine_run_resumable(engine);
}

bool engine_derivation(const struct engine *engine, struct handle handle,
                       struct derivation *ret_derivation)
{
    struct conn *conn = handle_table_get(&engine->connections, handle);
    if (conn == NULL || conn->kind == CONN_CANCELLER) {
        return false;
    }
    return conn->kind == CONN_CLIENT ? login_derivation((struct session *)conn, ret_derivation)
                                     : link_login_derivation((struct link *)conn, ret_derivation);
}

void engine_flush_scratch(struct engine *engine, struct conn *conn)
{
    if (engine->scratch.failed) {
        conn_close(engine, conn);
    } else {
        conn_write(engine, conn, engine->scratch.bytes, engine->scratch.len);
    }
    writer_reset(&engine->scratch);
}
