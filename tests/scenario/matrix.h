/* What the generated scenarios share. */
#ifndef TESTS_SCENARIO_MATRIX_H
#define TESTS_SCENARIO_MATRIX_H

#include <criterion/criterion.h>

#include "tests/scenario/driver.h"

/* A world with these options; its end checks that no rule was broken. */
static inline struct world *matrix_world(const char *options)
{
    struct world *world = world_new();
    cr_assert(world_do(world, "options log=-1 %s", options));
    world->logs = false;
    world->cheap_keys = true;
    return world;
}

static inline void matrix_end(struct world *world, const char *what)
{
    cr_assert_str_empty(world->problem, "%s: %s", what, world->problem);
    world_free(world);
}

/* Sends the words from that actor in one segment, whatever state it is in. */
static inline void matrix_say(struct world *world, const char *name, const char *words)
{
    struct actor *actor = world_actor(world, name);
    struct text bytes = {0};
    cr_assert(words_to_bytes(words, actor->kind == ACTOR_CLIENT, &bytes), "%s", words);
    world_send(world, actor, bytes.bytes, bytes.len);
    text_free(&bytes);
    world_end_step(world);
}

/* Bytes that the engine holds for its connections. */
uint64_t matrix_memory(const struct world *world);

/* Whether a second client of the same pool gets its own answer, and nothing else: the witness. The
 * link that it is given answers by itself. */
void matrix_witness(struct world *world, const char *what);

#endif
