#include "tests/sim/client.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/message.h"
#include "protocol/startup.h"
#include "tests/sim/cancel.h"
#include "tests/sim/check.h"
#include "tests/sim/net.h"
#include "tests/sim/shell.h"
#include "tests/sim/sim.h"

enum { LINGER_US = 3 * 1000 * 1000 };

static void on_bytes(void *object, const uint8_t *bytes, size_t len);
static void on_end(void *object, bool reset);

uint64_t client_random(struct client *client, uint64_t bound)
{
    return random_below(&client->random, bound);
}

void client_tag(struct client *client, char text[CLIENT_ID_TEXT_BYTES])
{
    snprintf(text, CLIENT_ID_TEXT_BYTES, "w%016" PRIx64 ".%" PRIu64, client->id,
             ++client->sequence);
}

struct client *client_new(struct sim *sim, uint32_t number)
{
    struct client *client = calloc(1, sizeof(*client));
    if (client == NULL) {
        abort();
    }
    client->sim = sim;
    client->number = number;
    client->random.state = random_next(&sim->random);
    client->id = random_next(&client->random);
    client->ops_left = 1 + (uint32_t)client_random(client, sim->swarm.ops_max);
    client->hostile = client_random(client, 1000) < sim->swarm.hostile_chance;
    client->status = 'I';
    for (uint32_t i = 0; i < CLIENT_CHANNELS; i++) {
        client->heard_from[i] = UINT32_MAX;
    }
    writer_init(&client->out);
    oracle_init(&client->oracle);
    return client;
}

void client_free(struct client *client)
{
    if (client != NULL) {
        bytes_fini(&client->in);
        writer_fini(&client->out);
        oracle_fini(&client->oracle);
        free(client);
    }
}

static void done(struct client *client)
{
    client->state = CLIENT_DONE;
    client->waiting_from_us = 0;
    check_discarded(client); /* its locks are anybody's */
}

/* --- saying ----------------------------------------------------------------------------------- */

/* Notes what is said. */
static void log_batch(struct client *client)
{
    const struct writer *out = &client->out;
    uint32_t at = 0;
    while (out->len - at >= MESSAGE_HEADER_BYTES && !client->oracle.blind) {
        uint32_t len = message_load_u32(out->bytes + at + 1) + 1;
        char text[90];
        uint32_t used = 0;
        for (uint32_t i = MESSAGE_HEADER_BYTES; i < len && used + 1 < sizeof(text); i++) {
            uint8_t byte = out->bytes[at + i];
            text[used++] = byte >= 32 && byte < 127 ? (char)byte : '.';
        }
        text[used] = '\0';
        sim_log(client->sim, "c%u says %c %s", client->number, out->bytes[at], text);
        at += len;
    }
}

/* Sends the batch; some clients vanish in the middle of one. */
static void send_out(struct client *client)
{
    struct sim *sim = client->sim;
    uint32_t len = client->out.len;
    log_batch(client);
    if (sim_chance(sim, sim->swarm.client_cut_chance)) {
        uint32_t part = (uint32_t)sim_random(sim, len + 1);
        sim_log(sim, "c%u vanishes behind %u of %u bytes", client->number, part, len);
        wire_peer_send(client->wire, client->out.bytes, part);
        client->cut = true;
        if (sim_random(sim, 2) == 0) {
            wire_peer_reset(client->wire);
        } else {
            wire_peer_close(client->wire);
        }
        done(client);
    } else {
        wire_peer_send(client->wire, client->out.bytes, len);
        oracle_sent(&client->oracle, client->out.bytes, len);
        client->waiting_from_us = sim->now_us;
    }
    writer_reset(&client->out);
}

static void write_startup(struct client *client)
{
    static const char *const styles[] = {"iso", "GERMAN", "ISO, MDY"};
    struct sim *sim = client->sim;
    struct writer *out = &client->out;
    char database[16], user[16], name[CLIENT_ID_TEXT_BYTES];
    client->database = (uint32_t)client_random(client, sim->swarm.databases);
    snprintf(database, sizeof(database), "db%u", client->database);
    snprintf(user, sizeof(user), "u%u", (unsigned)client_random(client, sim->swarm.users));
    uint32_t mark = writer_begin(out, 0);
    writer_u32(out, client_random(client, 4) == 0 ? STARTUP_PROTOCOL_3_2 : STARTUP_PROTOCOL_3_0);
    writer_cstr(out, "user");
    writer_cstr(out, user);
    writer_cstr(out, "database");
    writer_cstr(out, database);
    if (sim->swarm.roles) {
        pg_start_role(&client->oracle.pg, user);
    }
    if (sim->swarm.own && client_random(client, 3) == 0) {
        client_tag(client, name);
        writer_cstr(out, "howdah.shard");
        writer_cstr(out, name);
        pg_start_parameter(&client->oracle.pg, "howdah.shard", name);
    }
    if (sim->swarm.startup_parameters && client_random(client, 2) == 0) {
        client_tag(client, name);
        writer_cstr(out, "application_name");
        writer_cstr(out, name);
        pg_start_parameter(&client->oracle.pg, "application_name", name);
    }
    if (sim->swarm.startup_parameters && client_random(client, 3) == 0) {
        const char *style = styles[client_random(client, 3)];
        writer_cstr(out, "datestyle");
        writer_cstr(out, style);
        pg_start_parameter(&client->oracle.pg, "DateStyle", style);
    }
    writer_u8(out, 0);
    writer_end(out, mark);
    sim_log(sim, "c%u connects to %s as %s, id %016" PRIx64, client->number, database, user,
            client->id);
}

void client_start(struct sim *sim, void *object, uint64_t argument)
{
    struct client *client = object;
    struct wire *wire = wire_new(sim);
    (void)argument;
    client->wire = wire;
    wire->peer = (struct wire_peer){client, on_bytes, on_end};
    if (!shell_accept(sim->shells[sim_random(sim, sim->shell_count)], wire)) {
        sim_log(sim, "c%u is refused", client->number);
        done(client);
        return;
    }
    write_startup(client);
    wire_peer_send(wire, client->out.bytes, client->out.len);
    writer_reset(&client->out);
    client->waiting_from_us = sim->now_us;
}

/* --- cancel ----------------------------------------------------------------------------------- */

static void cancel(struct sim *sim, void *object, uint64_t argument)
{
    struct client *client = object;
    (void)argument;
    if (client->state != CLIENT_ACTIVE) {
        return;
    }
    if (!cancel_send(sim, client->cancel_body, client->cancel_bytes)) {
        return;
    }
    client->cancels++;
    sim->cancels++;
    sim_log(sim, "c%u cancels", client->number);
}

/* --- going on --------------------------------------------------------------------------------- */

static void leave(struct client *client)
{
    static const uint8_t terminate[] = {FRONTEND_TERMINATE, 0, 0, 0, 4};
    struct sim *sim = client->sim;
    uint64_t way = client_random(client, 4);
    sim_log(sim, "c%u leaves in way %u, status %c", client->number, (unsigned)way, client->status);
    client->cut = true;
    if (way != 0) {
        wire_peer_send(client->wire, terminate, sizeof(terminate));
    }
    if (way == 1) {
        wire_peer_half_close(client->wire);
        client->state = CLIENT_LEAVING;
        client->waiting_from_us = sim->now_us;
        return;
    }
    if (way == 2) {
        wire_peer_reset(client->wire);
    } else {
        wire_peer_close(client->wire);
    }
    done(client);
}

static void vanish(struct sim *sim, void *object, uint64_t argument)
{
    struct client *client = object;
    (void)sim;
    (void)argument;
    if (client->state == CLIENT_ACTIVE) {
        wire_peer_reset(client->wire);
        done(client);
    }
}

static void say_more(struct client *client)
{
    struct sim *sim = client->sim;
    client->ops_left--;
    client_make_batch(client);
    bool last = client->ops_left == 0 && !client->open_pipeline;
    if (sim_chance(sim, sim->swarm.slow_reader_chance)) {
        client->wire->stalled_until_us = sim->now_us + sim_random(sim, 300000);
    }
    send_out(client);
    if (client->state != CLIENT_ACTIVE) {
        return;
    }
    if (client->oracle.blind) { /* garbage was sent: who knows whether an answer comes */
        client->waiting_from_us = 0;
        sim_after(sim, sim_random(sim, 100000), vanish, client, 0);
        return;
    }
    if (sim->swarm.cancels && client_random(client, 4) == 0) {
        sim_after(sim, sim_random(sim, 30000), cancel, client, 0);
    }
    if (last && client_random(client, 1000) < sim->swarm.half_close_chance &&
        !client->copy_extended) {
        sim_log(sim, "c%u half-closes", client->number);
        client->half_closed = true;
        wire_peer_half_close(client->wire);
    }
}

static void next(struct sim *sim, void *object, uint64_t argument)
{
    struct client *client = object;
    (void)sim;
    (void)argument;
    if (client->state != CLIENT_ACTIVE || client->told_fatal || client->oracle.blind) {
        return;
    }
    if (client->ops_left == 0 && !client->open_pipeline) {
        if (client->asked_channels != 0 && !client->lingered && client_random(client, 3) == 0) {
            client->lingered = true;
            sim_after(sim, LINGER_US, next, client, 0);
            return;
        }
        check_heard(client);
        leave(client);
    } else {
        client->ops_left += client->ops_left == 0;
        say_more(client);
    }
}

static void think(struct client *client)
{
    struct sim *sim = client->sim;
    uint64_t wait_us = sim_random(sim, 300);
    client->waiting_from_us = 0;
    if (sim->swarm.pauses && client_random(client, 4) == 0) {
        wait_us = sim_random(sim, 400000);
    }
    if (!client->half_closed) {
        sim_after(sim, wait_us, next, client, 0);
    } else {
        client->waiting_from_us = sim->now_us; /* for the end */
    }
}

/* --- hearing ---------------------------------------------------------------------------------- */

static bool acknowledges(uint8_t type)
{
    return type == BACKEND_PARSE_COMPLETE || type == BACKEND_BIND_COMPLETE ||
           type == BACKEND_CLOSE_COMPLETE || type == BACKEND_ROW_DESCRIPTION ||
           type == BACKEND_NO_DATA || type == BACKEND_COMMAND_COMPLETE ||
           type == BACKEND_EMPTY_QUERY_RESPONSE || type == BACKEND_PORTAL_SUSPENDED;
}

static void on_message(struct client *client, const uint8_t *message, size_t len)
{
    struct sim *sim = client->sim;
    uint8_t type = message[0];
    if (type == BACKEND_NOTIFICATION_RESPONSE) {
        check_notification(client, message, len);
        return;
    }
    oracle_received(client, message, len);
    sim->rows += type == BACKEND_DATA_ROW;
    sim->errors += type == BACKEND_ERROR_RESPONSE;
    /* Whether what was canceled had begun, and so ended the unnamed statement, is not known. */
    client->unnamed_copies |= type == BACKEND_ERROR_RESPONSE && client->cancels > 0;
    if (client->oracle.blind) {
        return;
    }
    if (type == BACKEND_COPY_IN_RESPONSE && !client->half_closed) {
        client_make_copy(client);
        send_out(client);
        return;
    }
    if (type == BACKEND_READY_FOR_QUERY) {
        sim->responses++;
        client->status = (char)message[MESSAGE_HEADER_BYTES];
        client->copy_extended = false;
        if (client->due_ready == 0) {
            sim_fail(sim, "c%u: a ReadyForQuery too many", client->number);
            return;
        }
        client->due_ready--;
        if (client->due_ready == 0) {
            check_listens(client);
        }
    } else if (client->due_acks > 0 && type == BACKEND_ERROR_RESPONSE) {
        client->due_acks = 0;
    } else if (client->due_acks > 0 && acknowledges(type)) {
        client->due_acks--;
    } else {
        return;
    }
    if (client->due_ready == 0 && client->due_acks == 0 && client->state == CLIENT_ACTIVE) {
        think(client);
    }
}

static void on_greeting(struct client *client, const uint8_t *message, size_t len)
{
    const char *name = (const char *)message + MESSAGE_HEADER_BYTES;
    switch (message[0]) {
    case BACKEND_PARAMETER_STATUS:
        oracle_parameter(client, name, name + strlen(name) + 1);
        return;
    case BACKEND_BACKEND_KEY_DATA:
        client->cancel_bytes = (uint32_t)len - MESSAGE_HEADER_BYTES;
        memcpy(client->cancel_body, message + MESSAGE_HEADER_BYTES, client->cancel_bytes);
        return;
    case BACKEND_READY_FOR_QUERY:
        client->state = CLIENT_ACTIVE;
        think(client);
        return;
    case BACKEND_ERROR_RESPONSE:
        client->told_fatal = true;
        client->sim->refused++;
        return;
    case BACKEND_AUTHENTICATION:
    case BACKEND_NOTICE_RESPONSE:
    case BACKEND_NEGOTIATE_PROTOCOL_VERSION:
        return;
    }
    sim_fail(client->sim, "c%u: greeted with a message of type %c", client->number, message[0]);
}

static void on_bytes(void *object, const uint8_t *bytes, size_t len)
{
    struct client *client = object;
    bytes_push(&client->in, bytes, len);
    while (client->in.len >= MESSAGE_HEADER_BYTES && client->state != CLIENT_DONE &&
           !client->sim->failed) {
        const uint8_t *message = bytes_at(&client->in);
        uint32_t body_bytes;
        if (!message_header(message_backend_bounds, message, &body_bytes)) {
            sim_fail(client->sim, "c%u: no message begins with byte %u", client->number,
                     message[0]);
            return;
        }
        size_t total = MESSAGE_HEADER_BYTES + (size_t)body_bytes;
        if (client->in.len < total) {
            return;
        }
        if (message[0] != BACKEND_NOTIFICATION_RESPONSE) { /* that is another's by its nature */
            check_witness(client->sim, client->id, message + MESSAGE_HEADER_BYTES, body_bytes);
        }
        sim_log(client->sim, "c%u gets %c %u", client->number, message[0], body_bytes);
        if (client->state == CLIENT_NEW) {
            on_greeting(client, message, total);
        } else if (client->state == CLIENT_ACTIVE) {
            on_message(client, message, total);
        }
        bytes_drop(&client->in, total);
    }
}

static void on_end(void *object, bool reset)
{
    struct client *client = object;
    struct sim *sim = client->sim;
    sim_log(sim, "c%u is closed%s", client->number, reset ? " by a reset" : "");
    wire_peer_close(client->wire);
    if (client->state == CLIENT_DONE || client->state == CLIENT_LEAVING) {
        done(client);
        return;
    }
    /* Who has half of a message can't be told that its hub, or its backend, was taken from it. */
    bool half = client->in.len > 0 && (client->terminated || sim->server_changes > 0);
    if (!client->told_fatal && !swarm_server_fails(&sim->swarm) && !client->hostile && !half) {
        if (client->half_closed) {
            oracle_ended(client);
        } else {
            sim_fail(sim, "c%u: the connection ended without a word", client->number);
        }
    }
    sim->lost++;
    done(client);
}
