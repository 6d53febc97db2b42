/* SHOW STATS, STATS_TOTALS, STATS_AVERAGES, TOTALS.
 *
 * Averages are those of the last period that has ended. An engine ends a period with the first
 * event that comes after its time, so that an idle one is not woken for it; its length is what it
 * really was.
 */
#include <stdio.h>
#include <string.h>

#include "pool/admin_task.h"
#include "pool/core.h"
#include "pool/pool.h"
#include "pool/show.h"

enum { PERIOD_US = 60 * 1000 * 1000 };

enum {
    COUNTERS = 11,
    COUNTER_TRANSACTIONS = 1,
    COUNTER_QUERIES = 2,
    COUNTER_TRANSACTION_US = 5,
    COUNTER_QUERY_US = 6,
    COUNTER_WAIT_US = 7,
};

struct counters {
    int64_t values[COUNTERS];
};

/* In the order of the columns. */
static struct counters counters_of(const struct pool_stats *stats)
{
    return (struct counters){{
        (int64_t)stats->server_assignments,
        (int64_t)stats->transactions,
        (int64_t)stats->queries,
        (int64_t)stats->bytes_received,
        (int64_t)stats->bytes_sent,
        (int64_t)stats->transaction_us,
        (int64_t)stats->query_us,
        (int64_t)stats->wait_us,
        (int64_t)stats->client_parses,
        (int64_t)stats->server_parses,
        (int64_t)stats->binds,
    }};
}

static struct pool_stats difference(const struct pool_stats *now, const struct pool_stats *before)
{
    return (struct pool_stats){
        .transactions = now->transactions - before->transactions,
        .queries = now->queries - before->queries,
        .server_assignments = now->server_assignments - before->server_assignments,
        .bytes_received = now->bytes_received - before->bytes_received,
        .bytes_sent = now->bytes_sent - before->bytes_sent,
        .transaction_us = now->transaction_us - before->transaction_us,
        .query_us = now->query_us - before->query_us,
        .wait_us = now->wait_us - before->wait_us,
        .client_parses = now->client_parses - before->client_parses,
        .server_parses = now->server_parses - before->server_parses,
        .binds = now->binds - before->binds,
    };
}

void show_stats_period(struct engine *engine)
{
    uint64_t from_us = engine->stats_due_us - PERIOD_US;
    bool is_first = engine->stats_due_us == 0;
    LIST_EACH (&engine->pool_list, node) {
        struct pool *pool = CONTAINER_OF(node, struct pool, listed);
        pool->stats_average = difference(&pool->stats, &pool->stats_at_period);
        pool->stats_at_period = pool->stats;
    }
    engine->stats_period_us = is_first ? 0 : engine->now_us - from_us;
    engine->stats_due_us = engine->now_us + PERIOD_US;
}

void show_stats(struct engine *engine, struct admin_task *task)
{
    bool has_period = engine->stats_period_us > 0; /* else the first one, up to now */
    uint64_t begun_us = engine->now_us - (engine->stats_due_us - PERIOD_US);
    LIST_EACH (&engine->pool_list, node) {
        const struct pool *pool = CONTAINER_OF(node, struct pool, listed);
        struct counters totals = counters_of(&pool->stats);
        struct counters period = counters_of(has_period ? &pool->stats_average : &pool->stats);
        admin_table_text(&task->table, pool->name);
        for (uint32_t i = 0; i < COUNTERS; i++) {
            admin_table_number(&task->table, totals.values[i]);
        }
        for (uint32_t i = 0; i < COUNTERS; i++) {
            admin_table_number(&task->table, period.values[i]);
        }
        admin_table_number(&task->table,
                           (int64_t)(has_period ? engine->stats_period_us : begun_us));
    }
}

static struct counters totals_at(const struct admin_table *raw, uint32_t row)
{
    struct counters totals;
    for (uint32_t i = 0; i < COUNTERS; i++) {
        totals.values[i] = admin_table_number_at(raw, row, 1 + i);
    }
    return totals;
}

static int64_t per(int64_t amount, int64_t count)
{
    return count == 0 ? 0 : amount / count;
}

/* Counts a second; times for each of what they are the times of. */
static struct counters averages(const int64_t period[COUNTERS], int64_t period_us)
{
    struct counters result;
    for (uint32_t i = 0; i < COUNTERS; i++) {
        result.values[i] = per(period[i] * 1000000, period_us);
    }
    result.values[COUNTER_TRANSACTION_US] =
        per(period[COUNTER_TRANSACTION_US], period[COUNTER_TRANSACTIONS]);
    result.values[COUNTER_QUERY_US] = per(period[COUNTER_QUERY_US], period[COUNTER_QUERIES]);
    result.values[COUNTER_WAIT_US] = per(period[COUNTER_WAIT_US], period[0]);
    return result;
}

static struct counters averages_at(const struct admin_table *raw, uint32_t row)
{
    int64_t period[COUNTERS];
    for (uint32_t i = 0; i < COUNTERS; i++) {
        period[i] = admin_table_number_at(raw, row, 1 + COUNTERS + i);
    }
    return averages(period, admin_table_number_at(raw, row, 1 + 2 * COUNTERS));
}

static void add_counters(struct admin_table *table, const struct counters *counters)
{
    for (uint32_t i = 0; i < COUNTERS; i++) {
        admin_table_number(table, counters->values[i]);
    }
}

static void finish(struct admin_task *task, bool with_totals, bool with_averages)
{
    struct admin_table raw = task->table;
    admin_table_init(&task->table, task->command->shown, task->command->shown_count);
    for (uint32_t row = 0; row < raw.row_count; row++) {
        struct counters totals = totals_at(&raw, row);
        struct counters average = averages_at(&raw, row);
        admin_table_text(&task->table, admin_table_text_at(&raw, row, 0));
        if (with_totals) {
            add_counters(&task->table, &totals);
        }
        if (with_averages) {
            add_counters(&task->table, &average);
        }
    }
    admin_table_fini(&raw);
}

void show_stats_finish(struct engine *engine, struct admin_task *task)
{
    (void)engine;
    finish(task, true, true);
}

void show_stats_totals_finish(struct engine *engine, struct admin_task *task)
{
    (void)engine;
    finish(task, true, false);
}

void show_stats_averages_finish(struct engine *engine, struct admin_task *task)
{
    (void)engine;
    finish(task, false, true);
}

static void add_named(struct admin_table *table, const char *prefix,
                      const struct counters *counters)
{
    static const char *const names[COUNTERS] = {
        "server_assignment_count",
        "xact_count",
        "query_count",
        "client_bytes",
        "server_bytes",
        "xact_time",
        "query_time",
        "wait_time",
        "ps_client_parse_count",
        "ps_server_parse_count",
        "ps_bind_count",
    };
    char name[64];
    for (uint32_t i = 0; i < COUNTERS; i++) {
        snprintf(name, sizeof(name), "%s_%s", prefix, names[i]);
        admin_table_text(table, name);
        admin_table_number(table, counters->values[i]);
    }
}

void show_totals_finish(struct engine *engine, struct admin_task *task)
{
    struct admin_table raw = task->table;
    struct counters totals = {0};
    int64_t period[COUNTERS] = {0}, period_us = 0;
    (void)engine;
    for (uint32_t row = 0; row < raw.row_count; row++) {
        int64_t own_us = admin_table_number_at(&raw, row, 1 + 2 * COUNTERS);
        period_us = own_us > period_us ? own_us : period_us;
        for (uint32_t i = 0; i < COUNTERS; i++) {
            totals.values[i] += admin_table_number_at(&raw, row, 1 + i);
            period[i] += admin_table_number_at(&raw, row, 1 + COUNTERS + i);
        }
    }
    struct counters average = averages(period, period_us);
    admin_table_init(&task->table, task->command->shown, task->command->shown_count);
    add_named(&task->table, "total", &totals);
    add_named(&task->table, "avg", &average);
    admin_table_fini(&raw);
}
