#include "protocol/message.h"

#include <criterion/criterion.h>

#include "base/limits.h"

static const uint32_t words[] = {0,          1,          3,          4,          5,
                                 8,          9,          1 << 15,    1 << 16,    65539,
                                 65540,      0x3ffffffd, 0x3ffffffe, 0x3fffffff, 0x7fffffff,
                                 0x80000000, 0xfffffffb, 0xffffffff};

static bool header(const struct message_bounds bounds[256], uint8_t type, uint32_t word,
                   uint32_t *ret_body)
{
    uint8_t bytes[5] = {type, (uint8_t)(word >> 24), (uint8_t)(word >> 16), (uint8_t)(word >> 8),
                        (uint8_t)word};
    return message_header(bounds, bytes, ret_body);
}

/* By the table's own words, in 64 bits: nothing may wrap. */
Test(message, every_type_with_every_length)
{
    const struct message_bounds *tables[2] = {message_frontend_bounds, message_backend_bounds};
    for (int side = 0; side < 2; side++) {
        for (int type = 0; type < 256; type++) {
            for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
                uint32_t body = 12345;
                const struct message_bounds *row = &tables[side][type];
                int64_t wanted = (int64_t)words[i] - 4;
                bool possible =
                    row->body_end > 0 && wanted >= row->body_min && wanted < row->body_end;
                cr_assert_eq(header(tables[side], (uint8_t)type, words[i], &body), possible,
                             "side %d type %d word %u", side, type, words[i]);
                cr_assert_eq(body, possible ? wanted : 12345, "a result was touched on failure");
            }
        }
    }
}

Test(message, no_length_beyond_postgresql_s_own_limit)
{
    for (int type = 0; type < 256; type++) {
        cr_assert_leq(message_frontend_bounds[type].body_end, LIMIT_MESSAGE_BYTES - 4 + 1);
        cr_assert_leq(message_backend_bounds[type].body_end, LIMIT_MESSAGE_BYTES - 4 + 1);
    }
}

Test(message, bounds_of_some_messages)
{
    uint32_t body;
    cr_assert(header(message_frontend_bounds, FRONTEND_TERMINATE, 4, &body));
    cr_assert(!header(message_frontend_bounds, FRONTEND_TERMINATE, 1 << 20, &body));
    cr_assert(header(message_backend_bounds, BACKEND_READY_FOR_QUERY, 5, &body));
    cr_assert(!header(message_backend_bounds, BACKEND_READY_FOR_QUERY, 6, &body));
    cr_assert(!header(message_frontend_bounds, 0, 4, &body));
    cr_assert(!header(message_backend_bounds, 0xff, 4, &body));
}

Test(message, names_are_those_of_the_table)
{
    cr_assert_str_eq(message_frontend_name('Q'), "QUERY");
    cr_assert_str_eq(message_backend_name('Z'), "READY_FOR_QUERY");
    cr_assert_str_eq(message_frontend_name('Z'), "unknown");
    cr_assert_str_eq(message_backend_name(0), "unknown");
}
