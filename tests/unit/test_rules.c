#include "router/rules.h"

#include <criterion/criterion.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/limits.h"
#include "router/facts.h"
#include "router/plan.h"

static const struct plan_context usual = {.standard_strings = true, .safe_encoding = true};

static struct plan_cache cache;

static void begin(void)
{
    cr_assert_eq(plan_cache_init(&cache, 1, 1000), 0);
}

static void end(void)
{
    plan_cache_fini(&cache);
}

TestSuite(rules, .init = begin, .fini = end);

/* Rules in words: "tables=a,s.b user=u class=ddl reject=no; route=primary". */
static struct rules *make(const char *text)
{
    char copy[512];
    snprintf(copy, sizeof(copy), "%s", text);
    uint32_t count = 1;
    for (const char *c = text; *c != '\0'; c++) {
        count += *c == ';';
    }
    struct rules *rules = rules_new(count);
    char *outer = NULL, *middle = NULL, *inner = NULL;
    struct rule *rule = rules->items;
    for (char *one = strtok_r(copy, ";", &outer); one != NULL;
         one = strtok_r(NULL, ";", &outer), rule++) {
        for (char *part = strtok_r(one, " ", &middle); part != NULL;
             part = strtok_r(NULL, " ", &middle)) {
            char *value = strchr(part, '=');
            *value++ = '\0';
            if (strcmp(part, "reject") == 0) {
                rule->action = RULE_REJECT;
                rule->reject = strdup(value);
                continue;
            }
            if (strcmp(part, "route") == 0) {
                rule->action = strcmp(value, "replica") == 0 ? RULE_REPLICA : RULE_PRIMARY;
                continue;
            }
            for (char *item = strtok_r(value, ",", &inner); item != NULL;
                 item = strtok_r(NULL, ",", &inner)) {
                if (strcmp(part, "tables") == 0) {
                    cr_assert_eq(rule_add_table(rule, item), 0);
                } else if (strcmp(part, "user") == 0) {
                    cr_assert_eq(rule_add_user(rule, item), 0);
                } else {
                    cr_assert_str_eq(part, "class");
                    cr_assert(rule_add_class(rule, item));
                }
            }
        }
    }
    rules_seal(rules);
    return rules;
}

/* The number of the rule that counts for bob's statement; -1: none. */
static int decide(const struct rules *rules, const char *sql)
{
    struct plan *plan = plan_of(&cache, &usual, sql, (uint32_t)strlen(sql));
    uint64_t of_user = rules_of_user(rules, "bob");
    const struct rule *rule = rules_decide(rules, of_user, plan, plan->class);
    cr_assert_eq(rule, rules_decide(rules, of_user, plan, plan->class)); /* remembered */
    int number = rule == NULL ? -1 : (int)rule->number;
    plan_unref(plan);
    return number;
}

static void expect(const char *text, const char *sql, int number)
{
    struct rules *rules = make(text);
    int found = decide(rules, sql);
    cr_expect_eq(found, number, "%s\n  %s\n  is %d, expected %d", text, sql, found, number);
    rules_free(rules);
}

Test(rules, without_rules_nothing_holds)
{
    struct plan *plan = plan_of(&cache, &usual, "select 1", 8);
    cr_assert_eq(rules_of_user(NULL, "bob"), 0);
    cr_assert_null(rules_decide(NULL, 0, plan, plan->class));
    cr_assert_not(rules_have(NULL, 0, RULE_REJECT));
    plan_unref(plan);
    expect("route=primary", "select 1", 0);
    expect("reject=no", "select 1", 0);
}

Test(rules, some_users_may_be_refused)
{
    struct rules *rules = make("user=bob route=primary; user=eve reject=no");
    cr_assert_not(rules_have(rules, rules_of_user(rules, "bob"), RULE_REJECT));
    cr_assert_not(rules_have(rules, rules_of_user(rules, "ann"), RULE_REJECT));
    cr_assert(rules_have(rules, rules_of_user(rules, "eve"), RULE_REJECT));
    rules_free(rules);
}

Test(rules, all_conditions_of_a_rule_must_hold)
{
    const char *rule = "tables=secrets user=bob class=ddl reject=no";
    expect(rule, "drop table secrets", 0);
    expect(rule, "drop table others", -1);
    expect(rule, "select * from secrets", -1);
    expect("tables=secrets user=eve class=ddl reject=no", "drop table secrets", -1);
    expect("tables=a,secrets user=eve,bob class=read,ddl reject=no", "table secrets", 0);
    expect("user=Bob route=primary", "select 1", -1); /* names keep their case */
}

Test(rules, the_first_that_holds_counts)
{
    const char *rules = "user=bob class=read route=replica; reject=no";
    expect(rules, "select 1", 0);
    expect(rules, "insert into t values (1)", 1);
    expect("tables=a route=primary; tables=b route=replica; route=primary", "table b", 1);
    expect("tables=a route=primary; tables=b route=replica; route=primary", "table c", 2);
}

/* Statements that name the table secrets, wherever; and others. */
static const char *const naming[] = {
    "select 1 from a, secrets",
    "select (select max(x) from secrets)",
    "with a as (table secrets) select 1",
    "with secrets as (table secrets) table secrets",
    "select 1 from secrets s for update of s",
    "insert into secrets values (1)",
    "insert into a select * from secrets",
    "with secrets as (select 1) delete from secrets",
    "update secrets set a = 1",
    "merge into secrets using a on true when matched then delete",
    "truncate a, secrets",
    "copy secrets from stdin",
    "copy (select * from secrets) to stdout",
    "lock table secrets",
    "explain select * from secrets",
    "prepare p as select * from secrets",
    "declare c cursor for table secrets",
    "create table secrets (a int)",
    "create table a (like secrets)",
    "create table a (b int references secrets)",
    "create table a partition of secrets default",
    "create table a as table secrets",
    "select 1 into secrets",
    "create view v as select * from secrets",
    "create materialized view v as select * from secrets",
    "create index on secrets (a)",
    "create trigger t after insert on secrets execute function f()",
    "create rule r as on insert to a do also delete from secrets",
    "create policy p on secrets",
    "create function f() returns int begin atomic select a from secrets; end",
    "create publication p for table secrets",
    "create statistics s on a, b from secrets",
    "alter table secrets add column b int",
    "alter table a attach partition secrets default",
    "alter table secrets rename to a",
    "alter table secrets set schema s",
    "alter sequence secrets restart",
    "drop table a, secrets",
    "drop table if exists public.secrets cascade",
    "drop view secrets",
    "drop materialized view secrets",
    "drop foreign table secrets",
    "drop trigger t on secrets",
    "drop rule r on secrets",
    "drop policy p on secrets",
    "comment on table secrets is 'a'",
    "comment on column secrets.a is 'b'",
    "comment on column s.secrets.a is 'b'",
    "comment on constraint c on secrets is 'b'",
    "comment on trigger t on secrets is 'b'",
    "grant select on secrets to eve",
    "revoke all on table secrets from eve",
    "security label on table secrets is 'a'",
    "alter extension e add table secrets",
    "vacuum secrets",
    "analyze secrets",
    "cluster secrets using i",
    "reindex table secrets",
    "refresh materialized view secrets",
    "select 1; table secrets",
    "select \"secrets\".* from SECRETS",
    "table U&\"s\\0065crets\"",
};

static const char *const not_naming[] = {
    "select 1",
    "select secrets from a",
    "select 1 as secrets",
    "select * from a secrets",
    "with secrets as (select 1) table secrets",
    "with recursive secrets as (select 1 union all table secrets) table secrets",
    "select 'secrets'",
    "select secrets()",
    "table \"Secrets\"",
    "select 1 from a secrets for update of secrets",
    "drop index i",
    "drop function secrets",
    "drop type secrets",
    "comment on function secrets() is 'a'",
    "alter table a rename to secrets",
    "alter table a add column secrets int",
    "create role secrets",
};

Test(rules, tables_by_what_a_statement_names)
{
    for (size_t i = 0; i < sizeof(naming) / sizeof(naming[0]); i++) {
        expect("tables=secrets reject=no", naming[i], 0);
    }
    for (size_t i = 0; i < sizeof(not_naming) / sizeof(not_naming[0]); i++) {
        expect("tables=secrets reject=no", not_naming[i], -1);
    }
}

Test(rules, schemas_where_both_name_one)
{
    expect("tables=s.t reject=no", "table s.t", 0);
    expect("tables=s.t reject=no", "table t", 0); /* search_path's may be s */
    expect("tables=s.t reject=no", "table u.t", -1);
    expect("tables=s.t reject=no", "select 1 from u.t, s.t", 0);
    expect("tables=s.t reject=no", "drop table u.t", -1);
    expect("tables=s.t reject=no", "drop table d.s.t", 0);
    expect("tables=t reject=no", "table u.t", 0);
    expect("tables=t reject=no", "comment on column u.t.c is ''", 0);
    expect("tables=s.t reject=no", "drop trigger x on u.t", -1);
}

Test(rules, classes_by_the_words_of_explain)
{
    static const struct {
        const char *class, *sql;
    } cases[] = {
        {"read", "select 1"},       {"session", "set a.b = 1"},   {"transaction", "begin"},
        {"write", "delete from t"}, {"copy", "copy t to stdout"}, {"ddl", "create table t ()"},
        {"utility", "vacuum"},      {"opaque", "selec 1"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        for (size_t j = 0; j < sizeof(cases) / sizeof(cases[0]); j++) {
            char text[64];
            snprintf(text, sizeof(text), "class=%s route=primary", cases[i].class);
            expect(text, cases[j].sql, i == j ? 0 : -1);
        }
    }
    struct rule rule = {0};
    cr_assert_not(rule_add_class(&rule, "empty"));
    cr_assert_not(rule_add_class(&rule, "Read"));
    cr_assert_not(rule_add_class(&rule, ""));
    cr_assert_eq(rule.classes, 0);
}

/* A read that calls what may write is none; once the catalog knows, it may be. */
Test(rules, classes_are_those_of_the_facts)
{
    struct rules *rules = make("class=write reject=no");
    struct plan *plan = plan_of(&cache, &usual, "select f()", 10);
    uint64_t of_user = rules_of_user(rules, "bob");
    cr_assert_not_null(rules_decide(rules, of_user, plan, PLAN_WRITE));
    cr_assert_null(rules_decide(rules, of_user, plan, PLAN_READ));
    cr_assert_not_null(rules_decide(rules, of_user, plan, PLAN_WRITE));
    plan_unref(plan);
    rules_free(rules);
}

/* The query of a statement that keeps it for later, or reads it. */
Test(rules, classes_of_queries_inside_of_statements)
{
    expect("class=write reject=no", "prepare p as delete from t", 0);
    expect("class=write reject=no", "prepare p as select f()", 0);
    expect("class=read reject=no", "prepare p as select 1", 0);
    expect("class=session reject=no", "prepare p as select 1", 0);
    expect("class=write reject=no", "prepare p as select 1", -1);
    expect("class=read reject=no", "declare c cursor for select 1", 0);
    expect("class=write reject=no", "copy (delete from t returning *) to stdout", 0);
    expect("class=write reject=no", "explain delete from t", 0);
    expect("class=write reject=no", "with d as (delete from t returning *) table d", 0);
}

/* Each statement and table as if it came alone, so that none hides behind another. */
Test(rules, nobody_gets_past_a_rule_in_company)
{
    const char *rules = "tables=audit route=primary; class=read tables=docs route=replica; "
                        "tables=secrets reject=no; class=ddl reject=no";
    expect(rules, "table audit", 0);
    expect(rules, "select 1 from docs, audit", 0); /* the primary is stronger */
    expect(rules, "table docs", 1);
    expect(rules, "select 1 from audit, secrets", 2);
    expect(rules, "select 1 from docs; table secrets", 2);
    expect(rules, "select 1 from docs; drop table a", 3);
    expect(rules, "vacuum; drop table a; vacuum", 3);
    expect(rules, "table docs; call f()", 1);
    /* A list of what is allowed. */
    rules = "tables=docs route=replica; class=session,transaction route=primary; reject=no";
    expect(rules, "table docs", 0);
    expect(rules, "begin; table docs; commit", 1);
    expect(rules, "select 1 from docs, users", 2);
    expect(rules, "table docs; select 1", 2);
    expect(rules, "table docs; set a.b = 1", 1);
    /* A statement of several that calls what may write. */
    expect("class=read route=replica; reject=no", "select 1; select f()", 1);
}

/* What may do anything is refused by whatever refuses something, and routed by what it shows. */
Test(rules, rejects_fail_closed)
{
    static const char *const anything[] = {"selec 1 from a", "do 'begin end'", "select 1; do ''"};
    static const char *const any_table[] = {
        "select query_to_xml('table secrets', true, true, '')",
        "select pg_catalog.table_to_xml('secrets', true, true, '')",
        "select * from ts_stat('select a from secrets')",
        "drop schema s cascade",
        "drop extension e cascade",
        "drop owned by eve",
        "reassign owned by eve to bob",
        "alter schema s rename to t",
        "grant select on all tables in schema s to eve",
        "create publication p for all tables",
        "create publication p for tables in schema s",
        "alter table all in tablespace a set tablespace b",
    };
    for (size_t i = 0; i < sizeof(anything) / sizeof(anything[0]); i++) {
        expect("tables=secrets class=ddl reject=no", anything[i], 0);
        expect("class=ddl reject=no", anything[i], 0);
        expect("tables=secrets reject=no", anything[i], 0);
        expect("tables=secrets user=eve reject=no", anything[i], -1);
        expect("tables=secrets route=primary; class=read route=replica", anything[i],
               strstr(anything[i], "select 1;") == NULL ? -1 : 1);
        expect("tables=docs route=primary; class=copy route=replica; tables=secrets reject=no",
               anything[i], 2);
        expect("user=bob route=primary; tables=secrets reject=no", anything[i], 0);
    }
    for (size_t i = 0; i < sizeof(any_table) / sizeof(any_table[0]); i++) {
        expect("tables=secrets reject=no", any_table[i], 0);
        expect("tables=secrets class=copy reject=no", any_table[i], -1);
        expect("tables=secrets route=primary", any_table[i], -1);
    }
    expect("tables=secrets reject=no", "drop function f", -1);
    expect("tables=secrets reject=no", "grant select on a to eve", -1);
    expect("tables=secrets reject=no", "alter role a rename to b", -1);
    expect("tables=secrets reject=no", "call f()", -1); /* as any function: see the manual */
}

Test(rules, more_tables_than_are_kept)
{
    char sql[2048] = "select 1 from t0";
    for (int i = 1; i < PLAN_TABLES_MAX; i++) {
        snprintf(sql + strlen(sql), sizeof(sql) - strlen(sql), ", t%d", i);
    }
    expect("tables=secrets reject=no", sql, -1);
    expect("tables=t63 reject=no", sql, 0);
    snprintf(sql + strlen(sql), sizeof(sql) - strlen(sql), ", t63");
    expect("tables=secrets reject=no", sql, -1);
    snprintf(sql + strlen(sql), sizeof(sql) - strlen(sql), ", secrets");
    expect("tables=secrets reject=no", sql, 0);
    expect("tables=secrets route=replica", sql, -1);
}

Test(rules, everybody_can_end_a_transaction)
{
    expect("reject=no", "rollback", -1);
    expect("user=bob reject=no", "commit", -1);
    expect("reject=no", "begin", -1);
    expect("class=transaction reject=no", "commit", 0);
    expect("reject=no", "rollback; table t", 0);
    expect("reject=no", "", -1);
    expect("reject=no", ";", -1);
    expect("route=primary", "begin", 0);
}

/* They never reach a server. */
Test(rules, what_is_answered_here_is_let_through)
{
    expect("reject=no", "show howdah.route", -1);
    expect("tables=t reject=no", "explain (howdah) table t", -1);
    expect("reject=no", "explain (howdah) selec", -1);
}

Test(rules, users_are_found_once_for_a_session)
{
    struct rules *rules = make("user=bob,eve reject=no; route=primary; user=eve route=replica");
    cr_assert_eq(rules_of_user(rules, "bob"), 3);
    cr_assert_eq(rules_of_user(rules, "eve"), 7);
    cr_assert_eq(rules_of_user(rules, "dan"), 2);
    /* One plan, several users and rules by turns. */
    struct rules *others = make("route=primary; reject=no");
    struct plan *plan = plan_of(&cache, &usual, "select 1", 8);
    for (int i = 0; i < 2; i++) {
        cr_assert_eq(rules_decide(rules, 3, plan, PLAN_READ)->number, 0);
        cr_assert_eq(rules_decide(rules, 2, plan, PLAN_READ)->number, 1);
        cr_assert_eq(rules_decide(others, 3, plan, PLAN_READ)->action, RULE_PRIMARY);
    }
    plan_unref(plan);
    rules_free(others);
    rules_free(rules);
}

Test(rules, equal_rules_have_equal_serials)
{
    static const char *const texts[] = {
        "route=primary",
        "route=replica",
        "reject=a",
        "route=primary; route=primary",
        "tables=a route=primary",
        "tables=a,b route=primary",
        "tables=a.b route=primary",
        "user=a route=primary",
        "class=read route=primary",
        "class=ddl route=primary",
        "tables=ab,c route=primary",
        "tables=a,bc route=primary",
    };
    enum { COUNT = sizeof(texts) / sizeof(texts[0]) };
    struct rules *all[COUNT];
    for (size_t i = 0; i < COUNT; i++) {
        struct rules *again = make(texts[i]);
        all[i] = make(texts[i]);
        cr_assert_neq(all[i]->serial, 0);
        cr_assert_eq(all[i]->serial, again->serial);
        rules_free(again);
        for (size_t j = 0; j < i; j++) {
            cr_assert_neq(all[i]->serial, all[j]->serial, "%s, %s", texts[i], texts[j]);
        }
    }
    for (size_t i = 0; i < COUNT; i++) {
        rules_free(all[i]);
    }
}

Test(rules, as_many_as_there_may_be)
{
    struct rules *rules = rules_new(LIMIT_RULES);
    for (uint32_t i = 0; i < LIMIT_RULES; i++) {
        char name[16];
        snprintf(name, sizeof(name), "t%u", i);
        cr_assert_eq(rule_add_table(&rules->items[i], name), 0);
    }
    rules_seal(rules);
    cr_assert_eq(decide(rules, "table t0"), 0);
    cr_assert_eq(decide(rules, "table t63"), 63);
    cr_assert_eq(decide(rules, "table t64"), -1);
    rules_free(rules);
}

Test(rules, names_of_tables)
{
    static const char *const wrong[] = {
        "",   ".",     "a.",
        ".a", "a.b.c", "a123456789a123456789a123456789a123456789a123456789a123456789abcd",
    };
    struct rule rule = {0};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        cr_assert_eq(rule_add_table(&rule, wrong[i]), ERR_BAD_VALUE, "%s", wrong[i]);
    }
    cr_assert_eq(rule.table_count, 0);
}

Test(rules, in_words)
{
    char text[128];
    struct rules *rules = make("tables=a,s.b user=bob,eve class=read,ddl reject=no; user=bob "
                               "route=primary; class=copy route=primary; route=primary");
    rule_describe(&rules->items[0], text, sizeof(text));
    cr_assert_str_eq(text, "routing.rules[0]: tables a or s.b, user bob or eve, class read or ddl");
    rule_describe(&rules->items[1], text, sizeof(text));
    cr_assert_str_eq(text, "routing.rules[1]: user bob");
    rule_describe(&rules->items[2], text, sizeof(text));
    cr_assert_str_eq(text, "routing.rules[2]: class copy");
    rule_describe(&rules->items[3], text, sizeof(text));
    cr_assert_str_eq(text, "routing.rules[3]");
    rule_describe(&rules->items[0], text, 10);
    cr_assert_str_eq(text, "routing.r");
    rules_free(rules);
}
