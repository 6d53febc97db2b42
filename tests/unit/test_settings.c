#include "pool/settings.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "base/writer.h"

static struct settings *intern(struct settings_store *store, const char *const *pairs)
{
    struct setting items[16];
    uint32_t count = 0;
    for (; pairs[count * 2] != NULL; count++) {
        items[count] = (struct setting){pairs[count * 2], pairs[count * 2 + 1]};
    }
    return settings_intern(store, items, count);
}

Test(settings, equal_sets_are_one_whatever_their_order)
{
    struct settings_store store;
    cr_assert_eq(settings_store_init(&store, 1), 0);
    const char *const one[] = {"b", "2", "a", "1", NULL}, *const two[] = {"a", "1", "b", "2", NULL};
    struct settings *left = intern(&store, one), *right = intern(&store, two);
    cr_assert_eq(left, right);
    cr_assert_eq(left->references, 2);
    cr_assert_str_eq(left->items[0].name, "a");
    settings_unref(&store, left);
    settings_unref(&store, right);
    cr_assert_eq(store.sets.count, 1, "only the empty set stays");
    settings_store_fini(&store);
}

Test(settings, of_one_name_the_last_counts_and_case_does_not)
{
    struct settings_store store;
    settings_store_init(&store, 1);
    const char *const pairs[] = {"TimeZone", "x", "timezone", "y", NULL};
    struct settings *settings = intern(&store, pairs);
    cr_assert_eq(settings->count, 1);
    cr_assert_str_eq(settings_get(settings, "TIMEZONE"), "y");
    cr_assert_null(settings_get(settings, "timezon"));
    settings_unref(&store, settings);
    settings_store_fini(&store);
}

Test(settings, reading_is_that_of_what_statements_are_read_by)
{
    struct settings_store store;
    settings_store_init(&store, 1);
    const char *const alike[] = {"application_name", "x", "TimeZone", "UTC", NULL};
    const char *const plain[] = {"TimeZone", "UTC", NULL};
    const char *const other[] = {"TimeZone", "CET", NULL};
    const char *const another[] = {"DateStyle", "UTC", NULL};
    const char *const unread[] = {"application_name", "x", NULL};
    const char *const *pairs[] = {alike, plain, other, another, unread};
    struct settings *sets[5];
    for (int i = 0; i < 5; i++) {
        sets[i] = intern(&store, pairs[i]);
    }
    cr_assert_eq(store.none->reading, 0);
    cr_assert_eq(sets[4]->reading, 0);
    cr_assert_eq(sets[0]->reading, sets[1]->reading);
    cr_assert(sets[1]->reading != 0 && sets[1]->reading != sets[2]->reading);
    cr_assert_neq(sets[1]->reading, sets[3]->reading);
    for (int i = 0; i < 5; i++) {
        settings_unref(&store, sets[i]);
    }
    settings_store_fini(&store);
}

Test(settings, with_adds_changes_and_takes_away)
{
    struct settings_store store;
    settings_store_init(&store, 1);
    struct settings *one = settings_with(&store, store.none, "a", "1");
    struct settings *two = settings_with(&store, one, "A", "2");
    struct settings *three = settings_with(&store, two, "b", "3");
    struct settings *four = settings_with(&store, three, "a", NULL);
    struct settings *five = settings_with(&store, four, "B", NULL);
    cr_assert_str_eq(settings_get(two, "a"), "2");
    cr_assert_eq(two->count, 1);
    cr_assert_eq(three->count, 2);
    cr_assert_null(settings_get(four, "a"));
    cr_assert_eq(five, store.none);
    settings_unref(&store, one);
    settings_unref(&store, two);
    settings_unref(&store, three);
    settings_unref(&store, four);
    settings_unref(&store, five);
    cr_assert_eq(store.sets.count, 1);
    settings_store_fini(&store);
}

Test(settings, more_than_fits_is_kept_in_bounds)
{
    struct settings_store store;
    settings_store_init(&store, 1);
    struct settings *settings = store.none;
    settings_ref(settings);
    for (int i = 0; i < 600; i++) {
        char name[16];
        snprintf(name, sizeof(name), "n%d", i);
        struct settings *more = settings_with(&store, settings, name, "v");
        settings_unref(&store, settings);
        settings = more;
    }
    cr_assert_eq(settings->count, 512);
    settings_unref(&store, settings);
    settings_store_fini(&store);
}

Test(settings, names_that_can_be_one)
{
    static const char *const good[] = {"a", "_a1$", "TimeZone", "a.b", "my_ext.a.b"};
    static const char *const bad[] = {
        "",   "1a",   "a b",   "a;b",
        "a.", ".a",   "a-b",   "a=",
        "$a", "a..b", "\"a\"", "a234567890123456789012345678901234567890123456789012345678901234"};
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        cr_assert(settings_name_ok(good[i]), "%s", good[i]);
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        cr_assert(!settings_name_ok(bad[i]), "%s", bad[i]);
    }
}

/* The messages of a change, as text: P(sql) for a Parse, B(values) for a Bind, E. */
static void describe(const struct writer *writer, char *out, size_t room)
{
    size_t at = 0, len = 0;
    while (at < writer->len) {
        struct reader reader = reader_of(writer->bytes + at + 1, writer->len - at - 1);
        uint32_t bytes = reader_u32(&reader);
        char type = (char)writer->bytes[at];
        len += (size_t)snprintf(out + len, room - len, "%c", type);
        reader_cstr(&reader);
        if (type == 'P') {
            len += (size_t)snprintf(out + len, room - len, "(%s)", reader_cstr(&reader));
        } else if (type == 'B') {
            reader_cstr(&reader);
            reader_u16(&reader);
            for (uint16_t count = reader_u16(&reader); count > 0; count--) {
                uint32_t value = reader_u32(&reader);
                len += (size_t)snprintf(out + len, room - len, "(%.*s)", (int)value,
                                        (const char *)reader_bytes(&reader, value));
            }
        }
        at += 1 + bytes;
    }
    cr_assert_eq(at, writer->len);
}

Test(settings, a_change_sets_resets_and_leaves_alone)
{
    struct settings_store store;
    struct writer writer;
    char text[1000];
    settings_store_init(&store, 1);
    writer_init(&writer);
    const char *const from_pairs[] = {"a", "1", "b", "2", "d", "4", NULL};
    const char *const to_pairs[] = {"b", "2", "c", "it's; drop", "d", "5", NULL};
    struct settings *from = intern(&store, from_pairs), *to = intern(&store, to_pairs);
    cr_assert_eq(settings_write_change(&writer, from, to), 3);
    describe(&writer, text, sizeof(text));
    cr_assert_str_eq(text, "P(RESET a)BE"
                           "P(SELECT pg_catalog.set_config($1, $2, false))B(c)(it's; drop)E"
                           "P(SELECT pg_catalog.set_config($1, $2, false))B(d)(5)E");
    writer_reset(&writer);
    cr_assert_eq(settings_write_change(&writer, to, to), 0);
    cr_assert_eq(writer.len, 0);
    settings_unref(&store, from);
    settings_unref(&store, to);
    writer_fini(&writer);
    settings_store_fini(&store);
}

Test(settings, a_link_with_a_custom_setting_is_strange_to_who_has_it_not_or_spells_it_otherwise)
{
    struct settings_store store;
    settings_store_init(&store, 1);
    struct settings *have = settings_with(&store, store.none, "app.tenant", "one");
    struct settings *same = settings_with(&store, store.none, "app.tenant", "two");
    struct settings *spelled = settings_with(&store, store.none, "App.tenant", "one");
    cr_assert(!settings_strange(have, same));
    cr_assert(settings_strange(have, spelled));
    cr_assert(settings_strange(have, store.none));
    cr_assert(!settings_strange(store.none, have));
    settings_unref(&store, have);
    settings_unref(&store, same);
    settings_unref(&store, spelled);
    settings_store_fini(&store);
}

Test(settings, reset_all_leaves_custom_ones_empty_and_what_the_startup_asked_for)
{
    struct settings_store store;
    settings_store_init(&store, 1);
    const char *const now[] = {"a.b", "1", "c.d", "2", "work_mem", "1MB", NULL};
    const char *const first[] = {"a.b", "on", "TimeZone", "UTC", NULL};
    struct settings *settings = intern(&store, now), *startup = intern(&store, first);
    struct settings *left = settings_reset(&store, settings, startup);
    cr_assert_eq(left->count, 3);
    cr_assert_str_eq(settings_get(left, "a.b"), "on");
    cr_assert_str_eq(settings_get(left, "c.d"), "");
    cr_assert_str_eq(settings_get(left, "timezone"), "UTC");
    settings_unref(&store, left);
    settings_unref(&store, startup);
    settings_unref(&store, settings);
    settings_store_fini(&store);
}

Test(settings, behind_a_reset_a_set_takes_no_snapshot)
{
    struct settings_store store;
    struct writer writer;
    char text[1000];
    settings_store_init(&store, 1);
    writer_init(&writer);
    const char *const pairs[] = {"DateStyle",   "German", "app.user", "it's", "role", "r1",
                                 "search_path", "a, b",   "work_mem", "1MB",  NULL};
    struct settings *settings = intern(&store, pairs);
    cr_assert_eq(settings_write_again(&writer, settings, false), 6);
    describe(&writer, text, sizeof(text));
    cr_assert_str_eq(text, "P(SET \"app\".\"user\" TO 'it''s')BE"
                           "P(RESET DateStyle)BE"
                           "P(SET DateStyle TO 'German')BE"
                           "P(SELECT pg_catalog.set_config($1, $2, false))B(search_path)(a, b)E"
                           "P(SET work_mem TO '1MB')BE"
                           "P(SET role TO 'r1')BE");
    writer_reset(&writer);
    cr_assert_eq(settings_write_again(&writer, settings, true), 5);
    settings_unref(&store, settings);
    writer_fini(&writer);
    settings_store_fini(&store);
}

Test(settings, a_query_that_sets_them_quotes_what_must_be)
{
    struct settings_store store;
    struct writer writer;
    settings_store_init(&store, 1);
    writer_init(&writer);
    struct settings *settings = settings_with(&store, store.none, "a.b", "it's \\");
    settings_set(&store, &settings, "search_path", "a, b");
    settings_write_query(&writer, settings, true);
    const char wanted[] = "SET LOCAL \"a\".\"b\" TO E'it''s \\\\';"
                          "SELECT pg_catalog.set_config('search_path', 'a, b', true);";
    cr_assert_eq(writer.len, 5 + sizeof(wanted));
    cr_assert_eq(writer.bytes[0], 'Q');
    cr_assert_arr_eq(writer.bytes + 5, wanted, sizeof(wanted));
    writer_fini(&writer);
    settings_unref(&store, settings);
    settings_store_fini(&store);
}
