/* The same range must have the same bytes: comparison with what is stored, and storing of closed
 * objects that are there already. Private to libs/vault. */
#ifndef HF_VAULT_WAL_COMPARE_H
#define HF_VAULT_WAL_COMPARE_H

#include "vault/wal_index.h"
#include "vault/wal_seal.h"
#include "vault/wal_slice.h"

/* FAILED_PRECONDITION, reason WAL_CONFLICT, naming the first byte that differs. */
struct hf_status vault_wal_conflict(struct hf_arena *arena, uint32_t timeline,
                                    uint64_t lsn) HF_MUST_USE;

/* bytes at lsn against the reader's vault: WAL_CONFLICT, or NOT_FOUND when they are not there. */
struct hf_status vault_wal_compare(struct hf_ctx *ctx, struct vault_wal_reader *reader,
                                   uint32_t timeline, uint64_t lsn,
                                   struct hf_bytes bytes) HF_MUST_USE;

/* The WAL that both slices hold. WAL_CONFLICT. */
struct hf_status vault_wal_compare_slices(struct hf_ctx *ctx, struct vault_wal_slice *a,
                                          struct vault_wal_slice *b, uint32_t timeline) HF_MUST_USE;

/* Ranges of one segment. */
struct hf_status vault_wal_index_segment(struct hf_ctx *ctx, const struct vault_wal_source *source,
                                         uint32_t timeline, uint64_t segno,
                                         struct vault_wal_index *ret_index) HF_MUST_USE;

#endif
