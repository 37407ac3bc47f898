/* The hub: options, threads, and their order at the start and at the end. Threads that write
 * outcomes outlive those that run jobs, and the beat outlives them both. */
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/check.h"
#include "base/log.h"
#include "jobs/internal.h"

#define DONE_CAPACITY 1024

/* A copy that jobs_free gives back. */
static const char *copied(struct jobs *jobs, const char *text)
{
    if (text == NULL) {
        return NULL;
    }
    HF_CHECK(jobs->texts_len < HF_LEN(jobs->texts));
    jobs->texts[jobs->texts_len] = hf_heap_strdup(text);
    return jobs->texts[jobs->texts_len++];
}

static int or_default(int value, int otherwise)
{
    return value == 0 ? otherwise : value;
}

static void set_options(struct jobs *jobs, const struct jobs_options *options)
{
    jobs->options = *options;
    jobs->options.redis = copied(jobs, options->redis);
    jobs->options.redis_user = copied(jobs, options->redis_user);
    jobs->options.redis_password = copied(jobs, options->redis_password);
    jobs->options.name = copied(jobs, options->name);
    jobs->options.queue_prefix = copied(jobs, options->queue_prefix);
    jobs->options.epoch_file = copied(jobs, options->epoch_file);
    jobs->options.beat_ms = or_default(options->beat_ms, 2000);
    jobs->options.lease_ms = or_default(options->lease_ms, 60000);
    jobs->options.retry_base_ms = or_default(options->retry_base_ms, 1000);
    jobs->options.keep_ended_s = or_default(options->keep_ended_s, 60);
    jobs->options.keep_archive_days = or_default(options->keep_archive_days, 90);
}

static int ring_new(void)
{
    int event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    HF_CHECK(event_fd >= 0);
    return event_fd;
}

struct jobs *jobs_new(const struct jobs_options *options)
{
    struct jobs *jobs = hf_heap_alloc(sizeof(*jobs));

    HF_CHECK(options->kinds_len <= JOBS_KINDS_MAX && options->name != NULL);
    hf_lock_init(&jobs->runs_lock);
    set_options(jobs, options);
    jobs->relay_fd = ring_new();
    jobs->claim_fd = ring_new();
    jobs->beat_fd = ring_new();
    jobs->gate = jobs_gate_new();
    jobs->watch = jobs_watch_hub_new(jobs);
    atomic_store(&jobs->is_incomplete, true);
    return jobs;
}

static void start_threads(struct jobs *jobs)
{
    jobs->done = hf_queue_new(DONE_CAPACITY);
    for (size_t i = 0; i < jobs->options.kinds_len; i++) {
        const struct jobs_kind *kind = &jobs->options.kinds[i];
        if (kind->fn != NULL) {
            HF_CHECK(kind->concurrency > 0 && kind->concurrency <= 256);
            jobs->pools[i] =
                hf_pool_new("jobs-run", kind->concurrency, kind->concurrency, jobs_run_main, jobs);
        }
    }
    jobs->beat_thread = hf_thread_start("jobs-beat", jobs_beat_main, jobs);
    jobs->done_thread = hf_thread_start("jobs-done", jobs_done_main, jobs);
    jobs->relay_thread = hf_thread_start("jobs-relay", jobs_relay_main, jobs);
    jobs->claim_thread = hf_thread_start("jobs-claim", jobs_claim_main, jobs);
}

struct hf_status jobs_start(struct hf_ctx *ctx, struct jobs *jobs)
{
    int64_t epoch = 0;

    HF_CHECK(!jobs->is_started);
    HF_TRY(db_check(ctx, jobs->options.app_db));
    if (jobs->options.is_worker) {
        HF_TRY(db_check(ctx, jobs->options.dispatch_db));
        jobs_host_read(&jobs->host);
        HF_TRY(
            jobs_epoch_establish(ctx, jobs->options.dispatch_db, jobs->options.epoch_file, &epoch));
        atomic_store(&jobs->epoch, epoch);
        HF_TRY(jobs_register(ctx, jobs));
        start_threads(jobs);
    }
    jobs_watch_hub_start(jobs->watch);
    jobs->is_started = true;
    return hf_success();
}

/* Whose outcome cannot be written in time gives up: its fence and the reaper take care of it. */
static void wait_for_runs(struct jobs *jobs, int drain_ms)
{
    int64_t end_us = hf_mono_us() + (int64_t)drain_ms * 1000;

    hf_lock_take(&jobs->runs_lock);
    while (jobs->running > 0 && hf_mono_us() < end_us) {
        hf_lock_wait(&jobs->runs_lock, 100);
    }
    size_t running = jobs->running;
    hf_lock_release(&jobs->runs_lock);
    if (running > 0) {
        hf_warn(NULL, HF_EVENT("jobs.left_behind"), HF_INT("running", running));
        jobs_runs_lose_all(jobs);
        atomic_store(&jobs->stop.is_set, true);
    }
}

/* Our row ends: what we leave behind is an orphan at once, not after a lease. */
static void say_goodbye(struct jobs *jobs)
{
    HF_CLEANUP(hf_arena_free) struct hf_arena *arena = hf_arena_new(JOBS_STEP_ARENA);
    struct hf_ctx ctx = jobs_step_ctx(arena, NULL, 3000);
    struct hf_status status = jobs_deregister(&ctx, jobs);

    if (!hf_is_ok(status)) {
        hf_warn(&ctx, HF_EVENT("jobs.not_deregistered"), HF_TEXT("error", status.message));
    }
}

void jobs_drain(struct jobs *jobs)
{
    atomic_store(&jobs->drain.is_set, true);
    jobs_ring(jobs->claim_fd);
}

static void stop_workers(struct jobs *jobs, int drain_ms)
{
    jobs_drain(jobs);
    hf_thread_join(HF_TAKE(jobs->claim_thread));
    wait_for_runs(jobs, drain_ms);
    for (size_t i = 0; i < jobs->options.kinds_len; i++) {
        hf_pool_free(HF_TAKE(jobs->pools[i]));
    }
    hf_queue_close(jobs->done);
    hf_thread_join(HF_TAKE(jobs->done_thread));
    hf_queue_free(HF_TAKE(jobs->done));
    atomic_store(&jobs->stop.is_set, true);
    jobs_ring(jobs->relay_fd);
    jobs_ring(jobs->beat_fd);
    hf_thread_join(HF_TAKE(jobs->relay_thread));
    hf_thread_join(HF_TAKE(jobs->beat_thread));
    say_goodbye(jobs);
}

void jobs_stop(struct jobs *jobs, int drain_ms)
{
    if (!jobs->is_started) {
        return;
    }
    jobs->is_started = false;
    if (jobs->options.is_worker) {
        stop_workers(jobs, drain_ms);
    }
    jobs_watch_hub_stop(jobs->watch);
}

void jobs_free(struct jobs *jobs)
{
    if (jobs == NULL) {
        return;
    }
    jobs_stop(jobs, 10000);
    jobs_watch_hub_free(jobs->watch);
    jobs_gate_free(jobs->gate);
    close(jobs->relay_fd);
    close(jobs->claim_fd);
    close(jobs->beat_fd);
    hf_lock_done(&jobs->runs_lock);
    for (size_t i = 0; i < jobs->texts_len; i++) {
        hf_heap_free(jobs->texts[i]);
    }
    hf_heap_free(jobs);
}

void jobs_wake(struct jobs *jobs)
{
    jobs_ring(jobs->relay_fd);
    jobs_ring(jobs->beat_fd);
    jobs_watch_hub_wake(jobs->watch);
}

void jobs_stats_get(struct jobs *jobs, struct jobs_stats *ret_stats)
{
    *ret_stats = (struct jobs_stats){
        .is_redis_up = atomic_load(&jobs->is_redis_up),
        .epoch = atomic_load(&jobs->epoch),
        .claimed = atomic_load(&jobs->claimed),
        .finished = atomic_load(&jobs->finished),
        .fenced = atomic_load(&jobs->fenced),
    };
    for (size_t i = 0; i < jobs->options.kinds_len; i++) {
        const struct jobs_kind *kind = &jobs->options.kinds[i];
        ret_stats->slots += kind->fn == NULL ? 0 : kind->concurrency;
    }
    hf_lock_take(&jobs->runs_lock);
    ret_stats->running = jobs->running;
    hf_lock_release(&jobs->runs_lock);
}

struct hf_status jobs_queue_age(struct hf_ctx *ctx, struct jobs *jobs, int64_t *ret_pending,
                                int64_t *ret_oldest_us)
{
    HF_CLEANUP(db_tx_abort) struct db_tx *tx = NULL;
    const struct db_rows *rows = NULL;

    HF_TRY(db_system_begin(ctx, jobs->options.dispatch_db, &tx));
    HF_TRY(db_query(ctx, tx, sql_jobs_queue_age, DB_NO_ARGS, &rows));
    HF_TRY(db_tx_commit(ctx, &tx));
    *ret_pending = db_int(rows, 0, 0);
    *ret_oldest_us = db_int(rows, 0, 1);
    return hf_success();
}
