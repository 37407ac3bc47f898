/* Uploaded certificates and keys: kinds and sizes that are taken, and all others. The large ones
 * are made of random numbers, as who attacks with them makes them. */
#include <openssl/bio.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <string.h>

#include "auth/pem.h"
#include "base/check.h"
#include "base/str.h"
#include "tests/unit/unit.h"

static struct hf_ctx ctx_begin(void)
{
    return (struct hf_ctx){.arena = hf_arena_new((size_t)16 << 20)};
}

static const char *reason_of(struct hf_status status)
{
    return hf_is_ok(status) ? "" : status.info == NULL ? "?" : status.info->reason;
}

static BIGNUM *random_bits(int bits)
{
    BIGNUM *number = BN_new();

    assert_int_equal(BN_rand(number, bits, BN_RAND_TOP_ONE, BN_RAND_BOTTOM_ODD), 1);
    return number;
}

struct rsa_bits {
    int n, e, d, factors, third;
};

static void push(OSSL_PARAM_BLD *build, const char *name, int bits, BIGNUM *numbers[], size_t *len)
{
    if (bits > 0) {
        numbers[*len] = random_bits(bits);
        assert_int_equal(OSSL_PARAM_BLD_push_BN(build, name, numbers[*len]), 1);
        (*len)++;
    }
}

static EVP_PKEY *rsa_made(struct rsa_bits bits)
{
    OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
    EVP_PKEY_CTX *maker = EVP_PKEY_CTX_new_from_name(NULL, "RSA", NULL);
    BIGNUM *numbers[12];
    EVP_PKEY *key = NULL;
    size_t len = 0;

    push(build, OSSL_PKEY_PARAM_RSA_N, bits.n, numbers, &len);
    push(build, OSSL_PKEY_PARAM_RSA_E, bits.e, numbers, &len);
    push(build, OSSL_PKEY_PARAM_RSA_D, bits.d, numbers, &len);
    push(build, OSSL_PKEY_PARAM_RSA_FACTOR1, bits.factors, numbers, &len);
    push(build, OSSL_PKEY_PARAM_RSA_FACTOR2, bits.factors, numbers, &len);
    push(build, OSSL_PKEY_PARAM_RSA_FACTOR3, bits.third, numbers, &len);
    push(build, OSSL_PKEY_PARAM_RSA_EXPONENT1, bits.factors, numbers, &len);
    push(build, OSSL_PKEY_PARAM_RSA_EXPONENT2, bits.factors, numbers, &len);
    push(build, OSSL_PKEY_PARAM_RSA_EXPONENT3, bits.third, numbers, &len);
    push(build, OSSL_PKEY_PARAM_RSA_COEFFICIENT1, bits.factors, numbers, &len);
    push(build, OSSL_PKEY_PARAM_RSA_COEFFICIENT2, bits.third, numbers, &len);

    OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(build);

    assert_int_equal(EVP_PKEY_fromdata_init(maker), 1);
    assert_int_equal(EVP_PKEY_fromdata(maker, &key, EVP_PKEY_KEYPAIR, params), 1);
    OSSL_PARAM_free(params);
    OSSL_PARAM_BLD_free(build);
    EVP_PKEY_CTX_free(maker);
    for (size_t i = 0; i < len; i++) {
        BN_free(numbers[i]);
    }
    return key;
}

static EVP_PKEY *curve_made(const char *curve, bool is_explicit)
{
    EVP_PKEY *key = EVP_EC_gen(curve);

    assert_non_null(key);
    assert_int_equal(EVP_PKEY_set_utf8_string_param(key, OSSL_PKEY_PARAM_EC_ENCODING,
                                                    is_explicit ? OSSL_PKEY_EC_ENCODING_EXPLICIT
                                                                : OSSL_PKEY_EC_ENCODING_GROUP),
                     1);
    return key;
}

static EVP_PKEY *other_made(const char *kind)
{
    EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, kind);

    assert_non_null(key);
    return key;
}

static char *taken(struct hf_ctx *ctx, BIO *bio)
{
    char *bytes = NULL;
    long len = BIO_get_mem_data(bio, &bytes);
    char *text = hf_strndup(ctx->arena, bytes, (size_t)len);

    BIO_free(bio);
    return text;
}

/* days: until it ends. */
static char *certificate_of(struct hf_ctx *ctx, EVP_PKEY *key, const char *name, int days)
{
    EVP_PKEY *signer = EVP_EC_gen("P-256");
    X509 *crt = X509_new();
    BIO *out = BIO_new(BIO_s_mem());

    assert_int_equal(ASN1_INTEGER_set(X509_get_serialNumber(crt), 1), 1);
    assert_non_null(X509_gmtime_adj(X509_getm_notBefore(crt), -10 * 86400));
    assert_non_null(X509_gmtime_adj(X509_getm_notAfter(crt), days * 86400));
    assert_int_equal(X509_NAME_add_entry_by_txt(X509_get_subject_name(crt), "CN", MBSTRING_UTF8,
                                                (const unsigned char *)name, -1, -1, 0),
                     1);
    assert_int_equal(X509_set_pubkey(crt, key), 1);
    assert_true(X509_sign(crt, signer, EVP_sha256()) > 0);
    assert_int_equal(PEM_write_bio_X509(out, crt), 1);
    X509_free(crt);
    EVP_PKEY_free(signer);
    return taken(ctx, out);
}

static char *certificate_text(struct hf_ctx *ctx, EVP_PKEY *key)
{
    return certificate_of(ctx, key, "good", 1);
}

static char *key_text(struct hf_ctx *ctx, EVP_PKEY *key)
{
    BIO *out = BIO_new(BIO_s_mem());

    assert_int_equal(PEM_write_bio_PrivateKey(out, key, NULL, NULL, 0, NULL, NULL), 1);
    return taken(ctx, out);
}

/* As client's key, behind another certificate, as authority. Frees the key. */
static void try_key(struct hf_ctx *ctx, const char *name, EVP_PKEY *key, const char *as_key,
                    const char *as_certificate)
{
    EVP_PKEY *good = EVP_EC_gen("P-256");
    char *crt = certificate_text(ctx, key);
    char *good_crt = certificate_text(ctx, good);
    char *good_key = key_text(ctx, good);
    const struct {
        const char *role;
        struct pem_texts given;
        const char *want;
    } cases[] = {
        {"key", {NULL, crt, key_text(ctx, key)}, as_key},
        {"chain", {NULL, hf_printf(ctx->arena, "%s%s", good_crt, crt), good_key}, as_certificate},
        {"authority", {crt, NULL, NULL}, as_certificate},
        {"second authority",
         {hf_printf(ctx->arena, "%s%s", good_crt, crt), NULL, NULL},
         as_certificate},
    };

    for (size_t i = 0; i < HF_LEN(cases); i++) {
        struct pem_texts texts;
        const char *found = reason_of(pem_check(ctx, &cases[i].given, &texts));

        if (strcmp(found, cases[i].want) != 0) {
            fail_msg("%s as %s: \"%s\" instead of \"%s\"", name, cases[i].role, found,
                     cases[i].want);
        }
    }
    EVP_PKEY_free(good);
    EVP_PKEY_free(key);
}

static void test_keys__of_usual_kinds_are_taken(void **state)
{
    struct hf_ctx ctx = ctx_begin();

    (void)state;
    try_key(&ctx, "RSA 2048", EVP_RSA_gen(2048), "", "");
    try_key(&ctx, "RSA 4096", rsa_made((struct rsa_bits){4096, 17, 4096, 2048, 0}), "", "");
    try_key(&ctx, "P-256", curve_made("P-256", false), "", "");
    try_key(&ctx, "P-384", curve_made("P-384", false), "", "");
    try_key(&ctx, "P-521", curve_made("P-521", false), "", "");
    try_key(&ctx, "Ed25519", other_made("ED25519"), "", "");
    hf_arena_free(ctx.arena);
}

static void test_keys__that_would_be_computed_with_for_long_are_refused(void **state)
{
    static const struct {
        const char *name;
        struct rsa_bits bits;
        const char *as_key;
        const char *as_certificate;
    } rows[] = {
        {"4097 bits", {4097, 17, 4097, 2048, 0}, "KEY_TOO_LARGE", ""},
        {"8192 bits", {8192, 17, 8192, 4096, 0}, "KEY_TOO_LARGE", ""},
        {"8193 bits", {8193, 17, 8192, 4096, 0}, "KEY_TOO_LARGE", "KEY_TOO_LARGE"},
        {"32768 bits", {32768, 17, 32768, 16384, 0}, "KEY_TOO_LARGE", "KEY_TOO_LARGE"},
        {"a long public exponent", {2048, 33, 2048, 1024, 0}, "KEY_TOO_LARGE", "KEY_TOO_LARGE"},
        {"a long private exponent", {2048, 17, 100000, 1024, 0}, "KEY_TOO_LARGE", ""},
        {"long factors", {2048, 17, 2048, 30000, 0}, "KEY_TOO_LARGE", ""},
        {"three factors", {2048, 17, 2048, 683, 683}, "KEY_NOT_SUPPORTED", ""},
        {"1024 bits", {1024, 17, 1024, 512, 0}, "KEY_NOT_SUPPORTED", "KEY_NOT_SUPPORTED"},
    };
    struct hf_ctx ctx = ctx_begin();

    (void)state;
    for (size_t i = 0; i < HF_LEN(rows); i++) {
        try_key(&ctx, rows[i].name, rsa_made(rows[i].bits), rows[i].as_key, rows[i].as_certificate);
    }
    hf_arena_free(ctx.arena);
}

static void test_keys__of_other_kinds_are_refused(void **state)
{
    struct hf_ctx ctx = ctx_begin();

    (void)state;
    try_key(&ctx, "explicit P-256", curve_made("P-256", true), "KEY_NOT_SUPPORTED",
            "KEY_NOT_SUPPORTED");
    try_key(&ctx, "secp256k1", curve_made("secp256k1", false), "KEY_NOT_SUPPORTED",
            "KEY_NOT_SUPPORTED");
    try_key(&ctx, "sect571r1", curve_made("sect571r1", false), "KEY_NOT_SUPPORTED",
            "KEY_NOT_SUPPORTED");
    try_key(&ctx, "Ed448", other_made("ED448"), "KEY_NOT_SUPPORTED", "KEY_NOT_SUPPORTED");
    try_key(&ctx, "X25519", other_made("X25519"), "KEY_NOT_SUPPORTED", "KEY_NOT_SUPPORTED");
    hf_arena_free(ctx.arena);
}

static const char *times(struct hf_ctx *ctx, const char *text, size_t count)
{
    size_t len = strlen(text);
    char *out = hf_alloc(ctx->arena, len * count + 1);

    for (size_t i = 0; i < count; i++) {
        memcpy(out + i * len, text, len + 1);
    }
    return out;
}

/* Authorities come in bundles; a client's certificate has a short chain. */
static void test_bundles__of_authorities_may_be_long(void **state)
{
    struct hf_ctx ctx = ctx_begin();
    EVP_PKEY *key = EVP_EC_gen("P-256");
    const char *crt = certificate_text(&ctx, key);
    const struct {
        struct pem_texts given;
        const char *want;
    } cases[] = {
        {{times(&ctx, crt, 150), NULL, NULL}, ""},
        {{times(&ctx, crt, 513), NULL, NULL}, "CA_INVALID"},
        {{NULL, times(&ctx, crt, 32), key_text(&ctx, key)}, ""},
        {{NULL, times(&ctx, crt, 33), key_text(&ctx, key)}, "CERTIFICATE_INVALID"},
    };

    (void)state;
    for (size_t i = 0; i < HF_LEN(cases); i++) {
        struct pem_texts texts;

        assert_string_equal(reason_of(pem_check(&ctx, &cases[i].given, &texts)), cases[i].want);
    }
    EVP_PKEY_free(key);
    hf_arena_free(ctx.arena);
}

/* Old bundles have roots of X.509 v1 (as all here) and some that have ended: OpenSSL passes over
 * them until a chain needs one. */
static void test_bundles__say_which_certificate_is_refused(void **state)
{
    struct hf_ctx ctx = ctx_begin();
    EVP_PKEY *key = EVP_EC_gen("P-256");
    EVP_PKEY *weak = EVP_RSA_gen(1024);
    const char *good = certificate_text(&ctx, key);
    const char *ended = certificate_of(&ctx, key, "ended", -1);
    const char *old = certificate_of(&ctx, weak, "Old Root", 1);
    const struct {
        const char *ca;
        const char *want;
    } cases[] = {
        {hf_printf(ctx.arena, "%s%s", ended, good), NULL},
        {hf_printf(ctx.arena, "# a name\n%s\n%s", good, good), NULL},
        {hf_printf(ctx.arena, "%s%s%s", good, old, good),
         "certificate 2 of the authority (CN=Old Root) has a key of a kind"},
        {hf_printf(ctx.arena, "%s%s%.200s", good, ended, good),
         "certificate 3 of the authority cannot be read"},
        {hf_printf(ctx.arena, "%s%s", good, key_text(&ctx, key)),
         "the authority holds something else beside 1 certificates"},
        {"nonsense", "the authority is not 1 to 512 certificates in PEM"},
    };

    (void)state;
    for (size_t i = 0; i < HF_LEN(cases); i++) {
        const struct pem_texts given = {cases[i].ca, NULL, NULL};
        struct pem_texts texts;
        struct hf_status status = pem_check(&ctx, &given, &texts);

        if (cases[i].want == NULL) {
            assert_true(hf_is_ok(status));
        } else if (hf_is_ok(status) || strstr(status.message, cases[i].want) == NULL) {
            fail_msg("%zu: %s", i, hf_is_ok(status) ? "taken" : status.message);
        }
    }
    EVP_PKEY_free(weak);
    EVP_PKEY_free(key);
    hf_arena_free(ctx.arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_keys__of_usual_kinds_are_taken),
        cmocka_unit_test(test_keys__that_would_be_computed_with_for_long_are_refused),
        cmocka_unit_test(test_keys__of_other_kinds_are_refused),
        cmocka_unit_test(test_bundles__of_authorities_may_be_long),
        cmocka_unit_test(test_bundles__say_which_certificate_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
