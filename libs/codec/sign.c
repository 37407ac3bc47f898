/* Ed25519 and X25519 over EVP. The surprise: a PEM file is read with an empty passphrase, so that
 * an encrypted file is refused instead of asking on the terminal. */
#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <string.h>

#include "base/check.h"
#include "codec/hash.h"
#include "codec/seal.h"

HF_DEFINE_CLEANUP(EVP_PKEY *, EVP_PKEY_free)
HF_DEFINE_CLEANUP(EVP_MD_CTX *, EVP_MD_CTX_free)
HF_DEFINE_CLEANUP(EVP_PKEY_CTX *, EVP_PKEY_CTX_free)
HF_DEFINE_CLEANUP(BIO *, BIO_vfree)

static EVP_PKEY *key_private(int type, const uint8_t *bytes)
{
    EVP_PKEY *key = EVP_PKEY_new_raw_private_key(type, NULL, bytes, CODEC_KEY_LEN);

    HF_CHECK(key != NULL);
    return key;
}

static void key_halves(const EVP_PKEY *key, uint8_t *ret_private, uint8_t *ret_public)
{
    size_t len = CODEC_KEY_LEN;

    if (ret_private != NULL) {
        HF_CHECK(EVP_PKEY_get_raw_private_key(key, ret_private, &len) == 1);
        HF_CHECK(len == CODEC_KEY_LEN);
    }
    if (ret_public != NULL) {
        HF_CHECK(EVP_PKEY_get_raw_public_key(key, ret_public, &len) == 1);
        HF_CHECK(len == CODEC_KEY_LEN);
    }
}

static void key_make(const char *type, uint8_t *ret_private, uint8_t *ret_public)
{
    HF_CLEANUP(EVP_PKEY_free) EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, type);

    HF_CHECK(key != NULL);
    key_halves(key, ret_private, ret_public);
}

void codec_ed25519_make(uint8_t ret_private[CODEC_KEY_LEN], uint8_t ret_public[CODEC_KEY_LEN])
{
    key_make("ED25519", ret_private, ret_public);
}

void codec_ed25519_public(const uint8_t private_key[CODEC_KEY_LEN],
                          uint8_t ret_public[CODEC_KEY_LEN])
{
    HF_CLEANUP(EVP_PKEY_free) EVP_PKEY *key = key_private(EVP_PKEY_ED25519, private_key);

    key_halves(key, NULL, ret_public);
}

void codec_ed25519_sign(const uint8_t private_key[CODEC_KEY_LEN], struct hf_bytes bytes,
                        uint8_t ret_signature[CODEC_SIGNATURE_LEN])
{
    HF_CLEANUP(EVP_PKEY_free) EVP_PKEY *key = key_private(EVP_PKEY_ED25519, private_key);
    HF_CLEANUP(EVP_MD_CTX_free) EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    size_t len = CODEC_SIGNATURE_LEN;

    HF_CHECK(ctx != NULL && EVP_DigestSignInit(ctx, NULL, NULL, NULL, key) == 1);
    HF_CHECK(EVP_DigestSign(ctx, ret_signature, &len, bytes.ptr, bytes.len) == 1);
    HF_CHECK(len == CODEC_SIGNATURE_LEN);
}

bool codec_ed25519_verify(const uint8_t public_key[CODEC_KEY_LEN], struct hf_bytes bytes,
                          const uint8_t signature[CODEC_SIGNATURE_LEN])
{
    HF_CLEANUP(EVP_PKEY_free)
    EVP_PKEY *key = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, public_key, CODEC_KEY_LEN);
    HF_CLEANUP(EVP_MD_CTX_free) EVP_MD_CTX *ctx = EVP_MD_CTX_new();

    HF_CHECK(ctx != NULL);
    return key != NULL && EVP_DigestVerifyInit(ctx, NULL, NULL, NULL, key) == 1 &&
           EVP_DigestVerify(ctx, signature, CODEC_SIGNATURE_LEN, bytes.ptr, bytes.len) == 1;
}

char *codec_ed25519_pem(struct hf_arena *arena, const uint8_t private_key[CODEC_KEY_LEN])
{
    HF_CLEANUP(EVP_PKEY_free) EVP_PKEY *key = key_private(EVP_PKEY_ED25519, private_key);
    HF_CLEANUP(BIO_vfree) BIO *bio = BIO_new(BIO_s_secmem());
    char text[512];
    int len;

    HF_CHECK(bio != NULL);
    HF_CHECK(PEM_write_bio_PKCS8PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL) == 1);
    len = BIO_read(bio, text, sizeof(text));
    HF_CHECK(len > 0 && (size_t)len < sizeof(text));
    char *pem = hf_strndup(arena, text, (size_t)len);
    codec_wipe(text, sizeof(text));
    return pem;
}

bool codec_ed25519_from_pem(struct hf_str pem, uint8_t ret_private[CODEC_KEY_LEN])
{
    HF_CLEANUP(BIO_vfree) BIO *bio = NULL;
    HF_CLEANUP(EVP_PKEY_free) EVP_PKEY *key = NULL;
    char no_passphrase[] = "";

    if (pem.len == 0 || pem.len > 65536) {
        return false;
    }
    bio = BIO_new_mem_buf(pem.ptr, (int)pem.len);
    HF_CHECK(bio != NULL);
    key = PEM_read_bio_PrivateKey(bio, NULL, NULL, no_passphrase);
    if (key == NULL || EVP_PKEY_get_id(key) != EVP_PKEY_ED25519) {
        return false;
    }
    key_halves(key, ret_private, NULL);
    return true;
}

void codec_x25519_make(uint8_t ret_private[CODEC_KEY_LEN], uint8_t ret_public[CODEC_KEY_LEN])
{
    key_make("X25519", ret_private, ret_public);
}

void codec_x25519_public(const uint8_t private_key[CODEC_KEY_LEN],
                         uint8_t ret_public[CODEC_KEY_LEN])
{
    HF_CLEANUP(EVP_PKEY_free) EVP_PKEY *key = key_private(EVP_PKEY_X25519, private_key);

    key_halves(key, NULL, ret_public);
}

bool codec_x25519(const uint8_t private_key[CODEC_KEY_LEN],
                  const uint8_t peer_public[CODEC_KEY_LEN], uint8_t ret_shared[CODEC_KEY_LEN])
{
    HF_CLEANUP(EVP_PKEY_free) EVP_PKEY *key = key_private(EVP_PKEY_X25519, private_key);
    HF_CLEANUP(EVP_PKEY_free)
    EVP_PKEY *peer = EVP_PKEY_new_raw_public_key(EVP_PKEY_X25519, NULL, peer_public, CODEC_KEY_LEN);
    HF_CLEANUP(EVP_PKEY_CTX_free) EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(key, NULL);
    size_t len = CODEC_KEY_LEN;

    HF_CHECK(peer != NULL && ctx != NULL && EVP_PKEY_derive_init(ctx) == 1);
    return EVP_PKEY_derive_set_peer(ctx, peer) == 1 &&
           EVP_PKEY_derive(ctx, ret_shared, &len) == 1 && len == CODEC_KEY_LEN;
}
