/* md5auth: what Python's hashlib says for one user, and the shape of secrets and answers. */
#include <criterion/criterion.h>

#include <string.h>

#include "protocol/md5auth.h"

static const uint8_t salt[MD5AUTH_SALT_BYTES] = {1, 2, 0xfe, 0};
static const char stored[] = "md54a0a68b43b6cd5cf266fa02f196e2371"; /* alice's "secret" */
static const char answer[] = "md5219241086d97207b1680e30a8d1e9331";

Test(md5auth, secret_and_response)
{
    char text[MD5AUTH_TEXT_BYTES + 1];

    md5auth_secret("secret", 6, "alice", 5, text);
    cr_assert_str_eq(text, stored);
    md5auth_response(stored, salt, text);
    cr_assert_str_eq(text, answer);
}

Test(md5auth, answers_from_either_kind_of_secret)
{
    char text[MD5AUTH_TEXT_BYTES + 1];

    md5auth_answer("secret", 6, "alice", 5, salt, text);
    cr_assert_str_eq(text, answer);
    md5auth_answer(stored, strlen(stored), "alice", 5, salt, text);
    cr_assert_str_eq(text, answer);
}

Test(md5auth, knows_a_stored_secret)
{
    cr_assert(md5auth_is_secret(stored, 35));
    cr_assert_not(md5auth_is_secret(stored, 34));
    cr_assert_not(md5auth_is_secret("md54a0a68b43b6cd5cf266fa02f196e237G", 35));
    cr_assert_not(md5auth_is_secret("md54A0a68b43b6cd5cf266fa02f196e2371", 35));
    cr_assert_not(md5auth_is_secret("sha4a0a68b43b6cd5cf266fa02f196e2371", 35));
    cr_assert_not(md5auth_is_secret("", 0));
}

Test(md5auth, check_takes_the_right_answer_only)
{
    char wrong[36];

    cr_assert(md5auth_check("secret", 6, "alice", 5, salt, answer, 35));
    cr_assert(md5auth_check(stored, 35, "alice", 5, salt, answer, 35));
    cr_assert_not(md5auth_check("secret", 6, "alicf", 5, salt, answer, 35));
    cr_assert_not(md5auth_check("secreT", 6, "alice", 5, salt, answer, 35));
    cr_assert_not(md5auth_check("secret", 6, "alice", 5, (const uint8_t *)"abcd", answer, 35));
    for (size_t i = 0; i < 35; i++) {
        memcpy(wrong, answer, sizeof wrong);
        wrong[i] ^= 1;
        cr_assert_not(md5auth_check("secret", 6, "alice", 5, salt, wrong, 35), "byte %zu", i);
    }
    for (size_t count = 0; count < 35; count++) {
        cr_assert_not(md5auth_check("secret", 6, "alice", 5, salt, answer, count));
    }
}
