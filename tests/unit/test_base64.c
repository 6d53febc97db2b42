/* base64: RFC 4648 section 10 vectors, strictness, room. */
#include <criterion/criterion.h>

#include <string.h>

#include "base/error.h"
#include "protocol/base64.h"

static const struct {
    const char *plain, *encoded;
} vectors[] = {
    {"", ""},
    {"f", "Zg=="},
    {"fo", "Zm8="},
    {"foo", "Zm9v"},
    {"foob", "Zm9vYg=="},
    {"fooba", "Zm9vYmE="},
    {"foobar", "Zm9vYmFy"},
};

Test(base64, rfc_4648_vectors_both_ways)
{
    for (size_t i = 0; i < sizeof vectors / sizeof vectors[0]; i++) {
        char text[16] = {0};
        uint8_t bytes[16] = {0};
        size_t count = 99;

        cr_assert_eq(base64_encode(vectors[i].plain, strlen(vectors[i].plain), text),
                     strlen(vectors[i].encoded));
        cr_assert_str_eq(text, vectors[i].encoded);
        cr_assert_eq(base64_decode(text, strlen(text), bytes, sizeof bytes, &count), 0);
        cr_assert_eq(count, strlen(vectors[i].plain));
        cr_assert_eq(memcmp(bytes, vectors[i].plain, count), 0);
    }
}

Test(base64, every_byte_value_survives)
{
    uint8_t in[256], back[256];
    char text[BASE64_ENCODED_BYTES(256)];
    size_t count = 0;

    for (size_t i = 0; i < 256; i++) {
        in[i] = (uint8_t)i;
    }
    for (size_t bytes = 0; bytes <= 256; bytes++) {
        size_t length = base64_encode(in, bytes, text);
        cr_assert_eq(length, BASE64_ENCODED_BYTES(bytes));
        cr_assert_eq(base64_decode(text, length, back, bytes, &count), 0);
        cr_assert_eq(count, bytes);
        cr_assert_eq(memcmp(in, back, bytes), 0);
    }
}

Test(base64, refuses_what_is_not_canonical)
{
    static const char *const wrong[] = {
        "Z",     "Zg",     "Zg=",      "Z===", "====", "Zh==", "Zm9=", "Zg==Zg==",
        "Zm 9v", "Zm9v\n", "Zm9v====", "=m9v", "Zm-_", "Z=9v", "Zg=v", "Zm9\x80",
    };
    uint8_t out[16];
    size_t count = 77;

    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        cr_assert_eq(base64_decode(wrong[i], strlen(wrong[i]), out, sizeof out, &count),
                     ERR_BAD_VALUE, "%s", wrong[i]);
    }
    cr_assert_eq(count, 77, "a result must be untouched on failure");
}

Test(base64, keeps_to_its_room)
{
    uint8_t out[4] = {0, 0, 0xAA, 0xAA};
    size_t count = 0;

    cr_assert_eq(base64_decode("Zm9v", 4, out, 2, &count), ERR_LIMIT);
    cr_assert_eq(out[2], 0xAA);
    cr_assert_eq(base64_decode("Zm8=", 4, out, 2, &count), 0);
    cr_assert_eq(count, 2);
    cr_assert_eq(out[2], 0xAA);
}
