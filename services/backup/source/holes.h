/* What the vault lacks of the WAL that a lineage's recovery points need: holes of its own listing,
 * whoever made them. They are the cluster's rows of backup.gaps. */
#ifndef HF_BACKUP_HOLES_H
#define HF_BACKUP_HOLES_H

#include "backup/source/source.h"
#include "backup/source/way.h"
#include "backup/store/clusters.h"

/* More are not kept: the newest ones say where the recovery window begins. */
#define HOLES_MAX 1000

struct holes {
    const char *lineage;
    int64_t begin_us; /* hf_now_us() before the vault was listed */
    struct gap_row *rows;
    size_t len;
    bool is_at_end; /* the last one ends where the WAL does: it may be streamed yet */
};

/* From the start of the oldest live point to the end of the newest timeline that points lead to,
 * along its history. A timeline with WAL whose history is gone is a hole as a whole: no restore
 * passes it. way: store, keyring, place and state. now: what the receiver holds for durable; it may
 * have skipped WAL and stored nothing behind it yet; NULL: none runs. */
struct hf_status holes_find(struct hf_ctx *ctx, const struct way *way,
                            const struct vault_wal_info *now, struct holes *ret_holes) HF_MUST_USE;
/* They replace the lineage's rows, but for those that came after the vault was listed. */
struct hf_status holes_store(struct hf_ctx *ctx, struct db_tx *tx, const char *cluster_id,
                             const struct holes *holes) HF_MUST_USE;
/* Find and store those of the source's lineage. */
struct hf_status holes_record(struct hf_ctx *ctx, const struct source *source,
                              const struct vault_wal_info *now, bool *ret_is_at_end) HF_MUST_USE;

#endif
