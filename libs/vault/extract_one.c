/* One small file into memory: configuration and labels, and the history of a few bytes that a
 * restore wants to look at before it begins. */
#include <string.h>

#include "vault/extract.h"
#include "vault/packtable.h"
#include "vault/table_io.h"

struct one {
    const struct vault_place *place;
    struct vault_packtable packs;
    struct vault_blob_reader *blobs;
    struct hf_buf *buf;
    uint64_t left; /* bytes of the file to come */
};

/* Pages [ordinal, ordinal + count) of an opened pack. */
static struct hf_status append_pages(struct hf_ctx *ctx, struct one *one,
                                     const struct vault_pack *pack, const struct vault_run *run)
{
    struct hf_bytes plain;
    uint32_t ordinal = run->ordinal;
    uint32_t end = run->ordinal + run->count;

    for (size_t i = 0; i < pack->blobs_len && ordinal < end; i++) {
        const struct vault_blob_info *blob = &pack->blobs[i];
        if (ordinal < blob->first_page || ordinal >= blob->first_page + blob->pages) {
            continue;
        }
        HF_TRY(vault_blob_read(ctx, one->place->store, one->place->keyring, pack, i, false,
                               one->blobs, &plain));
        uint32_t skip = ordinal - blob->first_page;
        uint32_t part = blob->pages - skip < end - ordinal ? blob->pages - skip : end - ordinal;
        uint64_t bytes = (uint64_t)part * VAULT_PAGE;
        bytes = bytes < one->left ? bytes : one->left;
        hf_buf_append(one->buf, plain.ptr + (size_t)skip * VAULT_PAGE, (size_t)bytes);
        one->left -= bytes;
        ordinal += part;
    }
    if (ordinal < end) {
        return hf_fail(ctx->arena, HF_DATA_LOSS, "%s lacks page %u", pack->name, ordinal);
    }
    return hf_success();
}

static struct hf_status append_run(struct hf_ctx *ctx, struct one *one, const struct vault_run *run)
{
    const struct vault_pack_ref *ref = vault_packtable_find(&one->packs, run->pack);
    struct vault_table_ref wanted = {0};
    struct vault_pack pack;

    if (ref == NULL) {
        return hf_fail(ctx->arena, HF_DATA_LOSS, "the map of %s names an unknown pack %llu",
                       one->place->prefix, (unsigned long long)run->pack);
    }
    memcpy(wanted.id, ref->id, VAULT_ID_LEN);
    wanted.size_bytes = ref->size_bytes;
    const char *name = vault_name_pack(ctx->arena, one->place->prefix, ref->number, ref->id);
    HF_TRY(vault_table_open(ctx, one->place, VAULT_PACK_DATA, name, &wanted, &pack));
    return append_pages(ctx, one, &pack, run);
}

/* All segments of the file that *entry begins. */
static struct hf_status append_file(struct hf_ctx *ctx, struct one *one,
                                    struct vault_map_iter *iter,
                                    const struct vault_map_entry *entry)
{
    uint8_t key[VAULT_ID_LEN];
    uint64_t page = 0;

    memcpy(key, entry->key, VAULT_ID_LEN);
    one->left = entry->attrs.size_bytes;
    if (one->left > one->buf->max - one->buf->len) {
        return hf_fail(ctx->arena, HF_RESOURCE_EXHAUSTED, "%s has %llu bytes", entry->attrs.path,
                       (unsigned long long)one->left);
    }
    while (entry != NULL && memcmp(entry->key, key, VAULT_ID_LEN) == 0) {
        for (size_t i = 0; i < entry->runs_len && entry->runs[i].first_page == page; i++) {
            HF_TRY(append_run(ctx, one, &entry->runs[i]));
            page += entry->runs[i].count;
        }
        HF_TRY(vault_map_iter_next(ctx, iter, &entry));
    }
    if (one->left > 0) {
        return hf_fail(ctx->arena, HF_DATA_LOSS, "the map does not cover page %llu of a file",
                       (unsigned long long)page);
    }
    return hf_success();
}

static struct hf_status find_and_append(struct hf_ctx *ctx, struct one *one,
                                        const struct vault_root *root, const char *path)
{
    HF_CLEANUP(vault_map_iter_free) struct vault_map_iter *iter = NULL;
    const struct vault_map_entry *entry = NULL;

    HF_TRY(vault_packtable_load(ctx, one->place, root->pack_tables, root->pack_tables_len,
                                &one->packs));
    HF_TRY(vault_map_iter_new(ctx, one->place, &root->map, 0, root->map.shards_len, &iter));
    do {
        HF_TRY(hf_ctx_check(ctx));
        HF_TRY(vault_map_iter_next(ctx, iter, &entry));
        if (entry != NULL && entry->segment == 0 && entry->attrs.node == VAULT_NODE_FILE &&
            strcmp(entry->attrs.path, path) == 0) {
            return append_file(ctx, one, iter, entry);
        }
    } while (entry != NULL);
    return hf_fail(ctx->arena, HF_NOT_FOUND, "backup %s has no file %s", root->info.id, path);
}

struct hf_status vault_extract_one(struct hf_ctx *ctx, const struct vault_place *place,
                                   const struct vault_root *root, const char *path,
                                   struct hf_buf *buf)
{
    struct one one = {.place = place, .buf = buf, .blobs = vault_blob_reader_new()};
    struct hf_status status = find_and_append(ctx, &one, root, path);

    vault_blob_reader_free(one.blobs);
    vault_packtable_done(&one.packs);
    return status;
}
