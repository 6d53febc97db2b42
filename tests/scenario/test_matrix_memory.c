/* Generated scenarios: memory runs out at the first allocation of the engine, at the second, and so
 * on, until a run needs none any more.
 *
 * Allocations are wrapped (-Wl,--wrap) and fail only while the engine is at work, once. Nothing may
 * crash or leak; whoever is left has its own answers.
 */
#include <stdlib.h>
#include <string.h>

#include "tests/scenario/matrix.h"

static uint64_t left;    /* allocations until one fails; UINT64_MAX = none does */
static uint64_t counted; /* while the engine was at work */

static bool fails(void)
{
    if (!world_engine_works) {
        return false;
    }
    counted++;
    return left != UINT64_MAX && left-- == 0 && (left = UINT64_MAX, true);
}

void *__real_malloc(size_t bytes);
void *__real_calloc(size_t count, size_t bytes);
void *__real_realloc(void *old, size_t bytes);
char *__real_strdup(const char *text);

void *__wrap_malloc(size_t bytes)
{
    return fails() ? NULL : __real_malloc(bytes);
}

void *__wrap_calloc(size_t count, size_t bytes)
{
    return fails() ? NULL : __real_calloc(count, bytes);
}

void *__wrap_realloc(void *old, size_t bytes)
{
    return fails() ? NULL : __real_realloc(old, bytes);
}

char *__wrap_strdup(const char *text)
{
    return fails() ? NULL : __real_strdup(text);
}

static const struct story {
    const char *name, *options, *lines[24];
} stories[] = {
    {"login",
     "auth=password users=\"\\\"alice\\\" \\\"right\\\"\"",
     {"C1 logs in", "C1> Password \"right\"", "C1> Query \"select 1\"",
      "S1> CommandComplete \"SELECT 1\" | ReadyForQuery I", "C1> Terminate"}},
    {"scram",
     "auth=scram users=\"\\\"alice\\\" \\\"right\\\"\"",
     {"C1 logs in", "C1> SaslInitial \"SCRAM-SHA-256\" \"n,,n=,r=abcdefghijklmnop\"",
      "C1> Sasl \"c=biws,r=x,p=AAAA\"", "wait 1s"}},
    {"refused", "server=manual", {"C1 logs in", "C2 logs in", "S1 refuses", "wait 1s"}},
    {"settings",
     "",
     {"C1 logs in TimeZone=x application_name=y",
      "S1> ParseComplete | BindComplete | DataRow \"y\" | CommandComplete \"SELECT 1\"",
      "S1> ParseComplete | BindComplete | DataRow \"x\" | CommandComplete \"SELECT 1\" | "
      "ParameterStatus TimeZone x | ParameterStatus application_name y | ReadyForQuery I",
      "C2 logs in", "C2> Query \"select 1\""}},
    {"settings-refused",
     "",
     {"C1 logs in TimeZone=x",
      "S1> ParseComplete | BindComplete | ErrorResponse ERROR 22023 \"no\" | ReadyForQuery I"}},
    {"prepared",
     "size=1 prepared_statements=1",
     {"C1 logs in", "C2 logs in", "C1> Parse \"a\" \"select 1\" | Bind \"\" \"a\" | Sync",
      "S1> ParseComplete | BindComplete | ReadyForQuery I",
      "C2> Parse \"b\" \"select 2\" | Bind \"\" \"b\" | Close S \"b\" | Sync",
      "S1> CloseComplete | ParseComplete | BindComplete | ReadyForQuery I",
      "C1> Parse \"\" \"select 3\" | Bind \"\" \"\" | Bind \"\" \"a\" | Sync",
      "S1> ParseComplete | BindComplete | CloseComplete | ParseComplete | BindComplete | "
      "ReadyForQuery I",
      "C2> Query \"discard all\"", "S1> CommandComplete \"DISCARD ALL\" | ReadyForQuery I"}},
    {"pipeline-error",
     "",
     {"C1 logs in", "C1> Parse \"a\" \"selec\" | Bind \"\" \"a\" | Parse \"\" \"x\" | Sync",
      "S1> ErrorResponse ERROR 42601 \"no\" | ReadyForQuery I"}},
    {"waiting",
     "wait_timeout=100",
     {"C1 logs in", "C2 logs in", "C1> Query \"begin\"",
      "S1> CommandComplete \"BEGIN\" | ReadyForQuery T", "C2> Query \"select 1\"", "wait 100ms",
      "C2> Query \"select 2\"", "C1 closes", "S1> CommandComplete \"ROLLBACK\" | ReadyForQuery I"}},
    {"cut",
     "",
     {"C1 logs in", "C1> bytes 50 00 00 10 00 61 00", "C1> bytes 73656c656374", "C1 resets"}},
    {"cancel",
     "",
     {"C1 logs in", "C1> Query \"select 1\"", "cancel C1",
      "S1> ErrorResponse ERROR 57014 \"no\" | ReadyForQuery I", "K1 closes"}},
    {"reload", "", {"C1 logs in", "reload server_host=other size=2", "C1> Query \"select 1\""}},
    {"workers",
     "workers=2",
     {"C1 opens at 0", "C1> Startup 3.0 user=alice database=app", "C2 opens at 1",
      "C2> Startup 3.0 user=alice database=app",
      "C1> Parse \"a\" \"select 1\" | Bind \"\" \"a\" | Sync",
      "S1> ParseComplete | BindComplete | ReadyForQuery I", "C2> Query \"select 1\"",
      "S1> CommandComplete \"SELECT 1\" | ReadyForQuery I"}},
};

/* Plays the story with the allocation of that number failing; how many there were. */
static uint64_t play(const struct story *story, uint64_t number)
{
    struct world *world = matrix_world(story->options);
    counted = 0;
    left = number;
    for (const char *const *at = story->lines; *at != NULL; at++) {
        world_do(world, "%s", *at); /* an actor that the failure has ended says nothing */
    }
    uint64_t used = counted;
    left = UINT64_MAX;
    world_do(world, "wait 120s");
    cr_assert_str_empty(world->problem, "%s without allocation %lu: %s\n%s", story->name, number,
                        world->problem, world->trace.bytes);
    matrix_end(world, story->name);
    return used;
}

Test(matrix_memory, T52_every_allocation_fails_in_turn)
{
    for (size_t i = 0; i < sizeof(stories) / sizeof(stories[0]); i++) {
        uint64_t used = play(&stories[i], UINT64_MAX);
        cr_assert_gt(used, 5, "%s: the allocations are not wrapped", stories[i].name);
        for (uint64_t number = 0; number < used; number++) {
            play(&stories[i], number);
        }
    }
}

/* A message's block is made once, however small the segments are that bring it. */
Test(matrix_memory, a_large_message_in_small_segments_is_allocated_once)
{
    static const uint8_t header[] = {'P', 0, 8, 0, 0, 'a', 0};
    left = UINT64_MAX;
    struct world *world = matrix_world("");
    world_do(world, "C1 logs in");
    world_send(world, world_actor(world, "C1"), header, sizeof(header));
    counted = 0;
    for (int i = 0; i < 2000; i++) {
        world_send(world, world_actor(world, "C1"), "x", 1);
    }
    cr_assert_leq(counted, 2);
    matrix_end(world, "segments");
}
