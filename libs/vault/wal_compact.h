/* Compaction: the slices of a complete segment become one object, well compressed. */
#ifndef HF_VAULT_WAL_COMPACT_H
#define HF_VAULT_WAL_COMPACT_H

#include "vault/wal.h"

enum vault_wal_compacted {
    VAULT_WAL_COMPACT_NOTHING,    /* one object already, nothing to remove */
    VAULT_WAL_COMPACT_INCOMPLETE, /* bytes are missing: left alone */
    VAULT_WAL_COMPACT_WRITTEN,    /* the whole segment is durable; slices stay for the grace time */
    VAULT_WAL_COMPACT_WAITING,    /* written before, grace time still runs */
    VAULT_WAL_COMPACT_CLEANED,    /* slices removed */
};

/* One step for one segment: write the whole object (blobs of 512 KiB at zstd-3; clock records
 * thinned to one a second) when slices exist and it does not, or, when it has existed for
 * grace_us, remove the slices after the whole object was read back and authenticated. Segments
 * above 32 MiB become one object per aligned 32 MiB.
 * Threads  any, one per segment; beside a writer of the same timeline only for segments that the
 *          writer has left.   Repeat  safe.
 */
struct hf_status vault_wal_compact_segment(struct hf_ctx *ctx, struct objstore *store,
                                           const struct vault_keyring *keyring,
                                           const struct vault_wal_place *place, uint32_t timeline,
                                           uint64_t segno, int64_t grace_us,
                                           enum vault_wal_compacted *ret_result) HF_MUST_USE;

#endif
