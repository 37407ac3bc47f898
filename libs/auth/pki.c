/* The built-in CA. A leaf never outlives its CA, and the CA signs leaves only (path length 0). */
#include "auth/pki.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <string.h>

#include "auth/x509.h"
#include "base/buf.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/str.h"
#include "codec/hash.h"

#define SKEW_US (5 * 60 * HF_US_PER_S)

static struct hf_status put_key(struct hf_ctx *ctx, const char *path, char *text)
{
    struct hf_status status = hf_replace_file(ctx->arena, path, text, strlen(text), 0600);

    codec_wipe(text, strlen(text));
    return status;
}

static struct hf_status write_key(struct hf_ctx *ctx, const char *path, EVP_PKEY *key)
{
    char *text = NULL;

    HF_TRY(x509_key_text(ctx, key, &text));
    return put_key(ctx, path, text);
}

static struct hf_status write_crt(struct hf_ctx *ctx, const char *path, X509 *crt)
{
    const char *text = NULL;

    HF_TRY(x509_crt_text(ctx, crt, &text));
    return hf_replace_file(ctx->arena, path, text, strlen(text), 0644);
}

struct hf_status pki_ca_create(struct hf_ctx *ctx, const char *dir, const char *install_id,
                               int64_t validity_s)
{
    static const struct x509_extension extensions[] = {
        {NID_basic_constraints, "critical,CA:TRUE,pathlen:0"},
        {NID_key_usage, "critical,keyCertSign,cRLSign"},
        {NID_subject_key_identifier, "hash"},
    };
    HF_CLEANUP(EVP_PKEY_free) EVP_PKEY *key = NULL;
    HF_CLEANUP(X509_free) X509 *crt = NULL;
    const char *key_path = hf_path_join(ctx->arena, dir, "ca.key");
    int64_t now_us = hf_now_us();
    struct x509_draft draft = {
        .common_name = hf_printf(ctx->arena, "Holdfast CA %.8s", install_id),
        .not_before_us = now_us - SKEW_US,
        .not_after_us = now_us + validity_s * HF_US_PER_S,
        .extensions = extensions,
        .extensions_len = HF_LEN(extensions),
    };

    if (hf_path_exists(key_path)) {
        return hf_fail(ctx->arena, HF_ALREADY_EXISTS, "%s is there already", key_path);
    }
    HF_TRY(hf_make_dirs(ctx->arena, dir, 0700));
    HF_TRY(x509_make_key(ctx, &key));
    HF_TRY(x509_make_crt(ctx, &draft, key, &crt));
    HF_TRY(write_crt(ctx, hf_path_join(ctx->arena, dir, "ca.crt"), crt));
    return write_key(ctx, key_path, key);
}

static struct hf_status check_request(struct hf_ctx *ctx, const struct pki_request *request)
{
    bool is_kind = hf_text_equal(request->kind, "client") ||
                   hf_text_equal(request->kind, "service") || hf_text_equal(request->kind, "agent");

    if (!is_kind || !hf_is_name(request->name)) {
        return hf_fail(ctx->arena, HF_INVALID_ARGUMENT,
                       "%s/%s is no identity: expected client, service or agent and a name of "
                       "[a-z][a-z0-9-]{0,39}",
                       request->kind, request->name);
    }
    if (request->validity_s <= 0) {
        return hf_fail(ctx->arena, HF_INVALID_ARGUMENT, "the validity must be positive");
    }
    return hf_success();
}

static const char *alt_names(struct hf_ctx *ctx, const struct pki_request *request)
{
    const char *uri = hf_printf(ctx->arena, "URI:spiffe://%s/%s/%s", request->install_id,
                                request->kind, request->name);

    if (!request->is_server) {
        return uri;
    }
    return hf_printf(ctx->arena, "%s,DNS:localhost,IP:127.0.0.1,IP:::1%s%s", uri,
                     request->dns == NULL ? "" : ",DNS:", request->dns == NULL ? "" : request->dns);
}

static struct hf_status make_leaf(struct hf_ctx *ctx, const struct pki_request *request, X509 *ca,
                                  EVP_PKEY *ca_key, EVP_PKEY *key, X509 **ret_crt)
{
    const struct x509_extension extensions[] = {
        {NID_basic_constraints, "critical,CA:FALSE"},
        {NID_key_usage, "critical,digitalSignature"},
        {NID_ext_key_usage, request->is_server ? "serverAuth,clientAuth" : "clientAuth"},
        {NID_subject_alt_name, alt_names(ctx, request)},
        {NID_subject_key_identifier, "hash"},
        {NID_authority_key_identifier, "keyid"},
    };
    int64_t now_us = hf_now_us();
    int64_t start_us = request->not_before_us != 0 ? request->not_before_us : now_us - SKEW_US;
    int64_t end_us =
        (request->not_before_us != 0 ? start_us : now_us) + request->validity_s * HF_US_PER_S;
    int64_t ca_end_us = x509_time_us(X509_get0_notAfter(ca));
    struct x509_draft draft = {
        .common_name = request->name,
        .issuer = ca,
        .issuer_key = ca_key,
        .not_before_us = start_us,
        .not_after_us = end_us < ca_end_us ? end_us : ca_end_us,
        .extensions = extensions,
        .extensions_len = HF_LEN(extensions),
    };

    if (ca_end_us <= now_us) {
        return hf_fail(ctx->arena, HF_FAILED_PRECONDITION, "the CA in %s has expired",
                       request->ca_dir);
    }
    return x509_make_crt(ctx, &draft, key, ret_crt);
}

struct hf_status pki_sign(struct hf_ctx *ctx, const struct pki_request *request,
                          struct pki_issued *ret_issued)
{
    HF_CLEANUP(X509_free) X509 *ca = NULL;
    HF_CLEANUP(EVP_PKEY_free) EVP_PKEY *ca_key = NULL;
    HF_CLEANUP(EVP_PKEY_free) EVP_PKEY *key = NULL;
    HF_CLEANUP(X509_free) X509 *crt = NULL;
    struct pki_issued issued = {.crt = NULL};

    HF_TRY(check_request(ctx, request));
    HF_TRY(x509_read_crt(ctx, hf_path_join(ctx->arena, request->ca_dir, "ca.crt"), &ca));
    HF_TRY(x509_read_key(ctx, hf_path_join(ctx->arena, request->ca_dir, "ca.key"), &ca_key));
    HF_TRY(x509_make_key(ctx, &key));
    HF_TRY(make_leaf(ctx, request, ca, ca_key, key, &crt));
    HF_TRY(x509_crt_text(ctx, crt, &issued.crt));
    HF_TRY(x509_crt_text(ctx, ca, &issued.ca));
    HF_TRY(x509_key_text(ctx, key, &issued.key));
    issued.not_after_us = x509_time_us(X509_get0_notAfter(crt));
    *ret_issued = issued;
    return hf_success();
}

struct hf_status pki_issue(struct hf_ctx *ctx, const struct pki_request *request)
{
    struct hf_arena *arena = ctx->arena;
    const char *dir = request->out_dir;
    struct pki_issued issued;

    HF_TRY(pki_sign(ctx, request, &issued));
    HF_TRY(hf_make_dirs(arena, dir, 0700));
    HF_TRY(put_key(ctx, hf_path_join(arena, dir, "tls.key"), issued.key));
    HF_TRY(hf_replace_file(arena, hf_path_join(arena, dir, "tls.crt"), issued.crt,
                           strlen(issued.crt), 0644));
    return hf_replace_file(arena, hf_path_join(arena, dir, "ca.crt"), issued.ca, strlen(issued.ca),
                           0644);
}

static const char *first_uri(struct hf_ctx *ctx, const X509 *crt)
{
    HF_CLEANUP(GENERAL_NAMES_free)
    GENERAL_NAMES *names = X509_get_ext_d2i(crt, NID_subject_alt_name, NULL, NULL);

    for (int i = 0; names != NULL && i < sk_GENERAL_NAME_num(names); i++) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
        if (name->type == GEN_URI) {
            const ASN1_STRING *text = name->d.uniformResourceIdentifier;
            return hf_strndup(ctx->arena, (const char *)ASN1_STRING_get0_data(text),
                              (size_t)ASN1_STRING_length(text));
        }
    }
    return "";
}

struct hf_status pki_read(struct hf_ctx *ctx, const char *crt_path, struct pki_facts *ret_facts)
{
    HF_CLEANUP(X509_free) X509 *crt = NULL;

    HF_TRY(x509_read_crt(ctx, crt_path, &crt));
    const ASN1_INTEGER *serial = X509_get0_serialNumber(crt);
    *ret_facts = (struct pki_facts){
        .uri = first_uri(ctx, crt),
        .not_before_us = x509_time_us(X509_get0_notBefore(crt)),
        .not_after_us = x509_time_us(X509_get0_notAfter(crt)),
        .serial =
            hf_hex(ctx->arena, ASN1_STRING_get0_data(serial), (size_t)ASN1_STRING_length(serial)),
    };
    return hf_success();
}

static struct hf_status verify_failed(struct hf_ctx *ctx, const char *path, int error)
{
    bool is_expired = error == X509_V_ERR_CERT_HAS_EXPIRED;
    const char *const metadata[] = {"certificate", path, NULL};

    return hf_fail_info(ctx->arena, HF_UNAUTHENTICATED,
                        is_expired ? "CERTIFICATE_EXPIRED" : "CERTIFICATE_INVALID", metadata,
                        "certificate %s: %s", path, X509_verify_cert_error_string(error));
}

static struct hf_status load_roots(struct hf_ctx *ctx, const char *ca_path, X509_STORE *store)
{
    HF_CLEANUP(hf_buf_done) struct hf_buf buf = {0};
    HF_CLEANUP(BIO_free) BIO *bio = NULL;
    int count = 0;

    hf_buf_init(&buf, 256 * 1024);
    HF_TRY(hf_read_file(ctx->arena, ca_path, &buf));
    bio = BIO_new_mem_buf(hf_buf_text(&buf), (int)buf.len);
    HF_CHECK(bio != NULL);
    for (;;) {
        HF_CLEANUP(X509_free) X509 *root = PEM_read_bio_X509(bio, NULL, NULL, NULL);
        if (root == NULL) {
            break;
        }
        if (X509_STORE_add_cert(store, root) != 1) {
            return x509_fail(ctx->arena, ca_path);
        }
        count++;
    }
    ERR_clear_error();
    if (count == 0) {
        return hf_fail(ctx->arena, HF_INVALID_ARGUMENT, "%s has no certificate", ca_path);
    }
    return hf_success();
}

struct hf_status pki_verify(struct hf_ctx *ctx, const char *crt_path, const char *ca_path,
                            int64_t time_us)
{
    HF_CLEANUP(X509_free) X509 *crt = NULL;
    HF_CLEANUP(X509_STORE_free) X509_STORE *store = X509_STORE_new();
    HF_CLEANUP(X509_STORE_CTX_free) X509_STORE_CTX *check = X509_STORE_CTX_new();

    HF_CHECK(store != NULL && check != NULL);
    HF_TRY(x509_read_crt(ctx, crt_path, &crt));
    HF_TRY(load_roots(ctx, ca_path, store));
    HF_CHECK(X509_STORE_CTX_init(check, store, crt, NULL) == 1);
    X509_STORE_CTX_set_time(check, 0, (time_us == 0 ? hf_now_us() : time_us) / HF_US_PER_S);
    if (X509_verify_cert(check) == 1) {
        return hf_success();
    }
    struct hf_status status = verify_failed(ctx, crt_path, X509_STORE_CTX_get_error(check));
    ERR_clear_error();
    return status;
}

bool pki_key_fits(struct hf_ctx *ctx, const char *crt_path, const char *key_path)
{
    HF_CLEANUP(X509_free) X509 *crt = NULL;
    HF_CLEANUP(EVP_PKEY_free) EVP_PKEY *key = NULL;

    if (!hf_is_ok(x509_read_crt(ctx, crt_path, &crt)) ||
        !hf_is_ok(x509_read_key(ctx, key_path, &key))) {
        return false;
    }
    bool fits = X509_check_private_key(crt, key) == 1;

    ERR_clear_error();
    return fits;
}

struct hf_status pki_bundle_add(struct hf_ctx *ctx, const char *bundle_path, const char *crt_path)
{
    HF_CLEANUP(hf_buf_done) struct hf_buf bundle = {0};
    HF_CLEANUP(hf_buf_done) struct hf_buf added = {0};
    HF_CLEANUP(X509_free) X509 *checked = NULL;

    hf_buf_init(&bundle, 256 * 1024);
    hf_buf_init(&added, 64 * 1024);
    HF_TRY(x509_read_crt(ctx, crt_path, &checked));
    HF_TRY(hf_read_file(ctx->arena, crt_path, &added));
    if (hf_path_exists(bundle_path)) {
        HF_TRY(hf_read_file(ctx->arena, bundle_path, &bundle));
    }
    if (strstr(hf_buf_text(&bundle), hf_buf_text(&added)) != NULL) {
        return hf_success();
    }
    hf_buf_append(&bundle, added.ptr, added.len);
    HF_TRY(hf_buf_status(&bundle, ctx->arena, bundle_path));
    return hf_replace_file(ctx->arena, bundle_path, bundle.ptr, bundle.len, 0644);
}
