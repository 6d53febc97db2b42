#include "router/plan.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/error.h"
#include "base/hash.h"
#include "router/classify.h"
#include "router/parse.h"

/* Texts beyond this are opaque: the parser's time and stack grow with them. */
enum { TEXT_BYTES_MAX = 16384 };

static struct plan *plan_new(const uint8_t *skeleton, uint32_t skeleton_bytes)
{
    struct plan *plan = calloc(1, sizeof(*plan));
    if (plan == NULL) {
        return NULL;
    }
    if (skeleton_bytes > 0) {
        plan->skeleton = malloc(skeleton_bytes);
        if (plan->skeleton == NULL) {
            free(plan);
            return NULL;
        }
        memcpy(plan->skeleton, skeleton, skeleton_bytes);
    }
    plan->skeleton_bytes = skeleton_bytes;
    plan->references = 1;
    list_init(&plan->recent);
    return plan;
}

static void plan_free(struct plan *plan)
{
    for (uint32_t i = 0; i < plan->settings_count; i++) {
        free((char *)plan->settings[i].name);
        free((char *)plan->settings[i].value);
    }
    free(plan->settings);
    free(plan->skeleton);
    free(plan);
}

void plan_ref(struct plan *plan)
{
    ASSERT(plan->references > 0);
    plan->references++;
}

void plan_unref(struct plan *plan)
{
    if (plan == NULL) {
        return;
    }
    ASSERT(plan->references > 0);
    plan->references--;
    if (plan->references == 0) {
        plan_free(plan);
    }
}

static void make_opaque(struct plan *plan)
{
    plan->class = PLAN_OPAQUE;
    plan->touches = PLAN_TOUCH_OPAQUE;
    plan->statement_count = UINT8_MAX;
}

int plan_cache_init(struct plan_cache *cache, uint64_t hash_key, uint32_t count_max)
{
    ASSERT(count_max > 0);
    *cache = (struct plan_cache){.hash_key = hash_key, .count_max = count_max};
    map_init(&cache->plans);
    list_init(&cache->recent);
    cache->opaque = plan_new(NULL, 0);
    cache->empty = plan_new(NULL, 0);
    if (cache->opaque == NULL || cache->empty == NULL) {
        plan_unref(cache->opaque);
        plan_unref(cache->empty);
        return ERR_NO_MEMORY;
    }
    make_opaque(cache->opaque);
    return 0;
}

static void forget(struct plan_cache *cache, struct plan *plan)
{
    map_remove(&cache->plans, &plan->node);
    list_remove(&plan->recent);
    plan_unref(plan);
}

void plan_cache_fini(struct plan_cache *cache)
{
    while (!list_empty(&cache->recent)) {
        forget(cache, CONTAINER_OF(list_last(&cache->recent), struct plan, recent));
    }
    map_fini(&cache->plans);
    plan_unref(cache->opaque);
    plan_unref(cache->empty);
    *cache = (struct plan_cache){0};
}

static struct plan *find(struct plan_cache *cache, uint64_t hash, const void *bytes, uint32_t len)
{
    for (struct map_node *node = map_first(&cache->plans, hash); node != NULL;
         node = map_next(node)) {
        struct plan *plan = CONTAINER_OF(node, struct plan, node);
        if (plan->skeleton_bytes == len && memcmp(plan->skeleton, bytes, len) == 0) {
            return plan;
        }
    }
    return NULL;
}

/* The plan takes a place in the cache if there is memory for it. */
static void keep(struct plan_cache *cache, struct plan *plan, uint64_t hash)
{
    if (map_add(&cache->plans, &plan->node, hash) != 0) {
        return;
    }
    plan_ref(plan);
    list_push_front(&cache->recent, &plan->recent);
    if (cache->plans.count > cache->count_max) {
        forget(cache, CONTAINER_OF(list_last(&cache->recent), struct plan, recent));
    }
}

/* A new plan; NULL when memory ran out. */
static struct plan *make(const char *text, uint32_t len)
{
    struct parse_tree tree;
    struct plan *plan = plan_new((const uint8_t *)text, len);
    char *copy = strndup(text, len);
    int code = plan == NULL || copy == NULL ? ERR_NO_MEMORY : parse_text(copy, &tree);
    if (code == 0) {
        code = classify(&tree, plan);
        parse_fini(&tree);
    }
    free(copy);
    if (code == ERR_SYNTAX) {
        make_opaque(plan);
    } else if (code != 0) {
        plan_unref(plan);
        return NULL;
    }
    return plan;
}

/* Whether the bytes mean to the server what they mean to us. */
static bool is_clear(const struct plan_context *context, const char *text, uint32_t len)
{
    if (len > TEXT_BYTES_MAX || memchr(text, 0, len) != NULL ||
        (!context->standard_strings && memchr(text, '\\', len) != NULL)) {
        return false;
    }
    for (uint32_t i = 0; i < len && !context->safe_encoding; i++) {
        if ((unsigned char)text[i] >= 0x80) {
            return false;
        }
    }
    return true;
}

struct plan *plan_of(struct plan_cache *cache, const struct plan_context *context, const char *text,
                     uint32_t len)
{
    struct plan *plan = cache->opaque;
    if (len == 0) {
        plan = cache->empty;
    } else if (is_clear(context, text, len)) {
        uint64_t hash = hash_bytes(cache->hash_key, text, len);
        plan = find(cache, hash, text, len);
        if (plan != NULL) {
            cache->hits++;
            list_remove(&plan->recent);
            list_push_front(&cache->recent, &plan->recent);
        } else {
            cache->misses++;
            plan = make(text, len);
            if (plan != NULL) {
                keep(cache, plan, hash);
                return plan; /* the reference that it was made with */
            }
            plan = cache->opaque;
        }
    }
    plan_ref(plan);
    return plan;
}
