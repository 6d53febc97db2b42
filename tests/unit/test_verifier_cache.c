#include "pool/verifier_cache.h"

#include <criterion/criterion.h>
#include <stdio.h>

Test(verifier_cache, finds_by_user_and_secret_together)
{
    struct verifier_cache cache;
    struct scram_verifier verifier = {.iterations = 4096}, found = {.iterations = 1};
    verifier_cache_init(&cache);
    cr_assert(!verifier_cache_find(&cache, "alice", "secret", &found));
    verifier_cache_add(&cache, "alice", "secret", &verifier);
    cr_assert(!verifier_cache_find(&cache, "alice", "Secret", &found));
    cr_assert(!verifier_cache_find(&cache, "bob", "secret", &found));
    cr_assert(!verifier_cache_find(&cache, "alices", "ecret", &found));
    cr_assert_eq(found.iterations, 1, "a result was touched on failure");
    cr_assert(verifier_cache_find(&cache, "alice", "secret", &found));
    cr_assert_eq(found.iterations, 4096);
    verifier_cache_add(&cache, "alice", "secret", &verifier);
    cr_assert_eq(cache.entries.count, 1);
    verifier_cache_fini(&cache);
}

Test(verifier_cache, is_bounded)
{
    struct verifier_cache cache;
    struct scram_verifier verifier = {.iterations = 4096};
    verifier_cache_init(&cache);
    for (int i = 0; i < VERIFIER_CACHE_MAX + 100; i++) {
        char user[16];
        snprintf(user, sizeof(user), "user%d", i);
        verifier_cache_add(&cache, user, "x", &verifier);
        cr_assert_leq(cache.entries.count, VERIFIER_CACHE_MAX);
        cr_assert(verifier_cache_find(&cache, user, "x", &verifier));
    }
    verifier_cache_fini(&cache);
}
