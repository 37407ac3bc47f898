/* Workers with Redis: outcomes, retries, cancellation, deferral, drain. */
#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "tests/unit/libs/jobs/jobs_fixture.h"
#include "tests/unit/unit.h"

static void test_worker__runs_a_job_and_its_effect_once(void **state)
{
    struct jobs_fixture *fix = *state;
    const char *id = jobs_fixture_add(fix, "work", "effect");
    struct jobs_job job = jobs_fixture_await(fix, id, JOBS_SUCCEEDED);
    assert_int_equal(job.attempt, 1);
    assert_string_equal(job.result, "made");
    assert_true(job.start_us > 0 && job.end_us >= job.start_us);
    assert_int_equal(jobs_fixture_count(fix, "effects", id), 1);
    assert_int_equal(jobs_fixture_count(fix, "runs", id), 1);
    /* It wrote its end itself. */
    assert_int_equal(jobs_fixture_count(fix, "ends", id), 0);
}

static void test_worker__success_without_effects_calls_the_hook(void **state)
{
    struct jobs_fixture *fix = *state;
    const char *id = jobs_fixture_add(fix, "work", "ok");
    jobs_fixture_await(fix, id, JOBS_SUCCEEDED);
    assert_int_equal(jobs_fixture_count(fix, "ends", id), 1);
}

static void test_worker__failure_keeps_its_reason(void **state)
{
    struct jobs_fixture *fix = *state;
    const char *id = jobs_fixture_add(fix, "work", "fail");
    struct jobs_job job = jobs_fixture_await(fix, id, JOBS_FAILED);
    assert_int_equal(job.error.code, HF_INVALID_ARGUMENT);
    assert_string_equal(job.error.reason, "BAD_THING");
    assert_string_equal(job.error.message, "it is bad \xef\xbf\xbd");
    assert_int_equal(job.attempt, 1);
    assert_int_equal(jobs_fixture_count(fix, "ends", id), 1);
}

static void test_worker__unavailable_is_tried_again_after_a_pause(void **state)
{
    struct jobs_fixture *fix = *state;
    const char *id = jobs_fixture_add(fix, "work", "flaky");
    struct jobs_job job = jobs_fixture_await(fix, id, JOBS_SUCCEEDED);
    assert_int_equal(job.attempt, 3);
    assert_int_equal(jobs_fixture_count(fix, "runs", id), 3);
    assert_int_equal(jobs_fixture_count(fix, "effects", id), 1);
    assert_int_equal(job.error.code, HF_OK);
}

static void test_worker__attempts_run_out(void **state)
{
    struct jobs_fixture *fix = *state;
    const struct jobs_spec spec = {.kind = "work", .args = "flaky", .max_attempts = 2};

    const char *id = jobs_fixture_add_spec(fix, &spec);
    struct jobs_job job = jobs_fixture_await(fix, id, JOBS_FAILED);
    assert_int_equal(job.attempt, 2);
    assert_int_equal(job.error.code, HF_UNAVAILABLE);
}

static struct jobs_job cancel(struct jobs_fixture *fix, const char *id)
{
    HF_CLEANUP(db_tx_abort) struct db_tx *tx = NULL;
    struct jobs_job job;

    must(db_tx_begin(&fix->ctx, fix->state->app, fix->state->tenant, DB_READ_COMMITTED, &tx));
    must(jobs_cancel(&fix->ctx, tx, fix->jobs, id, &job));
    must(db_tx_commit(&fix->ctx, &tx));
    jobs_wake(fix->jobs);
    return job;
}

static void test_cancel__reaches_a_running_job(void **state)
{
    struct jobs_fixture *fix = *state;
    const char *id = jobs_fixture_add(fix, "work", "wait");
    jobs_fixture_await(fix, id, JOBS_RUNNING);
    int64_t start_us = hf_mono_us();
    assert_int_equal(cancel(fix, id).state, JOBS_RUNNING);
    struct jobs_job job = jobs_fixture_await(fix, id, JOBS_CANCELLED);
    assert_true(hf_mono_us() - start_us < 2 * HF_US_PER_S);
    assert_string_equal(job.error.reason, "CANCELLED");
    assert_int_equal(jobs_fixture_count(fix, "ends", id), 1);
}

static void test_defer__waits_without_spending_attempts(void **state)
{
    struct jobs_fixture *fix = *state;
    const char *ids[4];

    state_db_sql(fix->state, "INSERT INTO backup.down VALUES (1)");
    for (size_t i = 0; i < HF_LEN(ids); i++) {
        const struct jobs_spec spec = {.kind = "work", .args = "defer", .max_attempts = 1};
        ids[i] = jobs_fixture_add_spec(fix, &spec);
    }
    pause_ms(1500);
    for (size_t i = 0; i < HF_LEN(ids); i++) {
        struct jobs_job job = jobs_fixture_get(fix, ids[i]);
        assert_true(job.state == JOBS_PENDING || job.state == JOBS_RUNNING);
        assert_true(job.attempt <= 1);
    }
    state_db_sql(fix->state, "DELETE FROM backup.down");
    for (size_t i = 0; i < HF_LEN(ids); i++) {
        struct jobs_job job = jobs_fixture_await(fix, ids[i], JOBS_SUCCEEDED);
        assert_int_equal(job.attempt, 1);
    }
}

static void test_run_at__is_waited_for(void **state)
{
    struct jobs_fixture *fix = *state;
    const struct jobs_spec spec = {
        .kind = "work", .args = "effect", .run_at_us = hf_now_us() + HF_US_PER_S};

    const char *id = jobs_fixture_add_spec(fix, &spec);
    pause_ms(500);
    struct jobs_job job = jobs_fixture_get(fix, id);
    assert_int_equal(job.state, JOBS_PENDING);
    assert_int_equal(job.run_at_us, spec.run_at_us);
    job = jobs_fixture_await(fix, id, JOBS_SUCCEEDED);
    assert_true(job.start_us >= spec.run_at_us);
}

static void test_deadline__ends_a_job_that_runs_and_one_that_waits(void **state)
{
    struct jobs_fixture *fix = *state;
    const struct jobs_spec running = {
        .kind = "work", .args = "wait", .deadline_us = hf_now_us() + HF_US_PER_S};
    const struct jobs_spec waiting = {.kind = "work",
                                      .args = "effect",
                                      .run_at_us = hf_now_us() + 60 * HF_US_PER_S,
                                      .deadline_us = hf_now_us() + HF_US_PER_S};

    const char *a = jobs_fixture_add_spec(fix, &running);
    const char *b = jobs_fixture_add_spec(fix, &waiting);
    assert_string_equal(jobs_fixture_await(fix, a, JOBS_FAILED).error.reason, "DEADLINE");
    assert_string_equal(jobs_fixture_await(fix, b, JOBS_FAILED).error.reason, "DEADLINE");
    assert_int_equal(jobs_fixture_count(fix, "runs", b), 0);
}

static void test_slots__bound_a_kind(void **state)
{
    struct jobs_fixture *fix = *state;
    const char *ids[3];

    for (size_t i = 0; i < HF_LEN(ids); i++) {
        ids[i] = jobs_fixture_add(fix, "single", "slow");
    }
    int64_t end_us = 0;
    for (size_t i = 0; i < HF_LEN(ids); i++) {
        struct jobs_job job = jobs_fixture_await(fix, ids[i], JOBS_SUCCEEDED);
        assert_true(end_us == 0 || job.start_us >= end_us || job.end_us <= end_us);
        end_us = job.end_us > end_us ? job.end_us : end_us;
    }
}

static void test_worker__many_jobs_without_effects_all_end(void **state)
{
    struct jobs_fixture *fix = *state;
    HF_CLEANUP(db_tx_abort) struct db_tx *tx = NULL;
    const struct jobs_spec spec = {.kind = "plain"};
    const char *id = NULL;
    int64_t until_us = in_ms(20000);

    for (int i = 0; i < 2000; i++) {
        if (tx == NULL) {
            must(db_tx_begin(&fix->ctx, fix->state->app,
                             i < 1000 ? fix->state->tenant : fix->state->other, DB_READ_COMMITTED,
                             &tx));
        }
        must(jobs_add(&fix->ctx, tx, &spec, &id, NULL));
        if (i % 100 == 99) {
            must(db_tx_commit(&fix->ctx, &tx));
            jobs_wake(fix->jobs);
        }
    }
    while (state_db_count(fix->state, "SELECT count(*) FROM backup.all_jobs"
                                      " WHERE kind='plain' AND state='succeeded'") < 2000) {
        assert_true(hf_mono_us() < until_us);
        pause_ms(50);
    }
    assert_int_equal(
        state_db_count(fix->state, "SELECT count(*) FROM backup.outbox WHERE kind='plain'"), 0);
}

/* Last: it stops the hub of the group. */
static void test_stop__puts_running_jobs_back_without_spending_attempts(void **state)
{
    struct jobs_fixture *fix = *state;
    const struct jobs_spec spec = {.kind = "work", .args = "wait", .max_attempts = 1};

    const char *id = jobs_fixture_add_spec(fix, &spec);
    jobs_fixture_await(fix, id, JOBS_RUNNING);
    jobs_fixture_stop(fix);
    struct jobs_job job = jobs_fixture_get(fix, id);
    assert_int_equal(job.state, JOBS_PENDING);
    assert_int_equal(job.attempt, 0);
    assert_int_equal(
        state_db_count(fix->state, "SELECT count(*) FROM backup.workers WHERE NOT is_dead"), 0);
}

/* It ends that job with a reason; the process and its other jobs go on. */
static void test_worker__memory_over_the_limit_fails_the_job(void **state)
{
    struct jobs_fixture *fix = *state;
    static const char *const kinds[] = {"work", "plain"};

    for (size_t i = 0; i < HF_LEN(kinds); i++) {
        const struct jobs_spec spec = {
            .kind = kinds[i], .args = "over", .priority = 5, .max_attempts = 1};
        const char *id = jobs_fixture_add_spec(fix, &spec);
        struct jobs_job job = jobs_fixture_await(fix, id, JOBS_FAILED);
        assert_int_equal(job.error.code, HF_RESOURCE_EXHAUSTED);
        assert_string_equal(job.error.reason, "MEMORY_LIMIT");
        jobs_fixture_await(fix, jobs_fixture_add(fix, kinds[i], "ok"), JOBS_SUCCEEDED);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_worker__runs_a_job_and_its_effect_once),
        cmocka_unit_test(test_worker__success_without_effects_calls_the_hook),
        cmocka_unit_test(test_worker__failure_keeps_its_reason),
        cmocka_unit_test(test_worker__memory_over_the_limit_fails_the_job),
        cmocka_unit_test(test_worker__unavailable_is_tried_again_after_a_pause),
        cmocka_unit_test(test_worker__attempts_run_out),
        cmocka_unit_test(test_cancel__reaches_a_running_job),
        cmocka_unit_test(test_defer__waits_without_spending_attempts),
        cmocka_unit_test(test_run_at__is_waited_for),
        cmocka_unit_test(test_deadline__ends_a_job_that_runs_and_one_that_waits),
        cmocka_unit_test(test_slots__bound_a_kind),
        cmocka_unit_test(test_worker__many_jobs_without_effects_all_end),
        cmocka_unit_test(test_stop__puts_running_jobs_back_without_spending_attempts),
    };
    return cmocka_run_group_tests(tests, jobs_fixture_setup_started, jobs_fixture_teardown);
}
