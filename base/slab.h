/* Objects of one size from big chunks: no malloc per object after warm-up, and no header.
 *
 * Freed objects are kept for the next use; chunks are returned when the slab ends.
 */
#ifndef BASE_SLAB_H
#define BASE_SLAB_H

#include <stddef.h>
#include <stdint.h>

struct slab_chunk;

struct slab {
    struct slab_chunk *chunks;
    void *free_first;
    size_t object_bytes;
    uint32_t used, total; /* objects */
};

void slab_init(struct slab *slab, size_t object_bytes);

/* Every object is gone with it. */
void slab_fini(struct slab *slab);

/* Not cleared; NULL when memory is out. */
void *slab_alloc(struct slab *slab);

void slab_free(struct slab *slab, void *object);

#endif
