/* pg_wal: every segment of every leg under its own timeline's name, zero-padded at the end, and all
 * history files. Threads take segments one by one; each has its own reader. */
#include <errno.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/pool.h"
#include "pgformat/wal.h"
#include "restore/internal.h"

#define CHUNK_BYTES ((size_t)1 << 20)
#define ARENA_BYTES ((size_t)64 << 20)

struct item {
    size_t leg;
    uint64_t segno;
};

struct wal_work {
    struct restore *restore;
    const struct restore_plan *plan;
    struct item *items;
    size_t items_len;
    atomic_size_t next;
    atomic_uint_fast64_t bytes;
    struct hf_cancel failed;

    struct hf_lock status_lock;
    struct hf_status status; /* first failure, in status_arena */
    struct hf_arena *status_arena;
};

/* --- which segments ------------------------------------------------------------------------- */

static void list_items(struct hf_arena *arena, const struct restore_plan *plan,
                       struct item **ret_items, size_t *ret_len)
{
    HF_VEC(struct item) items = {0};
    uint64_t size = plan->wal.segment_bytes;

    for (size_t leg = 0; leg < plan->legs_len; leg++) {
        uint64_t to =
            plan->legs[leg].to_lsn < plan->end_lsn ? plan->legs[leg].to_lsn : plan->end_lsn;

        if (to <= plan->legs[leg].from_lsn) {
            continue;
        }
        uint64_t first = pgf_wal_segno(plan->legs[leg].from_lsn, size);
        uint64_t last = pgf_wal_segno_before(to, size);

        for (uint64_t segno = first; segno <= last; segno++) {
            *HF_VEC_ADD(arena, &items) = (struct item){leg, segno};
        }
    }
    *ret_items = items.items;
    *ret_len = items.len;
}

/* --- one segment ---------------------------------------------------------------------------- */

/* The point's first segment may begin in the vault later than the segment itself: recovery starts
 * within it and never looks before, but a page must have its header. */
static struct hf_status first_byte(struct hf_ctx *ctx, struct restore_path *path,
                                   const struct item *item, uint64_t start, uint64_t end,
                                   uint64_t *ret_first)
{
    uint8_t byte = 0;
    size_t got = 0;

    for (uint64_t lsn = start; lsn < end; lsn += 8192) {
        const struct restore_span span = {lsn, &byte, 1};

        HF_TRY(restore_path_read_leg(ctx, path, item->leg, &span, &got));
        if (got == 1) {
            *ret_first = lsn;
            return hf_success();
        }
    }
    *ret_first = end;
    return hf_success();
}

static struct hf_status copy_bytes(struct hf_ctx *ctx, struct wal_work *work,
                                   struct restore_path *path, const struct item *item, int fd,
                                   const char *name)
{
    HF_CLEANUP(hf_heap_free) void *chunk = hf_heap_alloc(CHUNK_BYTES);
    uint64_t size = work->plan->wal.segment_bytes;
    uint64_t start = pgf_wal_segment_start(item->segno, size);
    uint64_t lsn = start;

    HF_TRY(first_byte(ctx, path, item, start, start + size, &lsn));
    while (lsn < start + size) {
        size_t want = start + size - lsn < CHUNK_BYTES ? (size_t)(start + size - lsn) : CHUNK_BYTES;
        size_t got = 0;

        hf_arena_reset(ctx->arena);
        HF_TRY(hf_ctx_check(ctx));
        const struct restore_span span = {lsn, chunk, want};

        HF_TRY(restore_path_read_leg(ctx, path, item->leg, &span, &got));
        if (got == 0) {
            break;
        }
        HF_TRY(hf_pwrite_all(ctx->arena, fd, chunk, got, lsn - start, name));
        lsn += got;
        atomic_fetch_add(&work->bytes, got);
        if (work->restore->options->progress != NULL) {
            atomic_fetch_add(&work->restore->options->progress->done_bytes, got);
        }
    }
    return hf_success();
}

static struct hf_status place_segment(struct hf_ctx *ctx, struct wal_work *work,
                                      struct restore_path *path, const struct item *item)
{
    uint64_t size = work->plan->wal.segment_bytes;
    struct pgf_wal_name file =
        pgf_wal_name(work->plan->legs[item->leg].timeline, item->segno, size);
    HF_CLEANUP(hf_arena_free) struct hf_arena *names = hf_arena_new(65536);
    const char *name = hf_printf(names, "pg_wal/%s", file.text);
    HF_CLEANUP(hf_close) int fd = -1;

    HF_TRY(restore_create(work->restore, ctx->arena, name, &fd));
    if (ftruncate(fd, (off_t)size) != 0) {
        return hf_fail_errno(ctx->arena, errno, "sizing %s", name);
    }
    HF_TRY(copy_bytes(ctx, work, path, item, fd, name));
    return hf_fsync(ctx->arena, fd, name);
}

/* --- threads -------------------------------------------------------------------------------- */

static void keep_failure(struct wal_work *work, struct hf_status status)
{
    hf_lock_take(&work->status_lock);
    if (hf_is_ok(work->status)) {
        work->status = hf_status_copy(work->status_arena, status);
    }
    hf_lock_release(&work->status_lock);
    atomic_store(&work->failed.is_set, true);
}

static void run_worker(void *arg)
{
    struct wal_work *work = arg;
    HF_CLEANUP(hf_arena_free) struct hf_arena *arena = hf_arena_new(ARENA_BYTES);
    struct hf_ctx ctx = *work->restore->ctx;
    struct restore_path *path = restore_path_new(work->restore, work->plan);

    ctx.arena = arena;
    ctx.stop = &work->failed;
    for (;;) {
        size_t i = atomic_fetch_add(&work->next, 1);

        if (i >= work->items_len || atomic_load(&work->failed.is_set)) {
            break;
        }
        hf_arena_reset(arena);
        struct hf_status status = place_segment(&ctx, work, path, &work->items[i]);

        if (!hf_is_ok(status)) {
            keep_failure(work, status);
        }
    }
    restore_path_free(path);
}

static struct hf_status place_segments(struct restore *restore, struct wal_work *work)
{
    size_t count = restore->threads < work->items_len ? restore->threads : work->items_len;
    struct hf_thread **threads = HF_NEW_N(restore->ctx->arena, struct hf_thread *, count + 1);

    hf_lock_init(&work->status_lock);
    work->status_arena = hf_arena_new(ARENA_BYTES);
    for (size_t i = 0; i < count; i++) {
        threads[i] = hf_thread_try("wal", run_worker, work);
    }
    if (count > 0 && threads[0] == NULL) { /* no thread to have: this one does it alone */
        run_worker(work);
    }
    for (size_t i = 0; i < count; i++) {
        hf_thread_join(threads[i]);
    }
    struct hf_status status = hf_status_copy(restore->ctx->arena, work->status);

    hf_arena_free(work->status_arena);
    hf_lock_done(&work->status_lock);
    return status;
}

/* All histories the vault has: PostgreSQL numbers its next timeline above every one it sees. */
static struct hf_status place_histories(struct restore *restore, const struct restore_plan *plan)
{
    struct hf_ctx *ctx = restore->ctx;

    for (size_t i = 0; i < plan->index.histories_len; i++) {
        HF_CLEANUP(hf_buf_done) struct hf_buf text = {0};
        struct pgf_history_name name = pgf_history_name(plan->index.histories[i]);

        hf_buf_init(&text, PGF_HISTORY_MAX_BYTES);
        HF_TRY(vault_wal_history_get(ctx, restore->place.store, restore->place.keyring, &plan->wal,
                                     plan->index.histories[i], &text));
        HF_TRY(restore_write(restore, hf_path_join(ctx->arena, "pg_wal", name.text), text.ptr,
                             text.len));
    }
    return hf_success();
}

struct hf_status restore_wal_place(struct restore *restore, const struct restore_plan *plan,
                                   uint64_t *ret_bytes)
{
    struct wal_work work = {.restore = restore, .plan = plan};
    const struct restore_dir *dir = restore_data_dir(restore);
    struct hf_arena *arena = restore->ctx->arena;

    list_items(arena, plan, &work.items, &work.items_len);
    HF_TRY(restore_mkdir(restore, arena, dir, "pg_wal/archive_status", 0700));
    HF_TRY(place_segments(restore, &work));
    HF_TRY(place_histories(restore, plan));
    *ret_bytes = atomic_load(&work.bytes);
    return restore_fsync_dir(restore, "pg_wal");
}
