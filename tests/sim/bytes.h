/* A queue of bytes. */
#ifndef TESTS_SIM_BYTES_H
#define TESTS_SIM_BYTES_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

struct bytes {
    uint8_t *store;
    size_t head, len, capacity;
};

static inline void bytes_push(struct bytes *bytes, const void *from, size_t len)
{
    if (bytes->head + bytes->len + len > bytes->capacity) {
        if (bytes->len > 0) {
            memmove(bytes->store, bytes->store + bytes->head, bytes->len);
        }
        bytes->head = 0;
        if (bytes->len + len > bytes->capacity) {
            bytes->capacity = (bytes->len + len) * 2 + 256;
            bytes->store = realloc(bytes->store, bytes->capacity);
            if (bytes->store == NULL) {
                abort();
            }
        }
    }
    if (len > 0) {
        memcpy(bytes->store + bytes->head + bytes->len, from, len);
        bytes->len += len;
    }
}

static inline uint8_t *bytes_at(const struct bytes *bytes)
{
    return bytes->store + bytes->head;
}

static inline void bytes_drop(struct bytes *bytes, size_t len)
{
    bytes->head += len;
    bytes->len -= len;
    if (bytes->len == 0) {
        bytes->head = 0;
    }
}

static inline void bytes_fini(struct bytes *bytes)
{
    free(bytes->store);
    *bytes = (struct bytes){0};
}

#endif
