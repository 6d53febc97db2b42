#include "router/nodes.h"

#include <stdio.h>
#include <string.h>

#include "base/assert.h"

/* SizeOfXLogShortPHD, SizeOfXLogLongPHD and XLOG_BLCKSZ. */
enum { PAGE_BYTES = 8192, PAGE_HEADER_BYTES = 24, SEGMENT_HEADER_BYTES = 40 };

/* Between samples of the primary that are kept, where there is no max_lag to measure by. */
#define SPACING_US (5 * 1000000ULL)

/* --- names ------------------------------------------------------------------------------------ */

const char *nodes_state_name(enum node_state state)
{
    static const char *const names[NODE_STATES] = {
        [NODE_UNKNOWN] = "unknown",     [NODE_UP] = "up",         [NODE_LAGGING] = "lagging",
        [NODE_RETURNING] = "returning", [NODE_FROZEN] = "frozen", [NODE_DOWN] = "down",
        [NODE_FENCED] = "fenced",       [NODE_GONE] = "gone",
    };
    ASSERT(state < NODE_STATES);
    return names[state];
}

const char *nodes_role_name(enum node_role role)
{
    switch (role) {
    case NODE_ROLE_UNKNOWN:
        return "unknown";
    case NODE_ROLE_PRIMARY:
        return "primary";
    case NODE_ROLE_REPLICA:
        return "replica";
    }
    UNREACHABLE();
}

uint64_t nodes_round_lsn(uint64_t lsn, uint32_t segment_bytes)
{
    if (segment_bytes != 0 && lsn % segment_bytes == SEGMENT_HEADER_BYTES) {
        return lsn - SEGMENT_HEADER_BYTES;
    }
    return lsn % PAGE_BYTES == PAGE_HEADER_BYTES ? lsn - PAGE_HEADER_BYTES : lsn;
}

/* --- states ----------------------------------------------------------------------------------- */

enum hearing {
    HEARD_GOOD,
    HEARD_STEADY, /* good, as often in a row as brings a node back */
    HEARD_BEHIND,
    HEARD_RIVAL, /* a primary that is not the primary, or a foreign server */
    HEARD_REFUSED,
    HEARD_SHUT_OUT,
    HEARD_MISS,    /* a deadline */
    HEARD_SILENCE, /* so many in a row that it counts */
    HEARD_NO_NAME,
    HEARINGS,
};

/* From each state (a row) by what was heard (a column). */
#define ROW(good, steady, behind, rival, refused, shut_out, miss, silence, no_name)               \
    {                                                                                             \
        NODE_##good, NODE_##steady, NODE_##behind, NODE_##rival, NODE_##refused, NODE_##shut_out, \
            NODE_##miss, NODE_##silence, NODE_##no_name                                           \
    }

/* clang-format off */
static const uint8_t moves[NODE_STATES][HEARINGS] = {
    /*                      good    steady behind rival refused shut out miss  silence  no name */
    [NODE_UNKNOWN]   = ROW(UP,        UP, LAGGING, FENCED, DOWN, UNKNOWN, UNKNOWN,   FROZEN, GONE),
    [NODE_UP]        = ROW(UP,        UP, LAGGING, FENCED, DOWN, UNKNOWN, UP,        FROZEN, GONE),
    [NODE_LAGGING]   = ROW(RETURNING, UP, LAGGING, FENCED, DOWN, UNKNOWN, LAGGING,   FROZEN, GONE),
    [NODE_RETURNING] = ROW(RETURNING, UP, LAGGING, FENCED, DOWN, UNKNOWN, RETURNING, FROZEN, GONE),
    [NODE_FROZEN]    = ROW(RETURNING, UP, LAGGING, FENCED, DOWN, UNKNOWN, FROZEN,    FROZEN, GONE),
    [NODE_DOWN]      = ROW(RETURNING, UP, LAGGING, FENCED, DOWN, UNKNOWN, DOWN,      FROZEN, GONE),
    [NODE_FENCED]    = ROW(RETURNING, UP, LAGGING, FENCED, DOWN, FENCED,  FENCED,    FROZEN, GONE),
    [NODE_GONE]      = ROW(RETURNING, UP, LAGGING, FENCED, DOWN, UNKNOWN, GONE,      FROZEN, GONE),
};
/* clang-format on */

static void add_event(struct nodes *nodes, uint32_t at, enum node_state from, const char *reason,
                      uint64_t now_us)
{
    struct node_event *event = &nodes->events[nodes->event_count++ % NODES_EVENTS];
    *event = (struct node_event){now_us, at, from, nodes->nodes[at].state, ""};
    snprintf(event->reason, sizeof(event->reason), "%s", reason);
}

/* Moves the node; the one place where a state changes. */
static void hear(struct nodes *nodes, uint32_t at, enum hearing hearing, const char *reason,
                 uint64_t now_us)
{
    struct node *node = &nodes->nodes[at];
    enum node_state from = node->state;
    bool was_silent = nodes_is_silent(nodes, at);
    ASSERT(hearing < HEARINGS);
    if (hearing == HEARD_GOOD) {
        node->streak++;
        if (node->streak >= NODES_STEADY || at == nodes->primary) {
            hearing = HEARD_STEADY;
        }
    } else {
        node->streak = 0;
    }
    node->state = (enum node_state)moves[from][hearing];
    if (node->state != NODE_UNKNOWN) {
        node->trusted = node->state == NODE_UP && at == nodes->primary;
    }
    if (nodes_is_silent(nodes, at) && !was_silent) {
        node->silences++;
        node->latency_us = 0; /* what it takes when it is back is another matter */
    }
    if (node->state == NODE_UP) {
        node->reason[0] = '\0';
    } else if (reason[0] != '\0') {
        snprintf(node->reason, sizeof(node->reason), "%s", reason);
    }
    if (node->state != from) {
        node->since_us = now_us;
        add_event(nodes, at, from, reason, now_us);
    }
}

/* --- who is the primary ----------------------------------------------------------------------- */

static bool same_system(uint64_t left, uint64_t right)
{
    return left == 0 || right == 0 || left == right;
}

static bool claims(const struct node *node)
{
    return node->role == NODE_ROLE_PRIMARY;
}

/* The system that counts: the primary's, else the one that all claims are of. False: they are of
 * several. */
static bool find_system(const struct nodes *nodes, uint64_t *ret_system)
{
    uint64_t system = nodes->system_id;
    for (uint32_t i = 0; i < nodes->rules.count && nodes->system_id == 0; i++) {
        const struct node *node = &nodes->nodes[i];
        if (claims(node) && !same_system(system, node->system_id)) {
            return false;
        }
        if (claims(node) && node->system_id != 0) {
            system = node->system_id;
        }
    }
    *ret_system = system;
    return true;
}

struct election {
    uint32_t winner; /* of the claims, or NODES_NONE */
    uint32_t claim_count, unheard_count;
    uint32_t timeline;
    bool several_systems;
};

/* One run of one server has one beginning, under whatever name or address. */
static bool is_run(const struct node *node, uint64_t system_id, uint64_t started_us)
{
    return system_id != 0 && started_us != 0 && node->system_id == system_id &&
           node->started_us == started_us;
}

static bool is_one_server(const struct nodes *nodes, uint32_t first, const struct node *second)
{
    return first != NODES_NONE &&
           is_run(&nodes->nodes[first], second->system_id, second->started_us);
}

static struct election count_claims(const struct nodes *nodes)
{
    struct election election = {.winner = NODES_NONE};
    election.timeline = nodes->settled ? nodes->timeline : 0;
    uint64_t system = 0;
    election.several_systems = !find_system(nodes, &system);
    for (uint32_t i = 0; i < nodes->rules.count; i++) {
        const struct node *node = &nodes->nodes[i];
        election.unheard_count += !node->heard;
        if (same_system(system, node->system_id) && node->timeline > election.timeline) {
            election.timeline = node->timeline;
        }
    }
    for (uint32_t i = 0; i < nodes->rules.count; i++) {
        const struct node *node = &nodes->nodes[i];
        bool counts = claims(node) && same_system(system, node->system_id) &&
                      node->timeline == election.timeline;
        if (counts && !is_one_server(nodes, election.winner, node)) {
            election.claim_count++;
            election.winner = i;
        }
    }
    return election;
}

/* Roles are given: node 0, unless it is known not to be the primary. */
static uint32_t choose_given(const struct nodes *nodes, const struct election *election,
                             char why[NODE_REASON_BYTES])
{
    const struct node *given = &nodes->nodes[0];
    if (election->claim_count == 1 && election->winner != 0) {
        snprintf(why, NODE_REASON_BYTES, "another server is the primary, on timeline %u",
                 election->timeline);
        return NODES_NONE;
    }
    if (given->role == NODE_ROLE_REPLICA) {
        snprintf(why, NODE_REASON_BYTES, "the configured primary is in recovery");
        return NODES_NONE;
    }
    if (election->claim_count == 0 && !same_system(nodes->system_id, given->system_id)) {
        snprintf(why, NODE_REASON_BYTES, "the primary is of another database system than before");
        return NODES_NONE;
    }
    if (election->claim_count == 0 && claims(given)) {
        snprintf(why, NODE_REASON_BYTES, "the primary is on timeline %u, and there is timeline %u",
                 given->timeline, election->timeline);
        return NODES_NONE;
    }
    return 0;
}

static uint32_t choose(const struct nodes *nodes, const struct election *election,
                       bool *ret_disputed, char why[NODE_REASON_BYTES])
{
    *ret_disputed = election->several_systems || election->claim_count > 1;
    if (election->several_systems) {
        snprintf(why, NODE_REASON_BYTES, "primaries of different database systems");
        return NODES_NONE;
    }
    if (*ret_disputed) {
        snprintf(why, NODE_REASON_BYTES, "%u primaries on timeline %u", election->claim_count,
                 election->timeline);
        return NODES_NONE;
    }
    if (!nodes->rules.discovers) {
        return choose_given(nodes, election, why);
    }
    if (election->unheard_count > 0 && !nodes->settled) {
        snprintf(why, NODE_REASON_BYTES, "not all hosts were heard of yet");
        return NODES_NONE;
    }
    if (election->claim_count == 0) {
        snprintf(why, NODE_REASON_BYTES, "no server says that it is the primary");
    }
    return election->winner;
}

static void forget_samples(struct nodes *nodes)
{
    nodes->sample_count = 0;
    nodes->newest = (struct node_sample){0};
}

static void add_failover(struct nodes *nodes, uint32_t to, const char *reason, uint64_t now_us)
{
    uint32_t from = nodes->last_primary;
    struct node_failover *failover = &nodes->failovers[nodes->failover_count++ % NODES_FAILOVERS];
    *failover = (struct node_failover){now_us, from, to, nodes->timeline, 0, ""};
    if (nodes->led_us != 0 && now_us > nodes->led_us) {
        failover->without_us = now_us - nodes->led_us;
    }
    snprintf(failover->reason, sizeof(failover->reason), "%s", reason);
}

/* Why a claim doesn't count. */
static void tell_rival(const struct nodes *nodes, const struct node *node,
                       char why[NODE_REASON_BYTES])
{
    if (nodes->disputed) {
        snprintf(why, NODE_REASON_BYTES, "%s", nodes->why_none);
    } else if (!same_system(nodes->system_id, node->system_id)) {
        snprintf(why, NODE_REASON_BYTES, "of another database system than the primary");
    } else if (node->timeline < nodes->timeline) {
        snprintf(why, NODE_REASON_BYTES, "a primary on timeline %u, and there is timeline %u",
                 node->timeline, nodes->timeline);
    } else if (nodes->rules.discovers) {
        snprintf(why, NODE_REASON_BYTES, "the primary under another name");
    } else {
        snprintf(why, NODE_REASON_BYTES, "a primary, but configured as a replica");
    }
}

/* Claims that don't count any more are fenced at once, not with their next answer. */
static void fence_rivals(struct nodes *nodes, uint64_t now_us)
{
    for (uint32_t i = 0; i < nodes->rules.count; i++) {
        const struct node *node = &nodes->nodes[i];
        bool answers =
            node->state == NODE_UP || node->state == NODE_RETURNING || node->state == NODE_UNKNOWN;
        if (i != nodes->primary && claims(node) && answers) {
            char why[NODE_REASON_BYTES];
            tell_rival(nodes, node, why);
            hear(nodes, i, HEARD_RIVAL, why, now_us);
        }
    }
}

/* Looks anew who is the primary. */
static void elect(struct nodes *nodes, uint64_t now_us)
{
    struct election election = count_claims(nodes);
    char why[NODE_REASON_BYTES] = "";
    uint32_t before = nodes->primary;
    nodes->primary = choose(nodes, &election, &nodes->disputed, why);
    if (!election.several_systems) {
        nodes->timeline = election.timeline;
    }
    memcpy(nodes->why_none, why, sizeof(why));
    if (nodes->primary != NODES_NONE && claims(&nodes->nodes[nodes->primary])) {
        nodes->settled = true;
    }
    if (nodes->primary != NODES_NONE && nodes->system_id == 0) {
        nodes->system_id = nodes->nodes[nodes->primary].system_id;
    }
    if (nodes->primary == before) {
        return;
    }
    forget_samples(nodes);
    if (nodes->last_primary != NODES_NONE) {
        add_failover(nodes, nodes->primary,
                     nodes->primary == NODES_NONE ? why : "it says that it is the primary", now_us);
    }
    if (nodes->primary != NODES_NONE) {
        nodes->last_primary = nodes->primary;
        nodes->led_us = nodes->nodes[nodes->primary].answered_us;
    }
    fence_rivals(nodes, now_us);
}

/* --- lag -------------------------------------------------------------------------------------- */

static uint64_t spacing_us(const struct nodes *nodes)
{
    uint64_t max_lag_us = nodes->rules.max_lag_us;
    return max_lag_us == 0 ? SPACING_US : max_lag_us / (NODES_SAMPLES / 2);
}

/* The primary was asked at that time and has answered with that LSN. */
static void take_sample(struct nodes *nodes, uint64_t at_us, uint64_t lsn)
{
    struct node_sample *samples = nodes->samples;
    nodes->newest = (struct node_sample){at_us, lsn};
    if (nodes->sample_count > 0 &&
        at_us < samples[nodes->sample_count - 1].at_us + spacing_us(nodes)) {
        return;
    }
    if (nodes->sample_count == NODES_SAMPLES) {
        memmove(&samples[0], &samples[1], sizeof(samples[0]) * (NODES_SAMPLES - 1));
        nodes->sample_count--;
    }
    samples[nodes->sample_count++] = nodes->newest;
}

/* Between the newest sample and the newest that the replica has replayed. */
static uint64_t lag_by_samples(const struct nodes *nodes, uint64_t lsn)
{
    if (lsn >= nodes->newest.lsn) {
        return 0;
    }
    for (uint32_t i = nodes->sample_count; i > 0; i--) {
        if (nodes->samples[i - 1].lsn <= lsn) {
            return nodes->newest.at_us - nodes->samples[i - 1].at_us;
        }
    }
    return NODE_LAG_UNKNOWN;
}

/* Finds the replica's lag; the reason where it is unknown. */
static void measure_lag(const struct nodes *nodes, struct node *node, uint64_t now_us,
                        char why[NODE_REASON_BYTES])
{
    uint64_t max_lag_us = nodes->rules.max_lag_us;
    node->lag_us = NODE_LAG_UNKNOWN;
    node->lag_bytes = 0;
    if (!node->has_lsn) {
        snprintf(why, NODE_REASON_BYTES, "its LSN is not known");
    } else if (nodes->primary == NODES_NONE || nodes->newest.at_us == 0) {
        snprintf(why, NODE_REASON_BYTES, "there is no primary to compare it with");
    } else if (node->timeline != nodes->nodes[nodes->primary].timeline) {
        snprintf(why, NODE_REASON_BYTES, "it follows timeline %u, the primary is on %u",
                 node->timeline, nodes->nodes[nodes->primary].timeline);
    } else if (max_lag_us != 0 && now_us > nodes->newest.at_us + max_lag_us) {
        snprintf(why, NODE_REASON_BYTES, "the primary has not answered for max_lag");
    } else {
        node->lag_us = lag_by_samples(nodes, node->lsn);
        node->lag_bytes = nodes->newest.lsn > node->lsn ? nodes->newest.lsn - node->lsn : 0;
        snprintf(why, NODE_REASON_BYTES, "it is behind all that is known of the primary");
    }
}

/* Whether a replica with this lag may be read; a node that was not up must be nearer. */
static bool is_near(const struct nodes *nodes, const struct node *node)
{
    uint64_t limit_us = nodes->rules.max_lag_us;
    bool knows_primary = nodes->primary != NODES_NONE && nodes->newest.at_us != 0;
    if (limit_us == 0) {
        return !knows_primary || node->timeline == nodes->nodes[nodes->primary].timeline;
    }
    if (node->state != NODE_UP && node->state != NODE_UNKNOWN) {
        limit_us /= 2;
    }
    return node->lag_us != NODE_LAG_UNKNOWN && node->lag_us <= limit_us;
}

static void judge_replica(struct nodes *nodes, uint32_t at, const struct node_answer *answer)
{
    struct node *node = &nodes->nodes[at];
    char why[NODE_REASON_BYTES] = "";
    measure_lag(nodes, node, answer->answered_us, why);
    if (is_near(nodes, node)) {
        hear(nodes, at, HEARD_GOOD, "", answer->answered_us);
        return;
    }
    if (node->state == NODE_UNKNOWN && nodes->newest.at_us == 0 && !nodes->disputed) {
        return; /* the primary has not been asked yet */
    }
    if (node->lag_us != NODE_LAG_UNKNOWN) {
        snprintf(why, sizeof(why), "%llu ms behind%s",
                 (unsigned long long)((node->lag_us + 999) / 1000),
                 answer->paused ? ", replay is paused" : "");
    }
    hear(nodes, at, HEARD_BEHIND, why, answer->answered_us);
}

bool nodes_is_late(const struct nodes *nodes, uint32_t node)
{
    uint64_t limit_us = nodes->rules.max_lag_us / 2;
    return limit_us != 0 && nodes->nodes[node].role == NODE_ROLE_REPLICA &&
           nodes->nodes[node].lag_us > limit_us;
}

/* --- answers ---------------------------------------------------------------------------------- */

static void drop_lsn(struct node *node)
{
    node->has_lsn = false;
    node->lag_us = NODE_LAG_UNKNOWN;
    node->lag_bytes = 0;
}

/* What was known of its WAL holds no more; connections to it may be to another server. */
static void note_change(struct nodes *nodes, uint32_t at, bool is_other, const char *what,
                        uint64_t now_us)
{
    struct node *node = &nodes->nodes[at];
    drop_lsn(node);
    node->incarnation += is_other;
    if (at == nodes->primary) {
        forget_samples(nodes);
    }
    add_event(nodes, at, node->state, what, now_us);
}

/* What tells that this is not the server, or not the run of it, that has answered before. */
static void note_changes(struct nodes *nodes, uint32_t at, const struct node_answer *answer,
                         uint64_t lsn)
{
    struct node *node = &nodes->nodes[at];
    uint64_t now_us = answer->answered_us;
    bool was_replica = node->role == NODE_ROLE_REPLICA;
    if (node->role == NODE_ROLE_UNKNOWN) {
        return;
    }
    if (!same_system(node->system_id, answer->system_id)) {
        note_change(nodes, at, true, "another database system answers", now_us);
    } else if (node->started_us != 0 && answer->started_us != 0 &&
               node->started_us != answer->started_us) {
        note_change(nodes, at, true, "it was restarted", now_us);
    } else if (was_replica != answer->in_recovery) {
        note_change(nodes, at, false, was_replica ? "it was promoted" : "it became a replica",
                    now_us);
    } else if (node->timeline != answer->timeline) {
        note_change(nodes, at, false, "its timeline changed", now_us);
    } else if (node->has_lsn && answer->has_lsn && lsn < node->lsn) {
        note_change(nodes, at, true, "its LSN went back", now_us);
    }
}

/* Slowly up and quickly down: what makes a single answer late is mostly chance, and the first one
 * of a server that has just started takes long. */
static uint64_t smoothed(uint64_t latency_us, uint64_t took_us)
{
    uint64_t weight = latency_us == 0 ? 0 : took_us < latency_us ? 1 : 7;
    return (latency_us * weight + took_us) / (weight + 1);
}

static void keep_answer(struct node *node, const struct node_answer *answer, uint64_t lsn)
{
    uint64_t took_us = answer->answered_us - answer->asked_us;
    node->heard = true;
    node->misses = 0;
    node->role = answer->in_recovery ? NODE_ROLE_REPLICA : NODE_ROLE_PRIMARY;
    node->has_lsn = answer->has_lsn;
    node->lsn = lsn;
    node->timeline = answer->timeline;
    node->system_id = answer->system_id;
    node->started_us = answer->started_us;
    node->asked_us = answer->asked_us;
    node->answered_us = answer->answered_us;
    node->latency_us = smoothed(node->latency_us, took_us + 1);
}

/* One event for as long as it holds. */
static void take_warning(struct nodes *nodes, uint32_t at, const struct node_answer *answer)
{
    struct node *node = &nodes->nodes[at];
    bool warned = node->warning[0] != '\0';
    snprintf(node->warning, sizeof(node->warning), "%s",
             answer->warning == NULL ? "" : answer->warning);
    if (!warned && node->warning[0] != '\0') {
        add_event(nodes, at, node->state, answer->warning, answer->answered_us);
    }
}

void nodes_answered(struct nodes *nodes, uint32_t at, const struct node_answer *answer)
{
    ASSERT(at < nodes->rules.count && answer->asked_us <= answer->answered_us);
    struct node *node = &nodes->nodes[at];
    uint64_t lsn = nodes_round_lsn(answer->lsn, answer->segment_bytes);
    char why[NODE_REASON_BYTES] = "";
    note_changes(nodes, at, answer, lsn);
    keep_answer(node, answer, lsn);
    take_warning(nodes, at, answer);
    elect(nodes, answer->answered_us);
    if (at == nodes->primary) {
        node->lag_us = node->lag_bytes = 0;
        nodes->led_us = answer->answered_us;
        if (answer->has_lsn) {
            take_sample(nodes, answer->asked_us, lsn);
        }
        hear(nodes, at, HEARD_GOOD, "", answer->answered_us);
    } else if (!same_system(nodes->system_id, node->system_id) ||
               (claims(node) && (nodes->primary != NODES_NONE || nodes->disputed ||
                                 !nodes->rules.discovers || node->timeline < nodes->timeline))) {
        node->lag_us = NODE_LAG_UNKNOWN;
        tell_rival(nodes, node, why);
        hear(nodes, at, HEARD_RIVAL, why, answer->answered_us);
    } else if (answer->in_recovery) {
        judge_replica(nodes, at, answer);
    }
}

void nodes_failed(struct nodes *nodes, uint32_t at, enum node_failure failure, const char *why,
                  uint64_t now_us)
{
    ASSERT(at < nodes->rules.count);
    struct node *node = &nodes->nodes[at];
    enum hearing hearing = HEARD_REFUSED;
    char unwatched[NODE_REASON_BYTES];
    switch (failure) {
    case NODE_REFUSED:
        node->misses = 0;
        break;
    case NODE_SHUT_OUT:
        node->misses = 0;
        hearing = HEARD_SHUT_OUT;
        snprintf(unwatched, sizeof(unwatched), "not watched: %.*s", NODE_REASON_BYTES - 16, why);
        why = unwatched;
        break;
    case NODE_LOST:
        drop_lsn(node);
        add_event(nodes, at, node->state, why, now_us);
        return;
    case NODE_ELSEWHERE:
        node->misses = 0;
        note_change(nodes, at, true, "another address shuts its probe out", now_us);
        break;
    case NODE_LATE:
        hearing = ++node->misses >= NODES_PATIENCE ? HEARD_SILENCE : HEARD_MISS;
        break;
    case NODE_NO_NAME:
        hearing = HEARD_NO_NAME;
        break;
    case NODE_NAMELESS:
        if (at == nodes->primary && node->state == NODE_UP) {
            return; /* a primary that answers is not given up for its name */
        }
        hearing = HEARD_NO_NAME;
        break;
    }
    drop_lsn(node);
    node->heard = node->heard || hearing != HEARD_MISS;
    elect(nodes, now_us);
    hear(nodes, at, hearing, why, now_us);
}

void nodes_changed(struct nodes *nodes, uint32_t at, const char *why, uint64_t now_us)
{
    ASSERT(at < nodes->rules.count);
    note_change(nodes, at, true, why, now_us);
}

void nodes_moved(struct nodes *nodes, uint32_t at, const struct node_answer *answer,
                 const char *why)
{
    ASSERT(at < nodes->rules.count);
    const struct node *node = &nodes->nodes[at];
    if (is_run(node, answer->system_id, answer->started_us)) {
        add_event(nodes, at, node->state, why, answer->answered_us);
    } else {
        note_change(nodes, at, true, why, answer->answered_us);
    }
}

/* --- beginning -------------------------------------------------------------------------------- */

void nodes_init(struct nodes *nodes, const struct nodes_rules *rules, uint64_t now_us)
{
    ASSERT(rules->count > 0 && rules->count <= LIMIT_NODES);
    *nodes = (struct nodes){.rules = *rules, .primary = rules->discovers ? NODES_NONE : 0};
    nodes->last_primary = nodes->primary;
    for (uint32_t i = 0; i < rules->count; i++) {
        nodes->nodes[i].since_us = now_us;
        nodes->nodes[i].lag_us = NODE_LAG_UNKNOWN;
        nodes->nodes[i].incarnation = rules->incarnation;
    }
    if (rules->discovers) {
        snprintf(nodes->why_none, sizeof(nodes->why_none), "not all hosts were heard of yet");
    }
}

/* Its samples are worth nothing without it. */
static void keep_primary(struct nodes *nodes, uint32_t at, const struct nodes *before)
{
    nodes->primary = nodes->last_primary = at;
    nodes->led_us = before->led_us;
    nodes->newest = before->newest;
    nodes->sample_count = before->sample_count;
    memcpy(nodes->samples, before->samples, sizeof(nodes->samples));
    nodes->why_none[0] = '\0';
}

/* The given primary stays: known to be none, it is none until an answer says otherwise. */
static void keep_given(struct nodes *nodes)
{
    struct election election = count_claims(nodes);
    nodes->primary = choose(nodes, &election, &nodes->disputed, nodes->why_none);
}

/* Whether one is left of the system that counted. */
static bool is_same_system(const struct nodes *nodes, const struct nodes *before,
                           const uint32_t places[])
{
    bool any = false;
    for (uint32_t i = 0; i < nodes->rules.count; i++) {
        ASSERT(places[i] == NODES_NONE || places[i] < before->rules.count);
        any = any ||
              (places[i] != NODES_NONE && before->nodes[places[i]].system_id == before->system_id);
    }
    return any;
}

void nodes_keep_timeline(struct nodes *nodes, const struct nodes *before, const uint32_t places[])
{
    if (is_same_system(nodes, before, places)) {
        nodes->settled = before->settled;
        nodes->timeline = before->timeline;
        nodes->system_id = before->system_id;
    }
}

void nodes_go_on(struct nodes *nodes, const struct nodes *before, const uint32_t places[])
{
    for (uint32_t i = 0; i < nodes->rules.count; i++) {
        struct node *node = &nodes->nodes[i];
        if (places[i] == NODES_NONE) {
            continue;
        }
        *node = before->nodes[places[i]];
        if (places[i] != i) { /* pools stay with their place, where another server was */
            node->incarnation = nodes->rules.incarnation;
        }
        drop_lsn(node);
        if (places[i] == before->primary && (i == 0 || nodes->rules.discovers)) {
            keep_primary(nodes, i, before);
        }
    }
    nodes->disputed = is_same_system(nodes, before, places) && before->disputed;
    nodes_keep_timeline(nodes, before, places);
    if (!nodes->rules.discovers && places[0] != NODES_NONE) {
        keep_given(nodes);
    }
}

void nodes_set_max_lag(struct nodes *nodes, uint64_t max_lag_us)
{
    nodes->rules.max_lag_us = max_lag_us;
}
