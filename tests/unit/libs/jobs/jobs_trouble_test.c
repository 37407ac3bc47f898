/* What may go wrong beside a job and must not hold it up: cancellation at a bad moment, a poisoned
 * neighbour, a full Redis, a long backlog, another database behind the same address. */
#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "tests/unit/libs/jobs/jobs_fixture.h"
#include "tests/unit/unit.h"

static void test_cancel__is_not_lost_when_the_run_fails_just_then(void **state)
{
    struct jobs_fixture *fix = *state;
    jobs_fixture_start(fix, "one");
    /* The run flags its own job and fails before any beat has told it so. */
    const char *id = jobs_fixture_add(fix, "work", "flagged");
    struct jobs_job job = jobs_fixture_await(fix, id, JOBS_CANCELLED);
    assert_string_equal(job.error.reason, "CANCELLED");
    assert_int_equal(jobs_fixture_count(fix, "ends", id), 1);
}

/* As a worker that no longer lives left it. */
static const char *add_orphan(struct jobs_fixture *fix, const char *args, int max_attempts)
{
    const struct jobs_spec spec = {
        .kind = "work", .args = args, .priority = 5, .max_attempts = max_attempts};
    const char *id = jobs_fixture_add_spec(fix, &spec);

    state_db_sql(fix->state,
                 hf_printf(fix->arena,
                           "DELETE FROM backup.outbox; UPDATE backup.jobs SET state = 'running',"
                           " worker = gen_random_uuid(), attempt = 1, fence = 1, epoch = 1"
                           " WHERE id = '%s'",
                           id));
    return id;
}

static void test_reaper__poisoned_job_blocks_no_other(void **state)
{
    struct jobs_fixture *fix = *state;
    const char *poisoned = add_orphan(fix, "poison", 1);
    const char *good = add_orphan(fix, "effect", 3);

    jobs_fixture_start(fix, "one");
    jobs_fixture_await(fix, good, JOBS_SUCCEEDED);
    assert_int_equal(jobs_fixture_get(fix, poisoned).state, JOBS_RUNNING);
}

static void test_slot__is_not_kept_by_an_end_that_cannot_be_written(void **state)
{
    struct jobs_fixture *fix = *state;
    jobs_fixture_start(fix, "one");
    jobs_fixture_add(fix, "single", "poison");
    jobs_fixture_await(fix, jobs_fixture_add(fix, "single", "effect"), JOBS_SUCCEEDED);
}

static void test_reaper__works_while_redis_is_full(void **state)
{
    struct jobs_fixture *fix = *state;
    jobs_fixture_start(fix, "one");
    jobs_fixture_await(fix, jobs_fixture_add(fix, "work", "effect"), JOBS_SUCCEEDED);
    redisserver_command(fix->redis, "CONFIG SET maxmemory 1");
    jobs_fixture_await(fix, jobs_fixture_add(fix, "work", "effect"), JOBS_SUCCEEDED);
    const char *orphan = add_orphan(fix, "effect", 3);
    jobs_fixture_await(fix, orphan, JOBS_SUCCEEDED);
}

static void test_relay__long_backlog_is_pushed_in_steps(void **state)
{
    struct jobs_fixture *fix = *state;
    state_db_sql(fix->state,
                 hf_printf(fix->arena,
                           "INSERT INTO backup.jobs (tenant_id, id, kind, target, args, principal,"
                           " trace, priority, replay, max_attempts, state)"
                           " SELECT '%s', gen_random_uuid(), 'elsewhere', '', '', '', '', 5,"
                           " 'safe', 1, 'pending' FROM generate_series(1, 40000)",
                           fix->state->tenant));
    jobs_fixture_start(fix, "one");
    jobs_fixture_await(fix, jobs_fixture_add(fix, "work", "effect"), JOBS_SUCCEEDED);
    jobs_fixture_await(fix, add_orphan(fix, "effect", 3), JOBS_SUCCEEDED);
    int64_t until_us = in_ms(60000);
    while (!redisserver_has(fix->redis, "{hf:test}:complete")) {
        assert_true(hf_mono_us() < until_us);
        pause_ms(100);
    }
}

/* Whoever can write to Redis can hand out what was not asked for: here a kind that this process
 * does not have, more often than there are slots. */
static void test_claim__trusts_no_answer_of_redis(void **state)
{
    struct jobs_fixture *fix = *state;
    const char *id = jobs_fixture_add(fix, "elsewhere", "");
    redisserver_command(
        fix->redis,
        hf_printf(fix->arena,
                  "FUNCTION LOAD \"#!lua name=holdfast_jobs_1\\n"
                  "local function no() return 1 end\\n"
                  "local function claim()"
                  " local n = redis.call('INCR', 'claims')"
                  " if n > 100 then redis.call('SET', 'many', 1) end"
                  " if n > 130 then redis.call('SET', 'hot', 1) end"
                  " local f = {1} for i = 1, 500 do"
                  " f[#f + 1] = 'elsewhere' f[#f + 1] = '%s' f[#f + 1] = '%s' end return f end\\n"
                  "redis.register_function('hf_push_1', no)\\n"
                  "redis.register_function('hf_claim_1', claim)\\n"
                  "redis.register_function('hf_charge_1', no)\\n"
                  "redis.register_function('hf_complete_1', no)\"",
                  fix->state->tenant, id));
    jobs_fixture_start(fix, "one");
    /* Its relay lives: a worker's death is still noticed. */
    const char *orphan = add_orphan(fix, "effect", 1);
    jobs_fixture_await(fix, orphan, JOBS_FAILED);
    assert_int_equal(jobs_fixture_get(fix, id).state, JOBS_PENDING);
    /* And it is not asked in a hot loop: from the hundredth time on some times a second. */
    int64_t until_us = in_ms(15000);
    while (!redisserver_has(fix->redis, "many")) {
        assert_true(hf_mono_us() < until_us);
        pause_ms(20);
    }
    /* A claim that bore fruit lets a hundred more be quick: the next calm window counts. */
    until_us = in_ms(15000);
    do {
        assert_true(hf_mono_us() < until_us);
        redisserver_command(fix->redis, "SET claims 101");
        redisserver_command(fix->redis, "DEL hot");
        pause_ms(1500);
    } while (redisserver_has(fix->redis, "hot"));
}

static void test_archive__takes_all_that_is_old(void **state)
{
    struct jobs_fixture *fix = *state;
    struct jobs_options options = jobs_fixture_options(fix, "one");
    int64_t until_us = in_ms(15000);

    state_db_sql(fix->state,
                 hf_printf(fix->arena,
                           "INSERT INTO backup.jobs (tenant_id, id, kind, target, args, principal,"
                           " trace, priority, replay, max_attempts, state, end_time)"
                           " SELECT '%s', gen_random_uuid(), 'work', '', '', '', '', 5, 'safe', 1,"
                           " 'succeeded', now() - interval '1 hour' FROM generate_series(1, 1700)",
                           fix->state->tenant));
    options.keep_ended_s = 60;
    fix->jobs = jobs_new(&options);
    must(jobs_start(&fix->ctx, fix->jobs));
    while (state_db_count(fix->state, "SELECT count(*) FROM backup.jobs") > 0) {
        assert_true(hf_mono_us() < until_us);
        pause_ms(50);
    }
    assert_int_equal(state_db_count(fix->state, "SELECT count(*) FROM backup.jobs_archive"), 1700);
}

/* The connection was replaced in silence and leads to a promoted standby: its timeline is another
 * one, and fences that the old one issued may be issued again. */
static void test_epoch__rises_before_another_database_claims(void **state)
{
    struct jobs_fixture *fix = *state;
    jobs_fixture_start(fix, "one");
    jobs_fixture_await(fix, jobs_fixture_add(fix, "work", "effect"), JOBS_SUCCEEDED);
    state_db_sql(fix->state, "UPDATE backup.state_epoch SET timeline = timeline + 1");
    const char *id = jobs_fixture_add(fix, "work", "effect");
    assert_int_equal(jobs_fixture_await(fix, id, JOBS_SUCCEEDED).fence.epoch, 2);
}

static void test_stop__is_bounded_while_the_database_is_away(void **state)
{
    struct jobs_fixture *fix = *state;
    struct jobs_options options = jobs_fixture_options(fix, "one");

    options.lease_ms = 60000;
    fix->jobs = jobs_new(&options);
    must(jobs_start(&fix->ctx, fix->jobs));
    jobs_fixture_await(fix, jobs_fixture_add(fix, "work", "wait"), JOBS_RUNNING);
    pgserver_crash(fix->state->server);
    int64_t start_us = hf_mono_us();
    jobs_stop(fix->jobs, 1000);
    int64_t took_us = hf_mono_us() - start_us;
    pgserver_start(fix->state->server);
    state_db_wait(fix->state);
    assert_true(took_us < 10 * HF_US_PER_S);
}

static void test_progress__phase_may_live_in_a_short_arena(void **state)
{
    struct jobs_fixture *fix = *state;
    jobs_fixture_start(fix, "one");
    const char *id = jobs_fixture_add(fix, "work", "scratch");
    assert_string_equal(jobs_fixture_await(fix, id, JOBS_SUCCEEDED).phase, "closing");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_cancel__is_not_lost_when_the_run_fails_just_then,
                               jobs_fixture_refresh),
        cmocka_unit_test_setup(test_reaper__poisoned_job_blocks_no_other, jobs_fixture_refresh),
        cmocka_unit_test_setup(test_slot__is_not_kept_by_an_end_that_cannot_be_written,
                               jobs_fixture_refresh),
        cmocka_unit_test_setup(test_reaper__works_while_redis_is_full, jobs_fixture_refresh),
        cmocka_unit_test_setup(test_relay__long_backlog_is_pushed_in_steps, jobs_fixture_refresh),
        cmocka_unit_test_setup(test_claim__trusts_no_answer_of_redis, jobs_fixture_refresh),
        cmocka_unit_test_setup(test_archive__takes_all_that_is_old, jobs_fixture_refresh),
        cmocka_unit_test_setup(test_epoch__rises_before_another_database_claims,
                               jobs_fixture_refresh),
        cmocka_unit_test_setup(test_stop__is_bounded_while_the_database_is_away,
                               jobs_fixture_refresh),
        cmocka_unit_test_setup(test_progress__phase_may_live_in_a_short_arena,
                               jobs_fixture_refresh),
    };
    return cmocka_run_group_tests(tests, jobs_fixture_setup, jobs_fixture_teardown);
}
