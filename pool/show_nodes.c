/* SHOW REPLICAS, FAILOVERS: the servers of databases that have more than one. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "pool/admin_task.h"
#include "pool/core.h"
#include "pool/pool.h"
#include "pool/pool_nodes.h"
#include "pool/show.h"
#include "router/topology.h"

enum { LSN_BYTES = 24 };

/* Of SHOW REPLICAS (pool/admin_command.c). */
enum { COLUMN_DATABASE = 0, COLUMN_READS = 16, COLUMN_READS_PERCENT = 17 };

/* As PostgreSQL writes it. */
static void add_lsn(struct admin_table *table, const struct node *node)
{
    char text[LSN_BYTES];
    snprintf(text, sizeof(text), "%" PRIX32 "/%" PRIX32, (uint32_t)(node->lsn >> 32),
             (uint32_t)node->lsn);
    admin_table_text(table, node->has_lsn ? text : NULL);
}

static void add_lag(struct admin_table *table, const struct node *node)
{
    if (node->lag_us == NODE_LAG_UNKNOWN) {
        admin_table_null(table);
        admin_table_null(table);
    } else {
        admin_table_number(table, (int64_t)(node->lag_us / 1000));
        admin_table_number(table, (int64_t)node->lag_bytes);
    }
}

/* What was read there, and at the primary why not elsewhere: of this engine's sessions. */
static void add_reads(const struct engine *engine, struct admin_table *table,
                      const struct topology *topology, uint32_t at)
{
    uint64_t counts[ROUTE_COUNT] = {0}, waited = 0;
    bool primary = at == topology->nodes.last_primary;
    LIST_EACH (&engine->pool_list, node) {
        const struct pool *pool = CONTAINER_OF(node, struct pool, listed);
        bool is_there = pool->target == (primary ? POOL_PRIMARY : POOL_REPLICA + at);
        if (!is_there || !pool_nodes_are_of(topology, pool)) {
            continue;
        }
        for (uint32_t i = 0; i < ROUTE_COUNT; i++) {
            counts[i] += pool->routed[i];
        }
        waited += pool->waited;
    }
    counts[ROUTE_REPLICA] = primary ? 0 : counts[ROUTE_REPLICA]; /* its own has those of all */
    uint64_t chosen =
        counts[ROUTE_ANY] + counts[ROUTE_CONFIGURED] + counts[ROUTE_ASKED] + counts[ROUTE_RULE];
    const uint64_t reasons[] = {counts[ROUTE_UNKNOWN] + counts[ROUTE_MOVES],
                                counts[ROUTE_BEHIND],
                                counts[ROUTE_NO_REPLICA],
                                counts[ROUTE_AGAIN],
                                chosen,
                                counts[ROUTE_TRANSACTION],
                                counts[ROUTE_CATALOG]};
    uint64_t reads = counts[ROUTE_REPLICA];
    for (size_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++) {
        reads += reasons[i];
    }
    admin_table_number(table, (int64_t)reads);
    admin_table_number(table, 0); /* of all: show_replicas_finish */
    for (size_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++) {
        admin_table_number(table, (int64_t)reasons[i]);
    }
    admin_table_number(table, (int64_t)waited);
}

static void add_node(struct engine *engine, struct admin_table *table,
                     const struct topology *topology, uint32_t at)
{
    const struct topology_server *server = &topology->servers[at];
    const struct node *node = &topology->nodes.nodes[at];
    char since[SHOW_TIME_BYTES];
    show_format_time(engine, node->since_us, since);
    admin_table_text(table, topology->database);
    admin_table_number(table, at);
    admin_table_text(table, server->host);
    admin_table_number(table, server->port);
    admin_table_text(table, server->address);
    admin_table_text(table, nodes_role_name(node->role));
    admin_table_text(table, nodes_state_name(node->state));
    admin_table_text(table, node->reason[0] == '\0' ? node->warning : node->reason);
    admin_table_text(table, since);
    admin_table_text(table, at == topology->nodes.primary ? "yes" : "no");
    add_lag(table, node);
    add_lsn(table, node);
    admin_table_number(table, node->timeline);
    admin_table_number(table, (int64_t)node->latency_us);
    admin_table_number(table, server->weight);
    add_reads(engine, table, topology, at);
}

void show_replicas(struct engine *engine, struct admin_task *task)
{
    for (uint32_t i = 0; i < engine->topology_count; i++) {
        const struct topology *topology = engine->topologies[i];
        for (uint32_t at = 0; at < topology->nodes.rules.count; at++) {
            add_node(engine, &task->table, topology, at);
        }
    }
}

/* Each node's part of its database's reads; the rows of a database stand together. */
void show_replicas_finish(struct engine *engine, struct admin_task *task)
{
    struct admin_table *table = &task->table;
    uint32_t end = 0;
    (void)engine;
    for (uint32_t row = 0; row < table->row_count; row = end) {
        const char *database = admin_table_text_at(table, row, COLUMN_DATABASE);
        int64_t reads = 0;
        for (end = row; end < table->row_count &&
                        strcmp(admin_table_text_at(table, end, COLUMN_DATABASE), database) == 0;
             end++) {
            reads += admin_table_number_at(table, end, COLUMN_READS);
        }
        for (uint32_t at = row; reads > 0 && at < end; at++) {
            int64_t own = admin_table_number_at(table, at, COLUMN_READS);
            admin_table_set_number(table, at, COLUMN_READS_PERCENT, own * 100 / reads);
        }
    }
}

static void add_server(struct admin_table *table, const struct topology *topology, uint32_t at)
{
    char text[TOPOLOGY_HOST_BYTES + 8];
    if (at == NODES_NONE) {
        admin_table_text(table, NULL);
        return;
    }
    snprintf(text, sizeof(text), "%s:%u", topology->servers[at].host, topology->servers[at].port);
    admin_table_text(table, text);
}

static void add_failover(struct engine *engine, struct admin_table *table,
                         const struct topology *topology, const struct node_failover *failover)
{
    char time[SHOW_TIME_BYTES];
    show_format_time(engine, failover->at_us, time);
    admin_table_text(table, topology->database);
    admin_table_text(table, time);
    add_server(table, topology, failover->from);
    add_server(table, topology, failover->to);
    admin_table_number(table, failover->timeline);
    admin_table_number(table, (int64_t)(failover->without_us / 1000));
    admin_table_text(table, failover->reason);
}

/* The latest first. */
void show_failovers(struct engine *engine, struct admin_task *task)
{
    for (uint32_t i = 0; i < engine->topology_count; i++) {
        const struct topology *topology = engine->topologies[i];
        const struct nodes *nodes = &topology->nodes;
        for (uint64_t n = nodes->failover_count;
             n > 0 && nodes->failover_count - n < NODES_FAILOVERS; n--) {
            add_failover(engine, &task->table, topology,
                         &nodes->failovers[(n - 1) % NODES_FAILOVERS]);
        }
    }
}
