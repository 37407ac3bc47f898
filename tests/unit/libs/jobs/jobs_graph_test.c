/* Jobs that wait for others. */
#include <string.h>

#include "base/check.h"
#include "tests/unit/libs/jobs/jobs_fixture.h"
#include "tests/unit/unit.h"

static const char *add_after(struct jobs_fixture *fix, const char *args, const char *const *after,
                             size_t after_len)
{
    const struct jobs_spec spec = {
        .kind = "work", .args = args, .after = after, .after_len = after_len};
    return jobs_fixture_add_spec(fix, &spec);
}

static void test_after__child_runs_when_all_parents_succeeded(void **state)
{
    struct jobs_fixture *fix = *state;
    const char *parents[3];

    parents[0] = jobs_fixture_add(fix, "work", "slow");
    parents[1] = jobs_fixture_add(fix, "work", "slow");
    parents[2] = jobs_fixture_add(fix, "plain", "");
    const char *child = add_after(fix, "effect", parents, 3);
    const char *grandchild = add_after(fix, "effect", &child, 1);
    struct jobs_job last = jobs_fixture_await(fix, grandchild, JOBS_SUCCEEDED);
    struct jobs_job middle = jobs_fixture_get(fix, child);
    assert_int_equal(middle.state, JOBS_SUCCEEDED);
    assert_true(last.start_us >= middle.end_us);
    for (size_t i = 0; i < 3; i++) {
        struct jobs_job parent = jobs_fixture_get(fix, parents[i]);
        assert_int_equal(parent.state, JOBS_SUCCEEDED);
        assert_true(middle.start_us >= parent.end_us);
    }
}

static void test_after__ended_parents_do_not_hold_a_child(void **state)
{
    struct jobs_fixture *fix = *state;
    const char *parent = jobs_fixture_add(fix, "work", "effect");
    jobs_fixture_await(fix, parent, JOBS_SUCCEEDED);
    jobs_fixture_await(fix, add_after(fix, "effect", &parent, 1), JOBS_SUCCEEDED);
}

static void test_after__failure_takes_all_descendants_along(void **state)
{
    struct jobs_fixture *fix = *state;
    const char *both[2];

    const char *parent = jobs_fixture_add(fix, "work", "wait");
    both[0] = add_after(fix, "effect", &parent, 1);
    both[1] = add_after(fix, "effect", &parent, 1);
    const char *grandchild = add_after(fix, "effect", both, 2);
    {
        HF_CLEANUP(db_tx_abort) struct db_tx *tx = NULL;
        struct jobs_job job;
        must(db_tx_begin(&fix->ctx, fix->state->app, fix->state->tenant, DB_READ_COMMITTED, &tx));
        must(jobs_cancel(&fix->ctx, tx, fix->jobs, parent, &job));
        must(db_tx_commit(&fix->ctx, &tx));
        jobs_wake(fix->jobs);
    }
    struct jobs_job last = jobs_fixture_await(fix, grandchild, JOBS_FAILED);
    assert_string_equal(last.error.reason, "PARENT_FAILED");
    assert_int_equal(jobs_fixture_count(fix, "ends", both[0]), 1);
    assert_int_equal(jobs_fixture_count(fix, "runs", grandchild), 0);
}

static void test_after__failed_parent_is_refused(void **state)
{
    struct jobs_fixture *fix = *state;
    HF_CLEANUP(db_tx_abort) struct db_tx *tx = NULL;
    const char *id = NULL;

    const char *parent = jobs_fixture_add(fix, "work", "fail");
    jobs_fixture_await(fix, parent, JOBS_FAILED);
    const struct jobs_spec spec = {.kind = "work", .after = &parent, .after_len = 1};
    must(db_tx_begin(&fix->ctx, fix->state->app, fix->state->tenant, DB_READ_COMMITTED, &tx));
    assert_int_equal(jobs_add(&fix->ctx, tx, &spec, &id, NULL).code, HF_FAILED_PRECONDITION);
}

static void test_after__many_parents_that_end_together_release_once(void **state)
{
    struct jobs_fixture *fix = *state;
    const char *parents[40];
    const char *children[5];

    for (size_t i = 0; i < HF_LEN(parents); i++) {
        parents[i] = jobs_fixture_add(fix, "plain", "");
    }
    for (size_t i = 0; i < HF_LEN(children); i++) {
        children[i] = add_after(fix, "effect", parents, HF_LEN(parents));
    }
    for (size_t i = 0; i < HF_LEN(children); i++) {
        jobs_fixture_await(fix, children[i], JOBS_SUCCEEDED);
        assert_int_equal(jobs_fixture_count(fix, "runs", children[i]), 1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_after__child_runs_when_all_parents_succeeded),
        cmocka_unit_test(test_after__ended_parents_do_not_hold_a_child),
        cmocka_unit_test(test_after__failure_takes_all_descendants_along),
        cmocka_unit_test(test_after__failed_parent_is_refused),
        cmocka_unit_test(test_after__many_parents_that_end_together_release_once),
    };
    return cmocka_run_group_tests(tests, jobs_fixture_setup_started, jobs_fixture_teardown);
}
