/* Everything that needs OpenSSL: the primitives of protocol/crypto.h, TLS of protocol/tls.h. */
#define OPENSSL_SUPPRESS_DEPRECATED

#include <arpa/inet.h>
#include <endian.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/md5.h>
#include <openssl/rand.h>
#include <openssl/sha.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "base/assert.h"
#include "base/error.h"
#include "protocol/crypto.h"
#include "protocol/tls.h"

/* --- primitives ----------------------------------------------------------------------------
 *
 * The digests use OpenSSL's low-level functions: they cannot fail, allocate nothing and can be
 * copied as memory, where EVP fetches and allocates for each of the two digests of each of 4,096
 * iterations (measured: 1.5 ms instead of 0.4). */

_Static_assert(sizeof(struct crypto_sha256) >= sizeof(SHA256_CTX), "crypto_sha256 is too small");
_Static_assert(_Alignof(struct crypto_sha256) >= _Alignof(SHA256_CTX), "it is misaligned");

static SHA256_CTX *sha_context(struct crypto_sha256 *sha)
{
    return (SHA256_CTX *)(void *)sha->opaque;
}

int crypto_random(void *bytes, size_t count)
{
    ASSERT(count <= 65536);
    return RAND_bytes(bytes, (int)count) == 1 ? 0 : ERR_INTERNAL;
}

void crypto_sha256_init(struct crypto_sha256 *sha)
{
    SHA256_Init(sha_context(sha));
}

void crypto_sha256_add(struct crypto_sha256 *sha, const void *bytes, size_t count)
{
    if (count > 0) {
        SHA256_Update(sha_context(sha), bytes, count);
    }
}

void crypto_sha256_done(struct crypto_sha256 *sha, uint8_t ret_digest[CRYPTO_SHA256_BYTES])
{
    SHA256_Final(ret_digest, sha_context(sha));
    crypto_wipe(sha, sizeof *sha);
}

void crypto_sha256(const void *bytes, size_t count, uint8_t ret_digest[CRYPTO_SHA256_BYTES])
{
    struct crypto_sha256 sha;

    crypto_sha256_init(&sha);
    crypto_sha256_add(&sha, bytes, count);
    crypto_sha256_done(&sha, ret_digest);
}

void crypto_hmac_init(struct crypto_hmac *hmac, const void *key, size_t key_count)
{
    uint8_t block[SHA256_CBLOCK] = {0};

    if (key_count > sizeof block) {
        crypto_sha256(key, key_count, block);
    } else if (key_count > 0) {
        memcpy(block, key, key_count);
    }
    for (size_t i = 0; i < sizeof block; i++) {
        block[i] ^= 0x36;
    }
    crypto_sha256_init(&hmac->inner);
    crypto_sha256_add(&hmac->inner, block, sizeof block);
    for (size_t i = 0; i < sizeof block; i++) {
        block[i] ^= 0x36 ^ 0x5c;
    }
    crypto_sha256_init(&hmac->outer);
    crypto_sha256_add(&hmac->outer, block, sizeof block);
    crypto_wipe(block, sizeof block);
}

void crypto_hmac_add(struct crypto_hmac *hmac, const void *bytes, size_t count)
{
    crypto_sha256_add(&hmac->inner, bytes, count);
}

void crypto_hmac_done(struct crypto_hmac *hmac, uint8_t ret_mac[CRYPTO_SHA256_BYTES])
{
    uint8_t digest[CRYPTO_SHA256_BYTES];

    crypto_sha256_done(&hmac->inner, digest);
    crypto_sha256_add(&hmac->outer, digest, sizeof digest);
    crypto_sha256_done(&hmac->outer, ret_mac);
    crypto_wipe(digest, sizeof digest);
}

void crypto_hmac(const void *key, size_t key_count, const void *bytes, size_t count,
                 uint8_t ret_mac[CRYPTO_SHA256_BYTES])
{
    struct crypto_hmac hmac;

    crypto_hmac_init(&hmac, key, key_count);
    crypto_hmac_add(&hmac, bytes, count);
    crypto_hmac_done(&hmac, ret_mac);
}

/* Digests the 32 bytes at the front of `block`, which come after one whole block that `start` has
 * seen, back into the same place. The rest of `block` is the padding that goes with that. */
static void rehash(const SHA256_CTX *start, uint32_t block[SHA256_CBLOCK / 4])
{
    SHA256_CTX sha = *start;

    SHA256_Transform(&sha, (const uint8_t *)block);
    for (size_t i = 0; i < 8; i++) {
        block[i] = htobe32(sha.h[i]);
    }
}

void crypto_pbkdf2(const void *password, size_t password_count, const void *salt, size_t salt_count,
                   uint32_t iterations, uint8_t ret_key[CRYPTO_SHA256_BYTES])
{
    static const uint8_t first_block[4] = {0, 0, 0, 1};
    struct crypto_hmac keyed, hmac;
    uint32_t block[SHA256_CBLOCK / 4] = {0};
    uint32_t key[8];

    ASSERT(iterations >= 1);
    crypto_hmac_init(&keyed, password, password_count);
    hmac = keyed;
    crypto_hmac_add(&hmac, salt, salt_count);
    crypto_hmac_add(&hmac, first_block, sizeof first_block);
    crypto_hmac_done(&hmac, (uint8_t *)block);
    memcpy(key, block, sizeof key);

    /* The padding of FIPS 180-4 5.1.1 for a message of 64 + 32 bytes. */
    block[8] = htobe32(0x80000000);
    block[15] = htobe32((SHA256_CBLOCK + CRYPTO_SHA256_BYTES) * 8);
    for (uint32_t i = 1; i < iterations; i++) {
        rehash(sha_context(&keyed.inner), block);
        rehash(sha_context(&keyed.outer), block);
        for (size_t word = 0; word < 8; word++) {
            key[word] ^= block[word];
        }
    }
    memcpy(ret_key, key, sizeof key);
    crypto_wipe(&keyed, sizeof keyed);
    crypto_wipe(block, sizeof block);
    crypto_wipe(key, sizeof key);
}

void crypto_md5_hex(const void *first, size_t first_count, const void *second, size_t second_count,
                    char ret_hex[CRYPTO_MD5_HEX_BYTES])
{
    static const char digits[] = "0123456789abcdef";
    uint8_t digest[MD5_DIGEST_LENGTH];
    MD5_CTX md5;

    MD5_Init(&md5);
    if (first_count > 0) {
        MD5_Update(&md5, first, first_count);
    }
    if (second_count > 0) {
        MD5_Update(&md5, second, second_count);
    }
    MD5_Final(digest, &md5);
    for (size_t i = 0; i < sizeof digest; i++) {
        ret_hex[2 * i] = digits[digest[i] >> 4];
        ret_hex[2 * i + 1] = digits[digest[i] & 15];
    }
    ret_hex[2 * sizeof digest] = '\0';
    crypto_wipe(&md5, sizeof md5);
    crypto_wipe(digest, sizeof digest);
}

bool crypto_equal(const void *left, const void *right, size_t count)
{
    return CRYPTO_memcmp(left, right, count) == 0;
}

void crypto_wipe(void *bytes, size_t count)
{
    OPENSSL_cleanse(bytes, count);
}

/* --- TLS: contexts ------------------------------------------------------------------------- */

struct tls_context {
    atomic_uint references;
    bool server;
    enum tls_peer peer;
    SSL_CTX *ssl;
    BIO_METHOD *method; /* one for each context, so that nothing is global */
    size_t binding_bytes;
    uint8_t binding[TLS_BINDING_BYTES_MAX];
};

struct tls {
    struct tls_context *context;
    SSL *ssl;
    BIO *bio;                    /* the SSL's */
    struct tls_input *input;     /* set during a call */
    const struct tls_sink *sink; /* set during a call */
    unsigned long error;         /* OpenSSL's code of the failure */
    uint32_t key_updates;        /* since the last plaintext */
    bool sink_failed, failed, closing;
};

/* A KeyUpdate costs the peer little and us a key schedule and a reply. Nobody needs two without a
 * byte between them. */
#define KEY_UPDATES_MAX 8

static const unsigned char alpn_list[] = "\x0apostgresql";

#define ALPN_LIST_BYTES ((unsigned)sizeof alpn_list - 1)

static int config_error(char text[TLS_ERROR_BYTES], const char *what, const char *path)
{
    unsigned long code = ERR_peek_error();
    const char *reason = code != 0 ? ERR_reason_error_string(code) : NULL;

    if (code != 0 && ERR_SYSTEM_ERROR(code)) {
        reason = strerror(ERR_GET_REASON(code));
    }
    snprintf(text, TLS_ERROR_BYTES, "could not load %s \"%s\": %s", what, path,
             reason != NULL ? reason : "unknown reason");
    ERR_clear_error();
    return ERR_CONFIG;
}

/* A key with a passphrase is refused; OpenSSL would ask for it on the terminal. */
static int no_passphrase(char *buffer, int size, int writing, void *arg)
{
    (void)buffer, (void)size, (void)writing, (void)arg;
    return -1;
}

static int check_key_file(const char *path, char error_text[TLS_ERROR_BYTES])
{
    struct stat status;

    if (stat(path, &status) != 0) {
        snprintf(error_text, TLS_ERROR_BYTES, "could not access private key file \"%s\": %m", path);
        return ERR_CONFIG;
    }
    if (!S_ISREG(status.st_mode)) {
        snprintf(error_text, TLS_ERROR_BYTES, "private key file \"%s\" is not a regular file",
                 path);
        return ERR_CONFIG;
    }
    mode_t forbidden = status.st_uid == 0 ? S_IWGRP | S_IXGRP | S_IRWXO : S_IRWXG | S_IRWXO;
    if ((status.st_mode & forbidden) != 0) {
        snprintf(error_text, TLS_ERROR_BYTES,
                 "private key file \"%s\" has group or world access; it must have permissions "
                 "u=rw (0600) or less, or, if owned by root, u=rw,g=r (0640) or less",
                 path);
        return ERR_CONFIG;
    }
    return 0;
}

static int load_identity(SSL_CTX *ssl, const struct tls_options *options,
                         char error_text[TLS_ERROR_BYTES])
{
    if (options->cert == NULL || options->key == NULL) {
        snprintf(error_text, TLS_ERROR_BYTES,
                 "a certificate needs a private key, and a key a "
                 "certificate");
        return ERR_CONFIG;
    }
    int error = check_key_file(options->key, error_text);
    if (error != 0) {
        return error;
    }
    if (SSL_CTX_use_certificate_chain_file(ssl, options->cert) != 1) {
        return config_error(error_text, "certificate file", options->cert);
    }
    /* This also checks that the two belong together. */
    if (SSL_CTX_use_PrivateKey_file(ssl, options->key, SSL_FILETYPE_PEM) != 1) {
        return config_error(error_text, "private key file", options->key);
    }
    return 0;
}

static int load_authorities(SSL_CTX *ssl, bool server, const struct tls_options *options,
                            char error_text[TLS_ERROR_BYTES])
{
    if (!server && strcmp(options->ca, "system") == 0) {
        return SSL_CTX_set_default_verify_paths(ssl) == 1
                   ? 0
                   : config_error(error_text, "the authorities of the", "system");
    }
    if (SSL_CTX_load_verify_file(ssl, options->ca) != 1) {
        return config_error(error_text, "root certificate file", options->ca);
    }
    if (server) {
        STACK_OF(X509_NAME) *names = SSL_load_client_CA_file(options->ca);
        if (names == NULL) {
            return config_error(error_text, "root certificate file", options->ca);
        }
        SSL_CTX_set_client_CA_list(ssl, names);
    }
    return 0;
}

static int load_files(SSL_CTX *ssl, bool server, const struct tls_options *options,
                      char error_text[TLS_ERROR_BYTES])
{
    int error = 0;

    if (server || options->cert != NULL || options->key != NULL) {
        error = load_identity(ssl, options, error_text);
    }
    if (error == 0 && options->ca != NULL) {
        error = load_authorities(ssl, server, options, error_text);
    }
    if (error == 0 && options->ca == NULL && options->peer != TLS_PEER_ANY) {
        snprintf(error_text, TLS_ERROR_BYTES,
                 "certificates can't be verified without a root certificate file");
        error = ERR_CONFIG;
    }
    if (error == 0 && options->crl != NULL) {
        X509_STORE *store = SSL_CTX_get_cert_store(ssl);
        if (X509_STORE_load_file(store, options->crl) != 1) {
            return config_error(error_text, "certificate revocation list", options->crl);
        }
        X509_STORE_set_flags(store, X509_V_FLAG_CRL_CHECK | X509_V_FLAG_CRL_CHECK_ALL);
    }
    return error;
}

/* A client that names protocols and not ours is turned away (be-secure-openssl.c, alpn_cb). */
static int select_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_bytes,
                       const unsigned char *in, unsigned in_bytes, void *arg)
{
    (void)ssl, (void)arg;
    for (unsigned at = 0; at < in_bytes && in[at] < in_bytes - at; at += in[at] + 1u) {
        if (in[at] == alpn_list[0] && memcmp(in + at, alpn_list, ALPN_LIST_BYTES) == 0) {
            *out = in + at + 1;
            *out_bytes = in[at];
            return SSL_TLSEXT_ERR_OK;
        }
    }
    return SSL_TLSEXT_ERR_ALERT_FATAL;
}

static void watch_messages(int writing, int version, int type, const void *bytes, size_t count,
                           SSL *ssl, void *arg)
{
    struct tls *tls = BIO_get_data(SSL_get_rbio(ssl));

    (void)version, (void)arg;
    if (!writing && type == SSL3_RT_HANDSHAKE && count > 0 &&
        *(const uint8_t *)bytes == SSL3_MT_KEY_UPDATE) {
        tls->key_updates++;
    }
}

static bool set_policy(SSL_CTX *ssl, bool server, const struct tls_options *options)
{
    static const char session_context[] = "postgresql";
    int version = options->min_version == TLS_VERSION_1_3 ? TLS1_3_VERSION : TLS1_2_VERSION;
    int verify = SSL_VERIFY_NONE;

    if (options->ca != NULL) {
        verify = SSL_VERIFY_PEER;
    }
    if (server && options->peer != TLS_PEER_ANY) {
        verify |= SSL_VERIFY_FAIL_IF_NO_PEER_CERT;
    }
    /* libpq's sslmode=require doesn't look at the certificate. */
    if (!server && options->peer == TLS_PEER_ANY) {
        verify = SSL_VERIFY_NONE;
    }
    SSL_CTX_set_verify(ssl, verify, NULL);
    SSL_CTX_set_options(ssl, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_NO_TICKET |
                                 SSL_OP_CIPHER_SERVER_PREFERENCE);
    SSL_CTX_set_mode(ssl, SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_session_cache_mode(ssl, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_msg_callback(ssl, watch_messages);
    if (server) {
        SSL_CTX_set_alpn_select_cb(ssl, select_alpn, NULL);
    } else if (SSL_CTX_set_alpn_protos(ssl, alpn_list, ALPN_LIST_BYTES) != 0) {
        return false;
    }
    return SSL_CTX_set_min_proto_version(ssl, version) == 1 &&
           SSL_CTX_set_cipher_list(ssl, "HIGH:!aNULL:!PSK:!SRP") == 1 &&
           SSL_CTX_set_num_tickets(ssl, 0) == 1 &&
           SSL_CTX_set_max_send_fragment(ssl, TLS_RECORD_BYTES_MAX) == 1 &&
           SSL_CTX_set_session_id_context(ssl, (const uint8_t *)session_context,
                                          sizeof session_context - 1) == 1;
}

/* RFC 5929 section 4.1: the digest of the signature's algorithm, SHA-256 for MD5 and SHA-1 */
static size_t certificate_binding(X509 *certificate, uint8_t ret_digest[TLS_BINDING_BYTES_MAX])
{
    int digest_id = NID_undef;
    unsigned count = 0;

    _Static_assert(TLS_BINDING_BYTES_MAX >= EVP_MAX_MD_SIZE, "a digest may not fit");
    if (certificate == NULL ||
        X509_get_signature_info(certificate, &digest_id, NULL, NULL, NULL) != 1 ||
        digest_id == NID_undef) {
        ERR_clear_error();
        return 0;
    }
    const EVP_MD *digest = digest_id == NID_md5 || digest_id == NID_sha1
                               ? EVP_sha256()
                               : EVP_get_digestbynid(digest_id);
    if (digest == NULL || X509_digest(certificate, digest, ret_digest, &count) != 1) {
        ERR_clear_error();
        return 0;
    }
    return count;
}

static int bio_read(BIO *bio, char *out, size_t count, size_t *ret_bytes)
{
    struct tls *tls = BIO_get_data(bio);
    struct tls_input *input = tls->input;

    BIO_clear_retry_flags(bio);
    if (tls->key_updates > KEY_UPDATES_MAX) {
        return 0;
    }
    if (input == NULL || input->used == input->count) {
        BIO_set_retry_read(bio);
        return 0;
    }
    size_t left = input->count - input->used;
    size_t take = count < left ? count : left;
    memcpy(out, input->bytes + input->used, take);
    input->used += take;
    *ret_bytes = take;
    return 1;
}

static int bio_write(BIO *bio, const char *in, size_t count, size_t *ret_bytes)
{
    struct tls *tls = BIO_get_data(bio);

    BIO_clear_retry_flags(bio);
    if (tls->sink_failed || tls->sink == NULL ||
        tls->sink->write(tls->sink->arg, (const uint8_t *)in, count) != 0) {
        tls->sink_failed = true;
        return 0;
    }
    *ret_bytes = count;
    return 1;
}

static long bio_ctrl(BIO *bio, int command, long number, void *pointer)
{
    (void)bio, (void)number, (void)pointer;
    return command == BIO_CTRL_FLUSH ? 1 : 0;
}

static BIO_METHOD *method_new(void)
{
    BIO_METHOD *method = BIO_meth_new(BIO_TYPE_SOURCE_SINK, "howdah");

    if (method != NULL && (BIO_meth_set_read_ex(method, bio_read) != 1 ||
                           BIO_meth_set_write_ex(method, bio_write) != 1 ||
                           BIO_meth_set_ctrl(method, bio_ctrl) != 1)) {
        BIO_meth_free(method);
        method = NULL;
    }
    return method;
}

int tls_context_new(bool server, const struct tls_options *options,
                    struct tls_context **ret_context, char error_text[TLS_ERROR_BYTES])
{
    ERR_clear_error();
    struct tls_context *context = OPENSSL_zalloc(sizeof *context);
    if (context == NULL) {
        snprintf(error_text, TLS_ERROR_BYTES, "%s", error_message(ERR_NO_MEMORY));
        return ERR_NO_MEMORY;
    }
    atomic_init(&context->references, 1);
    context->server = server;
    context->peer = options->peer;
    context->ssl = SSL_CTX_new(server ? TLS_server_method() : TLS_client_method());
    context->method = method_new();
    int error = ERR_NO_MEMORY;
    if (context->ssl != NULL && context->method != NULL) {
        SSL_CTX_set_default_passwd_cb(context->ssl, no_passphrase);
        error = set_policy(context->ssl, server, options) ? 0 : ERR_INTERNAL;
    }
    if (error != 0) {
        snprintf(error_text, TLS_ERROR_BYTES, "%s", error_message(error));
    } else {
        error = load_files(context->ssl, server, options, error_text);
    }
    if (error != 0) {
        tls_context_unref(context);
        return error;
    }
    if (server) {
        context->binding_bytes =
            certificate_binding(SSL_CTX_get0_certificate(context->ssl), context->binding);
    }
    *ret_context = context;
    return 0;
}

struct tls_context *tls_context_ref(struct tls_context *context)
{
    unsigned before = atomic_fetch_add_explicit(&context->references, 1, memory_order_relaxed);
    ASSERT(before > 0);
    return context;
}

void tls_context_unref(struct tls_context *context)
{
    if (context == NULL) {
        return;
    }
    unsigned before = atomic_fetch_sub_explicit(&context->references, 1, memory_order_acq_rel);
    ASSERT(before > 0);
    if (before == 1) {
        SSL_CTX_free(context->ssl);
        BIO_meth_free(context->method);
        OPENSSL_free(context);
    }
}

size_t tls_context_binding(const struct tls_context *context,
                           uint8_t ret_digest[TLS_BINDING_BYTES_MAX])
{
    memcpy(ret_digest, context->binding, context->binding_bytes);
    return context->binding_bytes;
}

/* --- TLS: connections ---------------------------------------------------------------------- */

static bool expect_host(const struct tls *tls, const char *host)
{
    uint8_t address[16];
    bool by_address =
        inet_pton(AF_INET, host, address) == 1 || inet_pton(AF_INET6, host, address) == 1;

    if (!by_address && SSL_set_tlsext_host_name(tls->ssl, host) != 1) {
        return false;
    }
    if (tls->context->peer != TLS_PEER_NAME) {
        return true;
    }
    X509_VERIFY_PARAM *param = SSL_get0_param(tls->ssl);
    X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    return by_address ? X509_VERIFY_PARAM_set1_ip_asc(param, host) == 1
                      : X509_VERIFY_PARAM_set1_host(param, host, 0) == 1;
}

int tls_new(struct tls_context *context, const char *host, struct tls **ret_tls)
{
    if (!context->server && context->peer == TLS_PEER_NAME && (host == NULL || *host == '\0')) {
        return ERR_CONFIG;
    }
    ERR_clear_error();
    struct tls *tls = OPENSSL_zalloc(sizeof *tls);
    if (tls == NULL) {
        return ERR_NO_MEMORY;
    }
    tls->context = tls_context_ref(context);
    tls->ssl = SSL_new(context->ssl);
    tls->bio = BIO_new(context->method);
    if (tls->ssl == NULL || tls->bio == NULL) {
        BIO_free(tls->bio);
        goto failed;
    }
    BIO_set_data(tls->bio, tls);
    BIO_set_init(tls->bio, 1);
    SSL_set_bio(tls->ssl, tls->bio, tls->bio);
    if (context->server) {
        SSL_set_accept_state(tls->ssl);
    } else {
        SSL_set_connect_state(tls->ssl);
        if (host != NULL && *host != '\0' && !expect_host(tls, host)) {
            goto failed;
        }
    }
    *ret_tls = tls;
    return 0;

failed:
    ERR_clear_error();
    tls_free(tls);
    return ERR_NO_MEMORY;
}

void tls_free(struct tls *tls)
{
    if (tls == NULL) {
        return;
    }
    SSL_free(tls->ssl);
    tls_context_unref(tls->context);
    OPENSSL_free(tls);
}

static void begin(struct tls *tls, struct tls_input *input, const struct tls_sink *sink)
{
    ASSERT(input == NULL || input->used <= input->count);
    ERR_clear_error();
    tls->input = input;
    tls->sink = sink;
}

/* What a call has come to; the blocks that were lent for it are forgotten. 0 also when it waits for
 * input. OpenSSL's queue of errors belongs to the thread and is left empty. */
static int end(struct tls *tls, int result)
{
    int reason = result == 1 ? SSL_ERROR_NONE : SSL_get_error(tls->ssl, result);
    bool fine = reason == SSL_ERROR_NONE || reason == SSL_ERROR_WANT_READ ||
                reason == SSL_ERROR_ZERO_RETURN;

    if (!fine) {
        tls->error = ERR_peek_error();
    }
    ERR_clear_error();
    tls->input = NULL;
    tls->sink = NULL;
    if (fine && !tls->sink_failed && tls->key_updates <= KEY_UPDATES_MAX) {
        return 0;
    }
    tls->failed = true;
    return tls->sink_failed ? ERR_NO_MEMORY : ERR_TLS;
}

int tls_handshake(struct tls *tls, struct tls_input *input, const struct tls_sink *sink,
                  bool *ret_done)
{
    if (tls->failed) {
        return ERR_TLS;
    }
    begin(tls, input, sink);
    int result = SSL_do_handshake(tls->ssl);
    int error = end(tls, result);
    if (error == 0) {
        *ret_done = result == 1;
    }
    return error;
}

int tls_read(struct tls *tls, struct tls_input *input, const struct tls_sink *sink, uint8_t *out,
             size_t out_bytes, size_t *ret_bytes)
{
    size_t total = 0, got = 0;
    int result = 1;
    bool more = out_bytes > 0;

    if (tls->failed) {
        return ERR_TLS;
    }
    begin(tls, input, sink);
    while (more) {
        result = SSL_read_ex(tls->ssl, out + total, out_bytes - total, &got);
        if (result == 1) {
            total += got;
            tls->key_updates = 0;
        }
        /* One call a record: one more, that finds nothing, would cost half as much again. */
        more = result == 1 && total < out_bytes &&
               (input->used < input->count || SSL_has_pending(tls->ssl));
    }
    int error = end(tls, result);
    if (error != 0 && total == 0) {
        return error;
    }
    *ret_bytes = total;
    return 0;
}

int tls_write(struct tls *tls, const struct tls_sink *sink, const void *bytes, size_t count)
{
    size_t written = 0;

    if (tls->failed || count == 0) {
        return tls->failed ? ERR_TLS : 0;
    }
    begin(tls, NULL, sink);
    int error = end(tls, SSL_write_ex(tls->ssl, bytes, count, &written));
    /* Without renegotiation a write never waits for input. */
    ASSERT(error != 0 || written == count);
    return error;
}

void tls_shutdown(struct tls *tls, const struct tls_sink *sink)
{
    if (tls->failed || tls->closing || !SSL_is_init_finished(tls->ssl)) {
        return;
    }
    tls->closing = true;
    begin(tls, NULL, sink);
    SSL_shutdown(tls->ssl);
    (void)end(tls, 1);
}

bool tls_peer_closed(const struct tls *tls)
{
    return (SSL_get_shutdown(tls->ssl) & SSL_RECEIVED_SHUTDOWN) != 0;
}

bool tls_pending(const struct tls *tls)
{
    return SSL_pending(tls->ssl) > 0;
}

const char *tls_error(const struct tls *tls, char text[TLS_ERROR_BYTES])
{
    long verdict = SSL_get_verify_result(tls->ssl);
    const char *reason = tls->error != 0 ? ERR_reason_error_string(tls->error) : NULL;

    if (tls->key_updates > KEY_UPDATES_MAX) {
        reason = "too many key updates";
    } else if (tls->sink_failed) {
        reason = "output could not be stored";
    } else if (ERR_GET_REASON(tls->error) == SSL_R_CERTIFICATE_VERIFY_FAILED &&
               verdict != X509_V_OK) {
        snprintf(text, TLS_ERROR_BYTES, "certificate verify failed: %s",
                 X509_verify_cert_error_string(verdict));
        return text;
    }
    snprintf(text, TLS_ERROR_BYTES, "%s", reason != NULL ? reason : "unknown TLS error");
    return text;
}

bool tls_alpn(const struct tls *tls)
{
    const unsigned char *name = NULL;
    unsigned count = 0;

    SSL_get0_alpn_selected(tls->ssl, &name, &count);
    return count == alpn_list[0] && memcmp(name, alpn_list + 1, count) == 0;
}

const char *tls_version_name(const struct tls *tls)
{
    return SSL_get_version(tls->ssl);
}

const char *tls_cipher_name(const struct tls *tls)
{
    return SSL_get_cipher_name(tls->ssl);
}

bool tls_peer_verified(const struct tls *tls)
{
    return SSL_get0_peer_certificate(tls->ssl) != NULL &&
           (SSL_get_verify_mode(tls->ssl) & SSL_VERIFY_PEER) != 0 &&
           SSL_get_verify_result(tls->ssl) == X509_V_OK;
}

int tls_peer_common_name(const struct tls *tls, char *out, size_t out_bytes, size_t *ret_length)
{
    X509 *certificate = SSL_get0_peer_certificate(tls->ssl);

    if (certificate == NULL) {
        return ERR_BAD_VALUE;
    }
    X509_NAME *subject = X509_get_subject_name(certificate);
    int at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
    if (at < 0) {
        return ERR_BAD_VALUE;
    }
    unsigned char *utf8 = NULL;
    int length =
        ASN1_STRING_to_UTF8(&utf8, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at)));
    if (length < 0) {
        ERR_clear_error();
        return ERR_BAD_VALUE;
    }
    size_t count = (size_t)length;
    bool fits = count < out_bytes && memchr(utf8, '\0', count) == NULL;
    if (fits) {
        memcpy(out, utf8, count);
        out[count] = '\0';
        *ret_length = count;
    }
    OPENSSL_free(utf8);
    return fits ? 0 : ERR_BAD_VALUE;
}

size_t tls_binding(const struct tls *tls, uint8_t ret_digest[TLS_BINDING_BYTES_MAX])
{
    return tls->context->server
               ? tls_context_binding(tls->context, ret_digest)
               : certificate_binding(SSL_get0_peer_certificate(tls->ssl), ret_digest);
}
