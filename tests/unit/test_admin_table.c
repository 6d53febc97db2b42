/* Rows that merge, and how cells look on the wire. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "pool/admin_table.h"

static const struct admin_column columns[] = {
    {"name", ADMIN_TEXT, MERGE_KEY},
    {"sum", ADMIN_INT4, MERGE_SUM},
    {"max", ADMIN_INT8, MERGE_MAX},
    {"first", ADMIN_TEXT, MERGE_FIRST},
};

static void add(struct admin_table *table, const char *name, int64_t sum, int64_t max,
                const char *first)
{
    admin_table_text(table, name);
    admin_table_number(table, sum);
    admin_table_number(table, max);
    admin_table_text(table, first);
}

Test(admin_table, rows_of_one_key_merge)
{
    struct admin_table table;
    admin_table_init(&table, columns, 4);
    for (int i = 0; i < 100; i++) {
        char name[16];
        snprintf(name, sizeof(name), "n%d", i);
        add(&table, name, i, i, "a");
    }
    add(&table, "n7", 3, 1, "b");
    add(&table, "n8", 3, 1000, "b");
    cr_assert(table.row_count == 100);
    cr_expect(admin_table_number_at(&table, 7, 1) == 10);
    cr_expect(admin_table_number_at(&table, 7, 2) == 7);
    cr_expect_str_eq(admin_table_text_at(&table, 7, 3), "a");
    cr_expect(admin_table_number_at(&table, 8, 2) == 1000);
    admin_table_fini(&table);
}

/* The only row of one column with that number, as a DataRow with the given format. */
static void expect_cell(enum admin_type type, int64_t number, uint16_t format, const void *bytes,
                        size_t count)
{
    const struct admin_column column = {"c", type, MERGE_FIRST};
    struct admin_table table;
    struct writer writer;
    writer_init(&writer);
    admin_table_init(&table, &column, 1);
    admin_table_number(&table, number);
    admin_table_write_row(&table, 0, &format, 1, &writer);
    cr_assert(writer.len == 5 + 2 + 4 + count, "%u", writer.len);
    cr_expect(memcmp(writer.bytes + 11, bytes, count) == 0);
    admin_table_fini(&table);
    writer_fini(&writer);
}

Test(admin_table, text_and_binary)
{
    expect_cell(ADMIN_INT4, 258, 1, "\0\0\1\2", 4);
    expect_cell(ADMIN_INT4, 258, 0, "258", 3);
    expect_cell(ADMIN_INT4, INT64_C(1) << 40, 0, "2147483647", 10);
    expect_cell(ADMIN_INT8, 258, 1, "\0\0\0\0\0\0\1\2", 8);
    expect_cell(ADMIN_BOOL, 1, 0, "t", 1);
    expect_cell(ADMIN_BOOL, 1, 1, "\1", 1);
    expect_cell(ADMIN_NUMERIC, 0, 1, "\0\0\0\0\0\0\0\0", 8);
    /* numeric_send of 123456789: three digits to the base of 10,000, weight 2 */
    expect_cell(ADMIN_NUMERIC, 123456789, 1, "\0\3\0\2\0\0\0\0\0\1\x09\x29\x1a\x85", 14);
    expect_cell(ADMIN_NUMERIC, 123456789, 0, "123456789", 9);
}

Test(admin_table, null_is_no_empty_text)
{
    const struct admin_column column = {"c", ADMIN_TEXT, MERGE_FIRST};
    struct admin_table table;
    struct writer writer;
    writer_init(&writer);
    admin_table_init(&table, &column, 1);
    admin_table_text(&table, NULL);
    admin_table_text(&table, "");
    admin_table_write_row(&table, 0, NULL, 0, &writer);
    cr_expect(memcmp(writer.bytes + 7, "\xff\xff\xff\xff", 4) == 0);
    writer_reset(&writer);
    admin_table_write_row(&table, 1, NULL, 0, &writer);
    cr_expect(memcmp(writer.bytes + 7, "\0\0\0\0", 4) == 0);
    admin_table_fini(&table);
    writer_fini(&writer);
}
