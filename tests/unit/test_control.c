#include "router/control.h"

#include <criterion/criterion.h>
#include <string.h>

#include "base/error.h"

static const char *checked(enum control control, const char *value)
{
    static char out[CONTROL_VALUE_BYTES];
    return control_check(control, value, strlen(value), out) == 0 ? out : NULL;
}

Test(control, names_are_found_in_any_case)
{
    cr_expect_eq(control_find("route", 5), CONTROL_ROUTE);
    cr_expect_eq(control_find("Shard_Key", 9), CONTROL_SHARD_KEY);
    cr_expect_eq(control_find("shard", 5), CONTROL_SHARD);
    cr_expect_eq(control_find("routes", 6), CONTROL_COUNT);
    cr_expect_eq(control_find("", 0), CONTROL_COUNT);
    cr_expect(control_is_ours("HOWDAH.route"));
    cr_expect_not(control_is_ours("howdah"));
}

Test(control, suggests_what_is_near)
{
    cr_expect_eq(control_nearest("rout", 4), CONTROL_ROUTE);
    cr_expect_eq(control_nearest("shardkey", 8), CONTROL_SHARD_KEY);
    cr_expect_eq(control_nearest("CONSISTANCY", 11), CONTROL_CONSISTENCY);
    cr_expect_eq(control_nearest("cahce", 5), CONTROL_CACHE);
    cr_expect_eq(control_nearest("x", 1), CONTROL_COUNT);
    cr_expect_eq(control_nearest("something_else_entirely_that_is_long", 36), CONTROL_COUNT);
}

Test(control, values_are_checked)
{
    cr_expect_str_eq(checked(CONTROL_ROUTE, "PRIMARY"), "primary");
    cr_expect_str_eq(checked(CONTROL_ROUTE, "auto"), "auto");
    cr_expect_null(checked(CONTROL_ROUTE, ""));
    cr_expect_null(checked(CONTROL_ROUTE, "prim"));
    cr_expect_null(checked(CONTROL_ROUTE, "auto, primary"));
    cr_expect_str_eq(checked(CONTROL_CONSISTENCY, "strong"), "strong");
    cr_expect_str_eq(checked(CONTROL_SHARD, "anything at all"), "anything at all");
    cr_expect_str_eq(checked(CONTROL_SHARD_KEY, ""), "");
    static const char *const durations[] = {"off", "on", "1ms", "60s", "5m", "24h"};
    for (size_t i = 0; i < sizeof(durations) / sizeof(durations[0]); i++) {
        cr_expect_str_eq(checked(CONTROL_CACHE, durations[i]), durations[i]);
    }
    static const char *const others[] = {"", "60", "s", "1d", "-1s", "1.5s", "999999h", "1 s"};
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        cr_expect_null(checked(CONTROL_CACHE, others[i]), "%s", others[i]);
    }
}

Test(control, what_is_usual_is_allowed)
{
    for (enum control control = 0; control < CONTROL_COUNT; control++) {
        cr_expect_str_eq(checked(control, control_usual(control)), control_usual(control));
        cr_expect_eq(control_find(control_label(control), strlen(control_label(control))), control);
    }
}
