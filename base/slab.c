#include "base/slab.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"

enum { SLAB_CHUNK_BYTES = 32 * 1024, SLAB_OBJECTS_MIN = 8 };

struct slab_chunk {
    struct slab_chunk *next;
    uint64_t align;
};

void slab_init(struct slab *slab, size_t object_bytes)
{
    ASSERT(object_bytes >= sizeof(void *));
    *slab = (struct slab){.object_bytes = (object_bytes + 7) & ~(size_t)7};
}

void slab_fini(struct slab *slab)
{
    while (slab->chunks != NULL) {
        struct slab_chunk *chunk = slab->chunks;
        slab->chunks = chunk->next;
        free(chunk);
    }
    slab_init(slab, slab->object_bytes);
}

static int add_chunk(struct slab *slab)
{
    size_t objects = SLAB_CHUNK_BYTES / slab->object_bytes;
    if (objects < SLAB_OBJECTS_MIN) {
        objects = SLAB_OBJECTS_MIN;
    }
    struct slab_chunk *chunk = malloc(sizeof(*chunk) + objects * slab->object_bytes);
    if (chunk == NULL) {
        return -1;
    }
    chunk->next = slab->chunks;
    slab->chunks = chunk;
    slab->total += (uint32_t)objects;
    char *at = (char *)(chunk + 1);
    for (size_t i = 0; i < objects; i++, at += slab->object_bytes) {
        memcpy(at, &slab->free_first, sizeof(void *));
        slab->free_first = at;
    }
    return 0;
}

void *slab_alloc(struct slab *slab)
{
    if (slab->free_first == NULL && add_chunk(slab) != 0) {
        return NULL;
    }
    void *object = slab->free_first;
    memcpy(&slab->free_first, object, sizeof(void *));
    slab->used++;
    return object;
}

void slab_free(struct slab *slab, void *object)
{
    ASSERT(slab->used > 0);
    memcpy(object, &slab->free_first, sizeof(void *));
    slab->free_first = object;
    slab->used--;
}
