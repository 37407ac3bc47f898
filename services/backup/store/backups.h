/* Backups in PostgreSQL: the catalogue, a cache of the vault's journal. In the caller's
 * transaction; errors are those of libs/db plus the ones named. */
#ifndef HF_BACKUP_STORE_BACKUPS_H
#define HF_BACKUP_STORE_BACKUPS_H

#include <stdbool.h>

#include "backup/store/types.h"
#include "base/ctx.h"
#include "db/db.h"

struct hf_status backups_insert(struct hf_ctx *ctx, struct db_tx *tx,
                                const struct backup_row *row) HF_MUST_USE;
/* NOT_FOUND reason BACKUP_NOT_FOUND. */
struct hf_status backups_get(struct hf_ctx *ctx, struct db_tx *tx, const char *cluster,
                             const char *id, struct backup_row *ret_row) HF_MUST_USE;

struct backups_query {
    const char *cluster; /* name, "-" for all */
    const char *state;   /* "" for all */
    const char *before;  /* ids below this one, "" from the newest */
    size_t limit;
};
struct hf_status backups_list(struct hf_ctx *ctx, struct db_tx *tx,
                              const struct backups_query *query, struct backup_row **ret_rows,
                              size_t *ret_len) HF_MUST_USE;

/* The one that has not ended; ret_id NULL when there is none. */
struct hf_status backups_active(struct hf_ctx *ctx, struct db_tx *tx, const char *cluster_id,
                                const char **ret_id, const char **ret_job) HF_MUST_USE;

struct backups_summary {
    const char *newest; /* NULL: none */
    int64_t newest_time_us;
    int64_t last_verify_us;
};
struct hf_status backups_summary(struct hf_ctx *ctx, struct db_tx *tx, const char *cluster_id,
                                 struct backups_summary *ret_summary) HF_MUST_USE;

struct backup_moment {
    uint64_t start_lsn;
    int64_t end_time_us;
};
struct hf_status backups_moments(struct hf_ctx *ctx, struct db_tx *tx,
                                 const struct cluster_row *cluster,
                                 struct backup_moment **ret_moments, size_t *ret_len) HF_MUST_USE;

/* Its job was put back to work. */
struct hf_status backups_set_pending(struct hf_ctx *ctx, struct db_tx *tx,
                                     const struct backup_row *row) HF_MUST_USE;
struct hf_status backups_set_running(struct hf_ctx *ctx, struct db_tx *tx,
                                     const struct backup_row *row) HF_MUST_USE;
/* state, error_* from row; a backup that has succeeded stays so. */
struct hf_status backups_set_ended(struct hf_ctx *ctx, struct db_tx *tx,
                                   const struct backup_row *row) HF_MUST_USE;
struct hf_status backups_set_succeeded(struct hf_ctx *ctx, struct db_tx *tx,
                                       const struct backup_row *row) HF_MUST_USE;
/* A point found in the vault: insert or bring up to date. */
struct hf_status backups_upsert(struct hf_ctx *ctx, struct db_tx *tx,
                                const struct backup_row *row) HF_MUST_USE;
struct hf_status backups_set_verified(struct hf_ctx *ctx, struct db_tx *tx,
                                      const struct backup_row *row) HF_MUST_USE;
struct hf_status backups_delete(struct hf_ctx *ctx, struct db_tx *tx,
                                const struct backup_row *row) HF_MUST_USE;

#endif
