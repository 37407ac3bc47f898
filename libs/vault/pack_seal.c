/* Sealing of headers, records and trailers. The surprise is the salt: it hashes randomness with
 * clock, boot id, process and pack id, so that a cloned virtual machine whose random generator
 * repeats still gets other keys. */
#include "vault/pack_seal.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/id.h"
#include "codec/hash.h"
#include "codec/zstream.h"
#include "vault/keyring_internal.h"

struct vault_codec_ctx {
    struct codec_zstd *zstd; /* NULL: level 0 */
    uint8_t *coded;          /* heap, grown to need */
    size_t coded_cap;
};

/* Boot id of the kernel; zeros where /proc is hidden (the rest still makes the salt unique). */
static void boot_id(struct hf_arena *arena, char ret_text[36])
{
    static const char path[] = "/proc/sys/kernel/random/boot_id";
    HF_CLEANUP(hf_close) int fd = open(path, O_RDONLY | O_CLOEXEC);
    size_t len = 0;

    memset(ret_text, 0, 36);
    if (fd >= 0 && !hf_is_ok(hf_pread_full(arena, fd, ret_text, 36, 0, path, &len))) {
        memset(ret_text, 0, 36);
    }
}

static void salt_make(struct hf_arena *arena, const uint8_t id[VAULT_ID_LEN], uint8_t ret_salt[32])
{
    struct codec_sha256 sha;
    uint8_t random[32];
    uint8_t clock[8];
    uint8_t pid[4];
    char boot[36];

    hf_random(random, sizeof(random));
    vault_put_be64(clock, (uint64_t)hf_now_us());
    vault_put_be32(pid, (uint32_t)getpid());
    boot_id(arena, boot);
    codec_sha256_init(&sha);
    codec_sha256_add(&sha, random, sizeof(random));
    codec_sha256_add(&sha, clock, sizeof(clock));
    codec_sha256_add(&sha, boot, sizeof(boot));
    codec_sha256_add(&sha, pid, sizeof(pid));
    codec_sha256_add(&sha, id, VAULT_ID_LEN);
    codec_sha256_end(&sha, ret_salt);
}

struct hf_status vault_pack_header_make(struct hf_ctx *ctx, const struct vault_keyring *keyring,
                                        const struct vault_pack_options *options,
                                        struct vault_pack_header *ret_header,
                                        struct vault_pack_keys *ret_keys,
                                        uint8_t ret_bytes[VAULT_PACK_HEADER_LEN])
{
    struct vault_pack_header header = {.kind = options->kind, .number = options->number};
    uint8_t secret[VAULT_KEY_LEN];
    struct hf_status status;

    HF_CHECK(keyring->is_full);
    header.key_version = keyring->secrets.versions;
    memcpy(header.realm_tag, keyring->realm_tag, VAULT_ID_LEN);
    hf_random(header.id, VAULT_ID_LEN);
    if (options->fixed_id != NULL) {
        memcpy(header.id, options->fixed_id, VAULT_ID_LEN);
    }
    salt_make(ctx->arena, header.id, header.salt);
    if (options->fixed_salt != NULL) {
        memcpy(header.salt, options->fixed_salt, sizeof(header.salt));
    }
    vault_pack_header_begin(&header, ret_bytes);
    status = vault_keyring_secret(ctx, keyring, &header, secret);
    HF_TRY(status);
    vault_pack_keys_derive(secret, header.hash, ret_keys);
    codec_wipe(secret, sizeof(secret));
    memcpy(header.commitment, ret_keys->commitment, sizeof(header.commitment));
    vault_pack_header_end(&header, ret_bytes);
    *ret_header = header;
    return hf_success();
}

struct vault_blob_info vault_blob_info_of(const struct vault_blob_in *blob)
{
    struct vault_blob_info info = {
        .type = blob->type,
        .codec = blob->codec,
        .plain_len = blob->plain_len,
        .pages = blob->pages,
        .digests = blob->digests,
    };

    HF_CHECK(blob->coded.len <= VAULT_BLOB_MAX);
    info.sealed_len = (uint32_t)(VAULT_RECORD_HEADER_LEN + blob->coded.len + VAULT_TAG_LEN);
    memcpy(info.id, blob->id, VAULT_HASH_LEN);
    HF_CHECK(vault_blob_is_sane(&info));
    return info;
}

struct vault_codec_ctx *vault_codec_new(int level)
{
    struct vault_codec_ctx *codec = hf_heap_alloc(sizeof(*codec));

    codec->zstd = level > 0 ? codec_zstd_new(level) : NULL;
    return codec;
}

void vault_codec_free(struct vault_codec_ctx *codec)
{
    if (codec != NULL) {
        codec_zstd_free(codec->zstd);
        hf_heap_free(codec->coded);
        hf_heap_free(codec);
    }
}

enum vault_codec vault_compress(struct vault_codec_ctx *codec, struct hf_bytes plain,
                                struct hf_bytes *ret_coded)
{
    size_t limit = plain.len - plain.len / 32; /* must save 1/32 */
    size_t len = 0;

    HF_CHECK(plain.len <= VAULT_BLOB_MAX);
    if (codec->zstd != NULL && plain.len >= 32) {
        /* Full bound, although more than limit is useless: zstd is faster when it cannot fail. */
        size_t need = codec_zstd_bound(plain.len);

        if (need > codec->coded_cap) {
            codec->coded = hf_heap_grow(codec->coded, need);
            codec->coded_cap = need;
        }
        len = codec_zstd_compress(codec->zstd, plain, codec->coded, codec->coded_cap);
    }
    if (len == 0 || len > limit) {
        *ret_coded = plain;
        return VAULT_CODEC_RAW;
    }
    *ret_coded = (struct hf_bytes){codec->coded, len};
    return VAULT_CODEC_ZSTD;
}

void vault_blob_prepare(const struct vault_keyring *keyring, struct vault_codec_ctx *codec,
                        enum vault_blob_type type, struct hf_bytes plain, uint8_t *digests,
                        struct vault_blob_in *ret_blob)
{
    struct vault_blob_in blob = {.type = type, .plain_len = (uint32_t)plain.len};

    HF_CHECK(plain.len <= VAULT_BLOB_MAX);
    blob.codec = vault_compress(codec, plain, &blob.coded);
    if (type == VAULT_BLOB_PAGES_TYPE) {
        HF_CHECK(plain.len > 0 && plain.len % VAULT_PAGE == 0 &&
                 plain.len <= (size_t)VAULT_BLOB_PAGES * VAULT_PAGE);
        blob.pages = blob.plain_len / VAULT_PAGE;
        blob.digests = digests;
        for (uint32_t i = 0; i < blob.pages; i++) {
            vault_page_digest(keyring, plain.ptr + (size_t)i * VAULT_PAGE, VAULT_PAGE,
                              digests + (size_t)i * VAULT_DIGEST_LEN);
        }
        plain = (struct hf_bytes){digests, (size_t)blob.pages * VAULT_DIGEST_LEN};
    }
    vault_blob_id(keyring, type, plain, blob.id);
    *ret_blob = blob;
}

void vault_record_seal(struct codec_gcm *gcm, const uint8_t key_enc[VAULT_KEY_LEN],
                       const struct vault_blob_info *info, uint64_t index, struct hf_bytes coded,
                       uint8_t *ret_record)
{
    uint8_t key[VAULT_KEY_LEN];
    uint8_t nonce[CODEC_NONCE_LEN];
    const struct codec_gcm_params params = {
        key, nonce, {ret_record + VAULT_AAD_AT, VAULT_RECORD_HEADER_LEN - VAULT_AAD_AT}};

    vault_record_encode(info, ret_record);
    vault_blob_key(key_enc, info, index, key, nonce);
    codec_gcm_seal(gcm, &params, coded, ret_record + VAULT_RECORD_HEADER_LEN);
    codec_wipe(key, sizeof(key));
}

size_t vault_tail_len(const struct vault_tail *tail)
{
    return vault_index_len(tail->index, 0, 0) + tail->padding + VAULT_TAG_LEN + VAULT_FOOTER_LEN;
}

size_t vault_tail_seal(struct codec_gcm *gcm, const struct vault_tail *tail, uint8_t *ret_bytes)
{
    static const uint8_t nonce[CODEC_NONCE_LEN] = {0};
    size_t plain_len = vault_index_len(tail->index, 0, 0) + tail->padding;
    size_t sealed_len = plain_len + VAULT_TAG_LEN;
    size_t len = vault_tail_len(tail);
    uint8_t total[8];
    const struct codec_gcm_params params = {tail->key_trailer, nonce, {total, sizeof(total)}};

    HF_CHECK(plain_len <= VAULT_TRAILER_MAX);
    vault_put_be64(total, tail->before + len);
    /* Encrypted in place: the plaintext needs no buffer of its own. */
    vault_trailer_encode(tail->index, tail->padding, ret_bytes);
    codec_gcm_seal(gcm, &params, (struct hf_bytes){ret_bytes, plain_len}, ret_bytes);
    vault_footer_encode((uint32_t)sealed_len, tail->before + len, ret_bytes + sealed_len);
    return len;
}

size_t vault_padding(const struct vault_index *index, uint64_t before, uint64_t capacity)
{
    const struct vault_tail bare = {.index = index, .before = before};
    uint64_t len = before + vault_tail_len(&bare);
    uint64_t padded = vault_padded_len(len);

    return padded <= capacity ? (size_t)(padded - len) : 0;
}
