#include "base/writer.h"

#include <criterion/criterion.h>
#include <string.h>

#include "base/limits.h"

Test(writer, writes_network_order_and_reads_it_back)
{
    struct writer writer;
    writer_init(&writer);
    writer_u8(&writer, 0xab);
    writer_u16(&writer, 0x1234);
    writer_u32(&writer, 0xdeadbeef);
    writer_cstr(&writer, "text");
    writer_bytes(&writer, "raw", 3);
    writer_format(&writer, "%d-%s", 7, "x");
    cr_assert_arr_eq(writer.bytes, "\xab\x12\x34\xde\xad\xbe\xeftext\0raw7-x", 18);
    cr_assert_eq(writer.len, 18);
    struct reader reader = reader_of(writer.bytes, writer.len);
    cr_assert_eq(reader_u8(&reader), 0xab);
    cr_assert_eq(reader_u16(&reader), 0x1234);
    cr_assert_eq(reader_u32(&reader), 0xdeadbeef);
    cr_assert_str_eq(reader_cstr(&reader), "text");
    cr_assert_arr_eq(reader_bytes(&reader, 6), "raw7-x", 6);
    cr_assert(!reader.failed && reader.left == 0);
    writer_fini(&writer);
}

Test(writer, a_message_counts_its_length_word)
{
    struct writer writer;
    writer_init(&writer);
    writer_end(&writer, writer_begin(&writer, 'S'));
    uint32_t mark = writer_begin(&writer, 0);
    writer_u32(&writer, 80877103);
    writer_end(&writer, mark);
    cr_assert_arr_eq(writer.bytes, "S\0\0\0\4\0\0\0\10\4\xd2\x16/", 13);
    writer_fini(&writer);
}

Test(writer, too_much_fails_once_and_for_all_without_memory)
{
    struct writer writer;
    static const char bytes[1];
    writer_init(&writer);
    writer_bytes(&writer, bytes, (size_t)LIMIT_MESSAGE_BYTES + 1);
    cr_assert(writer.failed);
    cr_assert_eq(writer.capacity, 0);
    writer_u8(&writer, 1);
    cr_assert_eq(writer.len, 0);
    writer_bytes(&writer, bytes, SIZE_MAX);
    writer_end(&writer, writer_begin(&writer, 'Q'));
    cr_assert(writer.failed);
    writer_reset(&writer);
    writer_u8(&writer, 1);
    cr_assert(!writer.failed && writer.len == 1);
    writer_fini(&writer);
}

Test(writer, every_reading_beyond_the_end_fails_and_reads_as_nothing)
{
    static const uint8_t bytes[8] = "abcdefg";
    static const size_t lengths[] = {0,       1,          3,          4,          5,       1 << 15,
                                     1 << 16, 0x7fffffff, 0x80000000, 0xffffffff, SIZE_MAX};
    for (size_t have = 0; have <= 7; have++) {
        for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
            struct reader reader = reader_of(bytes, have);
            const uint8_t *at = reader_bytes(&reader, lengths[i]);
            cr_assert_eq(reader.failed, lengths[i] > have);
            cr_assert_eq(at == NULL, lengths[i] > have);
            cr_assert_eq(reader.left, reader.failed ? 0 : have - lengths[i]);
        }
        struct reader reader = reader_of(bytes, have);
        reader_u32(&reader);
        cr_assert_eq(reader.failed, have < 4);
        cr_assert_eq(reader_u16(&reader), have < 6 ? 0 : ('e' << 8 | 'f'));
        cr_assert_str_eq(reader_cstr(&reader), "");
        cr_assert(reader.failed);
        cr_assert_eq(reader_u8(&reader), 0);
    }
}

Test(writer, a_text_needs_its_nul)
{
    struct reader reader = reader_of((const uint8_t *)"ab\0cd", 5);
    cr_assert_str_eq(reader_cstr(&reader), "ab");
    cr_assert_str_eq(reader_cstr(&reader), "");
    cr_assert(reader.failed && reader.left == 0);
}
