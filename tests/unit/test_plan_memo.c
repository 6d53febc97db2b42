#include <criterion/criterion.h>
#include <string.h>

#include "router/plan.h"
#include "router/plan_memo.h"

static bool squeeze(const char *text, struct plan_memo_key *ret_key)
{
    memset(ret_key, 0, sizeof(*ret_key));
    return plan_memo_squeeze(text, (uint32_t)strlen(text), 7, ret_key);
}

static void becomes(const char *text, const char *squeezed)
{
    struct plan_memo_key key;
    cr_assert(squeeze(text, &key), "%s", text);
    cr_assert_eq(key.bytes, strlen(squeezed), "%s", text);
    cr_assert_arr_eq(key.text, squeezed, key.bytes, "%s", text);
}

Test(plan_memo, integers_alone_are_squeezed)
{
    becomes("SELECT abalance FROM accounts WHERE aid = 4711;",
            "SELECT abalance FROM accounts WHERE aid = 0;");
    becomes("select t1.c2, $1, $23 from t1 where a<-12 and b in (1,22,333)",
            "select t1.c2, $1, $23 from t1 where a<-0 and b in (0,0,0)");
    becomes("select 1", "select 0");
}

Test(plan_memo, what_the_lexer_must_read_is_refused)
{
    static const char *const texts[] = {
        "select 'x'",
        "select \"x\"",
        "select 1.5",
        "select 1e5",
        "select 1 -- howdah: cache=1",
        "select 1/2",
        "select E'\\n'",
        "select 1 /* c */",
        "select 0x1F",
    };
    struct plan_memo_key key;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        cr_expect_not(squeeze(texts[i], &key), "%s", texts[i]);
    }
    char long_text[PLAN_MEMO_TEXT_BYTES + 2];
    memset(long_text, 'x', sizeof(long_text) - 1);
    long_text[sizeof(long_text) - 1] = '\0';
    cr_expect_not(squeeze(long_text, &key));
}

Test(plan_memo, a_text_has_the_same_plan_with_and_without_the_memo)
{
    struct plan_context context = {.standard_strings = true, .safe_encoding = true};
    struct plan_cache cache;
    cr_assert_eq(plan_cache_init(&cache, 7, 16), 0);
    static const char *const texts[] = {"select 1", "select 22", "set work_mem = 64",
                                        "set work_mem = 128"};
    struct plan *plans[4];
    for (size_t i = 0; i < 4; i++) {
        plans[i] = plan_of(&cache, &context, texts[i], (uint32_t)strlen(texts[i]));
    }
    cr_expect_eq(plans[0], plans[1]);
    cr_assert(plans[2]->is_plain_setting && plans[3]->is_plain_setting);
    cr_expect_str_eq(plans[2]->settings[0].value, "64");
    cr_expect_str_eq(plans[3]->settings[0].value, "128");
    for (size_t i = 0; i < 4; i++) {
        plan_unref(plans[i]);
    }
    plan_cache_fini(&cache);
}
