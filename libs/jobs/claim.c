/* The claimer: free slots → ids (from Redis, or by looking into the table) → claim in PostgreSQL →
 * slots. Only a committed claim runs. Ids that Redis handed out and that could not be claimed are
 * not given back: the next sweep finds them. */
#include <string.h>

#include "base/log.h"
#include "jobs/internal.h"
#include "queue/queue.h"

#define STEP_MS 10000
#define FRUITLESS_MAX 100 /* rounds in a row that began no run and did not wait either */
#define QUICK_US 20000

struct claimer {
    struct jobs *jobs;
    struct queue *queue; /* NULL: none configured */
    struct jobs_trouble trouble;
    unsigned fruitless;
};

/* What one kind can take now. */
struct want {
    const char *kind;
    size_t count;
    const char **skip; /* tenants that have as many runs of the kind as they may */
    size_t skip_len;
};

struct wants {
    struct want list[JOBS_KINDS_MAX];
    size_t len;
};

static bool is_skipped(const struct want *want, const char *tenant)
{
    for (size_t i = 0; i < want->skip_len; i++) {
        if (strcmp(want->skip[i], tenant) == 0) {
            return true;
        }
    }
    return false;
}

/* Caller holds the lock. */
static size_t runs_of(const struct jobs *jobs, size_t kind_index, const char *tenant)
{
    size_t count = 0;

    for (const struct jobs_run_state *run = jobs->runs; run != NULL; run = run->next) {
        count += run->kind_index == kind_index && strcmp(run->tenant, tenant) == 0 ? 1 : 0;
    }
    return count;
}

/* Caller holds the lock. With a limit, one job is claimed at a time: two of a tenant that has room
 * for one could come together. */
static void limit_want(struct hf_ctx *ctx, const struct jobs *jobs, size_t kind_index,
                       struct want *want)
{
    const size_t limit = jobs->options.kinds[kind_index].max_per_tenant;

    if (limit == 0) {
        return;
    }
    want->count = 1;
    want->skip = HF_NEW_N(ctx->arena, const char *, jobs->running + 1);
    for (const struct jobs_run_state *run = jobs->runs; run != NULL; run = run->next) {
        if (want->skip_len < QUEUE_SKIP_MAX && !is_skipped(want, run->tenant) &&
            runs_of(jobs, kind_index, run->tenant) >= limit) {
            want->skip[want->skip_len++] = hf_strdup(ctx->arena, run->tenant);
        }
    }
}

static void find_wants(struct hf_ctx *ctx, struct jobs *jobs, struct wants *wants)
{
    wants->len = 0;
    hf_lock_take(&jobs->runs_lock);
    for (size_t i = 0; i < jobs->options.kinds_len; i++) {
        const struct jobs_kind *kind = &jobs->options.kinds[i];
        if (kind->fn != NULL && jobs->busy[i] < kind->concurrency) {
            struct want *want = &wants->list[wants->len++];
            *want = (struct want){.kind = kind->kind, .count = kind->concurrency - jobs->busy[i]};
            limit_want(ctx, jobs, i, want);
        }
    }
    hf_lock_release(&jobs->runs_lock);
}

static void worker_id(struct jobs *jobs, char ret_id[JOBS_UUID_SIZE])
{
    hf_lock_take(&jobs->runs_lock);
    memcpy(ret_id, jobs->worker_id, JOBS_UUID_SIZE);
    hf_lock_release(&jobs->runs_lock);
}

/* Redis is not trusted: was such an item asked for? */
static bool is_wanted(const struct want *want, const struct queue_item *item)
{
    struct hf_uuid uuid;

    return hf_uuid_parse(item->tenant, &uuid) == 0 && hf_uuid_parse(item->id, &uuid) == 0 &&
           strcmp(want->kind, item->lane) == 0 && !is_skipped(want, item->tenant);
}

static struct hf_status claim_ids(struct hf_ctx *ctx, struct jobs *jobs, const struct want *want,
                                  const struct queue_claim *found, const struct db_rows **ret_rows)
{
    HF_CLEANUP(db_tx_abort) struct db_tx *tx = NULL;
    const char **tenants = HF_NEW_N(ctx->arena, const char *, found->len + 1);
    const char **ids = HF_NEW_N(ctx->arena, const char *, found->len + 1);
    const char **kinds = HF_NEW_N(ctx->arena, const char *, found->len + 1);
    char me[JOBS_UUID_SIZE];
    size_t len = 0;

    /* What was not asked for is dropped, and the claim compares the kind. */
    for (size_t i = 0; i < found->len && len < want->count; i++) {
        const struct queue_item *item = &found->items[i];
        if (is_wanted(want, item)) {
            tenants[len] = item->tenant;
            kinds[len] = item->lane;
            ids[len++] = item->id;
        }
    }
    worker_id(jobs, me);
    HF_TRY(db_system_begin(ctx, jobs->options.dispatch_db, &tx));
    HF_TRY(db_query(
        ctx, tx, sql_jobs_claim,
        DB_ARGS(DB_LIST(tenants, len), DB_LIST(ids, len), DB_UUID(me), DB_LIST(kinds, len)),
        ret_rows));
    return db_tx_commit(ctx, &tx);
}

static struct hf_status claim_by_sweep(struct hf_ctx *ctx, struct jobs *jobs,
                                       const struct want *want, const struct db_rows **ret_rows)
{
    HF_CLEANUP(db_tx_abort) struct db_tx *tx = NULL;
    char me[JOBS_UUID_SIZE];

    worker_id(jobs, me);
    HF_TRY(db_system_begin(ctx, jobs->options.dispatch_db, &tx));
    HF_TRY(db_query(ctx, tx, sql_jobs_claim_sweep,
                    DB_ARGS(DB_TEXT(want->kind), DB_INT(want->count), DB_UUID(me),
                            DB_LIST(want->skip, want->skip_len)),
                    ret_rows));
    return db_tx_commit(ctx, &tx);
}

struct batch {
    struct jobs_run_state **runs;
    size_t len;
};

/* Load the whole jobs of one tenant. What does not come back has been lost meanwhile. */
static struct hf_status load_tenant(struct hf_ctx *ctx, struct jobs *jobs,
                                    const struct batch *batch, const char *tenant)
{
    HF_CLEANUP(db_tx_abort) struct db_tx *tx = NULL;
    const struct db_rows *rows = NULL;
    const char **ids = HF_NEW_N(ctx->arena, const char *, batch->len);
    size_t ids_len = 0;
    char me[JOBS_UUID_SIZE];

    for (size_t i = 0; i < batch->len; i++) {
        if (strcmp(batch->runs[i]->tenant, tenant) == 0) {
            ids[ids_len++] = batch->runs[i]->id;
        }
    }
    worker_id(jobs, me);
    HF_TRY(db_tx_begin(ctx, jobs->options.app_db, tenant, DB_READ_COMMITTED, &tx));
    HF_TRY(db_query(ctx, tx, sql_jobs_load, DB_ARGS(DB_LIST(ids, ids_len), DB_UUID(me)), &rows));
    HF_TRY(db_tx_commit(ctx, &tx));
    for (size_t i = 0; i < batch->len; i++) {
        struct jobs_run_state *state = batch->runs[i];
        for (size_t k = 0; k < db_len(rows); k++) {
            struct jobs_job job;
            jobs_decode(rows, k, &job);
            if (strcmp(job.id, state->id) == 0 && job.fence.n == state->fence.n) {
                jobs_copy(state->arena, &job, &state->run->job);
                state->dependency = hf_strdup(state->arena, jobs_dependency(rows, k));
            }
        }
    }
    return hf_success();
}

static struct hf_status load_all(struct hf_ctx *ctx, struct jobs *jobs, const struct batch *batch)
{
    for (size_t i = 0; i < batch->len; i++) {
        bool is_first = true;
        for (size_t k = 0; k < i; k++) {
            is_first = is_first && strcmp(batch->runs[k]->tenant, batch->runs[i]->tenant) != 0;
        }
        if (is_first) {
            HF_TRY(load_tenant(ctx, jobs, batch, batch->runs[i]->tenant));
        }
    }
    return hf_success();
}

static void launch(struct jobs *jobs, const struct batch *batch, bool is_loaded)
{
    for (size_t i = 0; i < batch->len; i++) {
        struct jobs_run_state *state = batch->runs[i];
        bool is_there = is_loaded && state->run->job.id != NULL;
        /* A free slot was counted for it, so there is room. */
        if (!is_there || !hf_pool_push(jobs->pools[state->kind_index], state, 1000)) {
            jobs_run_leave_slot(state);
            jobs_run_free(state);
        }
    }
}

/* Claimed rows → running. Loading is tried for some time; what cannot be loaded is dropped from
 * the list of runs, and the reaper then takes it for a stray of ours. */
static size_t run_rows(struct jobs *jobs, const struct db_rows *rows)
{
    HF_CLEANUP(hf_arena_free) struct hf_arena *arena = hf_arena_new(JOBS_STEP_ARENA * 2);
    struct hf_ctx ctx = jobs_step_ctx(arena, &jobs->stop, STEP_MS);
    struct batch batch = {.len = db_len(rows)};

    if (batch.len == 0) {
        return 0;
    }
    batch.runs = HF_NEW_N(arena, struct jobs_run_state *, batch.len);
    for (size_t i = 0; i < batch.len; i++) {
        batch.runs[i] = jobs_run_new(jobs, rows, i);
    }
    struct hf_status status = load_all(&ctx, jobs, &batch);
    for (int tries = 0; tries < 3 && status.code == HF_UNAVAILABLE; tries++) {
        status = hf_ctx_sleep(&ctx, 300);
        if (hf_is_ok(status)) {
            status = load_all(&ctx, jobs, &batch);
        }
    }
    if (!hf_is_ok(status)) {
        hf_warn(&ctx, HF_EVENT("jobs.not_loaded"), HF_TEXT("error", status.message));
    }
    launch(jobs, &batch, hf_is_ok(status));
    return batch.len;
}

static struct hf_status take_by_sweep(struct hf_ctx *ctx, struct claimer *claimer,
                                      const struct want *want, size_t *ret_claimed)
{
    const struct db_rows *rows = NULL;

    HF_TRY(claim_by_sweep(ctx, claimer->jobs, want, &rows));
    *ret_claimed = run_rows(claimer->jobs, rows);
    claimer->fruitless = *ret_claimed > 0 ? 0 : claimer->fruitless;
    return hf_success();
}

static struct hf_status take_by_queue(struct hf_ctx *ctx, struct claimer *claimer,
                                      const struct want *want, size_t *ret_claimed)
{
    struct jobs *jobs = claimer->jobs;
    struct queue_claim found = {.len = 0};
    const struct db_rows *rows = NULL;
    const struct queue_want lane = {want->kind, want->count};
    const struct queue_request request = {
        .wants = &lane, .wants_len = 1, .skip_tenants = want->skip, .skip_len = want->skip_len};

    struct hf_status status = queue_claim(ctx, claimer->queue, &request, &found);
    atomic_store(&jobs->is_redis_up, hf_is_ok(status));
    if (!hf_is_ok(status)) {
        atomic_store(&jobs->is_incomplete, true);
        return take_by_sweep(ctx, claimer, want, ret_claimed);
    }
    if (found.is_incomplete) {
        atomic_store(&jobs->is_incomplete, true);
        jobs_ring(jobs->relay_fd);
    }
    *ret_claimed = found.len; /* try again at once even when none of them could be claimed */
    if (found.len == 0) {
        return hf_success();
    }
    status = claim_ids(ctx, jobs, want, &found, &rows);
    if (!hf_is_ok(status)) {
        atomic_store(&jobs->is_incomplete, true);
        return status;
    }
    claimer->fruitless = run_rows(jobs, rows) > 0 ? 0 : claimer->fruitless;
    return hf_success();
}

/* All kinds, each with the tenants that it has to pass over. */
static struct hf_status take_all(struct hf_ctx *ctx, struct claimer *claimer,
                                 const struct wants *wants, size_t *ret_claimed)
{
    for (size_t i = 0; i < wants->len; i++) {
        size_t claimed = 0;

        HF_TRY(claimer->queue == NULL ? take_by_sweep(ctx, claimer, &wants->list[i], &claimed)
                                      : take_by_queue(ctx, claimer, &wants->list[i], &claimed));
        *ret_claimed += claimed;
    }
    return hf_success();
}

static void wait_for_work(struct claimer *claimer, bool has_free_slots)
{
    HF_CLEANUP(hf_arena_free) struct hf_arena *arena = hf_arena_new(64 * 1024);
    struct jobs *jobs = claimer->jobs;
    struct hf_ctx ctx = jobs_step_ctx(arena, &jobs->drain, STEP_MS);

    if (claimer->queue != NULL && has_free_slots && atomic_load(&jobs->is_redis_up) &&
        hf_is_ok(queue_wait(&ctx, claimer->queue, jobs->claim_fd, JOBS_SWEEP_MS))) {
        jobs_wait_ring(&jobs->drain, jobs->claim_fd, 0);
        return;
    }
    jobs_wait_ring(&jobs->drain, jobs->claim_fd, JOBS_SWEEP_MS);
}

/* The whole time, whoever rings. */
static void wait_a_sweep(struct jobs *jobs)
{
    HF_CLEANUP(hf_arena_free) struct hf_arena *arena = hf_arena_new(4096);
    struct hf_ctx ctx = jobs_step_ctx(arena, &jobs->drain, STEP_MS);
    struct hf_status ignored = hf_ctx_sleep(&ctx, JOBS_SWEEP_MS);
    (void)ignored;
}

void jobs_claim_main(void *arg)
{
    struct claimer claimer = {.jobs = arg};
    struct jobs *jobs = claimer.jobs;
    const struct queue_options options = {.address = jobs->options.redis,
                                          .user = jobs->options.redis_user,
                                          .password = jobs->options.redis_password,
                                          .prefix = jobs->options.queue_prefix};

    claimer.queue = options.address == NULL ? NULL : queue_new(&options);
    while (!atomic_load(&jobs->drain.is_set)) {
        int64_t began_us = hf_mono_us();
        HF_CLEANUP(hf_arena_free) struct hf_arena *arena = hf_arena_new(JOBS_STEP_ARENA);
        struct hf_ctx ctx = jobs_step_ctx(arena, &jobs->drain, STEP_MS);
        struct hf_status status = hf_success();
        struct wants wants;
        size_t claimed = 0;

        find_wants(&ctx, jobs, &wants);
        if (wants.len > 0) {
            status = take_all(&ctx, &claimer, &wants, &claimed);
        }
        jobs_trouble_note(&ctx, &claimer.trouble, "jobs.claim_failed", status);
        if (!hf_is_ok(status) || claimed == 0) {
            wait_for_work(&claimer, wants.len > 0 && hf_is_ok(status));
        }
        /* A Redis that invents ids, or rings, without end. */
        claimer.fruitless = hf_mono_us() - began_us < QUICK_US ? claimer.fruitless + 1 : 0;
        if (claimer.fruitless > FRUITLESS_MAX) {
            wait_a_sweep(jobs);
        }
    }
    queue_free(claimer.queue);
}
