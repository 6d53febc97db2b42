#include "pool/verifier_cache.h"

#include <stdlib.h>
#include <string.h>

#include "base/list.h"
#include "protocol/crypto.h"

struct verifier_entry {
    struct map_node node;
    uint8_t digest[CRYPTO_SHA256_BYTES];
    struct scram_verifier verifier;
};

void verifier_cache_init(struct verifier_cache *cache)
{
    map_init(&cache->entries);
}

static void clear(struct verifier_cache *cache)
{
    for (struct map_node *node = map_any(&cache->entries); node != NULL;
         node = map_any(&cache->entries)) {
        struct verifier_entry *entry = CONTAINER_OF(node, struct verifier_entry, node);
        map_remove(&cache->entries, node);
        crypto_wipe(entry, sizeof(*entry));
        free(entry);
    }
}

void verifier_cache_fini(struct verifier_cache *cache)
{
    clear(cache);
    map_fini(&cache->entries);
}

static uint64_t digest_of(const char *user, const char *secret, uint8_t digest[CRYPTO_SHA256_BYTES])
{
    uint64_t hash;
    crypto_hmac(user, strlen(user), secret, strlen(secret), digest);
    memcpy(&hash, digest, sizeof(hash));
    return hash;
}

static struct verifier_entry *find(const struct verifier_cache *cache, uint64_t hash,
                                   const uint8_t digest[CRYPTO_SHA256_BYTES])
{
    for (struct map_node *node = map_first(&cache->entries, hash); node != NULL;
         node = map_next(node)) {
        struct verifier_entry *entry = CONTAINER_OF(node, struct verifier_entry, node);
        if (crypto_equal(entry->digest, digest, CRYPTO_SHA256_BYTES)) {
            return entry;
        }
    }
    return NULL;
}

bool verifier_cache_find(const struct verifier_cache *cache, const char *user, const char *secret,
                         struct scram_verifier *ret_verifier)
{
    uint8_t digest[CRYPTO_SHA256_BYTES];
    uint64_t hash = digest_of(user, secret, digest);
    const struct verifier_entry *entry = find(cache, hash, digest);
    if (entry == NULL) {
        return false;
    }
    *ret_verifier = entry->verifier;
    return true;
}

void verifier_cache_add(struct verifier_cache *cache, const char *user, const char *secret,
                        const struct scram_verifier *verifier)
{
    struct verifier_entry *entry = malloc(sizeof(*entry));
    if (entry == NULL) {
        return;
    }
    if (cache->entries.count >= VERIFIER_CACHE_MAX) {
        clear(cache);
    }
    uint64_t hash = digest_of(user, secret, entry->digest);
    entry->verifier = *verifier;
    if (find(cache, hash, entry->digest) != NULL ||
        map_add(&cache->entries, &entry->node, hash) != 0) {
        free(entry);
    }
}
