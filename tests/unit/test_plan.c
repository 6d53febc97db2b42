#include "router/plan.h"

#include <criterion/criterion.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "router/hint.h"
#include "tests/sql/plan_text.h"

static const struct plan_context usual = {.standard_strings = true, .safe_encoding = true};

static struct plan *plan_of_text(struct plan_cache *cache, const char *text)
{
    return plan_of(cache, &usual, text, (uint32_t)strlen(text));
}

static void check(struct plan_cache *cache, const char *text, const char *expected)
{
    char words[1024];
    struct plan *plan = plan_of_text(cache, text);
    plan_text(plan, words, sizeof(words));
    cr_expect_str_eq(words, expected, "%s\n  is       %s\n  expected %s", text, words, expected);
    plan_unref(plan);
}

/* Twice: the second time from the cache. */
Test(plan, says_what_statements_do)
{
    struct plan_cache cache;
    cr_assert_eq(plan_cache_init(&cache, 1, 1000), 0);
    for (int pass = 0; pass < 2; pass++) {
#define PLAN(text, expected) check(&cache, text, expected);
#include "tests/sql/plans.def"
#undef PLAN
    }
    cr_expect_gt(cache.hits, cache.misses);
    plan_cache_fini(&cache);
}

/* By the text: views and functions are the catalog's. */
Test(plan, says_what_only_one_server_or_transaction_can_say)
{
    static const struct {
        const char *text;
        uint8_t local;
    } cases[] = {
        {"select count(*) from t where a = 1", 0},
        {"select random(), clock_timestamp(), current_setting('a.b')", 0},
        {"select c.relname, pg_get_expr(d.adbin, d.adrelid) from pg_class c, pg_attrdef d", 0},
        {"select * from pg_stat_activity", PLAN_LOCAL_SERVER},
        {"select 1 where exists (select from pg_catalog.pg_locks)", PLAN_LOCAL_SERVER},
        {"select pg_is_in_recovery()", PLAN_LOCAL_SERVER},
        {"select pg_catalog.pg_last_wal_replay_lsn()", PLAN_LOCAL_SERVER},
        {"select txid_current_snapshot()", PLAN_LOCAL_SERVER},
        {"select inet_server_addr()", PLAN_LOCAL_SERVER},
        {"select a from t where b > now() - interval '1 day'", PLAN_LOCAL_TRANSACTION},
        {"select current_timestamp", PLAN_LOCAL_TRANSACTION},
        {"select a, current_date from t", PLAN_LOCAL_TRANSACTION},
        {"select now(), pg_is_in_recovery()", PLAN_LOCAL_SERVER | PLAN_LOCAL_TRANSACTION},
        {"select 1; select localtime", PLAN_LOCAL_TRANSACTION},
        {"select current_setting('Transaction_Read_Only')", PLAN_LOCAL_SERVER},
        {"select current_setting('in_hot_standby', true)", PLAN_LOCAL_SERVER},
        {"select current_setting('work_mem')", 0},
    };
    struct plan_cache cache;
    cr_assert_eq(plan_cache_init(&cache, 1, 1000), 0);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct plan *plan = plan_of_text(&cache, cases[i].text);
        cr_expect_eq(plan->local, cases[i].local, "%s: %u", cases[i].text, plan->local);
        plan_unref(plan);
    }
    plan_cache_fini(&cache);
}

/* What may be left of a transaction, and what only names it, gives it back or ends with it. */
Test(plan, says_what_may_pin)
{
    static const struct {
        const char *text;
        uint32_t leaves;
    } cases[] = {
        {"create temp table t (a int)", PLAN_TOUCH_TEMP},
        {"create temp table t (a int) on commit delete rows", PLAN_TOUCH_TEMP},
        {"create temp table t (a int) on commit drop", 0},
        {"create temp table t on commit drop as select 1", 0},
        {"create temp table t on commit drop as select 1; create temp view v as select 1",
         PLAN_TOUCH_TEMP},
        {"select 1 into temp t", PLAN_TOUCH_TEMP},
        {"create table pg_temp.t (a int)", PLAN_TOUCH_TEMP},
        {"drop table pg_temp.t", 0},
        {"select * from pg_temp.t", 0},
        {"discard temp", 0},
        {"discard all", 0},
        {"select pg_try_advisory_lock(1)", PLAN_TOUCH_ADVISORY},
        {"select pg_advisory_unlock(1)", 0},
        {"select pg_advisory_xact_lock(1)", 0},
        {"declare c cursor with hold for select 1", PLAN_TOUCH_HOLD},
        {"declare c cursor for select 1", 0},
        {"prepare p as select 1", PLAN_TOUCH_PREPARE},
        {"load 'x'", PLAN_TOUCH_LOAD},
        {"select setseed(0)", PLAN_TOUCH_SEED},
        {"select lastval()", PLAN_TOUCH_SEQUENCE},
        {"select nextval('s')", 0},
        {"select f()", 0},
        {"set work_mem = 1", 0},
    };
    struct plan_cache cache;
    cr_assert_eq(plan_cache_init(&cache, 1, 1000), 0);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct plan *plan = plan_of_text(&cache, cases[i].text);
        cr_expect_eq(plan->leaves, cases[i].leaves, "%s: %#x", cases[i].text, plan->leaves);
        plan_unref(plan);
    }
    plan_cache_fini(&cache);
}

/* What is folded away in a skeleton must not be a plan's. */
Test(plan, of_one_skeleton_is_one_but_values_of_settings_are_kept)
{
    struct plan_cache cache;
    plan_cache_init(&cache, 2, 10);
    struct plan *one = plan_of_text(&cache, "select a from t where b = 1 -- no memo");
    struct plan *two = plan_of_text(&cache, "SELECT a\nFROM t WHERE b=234 -- x");
    cr_expect_eq(one, two);
    cr_expect_eq(one->references, 3);
    cr_expect_eq(cache.hits, 1);
    cr_expect_eq(cache.misses, 1);
    plan_unref(one);
    plan_unref(two);
    check(&cache, "select set_config('a.b', 'one', true)", "write LOCAL | local a.b=one");
    check(&cache, "select set_config('a.b', 'two', true)", "write LOCAL | local a.b=two");
    check(&cache, "select set_config('a.b', '', true)", "write LOCAL | local a.b=");
    check(&cache, "select set_config('A.b', '', true)", "write LOCAL | local A.b=");
    check(&cache, "SET \"App\".Tenant = x", "session SETTINGS | set App.tenant=x");
    check(&cache, "select set_config('Work_Mem', '1', true)", "write LOCAL | local work_mem=1");
    check(&cache, "set a.b = 'one'", "session SETTINGS | set a.b=one");
    check(&cache, "set a.b = 'two'", "session SETTINGS | set a.b=two");
    plan_cache_fini(&cache);
}

Test(plan, cache_keeps_the_most_recently_used)
{
    struct plan_cache cache; /* quoted, so that no memo (router/plan_memo.h) has them */
    plan_cache_init(&cache, 3, 2);
    plan_unref(plan_of_text(&cache, "select \"a\""));
    plan_unref(plan_of_text(&cache, "select \"b\""));
    plan_unref(plan_of_text(&cache, "select \"a\""));
    struct plan *b = plan_of_text(&cache, "select \"b\"");
    plan_unref(plan_of_text(&cache, "select \"c\"")); /* a goes, it is the oldest */
    cr_expect_eq(cache.hits, 2);
    plan_unref(plan_of_text(&cache, "select \"a\"")); /* b goes, but it is still referred to */
    cr_expect_eq(cache.hits, 2);
    cr_expect_eq(cache.plans.count, 2);
    cr_expect_eq(b->references, 1);
    cr_expect_eq(b->class, PLAN_READ);
    struct plan *again = plan_of_text(&cache, "select \"b\"");
    cr_expect_neq(again, b);
    plan_cache_fini(&cache);
    cr_expect_eq(again->class, PLAN_READ, "plans outlive the cache");
    plan_unref(again);
    plan_unref(b);
    plan_unref(NULL);
}

/* Nothing is kept after the cache's end: many misses must not add up. */
Test(plan, gives_back_its_memory)
{
    size_t before = 0;
    for (int round = 0; round < 3; round++) {
        struct plan_cache cache;
        plan_cache_init(&cache, 4, 8);
        for (int i = 0; i < 300; i++) {
            char text[64];
            snprintf(text, sizeof(text), "select a%d from t; set a.b%d = '%d'; syntax(", i, i, i);
            plan_unref(plan_of_text(&cache, text));
            text[strlen(text) - 9] = '\0';
            plan_unref(plan_of_text(&cache, text));
        }
        plan_cache_fini(&cache);
        size_t used = mallinfo2().uordblks;
        before = round == 1 ? used : before;
        cr_expect(round < 2 || used <= before + 4096, "%zu bytes, %zu before", used, before);
    }
}

Test(plan, what_the_server_may_read_otherwise_is_opaque)
{
    struct plan_cache cache;
    const struct plan_context old_strings = {.safe_encoding = true};
    const struct plan_context sjis = {.standard_strings = true};
    static const char backslash[] = "select 'a\\', nextval('s') --'", latin[] = "select '\xe9'";
    plan_cache_init(&cache, 5, 8);
    struct plan *plan = plan_of(&cache, &old_strings, backslash, sizeof(backslash) - 1);
    cr_expect_eq(plan, cache.opaque);
    plan_unref(plan);
    plan = plan_of(&cache, &sjis, latin, sizeof(latin) - 1);
    cr_expect_eq(plan, cache.opaque);
    cr_expect_eq(plan->touches, PLAN_TOUCH_OPAQUE);
    plan_unref(plan);
    /* Where neither matters, there is nothing to fear. */
    static const char plain[] = "begin";
    plan = plan_of(&cache, &(struct plan_context){0}, plain, 5);
    cr_expect_eq(plan->touches, PLAN_TOUCH_BEGIN);
    plan_unref(plan);
    plan_cache_fini(&cache);
}

/* `count` times `part` between `start` and `end`. */
static char *repeat(const char *start, const char *part, size_t count, const char *end)
{
    size_t room = strlen(start) + count * strlen(part) + strlen(end) + 1;
    char *text = malloc(room), *at = stpcpy(text, start);
    for (size_t i = 0; i < count; i++) {
        at = stpcpy(at, part);
    }
    stpcpy(at, end);
    return text;
}

Test(plan, what_is_too_long_or_too_deep_is_opaque)
{
    struct plan_cache cache;
    static const char *const parts[] = {
        "+1",        "(",       " - ",        " not ",          "[1",     "::int",
        "case when", " isnull", "(select 1+", " union select ", "array[", "f("};
    plan_cache_init(&cache, 6, 8);
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        char *text = repeat("select 1", parts[i], 100000, "");
        struct plan *plan = plan_of_text(&cache, text);
        cr_expect_eq(plan->class, PLAN_OPAQUE, "%s", parts[i]);
        plan_unref(plan);
        free(text);
    }
    /* Long, but all alike: folded. */
    char *text = repeat("insert into t values (1)", ",(2)", 200000, "");
    check(&cache, text, "write");
    free(text);
    text = repeat("select 1", ", a", LIMIT_SKELETON_BYTES, "");
    check(&cache, text, "opaque OPAQUE");
    free(text);
    text = repeat("select '", "x", 500000, "'");
    check(&cache, text, "read");
    free(text);
    text = repeat("select set_config('a.b', '", "x", 500000, "', true)");
    check(&cache, text, "opaque OPAQUE");
    free(text);
    text = repeat("", "set a.b = 1;", 300, "");
    struct plan *plan = plan_of_text(&cache, text);
    cr_expect_eq(plan->statement_count, 255);
    cr_expect_eq(plan->touches, PLAN_TOUCH_SETTINGS | PLAN_TOUCH_UNKNOWN,
                 "more names than are kept");
    plan_unref(plan);
    free(text);
    plan_cache_fini(&cache);
}

/* --- what is answered here -------------------------------------------------------------------- */

static const char *steps(struct plan_cache *cache, const char *text)
{
    static const char *const kinds[] = {"set",     "show",        "set_config", "current_setting",
                                        "explain", "commit",      "rollback",   "savepoint",
                                        "release", "rollback_to", "reset",      "reset_all"};
    static char out[512];
    struct plan *plan = plan_of_text(cache, text);
    int len = snprintf(out, sizeof(out), "%s", plan->is_ours ? "ours:" : "");
    for (uint32_t i = 0; i < plan->step_count; i++) {
        const struct plan_step *step = &plan->steps[i];
        len +=
            snprintf(out + len, sizeof(out) - (size_t)len, " %s%s%s%s%s %s=%s%s%s",
                     kinds[step->kind], step->local ? " local" : "", step->resets ? " resets" : "",
                     step->missing_ok ? " missing_ok" : "", step->strange ? " strange" : "",
                     step->name == NULL ? "" : step->name, step->value == NULL ? "-" : step->value,
                     step->label == NULL ? "" : " as ", step->label == NULL ? "" : step->label);
    }
    plan_unref(plan);
    return out;
}

Test(plan, has_the_steps_of_what_is_answered_here)
{
    static const struct {
        const char *text, *steps;
    } cases[] = {
        {"set howdah.route = 'primary'", "ours: set howdah.route=primary"},
        {"SET LOCAL Howdah.Route TO Replica", "ours: set local howdah.route=replica"},
        {"set howdah.route to default", "ours: set howdah.route=-"},
        {"set howdah.route = a, b", "ours: set strange howdah.route=-"},
        {"set session howdah.shard_key = 42", "ours: set howdah.shard_key=42"},
        {"reset howdah.route", "ours: set resets howdah.route=-"},
        {"show HOWDAH.route", "ours: show howdah.route=-"},
        {"show howdah.route; set howdah.cache = off",
         "ours: show howdah.route=- set howdah.cache=off"},
        {"set howdah.route = 'primary'; select 1", " set howdah.route=primary"},
        {"select set_config('howdah.route', 'replica', true)",
         "ours: set_config local howdah.route=replica as set_config"},
        {"select pg_catalog.set_config('howdah.route', 'auto', false) as x",
         "ours: set_config howdah.route=auto as x"},
        {"select current_setting('howdah.Route', true)",
         "ours: current_setting missing_ok howdah.route=- as current_setting"},
        {"select current_setting('howdah.route') from t", ""},
        {"select set_config('howdah.route', $1, false)", ""},
        {"select current_setting('work_mem')", ""},
        {"explain (howdah) select 1", "ours: explain =-"},
        {"explain (howdah) select 1 +", "ours: explain =-"},
        {"explain (verbose, howdah) select 1", "ours: explain =-"},
        {"explain (verbose) selec", ""},
        {"begin", ""},
        {"savepoint a; release a", " savepoint a=- release a=-"},
        {"rollback to savepoint b; commit", " rollback_to b=- commit =-"},
        {"end; abort; prepare transaction 'x'", " commit =- rollback =- commit =-"},
        {"reset all", " reset_all resets =-"},
        {"reset work_mem", " reset resets =-"},
        {"set work_mem = 1", ""},
    };
    struct plan_cache cache;
    cr_assert_eq(plan_cache_init(&cache, 1, 1000), 0);
    for (int pass = 0; pass < 2; pass++) {
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
            const char *is = steps(&cache, cases[i].text);
            cr_expect_str_eq(is, cases[i].steps, "%s: \"%s\"", cases[i].text, is);
        }
    }
    plan_cache_fini(&cache);
}

/* What is not understood is one, too, if all of it is asked about. */
Test(plan, of_an_explanation_of_what_has_no_skeleton)
{
    static const char asks[] = "explain (howdah) ";
    char text[3000];
    memset(text, '(', sizeof(text));
    memcpy(text, asks, sizeof(asks) - 1);
    text[sizeof(text) - 1] = '\0';
    struct plan_cache cache;
    plan_cache_init(&cache, 1, 10);
    cr_expect_str_eq(steps(&cache, text), "ours: explain =-");
    cr_expect_str_eq(steps(&cache, text + sizeof(asks) - 1), "");
    plan_cache_fini(&cache);
}

Test(plan, of_statements_with_other_hints_are_others)
{
    struct plan_cache cache;
    plan_cache_init(&cache, 1, 10);
    struct plan *without = plan_of_text(&cache, "select 1 from t");
    struct plan *with = plan_of_text(&cache, "select 2 /* howdah: route=primary */ from t");
    struct plan *other = plan_of_text(&cache, "select 2 from t -- howdah: route=replica");
    struct plan *same = plan_of_text(&cache, "/*howdah:route='PRIMARY'*/ select 3 from t");
    struct plan *both = plan_of_text(
        &cache, "select 1 /* howdah: cache=5s */; select 2 /* howdah: route=replica cache=1s */");
    cr_expect_null(without->hint);
    cr_assert_not_null(with->hint);
    cr_expect_str_eq(with->hint->values[CONTROL_ROUTE], "primary");
    cr_expect_not(with->hint->said[CONTROL_CACHE]);
    cr_expect_neq(with, without);
    cr_expect_neq(with, other);
    cr_expect_eq(with, same);
    cr_expect_eq(with->class, PLAN_READ);
    cr_expect_str_eq(other->hint->values[CONTROL_ROUTE], "replica");
    cr_expect_str_eq(both->hint->values[CONTROL_ROUTE], "replica");
    cr_expect_str_eq(both->hint->values[CONTROL_CACHE], "1s");
    cr_expect_eq(both->statement_count, 2);
    plan_unref(without);
    plan_unref(with);
    plan_unref(other);
    plan_unref(same);
    plan_unref(both);
    plan_cache_fini(&cache);
}

Test(plan, of_a_malformed_hint_is_no_plan)
{
    static const char *const texts[] = {"select 1 /* howdah: rout=primary */",
                                        "select 1; select 2 -- howdah: route=nope",
                                        "/* howdah: x */"};
    struct plan_cache cache;
    plan_cache_init(&cache, 1, 10);
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct plan *plan = plan_of_text(&cache, texts[i]);
        cr_expect_eq(plan->touches, PLAN_TOUCH_BAD_HINT);
        cr_expect(plan->is_ours);
        plan_unref(plan);
    }
    plan_cache_fini(&cache);
}
