#include "base/handle.h"

#include <stdlib.h>

#include "base/assert.h"
#include "base/error.h"

enum { HANDLE_SLOTS_MIN = 64 };

void handle_table_init(struct handle_table *table, uint32_t capacity_max)
{
    *table = (struct handle_table){.capacity_max = capacity_max, .free_first = capacity_max};
}

void handle_table_fini(struct handle_table *table)
{
    free(table->slots);
    handle_table_init(table, table->capacity_max);
}

static int grow(struct handle_table *table)
{
    uint32_t capacity = table->capacity == 0 ? HANDLE_SLOTS_MIN : table->capacity * 2;
    if (table->capacity >= table->capacity_max) {
        return ERR_LIMIT;
    }
    if (capacity > table->capacity_max) {
        capacity = table->capacity_max;
    }
    struct handle_slot *slots = realloc(table->slots, capacity * sizeof(*slots));
    if (slots == NULL) {
        return ERR_NO_MEMORY;
    }
    table->slots = slots;
    table->capacity = capacity;
    return 0;
}

int handle_table_add(struct handle_table *table, void *object, struct handle *ret_handle)
{
    ASSERT(object != NULL);
    uint32_t slot = table->free_first;
    if (slot != table->capacity_max) {
        table->free_first = table->slots[slot].next_free;
    } else {
        if (table->count == table->capacity) {
            int code = grow(table);
            if (code != 0) {
                return code;
            }
        }
        slot = table->count++;
        table->slots[slot].generation = 1;
    }
    table->slots[slot].object = object;
    *ret_handle = (struct handle){slot, table->slots[slot].generation};
    return 0;
}

void handle_table_remove(struct handle_table *table, struct handle handle)
{
    ASSERT(handle_table_get(table, handle) != NULL);
    struct handle_slot *slot = &table->slots[handle.slot];
    slot->object = NULL;
    slot->generation++;
    if (slot->generation == 0) {
        slot->generation = 1;
    }
    slot->next_free = table->free_first;
    table->free_first = handle.slot;
}
