#include "base/error.h"

#include <criterion/criterion.h>
#include <ctype.h>
#include <string.h>

Test(error, success_has_the_sqlstate_of_success)
{
    cr_assert_str_eq(error_sqlstate(ERR_NONE), "00000");
    cr_assert_str_eq(error_name(ERR_NONE), "ERR_NONE");
}

Test(error, every_row_has_a_well_formed_sqlstate)
{
    for (int code = 0; code < ERR_COUNT; code++) {
        const char *sqlstate = error_sqlstate(code);
        cr_expect_eq(strlen(sqlstate), 5, "%s", error_name(code));
        for (const char *c = sqlstate; *c != '\0'; c++) {
            cr_expect(isdigit((unsigned char)*c) || isupper((unsigned char)*c), "%s: %s",
                      error_name(code), sqlstate);
        }
    }
}

Test(error, every_row_has_a_message_that_reads_as_one_of_postgresql)
{
    for (int code = 0; code < ERR_COUNT; code++) {
        const char *message = error_message(code);
        size_t length = strlen(message);
        cr_assert_gt(length, 0, "%s has no message", error_name(code));
        /* "TLS …" and "SASL …" may stand first; "Tls" may not. */
        cr_expect_not(isupper((unsigned char)message[0]) && islower((unsigned char)message[1]),
                      "%s: begins with a capital", error_name(code));
        cr_expect_neq(message[length - 1], '.', "%s: ends with a full stop", error_name(code));
    }
}

Test(error, names_differ)
{
    for (int a = 0; a < ERR_COUNT; a++) {
        for (int b = a + 1; b < ERR_COUNT; b++) {
            cr_expect_str_neq(error_name(a), error_name(b));
        }
    }
}
