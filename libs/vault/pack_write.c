/* Packs in memory, sealed by many threads. The surprise: the lock is held only to hand out places
 * (reserve) and GCM contexts; AES writes straight into the mapped buffer without it, which is safe
 * because places never overlap and finish insists that every place was sealed. */
#include <string.h>
#include <sys/mman.h>

#include "base/check.h"
#include "base/pool.h"
#include "codec/hash.h"
#include "codec/seal.h"
#include "vault/keyring_internal.h"
#include "vault/pack.h"
#include "vault/pack_format.h"
#include "vault/pack_seal.h"

#define IDLE_MAX 16

struct vault_pack_writer {
    struct hf_lock places; /* guards the fields down to the empty line */
    struct vault_index index;
    size_t used;
    size_t unsealed; /* reservations whose seal is still to come */
    struct codec_gcm *idle[IDLE_MAX];
    size_t idle_len;

    struct vault_pack_header header;
    struct vault_pack_keys keys;
    uint8_t *bytes; /* mmap */
    size_t capacity;
    bool is_padded;
    int level;
    struct vault_codec_ctx *codec; /* of vault_pack_add's one thread; made on first use */
};

struct hf_status vault_pack_writer_new(struct hf_ctx *ctx, const struct vault_keyring *keyring,
                                       const struct vault_pack_options *options,
                                       struct vault_pack_writer **ret_writer)
{
    HF_CLEANUP(vault_pack_writer_free) struct vault_pack_writer *writer = NULL;
    void *bytes;

    HF_CHECK(options->capacity_bytes >= 4096 && options->capacity_bytes <= VAULT_PACK_HARD_MAX);
    bytes = mmap(NULL, options->capacity_bytes, PROT_READ | PROT_WRITE,
                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (bytes == MAP_FAILED) {
        return hf_fail(ctx->arena, HF_RESOURCE_EXHAUSTED, "no memory for a pack of %zu bytes",
                       options->capacity_bytes);
    }
    writer = hf_heap_alloc(sizeof(*writer));
    hf_lock_init(&writer->places);
    writer->bytes = bytes;
    writer->capacity = options->capacity_bytes;
    writer->level = options->level;
    writer->used = VAULT_PACK_HEADER_LEN;
    HF_TRY(vault_pack_header_make(ctx, keyring, options, &writer->header, &writer->keys,
                                  writer->bytes));
    *ret_writer = HF_TAKE(writer);
    return hf_success();
}

void vault_pack_writer_free(struct vault_pack_writer *writer)
{
    if (writer == NULL) {
        return;
    }
    while (writer->idle_len > 0) {
        codec_gcm_free(writer->idle[--writer->idle_len]);
    }
    vault_index_done(&writer->index);
    vault_codec_free(writer->codec);
    munmap(writer->bytes, writer->capacity);
    hf_lock_done(&writer->places);
    codec_wipe(&writer->keys, sizeof(writer->keys));
    hf_heap_free(writer);
}

const uint8_t *vault_pack_writer_id(const struct vault_pack_writer *writer)
{
    return writer->header.id;
}

uint64_t vault_pack_writer_number(const struct vault_pack_writer *writer)
{
    return writer->header.number;
}

/* Caller holds the lock. */
static bool writer_fits(const struct vault_pack_writer *writer, const struct vault_blob_info *info)
{
    size_t total = writer->used + info->sealed_len +
                   vault_index_len(&writer->index, 1, info->pages) + VAULT_TAG_LEN +
                   VAULT_FOOTER_LEN;

    return total <= writer->capacity && writer->index.blobs < VAULT_PACK_BLOBS_MAX &&
           writer->index.pages + info->pages <= VAULT_PACK_PAGES_MAX;
}

bool vault_pack_reserve(struct vault_pack_writer *writer, const struct vault_blob_in *blob,
                        struct vault_slot *ret_slot)
{
    struct vault_blob_info info = vault_blob_info_of(blob);
    bool fits;

    hf_lock_take(&writer->places);
    fits = writer_fits(writer, &info);
    if (fits) {
        info.offset = writer->used;
        ret_slot->index = writer->index.blobs;
        ret_slot->first_page = writer->index.pages;
        ret_slot->offset = writer->used;
        vault_index_add(&writer->index, &info);
        writer->used += info.sealed_len;
        writer->unsealed++;
    }
    hf_lock_release(&writer->places);
    return fits;
}

static struct codec_gcm *gcm_take(struct vault_pack_writer *writer)
{
    struct codec_gcm *gcm = NULL;

    hf_lock_take(&writer->places);
    if (writer->idle_len > 0) {
        gcm = writer->idle[--writer->idle_len];
    }
    hf_lock_release(&writer->places);
    return gcm != NULL ? gcm : codec_gcm_new();
}

/* Also counts the reservation as sealed. */
static void gcm_give(struct vault_pack_writer *writer, struct codec_gcm *gcm)
{
    hf_lock_take(&writer->places);
    HF_CHECK(writer->unsealed > 0);
    writer->unsealed--;
    if (writer->idle_len < IDLE_MAX) {
        writer->idle[writer->idle_len++] = gcm;
        gcm = NULL;
    }
    hf_lock_release(&writer->places);
    codec_gcm_free(gcm);
}

void vault_pack_seal(struct vault_pack_writer *writer, const struct vault_blob_in *blob,
                     struct vault_slot slot)
{
    struct vault_blob_info info = vault_blob_info_of(blob);
    struct codec_gcm *gcm = gcm_take(writer);

    HF_CHECK(slot.offset + info.sealed_len <= writer->capacity);
    vault_record_seal(gcm, writer->keys.enc, &info, slot.index, blob->coded,
                      writer->bytes + slot.offset);
    gcm_give(writer, gcm);
}

struct hf_status vault_pack_add(struct hf_ctx *ctx, struct vault_pack_writer *writer,
                                const struct vault_keyring *keyring, enum vault_blob_type type,
                                struct hf_bytes plain)
{
    uint8_t digests[VAULT_BLOB_PAGES * VAULT_DIGEST_LEN];
    struct vault_blob_in blob;
    struct vault_slot slot = {0};

    if (writer->codec == NULL) {
        writer->codec = vault_codec_new(writer->level);
    }
    vault_blob_prepare(keyring, writer->codec, type, plain, digests, &blob);
    if (!vault_pack_reserve(writer, &blob, &slot)) {
        return hf_fail(ctx->arena, HF_RESOURCE_EXHAUSTED, "pack of %zu bytes is full",
                       writer->capacity);
    }
    vault_pack_seal(writer, &blob, slot);
    return hf_success();
}

void vault_pack_pad(struct vault_pack_writer *writer)
{
    writer->is_padded = true;
}

void vault_pack_finish(struct vault_pack_writer *writer, struct hf_bytes *ret_bytes,
                       uint8_t ret_sha256[VAULT_HASH_LEN])
{
    HF_CLEANUP(codec_gcm_free) struct codec_gcm *gcm = codec_gcm_new();
    const struct vault_tail tail = {
        .index = &writer->index,
        .key_trailer = writer->keys.trailer,
        .before = writer->used,
        .padding =
            writer->is_padded ? vault_padding(&writer->index, writer->used, writer->capacity) : 0,
    };

    HF_CHECK(writer->unsealed == 0);
    writer->used += vault_tail_seal(gcm, &tail, writer->bytes + writer->used);
    HF_CHECK(writer->used <= writer->capacity);
    *ret_bytes = (struct hf_bytes){writer->bytes, writer->used};
    codec_sha256(writer->bytes, writer->used, ret_sha256);
}
