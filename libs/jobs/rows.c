/* Jobs as rows: decoding, copies, and the two refusals that all files share. */
#include <limits.h>
#include <string.h>

#include "base/check.h"
#include "jobs/internal.h"
#include "jobs/migrations_sql.h"

static const char *const state_texts[JOBS_STATES] = {
    [JOBS_WAITING] = "waiting",
    [JOBS_PENDING] = "pending",
    [JOBS_RUNNING] = "running",
    [JOBS_SUCCEEDED] = "succeeded",
    [JOBS_FAILED] = "failed",
    [JOBS_CANCELLED] = "cancelled",
    [JOBS_OUTCOME_UNKNOWN] = "outcome_unknown",
};

static const char *const replay_texts[] = {
    [JOBS_SAFE] = "safe",
    [JOBS_OBSERVE_FIRST] = "observe_first",
    [JOBS_NEVER] = "never",
};

struct db_schema jobs_schema(const char *schema)
{
    return (struct db_schema){schema, "jobs", jobs_migrations, JOBS_MIGRATIONS_LEN};
}

const char *jobs_state_text(enum jobs_state state)
{
    HF_CHECK(state < JOBS_STATES);
    return state_texts[state];
}

const char *jobs_replay_text(enum jobs_replay replay)
{
    HF_CHECK(replay < HF_LEN(replay_texts));
    return replay_texts[replay];
}

static int index_of(const char *const *texts, size_t len, const char *text)
{
    for (size_t i = 0; i < len; i++) {
        if (hf_text_equal(texts[i], text)) {
            return (int)i;
        }
    }
    return -1;
}

int jobs_state_parse(const char *text)
{
    return index_of(state_texts, JOBS_STATES, text);
}

bool jobs_is_ended(enum jobs_state state)
{
    return state == JOBS_SUCCEEDED || state == JOBS_FAILED || state == JOBS_CANCELLED ||
           state == JOBS_OUTCOME_UNKNOWN;
}

enum column {
    C_ID,
    C_TENANT,
    C_KIND,
    C_TARGET,
    C_ARGS,
    C_PRINCIPAL,
    C_RESULT,
    C_PHASE,
    C_DONE,
    C_TOTAL,
    C_ERROR_CODE,
    C_ERROR_REASON,
    C_ERROR_MESSAGE,
    C_STATE,
    C_REPLAY,
    C_PRIORITY,
    C_ATTEMPT,
    C_MAX_ATTEMPTS,
    C_CANCEL,
    C_OBSERVE,
    C_EXTERNAL,
    C_EPOCH,
    C_FENCE,
    C_REVISION,
    C_CREATE,
    C_START,
    C_END,
    C_RUN_AT,
    C_DEADLINE,
    C_DEPENDENCY
};

/* What a CHECK forbids can stand in a row all the same (it was written before there was one, or
 * somebody dropped it): then the job shows as damaged, ended with an outcome that nobody knows. */
static void mark_damaged(struct jobs_job *job)
{
    job->is_damaged = true;
    job->state = JOBS_OUTCOME_UNKNOWN;
    job->replay = JOBS_NEVER;
    job->error = (struct jobs_error){HF_DATA_LOSS, "DAMAGED_ROW",
                                     "the row of this job is damaged: it holds a value that no "
                                     "release writes"};
}

static const char *text_of(const struct db_rows *rows, size_t row, size_t column)
{
    const char *text = db_text(rows, row, column);
    return text == NULL ? "" : text;
}

static int64_t size_of(const struct db_rows *rows, size_t row, size_t column)
{
    int64_t bytes = db_int(rows, row, column);
    return bytes < 0 ? 0 : bytes;
}

static int small_of(const struct db_rows *rows, size_t row, size_t column)
{
    int64_t value = db_int(rows, row, column);
    return value < 0 ? 0 : value > INT_MAX ? INT_MAX : (int)value;
}

/* infinity is no time that could be told. */
static int64_t time_of(const struct db_rows *rows, size_t row, size_t column)
{
    int64_t time_us = db_time(rows, row, column);
    return time_us > HF_TIME_MAX_US ? HF_TIME_MAX_US : time_us;
}

static void decode_facts(const struct db_rows *rows, size_t row, struct jobs_job *job)
{
    job->priority = small_of(rows, row, C_PRIORITY);
    job->attempt = small_of(rows, row, C_ATTEMPT);
    job->max_attempts = small_of(rows, row, C_MAX_ATTEMPTS);
    job->is_cancel_requested = db_bool(rows, row, C_CANCEL);
    job->is_observe = db_bool(rows, row, C_OBSERVE);
    job->is_external = db_int(rows, row, C_EXTERNAL) > 0;
    job->fence = (struct jobs_fence){db_int(rows, row, C_EPOCH), db_int(rows, row, C_FENCE)};
    job->revision = db_int(rows, row, C_REVISION);
    job->create_us = time_of(rows, row, C_CREATE);
    job->start_us = time_of(rows, row, C_START);
    job->end_us = time_of(rows, row, C_END);
    job->run_at_us = time_of(rows, row, C_RUN_AT);
    job->deadline_us = time_of(rows, row, C_DEADLINE);
}

static void decode_enums(const struct db_rows *rows, size_t row, struct jobs_job *job)
{
    int state = jobs_state_parse(db_text(rows, row, C_STATE));
    int replay = index_of(replay_texts, HF_LEN(replay_texts), db_text(rows, row, C_REPLAY));
    int64_t code = db_int(rows, row, C_ERROR_CODE);

    if (state < 0 || replay < 0 || code < HF_OK || code > HF_UNAUTHENTICATED) {
        mark_damaged(job);
        return;
    }
    job->state = (enum jobs_state)state;
    job->replay = (enum jobs_replay)replay;
    job->error = (struct jobs_error){(enum hf_code)code, text_of(rows, row, C_ERROR_REASON),
                                     text_of(rows, row, C_ERROR_MESSAGE)};
}

void jobs_decode(const struct db_rows *rows, size_t row, struct jobs_job *ret_job)
{
    *ret_job = (struct jobs_job){
        .id = text_of(rows, row, C_ID),
        .tenant_id = text_of(rows, row, C_TENANT),
        .kind = text_of(rows, row, C_KIND),
        .target = text_of(rows, row, C_TARGET),
        .args = text_of(rows, row, C_ARGS),
        .principal = text_of(rows, row, C_PRINCIPAL),
        .result = text_of(rows, row, C_RESULT),
        .phase = text_of(rows, row, C_PHASE),
        .done_bytes = size_of(rows, row, C_DONE),
        .total_bytes = size_of(rows, row, C_TOTAL),
    };
    decode_facts(rows, row, ret_job);
    decode_enums(rows, row, ret_job);
}

const char *jobs_dependency(const struct db_rows *rows, size_t row)
{
    return text_of(rows, row, C_DEPENDENCY);
}

void jobs_copy(struct hf_arena *arena, const struct jobs_job *job, struct jobs_job *ret_job)
{
    *ret_job = *job;
    ret_job->id = hf_strdup(arena, job->id);
    ret_job->tenant_id = hf_strdup(arena, job->tenant_id);
    ret_job->kind = hf_strdup(arena, job->kind);
    ret_job->target = hf_strdup(arena, job->target);
    ret_job->args = hf_strdup(arena, job->args);
    ret_job->principal = hf_strdup(arena, job->principal);
    ret_job->result = hf_strdup(arena, job->result);
    ret_job->phase = hf_strdup(arena, job->phase);
    ret_job->error.reason = hf_strdup(arena, job->error.reason);
    ret_job->error.message = hf_strdup(arena, job->error.message);
}

struct hf_status jobs_not_found(struct hf_arena *arena, const char *id)
{
    const char *const metadata[] = {"job", id, NULL};
    return hf_fail_info(arena, HF_NOT_FOUND, "JOB_NOT_FOUND", metadata, "job %s not found", id);
}

struct hf_status jobs_fenced(struct hf_arena *arena, const char *id)
{
    const char *const metadata[] = {"job", id, NULL};
    return hf_fail_info(arena, HF_ABORTED, "FENCED", metadata,
                        "job %s has ended or belongs to another worker", id);
}

struct hf_status jobs_lock(struct hf_ctx *ctx, struct db_tx *tx, const char *id,
                           struct jobs_job *ret_job)
{
    const struct db_rows *rows = NULL;
    struct hf_uuid uuid;

    if (hf_uuid_parse(id, &uuid) != 0) {
        return jobs_not_found(ctx->arena, id);
    }
    HF_TRY(db_query(ctx, tx, sql_jobs_lock, DB_ARGS(DB_UUID(id)), &rows));
    if (db_len(rows) == 0) {
        return jobs_not_found(ctx->arena, id);
    }
    jobs_decode(rows, 0, ret_job);
    return hf_success();
}
