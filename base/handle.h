/* Handles {slot, generation} in place of pointers across a boundary, and the table behind them.
 *
 * A slot that is freed and used again gets another generation, so a stale handle finds nothing.
 */
#ifndef BASE_HANDLE_H
#define BASE_HANDLE_H

#include <stdbool.h>
#include <stdint.h>

struct handle {
    uint32_t slot;
    uint32_t generation; /* never 0 in a live handle: {0, 0} is "none" */
};

struct handle_slot {
    void *object; /* NULL while the slot is free */
    uint32_t generation;
    uint32_t next_free;
};

struct handle_table {
    struct handle_slot *slots;
    uint32_t count, capacity, capacity_max;
    uint32_t free_first; /* index, or capacity_max when none */
};

static inline bool handle_is_none(struct handle handle)
{
    return handle.generation == 0;
}

static inline bool handle_equal(struct handle left, struct handle right)
{
    return left.slot == right.slot && left.generation == right.generation;
}

void handle_table_init(struct handle_table *table, uint32_t capacity_max);
void handle_table_fini(struct handle_table *table);

/* 0; ERR_LIMIT when all slots are taken; ERR_NO_MEMORY. */
int handle_table_add(struct handle_table *table, void *object, struct handle *ret_handle);

/* The handle must be live. */
void handle_table_remove(struct handle_table *table, struct handle handle);

/* NULL for a stale handle. */
static inline void *handle_table_get(const struct handle_table *table, struct handle handle)
{
    if (handle.slot >= table->count || table->slots[handle.slot].generation != handle.generation) {
        return 0;
    }
    return table->slots[handle.slot].object;
}

#endif
