#include "router/hint.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"

/* What is said, in always the same words; or the error, its place and its help. */
static const char *read_hint(const char *text)
{
    static char out[1024];
    struct hint hint;
    struct hint_error error;
    if (hint_read(text, (uint32_t)strlen(text), &hint, &error) != 0) {
        snprintf(out, sizeof(out), "%u: %s | %s", error.at, error.message, error.help);
        return out;
    }
    out[hint_write(&hint, out, sizeof(out))] = '\0';
    return out;
}

Test(hint, says_what_it_says)
{
    cr_expect_str_eq(read_hint(" route=primary cache=60s shard_key=42 "),
                     "route='primary' shard_key='42' cache='60s'");
    cr_expect_str_eq(read_hint("cache=OFF,\n ROUTE=Replica"), "route='replica' cache='off'");
    cr_expect_str_eq(read_hint("shard='it''s'"), "shard='it''s'");
    cr_expect_str_eq(read_hint("shard_key='a b, c=d'"), "shard_key='a b, c=d'");
    cr_expect_str_eq(read_hint("shard=''"), "shard=''");
    cr_expect_str_eq(read_hint("route=primary route=auto"), "route='auto'");
    cr_expect_str_eq(read_hint("shard_key=a=b"), "shard_key='a=b'");
    cr_expect_str_eq(read_hint(" \t\r\n"), "");
}

Test(hint, malformed_ones_say_where)
{
    static const char form[] = "A hint is a comment such as /* howdah: route=primary cache=60s */.";
    char expected[512];
    static const struct {
        const char *text, *error;
    } cases[] = {
        {" route", "1: \"route\" has no value in a hint"},
        {"route=", "6: a name in a hint has no value"},
        {"=primary", "0: a hint has a value without a name"},
        {"shard='x", "6: unterminated quoted value in a hint"},
        {"shard='x'y", "9: a value in a hint ends in the middle"},
        {"shard=x'y'", "7: a value in a hint ends in the middle"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        snprintf(expected, sizeof(expected), "%s | %s", cases[i].error, form);
        cr_expect_str_eq(read_hint(cases[i].text), expected);
    }
    cr_expect_str_eq(read_hint("route=primary rout=auto"),
                     "14: unknown name \"rout\" in a hint | Perhaps you mean \"route\".");
    cr_expect_str_eq(read_hint("nosuchthing=1"),
                     "0: unknown name \"nosuchthing\" in a hint | A hint may say route, "
                     "consistency, shard, shard_key and cache.");
    cr_expect_str_eq(
        read_hint("route=slave"),
        "6: invalid value for \"route\" in a hint: \"slave\" | Available values: auto, "
        "primary, replica.");
    cr_expect_str_eq(
        read_hint("cache=60"),
        "6: invalid value for \"cache\" in a hint: \"60\" | Available values: off, on, "
        "or a duration such as 60s (ms, s, m or h).");
    cr_expect(strncmp(read_hint("shard_key='a*/b'"), "10: invalid", 11) == 0);
}

Test(hint, too_long_values_are_refused)
{
    char text[1000];
    int len = snprintf(text, sizeof(text), "shard='%0300d'", 1);
    cr_assert_eq(len, 308);
    cr_expect(strncmp(read_hint(text), "6: a value in a hint is too long", 32) == 0);
    snprintf(text, sizeof(text), "shard=%0256d", 1);
    cr_expect(strncmp(read_hint(text), "6: invalid value for \"shard\"", 28) == 0);
    snprintf(text, sizeof(text), "shard=%0255d", 1);
    cr_expect(strncmp(read_hint(text), "shard='000", 10) == 0);
}

static int error_at(const char *text)
{
    struct hint_error error;
    return hint_find_error(text, strlen(text), &error) ? (int)error.at : -1;
}

Test(hint, errors_have_their_place_in_the_text)
{
    cr_expect_eq(error_at("select 1 /* howdah: route=primary */"), -1);
    cr_expect_eq(error_at("select 1 /* howdah: route=x */"), 26);
    cr_expect_eq(error_at("select 1; /* howdah: nope=x */ select 2"), 21);
    cr_expect_eq(error_at("select 1; -- howdah: nope=x"), 21);
    cr_expect_eq(error_at("select '/* howdah: nope=x */'"), -1);
}
