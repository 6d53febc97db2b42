#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/limits.h"
#include "router/catalog_build.h"
#include "router/catalog_source.h"
#include "router/facts.h"
#include "router/plan.h"

/* --- sources --------------------------------------------------------------------------------- */

static bool nothing(void *argument, const char *word)
{
    (void)argument;
    (void)word;
    return true;
}

static void source_is(const char *source, uint32_t touches, bool writes)
{
    struct catalog_source found = catalog_source_read(source, nothing, NULL);
    cr_expect_eq(found.touches, touches, "%s: touches %x", source, found.touches);
    cr_expect_eq(found.writes, writes, "%s: writes %d", source, found.writes);
}

Test(catalog, a_source_tells_what_it_may_touch)
{
    source_is("SELECT a + 1", 0, false);
    source_is("SELECT offset_x, settings, reset_at FROM subset -- SET\n /* EXECUTE */", 0, false);
    source_is("SELECT 'SET x = 1; EXECUTE'", 0, false);
    source_is("SET work_mem = 1", PLAN_TOUCH_UNKNOWN, false);
    source_is("BEGIN EXECUTE t; END", PLAN_TOUCH_UNKNOWN, true);
    source_is("SELECT set_config('a.b', $1, false)", PLAN_TOUCH_SETTINGS, true);
    source_is("SELECT pg_catalog.SET_CONFIG('a.b', $1, false)", PLAN_TOUCH_SETTINGS, true);
    source_is("PERFORM pg_advisory_lock(1)", PLAN_TOUCH_ADVISORY, true);
    source_is("PERFORM pg_notify('a', 'b')", PLAN_TOUCH_NOTIFY, true);
    source_is("NOTIFY a", PLAN_TOUCH_NOTIFY, true);
    source_is("SELECT nextval('s')", PLAN_TOUCH_NEXTVAL, true);
    source_is("SELECT lastval()", PLAN_TOUCH_UNKNOWN, true);
    source_is("CREATE TEMP TABLE t (a int)", PLAN_TOUCH_UNKNOWN, true);
    source_is("SELECT * FROM \"set\"", 0, false);
    source_is("SELECT query_to_xml('x', true, false, '')", PLAN_TOUCH_UNKNOWN, true);
    source_is("UPDATE pg_settings SET setting = 'x'", PLAN_TOUCH_UNKNOWN, true);
    source_is("SELECT 'not closed", PLAN_TOUCH_UNKNOWN, true);
    source_is("SELECT 'it\\'s' || set_config('a', 'b', c) || '", PLAN_TOUCH_UNKNOWN, true);
}

Test(catalog, the_set_of_update_is_no_setting)
{
    source_is("UPDATE t SET a = 1", 0, true);
    source_is("UPDATE ONLY \"s\".t AS x SET a = 1 WHERE b", 0, true);
    source_is("INSERT INTO t VALUES (1) ON CONFLICT (a) DO UPDATE SET b = 2", 0, true);
    source_is("MERGE INTO t USING u ON true WHEN MATCHED THEN UPDATE SET b = 2", 0, true);
    source_is("UPDATE t SET a = 1; SET work_mem = 1", PLAN_TOUCH_UNKNOWN, true);
    source_is("FOR r IN SELECT 1 FROM t FOR UPDATE LOOP SET work_mem = 1; END LOOP",
              PLAN_TOUCH_UNKNOWN, true);
    source_is("SELECT 1 FROM t FOR NO KEY UPDATE OF t SET", PLAN_TOUCH_UNKNOWN, true);
    source_is("IF a THEN UPDATE t; SET work_mem = 1", PLAN_TOUCH_UNKNOWN, true);
}

static bool join(void *argument, const char *word)
{
    char *all = argument;
    snprintf(all + strlen(all), 200 - strlen(all), "%s ", word);
    return true;
}

static void customs_are(const char *source, const char *expected)
{
    char all[200] = "";
    catalog_source_customs(source, join, all);
    cr_expect_str_eq(all, expected, "%s: %s", source, all);
}

Test(catalog, custom_settings_are_found_by_their_names)
{
    customs_are("SELECT set_config('App.Tenant', $1, false)", "app.tenant ");
    customs_are("SET app.a = 1; SET LOCAL app.b.c TO 2; SET SESSION x.y = 3; SET work_mem = 4",
                "app.a app.b.c x.y ");
    customs_are("EXECUTE 'SET app.a = 1'; EXECUTE $q$SET app.b = 'c.d'$q$", "app.a app.b c.d ");
    customs_are("EXECUTE E'SET app.a = 1'", "app.a ");
    customs_are("SELECT 'a', 'a.', '.b', '1.2', 'a b.c', ''", "");
    customs_are("SET", "");
    customs_are("SET a.", "");
    customs_are("$$", "");
}

/* --- catalogs -------------------------------------------------------------------------------- */

static void function(struct catalog_builder *builder, uint32_t oid, const char *name,
                     char volatility, const char *source)
{
    const struct catalog_function_row row = {
        .oid = oid, .name = name, .language = "sql", .source = source, .volatility = volatility};
    cr_assert_eq(catalog_add_function(builder, &row), 0);
}

static void function_of_one(struct catalog_builder *builder, uint32_t oid, const char *name,
                            char volatility, const char *source)
{
    const struct catalog_function_row row = {.oid = oid,
                                             .name = name,
                                             .language = "sql",
                                             .source = source,
                                             .volatility = volatility,
                                             .takes_one = true};
    cr_assert_eq(catalog_add_function(builder, &row), 0);
}

static struct catalog *build(struct catalog_builder *builder)
{
    static uint64_t serial;
    struct catalog *catalog = NULL;
    cr_assert_eq(catalog_build(builder, ++serial, &catalog), 0);
    catalog_builder_free(builder);
    return catalog;
}

static void facts_are(const struct catalog *catalog, const char *text, enum plan_class class,
                      uint32_t touches)
{
    const struct plan_context context = {.standard_strings = true, .safe_encoding = true};
    struct plan_cache cache;
    cr_assert_eq(plan_cache_init(&cache, 1, 16), 0);
    struct plan *plan = plan_of(&cache, &context, text, (uint32_t)strlen(text));
    for (int pass = 0; pass < 2; pass++) { /* the second time by what the plan has kept */
        struct facts facts = facts_of(catalog, plan);
        cr_expect_eq(facts.class, class, "%s: class %d", text, facts.class);
        cr_expect_eq(facts.touches, touches, "%s: touches %x", text, facts.touches);
    }
    plan_unref(plan);
    plan_cache_fini(&cache);
}

static struct catalog *shop(void)
{
    struct catalog_builder *builder = catalog_builder_new();
    function(builder, 101, "pure", 'i', "SELECT 1");
    function(builder, 102, "looks", 's', "SELECT pure()");
    function(builder, 103, "sets", 'v', "SELECT set_config('app.a', 'b', false)");
    function(builder, 104, "calls", 's', "SELECT s.sets()");
    function(builder, 105, "overloaded", 'i', "SELECT 1");
    function(builder, 106, "overloaded", 'v', "SELECT 1");
    function(builder, 107, "writes", 'v', "INSERT INTO fires VALUES (1)");
    catalog_add_relation(builder, 201, "plain", CATALOG_TABLE);
    catalog_add_relation(builder, 202, "sees", CATALOG_VIEW);
    catalog_add_relation(builder, 203, "fires", CATALOG_TABLE);
    catalog_add_relation(builder, 204, "parent", CATALOG_TABLE);
    catalog_add_relation(builder, 205, "over", CATALOG_VIEW);
    catalog_add_use(builder, USE_READ_CALLS, 202, 104);
    catalog_add_use(builder, USE_WRITE_CALLS, 203, 103);
    catalog_add_flags(builder, 203, CATALOG_TRIGGERS);
    catalog_add_use(builder, USE_WRITES, 204, 203);
    catalog_add_use(builder, USE_READS, 205, 202);
    return build(builder);
}

Test(catalog, effects_spread_over_callees_views_and_cascades)
{
    struct catalog *catalog = shop();
    facts_are(catalog, "select 1", PLAN_READ, 0);
    facts_are(catalog, "select pure(), looks() from plain", PLAN_READ, 0);
    facts_are(catalog, "select overloaded()", PLAN_WRITE, 0);
    facts_are(catalog, "select x.calls()", PLAN_WRITE, PLAN_TOUCH_SETTINGS);
    facts_are(catalog, "select * from sees", PLAN_WRITE, PLAN_TOUCH_SETTINGS);
    facts_are(catalog, "select * from a.over", PLAN_WRITE, PLAN_TOUCH_SETTINGS);
    facts_are(catalog, "select * from fires", PLAN_READ, 0);
    facts_are(catalog, "insert into fires values (1)", PLAN_WRITE, PLAN_TOUCH_SETTINGS);
    facts_are(catalog, "delete from parent", PLAN_WRITE, PLAN_TOUCH_SETTINGS);
    facts_are(catalog, "truncate plain, fires", PLAN_WRITE, PLAN_TOUCH_SETTINGS);
    facts_are(catalog, "copy fires from stdin", PLAN_COPY,
              PLAN_TOUCH_SETTINGS | PLAN_TOUCH_COPY_FROM);
    facts_are(catalog, "copy fires to stdout", PLAN_COPY, 0);
    facts_are(catalog, "select writes()", PLAN_WRITE, PLAN_TOUCH_SETTINGS);
    facts_are(catalog, "select unheard_of()", PLAN_WRITE, PLAN_TOUCH_UNKNOWN);
    facts_are(catalog, "select * from unheard_of", PLAN_WRITE, PLAN_TOUCH_UNKNOWN);
    facts_are(catalog, "select a operator(s.+) b from plain", PLAN_READ, 0);
    facts_are(catalog, "call pure()", PLAN_UTILITY, PLAN_TOUCH_ALONE);
    facts_are(catalog, "set work_mem = 1", PLAN_SESSION, PLAN_TOUCH_SETTINGS);
    cr_expect_eq(catalog->custom_count, 1);
    cr_expect_str_eq(catalog->customs[0], "app.a");
    const struct catalog_relation *over = catalog_find_relation(catalog, "over");
    cr_assert_eq(over->uses_count, 1);
    cr_expect_str_eq(catalog->relations[catalog->uses[over->uses_from]].name, "sees");
    cr_expect_eq(catalog_find_relation(catalog, "fires")->flags, CATALOG_TABLE | CATALOG_TRIGGERS);
    catalog_unref(catalog);
}

Test(catalog, names_of_common_table_expressions_are_no_relations_as_far_as_they_reach)
{
    struct catalog *catalog = shop();
    facts_are(catalog, "with sees as (select 1) select * from sees", PLAN_READ, 0);
    facts_are(catalog, "with sees as (select * from sees) select * from sees", PLAN_WRITE,
              PLAN_TOUCH_SETTINGS);
    facts_are(catalog, "with recursive sees as (select 1 union select * from sees) table sees",
              PLAN_READ, 0);
    facts_are(catalog, "with sees as (select 1), b as (select * from sees) select * from b",
              PLAN_READ, 0);
    facts_are(catalog, "with b as (select * from sees), sees as (select 1) select * from b",
              PLAN_WRITE, PLAN_TOUCH_SETTINGS);
    facts_are(catalog, "select * from (with sees as (select 1) select * from sees) x, sees",
              PLAN_WRITE, PLAN_TOUCH_SETTINGS);
    facts_are(catalog, "with sees as (select 1) select * from public.sees", PLAN_WRITE,
              PLAN_TOUCH_SETTINGS);
    facts_are(catalog, "with fires as (select 1) insert into fires select * from fires", PLAN_WRITE,
              PLAN_TOUCH_SETTINGS);
    facts_are(catalog, "select * from plain x for update of x", PLAN_WRITE, 0);
    catalog_unref(catalog);
}

static void local_is(const struct catalog *catalog, const char *text, uint8_t local)
{
    const struct plan_context context = {.standard_strings = true, .safe_encoding = true};
    struct plan_cache cache;
    cr_assert_eq(plan_cache_init(&cache, 1, 16), 0);
    struct plan *plan = plan_of(&cache, &context, text, (uint32_t)strlen(text));
    for (int pass = 0; pass < 2; pass++) {
        struct facts facts = facts_of(catalog, plan);
        cr_expect_eq(facts.class, PLAN_READ, "%s: class %d", text, facts.class);
        cr_expect_eq(facts.local, local, "%s: local %d", text, facts.local);
    }
    plan_unref(plan);
    plan_cache_fini(&cache);
}

Test(catalog, what_one_server_or_one_transaction_says_is_seen_through_views_and_functions)
{
    static const struct catalog_function_row recovery = {
        .oid = 10, .name = "pg_is_in_recovery", .volatility = 'v', .is_system = true};
    struct catalog_builder *builder = catalog_builder_new();
    cr_assert_eq(catalog_add_function(builder, &recovery), 0);
    function(builder, 101, "role", 's', "SELECT pg_is_in_recovery()");
    function(builder, 102, "moment", 's', "SELECT CURRENT_TIMESTAMP - x FROM plain");
    function(builder, 103, "busy", 's', "SELECT count(*) FROM pg_locks");
    function(builder, 104, "pure", 's', "SELECT current_user, clock FROM plain");
    catalog_add_relation(builder, 201, "plain", CATALOG_TABLE);
    catalog_add_relation(builder, 202, "pg_locks", CATALOG_VIEW | CATALOG_SYSTEM);
    catalog_add_relation(builder, 203, "locks", CATALOG_VIEW);
    catalog_add_relation(builder, 204, "locks_too", CATALOG_VIEW);
    catalog_add_relation(builder, 205, "roles", CATALOG_VIEW);
    catalog_add_relation(builder, 206, "guarded", CATALOG_TABLE);
    catalog_add_relation(builder, 207, "unlogged", CATALOG_TABLE | CATALOG_UNLOGGED);
    catalog_add_relation(builder, 208, "over", CATALOG_VIEW);
    catalog_add_use(builder, USE_READS, 208, 207);
    catalog_add_use(builder, USE_READS, 203, 202);
    catalog_add_use(builder, USE_READS, 204, 203);
    catalog_add_use(builder, USE_READ_CALLS, 205, 10);
    catalog_add_use(builder, USE_READ_CALLS, 206, 102);
    struct catalog *catalog = build(builder);
    local_is(catalog, "select pure() from plain", 0);
    local_is(catalog, "select * from pg_locks", PLAN_LOCAL_SERVER);
    local_is(catalog, "select * from unlogged", PLAN_LOCAL_SERVER);
    local_is(catalog, "select * from plain, over", PLAN_LOCAL_SERVER);
    local_is(catalog, "select * from locks", PLAN_LOCAL_SERVER);
    local_is(catalog, "select * from plain, locks_too", PLAN_LOCAL_SERVER);
    local_is(catalog, "select * from roles", PLAN_LOCAL_SERVER);
    local_is(catalog, "select role()", PLAN_LOCAL_SERVER);
    local_is(catalog, "select busy()", PLAN_LOCAL_SERVER);
    local_is(catalog, "select moment()", PLAN_LOCAL_TRANSACTION);
    local_is(catalog, "select * from guarded", PLAN_LOCAL_TRANSACTION);
    local_is(catalog, "select now(), busy()", PLAN_LOCAL_TRANSACTION | PLAN_LOCAL_SERVER);
    catalog_unref(catalog);
}

Test(catalog, languages_and_extensions)
{
    static const struct {
        struct catalog_function_row row;
        uint32_t touches;
        uint8_t flags;
    } cases[] = {
        {{.name = "f", .language = "c", .volatility = 'i', .of_extension = true}, 0, 0},
        {{.name = "f", .language = "internal", .volatility = 's', .of_extension = true}, 0, 0},
        {{.name = "f", .language = "c", .volatility = 'i'}, PLAN_TOUCH_UNKNOWN, 3},
        {{.name = "f", .language = "c", .volatility = 'v', .of_extension = true},
         PLAN_TOUCH_UNKNOWN,
         3},
        {{.name = "uuid_generate_v4", .language = "c", .volatility = 'v', .of_extension = true},
         0,
         CATALOG_VOLATILE},
        {{.name = "crosstab", .language = "c", .volatility = 's', .of_extension = true},
         PLAN_TOUCH_UNKNOWN,
         3},
        {{.name = "f", .language = "internal", .volatility = 'i', .source = "range_constructor2"},
         0,
         0},
        {{.name = "f", .language = "internal", .volatility = 'i', .source = "set_config_by_name"},
         PLAN_TOUCH_UNKNOWN,
         3},
        {{.name = "f", .language = "plpython3u", .volatility = 'i', .source = "x"},
         PLAN_TOUCH_UNKNOWN,
         3},
        {{.name = "f", .language = "sql", .volatility = 'i'}, PLAN_TOUCH_UNKNOWN, 3},
        {{.name = "f", .language = "sql", .volatility = 'v', .source = ""}, 0, CATALOG_VOLATILE},
        {{.name = "f", .language = "sql", .volatility = 'i', .source = "", .customs = "a.b c.d"},
         PLAN_TOUCH_UNKNOWN,
         0},
        {{.name = "new_in_18", .language = "internal", .volatility = 'i', .is_system = true}, 0, 0},
        {{.name = "new_in_18", .language = "internal", .volatility = 'v', .is_system = true},
         PLAN_TOUCH_UNKNOWN,
         3},
        {{.name = "f", .language = "internal", .volatility = 'i', .is_aggregate = true}, 0, 0},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct catalog_builder *builder = catalog_builder_new();
        cr_assert_eq(catalog_add_function(builder, &cases[i].row), 0);
        struct catalog *catalog = build(builder);
        const struct catalog_function *found = catalog_find_function(catalog, cases[i].row.name);
        cr_assert_not_null(found);
        cr_expect_eq(found->effect.touches, cases[i].touches, "case %zu", i);
        cr_expect_eq(found->effect.flags, cases[i].flags, "case %zu", i);
        cr_expect_eq(catalog->custom_count, cases[i].row.customs != NULL ? 2 : 0);
        catalog_unref(catalog);
    }
}

/* t.f is f(t) where t has no column f. */
Test(catalog, functions_are_called_as_columns)
{
    struct catalog_builder *builder = catalog_builder_new();
    function_of_one(builder, 101, "of_row", 'v', "SELECT set_config('a.b', 'c', false)");
    function(builder, 102, "of_none", 'v', "INSERT INTO t VALUES (1)");
    function_of_one(builder, 103, "looks", 's', "SELECT 1");
    function(builder, 104, "two", 'v', "INSERT INTO t VALUES (1)");
    function_of_one(builder, 105, "two", 's', "SELECT 1");
    catalog_add_relation(builder, 201, "t", CATALOG_TABLE);
    struct catalog *catalog = build(builder);
    facts_are(catalog, "select t.of_row from t", PLAN_WRITE, PLAN_TOUCH_SETTINGS);
    facts_are(catalog, "select 1 from t order by s.t.of_row", PLAN_WRITE, PLAN_TOUCH_SETTINGS);
    facts_are(catalog, "select (x).of_row from t x", PLAN_WRITE, PLAN_TOUCH_SETTINGS);
    facts_are(catalog, "select (t.a[1].of_row).id from t", PLAN_WRITE, PLAN_TOUCH_SETTINGS);
    facts_are(catalog, "select (select 1 from t where t.of_row)", PLAN_WRITE, PLAN_TOUCH_SETTINGS);
    facts_are(catalog, "select (x).two from t x", PLAN_WRITE, 0);
    facts_are(catalog, "select of_row, of_row.id, t.of_none, t.looks, t.id, t.* from t", PLAN_READ,
              0);
    facts_are(catalog, "select t.lower, (t).age, t.upper from t", PLAN_READ, 0);
    facts_are(NULL, "select t.of_row from t", PLAN_READ, 0);
    const struct plan_context context = {.standard_strings = true, .safe_encoding = true};
    struct plan_cache cache;
    cr_assert_eq(plan_cache_init(&cache, 1, 16), 0);
    const char *text = "select (row(1)).of_row";
    struct plan *plan = plan_of(&cache, &context, text, (uint32_t)strlen(text));
    cr_expect_eq(facts_unknown(plan).class, PLAN_WRITE);
    plan_unref(plan);
    plan_cache_fini(&cache);
    catalog_unref(catalog);
}

/* What is logged of a sequence is ahead of it, and a replica shows that. */
Test(catalog, a_sequence_does_not_read_the_same_everywhere)
{
    struct catalog_builder *builder = catalog_builder_new();
    catalog_add_relation(builder, 201, "counts", CATALOG_SEQUENCE);
    catalog_add_relation(builder, 202, "sees", CATALOG_VIEW);
    catalog_add_relation(builder, 203, "plain", CATALOG_TABLE);
    catalog_add_use(builder, USE_READS, 202, 201);
    struct catalog *catalog = build(builder);
    facts_are(catalog, "select last_value from counts", PLAN_WRITE, 0);
    facts_are(catalog, "table sees", PLAN_WRITE, 0);
    facts_are(catalog, "table plain", PLAN_READ, 0);
    catalog_unref(catalog);
}

Test(catalog, relations_that_are_not_kept_or_named_may_do_anything)
{
    struct catalog *catalog = shop();
    char text[2000] = "select 1 from plain";
    for (uint32_t i = 0; i < PLAN_NAMES_MAX - 1; i++) {
        snprintf(text + strlen(text), sizeof(text) - strlen(text), ", plain p%u", i);
    }
    facts_are(catalog, text, PLAN_READ, 0); /* a name that stands there twice is one */
    struct catalog_builder *builder = catalog_builder_new();
    snprintf(text, sizeof(text), "select 1 from p0");
    for (uint32_t i = 0; i <= PLAN_NAMES_MAX; i++) {
        char name[16];
        snprintf(name, sizeof(name), "p%u", i);
        catalog_add_relation(builder, 201 + i, name, CATALOG_TABLE);
        if (i > 0) {
            snprintf(text + strlen(text), sizeof(text) - strlen(text), ", %s", name);
        }
    }
    struct catalog *many = build(builder);
    facts_are(many, text, PLAN_WRITE, PLAN_TOUCH_UNKNOWN);
    *strrchr(text, ',') = '\0';
    facts_are(many, text, PLAN_READ, 0);
    facts_are(catalog, "select table_to_xml('sees', true, true, '')", PLAN_WRITE,
              PLAN_TOUCH_UNKNOWN);
    facts_are(catalog, "select schema_to_xml('s', true, true, '')", PLAN_WRITE, PLAN_TOUCH_UNKNOWN);
    facts_are(catalog, "select table_to_xmlschema('sees', true, true, '')", PLAN_READ, 0);
    catalog_unref(many);
    catalog_unref(catalog);
}

/* What a statement runs without naming it: operators, and functions beside PostgreSQL's own. */
Test(catalog, what_runs_everywhere)
{
    struct catalog_builder *builder = catalog_builder_new();
    function(builder, 101, "plus", 'v', "SELECT 1");
    catalog_add_use(builder, USE_EVERYWHERE, 0, 101);
    function(builder, 102, "lower", 'i', "SELECT 'x'");
    struct catalog *catalog = build(builder);
    facts_are(catalog, "select a + b", PLAN_READ, 0);
    facts_are(catalog, "select lower('a')", PLAN_READ, 0);
    catalog_unref(catalog);

    builder = catalog_builder_new();
    function(builder, 102, "lower", 'v', "SELECT set_config('a.b', 'c', false)");
    function(builder, 103, "on_ddl", 'v', "PERFORM pg_advisory_lock(1)");
    catalog_add_use(builder, USE_DDL, 0, 103);
    catalog = build(builder);
    facts_are(catalog, "select lower('a')", PLAN_WRITE, PLAN_TOUCH_SETTINGS);
    facts_are(catalog, "comment on table t is 'x'", PLAN_DDL,
              PLAN_TOUCH_SETTINGS | PLAN_TOUCH_ADVISORY);
    catalog_unref(catalog);
}

/* Each calls the next: what the last one does, the first one does, and building takes no time. */
Test(catalog, long_chains_and_rings)
{
    enum { CHAIN = 20000 };
    struct catalog_builder *builder = catalog_builder_new();
    for (uint32_t i = 0; i < CHAIN; i++) {
        char name[32], source[64];
        snprintf(name, sizeof(name), "f%u", i);
        snprintf(source, sizeof(source), "SELECT f%u()", (i + 1) % CHAIN);
        function(builder, 1000 + i, name, 'i', i == CHAIN / 2 ? "SET x = 1; SELECT f3()" : source);
    }
    struct catalog *catalog = build(builder);
    facts_are(catalog, "select f0()", PLAN_WRITE, PLAN_TOUCH_UNKNOWN);
    facts_are(catalog, "select f19999()", PLAN_WRITE, PLAN_TOUCH_UNKNOWN);
    catalog_unref(catalog);
}

Test(catalog, one_over_the_limit_is_refused)
{
    struct catalog_builder *builder = catalog_builder_new();
    struct catalog *catalog = NULL;
    int code = 0;
    for (uint32_t i = 0; i < LIMIT_CATALOG_OBJECTS && code == 0; i++) {
        code = catalog_add_relation(builder, i + 1, "t", CATALOG_TABLE);
    }
    cr_expect_eq(code, 0);
    cr_expect_eq(catalog_add_relation(builder, 0, "t", CATALOG_TABLE), ERR_LIMIT);
    cr_expect_eq(catalog_build(builder, 1, &catalog), ERR_LIMIT);
    catalog_builder_free(builder);
}

Test(catalog, an_empty_one_knows_nothing)
{
    struct catalog *catalog = build(catalog_builder_new());
    cr_expect_null(catalog_find_function(catalog, "f"));
    cr_expect_null(catalog_find_relation(catalog, "r"));
    facts_are(catalog, "select f()", PLAN_WRITE, PLAN_TOUCH_UNKNOWN);
    facts_are(catalog, "select 1; select 2", PLAN_READ, 0);
    catalog_unref(catalog);
}

Test(catalog, without_one_a_plan_says_what_it_said)
{
    facts_are(NULL, "select f()", PLAN_WRITE, PLAN_TOUCH_UNKNOWN);
    facts_are(NULL, "select * from t", PLAN_READ, 0);
    facts_are(NULL, "prepare p as select f()", PLAN_SESSION,
              PLAN_TOUCH_PREPARE | PLAN_TOUCH_UNKNOWN);
}

Test(catalog, ddl_that_changes_facts_is_told)
{
    static const struct {
        const char *text;
        bool changes;
    } cases[] = {
        {"create function f() returns int language sql as 'select 1'", true},
        {"create table t (a int)", true},
        {"drop trigger t on u", true},
        {"alter table t enable row level security", true},
        {"create table t as select 1", true},
        {"select 1 into t", true},
        {"do $$begin end$$", true},
        {"select 1; drop view v", true},
        {"create temp table t (a int)", false},
        {"create temp table t as select 1", false},
        {"create index i on t (a)", false},
        {"grant select on t to u", false},
        {"vacuum", false},
        {"insert into t values (1)", false},
        {"call p()", false},
    };
    const struct plan_context context = {.standard_strings = true, .safe_encoding = true};
    struct plan_cache cache;
    cr_assert_eq(plan_cache_init(&cache, 1, 16), 0);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct plan *plan =
            plan_of(&cache, &context, cases[i].text, (uint32_t)strlen(cases[i].text));
        cr_expect_eq(plan->changes_facts, cases[i].changes, "%s", cases[i].text);
        plan_unref(plan);
    }
    plan_cache_fini(&cache);
}
