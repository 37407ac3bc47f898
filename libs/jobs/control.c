/* What callers do to jobs: cancel, retry, and carry external ones out. */
#include "jobs/internal.h"

static const struct jobs_error cancelled = {HF_CANCELLED, "CANCELLED", "cancelled"};

/* NOT_FOUND of jobs_lock may mean that the job is archived: then it has ended. */
static struct hf_status lock_or_get(struct hf_ctx *ctx, struct db_tx *tx, const char *id,
                                    struct jobs_job *ret_job)
{
    struct hf_status status = jobs_lock(ctx, tx, id, ret_job);
    return status.code == HF_NOT_FOUND ? jobs_get(ctx, tx, id, ret_job) : status;
}

struct hf_status jobs_cancel(struct hf_ctx *ctx, struct db_tx *tx, struct jobs *jobs,
                             const char *id, struct jobs_job *ret_job)
{
    const struct jobs_verdict verdict = {
        .move = JOBS_MOVE_END, .state = JOBS_CANCELLED, .error = cancelled};
    struct jobs_job job;

    HF_TRY(lock_or_get(ctx, tx, id, &job));
    if (!jobs_is_ended(job.state) && !job.is_cancel_requested) {
        HF_TRY(db_exec(ctx, tx, sql_jobs_cancel_flag, DB_ARGS(DB_UUID(id)), NULL));
    }
    if (job.state == JOBS_WAITING || job.state == JOBS_PENDING) {
        HF_TRY(jobs_move(ctx, tx, jobs, &job, &verdict, NULL));
    }
    return jobs_get(ctx, tx, id, ret_job);
}

static struct hf_status not_retryable(struct hf_ctx *ctx, const char *id,
                                      const struct jobs_job *job)
{
    const char *const metadata[] = {"job", id, "state", jobs_state_text(job->state), NULL};

    return hf_fail_info(ctx->arena, HF_FAILED_PRECONDITION, "JOB_NOT_RETRYABLE", metadata,
                        "job %s is %s%s; only a failed or cancelled job of ours can be retried", id,
                        jobs_state_text(job->state),
                        job->is_external ? " and carried out by its client" : "");
}

/* An archived row was not locked: another retry may have been faster, and its run must live. */
struct hf_status jobs_retry(struct hf_ctx *ctx, struct db_tx *tx, const char *id,
                            struct jobs_job *ret_job)
{
    struct jobs_job job;
    int64_t affected = 0;

    HF_TRY(lock_or_get(ctx, tx, id, &job));
    if (!jobs_is_ended(job.state) || job.state == JOBS_SUCCEEDED || job.is_external) {
        return not_retryable(ctx, id, &job);
    }
    HF_TRY(db_exec(ctx, tx, sql_jobs_unarchive, DB_ARGS(DB_UUID(id)), NULL));
    HF_TRY(db_exec(ctx, tx, sql_jobs_retry, DB_ARGS(DB_UUID(id)), &affected));
    if (affected == 0) {
        HF_TRY(jobs_get(ctx, tx, id, &job));
        return not_retryable(ctx, id, &job);
    }
    HF_TRY(db_exec(ctx, tx, sql_jobs_ring, DB_ARGS(DB_UUID(id)), NULL));
    return jobs_get(ctx, tx, id, ret_job);
}

struct hf_status jobs_external_claim(struct hf_ctx *ctx, struct db_tx *tx, const char *id,
                                     struct jobs_job *ret_job)
{
    const char *const metadata[] = {"job", id, NULL};
    struct jobs_job job;
    int64_t affected = 0;

    HF_TRY(jobs_get(ctx, tx, id, &job));
    HF_TRY(db_exec(ctx, tx, sql_jobs_external_claim, DB_ARGS(DB_UUID(id)), &affected));
    if (affected == 0) {
        return hf_fail_info(ctx->arena, HF_ABORTED, "NOT_CLAIMABLE", metadata,
                            "job %s is %s and cannot be taken", id, jobs_state_text(job.state));
    }
    return jobs_get(ctx, tx, id, ret_job);
}

struct hf_status jobs_external_beat(struct hf_ctx *ctx, struct db_tx *tx, const char *id,
                                    const struct jobs_report *report, struct jobs_job *ret_job)
{
    struct jobs_job job;
    int64_t affected = 0;

    HF_TRY(jobs_get(ctx, tx, id, &job));
    HF_TRY(db_exec(
        ctx, tx, sql_jobs_external_beat,
        DB_ARGS(DB_UUID(id), DB_INT(report->fence.epoch), DB_INT(report->fence.n),
                DB_TEXT(report->phase == NULL ? NULL : jobs_clean(ctx->arena, report->phase, 200)),
                DB_INT(jobs_bytes(report->done_bytes)), DB_INT(jobs_bytes(report->total_bytes))),
        &affected));
    if (affected == 0) {
        return jobs_fenced(ctx->arena, id);
    }
    return jobs_get(ctx, tx, id, ret_job);
}

struct hf_status jobs_external_finish(struct hf_ctx *ctx, struct db_tx *tx, struct jobs *jobs,
                                      const char *id, struct hf_status outcome, const char *result)
{
    struct jobs_job job;
    struct jobs_verdict verdict = {.move = JOBS_MOVE_END, .result = result};

    HF_TRY(lock_or_get(ctx, tx, id, &job));
    if (!job.is_external || jobs_is_ended(job.state)) {
        return jobs_fenced(ctx->arena, id);
    }
    verdict.error = (struct jobs_error){
        .code = outcome.code,
        .reason = outcome.info == NULL || outcome.info->reason == NULL ? "" : outcome.info->reason,
        .message = outcome.message == NULL ? "" : outcome.message,
    };
    verdict.state = outcome.code == HF_OK          ? JOBS_SUCCEEDED
                    : outcome.code == HF_CANCELLED ? JOBS_CANCELLED
                                                   : JOBS_FAILED;
    return jobs_move(ctx, tx, jobs, &job, &verdict, NULL);
}
