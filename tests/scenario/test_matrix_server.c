/* Generated scenarios: what a server may say, or fail to say. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/message.h"
#include "tests/scenario/matrix.h"

/* What a client asks and what a server answers, message by message. */
static const struct dialogue {
    const char *name, *asked;
    const char *answers[10];
} dialogues[] = {
    {"query",
     "Query \"select 1\"",
     {"RowDescription \"a\"", "DataRow \"one\"", "DataRow \"two\"", "CommandComplete \"SELECT 2\"",
      "ReadyForQuery I"}},
    {"error",
     "Query \"select 1/0\"",
     {"ErrorResponse ERROR 22012 \"division by zero\"", "ReadyForQuery I"}},
    {"empty", "Query \"\"", {"EmptyQueryResponse", "ReadyForQuery I"}},
    {"pipeline",
     "Parse \"a\" \"select 1\" | Bind \"\" \"a\" | Describe S \"a\" | Execute \"\" 0 | "
     "Close S \"a\" | Sync",
     {"ParseComplete", "BindComplete", "ParameterDescription", "RowDescription \"a\"",
      "DataRow \"one\"", "CommandComplete \"SELECT 1\"", "ReadyForQuery I"}},
    {"pipeline-error",
     "Parse \"a\" \"select 1\" | Bind \"\" \"a\" | Execute \"\" 0 | Sync",
     {"ParseComplete", "ErrorResponse ERROR 22012 \"division by zero\"", "ReadyForQuery I"}},
    {"copy-out",
     "Query \"copy t to stdout\"",
     {"CopyOutResponse", "CopyData \"one\"", "CopyDone", "CommandComplete \"COPY 1\"",
      "ReadyForQuery I"}},
    {"copy-in",
     "Query \"copy t from stdin\" | CopyData \"x\" | CopyDone",
     {"CopyInResponse", "CommandComplete \"COPY 1\"", "ReadyForQuery I"}},
    {"function", "FunctionCall 1", {"FunctionCallResponse \"x\"", "ReadyForQuery I"}},
    {"begin", "Query \"begin\"", {"CommandComplete \"BEGIN\"", "ReadyForQuery T"}},
};
enum { DIALOGUES = sizeof(dialogues) / sizeof(dialogues[0]) };

static uint32_t answer_count(const struct dialogue *dialogue)
{
    uint32_t count = 0;
    while (dialogue->answers[count] != NULL) {
        count++;
    }
    return count;
}

static struct world *begin(const struct dialogue *dialogue)
{
    struct world *world = matrix_world("size=1");
    world_do(world, "C1 logs in");
    cr_assert(world_do(world, "C1> %s", dialogue->asked));
    return world;
}

/* T18: the server dies behind every byte of every reply: exactly one honest error, if no message is
 * cut, and nobody else notices. */
Test(matrix_server, T18_dies_behind_every_byte)
{
    for (int i = 0; i < DIALOGUES; i++) {
        struct text bytes = {0};
        for (uint32_t k = 0; k < answer_count(&dialogues[i]); k++) {
            words_to_bytes(dialogues[i].answers[k], false, &bytes);
        }
        bool whole = strcmp(dialogues[i].name, "begin") != 0;
        for (size_t cut = 0; cut < bytes.len + !whole; cut++) {
            struct world *world = begin(&dialogues[i]);
            world_send(world, world_actor(world, "S1"), bytes.bytes, cut);
            world_do(world, "S1 closes");
            uint32_t told = world_count(world, "C1< ErrorResponse FATAL 08006") +
                            world_count(world, "C1< ErrorResponse FATAL 08007");
            uint32_t half = world_count(world, "bytes of a message)");
            cr_assert_eq(told + half, 1, "%s cut at %zu\n%s", dialogues[i].name, cut,
                         world->trace.bytes);
            cr_assert_eq(world_count(world, "C1 closed"), 1);
            cr_assert_eq(world_count(world, "FATAL"), told);
            matrix_witness(world, dialogues[i].name);
            matrix_end(world, dialogues[i].name);
        }
        text_free(&bytes);
    }
}

/* T16: one message left out, doubled, or changed with the next: the reply is what it looks like, or
 * link and client die; the witness, who waits for that link, never gets what is not its own. */
enum { FAULTS = 3 };

static void play_fault(const struct dialogue *dialogue, uint32_t at, int fault, bool together)
{
    static const char *const fault_names[FAULTS] = {"left out", "doubled", "swapped"};
    struct world *world = begin(dialogue);
    struct text bytes = {0};
    char what[100];
    snprintf(what, sizeof(what), "%s: message %u %s", dialogue->name, at, fault_names[fault]);
    world_do(world, "W logs in");
    for (uint32_t k = 0; k < answer_count(dialogue); k++) {
        bool is_last = k + 1 == answer_count(dialogue);
        uint32_t say = fault == 2 && k == at && !is_last ? k + 1
                       : fault == 2 && k == at + 1       ? k - 1
                                                         : k;
        if (fault != 0 || k != at) {
            words_to_bytes(dialogue->answers[say], false, &bytes);
        }
        if (fault == 1 && k == at) {
            words_to_bytes(dialogue->answers[say], false, &bytes);
        }
        if (!together) {
            world_send(world, world_actor(world, "S1"), bytes.bytes, bytes.len);
            text_clear(&bytes);
        }
    }
    world_send(world, world_actor(world, "S1"), bytes.bytes, bytes.len);
    world_end_step(world);
    text_free(&bytes);
    world_do(world, "C1 resets");
    world_do(world, "wait 2s");
    if (world_actor(world, "S1")->open && world_actor(world, "K1") != NULL) {
        world_do(world, "K1 closes");
        world_do(world, "S1 closes");
    } else if (world_count(world, "S1< Query \"ROLLBACK\"") != 0 || fault == 0) {
        world_do(world, "S1 closes");
    }
    matrix_witness(world, what);
    matrix_end(world, what);
}

Test(matrix_server, T16_left_out_doubled_or_swapped)
{
    for (int i = 0; i < DIALOGUES; i++) {
        for (uint32_t at = 0; at < answer_count(&dialogues[i]); at++) {
            for (int fault = 0; fault < FAULTS; fault++) {
                play_fault(&dialogues[i], at, fault, false);
                play_fault(&dialogues[i], at, fault, true);
            }
        }
    }
}

/* Every message that there is where each one is expected: what the ledger's head does not allow
 * ends link and client, with one FATAL. */
Test(matrix_server, any_message_at_every_place)
{
    for (int i = 0; i < DIALOGUES; i++) {
        for (uint32_t at = 0; at <= answer_count(&dialogues[i]); at++) {
            for (int type = 0; type < 256; type++) {
                const struct message_bounds *bounds = &message_backend_bounds[type];
                uint8_t message[5 + 64] = {(uint8_t)type};
                uint32_t len = 4 + (bounds->body_end > 0 ? bounds->body_min : 0);
                message[4] = (uint8_t)len;
                struct world *world = begin(&dialogues[i]);
                for (uint32_t k = 0; k < at; k++) {
                    world_do(world, "S1> %s", dialogues[i].answers[k]);
                }
                if (world_actor(world, "S1")->open) {
                    world_send(world, world_actor(world, "S1"), message, len + 1);
                }
                world_end_step(world);
                cr_assert_leq(world_count(world, "C1< ErrorResponse FATAL"), 1);
                bool ended = world_count(world, "C1 closed") == 1;
                cr_assert(!ended || world_count(world, "C1< ErrorResponse FATAL") == 1,
                          "%s at %u: 0x%02x\n%s", dialogues[i].name, at, type, world->trace.bytes);
                if (world_actor(world, "S1")->open) {
                    world_do(world, "S1 closes");
                }
                matrix_witness(world, dialogues[i].name);
                matrix_end(world, dialogues[i].name);
            }
        }
    }
}

/* T17: what a server may say at any time, in every gap: to the client whose turn it is. */
Test(matrix_server, T17_asynchronous_messages_in_every_gap)
{
    static const char *const asides[] = {"NoticeResponse NOTICE 00000 \"aside\"",
                                         "NotificationResponse 7 \"aside\" \"x\"",
                                         "ParameterStatus work_mem \"aside\""};
    for (int i = 0; i < DIALOGUES; i++) {
        uint32_t count = answer_count(&dialogues[i]);
        for (uint32_t at = 0; at < count; at++) {
            for (int aside = 0; aside < 3; aside++) {
                struct world *world = begin(&dialogues[i]);
                for (uint32_t k = 0; k < count; k++) {
                    if (k == at) {
                        world_do(world, "S1> %s", asides[aside]);
                        cr_assert_eq(world_count_last(world, "aside"), 1, "%s at %u\n%s",
                                     dialogues[i].name, at, world->trace.bytes);
                        /* It waits for what comes behind it: pool/heal.h. */
                        uint32_t waited = world_count_last(world, "C1< ParameterDescription");
                        cr_assert_eq(world_count_last(world, "C1< "), 1 + waited);
                    }
                    world_do(world, "S1> %s", dialogues[i].answers[k]);
                }
                cr_assert_eq(world_count(world, "C1< ReadyForQuery"), 1);
                cr_assert(world_actor(world, "C1")->open);
                matrix_end(world, dialogues[i].name);
            }
        }
    }
}

static const uint32_t lengths[] = {0,           1,        3,           4,           5,
                                   1 << 15,     1 << 16,  70000,       0x3ffffffeu, 0x3fffffffu,
                                   0x7fffffffu, 1u << 31, 0xfffffffbu, 0xffffffffu};

/* S07 from the server's side: every type and length, in the login, while idle, in a reply. */
static void play_length(const char *place, int type, uint32_t length)
{
    bool login = strcmp(place, "login") == 0;
    uint8_t bytes[5 + 64] = {(uint8_t)type};
    struct world *world = matrix_world(login ? "server=manual" : "");
    for (uint32_t i = 0; i < 4; i++) {
        bytes[1 + i] = (uint8_t)(length >> (24 - 8 * i));
    }
    world_do(world, "C1 logs in");
    if (login) {
        world_do(world, "S1 accepts");
    } else if (strcmp(place, "reply") == 0) {
        world_do(world, "C1> Query \"select 1\"");
    }
    uint64_t memory = matrix_memory(world);
    world_send(world, world_actor(world, "S1"), bytes, sizeof(bytes));
    world_end_step(world);
    cr_assert_leq(matrix_memory(world), memory + 4 * 65536, "%s: 0x%02x of %u", place, type,
                  length);
    cr_assert_leq(world_count(world, "C1< ErrorResponse FATAL"), 1);
    if (world_actor(world, "S1")->open) {
        world_do(world, "S1 closes");
    }
    cr_assert_leq(world_count(world, "C1< ErrorResponse FATAL"), 1);
    matrix_end(world, place);
}

Test(matrix_server, S07_lengths_of_every_message)
{
    static const char *const places[] = {"login", "idle", "reply"};
    for (size_t place = 0; place < 3; place++) {
        for (int type = 0; type < 256; type++) {
            for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
                play_length(places[place], type, lengths[i]);
            }
        }
    }
}

/* S09: ErrorResponse with every subset of its fields, with and without its end (CVE-2026-6666). */
static void play_report(const char *place, uint32_t fields, int variant)
{
    static const char *const texts[] = {"SFATAL", "VFATAL", "C28P01", "Mtold", "Dmore", "Hhint"};
    struct text body = {0};
    uint8_t head[5] = {variant == 2 ? 'N' : 'E'};
    bool login = strcmp(place, "login") == 0;
    for (uint32_t i = 0; i < 6; i++) {
        for (int twice = 0; twice <= (variant == 3) && (fields >> i & 1) != 0; twice++) {
            text_add(&body, texts[i], strlen(texts[i]) + 1);
        }
    }
    text_add(&body, "", variant == 1 && body.len > 0 ? 0 : 1);
    head[4] = (uint8_t)(body.len + 4);
    struct world *world = matrix_world(login ? "server=manual" : "");
    world_do(world, "C1 logs in%s", strcmp(place, "setup") == 0 ? " TimeZone=x" : "");
    if (login) {
        world_do(world, "S1 accepts");
    } else if (strcmp(place, "query") == 0) {
        world_do(world, "C1> Query \"select 1\"");
    }
    struct text message = {0};
    text_add(&message, head, sizeof(head));
    text_add(&message, body.bytes, body.len);
    world_send(world, world_actor(world, "S1"), message.bytes, message.len);
    world_end_step(world);
    if (world_actor(world, "S1")->open) {
        world_do(world, "S1 closes");
    }
    bool waited = strcmp(place, "idle") != 0;
    cr_assert_leq(world_count(world, "C1< ErrorResponse"), 2, "%s", world->trace.bytes);
    cr_assert_eq(world_actor(world, "C1")->open, !waited, "%s: fields %x variant %d\n%s", place,
                 fields, variant, world->trace.bytes);
    text_free(&message);
    text_free(&body);
    matrix_end(world, place);
}

Test(matrix_server, S09_error_fields_in_every_subset)
{
    static const char *const places[] = {"login", "setup", "query", "idle"};
    for (size_t place = 0; place < 4; place++) {
        for (uint32_t fields = 0; fields < 64; fields++) {
            for (int variant = 0; variant < 4; variant++) {
                play_report(places[place], fields, variant);
            }
        }
    }
}

/* S19: whatever message comes before the server has let us in, no byte of it reaches the client but
 * as an error of the login. */
Test(matrix_server, S19_nothing_of_a_server_before_its_login)
{
    for (int type = 0; type < 256; type++) {
        uint8_t message[] = {(uint8_t)type, 0,   0,   0,   20,  'f', 'o', 'r', 'g', 'e', 'd',
                             'f',           'o', 'r', 'g', 'e', 'd', 'f', 'o', 'r', 0};
        struct world *world = matrix_world("server=manual");
        world_do(world, "C1 logs in");
        world_do(world, "S1 accepts");
        world_send(world, world_actor(world, "S1"), message, sizeof(message));
        world_end_step(world);
        cr_assert(type == 'E' || world_count(world, "forged") == 0, "0x%02x\n%s", type,
                  world->trace.bytes);
        matrix_end(world, "S19");
    }
}
