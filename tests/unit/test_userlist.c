/* userlist: the format of PgBouncer's userlist.txt, and what it must refuse. */
#include <criterion/criterion.h>

#include <string.h>

#include "base/error.h"
#include "protocol/userlist.h"

static struct userlist *parse(const char *text)
{
    struct userlist *list = NULL;
    struct userlist_error error = {0};
    int code = userlist_parse(text, strlen(text), &list, &error);
    cr_assert_eq(code, 0, "line %u: %s", error.line, error.message);
    return list;
}

Test(userlist, finds_each_user)
{
    struct userlist *list = parse("; a comment \"no\" \"no\"\n"
                                  "\"zoe\" \"plain\"\n"
                                  "\n"
                                  "  \"bob\"\t\"md54a0a68b43b6cd5cf266fa02f196e2371\" \"2030\"\r\n"
                                  "\"ann\"\"s\" \"quo\"\"te\"\n"
                                  "\"empty\" \"\"\n"
                                  "\"last\" \"SCRAM-SHA-256$4096:x$y:z\"");
    cr_assert_eq(userlist_count(list), 5);
    cr_assert_str_eq(userlist_find(list, "zoe"), "plain");
    cr_assert_str_eq(userlist_find(list, "bob"), "md54a0a68b43b6cd5cf266fa02f196e2371");
    cr_assert_str_eq(userlist_find(list, "ann\"s"), "quo\"te");
    cr_assert_str_eq(userlist_find(list, "empty"), "");
    cr_assert_str_eq(userlist_find(list, "last"), "SCRAM-SHA-256$4096:x$y:z");
    cr_assert_null(userlist_find(list, "no"));
    cr_assert_null(userlist_find(list, "bo"));
    cr_assert_null(userlist_find(list, ""));
    userlist_free(list);
}

Test(userlist, empty_file_knows_nobody)
{
    struct userlist *list = parse("");
    cr_assert_eq(userlist_count(list), 0);
    cr_assert_null(userlist_find(list, "postgres"));
    userlist_free(list);
}

Test(userlist, refuses_with_the_line)
{
    static const struct {
        const char *text;
        uint32_t line;
        const char *message;
    } cases[] = {
        {"\"a\" \"b\"\nplain words\n", 2, "no double quote"},
        {"\"a\" \"b\n\"c\" \"d\"\n", 1, "closing quote"},
        {"\"a\"\n\"b\" \"c\"\n", 1, "no double quote"},
        {"\"a\" \"b", 1, "closing quote"},
        {"\"a", 1, "closing quote"},
        {"\n\n\"\" \"b\"\n", 3, "impossible length"},
        {"\"0123456789012345678901234567890123456789012345678901234567890123\" \"b\"\n", 1,
         "impossible length"},
        {"\"a\" \"b\"\n\"c\" \"d\"\n\"a\" \"e\"\n", 3, "given twice, first at line 1"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct userlist *list = NULL;
        struct userlist_error error = {0};
        int code = userlist_parse(cases[i].text, strlen(cases[i].text), &list, &error);
        cr_assert_eq(code, ERR_CONFIG, "case %zu", i);
        cr_assert_null(list);
        cr_assert_eq(error.line, cases[i].line, "case %zu: line %u", i, error.line);
        cr_assert_not_null(strstr(error.message, cases[i].message), "case %zu: %s", i,
                           error.message);
    }
}

Test(userlist, nul_byte_ends_no_name_silently)
{
    static const char text[] = "\"a\0b\" \"secret\"\n";
    struct userlist *list = NULL;
    struct userlist_error error;
    cr_assert_eq(userlist_parse(text, sizeof(text) - 1, &list, &error), ERR_CONFIG);
}

/* Any prefix is parsed or refused, never read beyond (under the address sanitizer). */
Test(userlist, every_prefix)
{
    static const char text[] = ";c\n\"a\" \"b\"\"c\"\r\n \"d\"\t\"\" x\n";
    for (size_t bytes = 0; bytes < sizeof(text); bytes++) {
        char *copy = malloc(bytes + 1);
        memcpy(copy, text, bytes);
        struct userlist *list = NULL;
        struct userlist_error error;
        int code = userlist_parse(copy, bytes, &list, &error);
        cr_assert(code == 0 || code == ERR_CONFIG);
        userlist_free(list);
        free(copy);
    }
}
