/* Inventory of a lineage.
 *
 * Surprise: a listing of a directory can miss a slice that is being closed at that moment (its
 * growing name is gone, its final name was not seen). So an inventory that shows a hole is made
 * again, and the holes of the second one count.
 */
#include "vault/wal_index.h"

#include <stdlib.h>

#include "base/vec.h"
#include "vault/wal_compare.h"
#include "vault/wal_walk.h"

struct loading {
    struct hf_arena *arena;
    struct vault_wal_source source;
    HF_VEC(struct vault_wal_range) ranges;
    HF_VEC(uint32_t) histories;
    uint64_t objects;
    uint64_t bytes;
};

/* Objects come almost ordered by timeline and from (a segment may be seen again), and those of one
 * range touch or overlap: most join the last range. */
static struct hf_status merge(struct loading *loading, uint32_t timeline, uint64_t from,
                              uint64_t to)
{
    struct vault_wal_range *last =
        loading->ranges.len == 0 ? NULL : &loading->ranges.items[loading->ranges.len - 1];

    if (from == to) {
        return hf_success();
    }
    if (last != NULL && last->timeline == timeline && from >= last->from && from <= last->to) {
        last->to = to > last->to ? to : last->to;
        return hf_success();
    }
    if (loading->ranges.len >= VAULT_WAL_RANGES_MAX) {
        return hf_fail(loading->arena, HF_RESOURCE_EXHAUSTED,
                       "lineage %s has more than %u holes in its WAL",
                       loading->source.place->lineage, VAULT_WAL_RANGES_MAX);
    }
    last = HF_VEC_ADD(loading->arena, &loading->ranges);
    *last = (struct vault_wal_range){.timeline = timeline, .from = from, .to = to};
    return hf_success();
}

static int compare_ranges(const void *a, const void *b)
{
    const struct vault_wal_range *x = a;
    const struct vault_wal_range *y = b;

    if (x->timeline != y->timeline) {
        return x->timeline < y->timeline ? -1 : 1;
    }
    return (x->from > y->from) - (x->from < y->from);
}

/* Order the ranges and join those that touch. */
static void join_ranges(struct loading *loading)
{
    struct vault_wal_range *items = loading->ranges.items;
    size_t kept = 0;

    if (loading->ranges.len == 0) {
        return;
    }
    qsort(items, loading->ranges.len, sizeof(items[0]), compare_ranges);
    for (size_t i = 1; i < loading->ranges.len; i++) {
        if (items[i].timeline == items[kept].timeline && items[i].from <= items[kept].to) {
            items[kept].to = items[i].to > items[kept].to ? items[i].to : items[kept].to;
        } else {
            items[++kept] = items[i];
        }
    }
    loading->ranges.len = kept + 1;
}

static struct hf_status add_object(struct hf_ctx *ctx, void *arg, const struct vault_wal_name *name,
                                   const char *text, uint64_t size_bytes)
{
    HF_CLEANUP(vault_wal_slice_free) struct vault_wal_slice *slice = NULL;
    struct loading *loading = arg;
    uint64_t to = name->to;

    if (name->kind == VAULT_WAL_HISTORY) {
        if (loading->histories.len == VAULT_WAL_HISTORIES_MAX) {
            return hf_fail(ctx->arena, HF_RESOURCE_EXHAUSTED,
                           "lineage %s has more than %u histories", loading->source.place->lineage,
                           VAULT_WAL_HISTORIES_MAX);
        }
        *HF_VEC_ADD(loading->arena, &loading->histories) = name->timeline;
        return hf_success();
    }
    if (name->kind == VAULT_WAL_GROWING) {
        struct hf_status status = vault_wal_slice_open(ctx, &loading->source, text, &slice);

        /* A growing slice whose header is damaged proves nothing; vault_wal_check names it. */
        if (status.code == HF_DATA_LOSS) {
            return hf_success();
        }
        HF_TRY(status);
        to = vault_wal_slice_to(slice);
    }
    loading->objects++;
    loading->bytes += size_bytes;
    return merge(loading, name->timeline, name->from, to);
}

static struct hf_status load_once(struct hf_ctx *ctx, struct vault_wal_walk walk,
                                  struct loading *loading)
{
    walk.store = loading->source.store;
    walk.place = loading->source.place;
    walk.fn = add_object;
    walk.arg = loading;
    HF_TRY(vault_wal_walk(ctx, &walk));
    join_ranges(loading);
    return hf_success();
}

static bool has_holes(const struct loading *loading)
{
    for (size_t i = 1; i < loading->ranges.len; i++) {
        if (loading->ranges.items[i].timeline == loading->ranges.items[i - 1].timeline) {
            return true;
        }
    }
    return false;
}

static struct hf_status load(struct hf_ctx *ctx, const struct vault_wal_source *source,
                             const struct vault_wal_walk *walk, struct vault_wal_index *ret_index)
{
    const struct loading empty = {.arena = ctx->arena, .source = *source};
    struct loading loading = empty;

    HF_TRY(vault_wal_place_check(ctx->arena, source->place));
    HF_TRY(load_once(ctx, *walk, &loading));
    if (has_holes(&loading)) {
        loading = empty;
        HF_TRY(load_once(ctx, *walk, &loading));
    }
    *ret_index = (struct vault_wal_index){
        .ranges = loading.ranges.items,
        .ranges_len = loading.ranges.len,
        .histories = loading.histories.items,
        .histories_len = loading.histories.len,
        .objects = loading.objects,
        .bytes = loading.bytes,
    };
    return hf_success();
}

struct hf_status vault_wal_index_load(struct hf_ctx *ctx, struct objstore *store,
                                      const struct vault_keyring *keyring,
                                      const struct vault_wal_place *place, uint32_t timeline,
                                      struct vault_wal_index *ret_index)
{
    struct vault_wal_source source = {store, keyring, place};
    struct vault_wal_walk walk = {.timeline = timeline};

    return load(ctx, &source, &walk, ret_index);
}

struct hf_status vault_wal_index_segment(struct hf_ctx *ctx, const struct vault_wal_source *source,
                                         uint32_t timeline, uint64_t segno,
                                         struct vault_wal_index *ret_index)
{
    struct vault_wal_walk walk = {.timeline = timeline, .segno = segno, .is_segment = true};

    return load(ctx, source, &walk, ret_index);
}

const struct vault_wal_range *vault_wal_index_find(const struct vault_wal_index *index,
                                                   uint32_t timeline, uint64_t lsn, bool is_end)
{
    for (size_t i = 0; i < index->ranges_len; i++) {
        const struct vault_wal_range *range = &index->ranges[i];

        if (range->timeline == timeline && lsn >= range->from &&
            (lsn < range->to || (is_end && lsn == range->to && lsn > range->from))) {
            return range;
        }
    }
    return NULL;
}

const struct vault_wal_range *vault_wal_index_last(const struct vault_wal_index *index,
                                                   uint32_t timeline)
{
    const struct vault_wal_range *last = NULL;

    for (size_t i = 0; i < index->ranges_len; i++) {
        if (index->ranges[i].timeline == timeline) {
            last = &index->ranges[i];
        }
    }
    return last;
}

uint32_t vault_wal_index_below(const struct vault_wal_index *index, uint32_t bound)
{
    uint32_t found = 0;

    for (size_t i = 0; i < index->ranges_len; i++) {
        uint32_t timeline = index->ranges[i].timeline;

        found = timeline < bound && timeline > found ? timeline : found;
    }
    for (size_t i = 0; i < index->histories_len; i++) {
        uint32_t timeline = index->histories[i];

        found = timeline < bound && timeline > found ? timeline : found;
    }
    return found;
}

uint32_t vault_wal_index_timeline(const struct vault_wal_index *index)
{
    return index->ranges_len == 0 ? 0 : index->ranges[index->ranges_len - 1].timeline;
}

size_t vault_wal_index_holes(struct hf_arena *arena, const struct vault_wal_index *index,
                             const struct vault_wal_range *leg, struct vault_wal_range **ret_holes)
{
    HF_VEC(struct vault_wal_range) holes = {0};
    uint64_t from = leg->from;

    for (size_t i = 0; i < index->ranges_len && from < leg->to; i++) {
        const struct vault_wal_range *range = &index->ranges[i];

        if (range->timeline != leg->timeline || range->to <= from || range->from >= leg->to) {
            continue;
        }
        if (range->from > from) {
            *HF_VEC_ADD(arena, &holes) = (struct vault_wal_range){leg->timeline, from, range->from};
        }
        from = range->to;
    }
    if (from < leg->to) {
        *HF_VEC_ADD(arena, &holes) = (struct vault_wal_range){leg->timeline, from, leg->to};
    }
    *ret_holes = holes.items;
    return holes.len;
}
