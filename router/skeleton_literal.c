#include "router/skeleton_literal.h"

#include <endian.h>
#include <string.h>

bool skeleton_literal_integer(const uint8_t *digits, uint32_t len, enum skeleton_kind *ret_kind)
{
    while (len > 1 && *digits == '0') {
        digits++;
        len--;
    }
    if (len < 10) {
        *ret_kind = SKELETON_INT4;
        return true;
    }
    if (len == 10 || len == 19) {
        int order = memcmp(digits, len == 10 ? "2147483648" : "9223372036854775808", len);
        enum skeleton_kind below = len == 10 ? SKELETON_INT4 : SKELETON_INT8;
        enum skeleton_kind above = len == 10 ? SKELETON_INT8 : SKELETON_NUMERIC;
        *ret_kind = order < 0 ? below : above;
        return order != 0;
    }
    *ret_kind = len < 19 ? SKELETON_INT8 : SKELETON_NUMERIC;
    return true;
}

static bool is_letter(uint8_t byte)
{
    return (byte | 0x20) >= 'a' && (byte | 0x20) <= 'z';
}

/* Whether one of the words ends at `at`. */
static bool is_time_word(const uint8_t *text, uint32_t at)
{
    static const char *const words[] = {"now", "today", "tomorrow", "yesterday"};
    for (uint32_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        uint32_t len = (uint32_t)strlen(words[i]);
        uint32_t same = 0;
        while (same < len && at > same &&
               (text[at - 1 - same] | 0x20) == words[i][len - 1 - same]) {
            same++;
        }
        if (same == len && (at == len || !is_letter(text[at - 1 - len]))) {
            return true;
        }
    }
    return false;
}

/* All of the words end in a W or a Y, which are looked for eight bytes at a time. */
bool skeleton_literal_has_time(const uint8_t *text, uint32_t len)
{
    const uint64_t ones = 0x0101010101010101u;
    for (uint32_t at = 0; at < len; at += 8) {
        uint64_t word = 0;
        if (len - at >= sizeof(word)) {
            memcpy(&word, text + at, sizeof(word));
        } else {
            memcpy(&word, text + at, len - at);
        }
        word = le64toh(word) | 0x20 * ones;
        uint64_t w = word ^ 'w' * ones;
        uint64_t y = word ^ 'y' * ones;
        uint64_t found = (((w - ones) & ~w) | ((y - ones) & ~y)) & 0x80 * ones;
        for (; found != 0; found &= found - 1) {
            uint32_t end = at + (uint32_t)__builtin_ctzll(found) / 8 + 1;
            if (end <= len && is_time_word(text, end)) {
                return true;
            }
        }
    }
    return false;
}
