/* What the files of a verification share. */
#ifndef HF_BACKUP_WORK_VERIFY_IMPL_H
#define HF_BACKUP_WORK_VERIFY_IMPL_H

#include <stdatomic.h>

#include "backup/source/source.h"
#include "backup/store/backups.h"
#include "backup/work/work.h"
#include "base/buf.h"

struct verify_work {
    struct jobs_run *run;
    struct source source;
    struct backup_row row;
    struct vault_source_state state;
    const struct vault_point_info *point;
    struct hf_buf findings; /* one per line; what does not fit is counted, not listed */
    size_t findings_len;
};

void verify_add_finding(struct verify_work *work, const char *object, const char *what);

/* Something long that runs on a thread of its own, while this one tells the job's progress. */
struct verify_task {
    struct hf_status (*fn)(struct hf_ctx *ctx, void *arg);
    void *arg;
    const char *phase;
    const atomic_uint_fast64_t *done_bytes;
    const atomic_uint_fast64_t *total_bytes;
};
/* Results that fn puts into ctx->arena live in arena. Cancellation of the job cancels fn. */
struct hf_status verify_run_task(struct hf_ctx *ctx, struct verify_work *work,
                                 const struct verify_task *task,
                                 struct hf_arena *arena) HF_MUST_USE;

/* verify_wal.c: all WAL that the point answers for. Damage becomes findings. */
struct hf_status verify_wal(struct hf_ctx *ctx, struct verify_work *work) HF_MUST_USE;

#endif
