/* A result of the admin database: columns, rows, and how they look on the wire.
 *
 * Rows of several engines meet in one table. When a column is a key, a row with the keys of one
 * that is there already is not added but merged into it, column by column, as each column's merge
 * says.
 */
#ifndef POOL_ADMIN_TABLE_H
#define POOL_ADMIN_TABLE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/writer.h"

enum admin_type { ADMIN_TEXT, ADMIN_INT4, ADMIN_INT8, ADMIN_NUMERIC, ADMIN_BOOL };

enum admin_merge { MERGE_FIRST, MERGE_KEY, MERGE_SUM, MERGE_MAX };

struct admin_column {
    const char *name;
    enum admin_type type;
    enum admin_merge merge;
};

struct admin_cell {
    bool null;
    int64_t value; /* of a text: where it begins in `texts` */
};

struct admin_table {
    const struct admin_column *columns; /* borrowed, or own_columns */
    struct admin_column *own_columns;   /* names included; NULL when the columns are static */
    uint32_t column_count;
    struct admin_cell *cells;
    uint32_t row_count, row_capacity;
    uint32_t filled; /* cells of the row that is being added */
    struct writer texts;
    uint32_t *index; /* by keys: row + 1, 0 = free; NULL while no column is a key */
    uint32_t index_mask;
    bool failed; /* memory is out */
};

void admin_table_init(struct admin_table *table, const struct admin_column *columns,
                      uint32_t column_count);
void admin_table_fini(struct admin_table *table);

/* Adds a column of its own; only while the table has no rows. The name is copied. */
void admin_table_add_column(struct admin_table *table, const char *name, size_t name_bytes,
                            enum admin_type type);

/* The next cell of the row at hand; NULL is SQL's NULL. The row is added with its last cell. */
void admin_table_text(struct admin_table *table, const char *text);
void admin_table_number(struct admin_table *table, int64_t number);
void admin_table_null(struct admin_table *table);

/* For tables made of other tables: rows and columns that are there, of the kind that the column
 * has. A text is NULL for SQL's NULL and borrowed. */
const char *admin_table_text_at(const struct admin_table *table, uint32_t row, uint32_t column);
int64_t admin_table_number_at(const struct admin_table *table, uint32_t row, uint32_t column);
void admin_table_set_number(struct admin_table *table, uint32_t row, uint32_t column,
                            int64_t number);

/* RowDescription; `formats` has `format_count` codes as Bind sends them: none, one for all, or one
 * for each column. NULL when format_count is 0. */
void admin_table_describe(const struct admin_table *table, const uint16_t *formats,
                          uint32_t format_count, struct writer *writer);

/* One DataRow. */
void admin_table_write_row(const struct admin_table *table, uint32_t row, const uint16_t *formats,
                           uint32_t format_count, struct writer *writer);

#endif
