/* Packs that grow record by record (WAL slices). The surprise: a stream is never resumed. After a
 * restart the next slice gets a new salt, so a record index (its nonce) cannot be used twice. */
#include <string.h>

#include "base/check.h"
#include "codec/hash.h"
#include "vault/pack.h"
#include "vault/pack_seal.h"

struct vault_pack_stream {
    struct vault_pack_header header;
    struct vault_pack_keys keys;
    struct vault_index index;
    const struct vault_keyring *keyring; /* borrowed: outlives the stream */
    struct vault_codec_ctx *codec;
    struct codec_gcm *gcm;
    uint64_t size;
    uint64_t capacity;
    bool is_finished;
};

struct hf_status vault_pack_stream_new(struct hf_ctx *ctx, const struct vault_keyring *keyring,
                                       const struct vault_pack_options *options,
                                       struct hf_buf *header_out,
                                       struct vault_pack_stream **ret_stream)
{
    HF_CLEANUP(vault_pack_stream_free) struct vault_pack_stream *stream = NULL;
    uint8_t header[VAULT_PACK_HEADER_LEN];

    HF_CHECK(options->capacity_bytes >= 4096 && options->capacity_bytes <= VAULT_PACK_HARD_MAX);
    stream = hf_heap_alloc(sizeof(*stream));
    stream->keyring = keyring;
    stream->capacity = options->capacity_bytes;
    stream->codec = vault_codec_new(options->level);
    stream->gcm = codec_gcm_new();
    stream->size = sizeof(header);
    HF_TRY(vault_pack_header_make(ctx, keyring, options, &stream->header, &stream->keys, header));
    hf_buf_append(header_out, header, sizeof(header));
    HF_TRY(hf_buf_status(header_out, ctx->arena, "pack header"));
    *ret_stream = HF_TAKE(stream);
    return hf_success();
}

void vault_pack_stream_free(struct vault_pack_stream *stream)
{
    if (stream != NULL) {
        vault_index_done(&stream->index);
        vault_codec_free(stream->codec);
        codec_gcm_free(stream->gcm);
        codec_wipe(&stream->keys, sizeof(stream->keys));
        hf_heap_free(stream);
    }
}

uint64_t vault_pack_stream_size(const struct vault_pack_stream *stream)
{
    return stream->size;
}

const uint8_t *vault_pack_stream_id(const struct vault_pack_stream *stream)
{
    return stream->header.id;
}

static bool stream_fits(const struct vault_pack_stream *stream, const struct vault_blob_info *info)
{
    uint64_t total = stream->size + info->sealed_len +
                     vault_index_len(&stream->index, 1, info->pages) + VAULT_TAG_LEN +
                     VAULT_FOOTER_LEN;

    return total <= stream->capacity && stream->index.blobs < VAULT_PACK_BLOBS_MAX &&
           stream->index.pages + info->pages <= VAULT_PACK_PAGES_MAX;
}

struct hf_status vault_pack_stream_add(struct hf_ctx *ctx, struct vault_pack_stream *stream,
                                       enum vault_blob_type type, struct hf_bytes plain,
                                       struct hf_buf *out)
{
    uint8_t digests[VAULT_BLOB_PAGES * VAULT_DIGEST_LEN];
    struct vault_blob_in blob;
    struct vault_blob_info info;
    uint8_t *at;

    HF_CHECK(!stream->is_finished);
    vault_blob_prepare(stream->keyring, stream->codec, type, plain, digests, &blob);
    info = vault_blob_info_of(&blob);
    if (!stream_fits(stream, &info)) {
        return hf_fail(ctx->arena, HF_RESOURCE_EXHAUSTED, "growing pack is full");
    }
    at = hf_buf_extend(out, info.sealed_len);
    HF_TRY(hf_buf_status(out, ctx->arena, "sealed record"));
    vault_record_seal(stream->gcm, stream->keys.enc, &info, stream->index.blobs, blob.coded, at);
    info.offset = stream->size;
    vault_index_add(&stream->index, &info);
    stream->size += info.sealed_len;
    return hf_success();
}

struct hf_status vault_pack_stream_finish(struct hf_ctx *ctx, struct vault_pack_stream *stream,
                                          struct hf_buf *out)
{
    const struct vault_tail tail = {
        .index = &stream->index,
        .key_trailer = stream->keys.trailer,
        .before = stream->size,
    };
    uint8_t *at;

    HF_CHECK(!stream->is_finished);
    at = hf_buf_extend(out, vault_tail_len(&tail));
    HF_TRY(hf_buf_status(out, ctx->arena, "sealed trailer"));
    stream->size += vault_tail_seal(stream->gcm, &tail, at);
    stream->is_finished = true;
    return hf_success();
}
