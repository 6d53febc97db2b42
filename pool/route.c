#include "pool/route.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/error.h"
#include "base/limits.h"
#include "pool/account.h"
#include "pool/core.h"
#include "pool/deferred_begin.h"
#include "pool/heal.h"
#include "pool/link.h"
#include "pool/modes.h"
#include "pool/options.h"
#include "pool/own.h"
#include "pool/pool.h"
#include "pool/pool_facts.h"
#include "pool/pool_nodes.h"
#include "pool/route_batch.h"
#include "pool/route_stay.h"
#include "pool/route_wait.h"
#include "pool/route_whole.h"
#include "pool/session.h"
#include "pool/settings.h"
#include "pool/statement.h"
#include "protocol/message.h"
#include "protocol/report.h"
#include "router/ticks.h"
#include "router/topology.h"

bool route_begin(struct session *session)
{
    if (!session->pool->routes) {
        return true;
    }
    session->routing = calloc(1, sizeof(*session->routing));
    if (session->routing != NULL) {
        causal_init(&session->routing->causal);
        list_init(&session->routing->late);
        session->routing->home = session->routing->to = NODES_NONE;
    }
    return session->routing != NULL;
}

void route_reloaded(struct engine *engine, struct session *session)
{
    if (session->routing != NULL || !session->pool->routes) {
        return;
    }
    if (route_begin(session)) {
        session->routing->unnoted = true; /* what it has seen so far */
    } else {
        session_no_memory(engine, session);
    }
}

void route_free(struct session *session)
{
    route_wait_leave(session);
    free(session->routing);
    session->routing = NULL;
}

static const struct topology *topology_of(const struct engine *engine, const struct pool *pool)
{
    return pool_nodes_of(engine, pool->database->name);
}

/* --- what holds for a batch ------------------------------------------------------------------- */

/* What the session or its hint has said; NULL: nothing. */
static const char *said(const struct session *session, const struct route_batch *batch,
                        enum control control)
{
    if (batch->hint != NULL && batch->hint->said[control]) {
        return batch->hint->values[control];
    }
    if (session->own == NULL || strcmp(own_source(session, control), "default") == 0) {
        return NULL;
    }
    return own_get(session, control);
}

static bool asks_replica(const struct session *session, const struct route_batch *batch)
{
    const char *word = said(session, batch, CONTROL_ROUTE);
    return word != NULL && strcmp(word, "replica") == 0;
}

static enum consistency consistency_of(const struct session *session,
                                       const struct route_batch *batch)
{
    const char *word = said(session, batch, CONTROL_CONSISTENCY);
    if (word == NULL) {
        return session->pool->database->consistency;
    }
    return strcmp(word, "eventual") == 0 ? CONSISTENCY_EVENTUAL
           : strcmp(word, "strong") == 0 ? CONSISTENCY_STRONG
                                         : CONSISTENCY_SESSION;
}

/* --- choosing a replica ----------------------------------------------------------------------- */

/* Whether links to it can be had, as far as is known. */
static bool is_open(const struct engine *engine, const struct pool *pool)
{
    return pool != NULL && !pool->disabled &&
           (pool->failure == NULL || atomic_load(&pool->account->total) > 0 ||
            (engine->now_us >= pool->retry_at_us &&
             engine->now_us >= atomic_load(&pool->host_account->retry_at_us)));
}

/* Whether it was asked for its LSN since a link was opened that the session can't use (0: there was
 * none). */
static bool is_asked_since(const struct ticks *ticks, uint32_t node, uint64_t opened_us)
{
    struct ticks_replayed replayed;
    return opened_us == 0 ||
           (ticks_replayed(ticks, node, &replayed) && replayed.asked_us > opened_us);
}

/* Whether it has refused what the session's settings are. */
static bool is_refuser(const struct engine *engine, const struct session *session, uint32_t node)
{
    const struct route_refusers *refusers = &session->routing->refusers;
    return (refusers->nodes & UINT32_C(1) << node) != 0 && engine->now_us < refusers->until_us &&
           refusers->settings == session->settings->node.hash;
}

/* The replicas that may be read, by their servers' bits; why there is none, and which there are. */
static uint32_t candidates(struct engine *engine, struct session *session,
                           const struct topology *topology, enum route *ret_why, uint32_t *ret_open)
{
    struct routing *routing = session->routing;
    uint32_t bits = 0;
    *ret_why = ROUTE_NO_REPLICA;
    *ret_open = 0;
    for (uint32_t node = 0; node < topology->nodes.rules.count; node++) {
        if (!nodes_may_read(&topology->nodes, node) ||
            !is_open(engine, pool_of_replica(engine, session->pool, node))) {
            continue;
        }
        if (is_refuser(engine, session, node)) {
            *ret_why = *ret_why == ROUTE_NO_REPLICA ? ROUTE_AGAIN : *ret_why;
            continue;
        }
        *ret_open |= UINT32_C(1) << node;
        if (routing->strict && (!is_asked_since(topology->ticks, node, routing->opened_us) ||
                                !causal_may_read(&routing->causal, topology->ticks, node))) {
            *ret_why = ROUTE_BEHIND;
            continue;
        }
        bits |= UINT32_C(1) << node;
    }
    return bits;
}

static enum route choose(struct engine *engine, struct session *session,
                         const struct route_batch *batch, const struct topology *topology)
{
    struct routing *routing = session->routing;
    struct causal *causal = &routing->causal;
    enum consistency consistency = consistency_of(session, batch);
    enum route why;
    uint32_t open;
    routing->strict = consistency != CONSISTENCY_EVENTUAL;
    routing->reads = routing->strict;
    if (routing->unnoted) {
        routing->unnoted = false;
        causal_at_primary(causal, topology->ticks);
    }
    if (consistency == CONSISTENCY_STRONG &&
        routing->late_us == 0) { /* it began at its first look */
        causal_must_see(causal, ticks_strong(topology->ticks));
    }
    if (routing->strict && !causal_settle(causal, topology->ticks)) {
        pool_nodes_want(engine, topology, causal->need);
        return ROUTE_UNKNOWN;
    }
    uint32_t bits = candidates(engine, session, topology, &why, &open);
    if (bits == 0) {
        if (why == ROUTE_BEHIND) {
            bool polled = causal->node != NODES_NONE && (open >> causal->node & 1) != 0;
            pool_nodes_want(engine, topology, causal_wants(causal, topology->ticks, polled));
        }
        return why;
    }
    uint32_t primary = topology->nodes.primary;
    if (session->pool->database->routing_reads == READS_ANY && primary != NODES_NONE &&
        !nodes_is_silent(&topology->nodes, primary)) {
        bits |= UINT32_C(1) << primary;
    }
    routing->node = (uint8_t)(routing->strict ? route_stay_at(engine, session, topology, bits, open)
                                              : route_balanced(engine, session, topology, bits));
    if (routing->node == NODES_NONE) {
        return ROUTE_MOVES;
    }
    return routing->node == primary ? ROUTE_ANY : ROUTE_REPLICA;
}

/* Whether each statement of the session's transaction has a snapshot of its own, and it is allowed
 * to take it at a replica. */
static bool may_read_for_transaction(const struct engine *engine, const struct session *session,
                                     const struct route_batch *batch)
{
    bool until_write = session->pool->database->transaction_reads == TRANSACTION_READS_UNTIL_WRITE;
    if (session->begin != BEGIN_DEFERRED ||
        !(until_write || modes_read_only(session) || asks_replica(session, batch))) {
        return false;
    }
    enum plan_isolation isolation = modes_isolation(engine, session);
    return isolation == PLAN_READ_COMMITTED || isolation == PLAN_READ_UNCOMMITTED;
}

/* --- asking ----------------------------------------------------------------------------------- */

/* What is proven to read. */
static enum route decide_read(struct engine *engine, struct session *session,
                              const struct route_batch *batch, const struct topology *topology)
{
    const char *word = said(session, batch, CONTROL_ROUTE);
    bool replica = asks_replica(session, batch);
    if (word != NULL && strcmp(word, "primary") == 0) {
        return ROUTE_ASKED;
    }
    if (batch->rule_primary && !replica) {
        return ROUTE_RULE;
    }
    if (session->pool->database->routing_reads == READS_PRIMARY && !replica &&
        !batch->rule_replica) {
        return ROUTE_CONFIGURED;
    }
    return choose(engine, session, batch, topology);
}

/* Who wants a replica or nothing is refused what writes, as a standby would
 * (PreventCommandIfReadOnly, src/backend/tcop/utility.c). */
static bool is_refused(const struct session *session, const struct route_batch *batch)
{
    return batch->writes && asks_replica(session, batch);
}

static enum route decide(struct engine *engine, struct session *session,
                         const struct topology *topology, const uint8_t *at, uint32_t have,
                         struct route_batch *batch)
{
    if (session->routing->again) {
        return ROUTE_AGAIN;
    }
    if (session->owns_link) {
        return ROUTE_SESSION;
    }
    batch->whole = route_whole_may(engine, session);
    batch->in_transaction = session->begin != BEGIN_NONE && !batch->whole;
    enum route why = route_batch_read(engine, session, at, have, batch);
    if (batch->need > have) {
        return why;
    }
    if (is_refused(session, batch)) {
        return ROUTE_REFUSED;
    }
    bool known = pool_facts_state(engine, session) == POOL_FACTS_KNOWN;
    if (why != ROUTE_REPLICA) {
        return why == ROUTE_NOT_A_READ && !known && !batch->other ? ROUTE_CATALOG : why;
    }
    if (batch->in_transaction && !may_read_for_transaction(engine, session, batch)) {
        return ROUTE_TRANSACTION;
    }
    if (topology == NULL || topology->ticks == NULL) {
        return ROUTE_NO_REPLICA;
    }
    return known ? decide_read(engine, session, batch, topology) : ROUTE_CATALOG;
}

/* The same; *ret_waits if it shall wait for a replica. */
static enum route decide_or_wait(struct engine *engine, struct session *session,
                                 const struct topology *topology, const uint8_t *at, uint32_t have,
                                 struct route_batch *batch, bool *ret_waits)
{
    enum route route = decide(engine, session, topology, at, have, batch);
    *ret_waits = batch->need <= have && route_wait_may(engine, session, topology, route);
    if (*ret_waits && !route_wait_is_on(session)) {
        route_wait_listen(engine, session, topology);
        *batch = (struct route_batch){0};
        route = decide(engine, session, topology, at, have, batch);
        *ret_waits = route_wait_may(engine, session, topology, route);
    }
    return route;
}

/* Counts what was decided. */
static void note_route(struct session *session, enum route route)
{
    struct routing *routing = session->routing;
    struct pool *lender = session->lender;
    routing->last = route;
    session->pool->routed[route]++;
    lender->routed[route] += lender != session->pool;
    lender->waited += routing->late_us != 0;
}

/* The replica does not answer it: it counts where it is answered. */
static void uncount(struct session *session, struct pool *replica)
{
    session->pool->routed[ROUTE_REPLICA]--;
    replica->routed[ROUTE_REPLICA]--;
}

bool route_ask(struct engine *engine, struct session *session, const uint8_t *at, uint32_t have,
               uint32_t *ret_whole)
{
    const struct topology *topology = topology_of(engine, session->pool);
    struct routing *routing = session->routing;
    struct route_batch batch = {0};
    bool waits;
    session->lender = session->pool;
    session->detours = false;
    route_whole_forget(routing);
    enum route route = decide_or_wait(engine, session, topology, at, have, &batch, &waits);
    if (waits) {
        route_wait_begin(engine, session);
        return false;
    }
    if (batch.need > have) {
        *ret_whole = batch.need;
        return false;
    }
    if (route == ROUTE_REFUSED) {
        struct report report = {.code = ERR_READ_ONLY,
                                .detail = "howdah.route is \"replica\", and this writes.",
                                .hint = "SET howdah.route = 'auto', or leave out the hint."};
        session_refuse(engine, session, &report, NULL, 0);
        return false;
    }
    routing->mute = routing->again ? routing->mute : 0;
    route_wait_leave(session);
    if (route == ROUTE_REPLICA) {
        session->lender = pool_of_replica(engine, session->pool, routing->node);
        routing->left = batch.bytes;
        routing->checked = false;
        routing->whole = batch.whole;
        routing->own_reads += routing->node == routing->home;
        causal_ask_replica(&routing->causal, topology->ticks, routing->node);
    }
    note_route(session, route);
    if (route != ROUTE_REPLICA) {
        route_wait_forget(session);
    }
    return true;
}

bool route_is_served(struct engine *engine, struct session *session)
{
    const struct topology *topology = topology_of(engine, session->pool);
    struct causal *causal = &session->routing->causal;
    enum route why;
    uint32_t open;
    if (topology == NULL || topology->ticks == NULL ||
        (causal_settle(causal, topology->ticks) &&
         candidates(engine, session, topology, &why, &open) != 0)) {
        return true;
    }
    if (causal->need != 0) { /* more than it has asked for, if there is another primary meanwhile */
        pool_nodes_want(engine, topology, causal->need);
    }
    return false;
}

void route_refused(struct session *session)
{
    struct routing *routing = session->routing;
    if (routing != NULL) {
        route_wait_forget(session);
        routing->again = false;
        routing->mute = 0;
    }
}

enum route route_explain(struct engine *engine, struct session *session, struct plan *plan,
                         uint32_t *ret_node)
{
    const struct topology *topology = topology_of(engine, session->pool);
    struct route_batch batch = {0};
    *ret_node = 0;
    if (session->owns_link) {
        return ROUTE_SESSION;
    }
    if (topology == NULL || topology->ticks == NULL) {
        return ROUTE_NO_REPLICA;
    }
    if (pool_facts_state(engine, session) != POOL_FACTS_KNOWN) {
        return ROUTE_CATALOG;
    }
    if (!route_batch_plan(engine, session, plan, &batch)) {
        return is_refused(session, &batch) ? ROUTE_REFUSED : ROUTE_NOT_A_READ;
    }
    struct routing before = *session->routing; /* nothing is read: what was noted is taken back */
    enum route route = decide_read(engine, session, &batch, topology);
    *ret_node = session->routing->node;
    *session->routing = before;
    return route;
}

bool route_turns_back(struct engine *engine, struct session *session)
{
    if (session->lender == session->pool || session->state != SESSION_READY) {
        return false;
    }
    uncount(session, session->lender);
    session->lender = session->pool;
    session->routing->again = true;
    session_resume_later(engine, session);
    return true;
}

/* --- with a replica's link -------------------------------------------------------------------- */

/* The link, on which nothing was said, goes back: it may show less than the session must see. Its
 * next poll makes it as good as the others, and may be waited for. Where it was polled already,
 * what the session has seen is of another run of the server, and no wait brings that back. */
static void give_back_unused(struct engine *engine, struct session *session)
{
    const struct topology *topology = topology_of(engine, session->pool);
    struct routing *routing = session->routing;
    struct link *link = session->link;
    session->link = NULL;
    uncount(session, session->lender);
    routing->again = true;
    if (topology != NULL && topology->ticks != NULL) {
        pool_nodes_want(engine, topology, ticks_next(topology->ticks));
        if (!is_asked_since(topology->ticks, routing->node, link->ready_us) &&
            route_wait_may(engine, session, topology, ROUTE_BEHIND)) {
            routing->again = false;
            routing->opened_us = link->ready_us;
            session->lender->waited -= routing->late_us != 0;
        }
    }
    link_release(engine, link);
    session_resume_later(engine, session);
}

static bool link_suits(const struct engine *engine, const struct session *session)
{
    const struct routing *routing = session->routing;
    const struct topology *topology = topology_of(engine, session->pool);
    const struct link *link = session->link;
    return !routing->strict || (topology != NULL && topology->ticks != NULL &&
                                causal_may_use(&routing->causal, topology->ticks, routing->node,
                                               link->incarnation, link->ready_us));
}

/* The batch goes on behind a Flush: there, if it still reads only; else the rest of it is the
 * primary's, and the replica's part ends. */
static void go_on(struct engine *engine, struct session *session, const uint8_t *at, uint32_t have,
                  uint32_t *ret_whole)
{
    struct link *link = session->link;
    struct route_batch batch = {.in_transaction = session->begin != BEGIN_NONE};
    uint32_t body_bytes;
    if (link->due.skipping && message_header(message_frontend_bounds, at, &body_bytes)) {
        uint32_t total = MESSAGE_HEADER_BYTES + body_bytes; /* behind an error: nobody gets it */
        session->routing->left = have < total ? have : total;
        return;
    }
    enum route why = route_batch_read(engine, session, at, have, &batch);
    if (batch.need > have) {
        *ret_whole = batch.need;
    } else if (why == ROUTE_REPLICA) {
        session->routing->left = batch.bytes;
        if (due_empty(&link->due)) { /* what was told is done with: it needn't be sent again */
            heal_forget(&link->heal);
            link->told = false;
            link->synthesised = 0;
        }
    } else if (!due_empty(&link->due)) {
        session->blocked = true; /* link_after_reply comes back to it */
    } else if (link_swallow_sync(engine, link)) {
        session->routing->again = true;
    }
}

uint32_t route_may_send(struct engine *engine, struct session *session, const uint8_t *at,
                        uint32_t have, uint32_t *ret_whole)
{
    struct routing *routing = session->routing;
    if (routing->left == 0 && session->link->unsynced && !routing->again) {
        go_on(engine, session, at, have, ret_whole);
    }
    if (!routing->checked && !session->link->used && routing->left > 0) {
        if (!link_suits(engine, session)) {
            give_back_unused(engine, session);
            return 0;
        }
        routing->checked = true;
        route_wait_forget(session);
    }
    return have < routing->left ? have : routing->left;
}

void route_sent(struct session *session, uint32_t bytes)
{
    struct routing *routing = session->routing;
    ASSERT(bytes <= routing->left);
    routing->left -= bytes;
}

/* The primary has told the session something. */
static void told_by_primary(struct engine *engine, struct routing *routing,
                            const struct topology *topology)
{
    causal_at_primary(&routing->causal, topology->ticks);
    if (routing->reads) {
        pool_nodes_want(engine, topology, routing->causal.need);
    }
}

void route_heard(struct engine *engine, struct session *session)
{
    const struct topology *topology =
        session->routing == NULL ? NULL : topology_of(engine, session->pool);
    if (topology != NULL && topology->ticks != NULL) {
        told_by_primary(engine, session->routing, topology);
    } else if (session->routing != NULL) {
        session->routing->unnoted = true;
    }
}

/* A replica has told the session something. */
static void note_read(struct engine *engine, const struct link *link, const struct ticks *ticks)
{
    struct routing *routing = link->owner->routing;
    uint32_t node = link->pool->target - POOL_REPLICA;
    if (routing->strict) {
        causal_at_replica(&routing->causal, ticks, node, link->incarnation, engine->now_us);
    } else {
        causal_at_any_replica(&routing->causal, ticks, node, link->incarnation, engine->now_us);
    }
}

static void note_answered(struct engine *engine, struct link *link)
{
    struct session *owner = link->owner;
    struct routing *routing = owner->routing;
    const struct topology *topology = topology_of(engine, owner->pool);
    bool primary = link->pool->target == POOL_PRIMARY;
    if (primary) {
        routing->again = false; /* what a replica couldn't answer is answered */
    }
    if (topology == NULL || topology->ticks == NULL) {
        routing->unnoted = true;
        return;
    }
    if (!primary) {
        note_read(engine, link, topology->ticks);
        route_stay_read(engine, routing, topology);
        return;
    }
    told_by_primary(engine, routing, topology);
    /* With more due the flag may be of what comes next; what is bound without a Sync is committed
     * by a query behind it. */
    if (!owner->query_is_read || owner->batch_writes || link->due.count > 1) {
        ticks_note_write(topology->ticks);
    }
}

void route_completed(const struct engine *engine, const struct session *session)
{
    const struct topology *topology = topology_of(engine, session->pool);
    if (topology != NULL && topology->ticks != NULL) {
        ticks_note_write(topology->ticks);
    }
}

uint8_t route_ready(struct engine *engine, struct link *link, uint8_t status)
{
    if (link->setup) {
        return status; /* nothing of the client's was sent yet, nor does it hear of this one */
    }
    if (link->pool->target == POOL_PRIMARY) {
        link->owner->routing->mute = 0; /* it was of this batch, which may have failed */
    }
    if (status == 'I') {
        note_answered(engine, link);
    }
    if (link->due.count == 1) { /* this one's */
        route_whole_ready(link->owner, status);
    }
    return link->pool->target == POOL_PRIMARY || status != 'I'
               ? status
               : (uint8_t)deferred_begin_status(link->owner);
}

void route_erred(struct link *link)
{
    if (link->owner != NULL && link->pool->target != POOL_PRIMARY) {
        deferred_begin_refused(link->owner);
    }
}

/* --- once more -------------------------------------------------------------------------------- */

static bool is_replicas_own(const char *sqlstate)
{
    static const char *const states[] = {"25006", "0A000", "40001", "40P01", "55000", "42P01"};
    for (size_t i = 0; i < sizeof(states) / sizeof(states[0]); i++) {
        if (strcmp(sqlstate, states[i]) == 0) {
            return true;
        }
    }
    return strncmp(sqlstate, "57P0", 4) == 0;
}

/* Whether the whole batch can be sent once more, for the client has heard nothing of it. */
static bool is_unheard(const struct link *link)
{
    const struct session *owner = link->owner;
    return owner != NULL && link->pool->target != POOL_PRIMARY && owner->routing != NULL &&
           owner->routing->left == 0 && !link->told && !link->heal.incomplete &&
           link->heal.len > 0 && owner->state == SESSION_READY && !owner->deaf &&
           !owner->cancel_sent && owner->body_left == 0 && link->status == 'I';
}

/* Whether its session waits for the link's settings, and has sent nothing there. */
static bool is_unused(const struct link *link)
{
    const struct session *owner = link->owner;
    return owner != NULL && link->pool->target != POOL_PRIMARY && link->setup && !link->used &&
           owner->state == SESSION_READY && !owner->deaf && !owner->cancel_sent;
}

bool route_may_survive(const struct link *link)
{
    return is_unheard(link) || is_unused(link);
}

bool route_can_again(const struct link *link, const struct report_fields *fields)
{
    return is_unheard(link) && is_replicas_own(fields->sqlstate);
}

/* What the batch has prepared by name it will prepare once more. */
static void forget_parsed(struct engine *engine, struct link *link)
{
    const struct heal *heal = &link->heal;
    struct session *owner = link->owner;
    uint32_t at = 0, total;
    while ((total = message_whole_bytes(message_frontend_bounds, heal->bytes + at,
                                        heal->len - at)) > 0) {
        const uint8_t *message = heal->bytes + at;
        struct reader reader =
            reader_of(message + MESSAGE_HEADER_BYTES, total - MESSAGE_HEADER_BYTES);
        const char *name = message[0] == FRONTEND_PARSE ? reader_cstr(&reader) : "";
        struct session_statement *named =
            name[0] == '\0'
                ? NULL
                : session_statement_find(&owner->statements, engine->hash_key, name, strlen(name));
        if (named != NULL) {
            link_remove_named(engine, link, named);
        }
        at += total;
    }
}

void route_again(struct engine *engine, struct link *link)
{
    struct session *owner = link->owner;
    struct routing *routing = owner->routing;
    uncount(owner, link->pool);
    routing->again = true;
    routing->mute = link->synthesised;
    forget_parsed(engine, link);
    if (!routing->whole) {
        heal_again(engine, link, 0);
        owner->healed = false;
    } else if (heal_put_back(engine, link, 0)) {
        route_whole_again(owner);
        session_unlink(owner);
        link_abandon(engine, link); /* the transaction is rolled back there */
        session_resume_later(engine, owner);
    } else {
        link_fail(engine, link, ERR_NO_MEMORY, NULL);
    }
}

/* The session goes on without the link, at the primary. */
static void leave(struct engine *engine, struct link *link)
{
    struct session *owner = link->owner;
    uncount(owner, link->pool);
    owner->routing->again = true;
    owner->routing->mute = link->synthesised;
    route_whole_again(owner);
    session_unlink(owner);
    session_resume_later(engine, owner);
}

bool route_survives(struct engine *engine, struct link *link)
{
    if (!route_may_survive(link)) {
        return false;
    }
    link_skip_to_sync(engine, link);
    forget_parsed(engine, link);
    if (link->heal.len > 0 && !heal_put_back(engine, link, 0)) {
        return false;
    }
    leave(engine, link);
    return true;
}

static void note_refuser(const struct engine *engine, const struct link *link)
{
    struct route_refusers *refusers = &link->owner->routing->refusers;
    uint64_t settings = link->owner->settings->node.hash;
    if (refusers->settings != settings || engine->now_us >= refusers->until_us) {
        refusers->nodes = 0;
    }
    refusers->nodes |= UINT32_C(1) << (link->pool->target - POOL_REPLICA);
    refusers->settings = settings;
    refusers->until_us = engine->now_us + LIMIT_REFUSER_US;
}

void route_again_without(struct engine *engine, struct link *link)
{
    note_refuser(engine, link);
    route_again(engine, link);
}

bool route_does_without(struct engine *engine, struct link *link)
{
    bool leaves = is_unused(link);
    if (leaves) {
        note_refuser(engine, link);
        leave(engine, link);
    }
    return leaves;
}

/* Whether a server says it of its own accord, or it ends what is muted. */
static bool is_never_muted(uint8_t type)
{
    switch (type) {
    case BACKEND_NOTICE_RESPONSE:
    case BACKEND_PARAMETER_STATUS:
    case BACKEND_NOTIFICATION_RESPONSE:
    case BACKEND_ERROR_RESPONSE:
    case BACKEND_READY_FOR_QUERY:
        return true;
    }
    return false;
}

bool route_is_muted(struct session *session, uint8_t type)
{
    struct routing *routing = session->routing;
    if (routing == NULL || routing->mute == 0 || is_never_muted(type)) {
        return false;
    }
    routing->mute--;
    return true;
}
