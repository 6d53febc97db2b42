#include "base/handle.h"

#include <criterion/criterion.h>

#include "base/error.h"

Test(handle, stale_handles_find_nothing)
{
    struct handle_table table;
    struct handle first, second;
    int a, b;
    handle_table_init(&table, 10);
    cr_assert_eq(handle_table_add(&table, &a, &first), 0);
    cr_assert(!handle_is_none(first));
    cr_assert_eq(handle_table_get(&table, first), &a);
    handle_table_remove(&table, first);
    cr_assert_null(handle_table_get(&table, first));
    cr_assert_eq(handle_table_add(&table, &b, &second), 0);
    cr_assert_eq(second.slot, first.slot);
    cr_assert(!handle_equal(first, second));
    cr_assert_null(handle_table_get(&table, first));
    cr_assert_eq(handle_table_get(&table, second), &b);
    handle_table_fini(&table);
}

Test(handle, none_and_wild_handles_find_nothing)
{
    struct handle_table table;
    struct handle handle;
    int object;
    handle_table_init(&table, 10);
    cr_assert_null(handle_table_get(&table, (struct handle){0}));
    cr_assert_eq(handle_table_add(&table, &object, &handle), 0);
    cr_assert_null(handle_table_get(&table, (struct handle){0}));
    cr_assert_null(handle_table_get(&table, (struct handle){handle.slot, handle.generation + 1}));
    cr_assert_null(handle_table_get(&table, (struct handle){UINT32_MAX, 1}));
    cr_assert_null(handle_table_get(&table, (struct handle){1, 1}));
    handle_table_fini(&table);
}

Test(handle, the_table_is_full_at_its_bound_and_not_before)
{
    enum { MAX = 200 };
    struct handle_table table;
    struct handle handles[MAX], extra = {7, 7};
    int object;
    handle_table_init(&table, MAX);
    for (int i = 0; i < MAX; i++) {
        cr_assert_eq(handle_table_add(&table, &object, &handles[i]), 0, "%d", i);
    }
    cr_assert_eq(handle_table_add(&table, &object, &extra), ERR_LIMIT);
    cr_assert_eq(extra.slot, 7, "a result was touched on failure");
    handle_table_remove(&table, handles[100]);
    cr_assert_eq(handle_table_add(&table, &object, &extra), 0);
    cr_assert_eq(extra.slot, handles[100].slot);
    handle_table_fini(&table);
}

Test(handle, a_generation_that_wraps_is_never_none)
{
    struct handle_table table;
    struct handle handle;
    int object;
    handle_table_init(&table, 4);
    handle_table_add(&table, &object, &handle);
    table.slots[handle.slot].generation = UINT32_MAX;
    handle.generation = UINT32_MAX;
    handle_table_remove(&table, handle);
    handle_table_add(&table, &object, &handle);
    cr_assert_eq(handle.generation, 1);
    handle_table_fini(&table);
}
