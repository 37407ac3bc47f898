/* Rows that no release writes: refused by CHECKs; where they stand all the same, shown as damaged,
 * and in nobody's way. */
#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "db/migrate.h"
#include "tests/unit/libs/jobs/jobs_fixture.h"
#include "tests/unit/unit.h"

/* One value that a row must not hold. */
static const struct damage {
    const char *what; /* assignment of an UPDATE */
    bool is_shown;    /* as DAMAGED_ROW; else the value is brought inside while it is read */
} damages[] = {
    {"state = 'x'", true},
    {"state = repeat('x', 1000000)", true},
    {"replay = ''", true},
    {"error_code = 99", true},
    {"error_code = -1", true},
    {"deadline = '11476-01-01'", false},
    {"deadline = 'infinity'", false},
    {"create_time = '-infinity'", false},
    {"create_time = '4713-01-01 BC'", false},
    {"start_time = '294276-01-01', end_time = 'infinity'", false},
    {"done_bytes = -9223372036854775808, total_bytes = -1", false},
    {"attempt = 2147483647", false},
    {"attempt = -2147483648", false},
    {"priority = 32767", false},
    {"fence = 9223372036854775807", false},
    {"revision = 9223372036854775806", false},
    {"target = repeat(chr(8364), 700000)", false},
    {"args = repeat('x', 2000000)", false},
    {"principal = repeat('x', 2000000)", false},
    {"kind = repeat('x', 3000000)", false},
    {"phase = repeat('x', 2000000)", false},
    {"error_message = repeat('x', 70000000)", false},
    {"error_reason = repeat('x', 3000000)", false},
    {"result = repeat('x', 2000000)", false},
    {"dependency = repeat('x', 3000000)", false},
};

static const char sql_no_checks[] =
    "DO $$ DECLARE c record; BEGIN FOR c IN SELECT conrelid::regclass AS tab, conname"
    " FROM pg_constraint WHERE contype = 'c' AND connamespace = 'backup'::regnamespace"
    " AND conrelid IN ('backup.jobs'::regclass, 'backup.jobs_archive'::regclass,"
    " 'backup.outbox'::regclass)"
    " LOOP EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %I', c.tab, c.conname); END LOOP; END $$";

static void test_checks__refuse_what_readers_cannot_hold(void **state)
{
    struct jobs_fixture *fix = *state;
    const char *id = jobs_fixture_add(fix, "work", "ok");
    for (size_t i = 0; i < HF_LEN(damages); i++) {
        const char *refused = state_db_sql(
            fix->state,
            hf_printf(fix->arena,
                      "SET client_min_messages = error; CREATE TEMP TABLE seen (code text);"
                      "DO $$ BEGIN UPDATE backup.jobs SET %s WHERE id = '%s';"
                      " EXCEPTION WHEN check_violation THEN INSERT INTO seen VALUES ('refused');"
                      " END $$; SELECT coalesce(max(code), 'taken') FROM seen",
                      damages[i].what, id));
        if (strcmp(refused, "refused") != 0) {
            fail_msg("%s is %s", damages[i].what, refused);
        }
    }
}

/* Jobs as a previous release could have left them are migrated, and stay. Runs before the tests
 * that leave the table without its constraints. */
static void test_migration__brings_old_rows_inside(void **state)
{
    struct jobs_fixture *fix = *state;
    struct db_schema schema = jobs_schema("backup");

    state_db_sql(fix->state, sql_no_checks);
    for (size_t i = 0; i < HF_LEN(damages); i++) {
        const char *id = jobs_fixture_add(fix, "work", "ok");
        state_db_sql(fix->state, hf_printf(fix->arena, "UPDATE backup.jobs SET %s WHERE id = '%s'",
                                           damages[i].what, id));
    }
    state_db_sql(fix->state,
                 hf_printf(fix->arena,
                           "INSERT INTO backup.requests (tenant_id, method, request_id,"
                           " request_hash, response) VALUES ('%s', 'M', 'old', sha256('secret'),"
                           " 'reply'); DELETE FROM platform.schema_migrations"
                           " WHERE component = 'jobs' AND version = 2",
                           fix->state->tenant));
    must(db_migrate(&fix->ctx, fix->state->migrate_conninfo, &schema, 1));
    assert_int_equal(state_db_count(fix->state, "SELECT count(*) FROM backup.jobs"),
                     HF_LEN(damages));
    assert_int_equal(
        state_db_count(fix->state, "SELECT count(*) FROM backup.requests WHERE request_hash <> ''"),
        0);
    test_checks__refuse_what_readers_cannot_hold(state);
}

/* A record of before is known by its id; one of now by its digest as well. */
static void test_request__unkeyed_hash_of_before_is_forgotten(void **state)
{
    struct jobs_fixture *fix = *state;
    const struct hf_bytes digest = {(const uint8_t *)"0123456789abcdef", 16};
    const struct hf_bytes *known = NULL;
    HF_CLEANUP(db_tx_abort) struct db_tx *tx = NULL;

    must(db_tx_begin(&fix->ctx, fix->state->app, fix->state->tenant, DB_READ_COMMITTED, &tx));
    must(jobs_request_begin(&fix->ctx, tx, "M", "old", digest, &known));
    assert_non_null(known);
    assert_memory_equal(known->ptr, "reply", 5);
}

static size_t list_all(struct jobs_fixture *fix, const struct jobs_job **ret_jobs)
{
    HF_CLEANUP(db_tx_abort) struct db_tx *tx = NULL;
    const struct jobs_filter filter = {.state = -1, .limit = 1000};
    size_t len = 0;

    must(db_tx_begin(&fix->ctx, fix->state->app, fix->state->tenant, DB_READ_COMMITTED, &tx));
    must(jobs_list(&fix->ctx, tx, &filter, ret_jobs, &len));
    return len;
}

static bool see(const struct jobs_job *job, struct hf_status status, void *arg)
{
    atomic_int *seen = arg;

    HF_CHECK(hf_is_ok(status) && job != NULL);
    atomic_fetch_add(seen, 1);
    return false;
}

static void watch_one(struct jobs_fixture *fix, const char *id)
{
    atomic_int seen = 0;
    struct jobs_watch *watch = NULL;
    const struct jobs_watcher watcher = {see, &seen};
    int64_t until_us = in_ms(10000);

    must(jobs_watch_open(&fix->ctx, fix->jobs, fix->state->tenant, id, &watcher, &watch));
    while (atomic_load(&seen) == 0) {
        HF_CHECK(hf_mono_us() < until_us);
        pause_ms(10);
    }
    jobs_unwatch(watch);
}

static void expect_readable(const struct jobs_job *job, bool is_shown)
{
    assert_int_equal(job->is_damaged, is_shown);
    if (is_shown) {
        assert_int_equal(job->state, JOBS_OUTCOME_UNKNOWN);
        assert_string_equal(job->error.reason, "DAMAGED_ROW");
        assert_int_equal(job->error.code, HF_DATA_LOSS);
    }
    assert_true(job->create_us == 0 || hf_time_in_range(job->create_us));
    assert_true(job->deadline_us == 0 || hf_time_in_range(job->deadline_us));
    assert_true(job->end_us == 0 || hf_time_in_range(job->end_us));
    assert_true(job->done_bytes >= 0 && job->total_bytes >= 0 && job->attempt >= 0);
    assert_true(strlen(job->target) <= 4096 && strlen(job->error.message) <= 16000);
}

/* All of them on one page, each also got and watched. */
static void test_damage__is_got_listed_and_watched(void **state)
{
    struct jobs_fixture *fix = *state;
    const struct jobs_job *jobs = NULL;
    const char *ids[HF_LEN(damages)];

    state_db_sql(fix->state, sql_no_checks);
    jobs_fixture_start(fix, "one");
    for (size_t i = 0; i < HF_LEN(damages); i++) {
        ids[i] = jobs_fixture_add(fix, "external", "ok");
        state_db_sql(fix->state, hf_printf(fix->arena, "UPDATE backup.jobs SET %s WHERE id = '%s'",
                                           damages[i].what, ids[i]));
    }
    assert_int_equal(list_all(fix, &jobs), HF_LEN(damages));
    for (size_t i = 0; i < HF_LEN(damages); i++) {
        struct jobs_job job = jobs_fixture_get(fix, ids[i]);
        expect_readable(&job, damages[i].is_shown);
        watch_one(fix, ids[i]);
    }
    for (size_t i = 0; i < HF_LEN(damages); i++) {
        assert_true(jobs[i].state < JOBS_STATES);
    }
}

/* Pending, overdue and orphaned ones among good ones: those run, end and are reaped. */
static void test_damage__keeps_no_other_job_waiting(void **state)
{
    struct jobs_fixture *fix = *state;
    static const char *const places[] = {
        "state = 'pending', run_at = '-infinity', priority = 0",
        "state = 'waiting', deadline = '-infinity'",
        "state = 'running', worker = gen_random_uuid(), epoch = 1",
    };

    state_db_sql(fix->state, sql_no_checks);
    for (size_t i = 0; i < HF_LEN(damages); i++) {
        const char *id = jobs_fixture_add(fix, "single", "ok");
        state_db_sql(fix->state, hf_printf(fix->arena,
                                           "UPDATE backup.jobs SET %s WHERE id = '%s';"
                                           "UPDATE backup.jobs SET %s WHERE id = '%s'",
                                           places[i % HF_LEN(places)], id, damages[i].what, id));
    }
    jobs_fixture_start(fix, "one");
    for (int i = 0; i < 3; i++) {
        jobs_fixture_await(fix, jobs_fixture_add(fix, "single", "effect"), JOBS_SUCCEEDED);
        jobs_fixture_await(fix, jobs_fixture_add(fix, "plain", "ok"), JOBS_SUCCEEDED);
    }
    const char *orphan = jobs_fixture_add(fix, "external", "ok");
    state_db_sql(fix->state,
                 hf_printf(fix->arena,
                           "UPDATE backup.jobs SET kind = 'work', args = 'effect',"
                           " external_ttl_s = 0, state = 'running', worker = gen_random_uuid(),"
                           " attempt = 1, fence = 1, epoch = 1 WHERE id = '%s'",
                           orphan));
    jobs_fixture_await(fix, orphan, JOBS_SUCCEEDED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_checks__refuse_what_readers_cannot_hold, jobs_fixture_refresh),
        cmocka_unit_test_setup(test_migration__brings_old_rows_inside, jobs_fixture_refresh),
        cmocka_unit_test(test_request__unkeyed_hash_of_before_is_forgotten),
        cmocka_unit_test_setup(test_damage__is_got_listed_and_watched, jobs_fixture_refresh),
        cmocka_unit_test_setup(test_damage__keeps_no_other_job_waiting, jobs_fixture_refresh),
    };

    return cmocka_run_group_tests(tests, jobs_fixture_setup_plain, jobs_fixture_teardown);
}
