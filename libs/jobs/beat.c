/* Signs of life, and what they bring back: cancel flags, lost fences, a risen epoch. The worker
 * judges itself first: it drops everything at two thirds of the lease, before another may. */
#include <string.h>

#include "base/log.h"
#include "jobs/internal.h"

#define FLAGS_MS 500
#define FLAGS_SPACING_MS 50

struct beater {
    struct jobs *jobs;
    int64_t next_beat_us;
    bool was_down;
    struct jobs_trouble trouble;
};

static struct hf_status insert_worker(struct hf_ctx *ctx, struct jobs *jobs, const char *id)
{
    HF_CLEANUP(db_tx_abort) struct db_tx *tx = NULL;
    const struct jobs_host *host = &jobs->host;

    HF_TRY(db_system_begin(ctx, jobs->options.dispatch_db, &tx));
    HF_TRY(db_exec(ctx, tx, sql_jobs_worker_insert,
                   DB_ARGS(DB_UUID(id), DB_TEXT(host->host), DB_TEXT(jobs->options.name),
                           DB_TEXT(host->boot_id), DB_TEXT(host->pid_namespace), DB_INT(host->pid),
                           DB_INT(host->start_ticks)),
                   NULL));
    return db_tx_commit(ctx, &tx);
}

struct hf_status jobs_register(struct hf_ctx *ctx, struct jobs *jobs)
{
    struct hf_uuid uuid = hf_uuid_new(hf_now_us());
    char id[JOBS_UUID_SIZE];
    int64_t now_us = hf_boot_us();

    hf_uuid_text(&uuid, id);
    HF_TRY(insert_worker(ctx, jobs, id));
    hf_lock_take(&jobs->runs_lock);
    memcpy(jobs->worker_id, id, sizeof(id));
    jobs->beat_ok_us = now_us;
    hf_lock_release(&jobs->runs_lock);
    return hf_success();
}

struct hf_status jobs_deregister(struct hf_ctx *ctx, struct jobs *jobs)
{
    HF_CLEANUP(db_tx_abort) struct db_tx *tx = NULL;

    HF_TRY(db_system_begin(ctx, jobs->options.dispatch_db, &tx));
    HF_TRY(db_exec(ctx, tx, sql_jobs_worker_dead, DB_ARGS(DB_UUID(jobs->worker_id), DB_INT(-1)),
                   NULL));
    return db_tx_commit(ctx, &tx);
}

static void adopt_epoch(struct hf_ctx *ctx, struct jobs *jobs, int64_t epoch)
{
    if (atomic_exchange(&jobs->epoch, epoch) != epoch) {
        hf_warn(ctx, HF_EVENT("jobs.epoch_risen"), HF_INT("epoch", epoch));
        jobs_runs_lose_all(jobs);
        /* Ids that were handed out before it rose were not claimed. */
        atomic_store(&jobs->is_incomplete, true);
        jobs_ring(jobs->relay_fd);
    }
}

/* ret_is_known false: somebody has declared us dead. */
static struct hf_status beat_once(struct hf_ctx *ctx, struct beater *beater, bool *ret_is_known)
{
    struct jobs *jobs = beater->jobs;
    HF_CLEANUP(db_tx_abort) struct db_tx *tx = NULL;
    const struct db_rows *rows = NULL;
    int64_t start_us = hf_boot_us();

    HF_TRY(db_system_begin(ctx, jobs->options.dispatch_db, &tx));
    HF_TRY(db_query(ctx, tx, sql_jobs_worker_beat, DB_ARGS(DB_UUID(jobs->worker_id)), &rows));
    HF_TRY(db_tx_commit(ctx, &tx));
    *ret_is_known = db_len(rows) == 1;
    if (*ret_is_known) {
        adopt_epoch(ctx, jobs, db_int(rows, 0, 1));
        beater->was_down = beater->was_down || !db_bool(rows, 0, 2);
        hf_lock_take(&jobs->runs_lock);
        jobs->beat_ok_us = start_us;
        hf_lock_release(&jobs->runs_lock);
    }
    return hf_success();
}

/* After an outage the database may be another one: restored, or a promoted standby. One that came
 * back too soon to be missed is known by its timeline. */
static struct hf_status look_at_epoch(struct hf_ctx *ctx, struct beater *beater)
{
    struct jobs *jobs = beater->jobs;
    int64_t epoch = 0;

    if (!beater->was_down) {
        return hf_success();
    }
    HF_TRY(jobs_epoch_establish(ctx, jobs->options.dispatch_db, jobs->options.epoch_file, &epoch));
    adopt_epoch(ctx, jobs, epoch);
    beater->was_down = false;
    return hf_success();
}

static struct hf_status beat(struct hf_ctx *ctx, struct beater *beater)
{
    bool is_known = true;

    HF_TRY(look_at_epoch(ctx, beater));
    HF_TRY(beat_once(ctx, beater, &is_known));
    HF_TRY(look_at_epoch(ctx, beater));
    if (!is_known) {
        hf_warn(ctx, HF_EVENT("jobs.declared_dead"), HF_TEXT("worker", beater->jobs->worker_id));
        jobs_runs_lose_all(beater->jobs);
        return jobs_register(ctx, beater->jobs);
    }
    return hf_success();
}

struct listed {
    const char **tenants;
    const char **ids;
    const char **fences;
    size_t len;
};

static void list_runs(struct hf_ctx *ctx, struct jobs *jobs, struct listed *listed)
{
    hf_lock_take(&jobs->runs_lock);
    listed->tenants = HF_NEW_N(ctx->arena, const char *, jobs->running + 1);
    listed->ids = HF_NEW_N(ctx->arena, const char *, jobs->running + 1);
    listed->fences = HF_NEW_N(ctx->arena, const char *, jobs->running + 1);
    listed->len = 0;
    for (const struct jobs_run_state *run = jobs->runs; run != NULL; run = run->next) {
        listed->tenants[listed->len] = hf_strdup(ctx->arena, run->tenant);
        listed->ids[listed->len] = hf_strdup(ctx->arena, run->id);
        listed->fences[listed->len] = hf_printf(ctx->arena, "%lld", (long long)run->fence.n);
        listed->len++;
    }
    hf_lock_release(&jobs->runs_lock);
}

static struct jobs_run_state *run_of(struct jobs *jobs, const char *id, const char *fence)
{
    int64_t n = 0;

    hf_parse_i64(fence, &n);
    for (struct jobs_run_state *run = jobs->runs; run != NULL; run = run->next) {
        if (strcmp(run->id, id) == 0 && run->fence.n == n) {
            return run;
        }
    }
    return NULL;
}

/* -1: its row no longer runs under our fence; else whether it shall be cancelled. */
static int flag_of(const struct db_rows *rows, const char *id)
{
    for (size_t i = 0; i < db_len(rows); i++) {
        if (strcmp(db_text(rows, i, 0), id) == 0) {
            return db_bool(rows, i, 1) ? 1 : 0;
        }
    }
    return -1;
}

static void apply_flags(struct jobs *jobs, const struct listed *listed, const struct db_rows *rows)
{
    hf_lock_take(&jobs->runs_lock);
    for (size_t i = 0; i < listed->len; i++) {
        struct jobs_run_state *run = run_of(jobs, listed->ids[i], listed->fences[i]);
        int flag = flag_of(rows, listed->ids[i]);
        if (run != NULL && flag < 0) {
            jobs_run_lose(run);
        } else if (run != NULL && flag > 0) {
            atomic_store(&run->is_cancel_requested, true);
            atomic_store(&run->cancel.is_set, true);
        }
    }
    hf_lock_release(&jobs->runs_lock);
}

static struct hf_status read_flags(struct hf_ctx *ctx, struct jobs *jobs)
{
    HF_CLEANUP(db_tx_abort) struct db_tx *tx = NULL;
    const struct db_rows *rows = NULL;
    struct listed listed;

    list_runs(ctx, jobs, &listed);
    if (listed.len == 0) {
        return hf_success();
    }
    HF_TRY(db_system_begin(ctx, jobs->options.dispatch_db, &tx));
    HF_TRY(db_query(ctx, tx, sql_jobs_flags,
                    DB_ARGS(DB_LIST(listed.tenants, listed.len), DB_LIST(listed.ids, listed.len),
                            DB_LIST(listed.fences, listed.len)),
                    &rows));
    HF_TRY(db_tx_commit(ctx, &tx));
    apply_flags(jobs, &listed, rows);
    return hf_success();
}

static void judge_self(struct hf_ctx *ctx, struct jobs *jobs)
{
    hf_lock_take(&jobs->runs_lock);
    bool is_stale = jobs->running > 0 && hf_boot_us() - jobs->beat_ok_us >
                                             (int64_t)jobs->options.lease_ms * 1000 * 2 / 3;
    hf_lock_release(&jobs->runs_lock);
    if (is_stale) {
        hf_warn(ctx, HF_EVENT("jobs.lease_lost"), HF_TEXT("worker", jobs->worker_id));
        jobs_runs_lose_all(jobs);
    }
}

static void tick(struct beater *beater)
{
    HF_CLEANUP(hf_arena_free) struct hf_arena *arena = hf_arena_new(JOBS_STEP_ARENA);
    struct jobs *jobs = beater->jobs;
    struct hf_ctx ctx = jobs_step_ctx(arena, &jobs->stop, jobs->options.beat_ms + 1000);
    struct hf_status status = hf_success();

    if (hf_mono_us() >= beater->next_beat_us) {
        beater->next_beat_us = hf_mono_us() + (int64_t)jobs->options.beat_ms * 1000;
        status = beat(&ctx, beater);
    }
    if (hf_is_ok(status)) {
        status = read_flags(&ctx, jobs);
    }
    if (!hf_is_ok(status) && status.code != HF_CANCELLED) {
        beater->was_down = true;
    }
    jobs_trouble_note(&ctx, &beater->trouble, "jobs.beat_failed", status);
    judge_self(&ctx, jobs);
}

void jobs_beat_main(void *arg)
{
    struct beater beater = {.jobs = arg};
    struct jobs *jobs = beater.jobs;

    while (!atomic_load(&jobs->stop.is_set)) {
        tick(&beater);
        jobs_wait_ring(&jobs->stop, jobs->beat_fd, FLAGS_MS);
        HF_CLEANUP(hf_arena_free) struct hf_arena *arena = hf_arena_new(4096);
        struct hf_ctx ctx = jobs_step_ctx(arena, &jobs->stop, FLAGS_MS);
        struct hf_status ignored = hf_ctx_sleep(&ctx, FLAGS_SPACING_MS);
        (void)ignored;
    }
}
