/* The reaper: workers that died, external clients that went quiet, jobs past their deadline, and
 * strays (claimed by us, run by nobody). Death is an unchanged counter over this process's own boot
 * clock, or a proof by the kernel; wall clocks of different machines are never compared. Dispatch
 * only finds; each judgement is a transaction of the job's tenant. */
#include <string.h>

#include "base/log.h"
#include "jobs/internal.h"

#define OBSERVED_MAX 2048
#define STRAY_US (5 * HF_US_PER_S)

struct observed {
    char key[JOBS_UUID_SIZE];
    int64_t value;
    int64_t since_us;
    uint64_t pass;
};

struct jobs_reaper {
    struct observed seen[OBSERVED_MAX];
    size_t len;
    uint64_t pass;
};

struct jobs_reaper *jobs_reaper_new(void)
{
    return hf_heap_alloc(sizeof(struct jobs_reaper));
}

void jobs_reaper_free(struct jobs_reaper *reaper)
{
    hf_heap_free(reaper);
}

static struct observed *find(struct jobs_reaper *reaper, const char *key)
{
    for (size_t i = 0; i < reaper->len; i++) {
        if (strcmp(reaper->seen[i].key, key) == 0) {
            return &reaper->seen[i];
        }
    }
    return NULL;
}

/* For how long the key has had this value; 0 when it is new or has changed. */
static int64_t unchanged_us(struct jobs_reaper *reaper, const char *key, int64_t value)
{
    struct observed *entry = find(reaper, key);
    int64_t now_us = hf_boot_us();

    if (entry == NULL && reaper->len < OBSERVED_MAX) {
        entry = &reaper->seen[reaper->len++];
        *entry = (struct observed){.value = value, .since_us = now_us};
        memcpy(entry->key, key, strnlen(key, JOBS_UUID_SIZE - 1));
    }
    if (entry == NULL) {
        return 0;
    }
    if (entry->value != value) {
        entry->value = value;
        entry->since_us = now_us;
    }
    entry->pass = reaper->pass;
    return now_us - entry->since_us;
}

static void forget_unseen(struct jobs_reaper *reaper)
{
    size_t kept = 0;

    for (size_t i = 0; i < reaper->len; i++) {
        if (reaper->seen[i].pass == reaper->pass) {
            reaper->seen[kept++] = reaper->seen[i];
        }
    }
    reaper->len = kept;
}

static struct hf_status find_rows(struct hf_ctx *ctx, struct jobs *jobs, const char *sql,
                                  const char *worker_id, const struct db_rows **ret_rows)
{
    HF_CLEANUP(db_tx_abort) struct db_tx *tx = NULL;
    const struct db_param param = DB_UUID(worker_id);

    HF_TRY(db_system_begin(ctx, jobs->options.dispatch_db, &tx));
    HF_TRY(db_query(ctx, tx, sql, &param, worker_id == NULL ? 0 : 1, ret_rows));
    return db_tx_commit(ctx, &tx);
}

static struct hf_status declare_dead(struct hf_ctx *ctx, struct jobs *jobs, const char *id,
                                     int64_t beat)
{
    HF_CLEANUP(db_tx_abort) struct db_tx *tx = NULL;

    HF_TRY(db_system_begin(ctx, jobs->options.dispatch_db, &tx));
    HF_TRY(db_exec(ctx, tx, sql_jobs_worker_dead, DB_ARGS(DB_UUID(id), DB_INT(beat)), NULL));
    HF_TRY(db_tx_commit(ctx, &tx));
    hf_warn(ctx, HF_EVENT("jobs.worker_dead"), HF_TEXT("worker", id),
            HF_TEXT("proof", beat < 0 ? "process is gone" : "no beat"));
    return hf_success();
}

static void copy_text(char *ret_text, size_t size, const char *text)
{
    size_t len = strnlen(text, size - 1);

    memcpy(ret_text, text, len);
    ret_text[len] = '\0';
}

static void host_of(const struct db_rows *rows, size_t row, struct jobs_host *ret_host)
{
    copy_text(ret_host->host, sizeof(ret_host->host), db_text(rows, row, 1));
    copy_text(ret_host->boot_id, sizeof(ret_host->boot_id), db_text(rows, row, 3));
    copy_text(ret_host->pid_namespace, sizeof(ret_host->pid_namespace), db_text(rows, row, 4));
    ret_host->pid = db_int(rows, row, 5);
    ret_host->start_ticks = db_int(rows, row, 6);
}

static struct hf_status reap_workers(struct hf_ctx *ctx, struct jobs *jobs,
                                     struct jobs_reaper *reaper)
{
    const struct db_rows *rows = NULL;
    char me[JOBS_UUID_SIZE];

    hf_lock_take(&jobs->runs_lock);
    memcpy(me, jobs->worker_id, sizeof(me));
    hf_lock_release(&jobs->runs_lock);
    HF_TRY(find_rows(ctx, jobs, sql_jobs_worker_list, NULL, &rows));
    for (size_t i = 0; i < db_len(rows); i++) {
        const char *id = db_text(rows, i, 0);
        int64_t beat = db_int(rows, i, 7);
        struct jobs_host other;
        if (strcmp(id, me) == 0) {
            continue;
        }
        host_of(rows, i, &other);
        bool is_same_name = strcmp(db_text(rows, i, 2), jobs->options.name) == 0;
        if (jobs_host_is_gone(&jobs->host, &other, is_same_name)) {
            HF_TRY(declare_dead(ctx, jobs, id, -1));
        } else if (unchanged_us(reaper, id, beat) > (int64_t)jobs->options.lease_ms * 1000) {
            HF_TRY(declare_dead(ctx, jobs, id, beat));
        }
    }
    return hf_success();
}

enum cause { CAUSE_DEAD, CAUSE_OVERDUE };

/* Columns of a finding: tenant, id, epoch, fence. The row is looked at again under its lock. */
static struct hf_status judge_row(struct hf_ctx *ctx, struct jobs *jobs, enum cause cause,
                                  const struct db_rows *found, size_t row)
{
    HF_CLEANUP(db_tx_abort) struct db_tx *tx = NULL;
    struct jobs_job job;
    struct jobs_verdict verdict;

    HF_TRY(db_tx_begin(ctx, jobs->options.app_db, db_text(found, row, 0), DB_READ_COMMITTED, &tx));
    struct hf_status status = jobs_lock(ctx, tx, db_text(found, row, 1), &job);
    if (status.code == HF_NOT_FOUND) {
        return hf_success();
    }
    HF_TRY(status);
    bool is_same = job.fence.epoch == db_int(found, row, 2) && job.fence.n == db_int(found, row, 3);
    if (!is_same || (job.state == JOBS_RUNNING) != (cause == CAUSE_DEAD) ||
        jobs_is_ended(job.state)) {
        return hf_success();
    }
    if (cause == CAUSE_DEAD) {
        verdict = jobs_judge_dead(&job);
    } else {
        verdict = (struct jobs_verdict){
            .move = JOBS_MOVE_END,
            .state = JOBS_FAILED,
            .error = {HF_DEADLINE_EXCEEDED, "DEADLINE", "the job's deadline has passed"}};
    }
    HF_TRY(jobs_move(ctx, tx, jobs, &job, &verdict, NULL));
    HF_TRY(db_tx_commit(ctx, &tx));
    hf_warn(ctx, HF_EVENT("jobs.reaped"), HF_TEXT("job", job.id), HF_TEXT("kind", job.kind),
            HF_TEXT("state", jobs_state_text(verdict.state)));
    jobs_wake(jobs);
    return hf_success();
}

/* Memory of its own: a job that needs too much takes none from those behind it. */
static struct hf_status judge(struct hf_ctx *ctx, struct jobs *jobs, enum cause cause,
                              const struct db_rows *found, size_t row)
{
    HF_CLEANUP(hf_arena_free) struct hf_arena *arena = hf_arena_new(JOBS_STEP_ARENA);
    struct hf_ctx own = *ctx;

    own.arena = arena;
    return hf_status_copy(ctx->arena, judge_row(&own, jobs, cause, found, row));
}

/* A job that cannot be judged, because its end hook fails, must not keep the others waiting. */
static struct hf_status judge_all(struct hf_ctx *ctx, struct jobs *jobs, enum cause cause,
                                  const char *sql)
{
    const struct db_rows *rows = NULL;
    struct hf_status first = hf_success();

    HF_TRY(find_rows(ctx, jobs, sql, NULL, &rows));
    for (size_t i = 0; i < db_len(rows) && !jobs_is_common(first); i++) {
        jobs_keep_first(&first, judge(ctx, jobs, cause, rows, i));
    }
    return first;
}

static struct hf_status judge_externals(struct hf_ctx *ctx, struct jobs *jobs,
                                        struct jobs_reaper *reaper)
{
    const struct db_rows *rows = NULL;
    struct hf_status first = hf_success();

    HF_TRY(find_rows(ctx, jobs, sql_jobs_externals, NULL, &rows));
    for (size_t i = 0; i < db_len(rows) && !jobs_is_common(first); i++) {
        int64_t quiet_us = unchanged_us(reaper, db_text(rows, i, 1), db_int(rows, i, 4));
        if (quiet_us > db_int(rows, i, 5) * HF_US_PER_S) {
            jobs_keep_first(&first, judge(ctx, jobs, CAUSE_DEAD, rows, i));
        }
    }
    return first;
}

static struct hf_status judge_strays(struct hf_ctx *ctx, struct jobs *jobs,
                                     struct jobs_reaper *reaper)
{
    const struct db_rows *rows = NULL;
    struct hf_status first = hf_success();
    char me[JOBS_UUID_SIZE];

    hf_lock_take(&jobs->runs_lock);
    memcpy(me, jobs->worker_id, sizeof(me));
    hf_lock_release(&jobs->runs_lock);
    HF_TRY(find_rows(ctx, jobs, sql_jobs_mine, me, &rows));
    for (size_t i = 0; i < db_len(rows) && !jobs_is_common(first); i++) {
        const char *id = db_text(rows, i, 1);
        int64_t fence = db_int(rows, i, 3);
        if (!jobs_runs_has(jobs, id, fence) && unchanged_us(reaper, id, fence) > STRAY_US) {
            jobs_keep_first(&first, judge(ctx, jobs, CAUSE_DEAD, rows, i));
        }
    }
    return first;
}

struct hf_status jobs_reaper_pass(struct hf_ctx *ctx, struct jobs *jobs, struct jobs_reaper *reaper)
{
    reaper->pass++;
    struct hf_status first = reap_workers(ctx, jobs, reaper);
    jobs_keep_first(&first, judge_all(ctx, jobs, CAUSE_DEAD, sql_jobs_orphans));
    jobs_keep_first(&first, judge_all(ctx, jobs, CAUSE_OVERDUE, sql_jobs_overdue));
    jobs_keep_first(&first, judge_externals(ctx, jobs, reaper));
    jobs_keep_first(&first, judge_strays(ctx, jobs, reaper));
    if (!jobs_is_common(first)) { /* else what was not looked at is not gone */
        forget_unseen(reaper);
    }
    return first;
}
