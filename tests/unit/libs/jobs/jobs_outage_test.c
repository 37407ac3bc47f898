/* Redis flushed or gone, PostgreSQL killed and started again, in the middle of the work: no job is
 * lost, none has two effects. */
#include "base/check.h"
#include "base/clock.h"
#include "tests/unit/libs/jobs/jobs_fixture.h"
#include "tests/unit/unit.h"

static void await_all(struct jobs_fixture *fix, const char *const *ids, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        jobs_fixture_await(fix, ids[i], JOBS_SUCCEEDED);
        assert_int_equal(jobs_fixture_count(fix, "effects", ids[i]), 1);
    }
}

static void add_many(struct jobs_fixture *fix, const char **ids, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        ids[i] = jobs_fixture_add(fix, "work", "slow");
    }
}

static void test_redis__flush_in_the_middle_loses_no_job(void **state)
{
    struct jobs_fixture *fix = *state;
    const char *ids[40];

    jobs_fixture_start(fix, "one");
    add_many(fix, ids, HF_LEN(ids));
    pause_ms(400);
    redisserver_command(fix->redis, "FLUSHALL");
    await_all(fix, ids, HF_LEN(ids));
}

static void test_redis__kill_in_the_middle_loses_no_job(void **state)
{
    struct jobs_fixture *fix = *state;
    const char *ids[40];
    struct jobs_stats stats;

    jobs_fixture_start(fix, "one");
    add_many(fix, ids, 20);
    pause_ms(300);
    redisserver_kill(fix->redis);
    add_many(fix, ids + 20, 10);
    await_all(fix, ids, 30);
    redisserver_start(fix->redis);
    add_many(fix, ids + 30, 10);
    await_all(fix, ids, 40);
    int64_t until_us = in_ms(15000);
    do {
        pause_ms(50);
        jobs_stats_get(fix->jobs, &stats);
        assert_true(hf_mono_us() < until_us);
    } while (!stats.is_redis_up);
}

static void test_redis__down_from_the_start_is_no_obstacle(void **state)
{
    struct jobs_fixture *fix = *state;
    const char *ids[10];

    redisserver_kill(fix->redis);
    jobs_fixture_start(fix, "one");
    add_many(fix, ids, HF_LEN(ids));
    await_all(fix, ids, HF_LEN(ids));
}

/* Of all runs of a kind by one tenant, those that overlap one moment. */
static size_t most_at_once(const struct jobs_job *jobs, size_t len)
{
    size_t most = 0;

    for (size_t i = 0; i < len; i++) {
        size_t count = 0;
        for (size_t k = 0; k < len; k++) {
            count += jobs[k].start_us <= jobs[i].start_us && jobs[i].start_us < jobs[k].end_us;
        }
        most = count > most ? count : most;
    }
    return most;
}

static void share_a_kind(struct jobs_fixture *fix)
{
    HF_CLEANUP(db_tx_abort) struct db_tx *tx = NULL;
    const struct jobs_spec spec = {.kind = "shared", .args = "effect"};
    struct jobs_job jobs[6];
    const char *ids[HF_LEN(jobs)];
    const char *other = NULL;

    for (size_t i = 0; i < HF_LEN(ids); i++) {
        ids[i] = jobs_fixture_add(fix, "shared", "slow");
    }
    must(db_tx_begin(&fix->ctx, fix->state->app, fix->state->other, DB_READ_COMMITTED, &tx));
    must(jobs_add(&fix->ctx, tx, &spec, &other, NULL));
    must(db_tx_commit(&fix->ctx, &tx));
    jobs_wake(fix->jobs);
    for (size_t i = 0; i < HF_LEN(ids); i++) {
        jobs[i] = jobs_fixture_await(fix, ids[i], JOBS_SUCCEEDED);
    }
    assert_int_equal(most_at_once(jobs, HF_LEN(jobs)), 2);
    /* It waited for none of them: two slots are the first tenant's, the third was free. */
    must(db_tx_begin(&fix->ctx, fix->state->app, fix->state->other, DB_READ_COMMITTED, &tx));
    struct jobs_job job;
    must(jobs_get(&fix->ctx, tx, other, &job));
    assert_int_equal(job.state, JOBS_SUCCEEDED);
    int64_t first_end_us = INT64_MAX;
    for (size_t i = 0; i < HF_LEN(jobs); i++) {
        first_end_us = jobs[i].end_us < first_end_us ? jobs[i].end_us : first_end_us;
    }
    assert_true(job.start_us < first_end_us + 200 * 1000);
}

static void test_kind__is_shared_by_tenants_with_and_without_redis(void **state)
{
    struct jobs_fixture *fix = *state;

    jobs_fixture_start(fix, "one");
    share_a_kind(fix);
    redisserver_kill(fix->redis);
    share_a_kind(fix);
}

static void test_postgres__restart_in_the_middle_loses_no_job(void **state)
{
    struct jobs_fixture *fix = *state;
    const char *ids[30];

    jobs_fixture_start(fix, "one");
    add_many(fix, ids, HF_LEN(ids));
    pause_ms(400);
    pgserver_crash(fix->state->server);
    pause_ms(300);
    pgserver_start(fix->state->server);
    state_db_wait(fix->state);
    await_all(fix, ids, HF_LEN(ids));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_redis__flush_in_the_middle_loses_no_job, jobs_fixture_refresh),
        cmocka_unit_test_setup(test_kind__is_shared_by_tenants_with_and_without_redis,
                               jobs_fixture_refresh),
        cmocka_unit_test_setup(test_redis__kill_in_the_middle_loses_no_job, jobs_fixture_refresh),
        cmocka_unit_test_setup(test_redis__down_from_the_start_is_no_obstacle,
                               jobs_fixture_refresh),
        cmocka_unit_test_setup(test_postgres__restart_in_the_middle_loses_no_job,
                               jobs_fixture_refresh),
    };
    return cmocka_run_group_tests(tests, jobs_fixture_setup, jobs_fixture_teardown);
}
