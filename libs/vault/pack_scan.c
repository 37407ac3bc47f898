/* Reading a pack that may lack its end. The surprise: without a footer nothing says how many
 * records there should be, so the first one that does not authenticate is the end, not an error:
 * it was being written when the writer died, and nobody was promised it. */
#include <string.h>

#include "base/vec.h"
#include "codec/hash.h"
#include "vault/pack.h"
#include "vault/pack_open.h"

#define WINDOW_BYTES (1u << 20) /* read ahead: records may be as small as one commit */

struct scan {
    const struct vault_pack_source *source;
    struct vault_pack *pack;
    struct vault_blob_reader *reader;
    uint8_t *window; /* heap: object bytes [window_at, window_at + window_len) */
    size_t window_cap;
    uint64_t window_at;
    size_t window_len;
};

/* len bytes at offset through the window; the object has them. */
static struct hf_status scan_bytes(struct scan *scan, uint64_t offset, size_t len,
                                   const uint8_t **ret_bytes)
{
    uint64_t rest = scan->source->size - offset;
    size_t want = len > WINDOW_BYTES ? len : WINDOW_BYTES;

    if (offset < scan->window_at || offset + len > scan->window_at + scan->window_len) {
        want = want < rest ? want : (size_t)rest;
        if (want > scan->window_cap) {
            scan->window = hf_heap_grow(scan->window, want);
            scan->window_cap = want;
        }
        scan->window_len = 0;
        HF_TRY(vault_source_read(scan->source, offset, want, scan->window));
        scan->window_at = offset;
        scan->window_len = want;
    }
    *ret_bytes = scan->window + (offset - scan->window_at);
    return hf_success();
}

/* The record at offset; ret_is_record false: the walk ends here. */
static struct hf_status scan_record(struct scan *scan, uint64_t offset, size_t index,
                                    struct vault_blob_info *ret_blob, bool *ret_is_record)
{
    uint64_t rest = scan->source->size - offset;
    const uint8_t *bytes = NULL;
    struct hf_bytes coded = {NULL, 0};

    *ret_is_record = false;
    if (rest < VAULT_RECORD_HEADER_LEN) {
        return hf_success();
    }
    HF_TRY(scan_bytes(scan, offset, VAULT_RECORD_HEADER_LEN, &bytes));
    if (!vault_record_decode(bytes, ret_blob) || ret_blob->sealed_len > rest) {
        return hf_success();
    }
    HF_TRY(scan_bytes(scan, offset, ret_blob->sealed_len, &bytes));
    ret_blob->offset = offset;
    ret_blob->first_page = scan->pack->pages;
    *ret_is_record = vault_record_open(scan->reader, scan->pack->key_enc, ret_blob, index,
                                       (struct hf_bytes){bytes, ret_blob->sealed_len}, &coded);
    return hf_success();
}

static struct hf_status scan_walk(struct scan *scan)
{
    struct hf_ctx *ctx = scan->source->ctx;
    const struct vault_pack_limits limits = vault_pack_limits(scan->pack->header.kind);
    uint64_t offset = VAULT_PACK_HEADER_LEN;
    uint64_t plain_left = limits.plain_bytes;
    HF_VEC(struct vault_blob_info) blobs = {0};

    while (blobs.len < limits.blobs) {
        struct vault_blob_info blob = {.offset = 0};
        bool is_record = false;

        HF_TRY(hf_ctx_check(ctx));
        HF_TRY(scan_record(scan, offset, blobs.len, &blob, &is_record));
        if (!is_record) {
            break;
        }
        if (blob.plain_len > plain_left) {
            return vault_damaged(ctx->arena, scan->source->name, offset,
                                 "more plaintext than an object of its kind may hold");
        }
        plain_left -= blob.plain_len;
        *HF_VEC_ADD(ctx->arena, &blobs) = blob;
        offset += blob.sealed_len;
        scan->pack->pages += blob.pages;
    }
    scan->pack->blobs = blobs.items;
    scan->pack->blobs_len = blobs.len;
    return hf_success();
}

static struct hf_status scan_open_pack(const struct vault_pack_source *source,
                                       const struct vault_keyring *keyring,
                                       struct vault_pack *ret_pack)
{
    HF_CLEANUP(vault_blob_reader_free) struct vault_blob_reader *reader = NULL;
    struct vault_pack pack = {.pages = 0};
    struct vault_pack_keys keys;
    struct scan scan = {.source = source, .pack = &pack};
    struct hf_status status;

    if (source->size < VAULT_PACK_HEADER_LEN) {
        pack.name = hf_strdup(source->ctx->arena, source->name);
        pack.size_bytes = source->size;
        *ret_pack = pack;
        return hf_success();
    }
    HF_TRY(vault_source_header(source, keyring, &pack, &keys));
    codec_wipe(&keys, sizeof(keys));
    reader = vault_blob_reader_new();
    scan.reader = reader;
    status = scan_walk(&scan);
    hf_heap_free(scan.window);
    HF_TRY(status);
    *ret_pack = pack;
    return hf_success();
}

struct hf_status vault_pack_scan(struct hf_ctx *ctx, struct objstore *store,
                                 const struct vault_keyring *keyring, const char *name,
                                 struct vault_pack *ret_pack, bool *ret_is_closed)
{
    struct vault_pack_source source = {.ctx = ctx, .store = store, .name = name};
    struct hf_status status;
    uint32_t trailer_len = 0;
    bool is_closed;

    HF_TRY(vault_source_measure(&source));
    is_closed = vault_source_footer(&source, &trailer_len, &status);
    HF_TRY(status);
    if (is_closed) {
        HF_TRY(vault_source_open(&source, keyring, ret_pack));
    } else {
        HF_TRY(scan_open_pack(&source, keyring, ret_pack));
    }
    *ret_is_closed = is_closed;
    return hf_success();
}
