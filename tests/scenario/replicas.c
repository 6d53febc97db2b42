/* What a scripted database with replicas is told: its catalog, its nodes, and their LSNs. */
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pool/account.h"
#include "pool/options.h"
#include "router/catalog_build.h"
#include "router/ticks.h"
#include "router/topology.h"
#include "tests/scenario/driver.h"

static void give_catalog(struct world *world)
{
    struct catalog *catalog;
    struct catalog_builder *builder = catalog_builder_new();
    if (builder == NULL || catalog_build(builder, 1, &catalog) != 0) {
        abort();
    }
    catalog_builder_free(builder);
    struct account *account = shared_account(world->shared, "facts", "app", "");
    for (uint32_t i = 0; i < world->engine_count; i++) {
        world_step(world, i,
                   (struct event){.kind = EVENT_CATALOG,
                                  .text = "app",
                                  .catalog = catalog,
                                  .generation = atomic_load(&account->ddl_count)});
    }
    catalog_unref(catalog);
}

/* They are up, but for one that is in this state, without having been asked; node 0 is the primary
 * if it is not fenced. */
static void give_nodes(struct world *world, uint32_t other, enum node_state state)
{
    const struct topology *before = world->topology;
    struct ticks *ticks =
        world->topology == NULL ? ticks_new(1) : ticks_ref(world->topology->ticks);
    const struct database_options *database = &world->options->databases[0];
    struct nodes nodes;
    nodes_init(&nodes, &(struct nodes_rules){.count = database->server_count}, world->now_us);
    for (uint32_t i = 0; i < database->server_count; i++) {
        nodes.nodes[i].state = i == other ? state : NODE_UP;
        nodes.nodes[i].role = i == 0 ? NODE_ROLE_PRIMARY : NODE_ROLE_REPLICA;
        nodes.nodes[i].incarnation = before == NULL ? 0 : before->nodes.nodes[i].incarnation;
        bool was_silent = before != NULL && nodes_is_silent(&before->nodes, i);
        nodes.nodes[i].silences = before == NULL ? 0 : before->nodes.nodes[i].silences;
        nodes.nodes[i].silences += nodes_is_silent(&nodes, i) && !was_silent;
    }
    nodes.primary = nodes.nodes[0].state == NODE_FENCED ? NODES_NONE : 0;
    snprintf(nodes.why_none, sizeof(nodes.why_none), "another server is the primary");
    nodes.nodes[0].answered_us = world->now_us;
    topology_unref(world->topology);
    world->topology = topology_new(database->name, &nodes, ticks);
    for (uint32_t i = 0; i < database->server_count; i++) {
        world->topology->servers[i].weight = 1;
    }
    ticks_unref(ticks);
    for (uint32_t i = 0; i < world->engine_count; i++) {
        world_step(world, i, (struct event){.kind = EVENT_NODES, .topology = world->topology});
    }
}

/* All are up; that one is the primary. */
static void give_primary(struct world *world, uint32_t primary)
{
    const struct database_options *database = &world->options->databases[0];
    const struct nodes_rules rules = {.count = database->server_count, .discovers = true};
    struct ticks *ticks =
        world->topology == NULL ? ticks_new(1) : ticks_ref(world->topology->ticks);
    struct nodes nodes;
    nodes_init(&nodes, &rules, world->now_us);
    for (uint32_t i = 0; i < database->server_count; i++) {
        nodes.nodes[i].state = NODE_UP;
        nodes.nodes[i].role = i == primary ? NODE_ROLE_PRIMARY : NODE_ROLE_REPLICA;
    }
    nodes.primary = primary;
    topology_unref(world->topology);
    world->topology = topology_new(database->name, &nodes, ticks);
    world->topology->term = primary + 1;
    for (uint32_t i = 0; i < database->server_count; i++) {
        world->topology->servers[i].weight = 1;
    }
    ticks_unref(ticks);
    for (uint32_t i = 0; i < world->engine_count; i++) {
        world_step(world, i, (struct event){.kind = EVENT_NODES, .topology = world->topology});
    }
}

/* Its probe was answered from there. */
static void give_address(struct world *world, uint32_t node, const char *address)
{
    const struct topology *before = world->topology;
    struct nodes nodes = before->nodes;
    nodes.nodes[node].incarnation += before->servers[node].address[0] != '\0';
    struct topology *topology = topology_new(before->database, &nodes, before->ticks);
    memcpy(topology->servers, before->servers, sizeof(topology->servers));
    snprintf(topology->servers[node].address, LIMIT_ADDRESS_BYTES, "%s", address);
    topology_unref(world->topology);
    world->topology = topology;
    for (uint32_t i = 0; i < world->engine_count; i++) {
        world_step(world, i, (struct event){.kind = EVENT_NODES, .topology = topology});
    }
}

/* It is up again, as another run: what it has told counts no more. */
static void restart(struct world *world, uint32_t node)
{
    const struct topology *before = world->topology;
    struct nodes nodes = before->nodes;
    nodes.nodes[node].incarnation++;
    struct topology *topology = topology_new(before->database, &nodes, before->ticks);
    memcpy(topology->servers, before->servers, sizeof(topology->servers));
    topology_unref(world->topology);
    world->topology = topology;
    ticks_forget_at(topology->ticks, node);
    for (uint32_t i = 0; i < world->engine_count; i++) {
        world_step(world, i, (struct event){.kind = EVENT_NODES, .topology = topology});
    }
}

/* As daemon/prober.c: first the news, then those who have listened. */
static void give_lsn(struct world *world, uint32_t node, uint64_t lsn)
{
    struct ticks *ticks = world->topology->ticks;
    if (node == world->topology->nodes.primary) {
        ticks_answered(ticks, ticks_start(ticks), lsn);
    } else {
        const struct ticks_replayed answer = {.lsn = lsn,
                                              .number = ticks_start_at(ticks, node),
                                              .asked_us = world->now_us,
                                              .incarnation =
                                                  world->topology->nodes.nodes[node].incarnation};
        ticks_answered_at(ticks, node, &answer);
    }
    ticks_sleep(ticks, ticks_wanted(ticks));
    uint64_t workers = ticks_take_listeners(ticks);
    for (uint32_t i = 0; i < world->engine_count; i++) {
        if ((workers >> i & 1) != 0) {
            text_format(&world->lines, "    worker %u has news\n", i);
            world_step(world, i, (struct event){.kind = EVENT_TICKS, .topology = world->topology});
        }
    }
}

/* "node N is at LSN", or an address, "node N leads" */
static bool node_is_at(struct world *world, const char *command)
{
    char *rest;
    uint32_t node = (uint32_t)strtoul(command + strlen("node "), &rest, 10);
    if (strcmp(rest, " leads") == 0) {
        give_primary(world, node);
        return true;
    }
    if (world->topology != NULL && strcmp(rest, " was restarted") == 0) {
        restart(world, node);
        return true;
    }
    if (world->topology != NULL && strcmp(rest, " is lost to the polls") == 0) {
        ticks_forget_at(world->topology->ticks, node);
        return true;
    }
    if (world->topology == NULL || strncmp(rest, " is at ", 7) != 0) {
        return false;
    }
    if (strchr(rest + 7, '.') != NULL) {
        give_address(world, node, rest + 7);
    } else {
        give_lsn(world, node, strtoull(rest + 7, NULL, 10));
    }
    return true;
}

bool world_replicas(struct world *world, const char *command)
{
    static const char except[] = "nodes are up except ", mean[] = "names mean ";
    uint32_t node;
    int rest = 0;
    if (strncmp(command, mean, sizeof(mean) - 1) == 0) {
        snprintf(world->named, sizeof(world->named), "%s", command + sizeof(mean) - 1);
    } else if (world->shared == NULL) {
        return false;
    } else if (strcmp(command, "catalog is known") == 0) {
        give_catalog(world);
    } else if (strcmp(command, "nodes are up") == 0) {
        give_nodes(world, UINT32_MAX, NODE_UP);
    } else if (strcmp(command, "no node is the primary") == 0) {
        give_nodes(world, 0, NODE_FENCED);
    } else if (strncmp(command, except, sizeof(except) - 1) == 0) {
        give_nodes(world, (uint32_t)strtoul(command + sizeof(except) - 1, NULL, 10), NODE_DOWN);
    } else if (sscanf(command, "node %u freezes%n", &node, &rest) == 1 && rest > 0) {
        give_nodes(world, node, NODE_FROZEN);
    } else if (sscanf(command, "node %u lags%n", &node, &rest) == 1 && rest > 0) {
        give_nodes(world, node, NODE_LAGGING);
    } else {
        return strncmp(command, "node ", 5) == 0 && node_is_at(world, command);
    }
    return true;
}

void world_replicas_free(struct world *world)
{
    topology_unref(world->topology);
}
