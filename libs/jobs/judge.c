/* What becomes of a job: pure decisions. */
#include "jobs/judge.h"

#include "base/str.h"

#define BACKOFF_MAX_MS (5 * 60 * 1000)

bool jobs_is_retryable(enum hf_code code)
{
    return code == HF_UNAVAILABLE || code == HF_ABORTED || code == HF_RESOURCE_EXHAUSTED ||
           code == HF_DEADLINE_EXCEEDED;
}

bool jobs_is_fenced(struct hf_status status)
{
    return status.code == HF_ABORTED && status.info != NULL &&
           hf_text_equal(status.info->reason, "FENCED");
}

int jobs_backoff_ms(int base_ms, int attempt, uint32_t dice)
{
    int64_t pause_ms = base_ms;

    for (int i = 1; i < attempt && pause_ms < BACKOFF_MAX_MS; i++) {
        pause_ms *= 2;
    }
    pause_ms = pause_ms > BACKOFF_MAX_MS ? BACKOFF_MAX_MS : pause_ms;
    return (int)(pause_ms / 2 + (int64_t)(dice % (uint32_t)(pause_ms + 1)));
}

static struct jobs_error error_of(struct hf_status status)
{
    return (struct jobs_error){
        .code = status.code,
        .reason = status.info == NULL || status.info->reason == NULL ? "" : status.info->reason,
        .message = status.message == NULL ? "" : status.message,
    };
}

static struct jobs_verdict end(enum jobs_state state, struct jobs_error error)
{
    return (struct jobs_verdict){.move = JOBS_MOVE_END, .state = state, .error = error};
}

static struct jobs_verdict back(struct jobs_error error, int delay_ms, bool is_free)
{
    return (struct jobs_verdict){.move = JOBS_MOVE_BACK,
                                 .state = JOBS_PENDING,
                                 .error = error,
                                 .delay_ms = delay_ms,
                                 .is_free = is_free};
}

struct jobs_verdict jobs_judge_run(const struct jobs_job *job, struct hf_status status,
                                   const struct jobs_signs *signs, int retry_base_ms, uint32_t dice)
{
    const struct jobs_error none = {HF_OK, "", ""};
    struct jobs_verdict verdict;

    if (signs->is_lost || jobs_is_fenced(status)) {
        return (struct jobs_verdict){.move = JOBS_MOVE_NONE};
    }
    if (status.code == HF_OK) {
        return end(JOBS_SUCCEEDED, none);
    }
    if (signs->is_cancel_requested) {
        return end(JOBS_CANCELLED, (struct jobs_error){HF_CANCELLED, "CANCELLED", "cancelled"});
    }
    if (signs->is_overdue) {
        return end(JOBS_FAILED, (struct jobs_error){HF_DEADLINE_EXCEEDED, "DEADLINE",
                                                    "the job's deadline has passed"});
    }
    if (signs->is_deferred) {
        verdict = back(error_of(status), jobs_backoff_ms(signs->defer_ms, 1, dice), true);
    } else if (status.code == HF_CANCELLED && signs->is_stopping) {
        verdict = back(job->error, 0, true);
    } else if (jobs_is_retryable(status.code) && job->attempt < job->max_attempts) {
        verdict = back(error_of(status), jobs_backoff_ms(retry_base_ms, job->attempt, dice), false);
    } else {
        return end(JOBS_FAILED, error_of(status));
    }
    verdict.is_observe = job->is_observe || job->replay != JOBS_SAFE;
    return verdict;
}

struct jobs_verdict jobs_judge_dead(const struct jobs_job *job)
{
    const struct jobs_error lost = {HF_UNAVAILABLE, "WORKER_LOST",
                                    "the worker died while it ran the job"};
    const struct jobs_error expired = {HF_UNAVAILABLE, "LEASE_EXPIRED",
                                       "the client that carried it out has gone quiet"};
    struct jobs_verdict verdict = back(lost, 0, false);

    if (job->is_external) {
        return end(JOBS_FAILED, expired);
    }
    if (job->replay == JOBS_NEVER) {
        return end(JOBS_OUTCOME_UNKNOWN, lost);
    }
    if (job->is_cancel_requested) {
        return end(JOBS_CANCELLED, (struct jobs_error){HF_CANCELLED, "CANCELLED", "cancelled"});
    }
    if (job->attempt >= job->max_attempts) {
        return end(JOBS_FAILED, lost);
    }
    verdict.is_observe = job->replay == JOBS_OBSERVE_FIRST;
    return verdict;
}
