/* Clock records: which server time is proven covered, and by which LSN.
 *
 * Surprise: segments may have none (a bulk load writes several a second, archive_command writes
 * none), so searches step over them, backwards and a bounded number of times.
 */
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "vault/wal_reader.h"
#include "vault/wal_slice.h"
#include "vault/wal_walk.h"

/* Segments without a clock record that a search steps over. */
#define STEPS_MAX 1024
#define SEGNOS_MAX_BYTES ((size_t)64 << 20)

/* Segment numbers of a timeline, ascending, in a buffer on the heap. */
static struct hf_status add_segno(struct hf_ctx *ctx, void *arg, const struct vault_wal_name *name,
                                  const char *text, uint64_t size_bytes)
{
    struct hf_buf *segnos = arg;
    size_t len = segnos->len / sizeof(uint64_t);

    (void)text;
    (void)size_bytes;
    if (len > 0) {
        uint64_t last;

        memcpy(&last, segnos->ptr + (len - 1) * sizeof(last), sizeof(last));
        if (last == name->segno) {
            return hf_success();
        }
    }
    hf_buf_append(segnos, &name->segno, sizeof(name->segno));
    return hf_buf_status(segnos, ctx->arena, "list of WAL segments");
}

static uint64_t segno_at(const struct hf_buf *segnos, size_t i)
{
    uint64_t segno;

    memcpy(&segno, segnos->ptr + i * sizeof(segno), sizeof(segno));
    return segno;
}

/* A search over the clock records of one segment at a time. */
struct search {
    const struct vault_wal_source *source;
    struct hf_buf segnos;
    uint32_t timeline;
    uint64_t limit_lsn; /* newest: records above it do not count */
    int64_t time_us;    /* oldest: records before it do not count */
    bool is_newest;     /* else the oldest is wanted */
    bool is_found;
    struct vault_wal_clock best;
};

static struct hf_status take_newest(struct hf_ctx *ctx, struct search *search,
                                    struct vault_wal_slice *slice)
{
    for (size_t n = vault_wal_slice_clocks(slice); n > 0; n--) {
        struct vault_wal_clock clock = {0};

        HF_TRY(vault_wal_slice_clock(ctx, slice, n - 1, &clock));
        if (clock.lsn <= search->limit_lsn) {
            if (!search->is_found || clock.time_us > search->best.time_us) {
                search->best = clock;
            }
            search->is_found = true;
            return hf_success();
        }
    }
    return hf_success();
}

/* Times rise within a slice: the first that is late enough, by halving. */
static struct hf_status take_oldest(struct hf_ctx *ctx, struct search *search,
                                    struct vault_wal_slice *slice)
{
    size_t low = 0;
    size_t high = vault_wal_slice_clocks(slice);
    struct vault_wal_clock clock = {0};

    while (low < high) {
        size_t mid = low + (high - low) / 2;

        HF_TRY(vault_wal_slice_clock(ctx, slice, mid, &clock));
        if (clock.time_us >= search->time_us) {
            high = mid;
        } else {
            low = mid + 1;
        }
    }
    if (low == vault_wal_slice_clocks(slice)) {
        return hf_success();
    }
    HF_TRY(vault_wal_slice_clock(ctx, slice, low, &clock));
    if (!search->is_found || clock.time_us < search->best.time_us) {
        search->best = clock;
    }
    search->is_found = true;
    return hf_success();
}

static struct hf_status search_object(struct hf_ctx *ctx, void *arg,
                                      const struct vault_wal_name *name, const char *text,
                                      uint64_t size_bytes)
{
    HF_CLEANUP(vault_wal_slice_free) struct vault_wal_slice *slice = NULL;
    struct search *search = arg;
    struct hf_status status = vault_wal_slice_open(ctx, search->source, text, &slice);

    (void)name;
    (void)size_bytes;
    if (status.code == HF_OK) {
        status =
            search->is_newest ? take_newest(ctx, search, slice) : take_oldest(ctx, search, slice);
    }
    /* A damaged object proves nothing, and hides no other. */
    return status.code == HF_DATA_LOSS ? hf_success() : status;
}

static struct hf_status search_segment(struct hf_ctx *ctx, struct search *search, size_t i)
{
    struct vault_wal_walk walk = {
        .store = search->source->store,
        .place = search->source->place,
        .timeline = search->timeline,
        .segno = segno_at(&search->segnos, i),
        .is_segment = true,
        .fn = search_object,
        .arg = search,
    };

    search->is_found = false;
    HF_TRY(hf_ctx_check(ctx));
    return vault_wal_walk(ctx, &walk);
}

static struct hf_status begin(struct hf_ctx *ctx, struct search *search)
{
    struct vault_wal_walk walk = {
        .store = search->source->store,
        .place = search->source->place,
        .timeline = search->timeline,
        .fn = add_segno,
        .arg = &search->segnos,
    };

    HF_TRY(vault_wal_place_check(ctx->arena, search->source->place));
    hf_buf_init(&search->segnos, SEGNOS_MAX_BYTES);
    return vault_wal_walk(ctx, &walk);
}

/* Newest record in segments [low, high): is_found tells. */
static struct hf_status newest_below(struct hf_ctx *ctx, struct search *search, size_t low,
                                     size_t high)
{
    search->is_newest = true;
    search->is_found = false;
    for (size_t i = high; i > low && high - i < STEPS_MAX; i--) {
        HF_TRY(search_segment(ctx, search, i - 1));
        if (search->is_found) {
            break;
        }
    }
    return hf_success();
}

static void search_done_cleanup(struct search *search)
{
    hf_buf_done(&search->segnos);
}

struct hf_status vault_wal_covered_time(struct hf_ctx *ctx, struct vault_wal_reader *reader,
                                        uint32_t timeline, uint64_t limit_lsn,
                                        struct vault_wal_clock *ret_clock)
{
    HF_CLEANUP(search_done)
    struct search search = {
        .source = vault_wal_reader_source(reader), .timeline = timeline, .limit_lsn = limit_lsn};

    HF_TRY(begin(ctx, &search));
    HF_TRY(newest_below(ctx, &search, 0, search.segnos.len / sizeof(uint64_t)));
    if (!search.is_found) {
        return hf_fail(ctx->arena, HF_NOT_FOUND, "no clock record is in the WAL of timeline %u",
                       timeline);
    }
    *ret_clock = search.best;
    return hf_success();
}

struct hf_status vault_wal_lsn_at(struct hf_ctx *ctx, struct vault_wal_reader *reader,
                                  uint32_t timeline, int64_t time_us,
                                  struct vault_wal_clock *ret_clock)
{
    HF_CLEANUP(search_done)
    struct search search = {.source = vault_wal_reader_source(reader),
                            .timeline = timeline,
                            .limit_lsn = UINT64_MAX,
                            .time_us = time_us};
    size_t low = 0;
    size_t high;

    HF_TRY(begin(ctx, &search));
    high = search.segnos.len / sizeof(uint64_t);
    /* The first segment whose newest record is late enough holds the one that is wanted. */
    while (low < high) {
        size_t mid = low + (high - low) / 2;

        HF_TRY(newest_below(ctx, &search, low, mid + 1));
        if (search.is_found && search.best.time_us >= time_us) {
            high = mid;
        } else {
            low = mid + 1;
        }
    }
    search.is_newest = false;
    search.is_found = false;
    if (low < search.segnos.len / sizeof(uint64_t)) {
        HF_TRY(search_segment(ctx, &search, low));
    }
    if (!search.is_found) {
        return hf_fail(ctx->arena, HF_NOT_FOUND, "no clock record of timeline %u is as new as %s",
                       timeline, hf_time_text(ctx->arena, time_us));
    }
    *ret_clock = search.best;
    return hf_success();
}
