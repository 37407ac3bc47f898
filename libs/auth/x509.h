/* OpenSSL objects with cleanup, and errors. Inside libs/auth only. */
#ifndef HF_AUTH_X509_H
#define HF_AUTH_X509_H

#include <openssl/evp.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include "base/ctx.h"
#include "base/status.h"

HF_DEFINE_CLEANUP(X509 *, X509_free)
HF_DEFINE_CLEANUP(EVP_PKEY *, EVP_PKEY_free)
HF_DEFINE_CLEANUP(BIO *, BIO_free)
HF_DEFINE_CLEANUP(X509_STORE *, X509_STORE_free)
HF_DEFINE_CLEANUP(X509_STORE_CTX *, X509_STORE_CTX_free)
HF_DEFINE_CLEANUP(GENERAL_NAMES *, GENERAL_NAMES_free)

/* INTERNAL with OpenSSL's own words; empties its queue. */
struct hf_status x509_fail(struct hf_arena *arena, const char *what) HF_MUST_USE;

struct hf_status x509_read_crt(struct hf_ctx *ctx, const char *path, X509 **ret_crt) HF_MUST_USE;
struct hf_status x509_read_key(struct hf_ctx *ctx, const char *path,
                               EVP_PKEY **ret_key) HF_MUST_USE;
/* PEM texts in ctx->arena. */
struct hf_status x509_crt_text(struct hf_ctx *ctx, X509 *crt, const char **ret_text) HF_MUST_USE;
struct hf_status x509_key_text(struct hf_ctx *ctx, EVP_PKEY *key, char **ret_text) HF_MUST_USE;

/* New EC P-256 key. */
struct hf_status x509_make_key(struct hf_ctx *ctx, EVP_PKEY **ret_key) HF_MUST_USE;

struct x509_extension {
    int nid;
    const char *value; /* OpenSSL's configuration syntax */
};

struct x509_draft {
    const char *common_name;
    X509 *issuer;         /* NULL: self-signed */
    EVP_PKEY *issuer_key; /* NULL: own key */
    int64_t not_before_us;
    int64_t not_after_us;
    const struct x509_extension *extensions;
    size_t extensions_len;
};

/* A signed certificate for key. */
struct hf_status x509_make_crt(struct hf_ctx *ctx, const struct x509_draft *draft, EVP_PKEY *key,
                               X509 **ret_crt) HF_MUST_USE;

/* µs since 1970 of an ASN.1 time. */
int64_t x509_time_us(const ASN1_TIME *time);

#endif
