#include <criterion/criterion.h>
#include <stdint.h>

#include "base/error.h"
#include "daemon/lookup.h"

static int64_t seconds_of(const char *text)
{
    int64_t us = 0;
    cr_assert_eq(lookup_parse_time(text, &us), 0, "%s", text);
    return us / 1000000;
}

Test(daemon_lookup, reads_times_as_postgresql_writes_them)
{
    cr_assert_eq(seconds_of("1970-01-01 00:00:00+00"), 0);
    cr_assert_eq(seconds_of("2030-01-01 10:00:00+02"), 1893484800);
    cr_assert_eq(seconds_of("2030-01-01 08:00:00.999999+00"), 1893484800);
    cr_assert_eq(seconds_of("2000-02-29 23:59:59"), 951868799);
    cr_assert_eq(seconds_of("2024-03-01 00:00:00-03:30"), 1709263800);
    cr_assert_eq(seconds_of("1969-12-31 23:59:58+00"), -2);
    cr_assert_eq(seconds_of("2030-01-01"), 1893456000);
}

Test(daemon_lookup, knows_infinity)
{
    int64_t us = 0;
    cr_assert_eq(lookup_parse_time("infinity", &us), 0);
    cr_assert_eq(us, INT64_MAX);
    cr_assert_eq(lookup_parse_time("-infinity", &us), 0);
    cr_assert_eq(us, INT64_MIN);
}

/* What is not understood must not pass for "never expires". */
Test(daemon_lookup, refuses_anything_else)
{
    static const char *const bad[] = {
        "",
        "garbage",
        "never",
        "2030",
        "2030-13-01",
        "2030-01-01 10",
        "01/02/2030",
        "2030-01-01 10:00:00 CET",
        "2030-01-01 10:00:00+xx",
        " 2030-01-01",
        "-2030-01-01",
        "0044-03-15 00:00:00+00 BC",
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        int64_t us = 42;
        cr_assert_eq(lookup_parse_time(bad[i], &us), ERR_BAD_VALUE, "%s", bad[i]);
        cr_assert_eq(us, 42, "untouched on failure: %s", bad[i]);
    }
}
