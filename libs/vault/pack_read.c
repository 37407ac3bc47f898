/* Opening packs and reading blobs. The surprise is the order, which is the security: checksum, then
 * commitment (wrong key), then the trailer's tag; of a blob the tag first, only then zstd into a
 * buffer of exactly the promised size, only then the digests. */
#include <inttypes.h>
#include <string.h>

#include "base/check.h"
#include "codec/hash.h"
#include "codec/seal.h"
#include "codec/zstream.h"
#include "vault/keyring_internal.h"
#include "vault/pack.h"
#include "vault/pack_format.h"
#include "vault/pack_open.h"

struct vault_blob_reader {
    struct codec_gcm *gcm;
    struct codec_unzstd *unzstd;
    uint8_t *sealed; /* heap, grown to need: a record as stored */
    size_t sealed_cap;
    uint8_t *coded; /* decrypted */
    size_t coded_cap;
    uint8_t *plain; /* decompressed */
    size_t plain_cap;
};

struct hf_status vault_source_read(const struct vault_pack_source *source, uint64_t offset,
                                   size_t len, void *ret_bytes)
{
    if (offset > source->size || len > source->size - offset) {
        return vault_damaged(source->ctx->arena, source->name, offset, "object is cut off");
    }
    if (source->store == NULL && source->bytes.ptr != NULL) {
        memcpy(ret_bytes, source->bytes.ptr + offset, len);
        return hf_success();
    }
    return objstore_read(source->ctx, source->store, source->name, offset, len, ret_bytes);
}

struct hf_status vault_source_measure(struct vault_pack_source *source)
{
    HF_TRY(objstore_head(source->ctx, source->store, source->name, &source->size));
    if (source->size > VAULT_PACK_HARD_MAX) {
        return vault_damaged(source->ctx->arena, source->name, VAULT_PACK_HARD_MAX,
                             "object is too large");
    }
    return hf_success();
}

struct hf_status vault_source_header(const struct vault_pack_source *source,
                                     const struct vault_keyring *keyring, struct vault_pack *pack,
                                     struct vault_pack_keys *ret_keys)
{
    struct hf_arena *arena = source->ctx->arena;
    uint8_t bytes[VAULT_PACK_HEADER_LEN];
    uint8_t secret[VAULT_KEY_LEN];
    bool is_right_key;

    HF_TRY(vault_source_read(source, 0, sizeof(bytes), bytes));
    HF_TRY(hf_wrap(
        arena,
        vault_pack_header_decode(arena, (struct hf_bytes){bytes, sizeof(bytes)}, &pack->header),
        "%s", source->name));
    HF_TRY(hf_wrap(arena, vault_keyring_secret(source->ctx, keyring, &pack->header, secret), "%s",
                   source->name));
    vault_pack_keys_derive(secret, pack->header.hash, ret_keys);
    codec_wipe(secret, sizeof(secret));
    is_right_key =
        codec_equal(ret_keys->commitment, pack->header.commitment, sizeof(pack->header.commitment));
    if (!is_right_key) {
        codec_wipe(ret_keys, sizeof(*ret_keys));
        return vault_wrong_key(arena, source->name, "is sealed under another key");
    }
    memcpy(pack->key_enc, ret_keys->enc, VAULT_KEY_LEN);
    pack->name = hf_strdup(arena, source->name);
    pack->size_bytes = source->size;
    return hf_success();
}

/* Decrypt the trailer in place, in the arena: the pack's digests point into it. */
static struct hf_status trailer_open(const struct vault_pack_source *source,
                                     const struct vault_pack_keys *keys, uint32_t trailer_len,
                                     struct vault_pack *pack)
{
    static const uint8_t nonce[CODEC_NONCE_LEN] = {0};
    HF_CLEANUP(codec_gcm_free) struct codec_gcm *gcm = codec_gcm_new();
    struct hf_arena *arena = source->ctx->arena;
    uint64_t at = source->size - VAULT_FOOTER_LEN - trailer_len;
    uint8_t total[8];
    const struct codec_gcm_params params = {keys->trailer, nonce, {total, sizeof(total)}};
    uint8_t *bytes;

    if (trailer_len > vault_pack_limits(pack->header.kind).trailer_bytes) {
        return vault_damaged(arena, source->name, at, "trailer is longer than one of its kind");
    }
    bytes = hf_try_alloc(arena, trailer_len);
    if (bytes == NULL) {
        return hf_fail(arena, HF_RESOURCE_EXHAUSTED, "no room for the trailer of %s", source->name);
    }
    vault_put_be64(total, source->size);
    HF_TRY(vault_source_read(source, at, trailer_len, bytes));
    if (!codec_gcm_open(gcm, &params, (struct hf_bytes){bytes, trailer_len}, bytes)) {
        return vault_damaged(arena, source->name, at, "trailer is not authentic");
    }
    return hf_wrap(arena,
                   vault_trailer_decode(
                       arena, (struct hf_bytes){bytes, trailer_len - VAULT_TAG_LEN}, at, pack),
                   "%s", source->name);
}

bool vault_source_footer(const struct vault_pack_source *source, uint32_t *ret_trailer_len,
                         struct hf_status *ret_status)
{
    uint8_t footer[VAULT_FOOTER_LEN];

    *ret_status = hf_success();
    if (source->size < VAULT_PACK_HEADER_LEN + VAULT_FOOTER_LEN) {
        return false;
    }
    *ret_status = vault_source_read(source, source->size - sizeof(footer), sizeof(footer), footer);
    return hf_is_ok(*ret_status) && vault_footer_decode(footer, source->size, ret_trailer_len);
}

struct hf_status vault_source_open(const struct vault_pack_source *source,
                                   const struct vault_keyring *keyring, struct vault_pack *ret_pack)
{
    struct vault_pack pack = {.pages = 0};
    struct vault_pack_keys keys;
    struct hf_status status;
    uint32_t trailer_len = 0;

    HF_TRY(vault_source_header(source, keyring, &pack, &keys));
    if (vault_source_footer(source, &trailer_len, &status)) {
        status = trailer_open(source, &keys, trailer_len, &pack);
    } else if (hf_is_ok(status)) {
        status = vault_damaged(source->ctx->arena, source->name, source->size,
                               "footer is missing or damaged");
    }
    codec_wipe(&keys, sizeof(keys));
    HF_TRY(status);
    *ret_pack = pack;
    return hf_success();
}

/* Packs, maps and tables carry their id in their name: a whole pack put under another's name is
 * authentic in itself and must be found here. Other names (roots, WAL) do not have it. */
static struct hf_status name_check(const struct vault_pack_source *source,
                                   const struct vault_pack *pack)
{
    static const char *const folders[] = {"/packs/", "/maps/", "/tables/"};
    size_t len = strlen(source->name);
    uint8_t id[VAULT_ID_LEN];

    if (len < 2 * VAULT_ID_LEN ||
        !hf_unhex(source->name + len - 2 * VAULT_ID_LEN, id, sizeof(id))) {
        return hf_success();
    }
    for (size_t i = 0; i < HF_LEN(folders); i++) {
        if (strstr(source->name, folders[i]) != NULL &&
            memcmp(id, pack->header.id, sizeof(id)) != 0) {
            return vault_damaged(source->ctx->arena, source->name, 32, "another pack's bytes");
        }
    }
    return hf_success();
}

struct hf_status vault_pack_open(struct hf_ctx *ctx, struct objstore *store,
                                 const struct vault_keyring *keyring, const char *name,
                                 struct vault_pack *ret_pack)
{
    struct vault_pack_source source = {.ctx = ctx, .store = store, .name = name};
    struct vault_pack pack = {.pages = 0};

    HF_TRY(vault_source_measure(&source));
    HF_TRY(vault_source_open(&source, keyring, &pack));
    HF_TRY(name_check(&source, &pack));
    *ret_pack = pack;
    return hf_success();
}

struct hf_status vault_pack_open_bytes(struct hf_ctx *ctx, const struct vault_keyring *keyring,
                                       const char *name, struct hf_bytes bytes,
                                       struct vault_pack *ret_pack)
{
    const struct vault_pack_source source = {ctx, NULL, name, bytes, bytes.len};

    return vault_source_open(&source, keyring, ret_pack);
}

struct vault_blob_reader *vault_blob_reader_new(void)
{
    struct vault_blob_reader *reader = hf_heap_alloc(sizeof(*reader));

    reader->gcm = codec_gcm_new();
    reader->unzstd = codec_unzstd_new();
    return reader;
}

void vault_blob_reader_free(struct vault_blob_reader *reader)
{
    if (reader != NULL) {
        codec_gcm_free(reader->gcm);
        codec_unzstd_free(reader->unzstd);
        hf_heap_free(reader->sealed);
        hf_heap_free(reader->coded);
        hf_heap_free(reader->plain);
        hf_heap_free(reader);
    }
}

static void reader_room(uint8_t **bytes, size_t *cap, size_t need)
{
    if (need > *cap) {
        *bytes = hf_heap_grow(*bytes, need);
        *cap = need;
    }
}

/* Digests and id as the keyring computes them must be those of the trailer. */
static struct hf_status digests_check(struct hf_ctx *ctx, const struct vault_keyring *keyring,
                                      const struct vault_pack *pack,
                                      const struct vault_blob_info *blob, struct hf_bytes plain)
{
    uint8_t digests[VAULT_BLOB_PAGES * VAULT_DIGEST_LEN];
    uint8_t id[VAULT_HASH_LEN];
    struct hf_bytes identity = plain;

    if (!vault_keyring_can_digest(keyring)) {
        return hf_fail(ctx->arena, HF_FAILED_PRECONDITION,
                       "digests of %s can be checked only with the tenant's key", pack->name);
    }
    for (uint32_t i = 0; i < blob->pages; i++) {
        vault_page_digest(keyring, plain.ptr + (size_t)i * VAULT_PAGE, VAULT_PAGE,
                          digests + (size_t)i * VAULT_DIGEST_LEN);
    }
    if (blob->type == VAULT_BLOB_PAGES_TYPE) {
        identity = (struct hf_bytes){digests, (size_t)blob->pages * VAULT_DIGEST_LEN};
    }
    if (blob->digests != NULL && memcmp(digests, blob->digests, identity.len) != 0) {
        return vault_damaged(ctx->arena, pack->name, blob->offset, "page digest does not match");
    }
    vault_blob_id(keyring, blob->type, identity, id);
    if (memcmp(id, blob->id, sizeof(id)) != 0) {
        return vault_damaged(ctx->arena, pack->name, blob->offset, "blob id does not match");
    }
    return hf_success();
}

bool vault_record_open(struct vault_blob_reader *reader, const uint8_t key_enc[VAULT_KEY_LEN],
                       const struct vault_blob_info *blob, uint64_t index, struct hf_bytes sealed,
                       struct hf_bytes *ret_coded)
{
    uint8_t key[VAULT_KEY_LEN];
    uint8_t nonce[CODEC_NONCE_LEN];
    const struct codec_gcm_params params = {
        key, nonce, {sealed.ptr + VAULT_AAD_AT, VAULT_RECORD_HEADER_LEN - VAULT_AAD_AT}};
    const struct hf_bytes cipher = {sealed.ptr + VAULT_RECORD_HEADER_LEN,
                                    sealed.len - VAULT_RECORD_HEADER_LEN};
    bool is_authentic;

    reader_room(&reader->coded, &reader->coded_cap, sealed.len);
    vault_blob_key(key_enc, blob, index, key, nonce);
    is_authentic = codec_gcm_open(reader->gcm, &params, cipher, reader->coded);
    codec_wipe(key, sizeof(key));
    *ret_coded = (struct hf_bytes){reader->coded, cipher.len - VAULT_TAG_LEN};
    return is_authentic;
}

/* NOLINTNEXTLINE(readability-function-size): eight parameters, each another thing at every call */
struct hf_status vault_blob_open(struct hf_ctx *ctx, const struct vault_keyring *keyring,
                                 const struct vault_pack *pack, size_t i, bool check_digests,
                                 struct hf_bytes sealed, struct vault_blob_reader *reader,
                                 struct hf_bytes *ret_plain)
{
    const struct vault_blob_info *blob = &pack->blobs[i];
    uint8_t head[VAULT_RECORD_HEADER_LEN];
    struct hf_bytes plain = {NULL, 0};

    HF_CHECK(i < pack->blobs_len);
    vault_record_encode(blob, head);
    if (sealed.len != blob->sealed_len || memcmp(sealed.ptr, head, sizeof(head)) != 0) {
        return vault_damaged(ctx->arena, pack->name, blob->offset,
                             "record is not the one its trailer lists");
    }
    if (!vault_record_open(reader, pack->key_enc, blob, i, sealed, &plain)) {
        return vault_damaged(ctx->arena, pack->name, blob->offset, "blob is not authentic");
    }
    if (blob->codec == VAULT_CODEC_ZSTD) {
        reader_room(&reader->plain, &reader->plain_cap, blob->plain_len);
        if (!codec_unzstd(reader->unzstd, plain, reader->plain, blob->plain_len)) {
            return vault_damaged(ctx->arena, pack->name, blob->offset,
                                 "blob does not decompress to its length");
        }
        plain = (struct hf_bytes){reader->plain, blob->plain_len};
    }
    if (check_digests) {
        HF_TRY(digests_check(ctx, keyring, pack, blob, plain));
    }
    *ret_plain = plain;
    return hf_success();
}

/* NOLINTNEXTLINE(readability-function-size): as above */
struct hf_status vault_blob_read(struct hf_ctx *ctx, struct objstore *store,
                                 const struct vault_keyring *keyring, const struct vault_pack *pack,
                                 size_t i, bool check_digests, struct vault_blob_reader *reader,
                                 struct hf_bytes *ret_plain)
{
    const struct vault_blob_info *blob = &pack->blobs[i];

    HF_CHECK(i < pack->blobs_len);
    reader_room(&reader->sealed, &reader->sealed_cap, blob->sealed_len);
    HF_TRY(objstore_read(ctx, store, pack->name, blob->offset, blob->sealed_len, reader->sealed));
    return vault_blob_open(ctx, keyring, pack, i, check_digests,
                           (struct hf_bytes){reader->sealed, blob->sealed_len}, reader, ret_plain);
}
