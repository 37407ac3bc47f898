/* One WAL object opened for reading: its records by LSN, its clock records by number. A window of
 * sealed bytes is read ahead, so that a slice of ten thousand small records costs a few reads.
 *
 * Private to libs/vault. One thread per slice.
 */
#ifndef HF_VAULT_WAL_SLICE_H
#define HF_VAULT_WAL_SLICE_H

#include "vault/pack.h"
#include "vault/wal.h"
#include "vault/wal_reader.h"

struct vault_wal_slice;

/* What a slice is opened with: all borrowed until it is freed. */
struct vault_wal_source {
    struct objstore *store;
    const struct vault_keyring *keyring;
    const struct vault_wal_place *place;
};

/* What a reader was made with. */
const struct vault_wal_source *vault_wal_reader_source(const struct vault_wal_reader *reader);

/* text: object name, which must parse. A closed object must hold exactly the range that its name
 * says; a growing one is read up to its last whole record.
 * Errors   NOT_FOUND (it was closed or compacted meanwhile: list again); DATA_LOSS; store's. */
struct hf_status vault_wal_slice_open(struct hf_ctx *ctx, const struct vault_wal_source *source,
                                      const char *text,
                                      struct vault_wal_slice **ret_slice) HF_MUST_USE;
void vault_wal_slice_free(struct vault_wal_slice *slice); /* accepts NULL */

const char *vault_wal_slice_object(const struct vault_wal_slice *slice);
uint64_t vault_wal_slice_from(const struct vault_wal_slice *slice);
uint64_t vault_wal_slice_to(const struct vault_wal_slice *slice);
size_t vault_wal_slice_records(const struct vault_wal_slice *slice);
bool vault_wal_slice_holds(const struct vault_wal_slice *slice, uint64_t lsn);

/* WAL from lsn (which it holds) to the end of the record with it; valid until the next call. */
struct hf_status vault_wal_slice_at(struct hf_ctx *ctx, struct vault_wal_slice *slice, uint64_t lsn,
                                    struct hf_bytes *ret_bytes) HF_MUST_USE;

/* len bytes from lsn on, all of which it holds. */
struct hf_status vault_wal_slice_read(struct hf_ctx *ctx, struct vault_wal_slice *slice,
                                      uint64_t lsn, size_t len, void *ret_bytes) HF_MUST_USE;

size_t vault_wal_slice_clocks(const struct vault_wal_slice *slice);
struct hf_status vault_wal_slice_clock(struct hf_ctx *ctx, struct vault_wal_slice *slice, size_t n,
                                       struct vault_wal_clock *ret_clock) HF_MUST_USE;
/* Time of compaction that the object carries, 0: it is a slice. */
struct hf_status vault_wal_slice_compacted(struct hf_ctx *ctx, struct vault_wal_slice *slice,
                                           int64_t *ret_time_us) HF_MUST_USE;
/* Authenticate every record, ids included when the keyring can. */
struct hf_status vault_wal_slice_verify(struct hf_ctx *ctx,
                                        struct vault_wal_slice *slice) HF_MUST_USE;

static inline void vault_wal_slice_free_cleanup(struct vault_wal_slice **slice)
{
    vault_wal_slice_free(*slice);
    *slice = NULL;
}

#endif
