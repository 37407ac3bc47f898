/* Compaction: the slices of a complete segment become one object.
 *
 * Surprise: objects have no modification time, so a compacted one carries the time of its making in
 * a record of its own, and the grace time is counted from that.
 */
#include "vault/wal_compact.h"

#include <string.h>

#include "base/clock.h"
#include "base/vec.h"
#include "codec/wire.h"
#include "vault/wal_compare.h"
#include "vault/wal_walk.h"

struct compaction {
    struct vault_wal_source source;
    uint32_t timeline;
    uint64_t from; /* of the piece */
    uint64_t to;
    int64_t grace_us;
    const char *whole; /* name of the one object */
    bool has_whole;
    struct hf_arena *arena;
    HF_VEC(const char *) slices; /* the others, in order */
};

static struct hf_status collect(struct hf_ctx *ctx, void *arg, const struct vault_wal_name *name,
                                const char *text, uint64_t size_bytes)
{
    struct compaction *compaction = arg;

    (void)ctx;
    (void)size_bytes;
    if (name->from < compaction->from || name->from >= compaction->to) {
        return hf_success();
    }
    if (strcmp(text, compaction->whole) == 0) {
        compaction->has_whole = true;
        return hf_success();
    }
    *HF_VEC_ADD(compaction->arena, &compaction->slices) = hf_strdup(compaction->arena, text);
    return hf_success();
}

static struct hf_status is_complete(struct hf_ctx *ctx, const struct compaction *compaction,
                                    bool *ret_is_complete)
{
    struct vault_wal_index index = {0};
    const struct vault_wal_range *range;

    HF_TRY(vault_wal_index_segment(ctx, &compaction->source, compaction->timeline,
                                   compaction->from / compaction->source.place->segment_bytes,
                                   &index));
    range = vault_wal_index_find(&index, compaction->timeline, compaction->from, false);
    *ret_is_complete = range != NULL && range->to >= compaction->to;
    return hf_success();
}

static struct hf_status seal_wal(struct hf_ctx *ctx, const struct compaction *compaction,
                                 struct vault_wal_seal *seal)
{
    HF_CLEANUP(hf_heap_free) void *chunk = hf_heap_alloc(VAULT_WAL_BLOB_MAX);
    HF_CLEANUP(vault_wal_reader_free)
    struct vault_wal_reader *reader = vault_wal_reader_new(
        compaction->source.store, compaction->source.keyring, compaction->source.place);

    for (uint64_t lsn = compaction->from; lsn < compaction->to; lsn += VAULT_WAL_BLOB_MAX) {
        HF_TRY(hf_ctx_check(ctx));
        HF_TRY(vault_wal_read(ctx, reader, compaction->timeline, lsn, VAULT_WAL_BLOB_MAX, chunk));
        HF_TRY(vault_wal_seal_wal(ctx, seal, lsn, (struct hf_bytes){chunk, VAULT_WAL_BLOB_MAX},
                                  VAULT_WAL_BLOB_MAX));
    }
    return hf_success();
}

static struct hf_status seal_clocks(struct hf_ctx *ctx, const struct compaction *compaction,
                                    struct vault_wal_seal *seal)
{
    struct vault_wal_clocks clocks = {0};

    for (size_t i = 0; i < compaction->slices.len; i++) {
        HF_CLEANUP(vault_wal_slice_free) struct vault_wal_slice *slice = NULL;

        HF_TRY(vault_wal_slice_open(ctx, &compaction->source, compaction->slices.items[i], &slice));
        HF_TRY(vault_wal_seal_clocks(ctx, seal, &clocks, slice));
    }
    return vault_wal_seal_clocks_end(ctx, seal, &clocks);
}

static struct hf_status write_whole(struct hf_ctx *ctx, const struct compaction *compaction)
{
    HF_CLEANUP(vault_wal_seal_done) struct vault_wal_seal seal = {0};
    uint8_t bytes[8];
    struct hf_buf now = {.ptr = bytes, .cap = sizeof(bytes), .max = sizeof(bytes)};
    struct hf_status status;

    HF_TRY(vault_wal_seal_begin(
        ctx, &seal, compaction->source.keyring,
        vault_wal_place_number(ctx->arena, compaction->source.place, compaction->timeline),
        VAULT_WAL_LEVEL_COMPACT));
    HF_TRY(seal_wal(ctx, compaction, &seal));
    HF_TRY(seal_clocks(ctx, compaction, &seal));
    codec_wire_put_be64(&now, (uint64_t)hf_now_us());
    HF_TRY(vault_wal_seal_other(ctx, &seal, (struct hf_bytes){now.ptr, now.len}));
    HF_TRY(vault_wal_seal_finish(ctx, &seal));
    status =
        objstore_put(ctx, compaction->source.store, compaction->whole, vault_wal_seal_bytes(&seal));
    /* Somebody else was faster; the next step compares before it removes anything. */
    return status.code == HF_ALREADY_EXISTS ? hf_success() : status;
}

/* Every slice must have the same WAL as the whole object, read back and authenticated. */
static struct hf_status remove_slices(struct hf_ctx *ctx, const struct compaction *compaction,
                                      struct vault_wal_slice *whole)
{
    HF_TRY(vault_wal_slice_verify(ctx, whole));
    for (size_t i = 0; i < compaction->slices.len; i++) {
        HF_CLEANUP(vault_wal_slice_free) struct vault_wal_slice *slice = NULL;
        const char *name = compaction->slices.items[i];
        struct hf_status status = vault_wal_slice_open(ctx, &compaction->source, name, &slice);

        if (status.code == HF_OK) {
            status = vault_wal_compare_slices(ctx, slice, whole, compaction->timeline);
        }
        /* A damaged slice, or one that is gone, is not missed: the whole object is sound. */
        if (status.code != HF_OK && status.code != HF_DATA_LOSS && status.code != HF_NOT_FOUND) {
            return status;
        }
        HF_TRY(objstore_remove(ctx, compaction->source.store, name));
    }
    return hf_success();
}

static struct hf_status clean_up(struct hf_ctx *ctx, const struct compaction *compaction,
                                 enum vault_wal_compacted *ret_result)
{
    HF_CLEANUP(vault_wal_slice_free) struct vault_wal_slice *whole = NULL;
    int64_t made_us = 0;

    HF_TRY(vault_wal_slice_open(ctx, &compaction->source, compaction->whole, &whole));
    HF_TRY(vault_wal_slice_compacted(ctx, whole, &made_us));
    if (made_us > hf_now_us() - compaction->grace_us) {
        *ret_result = VAULT_WAL_COMPACT_WAITING;
        return hf_success();
    }
    HF_TRY(remove_slices(ctx, compaction, whole));
    *ret_result = VAULT_WAL_COMPACT_CLEANED;
    return hf_success();
}

static struct hf_status compact_piece(struct hf_ctx *ctx, struct compaction *compaction,
                                      enum vault_wal_compacted *ret_result)
{
    const struct vault_wal_place *place = compaction->source.place;
    uint64_t segno = compaction->from / place->segment_bytes;
    struct vault_wal_name name = {
        .kind = VAULT_WAL_CLOSED,
        .timeline = compaction->timeline,
        .segno = segno,
        .from = compaction->from,
        .to = compaction->to,
    };
    struct vault_wal_walk walk = {
        .store = compaction->source.store,
        .place = place,
        .timeline = compaction->timeline,
        .segno = segno,
        .is_segment = true,
        .fn = collect,
        .arg = compaction,
    };
    bool complete = false;

    compaction->whole = vault_wal_name_format(ctx->arena, place, &name);
    HF_TRY(vault_wal_walk(ctx, &walk));
    if (compaction->has_whole && compaction->slices.len == 0) {
        *ret_result = VAULT_WAL_COMPACT_NOTHING;
        return hf_success();
    }
    if (compaction->has_whole) {
        return clean_up(ctx, compaction, ret_result);
    }
    HF_TRY(is_complete(ctx, compaction, &complete));
    *ret_result = VAULT_WAL_COMPACT_INCOMPLETE;
    if (complete) {
        HF_TRY(write_whole(ctx, compaction));
        *ret_result = VAULT_WAL_COMPACT_WRITTEN;
    }
    return hf_success();
}

/* What a segment of several pieces reports: the most telling of theirs. */
static enum vault_wal_compacted more_telling(enum vault_wal_compacted a, enum vault_wal_compacted b)
{
    return a > b ? a : b;
}

/* NOLINTNEXTLINE(readability-function-size): where, what and how much are one contract */
struct hf_status vault_wal_compact_segment(struct hf_ctx *ctx, struct objstore *store,
                                           const struct vault_keyring *keyring,
                                           const struct vault_wal_place *place, uint32_t timeline,
                                           uint64_t segno, int64_t grace_us,
                                           enum vault_wal_compacted *ret_result)
{
    enum vault_wal_compacted result = VAULT_WAL_COMPACT_NOTHING;
    uint64_t end;

    HF_TRY(vault_wal_place_check(ctx->arena, place));
    end = (segno + 1) * place->segment_bytes;
    for (uint64_t from = segno * place->segment_bytes; from < end;) {
        struct compaction compaction = {
            .source = {store, keyring, place},
            .timeline = timeline,
            .from = from,
            .to = vault_wal_piece_end(place, from),
            .grace_us = grace_us,
            .arena = ctx->arena,
        };
        enum vault_wal_compacted piece = VAULT_WAL_COMPACT_NOTHING;

        HF_TRY(compact_piece(ctx, &compaction, &piece));
        result = more_telling(result, piece);
        from = compaction.to;
    }
    *ret_result = result;
    return hf_success();
}
