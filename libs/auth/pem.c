/* Uploaded PEM. Surprise: the key is looked at by its label before OpenSSL sees it, because
 * providers may give a meaning of their own to labels that are none of PEM's. */
#include "auth/pem.h"

#include <openssl/bio.h>
#include <openssl/err.h>
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

/* Each block of text is a certificate; ret_first owned by the caller. */
static bool read_certificates(const char *text, BIO *out, X509 **ret_first)
{
    HF_CLEANUP(BIO_free) BIO *in = BIO_new_mem_buf(text, (int)strlen(text));
    size_t len = 0;

    HF_CHECK(in != NULL);
    for (;;) {
        HF_CLEANUP(X509_free) X509 *crt = PEM_read_bio_X509(in, NULL, no_passphrase, NULL);

        if (crt == NULL) {
            break;
        }
        if (++len > PEM_CERTIFICATES_MAX || PEM_write_bio_X509(out, crt) != 1) {
            return false;
        }
        if (*ret_first == NULL) {
            *ret_first = HF_TAKE(crt);
        }
    }
    return len > 0 && len == count(text, "-----BEGIN ") &&
           ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
}

static struct hf_status take_certificates(struct hf_ctx *ctx, const char *text, const char *reason,
                                          const char *what, X509 **ret_first, const char **ret_text)
{
    HF_CLEANUP(BIO_free) BIO *out = BIO_new(BIO_s_mem());

    HF_CHECK(out != NULL);
    ERR_clear_error();
    if (strlen(text) > PEM_TEXT_MAX || !read_certificates(text, out, ret_first)) {
        return invalid(ctx, reason, what);
    }
    ERR_clear_error();
    *ret_text = bio_text(ctx, out);
    return hf_success();
}

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
    HF_CLEANUP(X509_free) X509 *ca = NULL;
    HF_CLEANUP(X509_free) X509 *crt = NULL;
    struct pem_texts texts = {NULL, NULL, NULL};

    if (!hf_text_empty(given->ca)) {
        HF_TRY(take_certificates(ctx, given->ca, "CA_INVALID",
                                 "the authority is not 1 to 32 certificates in PEM of at most 64 "
                                 "KiB and nothing else",
                                 &ca, &texts.ca));
    }
    if (hf_text_empty(given->cert) != hf_text_empty(given->key)) {
        return hf_text_empty(given->key) ? invalid(ctx, "CERTIFICATE_WITHOUT_KEY",
                                                   "a certificate needs its key: --key-file")
                                         : invalid(ctx, "KEY_WITHOUT_CERTIFICATE",
                                                   "a key needs its certificate: --cert-file");
    }
    if (!hf_text_empty(given->cert)) {
        HF_TRY(take_certificates(ctx, given->cert, "CERTIFICATE_INVALID",
                                 "the certificate is not 1 to 32 certificates in PEM of at most 64 "
                                 "KiB and nothing else",
                                 &crt, &texts.cert));
        HF_TRY(take_key(ctx, given->key, crt, &texts.key));
    }
    *ret_texts = texts;
    return hf_success();
}
