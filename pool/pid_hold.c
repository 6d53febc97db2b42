#include "pool/pid_hold.h"

#include <stdlib.h>

#include "base/error.h"
#include "base/limits.h"
#include "pool/account.h"
#include "pool/cancel.h"
#include "pool/core.h"
#include "pool/lend.h"
#include "pool/lend_move.h"
#include "pool/letter.h"
#include "pool/link.h"
#include "pool/pid.h"
#include "pool/pool.h"
#include "pool/session.h"
#include "protocol/frontend.h"
#include "protocol/report.h"

/* Links of a worker that stand for clients at the same time: what callers may make it dial. */
enum { STAND_INS_MAX = 64 };

/* A client that a link's statements signal. */
struct hold {
    uint32_t virtual_pid;
    uint32_t pid; /* 0: not known yet, or it has none */
    bool answered;
    bool terminates;
    struct handle link; /* at the client's worker */
};

struct pid_holds {
    uint64_t serial; /* of those that this engine has made: late answers are for nobody */
    uint64_t since_us;
    uint32_t count, awaited;
    struct hold items[PID_SIGNALS_MAX];
};

/* A link that stands for a client. */
struct stand_in {
    struct handle client;
    struct pid_letter ask; /* to be answered when the link has logged in */
    bool answered;
};

/* By mail also where it is for this engine: so nothing here happens inside of something else. */
static void tell(struct engine *engine, uint32_t worker, enum letter_kind kind,
                 const struct pid_letter *body)
{
    struct letter *letter = letter_new(kind, worker, NULL, NULL);
    if (letter != NULL) { /* else LIMIT_PID_HOLD_US ends what waits for it */
        letter->pid = *body;
        letter_post(engine, worker, letter);
    }
}

/* --- the caller's link ------------------------------------------------------------------------ */

static struct hold *find(struct pid_holds *holds, uint32_t virtual_pid)
{
    for (uint32_t i = 0; i < holds->count; i++) {
        if (holds->items[i].virtual_pid == virtual_pid) {
            return &holds->items[i];
        }
    }
    return NULL;
}

/* What the link holds; NULL when memory is out. */
static struct pid_holds *holds_of(struct engine *engine, struct link *link)
{
    if (link->holds == NULL && (link->holds = calloc(1, sizeof(*link->holds))) != NULL) {
        link->holds->serial = ++engine->pid_serial;
        link->holds->since_us = engine->now_us;
        link->cancels++; /* it is not to be lent on before they are let go */
        conn_wake_by(engine, &link->conn, engine->now_us + LIMIT_PID_HOLD_US);
    }
    return link->holds;
}

static void ask(struct engine *engine, const struct link *link, uint32_t virtual_pid)
{
    uint32_t slot;
    struct pid_letter body = {.virtual_pid = virtual_pid,
                              .host = link->host,
                              .serial = link->holds->serial,
                              .caller = link->conn.handle,
                              .caller_worker = engine->worker};
    uint32_t worker;
    pid_place(virtual_pid, &worker, &slot);
    tell(engine, worker, LETTER_PID_ASK, &body);
}

/* Whatever was answered without a pid is asked anew by the next statement. */
static void forget_nobody(struct pid_holds *holds)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < holds->count; i++) {
        if (holds->items[i].pid != 0) {
            holds->items[kept++] = holds->items[i];
        }
    }
    holds->count = kept;
}

void pid_hold_known(const struct link *link, struct pid_signals *signals)
{
    for (uint32_t i = 0; link->holds != NULL && i < signals->count; i++) {
        const struct hold *hold = find(link->holds, signals->items[i].virtual_pid);
        signals->items[i].pid = hold == NULL ? 0 : hold->pid;
    }
}

bool pid_hold_ask(struct engine *engine, struct session *session, struct pid_signals *signals)
{
    struct link *link = session->link;
    struct pid_holds *holds = holds_of(engine, link);
    for (uint32_t i = 0; holds != NULL && i < signals->count; i++) {
        uint32_t virtual_pid = signals->items[i].virtual_pid, worker, slot;
        struct hold *hold = find(holds, virtual_pid);
        bool exists =
            pid_place(virtual_pid, &worker, &slot) && worker < shared_worker_count(engine->shared);
        if (hold != NULL) {
            hold->terminates |= signals->terminates;
        } else if (exists && holds->count < PID_SIGNALS_MAX) {
            holds->items[holds->count++] =
                (struct hold){.virtual_pid = virtual_pid, .terminates = signals->terminates};
            holds->awaited++;
            ask(engine, link, virtual_pid);
        }
    }
    if (holds != NULL && holds->awaited > 0) {
        session->blocked = true; /* take_answer comes back to it */
        return false;
    }
    pid_hold_known(link, signals);
    if (holds != NULL) {
        forget_nobody(holds);
    }
    return true;
}

bool pid_hold_awaits(const struct link *link)
{
    return link->holds != NULL && link->holds->awaited > 0;
}

/* Lets go what the link holds. `lost`: what its statements do from now on is not known. */
static void end_holds(struct engine *engine, struct link *link, bool lost)
{
    struct pid_holds *holds = link->holds;
    link->holds = NULL;
    link->cancels--;
    for (uint32_t i = 0; i < holds->count; i++) {
        const struct hold *hold = &holds->items[i];
        struct pid_letter body = {.virtual_pid = hold->virtual_pid,
                                  .link = hold->link,
                                  .terminates = hold->terminates,
                                  .lost = lost};
        uint32_t worker, slot;
        pid_place(hold->virtual_pid, &worker, &slot);
        if (hold->pid != 0) {
            tell(engine, worker, LETTER_PID_END, &body);
        }
    }
    free(holds);
}

static void take_answer(struct engine *engine, const struct pid_letter *body)
{
    struct link *link = handle_table_get(&engine->connections, body->caller);
    bool waits = link != NULL && link->holds != NULL && link->holds->serial == body->serial;
    struct hold *hold = waits ? find(link->holds, body->virtual_pid) : NULL;
    if (hold == NULL || hold->answered) {
        struct pid_letter end = {.virtual_pid = body->virtual_pid, .link = body->link};
        uint32_t worker, slot;
        pid_place(body->virtual_pid, &worker, &slot);
        if (body->pid != 0) { /* nothing was sent that names it */
            tell(engine, worker, LETTER_PID_END, &end);
        }
        return;
    }
    hold->answered = true;
    hold->pid = body->pid;
    hold->link = body->link;
    if (--link->holds->awaited == 0 && link->owner != NULL) {
        session_resume_later(engine, link->owner);
    }
}

void pid_hold_timer(struct engine *engine, struct link *link)
{
    struct pid_holds *holds = link->holds;
    if (holds == NULL) {
        return;
    }
    if (engine->now_us < holds->since_us + LIMIT_PID_HOLD_US) {
        conn_wake_by(engine, &link->conn, holds->since_us + LIMIT_PID_HOLD_US);
        return;
    }
    bool awaited = holds->awaited > 0;
    if (!awaited) {
        end_holds(engine, link, true);
        link_canceller_ended(engine, link);
        return;
    }
    holds->serial = ++engine->pid_serial; /* what is not answered yet has none */
    holds->since_us = engine->now_us;
    holds->awaited = 0;
    for (uint32_t i = 0; i < holds->count; i++) {
        holds->items[i].answered = true;
    }
    conn_wake_by(engine, &link->conn, engine->now_us + LIMIT_PID_HOLD_US);
    if (link->owner != NULL) {
        session_resume_later(engine, link->owner);
    }
}

/* --- the client's link ------------------------------------------------------------------------ */

static void answer(struct engine *engine, const struct pid_letter *asked, const struct link *link)
{
    struct pid_letter body = *asked;
    body.pid = link == NULL ? 0 : link->backend_pid;
    body.link = link == NULL ? (struct handle){0} : link->conn.handle;
    tell(engine, asked->caller_worker, LETTER_PID_ANSWER, &body);
}

/* The client of that pid, if it is one of that host's pools; else NULL. */
static struct session *client_of(struct engine *engine, const struct pid_letter *body)
{
    uint32_t worker, slot;
    pid_place(body->virtual_pid, &worker, &slot);
    struct conn *conn =
        slot < engine->connections.count ? engine->connections.slots[slot].object : NULL;
    if (conn == NULL || conn->kind != CONN_CLIENT || conn->closing ||
        pid_make(engine->worker, conn->handle) != body->virtual_pid) {
        return NULL;
    }
    struct session *session = (struct session *)conn;
    if (session->state != SESSION_READY || session->pool == NULL) {
        return NULL;
    }
    uint32_t host =
        session->link != NULL ? session->link->host : session->pool->host_account->number;
    return host == body->host ? session : NULL;
}

/* A link that is nobody's; NULL when there can be none. */
static struct link *spare_link(struct engine *engine, struct pool *pool)
{
    bool open = atomic_load(&pool->account->tickets) > 0 || pool->waiting_count > 0;
    if (pool->stopped != 0 || pool->retired || engine->draining) {
        return NULL;
    }
    struct link *link = open ? NULL : lend_take_idle(engine, pool);
    if (link != NULL) {
        link->state = LINK_LENT;
        list_push_back(&pool->busy, &link->in_pool);
        pool->busy_count++;
        return link;
    }
    bool may = engine->now_us >= pool->retry_at_us &&
               engine->now_us >= atomic_load(&pool->host_account->retry_at_us);
    return may ? lend_stand_in(engine, pool) : NULL;
}

static void stand_in(struct engine *engine, const struct session *session,
                     const struct pid_letter *asked)
{
    struct stand_in *stands =
        engine->stand_in_count >= STAND_INS_MAX ? NULL : calloc(1, sizeof(*stands));
    struct link *link = stands == NULL ? NULL : spare_link(engine, session->pool);
    if (link == NULL) {
        free(stands);
        answer(engine, asked, NULL);
        return;
    }
    stands->client = session->conn.handle;
    stands->ask = *asked;
    stands->answered = link->state == LINK_LENT;
    link->stand_in = stands;
    link->cancels++;
    engine->stand_in_count++;
    if (stands->answered) {
        answer(engine, asked, link);
    }
}

void pid_hold_logged_in(struct engine *engine, struct link *link)
{
    link->stand_in->answered = true;
    answer(engine, &link->stand_in->ask, link);
}

static void end_stand_in(struct engine *engine, struct link *link)
{
    free(link->stand_in);
    link->stand_in = NULL;
    engine->stand_in_count--;
}

static void take_ask(struct engine *engine, const struct pid_letter *body)
{
    struct session *session = client_of(engine, body);
    if (session == NULL) {
        answer(engine, body, NULL);
        return;
    }
    struct link *link = session->link;
    if (link == NULL) {
        stand_in(engine, session, body);
    } else if (link->state != LINK_LENT || link->terminated || link->conn.closing) {
        answer(engine, body, NULL);
    } else {
        link->cancels++;
        answer(engine, body, link);
    }
}

/* Whether a Sync of ours can go to the server now. */
static bool is_quiet(const struct link *link)
{
    const struct session *owner = link->owner;
    bool half_sent = owner != NULL && owner->body_left > 0 && owner->body_fate == BODY_FORWARD;
    return due_empty(&link->due) && !half_sent && !link->unsynced && !link->due.skipping &&
           !link->due.copy_in && !link->due.copy_both && !link->setup && link->body_left == 0 &&
           !link->terminated && !link->conn.closing;
}

/* The server is to answer before the link is lent on. */
static void prove(struct engine *engine, struct link *link)
{
    link->doubted = false;
    link->cancels--;
    if (link->owner == NULL && link->stand_in == NULL) {
        link->spoilt = true; /* nobody is there to be told: it is closed */
        return;
    }
    if (link_due(engine, link, DUE_SYNC, DUE_SWALLOW, DUE_FLAG_QUIET)) {
        frontend_sync(&engine->scratch);
        engine_flush_scratch(engine, &link->conn);
    }
}

void pid_hold_settle(struct engine *engine, struct link *link)
{
    if (!is_quiet(link)) {
        return;
    }
    bool ended = link->holds != NULL && (link->owner == NULL || link->status == 'I');
    if (ended && (link->owner == NULL || link->holds->awaited == 0)) {
        end_holds(engine, link, false);
    }
    if (link->doubted && is_quiet(link)) {
        prove(engine, link);
    }
}

static void take_end(struct engine *engine, const struct pid_letter *body)
{
    struct link *link = handle_table_get(&engine->connections, body->link);
    if (link == NULL || link->conn.closing) {
        return;
    }
    link->spoilt |= body->lost;
    if (body->terminates && !link->doubted) {
        link->doubted = true; /* and still held */
    } else {
        link->cancels--;
    }
    if (link->stand_in != NULL && !link->doubted) {
        end_stand_in(engine, link);
    }
    pid_hold_settle(engine, link);
    link_canceller_ended(engine, link);
}

void pid_hold_stood(struct engine *engine, struct link *link)
{
    if (link->cancels == 0) {
        end_stand_in(engine, link);
    }
}

/* The server has ended the link that stood for it. */
static void end_client(struct engine *engine, struct handle handle)
{
    struct session *session = handle_table_get(&engine->connections, handle);
    struct report report = {.code = ERR_SHUTTING_DOWN};
    if (session == NULL || session->conn.closing) {
        return;
    }
    struct link *link = session->link;
    if (link != NULL && !due_empty(&link->due)) { /* it has got one since */
        cancel_link(engine, link);
    }
    if (link == NULL || link->body_left == 0 || !link->body_forward) {
        session_fail(engine, session, &report);
    } else {
        session_close(engine, session);
    }
}

void pid_hold_lost(struct engine *engine, struct link *link)
{
    if (link->holds != NULL) {
        end_holds(engine, link, !is_quiet(link) || link->status != 'I');
    }
    if (link->stand_in != NULL) {
        struct stand_in stands = *link->stand_in;
        end_stand_in(engine, link);
        if (!stands.answered) {
            answer(engine, &stands.ask, NULL);
        } else if (link->killed) {
            end_client(engine, stands.client);
        }
    }
}

void pid_hold_letter(struct engine *engine, const struct letter *letter)
{
    if (letter->kind == LETTER_PID_ASK) {
        take_ask(engine, &letter->pid);
    } else if (letter->kind == LETTER_PID_ANSWER) {
        take_answer(engine, &letter->pid);
    } else {
        take_end(engine, &letter->pid);
    }
}
