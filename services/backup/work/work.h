/* The job kinds of the backup service. Effects outside PostgreSQL are idempotent: whatever is done
 * twice is found done in the vault's journal. */
#ifndef HF_BACKUP_WORK_WORK_H
#define HF_BACKUP_WORK_WORK_H

#include "backup/app.h"
#include "jobs/worker.h"

/* backup: base backup into the vault. verify: proof of one point. catalog-rebuild: points of the
 * vault into the catalogue. restore: external, carried out by the command line. */
struct hf_status work_backup(struct hf_ctx *ctx, struct jobs_run *run) HF_MUST_USE;
struct hf_status work_backup_end(struct hf_ctx *ctx, struct db_tx *tx, const struct jobs_job *job,
                                 void *app) HF_MUST_USE;
struct hf_status work_verify(struct hf_ctx *ctx, struct jobs_run *run) HF_MUST_USE;
struct hf_status work_rebuild(struct hf_ctx *ctx, struct jobs_run *run) HF_MUST_USE;
struct hf_status work_restore_end(struct hf_ctx *ctx, struct db_tx *tx, const struct jobs_job *job,
                                  void *app) HF_MUST_USE;

extern const struct jobs_kind work_kinds[];
extern const size_t work_kinds_len;

#endif
