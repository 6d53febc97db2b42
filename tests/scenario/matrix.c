#include "tests/scenario/matrix.h"

#include <string.h>

#include "pool/core.h"

uint64_t matrix_memory(const struct world *world)
{
    return world->engines[0]->blocks.allocated_bytes;
}

static struct actor *newest_server(struct world *world)
{
    for (uint32_t i = world->actor_count; i > 0; i--) {
        if (world->actors[i - 1].kind == ACTOR_SERVER && world->actors[i - 1].open) {
            return &world->actors[i - 1];
        }
    }
    return NULL;
}

void matrix_witness(struct world *world, const char *what)
{
    static const char answer[] =
        "DataRow \"mine\" | CommandComplete \"SELECT 1\" | ReadyForQuery I";
    if (world_actor(world, "W") == NULL) {
        world_do(world, "W logs in");
    }
    cr_assert(world_actor(world, "W")->open, "%s: the witness was ended", what);
    world_do(world, "W> Query \"select 'mine'\"");
    for (uint32_t turn = 0; turn < 4 && world_count(world, "W< DataRow \"mine\"") == 0; turn++) {
        struct actor *server = newest_server(world);
        if (server == NULL) {
            break;
        }
        bool asked = strstr(world->last.bytes, "Query \"select 'mine'\"") != NULL;
        bool cleans = strstr(world->last.bytes, "Query \"ROLLBACK\"") != NULL;
        world_do(world, "%s> %s", server->name,
                 asked    ? answer
                 : cleans ? "CommandComplete \"ROLLBACK\" | ReadyForQuery I"
                          : "ParseComplete");
    }
    cr_assert_eq(world_count(world, "W< DataRow"), 1, "%s\n%s", what, world->trace.bytes);
    cr_assert_eq(world_count(world, "W< DataRow \"mine\""), 1, "%s\n%s", what, world->trace.bytes);
    cr_assert_eq(world_count(world, "W< ErrorResponse"), 0, "%s\n%s", what, world->trace.bytes);
}
