#include "tests/fuzz/fuzz.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "protocol/message.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

void fuzz_fail(const char *what)
{
    fprintf(stderr, "fuzz: %s\n", what);
    abort();
}

static uint64_t cpu_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

/* Of an input that plays a world only the engine's steps count, not the world around them. */
static uint64_t step_from_us, steps_us, step_count;

static void measure_step(bool before)
{
    if (before) {
        step_from_us = cpu_us();
    } else {
        steps_us += cpu_us() - step_from_us;
        step_count++;
    }
}

static uint64_t run_us(const uint8_t *bytes, size_t len)
{
    uint64_t from_us = cpu_us();
    steps_us = 0;
    step_count = 0;
    world_measure = measure_step;
    fuzz_one(bytes, len);
    return step_count > 0 ? steps_us : cpu_us() - from_us;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    uint64_t cap_us = 10000 + 2 * len;
    if (run_us(bytes, len) > cap_us && run_us(bytes, len) > cap_us && run_us(bytes, len) > cap_us) {
        fprintf(stderr, "%lu us in %lu steps\n", (unsigned long)steps_us,
                (unsigned long)step_count);
        fuzz_fail("an input costs too much CPU time");
    }
    return 0;
}

struct world *fuzz_world(const char *options)
{
    struct world *world = world_new();
    world->quiet = getenv("FUZZ_TRACE") == NULL;
    world->cheap_keys = true;
    world_do(world, "options %s", options);
    return world;
}

void fuzz_world_end(struct world *world)
{
    world_end_step(world);
    if (!world->quiet) {
        fprintf(stderr, "%s", world->trace.bytes);
    }
    if (world->problem[0] != '\0') {
        fuzz_fail(world->problem);
    }
    world_free(world);
}

/* --- a fake server --------------------------------------------------------------------------- */

static void say(struct actor *actor, const char *words)
{
    if (!words_to_bytes(words, false, &actor->in)) {
        fuzz_fail("the fake server's own words");
    }
}

/* Whether a message's body has that text, wherever. */
static bool has(const uint8_t *message, size_t bytes, const char *text)
{
    return memmem(message + MESSAGE_HEADER_BYTES, bytes - MESSAGE_HEADER_BYTES, text,
                  strlen(text)) != NULL;
}

/* One row with the text of the query, so that whoever gets it can be told. */
static void say_row(struct actor *actor, const uint8_t *message, size_t bytes)
{
    struct text row = {0};
    uint32_t len = (uint32_t)(bytes - MESSAGE_HEADER_BYTES);
    uint8_t head[11] = {'D', 0, 0, 0, 0, 0, 1};
    for (uint32_t i = 0; i < 4; i++) {
        head[1 + i] = (uint8_t)((len + 10) >> (24 - 8 * i));
        head[7 + i] = (uint8_t)(len >> (24 - 8 * i));
    }
    text_add(&row, head, sizeof(head));
    text_add(&row, message + MESSAGE_HEADER_BYTES, len);
    text_add(&actor->in, row.bytes, row.len);
    text_free(&row);
}

static void say_ready(struct actor *actor)
{
    say(actor, actor->server_status == 'E'   ? "ReadyForQuery E"
               : actor->server_status == 'T' ? "ReadyForQuery T"
                                             : "ReadyForQuery I");
}

static void fail(struct actor *actor)
{
    actor->server_copies = false;
    actor->server_status = actor->server_status == 'T' ? 'E' : actor->server_status;
    say(actor, "ErrorResponse ERROR 42601 \"an error\"");
}

static void hear_query(struct actor *actor, const uint8_t *message, size_t bytes)
{
    if (has(message, bytes, "error")) {
        fail(actor);
        say_ready(actor);
    } else if (has(message, bytes, "copy in")) {
        say(actor, "CopyInResponse");
        actor->server_copies = true;
    } else if (has(message, bytes, "copy out")) {
        say(actor, "CopyOutResponse | CopyData \"x\" | CopyDone | CommandComplete \"COPY 1\"");
        say_ready(actor);
    } else {
        actor->server_status = has(message, bytes, "begin")    ? 'T'
                               : has(message, bytes, "commit") ? 'I'
                                                               : actor->server_status;
        if (has(message, bytes, "ROLLBACK")) {
            actor->server_status = 'I';
        }
        say_row(actor, message, bytes);
        say(actor, has(message, bytes, "discard") ? "CommandComplete \"DISCARD ALL\""
                                                  : "CommandComplete \"SELECT 1\"");
        say_ready(actor);
    }
}

static void hear_copying(struct actor *actor, uint8_t type)
{
    if (type == FRONTEND_COPY_DONE) {
        actor->server_copies = false;
        say(actor, "CommandComplete \"COPY 1\"");
        say_ready(actor);
    } else if (type != FRONTEND_COPY_DATA && type != FRONTEND_FLUSH && type != FRONTEND_SYNC) {
        fail(actor); /* as CopyGetData, copyfromparse.c: out of step, so the connection ends */
        say(actor, "ErrorResponse FATAL 08P01 \"protocol synchronization was lost\"");
        actor->eof = true;
    }
}

static void hear_extended(struct actor *actor, const uint8_t *message, size_t bytes)
{
    if (has(message, bytes, "error") && message[0] != FRONTEND_SYNC) {
        fail(actor);
        actor->server_skips = true;
        return;
    }
    switch (message[0]) {
    case FRONTEND_PARSE:
        say(actor, "ParseComplete");
        return;
    case FRONTEND_BIND:
        say(actor, "BindComplete");
        return;
    case FRONTEND_DESCRIBE:
        say(actor, message[5] == 'S' ? "ParameterDescription | NoData" : "NoData");
        return;
    case FRONTEND_EXECUTE:
        say(actor, "DataRow \"x\" | CommandComplete \"SELECT 1\"");
        return;
    case FRONTEND_CLOSE:
        say(actor, "CloseComplete");
        return;
    }
}

void fuzz_server_listener(struct world *world, struct actor *actor, const uint8_t *message,
                          size_t bytes)
{
    (void)world;
    if (actor->kind != ACTOR_SERVER) {
        return;
    }
    actor->server_status = actor->server_status == 0 ? 'I' : actor->server_status;
    if (message[0] == FRONTEND_SYNC && !actor->server_copies) {
        actor->server_skips = false;
        say_ready(actor);
    } else if (actor->server_skips || (!actor->server_copies && strchr("dcfH", message[0]))) {
        return; /* COPY's messages outside a COPY are ignored (PostgresMain, postgres.c) */
    } else if (actor->server_copies) {
        hear_copying(actor, message[0]);
    } else if (message[0] == FRONTEND_QUERY) {
        hear_query(actor, message, bytes);
    } else if (message[0] == FRONTEND_FUNCTION_CALL) {
        say(actor, "FunctionCallResponse \"x\"");
        say_ready(actor);
    } else {
        hear_extended(actor, message, bytes);
    }
}
