/* SCRAM: RFC 7677's exchange, PostgreSQL's verifier, and a hostile peer on either side. */
#include <criterion/criterion.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "protocol/base64.h"
#include "protocol/scram.h"

/* RFC 7677 section 3: user "user", password "pencil" */
static const char rfc_salt[] = "W22ZaJ0SNY7soEsUEjb6gQ==";
static const char rfc_client_nonce[] = "rOprNGfwEbeRWgbNEkqO";
static const char rfc_server_nonce[] = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
static const char rfc_proof[] = "dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
static const char rfc_signature[] = "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=";

static const uint8_t raw_client[SCRAM_NONCE_RAW_BYTES] = "client-nonce-bytes";
static const uint8_t raw_server[SCRAM_NONCE_RAW_BYTES] = "server-nonce-bytes";
static const uint8_t binding[32] = {1, 2, 3, 250, 251, 252};

struct pair {
    struct scram_server server;
    struct scram_client client;
    struct scram_verifier verifier;
    struct scram_keys keys;
    char first[SCRAM_MESSAGE_BYTES_MAX], challenge[SCRAM_MESSAGE_BYTES_MAX];
    char final[SCRAM_MESSAGE_BYTES_MAX], verdict[SCRAM_MESSAGE_BYTES_MAX];
    size_t first_bytes, challenge_bytes, final_bytes, verdict_bytes;
};

static void start(struct pair *pair, enum scram_binding mode, bool offered)
{
    const char *mechanism = scram_client_mechanism(mode);

    memset(pair, 0, sizeof *pair);
    cr_assert_eq(scram_verifier_build("pencil", 6, (const uint8_t *)"0123456789abcdef", 16, 16,
                                      &pair->verifier),
                 0);
    cr_assert_eq(scram_server_init(&pair->server, mechanism, strlen(mechanism), &pair->verifier,
                                   binding, offered ? sizeof binding : 0, raw_server),
                 0);
    scram_client_init(&pair->client, mode, binding, sizeof binding, raw_client);
    pair->first_bytes = scram_client_first(&pair->client, pair->first);
}

/* Up to the client-final-message, which it leaves in pair->final. */
static void run(struct pair *pair, const char *password)
{
    cr_assert_eq(scram_server_first(&pair->server, pair->first, pair->first_bytes, pair->challenge,
                                    &pair->challenge_bytes),
                 0);
    cr_assert_eq(scram_client_challenge(&pair->client, pair->challenge, pair->challenge_bytes), 0);
    cr_assert_eq(scram_derive(password, strlen(password), pair->client.salt,
                              pair->client.salt_bytes, pair->client.iterations, &pair->keys),
                 0);
    pair->final_bytes = scram_client_final(&pair->client, &pair->keys, pair->final);
}

static int finish(struct pair *pair)
{
    return scram_server_final(&pair->server, pair->final, pair->final_bytes, pair->verdict,
                              &pair->verdict_bytes);
}

static int server_takes(const char *text, size_t count)
{
    struct pair pair;

    start(&pair, SCRAM_BINDING_NONE, false);
    return scram_server_first(&pair.server, text, count, pair.challenge, &pair.challenge_bytes);
}

static int client_takes(const char *text, size_t count)
{
    struct pair pair;

    start(&pair, SCRAM_BINDING_NONE, false);
    return scram_client_challenge(&pair.client, text, count);
}

/* --- keys and verifiers -------------------------------------------------------------------- */

/* The proof and signature of RFC 7677 over its AuthMessage, from our derived keys. */
Test(scram, rfc_7677_keys_proof_and_signature)
{
    struct scram_keys keys;
    uint8_t salt[32], mac[32], stored[32];
    size_t salt_bytes = 0;
    char text[64] = {0}, auth[512];

    cr_assert_eq(base64_decode(rfc_salt, strlen(rfc_salt), salt, sizeof salt, &salt_bytes), 0);
    cr_assert_eq(scram_derive("pencil", 6, salt, salt_bytes, 4096, &keys), 0);
    int count = snprintf(auth, sizeof auth, "n=user,r=%s,r=%s%s,s=%s,i=4096,c=biws,r=%s%s",
                         rfc_client_nonce, rfc_client_nonce, rfc_server_nonce, rfc_salt,
                         rfc_client_nonce, rfc_server_nonce);
    crypto_sha256(keys.client_key, 32, stored);
    crypto_hmac(stored, 32, auth, (size_t)count, mac);
    for (size_t i = 0; i < 32; i++) {
        mac[i] ^= keys.client_key[i];
    }
    base64_encode(mac, 32, text);
    cr_assert_str_eq(text, rfc_proof);
    crypto_hmac(keys.server_key, 32, auth, (size_t)count, mac);
    base64_encode(mac, 32, text);
    cr_assert_str_eq(text, rfc_signature);
}

/* The server, driven by the RFC's own messages. Its nonce can't be set to the RFC's (ours is
 * base64), so the struct is. */
Test(scram, rfc_7677_server)
{
    struct scram_verifier verifier;
    struct scram_server server;
    uint8_t salt[32];
    size_t salt_bytes = 0, bytes = 0;
    char out[SCRAM_MESSAGE_BYTES_MAX], in[512], expected[512];

    cr_assert_eq(base64_decode(rfc_salt, strlen(rfc_salt), salt, sizeof salt, &salt_bytes), 0);
    cr_assert_eq(scram_verifier_build("pencil", 6, salt, salt_bytes, 4096, &verifier), 0);
    cr_assert_eq(scram_server_init(&server, "SCRAM-SHA-256", 13, &verifier, NULL, 0, raw_server),
                 0);
    int count = snprintf(in, sizeof in, "n,,n=user,r=%s", rfc_client_nonce);
    cr_assert_eq(scram_server_first(&server, in, (size_t)count, out, &bytes), 0);

    /* The AuthMessage begins again with the RFC's server-first-message. */
    server.nonce_bytes = (uint16_t)snprintf(server.nonce, sizeof server.nonce, "%s%s",
                                            rfc_client_nonce, rfc_server_nonce);
    count = snprintf(in, sizeof in, "n=user,r=%s,r=%s,s=%s,i=4096,", rfc_client_nonce, server.nonce,
                     rfc_salt);
    crypto_hmac_init(&server.client_signature, verifier.stored_key, 32);
    crypto_hmac_init(&server.server_signature, verifier.server_key, 32);
    crypto_hmac_add(&server.client_signature, in, (size_t)count);
    crypto_hmac_add(&server.server_signature, in, (size_t)count);

    count = snprintf(in, sizeof in, "c=biws,r=%s,p=%s", server.nonce, rfc_proof);
    cr_assert_eq(scram_server_final(&server, in, (size_t)count, out, &bytes), 0);
    count = snprintf(expected, sizeof expected, "v=%s", rfc_signature);
    cr_assert_eq(bytes, (size_t)count);
    cr_assert_eq(memcmp(out, expected, bytes), 0);
}

/* Made by PostgreSQL 15: SET password_encryption = 'scram-sha-256'; CREATE ROLE ... PASSWORD */
static const char pg_secret[] =
    "SCRAM-SHA-256$4096:Vp3+QXhG1NUh1azEXkADZg=="
    "$ZDrPq6EfBSGaDmlV3eBqxNCdQIv5kUsrVWfbdN4CAfA=:c2H5cckYofmEp11btAWWN7XsAxRKYKAWjlw590JtjxM=";

Test(scram, reads_and_writes_the_secret_of_postgresql)
{
    struct scram_verifier verifier, built;
    char text[SCRAM_SECRET_BYTES_MAX];

    cr_assert_eq(scram_verifier_parse(pg_secret, strlen(pg_secret), &verifier), 0);
    cr_assert_eq(verifier.iterations, 4096);
    cr_assert_eq(verifier.salt_bytes, 16);
    cr_assert_eq(scram_verifier_format(&verifier, text), strlen(pg_secret));
    cr_assert_str_eq(text, pg_secret);
    cr_assert_eq(scram_verifier_build("s3cret pass", 11, verifier.salt, verifier.salt_bytes,
                                      verifier.iterations, &built),
                 0);
    cr_assert_eq(memcmp(&verifier, &built, sizeof verifier), 0);
    cr_assert(scram_verifier_matches(&verifier, built.salt, 16, 4096));
    cr_assert_not(scram_verifier_matches(&verifier, built.salt, 16, 4097));
    cr_assert_not(scram_verifier_matches(&verifier, built.salt, 15, 4096));
    built.salt[15] ^= 1;
    cr_assert_not(scram_verifier_matches(&verifier, built.salt, 16, 4096));
}

Test(scram, refuses_any_cut_or_broken_secret)
{
    struct scram_verifier verifier = {.iterations = 7};
    char text[SCRAM_SECRET_BYTES_MAX];

    for (size_t count = 0; count < strlen(pg_secret); count++) {
        cr_assert_eq(scram_verifier_parse(pg_secret, count, &verifier), ERR_BAD_VALUE);
    }
    snprintf(text, sizeof text, "%sA", pg_secret);
    cr_assert_eq(scram_verifier_parse(text, strlen(text), &verifier), ERR_BAD_VALUE);
    static const char *const wrong[] = {"0", "-1", "", "4096x", "2147483648", "99999999999", "+1"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        snprintf(text, sizeof text, "SCRAM-SHA-256$%s%s", wrong[i], strchr(pg_secret, ':'));
        cr_assert_eq(scram_verifier_parse(text, strlen(text), &verifier), ERR_BAD_VALUE, "%s",
                     wrong[i]);
    }
    cr_assert_eq(verifier.iterations, 7, "a result must be untouched on failure");
    snprintf(text, sizeof text, "SCRAM-SHA-256$1%s", strchr(pg_secret, ':'));
    cr_assert_eq(scram_verifier_parse(text, strlen(text), &verifier), 0);
}

Test(scram, derive_keeps_to_its_bounds)
{
    static const struct {
        uint32_t iterations;
        int error;
    } rows[] = {{0, ERR_LIMIT},      {1, 0},
                {4096, 0},           {100000, 0},
                {100001, ERR_LIMIT}, {UINT32_C(1) << 31, ERR_LIMIT}};
    struct scram_keys keys;
    char *password = malloc(SCRAM_PASSWORD_BYTES_MAX + 1);
    uint8_t salt[LIMIT_SCRAM_SALT_BYTES + 1] = {0};

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        cr_assert_eq(scram_derive("x", 1, salt, 16, rows[i].iterations, &keys), rows[i].error);
    }
    memset(password, 'p', SCRAM_PASSWORD_BYTES_MAX + 1);
    cr_assert_eq(scram_derive(password, SCRAM_PASSWORD_BYTES_MAX, salt, 16, 1, &keys), 0);
    cr_assert_eq(scram_derive(password, SCRAM_PASSWORD_BYTES_MAX + 1, salt, 16, 1, &keys),
                 ERR_LIMIT);
    cr_assert_eq(scram_derive("", 0, salt, LIMIT_SCRAM_SALT_BYTES, 1, &keys), 0);
    cr_assert_eq(scram_derive("", 0, salt, LIMIT_SCRAM_SALT_BYTES + 1, 1, &keys), ERR_LIMIT);
    free(password);
}

/* --- whole exchanges ----------------------------------------------------------------------- */

Test(scram, both_sides_agree_with_and_without_binding)
{
    static const struct {
        enum scram_binding mode;
        bool offered;
    } rows[] = {{SCRAM_BINDING_NONE, false},
                {SCRAM_BINDING_NONE, true},
                {SCRAM_BINDING_UNUSED, false},
                {SCRAM_BINDING_BOUND, true}};

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct pair pair;
        struct scram_keys keys;

        start(&pair, rows[i].mode, rows[i].offered);
        run(&pair, "pencil");
        cr_assert_not(scram_client_done(&pair.client));
        cr_assert_eq(finish(&pair), 0, "row %zu", i);
        cr_assert_eq(scram_client_verify(&pair.client, pair.verdict, pair.verdict_bytes), 0);
        cr_assert(scram_client_done(&pair.client));
        scram_server_keys(&pair.server, &keys);
        cr_assert_eq(memcmp(&keys, &pair.keys, sizeof keys), 0, "the client's key comes back");
        scram_server_fini(&pair.server);
        scram_client_fini(&pair.client);
    }
}

/* What the proxy does: keys out of a client's proof log in at a server with the same verifier. */
Test(scram, recovered_keys_pass_through)
{
    struct pair front, back;

    start(&front, SCRAM_BINDING_NONE, false);
    run(&front, "pencil");
    cr_assert_eq(finish(&front), 0);
    start(&back, SCRAM_BINDING_BOUND, true);
    cr_assert_eq(scram_server_first(&back.server, back.first, back.first_bytes, back.challenge,
                                    &back.challenge_bytes),
                 0);
    cr_assert_eq(scram_client_challenge(&back.client, back.challenge, back.challenge_bytes), 0);
    cr_assert(scram_verifier_matches(&front.verifier, back.client.salt, back.client.salt_bytes,
                                     back.client.iterations));
    scram_server_keys(&front.server, &back.keys);
    back.final_bytes = scram_client_final(&back.client, &back.keys, back.final);
    cr_assert_eq(finish(&back), 0);
    cr_assert_eq(scram_client_verify(&back.client, back.verdict, back.verdict_bytes), 0);
}

Test(scram, wrong_password_is_told_from_a_wrong_message)
{
    struct pair pair;

    start(&pair, SCRAM_BINDING_NONE, false);
    run(&pair, "pencil ");
    cr_assert_eq(finish(&pair), ERR_AUTH_FAILED);
    cr_assert_eq(pair.verdict_bytes, 0);
    cr_assert_eq(finish(&pair), ERR_PROTOCOL, "there is no second try");
}

Test(scram, mock_runs_through_and_fails)
{
    struct pair pair;
    struct scram_verifier mock, again, other;

    scram_verifier_mock((const uint8_t *)"seed", 4, "nobody", 6, &mock);
    scram_verifier_mock((const uint8_t *)"seed", 4, "nobody", 6, &again);
    scram_verifier_mock((const uint8_t *)"seed", 4, "nobodz", 6, &other);
    cr_assert_eq(memcmp(&mock, &again, sizeof mock), 0, "the salt stays the same");
    cr_assert_neq(memcmp(mock.salt, other.salt, 16), 0);
    cr_assert_eq(mock.iterations, 4096);

    start(&pair, SCRAM_BINDING_NONE, false);
    cr_assert_eq(scram_server_init(&pair.server, "SCRAM-SHA-256", 13, &mock, NULL, 0, raw_server),
                 0);
    run(&pair, "pencil");
    cr_assert_eq(finish(&pair), ERR_AUTH_FAILED);

    /* Even with the true keys behind it. */
    start(&pair, SCRAM_BINDING_NONE, false);
    pair.server.verifier.mock = true;
    run(&pair, "pencil");
    cr_assert_eq(finish(&pair), ERR_AUTH_FAILED);
}

/* --- a hostile client ---------------------------------------------------------------------- */

Test(scram, mechanism_must_be_one_that_was_offered)
{
    struct scram_server server;
    struct scram_verifier verifier;

    scram_verifier_mock((const uint8_t *)"s", 1, "u", 1, &verifier);
    static const char *const wrong[] = {"SCRAM-SHA-256-PLUS", "SCRAM-SHA-1",    "",
                                        "SCRAM-SHA-25",       "SCRAM-SHA-256-", "scram-sha-256"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        cr_assert_eq(
            scram_server_init(&server, wrong[i], strlen(wrong[i]), &verifier, NULL, 0, raw_server),
            ERR_PROTOCOL);
    }
    cr_assert_eq(
        scram_server_init(&server, "SCRAM-SHA-256-PLUS", 18, &verifier, binding, 32, raw_server),
        0);
}

Test(scram, client_first_dropped_doubled_reordered)
{
    static const struct {
        const char *text;
        int error;
    } rows[] = {
        {"n,,n=,r=abc", 0},
        {"n,,n=user,r=abc,x=1,Y=2", 0},
        {"y,,n=,r=abc", 0},
        {"", ERR_PROTOCOL},
        {"n", ERR_PROTOCOL},
        {"n,", ERR_PROTOCOL},
        {"n,,", ERR_PROTOCOL},
        {"n,,n=", ERR_PROTOCOL},
        {"n,,n=,", ERR_PROTOCOL},
        {"n,,r=abc", ERR_PROTOCOL},
        {"n,,r=abc,n=", ERR_PROTOCOL},
        {"n,,n=,r=", ERR_PROTOCOL},
        {"n,,n=,r", ERR_PROTOCOL},
        {"n,,n=,r=a b", ERR_PROTOCOL},
        {"n,,n=,r=a\x80", ERR_PROTOCOL},
        {"n,,n=,r=abc,", ERR_PROTOCOL},
        {"n,,n=,n=,r=abc", ERR_PROTOCOL},
        {"n,,n=,r=abc,r=abc", ERR_PROTOCOL},
        {"n,,n=,r=abc,n=", ERR_PROTOCOL},
        {"n,,n=,r=abc,x=1,x=1", ERR_PROTOCOL},
        {"n,,n=,r=abc,m=1", ERR_PROTOCOL},
        {"n,,n=,r=abc,x", ERR_PROTOCOL},
        {"n,,n=,r=abc,1=x", ERR_PROTOCOL},
        {"n,,n=,r=abc,,x=1", ERR_PROTOCOL},
        {"n,,m=ext,n=,r=abc", ERR_UNSUPPORTED},
        {"n,a=bob,n=,r=abc", ERR_UNSUPPORTED},
        {"n,b=bob,n=,r=abc", ERR_PROTOCOL},
        {"x,,n=,r=abc", ERR_PROTOCOL},
        {"n=,,n=,r=abc", ERR_PROTOCOL},
        {"p=tls-server-end-point,,n=,r=abc", ERR_PROTOCOL},
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        cr_assert_eq(server_takes(rows[i].text, strlen(rows[i].text)), rows[i].error, "%s",
                     rows[i].text);
    }
    cr_assert_eq(server_takes("n,,n=\0,r=abc", 12), ERR_PROTOCOL, "a NUL in the text");
    cr_assert_eq(server_takes("n,,n=,r=abc\0", 12), ERR_PROTOCOL);
}

Test(scram, gs2_header_rules_when_plus_is_offered)
{
    static const struct {
        const char *text;
        enum scram_binding selected;
        int error;
    } rows[] = {
        {"p=tls-server-end-point,,n=,r=abc", SCRAM_BINDING_BOUND, 0},
        {"p=tls-server-end-point,,n=,r=abc", SCRAM_BINDING_NONE, ERR_PROTOCOL},
        {"p=tls-unique,,n=,r=abc", SCRAM_BINDING_BOUND, ERR_PROTOCOL},
        {"p=tls-server-end-point", SCRAM_BINDING_BOUND, ERR_PROTOCOL},
        {"p=tls-server-end-point,", SCRAM_BINDING_BOUND, ERR_PROTOCOL},
        {"p=tls-server-end-point,a=x,n=,r=abc", SCRAM_BINDING_BOUND, ERR_UNSUPPORTED},
        {"p,,n=,r=abc", SCRAM_BINDING_BOUND, ERR_PROTOCOL},
        {"n,,n=,r=abc", SCRAM_BINDING_BOUND, ERR_PROTOCOL},
        {"y,,n=,r=abc", SCRAM_BINDING_BOUND, ERR_PROTOCOL},
        {"n,,n=,r=abc", SCRAM_BINDING_NONE, 0},
        {"y,,n=,r=abc", SCRAM_BINDING_NONE, ERR_PROTOCOL}, /* the downgrade */
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct pair pair;
        start(&pair, rows[i].selected, true);
        cr_assert_eq(scram_server_first(&pair.server, rows[i].text, strlen(rows[i].text),
                                        pair.challenge, &pair.challenge_bytes),
                     rows[i].error, "row %zu", i);
    }
}

/* Runs a good exchange up to client-final and hands the server another message in its place;
 * "%N" stands for the nonce, "%P" for the right proof's text. */
static int server_final_takes(enum scram_binding mode, const char *format)
{
    struct pair pair;
    size_t at = 0;
    char text[2048];

    start(&pair, mode, mode == SCRAM_BINDING_BOUND);
    run(&pair, "pencil");
    for (const char *c = format; *c != '\0'; c++) {
        if (c[0] == '%' && c[1] == 'N') {
            memcpy(text + at, pair.server.nonce, pair.server.nonce_bytes);
            at += pair.server.nonce_bytes;
            c++;
        } else if (c[0] == '%' && c[1] == 'P') {
            memcpy(text + at, pair.final + pair.final_bytes - 44, 44);
            at += 44;
            c++;
        } else {
            text[at++] = *c;
        }
    }
    return scram_server_final(&pair.server, text, at, pair.verdict, &pair.verdict_bytes);
}

Test(scram, client_final_dropped_doubled_reordered)
{
    static const struct {
        const char *text;
        int error;
    } rows[] = {
        {"c=biws,r=%N,p=%P", 0},
        {"", ERR_PROTOCOL},
        {"c=biws", ERR_PROTOCOL},
        {"c=biws,r=%N", ERR_PROTOCOL},
        {"c=biws,r=%N,", ERR_PROTOCOL},
        {"c=biws,r=%N,p", ERR_PROTOCOL},
        {"c=biws,r=%N,p=", ERR_PROTOCOL},
        {"c=biws,p=%P", ERR_PROTOCOL},
        {"r=%N,p=%P", ERR_PROTOCOL},
        {"p=%P", ERR_PROTOCOL},
        {"c=,r=%N,p=%P", ERR_PROTOCOL},
        {"c=biws,r=,p=%P", ERR_PROTOCOL},
        {"r=%N,c=biws,p=%P", ERR_PROTOCOL},
        {"c=biws,p=%P,r=%N", ERR_PROTOCOL},
        {"p=%P,c=biws,r=%N", ERR_PROTOCOL},
        {"c=biws,c=biws,r=%N,p=%P", ERR_PROTOCOL},
        {"c=biws,r=%N,r=%N,p=%P", ERR_PROTOCOL},
        {"c=biws,r=%N,p=%P,p=%P", ERR_PROTOCOL},
        {"c=biws,r=%N,p=%P,x=1", ERR_PROTOCOL},
        {"c=biws,r=%N,p=%P,", ERR_PROTOCOL},
        {"c=biws,r=%N,c=biws,p=%P", ERR_PROTOCOL},
        {"c=biws,r=%Nx,p=%P", ERR_PROTOCOL},
        {"c=biws,r=%N,m=1,p=%P", ERR_PROTOCOL},
        {"c=biws,r=%N,p=%P=", ERR_PROTOCOL},
        {"c=biws,r=%N,p=AAAA", ERR_PROTOCOL},
        {"c=eSws,r=%N,p=%P", ERR_PROTOCOL}, /* "y,," where "n,," came first */
        {"c=biwsbiws,r=%N,p=%P", ERR_PROTOCOL},
        {"c=biws,r=%N,x=1,p=%P", ERR_AUTH_FAILED}, /* allowed, but not what was signed */
        {"c=biws,r=%N,p=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", ERR_AUTH_FAILED},
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        cr_assert_eq(server_final_takes(SCRAM_BINDING_NONE, rows[i].text), rows[i].error, "%s",
                     rows[i].text);
    }
    cr_assert_eq(server_final_takes(SCRAM_BINDING_BOUND, "c=biws,r=%N,p=%P"), ERR_AUTH_REJECTED);
}

Test(scram, another_certificate_breaks_the_binding)
{
    struct pair pair;

    start(&pair, SCRAM_BINDING_BOUND, true);
    pair.client.binding[5] ^= 1;
    run(&pair, "pencil");
    cr_assert_eq(finish(&pair), ERR_AUTH_REJECTED);
}

Test(scram, messages_out_of_order)
{
    struct pair pair;

    start(&pair, SCRAM_BINDING_NONE, false);
    run(&pair, "pencil");
    cr_assert_eq(scram_server_first(&pair.server, pair.first, pair.first_bytes, pair.challenge,
                                    &pair.challenge_bytes),
                 ERR_PROTOCOL, "a second client-first");
    cr_assert_eq(finish(&pair), ERR_PROTOCOL);
    start(&pair, SCRAM_BINDING_NONE, false);
    cr_assert_eq(
        scram_server_final(&pair.server, "c=biws,r=a,p=b", 14, pair.verdict, &pair.verdict_bytes),
        ERR_PROTOCOL, "a client-final first");
    start(&pair, SCRAM_BINDING_NONE, false);
    cr_assert_eq(scram_client_verify(&pair.client, "v=AAAA", 6), ERR_SERVER_PROTOCOL);
    cr_assert_not(scram_client_done(&pair.client));
}

/* --- a hostile server ---------------------------------------------------------------------- */

/* "%N" in a server-first-message stands for our client's nonce. */
static int challenge(const char *format, uint32_t *ret_iterations)
{
    struct pair pair;
    char text[4096];
    size_t at = 0;

    start(&pair, SCRAM_BINDING_NONE, false);
    for (const char *c = format; *c != '\0'; c++) {
        if (c[0] == '%' && c[1] == 'N') {
            memcpy(text + at, pair.client.nonce_own, SCRAM_NONCE_TEXT_BYTES);
            at += SCRAM_NONCE_TEXT_BYTES;
            c++;
        } else {
            text[at++] = *c;
        }
    }
    int error = scram_client_challenge(&pair.client, text, at);
    *ret_iterations = pair.client.iterations;
    return error;
}

Test(scram, server_first_dropped_doubled_reordered)
{
    static const struct {
        const char *text;
        int error;
    } rows[] = {
        {"r=%Nx,s=QUFB,i=4096", 0},
        {"r=%Nx,s=QUFB,i=4096,x=1", 0},
        {"", ERR_SERVER_PROTOCOL},
        {"s=QUFB,i=4096", ERR_SERVER_PROTOCOL},
        {"r=%Nx,i=4096", ERR_SERVER_PROTOCOL},
        {"r=%Nx,s=QUFB", ERR_SERVER_PROTOCOL},
        {"r=%Nx,s=QUFB,", ERR_SERVER_PROTOCOL},
        {"s=QUFB,r=%Nx,i=4096", ERR_SERVER_PROTOCOL},
        {"r=%Nx,i=4096,s=QUFB", ERR_SERVER_PROTOCOL},
        {"r=%Nx,r=%Nx,s=QUFB,i=4096", ERR_SERVER_PROTOCOL},
        {"r=%Nx,s=QUFB,s=QUFB,i=4096", ERR_SERVER_PROTOCOL},
        {"r=%Nx,s=QUFB,i=4096,i=4096", ERR_SERVER_PROTOCOL},
        {"r=%Nx,s=QUFB,i=4096,r=x", ERR_SERVER_PROTOCOL},
        {"m=x,r=%Nx,s=QUFB,i=4096", ERR_SERVER_PROTOCOL},
        {"r=%Nx,s=QUFB,i=4096,m=x", ERR_SERVER_PROTOCOL},
        {"r=%N,s=QUFB,i=4096", ERR_SERVER_PROTOCOL}, /* nothing of the server's in it */
        {"r=x%N,s=QUFB,i=4096", ERR_SERVER_PROTOCOL},
        {"r=,s=QUFB,i=4096", ERR_SERVER_PROTOCOL},
        {"r=%N\x01,s=QUFB,i=4096", ERR_SERVER_PROTOCOL},
        {"r=%Nx,s=,i=4096", ERR_SERVER_PROTOCOL},
        {"r=%Nx,s=QUF,i=4096", ERR_SERVER_PROTOCOL},
        {"r=%Nx,s=QUFB,i=", ERR_SERVER_PROTOCOL},
        {"r=%Nx,s=QUFB,i=x", ERR_SERVER_PROTOCOL},
        {"r=%Nx,s=QUFB,i=-1", ERR_SERVER_PROTOCOL},
        {"r=%Nx,s=QUFB,i= 1", ERR_SERVER_PROTOCOL},
        {"e=other-error", ERR_SERVER_PROTOCOL},
    };
    uint32_t iterations;

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        cr_assert_eq(challenge(rows[i].text, &iterations), rows[i].error, "%s", rows[i].text);
    }
}

Test(scram, iterations_are_capped)
{
    static const struct {
        const char *text;
        int error;
    } rows[] = {
        {"0", ERR_SERVER_PROTOCOL},
        {"1", 0},
        {"4096", 0},
        {"100000", 0},
        {"100001", ERR_LIMIT},
        {"2147483648", ERR_LIMIT},
        {"4294967295", ERR_LIMIT},
        {"4294967296", ERR_SERVER_PROTOCOL},
        {"4294971392", ERR_SERVER_PROTOCOL},
        {"99999999999999999999", ERR_SERVER_PROTOCOL},
    };
    char text[128];
    uint32_t iterations;

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        snprintf(text, sizeof text, "r=%%Nx,s=QUFB,i=%s", rows[i].text);
        cr_assert_eq(challenge(text, &iterations), rows[i].error, "%s", rows[i].text);
        cr_assert(rows[i].error != 0 || iterations == strtoul(rows[i].text, NULL, 10));
    }
}

Test(scram, sizes_from_nothing_to_a_megabyte)
{
    static const size_t sizes[] = {0,   1,   24,  25,  231, 232,  255,  256,  257,   280,
                                   281, 343, 344, 345, 348, 1000, 1024, 4096, 65535, 1 << 20};
    char *text = malloc((1 << 20) + 100);
    struct pair pair;

    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        size_t at = 8;
        memcpy(text, "n,,n=,r=", at);
        memset(text + at, 'x', sizes[i]);
        int error = server_takes(text, at + sizes[i]);
        cr_assert_eq(error, sizes[i] >= 1 && sizes[i] <= 256 ? 0 : ERR_PROTOCOL, "%zu", sizes[i]);

        /* A long user name is harmless: it is only digested. */
        memcpy(text, "n,,n=", 5);
        memset(text + 5, 'u', sizes[i]);
        memcpy(text + 5 + sizes[i], ",r=abc", 6);
        cr_assert_eq(server_takes(text, 11 + sizes[i]), 0);

        /* The server's part of a nonce */
        start(&pair, SCRAM_BINDING_NONE, false);
        memcpy(text, "r=", 2);
        memcpy(text + 2, pair.client.nonce_own, SCRAM_NONCE_TEXT_BYTES);
        memset(text + 26, 'x', sizes[i]);
        memcpy(text + 26 + sizes[i], ",s=QUFB,i=1", 11);
        error = scram_client_challenge(&pair.client, text, 37 + sizes[i]);
        cr_assert_eq(error, sizes[i] >= 1 && sizes[i] <= 256 ? 0 : ERR_SERVER_PROTOCOL, "%zu",
                     sizes[i]);

        /* A salt: 344 characters hold 256 bytes with padding, 258 without */
        start(&pair, SCRAM_BINDING_NONE, false);
        memcpy(text, "r=", 2);
        memcpy(text + 2, pair.client.nonce_own, SCRAM_NONCE_TEXT_BYTES);
        memcpy(text + 26, "x,s=", 4);
        memset(text + 30, 'A', sizes[i]);
        memcpy(text + 30 + sizes[i], ",i=1", 4);
        error = scram_client_challenge(&pair.client, text, 34 + sizes[i]);
        cr_assert_eq(error,
                     sizes[i] == 24 || sizes[i] == 232 || sizes[i] == 256 || sizes[i] == 280
                         ? 0
                         : ERR_SERVER_PROTOCOL,
                     "salt of %zu", sizes[i]);
    }
    memset(text, 'z', 1 << 20);
    cr_assert_eq(server_takes(text, 1 << 20), ERR_PROTOCOL);
    cr_assert_eq(client_takes(text, 1 << 20), ERR_SERVER_PROTOCOL);
    cr_assert_eq(server_takes(NULL, 0), ERR_PROTOCOL);
    cr_assert_eq(client_takes(NULL, 0), ERR_SERVER_PROTOCOL);
    free(text);
}

/* Everything at its bound at once still fits, on both sides. */
Test(scram, the_largest_exchange_succeeds)
{
    struct pair pair;
    uint8_t salt[LIMIT_SCRAM_SALT_BYTES], wide[SCRAM_BINDING_BYTES_MAX];
    char in[512];

    memset(salt, 0xfe, sizeof salt);
    memset(wide, 0xab, sizeof wide);
    start(&pair, SCRAM_BINDING_NONE, false);
    cr_assert_eq(scram_verifier_build("p", 1, salt, sizeof salt, 100000, &pair.verifier), 0);
    char text[SCRAM_SECRET_BYTES_MAX];
    struct scram_verifier read;
    cr_assert_lt(scram_verifier_format(&pair.verifier, text), sizeof text);
    cr_assert_eq(scram_verifier_parse(text, strlen(text), &read), 0);
    cr_assert_eq(memcmp(&read, &pair.verifier, sizeof read), 0);
    cr_assert_eq(scram_server_init(&pair.server, scram_mechanism_plus, 18, &pair.verifier, wide,
                                   sizeof wide, raw_server),
                 0);
    int count = snprintf(in, sizeof in, "p=tls-server-end-point,,n=,r=%0256d", 7);
    cr_assert_eq(
        scram_server_first(&pair.server, in, (size_t)count, pair.challenge, &pair.challenge_bytes),
        0);
    cr_assert_eq(pair.challenge_bytes, 2 + 256 + 24 + 3 + 344 + 3 + 6);
}

Test(scram, server_final_is_verified)
{
    static const char *const wrong[] = {"", "v=", "v=AAAA", "x=1", "e=", "v", "p=abc"};
    struct pair pair;
    char text[128];

    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        start(&pair, SCRAM_BINDING_NONE, false);
        run(&pair, "pencil");
        int error = scram_client_verify(&pair.client, wrong[i], strlen(wrong[i]));
        cr_assert_eq(error, wrong[i][0] == 'e' ? ERR_SERVER_LOGIN : ERR_SERVER_PROTOCOL);
        cr_assert_not(scram_client_done(&pair.client));
    }
    start(&pair, SCRAM_BINDING_NONE, false);
    run(&pair, "pencil");
    cr_assert_eq(scram_client_verify(&pair.client, "e=invalid-proof", 15), ERR_SERVER_LOGIN);

    start(&pair, SCRAM_BINDING_NONE, false);
    run(&pair, "pencil");
    cr_assert_eq(finish(&pair), 0);
    memcpy(text, pair.verdict, pair.verdict_bytes);
    text[10] = text[10] == 'A' ? 'B' : 'A';
    cr_assert_eq(scram_client_verify(&pair.client, text, pair.verdict_bytes), ERR_SERVER_LOGIN);
    cr_assert_eq(scram_client_verify(&pair.client, pair.verdict, pair.verdict_bytes),
                 ERR_SERVER_PROTOCOL, "there is no second try");
}

Test(scram, mechanism_choice)
{
    static const char both[] = "SCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0";
    static const char plain[] = "SCRAM-SHA-256\0";
    static const char other[] = "OAUTHBEARER\0";
    enum scram_binding mode = SCRAM_BINDING_NONE;

    cr_assert_eq(scram_client_choose(both, sizeof both, true, false, &mode), 0);
    cr_assert_eq(mode, SCRAM_BINDING_BOUND);
    cr_assert_eq(scram_client_choose(both, sizeof both, false, false, &mode), 0);
    cr_assert_eq(mode, SCRAM_BINDING_NONE);
    cr_assert_eq(scram_client_choose(plain, sizeof plain, true, false, &mode), 0);
    cr_assert_eq(mode, SCRAM_BINDING_UNUSED);
    cr_assert_eq(scram_client_choose(plain, sizeof plain, true, true, &mode), ERR_AUTH_METHOD);
    cr_assert_eq(scram_client_choose(both, sizeof both, false, true, &mode), ERR_AUTH_METHOD);
    cr_assert_eq(scram_client_choose(other, sizeof other, true, false, &mode), ERR_AUTH_METHOD);
    cr_assert_eq(scram_client_choose("", 0, true, false, &mode), ERR_AUTH_METHOD);
    cr_assert_eq(scram_client_choose("SCRAM-SHA-256", 13, true, false, &mode), ERR_SERVER_PROTOCOL);
}
