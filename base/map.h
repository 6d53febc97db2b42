/* Intrusive hash map: the node is a member of the entry, the caller compares keys.
 *
 *     for (struct map_node *node = map_first(&map, hash); node != NULL; node = map_next(node)) {
 *         struct thing *thing = CONTAINER_OF(node, struct thing, node);
 *         if (thing_has_key(thing, key)) ...
 *     }
 *
 * A map costs no memory while it is empty. Entries belong to the caller.
 */
#ifndef BASE_MAP_H
#define BASE_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct map_node {
    struct map_node *next;
    uint64_t hash;
};

struct map {
    struct map_node **buckets;
    uint32_t mask; /* bucket count - 1; unused while buckets is NULL */
    uint32_t count;
};

void map_init(struct map *map);

/* Frees the buckets; the entries are the caller's to free before. */
void map_fini(struct map *map);

/* The first and next node with that hash; NULL when there is none. */
struct map_node *map_first(const struct map *map, uint64_t hash);
struct map_node *map_next(const struct map_node *node);

/* 0, or ERR_NO_MEMORY with the map unchanged. Does not look for a node of the same key. */
int map_add(struct map *map, struct map_node *node, uint64_t hash);

/* The node must be in the map. */
void map_remove(struct map *map, struct map_node *node);

/* Any node at all, for emptying a map; NULL when it is empty. */
struct map_node *map_any(const struct map *map);

/* Walks all nodes in no order: start with NULL; the map must not change meanwhile. */
struct map_node *map_walk(const struct map *map, const struct map_node *previous);

#endif
