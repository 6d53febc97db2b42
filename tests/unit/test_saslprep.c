#include "protocol/saslprep.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"

Test(saslprep, as_postgresql_prepares)
{
    static const struct {
        const char *in, *out;
    } rows[] = {
        /* RFC 4013, section 3; what it calls an error is taken as it is */
        {"I\xc2\xadX", "IX"},
        {"user", "user"},
        {"USER", "USER"},
        {"\xc2\xaa", "a"},
        {"\xe2\x85\xa8", "IX"},
        {"\x07", "\x07"},
        {"\xd8\xa7\x31", "\xd8\xa7\x31"},
        /* NFKC */
        {"caf\x65\xcc\x81", "caf\xc3\xa9"},                       /* composed */
        {"e\xcc\x81\xcc\xa7", "\xc8\xa9\xcc\x81"},                /* marks in their order */
        {"\xef\xac\x81sh", "fish"},                               /* a ligature */
        {"\xef\xbc\xb0\xef\xbd\x97", "Pw"},                       /* full width */
        {"\xe2\x84\xab", "\xc3\x85"},                             /* Angstrom: a singleton */
        {"\xed\x95\x9c", "\xed\x95\x9c"},                         /* a Hangul syllable */
        {"\xe1\x84\x92\xe1\x85\xa1\xe1\x86\xab", "\xed\x95\x9c"}, /* and its parts */
        /* mapped */
        {"plain ascii", "plain ascii"},
        {"tab\tis kept", "tab\tis kept"},
        {"na\xc3\xafve", "na\xc3\xafve"},
        {"no\xc2\xa0"
         "break \xe3\x80\x80wide",
         "no break  wide"},
        {"zero\xe2\x80\x8bwidth", "zero width"}, /* in both tables; a space, as PostgreSQL has it */
        {"soft\xc2\xadhyphen", "softhyphen"},
        {"joined\xe2\x80\x8dup\xef\xbb\xbf", "joinedup"},
        {"\xd8\xa7\xd8\xa8", "\xd8\xa7\xd8\xa8"}, /* from right to left throughout */
        /* as it is */
        {"\xc2\xad", "\xc2\xad"},                 /* nothing would be left */
        {"bell\x07\xc2\xa0", "bell\x07\xc2\xa0"}, /* prohibited */
        {"private \xee\x80\x80\xc2\xa0", "private \xee\x80\x80\xc2\xa0"},
        {"\xf0\x9f\x90\x98\xc2\xa0", "\xf0\x9f\x90\x98\xc2\xa0"}, /* not in Unicode 3.2 */
        {"bad \xff\xc2\xa0", "bad \xff\xc2\xa0"},                 /* not UTF-8 */
        {"long \xc0\xa0\xc2\xa0", "long \xc0\xa0\xc2\xa0"},       /* an overlong space */
        {"cut \xc2\xa0\xe3\x80", "cut \xc2\xa0\xe3\x80"},
        {"half \xed\xa0\x80\xc2\xa0", "half \xed\xa0\x80\xc2\xa0"}, /* a surrogate */
        {"", ""},
    };
    char out[SASLPREP_BYTES_MAX];

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        size_t count = 0;
        cr_assert_eq(saslprep(rows[i].in, strlen(rows[i].in), out, &count), 0, "row %zu", i);
        cr_expect_eq(count, strlen(rows[i].out), "row %zu: %zu bytes", i, count);
        cr_expect_eq(memcmp(out, rows[i].out, count), 0, "row %zu: %.*s", i, (int)count, out);
    }
}

Test(saslprep, bounds)
{
    static const char most_expanded[] = "\xef\xb7\xba"; /* U+FDFA: 18 characters of it */
    char *text = malloc(SASLPREP_BYTES_MAX), *out = malloc(SASLPREP_BYTES_MAX);
    size_t count = 0;

    cr_assert(text != NULL && out != NULL);
    memset(text, 'p', SASLPREP_BYTES_MAX);
    cr_assert_eq(saslprep(text, SASLPREP_BYTES_MAX, out, &count), 0);
    cr_assert_eq(count, SASLPREP_BYTES_MAX);
    memcpy(text, "\xc2\xad", 2);
    cr_assert_eq(saslprep(text, SASLPREP_BYTES_MAX, out, &count), 0);
    cr_assert_eq(count, SASLPREP_BYTES_MAX - 2);
    for (size_t i = 0; i + 3 <= SASLPREP_BYTES_MAX; i += 3) {
        memcpy(text + i, most_expanded, 3);
    }
    cr_assert_eq(saslprep(text, 300, out, &count), 0);
    cr_assert_eq(count, 3300);
    cr_assert_eq(saslprep(text, SASLPREP_BYTES_MAX / 3 * 3, out, &count), ERR_LIMIT);
    memset(text, '\0', 3);
    memcpy(text + 3, "\xc2\xa0", 2);
    cr_assert_eq(saslprep(text, 5, out, &count), 0); /* a NUL: as it is */
    cr_assert_eq(count, 5);
    cr_assert_eq(memcmp(out, text, 5), 0);
    free(text);
    free(out);
}
