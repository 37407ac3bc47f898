/* Certificates and keys in OpenSSL's terms: read, write, make, sign. */
#include "auth/x509.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <string.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/id.h"
#include "base/str.h"
#include "codec/hash.h"

#define PEM_MAX (256 * 1024)

struct hf_status x509_fail(struct hf_arena *arena, const char *what)
{
    char text[200];

    ERR_error_string_n(ERR_peek_last_error(), text, sizeof(text));
    ERR_clear_error();
    return hf_fail(arena, HF_INTERNAL, "%s: %s", what, text);
}

static struct hf_status not_a(struct hf_ctx *ctx, const char *path, const char *what)
{
    ERR_clear_error();
    return hf_fail(ctx->arena, HF_INVALID_ARGUMENT, "%s is not a %s in PEM form", path, what);
}

struct hf_status x509_read_crt(struct hf_ctx *ctx, const char *path, X509 **ret_crt)
{
    HF_CLEANUP(hf_buf_done) struct hf_buf buf = {0};
    HF_CLEANUP(BIO_free) BIO *bio = NULL;

    hf_buf_init(&buf, PEM_MAX);
    HF_TRY(hf_read_file(ctx->arena, path, &buf));
    bio = BIO_new_mem_buf(hf_buf_text(&buf), (int)buf.len);
    HF_CHECK(bio != NULL);
    X509 *crt = PEM_read_bio_X509(bio, NULL, NULL, NULL);
    if (crt == NULL) {
        return not_a(ctx, path, "certificate");
    }
    *ret_crt = crt;
    return hf_success();
}

struct hf_status x509_read_key(struct hf_ctx *ctx, const char *path, EVP_PKEY **ret_key)
{
    HF_CLEANUP(hf_buf_done) struct hf_buf buf = {0};
    HF_CLEANUP(BIO_free) BIO *bio = NULL;

    hf_buf_init(&buf, PEM_MAX);
    HF_TRY(hf_read_file(ctx->arena, path, &buf));
    bio = BIO_new_mem_buf(hf_buf_text(&buf), (int)buf.len);
    HF_CHECK(bio != NULL);
    char no_passphrase[] = ""; /* never ask a terminal */
    EVP_PKEY *key = PEM_read_bio_PrivateKey(bio, NULL, NULL, no_passphrase);
    codec_wipe(buf.ptr, buf.len);
    if (key == NULL) {
        return not_a(ctx, path, "private key");
    }
    *ret_key = key;
    return hf_success();
}

struct hf_status x509_crt_text(struct hf_ctx *ctx, X509 *crt, const char **ret_text)
{
    HF_CLEANUP(BIO_free) BIO *bio = BIO_new(BIO_s_mem());
    char *text = NULL;

    if (bio == NULL || PEM_write_bio_X509(bio, crt) != 1) {
        return x509_fail(ctx->arena, "encoding a certificate");
    }
    long len = BIO_get_mem_data(bio, &text);

    *ret_text = hf_strndup(ctx->arena, text, (size_t)len);
    return hf_success();
}

struct hf_status x509_key_text(struct hf_ctx *ctx, EVP_PKEY *key, char **ret_text)
{
    HF_CLEANUP(BIO_free) BIO *bio = BIO_new(BIO_s_secmem());
    char *text = NULL;

    if (bio == NULL || PEM_write_bio_PKCS8PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL) != 1) {
        return x509_fail(ctx->arena, "encoding a private key");
    }
    long len = BIO_get_mem_data(bio, &text);

    *ret_text = hf_strndup(ctx->arena, text, (size_t)len);
    codec_wipe(text, (size_t)len);
    return hf_success();
}

struct hf_status x509_make_key(struct hf_ctx *ctx, EVP_PKEY **ret_key)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");

    if (key == NULL) {
        return x509_fail(ctx->arena, "making a P-256 key");
    }
    *ret_key = key;
    return hf_success();
}

/* What cannot be read has passed long ago. */
int64_t x509_time_us(const ASN1_TIME *time)
{
    HF_CLEANUP(hf_arena_free) struct hf_arena *arena = hf_arena_new(4096);
    struct tm parts;
    int64_t time_us = 0;

    if (ASN1_TIME_to_tm(time, &parts) != 1) {
        return HF_TIME_MIN_US;
    }
    const char *text =
        hf_printf(arena, "%04d-%02d-%02dT%02d:%02d:%02dZ", parts.tm_year + 1900, parts.tm_mon + 1,
                  parts.tm_mday, parts.tm_hour, parts.tm_min, parts.tm_sec);
    return hf_is_ok(hf_time_parse(arena, text, &time_us)) ? time_us : HF_TIME_MIN_US;
}

static bool set_name(X509 *crt, X509 *issuer, const char *common_name)
{
    X509_NAME *name = X509_get_subject_name(crt);

    return X509_NAME_add_entry_by_txt(name, "O", MBSTRING_ASC, (const unsigned char *)"Holdfast",
                                      -1, -1, 0) == 1 &&
           X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)common_name,
                                      -1, -1, 0) == 1 &&
           X509_set_issuer_name(crt, X509_get_subject_name(issuer)) == 1;
}

/* 127 random bits: positive, unpredictable, unique. */
static bool set_serial(X509 *crt)
{
    uint8_t bytes[16];

    hf_random(bytes, sizeof(bytes));
    bytes[0] = (uint8_t)((bytes[0] & 0x7f) | 0x40);
    BIGNUM *number = BN_bin2bn(bytes, (int)sizeof(bytes), NULL);
    bool is_set = number != NULL && BN_to_ASN1_INTEGER(number, X509_get_serialNumber(crt)) != NULL;
    BN_free(number);
    return is_set;
}

static bool set_times(X509 *crt, const struct x509_draft *draft)
{
    return ASN1_TIME_set(X509_getm_notBefore(crt), draft->not_before_us / HF_US_PER_S) != NULL &&
           ASN1_TIME_set(X509_getm_notAfter(crt), draft->not_after_us / HF_US_PER_S) != NULL;
}

static bool add_extensions(X509 *crt, X509 *issuer, const struct x509_draft *draft)
{
    X509V3_CTX v3;

    X509V3_set_ctx_nodb(&v3);
    X509V3_set_ctx(&v3, issuer, crt, NULL, NULL, 0);
    for (size_t i = 0; i < draft->extensions_len; i++) {
        X509_EXTENSION *extension =
            X509V3_EXT_conf_nid(NULL, &v3, draft->extensions[i].nid, draft->extensions[i].value);
        bool is_added = extension != NULL && X509_add_ext(crt, extension, -1) == 1;
        X509_EXTENSION_free(extension);
        if (!is_added) {
            return false;
        }
    }
    return true;
}

struct hf_status x509_make_crt(struct hf_ctx *ctx, const struct x509_draft *draft, EVP_PKEY *key,
                               X509 **ret_crt)
{
    HF_CLEANUP(X509_free) X509 *crt = X509_new();
    HF_CHECK(crt != NULL);
    X509 *issuer = draft->issuer == NULL ? crt : draft->issuer;
    EVP_PKEY *signer = draft->issuer_key == NULL ? key : draft->issuer_key;

    bool is_made = X509_set_version(crt, X509_VERSION_3) == 1 && set_serial(crt) &&
                   set_times(crt, draft) && set_name(crt, issuer, draft->common_name) &&
                   X509_set_pubkey(crt, key) == 1 && add_extensions(crt, issuer, draft) &&
                   X509_sign(crt, signer, EVP_sha256()) > 0;
    if (!is_made) {
        return x509_fail(ctx->arena, "making a certificate");
    }
    *ret_crt = HF_TAKE(crt);
    return hf_success();
}
