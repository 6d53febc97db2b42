/* A server that lies: its bytes in the login and after it, while clients do ordinary things.
 *
 * The input is a sequence of steps. A byte below 0xe0: so many bytes follow that the server says.
 * Any other byte is something that a client, the clock or the network does.
 */
#include <stdio.h>
#include <string.h>

#include "protocol/message.h"
#include "tests/fuzz/fuzz.h"

static const char *const steps[] = {
    "C1> Query \"select 1\"",
    "C1> Parse \"a\" \"select 1\" | Bind \"\" \"a\" | Execute \"\" 0 | Sync",
    "C1> Parse \"\" \"select 1\" | Bind \"\" \"\" | Describe P \"\" | Flush",
    "C1> Query \"copy t from stdin\" | CopyData \"x\" | CopyDone",
    "C1> Close S \"a\" | Close P \"\" | Sync",
    "C1> Sync",
    "C1> Execute \"\" 0",
    "C1> CopyData \"x\" | CopyFail \"no\"",
    "C2> Query \"select 2\"",
    "C2> Parse \"a\" \"select 2\" | Describe S \"a\" | Sync",
    "C2> FunctionCall 1",
    "C2 closes",
    "C1 resets",
    "wait 300ms",
    "wait 3s",
    "cancel C1",
    "K1 closes",
    "C3 logs in TimeZone=UTC",
    "C3> Query \"select 3\"",
    "C3 stops reading",
    "C3 reads",
    "S1 closes",
    "S1 tls ok",
    "C1> Terminate",
    "drain",
    "reload size=2",
};

static const char *const choices[] = {
    "server=manual size=1 server_password=secret connect_timeout=2000",
    "server=manual sslmode=require size=1 server_password=secret connect_timeout=2000",
    "server=auto size=1 query_timeout=200",
    "server=auto size=1 mode=session",
    "server=auto size=2 prepared_statements=1",
    "server=auto size=1 mode=statement",
    "server=auto size=1 workers=2",
    "server=manual channel_binding=require sslmode=prefer server_password=secret",
};

static struct actor *last_server(struct world *world)
{
    for (uint32_t i = world->actor_count; i > 0; i--) {
        if (world->actors[i - 1].kind == ACTOR_SERVER && world->actors[i - 1].open) {
            return &world->actors[i - 1];
        }
    }
    return NULL;
}

static void accept_all(struct world *world)
{
    for (uint32_t i = 0; i < world->actor_count; i++) {
        struct actor *actor = &world->actors[i];
        if (actor->open && !actor->dialed && actor->kind != ACTOR_CLIENT) {
            world_do(world, "%s accepts", actor->name);
        }
    }
}

void fuzz_one(const uint8_t *bytes, size_t len)
{
    if (len == 0) {
        return;
    }
    struct world *world = fuzz_world(choices[bytes[0] & 7]);
    world_do(world, "C1 logs in");
    world_do(world, "C2 logs in");
    uint32_t spent = 0; /* what costs more than its byte pays for: ticks, connections */
    for (size_t at = 1; at < len && world->actor_count < WORLD_ACTORS_MAX - 8;) {
        uint8_t step = bytes[at++];
        accept_all(world);
        if (step < 0xe0) {
            size_t said = len - at < step ? len - at : step;
            struct actor *server = last_server(world);
            if (server != NULL && !server->handshake) {
                world_send(world, server, bytes + at, said);
            }
            at += said;
        } else if (step - 0xe0 < (int)(sizeof(steps) / sizeof(steps[0]))) {
            const char *command = steps[step - 0xe0];
            bool costs = strchr("wcrd", command[0]) != NULL; /* wait, cancel, reload, drain */
            if ((spent += costs ? 8 : 1) > 100) {
                continue;
            }
            if (strncmp(command, "C3 logs", 7) != 0 || world_actor(world, "C3") == NULL) {
                world_do(world, "%s", command);
            }
        }
    }
    world_wait(world, 20 * 1000 * 1000);
    fuzz_world_end(world);
}
