/* What may go wrong beside a job and must not hold it up: cancellation at a bad moment, a poisoned
 * neighbour, a full Redis, a long backlog, another database behind the same address. */
#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "tests/unit/libs/jobs/jobs_fixture.h"
#include "tests/unit/unit.h"

static struct jobs_fixture *fix;

static int group_setup(void **unused)
{
    (void)unused;
    fix = jobs_fixture_new(true);
    return 0;
}

static int group_teardown(void **unused)
{
    (void)unused;
    jobs_fixture_free(fix);
    return 0;
}

static int reset(void **unused)
{
    (void)unused;
    jobs_fixture_reset(fix);
    return 0;
}

static void test_cancel__is_not_lost_when_the_run_fails_just_then(void **unused)
{
    (void)unused;
    jobs_fixture_start(fix, "one");
    /* The run flags its own job and fails before any beat has told it so. */
    const char *id = jobs_fixture_add(fix, "work", "flagged");
    struct jobs_job job = jobs_fixture_await(fix, id, JOBS_CANCELLED);
    assert_string_equal(job.error.reason, "CANCELLED");
    assert_int_equal(jobs_fixture_count(fix, "ends", id), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_cancel__is_not_lost_when_the_run_fails_just_then, reset),
    };
    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
