#include "pool/admin_table.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/hash.h"

enum { NUMBER_BYTES = 24 };

/* Object ids of src/include/catalog/pg_type.dat. */
enum { OID_BOOL = 16, OID_INT8 = 20, OID_INT4 = 23, OID_TEXT = 25, OID_NUMERIC = 1700 };

void admin_table_init(struct admin_table *table, const struct admin_column *columns,
                      uint32_t column_count)
{
    *table = (struct admin_table){.columns = columns, .column_count = column_count};
    writer_init(&table->texts);
}

void admin_table_fini(struct admin_table *table)
{
    for (uint32_t i = 0; table->own_columns != NULL && i < table->column_count; i++) {
        free((char *)(uintptr_t)table->own_columns[i].name);
    }
    free(table->own_columns);
    free(table->cells);
    free(table->index);
    writer_fini(&table->texts);
}

void admin_table_add_column(struct admin_table *table, const char *name, size_t name_bytes,
                            enum admin_type type)
{
    ASSERT(table->row_count == 0 && table->filled == 0);
    char *copy = strndup(name, name_bytes);
    struct admin_column *grown =
        realloc(table->own_columns, (table->column_count + 1) * sizeof(*grown));
    if (grown != NULL) {
        table->own_columns = grown;
        table->columns = grown;
    }
    if (copy == NULL || grown == NULL) {
        free(copy);
        table->failed = true;
        return;
    }
    grown[table->column_count++] = (struct admin_column){copy, type, MERGE_FIRST};
}

/* --- adding rows ------------------------------------------------------------------------------ */

static struct admin_cell *cells_of(const struct admin_table *table, uint32_t row)
{
    return &table->cells[(size_t)row * table->column_count];
}

static bool has_keys(const struct admin_table *table)
{
    for (uint32_t i = 0; i < table->column_count; i++) {
        if (table->columns[i].merge == MERGE_KEY) {
            return true;
        }
    }
    return false;
}

const char *admin_table_text_at(const struct admin_table *table, uint32_t row, uint32_t column)
{
    const struct admin_cell *cell = &cells_of(table, row)[column];
    return cell->null ? NULL : (const char *)table->texts.bytes + cell->value;
}

int64_t admin_table_number_at(const struct admin_table *table, uint32_t row, uint32_t column)
{
    return cells_of(table, row)[column].value;
}

void admin_table_set_number(struct admin_table *table, uint32_t row, uint32_t column,
                            int64_t number)
{
    cells_of(table, row)[column].value = number;
}

static uint64_t hash_row(const struct admin_table *table, uint32_t row)
{
    uint64_t hash = 0;
    for (uint32_t i = 0; i < table->column_count; i++) {
        if (table->columns[i].merge != MERGE_KEY) {
            continue;
        }
        if (table->columns[i].type == ADMIN_TEXT) {
            const char *text = admin_table_text_at(table, row, i);
            hash = hash_bytes(hash + 1, text == NULL ? "" : text, text == NULL ? 0 : strlen(text));
        } else {
            int64_t number = admin_table_number_at(table, row, i);
            hash = hash_bytes(hash + 1, &number, sizeof(number));
        }
    }
    return hash;
}

static bool same_keys(const struct admin_table *table, uint32_t left, uint32_t right)
{
    for (uint32_t i = 0; i < table->column_count; i++) {
        if (table->columns[i].merge != MERGE_KEY) {
            continue;
        }
        if (table->columns[i].type == ADMIN_TEXT) {
            const char *one = admin_table_text_at(table, left, i);
            const char *other = admin_table_text_at(table, right, i);
            if (one == NULL || other == NULL ? one != other : strcmp(one, other) != 0) {
                return false;
            }
        } else if (admin_table_number_at(table, left, i) !=
                   admin_table_number_at(table, right, i)) {
            return false;
        }
    }
    return true;
}

static void index_put(struct admin_table *table, uint32_t row)
{
    uint64_t at = hash_row(table, row);
    while (table->index[at & table->index_mask] != 0) {
        at++;
    }
    table->index[at & table->index_mask] = row + 1;
}

static bool index_grow(struct admin_table *table)
{
    uint32_t slots = table->row_capacity * 2;
    free(table->index);
    table->index = calloc(slots, sizeof(*table->index));
    if (table->index == NULL) {
        table->failed = true;
        return false;
    }
    table->index_mask = slots - 1;
    for (uint32_t row = 0; row < table->row_count; row++) {
        index_put(table, row);
    }
    return true;
}

static bool grow(struct admin_table *table)
{
    uint32_t capacity = table->row_capacity == 0 ? 16 : table->row_capacity * 2;
    struct admin_cell *cells =
        realloc(table->cells, (size_t)capacity * table->column_count * sizeof(*cells));
    if (cells == NULL) {
        table->failed = true;
        return false;
    }
    table->cells = cells;
    table->row_capacity = capacity;
    return !has_keys(table) || index_grow(table);
}

static void merge_into(struct admin_table *table, uint32_t into, uint32_t from)
{
    struct admin_cell *old_cells = cells_of(table, into);
    const struct admin_cell *new_cells = cells_of(table, from);
    for (uint32_t i = 0; i < table->column_count; i++) {
        switch (table->columns[i].merge) {
        case MERGE_FIRST:
        case MERGE_KEY:
            break;
        case MERGE_SUM:
            old_cells[i].value += new_cells[i].value;
            break;
        case MERGE_MAX:
            if (new_cells[i].value > old_cells[i].value) {
                old_cells[i].value = new_cells[i].value;
            }
            break;
        }
    }
}

static void end_row(struct admin_table *table)
{
    uint32_t row = table->row_count;
    table->filled = 0;
    if (table->index != NULL) {
        for (uint64_t at = hash_row(table, row); table->index[at & table->index_mask] != 0; at++) {
            uint32_t other = table->index[at & table->index_mask] - 1;
            if (same_keys(table, row, other)) {
                merge_into(table, other, row);
                return;
            }
        }
        index_put(table, row);
    }
    table->row_count++;
}

static void add_cell(struct admin_table *table, const struct admin_cell *cell)
{
    if (table->failed || (table->row_count == table->row_capacity && !grow(table))) {
        return;
    }
    cells_of(table, table->row_count)[table->filled++] = *cell;
    if (table->filled == table->column_count) {
        end_row(table);
    }
}

void admin_table_text(struct admin_table *table, const char *text)
{
    struct admin_cell cell = {.null = text == NULL, .value = table->texts.len};
    ASSERT(table->failed || table->columns[table->filled].type == ADMIN_TEXT);
    if (text != NULL) {
        writer_cstr(&table->texts, text);
    }
    table->failed = table->failed || table->texts.failed;
    add_cell(table, &cell);
}

void admin_table_number(struct admin_table *table, int64_t number)
{
    struct admin_cell cell = {.value = number};
    ASSERT(table->failed || table->columns[table->filled].type != ADMIN_TEXT);
    add_cell(table, &cell);
}

void admin_table_null(struct admin_table *table)
{
    add_cell(table, &(struct admin_cell){.null = true});
}

/* --- on the wire ------------------------------------------------------------------------------ */

static uint16_t format_of(const uint16_t *formats, uint32_t format_count, uint32_t column)
{
    return format_count == 0 ? 0 : formats[format_count == 1 ? 0 : column];
}

static uint32_t type_oid(enum admin_type type)
{
    switch (type) {
    case ADMIN_TEXT:
        return OID_TEXT;
    case ADMIN_INT4:
        return OID_INT4;
    case ADMIN_INT8:
        return OID_INT8;
    case ADMIN_NUMERIC:
        return OID_NUMERIC;
    case ADMIN_BOOL:
        return OID_BOOL;
    }
    UNREACHABLE();
}

static uint16_t type_bytes(enum admin_type type)
{
    switch (type) {
    case ADMIN_TEXT:
    case ADMIN_NUMERIC:
        return UINT16_MAX; /* varies */
    case ADMIN_INT4:
        return 4;
    case ADMIN_INT8:
        return 8;
    case ADMIN_BOOL:
        return 1;
    }
    UNREACHABLE();
}

void admin_table_describe(const struct admin_table *table, const uint16_t *formats,
                          uint32_t format_count, struct writer *writer)
{
    uint32_t mark = writer_begin(writer, 'T');
    writer_u16(writer, (uint16_t)table->column_count);
    for (uint32_t i = 0; i < table->column_count; i++) {
        writer_cstr(writer, table->columns[i].name);
        writer_u32(writer, 0); /* of no table */
        writer_u16(writer, 0);
        writer_u32(writer, type_oid(table->columns[i].type));
        writer_u16(writer, type_bytes(table->columns[i].type));
        writer_u32(writer, UINT32_MAX); /* no modifier */
        writer_u16(writer, format_of(formats, format_count, i));
    }
    writer_end(writer, mark);
}

/* numeric_send of src/backend/utils/adt/numeric.c: digits to the base of 10,000, the first the
 * highest; the weight is the exponent of the first. */
static void write_numeric(struct writer *writer, int64_t number)
{
    uint16_t digits[5];
    uint16_t count = 0;
    uint64_t left = number < 0 ? 0 - (uint64_t)number : (uint64_t)number;
    for (; left > 0; left /= 10000) {
        digits[count++] = (uint16_t)(left % 10000);
    }
    writer_u32(writer, 8 + 2U * count);
    writer_u16(writer, count);
    writer_u16(writer, count == 0 ? 0 : (uint16_t)(count - 1));
    writer_u16(writer, number < 0 ? 0x4000 : 0);
    writer_u16(writer, 0);
    while (count > 0) {
        writer_u16(writer, digits[--count]);
    }
}

static void write_binary(struct writer *writer, enum admin_type type, int64_t number)
{
    switch (type) {
    case ADMIN_INT4:
        writer_u32(writer, 4);
        writer_u32(writer, (uint32_t)number);
        return;
    case ADMIN_INT8:
        writer_u32(writer, 8);
        writer_u32(writer, (uint32_t)((uint64_t)number >> 32));
        writer_u32(writer, (uint32_t)number);
        return;
    case ADMIN_NUMERIC:
        write_numeric(writer, number);
        return;
    case ADMIN_BOOL:
        writer_u32(writer, 1);
        writer_u8(writer, number != 0);
        return;
    case ADMIN_TEXT:
        break;
    }
    UNREACHABLE();
}

/* What a column of four bytes cannot hold is shown as its greatest value. */
static int64_t fit(enum admin_type type, int64_t number)
{
    return type == ADMIN_INT4 && number > INT32_MAX ? INT32_MAX : number;
}

void admin_table_write_row(const struct admin_table *table, uint32_t row, const uint16_t *formats,
                           uint32_t format_count, struct writer *writer)
{
    char digits[NUMBER_BYTES];
    uint32_t mark = writer_begin(writer, 'D');
    writer_u16(writer, (uint16_t)table->column_count);
    for (uint32_t i = 0; i < table->column_count; i++) {
        const struct admin_cell *cell = &cells_of(table, row)[i];
        enum admin_type type = table->columns[i].type;
        const char *text = digits;
        if (cell->null) {
            writer_u32(writer, UINT32_MAX);
            continue;
        }
        if (type == ADMIN_TEXT) {
            text = (const char *)table->texts.bytes + cell->value;
        } else if (format_of(formats, format_count, i) == 1) {
            write_binary(writer, type, fit(type, cell->value));
            continue;
        } else if (type == ADMIN_BOOL) {
            text = cell->value != 0 ? "t" : "f";
        } else {
            snprintf(digits, sizeof(digits), "%" PRId64, fit(type, cell->value));
        }
        size_t bytes = strlen(text);
        writer_u32(writer, (uint32_t)bytes);
        writer_bytes(writer, text, bytes);
    }
    writer_end(writer, mark);
}
