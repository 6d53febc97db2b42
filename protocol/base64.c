#include "protocol/base64.h"

#include <stdbool.h>

#include "base/error.h"

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

size_t base64_encode(const void *bytes, size_t count, char *out)
{
    const uint8_t *in = bytes;
    char *at = out;

    for (; count >= 3; in += 3, count -= 3) {
        uint32_t word = (uint32_t)in[0] << 16 | (uint32_t)in[1] << 8 | in[2];
        *at++ = alphabet[word >> 18];
        *at++ = alphabet[word >> 12 & 63];
        *at++ = alphabet[word >> 6 & 63];
        *at++ = alphabet[word & 63];
    }
    if (count > 0) {
        uint32_t word = (uint32_t)in[0] << 16 | (count == 2 ? (uint32_t)in[1] << 8 : 0);
        *at++ = alphabet[word >> 18];
        *at++ = alphabet[word >> 12 & 63];
        *at++ = count == 2 ? alphabet[word >> 6 & 63] : '=';
        *at++ = '=';
    }
    return (size_t)(at - out);
}

/* 0 to 63, or 64 for a character outside the alphabet */
static uint32_t digit(char c)
{
    if (c >= 'A' && c <= 'Z') {
        return (uint32_t)(c - 'A');
    }
    if (c >= 'a' && c <= 'z') {
        return (uint32_t)(c - 'a') + 26;
    }
    if (c >= '0' && c <= '9') {
        return (uint32_t)(c - '0') + 52;
    }
    return c == '+' ? 62 : c == '/' ? 63 : 64;
}

/* One group of four characters with `padding` of them '='; false if it is not well formed. */
static bool decode_group(const char *text, size_t padding, uint8_t out[3])
{
    uint32_t word = 0;

    for (size_t i = 0; i < 4; i++) {
        uint32_t value = i < 4 - padding ? digit(text[i]) : 0;
        if (value == 64) {
            return false;
        }
        word = word << 6 | value;
    }
    if ((padding == 1 && (word & 0xff) != 0) || (padding == 2 && (word & 0xffff) != 0)) {
        return false;
    }
    out[0] = (uint8_t)(word >> 16);
    out[1] = (uint8_t)(word >> 8);
    out[2] = (uint8_t)word;
    return true;
}

int base64_decode(const char *text, size_t count, uint8_t *out, size_t out_bytes, size_t *ret_bytes)
{
    size_t written = 0;

    if (count % 4 != 0) {
        return ERR_BAD_VALUE;
    }
    for (size_t at = 0; at < count; at += 4) {
        uint8_t group[3];
        size_t padding = 0;
        if (count - at == 4 && text[at + 3] == '=') {
            padding = text[at + 2] == '=' ? 2 : 1;
        }
        if (!decode_group(text + at, padding, group)) {
            return ERR_BAD_VALUE;
        }
        for (size_t i = 0; i < 3 - padding; i++) {
            if (written == out_bytes) {
                return ERR_LIMIT;
            }
            out[written++] = group[i];
        }
    }
    *ret_bytes = written;
    return 0;
}
