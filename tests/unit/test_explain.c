#include "router/explain.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "router/explain_text.h"
#include "router/plan.h"

static const struct plan_context usual = {.standard_strings = true, .safe_encoding = true};

/* The rows as "item=value", one behind the other; or the error and its place. */
static const char *explained(const char *text, uint32_t server_major)
{
    static char out[4096];
    struct plan_cache cache;
    struct explanation explanation;
    const char *row[EXPLAIN_COLUMNS], *at = NULL;
    uint32_t len = (uint32_t)strlen(text);
    cr_assert_eq(plan_cache_init(&cache, 1, 10), 0);
    struct plan *plan = plan_of(&cache, &usual, text, len);
    explanation_init(&explanation);
    int code = explain_text(&usual, plan, NULL, text, len, server_major, &explanation);
    int used = snprintf(out, sizeof(out), "%s", "");
    if (code != 0) {
        snprintf(out, sizeof(out), "%u: %s", explanation.error_at, explanation.error);
    }
    while (code == 0 && (at = explanation_next(&explanation, at, row)) != NULL) {
        used += snprintf(out + used, sizeof(out) - (size_t)used, "%s%s=%s", used == 0 ? "" : " | ",
                         row[0], row[1]);
    }
    explanation_fini(&explanation);
    plan_unref(plan);
    plan_cache_fini(&cache);
    return out;
}

Test(explain, says_what_a_statement_does)
{
    static const struct {
        const char *text, *rows;
    } cases[] = {
        {"select 1", "class=read"},
        {"select a from s.t, u where f(a) = lower('x')",
         "class=write | reads=s.t | reads=u | calls=f | calls=lower | session=anything"},
        {"select * from t, t as u", "class=read | reads=t"},
        {"with w as (select * from t) select * from w, s.w", "class=read | reads=s.w | reads=t"},
        {"insert into t select * from u", "class=write | writes=t | reads=u"},
        {"update t set a = 1 from u", "class=write | writes=t | reads=u"},
        {"truncate a, s.b", "class=write | writes=a | writes=s.b"},
        {"copy t from stdin", "class=copy | writes=t | copy=in"},
        {"copy t to stdout", "class=copy | reads=t"},
        {"lock t", "class=utility | locks=t"},
        {"create table t as select * from u", "class=ddl | reads=u | defines=t"},
        {"create index on t (f(a))", "class=ddl | defines=t | calls=f | session=anything"},
        {"select 1 for update", "class=write | locks=rows"},
        {"set work_mem = '1MB'", "class=session | session=settings | sets=work_mem = 1MB"},
        {"set local a.b to default",
         "class=session | session=settings of the transaction | session=resets settings | "
         "sets=a.b to its default"},
        {"begin", "class=transaction | transaction=begins one"},
        {"select $1, $3", "class=read | parameters=3"},
        {"select 1; insert into t values (1)", "class=write | writes=t | statements=2"},
        {"show howdah.route", "class=session | answered by=Howdah"},
        {"", "class=empty | statements=0"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const char *rows = explained(cases[i].text, 15);
        cr_expect_str_eq(rows, cases[i].rows, "%s: \"%s\"", cases[i].text, rows);
    }
}

/* What the parser does not take may be SQL for a later server than it is of. */
Test(explain, what_is_not_understood)
{
    static const char text[] = "select 1 frobnicate from t x y";
    cr_expect_str_eq(explained(text, 0), "30: syntax error at or near \"y\"");
    cr_expect_str_eq(explained(text, 15), "30: syntax error at or near \"y\"");
    cr_expect_str_eq(explained(text, 17), "not understood=syntax error at or near \"y\" | "
                                          "class=opaque");
    cr_expect_str_eq(explained("select 'x", 15),
                     "not understood=a literal or comment has no end, or a byte begins no token | "
                     "class=opaque");
}

Test(explain, finds_what_is_asked_about)
{
    static const struct {
        const char *text;
        bool found, others;
        const char *rest;
    } cases[] = {
        {"explain (howdah) select 1", true, false, "select 1"},
        {" ; EXPLAIN/**/( HOWDAH )(select 1)", true, false, "(select 1)"},
        {"explain (verbose, howdah) select 1", true, true, "select 1"},
        {"explain (howdah true) select 1", true, true, "select 1"},
        {"explain (howdah)", true, false, ""},
        {"explain (format howdah) select 1", false, false, NULL},
        {"explain howdah select 1", false, false, NULL},
        {"explain (howdah", false, false, NULL},
        {"select 1", false, false, NULL},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct explain_text found;
        uint32_t len = (uint32_t)strlen(cases[i].text);
        bool is = explain_text_find(cases[i].text, len, &found);
        cr_expect_eq(is, cases[i].found, "%s", cases[i].text);
        if (is) {
            cr_expect_eq(found.has_others, cases[i].others, "%s", cases[i].text);
            cr_expect_str_eq(cases[i].text + found.at, cases[i].rest);
        }
    }
}
