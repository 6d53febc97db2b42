/* Base64 as RFC 4648 section 4 has it, strict: no white space, padding required, unused bits zero.
 *
 * Strictness gives each value one spelling, which is what SCRAM compares. The tables are not
 * constant-time in the value; what passes here is public on the wire, or one read of a file.
 */
#ifndef PROTOCOL_BASE64_H
#define PROTOCOL_BASE64_H

#include <stddef.h>
#include <stdint.h>

/* The characters that `count` bytes take, without a NUL */
#define BASE64_ENCODED_BYTES(count) (((count) + 2) / 3 * 4)

/* Room that a decode of `count` characters may need */
#define BASE64_DECODED_BYTES(count) ((count) / 4 * 3)

/* Writes BASE64_ENCODED_BYTES(count) characters, no NUL, and returns how many. `out` must have that
 * room and must not overlap the input. */
size_t base64_encode(const void *bytes, size_t count, char *out);

/* ERR_BAD_VALUE if the text is not base64, ERR_LIMIT if it holds more than out_bytes. After an
 * error `out` may hold some decoded bytes. */
int base64_decode(const char *text, size_t count, uint8_t *out, size_t out_bytes,
                  size_t *ret_bytes);

#endif
