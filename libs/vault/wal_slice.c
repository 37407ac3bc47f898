/* One WAL object opened for reading.
 *
 * Surprise: records carry no LSN outside their sealed bytes. Where each begins follows from the
 * lengths before it, and is checked against the sealed LSN when the record is opened.
 */
#include "vault/wal_slice.h"

#include <inttypes.h>
#include <string.h>

#include "base/check.h"
#include "base/vec.h"
#include "codec/wire.h"
#include "vault/wal_seal.h"

/* Records and trailer of the biggest object. */
#define ARENA_MAX ((size_t)64 << 20)
#define WINDOW (1u << 20)
#define LABEL_LEN 8u /* be64 lsn before the WAL of a record */
#define NO_BLOB SIZE_MAX

struct vault_wal_slice {
    struct hf_arena *arena;
    struct vault_wal_source source;
    struct vault_wal_name name;
    struct vault_pack pack;
    uint64_t *lsns; /* of each record: where its WAL begins; for others where the next begins */
    size_t *clocks; /* numbers of the clock records */
    size_t clocks_len;
    size_t other; /* number of the VAULT_BLOB_BYTES record, NO_BLOB: none */
    uint64_t to;
    uint8_t *window;
    size_t window_cap;
    size_t window_len;
    uint64_t window_offset;
    struct vault_blob_reader *reader;
    size_t current; /* record whose plaintext plain is, NO_BLOB: none */
    struct hf_bytes plain;
};

static struct hf_status damaged(struct hf_ctx *ctx, const struct vault_wal_slice *slice,
                                const char *what)
{
    return hf_fail(ctx->arena, HF_DATA_LOSS, "%s: %s", slice->pack.name, what);
}

/* Positions of all records. */
static struct hf_status map_records(struct hf_ctx *ctx, struct vault_wal_slice *slice)
{
    uint64_t lsn = slice->name.from;

    slice->other = NO_BLOB;
    slice->lsns = HF_NEW_N(slice->arena, uint64_t, slice->pack.blobs_len + 1);
    slice->clocks = HF_NEW_N(slice->arena, size_t, slice->pack.blobs_len + 1);
    for (size_t i = 0; i < slice->pack.blobs_len; i++) {
        const struct vault_blob_info *blob = &slice->pack.blobs[i];

        slice->lsns[i] = lsn;
        if (blob->type == VAULT_BLOB_WAL && blob->plain_len > LABEL_LEN) {
            lsn += blob->plain_len - LABEL_LEN;
        } else if (blob->type == VAULT_BLOB_CLOCK && blob->plain_len == 2 * LABEL_LEN) {
            slice->clocks[slice->clocks_len++] = i;
        } else if (blob->type == VAULT_BLOB_BYTES && slice->other == NO_BLOB) {
            slice->other = i;
        } else {
            return damaged(ctx, slice, "a record that no WAL object has");
        }
    }
    if (lsn < slice->name.from) {
        return damaged(ctx, slice, "its records reach beyond the last LSN");
    }
    slice->lsns[slice->pack.blobs_len] = lsn;
    slice->to = lsn;
    if (slice->name.kind == VAULT_WAL_CLOSED && lsn != slice->name.to) {
        return damaged(ctx, slice, "its records do not fill the range of its name");
    }
    if (slice->to > slice->name.from &&
        (slice->to - 1) / slice->source.place->segment_bytes != slice->name.segno) {
        return damaged(ctx, slice, "its records reach beyond its segment");
    }
    return hf_success();
}

static struct hf_status open_pack(struct hf_ctx *ctx, struct vault_wal_slice *slice,
                                  const char *text)
{
    const struct vault_wal_source *source = &slice->source;
    struct hf_ctx sub = *ctx;
    bool is_closed = true;
    struct hf_status status;

    /* What is opened lives as long as the slice; only an error goes to the caller's arena. */
    sub.arena = slice->arena;
    text = hf_strdup(slice->arena, text);
    if (slice->name.kind == VAULT_WAL_GROWING) {
        status =
            vault_pack_scan(&sub, source->store, source->keyring, text, &slice->pack, &is_closed);
    } else {
        status = vault_pack_open(&sub, source->store, source->keyring, text, &slice->pack);
    }
    if (status.code != HF_OK) {
        return hf_status_copy(ctx->arena, status);
    }
    slice->pack.name = text;
    /* A growing one that a crash cut inside its header has none, and no records. */
    if (slice->pack.size_bytes < VAULT_PACK_HEADER_LEN) {
        return map_records(ctx, slice);
    }
    if (slice->pack.header.kind != VAULT_PACK_WAL) {
        return damaged(ctx, slice, "not a pack of WAL");
    }
    if (slice->pack.header.number !=
        vault_wal_place_number(sub.arena, source->place, slice->name.timeline)) {
        return damaged(ctx, slice, "WAL of another timeline, lineage or source");
    }
    return map_records(ctx, slice);
}

struct hf_status vault_wal_slice_open(struct hf_ctx *ctx, const struct vault_wal_source *source,
                                      const char *text, struct vault_wal_slice **ret_slice)
{
    HF_CLEANUP(vault_wal_slice_free)
    struct vault_wal_slice *slice = hf_heap_alloc(sizeof(*slice));

    slice->source = *source;
    slice->arena = hf_arena_new(ARENA_MAX);
    slice->current = NO_BLOB;
    if (!vault_wal_name_parse(source->place, text, &slice->name) ||
        slice->name.kind == VAULT_WAL_HISTORY) {
        return hf_fail(ctx->arena, HF_INVALID_ARGUMENT, "%s is not the name of a WAL object", text);
    }
    HF_TRY(open_pack(ctx, slice, text));
    slice->reader = vault_blob_reader_new();
    *ret_slice = HF_TAKE(slice);
    return hf_success();
}

void vault_wal_slice_free(struct vault_wal_slice *slice)
{
    if (slice == NULL) {
        return;
    }
    vault_blob_reader_free(slice->reader);
    hf_heap_free(slice->window);
    hf_arena_free(slice->arena);
    hf_heap_free(slice);
}

const char *vault_wal_slice_object(const struct vault_wal_slice *slice)
{
    return slice->pack.name;
}

uint64_t vault_wal_slice_from(const struct vault_wal_slice *slice)
{
    return slice->name.from;
}

uint64_t vault_wal_slice_to(const struct vault_wal_slice *slice)
{
    return slice->to;
}

size_t vault_wal_slice_records(const struct vault_wal_slice *slice)
{
    return slice->pack.blobs_len;
}

bool vault_wal_slice_holds(const struct vault_wal_slice *slice, uint64_t lsn)
{
    return lsn >= slice->name.from && lsn < slice->to;
}

/* The sealed bytes of record i, read ahead to the end of the window. */
static struct hf_status fill_window(struct hf_ctx *ctx, struct vault_wal_slice *slice, size_t i,
                                    struct hf_bytes *ret_sealed)
{
    const struct vault_blob_info *blob = &slice->pack.blobs[i];
    const struct vault_blob_info *last = &slice->pack.blobs[slice->pack.blobs_len - 1];
    uint64_t left = last->offset + last->sealed_len - blob->offset;
    size_t want = left < WINDOW ? (size_t)left : WINDOW;

    if (blob->offset < slice->window_offset ||
        blob->offset + blob->sealed_len > slice->window_offset + slice->window_len) {
        want = want < blob->sealed_len ? blob->sealed_len : want;
        if (want > slice->window_cap) {
            slice->window = hf_heap_grow(slice->window, want);
            slice->window_cap = want;
        }
        slice->window_len = 0;
        HF_TRY(objstore_read(ctx, slice->source.store, slice->pack.name, blob->offset, want,
                             slice->window));
        slice->window_offset = blob->offset;
        slice->window_len = want;
    }
    *ret_sealed =
        (struct hf_bytes){slice->window + (blob->offset - slice->window_offset), blob->sealed_len};
    return hf_success();
}

static struct hf_status open_record(struct hf_ctx *ctx, struct vault_wal_slice *slice, size_t i,
                                    bool check_id)
{
    struct hf_bytes sealed = {0};

    slice->current = NO_BLOB;
    HF_TRY(fill_window(ctx, slice, i, &sealed));
    HF_TRY(vault_blob_open(ctx, slice->source.keyring, &slice->pack, i, check_id, sealed,
                           slice->reader, &slice->plain));
    if (slice->plain.len != slice->pack.blobs[i].plain_len) {
        return damaged(ctx, slice, "a record of another length than the trailer says");
    }
    if (slice->pack.blobs[i].type == VAULT_BLOB_WAL) {
        struct codec_wire wire = codec_wire_open(slice->plain.ptr, slice->plain.len);

        if (codec_wire_get_be64(&wire) != slice->lsns[i]) {
            return damaged(ctx, slice, "a record that belongs to another LSN");
        }
    }
    slice->current = i;
    return hf_success();
}

/* Number of the record that holds lsn: the last one that begins at or below it. */
static size_t find_record(const struct vault_wal_slice *slice, uint64_t lsn)
{
    size_t low = 0;
    size_t high = slice->pack.blobs_len;

    while (high - low > 1) {
        size_t mid = low + (high - low) / 2;

        if (slice->lsns[mid] <= lsn) {
            low = mid;
        } else {
            high = mid;
        }
    }
    return low;
}

struct hf_status vault_wal_slice_at(struct hf_ctx *ctx, struct vault_wal_slice *slice, uint64_t lsn,
                                    struct hf_bytes *ret_bytes)
{
    size_t i;
    size_t skip;

    HF_CHECK(vault_wal_slice_holds(slice, lsn));
    i = find_record(slice, lsn);
    HF_CHECK(slice->pack.blobs[i].type == VAULT_BLOB_WAL);
    if (slice->current != i) {
        HF_TRY(open_record(ctx, slice, i, false));
    }
    skip = LABEL_LEN + (size_t)(lsn - slice->lsns[i]);
    *ret_bytes = (struct hf_bytes){slice->plain.ptr + skip, slice->plain.len - skip};
    return hf_success();
}

struct hf_status vault_wal_slice_read(struct hf_ctx *ctx, struct vault_wal_slice *slice,
                                      uint64_t lsn, size_t len, void *ret_bytes)
{
    uint8_t *out = ret_bytes;

    for (size_t done = 0; done < len;) {
        struct hf_bytes view = {0};
        size_t n;

        HF_TRY(vault_wal_slice_at(ctx, slice, lsn + done, &view));
        n = view.len < len - done ? view.len : len - done;
        memcpy(out + done, view.ptr, n);
        done += n;
    }
    return hf_success();
}

size_t vault_wal_slice_clocks(const struct vault_wal_slice *slice)
{
    return slice->clocks_len;
}

struct hf_status vault_wal_slice_clock(struct hf_ctx *ctx, struct vault_wal_slice *slice, size_t n,
                                       struct vault_wal_clock *ret_clock)
{
    struct codec_wire wire;

    HF_CHECK(n < slice->clocks_len);
    HF_TRY(open_record(ctx, slice, slice->clocks[n], false));
    wire = codec_wire_open(slice->plain.ptr, slice->plain.len);
    ret_clock->lsn = codec_wire_get_be64(&wire);
    ret_clock->time_us = (int64_t)codec_wire_get_be64(&wire);
    return codec_wire_finish(&wire, ctx->arena, slice->pack.name);
}

struct hf_status vault_wal_slice_compacted(struct hf_ctx *ctx, struct vault_wal_slice *slice,
                                           int64_t *ret_time_us)
{
    struct codec_wire wire;

    if (slice->other == NO_BLOB) {
        *ret_time_us = 0;
        return hf_success();
    }
    HF_TRY(open_record(ctx, slice, slice->other, false));
    wire = codec_wire_open(slice->plain.ptr, slice->plain.len);
    *ret_time_us = (int64_t)codec_wire_get_be64(&wire);
    return codec_wire_finish(&wire, ctx->arena, slice->pack.name);
}

struct hf_status vault_wal_slice_verify(struct hf_ctx *ctx, struct vault_wal_slice *slice)
{
    bool check_id = vault_keyring_can_digest(slice->source.keyring);

    for (size_t i = 0; i < slice->pack.blobs_len; i++) {
        HF_TRY(hf_ctx_check(ctx));
        HF_TRY(open_record(ctx, slice, i, check_id));
    }
    return hf_success();
}
