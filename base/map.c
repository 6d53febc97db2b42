#include "base/map.h"

#include <stdlib.h>

#include "base/assert.h"
#include "base/error.h"

enum { MAP_BUCKETS_MIN = 4 };

void map_init(struct map *map)
{
    *map = (struct map){0};
}

void map_fini(struct map *map)
{
    free(map->buckets);
    map_init(map);
}

static struct map_node **bucket_of(const struct map *map, uint64_t hash)
{
    return &map->buckets[hash & map->mask];
}

static struct map_node *same_hash(struct map_node *node, uint64_t hash)
{
    while (node != NULL && node->hash != hash) {
        node = node->next;
    }
    return node;
}

struct map_node *map_first(const struct map *map, uint64_t hash)
{
    return map->buckets == NULL ? NULL : same_hash(*bucket_of(map, hash), hash);
}

struct map_node *map_next(const struct map_node *node)
{
    return same_hash(node->next, node->hash);
}

static int grow(struct map *map)
{
    uint32_t old_count = map->buckets == NULL ? 0 : map->mask + 1;
    uint32_t new_count = old_count == 0 ? MAP_BUCKETS_MIN : old_count * 2;
    struct map_node **old = map->buckets;
    struct map_node **fresh = calloc(new_count, sizeof(*fresh));

    if (fresh == NULL) {
        return ERR_NO_MEMORY;
    }
    map->buckets = fresh;
    map->mask = new_count - 1;
    for (uint32_t i = 0; i < old_count; i++) {
        while (old[i] != NULL) {
            struct map_node *node = old[i];
            old[i] = node->next;
            node->next = *bucket_of(map, node->hash);
            *bucket_of(map, node->hash) = node;
        }
    }
    free(old);
    return 0;
}

int map_add(struct map *map, struct map_node *node, uint64_t hash)
{
    if (map->buckets == NULL || map->count > map->mask) {
        /* A full map still works, with longer chains: only the first bucket array is needed. */
        int code = grow(map);
        if (code != 0 && map->buckets == NULL) {
            return code;
        }
    }
    node->hash = hash;
    node->next = *bucket_of(map, hash);
    *bucket_of(map, hash) = node;
    map->count++;
    return 0;
}

void map_remove(struct map *map, struct map_node *node)
{
    ASSERT(map->count > 0);
    struct map_node **link = bucket_of(map, node->hash);
    while (*link != node) {
        ASSERT(*link != NULL);
        link = &(*link)->next;
    }
    *link = node->next;
    map->count--;
}

static struct map_node *first_from(const struct map *map, uint32_t bucket)
{
    for (; bucket <= map->mask; bucket++) {
        if (map->buckets[bucket] != NULL) {
            return map->buckets[bucket];
        }
    }
    return NULL;
}

struct map_node *map_any(const struct map *map)
{
    return map->count == 0 ? NULL : first_from(map, 0);
}

struct map_node *map_walk(const struct map *map, const struct map_node *previous)
{
    if (previous == NULL) {
        return map_any(map);
    }
    if (previous->next != NULL) {
        return previous->next;
    }
    return first_from(map, (uint32_t)(previous->hash & map->mask) + 1);
}
