#include "tests/sim/console.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/writer.h"
#include "protocol/message.h"
#include "protocol/report.h"
#include "protocol/startup.h"
#include "tests/sim/bytes.h"
#include "tests/sim/cancel.h"
#include "tests/sim/net.h"
#include "tests/sim/shell.h"
#include "tests/sim/sim.h"

enum {
    PATIENCE_US = 1500 * 1000, /* how long a PAUSE may take before it is canceled */
    ROUNDS_MAX = 8,
    COMMAND_BYTES = 64,
};

struct console {
    struct sim *sim;
    struct wire *wire;
    struct bytes in;
    uint8_t key[36];                   /* of a CancelRequest */
    uint32_t key_bytes, rounds, asked; /* asked: counts commands */
    char command[COMMAND_BYTES];
    char database[16]; /* that a PAUSE names; "" = all */
    bool waits, erred, canceled, pauses, paused, done;
};

static void next(struct sim *sim, void *object, uint64_t argument);

bool console_has_paused(const struct console *console, const char *database)
{
    return console != NULL && console->paused &&
           (console->database[0] == '\0' || strcmp(console->database, database) == 0);
}

/* --- saying ----------------------------------------------------------------------------------- */

static void connect_wire(struct console *console, const struct writer *first)
{
    struct sim *sim = console->sim;
    if (!shell_accept(sim->shells[sim_random(sim, sim->shell_count)], console->wire)) {
        sim_fail(sim, "the console is refused");
        return;
    }
    wire_peer_send(console->wire, first->bytes, first->len);
}

/* A PAUSE that sessions with links of their own hold up would never end. */
static void lose_patience(struct sim *sim, void *object, uint64_t asked)
{
    struct console *console = object;
    if (!console->waits || console->asked != asked || console->done) {
        return;
    }
    sim_log(sim, "console: cancels");
    console->canceled = true;
    if (!cancel_send(sim, console->key, console->key_bytes)) {
        sim_fail(sim, "the console is refused");
    }
}

static void say(struct console *console)
{
    struct sim *sim = console->sim;
    struct writer writer;
    writer_init(&writer);
    uint32_t mark = writer_begin(&writer, FRONTEND_QUERY);
    writer_cstr(&writer, console->command);
    writer_end(&writer, mark);
    wire_peer_send(console->wire, writer.bytes, writer.len);
    writer_fini(&writer);
    console->waits = true;
    console->erred = console->canceled = false;
    console->asked++;
    sim_log(sim, "console: %s", console->command);
    sim_after(sim, PATIENCE_US, lose_patience, console, console->asked);
}

static void choose(struct console *console)
{
    static const char *const shows[] = {"SHOW POOLS", "SHOW SERVERS", "SHOW CLIENTS", "SHOW PINS"};
    struct sim *sim = console->sim;
    char database[16] = "";
    if (sim_random(sim, 2) == 0) {
        snprintf(database, sizeof(database), " db%u",
                 (unsigned)sim_random(sim, sim->swarm.databases));
    }
    console->pauses = false;
    if (console->paused) {
        console->paused = false;
        snprintf(console->command, COMMAND_BYTES, "RESUME%s%s",
                 console->database[0] == '\0' ? "" : " ", console->database);
        return;
    }
    switch (sim_random(sim, 5)) {
    case 0:
        snprintf(console->command, COMMAND_BYTES, "RECONNECT%s", database);
        return;
    case 1:
        snprintf(console->command, COMMAND_BYTES, "RELOAD");
        return;
    case 2:
        snprintf(console->command, COMMAND_BYTES, "%s", shows[sim_random(sim, 4)]);
        return;
    default:
        console->pauses = true;
        snprintf(console->command, COMMAND_BYTES, "PAUSE%s", database);
        snprintf(console->database, sizeof(console->database), "%s",
                 database[0] == '\0' ? "" : database + 1);
        return;
    }
}

static void next(struct sim *sim, void *object, uint64_t argument)
{
    static const uint8_t terminate[] = {FRONTEND_TERMINATE, 0, 0, 0, 4};
    struct console *console = object;
    (void)argument;
    if (console->rounds == 0 && !console->paused) {
        sim_log(sim, "console: leaves");
        console->done = true;
        wire_peer_send(console->wire, terminate, sizeof(terminate));
        wire_peer_close(console->wire);
        return;
    }
    console->rounds -= console->rounds > 0;
    choose(console);
    say(console);
}

/* --- hearing ---------------------------------------------------------------------------------- */

static void on_ready(struct console *console)
{
    struct sim *sim = console->sim;
    console->paused = console->pauses && !console->erred;
    console->waits = console->pauses = false;
    sim_after(sim, sim_random(sim, sim_random(sim, 3) == 0 ? 300000 : 5000), next, console, 0);
}

static void on_message(struct console *console, const uint8_t *message, uint32_t len)
{
    struct report_fields fields;
    switch (message[0]) {
    case BACKEND_BACKEND_KEY_DATA:
        console->key_bytes = len - MESSAGE_HEADER_BYTES;
        memcpy(console->key, message + MESSAGE_HEADER_BYTES, console->key_bytes);
        return;
    case BACKEND_ERROR_RESPONSE:
        console->erred = true;
        if (!report_parse(message + MESSAGE_HEADER_BYTES, len - MESSAGE_HEADER_BYTES, &fields) ||
            !console->canceled || strcmp(fields.sqlstate, "57014") != 0) {
            sim_fail(console->sim, "CONSOLE: %s: %s", console->command, fields.message);
        }
        return;
    case BACKEND_READY_FOR_QUERY:
        on_ready(console);
        return;
    }
}

static void on_bytes(void *object, const uint8_t *bytes, size_t len)
{
    struct console *console = object;
    bytes_push(&console->in, bytes, len);
    while (console->in.len >= MESSAGE_HEADER_BYTES && !console->sim->failed) {
        uint32_t total = message_load_u32(bytes_at(&console->in) + 1) + 1;
        if (console->in.len < total) {
            return;
        }
        on_message(console, bytes_at(&console->in), total);
        bytes_drop(&console->in, total);
    }
}

static void on_end(void *object, bool reset)
{
    struct console *console = object;
    (void)reset;
    if (!console->done) {
        sim_fail(console->sim, "CONSOLE: its connection has ended");
    }
}

static void start(struct sim *sim, void *object, uint64_t argument)
{
    struct console *console = object;
    struct writer writer;
    (void)argument;
    writer_init(&writer);
    uint32_t mark = writer_begin(&writer, 0);
    writer_u32(&writer, STARTUP_PROTOCOL_3_0);
    writer_cstr(&writer, "user");
    writer_cstr(&writer, "admin");
    writer_cstr(&writer, "database");
    writer_cstr(&writer, "howdah");
    writer_u8(&writer, 0);
    writer_end(&writer, mark);
    console->wire = wire_new(sim);
    console->wire->peer = (struct wire_peer){console, on_bytes, on_end};
    connect_wire(console, &writer);
    writer_fini(&writer);
}

struct console *console_new(struct sim *sim)
{
    struct console *console = calloc(1, sizeof(*console));
    if (console == NULL) {
        abort();
    }
    console->sim = sim;
    console->rounds = 1 + (uint32_t)sim_random(sim, ROUNDS_MAX);
    sim_after(sim, sim_random(sim, 100000), start, console, 0);
    return console;
}

void console_free(struct console *console)
{
    if (console != NULL) {
        bytes_fini(&console->in);
        free(console);
    }
}

/* --- RELOAD ----------------------------------------------------------------------------------- */

struct reload {
    struct options *options;
    struct shell *asker;
    struct handle handle;
    uint32_t told;
};

/* Tells one engine after the other, then the one that has asked. */
static void tell(struct sim *sim, void *object, uint64_t argument)
{
    struct reload *reload = object;
    (void)argument;
    if (reload->told < sim->shell_count) {
        shell_reload(sim->shells[reload->told++], reload->options);
        sim_after(sim, sim_random(sim, 1 + sim->swarm.letter_delay_max_us), tell, reload, 0);
        return;
    }
    shell_reload_done(reload->asker, reload->handle);
    options_unref(reload->options);
    free(reload);
}

void console_reload(struct sim *sim, struct shell *shell, struct handle handle)
{
    struct swarm swarm = sim->swarm;
    struct reload *reload = calloc(1, sizeof(*reload));
    if (reload == NULL) {
        abort();
    }
    swarm.pool.size = 1 + (uint32_t)sim_random(sim, swarm.pool.size);
    swarm.pool.reserve = (uint32_t)sim_random(sim, swarm.pool.reserve + 1);
    swarm.pool.min_idle = (uint32_t)sim_random(sim, 2);
    swarm.pool.idle_timeout_ms = (uint32_t)sim_random(sim, 3) * 100;
    swarm.pool.deferred_begin &= sim_random(sim, 2) == 0;
    if (swarm.database_cap > 0) {
        swarm.database_cap = 1 + (uint32_t)sim_random(sim, swarm.database_cap);
    }
    if (sim_random(sim, 3) == 0) {
        sim->server_changes++;
    }
    *reload = (struct reload){.options = swarm_options(&swarm), .asker = shell, .handle = handle};
    for (uint32_t i = 0; i < reload->options->database_count; i++) {
        reload->options->databases[i].servers[0].port = (uint16_t)(5432 + sim->server_changes);
    }
    sim_after(sim, sim_random(sim, 2000), tell, reload, 0);
}
