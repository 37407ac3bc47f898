/* Extraction: directories first, then files and symlinks in the map's order, batch by batch. */
#include "vault/extract.h"

#include <string.h>

#include "base/check.h"
#include "vault/extract_impl.h"
#include "vault/table_io.h"

#define BATCH_PIECES (1u << 20)
#define BATCH_FILES (1u << 18)
#define BATCH_ARENA_MAX ((size_t)4 << 30)
/* Of a batch with its last file: 64 GiB of that file in single pages, 320 MiB of memory. */
#define PIECES_MAX (1u << 24)

static struct hf_status run_batch(struct hf_ctx *ctx, struct extract *extract)
{
    HF_TRY(vault_extract_batch(ctx, extract));
    for (size_t i = 0; i < extract->files_len; i++) {
        HF_CHECK(atomic_load(&extract->files[i]->pages_left) == 0);
    }
    vault_extract_fds_done(extract); /* the files' records end with the batch */
    vault_extract_fds_init(extract);
    hf_arena_reset(extract->arena);
    extract->files_len = 0;
    extract->pieces_len = 0;
    return hf_success();
}

static struct extract_file *file_add(struct extract *extract, const struct vault_attrs *attrs,
                                     const struct vault_extract_file *target)
{
    struct extract_file *file = HF_NEW(extract->arena, struct extract_file);

    file->dir = target->dir;
    file->path = hf_strdup(extract->arena, target->path);
    file->cookie = target->cookie;
    file->size_bytes = attrs->size_bytes;
    atomic_init(&file->pages_left, vault_pages_of(attrs->size_bytes));
    file->slot = -1;
    file->is_fresh = target->action == VAULT_EXTRACT_CREATE;
    if (extract->files_len == extract->files_cap) {
        extract->files_cap = extract->files_cap * 2 + 256;
        extract->files =
            hf_heap_grow(extract->files, extract->files_cap * sizeof(struct extract_file *));
    }
    extract->files[extract->files_len++] = file;
    return file;
}

static void pieces_add(struct extract *extract, const struct vault_map_entry *entry)
{
    if (extract->pieces_cap - extract->pieces_len < entry->runs_len) {
        extract->pieces_cap = extract->pieces_len + entry->runs_len + extract->pieces_cap / 2;
        extract->pieces =
            hf_heap_grow(extract->pieces, extract->pieces_cap * sizeof(extract->pieces[0]));
    }
    for (size_t i = 0; i < entry->runs_len; i++) {
        const struct vault_run *run = &entry->runs[i];
        extract->pieces[extract->pieces_len++] = (struct extract_piece){
            .pack = (uint32_t)run->pack,
            .ordinal = run->ordinal,
            .file = (uint32_t)(extract->files_len - 1),
            .first_page = run->first_page,
            .count = run->count,
        };
    }
}

/* The file that entries are being collected for. */
struct collecting {
    bool is_open; /* false: skipped, or not a file */
    char path[VAULT_PATH_MAX + 1];
    uint64_t pages_missing;
};

static struct hf_status finish_file(struct hf_ctx *ctx, struct collecting *now)
{
    if (now->is_open && now->pages_missing > 0) {
        return hf_fail(ctx->arena, HF_DATA_LOSS, "the map does not cover %llu pages of %s",
                       (unsigned long long)now->pages_missing, now->path);
    }
    now->is_open = false;
    return hf_success();
}

static struct hf_status begin_file(struct hf_ctx *ctx, struct extract *extract,
                                   struct collecting *now, const struct vault_attrs *attrs)
{
    const struct vault_extract_sink *sink = extract->options->sink;
    struct vault_extract_file target = {.action = VAULT_EXTRACT_SKIP};

    if (extract->pieces_len >= BATCH_PIECES || extract->files_len >= BATCH_FILES) {
        HF_TRY(run_batch(ctx, extract));
    }
    HF_TRY(sink->file(ctx, sink->arg, attrs, &target));
    if (target.action == VAULT_EXTRACT_SKIP) {
        return hf_success();
    }
    struct extract_file *file = file_add(extract, attrs, &target);
    now->pages_missing = vault_pages_of(attrs->size_bytes);
    memcpy(now->path, attrs->path, strlen(attrs->path) + 1);
    now->is_open = true;
    atomic_fetch_add(&extract->progress->bytes_total, now->pages_missing * VAULT_PAGE);
    return now->pages_missing == 0 ? vault_extract_empty(ctx, extract, file) : hf_success();
}

/* Runs are disjoint and within the size, unless a segment comes a second time. */
static struct hf_status take_runs(struct hf_ctx *ctx, struct extract *extract,
                                  struct collecting *now, const struct vault_map_entry *entry)
{
    uint64_t pages = 0;

    for (size_t i = 0; i < entry->runs_len; i++) {
        pages += entry->runs[i].count;
    }
    if (pages > now->pages_missing) {
        return hf_fail(ctx->arena, HF_DATA_LOSS, "the map names pages of %s twice", now->path);
    }
    if (entry->runs_len > PIECES_MAX - extract->pieces_len) {
        return hf_fail(ctx->arena, HF_DATA_LOSS, "the map has %s in more than %u pieces", now->path,
                       PIECES_MAX - BATCH_PIECES);
    }
    now->pages_missing -= pages;
    pieces_add(extract, entry);
    return hf_success();
}

static struct hf_status take_entry(struct hf_ctx *ctx, struct extract *extract,
                                   struct collecting *now, const struct vault_map_entry *entry)
{
    const struct vault_extract_sink *sink = extract->options->sink;

    if (entry->segment == 0) {
        HF_TRY(finish_file(ctx, now));
        if (entry->attrs.node == VAULT_NODE_SYMLINK) {
            return sink->symlink(ctx, sink->arg, &entry->attrs);
        }
        if (entry->attrs.node != VAULT_NODE_FILE) {
            return hf_success();
        }
        HF_TRY(begin_file(ctx, extract, now, &entry->attrs));
    }
    return now->is_open ? take_runs(ctx, extract, now, entry) : hf_success();
}

/* Each call of a sink gets an arena that is emptied now and then: a map may have millions of
 * entries. */
#define CALLS_PER_ARENA 256u

typedef struct hf_status (*entry_fn)(struct hf_ctx *ctx, struct extract *extract,
                                     struct collecting *now, const struct vault_map_entry *entry);

static struct hf_status walk(struct hf_ctx *ctx, struct extract *extract, entry_fn fn)
{
    HF_CLEANUP(vault_map_iter_free) struct vault_map_iter *iter = NULL;
    const struct vault_map_set *map = &extract->options->root->map;
    const struct vault_map_entry *entry = NULL;
    struct collecting now = {.is_open = false};
    unsigned calls = 0;

    HF_TRY(vault_map_iter_new(ctx, &extract->options->place, map, 0, map->shards_len, &iter));
    do {
        HF_TRY(vault_fault_check(ctx, &extract->fault));
        if (++calls % CALLS_PER_ARENA == 0) {
            hf_arena_reset(ctx->arena);
        }
        HF_TRY(vault_map_iter_next(ctx, iter, &entry));
        if (entry != NULL) {
            HF_TRY(fn(ctx, extract, &now, entry));
        }
    } while (entry != NULL);
    return finish_file(ctx, &now);
}

static struct hf_status take_dir(struct hf_ctx *ctx, struct extract *extract,
                                 struct collecting *now, const struct vault_map_entry *entry)
{
    const struct vault_extract_sink *sink = extract->options->sink;

    (void)now;
    if (entry->attrs.node != VAULT_NODE_DIR) {
        return hf_success();
    }
    return sink->dir(ctx, sink->arg, &entry->attrs);
}

static struct hf_status extract_all(struct hf_ctx *ctx, struct extract *extract)
{
    HF_TRY(walk(ctx, extract, take_dir));
    HF_TRY(walk(ctx, extract, take_entry));
    return run_batch(ctx, extract);
}

struct hf_status vault_extract(struct hf_ctx *ctx, const struct vault_extract_options *options)
{
    HF_CLEANUP(hf_arena_free) struct hf_arena *calls = hf_arena_new((size_t)256 << 20);
    struct extract *extract = hf_heap_alloc(sizeof(*extract));
    struct hf_ctx own = *ctx;

    own.arena = calls;
    extract->options = options;
    extract->base = *ctx;
    extract->base.arena = NULL;
    extract->progress = options->progress != NULL ? options->progress : &extract->own_progress;
    extract->arena = hf_arena_new(BATCH_ARENA_MAX);
    vault_fault_init(&extract->fault);
    vault_extract_fds_init(extract);
    struct hf_status status = vault_packtable_load(ctx, &options->place, options->root->pack_tables,
                                                   options->root->pack_tables_len, &extract->packs);
    if (hf_is_ok(status)) {
        status = hf_status_copy(ctx->arena, extract_all(&own, extract));
    }
    vault_extract_fds_done(extract);
    vault_fault_done(&extract->fault);
    vault_packtable_done(&extract->packs);
    hf_arena_free(extract->arena);
    hf_heap_free(extract->files);
    hf_heap_free(extract->pieces);
    hf_heap_free(extract->jobs);
    hf_heap_free(extract);
    return status;
}
