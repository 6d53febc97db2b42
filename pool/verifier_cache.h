/* SCRAM verifiers derived from plain secrets, kept so that PBKDF2 runs once per secret and not once
 * per login. Keys of the cache are digests; bounded, and emptied when full. */
#ifndef POOL_VERIFIER_CACHE_H
#define POOL_VERIFIER_CACHE_H

#include <stdbool.h>

#include "base/map.h"
#include "protocol/scram.h"

enum { VERIFIER_CACHE_MAX = 4096 };

struct verifier_cache {
    struct map entries;
};

void verifier_cache_init(struct verifier_cache *cache);
void verifier_cache_fini(struct verifier_cache *cache);

/* False when nothing is kept for this user and secret. */
bool verifier_cache_find(const struct verifier_cache *cache, const char *user, const char *secret,
                         struct scram_verifier *ret_verifier);

/* Best effort. */
void verifier_cache_add(struct verifier_cache *cache, const char *user, const char *secret,
                        const struct scram_verifier *verifier);

#endif
