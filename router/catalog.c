#include "router/catalog.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"

void catalog_ref(struct catalog *catalog)
{
    unsigned before = atomic_fetch_add(&catalog->references, 1);
    ASSERT(before > 0);
}

void catalog_unref(struct catalog *catalog)
{
    if (catalog == NULL || atomic_fetch_sub(&catalog->references, 1) != 1) {
        return;
    }
    free(catalog->functions);
    free(catalog->relations);
    free(catalog->uses);
    free(catalog->customs);
    free(catalog->names);
    free(catalog);
}

static int compare_function(const void *key, const void *row)
{
    return strcmp(key, ((const struct catalog_function *)row)->name);
}

static int compare_relation(const void *key, const void *row)
{
    return strcmp(key, ((const struct catalog_relation *)row)->name);
}

const struct catalog_function *catalog_find_function(const struct catalog *catalog,
                                                     const char *name)
{
    return catalog->function_count == 0 ? NULL
                                        : bsearch(name, catalog->functions, catalog->function_count,
                                                  sizeof(*catalog->functions), compare_function);
}

const struct catalog_relation *catalog_find_relation(const struct catalog *catalog,
                                                     const char *name)
{
    return catalog->relation_count == 0 ? NULL
                                        : bsearch(name, catalog->relations, catalog->relation_count,
                                                  sizeof(*catalog->relations), compare_relation);
}
