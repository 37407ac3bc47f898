/* The growing end of a timeline: WAL bytes in, sealed and durable before an LSN is acknowledged.
 *
 * One writer per (lineage, timeline), used by one thread. Bytes are buffered by append, sealed
 * into records of at most 128 KiB and made durable by flush. A slice is closed at its segment's
 * end; after a restart nobody appends to an old one: open rewrites the valid part of a slice that
 * was left growing as a closed one, under new keys and fsynced, and removes the growing one.
 * After any error the writer is spent (a failed fsync cannot be repeated): free it and open again.
 */
#ifndef HF_VAULT_WAL_WRITER_H
#define HF_VAULT_WAL_WRITER_H

#include "vault/wal.h"

struct vault_wal_writer;

struct vault_wal_writer_options {
    struct vault_wal_place place; /* copied */
    uint32_t timeline;
    uint64_t start_lsn; /* where to begin when nothing of the timeline is durable */
    int level;          /* zstd of the records; 0: the default, 1 */
};

/* Find what is durable, finish what a crash left growing, and stand ready behind it.
 * store, keyring  borrowed until free; the store must be able to append (FAILED_PRECONDITION)
 * Errors   of the store; DATA_LOSS is never returned for a torn end: it is cut off. */
struct hf_status vault_wal_writer_open(struct hf_ctx *ctx, struct objstore *store,
                                       const struct vault_keyring *keyring,
                                       const struct vault_wal_writer_options *options,
                                       struct vault_wal_writer **ret_writer) HF_MUST_USE;
/* Leaves a growing slice as it is (a crash). Accepts NULL. */
void vault_wal_writer_free(struct vault_wal_writer *writer);

/* Did it fail, or was it closed? Only freeing is left then. */
bool vault_wal_writer_is_spent(const struct vault_wal_writer *writer);

/* All WAL of the newest contiguous range below this is durable: what may be acknowledged. */
uint64_t vault_wal_writer_durable(const struct vault_wal_writer *writer);
/* The next byte that is expected: durable + buffered. */
uint64_t vault_wal_writer_position(const struct vault_wal_writer *writer);
/* First LSN of the range that the position belongs to. */
uint64_t vault_wal_writer_range_start(const struct vault_wal_writer *writer);
/* Newest server time whose WAL is all durable (see clock), 0: none known. */
int64_t vault_wal_writer_durable_time(const struct vault_wal_writer *writer);

/* Take bytes at lsn. Bytes below the position are compared with what is stored.
 * Errors   OUT_OF_RANGE lsn lies above the position (a gap: see skip); FAILED_PRECONDITION reason
 *          WAL_CONFLICT other bytes are stored there; RESOURCE_EXHAUSTED disk full. */
struct hf_status vault_wal_writer_append(struct hf_ctx *ctx, struct vault_wal_writer *writer,
                                         uint64_t lsn, struct hf_bytes bytes) HF_MUST_USE;

/* All WAL that existed at server time time_us lies below lsn. It is written once the position
 * reaches lsn, at most once a second, and durable with the flush after that. */
void vault_wal_writer_clock(struct vault_wal_writer *writer, uint64_t lsn, int64_t time_us);
/* A time whose LSN is not reached yet is given up: another server speaks now. */
void vault_wal_writer_clock_forget(struct vault_wal_writer *writer);
/* Has bytes or a clock record that a flush would write? */
bool vault_wal_writer_is_pending(const struct vault_wal_writer *writer);

/* Everything appended is durable when it returns OK; else nothing new may be acknowledged. */
struct hf_status vault_wal_writer_flush(struct hf_ctx *ctx, struct vault_wal_writer *writer,
                                        uint64_t *ret_durable_lsn) HF_MUST_USE;

/* Flush, close the slice and go on at lsn, above the position: what lies between is a gap. */
struct hf_status vault_wal_writer_skip(struct hf_ctx *ctx, struct vault_wal_writer *writer,
                                       uint64_t lsn) HF_MUST_USE;

/* Flush and close the slice under its final name (end of the timeline, shutdown). The writer can
 * only be freed then. */
struct hf_status vault_wal_writer_close(struct hf_ctx *ctx,
                                        struct vault_wal_writer *writer) HF_MUST_USE;

static inline void vault_wal_writer_free_cleanup(struct vault_wal_writer **writer)
{
    vault_wal_writer_free(*writer);
    *writer = NULL;
}

#endif
