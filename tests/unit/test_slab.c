#include "base/slab.h"

#include <criterion/criterion.h>
#include <string.h>

Test(slab, objects_do_not_overlap_and_are_aligned)
{
    enum { OBJECTS = 2000, BYTES = 52 };
    static uint8_t *objects[OBJECTS];
    struct slab slab;
    slab_init(&slab, BYTES);
    for (int i = 0; i < OBJECTS; i++) {
        objects[i] = slab_alloc(&slab);
        cr_assert_not_null(objects[i]);
        cr_assert_eq((uintptr_t)objects[i] % 8, 0);
        memset(objects[i], i & 0xff, BYTES);
    }
    for (int i = 0; i < OBJECTS; i++) {
        for (int k = 0; k < BYTES; k++) {
            cr_assert_eq(objects[i][k], i & 0xff);
        }
    }
    cr_assert_eq(slab.used, OBJECTS);
    slab_fini(&slab);
}

Test(slab, gives_freed_objects_again_before_it_grows)
{
    struct slab slab;
    slab_init(&slab, 24);
    void *first = slab_alloc(&slab), *second = slab_alloc(&slab);
    uint32_t total = slab.total;
    slab_free(&slab, first);
    slab_free(&slab, second);
    cr_assert_eq(slab.used, 0);
    cr_assert_eq(slab_alloc(&slab), second);
    cr_assert_eq(slab_alloc(&slab), first);
    cr_assert_eq(slab.total, total);
    slab_fini(&slab);
}

Test(slab, objects_larger_than_a_chunk_come_too)
{
    struct slab slab;
    slab_init(&slab, 100000);
    uint8_t *object = slab_alloc(&slab);
    cr_assert_not_null(object);
    memset(object, 1, 100000);
    slab_fini(&slab);
}

Test(slab, can_be_used_again_after_its_end)
{
    struct slab slab;
    slab_init(&slab, 16);
    cr_assert_not_null(slab_alloc(&slab));
    slab_fini(&slab);
    cr_assert_eq(slab.total, 0);
    cr_assert_not_null(slab_alloc(&slab));
    slab_fini(&slab);
}
