#include "pool/lend.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/error.h"
#include "base/limits.h"
#include "pool/account.h"
#include "pool/core.h"
#include "pool/hold.h"
#include "pool/lend_caps.h"
#include "pool/lend_move.h"
#include "pool/letter.h"
#include "pool/link.h"
#include "pool/options.h"
#include "pool/pid.h"
#include "pool/pool.h"
#include "pool/route.h"
#include "pool/session.h"
#include "protocol/report.h"

/* How long a session waits for a link of its own worker before it gets a ticket. */
enum { LEND_PATIENCE_US = 2000 };

/* Tickets of the worker that has the free link may pass others that came at most this much earlier:
 * moving a link costs more than the wait. */
enum { LEND_SLACK_US = 5000 };

/* How many tickets of the line are looked at for one. */
enum { LEND_LOOKAHEAD = 64 };

/* How many idle links are looked at for one whose settings are the session's already. */
enum { SUITABLE_LOOKS = 16 };

/* How soon a line that is held up by another pool's links or by PAUSE is looked at again. */
enum { LINE_RETRY_US = 50 * 1000 };

static bool at_home(const struct engine *engine, const struct pool *pool)
{
    return pool->account->home == engine->worker;
}

static void to_home(struct engine *engine, struct pool *pool, enum letter_kind kind)
{
    lend_post(engine, pool->account->home, pool, kind, engine->worker);
}

/* --- the line of tickets, at home ------------------------------------------------------------- */

static bool line_grow(struct pool *pool)
{
    uint32_t capacity = pool->line_capacity == 0 ? 64 : pool->line_capacity * 2;
    struct ticket *line = malloc(capacity * sizeof(*line));
    if (line == NULL) {
        return false;
    }
    for (uint32_t i = 0; i < pool->line_count; i++) {
        line[i] = pool->line[(pool->line_first + i) & (pool->line_capacity - 1)];
    }
    free(pool->line);
    pool->line = line;
    pool->line_capacity = capacity;
    pool->line_first = 0;
    return true;
}

static void line_push(struct engine *engine, struct pool *pool, uint32_t worker, bool front)
{
    struct ticket ticket = {.worker = worker, .since_us = engine->now_us};
    if (pool->line_count == pool->line_capacity && !line_grow(pool)) {
        return; /* the session's wait_timeout tells it */
    }
    if (front) {
        pool->line_first = (pool->line_first - 1) & (pool->line_capacity - 1);
        pool->line[pool->line_first] = ticket;
    } else {
        pool->line[(pool->line_first + pool->line_count) & (pool->line_capacity - 1)] = ticket;
    }
    pool->line_count++;
}

static const struct ticket *line_head(const struct pool *pool)
{
    return &pool->line[pool->line_first];
}

static void line_remove(struct pool *pool, uint32_t index)
{
    uint32_t mask = pool->line_capacity - 1;
    for (uint32_t i = index; i + 1 < pool->line_count; i++) {
        pool->line[(pool->line_first + i) & mask] = pool->line[(pool->line_first + i + 1) & mask];
    }
    pool->line_count--;
}

/* Takes the newest ticket of this worker out of the line again, when this worker is the home. */
static bool line_withdraw(struct engine *engine, struct pool *pool)
{
    uint32_t mask = pool->line_capacity - 1;
    for (uint32_t i = pool->line_count; i > 0; i--) {
        if (pool->line[(pool->line_first + i - 1) & mask].worker == engine->worker) {
            line_remove(pool, i - 1);
            return true;
        }
    }
    return false;
}

static void ticket_done(struct pool *pool)
{
    ASSERT(pool->tickets > 0);
    pool->tickets--;
    atomic_fetch_sub(&pool->account->tickets, 1);
}

/* --- granting --------------------------------------------------------------------------------- */

static void take_idle(struct engine *engine, struct pool *pool, struct link *link)
{
    list_remove(&link->in_pool);
    pool->idle_count--;
    atomic_fetch_sub(&pool->account->idle[engine->worker], 1);
}

struct link *lend_take_idle(struct engine *engine, struct pool *pool)
{
    struct list *node = list_first(&pool->idle);
    if (node == NULL) {
        return NULL;
    }
    struct link *link = CONTAINER_OF(node, struct link, in_pool);
    take_idle(engine, pool, link);
    return link;
}

/* The idle link that a session with these settings is to have: of the most recently used ones the
 * first that needs no change, else the first that can be changed. NULL when there is none. In line,
 * for most queries find one. */
static inline __attribute__((always_inline)) struct link *take_suitable(
    struct engine *engine, struct pool *pool, const struct settings *wanted)
{
    struct link *found = NULL;
    uint32_t seen = 0;
    LIST_EACH (&pool->idle, node) {
        struct link *link = CONTAINER_OF(node, struct link, in_pool);
        if (link->settings == wanted) {
            found = link;
            break;
        }
        if (found == NULL && !settings_strange(link->settings, wanted)) {
            found = link;
        }
        if (++seen >= SUITABLE_LOOKS && found != NULL) {
            break;
        }
    }
    if (found != NULL) {
        take_idle(engine, pool, found);
    }
    return found;
}

/* Lends the link, which is in no list, to the session. True when it takes statements at once. In
 * line, for it is of every query. */
static inline __attribute__((always_inline)) bool grant(struct engine *engine, struct pool *pool,
                                                        struct link *link, struct session *session)
{
    ASSERT(link_may_release(link) && link->owner == NULL && link->pool == pool);
    ASSERT(session->link == NULL && session->lender == pool);
    link->state = LINK_LENT;
    list_push_back(&pool->busy, &link->in_pool);
    pool->busy_count++;
    link->owner = session;
    link->used = link->told = link->conn.handed = false;
    link->synthesised = 0;
    link->session_used = session->owns_link;
    link->query_timed_out = false;
    session->link = link;
    session->cancel_sent = false;
    pid_lent(shared_pids(engine->shared), link->host, session->pid, link->backend_pid);
    pool->stats.wait_us += engine->now_us - session->wait_from_us;
    pool->stats.server_assignments++;
    link->lacks_settings = link->settings != session->settings;
    return !link->lacks_settings || session->state == SESSION_READY || link_setup(engine, link);
}

static struct session *next_waiting(struct pool *pool)
{
    struct list *node = list_first(&pool->waiting);
    if (node == NULL) {
        return NULL;
    }
    struct session *session = CONTAINER_OF(node, struct session, waiting);
    list_remove(node);
    pool->waiting_count--;
    session->waits = false;
    return session;
}

/* Lends an idle link of this worker to the first that waits here. */
static void grant_first(struct engine *engine, struct pool *pool)
{
    if (pool->waiting_count == 0 || pool->idle_count == 0) {
        return;
    }
    const struct list *node = list_first(&pool->waiting);
    struct link *link =
        take_suitable(engine, pool, CONTAINER_OF(node, struct session, waiting)->settings);
    if (link == NULL) {
        lend_close_oldest(engine, pool); /* those who wait get a new one in its place */
        return;
    }
    struct session *session = next_waiting(pool);
    if (grant(engine, pool, link, session)) {
        session_link_ready(engine, session);
    }
}

/* --- making links ----------------------------------------------------------------------------- */

static void give_shared_place_back(struct pool *pool)
{
    account_give_back(pool->database_account);
    account_give_back(pool->user_account);
}

static void give_place_back(struct pool *pool)
{
    account_give_back(pool->account);
    give_shared_place_back(pool);
}

/* A place under the caps of the database and the user. */
static bool take_shared_place(struct engine *engine, struct pool *pool)
{
    if (!account_take(pool->user_account, pool->user_limit)) {
        lend_evict(engine, pool, pool->user_account);
        return false;
    }
    if (!account_take(pool->database_account, pool->database_limit)) {
        account_give_back(pool->user_account);
        lend_evict(engine, pool, pool->database_account);
        return false;
    }
    return true;
}

/* Takes a place for one more link, if the pool, the database and the user may have one. */
static bool take_place(struct engine *engine, struct pool *pool, uint32_t size)
{
    if (!account_take(pool->account, size)) {
        return false;
    }
    if (!take_shared_place(engine, pool)) {
        account_give_back(pool->account);
        return false;
    }
    return true;
}

static bool may_dial(struct engine *engine, struct pool *pool, const struct ticket *ticket)
{
    const struct pool_options *limits = &pool->limits;
    uint64_t reserve_us = ticket->since_us + limits->reserve_after_ms * UINT64_C(1000);
    uint64_t retry_us = atomic_load(&pool->host_account->retry_at_us);
    uint32_t size = limits->size;
    if (engine->now_us < retry_us) {
        pool_wake_by(engine, pool, retry_us);
        return false;
    }
    if (limits->reserve > 0 && engine->now_us >= reserve_us) {
        size += limits->reserve;
    } else if (limits->reserve > 0) {
        pool_wake_by(engine, pool, reserve_us);
    }
    return take_place(engine, pool, size);
}

/* Dials for a ticket of this worker; the place is taken. False: it was given back, and the line is
 * to be served. */
static bool dial_for_ticket(struct engine *engine, struct pool *pool)
{
    struct link *link = NULL;
    if (pool->waiting_count > 0) {
        link = link_dial(engine, pool, NULL);
    }
    if (link == NULL) { /* nobody waits here any more, or memory is out */
        give_place_back(pool);
        ticket_done(pool);
        return false;
    }
    link->granted = true;
    return true;
}

/* --- serving the line ------------------------------------------------------------------------- */

/* A worker that has an idle link not yet asked for; the ticket's own first. */
static uint32_t worker_with_idle(struct engine *engine, const struct pool *pool, uint32_t preferred)
{
    uint32_t count = shared_worker_count(engine->shared);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t worker = (preferred + i) % count;
        if (atomic_load(&pool->account->idle[worker]) > pool->asked[worker]) {
            return worker;
        }
    }
    return UINT32_MAX;
}

/* Which ticket is next: the first, unless one that came hardly later can have a link of its own
 * worker. Returns its place in the line, and in *ret_from the worker with an idle link for it. */
static uint32_t pick(struct engine *engine, const struct pool *pool, uint32_t *ret_from)
{
    uint32_t mask = pool->line_capacity - 1;
    uint32_t depth = pool->line_count < LEND_LOOKAHEAD ? pool->line_count : LEND_LOOKAHEAD;
    const struct ticket *head = line_head(pool);
    *ret_from = worker_with_idle(engine, pool, head->worker);
    if (*ret_from == UINT32_MAX || *ret_from == head->worker) {
        return 0;
    }
    for (uint32_t i = 1; i < depth; i++) {
        const struct ticket *ticket = &pool->line[(pool->line_first + i) & mask];
        if (ticket->worker == *ret_from && ticket->since_us <= head->since_us + LEND_SLACK_US) {
            return i;
        }
    }
    return 0;
}

/* Serves the next ticket. False when it must wait. */
static bool serve_next(struct engine *engine, struct pool *pool)
{
    uint32_t from;
    uint32_t index = pick(engine, pool, &from);
    struct ticket ticket = pool->line[(pool->line_first + index) & (pool->line_capacity - 1)];
    if (from == UINT32_MAX) {
        if (!may_dial(engine, pool, &ticket)) {
            return false;
        }
        line_remove(pool, index);
        if (ticket.worker == engine->worker) {
            dial_for_ticket(engine, pool); /* if not, the next ticket's turn comes all the same */
        } else {
            lend_post(engine, ticket.worker, pool, LETTER_DIAL, ticket.worker);
        }
        return true;
    }
    line_remove(pool, index);
    if (from != engine->worker) {
        pool->asked[from]++;
        lend_post(engine, from, pool, LETTER_GIVE, ticket.worker);
    } else if (ticket.worker == engine->worker) {
        ticket_done(pool);
        grant_first(engine, pool);
    } else if (!lend_move_out(engine, pool, ticket.worker)) {
        line_push(engine, pool, ticket.worker, true);
        return false;
    }
    return true;
}

void lend_serve(struct engine *engine, struct pool *pool)
{
    if (!at_home(engine, pool)) {
        to_home(engine, pool, LETTER_FREED);
        return;
    }
    while (pool->line_count > 0 && pool->stopped == 0 && !engine->drained) {
        if (!serve_next(engine, pool)) {
            pool_wake_by(engine, pool, engine->now_us + LINE_RETRY_US);
            return;
        }
    }
    while (pool->stopped == 0 && pool->idle_count > 0 && pool->waiting_count > 0 &&
           atomic_load(&pool->account->tickets) == 0) {
        grant_first(engine, pool);
    }
}

/* --- tickets ---------------------------------------------------------------------------------- */

static void put_ticket(struct engine *engine, struct pool *pool)
{
    pool->tickets++;
    atomic_fetch_add(&pool->account->tickets, 1);
    if (at_home(engine, pool)) {
        line_push(engine, pool, engine->worker, false);
    } else {
        to_home(engine, pool, LETTER_WANT);
    }
}

/* Whether waiting for a link of this worker is not enough. */
static bool needs_ticket(struct engine *engine, const struct pool *pool)
{
    uint32_t workers = shared_worker_count(engine->shared);
    if (pool->busy_count + pool->dialing_count == 0 ||
        atomic_load(&pool->account->total) < pool->limits.size) {
        return true;
    }
    for (uint32_t worker = 0; worker < workers; worker++) {
        if (atomic_load(&pool->account->idle[worker]) > 0) {
            return true;
        }
    }
    return false;
}

/* The next look at sessions that wait without a ticket. */
static void wake_for_patience(struct engine *engine, struct pool *pool, uint64_t since_us)
{
    if (shared_worker_count(engine->shared) > 1 || pool->limits.reserve > 0) {
        pool_wake_by(engine, pool, since_us + LEND_PATIENCE_US);
    }
}

void lend_escalate(struct engine *engine, struct pool *pool, bool all)
{
    uint32_t index = 0, tickets = pool->tickets;
    bool any = false;
    LIST_EACH (&pool->waiting, node) {
        const struct session *session = CONTAINER_OF(node, struct session, waiting);
        if (index++ < tickets) {
            continue; /* the first in line are those with tickets */
        }
        if (!all && engine->now_us < session->wait_from_us + LEND_PATIENCE_US) {
            wake_for_patience(engine, pool, session->wait_from_us);
            break;
        }
        put_ticket(engine, pool);
        any = true;
    }
    if (any && at_home(engine, pool)) {
        lend_serve(engine, pool);
    }
}

/* --- asking and leaving ----------------------------------------------------------------------- */

/* What is known to fail is not tried again before its time. */
static bool refuse_at_once(struct engine *engine, struct session *session)
{
    struct pool *pool = session->lender;
    if (hold_is_over(engine, pool)) {
        hold_refuse(engine, session);
        return true;
    }
    if (pool->failure == NULL || pool->held_us != 0) {
        return false;
    }
    uint64_t retry_us = atomic_load(&pool->host_account->retry_at_us);
    if (pool->retry_at_us > retry_us) {
        retry_us = pool->retry_at_us;
    }
    if (engine->now_us >= retry_us || atomic_load(&pool->account->total) > 0) {
        return false;
    }
    if (!route_turns_back(engine, session)) {
        session_refuse(engine, session, NULL, pool->failure, pool->failure_bytes);
    }
    return true;
}

bool lend_ask(struct engine *engine, struct session *session)
{
    struct pool *pool = session->lender;
    ASSERT(session->link == NULL && !session->waits);
    if (refuse_at_once(engine, session)) {
        return false;
    }
    if (list_linked(&session->waiting)) {
        list_remove(&session->waiting);
    }
    bool none_suits = false;
    if (pool->idle_count > 0 && pool->stopped == 0 && atomic_load(&pool->account->tickets) == 0) {
        struct link *link = take_suitable(engine, pool, session->settings);
        if (link != NULL) {
            return grant(engine, pool, link, session);
        }
        none_suits = true;
    }
    list_push_back(&pool->waiting, &session->waiting);
    pool->waiting_count++;
    session->waits = true;
    if (pool->limits.wait_timeout_ms > 0) {
        conn_wake_by(engine, &session->conn,
                     engine->now_us + pool->limits.wait_timeout_ms * UINT64_C(1000));
    }
    if (none_suits) {
        lend_close_oldest(engine,
                          pool); /* a new one takes its place, and comes to those who wait */
    } else if (!needs_ticket(engine, pool)) {
        wake_for_patience(engine, pool, engine->now_us);
        return false;
    }
    lend_escalate(engine, pool, true);
    return session->link != NULL && !session->link->setup;
}

void lend_leave(struct engine *engine, struct session *session)
{
    struct pool *pool = session->lender;
    ASSERT(session->waits);
    list_remove(&session->waiting);
    pool->waiting_count--;
    session->waits = false;
    if (pool->tickets > pool->waiting_count && at_home(engine, pool) &&
        line_withdraw(engine, pool)) {
        ticket_done(pool);
    } /* else its grant will come, find nobody, and go back */
}

/* Dials a link that counts under the caps of the database and the user, not in the pool's size;
 * for_replication as link_dial. NULL: there is no place, or no memory. */
static struct link *dial_beside(struct engine *engine, struct pool *pool,
                                struct session *for_replication)
{
    if (!take_shared_place(engine, pool)) {
        return NULL;
    }
    struct link *link = link_dial(engine, pool, for_replication);
    if (link == NULL) {
        give_shared_place_back(pool);
    }
    return link;
}

void lend_replication(struct engine *engine, struct session *session)
{
    if (session->pool->held) {
        hold_refuse(engine, session);
        return;
    }
    struct link *link = dial_beside(engine, session->pool, session);
    if (link == NULL) {
        struct report report = {.code = ERR_TOO_MANY_CLIENTS,
                                .hint = "max_server_connections is reached."};
        session_fail(engine, session, &report);
        return;
    }
    session->link = link;
    link->setup = true; /* no statement before the login has ended */
}

struct link *lend_hub(struct engine *engine, struct pool *pool)
{
    struct link *link = dial_beside(engine, pool, NULL);
    if (link != NULL) {
        list_remove(&link->in_pool); /* nobody in line may hope for it */
        pool->dialing_count--;
    }
    return link;
}

struct link *lend_stand_in(struct engine *engine, struct pool *pool)
{
    struct link *link = dial_beside(engine, pool, NULL);
    if (link != NULL) {
        link->beside = true;
        link->spoilt = true; /* closed when it has done its duty */
    }
    return link;
}

/* --- links that become free, end, or fail ----------------------------------------------------- */

void lend_link_free(struct engine *engine, struct link *link)
{
    struct pool *pool = link->pool;
    bool granted = link->granted;
    link->granted = false;
    if (granted) {
        ticket_done(pool);
    }
    bool open = atomic_load(&pool->account->tickets) > 0;
    if (pool->waiting_count > 0 && pool->stopped == 0 && (granted || !open)) {
        const struct settings *wanted =
            CONTAINER_OF(list_first(&pool->waiting), struct session, waiting)->settings;
        if (link->settings != wanted && settings_strange(link->settings, wanted)) {
            link_end(engine, link); /* who waits gets a new one in its place */
            return;
        }
        struct session *session = next_waiting(pool);
        if (grant(engine, pool, link, session)) {
            session_link_ready(engine, session);
        }
        return;
    }
    link->state = LINK_IDLE;
    list_push_front(&pool->idle, &link->in_pool);
    pool->idle_count++;
    atomic_fetch_add(&pool->account->idle[engine->worker], 1);
    if (open) {
        lend_serve(engine, pool);
    }
    /* An armed timer comes at the latest when this link is due: it looks at all of them then. */
    if (pool->idle_count > 0 && !timer_armed(&pool->timer)) {
        pool_wake_by(engine, pool, pool_next_upkeep_us(engine, pool));
    }
}

void lend_grant_lost(struct link *link)
{
    if (link->granted) {
        link->granted = false;
        ticket_done(link->pool);
    }
}

void lend_link_ended(struct engine *engine, struct pool *pool, bool beside)
{
    if (beside) {
        give_shared_place_back(pool);
    } else {
        give_place_back(pool);
    }
    if (engine->drained) {
        return;
    }
    lend_pin_others(engine, pool);
    lend_escalate(engine, pool, true);
    if (atomic_load(&pool->account->tickets) > 0) {
        lend_serve(engine, pool);
    }
    lend_serve_sharers(engine, pool);
    if (pool->limits.min_idle > 0) {
        pool_wake_by(engine, pool, engine->now_us + LINE_RETRY_US);
    }
}

void lend_logged_in(struct engine *engine, struct link *link)
{
    struct pool *pool = link->pool;
    atomic_store(&pool->host_account->failures, 0);
    atomic_store(&pool->host_account->retry_at_us, 0);
    hold_let_in(pool);
    if (link->replication) {
        return; /* its client's own settings were in the startup packet */
    }
    settings_unref(&engine->settings, pool->baseline);
    pool->baseline = link->baseline;
    settings_ref(pool->baseline);
}

static uint64_t backoff_us(struct engine *engine, uint32_t failures)
{
    uint64_t step_us = LIMIT_BACKOFF_MIN_US;
    for (uint32_t i = 1; i < failures && step_us < LIMIT_BACKOFF_MAX_US; i++) {
        step_us *= 2;
    }
    if (step_us > LIMIT_BACKOFF_MAX_US) {
        step_us = LIMIT_BACKOFF_MAX_US;
    }
    return step_us / 2 + random_below(&engine->random, step_us / 2 + 1);
}

/* The first of the line, and its ticket. */
static struct session *withdraw_first(struct engine *engine, struct pool *pool)
{
    struct session *session = next_waiting(pool);
    if (at_home(engine, pool) && pool->tickets > pool->waiting_count &&
        line_withdraw(engine, pool)) {
        ticket_done(pool);
    }
    return session;
}

void lend_refuse_all(struct engine *engine, struct pool *pool)
{
    while (pool->waiting_count > 0) {
        hold_refuse(engine, withdraw_first(engine, pool));
    }
}

void lend_login_failed(struct engine *engine, struct link *link, const uint8_t *body,
                       uint32_t body_bytes, bool host)
{
    struct pool *pool = link->pool;
    struct session *owner = link->owner;
    bool hopeless = atomic_load(&pool->account->total) <= 1;
    pool_copy_bytes(&pool->failure, &pool->failure_bytes, body, body_bytes);
    pool->retry_at_us = engine->now_us + backoff_us(engine, ++pool->failures);
    if (host) {
        uint32_t failures = atomic_fetch_add(&pool->host_account->failures, 1) + 1;
        atomic_store(&pool->host_account->retry_at_us,
                     engine->now_us + backoff_us(engine, failures));
    }
    if (owner != NULL) {
        link->owner = NULL;
        owner->link = NULL;
        session_refuse(engine, owner, NULL, body, body_bytes);
        return;
    }
    if (link->hub != NULL || link->stand_in != NULL) {
        return;
    }
    lend_grant_lost(link);
    if (host && hold_refused(engine, pool)) {
        return;
    }
    hold_answered(pool);
    for (bool more = pool->waiting_count > 0; more; more = hopeless && pool->waiting_count > 0) {
        struct session *session = withdraw_first(engine, pool);
        if (!route_turns_back(engine, session)) {
            session_refuse(engine, session, NULL, body, body_bytes);
        }
    }
}

void lend_keep_warm(struct engine *engine, struct pool *pool)
{
    const struct pool_options *limits = &pool->limits;
    uint64_t retry_us = atomic_load(&pool->host_account->retry_at_us);
    if (!at_home(engine, pool) || pool->stopped != 0 || pool->retired || pool->disabled) {
        return;
    }
    if (engine->now_us < retry_us || engine->now_us < pool->retry_at_us) {
        pool_wake_by(engine, pool, engine->now_us + LINE_RETRY_US);
        return;
    }
    while (atomic_load(&pool->account->total) < limits->min_idle &&
           take_place(engine, pool, limits->size)) {
        if (link_dial(engine, pool, NULL) == NULL) {
            give_place_back(pool);
            return;
        }
    }
}

/* --- letters ---------------------------------------------------------------------------------- */

static void take_give(struct engine *engine, struct pool *pool, uint32_t to)
{
    bool given = false;
    if (to == engine->worker) {
        given = pool->idle_count > 0;
        if (given) {
            ticket_done(pool);
            grant_first(engine, pool);
        }
    } else if (pool->idle_count > 0) {
        given = lend_move_out(engine, pool, to);
    }
    lend_post_about(engine, pool->account->home, pool, given ? LETTER_GAVE : LETTER_NONE, to);
}

void lend_letter_for_pool(struct engine *engine, struct pool *pool, const struct letter *letter)
{
    switch (letter->kind) {
    case LETTER_WANT:
        line_push(engine, pool, letter->worker, false);
        lend_serve(engine, pool);
        return;
    case LETTER_FREED:
        lend_serve(engine, pool);
        return;
    case LETTER_DIAL:
        if (pool->stopped != 0) { /* meanwhile: the ticket waits on */
            give_place_back(pool);
            to_home(engine, pool, LETTER_WANT);
            return;
        }
        if (!dial_for_ticket(engine, pool)) {
            lend_serve(engine, pool);
        }
        return;
    case LETTER_GIVE:
        take_give(engine, pool, letter->worker);
        return;
    case LETTER_GAVE:
        pool->asked[letter->sender]--;
        lend_serve(engine, pool);
        return;
    case LETTER_NONE:
        pool->asked[letter->sender]--;
        line_push(engine, pool, letter->worker, true);
        lend_serve(engine, pool);
        return;
    case LETTER_EVICT:
        lend_close_oldest(engine, pool);
        return;
    case LETTER_LINK:
    case LETTER_CANCEL:
    case LETTER_CANCELED:
    case LETTER_VACATE:
    case LETTER_PID_ASK:
    case LETTER_PID_ANSWER:
    case LETTER_PID_END:
    case LETTER_ADMIN:
        UNREACHABLE();
    }
}
