/* Reading WAL back: bytes of a range, whole segment files, clock records.
 *
 * A reader holds one opened slice and a window of at most 4 MiB of it, so sequential reading
 * touches each sealed byte once and memory is bounded. Whole segments are preferred to slices; a
 * slice that vanishes (closed, compacted) is looked up again; where two objects cover a byte and
 * one is damaged, the other is used. Works over any store. One thread per reader.
 */
#ifndef HF_VAULT_WAL_READER_H
#define HF_VAULT_WAL_READER_H

#include "vault/wal.h"

struct vault_wal_reader;

/* store and keyring are borrowed until free, place is copied. */
struct vault_wal_reader *vault_wal_reader_new(struct objstore *store,
                                              const struct vault_keyring *keyring,
                                              const struct vault_wal_place *place);
void vault_wal_reader_free(struct vault_wal_reader *reader); /* accepts NULL */

/* Exactly len bytes of [from, from + len) into ret_bytes; may cross segments.
 * Errors   NOT_FOUND a byte of it is not in the vault; DATA_LOSS it is there but damaged;
 *          UNAVAILABLE … of the store: never confused with NOT_FOUND. */
struct hf_status vault_wal_read(struct hf_ctx *ctx, struct vault_wal_reader *reader,
                                uint32_t timeline, uint64_t from, size_t len,
                                void *ret_bytes) HF_MUST_USE;
/* As much as is there from from on, at most len; ret_len 0 when the byte at from is not there. */
struct hf_status vault_wal_read_some(struct hf_ctx *ctx, struct vault_wal_reader *reader,
                                     uint32_t timeline, uint64_t from, size_t len, void *ret_bytes,
                                     size_t *ret_len) HF_MUST_USE;

/* Write the segment file: its WAL from the segment's start on, zeros behind it up to
 * segment_bytes. ret_end: LSN where the WAL ends (the segment's end when it is complete).
 * NOT_FOUND when its first byte is not in the vault. fd is at its start; not fsynced. */
struct hf_status vault_wal_segment_to_fd(struct hf_ctx *ctx, struct vault_wal_reader *reader,
                                         uint32_t timeline, uint64_t segno, int fd,
                                         uint64_t *ret_end) HF_MUST_USE;
/* The same appended to buf (whose maximum must leave room for segment_bytes). */
struct hf_status vault_wal_segment_to_buf(struct hf_ctx *ctx, struct vault_wal_reader *reader,
                                          uint32_t timeline, uint64_t segno, struct hf_buf *buf,
                                          uint64_t *ret_end) HF_MUST_USE;

/* A proof by the receiver: all WAL that existed at time_us lies below lsn. */
struct vault_wal_clock {
    uint64_t lsn;
    int64_t time_us;
};

/* Newest clock record of a timeline whose lsn is at most limit_lsn (UINT64_MAX: any): the newest
 * server time that is proven covered. NOT_FOUND: none. */
struct hf_status vault_wal_covered_time(struct hf_ctx *ctx, struct vault_wal_reader *reader,
                                        uint32_t timeline, uint64_t limit_lsn,
                                        struct vault_wal_clock *ret_clock) HF_MUST_USE;
/* Oldest clock record of a timeline with time_us >= the given time: WAL below its lsn holds all
 * that had happened by then. NOT_FOUND: no record that new. */
struct hf_status vault_wal_lsn_at(struct hf_ctx *ctx, struct vault_wal_reader *reader,
                                  uint32_t timeline, int64_t time_us,
                                  struct vault_wal_clock *ret_clock) HF_MUST_USE;

static inline void vault_wal_reader_free_cleanup(struct vault_wal_reader **reader)
{
    vault_wal_reader_free(*reader);
    *reader = NULL;
}

#endif
