/* The growing end of a timeline.
 *
 * Surprise: a slice that would hold a whole segment in many small records is cut once before the
 * segment's end. Names are never reused, so the name of the whole segment must stay free for the
 * well-compressed object that compaction will write.
 */
#include "vault/wal_writer.h"

#include <inttypes.h>
#include <string.h>

#include "base/check.h"
#include "base/id.h"
#include "vault/wal_compare.h"
#include "vault/wal_recover.h"

#define BUFFER_BYTES ((size_t)1 << 20)  /* plaintext that append holds before it is sealed */
#define DRAIN_BYTES ((size_t)512 << 10) /* sealed bytes that are handed to the store at once */
#define SMALL_RECORD (64u << 10)        /* records below this are worth compacting */

struct vault_wal_writer {
    struct vault_wal_source source;
    struct vault_wal_place place;
    char *prefix;
    char *lineage;
    uint32_t timeline;
    int level;
    bool is_spent;

    struct hf_buf plain;  /* WAL [sealed, position) */
    uint64_t range_start; /* range_start ≤ durable ≤ sealed ≤ position */
    uint64_t durable;
    uint64_t sealed;
    uint64_t position;

    struct objstore_appender *appender; /* NULL: no slice is open */
    struct vault_wal_seal seal;         /* of the open slice */
    uint64_t slice_from;
    char slice_name[VAULT_WAL_NAME_MAX];
    bool is_unsynced; /* the store has bytes that are not durable */

    struct vault_wal_clock waiting;    /* for the position to reach its lsn; time_us 0: none */
    struct vault_wal_clock ready;      /* newest whose lsn is reached */
    struct vault_wal_clock proven;     /* newest whose lsn is durable */
    int64_t recorded_us;               /* time of the newest record in the slice or before it */
    char leftover[VAULT_WAL_NAME_MAX]; /* clock records that a newer one will replace */
};

static void remember_name(char target[VAULT_WAL_NAME_MAX], const char *name)
{
    size_t len = strlen(name);

    HF_CHECK(len < VAULT_WAL_NAME_MAX);
    memcpy(target, name, len + 1);
}

static bool has_slice(const struct vault_wal_writer *writer)
{
    return writer->appender != NULL;
}

/* Hand the sealed bytes to the store. */
static struct hf_status write_out(struct hf_ctx *ctx, struct vault_wal_writer *writer,
                                  bool is_durable)
{
    struct hf_bytes bytes = vault_wal_seal_bytes(&writer->seal);
    const struct objstore_ops *ops = writer->source.store->ops;

    HF_TRY(ops->append(ctx, writer->appender, bytes, is_durable));
    hf_buf_clear(&writer->seal.out);
    writer->is_unsynced = !is_durable;
    return hf_success();
}

static struct hf_status open_slice(struct hf_ctx *ctx, struct vault_wal_writer *writer)
{
    struct vault_wal_name name = {
        .kind = VAULT_WAL_GROWING,
        .timeline = writer->timeline,
        .segno = writer->sealed / writer->place.segment_bytes,
        .from = writer->sealed,
    };
    const char *text;

    hf_random(&name.tag, sizeof(name.tag));
    text = vault_wal_name_format(ctx->arena, &writer->place, &name);
    HF_TRY(vault_wal_seal_begin(
        ctx, &writer->seal, writer->source.keyring,
        vault_wal_place_number(ctx->arena, &writer->place, writer->timeline), writer->level));
    HF_TRY(writer->source.store->ops->append_create(ctx, writer->source.store, text,
                                                    &writer->appender));
    remember_name(writer->slice_name, text);
    writer->slice_from = writer->sealed;
    writer->is_unsynced = true;
    return hf_success();
}

static void forget_slice(struct vault_wal_writer *writer)
{
    vault_wal_seal_done(&writer->seal);
    writer->seal = (struct vault_wal_seal){0};
    writer->appender = NULL;
    writer->is_unsynced = false;
}

/* The final name is taken (archive_command pushed the same range): the WAL must be the same. */
static struct hf_status compare_closed(struct hf_ctx *ctx, struct vault_wal_writer *writer,
                                       const char *closed)
{
    HF_CLEANUP(vault_wal_slice_free) struct vault_wal_slice *ours = NULL;
    HF_CLEANUP(vault_wal_slice_free) struct vault_wal_slice *theirs = NULL;

    HF_TRY(vault_wal_slice_open(ctx, &writer->source, writer->slice_name, &ours));
    HF_TRY(vault_wal_slice_open(ctx, &writer->source, closed, &theirs));
    HF_TRY(vault_wal_compare_slices(ctx, ours, theirs, writer->timeline));
    writer->source.store->ops->append_leave(HF_TAKE(writer->appender));
    return objstore_remove(ctx, writer->source.store, writer->slice_name);
}

static void note_durable(struct vault_wal_writer *writer)
{
    writer->durable = writer->sealed;
    if (writer->ready.lsn <= writer->durable && writer->ready.time_us > writer->proven.time_us) {
        writer->proven = writer->ready;
    }
}

/* Trailer, final name. The slice holds WAL. */
static struct hf_status close_slice(struct hf_ctx *ctx, struct vault_wal_writer *writer)
{
    struct vault_wal_name name = {
        .kind = VAULT_WAL_CLOSED,
        .timeline = writer->timeline,
        .segno = writer->slice_from / writer->place.segment_bytes,
        .from = writer->slice_from,
        .to = writer->sealed,
    };
    const char *closed = vault_wal_name_format(ctx->arena, &writer->place, &name);
    struct hf_status status;

    HF_CHECK(writer->sealed > writer->slice_from);
    HF_TRY(vault_wal_seal_finish(ctx, &writer->seal));
    HF_TRY(write_out(ctx, writer, false));
    status = writer->source.store->ops->append_close_as(ctx, writer->appender, closed);
    if (status.code == HF_ALREADY_EXISTS) {
        status = compare_closed(ctx, writer, closed);
    }
    HF_TRY(status);
    forget_slice(writer);
    note_durable(writer);
    return hf_success();
}

/* Leave a slice that has clock records alone: it cannot get a final name (its range is empty), so
 * it stays growing until a newer record is durable elsewhere. */
static struct hf_status abandon_clocks(struct hf_ctx *ctx, struct vault_wal_writer *writer)
{
    if (writer->leftover[0] != '\0') {
        HF_TRY(objstore_remove(ctx, writer->source.store, writer->leftover));
    }
    remember_name(writer->leftover, writer->slice_name);
    writer->source.store->ops->append_leave(HF_TAKE(writer->appender));
    forget_slice(writer);
    writer->recorded_us = 0;
    return hf_success();
}

static struct hf_status end_slice(struct hf_ctx *ctx, struct vault_wal_writer *writer)
{
    if (!has_slice(writer)) {
        return hf_success();
    }
    return writer->sealed > writer->slice_from ? close_slice(ctx, writer)
                                               : abandon_clocks(ctx, writer);
}

/* Would the open slice become a whole piece made of small records? */
static bool should_cut(const struct vault_wal_writer *writer)
{
    uint64_t held = writer->sealed - writer->slice_from;

    return has_slice(writer) && held > 0 &&
           writer->slice_from == vault_wal_piece_start(&writer->place, writer->slice_from) &&
           held / writer->seal.records < SMALL_RECORD;
}

/* Seal bytes that lie inside one piece. */
static struct hf_status seal_part(struct hf_ctx *ctx, struct vault_wal_writer *writer,
                                  struct hf_bytes bytes)
{
    uint64_t piece_end = vault_wal_piece_end(&writer->place, writer->sealed);

    if (has_slice(writer) && writer->seal.records >= VAULT_WAL_RECORDS_MAX) {
        HF_TRY(end_slice(ctx, writer));
    }
    if (writer->sealed + bytes.len == piece_end && should_cut(writer)) {
        HF_TRY(end_slice(ctx, writer));
    }
    if (!has_slice(writer)) {
        HF_TRY(open_slice(ctx, writer));
    }
    HF_TRY(vault_wal_seal_wal(ctx, &writer->seal, writer->sealed, bytes, VAULT_WAL_RECORD_MAX));
    writer->sealed += bytes.len;
    if (writer->sealed == piece_end) {
        return end_slice(ctx, writer);
    }
    return writer->seal.out.len < DRAIN_BYTES ? hf_success() : write_out(ctx, writer, false);
}

/* Seal all that is buffered; not yet durable. */
static struct hf_status spill(struct hf_ctx *ctx, struct vault_wal_writer *writer)
{
    for (size_t done = 0; done < writer->plain.len;) {
        uint64_t left = vault_wal_piece_end(&writer->place, writer->sealed) - writer->sealed;
        size_t n = writer->plain.len - done < left ? writer->plain.len - done : (size_t)left;

        n = n < DRAIN_BYTES ? n : DRAIN_BYTES;
        HF_TRY(seal_part(ctx, writer, (struct hf_bytes){writer->plain.ptr + done, n}));
        done += n;
    }
    hf_buf_clear(&writer->plain);
    return hf_success();
}

static bool is_clock_due(const struct vault_wal_writer *writer)
{
    return writer->ready.time_us - writer->recorded_us >= VAULT_WAL_CLOCK_US;
}

static struct hf_status seal_clock(struct hf_ctx *ctx, struct vault_wal_writer *writer)
{
    if (writer->waiting.time_us != 0 && writer->waiting.lsn <= writer->sealed) {
        writer->ready = writer->waiting;
        writer->waiting = (struct vault_wal_clock){0};
    }
    if (!is_clock_due(writer)) {
        return hf_success();
    }
    if (has_slice(writer) && writer->seal.records >= VAULT_WAL_RECORDS_MAX) {
        HF_TRY(end_slice(ctx, writer));
    }
    if (!has_slice(writer)) {
        HF_TRY(open_slice(ctx, writer));
    }
    HF_TRY(vault_wal_seal_clock(ctx, &writer->seal, writer->ready));
    writer->recorded_us = writer->ready.time_us;
    return hf_success();
}

static struct hf_status flush_all(struct hf_ctx *ctx, struct vault_wal_writer *writer)
{
    HF_TRY(spill(ctx, writer));
    HF_TRY(seal_clock(ctx, writer));
    if (has_slice(writer) && (writer->is_unsynced || writer->seal.out.len > 0)) {
        HF_TRY(write_out(ctx, writer, true));
    }
    note_durable(writer);
    if (writer->leftover[0] != '\0' && writer->recorded_us != 0) {
        HF_TRY(objstore_remove(ctx, writer->source.store, writer->leftover));
        writer->leftover[0] = '\0';
    }
    return hf_success();
}

/* After a failure what reached the disk is unknown: only opening again tells. */
static struct hf_status settle(struct vault_wal_writer *writer, struct hf_status status)
{
    writer->is_spent = writer->is_spent || status.code != HF_OK;
    return status;
}

static struct hf_status usable(struct hf_ctx *ctx, const struct vault_wal_writer *writer)
{
    if (writer->is_spent) {
        return hf_fail(ctx->arena, HF_FAILED_PRECONDITION,
                       "the WAL writer of timeline %" PRIu32 " failed or was closed: open it again",
                       writer->timeline);
    }
    return hf_success();
}

static struct hf_status take(struct hf_ctx *ctx, struct vault_wal_writer *writer,
                             struct hf_bytes bytes)
{
    for (size_t done = 0; done < bytes.len;) {
        size_t room = BUFFER_BYTES - writer->plain.len;
        size_t n = bytes.len - done < room ? bytes.len - done : room;

        hf_buf_append(&writer->plain, bytes.ptr + done, n);
        writer->position += n;
        done += n;
        if (writer->plain.len == BUFFER_BYTES) {
            HF_TRY(spill(ctx, writer));
        }
    }
    return hf_success();
}

static struct hf_status compare_stored(struct hf_ctx *ctx, struct vault_wal_writer *writer,
                                       uint64_t lsn, struct hf_bytes bytes)
{
    HF_CLEANUP(vault_wal_reader_free) struct vault_wal_reader *reader = NULL;

    if (lsn < writer->range_start) {
        return hf_fail(ctx->arena, HF_OUT_OF_RANGE,
                       "WAL at %s lies before the range that is being written, which begins at %s",
                       vault_wal_lsn_text(ctx->arena, lsn),
                       vault_wal_lsn_text(ctx->arena, writer->range_start));
    }
    if (lsn + bytes.len > writer->durable) {
        HF_TRY(flush_all(ctx, writer));
    }
    reader = vault_wal_reader_new(writer->source.store, writer->source.keyring, &writer->place);
    return vault_wal_compare(ctx, reader, writer->timeline, lsn, bytes);
}

struct hf_status vault_wal_writer_append(struct hf_ctx *ctx, struct vault_wal_writer *writer,
                                         uint64_t lsn, struct hf_bytes bytes)
{
    size_t known = 0;

    HF_TRY(usable(ctx, writer));
    if (lsn > writer->position || lsn > UINT64_MAX - bytes.len) {
        return hf_fail(ctx->arena, HF_OUT_OF_RANGE, "WAL goes on at %s, expected %s",
                       vault_wal_lsn_text(ctx->arena, lsn),
                       vault_wal_lsn_text(ctx->arena, writer->position));
    }
    if (lsn < writer->position) {
        uint64_t below = writer->position - lsn;

        known = below < bytes.len ? (size_t)below : bytes.len;
        HF_TRY(
            settle(writer, compare_stored(ctx, writer, lsn, (struct hf_bytes){bytes.ptr, known})));
    }
    return settle(writer,
                  take(ctx, writer, (struct hf_bytes){bytes.ptr + known, bytes.len - known}));
}

void vault_wal_writer_clock(struct vault_wal_writer *writer, uint64_t lsn, int64_t time_us)
{
    struct vault_wal_clock clock = {lsn, time_us};

    if (lsn > writer->position) {
        /* The one that waits stays, else a source that is always ahead would never prove any. */
        if (writer->waiting.time_us == 0) {
            writer->waiting = clock;
        }
    } else if (time_us > writer->ready.time_us) {
        writer->ready = clock;
        if (lsn <= writer->durable && time_us > writer->proven.time_us) {
            writer->proven = clock;
        }
    }
}

void vault_wal_writer_clock_forget(struct vault_wal_writer *writer)
{
    writer->waiting = (struct vault_wal_clock){0};
}

bool vault_wal_writer_is_pending(const struct vault_wal_writer *writer)
{
    return writer->position > writer->durable || is_clock_due(writer);
}

struct hf_status vault_wal_writer_flush(struct hf_ctx *ctx, struct vault_wal_writer *writer,
                                        uint64_t *ret_durable_lsn)
{
    HF_TRY(usable(ctx, writer));
    HF_TRY(settle(writer, flush_all(ctx, writer)));
    *ret_durable_lsn = writer->durable;
    return hf_success();
}

struct hf_status vault_wal_writer_skip(struct hf_ctx *ctx, struct vault_wal_writer *writer,
                                       uint64_t lsn)
{
    HF_TRY(usable(ctx, writer));
    if (lsn < writer->position) {
        return hf_fail(ctx->arena, HF_OUT_OF_RANGE, "cannot skip back to %s from %s",
                       vault_wal_lsn_text(ctx->arena, lsn),
                       vault_wal_lsn_text(ctx->arena, writer->position));
    }
    HF_TRY(settle(writer, flush_all(ctx, writer)));
    HF_TRY(settle(writer, end_slice(ctx, writer)));
    if (lsn > writer->position) {
        writer->range_start = lsn;
        writer->durable = lsn;
        writer->sealed = lsn;
        writer->position = lsn;
    }
    return hf_success();
}

struct hf_status vault_wal_writer_close(struct hf_ctx *ctx, struct vault_wal_writer *writer)
{
    HF_TRY(usable(ctx, writer));
    HF_TRY(settle(writer, flush_all(ctx, writer)));
    if (has_slice(writer) && writer->sealed > writer->slice_from) {
        HF_TRY(settle(writer, close_slice(ctx, writer)));
    }
    writer->is_spent = true;
    return hf_success();
}

void vault_wal_writer_free(struct vault_wal_writer *writer)
{
    if (writer == NULL) {
        return;
    }
    if (has_slice(writer)) {
        writer->source.store->ops->append_leave(writer->appender);
    }
    vault_wal_seal_done(&writer->seal);
    hf_buf_done(&writer->plain);
    hf_heap_free(writer->prefix);
    hf_heap_free(writer->lineage);
    hf_heap_free(writer);
}

bool vault_wal_writer_is_spent(const struct vault_wal_writer *writer)
{
    return writer->is_spent;
}

uint64_t vault_wal_writer_durable(const struct vault_wal_writer *writer)
{
    return writer->durable;
}

uint64_t vault_wal_writer_position(const struct vault_wal_writer *writer)
{
    return writer->position;
}

uint64_t vault_wal_writer_range_start(const struct vault_wal_writer *writer)
{
    return writer->range_start;
}

int64_t vault_wal_writer_durable_time(const struct vault_wal_writer *writer)
{
    return writer->proven.time_us;
}

static void begin_at(struct vault_wal_writer *writer, const struct vault_wal_found *found,
                     uint64_t start_lsn)
{
    writer->range_start = found->is_empty ? start_lsn : found->start_lsn;
    writer->durable = found->is_empty ? start_lsn : found->durable_lsn;
    writer->sealed = writer->durable;
    writer->position = writer->durable;
    writer->proven = found->clock;
    writer->ready = found->clock;
    /* A leftover goes once its newest record stands in a new slice, too. */
    writer->recorded_us = found->leftover[0] == '\0' ? found->clock.time_us : 0;
    remember_name(writer->leftover, found->leftover);
}

struct hf_status vault_wal_writer_open(struct hf_ctx *ctx, struct objstore *store,
                                       const struct vault_keyring *keyring,
                                       const struct vault_wal_writer_options *options,
                                       struct vault_wal_writer **ret_writer)
{
    HF_CLEANUP(vault_wal_writer_free) struct vault_wal_writer *writer = NULL;
    struct vault_wal_found found = {0};

    HF_TRY(vault_wal_place_check(ctx->arena, &options->place));
    if (!store->ops->can_append || options->timeline == 0) {
        return hf_fail(ctx->arena, HF_FAILED_PRECONDITION,
                       "a WAL writer needs a timeline and a store of growing objects");
    }
    writer = hf_heap_alloc(sizeof(*writer));
    writer->prefix = hf_heap_strdup(options->place.prefix);
    writer->lineage = hf_heap_strdup(options->place.lineage);
    writer->place =
        (struct vault_wal_place){writer->prefix, writer->lineage, options->place.segment_bytes};
    writer->source = (struct vault_wal_source){store, keyring, &writer->place};
    writer->timeline = options->timeline;
    writer->level = options->level == 0 ? VAULT_WAL_LEVEL_FAST : options->level;
    hf_buf_init(&writer->plain, BUFFER_BYTES);
    HF_TRY(vault_wal_recover(ctx, &writer->source, writer->timeline, &found));
    begin_at(writer, &found, options->start_lsn);
    *ret_writer = HF_TAKE(writer);
    return hf_success();
}
