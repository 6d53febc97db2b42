/* A growable buffer that big-endian fields are appended to, and a bounded cursor that reads them.
 *
 * Both latch their failure: the caller writes or reads a whole message and looks once at the end.
 * A writer keeps its memory between uses, so a reused one does not allocate after warm-up.
 */
#ifndef BASE_WRITER_H
#define BASE_WRITER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct writer {
    uint8_t *bytes;
    uint32_t len, capacity;
    bool failed; /* memory ran out, or a message passed LIMIT_MESSAGE_BYTES */
};

void writer_init(struct writer *writer);
void writer_fini(struct writer *writer);

/* Empty again, memory kept. */
void writer_reset(struct writer *writer);

/* Appends. A failure (memory, or a message too large) is latched in `failed`, and what is appended
 * then is dropped; writer_reset clears it. Integers are written big-endian. */
void writer_bytes(struct writer *writer, const void *bytes, size_t len);
void writer_u8(struct writer *writer, uint8_t value);
void writer_u16(struct writer *writer, uint16_t value);
void writer_u32(struct writer *writer, uint32_t value);

/* The text and its NUL. */
void writer_cstr(struct writer *writer, const char *text);

/* printf into the buffer, without a NUL behind it. */
void writer_format(struct writer *writer, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* A message: type byte (0 for none, as in startup packets) and a length word that counts itself,
 * patched by writer_end. Messages don't nest. Returns the mark for writer_end. */
uint32_t writer_begin(struct writer *writer, char type);
void writer_end(struct writer *writer, uint32_t mark);

struct reader {
    const uint8_t *at;
    size_t left; /* bytes */
    bool failed; /* something was asked for that was not there; everything after reads as 0 */
};

static inline struct reader reader_of(const uint8_t *bytes, size_t len)
{
    return (struct reader){.at = bytes, .left = len};
}

/* The next big-endian integer; 0 and failed when fewer bytes are left. */
uint8_t reader_u8(struct reader *reader);
uint16_t reader_u16(struct reader *reader);
uint32_t reader_u32(struct reader *reader);

/* The text up to its NUL, in place; "" and failed when there is no NUL. */
const char *reader_cstr(struct reader *reader);

/* `len` bytes in place; NULL and failed when there are fewer. */
const uint8_t *reader_bytes(struct reader *reader, size_t len);

#endif
