/* Finishing what a crash left growing.
 *
 * The valid part of a growing slice is sealed again under new keys, put as a closed slice (fsynced)
 * and only then is the growing one removed: after a failed fsync or a crash the page cache may show
 * bytes that the disk never got, so what a scan sees is not yet durable.
 */
#include "vault/wal_recover.h"

#include <string.h>

#include "base/check.h"
#include "vault/wal_compare.h"
#include "vault/wal_walk.h"

struct recovery {
    const struct vault_wal_source *source;
    struct vault_wal_found found;
    int64_t leftover_us;
};

static struct hf_status reseal(struct hf_ctx *ctx, const struct vault_wal_source *source,
                               uint32_t timeline, struct vault_wal_slice *slice,
                               struct vault_wal_seal *seal)
{
    HF_CLEANUP(hf_heap_free) void *chunk = hf_heap_alloc(VAULT_WAL_BLOB_MAX);
    struct vault_wal_clocks clocks = {0};
    uint64_t lsn = vault_wal_slice_from(slice);

    HF_TRY(vault_wal_seal_begin(ctx, seal, source->keyring,
                                vault_wal_place_number(ctx->arena, source->place, timeline),
                                VAULT_WAL_LEVEL_COMPACT));
    while (lsn < vault_wal_slice_to(slice)) {
        uint64_t left = vault_wal_slice_to(slice) - lsn;
        size_t n = left < VAULT_WAL_BLOB_MAX ? (size_t)left : VAULT_WAL_BLOB_MAX;

        HF_TRY(vault_wal_slice_read(ctx, slice, lsn, n, chunk));
        HF_TRY(vault_wal_seal_wal(ctx, seal, lsn, (struct hf_bytes){chunk, n}, n));
        lsn += n;
    }
    HF_TRY(vault_wal_seal_clocks(ctx, seal, &clocks, slice));
    HF_TRY(vault_wal_seal_clocks_end(ctx, seal, &clocks));
    return vault_wal_seal_finish(ctx, seal);
}

/* A closed object of that name is there already: it must have the same WAL. */
static struct hf_status compare_closed(struct hf_ctx *ctx, const struct vault_wal_source *source,
                                       struct vault_wal_slice *slice, const char *closed,
                                       uint32_t timeline)
{
    HF_CLEANUP(vault_wal_slice_free) struct vault_wal_slice *other = NULL;

    HF_TRY(vault_wal_slice_open(ctx, source, closed, &other));
    return vault_wal_compare_slices(ctx, slice, other, timeline);
}

static struct hf_status finish_slice(struct hf_ctx *ctx, const struct vault_wal_source *source,
                                     struct vault_wal_slice *slice, struct vault_wal_name name)
{
    HF_CLEANUP(vault_wal_seal_done) struct vault_wal_seal seal = {0};
    struct hf_status status;
    const char *closed;

    name.kind = VAULT_WAL_CLOSED;
    name.to = vault_wal_slice_to(slice);
    closed = vault_wal_name_format(ctx->arena, source->place, &name);
    HF_TRY(reseal(ctx, source, name.timeline, slice, &seal));
    status = objstore_put(ctx, source->store, closed, vault_wal_seal_bytes(&seal));
    if (status.code == HF_ALREADY_EXISTS) {
        status = compare_closed(ctx, source, slice, closed, name.timeline);
    }
    HF_TRY(status);
    return objstore_remove(ctx, source->store, vault_wal_slice_object(slice));
}

/* Slices with clock records alone: the one with the newest stays until the writer has a newer. */
static struct hf_status keep_clock(struct hf_ctx *ctx, struct recovery *recovery,
                                   struct vault_wal_slice *slice, const char *text)
{
    size_t count = vault_wal_slice_clocks(slice);
    struct vault_wal_clock clock = {0};
    size_t len = strlen(text);

    if (count > 0) {
        HF_TRY(vault_wal_slice_clock(ctx, slice, count - 1, &clock));
    }
    if (count == 0 || clock.time_us <= recovery->leftover_us) {
        return objstore_remove(ctx, recovery->source->store, text);
    }
    if (recovery->found.leftover[0] != '\0') {
        HF_TRY(objstore_remove(ctx, recovery->source->store, recovery->found.leftover));
    }
    HF_CHECK(len < sizeof(recovery->found.leftover));
    memcpy(recovery->found.leftover, text, len + 1);
    recovery->leftover_us = clock.time_us;
    return hf_success();
}

static struct hf_status recover_object(struct hf_ctx *ctx, void *arg,
                                       const struct vault_wal_name *name, const char *text,
                                       uint64_t size_bytes)
{
    HF_CLEANUP(vault_wal_slice_free) struct vault_wal_slice *slice = NULL;
    struct recovery *recovery = arg;
    struct hf_status status;

    (void)size_bytes;
    if (name->kind != VAULT_WAL_GROWING) {
        return hf_success();
    }
    status = vault_wal_slice_open(ctx, recovery->source, text, &slice);
    if (status.code == HF_DATA_LOSS) {
        /* Not even its header is sound. It stays as evidence, and what it held must come again. */
        return hf_success();
    }
    HF_TRY(status);
    if (vault_wal_slice_to(slice) == vault_wal_slice_from(slice)) {
        return keep_clock(ctx, recovery, slice, text);
    }
    return finish_slice(ctx, recovery->source, slice, *name);
}

static struct hf_status find_clock(struct hf_ctx *ctx, const struct vault_wal_source *source,
                                   uint32_t timeline, struct vault_wal_found *found)
{
    HF_CLEANUP(vault_wal_reader_free)
    struct vault_wal_reader *reader =
        vault_wal_reader_new(source->store, source->keyring, source->place);
    struct hf_status status =
        vault_wal_covered_time(ctx, reader, timeline, found->durable_lsn, &found->clock);

    return status.code == HF_NOT_FOUND ? hf_success() : status;
}

struct hf_status vault_wal_recover(struct hf_ctx *ctx, const struct vault_wal_source *source,
                                   uint32_t timeline, struct vault_wal_found *ret_found)
{
    struct recovery recovery = {.source = source};
    struct vault_wal_index index = {0};
    const struct vault_wal_range *last;
    struct vault_wal_walk walk = {
        .store = source->store,
        .place = source->place,
        .timeline = timeline,
        .fn = recover_object,
        .arg = &recovery,
    };

    HF_TRY(vault_wal_place_check(ctx->arena, source->place));
    HF_TRY(vault_wal_walk(ctx, &walk));
    HF_TRY(
        vault_wal_index_load(ctx, source->store, source->keyring, source->place, timeline, &index));
    last = vault_wal_index_last(&index, timeline);
    recovery.found.is_empty = last == NULL;
    if (last != NULL) {
        recovery.found.start_lsn = last->from;
        recovery.found.durable_lsn = last->to;
        HF_TRY(find_clock(ctx, source, timeline, &recovery.found));
    }
    *ret_found = recovery.found;
    return hf_success();
}
