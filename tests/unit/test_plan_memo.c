#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "router/plan.h"
#include "router/plan_memo.h"

/* A plan of nobody's: it must outlive the memo, which refers to it. */
static struct plan plan_of_class(enum plan_class class)
{
    return (struct plan){.references = 1, .class = (uint8_t) class};
}

static struct plan *find(const struct plan_memo *memo, const char *text)
{
    uint16_t slot = 0;
    return plan_memo_find(memo, text, (uint32_t)strlen(text), &slot);
}

static void keep(struct plan_memo *memo, const char *text, struct plan *plan)
{
    plan_memo_keep(memo, text, (uint32_t)strlen(text), plan);
}

Test(plan_memo, a_text_is_found_with_other_integers)
{
    static const char *const pairs[][2] = {
        {"SELECT abalance FROM accounts WHERE aid = 4711;",
         "SELECT abalance FROM accounts WHERE aid = 1;"},
        {"select t1.c2, $1, $23 from t1 where a<-12 and b in (1,22,333)",
         "select t1.c2, $1, $23 from t1 where a<-120 and b in (0,0,9999999)"},
        {"select 1", "select 123456789"},
        {"select 1;select 2", "select 10;select 20"},
        {"select a from t where s = 'x'", "select a from t where s = 'Bob /* -- \" $$'"},
        {"insert into t values ('a', 'b'), ('c',5)",
         "insert into t values ('', 'x'), ('\xc3\xa4',7)"},
        {"select 'a' 'b'", "select 'x' ''"},
    };
    struct plan plan = plan_of_class(PLAN_READ);
    struct plan_memo *memo = plan_memo_new();
    for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
        cr_expect_null(find(memo, pairs[i][1]));
        keep(memo, pairs[i][0], &plan);
        cr_expect_eq(find(memo, pairs[i][0]), &plan, "%s", pairs[i][0]);
        cr_expect_eq(find(memo, pairs[i][1]), &plan, "%s", pairs[i][1]);
    }
    plan_memo_free(memo);
    cr_expect_eq(plan.references, 1);
}

Test(plan_memo, what_differs_in_more_is_not_found)
{
    static const char *const others[] = {
        "select a1 from t where i = 5 and j = ",    "select a1 from t where i = 5 and j = 1.5",
        "select a1 from t where i = 5 and j = 1e5", "select a1 from t where i = 5 and j = 1 ",
        "select a2 from t where i = 5 and j = 1",   "select a1 from t where i =  and j = 1",
        "select a1 from t where j = 5 and i = 1",   "select a1 from t where i = 5 and j = '1",
        "select a1 from t where i = 5 and j = 1x",  "select a1 from t where i = 5 and j = --1",
        "select a from t where i = 5 and j = 1",    "select a11 from t where i = 5 and j = 1",
        "select a1 from t where i = 5 and j = x1",  "",
    };
    struct plan plan = plan_of_class(PLAN_READ);
    struct plan_memo *memo = plan_memo_new();
    keep(memo, "select a1 from t where i = 5 and j = 1", &plan);
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        cr_expect_null(find(memo, others[i]), "%s", others[i]);
    }
    plan_memo_free(memo);
}

Test(plan_memo, control_of_transactions_is_kept_without_integers)
{
    struct plan plan = plan_of_class(PLAN_TRANSACTION);
    struct plan_memo *memo = plan_memo_new();
    keep(memo, "BEGIN", &plan); /* several statements, or a savepoint's name */
    cr_expect_null(find(memo, "BEGIN"));
    plan.control = PLAN_CONTROL_BEGIN;
    keep(memo, "BEGIN", &plan);
    keep(memo, "begin; -5", &plan);
    cr_expect_eq(find(memo, "BEGIN"), &plan);
    cr_expect_null(find(memo, "BEGIN;"));
    cr_expect_null(find(memo, "begin; -5"));
    plan_memo_free(memo);
    cr_expect_eq(plan.references, 1);
}

Test(plan_memo, what_the_lexer_must_read_is_not_kept)
{
    static const char *const texts[] = {
        "select ''",
        "select 'it''s'",
        "select 'a\\b'",
        "select 'x",
        "select e'x'",
        "select U&'x'",
        "select $$ 'x' $$",
        "select $a$x$a$",
        "select 5'x'",
        "select \"x\"",
        "select 1.5",
        "select 1e5",
        "select 1 -- howdah: cache=1",
        "select 1/2",
        "select E'\\n'",
        "select 1 /* c */",
        "select 0x1F",
    };
    struct plan plan = plan_of_class(PLAN_READ);
    struct plan_memo *memo = plan_memo_new();
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        keep(memo, texts[i], &plan);
        cr_expect_null(find(memo, texts[i]), "%s", texts[i]);
    }
    plan_memo_free(memo);
}

Test(plan_memo, what_is_too_long_is_not_kept)
{
    char text[PLAN_MEMO_TEXT_BYTES + 2];
    uint16_t slot = 0;
    struct plan plan = plan_of_class(PLAN_READ);
    struct plan_memo *memo = plan_memo_new();
    memset(text, 'x', sizeof(text));
    plan_memo_keep(memo, text, PLAN_MEMO_TEXT_BYTES + 1, &plan);
    cr_expect_null(plan_memo_find(memo, text, PLAN_MEMO_TEXT_BYTES + 1, &slot));
    plan_memo_keep(memo, text, PLAN_MEMO_TEXT_BYTES, &plan);
    cr_expect_eq(plan_memo_find(memo, text, PLAN_MEMO_TEXT_BYTES, &slot), &plan);
    char numbers[2 * PLAN_MEMO_PIECES + 1] = "";
    for (uint32_t i = 0; i < PLAN_MEMO_PIECES; i++) {
        memcpy(numbers + 2 * i, ",1", 2);
    }
    plan_memo_keep(memo, numbers, 2 * PLAN_MEMO_PIECES,
                   &plan); /* one piece more than there may be */
    cr_expect_null(plan_memo_find(memo, numbers, 2 * PLAN_MEMO_PIECES, &slot));
    plan_memo_keep(memo, numbers, 2 * PLAN_MEMO_PIECES - 2, &plan);
    cr_expect_eq(plan_memo_find(memo, numbers, 2 * PLAN_MEMO_PIECES - 2, &slot), &plan);
    plan_memo_free(memo);
}

Test(plan_memo, texts_that_differ_in_digits_of_names_do_not_put_each_other_out)
{
    struct plan plans[PLAN_MEMO_WAYS + 1];
    struct plan_memo *memo = plan_memo_new();
    char text[64];
    for (int i = 0; i <= PLAN_MEMO_WAYS; i++) {
        plans[i] = plan_of_class(PLAN_WRITE);
        snprintf(text, sizeof(text), "update t%d set a = 1", i);
        keep(memo, text, &plans[i]);
    }
    cr_expect_null(find(memo, "update t0 set a = 1"), "the oldest gives way");
    cr_expect_eq(plans[0].references, 1);
    for (int i = 1; i <= PLAN_MEMO_WAYS; i++) {
        snprintf(text, sizeof(text), "update t%d set a = 22", i);
        cr_expect_eq(find(memo, text), &plans[i], "%s", text);
    }
    plan_memo_free(memo);
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

Test(plan_memo, where_it_was_found_last_is_looked_at_first_and_not_believed)
{
    struct plan plan = plan_of_class(PLAN_READ), other = plan_of_class(PLAN_READ);
    struct plan_memo *memo = plan_memo_new();
    uint16_t slot = 0, before;
    keep(memo, "select 1 from a", &plan);
    cr_expect_eq(plan_memo_find_again(memo, "select 2 from a", 15, &slot), &plan);
    before = slot;
    cr_expect_null(plan_memo_find_again(memo, "select 2 from b", 15, &slot));
    for (uint32_t i = 0; i < PLAN_MEMO_WAYS; i++) { /* into the same set, and over the first */
        char text[32];
        snprintf(text, sizeof(text), "select 1 from%*sa", (int)i + 2, "");
        keep(memo, text, &other);
    }
    cr_expect_null(plan_memo_find_again(memo, "select 2 from a", 15, &slot));
    keep(memo, "select 1 from a", &other);
    cr_expect_eq(plan_memo_find_again(memo, "select 2 from a", 15, &before), &other);
    plan_memo_free(memo);
}

Test(plan_memo, what_differs_in_more_than_a_string_is_not_found)
{
    static const char *const others[] = {
        "select a from t where s = 'it''s' and i = 1",
        "select a from t where s = 'x'' and i = 1",
        "select a from t where s = 'a\\' and i = 1",
        "select a from t where s = 'x and i = 1",
        "select a from t where s = E'x' and i = 1",
        "select a from t where s = x and i = 1",
        "select a from t where s = 'x' || '' and i = 1",
        "select a from t where s = 'x' and i = '1'",
        "select a from t where s = '",
    };
    struct plan plan = plan_of_class(PLAN_READ);
    struct plan_memo *memo = plan_memo_new();
    keep(memo, "select a from t where s = 'x' and i = 1", &plan);
    cr_expect_eq(find(memo, "select a from t where s = 'yz' and i = 23"), &plan);
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        cr_expect_null(find(memo, others[i]), "%s", others[i]);
    }
    uint16_t slot = 0;
    cr_expect_null(plan_memo_find(memo, "select a from t where s = 'x\0' and i = 1", 40, &slot));
    plan_memo_free(memo);
}

/* A string that decides what the statement is has a plan of its own. */
Test(plan_memo, strings_that_stay_in_a_skeleton_are_told_apart)
{
    struct plan_context context = {.standard_strings = true, .safe_encoding = true};
    static const char *const texts[] = {
        "select current_setting('')",
        "select current_setting('work_mem')",
        "select current_setting('howdah.route')",
        "select to_regclass('a')",
        "select to_regclass('b')",
        "select 'a'::regclass",
        "select 'b'::regclass",
    };
    enum { COUNT = sizeof(texts) / sizeof(texts[0]) };
    struct plan *plans[COUNT];
    struct plan_cache cache;
    cr_assert_eq(plan_cache_init(&cache, 7, 64), 0);
    for (size_t round = 0; round < 2; round++) {
        for (size_t i = 0; i < COUNT; i++) {
            struct plan *plan = plan_of(&cache, &context, texts[i], (uint32_t)strlen(texts[i]));
            for (size_t before = 0; before < i; before++) {
                cr_expect_neq(plan, plans[before], "%s and %s", texts[i], texts[before]);
            }
            cr_expect(round == 0 || plan == plans[i], "%s", texts[i]);
            plans[i] = plan;
            plan_unref(plan); /* the cache has it */
        }
    }
    plan_cache_fini(&cache);
}
