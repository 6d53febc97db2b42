/* The messages of PostgreSQL's protocol 3, and how a byte stream is cut into them.
 *
 * A message is a type byte, a length word that counts itself but not the type, and a body
 * (protocol chapter, "Message Formats"). A header is accepted only if its type is known in that
 * direction and its length lies within the table's bounds, so what follows never sees a length that
 * could wrap or that PostgreSQL would refuse.
 */
#ifndef PROTOCOL_MESSAGE_H
#define PROTOCOL_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum frontend_message {
#define FRONTEND(name, byte, body_min, body_max) FRONTEND_##name = byte,
#define BACKEND(name, byte, body_min, body_max)
#include "protocol/message.def"
#undef FRONTEND
#undef BACKEND
};

enum backend_message {
#define FRONTEND(name, byte, body_min, body_max)
#define BACKEND(name, byte, body_min, body_max) BACKEND_##name = byte,
#include "protocol/message.def"
#undef FRONTEND
#undef BACKEND
};

enum { MESSAGE_HEADER_BYTES = 5 };

struct message_bounds {
    uint32_t body_min, body_end; /* from min up to, not including, end; {0, 0}: no such message */
};

extern const struct message_bounds message_frontend_bounds[256];
extern const struct message_bounds message_backend_bounds[256];

static inline uint32_t message_load_u32(const uint8_t *at)
{
    uint32_t word;
    __builtin_memcpy(&word, at, sizeof(word));
    return __builtin_bswap32(word);
}

static inline void message_store_u32(uint8_t *at, uint32_t value)
{
    uint32_t word = __builtin_bswap32(value);
    __builtin_memcpy(at, &word, sizeof(word));
}

/* The body's length of the message whose five header bytes are at `header`. False when no such
 * message may come from that side: unknown type, or a length out of bounds. */
static inline bool message_header(const struct message_bounds bounds[256], const uint8_t *header,
                                  uint32_t *ret_body_bytes)
{
    const struct message_bounds *row = &bounds[header[0]];
    uint32_t body_bytes = message_load_u32(header + 1) - 4; /* wraps below 4: then out of bounds */
    if (body_bytes < row->body_min || body_bytes >= row->body_end) {
        return false;
    }
    *ret_body_bytes = body_bytes;
    return true;
}

/* The length of the message at `at`, with its header. 0: it is not whole within `have` bytes, or no
 * such message may come from that side. */
static inline uint32_t message_whole_bytes(const struct message_bounds bounds[256],
                                           const uint8_t *at, uint32_t have)
{
    uint32_t body_bytes;
    if (have < MESSAGE_HEADER_BYTES || !message_header(bounds, at, &body_bytes) ||
        have - MESSAGE_HEADER_BYTES < body_bytes) {
        return 0;
    }
    return MESSAGE_HEADER_BYTES + body_bytes;
}

/* The length of the text at the head of `bytes` bytes of a body, without its NUL. Not strnlen:
 * libpg_query exports one of its own, which goes byte by byte. */
static inline uint32_t message_text_bytes(const void *text, uint32_t bytes)
{
    const char *end = memchr(text, '\0', bytes);
    return end == NULL ? bytes : (uint32_t)(end - (const char *)text);
}

/* "Query", "Bind" …; "unknown" for a byte that is none. Static storage. */
const char *message_frontend_name(uint8_t type);
const char *message_backend_name(uint8_t type);

#endif
