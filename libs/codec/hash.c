/* SHA-256, HMAC and HKDF. The surprise: OpenSSL's low-level SHA256_* calls are used although 3.0
 * marks them as deprecated. Their state is a plain struct, so a keyed digest of an 8 KiB page is
 * two struct copies and no allocation; EVP contexts cost a heap object and a fetch per digest. */
#define OPENSSL_SUPPRESS_DEPRECATED
#include "codec/hash.h"

#include <openssl/crypto.h>
#include <openssl/sha.h>
#include <string.h>

#include "base/check.h"

#define SHA_BLOCK 64

_Static_assert(sizeof(SHA256_CTX) <= sizeof(struct codec_sha256), "room for the state");

static SHA256_CTX sha_load(const struct codec_sha256 *sha)
{
    SHA256_CTX ctx;

    memcpy(&ctx, sha, sizeof(ctx));
    return ctx;
}

static void sha_store(struct codec_sha256 *sha, const SHA256_CTX *ctx)
{
    memcpy(sha, ctx, sizeof(*ctx));
}

void codec_sha256_init(struct codec_sha256 *sha)
{
    SHA256_CTX ctx;

    memset(sha, 0, sizeof(*sha));
    HF_CHECK(SHA256_Init(&ctx) == 1);
    sha_store(sha, &ctx);
}

void codec_sha256_add(struct codec_sha256 *sha, const void *bytes, size_t len)
{
    SHA256_CTX ctx = sha_load(sha);

    if (len > 0) {
        HF_CHECK(SHA256_Update(&ctx, bytes, len) == 1);
    }
    sha_store(sha, &ctx);
}

void codec_sha256_end(struct codec_sha256 *sha, uint8_t ret_hash[CODEC_SHA256_LEN])
{
    SHA256_CTX ctx = sha_load(sha);

    HF_CHECK(SHA256_Final(ret_hash, &ctx) == 1);
}

void codec_sha256(const void *bytes, size_t len, uint8_t ret_hash[CODEC_SHA256_LEN])
{
    struct codec_sha256 sha;

    codec_sha256_init(&sha);
    codec_sha256_add(&sha, bytes, len);
    codec_sha256_end(&sha, ret_hash);
}

static void hmac_pad(struct codec_sha256 *sha, const uint8_t block[SHA_BLOCK], uint8_t with)
{
    uint8_t padded[SHA_BLOCK];

    for (size_t i = 0; i < SHA_BLOCK; i++) {
        padded[i] = block[i] ^ with;
    }
    codec_sha256_init(sha);
    codec_sha256_add(sha, padded, sizeof(padded));
    codec_wipe(padded, sizeof(padded));
}

void codec_hmac_key(struct codec_hmac *hmac, const void *key, size_t len)
{
    uint8_t block[SHA_BLOCK] = {0};

    if (len > SHA_BLOCK) {
        codec_sha256(key, len, block);
    } else if (len > 0) {
        memcpy(block, key, len);
    }
    hmac_pad(&hmac->inner, block, 0x36);
    hmac_pad(&hmac->outer, block, 0x5c);
    codec_wipe(block, sizeof(block));
}

void codec_hmac(const struct codec_hmac *hmac, const struct hf_bytes *parts, size_t count,
                uint8_t ret_mac[CODEC_SHA256_LEN])
{
    struct codec_sha256 sha = hmac->inner;
    uint8_t inner[CODEC_SHA256_LEN];

    for (size_t i = 0; i < count; i++) {
        codec_sha256_add(&sha, parts[i].ptr, parts[i].len);
    }
    codec_sha256_end(&sha, inner);
    sha = hmac->outer;
    codec_sha256_add(&sha, inner, sizeof(inner));
    codec_sha256_end(&sha, ret_mac);
}

void codec_hkdf_extract(struct hf_bytes salt, struct hf_bytes secret,
                        uint8_t ret_key[CODEC_SHA256_LEN])
{
    struct codec_hmac hmac;

    codec_hmac_key(&hmac, salt.ptr, salt.len);
    codec_hmac(&hmac, &secret, 1, ret_key);
    codec_wipe(&hmac, sizeof(hmac));
}

/* One block of the expansion: HMAC(key, previous ‖ info ‖ n). */
static void expand_block(const struct codec_hmac *hmac, struct hf_bytes previous,
                         const struct hf_bytes *info, size_t count, uint8_t n,
                         uint8_t ret_block[CODEC_SHA256_LEN])
{
    struct codec_sha256 sha = hmac->inner;
    uint8_t inner[CODEC_SHA256_LEN];

    codec_sha256_add(&sha, previous.ptr, previous.len);
    for (size_t i = 0; i < count; i++) {
        codec_sha256_add(&sha, info[i].ptr, info[i].len);
    }
    codec_sha256_add(&sha, &n, 1);
    codec_sha256_end(&sha, inner);
    sha = hmac->outer;
    codec_sha256_add(&sha, inner, sizeof(inner));
    codec_sha256_end(&sha, ret_block);
}

void codec_hkdf_expand(const uint8_t key[CODEC_SHA256_LEN], const struct hf_bytes *info,
                       size_t count, void *ret_bytes, size_t len)
{
    struct codec_hmac hmac;
    uint8_t block[CODEC_SHA256_LEN];
    uint8_t *out = ret_bytes;
    struct hf_bytes previous = {block, 0};
    size_t n = 0;

    HF_CHECK(len <= 255 * sizeof(block));
    codec_hmac_key(&hmac, key, CODEC_SHA256_LEN);
    for (size_t done = 0; done < len; done += sizeof(block)) {
        size_t part = len - done < sizeof(block) ? len - done : sizeof(block);

        n++;
        expand_block(&hmac, previous, info, count, (uint8_t)n, block);
        previous.len = sizeof(block);
        memcpy(out + done, block, part);
    }
    codec_wipe(&hmac, sizeof(hmac));
    codec_wipe(block, sizeof(block));
}

bool codec_equal(const void *a, const void *b, size_t len)
{
    return CRYPTO_memcmp(a, b, len) == 0;
}

void codec_wipe(void *bytes, size_t len)
{
    OPENSSL_cleanse(bytes, len);
}
