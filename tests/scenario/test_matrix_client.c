/* Generated scenarios: what a client may send, in every order, length and cut. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/limits.h"
#include "base/random.h"
#include "protocol/message.h"
#include "tests/scenario/matrix.h"

static const char *const before_auth[] = {
    "SSLRequest",
    "GSSENCRequest",
    "Startup 3.0 user=alice database=app",
    "Startup 3.2 user=bob database=app replication=database",
    "Startup 3.0 database=app",
    "Startup 2.0 user=alice",
    "bytes 00000010 04d2162e 00400000 01020304",
    "Password \"wrong\"",
    "SaslInitial \"SCRAM-SHA-256\" \"n,,n=,r=abcdefghijklmnop\"",
    "Sasl \"c=biws,r=abc,p=AAAA\"",
    "Query \"select 1\"",
    "Parse \"\" \"select 1\"",
    "Sync",
    "Terminate",
    "bytes 00",
    "bytes ff ff ff ff ff",
};
enum { BEFORE_AUTH = sizeof(before_auth) / sizeof(before_auth[0]) };

/* S02: all ordered triples of what can be sent before the login has ended (CVE-2015-4054). */
static void play_triple(const char *options, const int *which)
{
    struct world *world = matrix_world(options);
    world_do(world, "C1 opens");
    for (int i = 0; i < 3; i++) {
        matrix_say(world, "C1", before_auth[which[i]]);
        if (!handle_is_none(world->asked)) {
            world_do(world, "secret \"right\"");
            world->asked = (struct handle){0};
        }
    }
    world_do(world, "wait 11s");
    cr_assert_eq(world_count(world, "C1< Authentication 0"), 0, "%s", world->trace.bytes);
    cr_assert_eq(world_count(world, "C1< ReadyForQuery"), 0, "%s", world->trace.bytes);
    cr_assert_leq(world_count(world, "C1< ErrorResponse"), 1, "%s", world->trace.bytes);
    cr_assert_eq(world_count(world, "C1< ErrorResponse"),
                 world_count(world, "C1< ErrorResponse FATAL"), "%s", world->trace.bytes);
    cr_assert_eq(world_count(world, "C1 closed"), 1, "%s", world->trace.bytes);
    cr_assert_eq(world_count(world, "dialed"), 0, "%s", world->trace.bytes);
    matrix_end(world, options);
}

static void play_triples(const char *options)
{
    for (int i = 0; i < BEFORE_AUTH * BEFORE_AUTH * BEFORE_AUTH; i++) {
        int which[3] = {i % BEFORE_AUTH, i / BEFORE_AUTH % BEFORE_AUTH,
                        i / BEFORE_AUTH / BEFORE_AUTH};
        play_triple(options, which);
    }
}

Test(matrix_client, S02_triples_before_a_password)
{
    play_triples("auth=password");
}

Test(matrix_client, S02_triples_before_scram)
{
    play_triples("auth=scram");
}

Test(matrix_client, S02_triples_before_tls)
{
    play_triples("auth=md5 tls=require");
}

/* S04: SSLRequest and more in one stream, cut anywhere: nothing of it is taken for what follows the
 * handshake (CVE-2021-3935). */
Test(matrix_client, S04_plaintext_behind_ssl_request)
{
    struct text bytes = {0};
    words_to_bytes("SSLRequest | Startup 3.0 user=alice database=app | Query \"select 1\"", true,
                   &bytes);
    for (size_t cut = 0; cut <= bytes.len; cut++) {
        struct world *world = matrix_world("tls=prefer");
        world_do(world, "C1 opens");
        struct actor *client = world_actor(world, "C1");
        world_send(world, client, bytes.bytes, cut);
        world_send(world, client, bytes.bytes + cut, bytes.len - cut);
        world_end_step(world);
        cr_assert_eq(world_count(world, "C1< Authentication"), 0, "cut at %zu", cut);
        cr_assert_eq(world_count(world, "dialed"), 0);
        if (cut == 8) { /* in two segments at the boundary the rest is the handshake's */
            cr_assert(client->handshake);
        } else {
            cr_assert(!client->open, "cut at %zu\n%s", cut, world->trace.bytes);
        }
        matrix_end(world, "S04");
    }
    text_free(&bytes);
}

static const uint32_t lengths[] = {0,        1,           3,           4,           5,
                                   1 << 15,  1 << 16,     0x3ffffffeu, 0x3fffffffu, 0x7fffffffu,
                                   1u << 31, 0xfffffffbu, 0xffffffffu};
enum { LENGTHS = sizeof(lengths) / sizeof(lengths[0]) };

static void put_u32(uint8_t *at, uint32_t value)
{
    for (uint32_t i = 0; i < 4; i++) {
        at[i] = (uint8_t)(value >> (24 - 8 * i));
    }
}

/* A header with that length and 64 bytes of the body, then silence. */
static void play_length(const char *options, const char *before, int type, uint32_t length)
{
    uint8_t bytes[5 + 64] = {(uint8_t)type};
    struct world *world = matrix_world(options);
    world_do(world, "C1 opens");
    if (before[0] != '\0') {
        matrix_say(world, "C1", before);
    }
    uint64_t memory = matrix_memory(world);
    size_t head = type >= 0;
    put_u32(bytes + head, length);
    world_send(world, world_actor(world, "C1"), bytes, sizeof(bytes) - 1 + head);
    world_end_step(world);
    cr_assert_leq(matrix_memory(world), memory + 2 * 65536 + (1 << 20), "type %d length %u", type,
                  length);
    cr_assert_leq(world_count(world, "ErrorResponse"), 1, "%s", world->trace.bytes);
    bool possible = length >= 4 && length <= 0x3ffffffeu;
    if (!possible) {
        cr_assert(!world_actor(world, "C1")->open, "type %d length %u", type, length);
    }
    matrix_witness(world, "S07");
    matrix_end(world, "S07");
}

Test(matrix_client, S07_lengths_of_the_startup_packet)
{
    for (int i = 0; i < LENGTHS; i++) {
        play_length("auth=trust", "", -1, lengths[i]);
    }
}

Test(matrix_client, S07_lengths_of_every_message)
{
    for (int type = 0; type < 256; type++) {
        for (int i = 0; i < LENGTHS; i++) {
            play_length("auth=trust", "Startup 3.0 user=alice database=app", type, lengths[i]);
        }
    }
}

Test(matrix_client, S07_lengths_inside_sasl_initial_response)
{
    for (int i = 0; i < LENGTHS; i++) { /* CVE-2026-6664 */
        struct world *world = matrix_world("auth=scram users=\"\\\"alice\\\" \\\"x\\\"\"");
        uint8_t message[] = "p\0\0\0\x24SCRAM-SHA-256\0LLLLn,,n=,r=abcde";
        put_u32(message + 19, lengths[i]);
        world_do(world, "C1 logs in");
        world_send(world, world_actor(world, "C1"), message, 37);
        world_end_step(world);
        bool empty = lengths[i] == 0xffffffffu; /* no initial response */
        cr_assert_eq(world_count(world, "C1< Authentication 11"), 0);
        cr_assert(!world_actor(world, "C1")->open || empty, "%u\n%s", lengths[i],
                  world->trace.bytes);
        matrix_end(world, "S07");
    }
}

/* S15: what opens a connection is never taken again later (CVE-2026-107350). */
static const struct {
    const char *name, *options, *steps[6];
} later_states[] = {
    {"password", "auth=password users=\"\\\"alice\\\" \\\"x\\\"\"", {NULL}},
    {"scram", "auth=scram users=\"\\\"alice\\\" \\\"x\\\"\"", {NULL}},
    {"scram-first",
     "auth=scram users=\"\\\"alice\\\" \\\"x\\\"\"",
     {"C1> SaslInitial \"SCRAM-SHA-256\" \"n,,n=,r=abcdefghijklmnop\""}},
    {"secret", "auth=scram", {NULL}},
    {"refused",
     "auth=password users=\"\\\"alice\\\" \\\"x\\\"\" fail_delay=500",
     {"C1> Password \"wrong\""}},
    {"login", "server=manual", {NULL}},
    {"ready", "", {NULL}},
    {"query", "", {"C1> Query \"select 1\""}},
    {"transaction", "", {"C1> Query \"begin\"", "S1> CommandComplete \"BEGIN\" | ReadyForQuery T"}},
    {"copy", "", {"C1> Query \"copy t from stdin\"", "S1> CopyInResponse"}},
    {"pipeline", "", {"C1> Parse \"\" \"select 1\""}},
    {"waiting",
     "",
     {"C2 logs in", "C2> Query \"begin\"", "S1> CommandComplete \"BEGIN\" | ReadyForQuery T",
      "C1> Query \"select 1\""}},
    {"skipping",
     "wait_timeout=10",
     {"C2 logs in", "C2> Query \"begin\"", "S1> CommandComplete \"BEGIN\" | ReadyForQuery T",
      "C1> Parse \"\" \"select 1\"", "wait 10ms"}},
};

Test(matrix_client, S15_a_second_startup_at_every_later_state)
{
    static const char *const again[] = {"Startup 3.0 user=bob database=app", "SSLRequest",
                                        "GSSENCRequest",
                                        "bytes 00000010 04d2162e 00400000 01020304"};
    for (size_t state = 0; state < sizeof(later_states) / sizeof(later_states[0]); state++) {
        for (size_t i = 0; i < sizeof(again) / sizeof(again[0]); i++) {
            struct world *world = matrix_world(later_states[state].options);
            world_do(world, "C1 logs in");
            for (const char *const *at = later_states[state].steps; *at != NULL; at++) {
                cr_assert(world_do(world, "%s", *at), "%s", *at);
            }
            matrix_say(world, "C1", again[i]);
            cr_assert_eq(world_count_last(world, "S1< S"), 0, "%s\n%s", later_states[state].name,
                         world->trace.bytes);
            world_do(world, "wait 60s");
            cr_assert_eq(world_count(world, "bob"), 0, "%s", later_states[state].name);
            cr_assert_eq(world_count(world, "C1< N\n"), 0);
            bool held = !world_actor(world, "C1")->open;
            bool waits = strcmp(later_states[state].name, "waiting") == 0;
            cr_assert(held || waits, "%s, %s\n%s", later_states[state].name, again[i],
                      world->trace.bytes);
            matrix_end(world, later_states[state].name);
        }
    }
}

/* S26: every timer fires at every state, and all of them end. */
Test(matrix_client, S26_every_timer_at_every_state)
{
    for (size_t state = 0; state < sizeof(later_states) / sizeof(later_states[0]); state++) {
        struct world *world = matrix_world(later_states[state].options);
        text_format(&world->settings,
                    "query_timeout=300 idle_transaction_timeout=400 client_idle_timeout=500 "
                    "idle_timeout=600 max_lifetime=700 connect_timeout=800 ");
        world_do(world, "C1 logs in");
        for (const char *const *at = later_states[state].steps; *at != NULL; at++) {
            world_do(world, "%s", *at);
        }
        for (uint32_t i = 0; i < 40; i++) {
            world_do(world, "wait 100ms");
        }
        world_do(world, "wait 60s");
        world_do(world, "C1 resets");
        world_do(world, "wait 60s");
        matrix_end(world, later_states[state].name);
    }
}

/* S25: a client that is gone at every byte of what it sends: what follows is never read in the
 * middle of a message, and the witness has its own answer. */
static const char *const sent_by_clients[] = {
    "Query \"select 1\" | Query \"begin\"",
    "Parse \"a\" \"select 1\" | Bind \"p\" \"a\" \"value\" | Describe S \"a\" | "
    "Execute \"p\" 0 | Sync",
    "Parse \"\" \"select 1\" | Bind \"\" \"\" | Execute \"\" 0 | Close S \"\" | Flush",
    "FunctionCall 1 \"x\"",
};

Test(matrix_client, S25_gone_at_every_byte)
{
    static const char *const ends[] = {"C1 closes", "C1 resets", "C1> Terminate"};
    for (size_t i = 0; i < sizeof(sent_by_clients) / sizeof(sent_by_clients[0]); i++) {
        struct text bytes = {0};
        words_to_bytes(sent_by_clients[i], true, &bytes);
        for (size_t cut = 0; cut <= bytes.len * 3; cut++) {
            struct world *world = matrix_world("size=1");
            world_do(world, "C1 logs in");
            struct actor *client = world_actor(world, "C1");
            world_send(world, client, bytes.bytes, cut / 3);
            world_do(world, "%s", ends[cut % 3]);
            world_do(world, "wait 2s");
            if (world_actor(world, "S1")->open) {
                world_do(world, "S1 closes");
            }
            world_do(world, "wait 20s");
            cr_assert(!client->open || cut % 3 == 2, "%s cut at %zu\n%s", sent_by_clients[i],
                      cut / 3, world->trace.bytes);
            matrix_witness(world, sent_by_clients[i]);
            matrix_end(world, sent_by_clients[i]);
        }
        text_free(&bytes);
    }
}

/* S32: a great many encryption requests cost nothing, since each kind comes once at most. */
Test(matrix_client, S32_alternating_encryption_requests)
{
    struct text bytes = {0};
    struct world *world = matrix_world("");
    for (int i = 0; i < 1000; i++) {
        words_to_bytes("SSLRequest | GSSENCRequest", true, &bytes);
    }
    world_do(world, "C1 opens");
    for (int i = 0; i < 1000 && world_actor(world, "C1")->open; i++) {
        world_send(world, world_actor(world, "C1"), bytes.bytes, bytes.len);
    }
    world_end_step(world);
    cr_assert_eq(world_count(world, "C1< N\n"), 2);
    cr_assert_eq(world_count(world, "C1< ErrorResponse FATAL 08P01"), 1);
    text_free(&bytes);
    matrix_end(world, "S32");
}

/* S14: the grammar of the startup parameter `options` (CVE-2026-107349). */
Test(matrix_client, S14_grammar_of_options)
{
    static const char *const parts[] = {
        "-c", "-c ", " ", "=",       "a",   "geqo=off", "--",   "\\\\", "'",     "-",
        "+",  "\"",  "%", "--a-b=c", "\\ ", "-c=",      "-c =", "\\n",  "-c a=b"};
    struct random random = {14};
    for (int i = 0; i < 5000; i++) {
        struct text line = {0};
        struct world *world = matrix_world("");
        text_format(&line, "Startup 3.0 user=alice database=app options=\"");
        for (uint64_t k = random_below(&random, 12); k > 0; k--) {
            const char *part = parts[random_below(&random, sizeof(parts) / sizeof(parts[0]))];
            text_format(&line, part[0] == '"' ? "\\%s" : "%s", part);
        }
        text_format(&line, "\"");
        world_do(world, "C1 opens");
        matrix_say(world, "C1", line.bytes);
        uint32_t refused = world_count(world, "C1< ErrorResponse FATAL 22023");
        uint32_t taken = world_count(world, "C1< Authentication 0");
        cr_assert_eq(refused + taken, 1, "%s\n%s", line.bytes, world->trace.bytes);
        matrix_end(world, line.bytes);
        text_free(&line);
    }
}

/* A client that does not read: the server is read no further, memory stays bounded, and in the end
 * every byte is there. */
Test(matrix_client, a_slow_reader_costs_bounded_memory)
{
    static uint8_t row[5 + 100000] = {'d'};
    struct world *world = matrix_world("");
    world_do(world, "C1 logs in");
    world_do(world, "C1> Query \"copy t to stdout\"");
    world_do(world, "S1> CopyOutResponse");
    world_do(world, "C1 stops reading");
    put_u32(row + 1, sizeof(row) - 1);
    uint64_t before = world_actor(world, "C1")->heard;
    for (int i = 0; i < 100; i++) {
        world_send(world, world_actor(world, "S1"), row, sizeof(row));
        cr_assert_leq(matrix_memory(world), 1 << 20, "after %d rows", i);
    }
    cr_assert_gt(world_actor(world, "S1")->in.len, 9000000);
    world_do(world, "C1 reads");
    cr_assert_eq(world_actor(world, "C1")->heard - before, 100 * sizeof(row));
    world_do(world, "S1> CopyDone | CommandComplete \"COPY 100\" | ReadyForQuery I");
    matrix_witness(world, "after a slow reader");
    matrix_end(world, "slow reader");
}

/* Likewise a server that does not read what a client copies in. */
Test(matrix_client, a_slow_server_costs_bounded_memory)
{
    static uint8_t data[5 + 100000] = {'d'};
    struct world *world = matrix_world("");
    world_do(world, "C1 logs in");
    world_do(world, "C1> Query \"copy t from stdin\"");
    world_do(world, "S1> CopyInResponse");
    world_do(world, "S1 stops reading");
    put_u32(data + 1, sizeof(data) - 1);
    uint64_t before = world_actor(world, "S1")->heard;
    for (int i = 0; i < 100; i++) {
        world_send(world, world_actor(world, "C1"), data, sizeof(data));
        cr_assert_leq(matrix_memory(world), 1 << 20, "after %d messages", i);
    }
    cr_assert_gt(world_actor(world, "C1")->in.len, 9000000);
    world_do(world, "S1 reads");
    cr_assert_eq(world_actor(world, "S1")->heard - before, 100 * sizeof(data));
    world_do(world, "C1> CopyDone");
    world_do(world, "S1> CommandComplete \"COPY 100\" | ReadyForQuery I");
    matrix_witness(world, "after a slow server");
    matrix_end(world, "slow server");
}

/* A client that sends ahead while it waits is read no further than LIMIT_HELD_BYTES or so. */
Test(matrix_client, a_waiting_client_is_held_in_bounds)
{
    struct world *world = matrix_world("");
    struct text bytes = {0};
    world_do(world, "C1 logs in");
    world_do(world, "C1> Query \"begin\"");
    world_do(world, "S1> CommandComplete \"BEGIN\" | ReadyForQuery T");
    world_do(world, "C2 logs in");
    for (int i = 0; i < 20000; i++) {
        words_to_bytes("Query \"select 1, 2, 3\"", true, &bytes);
    }
    world_send(world, world_actor(world, "C2"), bytes.bytes, bytes.len);
    cr_assert_gt(world_actor(world, "C2")->in.len, bytes.len / 2);
    cr_assert_leq(matrix_memory(world), 1 << 20);
    text_free(&bytes);
    matrix_end(world, "held");
}

static uint32_t flushes;

static void count_flushes(struct world *world, struct actor *actor, const uint8_t *message,
                          size_t bytes)
{
    (void)world;
    (void)bytes;
    flushes += actor->kind == ACTOR_SERVER && message[0] == FRONTEND_FLUSH;
}

/* A pipeline with more replies than LIMIT_DUE, whose rest fills what is held: the server is asked
 * once for what it has. Told that this was sent, the engine asked again, and did nothing else. */
Test(matrix_client, a_full_ledger_is_flushed_once)
{
    struct world *world = matrix_world("");
    struct text bytes = {0};
    world_do(world, "C1 logs in");
    world->listener = count_flushes;
    words_to_bytes("Parse \"\" \"insert into t values ($1)\"", true, &bytes);
    for (uint32_t i = 0; i < LIMIT_DUE; i++) {
        cr_assert(words_to_bytes("Bind \"\" \"\" \"twenty bytes of text\"", true, &bytes));
        cr_assert(words_to_bytes("Execute \"\" 0", true, &bytes));
    }
    world_send(world, world_actor(world, "C1"), bytes.bytes, bytes.len);
    world_end_step(world);
    cr_assert_eq(flushes, 1);
    cr_assert_gt(matrix_memory(world), LIMIT_HELD_BYTES);
    text_free(&bytes);
    matrix_end(world, "full ledger");
}
