/* Plans of any text: they cost what they may, are the same from the cache and without it, and are
 * those of the text itself, though they were made of its skeleton. */
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "router/classify.h"
#include "router/hint.h"
#include "router/parse.h"
#include "tests/fuzz/fuzz.h"

static bool same_text(const char *left, const char *right)
{
    return left == NULL || right == NULL ? left == right : strcmp(left, right) == 0;
}

/* A literal that begins with pg_temp is in the skeleton only where it names something. */
static bool same(const struct plan *left, const struct plan *right)
{
    bool temp = ((left->touches | right->touches) & PLAN_TOUCH_TEMP) != 0;
    bool equal = (left->class == right->class || temp) &&
                 ((left->touches ^ right->touches) & ~(uint32_t)PLAN_TOUCH_TEMP) == 0 &&
                 left->locks_rows == right->locks_rows &&
                 left->statement_count == right->statement_count &&
                 left->is_plain_setting == right->is_plain_setting &&
                 left->settings_count == right->settings_count;
    for (uint32_t i = 0; i < left->settings_count && equal; i++) {
        equal = same_text(left->settings[i].name, right->settings[i].name) &&
                same_text(left->settings[i].value, right->settings[i].value) &&
                left->settings[i].local == right->settings[i].local;
    }
    equal = equal && left->is_ours == right->is_ours && left->step_count == right->step_count;
    for (uint32_t i = 0; i < left->step_count && equal; i++) {
        equal = left->steps[i].kind == right->steps[i].kind &&
                same_text(left->steps[i].name, right->steps[i].name) &&
                same_text(left->steps[i].value, right->steps[i].value) &&
                same_text(left->steps[i].label, right->steps[i].label);
    }
    return equal;
}

/* A hint is found to be malformed by the plan and by who looks for the place. */
static void check_hint(const struct plan *plan, const char *text, size_t len)
{
    struct hint_error error = {.at = 0};
    bool is_bad = (plan->touches & PLAN_TOUCH_BAD_HINT) != 0;
    if (is_bad && !hint_find_error(text, len, &error)) {
        fuzz_fail("a malformed hint has no error");
    }
    if (error.at > len) {
        fuzz_fail("a hint's error is beyond the end");
    }
}

/* Of a text that has a skeleton: what the parser makes of the text itself. */
static void compare_with_text(const struct plan *plan, const char *text)
{
    struct plan direct = {0};
    struct parse_tree tree;
    int code = parse_text(text, &tree);
    if (code != 0) { /* the library knows no comments between the parts of a string */
        return;
    }
    if (plan->class == PLAN_OPAQUE) {
        fuzz_fail("the text is SQL and its skeleton is not");
    }
    if (classify(&tree, &direct) != 0 || !same(plan, &direct)) {
        fuzz_fail("the text and its skeleton have different plans");
    }
    classify_free(&direct);
    parse_fini(&tree);
}

void fuzz_one(const uint8_t *bytes, size_t len)
{
    const struct plan_context context = {.standard_strings = true, .safe_encoding = true};
    struct plan_cache cache;
    char *text = malloc(len + 1);
    if (text == NULL || plan_cache_init(&cache, 7, 2) != 0) {
        abort();
    }
    memcpy(text, bytes, len);
    text[len] = '\0';
    len = strlen(text);
    struct plan *plan = plan_of(&cache, &context, text, (uint32_t)len);
    struct plan *again = plan_of(&cache, &context, text, (uint32_t)len);
    if (again != plan) {
        fuzz_fail("a plan was not found again");
    }
    if (plan->class == PLAN_READ && (plan->touches != 0 || plan->locks_rows)) {
        fuzz_fail("a read touches something");
    }
    check_hint(plan, text, len);
    if (plan != cache.opaque && plan != cache.bad_hint && len <= LIMIT_SKELETON_BYTES) {
        compare_with_text(plan, text);
    }
    plan_unref(plan);
    plan_unref(again);
    plan_cache_fini(&cache);
    free(text);
}
