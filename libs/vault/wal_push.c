/* Pieces of WAL from archive_command, stored as closed slices.
 *
 * Surprise: what a receiver has stored of the same range is compared first, its growing slice too:
 * a source that pushes other bytes than it streams is two servers under one name.
 */
#include <string.h>

#include "vault/wal_compare.h"

struct push {
    struct vault_wal_source source;
    struct vault_wal_reader *reader;
    uint32_t timeline;
};

/* Compare what is there; ret_is_stored when all of [lsn, lsn + len) is. */
static struct hf_status compare_stored(struct hf_ctx *ctx, const struct push *push, uint64_t lsn,
                                       struct hf_bytes bytes, bool *ret_is_stored)
{
    struct vault_wal_index index = {0};
    uint64_t end = lsn + bytes.len;

    *ret_is_stored = false;
    HF_TRY(vault_wal_index_segment(ctx, &push->source, push->timeline,
                                   lsn / push->source.place->segment_bytes, &index));
    for (size_t i = 0; i < index.ranges_len; i++) {
        const struct vault_wal_range *range = &index.ranges[i];
        uint64_t from = range->from > lsn ? range->from : lsn;
        uint64_t to = range->to < end ? range->to : end;

        if (from < to) {
            struct hf_bytes part = {bytes.ptr + (from - lsn), (size_t)(to - from)};

            HF_TRY(vault_wal_compare(ctx, push->reader, push->timeline, from, part));
            *ret_is_stored = *ret_is_stored || (from == lsn && to == end);
        }
    }
    return hf_success();
}

/* bytes lie inside one piece. */
static struct hf_status push_piece(struct hf_ctx *ctx, const struct push *push, uint64_t lsn,
                                   struct hf_bytes bytes)
{
    HF_CLEANUP(vault_wal_seal_done) struct vault_wal_seal seal = {0};
    const struct vault_wal_place *place = push->source.place;
    struct vault_wal_name name = {
        .kind = VAULT_WAL_CLOSED,
        .timeline = push->timeline,
        .segno = lsn / place->segment_bytes,
        .from = lsn,
        .to = lsn + bytes.len,
    };
    struct hf_status status;
    bool is_stored = false;

    HF_TRY(compare_stored(ctx, push, lsn, bytes, &is_stored));
    if (is_stored) {
        return hf_success();
    }
    HF_TRY(vault_wal_seal_begin(ctx, &seal, push->source.keyring,
                                vault_wal_place_number(ctx->arena, place, push->timeline),
                                VAULT_WAL_LEVEL_COMPACT));
    HF_TRY(vault_wal_seal_wal(ctx, &seal, lsn, bytes, VAULT_WAL_BLOB_MAX));
    HF_TRY(vault_wal_seal_finish(ctx, &seal));
    status = objstore_put(ctx, push->source.store, vault_wal_name_format(ctx->arena, place, &name),
                          vault_wal_seal_bytes(&seal));
    if (status.code == HF_ALREADY_EXISTS) {
        return vault_wal_compare(ctx, push->reader, push->timeline, lsn, bytes);
    }
    return status;
}

/* NOLINTNEXTLINE(readability-function-size): where, what and how much are one contract */
struct hf_status vault_wal_push(struct hf_ctx *ctx, struct objstore *store,
                                const struct vault_keyring *keyring,
                                const struct vault_wal_place *place, uint32_t timeline,
                                uint64_t lsn, struct hf_bytes bytes)
{
    HF_CLEANUP(vault_wal_reader_free) struct vault_wal_reader *reader = NULL;
    struct push push = {.source = {store, keyring, place}, .timeline = timeline};

    HF_TRY(vault_wal_place_check(ctx->arena, place));
    if (timeline == 0 || bytes.len > VAULT_WAL_SEGMENT_MAX || lsn > UINT64_MAX - bytes.len) {
        return hf_fail(ctx->arena, HF_INVALID_ARGUMENT,
                       "WAL to push must lie on a timeline and be at most a segment long");
    }
    reader = vault_wal_reader_new(store, keyring, place);
    push.reader = reader;
    for (size_t done = 0; done < bytes.len;) {
        uint64_t left = vault_wal_piece_end(place, lsn + done) - (lsn + done);
        size_t n = bytes.len - done < left ? bytes.len - done : (size_t)left;

        HF_TRY(hf_ctx_check(ctx));
        HF_TRY(push_piece(ctx, &push, lsn + done, (struct hf_bytes){bytes.ptr + done, n}));
        done += n;
    }
    return hf_success();
}
