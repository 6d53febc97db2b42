#include <criterion/criterion.h>
#include <string.h>

#include "protocol/sql_names.h"

static struct sql_name found[SQL_NAMES_MAX];

static uint32_t find(const char *text)
{
    return sql_names_find(text, strlen(text), found);
}

static void finds_one(const char *text, enum sql_name_kind kind, const char *name,
                      const char *token)
{
    cr_assert_eq(find(text), 1, "%s", text);
    cr_assert_eq(found[0].kind, kind, "%s", text);
    cr_assert_str_eq(found[0].text, name, "%s", text);
    cr_assert_eq(found[0].len, strlen(token), "%s", text);
    cr_assert_eq(memcmp(text + found[0].at, token, found[0].len), 0, "%s", text);
}

Test(sql_names, each_form)
{
    finds_one("PREPARE p AS SELECT 1", SQL_NAME_PREPARE, "p", "p");
    finds_one(";; prepare /* x */ Pq(int) as select 1;", SQL_NAME_PREPARE, "pq", "Pq");
    finds_one("prepare transaction as select 1", SQL_NAME_PREPARE, "transaction", "transaction");
    finds_one("prepare transaction (text) as select 1", SQL_NAME_PREPARE, "transaction",
              "transaction");
    finds_one("EXECUTE \"P \"\"q\"(1, 'as')", SQL_NAME_EXECUTE, "P \"q", "\"P \"\"q\"");
    finds_one("explain execute p", SQL_NAME_EXECUTE, "p", "p");
    finds_one("explain analyze verbose execute p", SQL_NAME_EXECUTE, "p", "p");
    finds_one("explain (analyze, format json) execute p", SQL_NAME_EXECUTE, "p", "p");
    finds_one("create temp table t (a, b) with (x = 1) as execute p(1) with no data",
              SQL_NAME_EXECUTE, "p", "p");
    finds_one("explain create table t as execute p", SQL_NAME_EXECUTE, "p", "p");
    finds_one("deallocate p", SQL_NAME_DEALLOCATE, "p", "p");
    finds_one("deallocate prepare p", SQL_NAME_DEALLOCATE, "p", "p");
    finds_one("deallocate prepare", SQL_NAME_DEALLOCATE, "prepare", "prepare");
    finds_one("DEALLOCATE ALL;", SQL_NAME_ALL, "all", "ALL");
    finds_one("deallocate prepare all", SQL_NAME_ALL, "all", "all");
    finds_one("deallocate \"all\"", SQL_NAME_DEALLOCATE, "all", "\"all\"");
}

Test(sql_names, what_has_none)
{
    cr_assert_eq(find(""), 0);
    cr_assert_eq(find("select 'execute p'; -- deallocate p"), 0);
    cr_assert_eq(find("prepare transaction 'gid'"), 0);
    cr_assert_eq(find("create table t as select a as execute from u"), 0);
    cr_assert_eq(find("create table t as (select 1) "), 0);
    cr_assert_eq(find("create function f() returns int language sql as 'execute p'"), 0);
    cr_assert_eq(find("explain select 1"), 0);
}

Test(sql_names, what_is_strange)
{
    char text[128] = "execute ";
    memset(text + 8, 'x', 63);
    cr_assert_eq(find(text), 1, "63 bytes");
    text[8 + 63] = 'x';
    cr_assert_eq(find(text), SQL_NAMES_STRANGE, "64 bytes are cut off");
    cr_assert_eq(find("execute U&\"\\0061\""), SQL_NAMES_STRANGE);
    cr_assert_eq(find("execute \"\""), SQL_NAMES_STRANGE);
    cr_assert_eq(find("execute"), SQL_NAMES_STRANGE);
    cr_assert_eq(find("execute p; select 'open"), SQL_NAMES_STRANGE);
}

Test(sql_names, several_in_order_up_to_the_most)
{
    char text[SQL_NAMES_MAX * 12 + 32] = "";
    cr_assert_eq(find("prepare a as select 1; execute a ; select 2; deallocate all"), 3);
    cr_assert_eq(found[0].kind, SQL_NAME_PREPARE);
    cr_assert_eq(found[0].end, strlen("prepare a as select 1"));
    cr_assert_eq(found[1].kind, SQL_NAME_EXECUTE);
    cr_assert_eq(found[2].kind, SQL_NAME_ALL);
    for (uint32_t i = 0; i < SQL_NAMES_MAX; i++) {
        memcpy(text + i * 10, "execute p;", 11);
    }
    cr_assert_eq(find(text), SQL_NAMES_MAX);
    memcpy(text + SQL_NAMES_MAX * 10, "execute p;", 11);
    cr_assert_eq(find(text), SQL_NAMES_STRANGE);
}

Test(sql_names, where_the_query_begins)
{
    static const char plain[] = " AS SELECT 1", typed[] = " (numeric(4, 2), \"as\")as select $1";
    cr_assert_str_eq(plain + sql_names_query_at(plain, strlen(plain)), " SELECT 1");
    cr_assert_str_eq(typed + sql_names_query_at(typed, strlen(typed)), " select $1");
    cr_assert_eq(sql_names_query_at(" (a", 3), 3);
}
