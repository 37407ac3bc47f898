/* What a running job may write: its end together with its effects, its progress, a deferral. */
#include <string.h>

#include "base/check.h"
#include "jobs/internal.h"

#define PROGRESS_US HF_US_PER_S
#define PROGRESS_MS 3000

static bool is_affected(int64_t affected, const struct jobs_run *run)
{
    if (affected == 0) {
        jobs_run_lose(run->state);
    }
    return affected != 0;
}

struct hf_status jobs_finish_begin(struct hf_ctx *ctx, struct db_tx *tx, struct jobs_run *run)
{
    int64_t affected = 0;

    HF_TRY(db_exec(ctx, tx, sql_jobs_finish,
                   DB_ARGS(DB_UUID(run->state->id), DB_INT(run->state->fence.epoch),
                           DB_INT(run->state->fence.n)),
                   &affected));
    return is_affected(affected, run) ? hf_success() : jobs_fenced(ctx->arena, run->state->id);
}

/* The commit's answer was lost: the row says whether it took effect. */
static struct hf_status read_back(struct hf_ctx *ctx, const struct jobs_run *run)
{
    HF_CLEANUP(db_tx_abort) struct db_tx *tx = NULL;
    const struct jobs_run_state *state = run->state;
    struct jobs_job job;

    HF_TRY(db_tx_begin(ctx, state->jobs->options.app_db, state->tenant, DB_READ_COMMITTED, &tx));
    HF_TRY(jobs_get(ctx, tx, state->id, &job));
    if (job.state == JOBS_SUCCEEDED && job.fence.epoch == state->fence.epoch &&
        job.fence.n == state->fence.n + 1) {
        return hf_success();
    }
    return hf_fail(ctx->arena, HF_ABORTED, "the commit of job %s did not take effect", state->id);
}

struct hf_status jobs_finish_commit(struct hf_ctx *ctx, struct db_tx **tx, struct jobs_run *run,
                                    const char *result)
{
    const char *id = run->state->id;

    if (result != NULL) {
        HF_TRY(db_exec(ctx, *tx, sql_jobs_result,
                       DB_ARGS(DB_UUID(id), DB_TEXT(jobs_result_text(ctx->arena, result))), NULL));
    }
    HF_TRY(jobs_release_children(ctx, *tx, &id, 1));
    struct hf_status status = db_tx_commit(ctx, tx);
    if (status.code == HF_UNKNOWN) {
        status = read_back(ctx, run);
    }
    HF_TRY(status);
    run->state->is_finished = true;
    jobs_wake(run->state->jobs);
    return hf_success();
}

struct hf_status jobs_fence_check(struct hf_ctx *ctx, struct db_tx *tx, const struct jobs_run *run)
{
    const struct db_rows *rows = NULL;

    HF_TRY(db_query(ctx, tx, sql_jobs_fence_check,
                    DB_ARGS(DB_UUID(run->state->id), DB_INT(run->state->fence.epoch),
                            DB_INT(run->state->fence.n)),
                    &rows));
    return is_affected((int64_t)db_len(rows), run) ? hf_success()
                                                   : jobs_fenced(ctx->arena, run->state->id);
}

static struct hf_status tell(struct hf_ctx *ctx, const struct jobs_run *run, const char *phase,
                             int64_t done_bytes, int64_t total_bytes)
{
    HF_CLEANUP(db_tx_abort) struct db_tx *tx = NULL;
    const struct jobs_run_state *state = run->state;
    int64_t affected = 0;

    HF_TRY(db_tx_begin(ctx, state->jobs->options.app_db, state->tenant, DB_READ_COMMITTED, &tx));
    HF_TRY(db_exec(
        ctx, tx, sql_jobs_progress,
        DB_ARGS(DB_UUID(state->id), DB_INT(state->fence.epoch), DB_INT(state->fence.n),
                DB_TEXT(phase == NULL ? NULL : jobs_clean(ctx->arena, phase, JOBS_PHASE_MAX)),
                DB_INT(jobs_bytes(done_bytes)), DB_INT(jobs_bytes(total_bytes))),
        &affected));
    HF_TRY(db_tx_commit(ctx, &tx));
    return is_affected(affected, run) ? hf_success() : jobs_fenced(ctx->arena, state->id);
}

/* Kept whole in the run: the caller's text and arena may be gone at the next call. */
static void remember_phase(struct jobs_run_state *state, const char *phase)
{
    if (phase != NULL) {
        size_t len = strnlen(phase, JOBS_PHASE_MAX);
        memcpy(state->told_phase, phase, len);
        state->told_phase[len] = '\0';
    }
}

struct hf_status jobs_progress(struct hf_ctx *ctx, struct jobs_run *run, const char *phase,
                               int64_t done_bytes, int64_t total_bytes)
{
    HF_CLEANUP(hf_arena_free) struct hf_arena *arena = NULL;
    struct jobs_run_state *state = run->state;
    int64_t now_us = hf_mono_us();
    bool is_new_phase = phase != NULL && strncmp(phase, state->told_phase, JOBS_PHASE_MAX) != 0;

    HF_TRY(hf_ctx_check(ctx));
    if (atomic_load(&state->is_lost)) {
        return jobs_fenced(ctx->arena, state->id);
    }
    if (!is_new_phase && state->told_us != 0 && now_us - state->told_us < PROGRESS_US) {
        return hf_success();
    }
    state->told_us = now_us;
    /* An arena of its own: a long run tells its progress thousands of times. */
    arena = hf_arena_new((size_t)1024 * 1024);
    struct hf_ctx step = jobs_step_ctx(arena, ctx->stop, PROGRESS_MS);
    struct hf_status status = tell(&step, run, phase, done_bytes, total_bytes);
    if (jobs_is_fenced(status)) {
        return jobs_fenced(ctx->arena, state->id);
    }
    if (hf_is_ok(status)) {
        remember_phase(state, phase);
        jobs_wake(state->jobs);
    }
    return hf_ctx_check(ctx);
}

void jobs_defer(struct jobs_run *run, const char *dependency, int delay_ms)
{
    struct jobs_run_state *state = run->state;

    state->is_deferred = true;
    state->defer_ms = delay_ms < 100 ? 100 : delay_ms;
    state->dependency = jobs_clean(state->arena, dependency, 128);
}
