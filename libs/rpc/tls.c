/* Reads and judges certificate files, so that a person is told which file is wrong and what makes
 * a new one: on the wire a refused certificate is only a closed connection. */
#include "rpc/tls.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509_vfy.h>
#include <string.h>
#include <time.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/fd.h"
#include "rpc/tls_files.h"

#define MAX_FILE_BYTES (1024 * 1024)
#define MAX_CHAIN 16
#define REMEDY "'holdfast certs issue NAME --out DIR' makes a new one"

HF_DEFINE_CLEANUP(BIO *, BIO_free_all)
HF_DEFINE_CLEANUP(EVP_PKEY *, EVP_PKEY_free)
HF_DEFINE_CLEANUP(X509_STORE *, X509_STORE_free)
HF_DEFINE_CLEANUP(X509_STORE_CTX *, X509_STORE_CTX_free)

static void x509_chain_free(STACK_OF(X509) * chain)
{
    sk_X509_pop_free(chain, X509_free);
}
HF_DEFINE_CLEANUP(STACK_OF(X509) *, x509_chain_free)

static struct hf_status refuse(struct hf_arena *arena, const char *reason, const char *file,
                               const char *text)
{
    const char *const metadata[] = {"file", file, NULL};
    return hf_fail_info(arena, HF_FAILED_PRECONDITION, reason, metadata, "%s: %s; " REMEDY, file,
                        text);
}

static struct hf_status read_pem(struct hf_arena *arena, const char *below, const char *path,
                                 const char **ret_text)
{
    HF_CLEANUP(hf_buf_done) struct hf_buf buf = {0};
    hf_buf_init(&buf, MAX_FILE_BYTES);
    struct hf_status status = below == NULL
                                  ? hf_read_file(arena, path, &buf)
                                  : hf_read_below(arena, below, path + strlen(below) + 1, &buf);
    if (status.code == HF_NOT_FOUND) {
        return refuse(arena, "CERTIFICATE_MISSING", path, "file does not exist");
    }
    if (!hf_is_ok(status)) {
        return refuse(arena, "CERTIFICATE_UNREADABLE", path, status.message);
    }
    *ret_text = hf_strdup(arena, hf_buf_text(&buf));
    return hf_success();
}

struct hf_status rpc_tls_load(struct hf_arena *arena, const struct rpc_tls_files *files,
                              struct rpc_tls_pem *ret_pem)
{
    struct rpc_tls_pem pem = {NULL, NULL, NULL};
    HF_TRY(read_pem(arena, files->below, files->ca_file, &pem.ca));
    HF_TRY(read_pem(arena, files->below, files->cert_file, &pem.cert));
    HF_TRY(read_pem(arena, files->below, files->key_file, &pem.key));
    *ret_pem = pem;
    return hf_success();
}

/* All certificates of a PEM text; at most MAX_CHAIN. */
static STACK_OF(X509) * read_chain(const char *pem)
{
    STACK_OF(X509) *chain = sk_X509_new_null();
    HF_CLEANUP(BIO_free_all) BIO *bio = BIO_new_mem_buf(pem, -1);
    while (chain != NULL && bio != NULL && sk_X509_num(chain) < MAX_CHAIN) {
        X509 *cert = PEM_read_bio_X509(bio, NULL, NULL, NULL);
        if (cert == NULL) {
            break;
        }
        (void)sk_X509_push(chain, cert);
    }
    ERR_clear_error();
    return chain;
}

static EVP_PKEY *read_key(const char *pem)
{
    HF_CLEANUP(BIO_free_all) BIO *bio = BIO_new_mem_buf(pem, -1);
    char no_password[] = ""; /* given, so that an encrypted key fails and nobody is asked */
    EVP_PKEY *key = bio == NULL ? NULL : PEM_read_bio_PrivateKey(bio, NULL, NULL, no_password);
    ERR_clear_error();
    return key;
}

static const char *time_of(struct hf_arena *arena, const ASN1_TIME *time)
{
    struct tm tm = {0};
    if (ASN1_TIME_to_tm(time, &tm) != 1) {
        return "an unreadable time";
    }
    return hf_time_text(arena, (int64_t)timegm(&tm) * HF_US_PER_S);
}

static struct hf_status judge_time(struct hf_arena *arena, const char *file, const X509 *cert)
{
    const ASN1_TIME *after = X509_get0_notAfter(cert);
    const ASN1_TIME *before = X509_get0_notBefore(cert);
    if (X509_cmp_time(after, NULL) <= 0) {
        return refuse(arena, "CERTIFICATE_EXPIRED", file,
                      hf_printf(arena, "certificate expired at %s", time_of(arena, after)));
    }
    if (X509_cmp_time(before, NULL) > 0) {
        return refuse(arena, "CERTIFICATE_NOT_YET_VALID", file,
                      hf_printf(arena, "certificate is valid from %s", time_of(arena, before)));
    }
    return hf_success();
}

static struct hf_status judge_chain(struct hf_arena *arena, const struct rpc_tls_files *files,
                                    STACK_OF(X509) * chain, STACK_OF(X509) * roots)
{
    HF_CLEANUP(X509_STORE_free) X509_STORE *store = X509_STORE_new();
    HF_CLEANUP(X509_STORE_CTX_free) X509_STORE_CTX *verify = X509_STORE_CTX_new();
    for (int i = 0; store != NULL && i < sk_X509_num(roots); i++) {
        (void)X509_STORE_add_cert(store, sk_X509_value(roots, i));
    }
    if (store == NULL || verify == NULL ||
        X509_STORE_CTX_init(verify, store, sk_X509_value(chain, 0), chain) != 1) {
        return refuse(arena, "CERTIFICATE_UNREADABLE", files->cert_file, "cannot be checked");
    }
    int is_good = X509_verify_cert(verify);
    int error = X509_STORE_CTX_get_error(verify);
    ERR_clear_error();
    if (is_good != 1) {
        return refuse(arena, "CERTIFICATE_UNTRUSTED", files->cert_file,
                      hf_printf(arena, "not trusted by %s: %s", files->ca_file,
                                X509_verify_cert_error_string(error)));
    }
    return hf_success();
}

struct hf_status rpc_tls_judge(struct hf_arena *arena, const struct rpc_tls_files *files,
                               const struct rpc_tls_pem *pem)
{
    HF_CLEANUP(x509_chain_free) STACK_OF(X509) *chain = read_chain(pem->cert);
    HF_CLEANUP(x509_chain_free) STACK_OF(X509) *roots = read_chain(pem->ca);
    HF_CLEANUP(EVP_PKEY_free) EVP_PKEY *key = read_key(pem->key);
    if (chain == NULL || sk_X509_num(chain) == 0) {
        return refuse(arena, "CERTIFICATE_UNREADABLE", files->cert_file, "holds no certificate");
    }
    if (roots == NULL || sk_X509_num(roots) == 0) {
        return refuse(arena, "CERTIFICATE_UNREADABLE", files->ca_file, "holds no certificate");
    }
    if (key == NULL) {
        return refuse(arena, "CERTIFICATE_UNREADABLE", files->key_file, "holds no private key");
    }
    const X509 *leaf = sk_X509_value(chain, 0);
    HF_TRY(judge_time(arena, files->cert_file, leaf));
    if (X509_check_private_key(leaf, key) != 1) {
        ERR_clear_error();
        return refuse(arena, "CERTIFICATE_KEY_MISMATCH", files->key_file,
                      hf_printf(arena, "key does not belong to %s", files->cert_file));
    }
    return judge_chain(arena, files, chain, roots);
}

struct hf_status rpc_tls_check(struct hf_arena *arena, const struct rpc_tls_files *files)
{
    struct rpc_tls_pem pem = {NULL, NULL, NULL};
    HF_TRY(rpc_tls_load(arena, files, &pem));
    return rpc_tls_judge(arena, files, &pem);
}
