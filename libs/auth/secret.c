/* Small secrets in a column. The key of each is derived from the key file and a random salt, so the
 * nonce can be constant; the place is authenticated with it, so a row copied elsewhere does not
 * open. */
#include "auth/secret.h"

#include <string.h>
#include <sys/stat.h>

#include "base/buf.h"
#include "base/fd.h"
#include "base/id.h"
#include "base/secret.h"
#include "codec/hash.h"
#include "codec/seal.h"

#define SALT_LEN 16
#define VERSION 1
#define HEAD_LEN (1 + SALT_LEN)
#define FRAME_LEN (HEAD_LEN + CODEC_TAG_LEN)
#define PLAIN_MAX (512 * 1024) /* a bundle of authorities */

struct secret_key {
    uint8_t bytes[CODEC_KEY_LEN];
};

struct hf_status secret_key_create(struct hf_ctx *ctx, const char *path)
{
    uint8_t bytes[CODEC_KEY_LEN];

    hf_random(bytes, sizeof(bytes));
    char *text = hf_hex(ctx->arena, bytes, sizeof(bytes));
    struct hf_status status = hf_create_file(ctx->arena, path, text, strlen(text), 0600);
    codec_wipe(bytes, sizeof(bytes));
    codec_wipe(text, strlen(text));
    return status;
}

static struct hf_status read_key(struct hf_ctx *ctx, const char *path, struct hf_buf *buf,
                                 struct secret_key *key)
{
    HF_TRY(hf_read_file(ctx->arena, path, buf));
    if (buf->len > 0 && buf->ptr[buf->len - 1] == '\n') {
        buf->len--;
    }
    if (buf->len == 2 * CODEC_KEY_LEN && hf_unhex(hf_buf_text(buf), key->bytes, CODEC_KEY_LEN)) {
        return hf_success();
    }
    return hf_fail(ctx->arena, HF_INVALID_ARGUMENT, "%s: expected 64 hexadecimal digits", path);
}

struct hf_status secret_key_load(struct hf_ctx *ctx, const char *path, struct secret_key **ret_key)
{
    HF_CLEANUP(hf_buf_done) struct hf_buf buf = {0};
    HF_CLEANUP(secret_key_free) struct secret_key *key = NULL;
    struct stat facts;

    hf_buf_init(&buf, 256);
    if (stat(path, &facts) != 0) {
        return hf_fail(ctx->arena, HF_NOT_FOUND, "key file %s not found", path);
    }
    if ((facts.st_mode & (S_IRWXG | S_IRWXO)) != 0) {
        return hf_fail(ctx->arena, HF_PERMISSION_DENIED,
                       "key file %s may be read by others: chmod 600 %s", path, path);
    }
    key = hf_secret_alloc(sizeof(*key));
    struct hf_status status = read_key(ctx, path, &buf, key);
    if (buf.ptr != NULL) {
        codec_wipe(buf.ptr, buf.len);
    }
    HF_TRY(status);
    *ret_key = HF_TAKE(key);
    return hf_success();
}

void secret_key_free(struct secret_key *key)
{
    hf_secret_free(key);
}

static void derive(const struct secret_key *key, const uint8_t *salt, const char *place,
                   uint8_t ret_key[CODEC_KEY_LEN])
{
    uint8_t root[CODEC_SHA256_LEN];
    const struct hf_bytes info[2] = {
        {(const uint8_t *)"holdfast secret v1", 18},
        {(const uint8_t *)place, strlen(place)},
    };

    codec_hkdf_extract((struct hf_bytes){salt, SALT_LEN},
                       (struct hf_bytes){key->bytes, CODEC_KEY_LEN}, root);
    codec_hkdf_expand(root, info, 2, ret_key, CODEC_KEY_LEN);
    codec_wipe(root, sizeof(root));
}

struct hf_status secret_seal(struct hf_ctx *ctx, const struct secret_key *key, const char *place,
                             struct hf_bytes plain, struct hf_bytes *ret_sealed)
{
    static const uint8_t nonce[CODEC_NONCE_LEN] = {0};
    HF_CLEANUP(codec_gcm_free) struct codec_gcm *gcm = codec_gcm_new();
    uint8_t derived[CODEC_KEY_LEN];

    if (plain.len > PLAIN_MAX) {
        return hf_fail(ctx->arena, HF_INVALID_ARGUMENT, "a secret may have at most %d bytes",
                       PLAIN_MAX);
    }
    size_t len = FRAME_LEN + plain.len;
    uint8_t *sealed = hf_alloc(ctx->arena, len);
    sealed[0] = VERSION;
    hf_random(sealed + 1, SALT_LEN);
    derive(key, sealed + 1, place, derived);
    const struct codec_gcm_params params = {
        .key = derived, .nonce = nonce, .aad = {sealed, HEAD_LEN}};
    codec_gcm_seal(gcm, &params, plain, sealed + HEAD_LEN);
    codec_wipe(derived, sizeof(derived));
    *ret_sealed = (struct hf_bytes){sealed, len};
    return hf_success();
}

struct hf_status secret_open(struct hf_ctx *ctx, const struct secret_key *key, const char *place,
                             struct hf_bytes sealed, struct hf_bytes *ret_plain)
{
    static const uint8_t nonce[CODEC_NONCE_LEN] = {0};
    HF_CLEANUP(codec_gcm_free) struct codec_gcm *gcm = codec_gcm_new();
    const char *const metadata[] = {"place", place, NULL};
    uint8_t derived[CODEC_KEY_LEN];
    bool is_open = false;

    bool is_well_formed =
        sealed.len >= FRAME_LEN && sealed.len <= PLAIN_MAX + FRAME_LEN && sealed.ptr[0] == VERSION;
    size_t len = is_well_formed ? sealed.len - FRAME_LEN : 0;
    uint8_t *plain = hf_alloc(ctx->arena, len + 1);
    if (is_well_formed) {
        derive(key, sealed.ptr + 1, place, derived);
        const struct codec_gcm_params params = {
            .key = derived, .nonce = nonce, .aad = {sealed.ptr, HEAD_LEN}};
        is_open = codec_gcm_open(
            gcm, &params, (struct hf_bytes){sealed.ptr + HEAD_LEN, sealed.len - HEAD_LEN}, plain);
        codec_wipe(derived, sizeof(derived));
    }
    if (!is_open) {
        return hf_fail_info(ctx->arena, HF_FAILED_PRECONDITION, "WRONG_KEY", metadata,
                            "the secret of %s does not open with this key file", place);
    }
    *ret_plain = (struct hf_bytes){plain, len};
    return hf_success();
}

/* Each part goes in behind its length. */
void secret_mac(const struct secret_key *key, const char *place, const struct hf_bytes *parts,
                size_t parts_len, uint8_t ret_mac[SECRET_MAC_LEN])
{
    static const uint8_t salt[SALT_LEN] = "holdfast mac v1";
    uint8_t derived[CODEC_KEY_LEN];
    struct codec_hmac hmac;

    derive(key, salt, place, derived);
    codec_hmac_key(&hmac, derived, sizeof(derived));
    memset(ret_mac, 0, SECRET_MAC_LEN);
    for (size_t i = 0; i < parts_len; i++) {
        uint64_t len = parts[i].len;
        const struct hf_bytes all[3] = {{ret_mac, SECRET_MAC_LEN},
                                        {(const uint8_t *)&len, sizeof(len)},
                                        {parts[i].len == 0 ? salt : parts[i].ptr, parts[i].len}};
        uint8_t next[SECRET_MAC_LEN];
        codec_hmac(&hmac, all, 3, next);
        memcpy(ret_mac, next, sizeof(next));
    }
    codec_wipe(derived, sizeof(derived));
    codec_wipe(&hmac, sizeof(hmac));
}
