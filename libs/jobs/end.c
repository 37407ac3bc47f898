/* Carrying verdicts out. The order in a transaction is fixed: the job's own row first (its fence
 * decides), then the end hook, then the children in id order, last before COMMIT: two parents of
 * the same child would otherwise deadlock. A job that ends without success takes its waiting
 * children along, and theirs. */
#include <string.h>

#include "base/check.h"
#include "base/vec.h"
#include "jobs/internal.h"

const struct jobs_kind *jobs_kind_of(const struct jobs *jobs, const char *kind)
{
    for (size_t i = 0; i < jobs->options.kinds_len; i++) {
        if (strcmp(jobs->options.kinds[i].kind, kind) == 0) {
            return &jobs->options.kinds[i];
        }
    }
    return NULL;
}

struct hf_status jobs_release_children(struct hf_ctx *ctx, struct db_tx *tx, const char *const *ids,
                                       size_t len)
{
    return db_exec(ctx, tx, sql_jobs_children_release, DB_ARGS(DB_LIST(ids, len)), NULL);
}

static struct hf_status end_row(struct hf_ctx *ctx, struct db_tx *tx, const struct jobs_job *job,
                                const struct jobs_verdict *verdict)
{
    int64_t affected = 0;

    HF_TRY(db_exec(ctx, tx, sql_jobs_end,
                   DB_ARGS(DB_UUID(job->id), DB_INT(job->fence.epoch), DB_INT(job->fence.n),
                           DB_TEXT(jobs_state_text(verdict->state)), DB_INT(verdict->error.code),
                           DB_TEXT(jobs_clean(ctx->arena, verdict->error.reason, 100)),
                           DB_TEXT(jobs_clean(ctx->arena, verdict->error.message, 4000)),
                           DB_TEXT(jobs_result_text(ctx->arena, verdict->result))),
                   &affected));
    return affected == 1 ? hf_success() : jobs_fenced(ctx->arena, job->id);
}

static struct hf_status call_hook(struct hf_ctx *ctx, struct db_tx *tx, struct jobs *jobs,
                                  const struct jobs_job *job, const struct jobs_verdict *verdict)
{
    const struct jobs_kind *kind = jobs_kind_of(jobs, job->kind);
    struct jobs_job ended = *job;

    if (kind == NULL || kind->end == NULL) {
        return hf_success();
    }
    ended.state = verdict->state;
    ended.error = verdict->error;
    ended.result = verdict->result == NULL ? job->result : verdict->result;
    ended.end_us = hf_now_us();
    return kind->end(ctx, tx, &ended, jobs->options.app);
}

struct ids {
    HF_VEC(const char *) list;
};

static struct hf_status add_children(struct hf_ctx *ctx, struct db_tx *tx, const char *parent_id,
                                     struct ids *ids)
{
    const struct db_rows *rows = NULL;

    HF_TRY(db_query(ctx, tx, sql_jobs_children_waiting, DB_ARGS(DB_UUID(parent_id)), &rows));
    for (size_t i = 0; i < db_len(rows); i++) {
        *HF_VEC_ADD(ctx->arena, &ids->list) = db_text(rows, i, 0);
    }
    return hf_success();
}

/* Fail all that waited for a job that did not succeed, level by level. */
static struct hf_status fail_descendants(struct hf_ctx *ctx, struct db_tx *tx, struct jobs *jobs,
                                         const char *id)
{
    struct ids ids = {0};

    HF_TRY(add_children(ctx, tx, id, &ids));
    for (size_t i = 0; i < ids.list.len; i++) {
        struct jobs_job child;
        HF_TRY(jobs_lock(ctx, tx, ids.list.items[i], &child));
        if (child.state != JOBS_WAITING) {
            continue; /* reached by two ways */
        }
        struct jobs_verdict verdict = {
            .move = JOBS_MOVE_END,
            .state = JOBS_FAILED,
            .error = {HF_FAILED_PRECONDITION, "PARENT_FAILED",
                      hf_printf(ctx->arena, "job %s, which had to succeed first, did not", id)},
        };
        HF_TRY(end_row(ctx, tx, &child, &verdict));
        HF_TRY(call_hook(ctx, tx, jobs, &child, &verdict));
        HF_TRY(add_children(ctx, tx, child.id, &ids));
    }
    return hf_success();
}

/* ret_is_cancelled: cancellation was asked for meanwhile. Put back it would be claimed by nobody.
 */
static struct hf_status move_back(struct hf_ctx *ctx, struct db_tx *tx, const struct jobs_job *job,
                                  const struct jobs_verdict *verdict, const char *dependency,
                                  bool *ret_is_cancelled)
{
    int64_t affected = 0;
    struct jobs_job now;
    int64_t run_at_us =
        verdict->delay_ms == 0 ? 0 : hf_now_us() + (int64_t)verdict->delay_ms * 1000;

    HF_TRY(db_exec(ctx, tx, sql_jobs_back,
                   DB_ARGS(DB_UUID(job->id), DB_INT(job->fence.epoch), DB_INT(job->fence.n),
                           DB_TIME(run_at_us), DB_INT(verdict->is_free ? 1 : 0),
                           DB_BOOL(verdict->is_observe), DB_INT(verdict->error.code),
                           DB_TEXT(jobs_clean(ctx->arena, verdict->error.reason, 100)),
                           DB_TEXT(jobs_clean(ctx->arena, verdict->error.message, 4000)),
                           DB_TEXT(dependency == NULL ? "" : dependency)),
                   &affected));
    *ret_is_cancelled = false;
    if (affected == 0) {
        struct hf_status status = jobs_lock(ctx, tx, job->id, &now);
        if (status.code == HF_NOT_FOUND) {
            return jobs_fenced(ctx->arena, job->id);
        }
        HF_TRY(status);
        *ret_is_cancelled = now.state == JOBS_RUNNING && now.is_cancel_requested &&
                            now.fence.epoch == job->fence.epoch && now.fence.n == job->fence.n;
        return *ret_is_cancelled ? hf_success() : jobs_fenced(ctx->arena, job->id);
    }
    return db_exec(ctx, tx, sql_jobs_ring, DB_ARGS(DB_UUID(job->id)), NULL);
}

struct hf_status jobs_move(struct hf_ctx *ctx, struct db_tx *tx, struct jobs *jobs,
                           const struct jobs_job *job, const struct jobs_verdict *verdict,
                           const char *dependency)
{
    static const struct jobs_verdict cancelled = {
        .move = JOBS_MOVE_END,
        .state = JOBS_CANCELLED,
        .error = {HF_CANCELLED, "CANCELLED", "cancelled"},
    };

    HF_CHECK(verdict->move != JOBS_MOVE_NONE);
    if (verdict->move == JOBS_MOVE_BACK) {
        bool is_cancelled = false;
        HF_TRY(move_back(ctx, tx, job, verdict, dependency, &is_cancelled));
        if (!is_cancelled) {
            return hf_success();
        }
        verdict = &cancelled;
    }
    HF_TRY(end_row(ctx, tx, job, verdict));
    HF_TRY(call_hook(ctx, tx, jobs, job, verdict));
    if (verdict->state == JOBS_SUCCEEDED) {
        return jobs_release_children(ctx, tx, &job->id, 1);
    }
    return fail_descendants(ctx, tx, jobs, job->id);
}
