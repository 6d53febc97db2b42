/* What a run lets happen: drawn from the seed, with limits far below real ones. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/random.h"
#include "tests/sim/sim.h"

static uint32_t below(struct random *random, uint32_t bound)
{
    return (uint32_t)random_below(random, bound);
}

static bool maybe(struct random *random)
{
    return below(random, 2) == 0;
}

static uint32_t one_of(struct random *random, uint32_t first, uint32_t second, uint32_t third)
{
    uint32_t choice = below(random, 3);
    return choice == 0 ? first : choice == 1 ? second : third;
}

static void draw_pool(struct swarm *swarm, struct random *random)
{
    struct pool_options *pool = &swarm->pool;
    uint32_t mode = below(random, 10);
    pool->mode = mode == 0 ? POOL_SESSION : mode == 1 ? POOL_STATEMENT : POOL_TRANSACTION;
    pool->size = 1 + below(random, 3);
    pool->min_idle = below(random, 4) == 0 ? 1 : 0;
    pool->reserve = below(random, 4) == 0 ? 1 : 0;
    pool->reserve_after_ms = 20;
    pool->wait_timeout_ms = one_of(random, 0, 30 + below(random, 100), 10000);
    pool->idle_timeout_ms = one_of(random, 0, 50, 5000);
    pool->max_lifetime_ms = one_of(random, 0, 200, 3600000);
    pool->connect_timeout_ms = 500;
    pool->query_timeout_ms = below(random, 6) == 0 ? 100 : 0;
    pool->idle_transaction_timeout_ms = below(random, 6) == 0 ? 100 : 0;
    pool->client_idle_timeout_ms = below(random, 8) == 0 ? 200 : 0;
    pool->prepared_statements = below(random, 8) == 0 ? 0 : 1 + below(random, 3);
}

static void draw_features(struct swarm *swarm, struct random *random)
{
    swarm->extended = below(random, 4) != 0;
    swarm->named =
        maybe(random) && (swarm->pool.prepared_statements > 0 || swarm->pool.mode == POOL_SESSION);
    swarm->rebinds = swarm->pool.prepared_statements > 0 || swarm->pool.mode == POOL_SESSION;
    swarm->portals = maybe(random);
    swarm->pipelines = maybe(random);
    swarm->flushes = maybe(random);
    swarm->copies = maybe(random);
    swarm->transactions = below(random, 3) != 0 && swarm->pool.mode != POOL_STATEMENT;
    swarm->parameters = maybe(random);
    swarm->discards = below(random, 3) == 0;
    swarm->notices = maybe(random);
    swarm->sleeps = maybe(random);
    swarm->cancels = swarm->sleeps && maybe(random);
    swarm->batches = maybe(random);
    swarm->big_rows = below(random, 3) == 0;
    swarm->startup_parameters = maybe(random);
    swarm->error_chance = one_of(random, 0, 50, 250);
    swarm->half_close_chance = one_of(random, 0, 0, 200);
    swarm->pauses = maybe(random);
}

static void draw_faults(struct swarm *swarm, struct random *random)
{
    swarm->client_cut_chance = one_of(random, 0, 5, 60);
    swarm->hostile_chance = one_of(random, 0, 0, 150);
    swarm->slow_reader_chance = one_of(random, 0, 0, 100);
    if (below(random, 3) != 0) {
        return;
    }
    swarm->dial_fail_chance = one_of(random, 0, 50, 300);
    swarm->dial_hang_chance = one_of(random, 0, 0, 50);
    swarm->login_refuse_chance = one_of(random, 0, 0, 100);
    swarm->server_fatal_chance = one_of(random, 0, 3, 15);
    swarm->server_cut_chance = one_of(random, 0, 3, 15);
    swarm->idle_fatal_chance = one_of(random, 0, 0, 30);
}

void swarm_draw(struct swarm *swarm, struct random *random)
{
    *swarm = (struct swarm){.workers = 1 + below(random, 4), .databases = 1, .users = 1};
    if (maybe(random)) {
        swarm->workers = 1;
    }
    swarm->clients =
        one_of(random, 2 + below(random, 3), 4 + below(random, 8), 10 + below(random, 20));
    if (below(random, 4) == 0) {
        swarm->databases = 1 + below(random, 2);
        swarm->users = 1 + below(random, 2);
        swarm->database_cap = maybe(random) ? 1 + below(random, 3) : 0;
    }
    swarm->segment_mode = below(random, 4);
    swarm->delay_max_us = one_of(random, 50, 500, 5000);
    swarm->letter_delay_max_us = one_of(random, 5, 100, 3000);
    swarm->socket_room_bytes = one_of(random, 4096, 8192, 262144);
    swarm->late_tick_us = one_of(random, 1, 1000, 20000);
    swarm->ops_max = one_of(random, 3, 10, 30);
    swarm->protocol_32 = maybe(random);
    draw_pool(swarm, random);
    draw_features(swarm, random);
    draw_faults(swarm, random);
    swarm->pool.deferred_begin = below(random, 4) != 0; /* last: older seeds are as they were */
}

void swarm_draw_state(struct swarm *swarm, struct random *random)
{
    swarm->state = true;
    swarm->state_settings = maybe(random);
    swarm->state_savepoints = maybe(random);
    swarm->state_prepares = maybe(random);
    swarm->state_temps = maybe(random);
    swarm->state_cursors = maybe(random);
    swarm->state_locks = maybe(random);
    swarm->state_listens = maybe(random);
    swarm->state_sequences = maybe(random);
    /* What SQL prepares in a text that is not understood has its own name at the server, which the
     * protocol's names do not meet. */
    swarm->opaque_chance = one_of(random, 0, 20, 300);
    swarm->opaque_chance = swarm->state_prepares ? 0 : swarm->opaque_chance;
    if (swarm->state_prepares && swarm->pool.prepared_statements > 0) {
        swarm->pool.prepared_statements += 8; /* a text's own names push none of them out */
    }
    swarm->pool.max_pinned = one_of(random, below(random, 2), 1 + below(random, 3), 100);
    swarm->pool.has_max_pinned = true;
}

void swarm_draw_wide(struct swarm *swarm, struct random *random)
{
    swarm->begins = swarm->transactions && maybe(random);
    swarm->own = maybe(random);
    swarm->portals = swarm->portals && !swarm->own; /* of those answered here there is one */
    /* What is answered here does not end the unnamed statement that a server has. */
    swarm->rebinds = swarm->rebinds && !swarm->own;
    swarm->roles = maybe(random);
    swarm->console = below(random, 3) == 0;
    swarm->heals = below(random, 3) == 0;
    swarm->batches = swarm->batches && !swarm->heals; /* the oracle runs a text in one step */
    swarm->pids = below(random, 3) == 0;
    swarm->late_cancels = swarm->cancels && maybe(random);
    if (below(random, 3) == 0) {
        swarm->users = 2;
        swarm->database_cap = maybe(random) ? swarm->database_cap : 1 + below(random, 3);
    }
}

bool swarm_server_fails(const struct swarm *swarm)
{
    return swarm->dial_fail_chance + swarm->dial_hang_chance + swarm->login_refuse_chance +
               swarm->server_fatal_chance + swarm->server_cut_chance + swarm->idle_fatal_chance >
           0;
}

void swarm_print(const struct swarm *swarm)
{
    static const char *const modes[] = {"session", "transaction", "statement"};
    const struct pool_options *pool = &swarm->pool;
    printf("  workers %u clients %u databases %u users %u cap %u mode %s size %u min_idle %u "
           "reserve %u prepared %u\n",
           swarm->workers, swarm->clients, swarm->databases, swarm->users, swarm->database_cap,
           modes[pool->mode], pool->size, pool->min_idle, pool->reserve, pool->prepared_statements);
    printf("  wait %u idle %u lifetime %u query %u idle_transaction %u client_idle %u ms\n",
           pool->wait_timeout_ms, pool->idle_timeout_ms, pool->max_lifetime_ms,
           pool->query_timeout_ms, pool->idle_transaction_timeout_ms, pool->client_idle_timeout_ms);
    printf("  segments %u delay %u letters %u socket %u ticks late %u ops %u\n",
           swarm->segment_mode, swarm->delay_max_us, swarm->letter_delay_max_us,
           swarm->socket_room_bytes, swarm->late_tick_us, swarm->ops_max);
    printf("  %s%s%s%s%s%s%s%s%s%s%s%s%s%s%s errors %u\n", swarm->extended ? " extended" : "",
           swarm->named ? " named" : "", swarm->portals ? " portals" : "",
           swarm->pipelines ? " pipelines" : "", swarm->flushes ? " flushes" : "",
           swarm->copies ? " copies" : "", swarm->transactions ? " transactions" : "",
           swarm->parameters ? " parameters" : "", swarm->discards ? " discards" : "",
           swarm->notices ? " notices" : "", swarm->sleeps ? " sleeps" : "",
           swarm->cancels ? " cancels" : "", swarm->batches ? " batches" : "",
           swarm->big_rows ? " big_rows" : "", swarm->startup_parameters ? " startup" : "",
           swarm->error_chance);
    printf("  state:%s%s%s%s%s%s%s%s opaque %u max_pinned %u\n",
           swarm->state_settings ? " settings" : "", swarm->state_savepoints ? " savepoints" : "",
           swarm->state_prepares ? " prepares" : "", swarm->state_temps ? " temps" : "",
           swarm->state_cursors ? " cursors" : "", swarm->state_locks ? " locks" : "",
           swarm->state_listens ? " listens" : "", swarm->state_sequences ? " sequences" : "",
           swarm->opaque_chance, pool->max_pinned);
    printf("  wide:%s%s%s%s%s%s%s\n", swarm->begins ? " begins" : "", swarm->own ? " own" : "",
           swarm->roles ? " roles" : "", swarm->console ? " console" : "",
           swarm->heals ? " heals" : "", swarm->pids ? " pids" : "",
           swarm->late_cancels ? " late_cancels" : "");
    printf("  faults: cut %u half_close %u hostile %u slow %u dial %u/%u refuse %u fatal %u/%u "
           "server_cut %u\n",
           swarm->client_cut_chance, swarm->half_close_chance, swarm->hostile_chance,
           swarm->slow_reader_chance, swarm->dial_fail_chance, swarm->dial_hang_chance,
           swarm->login_refuse_chance, swarm->server_fatal_chance, swarm->idle_fatal_chance,
           swarm->server_cut_chance);
}

static char *copy(const char *text)
{
    char *copied = strdup(text);
    if (copied == NULL) {
        abort();
    }
    return copied;
}

struct options *swarm_options(const struct swarm *swarm)
{
    struct options *options = options_new();
    options->databases = calloc(swarm->databases, sizeof(*options->databases));
    if (options->databases == NULL) {
        abort();
    }
    options->workers = swarm->workers;
    options->max_clients = 1000;
    options->auth.method = AUTH_TRUST;
    options->admin_users = calloc(1, sizeof(*options->admin_users));
    if (options->admin_users == NULL) {
        abort();
    }
    options->admin_users[options->admin_user_count++] = copy("admin");
    options->log_level = 2;
    for (uint32_t i = 0; i < swarm->databases; i++) {
        struct database_options *database = &options->databases[options->database_count++];
        char name[16];
        snprintf(name, sizeof(name), "db%u", i);
        database->name = copy(name);
        database->pool = swarm->pool;
        database->max_server_connections = swarm->database_cap;
        database->servers = calloc(1, sizeof(*database->servers));
        if (database->servers == NULL) {
            abort();
        }
        database->server_count = 1;
        database->servers[0].host = copy("10.0.0.1");
        database->servers[0].port = 5432;
        database->servers[0].sslmode = TLS_DISABLE;
    }
    return options;
}
