#include "protocol/md5auth.h"

#include <string.h>

#include "protocol/crypto.h"

#define PREFIX_BYTES 3

static void hash(const void *first, size_t first_count, const void *second, size_t second_count,
                 char ret_text[MD5AUTH_TEXT_BYTES + 1])
{
    memcpy(ret_text, "md5", PREFIX_BYTES);
    crypto_md5_hex(first, first_count, second, second_count, ret_text + PREFIX_BYTES);
}

bool md5auth_is_secret(const char *text, size_t count)
{
    if (count != MD5AUTH_TEXT_BYTES || memcmp(text, "md5", PREFIX_BYTES) != 0) {
        return false;
    }
    for (size_t i = PREFIX_BYTES; i < count; i++) {
        if (!((text[i] >= '0' && text[i] <= '9') || (text[i] >= 'a' && text[i] <= 'f'))) {
            return false;
        }
    }
    return true;
}

void md5auth_secret(const char *password, size_t password_count, const char *user,
                    size_t user_count, char ret_secret[MD5AUTH_TEXT_BYTES + 1])
{
    hash(password, password_count, user, user_count, ret_secret);
}

void md5auth_response(const char secret[MD5AUTH_TEXT_BYTES], const uint8_t salt[MD5AUTH_SALT_BYTES],
                      char ret_response[MD5AUTH_TEXT_BYTES + 1])
{
    hash(secret + PREFIX_BYTES, MD5AUTH_TEXT_BYTES - PREFIX_BYTES, salt, MD5AUTH_SALT_BYTES,
         ret_response);
}

void md5auth_answer(const char *secret, size_t secret_count, const char *user, size_t user_count,
                    const uint8_t salt[MD5AUTH_SALT_BYTES],
                    char ret_response[MD5AUTH_TEXT_BYTES + 1])
{
    char stored[MD5AUTH_TEXT_BYTES + 1];

    if (md5auth_is_secret(secret, secret_count)) {
        memcpy(stored, secret, MD5AUTH_TEXT_BYTES);
    } else {
        md5auth_secret(secret, secret_count, user, user_count, stored);
    }
    md5auth_response(stored, salt, ret_response);
    crypto_wipe(stored, sizeof stored);
}

bool md5auth_check(const char *secret, size_t secret_count, const char *user, size_t user_count,
                   const uint8_t salt[MD5AUTH_SALT_BYTES], const char *response,
                   size_t response_count)
{
    char expected[MD5AUTH_TEXT_BYTES + 1];

    if (response_count != MD5AUTH_TEXT_BYTES) {
        return false;
    }
    md5auth_answer(secret, secret_count, user, user_count, salt, expected);
    bool same = crypto_equal(expected, response, MD5AUTH_TEXT_BYTES);
    crypto_wipe(expected, sizeof expected);
    return same;
}
