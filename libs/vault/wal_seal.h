/* Sealing WAL into packs of kind WAL: the one place that knows what their records hold.
 *
 *   VAULT_BLOB_WAL    be64 lsn ‖ WAL bytes, contiguous from one record to the next
 *   VAULT_BLOB_CLOCK  be64 lsn ‖ be64 time: all WAL that existed at time lies below lsn
 *   VAULT_BLOB_BYTES  in a history object its text; in a compacted one be64 time of compaction
 *
 * Private to libs/vault. One thread per seal.
 */
#ifndef HF_VAULT_WAL_SEAL_H
#define HF_VAULT_WAL_SEAL_H

#include "base/buf.h"
#include "vault/pack.h"
#include "vault/wal.h"
#include "vault/wal_slice.h"

#define VAULT_WAL_LEVEL_FAST 1
#define VAULT_WAL_LEVEL_COMPACT 3
#define VAULT_WAL_RECORD_MAX (128u << 10) /* WAL bytes of a record in a growing slice */
#define VAULT_WAL_BLOB_MAX (512u << 10)   /* … in a compacted object */
/* No object holds more WAL than this: bounds memory and what one damaged object can cost.
 * Slices end at multiples of it, so with segments of up to 16 MiB a piece is a segment. */
#define VAULT_WAL_PIECE_MAX (16u << 20)
/* A slice is closed after this many records, which bounds its trailer. */
#define VAULT_WAL_RECORDS_MAX 16384u
#define VAULT_WAL_CLOCK_US INT64_C(1000000) /* least distance of clock records */

struct vault_wal_seal {
    struct vault_pack_stream *stream;
    struct hf_buf out;   /* sealed bytes that were not taken yet */
    struct hf_buf plain; /* scratch: label and bytes of one record */
    uint32_t records;
};

/* What the header of a pack of WAL has as its number: a digest of the folder of its timeline, so
 * that a slice cannot be given to another timeline, lineage or source of the realm. */
uint64_t vault_wal_place_number(struct hf_arena *arena, const struct vault_wal_place *place,
                                uint32_t timeline);
/* The same of a history object, over its whole name. */
uint64_t vault_wal_history_number(const char *name);

/* Where the piece that holds lsn ends: the next multiple of min(segment, VAULT_WAL_PIECE_MAX). */
uint64_t vault_wal_piece_end(const struct vault_wal_place *place, uint64_t lsn);
uint64_t vault_wal_piece_start(const struct vault_wal_place *place, uint64_t lsn);

/* number: vault_wal_place_number or that of a history. */
struct hf_status vault_wal_seal_begin(struct hf_ctx *ctx, struct vault_wal_seal *seal,
                                      const struct vault_keyring *keyring, uint64_t number,
                                      int level) HF_MUST_USE;
void vault_wal_seal_done(struct vault_wal_seal *seal); /* accepts a zeroed struct, repeatable */
/* bytes at lsn in records of at most record_max bytes. */
struct hf_status vault_wal_seal_wal(struct hf_ctx *ctx, struct vault_wal_seal *seal, uint64_t lsn,
                                    struct hf_bytes bytes, size_t record_max) HF_MUST_USE;
struct hf_status vault_wal_seal_clock(struct hf_ctx *ctx, struct vault_wal_seal *seal,
                                      struct vault_wal_clock clock) HF_MUST_USE;
/* The clock records of slices, given in order: of those with one LSN only the last is kept (the
 * others prove nothing more), and none closer than VAULT_WAL_CLOCK_US to the one before. */
struct vault_wal_clocks {
    struct vault_wal_clock pending;
    bool is_pending;
    int64_t sealed_us;
};
struct hf_status vault_wal_seal_clocks(struct hf_ctx *ctx, struct vault_wal_seal *seal,
                                       struct vault_wal_clocks *clocks,
                                       struct vault_wal_slice *slice) HF_MUST_USE;
/* After the last slice. */
struct hf_status vault_wal_seal_clocks_end(struct hf_ctx *ctx, struct vault_wal_seal *seal,
                                           struct vault_wal_clocks *clocks) HF_MUST_USE;
struct hf_status vault_wal_seal_other(struct hf_ctx *ctx, struct vault_wal_seal *seal,
                                      struct hf_bytes bytes) HF_MUST_USE;
/* Trailer and footer. */
struct hf_status vault_wal_seal_finish(struct hf_ctx *ctx, struct vault_wal_seal *seal) HF_MUST_USE;
/* View of out. */
struct hf_bytes vault_wal_seal_bytes(const struct vault_wal_seal *seal);

static inline void vault_wal_seal_done_cleanup(struct vault_wal_seal *seal)
{
    vault_wal_seal_done(seal);
}

#endif
