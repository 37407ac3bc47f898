/* Workers that die, zombies that do not know it, clients that go quiet: no job is lost, none has
 * two effects. */
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/check.h"
#include "base/clock.h"
#include "tests/unit/libs/jobs/jobs_fixture.h"
#include "tests/unit/unit.h"

/* A worker process of its own. */
static _Noreturn void worker_main(struct jobs_fixture *fix, const char *name)
{
    const struct db_options app = {.conninfo = fix->state->app_conninfo,
                                   .role = DB_APP,
                                   .schema = "backup",
                                   .application_name = "child"};
    struct db_options dispatch = app;
    struct jobs_options options = jobs_fixture_options(fix, name);

    dispatch.conninfo = fix->state->dispatch_conninfo;
    dispatch.role = DB_DISPATCH;
    fix->state->app = db_new(&app);
    fix->state->dispatch = db_new(&dispatch);
    options.app_db = fix->state->app;
    options.dispatch_db = fix->state->dispatch;
    struct jobs *jobs = jobs_new(&options);
    must(jobs_start(&fix->ctx, jobs));
    for (;;) {
        pause_ms(1000);
    }
}

static pid_t spawn_worker(struct jobs_fixture *fix, const char *name)
{
    pid_t pid = fork();

    HF_CHECK(pid >= 0);
    if (pid == 0) {
        worker_main(fix, name);
    }
    return pid;
}

static void kill_worker(pid_t pid)
{
    HF_CHECK(kill(pid, SIGKILL) == 0);
    HF_CHECK(waitpid(pid, NULL, 0) == pid);
}

/* A job that would run for half a minute, killed in the middle. */
static const char *start_and_kill(struct jobs_fixture *fix, const char *name,
                                  enum jobs_replay replay)
{
    const struct jobs_spec spec = {
        .kind = "work", .args = "wait", .replay = replay, .max_attempts = 3};
    const char *id = jobs_fixture_add_spec(fix, &spec);
    pid_t pid = spawn_worker(fix, name);

    jobs_fixture_await(fix, id, JOBS_RUNNING);
    while (jobs_fixture_count(fix, "runs", id) == 0) {
        pause_ms(10);
    }
    kill_worker(pid);
    assert_int_equal(jobs_fixture_get(fix, id).state, JOBS_RUNNING);
    return id;
}

static void set_args(struct jobs_fixture *fix, const char *args)
{
    state_db_sql(fix->state, hf_printf(fix->arena, "UPDATE backup.jobs SET args = '%s'", args));
}

static void test_kill__restarted_worker_takes_its_job_back_at_once(void **state)
{
    struct jobs_fixture *fix = *state;
    struct jobs_options options = jobs_fixture_options(fix, "one");
    const char *id = start_and_kill(fix, "one", JOBS_SAFE);

    set_args(fix, "effect");
    options.lease_ms = 60000; /* the proof has to do it, not the lease */
    int64_t start_us = hf_mono_us();
    fix->jobs = jobs_new(&options);
    must(jobs_start(&fix->ctx, fix->jobs));
    struct jobs_job job = jobs_fixture_await(fix, id, JOBS_SUCCEEDED);
    assert_true(hf_mono_us() - start_us < 5 * HF_US_PER_S);
    assert_int_equal(job.attempt, 2);
    assert_int_equal(jobs_fixture_count(fix, "runs", id), 2);
    assert_int_equal(jobs_fixture_count(fix, "effects", id), 1);
}

static void test_kill__another_worker_takes_over_when_the_beat_stands_still(void **state)
{
    struct jobs_fixture *fix = *state;
    const char *id = start_and_kill(fix, "one", JOBS_SAFE);

    set_args(fix, "effect");
    /* As if it had run on another host, where nothing can be proved. */
    state_db_sql(fix->state, "UPDATE backup.workers SET host = 'elsewhere'");
    jobs_fixture_start(fix, "two");
    pause_ms(1000);
    assert_int_equal(jobs_fixture_get(fix, id).state, JOBS_RUNNING);
    jobs_fixture_await(fix, id, JOBS_SUCCEEDED);
    assert_int_equal(jobs_fixture_count(fix, "effects", id), 1);
}

static void test_kill__never_ends_as_outcome_unknown(void **state)
{
    struct jobs_fixture *fix = *state;
    const char *id = start_and_kill(fix, "one", JOBS_NEVER);

    jobs_fixture_start(fix, "one");
    struct jobs_job job = jobs_fixture_await(fix, id, JOBS_OUTCOME_UNKNOWN);
    assert_string_equal(job.error.reason, "WORKER_LOST");
    assert_int_equal(jobs_fixture_count(fix, "runs", id), 1);
    assert_int_equal(jobs_fixture_count(fix, "ends", id), 1);
}

static void test_kill__observe_first_is_told_to_look(void **state)
{
    struct jobs_fixture *fix = *state;
    const char *id = start_and_kill(fix, "one", JOBS_OBSERVE_FIRST);

    set_args(fix, "effect");
    jobs_fixture_start(fix, "one");
    assert_true(jobs_fixture_await(fix, id, JOBS_SUCCEEDED).is_observe);
    assert_int_equal(
        state_db_count(fix->state, "SELECT count(*) FROM backup.runs WHERE note = 'observe'"), 1);
}

static void test_zombie__finish_changes_no_row(void **state)
{
    struct jobs_fixture *fix = *state;
    struct jobs_stats stats;

    jobs_fixture_start(fix, "one");
    const char *id = jobs_fixture_add(fix, "work", "zombie");
    jobs_fixture_await(fix, id, JOBS_RUNNING);
    /* Somebody declares the worker dead while its job goes on, deaf. */
    state_db_sql(fix->state, "UPDATE backup.workers SET is_dead = true");
    struct jobs_job job = jobs_fixture_await(fix, id, JOBS_SUCCEEDED);
    assert_int_equal(job.attempt, 2);
    pause_ms(2000); /* the zombie checks for itself that it was fenced */
    assert_int_equal(jobs_fixture_count(fix, "runs", id), 2);
    assert_int_equal(jobs_fixture_count(fix, "effects", id), 1);
    jobs_stats_get(fix->jobs, &stats);
    assert_int_equal(stats.fenced, 1);
}

static void test_external__quiet_client_loses_its_job(void **state)
{
    struct jobs_fixture *fix = *state;
    const struct jobs_spec spec = {.kind = "external", .external_ttl_s = 1};
    HF_CLEANUP(db_tx_abort) struct db_tx *tx = NULL;
    struct jobs_job job;

    jobs_fixture_start(fix, "one");
    const char *id = jobs_fixture_add_spec(fix, &spec);
    must(db_tx_begin(&fix->ctx, fix->state->app, fix->state->tenant, DB_READ_COMMITTED, &tx));
    must(jobs_external_claim(&fix->ctx, tx, id, &job));
    must(db_tx_commit(&fix->ctx, &tx));
    job = jobs_fixture_await(fix, id, JOBS_FAILED);
    assert_string_equal(job.error.reason, "LEASE_EXPIRED");
    assert_int_equal(jobs_fixture_count(fix, "ends", id), 1);
}

static void test_epoch__rise_fences_what_runs(void **state)
{
    struct jobs_fixture *fix = *state;
    jobs_fixture_start(fix, "one");
    const char *id = jobs_fixture_add(fix, "work", "wait");
    jobs_fixture_await(fix, id, JOBS_RUNNING);
    set_args(fix, "effect");
    state_db_sql(fix->state, "UPDATE backup.state_epoch SET epoch = epoch + 1");
    struct jobs_job job = jobs_fixture_await(fix, id, JOBS_SUCCEEDED);
    assert_int_equal(job.fence.epoch, 2);
    assert_int_equal(jobs_fixture_count(fix, "effects", id), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_kill__restarted_worker_takes_its_job_back_at_once,
                               jobs_fixture_refresh),
        cmocka_unit_test_setup(test_kill__another_worker_takes_over_when_the_beat_stands_still,
                               jobs_fixture_refresh),
        cmocka_unit_test_setup(test_kill__never_ends_as_outcome_unknown, jobs_fixture_refresh),
        cmocka_unit_test_setup(test_kill__observe_first_is_told_to_look, jobs_fixture_refresh),
        cmocka_unit_test_setup(test_zombie__finish_changes_no_row, jobs_fixture_refresh),
        cmocka_unit_test_setup(test_external__quiet_client_loses_its_job, jobs_fixture_refresh),
        cmocka_unit_test_setup(test_epoch__rise_fences_what_runs, jobs_fixture_refresh),
    };
    return cmocka_run_group_tests(tests, jobs_fixture_setup, jobs_fixture_teardown);
}
