/* A client's bytes after the login, with a server that behaves, and a second client beside it.
 *
 * The first byte chooses the pool's mode, the second the size of the segments. Between segments the
 * second client asks for its own name, and must get nothing but that.
 */
#include <string.h>

#include "protocol/message.h"
#include "tests/fuzz/fuzz.h"

static const char *const choices[] = {
    "mode=transaction size=1",
    "mode=transaction size=2 prepared_statements=2 query_timeout=500",
    "mode=statement size=1 wait_timeout=300",
    "mode=session size=2 idle_transaction_timeout=400",
    "mode=transaction size=1 prepared_statements=0 wait_timeout=300",
    "mode=transaction size=1 workers=2 client_idle_timeout=700",
    "mode=session size=1 wait_timeout=300",
    "mode=transaction size=1 prepared_statements=1",
};

static void witness(struct world *world, struct actor *actor, const uint8_t *message, size_t bytes)
{
    if (actor->kind == ACTOR_SERVER) {
        fuzz_server_listener(world, actor, message, bytes);
        return;
    }
    bool second = strcmp(actor->name, "C2") == 0;
    bool own = bytes == 11 + 12 && memcmp(message + 11, "i am second", 12) == 0;
    if (message[0] == BACKEND_DATA_ROW && second && !own) {
        fuzz_fail("the second client got what is not its own");
    }
}

void fuzz_one(const uint8_t *bytes, size_t len)
{
    if (len < 2) {
        return;
    }
    size_t step = (size_t)(bytes[1] & 0x7f) * (bytes[1] & 0x7f) + 1 + len / 256;
    struct world *world = fuzz_world(choices[bytes[0] & 7]);
    world->listener = witness;
    world_do(world, "C1 logs in");
    world_do(world, "C2 logs in");
    struct actor *client = world_actor(world, "C1"), *second = world_actor(world, "C2");
    for (size_t at = 2, turn = 0; at < len && client->open; at += step, turn++) {
        world_send(world, client, bytes + at, len - at < step ? len - at : step);
        if (turn % 16 == 3 && second->open) {
            world_do(world, "C2> Query \"i am second\"");
        }
        if (turn % 16 == 9) {
            world_wait(world, 200 * 1000);
        }
    }
    if ((bytes[1] & 0x80) != 0) {
        world_do(world, (bytes[0] & 0x80) != 0 ? "C1 closes" : "C1 resets");
    }
    world_wait(world, 20 * 1000 * 1000);
    bool answered = true;
    if (second->open && (bytes[0] & 7) != 3 && (bytes[0] & 7) != 6 && !client->open) {
        second->heard = 0;
        world_do(world, "C2> Query \"i am second\"");
        answered = second->heard > 0;
    }
    fuzz_world_end(world);
    if (!answered) {
        fuzz_fail("the second client got no answer");
    }
}
