/* Test kinds and the hub that runs them. */
#include "tests/unit/libs/jobs/jobs_fixture.h"

#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/clock.h"

/* Statements are found by their address, so each table has its own constants. */
static const struct {
    const char *name, *insert, *count;
} tables[] = {
    {"runs", "INSERT INTO runs VALUES ($1::uuid, $2)",
     "SELECT count(*) FROM runs WHERE id = $1::uuid"},
    {"effects", "INSERT INTO effects VALUES ($1::uuid, $2)",
     "SELECT count(*) FROM effects WHERE id = $1::uuid"},
    {"ends", "INSERT INTO ends VALUES ($1::uuid, $2)",
     "SELECT count(*) FROM ends WHERE id = $1::uuid"},
};

static size_t table_of(const char *name)
{
    size_t i = 0;

    while (i < HF_LEN(tables) && strcmp(tables[i].name, name) != 0) {
        i++;
    }
    HF_CHECK(i < HF_LEN(tables));
    return i;
}

static struct hf_status note(struct hf_ctx *ctx, struct db_tx *tx, const char *table,
                             const char *id, const char *text)
{
    return db_exec(ctx, tx, tables[table_of(table)].insert, DB_ARGS(DB_UUID(id), DB_TEXT(text)),
                   NULL);
}

static struct hf_status note_run(struct hf_ctx *ctx, struct jobs_run *run)
{
    HF_CLEANUP(db_tx_abort) struct db_tx *tx = NULL;
    const struct jobs_fixture *fix = run->app;

    HF_TRY(db_tx_begin(ctx, fix->state->app, run->job.tenant_id, DB_READ_COMMITTED, &tx));
    HF_TRY(note(ctx, tx, "runs", run->job.id, run->job.is_observe ? "observe" : "act"));
    return db_tx_commit(ctx, &tx);
}

static struct hf_status finish_with_effect(struct hf_ctx *ctx, struct jobs_run *run)
{
    HF_CLEANUP(db_tx_abort) struct db_tx *tx = NULL;
    const struct jobs_fixture *fix = run->app;

    HF_TRY(db_tx_begin(ctx, fix->state->app, run->job.tenant_id, DB_READ_COMMITTED, &tx));
    HF_TRY(jobs_finish_begin(ctx, tx, run));
    HF_TRY(note(ctx, tx, "effects", run->job.id, "effect"));
    return jobs_finish_commit(ctx, &tx, run, "made");
}

static struct hf_status do_flaky(struct hf_ctx *ctx, struct jobs_run *run)
{
    if (run->job.attempt < 3) {
        return hf_fail(ctx->arena, HF_UNAVAILABLE, "not yet");
    }
    return finish_with_effect(ctx, run);
}

static struct hf_status do_wait(struct hf_ctx *ctx, struct jobs_run *run)
{
    (void)run;
    return hf_ctx_sleep(ctx, 30000);
}

static struct hf_status do_slow(struct hf_ctx *ctx, struct jobs_run *run)
{
    HF_TRY(hf_ctx_sleep(ctx, 300));
    return finish_with_effect(ctx, run);
}

static struct hf_status do_defer(struct hf_ctx *ctx, struct jobs_run *run)
{
    HF_CLEANUP(db_tx_abort) struct db_tx *tx = NULL;
    const struct jobs_fixture *fix = run->app;
    const struct db_rows *rows = NULL;

    HF_TRY(db_tx_begin(ctx, fix->state->app, run->job.tenant_id, DB_READ_COMMITTED, &tx));
    HF_TRY(db_query(ctx, tx, "SELECT count(*) FROM down", DB_NO_ARGS, &rows));
    db_tx_abort(HF_TAKE(tx));
    if (db_int(rows, 0, 0) > 0) {
        jobs_defer(run, "thing/1", 200);
        return hf_fail(ctx->arena, HF_UNAVAILABLE, "thing/1 is down");
    }
    return finish_with_effect(ctx, run);
}

/* Deaf to its cancellation until its job has been given to another. */
static struct hf_status do_zombie(struct hf_ctx *ctx, struct jobs_run *run)
{
    struct hf_ctx deaf = {.arena = ctx->arena};

    if (run->job.attempt > 1) {
        return finish_with_effect(ctx, run);
    }
    HF_TRY(hf_ctx_sleep(&deaf, 1500));
    struct hf_status status = finish_with_effect(&deaf, run);
    HF_CHECK(status.code == HF_ABORTED && strcmp(status.info->reason, "FENCED") == 0);
    return status;
}

static struct hf_status do_progress(struct hf_ctx *ctx, struct jobs_run *run)
{
    HF_TRY(jobs_progress(ctx, run, "copying", 10, 100));
    HF_TRY(jobs_progress(ctx, run, "copying", 20, 100)); /* within the second: not written */
    HF_TRY(hf_ctx_sleep(ctx, 300));
    HF_TRY(jobs_progress(ctx, run, "closing", 100, 100));
    HF_TRY(hf_ctx_sleep(ctx, 300));
    return finish_with_effect(ctx, run);
}

static struct hf_status do_fail(struct hf_ctx *ctx, struct jobs_run *run)
{
    const char *const metadata[] = {NULL};
    (void)run;
    return hf_fail_info(ctx->arena, HF_INVALID_ARGUMENT, "BAD_THING", metadata, "it is bad \xff");
}

/* Succeeds with more memory than a job may have. */
static struct hf_status do_over(struct hf_ctx *ctx, struct jobs_run *run)
{
    (void)run;
    (void)hf_alloc(ctx->arena, (size_t)65 << 20);
    return hf_success();
}

/* Cancels its own job and fails before it can know. */
static struct hf_status do_flagged(struct hf_ctx *ctx, struct jobs_run *run)
{
    HF_CLEANUP(db_tx_abort) struct db_tx *tx = NULL;
    const struct jobs_fixture *fix = run->app;
    struct jobs_job job;

    HF_TRY(db_tx_begin(ctx, fix->state->app, run->job.tenant_id, DB_READ_COMMITTED, &tx));
    HF_TRY(jobs_cancel(ctx, tx, fix->jobs, run->job.id, &job));
    HF_TRY(db_tx_commit(ctx, &tx));
    return hf_fail(ctx->arena, HF_UNAVAILABLE, "failed just then");
}

/* Tells phases from arenas that are gone at the next call. */
static struct hf_status do_scratch(struct hf_ctx *ctx, struct jobs_run *run)
{
    static const char *const phases[] = {"copying", "copying", "closing"};

    for (size_t i = 0; i < HF_LEN(phases); i++) {
        HF_CLEANUP(hf_arena_free) struct hf_arena *arena = hf_arena_new(4096);
        struct hf_ctx step = *ctx;
        step.arena = arena;
        HF_TRY(jobs_progress(&step, run, hf_strdup(arena, phases[i]), 1, 2));
    }
    return finish_with_effect(ctx, run);
}

static struct hf_status work(struct hf_ctx *ctx, struct jobs_run *run)
{
    static const struct {
        const char *args;
        jobs_fn fn;
    } acts[] = {
        {"effect", finish_with_effect},
        {"fail", do_fail},
        {"flaky", do_flaky},
        {"wait", do_wait},
        {"slow", do_slow},
        {"defer", do_defer},
        {"zombie", do_zombie},
        {"progress", do_progress},
        {"flagged", do_flagged},
        {"scratch", do_scratch},
        {"over", do_over},
    };

    HF_TRY(note_run(ctx, run));
    for (size_t i = 0; i < HF_LEN(acts); i++) {
        if (strcmp(acts[i].args, run->job.args) == 0) {
            return acts[i].fn(ctx, run);
        }
    }
    return hf_success();
}

static struct hf_status plain(struct hf_ctx *ctx, struct jobs_run *run)
{
    return strcmp(run->job.args, "over") == 0 ? do_over(ctx, run) : hf_success();
}

static struct hf_status end(struct hf_ctx *ctx, struct db_tx *tx, const struct jobs_job *job,
                            void *app)
{
    (void)app;
    if (strcmp(job->args, "poison") == 0) {
        return hf_fail(ctx->arena, HF_INTERNAL, "this end cannot be written");
    }
    return note(ctx, tx, "ends", job->id, jobs_state_text(job->state));
}

static const struct jobs_kind kinds[] = {
    {.kind = "work", .fn = work, .end = end, .concurrency = 8},
    {.kind = "single", .fn = work, .end = end, .concurrency = 1},
    {.kind = "plain", .fn = plain, .concurrency = 8},
    {.kind = "shared", .fn = work, .end = end, .concurrency = 3, .max_per_tenant = 2},
    {.kind = "external", .end = end},
};

struct jobs_fixture *jobs_fixture_new(bool has_redis)
{
    struct jobs_fixture *fix = hf_heap_alloc(sizeof(*fix));

    fix->state = state_db_new();
    fix->redis = has_redis ? redisserver_new() : NULL;
    fix->arena = hf_arena_new((size_t)256 * 1024 * 1024);
    fix->ctx = (struct hf_ctx){.arena = fix->arena};
    state_db_sql(fix->state, "SET ROLE holdfast_owner; SET search_path = backup;"
                             "CREATE TABLE runs (id uuid, note text);"
                             "CREATE TABLE effects (id uuid, note text);"
                             "CREATE TABLE ends (id uuid, note text);"
                             "CREATE TABLE down (n int);"
                             "GRANT ALL ON runs, effects, ends, down TO holdfast_app");
    return fix;
}

struct jobs_options jobs_fixture_options(struct jobs_fixture *fix, const char *name)
{
    return (struct jobs_options){
        .app_db = fix->state->app,
        .dispatch_db = fix->state->dispatch,
        .redis = fix->redis == NULL ? NULL : redisserver_address(fix->redis),
        .name = name,
        .queue_prefix = "test",
        .kinds = kinds,
        .kinds_len = HF_LEN(kinds),
        .app = fix,
        .is_worker = true,
        .beat_ms = 200,
        .lease_ms = 2000,
        .retry_base_ms = 50,
        .keep_ended_s = 3600,
    };
}

void jobs_fixture_start(struct jobs_fixture *fix, const char *name)
{
    const struct jobs_options options = jobs_fixture_options(fix, name);

    HF_CHECK(fix->jobs == NULL);
    fix->jobs = jobs_new(&options);
    must(jobs_start(&fix->ctx, fix->jobs));
}

void jobs_fixture_stop(struct jobs_fixture *fix)
{
    jobs_stop(fix->jobs, 5000);
    jobs_free(HF_TAKE(fix->jobs));
}

void jobs_fixture_free(struct jobs_fixture *fix)
{
    jobs_free(fix->jobs);
    state_db_free(fix->state);
    redisserver_free(fix->redis);
    hf_arena_free(fix->arena);
    hf_heap_free(fix);
}

const char *jobs_fixture_add_spec(struct jobs_fixture *fix, const struct jobs_spec *spec)
{
    HF_CLEANUP(db_tx_abort) struct db_tx *tx = NULL;
    const char *id = NULL;

    must(db_tx_begin(&fix->ctx, fix->state->app, fix->state->tenant, DB_READ_COMMITTED, &tx));
    must(jobs_add(&fix->ctx, tx, spec, &id, NULL));
    must(db_tx_commit(&fix->ctx, &tx));
    if (fix->jobs != NULL) {
        jobs_wake(fix->jobs);
    }
    return id;
}

const char *jobs_fixture_add(struct jobs_fixture *fix, const char *kind, const char *args)
{
    const struct jobs_spec spec = {.kind = kind, .args = args, .priority = 5};
    return jobs_fixture_add_spec(fix, &spec);
}

struct jobs_job jobs_fixture_get(struct jobs_fixture *fix, const char *id)
{
    HF_CLEANUP(db_tx_abort) struct db_tx *tx = NULL;
    struct jobs_job job;

    must(db_tx_begin(&fix->ctx, fix->state->app, fix->state->tenant, DB_READ_COMMITTED, &tx));
    must(jobs_get(&fix->ctx, tx, id, &job));
    return job;
}

struct jobs_job jobs_fixture_await(struct jobs_fixture *fix, const char *id, enum jobs_state state)
{
    int64_t until_us = in_ms(20000);

    for (;;) {
        struct jobs_job job = jobs_fixture_get(fix, id);
        if (job.state == state) {
            return job;
        }
        if (hf_mono_us() > until_us || jobs_is_ended(job.state)) {
            fprintf(stderr, "job %s is %s, not %s: %s\n", id, jobs_state_text(job.state),
                    jobs_state_text(state), job.error.message);
        }
        HF_CHECK(hf_mono_us() < until_us && !jobs_is_ended(job.state));
        pause_ms(20);
    }
}

int64_t jobs_fixture_count(struct jobs_fixture *fix, const char *table, const char *id)
{
    HF_CLEANUP(db_tx_abort) struct db_tx *tx = NULL;
    const struct db_rows *rows = NULL;

    must(db_tx_begin(&fix->ctx, fix->state->app, fix->state->tenant, DB_READ_COMMITTED, &tx));
    must(db_query(&fix->ctx, tx, tables[table_of(table)].count, DB_ARGS(DB_UUID(id)), &rows));
    return db_int(rows, 0, 0);
}

void jobs_fixture_reset(struct jobs_fixture *fix)
{
    jobs_free(HF_TAKE(fix->jobs));
    state_db_sql(fix->state, "TRUNCATE backup.jobs, backup.jobs_archive, backup.job_deps,"
                             " backup.outbox, backup.workers, backup.state_epoch, backup.runs,"
                             " backup.effects, backup.ends, backup.down");
    if (fix->redis != NULL) {
        redisserver_kill(fix->redis);
        redisserver_start(fix->redis);
    }
}

int jobs_fixture_setup(void **state)
{
    *state = jobs_fixture_new(true);
    return 0;
}

int jobs_fixture_setup_plain(void **state)
{
    *state = jobs_fixture_new(false);
    return 0;
}

int jobs_fixture_setup_started(void **state)
{
    (void)jobs_fixture_setup(state);
    jobs_fixture_start(*state, "one");
    return 0;
}

int jobs_fixture_teardown(void **state)
{
    jobs_fixture_free(*state);
    return 0;
}

int jobs_fixture_refresh(void **state)
{
    jobs_fixture_reset(*state);
    return 0;
}
