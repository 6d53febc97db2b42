/* The md5 password exchange (protocol chapter, AuthenticationMD5Password).
 *
 * A stored secret is "md5" and the hexadecimal MD5 of password and user name; the answer to a salt
 * is "md5" and the MD5 of that hexadecimal text and the four bytes of salt. Whoever has the stored
 * secret can log in with it, so it is a secret like the password.
 */
#ifndef PROTOCOL_MD5AUTH_H
#define PROTOCOL_MD5AUTH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MD5AUTH_SALT_BYTES 4

/* "md5" and 32 hexadecimal digits, without the NUL */
#define MD5AUTH_TEXT_BYTES 35

/* Whether the text has the shape of a stored md5 secret (get_password_type,
 * src/backend/libpq/crypt.c). */
bool md5auth_is_secret(const char *text, size_t count);

/* The stored form of a password, NUL-terminated. Wipe it when done. */
void md5auth_secret(const char *password, size_t password_count, const char *user,
                    size_t user_count, char ret_secret[MD5AUTH_TEXT_BYTES + 1]);

/* What a client sends, NUL-terminated, from a stored secret. */
void md5auth_response(const char secret[MD5AUTH_TEXT_BYTES], const uint8_t salt[MD5AUTH_SALT_BYTES],
                      char ret_response[MD5AUTH_TEXT_BYTES + 1]);

/* The same from either kind of secret: a stored md5 secret or the plain password. */
void md5auth_answer(const char *secret, size_t secret_count, const char *user, size_t user_count,
                    const uint8_t salt[MD5AUTH_SALT_BYTES],
                    char ret_response[MD5AUTH_TEXT_BYTES + 1]);

/* The server's side: whether `response` (without a NUL) answers `salt` for either kind of secret.
 * The time taken doesn't depend on where a wrong answer differs. */
bool md5auth_check(const char *secret, size_t secret_count, const char *user, size_t user_count,
                   const uint8_t salt[MD5AUTH_SALT_BYTES], const char *response,
                   size_t response_count);

#endif
