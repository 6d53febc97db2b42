/* What clients say besides: transactions with modes, and what Howdah answers itself. */
#include <stdio.h>
#include <string.h>

#include "protocol/message.h"
#include "tests/sim/client.h"
#include "tests/sim/sim.h"

static unsigned below(struct client *client, uint64_t bound)
{
    return (unsigned)client_random(client, bound);
}

/* --- transactions ----------------------------------------------------------------------------- */

const char *client_vary(struct client *client, const char *command)
{
    static const char *const begins[] = {
        "begin",
        "begin work",
        "start transaction",
        "BEGIN ISOLATION LEVEL REPEATABLE READ",
        "begin isolation level serializable, read only, deferrable",
        "start transaction read only",
        "begin read write",
        "begin isolation level read uncommitted"};
    static const char *const commits[] = {"commit", "end", "commit and chain"};
    static const char *const rollbacks[] = {"rollback", "abort", "rollback and chain"};
    bool chains = below(client, 3) == 0;
    switch (command[0]) {
    case 'b':
        return begins[below(client, sizeof(begins) / sizeof(begins[0]))];
    case 'c':
        return commits[below(client, chains ? 3 : 2)];
    default:
        return rollbacks[below(client, chains ? 3 : 2)];
    }
}

bool client_make_modes(struct client *client, char text[CLIENT_COMMAND_BYTES])
{
    static const char *const asked[] = {"isolation", "read_only", "deferrable"};
    if (client->status != 'T' || below(client, 5) != 0) {
        return false;
    }
    if (below(client, 6) == 0 && !client->sim->swarm.state_savepoints) {
        snprintf(text, CLIENT_COMMAND_BYTES, "set transaction read only");
    } else {
        snprintf(text, CLIENT_COMMAND_BYTES, "show transaction_%s", asked[below(client, 3)]);
    }
    return true;
}

/* --- signals ---------------------------------------------------------------------------------- */

bool client_make_signal(struct client *client, char text[CLIENT_COMMAND_BYTES])
{
    struct sim *sim = client->sim;
    uint32_t number = below(client, sim->client_count), pid = CLIENT_FOREIGN_PID;
    struct client *target = sim->clients[number];
    bool terminates = below(client, 6) == 0;
    if (!client->alone || client->pipelined || target == client || target->state != CLIENT_ACTIVE) {
        return false;
    }
    client->signals = number;
    client->signals_foreign = below(client, 6) == 0;
    client->signal_us = sim->now_us;
    if (!client->signals_foreign) {
        pid = message_load_u32(target->cancel_body);
        target->terminated |= terminates;
        target->cancels += !terminates;
    }
    snprintf(text, CLIENT_COMMAND_BYTES, "select pg_%s_backend(%u)",
             terminates ? "terminate" : "cancel", pid);
    return true;
}

/* --- what Howdah answers itself --------------------------------------------------------------- */

void client_make_own(struct client *client, char text[CLIENT_COMMAND_BYTES], const char *tag,
                     bool simple)
{
    static const char *const routes[] = {"'auto'", "'replica'", "'nowhere'"};
    bool local = client->status == 'T' && below(client, 3) == 0;
    bool route = below(client, 3) == 0;
    const char *name = route ? "route" : "shard";
    const char *value = route ? routes[below(client, 3)] : tag;
    switch (below(client, 8)) {
    case 0:
        snprintf(text, CLIENT_COMMAND_BYTES, "reset howdah.%s", name);
        return;
    case 1: /* a server would describe the row of one that fails */
        snprintf(text, CLIENT_COMMAND_BYTES, "select set_config('howdah.%s', %s, %s)", name,
                 route ? "'replica'" : tag, local ? "true" : "false");
        return;
    case 2:
        snprintf(text, CLIENT_COMMAND_BYTES, "select current_setting('howdah.%s', true)", name);
        return;
    case 3:
    case 4:
        snprintf(text, CLIENT_COMMAND_BYTES, "set %showdah.%s to %s", local ? "local " : "", name,
                 value);
        return;
    case 5:
        if (simple) {
            snprintf(text, CLIENT_COMMAND_BYTES, "explain (howdah) insert into t values (%s)", tag);
            return;
        }
        break;
    }
    snprintf(text, CLIENT_COMMAND_BYTES, "show howdah.%s", name);
}
