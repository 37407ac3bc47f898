/* From the map of the predecessor to the next: which shards take overlays, which are rewritten.
 *
 * A shard is rewritten when reading it would mean too many tables, or when its overlays outweigh
 * its base: so the sum of all rewriting stays below a constant times what changed. */
#include <string.h>

#include "base/check.h"
#include "base/vec.h"
#include "vault/mapset.h"

#define SHARD_BYTES (4u << 20)          /* of entries: a rewritten shard is cut beyond this … */
#define SHARD_PAGES (UINT64_C(1) << 21) /* … or beyond 16 GiB of pages */
#define REWRITE_FLOOR (32u << 10)       /* overlays smaller than this do not outweigh anything */

struct grow {
    const struct vault_map_grow *in;
    struct vault_map_set all; /* old shards over old tables ‖ overlays ‖ rewritten tables */
    HF_VEC(struct vault_table_ref) tables;
    HF_VEC(struct vault_shard) shards;
};

static void tables_begin(struct hf_ctx *ctx, struct grow *grow)
{
    const struct vault_map_grow *in = grow->in;

    for (size_t i = 0; i < in->old->tables_len; i++) {
        *HF_VEC_ADD(ctx->arena, &grow->tables) = in->old->tables[i];
    }
    for (size_t i = 0; i < in->overlays_len; i++) {
        *HF_VEC_ADD(ctx->arena, &grow->tables) = in->overlays[i].ref;
    }
    grow->all.tables = grow->tables.items;
    grow->all.tables_len = grow->tables.len;
}

/* Old shards, each with the overlays that touch it; one empty shard when there are none. */
static void shards_begin(struct hf_ctx *ctx, struct grow *grow)
{
    const struct vault_map_grow *in = grow->in;
    size_t count = in->old->shards_len > 0 ? in->old->shards_len : 1;

    grow->all.shards = HF_NEW_N(ctx->arena, struct vault_shard, count);
    grow->all.shards_len = count;
    for (size_t i = 0; i < count; i++) {
        struct vault_shard *shard = &grow->all.shards[i];
        size_t old_len = 0;
        if (in->old->shards_len > 0) {
            *shard = in->old->shards[i];
            old_len = shard->shares_len;
        }
        struct vault_share *shares =
            HF_NEW_N(ctx->arena, struct vault_share, old_len + in->overlays_len);
        if (old_len > 0) {
            memcpy(shares, shard->shares, old_len * sizeof(shares[0]));
        }
        for (size_t k = 0; k < in->overlays_len; k++) {
            if (in->overlays[k].shares[i] > 0) {
                shares[old_len++] = (struct vault_share){(uint32_t)(in->old->tables_len + k),
                                                         in->overlays[k].shares[i]};
            }
        }
        shard->shares = shares;
        shard->shares_len = old_len;
    }
}

static bool must_rewrite(const struct grow *grow, const struct vault_shard *shard)
{
    uint64_t overlay_bytes = 0;

    if (shard->shares_len == 0) {
        return false;
    }
    for (size_t i = 1; i < shard->shares_len; i++) {
        overlay_bytes += shard->shares[i].bytes;
    }
    size_t base = shard->shares[0].table;
    size_t old_len = grow->in->old->tables_len;
    if (base >= old_len && (shard->shares_len > 1 || shard->shares[0].bytes > SHARD_BYTES ||
                            grow->in->overlays[base - old_len].pages > SHARD_PAGES)) {
        return true; /* the first backup of a large source: cut into shards at once */
    }
    return shard->shares_len - 1 > VAULT_OVERLAYS_MAX ||
           (overlay_bytes > REWRITE_FLOOR && overlay_bytes > shard->shares[0].bytes);
}

/* Output of a rewriting: the shard being filled. */
struct rewrite {
    struct vault_map_writer *writer; /* NULL: nothing yet */
    uint8_t first_key[VAULT_ID_LEN];
    uint64_t pages;
};

static struct hf_status rewrite_close(struct hf_ctx *ctx, struct grow *grow, struct rewrite *out)
{
    struct vault_shard *shard = HF_VEC_ADD(ctx->arena, &grow->shards);

    memcpy(shard->first_key, out->first_key, VAULT_ID_LEN);
    if (out->writer == NULL) {
        return hf_success();
    }
    struct vault_table_ref *ref = HF_VEC_ADD(ctx->arena, &grow->tables);
    HF_TRY(vault_map_writer_finish(ctx, out->writer, ref));
    grow->in->wrote(grow->in->arg, ref);
    shard->shares = HF_NEW(ctx->arena, struct vault_share);
    shard->shares[0] = (struct vault_share){(uint32_t)(grow->tables.len - 1), ref->plain_bytes};
    shard->shares_len = 1;
    vault_map_writer_free(HF_TAKE(out->writer));
    out->pages = 0;
    return hf_success();
}

static struct hf_status rewrite_entry(struct hf_ctx *ctx, struct grow *grow, struct rewrite *out,
                                      const struct vault_map_entry *entry)
{
    bool is_full =
        out->writer != NULL &&
        (out->pages >= SHARD_PAGES || vault_map_writer_plain_bytes(out->writer) >= SHARD_BYTES);

    if (is_full && entry->segment == 0) {
        HF_TRY(rewrite_close(ctx, grow, out));
        memcpy(out->first_key, entry->key, VAULT_ID_LEN);
    }
    if (out->writer == NULL) {
        HF_TRY(vault_map_writer_new(ctx, grow->in->place, &out->writer));
    }
    for (size_t i = 0; i < entry->runs_len; i++) {
        out->pages += entry->runs[i].count;
    }
    return vault_map_writer_add(ctx, out->writer, entry);
}

static struct hf_status rewrite_entries(struct hf_ctx *ctx, struct grow *grow, size_t shard,
                                        struct rewrite *out)
{
    HF_CLEANUP(vault_map_iter_free) struct vault_map_iter *iter = NULL;
    const struct vault_map_entry *entry = NULL;

    HF_TRY(vault_map_iter_new(ctx, grow->in->place, &grow->all, shard, 1, &iter));
    do {
        HF_TRY(vault_map_iter_next(ctx, iter, &entry));
        if (entry != NULL) {
            HF_TRY(rewrite_entry(ctx, grow, out, entry));
        }
    } while (entry != NULL);
    return rewrite_close(ctx, grow, out);
}

static struct hf_status rewrite_shard(struct hf_ctx *ctx, struct grow *grow, size_t shard)
{
    struct rewrite out = {0};

    memcpy(out.first_key, grow->all.shards[shard].first_key, VAULT_ID_LEN);
    struct hf_status status = rewrite_entries(ctx, grow, shard, &out);
    vault_map_writer_free(out.writer);
    return status;
}

/* Keep the tables that some shard names, and number them anew. */
static void set_from(struct hf_ctx *ctx, const struct grow *grow, struct vault_map_set *ret_set)
{
    uint32_t *index = HF_NEW_N(ctx->arena, uint32_t, grow->tables.len + 1);
    struct vault_map_set set = {.shards = grow->shards.items, .shards_len = grow->shards.len};

    for (size_t i = 0; i < set.shards_len; i++) {
        for (size_t k = 0; k < set.shards[i].shares_len; k++) {
            index[set.shards[i].shares[k].table] = 1;
        }
    }
    set.tables = HF_NEW_N(ctx->arena, struct vault_table_ref, grow->tables.len + 1);
    for (size_t i = 0; i < grow->tables.len; i++) {
        if (index[i] != 0) {
            index[i] = (uint32_t)set.tables_len;
            set.tables[set.tables_len++] = grow->tables.items[i];
        }
    }
    for (size_t i = 0; i < set.shards_len; i++) {
        for (size_t k = 0; k < set.shards[i].shares_len; k++) {
            set.shards[i].shares[k].table = index[set.shards[i].shares[k].table];
        }
    }
    *ret_set = set;
}

static struct hf_status collect_used(struct hf_ctx *ctx, const struct vault_place *place,
                                     const struct vault_map_set *set, struct vault_bits *used)
{
    for (size_t i = 0; i < set->tables_len; i++) {
        HF_CLEANUP(vault_map_reader_free) struct vault_map_reader *reader = NULL;
        HF_TRY(vault_map_reader_new(ctx, place, &set->tables[i], NULL, NULL, &reader));
        HF_TRY(vault_map_reader_packs(ctx, reader, used));
    }
    return hf_success();
}

struct hf_status vault_map_grow(struct hf_ctx *ctx, const struct vault_map_grow *in,
                                struct vault_map_set *ret_set, struct vault_bits *ret_used)
{
    struct grow grow = {.in = in};
    struct vault_map_set set;

    tables_begin(ctx, &grow);
    shards_begin(ctx, &grow);
    for (size_t i = 0; i < grow.all.shards_len; i++) {
        if (must_rewrite(&grow, &grow.all.shards[i])) {
            grow.all.tables = grow.tables.items;
            HF_TRY(rewrite_shard(ctx, &grow, i));
        } else {
            *HF_VEC_ADD(ctx->arena, &grow.shards) = grow.all.shards[i];
        }
    }
    set_from(ctx, &grow, &set);
    HF_TRY(collect_used(ctx, in->place, &set, ret_used));
    *ret_set = set;
    return hf_success();
}
