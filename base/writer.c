#include "base/writer.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/limits.h"

enum { WRITER_BYTES_MIN = 256 };

void writer_init(struct writer *writer)
{
    *writer = (struct writer){0};
}

void writer_fini(struct writer *writer)
{
    free(writer->bytes);
    writer_init(writer);
}

void writer_reset(struct writer *writer)
{
    writer->len = 0;
    writer->failed = false;
}

/* Room for `len` more bytes, or NULL with the failure latched. */
static uint8_t *room(struct writer *writer, size_t len)
{
    if (writer->failed || len > LIMIT_MESSAGE_BYTES - writer->len) {
        writer->failed = true;
        return NULL;
    }
    if (len > writer->capacity - writer->len) {
        size_t capacity = writer->capacity < WRITER_BYTES_MIN ? WRITER_BYTES_MIN : writer->capacity;
        while (capacity - writer->len < len) {
            capacity *= 2;
        }
        uint8_t *bytes = realloc(writer->bytes, capacity);
        if (bytes == NULL) {
            writer->failed = true;
            return NULL;
        }
        writer->bytes = bytes;
        writer->capacity = (uint32_t)capacity;
    }
    return writer->bytes + writer->len;
}

void writer_bytes(struct writer *writer, const void *bytes, size_t len)
{
    uint8_t *at = len == 0 ? NULL : room(writer, len);
    if (at != NULL) {
        memcpy(at, bytes, len);
        writer->len += (uint32_t)len;
    }
}

void writer_u8(struct writer *writer, uint8_t value)
{
    writer_bytes(writer, &value, 1);
}

void writer_u16(struct writer *writer, uint16_t value)
{
    uint8_t bytes[2] = {(uint8_t)(value >> 8), (uint8_t)value};
    writer_bytes(writer, bytes, sizeof(bytes));
}

void writer_u32(struct writer *writer, uint32_t value)
{
    uint8_t bytes[4] = {(uint8_t)(value >> 24), (uint8_t)(value >> 16), (uint8_t)(value >> 8),
                        (uint8_t)value};
    writer_bytes(writer, bytes, sizeof(bytes));
}

void writer_cstr(struct writer *writer, const char *text)
{
    writer_bytes(writer, text, strlen(text) + 1);
}

void writer_format(struct writer *writer, const char *format, ...)
{
    va_list arguments, again;
    va_start(arguments, format);
    va_copy(again, arguments);
    int len = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    ASSERT(len >= 0);
    uint8_t *at = room(writer, (size_t)len + 1);
    if (at != NULL) {
        vsnprintf((char *)at, (size_t)len + 1, format, again);
        writer->len += (uint32_t)len;
    }
    va_end(again);
}

uint32_t writer_begin(struct writer *writer, char type)
{
    if (type != 0) {
        writer_u8(writer, (uint8_t)type);
    }
    uint32_t mark = writer->len;
    writer_u32(writer, 0);
    return mark;
}

void writer_end(struct writer *writer, uint32_t mark)
{
    if (writer->failed) {
        return;
    }
    ASSERT(mark + 4 <= writer->len);
    uint32_t len = writer->len - mark;
    uint8_t *at = writer->bytes + mark;
    at[0] = (uint8_t)(len >> 24);
    at[1] = (uint8_t)(len >> 16);
    at[2] = (uint8_t)(len >> 8);
    at[3] = (uint8_t)len;
}

const uint8_t *reader_bytes(struct reader *reader, size_t len)
{
    if (reader->failed || len > reader->left) {
        reader->failed = true;
        reader->left = 0;
        return NULL;
    }
    const uint8_t *at = reader->at;
    reader->at += len;
    reader->left -= len;
    return at;
}

uint8_t reader_u8(struct reader *reader)
{
    const uint8_t *at = reader_bytes(reader, 1);
    return at == NULL ? 0 : at[0];
}

uint16_t reader_u16(struct reader *reader)
{
    const uint8_t *at = reader_bytes(reader, 2);
    if (at == NULL) {
        return 0;
    }
    return (uint16_t)((uint32_t)at[0] << 8 | at[1]);
}

uint32_t reader_u32(struct reader *reader)
{
    const uint8_t *at = reader_bytes(reader, 4);
    return at == NULL ? 0
                      : (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 |
                            (uint32_t)at[3];
}

const char *reader_cstr(struct reader *reader)
{
    const uint8_t *nul = reader->left == 0 ? NULL : memchr(reader->at, 0, reader->left);
    if (nul == NULL) {
        reader->failed = true;
        reader->left = 0;
        return "";
    }
    return (const char *)reader_bytes(reader, (size_t)(nul - reader->at) + 1);
}
