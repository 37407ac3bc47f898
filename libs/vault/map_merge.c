/* Merged reading of shards: base and overlays side by side, one (key, segment) at a time.
 *
 * Surprise: runs are not merged as lists. A segment has at most VAULT_SEGMENT_PAGES pages, so each
 * table paints its runs into one array of page addresses, oldest table first, and the result is
 * read off. That is a megabyte and cannot be wrong about partial overlaps. */
#include <string.h>

#include "base/check.h"
#include "vault/map.h"

#define TABLES_MAX 512 /* of one shard: a first backup may bring hundreds before it is cut */

struct page_at {
    uint32_t pack; /* 0: nothing is known about the page */
    uint32_t ordinal;
};

struct vault_map_iter {
    struct vault_place place;
    const struct vault_map_set *set;
    size_t next_shard;
    size_t end_shard;
    struct vault_map_reader *readers[TABLES_MAX]; /* old to new */
    const struct vault_map_entry *heads[TABLES_MAX];
    size_t readers_len;
    struct page_at *pages; /* VAULT_SEGMENT_PAGES, all zero between groups */
    uint32_t painted_low;  /* in the segment */
    uint32_t painted_high;
    struct vault_run *runs;
    size_t runs_cap;
    struct vault_map_entry entry; /* current key: attributes stay for all its segments */
    bool has_key;
    char path[VAULT_PATH_MAX + 1];
    char link[VAULT_PATH_MAX + 1];
};

static void close_shard(struct vault_map_iter *iter)
{
    for (size_t i = 0; i < iter->readers_len; i++) {
        vault_map_reader_free(iter->readers[i]);
    }
    iter->readers_len = 0;
}

void vault_map_iter_free(struct vault_map_iter *iter)
{
    if (iter == NULL) {
        return;
    }
    close_shard(iter);
    hf_heap_free(iter->pages);
    hf_heap_free(iter->runs);
    hf_heap_free(iter);
}

struct hf_status vault_map_iter_new(struct hf_ctx *ctx, const struct vault_place *place,
                                    const struct vault_map_set *set, size_t first, size_t count,
                                    struct vault_map_iter **ret_iter)
{
    HF_CHECK(first <= set->shards_len && count <= set->shards_len - first);
    HF_TRY(hf_ctx_check(ctx));
    struct vault_map_iter *iter = hf_heap_alloc(sizeof(*iter));

    iter->place = *place;
    iter->set = set;
    iter->next_shard = first;
    iter->end_shard = first + count;
    iter->pages = hf_heap_alloc(VAULT_SEGMENT_PAGES * sizeof(iter->pages[0]));
    *ret_iter = iter;
    return hf_success();
}

static struct hf_status open_shard(struct hf_ctx *ctx, struct vault_map_iter *iter)
{
    const struct vault_map_set *set = iter->set;
    const struct vault_shard *shard = &set->shards[iter->next_shard];
    const uint8_t *high = NULL;

    if (iter->next_shard + 1 < set->shards_len) {
        high = set->shards[iter->next_shard + 1].first_key;
    }
    if (shard->shares_len > TABLES_MAX) {
        return hf_fail(ctx->arena, HF_DATA_LOSS, "shard %zu of the map has %zu tables",
                       iter->next_shard, shard->shares_len);
    }
    for (size_t i = 0; i < shard->shares_len; i++) {
        const struct vault_table_ref *ref = &set->tables[shard->shares[i].table];
        HF_TRY(vault_map_reader_new(ctx, &iter->place, ref, shard->first_key, high,
                                    &iter->readers[i]));
        iter->readers_len++;
        HF_TRY(vault_map_reader_next(ctx, iter->readers[i], &iter->heads[i]));
    }
    iter->next_shard++;
    return hf_success();
}

static int compare_heads(const struct vault_map_entry *a, const struct vault_map_entry *b)
{
    int order = memcmp(a->key, b->key, VAULT_ID_LEN);

    if (order != 0) {
        return order;
    }
    return a->segment < b->segment ? -1 : a->segment > b->segment;
}

/* Smallest head, NULL when all tables of the shard are read. */
static const struct vault_map_entry *smallest(const struct vault_map_iter *iter)
{
    const struct vault_map_entry *min = NULL;

    for (size_t i = 0; i < iter->readers_len; i++) {
        const struct vault_map_entry *head = iter->heads[i];
        if (head != NULL && (min == NULL || compare_heads(head, min) < 0)) {
            min = head;
        }
    }
    return min;
}

static void unpaint(struct vault_map_iter *iter)
{
    if (iter->painted_high > iter->painted_low) {
        memset(iter->pages + iter->painted_low, 0,
               (iter->painted_high - iter->painted_low) * sizeof(iter->pages[0]));
    }
    iter->painted_low = VAULT_SEGMENT_PAGES;
    iter->painted_high = 0;
}

static void paint(struct vault_map_iter *iter, const struct vault_run *run)
{
    uint32_t low = run->first_page % VAULT_SEGMENT_PAGES;
    uint32_t high = low + run->count;

    for (uint32_t i = 0; i < run->count; i++) {
        iter->pages[low + i] = (struct page_at){(uint32_t)run->pack, run->ordinal + i};
    }
    iter->painted_low = low < iter->painted_low ? low : iter->painted_low;
    iter->painted_high = high > iter->painted_high ? high : iter->painted_high;
}

/* One table's word on the current (key, segment). Anything but RUNS replaces the attributes; what
 * is not a file has no pages, whatever older tables said. */
static void apply(struct vault_map_iter *iter, const struct vault_map_entry *from)
{
    if (from->attrs.node != VAULT_NODE_RUNS) {
        iter->entry.attrs = from->attrs;
        if (from->attrs.path != NULL) {
            memcpy(iter->path, from->attrs.path, strlen(from->attrs.path) + 1);
            memcpy(iter->link, from->attrs.link, strlen(from->attrs.link) + 1);
        }
        iter->entry.attrs.path = iter->path;
        iter->entry.attrs.link = iter->link;
        iter->has_key = true;
    }
    for (size_t i = 0; i < from->runs_len; i++) {
        paint(iter, &from->runs[i]);
    }
}

static void run_add(struct vault_map_iter *iter, uint32_t page, struct page_at at)
{
    size_t len = iter->entry.runs_len;
    struct vault_run *last = len > 0 ? &iter->runs[len - 1] : NULL;

    if (last != NULL && last->first_page + last->count == page && last->pack == at.pack &&
        last->ordinal + last->count == at.ordinal) {
        last->count++;
        return;
    }
    if (len == iter->runs_cap) {
        iter->runs_cap = iter->runs_cap * 2 + 64;
        iter->runs = hf_heap_grow(iter->runs, iter->runs_cap * sizeof(iter->runs[0]));
    }
    iter->runs[len] =
        (struct vault_run){.pack = at.pack, .ordinal = at.ordinal, .first_page = page, .count = 1};
    iter->entry.runs_len++;
}

/* Read the painted pages off as runs, cut to the file's size. */
static void collect(struct vault_map_iter *iter)
{
    uint64_t first = (uint64_t)iter->entry.segment * VAULT_SEGMENT_PAGES;
    uint64_t pages = vault_pages_of(iter->entry.attrs.size_bytes);
    uint64_t high = pages > first ? pages - first : 0;

    if (iter->entry.attrs.node != VAULT_NODE_FILE) {
        high = 0;
    }
    high = high < iter->painted_high ? high : iter->painted_high;
    iter->entry.runs_len = 0;
    for (uint32_t i = iter->painted_low; i < high; i++) {
        if (iter->pages[i].pack != 0) {
            run_add(iter, (uint32_t)first + i, iter->pages[i]);
        }
    }
    iter->entry.runs = iter->runs;
    unpaint(iter);
}

/* Merge all heads that say something about the smallest (key, segment). */
static struct hf_status merge_group(struct hf_ctx *ctx, struct vault_map_iter *iter,
                                    const struct vault_map_entry *min)
{
    struct vault_map_entry group = {.segment = min->segment};

    memcpy(group.key, min->key, VAULT_ID_LEN);
    if (memcmp(group.key, iter->entry.key, VAULT_ID_LEN) != 0 || group.segment == 0) {
        iter->has_key = false;
        iter->entry = (struct vault_map_entry){0};
        memcpy(iter->entry.key, group.key, VAULT_ID_LEN);
    }
    iter->entry.segment = group.segment;
    for (size_t i = 0; i < iter->readers_len; i++) {
        while (iter->heads[i] != NULL && compare_heads(iter->heads[i], &group) == 0) {
            apply(iter, iter->heads[i]);
            HF_TRY(vault_map_reader_next(ctx, iter->readers[i], &iter->heads[i]));
        }
    }
    if (!iter->has_key) {
        return hf_fail(ctx->arena, HF_DATA_LOSS, "the map of %s has pages of a file without name",
                       iter->place.prefix);
    }
    collect(iter);
    return hf_success();
}

struct hf_status vault_map_iter_next(struct hf_ctx *ctx, struct vault_map_iter *iter,
                                     const struct vault_map_entry **ret_entry)
{
    for (;;) {
        const struct vault_map_entry *min = smallest(iter);
        if (min == NULL) {
            close_shard(iter);
            if (iter->next_shard == iter->end_shard) {
                *ret_entry = NULL;
                return hf_success();
            }
            unpaint(iter);
            HF_TRY(open_shard(ctx, iter));
            continue;
        }
        HF_TRY(merge_group(ctx, iter, min));
        bool is_continued = iter->entry.segment > 0;
        if (iter->entry.attrs.node != VAULT_NODE_GONE &&
            (!is_continued || iter->entry.runs_len > 0)) {
            *ret_entry = &iter->entry;
            return hf_success();
        }
    }
}
