/* The digest cache of a point from nothing but the vault: shard by shard, digests are fetched pack
 * by pack from the trailers into one array in file order, so that each trailer is read once per
 * shard and memory is 16 bytes per page of the shard. */
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/vec.h"
#include "vault/digests.h"
#include "vault/packtable.h"
#include "vault/table_io.h"

#define SHARD_ARENA_MAX (2048u << 20)
#define PACK_ARENA_MAX (96u << 20)
#define SHARD_PAGES_MAX (UINT64_C(1) << 25) /* 256 GiB; shards are cut at 16 GiB and one file */

struct piece { /* a run, with its place in the shard's array */
    uint32_t pack;
    uint32_t ordinal;
    uint32_t count;
    uint64_t at;
};

struct shard_state {
    const struct vault_place *place;
    const struct vault_packtable *packs;
    HF_VEC(struct vault_digests_file) files;
    HF_VEC(struct piece) pieces;
    uint64_t pages;
    uint64_t filled;
    uint8_t *digests; /* pages × VAULT_DIGEST_LEN, heap */
};

static void collect_entry(struct hf_ctx *ctx, struct shard_state *state,
                          const struct vault_map_entry *entry)
{
    if (entry->segment == 0) {
        struct vault_digests_file *file = HF_VEC_ADD(ctx->arena, &state->files);
        memcpy(file->key, entry->key, VAULT_ID_LEN);
        vault_attrs_digest(state->place->keyring, &entry->attrs, file->attrs);
        file->first = state->pages;
        file->pages = (uint32_t)vault_pages_of(entry->attrs.size_bytes);
        state->pages += file->pages;
    }
    HF_CHECK(state->files.len > 0); /* a merged map names a file before its further segments */
    uint64_t first = state->files.items[state->files.len - 1].first;
    for (size_t i = 0; i < entry->runs_len; i++) {
        const struct vault_run *run = &entry->runs[i];
        *HF_VEC_ADD(ctx->arena, &state->pieces) =
            (struct piece){(uint32_t)run->pack, run->ordinal, run->count, first + run->first_page};
    }
}

static struct hf_status collect_shard(struct hf_ctx *ctx, struct shard_state *state,
                                      const struct vault_map_set *map, size_t shard)
{
    HF_CLEANUP(vault_map_iter_free) struct vault_map_iter *iter = NULL;
    const struct vault_map_entry *entry = NULL;

    HF_TRY(vault_map_iter_new(ctx, state->place, map, shard, 1, &iter));
    do {
        HF_TRY(hf_ctx_check(ctx));
        HF_TRY(vault_map_iter_next(ctx, iter, &entry));
        if (entry != NULL) {
            collect_entry(ctx, state, entry);
        }
        if (state->pages > SHARD_PAGES_MAX || state->pieces.len > SHARD_PAGES_MAX) {
            return hf_fail(ctx->arena, HF_DATA_LOSS, "shard %zu of the map of %s claims %llu pages",
                           shard, state->place->prefix, (unsigned long long)state->pages);
        }
    } while (entry != NULL);
    return hf_success();
}

static int compare_pieces(const void *a, const void *b)
{
    const struct piece *x = a;
    const struct piece *y = b;

    if (x->pack != y->pack) {
        return x->pack < y->pack ? -1 : 1;
    }
    return x->ordinal < y->ordinal ? -1 : x->ordinal > y->ordinal;
}

/* Copy the digests of one piece out of an opened pack; *blob is where the last piece began. */
static void copy_piece(struct shard_state *state, const struct vault_pack *pack,
                       const struct piece *piece, size_t *blob)
{
    uint32_t ordinal = piece->ordinal;
    uint64_t at = piece->at;
    uint32_t left = piece->count;

    while (*blob < pack->blobs_len &&
           ordinal >= pack->blobs[*blob].first_page + pack->blobs[*blob].pages) {
        ++*blob;
    }
    for (size_t i = *blob; i < pack->blobs_len && left > 0; i++) {
        const struct vault_blob_info *info = &pack->blobs[i];
        if (info->pages == 0 || info->digests == NULL || ordinal < info->first_page) {
            continue;
        }
        uint32_t skip = ordinal - info->first_page;
        uint32_t part = info->pages - skip < left ? info->pages - skip : left;
        memcpy(state->digests + at * VAULT_DIGEST_LEN,
               info->digests + (size_t)skip * VAULT_DIGEST_LEN, (size_t)part * VAULT_DIGEST_LEN);
        ordinal += part;
        at += part;
        left -= part;
        state->filled += part;
    }
}

static struct hf_status copy_pack(struct hf_ctx *ctx, struct shard_state *state, size_t first,
                                  size_t end)
{
    const struct vault_pack_ref *ref =
        vault_packtable_find(state->packs, state->pieces.items[first].pack);
    struct vault_pack pack;
    size_t blob = 0;

    HF_TRY(hf_ctx_check(ctx));
    if (ref == NULL) {
        return hf_fail(ctx->arena, HF_DATA_LOSS, "the map of %s names an unknown pack %u",
                       state->place->prefix, state->pieces.items[first].pack);
    }
    const char *name = vault_name_pack(ctx->arena, state->place->prefix, ref->number, ref->id);
    struct vault_table_ref wanted = {.size_bytes = ref->size_bytes};
    memcpy(wanted.id, ref->id, VAULT_ID_LEN);
    HF_TRY(vault_table_open(ctx, state->place, VAULT_PACK_DATA, name, &wanted, &pack));
    for (size_t i = first; i < end; i++) {
        copy_piece(state, &pack, &state->pieces.items[i], &blob);
    }
    return hf_success();
}

static struct hf_status copy_packs(struct hf_ctx *ctx, struct shard_state *state)
{
    HF_CLEANUP(hf_arena_free) struct hf_arena *arena = hf_arena_new(PACK_ARENA_MAX);
    struct hf_ctx own = *ctx;
    size_t end = 0;

    own.arena = arena;
    for (size_t first = 0; first < state->pieces.len; first = end) {
        end = first + 1;
        while (end < state->pieces.len &&
               state->pieces.items[end].pack == state->pieces.items[first].pack) {
            end++;
        }
        hf_arena_reset(arena);
        struct hf_status status = copy_pack(&own, state, first, end);
        if (!hf_is_ok(status)) {
            return hf_status_copy(ctx->arena, status);
        }
    }
    return hf_success();
}

static struct hf_status write_shard(struct hf_ctx *ctx, struct shard_state *state,
                                    struct vault_digests_writer *writer)
{
    uint64_t base = vault_digests_writer_next(writer);
    uint64_t done = 0;

    while (done < state->pages) {
        uint32_t part = state->pages - done < VAULT_SEGMENT_PAGES ? (uint32_t)(state->pages - done)
                                                                  : VAULT_SEGMENT_PAGES;
        HF_TRY(vault_digests_writer_pages(ctx, writer, state->digests + done * VAULT_DIGEST_LEN,
                                          part));
        done += part;
    }
    for (size_t i = 0; i < state->files.len; i++) {
        state->files.items[i].first += base;
        vault_digests_writer_file(writer, &state->files.items[i]);
    }
    return hf_success();
}

static struct hf_status rebuild_shard(struct hf_ctx *ctx, struct shard_state *state,
                                      const struct vault_map_set *map, size_t shard,
                                      struct vault_digests_writer *writer)
{
    HF_TRY(collect_shard(ctx, state, map, shard));
    state->digests = hf_heap_alloc((size_t)state->pages * VAULT_DIGEST_LEN + 1);
    if (state->pieces.len > 1) {
        qsort(state->pieces.items, state->pieces.len, sizeof(state->pieces.items[0]),
              compare_pieces);
    }
    HF_TRY(copy_packs(ctx, state));
    if (state->filled != state->pages) {
        return hf_fail(ctx->arena, HF_DATA_LOSS,
                       "the map of %s covers %llu of the %llu pages of shard %zu",
                       state->place->prefix, (unsigned long long)state->filled,
                       (unsigned long long)state->pages, shard);
    }
    return write_shard(ctx, state, writer);
}

static struct hf_status rebuild_all(struct hf_ctx *ctx, const struct vault_place *place,
                                    const struct vault_root *root,
                                    struct vault_digests_writer *writer)
{
    HF_CLEANUP(vault_packtable_done) struct vault_packtable packs = {0};

    HF_TRY(vault_packtable_load(ctx, place, root->pack_tables, root->pack_tables_len, &packs));
    for (size_t i = 0; i < root->map.shards_len; i++) {
        HF_CLEANUP(hf_arena_free) struct hf_arena *arena = hf_arena_new(SHARD_ARENA_MAX);
        struct shard_state state = {.place = place, .packs = &packs};
        struct hf_ctx own = *ctx;
        own.arena = arena;
        struct hf_status status = rebuild_shard(&own, &state, &root->map, i, writer);
        hf_heap_free(state.digests);
        if (!hf_is_ok(status)) {
            return hf_status_copy(ctx->arena, status);
        }
    }
    return vault_digests_writer_finish(ctx, writer);
}

struct hf_status vault_digests_rebuild(struct hf_ctx *ctx, const struct vault_place *place,
                                       const struct vault_root *root, const char *path)
{
    HF_CLEANUP(vault_digests_writer_free) struct vault_digests_writer *writer = NULL;

    HF_TRY(vault_digests_writer_new(ctx, place->keyring, path, root->info.id, &writer));
    HF_TRY(rebuild_all(ctx, place, root, writer));
    return vault_digests_commit(ctx, path);
}
