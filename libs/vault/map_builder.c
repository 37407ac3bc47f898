/* Collects map entries in the order in which a backup finishes files, and writes them sorted. */
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "vault/mapset.h"

#define ENTRY_MAX (4u << 20)

struct span {
    uint32_t offset;
    uint32_t len;
};

struct vault_map_builder {
    struct vault_place place;
    const struct vault_map_set *old;
    struct hf_buf bytes; /* encoded entries, one after the other */
    struct span *spans;
    size_t spans_len;
    size_t spans_cap;
    size_t max_bytes;
    uint64_t pages;
    struct vault_bits packs;
    struct vault_overlay *overlays;
    size_t overlays_len;
    size_t overlays_cap;
};

struct vault_map_builder *vault_map_builder_new(const struct vault_place *place,
                                                const struct vault_map_set *old, size_t max_bytes)
{
    HF_CHECK(max_bytes <= VAULT_TABLE_PLAIN_MAX);
    struct vault_map_builder *builder = hf_heap_alloc(sizeof(*builder));

    builder->place = *place;
    builder->old = old;
    builder->max_bytes = max_bytes;
    hf_buf_init(&builder->bytes, max_bytes + ENTRY_MAX);
    return builder;
}

void vault_map_builder_free(struct vault_map_builder *builder)
{
    if (builder == NULL) {
        return;
    }
    for (size_t i = 0; i < builder->overlays_len; i++) {
        hf_heap_free(builder->overlays[i].shares);
    }
    hf_heap_free(builder->overlays);
    hf_heap_free(builder->spans);
    hf_buf_done(&builder->bytes);
    vault_bits_done(&builder->packs);
    hf_heap_free(builder);
}

static int compare_spans(const void *a, const void *b, void *arg)
{
    const struct span *x = a;
    const struct span *y = b;
    const uint8_t *bytes = arg;
    int order = memcmp(bytes + x->offset, bytes + y->offset, VAULT_MAP_KEY_LEN);

    if (order != 0) {
        return order;
    }
    return x->offset < y->offset ? -1 : x->offset > y->offset;
}

static void overlay_add(struct vault_map_builder *builder, struct vault_overlay overlay)
{
    if (builder->overlays_len == builder->overlays_cap) {
        builder->overlays_cap = builder->overlays_cap * 2 + 4;
        builder->overlays =
            hf_heap_grow(builder->overlays, builder->overlays_cap * sizeof(builder->overlays[0]));
    }
    builder->overlays[builder->overlays_len++] = overlay;
}

/* Shard that key falls into, not before shard from. */
static size_t shard_of(const struct vault_map_set *set, const uint8_t *key, size_t from)
{
    while (from + 1 < set->shards_len &&
           memcmp(set->shards[from + 1].first_key, key, VAULT_ID_LEN) <= 0) {
        from++;
    }
    return from;
}

static struct hf_status write_spans(struct hf_ctx *ctx, struct vault_map_builder *builder,
                                    uint64_t *shares, struct vault_table_ref *ret_ref)
{
    HF_CLEANUP(vault_map_writer_free) struct vault_map_writer *writer = NULL;
    size_t shard = 0;

    HF_TRY(vault_map_writer_new(ctx, &builder->place, &writer));
    vault_map_writer_add_packs(writer, &builder->packs);
    for (size_t i = 0; i < builder->spans_len; i++) {
        struct hf_bytes entry = {builder->bytes.ptr + builder->spans[i].offset,
                                 builder->spans[i].len};
        shard = shard_of(builder->old, entry.ptr, shard);
        shares[shard] += entry.len;
        HF_TRY(vault_map_writer_add_encoded(ctx, writer, entry));
    }
    return vault_map_writer_finish(ctx, writer, ret_ref);
}

static struct hf_status write_overlay(struct hf_ctx *ctx, struct vault_map_builder *builder)
{
    struct vault_overlay overlay = {.pages = builder->pages};
    size_t shards = builder->old->shards_len > 0 ? builder->old->shards_len : 1;

    if (builder->spans_len == 0) {
        return hf_success();
    }
    qsort_r(builder->spans, builder->spans_len, sizeof(builder->spans[0]), compare_spans,
            builder->bytes.ptr);
    overlay.shares = hf_heap_alloc(shards * sizeof(overlay.shares[0]));
    struct hf_status status = write_spans(ctx, builder, overlay.shares, &overlay.ref);
    if (!hf_is_ok(status)) {
        hf_heap_free(overlay.shares);
        return status;
    }
    overlay_add(builder, overlay);
    builder->pages = 0;
    builder->spans_len = 0;
    hf_buf_clear(&builder->bytes);
    vault_bits_done(&builder->packs);
    return hf_success();
}

struct hf_status vault_map_builder_add(struct hf_ctx *ctx, struct vault_map_builder *builder,
                                       const struct vault_map_entry *entry)
{
    if (builder->bytes.len + builder->spans_len * sizeof(struct span) >= builder->max_bytes) {
        HF_TRY(write_overlay(ctx, builder));
    }
    size_t offset = builder->bytes.len;
    vault_map_entry_encode(&builder->bytes, entry);
    HF_TRY(hf_buf_status(&builder->bytes, ctx->arena, "map entry"));
    if (builder->spans_len == builder->spans_cap) {
        builder->spans_cap = builder->spans_cap * 2 + 1024;
        builder->spans =
            hf_heap_grow(builder->spans, builder->spans_cap * sizeof(builder->spans[0]));
    }
    builder->spans[builder->spans_len++] =
        (struct span){(uint32_t)offset, (uint32_t)(builder->bytes.len - offset)};
    for (size_t i = 0; i < entry->runs_len; i++) {
        vault_bits_set(&builder->packs, entry->runs[i].pack);
        builder->pages += entry->runs[i].count;
    }
    return hf_success();
}

const struct vault_overlay *vault_map_builder_overlays(const struct vault_map_builder *builder,
                                                       size_t *ret_len)
{
    *ret_len = builder->overlays_len;
    return builder->overlays;
}

struct hf_status vault_map_builder_finish(struct hf_ctx *ctx, struct vault_map_builder *builder,
                                          const struct vault_overlay **ret_overlays,
                                          size_t *ret_len)
{
    HF_TRY(write_overlay(ctx, builder));
    *ret_overlays = vault_map_builder_overlays(builder, ret_len);
    return hf_success();
}
