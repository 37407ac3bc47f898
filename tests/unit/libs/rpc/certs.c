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

struct rpc_tls_files test_leaf_write(struct hf_arena *arena, struct test_ca *ca, const char *dir,
                                     const char *name, const struct test_leaf *leaf)
{
    struct rpc_tls_files files;
    EVP_PKEY *key = EVP_EC_gen("P-256");
    HF_CHECK(key != NULL);
    X509 *cert = new_cert(key, leaf, name);
    HF_CHECK(X509_set_issuer_name(cert, X509_get_subject_name(ca->cert)) == 1);
    add_extension(cert, NID_subject_alt_name,
                  leaf->uri == NULL ? "DNS:localhost"
                  : hf_has_prefix(leaf->uri, "DER:")
                      ? leaf->uri
                      : hf_printf(arena, "DNS:localhost,URI:%s", leaf->uri));
    HF_CHECK(X509_sign(cert, ca->key, EVP_sha256()) > 0);
    BIO *bio = BIO_new(BIO_s_mem());
    HF_CHECK(bio != NULL && PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL) == 1);
    files.key_file = write_bio(arena, dir, hf_printf(arena, "%s.key", name), bio);
    files.cert_file = write_cert(arena, dir, hf_printf(arena, "%s.crt", name), cert);
    files.ca_file = write_cert(arena, dir, hf_printf(arena, "%s-ca.crt", name), ca->cert);
    X509_free(cert);
    EVP_PKEY_free(key);
    return files;
}
