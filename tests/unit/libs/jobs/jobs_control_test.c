/* Cancelling, retrying and discarding without a worker; external jobs; the archive. */
#include <string.h>

#include "base/check.h"
#include "jobs/internal.h"
#include "tests/unit/libs/db/state_db.h"
#include "tests/unit/unit.h"

static struct state_db *state;
static struct hf_arena *arena;
static struct hf_ctx ctx;
static struct jobs *jobs;
static int ends; /* calls of the end hook */
static enum jobs_state ended_as;

static struct hf_status count_end(struct hf_ctx *call, struct db_tx *tx, const struct jobs_job *job,
                                  void *app)
{
    (void)call;
    (void)tx;
    (void)app;
    ends++;
    ended_as = job->state;
    return hf_success();
}

static const struct jobs_kind kinds[] = {{.kind = "work", .end = count_end},
                                         {.kind = "external", .end = count_end}};

static int group_setup(void **unused)
{
    (void)unused;
    state = state_db_new();
    const struct jobs_options options = {.app_db = state->app,
                                         .dispatch_db = state->dispatch,
                                         .name = "api",
                                         .kinds = kinds,
                                         .kinds_len = HF_LEN(kinds)};
    jobs = jobs_new(&options);
    return 0;
}

static int group_teardown(void **unused)
{
    (void)unused;
    jobs_free(jobs);
    state_db_free(state);
    return 0;
}

static int setup(void **unused)
{
    int64_t epoch = 0;

    (void)unused;
    arena = hf_arena_new((size_t)16 * 1024 * 1024);
    ctx = (struct hf_ctx){.arena = arena, .deadline_us = in_ms(30000)};
    must(jobs_epoch_establish(&ctx, state->dispatch, NULL, &epoch));
    ends = 0;
    return 0;
}

static int teardown(void **unused)
{
    (void)unused;
    hf_arena_free(arena);
    return 0;
}

static void begin(struct db_tx **tx)
{
    must(db_tx_begin(&ctx, state->app, state->tenant, DB_READ_COMMITTED, tx));
}

static const char *add(const struct jobs_spec *spec)
{
    HF_CLEANUP(db_tx_abort) struct db_tx *tx = NULL;
    const char *id = NULL;

    begin(&tx);
    must(jobs_add(&ctx, tx, spec, &id, NULL));
    must(db_tx_commit(&ctx, &tx));
    return id;
}

static const char *add_work(void)
{
    const struct jobs_spec spec = {.kind = "work"};
    return add(&spec);
}

static const char *add_external(void)
{
    const struct jobs_spec spec = {.kind = "external", .external_ttl_s = 30};
    return add(&spec);
}

static struct jobs_job cancel(const char *id)
{
    HF_CLEANUP(db_tx_abort) struct db_tx *tx = NULL;
    struct jobs_job job;

    begin(&tx);
    must(jobs_cancel(&ctx, tx, jobs, id, &job));
    must(db_tx_commit(&ctx, &tx));
    return job;
}

static void test_cancel__pending_job_ends_at_once_with_its_hook(void **unused)
{
    (void)unused;
    struct jobs_job job = cancel(add_work());
    assert_int_equal(job.state, JOBS_CANCELLED);
    assert_true(job.is_cancel_requested && job.end_us > 0);
    assert_int_equal(ends, 1);
    assert_int_equal(ended_as, JOBS_CANCELLED);
    job = cancel(job.id);
    assert_int_equal(job.state, JOBS_CANCELLED);
    assert_int_equal(ends, 1);
}

static void test_retry__puts_an_ended_job_back(void **unused)
{
    HF_CLEANUP(db_tx_abort) struct db_tx *tx = NULL;
    const char *id = add_work();
    struct jobs_job job;

    (void)unused;
    begin(&tx);
    assert_int_equal(jobs_retry(&ctx, tx, id, &job).code, HF_FAILED_PRECONDITION);
    db_tx_abort(HF_TAKE(tx));
    cancel(id);
    begin(&tx);
    must(jobs_retry(&ctx, tx, id, &job));
    must(db_tx_commit(&ctx, &tx));
    assert_int_equal(job.state, JOBS_PENDING);
    assert_false(job.is_cancel_requested);
    assert_int_equal(job.attempt, 0);
    assert_int_equal(job.end_us, 0);
}

static void archive_all(void)
{
    HF_CLEANUP(db_tx_abort) struct db_tx *tx = NULL;

    must(db_system_begin(&ctx, state->dispatch, &tx));
    must(db_query(&ctx, tx, sql_jobs_archive_move, DB_ARGS(DB_INT(0)), NULL));
    must(db_tx_commit(&ctx, &tx));
}

static void test_archive__job_is_still_got_listed_and_retried(void **unused)
{
    HF_CLEANUP(db_tx_abort) struct db_tx *tx = NULL;
    const char *id = add_work();
    const struct jobs_filter filter = {.kind = "work", .state = JOBS_CANCELLED, .limit = 100};
    const struct jobs_job *list = NULL;
    struct jobs_job job;
    size_t len = 0;

    (void)unused;
    cancel(id);
    archive_all();
    assert_int_equal(state_db_count(state, hf_printf(arena,
                                                     "SELECT count(*) FROM backup.jobs_archive"
                                                     " WHERE id = '%s'",
                                                     id)),
                     1);
    assert_int_equal(cancel(id).state, JOBS_CANCELLED);
    begin(&tx);
    must(jobs_list(&ctx, tx, &filter, &list, &len));
    assert_true(len >= 1);
    assert_string_equal(list[0].id, id);
    must(jobs_retry(&ctx, tx, id, &job));
    must(db_tx_commit(&ctx, &tx));
    assert_int_equal(job.state, JOBS_PENDING);
    assert_int_equal(state_db_count(state, hf_printf(arena,
                                                     "SELECT count(*) FROM backup.outbox"
                                                     " WHERE job_id = '%s'",
                                                     id)),
                     2);
}

struct rival {
    const char *id;
    struct hf_status status;
};

static void retry_too(void *arg)
{
    struct rival *rival = arg;
    HF_CLEANUP(db_tx_abort) struct db_tx *tx = NULL;
    struct hf_ctx own = {.arena = hf_arena_new((size_t)1024 * 1024), .deadline_us = in_ms(20000)};
    struct jobs_job job;

    must(db_tx_begin(&own, state->app, state->tenant, DB_READ_COMMITTED, &tx));
    rival->status = jobs_retry(&own, tx, rival->id, &job);
    rival->status.message = NULL; /* its arena ends here */
    db_tx_abort(HF_TAKE(tx));
    hf_arena_free(own.arena);
}

static void test_retry__second_one_of_an_archived_job_is_refused(void **unused)
{
    HF_CLEANUP(db_tx_abort) struct db_tx *tx = NULL;
    struct rival rival = {.id = cancel(add_work()).id};
    int64_t until_us = in_ms(10000);
    struct jobs_job job;

    (void)unused;
    archive_all();
    begin(&tx);
    must(jobs_retry(&ctx, tx, rival.id, &job));
    struct hf_thread *thread = hf_thread_start("rival", retry_too, &rival);
    while (state_db_count(state, "SELECT count(*) FROM pg_locks WHERE NOT granted") == 0) {
        assert_true(hf_mono_us() < until_us);
        pause_ms(10);
    }
    must(db_tx_commit(&ctx, &tx));
    hf_thread_join(thread);
    assert_int_equal(rival.status.code, HF_FAILED_PRECONDITION);
}

static void test_external__is_claimed_beaten_and_finished(void **unused)
{
    HF_CLEANUP(db_tx_abort) struct db_tx *tx = NULL;
    const char *id = add_external();
    struct jobs_job job, again;

    (void)unused;
    begin(&tx);
    must(jobs_external_claim(&ctx, tx, id, &job));
    must(db_tx_commit(&ctx, &tx));
    assert_int_equal(job.state, JOBS_RUNNING);
    assert_true(job.is_external && job.fence.n > 0 && job.fence.epoch > 0);
    begin(&tx);
    struct hf_status status = jobs_external_claim(&ctx, tx, id, &again);
    assert_int_equal(status.code, HF_ABORTED);
    assert_string_equal(status.info->reason, "NOT_CLAIMABLE");
    db_tx_abort(HF_TAKE(tx));
    const struct jobs_report report = {
        .fence = job.fence, .phase = "copying", .done_bytes = 5, .total_bytes = 9};
    begin(&tx);
    must(jobs_external_beat(&ctx, tx, id, &report, &again));
    must(db_tx_commit(&ctx, &tx));
    assert_string_equal(again.phase, "copying");
    assert_int_equal(again.done_bytes, 5);
    begin(&tx);
    must(jobs_external_finish(&ctx, tx, jobs, id, hf_success(), "restored"));
    must(db_tx_commit(&ctx, &tx));
    assert_int_equal(ended_as, JOBS_SUCCEEDED);
    begin(&tx);
    assert_int_equal(jobs_external_beat(&ctx, tx, id, &report, &again).code, HF_ABORTED);
    assert_int_equal(jobs_external_finish(&ctx, tx, jobs, id, hf_success(), NULL).code, HF_ABORTED);
    must(jobs_get(&ctx, tx, id, &job));
    assert_string_equal(job.result, "restored");
}

static void test_external__wrong_fence_is_refused(void **unused)
{
    HF_CLEANUP(db_tx_abort) struct db_tx *tx = NULL;
    const char *id = add_external();
    struct jobs_job job;

    (void)unused;
    begin(&tx);
    must(jobs_external_claim(&ctx, tx, id, &job));
    struct jobs_report report = {.fence = {job.fence.epoch, job.fence.n + 1}};
    assert_int_equal(jobs_external_beat(&ctx, tx, id, &report, &job).code, HF_ABORTED);
    report.fence = (struct jobs_fence){job.fence.epoch + 1, job.fence.n};
    assert_int_equal(jobs_external_beat(&ctx, tx, id, &report, &job).code, HF_ABORTED);
}

static void test_external__cancellation_shows_in_the_beat(void **unused)
{
    HF_CLEANUP(db_tx_abort) struct db_tx *tx = NULL;
    const char *id = add_external();
    const struct jobs_report report = {.fence = {0, 0}};
    struct jobs_job job;

    (void)unused;
    begin(&tx);
    must(jobs_external_claim(&ctx, tx, id, &job));
    must(db_tx_commit(&ctx, &tx));
    assert_int_equal(cancel(id).state, JOBS_RUNNING);
    begin(&tx);
    must(jobs_external_beat(&ctx, tx, id, &report, &job));
    assert_true(job.is_cancel_requested);
    const struct hf_status cancelled = {.code = HF_CANCELLED, .message = "stopped"};
    must(jobs_external_finish(&ctx, tx, jobs, id, cancelled, NULL));
    must(jobs_get(&ctx, tx, id, &job));
    assert_int_equal(job.state, JOBS_CANCELLED);
}

static void test_dead__failed_jobs_are_listed_until_discarded(void **unused)
{
    HF_CLEANUP(db_tx_abort) struct db_tx *tx = NULL;
    const char *id = add_external();
    const struct hf_status failed = {.code = HF_DATA_LOSS, .message = "broken"};
    const struct jobs_job *list = NULL;
    struct jobs_job job;
    size_t len = 0;

    (void)unused;
    begin(&tx);
    must(jobs_external_claim(&ctx, tx, id, &job));
    must(jobs_external_finish(&ctx, tx, jobs, id, failed, NULL));
    must(jobs_dead_list(&ctx, tx, NULL, 10, &list, &len));
    assert_int_equal(len, 1);
    assert_string_equal(list[0].id, id);
    assert_int_equal(list[0].error.code, HF_DATA_LOSS);
    assert_string_equal(list[0].error.message, "broken");
    must(jobs_discard(&ctx, tx, id));
    must(jobs_dead_list(&ctx, tx, NULL, 10, &list, &len));
    assert_int_equal(len, 0);
    must(jobs_get(&ctx, tx, id, &job));
    assert_int_equal(job.state, JOBS_FAILED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_cancel__pending_job_ends_at_once_with_its_hook, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_retry__puts_an_ended_job_back, setup, teardown),
        cmocka_unit_test_setup_teardown(test_archive__job_is_still_got_listed_and_retried, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_retry__second_one_of_an_archived_job_is_refused, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_external__is_claimed_beaten_and_finished, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_external__wrong_fence_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(test_external__cancellation_shows_in_the_beat, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_dead__failed_jobs_are_listed_until_discarded, setup,
                                        teardown),
    };
    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
