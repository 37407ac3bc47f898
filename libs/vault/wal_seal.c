/* Sealing WAL into packs. The LSN travels inside the sealed record, so a record that somebody moves
 * to another slice or name is found when it is read. */
#include "vault/wal_seal.h"

#include <inttypes.h>
#include <string.h>

#include "codec/hash.h"
#include "codec/wire.h"
#include "vault/pack_format.h"

/* One piece that does not compress, with the trailer of its records, and room. */
#define OUT_MAX ((size_t)VAULT_WAL_PIECE_MAX + ((size_t)24 << 20))

static uint64_t piece_bytes(const struct vault_wal_place *place)
{
    return place->segment_bytes < VAULT_WAL_PIECE_MAX ? place->segment_bytes : VAULT_WAL_PIECE_MAX;
}

uint64_t vault_wal_piece_start(const struct vault_wal_place *place, uint64_t lsn)
{
    return lsn & ~(piece_bytes(place) - 1);
}

uint64_t vault_wal_piece_end(const struct vault_wal_place *place, uint64_t lsn)
{
    return vault_wal_piece_start(place, lsn) + piece_bytes(place);
}

uint64_t vault_wal_history_number(const char *name)
{
    uint8_t hash[CODEC_SHA256_LEN];

    codec_sha256(name, strlen(name), hash);
    return vault_get_be64(hash);
}

uint64_t vault_wal_place_number(struct hf_arena *arena, const struct vault_wal_place *place,
                                uint32_t timeline)
{
    return vault_wal_history_number(
        hf_printf(arena, "%s/wal/%s/%08" PRIx32, place->prefix, place->lineage, timeline));
}

struct hf_status vault_wal_seal_begin(struct hf_ctx *ctx, struct vault_wal_seal *seal,
                                      const struct vault_keyring *keyring, uint64_t number,
                                      int level)
{
    struct vault_pack_options options = {
        .kind = VAULT_PACK_WAL, .number = number, .level = level, .capacity_bytes = OUT_MAX};

    hf_buf_init(&seal->out, OUT_MAX);
    hf_buf_init(&seal->plain, VAULT_WAL_HISTORY_MAX);
    seal->records = 0;
    return vault_pack_stream_new(ctx, keyring, &options, &seal->out, &seal->stream);
}

void vault_wal_seal_done(struct vault_wal_seal *seal)
{
    vault_pack_stream_free(seal->stream);
    seal->stream = NULL;
    hf_buf_done(&seal->out);
    hf_buf_done(&seal->plain);
}

static struct hf_status add(struct hf_ctx *ctx, struct vault_wal_seal *seal,
                            enum vault_blob_type type)
{
    struct hf_bytes plain = {seal->plain.ptr, seal->plain.len};

    HF_TRY(hf_buf_status(&seal->plain, ctx->arena, "a WAL record"));
    HF_TRY(vault_pack_stream_add(ctx, seal->stream, type, plain, &seal->out));
    seal->records++;
    return hf_buf_status(&seal->out, ctx->arena, "a sealed WAL slice");
}

struct hf_status vault_wal_seal_wal(struct hf_ctx *ctx, struct vault_wal_seal *seal, uint64_t lsn,
                                    struct hf_bytes bytes, size_t record_max)
{
    for (size_t done = 0; done < bytes.len;) {
        size_t n = bytes.len - done < record_max ? bytes.len - done : record_max;

        hf_buf_clear(&seal->plain);
        codec_wire_put_be64(&seal->plain, lsn + done);
        codec_wire_put_raw(&seal->plain, bytes.ptr + done, n);
        HF_TRY(add(ctx, seal, VAULT_BLOB_WAL));
        done += n;
    }
    return hf_success();
}

struct hf_status vault_wal_seal_clock(struct hf_ctx *ctx, struct vault_wal_seal *seal,
                                      struct vault_wal_clock clock)
{
    hf_buf_clear(&seal->plain);
    codec_wire_put_be64(&seal->plain, clock.lsn);
    codec_wire_put_be64(&seal->plain, (uint64_t)clock.time_us);
    return add(ctx, seal, VAULT_BLOB_CLOCK);
}

/* Seal the pending record. The last one of all is kept however close it is. */
static struct hf_status clocks_settle(struct hf_ctx *ctx, struct vault_wal_seal *seal,
                                      struct vault_wal_clocks *clocks, bool is_last)
{
    int64_t apart_us;
    /* Whoever sealed the slices may have written any time. */
    bool is_far = __builtin_sub_overflow(clocks->pending.time_us, clocks->sealed_us, &apart_us) ||
                  apart_us >= VAULT_WAL_CLOCK_US;
    bool is_kept = is_last || is_far;

    if (!clocks->is_pending) {
        return hf_success();
    }
    clocks->is_pending = false;
    if (!is_kept) {
        return hf_success();
    }
    clocks->sealed_us = clocks->pending.time_us;
    return vault_wal_seal_clock(ctx, seal, clocks->pending);
}

struct hf_status vault_wal_seal_clocks(struct hf_ctx *ctx, struct vault_wal_seal *seal,
                                       struct vault_wal_clocks *clocks,
                                       struct vault_wal_slice *slice)
{
    for (size_t n = 0; n < vault_wal_slice_clocks(slice); n++) {
        struct vault_wal_clock clock = {0};

        HF_TRY(vault_wal_slice_clock(ctx, slice, n, &clock));
        if (clocks->is_pending && clock.time_us < clocks->pending.time_us) {
            continue;
        }
        if (clocks->is_pending && clock.lsn != clocks->pending.lsn) {
            HF_TRY(clocks_settle(ctx, seal, clocks, false));
        }
        clocks->pending = clock;
        clocks->is_pending = true;
    }
    return hf_success();
}

struct hf_status vault_wal_seal_clocks_end(struct hf_ctx *ctx, struct vault_wal_seal *seal,
                                           struct vault_wal_clocks *clocks)
{
    return clocks_settle(ctx, seal, clocks, true);
}

struct hf_status vault_wal_seal_other(struct hf_ctx *ctx, struct vault_wal_seal *seal,
                                      struct hf_bytes bytes)
{
    hf_buf_clear(&seal->plain);
    codec_wire_put_raw(&seal->plain, bytes.ptr, bytes.len);
    return add(ctx, seal, VAULT_BLOB_BYTES);
}

struct hf_status vault_wal_seal_finish(struct hf_ctx *ctx, struct vault_wal_seal *seal)
{
    HF_TRY(vault_pack_stream_finish(ctx, seal->stream, &seal->out));
    return hf_buf_status(&seal->out, ctx->arena, "a sealed WAL slice");
}

struct hf_bytes vault_wal_seal_bytes(const struct vault_wal_seal *seal)
{
    return (struct hf_bytes){seal->out.ptr, seal->out.len};
}
