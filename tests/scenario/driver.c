#include "tests/scenario/driver.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>

#include "base/error.h"
#include "pool/account.h"
#include "pool/conn.h"
#include "pool/core.h"
#include "pool/options.h"
#include "protocol/scram.h"

/* A turn of the world that does not end has found a loop in the engine. */
enum { TURNS_MAX = 100000 };

bool world_engine_works;
void (*world_measure)(bool before);

/* Every call of the engine that may change it goes through here. */
static void work(struct world *world, uint32_t engine, const struct event *event)
{
    if (world_measure != NULL) {
        world_measure(true);
    }
    world_engine_works = true;
    engine_step(world->engines[engine], event);
    world_engine_works = false;
    if (world_measure != NULL) {
        world_measure(false);
    }
}

void world_step(struct world *world, uint32_t engine, struct event event)
{
    event.now_us = world->now_us;
    work(world, engine, &event);
}

void world_problem(struct world *world, const char *format, ...)
{
    va_list arguments;
    if (world->problem[0] != '\0') {
        return;
    }
    va_start(arguments, format);
    vsnprintf(world->problem, sizeof(world->problem), format, arguments);
    va_end(arguments);
}

/* --- making and ending ---------------------------------------------------------------------- */

struct world *world_new(void)
{
    struct world *world = calloc(1, sizeof(*world));
    if (world == NULL) {
        abort();
    }
    world->engine_count = 1;
    world->now_us = 1000 * 1000;
    return world;
}

static void start(struct world *world)
{
    if (world->shared != NULL) {
        return;
    }
    world->options = world_options(world);
    world->shared = shared_new(world->engine_count);
    for (uint32_t i = 0; i < world->engine_count; i++) {
        struct engine_setup setup = {.worker = i,
                                     .shared = world->shared,
                                     .options = world->options,
                                     .now_us = world->now_us,
                                     .wall_us = UINT64_C(1700000000000000),
                                     .seed = 42 + i,
                                     .secret = "the same bytes in every run ...",
                                     .tls_available = world->options->tls.mode != TLS_DISABLE};
        world->engines[i] = engine_new(&setup);
        if (world->engines[i] == NULL) {
            abort();
        }
    }
}

void world_free(struct world *world)
{
    for (uint32_t i = 0; i < world->engine_count; i++) {
        engine_free(world->engines[i]);
    }
    world_replicas_free(world);
    shared_free(world->shared);
    options_unref(world->options);
    for (uint32_t i = 0; i < world->actor_count; i++) {
        text_free(&world->actors[i].in);
        text_free(&world->actors[i].out);
        text_free(&world->actors[i].lines);
    }
    text_free(&world->settings);
    text_free(&world->lines);
    text_free(&world->last);
    text_free(&world->trace);
    free(world);
}

/* --- actors ---------------------------------------------------------------------- */

struct actor *world_actor(struct world *world, const char *name)
{
    for (uint32_t i = 0; i < world->actor_count; i++) {
        if (strcmp(world->actors[i].name, name) == 0) {
            return &world->actors[i];
        }
    }
    return NULL;
}

static struct actor *actor_of(struct world *world, uint32_t engine, struct handle handle)
{
    for (uint32_t i = world->actor_count; i > 0; i--) {
        struct actor *actor = &world->actors[i - 1];
        if (actor->open && actor->engine == engine && handle_equal(actor->handle, handle)) {
            return actor;
        }
    }
    return NULL;
}

static struct actor *add_actor(struct world *world, enum actor_kind kind, const char *name)
{
    static const char letters[] = "CSK";
    uint32_t number = 1;
    if (world->actor_count == WORLD_ACTORS_MAX) {
        abort();
    }
    for (uint32_t i = 0; i < world->actor_count; i++) {
        number += world->actors[i].kind == kind;
    }
    struct actor *actor = &world->actors[world->actor_count++];
    *actor = (struct actor){.kind = kind, .takes = UINT64_MAX, .status = '-'};
    if (name == NULL) {
        snprintf(actor->name, sizeof(actor->name), "%c%u", letters[kind], number);
    } else {
        snprintf(actor->name, sizeof(actor->name), "%s", name);
    }
    return actor;
}

static void line(struct world *world, struct actor *actor, const char *what)
{
    if (!world->quiet) {
        text_format(&actor->lines, "    %s %s\n", actor->name, what);
    }
}

/* --- events ---------------------------------------------------------------------- */

static void step(struct world *world, struct actor *actor, struct event event)
{
    event.handle = actor->handle;
    event.now_us = world->now_us;
    work(world, actor->engine, &event);
}

/* As much of what the actor has sent as the engine wants now. True when something was done. */
static bool receive(struct world *world, struct actor *actor)
{
    uint8_t *room;
    uint32_t room_bytes;
    struct engine *engine = world->engines[actor->engine];
    bool waits = actor->handshake || (actor->kind != ACTOR_CLIENT && !actor->dialed);
    if (!actor->open || waits || !engine_reading(engine, actor->handle)) {
        return false;
    }
    if (actor->in.len == 0) {
        if (actor->eof) {
            actor->eof = false;
            step(world, actor, (struct event){.kind = EVENT_EOF});
            return true;
        }
        return false;
    }
    world_engine_works = true;
    bool lent = engine_rx(engine, actor->handle, &room, &room_bytes);
    world_engine_works = false;
    if (!lent) {
        text_clear(&actor->in);
        return false;
    }
    size_t len = actor->in.len < room_bytes ? actor->in.len : room_bytes;
    if (world->step_bytes != 0 && len > world->step_bytes) {
        len = world->step_bytes;
    }
    memcpy(room, actor->in.bytes, len);
    text_drop(&actor->in, len);
    step(world, actor, (struct event){.kind = EVENT_BYTES, .bytes = (uint32_t)len});
    return true;
}

static void transmit(struct world *world, struct actor *actor)
{
    struct iovec vectors[16];
    struct engine *engine = world->engines[actor->engine];
    int count;
    while ((count = engine_tx(engine, actor->handle, vectors, 16)) > 0) {
        uint64_t sent = 0;
        for (int i = 0; i < count && actor->takes > sent; i++) {
            uint64_t len = vectors[i].iov_len;
            len = len > actor->takes - sent ? actor->takes - sent : len;
            if (!actor->deaf) {
                text_add(&actor->out, vectors[i].iov_base, len);
            }
            sent += len;
        }
        actor->heard += sent;
        actor->takes -= actor->takes == UINT64_MAX ? 0 : sent;
        step(world, actor, (struct event){.kind = EVENT_SENT, .bytes = (uint32_t)sent});
        world_hear(world, actor);
        if (sent == 0 || !actor->open) {
            return;
        }
    }
}

static void close_actor(struct world *world, struct actor *actor)
{
    if (actor->out.len > 0 && !world->quiet) {
        text_format(&actor->lines, "    %s< (%zu bytes of a message)\n", actor->name,
                    actor->out.len);
    }
    line(world, actor, "closed");
    step(world, actor, (struct event){.kind = EVENT_CLOSED});
    actor->open = false;
}

static bool answer_dial(struct world *world, struct actor *actor, bool accepts)
{
    const char *address = actor->address[0] == '\0' ? NULL : actor->address;
    actor->dialed = accepts;
    step(world, actor,
         (struct event){.kind = EVENT_DIALED,
                        .code = accepts ? 0 : ERR_CONNECT,
                        .text = accepts ? address : "connection refused"});
    return true;
}

static struct actor *dialed(struct world *world, uint32_t engine, struct handle handle)
{
    const struct conn *conn = handle_table_get(&world->engines[engine]->connections, handle);
    bool is_link = conn->kind == CONN_LINK;
    struct actor *actor = add_actor(world, is_link ? ACTOR_SERVER : ACTOR_CANCELLER, NULL);
    actor->engine = engine;
    actor->handle = handle;
    actor->open = true;
    const struct server_options *server = engine_server(world->engines[engine], handle);
    bool replica = server != NULL && server->host[0] == 'r'; /* NULL: it is closing already */
    const char *address = engine_address(world->engines[engine], handle);
    char what[128];
    snprintf(what, sizeof(what), "dialed%s%s%s", address[0] == '\0' ? "" : " at ", address,
             replica ? ", a replica" : "");
    snprintf(actor->address, sizeof(actor->address), "%s",
             address[0] == '\0' ? world->named : address);
    line(world, actor, what);
    if (!world->server_manual) {
        (void)answer_dial(world, actor, true);
    }
    return actor;
}

/* Whether the to-do shows what engine_tx does, if that is one piece, and else nothing. */
static bool shows_piece(const struct world *world, uint32_t engine, const struct todo *todo)
{
    struct iovec pieces[2];
    if (engine_tx(world->engines[engine], todo->handle, pieces, 2) != 1) {
        return todo->piece == NULL;
    }
    return todo->piece == pieces[0].iov_base && todo->piece_bytes == pieces[0].iov_len;
}

static void do_todo(struct world *world, uint32_t engine, struct todo todo)
{
    if (!shows_piece(world, engine, &todo)) {
        world_problem(world, "a to-do that shows other bytes than engine_tx");
    }
    struct actor *actor = (todo.bits & TODO_DIAL) != 0 ? dialed(world, engine, todo.handle)
                                                       : actor_of(world, engine, todo.handle);
    if (actor == NULL) {
        world_problem(world, "a to-do for a handle that nobody has");
        return;
    }
    if ((todo.bits & TODO_SEND) != 0) {
        transmit(world, actor);
    }
    if ((todo.bits & (TODO_TLS_ACCEPT | TODO_TLS_CONNECT)) != 0) {
        actor->handshake = true;
        actor->started = false;
        line(world, actor, "to do TLS");
    }
    if ((todo.bits & TODO_CLOSE) != 0) {
        transmit(world, actor);
        close_actor(world, actor);
    }
}

/* --- actions ---------------------------------------------------------------------- */

static void derive(struct world *world, uint32_t engine, struct handle handle)
{
    struct derivation in;
    struct scram_keys keys = {{0}, {0}};
    struct actor *actor = actor_of(world, engine, handle);
    if (actor == NULL || !engine_derivation(world->engines[engine], handle, &in)) {
        return;
    }
    uint32_t iterations = world->cheap_keys ? 1 : in.iterations;
    if (scram_derive(in.password, strlen(in.password), in.salt, in.salt_bytes, iterations, &keys) !=
        0) {
        world_problem(world, "a derivation that cannot be done");
    }
    uint8_t bytes[2 * SCRAM_KEY_BYTES];
    memcpy(bytes, keys.client_key, SCRAM_KEY_BYTES);
    memcpy(bytes + SCRAM_KEY_BYTES, keys.server_key, SCRAM_KEY_BYTES);
    step(world, actor, (struct event){.kind = EVENT_DERIVED, .keys = bytes});
}

/* A link moves with its socket to another engine. */
static void lend_out(struct world *world, uint32_t engine, const struct action *action)
{
    struct handle fresh;
    struct actor *actor = actor_of(world, engine, action->handle);
    if (actor == NULL) {
        world_problem(world, "a link of nobody was lent out");
        letter_free(action->letter);
        return;
    }
    step(world, actor, (struct event){.kind = EVENT_CLOSED});
    actor->engine = action->worker;
    world_engine_works = true;
    int code = engine_adopt(world->engines[action->worker], action->letter, world->now_us, &fresh);
    world_engine_works = false;
    if (code != 0) {
        actor->open = false;
        line(world, actor, "was not adopted");
        return;
    }
    actor->handle = fresh;
    if (!world->quiet) {
        text_format(&actor->lines, "    %s moved to worker %u\n", actor->name, action->worker);
    }
}

static void do_action(struct world *world, uint32_t engine, const struct action *action)
{
    struct event mail = {.kind = EVENT_MAIL, .now_us = world->now_us, .letter = action->letter};
    switch (action->kind) {
    case ACTION_ASK_SECRET:
        world->asked = action->handle;
        world->asked_engine = engine;
        text_format(&world->lines, "    asks for the secret of %s at %s\n", action->user,
                    action->database);
        return;
    case ACTION_FORGET_SECRET:
        text_format(&world->lines, "    forgets the secret of %s at %s\n", action->user,
                    action->database);
        return;
    case ACTION_ASK_CATALOG:
        text_format(&world->lines, "    asks for the catalog of %s\n", action->database);
        return;
    case ACTION_PROBE:
        text_format(&world->lines, "    asks for a poll of %s\n", action->database);
        return;
    case ACTION_DERIVE:
        derive(world, engine, action->handle);
        return;
    case ACTION_ASK_OS_USER:
        world->asked = action->handle;
        world->asked_engine = engine;
        text_format(&world->lines, "    asks who has uid %u\n", action->uid);
        return;
    case ACTION_MAIL:
        work(world, action->worker, &mail);
        return;
    case ACTION_LEND_OUT:
        lend_out(world, engine, action);
        return;
    case ACTION_LOG:
        if (world->logs) {
            text_format(&world->lines, "    log: %s\n", action->text);
        }
        return;
    case ACTION_RELOAD:
        text_format(&world->lines, "    asks for a reload\n");
        return;
    case ACTION_SHUTDOWN:
        text_format(&world->lines, "    asks for the end, worker=%u\n", action->worker);
        return;
    case ACTION_DRAINED:
        text_format(&world->lines, "    drained\n");
        return;
    }
}

void world_pump(struct world *world)
{
    bool more = true;
    for (uint32_t turn = 0; more && world->problem[0] == '\0'; turn++) {
        struct todo todo;
        struct action action;
        more = false;
        for (uint32_t i = 0; i < world->engine_count; i++) {
            while (turn < TURNS_MAX && engine_next_todo(world->engines[i], &todo)) {
                do_todo(world, i, todo);
                more = true;
                turn++;
            }
            while (engine_next_action(world->engines[i], &action)) {
                do_action(world, i, &action);
                more = true;
            }
        }
        for (uint32_t i = 0; i < world->actor_count && !more; i++) {
            more = receive(world, &world->actors[i]);
        }
        for (uint32_t i = 0; i < world->engine_count && !more; i++) {
            if (engine_deadline_us(world->engines[i]) <= world->now_us) {
                struct event tick = {.kind = EVENT_TICK, .now_us = world->now_us};
                work(world, i, &tick);
                more = true;
            }
        }
        if (turn >= TURNS_MAX + world->actor_count) {
            world_problem(world, "the engine does not come to rest");
        }
    }
}

void world_end_step(struct world *world)
{
    text_clear(&world->last);
    text_add(&world->last, world->lines.bytes, world->lines.len);
    text_clear(&world->lines);
    for (uint32_t i = 0; i < world->actor_count; i++) {
        text_add(&world->last, world->actors[i].lines.bytes, world->actors[i].lines.len);
        text_clear(&world->actors[i].lines);
    }
    text_add(&world->trace, world->last.bytes, world->last.len);
}

/* --- time ---------------------------------------------------------------------- */

void world_wait(struct world *world, uint64_t us)
{
    uint64_t end_us = world->now_us + us;
    start(world);
    for (uint32_t turn = 0; world->problem[0] == '\0'; turn++) {
        uint64_t next_us = UINT64_MAX;
        for (uint32_t i = 0; i < world->engine_count; i++) {
            uint64_t due_us = engine_deadline_us(world->engines[i]);
            next_us = due_us < next_us ? due_us : next_us;
        }
        if (next_us > end_us) {
            break;
        }
        world->now_us = next_us > world->now_us ? next_us : world->now_us;
        for (uint32_t i = 0; i < world->engine_count; i++) {
            struct event tick = {.kind = EVENT_TICK, .now_us = world->now_us};
            work(world, i, &tick);
        }
        world_pump(world);
        if (turn == TURNS_MAX) {
            world_problem(world, "the timers do not come to rest");
        }
    }
    world->now_us = end_us;
}

/* --- commands ---------------------------------------------------------------------- */

struct actor *world_open(struct world *world, uint32_t engine, bool is_unix, bool tls_first)
{
    struct origin origin = {
        .is_unix = is_unix, .family = is_unix ? 0 : 4, .address = {192, 0, 2, 1}, .port = 40000};
    struct handle handle;
    start(world);
    world_engine_works = true;
    int code = engine_open(world->engines[engine], &origin, tls_first, world->now_us, &handle);
    world_engine_works = false;
    if (code != 0) {
        text_format(&world->lines, "    refused: %s\n", error_name(code));
        return NULL;
    }
    struct actor *actor = add_actor(world, ACTOR_CLIENT, NULL);
    actor->engine = engine;
    actor->handle = handle;
    actor->open = true;
    actor->handshake = tls_first;
    return actor;
}

void world_send(struct world *world, struct actor *actor, const void *bytes, size_t len)
{
    if (!actor->open) {
        return;
    }
    text_add(&actor->in, bytes, len);
    world_pump(world);
}

static bool tls_ends(struct world *world, struct actor *actor, bool ok)
{
    struct tls_facts facts = {.alpn_postgresql = true, .version = "TLSv1.3"};
    if (!actor->handshake) {
        return false;
    }
    actor->handshake = false;
    step(world, actor,
         ok ? (struct event){.kind = EVENT_TLS, .tls = &facts}
            : (struct event){.kind = EVENT_TLS, .code = ERR_TLS, .text = "scripted"});
    return true;
}

static bool actor_command(struct world *world, struct actor *actor, const char *rest)
{
    unsigned long bytes;
    if (!actor->open) {
        return false;
    }
    if (strcmp(rest, "closes") == 0) {
        actor->eof = true;
        if (!engine_reading(world->engines[actor->engine], actor->handle)) {
            actor->eof = false; /* the poller reports it all the same */
            step(world, actor, (struct event){.kind = EVENT_EOF});
        }
    } else if (strcmp(rest, "resets") == 0) {
        text_clear(&actor->in);
        actor->deaf = true;
        step(world, actor, (struct event){.kind = EVENT_EOF, .code = ERR_IO, .text = "reset"});
    } else if (strcmp(rest, "stops reading") == 0) {
        actor->takes = 0;
    } else if (strcmp(rest, "reads") == 0) {
        actor->takes = UINT64_MAX;
        transmit(world, actor);
    } else if (sscanf(rest, "reads %lu", &bytes) == 1) {
        actor->takes = bytes;
        transmit(world, actor);
    } else if (strcmp(rest, "tls ok") == 0 || strcmp(rest, "tls fails") == 0) {
        return tls_ends(world, actor, strcmp(rest, "tls ok") == 0);
    } else if (strcmp(rest, "accepts") == 0 || strcmp(rest, "refuses") == 0) {
        return answer_dial(world, actor, strcmp(rest, "accepts") == 0);
    } else {
        return false;
    }
    return true;
}

static bool opens(struct world *world, const char *name, const char *rest)
{
    const char *at = strstr(rest, " at ");
    uint32_t engine = at == NULL ? 0 : (uint32_t)strtoul(at + 4, NULL, 10);
    struct actor *actor =
        world_open(world, engine, strstr(rest, " unix") != NULL, strstr(rest, " tls") != NULL);
    if (actor != NULL) {
        snprintf(actor->name, sizeof(actor->name), "%s", name);
    }
    return true;
}

static bool logs_in(struct world *world, const char *name, const char *rest)
{
    struct text words = {0};
    if (!opens(world, name, "opens")) {
        return false;
    }
    text_format(&words, "Startup 3.0%s%s%s", strstr(rest, "user=") == NULL ? " user=alice" : "",
                strstr(rest, "database=") == NULL ? " database=app" : "", rest);
    struct actor *actor = world_actor(world, name);
    bool understood = actor == NULL || words_to_bytes(words.bytes, true, &actor->in);
    if (actor != NULL) {
        actor->greeting = true;
    }
    text_free(&words);
    return understood;
}

static bool cancels(struct world *world, const char *rest, bool wrong)
{
    struct writer writer;
    struct actor *victim = world_actor(world, rest);
    struct actor *actor = victim == NULL ? NULL : world_open(world, victim->engine, false, false);
    if (actor == NULL) {
        return false;
    }
    writer_init(&writer);
    uint32_t mark = writer_begin(&writer, 0);
    writer_u32(&writer, (1234 << 16) | 5678);
    writer_u32(&writer, victim->cancel_pid);
    writer_bytes(&writer, victim->cancel_key, victim->cancel_key_bytes);
    writer.bytes[writer.len - 1] ^= wrong;
    writer_end(&writer, mark);
    text_add(&actor->in, writer.bytes, writer.len);
    writer_fini(&writer);
    snprintf(actor->name, sizeof(actor->name), "cancel");
    return true;
}

/* The answer to ACTION_ASK_OS_USER. */
static bool os_user(struct world *world, const char *rest)
{
    struct actor *actor = actor_of(world, world->asked_engine, world->asked);
    const char *name = strcmp(rest, "none") == 0 ? NULL : rest;
    if (actor != NULL) {
        step(world, actor, (struct event){.kind = EVENT_OS_USER, .text = name});
    }
    return true;
}

static bool secret(struct world *world, const char *rest)
{
    struct word *word = malloc(sizeof(*word));
    struct actor *actor = actor_of(world, world->asked_engine, world->asked);
    struct secret_answer answer = {0};
    if (word == NULL || !word_next(&rest, word)) {
        free(word);
        return false;
    }
    answer.found = word->quoted;
    answer.secret = word->quoted ? word->bytes : NULL;
    answer.code = !word->quoted && strcmp(word->bytes, "fails") == 0 ? ERR_CONNECT : 0;
    if (actor != NULL) {
        step(world, actor, (struct event){.kind = EVENT_SECRET, .secret = &answer});
    }
    free(word);
    return true;
}

static bool reload(struct world *world, const char *rest)
{
    text_format(&world->settings, "%s ", rest);
    start(world);
    struct options *fresh = world_options(world);
    for (uint32_t i = 0; i < world->engine_count; i++) {
        struct event event = {.kind = EVENT_OPTIONS, .now_us = world->now_us, .options = fresh};
        work(world, i, &event);
    }
    options_unref(world->options);
    world->options = fresh;
    return true;
}

static bool world_command(struct world *world, const char *command)
{
    unsigned long amount;
    char unit[4];
    if (strncmp(command, "options ", 8) == 0) {
        text_format(&world->settings, "%s ", command + 8);
        return world->shared == NULL;
    }
    if (strncmp(command, "reload ", 7) == 0) {
        return reload(world, command + 7);
    }
    if (sscanf(command, "wait %lu%2s", &amount, unit) == 2) {
        world_wait(world, amount * (strcmp(unit, "s") == 0    ? UINT64_C(1000000)
                                    : strcmp(unit, "ms") == 0 ? UINT64_C(1000)
                                                              : UINT64_C(1)));
        return true;
    }
    if (strncmp(command, "os user ", 8) == 0) {
        return os_user(world, command + 8);
    }
    if (strncmp(command, "secret ", 7) == 0) {
        return secret(world, command + 7);
    }
    if (strncmp(command, "cancel ", 7) == 0) {
        return cancels(world, command + 7, false);
    }
    if (strncmp(command, "wrong cancel ", 13) == 0) {
        return cancels(world, command + 13, true);
    }
    if (strcmp(command, "drain") == 0) {
        start(world);
        for (uint32_t i = 0; i < world->engine_count; i++) {
            struct event event = {.kind = EVENT_DRAIN, .now_us = world->now_us};
            work(world, i, &event);
        }
        return true;
    }
    return world_replicas(world, command);
}

/* "C1> ...", "C1 opens ..." */
static bool actor_line(struct world *world, const char *command)
{
    char name[16];
    size_t len = strcspn(command, " >");
    if (len >= sizeof(name)) {
        return false;
    }
    memcpy(name, command, len);
    name[len] = '\0';
    if (strncmp(command + len, " opens", 6) == 0) {
        return opens(world, name, command + len + 1);
    }
    if (strncmp(command + len, " logs in", 8) == 0) {
        return logs_in(world, name, command + len + 8);
    }
    struct actor *actor = world_actor(world, name);
    if (actor == NULL) {
        return false;
    }
    if (command[len] == '>') {
        return !actor->open ||
               words_to_bytes(command + len + 1, actor->kind == ACTOR_CLIENT, &actor->in);
    }
    return actor_command(world, actor, command + len + 1);
}

bool world_do(struct world *world, const char *format, ...)
{
    char command[8192];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(command, sizeof(command), format, arguments);
    va_end(arguments);
    bool understood = world_command(world, command) || actor_line(world, command);
    if (world->shared != NULL) {
        world_pump(world);
    }
    world_end_step(world);
    return understood;
}

static uint32_t count(const struct text *in, const char *text)
{
    uint32_t found = 0;
    const char *at = in->bytes == NULL ? "" : in->bytes;
    for (at = strstr(at, text); at != NULL; at = strstr(at + 1, text)) {
        found++;
    }
    return found;
}

uint32_t world_count(const struct world *world, const char *text)
{
    return count(&world->trace, text);
}

uint32_t world_count_last(const struct world *world, const char *text)
{
    return count(&world->last, text);
}
