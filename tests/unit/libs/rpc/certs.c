/* A small CA with P-256 keys. Every step is checked, a failure aborts the test program. */
#include "certs.h"

#include <openssl/bio.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include "base/check.h"
#include "base/fd.h"

struct test_ca {
    EVP_PKEY *key;
    X509 *cert;
};

static void set_name(X509_NAME *name, const char *text)
{
    HF_CHECK(X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, (const unsigned char *)text, -1,
                                        -1, 0) == 1);
}

static void add_extension(X509 *cert, int nid, const char *value)
{
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, NULL, nid, value);
    HF_CHECK(extension != NULL);
    HF_CHECK(X509_add_ext(cert, extension, -1) == 1);
    X509_EXTENSION_free(extension);
}

static X509 *new_cert(EVP_PKEY *key, const struct test_leaf *leaf, const char *name)
{
    X509 *cert = X509_new();
    HF_CHECK(cert != NULL && X509_set_version(cert, 2) == 1);
    HF_CHECK(ASN1_INTEGER_set(X509_get_serialNumber(cert), leaf->serial) == 1);
    HF_CHECK(X509_gmtime_adj(X509_getm_notBefore(cert), leaf->from_s) != NULL);
    HF_CHECK(X509_gmtime_adj(X509_getm_notAfter(cert), leaf->to_s) != NULL);
    HF_CHECK(X509_set_pubkey(cert, key) == 1);
    set_name(X509_get_subject_name(cert), name);
    return cert;
}

struct test_ca *test_ca_new(void)
{
    struct test_ca *ca = hf_heap_alloc(sizeof(*ca));
    ca->key = EVP_EC_gen("P-256");
    HF_CHECK(ca->key != NULL);
    const struct test_leaf root = {NULL, -86400, 86400, 1};
    ca->cert = new_cert(ca->key, &root, "test root");
    HF_CHECK(X509_set_issuer_name(ca->cert, X509_get_subject_name(ca->cert)) == 1);
    add_extension(ca->cert, NID_basic_constraints, "critical,CA:TRUE");
    HF_CHECK(X509_sign(ca->cert, ca->key, EVP_sha256()) > 0);
    return ca;
}

void test_ca_free(struct test_ca *ca)
{
    X509_free(ca->cert);
    EVP_PKEY_free(ca->key);
    hf_heap_free(ca);
}

static const char *write_bio(struct hf_arena *arena, const char *dir, const char *file, BIO *bio)
{
    char *bytes = NULL;
    long len = BIO_get_mem_data(bio, &bytes);
    const char *path = hf_path_join(arena, dir, file);
    HF_CHECK(hf_is_ok(hf_replace_file(arena, path, bytes, (size_t)len, 0600)));
    BIO_free(bio);
    return path;
}

static const char *write_cert(struct hf_arena *arena, const char *dir, const char *file, X509 *cert)
{
    BIO *bio = BIO_new(BIO_s_mem());
    HF_CHECK(bio != NULL && PEM_write_bio_X509(bio, cert) == 1);
    return write_bio(arena, dir, file, bio);
}

#define BETWEEN_MAX 32

/* Who signs next, and all that a client must send besides its leaf. */
struct chain {
    EVP_PKEY *keys[BETWEEN_MAX];
    X509 *certs[BETWEEN_MAX];
    int len;
};

static void chain_make(struct hf_arena *arena, struct test_ca *ca, const struct test_oddity *oddity,
                       struct chain *chain)
{
    HF_CHECK(oddity->between <= BETWEEN_MAX);
    for (int i = 0; i < oddity->between; i++) {
        const struct test_leaf between = {NULL, -3600, 3600, 100 + i};
        X509 *issuer = i == 0 ? ca->cert : chain->certs[i - 1];
        chain->keys[i] = EVP_EC_gen("P-256");
        HF_CHECK(chain->keys[i] != NULL);
        chain->certs[i] = new_cert(chain->keys[i], &between, hf_printf(arena, "between %d", i));
        HF_CHECK(X509_set_issuer_name(chain->certs[i], X509_get_subject_name(issuer)) == 1);
        add_extension(chain->certs[i], NID_basic_constraints,
                      oddity->is_no_ca ? "critical,CA:FALSE" : "critical,CA:TRUE");
        EVP_PKEY *signer = i == 0 ? ca->key : chain->keys[i - 1];
        HF_CHECK(X509_sign(chain->certs[i], signer, EVP_sha256()) > 0);
        chain->len++;
    }
}

static void chain_free(struct chain *chain)
{
    for (int i = 0; i < chain->len; i++) {
        X509_free(chain->certs[i]);
        EVP_PKEY_free(chain->keys[i]);
    }
}

static X509 *leaf_make(struct hf_arena *arena, EVP_PKEY *key, const char *name,
                       const struct test_leaf *leaf, const struct test_oddity *oddity)
{
    X509 *cert = new_cert(key, leaf, name);
    add_extension(cert, NID_subject_alt_name,
                  leaf->uri == NULL ? "DNS:localhost"
                  : hf_has_prefix(leaf->uri, "DER:")
                      ? leaf->uri
                      : hf_printf(arena, "DNS:localhost,URI:%s", leaf->uri));
    if (oddity->usage != NULL) {
        add_extension(cert, NID_ext_key_usage, oddity->usage);
    }
    return cert;
}

struct rpc_tls_files test_odd_leaf_write(struct hf_arena *arena, struct test_ca *ca,
                                         const char *dir, const char *name,
                                         const struct test_leaf *leaf,
                                         const struct test_oddity *oddity)
{
    struct rpc_tls_files files;
    struct chain chain = {.len = 0};
    EVP_PKEY *key = EVP_EC_gen("P-256");
    HF_CHECK(key != NULL);
    X509 *cert = leaf_make(arena, key, name, leaf, oddity);
    chain_make(arena, ca, oddity, &chain);
    X509 *issuer = chain.len == 0 ? ca->cert : chain.certs[chain.len - 1];
    HF_CHECK(X509_set_issuer_name(cert, X509_get_subject_name(issuer)) == 1);
    EVP_PKEY *signer = chain.len == 0 ? ca->key : chain.keys[chain.len - 1];
    HF_CHECK(X509_sign(cert, signer, EVP_sha256()) > 0);
    BIO *bio = BIO_new(BIO_s_mem());
    HF_CHECK(bio != NULL && PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL) == 1);
    files.key_file = write_bio(arena, dir, hf_printf(arena, "%s.key", name), bio);
    bio = BIO_new(BIO_s_mem());
    HF_CHECK(bio != NULL && PEM_write_bio_X509(bio, cert) == 1);
    for (int i = chain.len; i > 0; i--) {
        HF_CHECK(PEM_write_bio_X509(bio, chain.certs[i - 1]) == 1);
    }
    files.cert_file = write_bio(arena, dir, hf_printf(arena, "%s.crt", name), bio);
    files.ca_file = write_cert(arena, dir, hf_printf(arena, "%s-ca.crt", name), ca->cert);
    chain_free(&chain);
    X509_free(cert);
    EVP_PKEY_free(key);
    return files;
}

struct rpc_tls_files test_leaf_write(struct hf_arena *arena, struct test_ca *ca, const char *dir,
                                     const char *name, const struct test_leaf *leaf)
{
    const struct test_oddity none = {NULL, 0, false};
    return test_odd_leaf_write(arena, ca, dir, name, leaf, &none);
}
