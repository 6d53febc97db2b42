#include "tests/sim/sim.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "pool/account.h"
#include "tests/sim/check.h"
#include "tests/sim/client.h"
#include "tests/sim/console.h"
#include "tests/sim/net.h"
#include "tests/sim/server.h"
#include "tests/sim/shell.h"

enum {
    LIVENESS_US = 60 * 1000 * 1000,
    LOOK_US = 1000 * 1000,           /* between two looks at liveness */
    SPREAD_US = 50 * 1000,           /* within which clients connect */
    QUIET_US = 30 * 1000 * 1000,     /* after the last client has left */
    HUB_QUIET_US = 90 * 1000 * 1000, /* a listening link stays for a minute */
};

uint64_t sim_random(struct sim *sim, uint64_t bound)
{
    return bound == 0 ? 0 : random_below(&sim->random, bound);
}

bool sim_chance(struct sim *sim, uint32_t per_mille)
{
    return per_mille > 0 && sim_random(sim, 1000) < per_mille;
}

/* --- the log ---------------------------------------------------------------------------------- */

void sim_log(struct sim *sim, const char *format, ...)
{
    char *line = sim->log[sim->log_next % SIM_LOG_LINES];
    int at = snprintf(line, SIM_LINE_BYTES, "%10" PRIu64 " ", sim->now_us);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(line + at, SIM_LINE_BYTES - (size_t)at, format, arguments);
    va_end(arguments);
    sim->log_next++;
    sim->hash = hash_bytes(sim->hash, line, strlen(line));
    if (sim->verbose) {
        printf("%s\n", line);
    }
}

void sim_fail(struct sim *sim, const char *format, ...)
{
    if (sim->failed) {
        return;
    }
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(sim->failure, sizeof(sim->failure), format, arguments);
    va_end(arguments);
    sim->failed = true;
    sim_log(sim, "FAILED: %s", sim->failure);
}

/* --- what comes next -------------------------------------------------------------------------- */

static bool earlier(const struct sim_item *left, const struct sim_item *right)
{
    return left->at_us != right->at_us ? left->at_us < right->at_us : left->number < right->number;
}

void sim_after(struct sim *sim, uint64_t delay_us, sim_call *call, void *object, uint64_t argument)
{
    if (sim->item_count == sim->item_capacity) {
        sim->item_capacity = sim->item_capacity * 2 + 64;
        sim->items = realloc(sim->items, sim->item_capacity * sizeof(*sim->items));
        if (sim->items == NULL) {
            abort();
        }
    }
    struct sim_item item = {sim->now_us + delay_us, sim->item_number++, call, object, argument};
    if (delay_us > UINT64_MAX - sim->now_us) {
        item.at_us = UINT64_MAX;
    }
    size_t at = sim->item_count++;
    while (at > 0 && earlier(&item, &sim->items[(at - 1) / 2])) {
        sim->items[at] = sim->items[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    sim->items[at] = item;
}

static struct sim_item take_item(struct sim *sim)
{
    struct sim_item first = sim->items[0], last = sim->items[--sim->item_count];
    size_t at = 0, child;
    while ((child = at * 2 + 1) < sim->item_count) {
        if (child + 1 < sim->item_count && earlier(&sim->items[child + 1], &sim->items[child])) {
            child++;
        }
        if (!earlier(&sim->items[child], &last)) {
            break;
        }
        sim->items[at] = sim->items[child];
        at = child;
    }
    sim->items[at] = last;
    return first;
}

/* --- a run ------------------------------------------------------------------------------------ */

/* Every request is answered within a minute. */
static void look(struct sim *sim, void *object, uint64_t argument)
{
    (void)object;
    (void)argument;
    for (uint32_t i = 0; i < sim->client_count; i++) {
        const struct client *client = sim->clients[i];
        if (client->waiting_from_us != 0 && sim->now_us - client->waiting_from_us > LIVENESS_US) {
            sim_fail(sim, "LIVENESS: c%u has waited for a minute", i);
        }
    }
    sim_after(sim, LOOK_US, look, NULL, 0);
}

static bool clients_done(const struct sim *sim)
{
    for (uint32_t i = 0; i < sim->client_count; i++) {
        if (sim->clients[i]->state != CLIENT_DONE) {
            return false;
        }
    }
    return true;
}

static void begin(struct sim *sim, uint64_t seed)
{
    sim->seed = seed;
    sim->random.state = seed;
    sim->random.state = random_next(&sim->random); /* else neighbours would share their stream */
    sim->now_us = 1000000;
    swarm_draw(&sim->swarm, &sim->random);
    if (seed >= SIM_STATE_SEED) {
        swarm_draw_state(&sim->swarm, &sim->random);
    }
    if (seed >= SIM_WIDE_SEED) {
        swarm_draw_wide(&sim->swarm, &sim->random);
    }
    sim->options = swarm_options(&sim->swarm);
    sim->shared = shared_new(sim->swarm.workers);
    if (sim->shared == NULL) {
        abort();
    }
    sim->server = server_new(sim);
    sim->shell_count = sim->swarm.workers;
    for (uint32_t i = 0; i < sim->shell_count; i++) {
        sim->shells[i] = shell_new(sim, i);
    }
    sim->client_count = sim->swarm.clients;
    uint64_t spread_us = sim_random(sim, 3) == 0 ? 20 * SPREAD_US : SPREAD_US;
    for (uint32_t i = 0; i < sim->client_count; i++) {
        sim->clients[i] = client_new(sim, i);
        sim_after(sim, sim_random(sim, spread_us), client_start, sim->clients[i], 0);
    }
    if (sim->swarm.console) {
        sim->console = console_new(sim);
    }
    sim_after(sim, LOOK_US, look, NULL, 0);
}

bool sim_run(struct sim *sim, uint64_t seed, uint64_t steps_max)
{
    uint64_t quiet_us = UINT64_MAX, items = 0;
    begin(sim, seed);
    while (!sim->failed && sim->items[0].at_us < quiet_us) {
        struct sim_item item = take_item(sim);
        sim->now_us = item.at_us;
        item.call(sim, item.object, item.argument);
        if (quiet_us == UINT64_MAX && clients_done(sim)) {
            quiet_us = sim->now_us + (sim->swarm.state_listens ? HUB_QUIET_US : QUIET_US);
        }
        if (++items > steps_max) {
            sim_fail(sim, "LIVENESS: no end after %" PRIu64 " steps", steps_max);
        }
    }
    if (!sim->failed) {
        check_quiesce(sim);
    }
    return !sim->failed;
}

void sim_fini(struct sim *sim)
{
    for (uint32_t i = 0; i < sim->client_count; i++) {
        client_free(sim->clients[i]);
    }
    if (!sim->failed) { /* letters under way would be lost with their links */
        for (uint32_t i = 0; i < sim->shell_count; i++) {
            shell_free(sim->shells[i]);
        }
        shared_free(sim->shared);
        options_unref(sim->options);
    }
    server_free(sim->server);
    console_free(sim->console);
    wires_free(sim);
    free(sim->items);
    free(sim->notes);
}
