#include "protocol/startup.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/writer.h"

static void put_u32(uint8_t *at, uint32_t word)
{
    for (int i = 0; i < 4; i++) {
        at[i] = (uint8_t)(word >> (24 - 8 * i));
    }
}

/* In memory of exactly its size, so that a sanitizer sees a byte too many. */
static int parse(const void *body, size_t body_bytes, uint32_t word, uint32_t code,
                 struct startup *startup, uint8_t **ret_packet)
{
    uint8_t *packet = malloc(8 + body_bytes);
    put_u32(packet, word);
    put_u32(packet + 4, code);
    if (body_bytes > 0) {
        memcpy(packet + 8, body, body_bytes);
    }
    *ret_packet = packet;
    return startup_parse(packet, (uint32_t)(8 + body_bytes), startup);
}

static int parse_parameters(const char *body, size_t bytes, struct startup *startup)
{
    uint8_t *packet;
    int code = parse(body, bytes, (uint32_t)bytes + 8, STARTUP_PROTOCOL_3_0, startup, &packet);
    free(packet);
    return code;
}

Test(startup, lengths)
{
    static const struct {
        uint32_t word;
        int code;
    } rows[] = {{0, ERR_PROTOCOL},
                {1, ERR_PROTOCOL},
                {3, ERR_PROTOCOL},
                {4, ERR_PROTOCOL},
                {5, ERR_PROTOCOL},
                {7, ERR_PROTOCOL},
                {8, 0},
                {9, 0},
                {10000, 0},
                {10001, ERR_PROTOCOL},
                {1 << 15, ERR_PROTOCOL},
                {1 << 16, ERR_PROTOCOL},
                {0x7fffffff, ERR_PROTOCOL},
                {0x80000000, ERR_PROTOCOL},
                {0xffffffff, ERR_PROTOCOL}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        uint8_t bytes[4];
        uint32_t len = 77;
        put_u32(bytes, rows[i].word);
        cr_assert_eq(startup_length(bytes, &len), rows[i].code, "%u", rows[i].word);
        cr_assert_eq(len, rows[i].code == 0 ? rows[i].word : 77);
    }
}

Test(startup, parameters_and_the_last_one_of_a_name)
{
    static const char body[] = "user\0alice\0database\0app\0user\0bob\0_pq_.x\0y\0empty\0\0";
    struct startup startup;
    uint8_t *packet;
    cr_assert_eq(
        parse(body, sizeof(body), sizeof(body) + 8, STARTUP_PROTOCOL_3_2, &startup, &packet), 0);
    cr_assert_eq(startup.code, STARTUP_PROTOCOL_3_2);
    cr_assert_eq(startup.parameter_count, 5);
    cr_assert_eq(startup.unknown_option_count, 1);
    cr_assert_str_eq(startup_parameter(&startup, "user"), "bob");
    cr_assert_str_eq(startup_parameter(&startup, "database"), "app");
    cr_assert_str_eq(startup_parameter(&startup, "empty"), "");
    cr_assert_null(startup_parameter(&startup, "options"));
    free(packet);
}

/* The whole packet cut behind every byte: only the whole is one. */
Test(startup, cut_anywhere_it_is_malformed)
{
    static const char body[] = "user\0alice\0database\0app\0";
    struct startup startup;
    for (size_t len = 0; len < sizeof(body); len++) {
        cr_assert_eq(parse_parameters(body, len, &startup), ERR_PROTOCOL, "%zu", len);
    }
    cr_assert_eq(parse_parameters(body, sizeof(body), &startup), 0);
    static const char more[] = "user\0alice\0\0x";
    cr_assert_eq(parse_parameters(more, sizeof(more) - 1, &startup), ERR_PROTOCOL);
    cr_assert_eq(parse_parameters("", 1, &startup), 0);
}

Test(startup, the_packet_s_own_length_must_be_true)
{
    struct startup startup;
    uint8_t *packet;
    cr_assert_eq(parse("", 1, 10, STARTUP_PROTOCOL_3_0, &startup, &packet), ERR_PROTOCOL);
    free(packet);
    cr_assert_eq(parse("", 1, 8, STARTUP_PROTOCOL_3_0, &startup, &packet), ERR_PROTOCOL);
    free(packet);
}

Test(startup, as_many_parameters_as_the_limit_says)
{
    char body[LIMIT_STARTUP_PARAMETERS * 4 + 5] = {0};
    struct startup startup;
    for (size_t i = 0; i <= LIMIT_STARTUP_PARAMETERS; i++) {
        memcpy(body + i * 4, "a\0b", 4);
    }
    size_t whole = LIMIT_STARTUP_PARAMETERS * 4;
    body[whole] = '\0';
    cr_assert_eq(parse_parameters(body, whole + 1, &startup), 0);
    cr_assert_eq(startup.parameter_count, LIMIT_STARTUP_PARAMETERS);
    body[whole] = 'a';
    cr_assert_eq(parse_parameters(body, whole + 5, &startup), ERR_LIMIT);
}

Test(startup, requests_have_no_body)
{
    static const uint32_t codes[] = {STARTUP_SSL, STARTUP_GSSENC};
    for (size_t i = 0; i < 2; i++) {
        struct startup startup;
        uint8_t *packet;
        cr_assert_eq(parse(NULL, 0, 8, codes[i], &startup, &packet), 0);
        free(packet);
        cr_assert_eq(parse("x", 1, 9, codes[i], &startup, &packet), ERR_PROTOCOL);
        free(packet);
    }
}

Test(startup, cancel_keys_of_4_to_256_bytes)
{
    static const uint8_t body[4 + 300] = {0, 0, 1, 2, 'k'};
    for (size_t key = 0; key <= 300; key++) {
        struct startup startup;
        uint8_t *packet;
        int code = parse(body, 4 + key, (uint32_t)(12 + key), STARTUP_CANCEL, &startup, &packet);
        cr_assert_eq(code, key < 4 || key > 256 ? ERR_PROTOCOL : 0, "%zu", key);
        if (code == 0) {
            cr_assert_eq(startup.cancel_pid, 258);
            cr_assert_eq(startup.cancel_key_bytes, key);
            cr_assert_eq(startup.cancel_key[0], 'k');
        }
        free(packet);
    }
    for (size_t len = 0; len < 4; len++) {
        struct startup startup;
        uint8_t *packet;
        cr_assert_eq(parse(body, len, (uint32_t)(8 + len), STARTUP_CANCEL, &startup, &packet),
                     ERR_PROTOCOL);
        free(packet);
    }
}

Test(startup, other_versions_are_the_caller_s_to_judge)
{
    struct startup startup;
    uint8_t *packet;
    cr_assert_eq(parse("junk", 4, 12, 2 << 16, &startup, &packet), 0);
    cr_assert_eq(startup.code, 2 << 16);
    free(packet);
}

Test(startup, negotiation_names_what_is_not_known)
{
    static const char body[] = "user\0a\0_pq_.one\0x\0_pq_.two\0y\0";
    struct startup startup;
    struct writer writer;
    uint8_t *packet;
    cr_assert_eq(parse(body, sizeof(body), sizeof(body) + 8, 3 << 16 | 9, &startup, &packet), 0);
    writer_init(&writer);
    startup_write_negotiate(&writer, &startup, 2);
    static const char wanted[] = "v\0\0\0\x1e\0\3\0\2\0\0\0\2_pq_.one\0_pq_.two";
    cr_assert_eq(writer.len, sizeof(wanted));
    cr_assert_arr_eq(writer.bytes, wanted, sizeof(wanted));
    writer_fini(&writer);
    free(packet);
}

Test(startup, a_cancel_request_is_read_as_it_was_written)
{
    struct writer writer;
    struct startup startup;
    writer_init(&writer);
    startup_write_cancel(&writer, 77, (const uint8_t *)"abcd", 4);
    cr_assert_eq(startup_parse(writer.bytes, writer.len, &startup), 0);
    cr_assert_eq(startup.cancel_pid, 77);
    cr_assert_arr_eq(startup.cancel_key, "abcd", 4);
    writer_fini(&writer);
}
