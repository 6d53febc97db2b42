/* What an actor hears, cut into messages: each must be one that may go that way. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "protocol/message.h"
#include "protocol/startup.h"
#include "tests/scenario/driver.h"

static void add_line(struct world *world, struct actor *actor, const uint8_t *message, size_t bytes,
                     bool packet)
{
    if (world->quiet) {
        return;
    }
    if (actor->greeting && !packet && message[0] == BACKEND_READY_FOR_QUERY) {
        actor->greeting = false;
        text_clear(&actor->lines);
        text_format(&actor->lines, "    %s is in\n", actor->name);
        return;
    }
    text_format(&actor->lines, "    %s< ", actor->name);
    if (!packet && actor->kind == ACTOR_CLIENT && message[0] == BACKEND_BACKEND_KEY_DATA) {
        text_format(&actor->lines, "BackendKeyData, a key of %zu bytes", bytes - 9);
    } else if (packet) {
        words_of_packet(message, bytes, &actor->lines);
    } else {
        words_of_message(message, bytes, actor->kind != ACTOR_CLIENT, &actor->lines);
    }
    text_add(&actor->lines, "\n", 1);
}

static void note_client_message(struct actor *actor, const uint8_t *message, size_t bytes)
{
    if (message[0] == BACKEND_BACKEND_KEY_DATA && bytes - 9 <= sizeof(actor->cancel_key)) {
        actor->cancel_pid = words_u32(message + 5);
        actor->cancel_key_bytes = (uint32_t)bytes - 9;
        memcpy(actor->cancel_key, message + 9, bytes - 9);
    } else if (message[0] == BACKEND_READY_FOR_QUERY) {
        actor->status = (char)message[5];
    }
}

/* A server that logs the proxy in by itself. */
static void log_in(struct world *world, struct actor *actor)
{
    uint32_t number = (uint32_t)strtoul(actor->name + 1, NULL, 10);
    char line[400];
    snprintf(line, sizeof(line),
             "Authentication 0 | ParameterStatus server_version 15.4 | ParameterStatus "
             "client_encoding UTF8 | ParameterStatus application_name \"\" | ParameterStatus "
             "TimeZone UTC | BackendKeyData %u \"key%u\" | ReadyForQuery I",
             1000 + number, number);
    words_to_bytes(line, false, &actor->in);
    actor->logged_in = true;
    if (!world->quiet) {
        text_format(&actor->lines, "    %s logs it in\n", actor->name);
    }
}

/* Before its startup packet a server hears packets; returns the bytes of one, or 0. */
static size_t hear_packet(struct world *world, struct actor *actor, const uint8_t *packet,
                          size_t have)
{
    uint32_t len = have < 4 ? 0 : words_u32(packet);
    if (have < 4 || have < len) {
        return 0;
    }
    if (len < 8 || len > LIMIT_STARTUP_BYTES + 1000) {
        world_problem(world, "%s hears a packet of %u bytes", actor->name, len);
        return 0;
    }
    uint32_t code = words_u32(packet + 4);
    bool requests = code == STARTUP_SSL || code == STARTUP_GSSENC;
    actor->started = !requests;
    if (actor->kind == ACTOR_SERVER && !requests && !world->server_manual) {
        log_in(world, actor);
    } else {
        add_line(world, actor, packet, len, true);
    }
    return len;
}

/* Before anything else a client may hear one byte for each encryption request. */
static size_t hear_answer(struct world *world, struct actor *actor, const uint8_t *at)
{
    char byte = (char)at[0];
    if (byte != 'S' && byte != 'N') {
        actor->started = true;
        return 0;
    }
    if (!world->quiet) {
        text_format(&actor->lines, "    %s< %c\n", actor->name, byte);
    }
    return 1;
}

static size_t hear_message(struct world *world, struct actor *actor, const uint8_t *message,
                           size_t have)
{
    uint32_t body_bytes;
    bool is_client = actor->kind == ACTOR_CLIENT;
    if (have < MESSAGE_HEADER_BYTES) {
        return 0;
    }
    if (!message_header(is_client ? message_backend_bounds : message_frontend_bounds, message,
                        &body_bytes)) {
        world_problem(world, "%s hears what is no message: type 0x%02x in \"%.*s\"", actor->name,
                      message[0], have < 100 ? (int)have : 100, (const char *)message);
        return 0;
    }
    size_t total = MESSAGE_HEADER_BYTES + (size_t)body_bytes;
    if (have < total) {
        return 0;
    }
    if (is_client) {
        note_client_message(actor, message, total);
    }
    add_line(world, actor, message, total, false);
    if (world->listener != NULL) {
        world->listener(world, actor, message, total);
    }
    return total;
}

void world_hear(struct world *world, struct actor *actor)
{
    size_t at = 0, used = 1;
    while (at < actor->out.len && used > 0 && world->problem[0] == '\0') {
        const uint8_t *bytes = (const uint8_t *)actor->out.bytes + at;
        size_t have = actor->out.len - at;
        bool was_started = actor->started;
        if (actor->started) {
            used = hear_message(world, actor, bytes, have);
        } else if (actor->kind == ACTOR_CLIENT) {
            used = hear_answer(world, actor, bytes);
        } else {
            used = hear_packet(world, actor, bytes, have);
        }
        at += used;
        used += actor->started != was_started;
    }
    text_drop(&actor->out, at);
}
