/* A client's bytes from the first one on: startup, encryption requests, authentication.
 *
 * The first byte chooses the method and the size of the segments. Nobody knows the secret, so
 * unless the method is trust nobody may get in.
 */
#include <stdio.h>
#include <string.h>

#include "protocol/message.h"
#include "tests/fuzz/fuzz.h"

static const char *const choices[] = {
    "auth=trust tls=prefer",
    "auth=password users=\"\\\"alice\\\" \\\"0b7b2e6d9b1c\\\"\"",
    "auth=md5 users=\"\\\"alice\\\" \\\"0b7b2e6d9b1c\\\"\"",
    "auth=scram users=\"\\\"alice\\\" \\\"0b7b2e6d9b1c\\\"\" tls=prefer",
    "auth=md5 users=\"\\\"alice\\\" \\\"md50123456789abcdef0123456789abcdef\\\"\"",
    "auth=scram tls=require",
    "auth=hba hba=\"hostssl all all all cert\\nhost app all all scram-sha-256\"",
    "auth=cert tls=require",
};

static void nobody_gets_in(struct world *world, struct actor *actor, const uint8_t *message,
                           size_t bytes)
{
    (void)world;
    if (actor->kind == ACTOR_CLIENT && message[0] == BACKEND_AUTHENTICATION && bytes == 9 &&
        words_u32(message + 5) == 0) {
        fuzz_fail("a client without a password got in");
    }
}

void fuzz_one(const uint8_t *bytes, size_t len)
{
    if (len == 0) {
        return;
    }
    uint32_t choice = bytes[0] & 7;
    size_t step = (size_t)(bytes[0] >> 3) * 7 + 1;
    struct world *world = fuzz_world(choices[choice]);
    world->listener = choice == 0 ? fuzz_server_listener : nobody_gets_in;
    struct actor *client = world_open(world, 0, (bytes[0] & 0x80) != 0, false);
    for (size_t at = 1; at < len && client->open; at += step) {
        world_send(world, client, bytes + at, len - at < step ? len - at : step);
        if (client->handshake) {
            world_do(world, "C1 tls %s", (bytes[0] & 0x40) != 0 ? "ok" : "fails");
        }
        if (!handle_is_none(world->asked)) {
            world_do(world, "secret %s", (bytes[0] & 0x20) != 0 ? "\"5f2d8a61c0\"" : "none");
            world->asked = (struct handle){0};
        }
    }
    world_wait(world, 11 * 1000 * 1000);
    if (choice != 0 && client->open) {
        fuzz_fail("a login without an end");
    }
    fuzz_world_end(world);
}
