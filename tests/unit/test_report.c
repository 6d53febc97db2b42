#include "protocol/report.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/writer.h"

/* In memory of exactly its size. */
static bool parse(const char *body, size_t bytes, struct report_fields *fields, uint8_t **ret_copy)
{
    *ret_copy = malloc(bytes == 0 ? 1 : bytes);
    memcpy(*ret_copy, body, bytes);
    return report_parse(*ret_copy, bytes, fields);
}

Test(report, is_read_as_it_was_written)
{
    struct writer writer;
    struct report_fields fields;
    struct report report = {.fatal = true, .code = ERR_POOL_TIMEOUT, .detail = "d", .hint = "h"};
    writer_init(&writer);
    report_write(&writer, &report);
    cr_assert_eq(writer.bytes[0], 'E');
    cr_assert(report_parse(writer.bytes + 5, writer.len - 5, &fields));
    cr_assert_str_eq(fields.severity, "FATAL");
    cr_assert_str_eq(fields.sqlstate, "53300");
    cr_assert_str_eq(fields.message, error_message(ERR_POOL_TIMEOUT));
    cr_assert_str_eq(fields.detail, "d");
    cr_assert_str_eq(fields.hint, "h");
    writer_fini(&writer);
}

/* A position stands behind the texts; a warning is a notice. */
Test(report, has_a_position_and_may_be_a_warning)
{
    static const char end[] = "Hh\0P17\0";
    struct writer writer;
    struct report_fields fields;
    struct report report = {
        .warning = true, .code = ERR_NO_TRANSACTION, .hint = "h", .position = 17};
    writer_init(&writer);
    report_write(&writer, &report);
    cr_assert_eq(writer.bytes[0], 'N');
    cr_assert(report_parse(writer.bytes + 5, writer.len - 5, &fields));
    cr_assert_str_eq(fields.severity, "WARNING");
    cr_assert_str_eq(fields.sqlstate, "25P01");
    cr_assert_eq(memcmp(writer.bytes + writer.len - sizeof(end), end, sizeof(end)), 0);
    writer_fini(&writer);
}

Test(report, every_subset_of_fields)
{
    static const char *const texts[] = {"SFATAL",  "VERROR", "C42601", "Mmessage",
                                        "Ddetail", "Hhint",  "Xother"};
    for (uint32_t set = 0; set < 128; set++) {
        char body[100];
        size_t len = 0;
        struct report_fields fields;
        uint8_t *copy;
        for (uint32_t i = 0; i < 7; i++) {
            if ((set >> i & 1) != 0) {
                memcpy(body + len, texts[i], strlen(texts[i]) + 1);
                len += strlen(texts[i]) + 1;
            }
        }
        body[len++] = '\0';
        cr_assert(parse(body, len, &fields, &copy));
        cr_assert_str_eq(fields.severity, (set & 2) != 0 ? "ERROR" : (set & 1) != 0 ? "FATAL" : "");
        cr_assert_str_eq(fields.sqlstate, (set & 4) != 0 ? "42601" : "");
        cr_assert_str_eq(fields.message, (set & 8) != 0 ? "message" : "");
        cr_assert_str_eq(fields.detail, (set & 16) != 0 ? "detail" : "");
        cr_assert_str_eq(fields.hint, (set & 32) != 0 ? "hint" : "");
        free(copy);
        for (size_t cut = 0; cut < len; cut++) { /* without its end it is not whole */
            cr_assert(!parse(body, cut, &fields, &copy), "set %u cut at %zu", set, cut);
            free(copy);
        }
    }
}

Test(report, fields_twice_and_empty_ones)
{
    struct report_fields fields;
    uint8_t *copy;
    static const char body[] = "Mfirst\0Msecond\0C\0";
    cr_assert(parse(body, sizeof(body), &fields, &copy));
    cr_assert_str_eq(fields.message, "second");
    cr_assert_str_eq(fields.sqlstate, "");
    free(copy);
}

Test(report, another_s_fields_get_our_severity)
{
    struct writer writer;
    struct report_fields fields = {"FATAL", "", "text", "", "", "", ""}, read;
    writer_init(&writer);
    report_write_fields(&writer, "ERROR", &fields);
    cr_assert(report_parse(writer.bytes + 5, writer.len - 5, &read));
    cr_assert_str_eq(read.severity, "ERROR");
    cr_assert_str_eq(read.sqlstate, "XX000");
    cr_assert_str_eq(read.message, "text");
    writer_fini(&writer);
}
