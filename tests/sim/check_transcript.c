#include "tests/sim/oracle.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "protocol/message.h"
#include "protocol/report.h"
#include "tests/sim/check.h"
#include "tests/sim/client.h"
#include "tests/sim/sim.h"

void oracle_init(struct oracle *oracle)
{
    *oracle = (struct oracle){0};
    pg_init(&oracle->pg);
    oracle->pg.pooled = true;
}

void oracle_fini(struct oracle *oracle)
{
    pg_fini(&oracle->pg);
}

void oracle_sent(struct oracle *oracle, const void *bytes, size_t len)
{
    pg_feed(&oracle->pg, bytes, len);
}

/* --- what chance may decide ------------------------------------------------------------------- */

static bool one_of(const char *sqlstate, const char *const *codes)
{
    for (; *codes != NULL; codes++) {
        if (strcmp(sqlstate, *codes) == 0) {
            return true;
        }
    }
    return false;
}

/* Errors of the pool's own when it has no server connection to give. */
static bool may_refuse(const struct client *client, const char *sqlstate)
{
    static const char *const full[] = {"53300", NULL};
    static const char *const down[] = {"08001", "08004", "08006", "57P03", "28P01", "3D000", NULL};
    const struct swarm *swarm = &client->sim->swarm;
    return (one_of(sqlstate, full) &&
            (swarm->pool.wait_timeout_ms > 0 || swarm_server_fails(swarm))) ||
           (one_of(sqlstate, down) && swarm_server_fails(swarm)) ||
           (strcmp(sqlstate, "57014") == 0 && client->cancels > 0);
}

static bool may_end(const struct client *client, const char *sqlstate)
{
    static const char *const lost[] = {"57P01", "08006", "08007", "08P01", NULL};
    const struct sim *sim = client->sim;
    static const char *const idle[] = {"25P03", "57P05", NULL};
    const struct swarm *swarm = &client->sim->swarm;
    /* Who listened at a server that a reload has replaced. */
    bool deaf = swarm->state_listens && sim->server_changes > 0;
    return (one_of(sqlstate, lost) && (swarm_server_fails(swarm) || deaf || client->terminated)) ||
           (one_of(sqlstate, idle) && (swarm->pool.idle_transaction_timeout_ms > 0 ||
                                       swarm->pool.client_idle_timeout_ms > 0)) ||
           (strcmp(sqlstate, "0A000") == 0 && swarm->pool.mode == POOL_STATEMENT) ||
           client->hostile;
}

static void show(char *text, size_t room, const uint8_t *message, size_t len)
{
    size_t at = 0;
    at += (size_t)snprintf(text, room, "%c[%zu] ", message[0], len);
    for (size_t i = MESSAGE_HEADER_BYTES; i < len && at + 2 < room && i < 110; i++) {
        text[at++] = message[i] >= 32 && message[i] < 127 ? (char)message[i] : '.';
    }
    text[at] = '\0';
}

static void objects(struct client *client, const char *what, const uint8_t *message, size_t len)
{
    struct pg *pg = &client->oracle.pg;
    char got[160], wanted[160] = "nothing";
    show(got, sizeof(got), message, len);
    if (pg->out.len > 0) {
        show(wanted, sizeof(wanted), pg->out.bytes, message_load_u32(pg->out.bytes + 1) + 1);
    }
    sim_fail(client->sim, "c%u: %s: got %s, wanted %s", client->number, what, got, wanted);
}

/* --- comparing -------------------------------------------------------------------------------- */

static bool same_report(const uint8_t *message, size_t len, const uint8_t *wanted,
                        size_t wanted_len)
{
    struct report_fields got, want;
    if (!report_parse(message + MESSAGE_HEADER_BYTES, len - MESSAGE_HEADER_BYTES, &got) ||
        !report_parse(wanted + MESSAGE_HEADER_BYTES, wanted_len - MESSAGE_HEADER_BYTES, &want)) {
        return false;
    }
    /* Names in these texts may be the pool's own. */
    bool free_text = strcmp(want.sqlstate, "42P05") == 0 || strcmp(want.sqlstate, "57014") == 0 ||
                     strcmp(want.sqlstate, "26000") == 0 || strcmp(want.sqlstate, "08P01") == 0;
    return strcmp(got.severity, want.severity) == 0 && strcmp(got.sqlstate, want.sqlstate) == 0 &&
           (free_text || strcmp(got.message, want.message) == 0);
}

/* Whether the next message has a value that others have a say in (tests/sim/check_session.c). */
enum { VALUE_AT = MESSAGE_HEADER_BYTES + 2 + 4 };

static bool is_open(const struct pg *pg)
{
    return pg->out.len > VALUE_AT && pg->out.bytes[0] == 'D' && pg->out.bytes[VALUE_AT] == '?';
}

static void take_value(char text[PG_VALUE_BYTES], const uint8_t *message, size_t len)
{
    snprintf(text, PG_VALUE_BYTES, "%.*s", (int)(len - VALUE_AT), (const char *)message + VALUE_AT);
}

static bool fits_open(struct client *client, const uint8_t *message, size_t len)
{
    const struct pg *pg = &client->oracle.pg;
    char wanted[PG_VALUE_BYTES], got[PG_VALUE_BYTES];
    take_value(wanted, pg->out.bytes, message_load_u32(pg->out.bytes + 1) + 1);
    take_value(got, message, len);
    return len >= VALUE_AT && check_chance(client, wanted, got);
}

static void compare(struct client *client, const uint8_t *message, size_t len)
{
    struct pg *pg = &client->oracle.pg;
    size_t wanted_len = message_load_u32(pg->out.bytes + 1) + 1;
    bool same =
        is_open(pg) ? message[0] == 'D' && fits_open(client, message, len)
        : message[0] == 'E' || message[0] == 'N'
            ? pg->out.bytes[0] == message[0] && same_report(message, len, pg->out.bytes, wanted_len)
            : len == wanted_len && memcmp(message, pg->out.bytes, len) == 0;
    if (!same) {
        objects(client, "TRANSCRIPT", message, len);
        return;
    }
    pg->flushed = pg->out.len;
    pg_sent(pg, (uint32_t)wanted_len);
}

/* Messages that a pool needs no connection for. */
static bool needs_nothing(uint8_t type)
{
    return type == FRONTEND_SYNC || type == FRONTEND_FLUSH || type == FRONTEND_COPY_DATA ||
           type == FRONTEND_COPY_DONE || type == FRONTEND_COPY_FAIL;
}

static bool is_pin_refusal(const struct client *client, const struct report_fields *fields)
{
    return client->sim->swarm.pool.max_pinned < 100 && strcmp(fields->sqlstate, "53300") == 0 &&
           strstr(fields->message, "pinned") != NULL;
}

/* A server's statement is out of date, or was lost, and that is not to be healed: only what was the
 * first of its batch, alone, outside a transaction, can be sent again (pool/heal.h). */
static bool is_outdated(const struct client *client, const struct report_fields *fields,
                        uint8_t next)
{
    const struct sim *sim = client->sim;
    const struct swarm *swarm = &sim->swarm;
    const struct pg *pg = &client->oracle.pg;
    bool changed = strcmp(fields->sqlstate, "0A000") == 0 &&
                   strcmp(fields->routine, "RevalidateCachedQuery") == 0;
    bool lost = strcmp(fields->sqlstate, "26000") == 0;
    bool names = next == FRONTEND_BIND || next == FRONTEND_DESCRIBE || next == FRONTEND_QUERY ||
                 next == FRONTEND_EXECUTE;
    if (!swarm->heals || !(changed || lost) || !names || pg->skipping) {
        return false;
    }
    bool named = false; /* who has none is not looked after */
    for (uint32_t i = 0; i < PG_STATEMENTS_MAX; i++) {
        named = named || (pg->statements[i].used && pg->statements[i].name[0] != '\0');
    }
    bool again = client->waiting_from_us <= sim->disturbed_us[0]; /* twice meanwhile */
    bool healed = swarm->pool.mode != POOL_SESSION && swarm->pool.prepared_statements > 0 &&
                  named && pg->status == 'I' && !pg->touched && !pg->closed &&
                  client->due_ready == 1 && !swarm->flushes && next != FRONTEND_EXECUTE &&
                  next != FRONTEND_DESCRIBE && (next != FRONTEND_QUERY || client->alone);
    return again || !healed;
}

/* An error has come where the oracle has not said anything yet: did chance strike? */
static bool follow(struct client *client, const struct report_fields *fields)
{
    struct pg *pg = &client->oracle.pg;
    if (pg->asleep) {
        if (strcmp(fields->sqlstate, "57014") == 0 &&
            (client->cancels > 0 || client->sim->swarm.pool.query_timeout_ms > 0)) {
            pg_interrupt(pg, "57014", fields->message);
            return true;
        }
        return false;
    }
    uint8_t next = pg_next_type(pg);
    /* In a failed transaction a statement cannot be prepared on a connection that lacks it, so
     * there a Describe that a direct connection would answer fails as all else does, and so does a
     * Parse of a name that is taken; and where no server knows of it, a text that begins with
     * COMMIT and has more behind it. */
    if (pg->status == 'E' && !pg->skipping && strcmp(fields->sqlstate, "25P02") == 0 &&
        (next == FRONTEND_QUERY || next == FRONTEND_PARSE || next == FRONTEND_BIND ||
         next == FRONTEND_DESCRIBE)) {
        pg_refuse_next(pg, fields->sqlstate, fields->message);
        return true;
    }
    if (is_pin_refusal(client, fields) && !pg->skipping &&
        (next == FRONTEND_QUERY || next == FRONTEND_BIND)) {
        client->sim->refused++;
        client->unnamed_copies = true;
        pg_refuse_next(pg, fields->sqlstate, fields->message);
        return true;
    }
    /* Of a BEGIN that was canceled on its way: the statement that it went with is told of it. */
    static const char *const canceled[] = {"57014", "25P02", NULL};
    if (one_of(fields->sqlstate, canceled) && client->sim->swarm.late_cancels &&
        client->cancels > 0 && !pg->skipping && next != 0 && !needs_nothing(next)) {
        pg_refuse_next(pg, fields->sqlstate, fields->message);
        return true;
    }
    if (is_outdated(client, fields, next)) {
        pg_refuse_next(pg, fields->sqlstate, fields->message);
        return true;
    }
    if (pg_at_rest(pg) && (pg->status == 'I' || client->sim->swarm.pool.deferred_begin) &&
        next != 0 && !needs_nothing(next) && may_refuse(client, fields->sqlstate) &&
        strncmp(fields->message, "error asked for", 15) != 0) {
        client->sim->refused++;
        pg_refuse_next(pg, fields->sqlstate, fields->message);
        return true;
    }
    return false;
}

void oracle_received(struct client *client, const uint8_t *message, size_t len)
{
    struct pg *pg = &client->oracle.pg;
    struct report_fields fields = {0};
    bool error = message[0] == 'E' &&
                 report_parse(message + MESSAGE_HEADER_BYTES, len - MESSAGE_HEADER_BYTES, &fields);
    if (client->oracle.blind) {
        return;
    }
    if (error && strcmp(fields.severity, "FATAL") == 0) {
        client->told_fatal = true;
        client->sim->fatals++;
        if (++client->fatal_count > 1 || !may_end(client, fields.sqlstate)) {
            objects(client, "a FATAL error that nothing explains", message, len);
        }
        return;
    }
    while (pg->out.len == 0) {
        if (error && follow(client, &fields)) {
            continue;
        }
        if (pg->asleep) {
            pg_wake(pg);
        }
        if (!pg_step(pg)) {
            objects(client, "TRANSCRIPT: nothing was asked", message, len);
            return;
        }
    }
    if (is_open(pg) && memcmp(pg->out.bytes + VALUE_AT, "?rows", 5) == 0) {
        if (message[0] == 'D') {
            return; /* as many as there may be */
        }
        pg->flushed = pg->out.len;
        pg_sent(pg, message_load_u32(pg->out.bytes + 1) + 1);
    }
    if (message[0] != 'N' && pg->out.bytes[0] == 'N' && client->sim->swarm.own) {
        pg->flushed =
            pg->out.len; /* in a pipeline, or where the value is wrong, it may be left out */
        pg_sent(pg, message_load_u32(pg->out.bytes + 1) + 1);
        if (pg->out.len == 0) {
            objects(client, "TRANSCRIPT", message, len);
            return;
        }
    }
    if (message[0] == 'N' && is_open(pg) && memcmp(pg->out.bytes + VALUE_AT, "?signal", 7) == 0) {
        return; /* no such backend */
    }
    if (error && is_open(pg) && strcmp(fields.sqlstate, "55000") == 0 &&
        memcmp(pg->out.bytes + VALUE_AT, "?last", 5) == 0) {
        pg_fail_late(pg, "55000", fields.message); /* the pool has not kept it */
    }
    if (message[0] == 'C' &&
        strcmp((const char *)message + MESSAGE_HEADER_BYTES, "DISCARD ALL") == 0) {
        check_discarded(client);
    }
    compare(client, message, len);
}

void oracle_parameter(struct client *client, const char *name, const char *value)
{
    struct pg *pg = &client->oracle.pg;
    for (uint32_t i = 0; i < PG_REPORTED_COUNT; i++) {
        if (strcasecmp(name, pg_parameter_names[i]) == 0 &&
            strcmp(value, pg->now.values[i].current) != 0) {
            sim_fail(client->sim, "c%u: greeted with %s = \"%s\", not \"%s\"", client->number, name,
                     value, pg->now.values[i].current);
        }
    }
}

void oracle_ended(struct client *client)
{
    struct pg *pg = &client->oracle.pg;
    if (client->oracle.blind || client->told_fatal || client->cut) {
        return;
    }
    while (pg->out.len == 0 && !pg->ended) {
        if (pg->asleep) {
            pg_wake(pg);
        }
        if (!pg_step(pg)) {
            break;
        }
    }
    if (pg->out.len > 0 && !pg->copying) { /* who has half-closed can't send COPY data */
        objects(client, "MISSING: the connection ended before", (const uint8_t *)"-\0\0\0\4", 5);
    }
}
