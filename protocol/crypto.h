/* The few primitives that logins need: SHA-256, HMAC, PBKDF2, MD5, random bytes, comparing, wiping.
 *
 * Everything here works on the caller's memory, allocates nothing and keeps nothing, so it may be
 * called from any thread at any time; PBKDF2 takes milliseconds and belongs in a thread pool. Only
 * crypto_random can fail. The implementation is protocol/openssl.c.
 */
#ifndef PROTOCOL_CRYPTO_H
#define PROTOCOL_CRYPTO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CRYPTO_SHA256_BYTES 32

/* An MD5 digest in lower-case hexadecimal with its NUL */
#define CRYPTO_MD5_HEX_BYTES 33

/* A digest under way. Plain memory: it may be copied (two digests with a common beginning) and
 * moved; wipe it when what went in was secret. */
struct crypto_sha256 {
    uint64_t opaque[14];
};

struct crypto_hmac {
    struct crypto_sha256 inner;
    struct crypto_sha256 outer;
};

/* Bytes fit for nonces, salts and cancel keys. ERR_INTERNAL if the generator has no entropy. */
int crypto_random(void *bytes, size_t count);

/* SHA-256 in pieces. */
void crypto_sha256_init(struct crypto_sha256 *sha);

/* bytes may be NULL if count is 0. */
void crypto_sha256_add(struct crypto_sha256 *sha, const void *bytes, size_t count);

/* Leaves `sha` wiped. */
void crypto_sha256_done(struct crypto_sha256 *sha, uint8_t ret_digest[CRYPTO_SHA256_BYTES]);

/* The whole in one call; ret_digest may overlap the input. */
void crypto_sha256(const void *bytes, size_t count, uint8_t ret_digest[CRYPTO_SHA256_BYTES]);

/* HMAC-SHA-256 (RFC 2104) in pieces. */
void crypto_hmac_init(struct crypto_hmac *hmac, const void *key, size_t key_count);
void crypto_hmac_add(struct crypto_hmac *hmac, const void *bytes, size_t count);

/* Leaves `hmac` wiped. */
void crypto_hmac_done(struct crypto_hmac *hmac, uint8_t ret_mac[CRYPTO_SHA256_BYTES]);

/* The whole in one call; ret_mac may overlap the inputs. */
void crypto_hmac(const void *key, size_t key_count, const void *bytes, size_t count,
                 uint8_t ret_mac[CRYPTO_SHA256_BYTES]);

/* PBKDF2-HMAC-SHA-256 (RFC 8018 5.2) for one block of output, which is Hi() of RFC 5802 2.2.
 * iterations >= 1; about 0.1 microseconds each with the SHA extensions of the CPU. */
void crypto_pbkdf2(const void *password, size_t password_count, const void *salt, size_t salt_count,
                   uint32_t iterations, uint8_t ret_key[CRYPTO_SHA256_BYTES]);

/* MD5 of `first` followed by `second`, in hexadecimal. */
void crypto_md5_hex(const void *first, size_t first_count, const void *second, size_t second_count,
                    char ret_hex[CRYPTO_MD5_HEX_BYTES]);

/* Whether the bytes are the same, in a time that depends on `count` alone. */
bool crypto_equal(const void *left, const void *right, size_t count);

/* Zeroes; the compiler may not leave it out. */
void crypto_wipe(void *bytes, size_t count);

#endif
