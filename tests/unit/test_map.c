#include "base/map.h"

#include <criterion/criterion.h>

#include "base/list.h"
#include "base/random.h"

struct entry {
    struct map_node node;
    uint64_t key;
    bool in;
};

static struct entry *find(const struct map *map, uint64_t key, uint64_t hash)
{
    for (struct map_node *node = map_first(map, hash); node != NULL; node = map_next(node)) {
        struct entry *entry = CONTAINER_OF(node, struct entry, node);
        if (entry->key == key) {
            return entry;
        }
    }
    return NULL;
}

Test(map, empty_costs_nothing_and_finds_nothing)
{
    struct map map;
    map_init(&map);
    cr_assert_null(map_first(&map, 7));
    cr_assert_null(map_any(&map));
    cr_assert_null(map_walk(&map, NULL));
    cr_assert_null(map.buckets);
    map_fini(&map);
}

Test(map, finds_every_key_although_all_hashes_are_equal)
{
    struct entry entries[100];
    struct map map;
    map_init(&map);
    for (uint64_t i = 0; i < 100; i++) {
        entries[i] = (struct entry){.key = i};
        cr_assert_eq(map_add(&map, &entries[i].node, 42), 0);
    }
    for (uint64_t i = 0; i < 100; i++) {
        cr_assert_eq(find(&map, i, 42), &entries[i]);
        cr_assert_null(map_first(&map, i + 100));
    }
    map_fini(&map);
}

Test(map, agrees_with_a_model_over_random_changes)
{
    enum { KEYS = 300 };
    struct entry entries[KEYS] = {{.in = false}};
    struct random random = {1};
    struct map map;
    uint32_t count = 0;
    map_init(&map);
    for (int turn = 0; turn < 20000; turn++) {
        uint64_t key = random_below(&random, KEYS);
        uint64_t hash = key % 37; /* many share one */
        struct entry *entry = &entries[key];
        cr_assert_eq(find(&map, key, hash), entry->in ? entry : NULL);
        if (entry->in) {
            map_remove(&map, &entry->node);
            count--;
        } else {
            entry->key = key;
            cr_assert_eq(map_add(&map, &entry->node, hash), 0);
            count++;
        }
        entry->in = !entry->in;
        cr_assert_eq(map.count, count);
    }
    uint32_t walked = 0;
    for (struct map_node *node = map_walk(&map, NULL); node != NULL; node = map_walk(&map, node)) {
        cr_assert(CONTAINER_OF(node, struct entry, node)->in);
        walked++;
    }
    cr_assert_eq(walked, count);
    map_fini(&map);
}

Test(map, map_any_empties_it)
{
    struct entry entries[50];
    struct map map;
    map_init(&map);
    for (uint64_t i = 0; i < 50; i++) {
        map_add(&map, &entries[i].node, i * 977);
    }
    uint32_t removed = 0;
    for (struct map_node *node = map_any(&map); node != NULL; node = map_any(&map)) {
        map_remove(&map, node);
        removed++;
    }
    cr_assert_eq(removed, 50);
    map_fini(&map);
}
