#include "router/plan.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/error.h"
#include "base/hash.h"
#include "base/limits.h"
#include "router/classify.h"
#include "router/explain_text.h"
#include "router/hint.h"
#include "router/parse.h"
#include "router/plan_memo.h"
#include "router/skeleton.h"

/* The skeletons of a text's statements, one behind the other with a semicolon between, and room to
 * make one more. */
enum { ROOM_BYTES = LIMIT_SKELETON_BYTES + 1 + LIMIT_SKELETON_ROOM_BYTES };

/* A plan's key: a skeleton, or a text where the skeleton doesn't say all. */
struct key {
    const uint8_t *bytes;
    uint32_t len;
    uint64_t hash;
    const struct hint *hint; /* NULL: none */
};

/* What a hint is in a key: a comment, which a skeleton never has, so that the key is still SQL. */
static const char hint_opens[] = "/*howdah:", hint_closes[] = "*/";

static struct plan *plan_new(const struct key *key)
{
    struct plan *plan = calloc(1, sizeof(*plan));
    if (plan == NULL) {
        return NULL;
    }
    if (key->len > 0) {
        plan->skeleton = malloc(key->len);
        if (plan->skeleton == NULL) {
            free(plan);
            return NULL;
        }
        memcpy(plan->skeleton, key->bytes, key->len);
    }
    if (key->hint != NULL) {
        plan->hint = malloc(sizeof(*plan->hint));
        if (plan->hint == NULL) {
            free(plan->skeleton);
            free(plan);
            return NULL;
        }
        *plan->hint = *key->hint;
    }
    plan->skeleton_bytes = key->len;
    plan->references = 1;
    list_init(&plan->recent);
    return plan;
}

static void plan_free(struct plan *plan)
{
    classify_free(plan);
    free(plan->hint);
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
    plan->class = plan->own_class = PLAN_OPAQUE;
    plan->touches = plan->own_touches = PLAN_TOUCH_OPAQUE;
    plan->classes = plan->bare_classes = 1 << PLAN_OPAQUE;
    plan->hides = PLAN_HIDES_TABLES | PLAN_HIDES_CLASS;
    plan->statement_count = UINT8_MAX;
}

/* Of all texts of a kind that is answered here. */
static int make_ours(struct plan *plan, uint32_t touch)
{
    plan->class = PLAN_SESSION;
    plan->touches = touch;
    plan->statement_count = 1;
    plan->is_ours = true;
    plan->steps = calloc(1, sizeof(*plan->steps));
    if (plan->steps == NULL) {
        return ERR_NO_MEMORY;
    }
    plan->step_count = 1;
    plan->steps[0].kind = PLAN_STEP_EXPLAIN;
    return 0;
}

static void free_own(struct plan_cache *cache)
{
    plan_unref(cache->opaque);
    plan_unref(cache->empty);
    plan_unref(cache->explain);
    plan_unref(cache->bad_hint);
    free(cache->room);
    plan_memo_free(cache->memo);
}

int plan_cache_init(struct plan_cache *cache, uint64_t hash_key, uint32_t count_max)
{
    const struct key none = {0};
    ASSERT(count_max > 0);
    *cache = (struct plan_cache){.hash_key = hash_key, .count_max = count_max};
    map_init(&cache->plans);
    list_init(&cache->recent);
    cache->opaque = plan_new(&none);
    cache->empty = plan_new(&none);
    cache->explain = plan_new(&none);
    cache->bad_hint = plan_new(&none);
    cache->room = malloc(ROOM_BYTES);
    cache->memo = plan_memo_new();
    if (cache->opaque == NULL || cache->empty == NULL || cache->explain == NULL ||
        cache->bad_hint == NULL || cache->room == NULL || cache->memo == NULL ||
        make_ours(cache->explain, PLAN_TOUCH_EXPLAIN) != 0 ||
        make_ours(cache->bad_hint, PLAN_TOUCH_BAD_HINT) != 0) {
        free_own(cache);
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
    free_own(cache);
    *cache = (struct plan_cache){0};
}

/* --- keys ------------------------------------------------------------------------------------ */

/* Whether the bytes mean to the server what they mean to us. */
static bool is_clear(const struct plan_context *context, const char *text, uint32_t len)
{
    if (!context->standard_strings && memchr(text, '\\', len) != NULL) {
        return false;
    }
    for (uint32_t i = 0; i < len && !context->safe_encoding; i++) {
        if ((unsigned char)text[i] >= 0x80) {
            return false;
        }
    }
    return true;
}

/* What came of making a key. */
enum key_state { KEY_MADE, KEY_NONE, KEY_BAD_HINT };

/* What the hint of the text says is said from now on. False: it is malformed. */
static bool add_hint(struct hint *hint, const char *text, uint32_t len)
{
    struct hint one;
    struct hint_error error;
    if (hint_read(text, len, &one, &error) != 0) {
        return false;
    }
    for (enum control control = 0; control < CONTROL_COUNT; control++) {
        if (one.said[control]) {
            hint->said[control] = true;
            memcpy(hint->values[control], one.values[control], CONTROL_VALUE_BYTES);
        }
    }
    return true;
}

/* The hint goes behind the skeletons. False: it is too long. */
static bool put_hint(struct plan_cache *cache, const struct hint *hint, struct key *key)
{
    char text[HINT_TEXT_BYTES];
    uint32_t len = hint_write(hint, text, sizeof(text));
    uint32_t opens = sizeof(hint_opens) - 1, closes = sizeof(hint_closes) - 1;
    if (len + opens + closes > LIMIT_SKELETON_BYTES - key->len) {
        return false;
    }
    uint8_t *to = cache->room + key->len;
    memcpy(to, hint_opens, opens);
    memcpy(to + opens, text, len);
    memcpy(to + opens + len, hint_closes, closes);
    key->len += opens + len + closes;
    key->hash = hash_bytes(cache->hash_key, key->bytes, key->len);
    key->hint = hint;
    return true;
}

/* The skeleton of all of a text in the cache's room; `hint` is room for its hint, in
 * which nothing is said yet. */
static enum key_state make_key(struct plan_cache *cache, const char *text, uint32_t len,
                               struct hint *hint, struct key *ret_key)
{
    struct key key = {.bytes = cache->room};
    uint32_t count = 0;
    bool has_hint = false;
    for (uint32_t at = 0; at < len;) {
        uint32_t start = key.len + (count > 0);
        const struct skeleton_room room = {.bytes = cache->room + start,
                                           .bytes_max = LIMIT_SKELETON_ROOM_BYTES,
                                           .hash_key = cache->hash_key};
        struct skeleton skeleton;
        skeleton_make(text + at, len - at, &room, &skeleton);
        if (skeleton.opaque != SKELETON_CLEAR || skeleton.len > LIMIT_SKELETON_BYTES - key.len) {
            return KEY_NONE;
        }
        if (skeleton.has_hint) {
            has_hint = true;
            if (!add_hint(hint, text + at + skeleton.hint_at, skeleton.hint_len)) {
                return KEY_BAD_HINT;
            }
        }
        if (skeleton.len > 0) {
            cache->room[key.len] = count > 0 ? ';' : cache->room[key.len];
            key.len = start + skeleton.len;
            key.hash = skeleton.hash;
            count++;
        }
        ASSERT(skeleton.next > 0);
        at += skeleton.next;
    }
    if (count > 1) {
        key.hash = hash_bytes(cache->hash_key, key.bytes, key.len);
    }
    if (has_hint && key.len > 0 && !put_hint(cache, hint, &key)) {
        return KEY_NONE;
    }
    *ret_key = key;
    return KEY_MADE;
}

/* --- the cache ------------------------------------------------------------------------------- */

static struct plan *find(struct plan_cache *cache, const struct key *key)
{
    for (struct map_node *node = map_first(&cache->plans, key->hash); node != NULL;
         node = map_next(node)) {
        struct plan *plan = CONTAINER_OF(node, struct plan, node);
        if (plan->skeleton_bytes == key->len && memcmp(plan->skeleton, key->bytes, key->len) == 0) {
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
static struct plan *make(const struct key *key)
{
    struct parse_tree tree;
    struct plan *plan = plan_new(key);
    char *copy = strndup((const char *)key->bytes, key->len);
    int code = plan == NULL || copy == NULL ? ERR_NO_MEMORY : ERR_SYNTAX;
    if (code == ERR_SYNTAX && strlen(copy) == key->len) { /* a NUL ends what a server reads */
        code = parse_text(copy, &tree);
    }
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

/* A reference to the plan of a key, an old or a new one. */
static struct plan *look_up(struct plan_cache *cache, const struct key *key)
{
    struct plan *plan = find(cache, key);
    if (plan != NULL) {
        cache->hits++;
        list_remove(&plan->recent);
        list_push_front(&cache->recent, &plan->recent);
        plan_ref(plan);
        return plan;
    }
    cache->misses++;
    plan = make(key);
    if (plan != NULL) {
        keep(cache, plan, key->hash);
        return plan; /* the reference that it was made with */
    }
    plan_ref(cache->opaque);
    return cache->opaque;
}

/* Hashed apart from skeletons, of which one may have the same bytes. */
static struct plan *look_up_text(struct plan_cache *cache, const char *text, uint32_t len,
                                 const struct hint *hint)
{
    const struct key key = {.bytes = (const uint8_t *)text,
                            .len = len,
                            .hash = hash_bytes(~cache->hash_key, text, len),
                            .hint = hint};
    if (len <= LIMIT_SKELETON_BYTES) {
        return look_up(cache, &key);
    }
    plan_ref(cache->opaque);
    return cache->opaque;
}

/* The plan of a text that the memo doesn't know; a reference. */
static struct plan *plan_by_skeleton(struct plan_cache *cache, const struct plan_context *context,
                                     const char *text, uint32_t len)
{
    struct key key;
    struct hint hint;
    struct plan *plan = cache->opaque;
    memset(hint.said, 0, sizeof(hint.said));
    enum key_state state =
        is_clear(context, text, len) ? make_key(cache, text, len, &hint, &key) : KEY_NONE;
    if (state == KEY_MADE && key.len > 0) {
        plan = look_up(cache, &key);
        if (plan->is_plain_setting && plan->class == PLAN_WRITE) {
            /* SELECT set_config(): its skeleton doesn't have the value */
            plan_unref(plan);
            plan = look_up_text(cache, text, len, key.hint);
        }
    } else {
        plan = state == KEY_MADE ? cache->empty : state == KEY_NONE ? plan : cache->bad_hint;
        plan_ref(plan);
    }
    if (plan->class == PLAN_OPAQUE && explain_text_find(text, len, NULL)) {
        plan_unref(plan);
        plan = cache->explain;
        plan_ref(plan);
    }
    return plan;
}

struct plan *plan_known(struct plan_cache *cache, const struct plan_context *context,
                        const char *text, uint32_t len, uint16_t *slot)
{
    struct plan *plan =
        context->safe_encoding ? plan_memo_find_again(cache->memo, text, len, slot) : NULL;
    cache->hits += plan != NULL;
    return plan;
}

struct plan *plan_of(struct plan_cache *cache, const struct plan_context *context, const char *text,
                     uint32_t len)
{
    uint16_t slot;
    struct plan *plan =
        context->safe_encoding ? plan_memo_find(cache->memo, text, len, &slot) : NULL;
    if (plan != NULL) {
        cache->hits++;
        plan_ref(plan);
        return plan;
    }
    plan = plan_by_skeleton(cache, context, text, len);
    if (context->safe_encoding) {
        plan_memo_keep(cache->memo, text, len, plan);
    }
    return plan;
}
