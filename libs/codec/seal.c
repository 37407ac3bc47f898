/* AES-256-GCM and AES-256-SIV over EVP. The surprise: a codec_gcm keeps its two EVP contexts with
 * the cipher already fetched, because an implicit fetch takes a global lock at each call. */
#include "codec/seal.h"

#include <limits.h>
#include <openssl/evp.h>

#include "base/check.h"
#include "codec/hash.h"

#define SEAL_MAX (1u << 30)

struct codec_gcm {
    EVP_CIPHER *cipher;
    EVP_CIPHER_CTX *seal;
    EVP_CIPHER_CTX *open;
};

struct codec_gcm *codec_gcm_new(void)
{
    struct codec_gcm *gcm = hf_heap_alloc(sizeof(*gcm));

    gcm->cipher = EVP_CIPHER_fetch(NULL, "AES-256-GCM", NULL);
    gcm->seal = EVP_CIPHER_CTX_new();
    gcm->open = EVP_CIPHER_CTX_new();
    HF_CHECK(gcm->cipher != NULL && gcm->seal != NULL && gcm->open != NULL);
    HF_CHECK(EVP_EncryptInit_ex2(gcm->seal, gcm->cipher, NULL, NULL, NULL) == 1);
    HF_CHECK(EVP_DecryptInit_ex2(gcm->open, gcm->cipher, NULL, NULL, NULL) == 1);
    return gcm;
}

void codec_gcm_free(struct codec_gcm *gcm)
{
    if (gcm != NULL) {
        EVP_CIPHER_CTX_free(gcm->seal); /* wipes the key schedule */
        EVP_CIPHER_CTX_free(gcm->open);
        EVP_CIPHER_free(gcm->cipher);
        hf_heap_free(gcm);
    }
}

void codec_gcm_seal(struct codec_gcm *gcm, const struct codec_gcm_params *params,
                    struct hf_bytes plain, uint8_t *ret_sealed)
{
    int len = 0;

    HF_CHECK(plain.len <= SEAL_MAX && params->aad.len <= SEAL_MAX);
    HF_CHECK(EVP_EncryptInit_ex2(gcm->seal, NULL, params->key, params->nonce, NULL) == 1);
    HF_CHECK(EVP_EncryptUpdate(gcm->seal, NULL, &len, params->aad.ptr, (int)params->aad.len) == 1);
    if (plain.len > 0) {
        HF_CHECK(EVP_EncryptUpdate(gcm->seal, ret_sealed, &len, plain.ptr, (int)plain.len) == 1);
    }
    HF_CHECK(EVP_EncryptFinal_ex(gcm->seal, ret_sealed + plain.len, &len) == 1);
    HF_CHECK(EVP_CIPHER_CTX_ctrl(gcm->seal, EVP_CTRL_AEAD_GET_TAG, CODEC_TAG_LEN,
                                 ret_sealed + plain.len) == 1);
}

bool codec_gcm_open(struct codec_gcm *gcm, const struct codec_gcm_params *params,
                    struct hf_bytes sealed, uint8_t *ret_plain)
{
    uint8_t tag[CODEC_TAG_LEN];
    uint8_t rest[CODEC_TAG_LEN];
    size_t plain_len;
    int len = 0;

    if (sealed.len < CODEC_TAG_LEN || sealed.len > SEAL_MAX) {
        return false;
    }
    plain_len = sealed.len - CODEC_TAG_LEN;
    for (size_t i = 0; i < CODEC_TAG_LEN; i++) {
        tag[i] = sealed.ptr[plain_len + i];
    }
    HF_CHECK(EVP_DecryptInit_ex2(gcm->open, NULL, params->key, params->nonce, NULL) == 1);
    HF_CHECK(EVP_DecryptUpdate(gcm->open, NULL, &len, params->aad.ptr, (int)params->aad.len) == 1);
    if (plain_len > 0) {
        HF_CHECK(EVP_DecryptUpdate(gcm->open, ret_plain, &len, sealed.ptr, (int)plain_len) == 1);
    }
    HF_CHECK(EVP_CIPHER_CTX_ctrl(gcm->open, EVP_CTRL_AEAD_SET_TAG, CODEC_TAG_LEN, tag) == 1);
    return EVP_DecryptFinal_ex(gcm->open, rest, &len) == 1;
}

static EVP_CIPHER_CTX *siv_begin(const uint8_t *key, const struct hf_bytes *aad, size_t count,
                                 int is_sealing)
{
    EVP_CIPHER *cipher = EVP_CIPHER_fetch(NULL, "AES-256-SIV", NULL);
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();

    HF_CHECK(cipher != NULL && ctx != NULL);
    HF_CHECK(EVP_CipherInit_ex2(ctx, cipher, key, NULL, is_sealing, NULL) == 1);
    for (size_t i = 0; i < count; i++) {
        int len = 0;

        HF_CHECK(aad[i].len > 0 && aad[i].len <= SEAL_MAX);
        HF_CHECK(EVP_CipherUpdate(ctx, NULL, &len, aad[i].ptr, (int)aad[i].len) == 1);
    }
    EVP_CIPHER_free(cipher);
    return ctx;
}

void codec_siv_seal(const uint8_t key[CODEC_SIV_KEY_LEN], const struct hf_bytes *aad, size_t count,
                    struct hf_bytes plain, uint8_t *ret_sealed)
{
    EVP_CIPHER_CTX *ctx = siv_begin(key, aad, count, 1);
    int len = 0;

    HF_CHECK(plain.len > 0 && plain.len <= SEAL_MAX);
    HF_CHECK(EVP_EncryptUpdate(ctx, ret_sealed + CODEC_TAG_LEN, &len, plain.ptr, (int)plain.len) ==
             1);
    HF_CHECK(EVP_EncryptFinal_ex(ctx, ret_sealed + CODEC_TAG_LEN + plain.len, &len) == 1);
    HF_CHECK(EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, CODEC_TAG_LEN, ret_sealed) == 1);
    EVP_CIPHER_CTX_free(ctx);
}

bool codec_siv_open(const uint8_t key[CODEC_SIV_KEY_LEN], const struct hf_bytes *aad, size_t count,
                    struct hf_bytes sealed, uint8_t *ret_plain)
{
    EVP_CIPHER_CTX *ctx = NULL;
    uint8_t tag[CODEC_TAG_LEN];
    int len = 0;
    bool is_authentic;

    if (sealed.len <= CODEC_TAG_LEN || sealed.len > SEAL_MAX) {
        return false;
    }
    for (size_t i = 0; i < CODEC_TAG_LEN; i++) {
        tag[i] = sealed.ptr[i];
    }
    ctx = siv_begin(key, aad, count, 0);
    HF_CHECK(EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, CODEC_TAG_LEN, tag) == 1);
    is_authentic = EVP_DecryptUpdate(ctx, ret_plain, &len, sealed.ptr + CODEC_TAG_LEN,
                                     (int)(sealed.len - CODEC_TAG_LEN)) == 1;
    EVP_CIPHER_CTX_free(ctx);
    return is_authentic;
}
