/* Uploaded PEM. Surprises: the key is looked at by its label before OpenSSL sees it, because
 * providers may give a meaning of their own to labels that are none of PEM's; and each number of a
 * key is measured, because OpenSSL computes with whatever was uploaded, for minutes, where no
 * deadline is seen. */
#include "auth/pem.h"

#include <openssl/bio.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <string.h>

#include "auth/x509.h"
#include "base/check.h"
#include "base/str.h"

static struct hf_status invalid(struct hf_ctx *ctx, const char *reason, const char *what)
{
    ERR_clear_error();
    return hf_fail_info(ctx->arena, HF_INVALID_ARGUMENT, reason, NULL, "%s", what);
}

static char *bio_text(struct hf_ctx *ctx, BIO *bio)
{
    char *bytes = NULL;
    long len = BIO_get_mem_data(bio, &bytes);

    return hf_strndup(ctx->arena, bytes, (size_t)len);
}

/* Nobody answers for a passphrase. */
static int no_passphrase(char *buf, /* NOLINT(readability-non-const-parameter): OpenSSL's type */
                         int size, int rwflag, void *arg)
{
    (void)buf;
    (void)size;
    (void)rwflag;
    (void)arg;
    return -1;
}

/* Blocks of the text: OpenSSL passes over those that are not asked for. */
static size_t count(const char *text, const char *word)
{
    size_t len = 0;

    for (const char *p = strstr(text, word); p != NULL; p = strstr(p + 1, word)) {
        len++;
    }
    return len;
}

/* --- what a key may be ---------------------------------------------------------------------- */

#define RSA_BITS_MIN 2048
#define RSA_EXPONENT_BITS_MAX 32

/* What is wrong with a key; NULL: nothing. */
struct objection {
    const char *reason;
    const char *what;
};
static const struct objection too_large = {
    "KEY_TOO_LARGE", "has an RSA key that is too large: a key may have 2048 to 4096 bits, that of "
                     "a certificate up to 8192"};
static const struct objection not_supported = {
    "KEY_NOT_SUPPORTED", "has a key of a kind that is not taken: RSA with 2048 bits or more, EC on "
                         "the curves P-256, P-384 and P-521 by name, and Ed25519 are"};

/* Bits of a number of the key; 0: it has none of this name. */
static int number_bits(const EVP_PKEY *key, const char *name)
{
    BIGNUM *number = NULL;
    int bits = 0;

    if (EVP_PKEY_get_bn_param(key, name, &number) == 1) {
        bits = BN_num_bits(number);
    }
    BN_clear_free(number);
    return bits;
}

static const struct objection *judge_rsa(const EVP_PKEY *key, int bits_max)
{
    static const char *const others[] = {
        OSSL_PKEY_PARAM_RSA_D,         OSSL_PKEY_PARAM_RSA_FACTOR1,
        OSSL_PKEY_PARAM_RSA_FACTOR2,   OSSL_PKEY_PARAM_RSA_EXPONENT1,
        OSSL_PKEY_PARAM_RSA_EXPONENT2, OSSL_PKEY_PARAM_RSA_COEFFICIENT1,
    };
    int bits = number_bits(key, OSSL_PKEY_PARAM_RSA_N);

    if (bits > bits_max || number_bits(key, OSSL_PKEY_PARAM_RSA_E) > RSA_EXPONENT_BITS_MAX) {
        return &too_large;
    }
    for (size_t i = 0; i < HF_LEN(others); i++) {
        if (number_bits(key, others[i]) > bits) {
            return &too_large;
        }
    }
    return bits < RSA_BITS_MIN || number_bits(key, OSSL_PKEY_PARAM_RSA_FACTOR3) > 0 ? &not_supported
                                                                                    : NULL;
}

static const struct objection *judge_curve(const EVP_PKEY *key)
{
    static const char *const curves[] = {"prime256v1", "P-256",     "secp384r1",
                                         "P-384",      "secp521r1", "P-521"};
    char name[64] = "";
    int is_explicit = 0;

    if (EVP_PKEY_get_group_name(key, name, sizeof(name), NULL) != 1 ||
        EVP_PKEY_get_int_param(key, OSSL_PKEY_PARAM_EC_DECODED_FROM_EXPLICIT_PARAMS,
                               &is_explicit) != 1 ||
        is_explicit != 0) {
        return &not_supported;
    }
    for (size_t i = 0; i < HF_LEN(curves); i++) {
        if (strcmp(name, curves[i]) == 0) {
            return NULL;
        }
    }
    return &not_supported;
}

static const struct objection *judge_key(const EVP_PKEY *key, int rsa_bits_max)
{
    if (key == NULL) {
        return &not_supported;
    }
    switch (EVP_PKEY_get_base_id(key)) {
    case EVP_PKEY_RSA:
        return judge_rsa(key, rsa_bits_max);
    case EVP_PKEY_EC:
        return judge_curve(key);
    case EVP_PKEY_ED25519:
        return NULL;
    default:
        return &not_supported;
    }
}

static struct hf_status object(struct hf_ctx *ctx, const char *whose,
                               const struct objection *objection)
{
    return objection == NULL ? hf_success()
                             : invalid(ctx, objection->reason,
                                       hf_printf(ctx->arena, "%s %s", whose, objection->what));
}

/* --- certificates --------------------------------------------------------------------------- */

/* What is read, how it is called, and how much of it there may be. */
struct chain {
    const char *name;
    const char *reason;
    size_t bytes;
    size_t certificates;
};

/* One of many: which, and whose. */
static const char *which(struct hf_ctx *ctx, const struct chain *chain, size_t number,
                         const X509 *crt)
{
    HF_CLEANUP(BIO_free) BIO *out = BIO_new(BIO_s_mem());

    HF_CHECK(out != NULL);
    if (X509_NAME_print_ex(out, X509_get_subject_name(crt), 0, XN_FLAG_RFC2253) < 0) {
        ERR_clear_error();
    }
    return hf_printf(ctx->arena, "certificate %zu of %s (%.200s)", number, chain->name,
                     bio_text(ctx, out));
}

/* The certificates of text, each of a kind that is taken. What is old stays: it matters only when a
 * server's chain ends there, and then OpenSSL says so. ret_first owned by the caller. */
static struct hf_status read_certificates(struct hf_ctx *ctx, const char *text,
                                          const struct chain *chain, BIO *out, X509 **ret_first)
{
    HF_CLEANUP(BIO_free) BIO *in = BIO_new_mem_buf(text, (int)strlen(text));
    size_t len = 0;

    HF_CHECK(in != NULL);
    for (;;) {
        HF_CLEANUP(X509_free) X509 *crt = PEM_read_bio_X509(in, NULL, no_passphrase, NULL);

        if (crt == NULL) {
            break;
        }
        len++;
        const struct objection *objection =
            judge_key(X509_get0_pubkey(crt), PEM_CERTIFICATE_RSA_MAX);

        HF_TRY(object(ctx, objection == NULL ? "" : which(ctx, chain, len, crt), objection));
        if (PEM_write_bio_X509(out, crt) != 1) {
            return x509_fail(ctx->arena, "writing a certificate");
        }
        if (*ret_first == NULL) {
            *ret_first = HF_TAKE(crt);
        }
    }
    if (ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE) {
        return invalid(ctx, chain->reason,
                       hf_printf(ctx->arena,
                                 "certificate %zu of %s cannot be read: it is cut off or no X.509 "
                                 "certificate",
                                 len + 1, chain->name));
    }
    return len == count(text, "-----BEGIN ")
               ? hf_success()
               : invalid(ctx, chain->reason,
                         hf_printf(ctx->arena,
                                   "%s holds something else beside %zu certificates: leave only "
                                   "the blocks -----BEGIN CERTIFICATE-----",
                                   chain->name, len));
}

static struct hf_status take_certificates(struct hf_ctx *ctx, const char *text,
                                          const struct chain *chain, X509 **ret_first,
                                          const char **ret_text)
{
    HF_CLEANUP(BIO_free) BIO *out = BIO_new(BIO_s_mem());
    size_t blocks = count(text, "-----BEGIN ");

    HF_CHECK(out != NULL);
    ERR_clear_error();
    if (strlen(text) > chain->bytes || blocks == 0 || blocks > chain->certificates) {
        return invalid(ctx, chain->reason,
                       hf_printf(ctx->arena,
                                 "%s is not 1 to %zu certificates in PEM of at most %zu KiB and "
                                 "nothing else",
                                 chain->name, chain->certificates, chain->bytes >> 10));
    }
    HF_TRY(read_certificates(ctx, text, chain, out, ret_first));
    ERR_clear_error();
    *ret_text = bio_text(ctx, out);
    return hf_success();
}

/* --- the key -------------------------------------------------------------------------------- */

static bool has_key_label(const char *text)
{
    static const char *const labels[] = {"-----BEGIN PRIVATE KEY-----",
                                         "-----BEGIN RSA PRIVATE KEY-----",
                                         "-----BEGIN EC PRIVATE KEY-----"};
    size_t found = 0;

    for (size_t i = 0; i < HF_LEN(labels); i++) {
        found += count(text, labels[i]);
    }
    /* OpenSSL writes the parameters of a curve before its key. */
    return found == 1 &&
           count(text, "-----BEGIN ") == 1 + count(text, "-----BEGIN EC PARAMETERS-----");
}

static struct hf_status take_key(struct hf_ctx *ctx, const char *text, X509 *crt,
                                 const char **ret_text)
{
    HF_CLEANUP(BIO_free) BIO *in = BIO_new_mem_buf(text, (int)strlen(text));
    HF_CLEANUP(BIO_free) BIO *out = BIO_new(BIO_s_secmem());
    HF_CLEANUP(EVP_PKEY_free) EVP_PKEY *key = NULL;

    HF_CHECK(in != NULL && out != NULL);
    if (strstr(text, "ENCRYPTED") != NULL) {
        return invalid(ctx, "KEY_ENCRYPTED",
                       "the key has a passphrase: write it without one (openssl pkey -in KEY -out "
                       "NEW); it is kept sealed");
    }
    if (strlen(text) <= PEM_TEXT_MAX && has_key_label(text)) {
        key = PEM_read_bio_PrivateKey(in, NULL, no_passphrase, NULL);
    }
    if (key == NULL) {
        return invalid(ctx, "KEY_INVALID",
                       "the key is not one private key in PEM of at most 64 KiB");
    }
    HF_TRY(object(ctx, "the key", judge_key(key, PEM_KEY_RSA_MAX)));
    if (X509_check_private_key(crt, key) != 1) {
        return invalid(ctx, "KEY_MISMATCH", "the key does not belong to the first certificate");
    }
    if (PEM_write_bio_PrivateKey(out, key, NULL, NULL, 0, NULL, NULL) != 1) {
        return x509_fail(ctx->arena, "writing the key");
    }
    *ret_text = bio_text(ctx, out);
    return hf_success();
}

struct hf_status pem_check(struct hf_ctx *ctx, const struct pem_texts *given,
                           struct pem_texts *ret_texts)
{
    static const struct chain authority = {"the authority", "CA_INVALID", PEM_CA_TEXT_MAX,
                                           PEM_CA_CERTIFICATES_MAX};
    static const struct chain certificate = {"the certificate", "CERTIFICATE_INVALID", PEM_TEXT_MAX,
                                             PEM_CERTIFICATES_MAX};
    HF_CLEANUP(X509_free) X509 *ca = NULL;
    HF_CLEANUP(X509_free) X509 *crt = NULL;
    struct pem_texts texts = {NULL, NULL, NULL};

    if (!hf_text_empty(given->ca)) {
        HF_TRY(take_certificates(ctx, given->ca, &authority, &ca, &texts.ca));
    }
    if (hf_text_empty(given->cert) != hf_text_empty(given->key)) {
        return hf_text_empty(given->key) ? invalid(ctx, "CERTIFICATE_WITHOUT_KEY",
                                                   "a certificate needs its key: --key-file")
                                         : invalid(ctx, "KEY_WITHOUT_CERTIFICATE",
                                                   "a key needs its certificate: --cert-file");
    }
    if (!hf_text_empty(given->cert)) {
        HF_TRY(take_certificates(ctx, given->cert, &certificate, &crt, &texts.cert));
        HF_TRY(take_key(ctx, given->key, crt, &texts.key));
    }
    *ret_texts = texts;
    return hf_success();
}
