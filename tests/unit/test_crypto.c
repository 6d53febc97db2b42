/* crypto: published vectors of each primitive, pieces of any size, comparing and wiping. */
#include <criterion/criterion.h>

#include <stdio.h>
#include <string.h>

#include "protocol/crypto.h"

static const char *hex(const uint8_t *bytes, size_t count)
{
    static char text[257];

    cr_assert(count <= 128);
    for (size_t i = 0; i < count; i++) {
        snprintf(text + 2 * i, 3, "%02x", bytes[i]);
    }
    return text;
}

Test(crypto, sha256_of_fips_180)
{
    uint8_t digest[32];

    crypto_sha256("abc", 3, digest);
    cr_assert_str_eq(hex(digest, 32),
                     "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    crypto_sha256(NULL, 0, digest);
    cr_assert_str_eq(hex(digest, 32),
                     "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

Test(crypto, hmac_of_rfc_4231)
{
    uint8_t key[131], mac[32];

    memset(key, 0x0b, 20);
    crypto_hmac(key, 20, "Hi There", 8, mac);
    cr_assert_str_eq(hex(mac, 32),
                     "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
    crypto_hmac("Jefe", 4, "what do ya want for nothing?", 28, mac);
    cr_assert_str_eq(hex(mac, 32),
                     "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    memset(key, 0xaa, 131);
    crypto_hmac(key, 131, "Test Using Larger Than Block-Size Key - Hash Key First", 54, mac);
    cr_assert_str_eq(hex(mac, 32),
                     "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
}

Test(crypto, hmac_in_pieces_and_from_a_copy)
{
    char text[300];
    uint8_t whole[32], pieces[32];

    memset(text, 'x', sizeof text);
    crypto_hmac("key", 3, text, sizeof text, whole);
    for (size_t cut = 0; cut <= sizeof text; cut++) {
        struct crypto_hmac hmac, copy;
        crypto_hmac_init(&hmac, "key", 3);
        crypto_hmac_add(&hmac, text, cut);
        copy = hmac;
        memset(&hmac, 0xff, sizeof hmac);
        crypto_hmac_add(&copy, text + cut, sizeof text - cut);
        crypto_hmac_done(&copy, pieces);
        cr_assert_eq(memcmp(whole, pieces, 32), 0, "cut at %zu", cut);
    }
}

/* RFC 7914 section 11 has the first two; the third is what hashlib.pbkdf2_hmac of Python says. */
Test(crypto, pbkdf2_vectors)
{
    uint8_t key[32];
    char password[100];

    crypto_pbkdf2("passwd", 6, "salt", 4, 1, key);
    cr_assert_str_eq(hex(key, 32),
                     "55ac046e56e3089fec1691c22544b605f94185216dde0465e68b9d57c20dacbc");
    crypto_pbkdf2("Password", 8, "NaCl", 4, 80000, key);
    cr_assert_str_eq(hex(key, 32),
                     "4ddcd8f60b98be21830cee5ef22701f9641a4418d04c0414aeff08876b34ab56");
    memset(password, 'p', sizeof password);
    crypto_pbkdf2(password, sizeof password, password, sizeof password, 3, key);
    cr_assert_str_eq(hex(key, 32),
                     "6dc5fe94783527756c4bff094feb93b8c4b99edbb75aa7f2c01255f02284aa21");
}

Test(crypto, md5_of_rfc_1321)
{
    char text[CRYPTO_MD5_HEX_BYTES];

    crypto_md5_hex("message ", 8, "digest", 6, text);
    cr_assert_str_eq(text, "f96b697d7cb7938d525a2f31aaf161d0");
    crypto_md5_hex(NULL, 0, NULL, 0, text);
    cr_assert_str_eq(text, "d41d8cd98f00b204e9800998ecf8427e");
}

Test(crypto, equal_sees_each_bit)
{
    uint8_t left[32] = {0}, right[32] = {0};

    cr_assert(crypto_equal(left, right, 32));
    cr_assert(crypto_equal(left, right, 0));
    for (size_t bit = 0; bit < 256; bit++) {
        right[bit / 8] = (uint8_t)(1 << bit % 8);
        cr_assert_not(crypto_equal(left, right, 32), "bit %zu", bit);
        right[bit / 8] = 0;
    }
}

Test(crypto, wipe_and_random)
{
    uint8_t bytes[64] = {0}, zero[64] = {0};

    cr_assert_eq(crypto_random(bytes, sizeof bytes), 0);
    cr_assert_neq(memcmp(bytes, zero, sizeof bytes), 0);
    crypto_wipe(bytes, sizeof bytes);
    cr_assert_eq(memcmp(bytes, zero, sizeof bytes), 0);
}
