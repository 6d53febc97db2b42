/* What clients say of their session's state, in SQL: settings, savepoints, statements by SQL, a
 * temporary table, cursors, advisory locks, a sequence, LISTEN and NOTIFY. */
#include <stdio.h>
#include <string.h>

#include "tests/sim/client.h"
#include "tests/sim/sim.h"

static bool one_in(struct client *client, uint64_t bound)
{
    return client_random(client, bound) == 0;
}

static unsigned below(struct client *client, uint64_t bound)
{
    return (unsigned)client_random(client, bound);
}

static void make_plain(struct client *client, char text[CLIENT_COMMAND_BYTES], const char *tag)
{
    const struct swarm *swarm = &client->sim->swarm;
    unsigned ms = swarm->sleeps && one_in(client, 6) ? 1 + below(client, 30) : 0;
    if (swarm->heals && tag[0] != '$' && one_in(client, 3)) {
        snprintf(text, CLIENT_COMMAND_BYTES, "select * from changing");
    } else if (one_in(client, 5)) {
        snprintf(text, CLIENT_COMMAND_BYTES, "insert into t values (%s)", tag);
    } else if (client_random(client, 1000) < swarm->error_chance) {
        snprintf(text, CLIENT_COMMAND_BYTES, "select %s::int", tag);
    } else {
        snprintf(text, CLIENT_COMMAND_BYTES, "select %s, %u, %u, %u", tag, below(client, 4),
                 below(client, 50), ms);
    }
}

static void make_set(struct client *client, char text[CLIENT_COMMAND_BYTES], const char *tag)
{
    static const char *const names[] = {"application_name", "default_tablespace", "app.who"};
    static const char *const styles[] = {"iso", "german"};
    /* In session mode few statements are looked at: there a custom setting
     * that DISCARD ALL has made '' is the next client's, too. */
    bool custom = client->sim->swarm.pool.mode != POOL_SESSION && !client->no_custom;
    const char *name = names[below(client, custom ? 3 : 2)];
    bool may_reset = !client->sim->swarm.startup_parameters;
    bool local = client->status == 'T' && one_in(client, 3);
    switch (below(client, 8)) {
    case 0:
        snprintf(text, CLIENT_COMMAND_BYTES, "set %sdatestyle to '%s'", local ? "local " : "",
                 styles[below(client, 2)]);
        return;
    case 1:
        snprintf(text, CLIENT_COMMAND_BYTES, "select set_config('%s', %s, %s)", name, tag,
                 local ? "true" : "false");
        return;
    case 2:
        if (may_reset) {
            snprintf(text, CLIENT_COMMAND_BYTES, one_in(client, 3) ? "reset all" : "reset %s",
                     name);
            return;
        }
        break;
    case 3:
    case 4:
        snprintf(text, CLIENT_COMMAND_BYTES, "show %s", name);
        return;
    case 5:
        if (!custom) {
            break;
        }
        snprintf(text, CLIENT_COMMAND_BYTES, "select current_setting('app.who', true)");
        return;
    }
    snprintf(text, CLIENT_COMMAND_BYTES, "set %s%s to %s", local ? "local " : "", name, tag);
}

static void make_savepoint(struct client *client, char text[CLIENT_COMMAND_BYTES])
{
    static const char *const verbs[] = {"savepoint", "savepoint", "release", "rollback to"};
    snprintf(text, CLIENT_COMMAND_BYTES, "%s %c", verbs[below(client, 4)],
             'a' + (int)below(client, 2));
}

static void make_prepare(struct client *client, char text[CLIENT_COMMAND_BYTES], const char *tag)
{
    unsigned name = 1 + below(client, CLIENT_NAMES - 1);
    /* What a text executes can't be prepared ahead of it in a failed transaction, even if it ends
     * that first. */
    bool executes = client->status != 'E' || !client->sim->swarm.batches;
    switch (below(client, executes ? 5 : 3)) {
    case 0:
        if (client->sim->swarm.heals && one_in(client, 2)) {
            snprintf(text, CLIENT_COMMAND_BYTES, "prepare s%u as select * from changing", name);
            return;
        }
        snprintf(text, CLIENT_COMMAND_BYTES, "prepare s%u as select %s, 2, 0, 0", name, tag);
        return;
    case 1:
        snprintf(text, CLIENT_COMMAND_BYTES, "prepare s%u (text) as select $1, %u, 0, 0", name,
                 name);
        return;
    case 2:
        snprintf(text, CLIENT_COMMAND_BYTES, "deallocate s%u", name);
        return;
    default:
        snprintf(text, CLIENT_COMMAND_BYTES, one_in(client, 2) ? "execute s%u (%s)" : "execute s%u",
                 name, tag);
        return;
    }
}

static void make_temp(struct client *client, char text[CLIENT_COMMAND_BYTES], const char *tag)
{
    switch (below(client, 5)) {
    case 0:
        snprintf(text, CLIENT_COMMAND_BYTES, "create temp table mine%s as select %s",
                 one_in(client, 3) ? " on commit drop" : "", tag);
        return;
    case 1:
        snprintf(text, CLIENT_COMMAND_BYTES, "drop table mine");
        return;
    default:
        snprintf(text, CLIENT_COMMAND_BYTES, "select * from mine");
        return;
    }
}

static void make_cursor(struct client *client, char text[CLIENT_COMMAND_BYTES], const char *tag)
{
    char name = (char)('1' + (int)below(client, 2));
    switch (below(client, 5)) {
    case 0:
        snprintf(text, CLIENT_COMMAND_BYTES, "declare c%c cursor%s for select %s, 5", name,
                 one_in(client, 3) ? "" : " with hold", tag);
        return;
    case 1:
        snprintf(text, CLIENT_COMMAND_BYTES, "close c%c", name);
        return;
    default:
        snprintf(text, CLIENT_COMMAND_BYTES, "fetch %u from c%c", 1 + below(client, 3), name);
        return;
    }
}

static void make_lock(struct client *client, char text[CLIENT_COMMAND_BYTES])
{
    unsigned key = below(client, PG_LOCKS);
    if (one_in(client, 8)) {
        snprintf(text, CLIENT_COMMAND_BYTES, "select pg_advisory_unlock_all()");
    } else {
        snprintf(text, CLIENT_COMMAND_BYTES,
                 one_in(client, 2) ? "select pg_try_advisory_lock(%u)"
                                   : "select pg_advisory_unlock(%u)",
                 key);
    }
}

static void make_listen(struct client *client, char text[CLIENT_COMMAND_BYTES], const char *tag)
{
    unsigned channel = below(client, CLIENT_CHANNELS);
    switch (below(client, 7)) {
    case 0:
    case 1:
        client->asked_channels |= UINT32_C(1) << channel;
        snprintf(text, CLIENT_COMMAND_BYTES, "listen ch%u", channel);
        return;
    case 2:
        snprintf(text, CLIENT_COMMAND_BYTES, one_in(client, 4) ? "unlisten *" : "unlisten ch%u",
                 channel);
        return;
    default:
        snprintf(text, CLIENT_COMMAND_BYTES, "notify ch%u, %s", channel, tag);
        return;
    }
}

static bool make_sequence(struct client *client, char text[CLIENT_COMMAND_BYTES], bool own)
{
    const struct swarm *swarm = &client->sim->swarm;
    if (!swarm->state_sequences || !own || swarm->batches || client->pipelined) {
        return false;
    }
    snprintf(text, CLIENT_COMMAND_BYTES,
             one_in(client, 2) ? "select nextval('s')" : "select currval('s')");
    return true;
}

static bool make_discard(struct client *client, char text[CLIENT_COMMAND_BYTES])
{
    const struct swarm *swarm = &client->sim->swarm;
    if (!swarm->discards || !one_in(client, 4)) {
        return false;
    }
    /* DISCARD ALL is refused in a text of several statements. */
    bool discard = !swarm->startup_parameters && !swarm->batches && one_in(client, 2);
    client->no_custom |= discard;
    snprintf(text, CLIENT_COMMAND_BYTES, discard ? "discard all" : "deallocate all");
    return true;
}

/* What only seeds from SIM_WIDE_SEED on have. */
static bool make_wide(struct client *client, char text[CLIENT_COMMAND_BYTES], const char *tag,
                      bool own)
{
    const struct swarm *swarm = &client->sim->swarm;
    if (swarm->pids && own && one_in(client, 10) && client_make_signal(client, text)) {
        return true;
    }
    /* Where names are not virtual nobody knows whether the server has one already. */
    bool is_virtual = swarm->pool.mode != POOL_SESSION && swarm->pool.prepared_statements > 0;
    if (!swarm->own || !client->alone || tag[0] == '$' || !(own || is_virtual) ||
        !one_in(client, 6)) {
        return false;
    }
    client_make_own(client, text, tag, own);
    return true;
}

/* `own`: in a simple query, and with a tag of the client's own. */
void client_make_state(struct client *client, char text[CLIENT_COMMAND_BYTES], const char *tag,
                       bool own)
{
    const struct swarm *swarm = &client->sim->swarm;
    char quoted[CLIENT_ID_TEXT_BYTES + 2];
    bool parameter = tag[0] == '$';
    snprintf(quoted, sizeof(quoted), parameter ? "%s" : "'%s'", tag);
    if (make_wide(client, text, quoted, own)) {
        return;
    }
    switch (below(client, 10)) {
    case 0:
    case 1:
        if (swarm->state_settings && !parameter) {
            make_set(client, text, quoted);
            return;
        }
        break;
    case 2:
        if (swarm->state_savepoints && client->status != 'I') {
            make_savepoint(client, text);
            return;
        }
        break;
    case 3:
        if (swarm->state_prepares && own) {
            make_prepare(client, text, quoted);
            return;
        }
        break;
    case 4:
        if (swarm->state_temps && own) {
            make_temp(client, text, quoted);
            return;
        }
        break;
    case 5:
        if (swarm->state_cursors && own) {
            make_cursor(client, text, quoted);
            return;
        }
        break;
    case 6:
        if (swarm->state_locks && !parameter) {
            make_lock(client, text);
            return;
        }
        break;
    case 7:
        if (swarm->state_listens && !parameter) {
            make_listen(client, text, quoted);
            return;
        }
        break;
    case 8:
        if (make_sequence(client, text, own)) {
            return;
        }
        break;
    case 9:
        if (make_discard(client, text)) {
            return;
        }
        break;
    }
    make_plain(client, text, quoted);
}
