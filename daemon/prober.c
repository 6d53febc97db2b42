#include "daemon/prober.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/list.h"
#include "base/random.h"
#include "base/text.h"
#include "daemon/log.h"
#include "daemon/probe.h"
#include "daemon/server.h"
#include "daemon/snapshot.h"
#include "daemon/watch.h"
#include "daemon/worker.h"
#include "pool/options.h"
#include "router/nodes.h"
#include "router/polls.h"
#include "router/ticks.h"
#include "router/topology.h"

/* Between an answer and the next question: short against max_lag, so that it is measured, and long
 * enough to be nothing for the server. */
enum { INTERVAL_MS = 1000, INTERVAL_MIN_MS = 100, INTERVALS_OF_LAG = 4 };

/* Another group of the same database has other incarnations than all before it, but of nodes that
 * have kept their place. */
enum { INCARNATION_BITS = 16 };

/* Figures alone are told this often. */
#define PUBLISH_US (900 * 1000ULL)

/* One database with several servers. */
struct group {
    struct list node;
    struct prober *prober;
    struct snapshot *snapshot; /* that `database` lies in */
    const struct database_options *database;
    struct probe *probes[LIMIT_NODES]; /* NULL: nobody to ask as */
    struct nodes nodes;
    struct polls polls;        /* its ticks are NULL where there is one server */
    uint64_t look_us;          /* when somebody may be to be polled; POLLS_NEVER */
    struct topology *topology; /* that was published last; NULL: none */
    uint64_t published_us;
    uint64_t term; /* as in struct topology; term_primary and term_incarnation are what it is of */
    uint32_t term_primary, term_incarnation;
    uint64_t events_told; /* in the log */
    uint32_t primary_told;
    bool searches; /* there is no primary that answers: all are asked more often */
};

struct prober {
    struct worker *worker;
    uint32_t worker_count;
    struct random random;
    int timer_fd;
    struct watch watch;
    uint64_t armed_us;
    uint64_t terms; /* given so far */
    uint32_t groups_made;
    struct list groups;
};

static struct group *find_group(const struct prober *prober, const char *name)
{
    LIST_EACH (&prober->groups, node) {
        struct group *group = CONTAINER_OF(node, struct group, node);
        if (strcmp(group->database->name, name) == 0) {
            return group;
        }
    }
    return NULL;
}

/* --- telling ---------------------------------------------------------------------------------- */

static void name_server(const struct group *group, uint32_t at, char *text, size_t bytes)
{
    if (at == NODES_NONE) {
        snprintf(text, bytes, "none");
        return;
    }
    const struct server_options *server = &group->database->servers[at];
    const char *host = server->host != NULL ? server->host : server->hostaddr;
    snprintf(text, bytes, "%s:%u", host != NULL ? host : "", server->port);
}

static void log_event(const struct group *group, const struct node_event *event)
{
    char server[TOPOLOGY_HOST_BYTES + 8];
    name_server(group, event->node, server, sizeof(server));
    const char *separator = event->reason[0] == '\0' ? "" : ": ";
    if (event->from == event->to) {
        log_line(group->prober->worker->log, LOG_NOTICE, LOG_NO_WORKER,
                 "database \"%s\": server %s%s%s", group->database->name, server, separator,
                 event->reason);
        return;
    }
    bool better = event->to == NODE_UP || event->to == NODE_RETURNING;
    log_line(group->prober->worker->log, better ? LOG_NOTICE : LOG_WARNING, LOG_NO_WORKER,
             "database \"%s\": server %s is %s (was %s)%s%s", group->database->name, server,
             nodes_state_name(event->to), nodes_state_name(event->from), separator, event->reason);
}

static void log_primary(struct group *group)
{
    const struct nodes *nodes = &group->nodes;
    char server[TOPOLOGY_HOST_BYTES + 8];
    if (nodes->primary == group->primary_told) {
        return;
    }
    group->primary_told = nodes->primary;
    name_server(group, nodes->primary, server, sizeof(server));
    if (nodes->primary == NODES_NONE) {
        log_line(group->prober->worker->log, LOG_WARNING, LOG_NO_WORKER,
                 "database \"%s\": no server counts as the primary: %s", group->database->name,
                 nodes->why_none);
    } else {
        log_line(group->prober->worker->log, LOG_NOTICE, LOG_NO_WORKER,
                 "database \"%s\": the primary is %s, on timeline %u", group->database->name,
                 server, nodes->timeline);
    }
}

/* What happened since the last time, as far as it is kept. */
static bool log_news(struct group *group)
{
    const struct nodes *nodes = &group->nodes;
    bool news = group->events_told < nodes->event_count || group->primary_told != nodes->primary;
    if (nodes->event_count - group->events_told > NODES_EVENTS) {
        group->events_told = nodes->event_count - NODES_EVENTS;
    }
    for (; group->events_told < nodes->event_count; group->events_told++) {
        log_event(group, &nodes->events[group->events_told % NODES_EVENTS]);
    }
    log_primary(group);
    return news;
}

static void publish(struct group *group)
{
    struct prober *prober = group->prober;
    struct topology *topology =
        topology_new(group->database->name, &group->nodes, group->polls.ticks);
    if (topology == NULL) {
        return; /* the next one comes soon */
    }
    topology->term = group->term;
    for (uint32_t i = 0; i < group->database->server_count; i++) {
        const struct server_options *options = &group->database->servers[i];
        struct topology_server *server = &topology->servers[i];
        const char *host = options->host != NULL ? options->host : options->hostaddr;
        snprintf(server->host, sizeof(server->host), "%s", host != NULL ? host : "");
        bool known = group->probes[i] != NULL && nodes_answers(&group->nodes, i);
        snprintf(server->address, sizeof(server->address), "%s",
                 known ? probe_address(group->probes[i]) : "");
        server->port = options->port;
        server->weight = options->weight;
    }
    for (uint32_t i = 0; i < prober->worker_count; i++) {
        struct message message = {.kind = MESSAGE_TOPOLOGY, .topology = topology_ref(topology)};
        worker_post(prober->worker, server_worker(prober->worker->server, i), &message);
    }
    topology_unref(group->topology);
    group->topology = topology;
    group->published_us = worker_now_us(prober->worker);
}

static uint32_t incarnation_of_primary(const struct nodes *nodes)
{
    return nodes->primary == NODES_NONE ? 0 : nodes->nodes[nodes->primary].incarnation;
}

/* A new term with another primary, or another run or address of it, and with none: it is there no
 * more because it is known to be none. One that does not answer stays the primary. */
static bool begin_term(struct group *group)
{
    const struct nodes *nodes = &group->nodes;
    uint32_t incarnation = incarnation_of_primary(nodes);
    if (nodes->primary == group->term_primary && incarnation == group->term_incarnation) {
        return false;
    }
    group->term_primary = nodes->primary;
    group->term_incarnation = incarnation;
    group->term = ++group->prober->terms;
    return true;
}

static uint32_t interval_ms(const struct group *group)
{
    uint32_t of_lag_ms = group->database->max_lag_ms / INTERVALS_OF_LAG;
    if (group->searches) {
        return INTERVAL_MIN_MS;
    }
    if (group->database->max_lag_ms == 0 || of_lag_ms > INTERVAL_MS) {
        return INTERVAL_MS;
    }
    return of_lag_ms > INTERVAL_MIN_MS ? of_lag_ms : INTERVAL_MIN_MS;
}

/* Statements wait for the next primary: it is to be found soon. A given one that has never answered
 * is not waited for. */
static void search(struct group *group)
{
    const struct nodes *nodes = &group->nodes;
    bool waits = group->database->discovers || nodes->nodes[0].answered_us != 0;
    bool searches = waits && !nodes_may_write(nodes);
    if (searches == group->searches) {
        return;
    }
    group->searches = searches;
    for (uint32_t i = 0; i < group->database->server_count; i++) {
        if (group->probes[i] != NULL) {
            probe_set_interval(group->probes[i], interval_ms(group));
        }
    }
}

static void tell(struct group *group)
{
    uint64_t now_us = worker_now_us(group->prober->worker);
    bool news = begin_term(group);
    search(group);
    if (log_news(group) || news || now_us >= group->published_us + PUBLISH_US) {
        publish(group);
    }
}

/* --- polls ------------------------------------------------------------------------------------ */

/* With another primary than before, or another run of it (which may have lost WAL, or be another
 * server of that name), no poll that is under way counts, and no replica's LSN does until it has
 * told anew which timeline it follows: they are asked at once. */
static void follow_primary(struct group *group)
{
    uint32_t incarnation = incarnation_of_primary(&group->nodes);
    if (polls_follows(&group->polls, group->nodes.primary, incarnation)) {
        return;
    }
    polls_follow(&group->polls, group->nodes.primary, incarnation);
    for (uint32_t i = 0; i < group->nodes.rules.count; i++) {
        if (group->probes[i] != NULL) {
            probe_hurry(group->probes[i]);
        }
    }
}

/* What was known of that node's WAL holds no more. */
static void forget_polls(struct group *group, uint32_t at)
{
    if (group->polls.ticks != NULL) {
        polls_forget(&group->polls, at);
        follow_primary(group);
    }
}

/* Whether its LSN can be compared with the primary's. */
static bool is_comparable(const struct nodes *nodes, uint32_t at)
{
    const struct node *node = &nodes->nodes[at];
    return nodes->primary != NODES_NONE && node->role == NODE_ROLE_REPLICA &&
           node->state != NODE_FENCED && node->timeline == nodes->nodes[nodes->primary].timeline;
}

/* Workers that have listened are told to look. */
static void tell_listeners(struct group *group)
{
    struct prober *prober = group->prober;
    uint64_t workers = ticks_take_listeners(group->polls.ticks);
    for (; workers != 0 && group->topology != NULL; workers &= workers - 1) {
        uint32_t i = (uint32_t)__builtin_ctzll(workers);
        struct message message = {.kind = MESSAGE_TICKS, .topology = topology_ref(group->topology)};
        worker_post(prober->worker, server_worker(prober->worker->server, i), &message);
    }
}

/* An LSN of a node that `nodes` knows; `flushed` of a primary, else 0. */
static void take_lsn(struct group *group, uint32_t at, bool has_lsn, uint64_t lsn, uint64_t flushed)
{
    const struct nodes *nodes = &group->nodes;
    bool counts = has_lsn && (at == nodes->primary || is_comparable(nodes, at));
    if (!counts) {
        polls_forget(&group->polls, at);
    } else if (!polls_answered(&group->polls, at, lsn, nodes->nodes[at].incarnation)) {
        nodes_changed(&group->nodes, at, "its LSN went back", worker_now_us(group->prober->worker));
        tell(group);
    } else if (at == nodes->primary && flushed != 0) {
        polls_flushed(&group->polls, lsn, flushed);
    }
    tell_listeners(group);
}

/* One timer for all groups, of more than a millisecond's precision. */
static void arm(struct prober *prober)
{
    uint64_t at_us = POLLS_NEVER;
    LIST_EACH (&prober->groups, node) {
        const struct group *group = CONTAINER_OF(node, struct group, node);
        at_us = group->look_us < at_us ? group->look_us : at_us;
    }
    if (at_us != prober->armed_us) {
        struct itimerspec when = {.it_value = {0}};
        if (at_us != POLLS_NEVER) {
            when.it_value.tv_sec = (time_t)(at_us / 1000000);
            when.it_value.tv_nsec = (long)(at_us % 1000000) * 1000;
        }
        (void)timerfd_settime(prober->timer_fd, TFD_TIMER_ABSTIME, &when, NULL);
        prober->armed_us = at_us;
    }
}

static struct polls_who find_who(const struct group *group)
{
    const struct nodes *nodes = &group->nodes;
    struct polls_who who = {0};
    for (uint32_t i = 0; i < nodes->rules.count; i++) {
        bool is_replica = group->probes[i] != NULL && is_comparable(nodes, i);
        bool is_primary = group->probes[i] != NULL && i == nodes->primary;
        who.usable |= (uint32_t)(is_primary || (is_replica && nodes_may_read(nodes, i))) << i;
        who.late |= (uint32_t)(is_replica && nodes_is_late(nodes, i)) << i;
    }
    return who;
}

static void poll_node(struct group *group, uint32_t at, struct polls_who who)
{
    bool commits = at == group->nodes.primary && polls_commits(&group->polls, who);
    bool is_sent = probe_poll(group->probes[at], commits); /* else it is asked more, or is down */
    if (is_sent && commits) {
        polls_committed(&group->polls, worker_now_us(group->prober->worker));
    }
}

/* Polls whoever is to be polled now. */
static void look(struct group *group)
{
    do {
        struct polls_who who = find_who(group);
        uint32_t due =
            polls_due(&group->polls, who, worker_now_us(group->prober->worker), &group->look_us);
        for (; due != 0; due &= due - 1) {
            poll_node(group, (uint32_t)__builtin_ctz(due), who);
        }
    } while (!polls_sleep(&group->polls));
    arm(group->prober);
}

static void on_time(struct watch *watch, uint32_t events)
{
    struct prober *prober = CONTAINER_OF(watch, struct prober, watch);
    uint64_t now_us = worker_now_us(prober->worker);
    (void)events;
    prober->armed_us = POLLS_NEVER;
    LIST_EACH (&prober->groups, node) {
        struct group *group = CONTAINER_OF(node, struct group, node);
        if (group->look_us <= now_us) {
            look(group);
        }
    }
    arm(prober);
}

void prober_poll(struct prober *prober, const char *database)
{
    struct group *group = find_group(prober, database);
    if (group != NULL && group->polls.ticks != NULL) {
        look(group);
    }
}

/* --- what probes find ------------------------------------------------------------------------- */

static void on_asks(void *argument, uint32_t at)
{
    struct group *group = argument;
    if (group->polls.ticks != NULL) {
        polls_asked(&group->polls, at, worker_now_us(group->prober->worker));
    }
}

static void on_answered(void *argument, uint32_t at, const struct node_answer *answer)
{
    struct group *group = argument;
    const struct node *node = &group->nodes.nodes[at];
    nodes_answered(&group->nodes, at, answer);
    if (group->polls.ticks != NULL) {
        follow_primary(group);
        uint64_t flushed = nodes_round_lsn(answer->flushed, answer->segment_bytes);
        take_lsn(group, at, node->has_lsn, node->lsn, flushed);
        look(group);
    }
    tell(group);
}

static void on_polled(void *argument, uint32_t at, const struct node_poll *poll)
{
    struct group *group = argument;
    if (group->polls.ticks == NULL) {
        return;
    }
    if (poll == NULL) {
        polls_lost(&group->polls, at);
    } else {
        take_lsn(group, at, true, poll->lsn, poll->flushed);
    }
    look(group);
}

static bool on_failed(void *argument, uint32_t at, enum node_failure failure, const char *why)
{
    struct group *group = argument;
    nodes_failed(&group->nodes, at, failure, why, worker_now_us(group->prober->worker));
    forget_polls(group, at);
    tell(group);
    return group->nodes.nodes[at].state != NODE_GONE;
}

/* Engines are told of address and answer at once. */
static void on_moved(void *argument, uint32_t at, const struct node_answer *answer, const char *why)
{
    struct group *group = argument;
    nodes_moved(&group->nodes, at, answer, why);
    forget_polls(group, at);
}

/* --- groups ----------------------------------------------------------------------------------- */

static struct pq_login login_of(const struct group *group, uint32_t at)
{
    const struct database_options *database = group->database;
    bool any = strcmp(database->name, "*") == 0;
    return pq_login_at(group->snapshot->options, database, &database->servers[at],
                       any ? "postgres" : database->name, NULL);
}

/* `address`: where its probe in the group before was answered from. */
static void start_probe(struct group *group, uint32_t at, const char *address)
{
    struct prober *prober = group->prober;
    struct probe_setup setup = {
        .worker = prober->worker,
        .login = login_of(group, at),
        .interval_ms = interval_ms(group),
        .seed = random_next(&prober->random),
        .address = address,
        .argument = group,
        .number = at,
        .asks = on_asks,
        .polled = on_polled,
        .answered = on_answered,
        .failed = on_failed,
        .moved = on_moved,
    };
    const char *why = "nobody to ask it as: set service.user, or a user in its connection string";
    if (setup.login.user != NULL) {
        group->probes[at] = probe_new(&setup);
        why = "out of memory";
    }
    if (group->probes[at] == NULL) {
        nodes_failed(&group->nodes, at, NODE_SHUT_OUT, why, worker_now_us(prober->worker));
    }
}

/* The database's counters go on where there were some. */
static void begin_polls(struct group *group, struct ticks *ticks)
{
    group->look_us = POLLS_NEVER;
    if (group->database->server_count > 1) {
        polls_init(&group->polls,
                   ticks != NULL ? ticks_ref(ticks) : ticks_new(group->prober->worker_count));
    }
    if (group->polls.ticks != NULL) {
        polls_follow(&group->polls, group->nodes.primary, incarnation_of_primary(&group->nodes));
    }
}

/* Where each server stood in the group before, or NODES_NONE. */
static void find_places(const struct group *before, const struct database_options *database,
                        uint32_t places[LIMIT_NODES])
{
    const struct database_options *was = before->database;
    uint32_t taken = 0;
    for (uint32_t i = 0; i < database->server_count; i++) {
        places[i] = NODES_NONE;
        for (uint32_t j = 0; j < was->server_count && places[i] == NODES_NONE; j++) {
            bool is_free = (taken >> j & 1) == 0;
            if (is_free && options_same_address(&database->servers[i], &was->servers[j])) {
                places[i] = j;
                taken |= UINT32_C(1) << j;
            }
        }
    }
}

/* Other servers of the same database, or another login: what is known of servers that are in both
 * holds on. The same primary keeps its term. */
static void go_on(struct group *group, const struct group *before,
                  const uint32_t places[LIMIT_NODES])
{
    nodes_go_on(&group->nodes, &before->nodes, places);
    const struct nodes *nodes = &group->nodes;
    const struct nodes *was = &before->nodes;
    bool is_same = nodes->primary != NODES_NONE && was->primary != NODES_NONE &&
                   places[nodes->primary] == was->primary && before->term_primary == was->primary &&
                   before->term_incarnation == was->nodes[was->primary].incarnation;
    if (is_same) {
        group->term = before->term;
        group->term_primary = nodes->primary;
        group->term_incarnation = nodes->nodes[nodes->primary].incarnation;
    }
}

/* In the place of `before`, or of none (NULL). */
static void add_group(struct prober *prober, struct snapshot *snapshot,
                      const struct database_options *database, const struct group *before)
{
    const struct nodes_rules rules = {
        .count = database->server_count,
        .discovers = database->discovers,
        .max_lag_us = database->max_lag_ms * UINT64_C(1000),
        .incarnation = ++prober->groups_made << INCARNATION_BITS,
    };
    struct group *group = calloc(1, sizeof(*group));
    if (group == NULL) {
        log_line(prober->worker->log, LOG_ERROR, LOG_NO_WORKER,
                 "database \"%s\": out of memory to watch its servers", database->name);
        return;
    }
    group->prober = prober;
    group->snapshot = snapshot_ref(snapshot);
    group->database = database;
    nodes_init(&group->nodes, &rules, worker_now_us(prober->worker));
    group->term_primary = NODES_NONE;
    bool goes_on = before != NULL && before->database->discovers == database->discovers;
    uint32_t places[LIMIT_NODES] = {0};
    if (before != NULL) {
        find_places(before, database, places);
    }
    if (goes_on) {
        go_on(group, before, places);
    } else if (before != NULL) {
        nodes_keep_timeline(&group->nodes, &before->nodes, places);
    }
    group->primary_told = group->nodes.primary;
    begin_polls(group, before == NULL ? NULL : before->polls.ticks);
    list_push_back(&prober->groups, &group->node);
    for (uint32_t i = 0; i < database->server_count; i++) {
        bool stays = goes_on && places[i] != NODES_NONE && before->probes[places[i]] != NULL;
        start_probe(group, i, stays ? probe_address(before->probes[places[i]]) : "");
    }
    (void)begin_term(group);
    (void)log_news(group);
    publish(group);
}

static void free_group(struct group *group, void (*end)(struct probe *probe))
{
    list_remove(&group->node);
    for (uint32_t i = 0; i < LIMIT_NODES; i++) {
        if (group->probes[i] != NULL) {
            end(group->probes[i]);
        }
    }
    snapshot_unref(group->snapshot);
    topology_unref(group->topology);
    polls_fini(&group->polls);
    free(group);
}

/* --- reload ----------------------------------------------------------------------------------- */

/* Whether probes of the one are good for the other. */
static bool same_servers(const struct group *group, const struct snapshot *snapshot,
                         const struct database_options *database)
{
    struct group other = {.snapshot = (struct snapshot *)snapshot, .database = database};
    bool same = database->server_count == group->database->server_count &&
                database->discovers == group->database->discovers;
    for (uint32_t i = 0; same && i < database->server_count; i++) {
        struct pq_login was = login_of(group, i), is = login_of(&other, i);
        same = options_same_server(was.server, is.server) && text_same(was.user, is.user) &&
               text_same(was.password, is.password);
    }
    return same;
}

/* Its strings are of the new snapshot from now on. */
static void keep_group(struct group *group, struct snapshot *snapshot,
                       const struct database_options *database)
{
    struct snapshot *before = group->snapshot;
    group->snapshot = snapshot_ref(snapshot);
    group->database = database;
    nodes_set_max_lag(&group->nodes, database->max_lag_ms * UINT64_C(1000));
    for (uint32_t i = 0; i < database->server_count; i++) {
        if (group->probes[i] != NULL) {
            struct pq_login login = login_of(group, i);
            probe_set_login(group->probes[i], &login, interval_ms(group));
        }
    }
    snapshot_unref(before);
    publish(group);
}

/* By one of that database with other servers or logins; NULL: there is none. */
static void replace_group(struct group *group, struct snapshot *snapshot,
                          const struct database_options *database)
{
    if (database != NULL) {
        add_group(group->prober, snapshot, database, group);
    }
    free_group(group, probe_close);
}

static const struct database_options *find_database(const struct options *options, const char *name)
{
    for (uint32_t i = 0; i < options->database_count; i++) {
        const struct database_options *database = &options->databases[i];
        if (strcmp(database->name, name) == 0 && options_is_watched(database)) {
            return database;
        }
    }
    return NULL;
}

/* --- the door --------------------------------------------------------------------------------- */

struct prober *prober_new(struct worker *worker, uint32_t worker_count, uint64_t seed)
{
    struct prober *prober = calloc(1, sizeof(*prober));
    if (prober == NULL) {
        return NULL;
    }
    prober->worker = worker;
    prober->worker_count = worker_count;
    prober->random.state = seed;
    prober->armed_us = POLLS_NEVER;
    prober->watch.ready = on_time;
    prober->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    list_init(&prober->groups);
    if (prober->timer_fd < 0 ||
        watch_set(worker->epoll_fd, prober->timer_fd, &prober->watch, EPOLLIN | EPOLLET) != 0) {
        prober_free(prober);
        return NULL;
    }
    return prober;
}

void prober_free(struct prober *prober)
{
    if (prober == NULL) {
        return;
    }
    LIST_EACH (&prober->groups, node) {
        free_group(CONTAINER_OF(node, struct group, node), probe_free);
    }
    if (prober->timer_fd >= 0) {
        close(prober->timer_fd);
    }
    free(prober);
}

const struct server_options *prober_server(const struct prober *prober,
                                           const struct database_options *database)
{
    const struct group *group = database->discovers ? find_group(prober, database->name) : NULL;
    bool known = group != NULL && group->nodes.primary < database->server_count;
    return &database->servers[known ? group->nodes.primary : 0];
}

void prober_configure(struct prober *prober, struct snapshot *snapshot)
{
    const struct options *options = snapshot->options;
    LIST_EACH (&prober->groups, node) {
        struct group *group = CONTAINER_OF(node, struct group, node);
        const struct database_options *found = find_database(options, group->database->name);
        if (found != NULL && same_servers(group, snapshot, found)) {
            keep_group(group, snapshot, found);
        } else {
            replace_group(group, snapshot, found);
        }
    }
    for (uint32_t i = 0; i < options->database_count; i++) {
        const struct database_options *database = &options->databases[i];
        if (options_is_watched(database) && find_group(prober, database->name) == NULL) {
            add_group(prober, snapshot, database, NULL);
        }
    }
}
