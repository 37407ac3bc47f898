/* Jobs as rows: adding, reading, idempotency, and the walls between tenants. No worker runs. */
#include <string.h>

#include "auth/queries_sql.h"
#include "base/check.h"
#include "base/pool.h"
#include "jobs/jobs.h"
#include "jobs/queries_sql.h"
#include "tests/unit/libs/db/state_db.h"
#include "tests/unit/unit.h"

static struct state_db *state;
static struct hf_arena *arena;
static struct hf_ctx ctx;

static int group_setup(void **unused)
{
    (void)unused;
    state = state_db_new();
    return 0;
}

static int group_teardown(void **unused)
{
    (void)unused;
    state_db_free(state);
    return 0;
}

static int setup(void **unused)
{
    (void)unused;
    arena = hf_arena_new((size_t)16 * 1024 * 1024);
    ctx = (struct hf_ctx){.arena = arena, .deadline_us = in_ms(30000)};
    return 0;
}

static int teardown(void **unused)
{
    (void)unused;
    hf_arena_free(arena);
    return 0;
}

static void begin(const char *tenant, struct db_tx **tx)
{
    must(db_tx_begin(&ctx, state->app, tenant, DB_READ_COMMITTED, tx));
}

static const char *add(const char *tenant, const struct jobs_spec *spec)
{
    HF_CLEANUP(db_tx_abort) struct db_tx *tx = NULL;
    const char *id = NULL;

    begin(tenant, &tx);
    must(jobs_add(&ctx, tx, spec, &id, NULL));
    must(db_tx_commit(&ctx, &tx));
    return id;
}

static void test_add__job_comes_back_as_it_was_given(void **unused)
{
    HF_CLEANUP(db_tx_abort) struct db_tx *tx = NULL;
    const struct jobs_spec spec = {.kind = "copy",
                                   .target = "tenants/default/things/1",
                                   .args = "{\"n\": 1}",
                                   .principal = "client/alice",
                                   .priority = 3,
                                   .max_attempts = 7,
                                   .replay = JOBS_OBSERVE_FIRST};
    struct jobs_job job;

    (void)unused;
    const char *id = add(state->tenant, &spec);
    begin(state->tenant, &tx);
    must(jobs_get(&ctx, tx, id, &job));
    assert_string_equal(job.kind, "copy");
    assert_string_equal(job.target, spec.target);
    assert_string_equal(job.args, spec.args);
    assert_string_equal(job.principal, "client/alice");
    assert_int_equal(job.state, JOBS_PENDING);
    assert_int_equal(job.replay, JOBS_OBSERVE_FIRST);
    assert_int_equal(job.priority, 3);
    assert_int_equal(job.max_attempts, 7);
    assert_int_equal(job.attempt, 0);
    assert_int_equal(job.run_at_us, 0);
    assert_true(job.create_us > 0 && job.start_us == 0 && job.end_us == 0);
}

static void test_add__rolled_back_job_was_never_there(void **unused)
{
    HF_CLEANUP(db_tx_abort) struct db_tx *tx = NULL;
    const struct jobs_spec spec = {.kind = "ghost"};
    const char *id = NULL;
    struct jobs_job job;

    (void)unused;
    begin(state->tenant, &tx);
    must(jobs_add(&ctx, tx, &spec, &id, NULL));
    db_tx_abort(HF_TAKE(tx));
    begin(state->tenant, &tx);
    assert_int_equal(jobs_get(&ctx, tx, id, &job).code, HF_NOT_FOUND);
    assert_int_equal(state_db_count(state, "SELECT count(*) FROM backup.outbox WHERE kind='ghost'"),
                     0);
}

static void test_add__bad_input_is_refused(void **unused)
{
    static const char *const unknown[] = {"0190b4d2-0000-7000-8000-00000000dead"};
    const struct jobs_spec specs[] = {
        {.kind = NULL},
        {.kind = "Bad Kind"},
        {.kind = "x", .priority = 10},
        {.kind = "x", .priority = -1},
        {.kind = "x", .id = "no uuid"},
        {.kind = "x", .after = unknown, .after_len = 65},
        {.kind = "x", .max_attempts = -1},
    };

    (void)unused;
    for (size_t i = 0; i < HF_LEN(specs); i++) {
        HF_CLEANUP(db_tx_abort) struct db_tx *tx = NULL;
        const char *id = NULL;
        begin(state->tenant, &tx);
        assert_int_equal(jobs_add(&ctx, tx, &specs[i], &id, NULL).code, HF_INVALID_ARGUMENT);
    }
    HF_CLEANUP(db_tx_abort) struct db_tx *tx = NULL;
    const char *id = NULL;
    const struct jobs_spec orphan = {.kind = "x", .after = unknown, .after_len = 1};
    begin(state->tenant, &tx);
    assert_int_equal(jobs_add(&ctx, tx, &orphan, &id, NULL).code, HF_NOT_FOUND);
}

static void test_idem_key__makes_one_job_per_tenant_and_kind(void **unused)
{
    const struct jobs_spec spec = {.kind = "tick", .idem_key = "schedule-1:noon"};
    const struct jobs_spec elsewhere = {.kind = "tock", .idem_key = "schedule-1:noon"};

    (void)unused;
    const char *first = add(state->tenant, &spec);
    const char *second = add(state->tenant, &spec);
    assert_string_equal(first, second);
    assert_string_not_equal(first, add(state->tenant, &elsewhere));
    assert_string_not_equal(first, add(state->other, &spec));
    assert_int_equal(state_db_count(state, "SELECT count(*) FROM backup.jobs WHERE kind='tick'"),
                     2);
}

static void test_list__pages_newest_first_and_filters(void **unused)
{
    HF_CLEANUP(db_tx_abort) struct db_tx *tx = NULL;
    struct jobs_filter filter = {.kind = "listed", .state = -1, .limit = 2};
    const struct jobs_job *jobs = NULL;
    const char *ids[5];
    size_t len = 0;
    size_t seen = 0;

    (void)unused;
    for (size_t i = 0; i < 5; i++) {
        const struct jobs_spec spec = {.kind = "listed", .target = i % 2 == 0 ? "even" : "odd"};
        ids[i] = add(state->tenant, &spec);
        pause_ms(2);
    }
    begin(state->tenant, &tx);
    do {
        must(jobs_list(&ctx, tx, &filter, &jobs, &len));
        for (size_t i = 0; i < len; i++) {
            assert_string_equal(jobs[i].id, ids[4 - seen]);
            seen++;
        }
        filter.before = len > 0 ? jobs[len - 1].id : NULL;
    } while (len == 2);
    assert_int_equal(seen, 5);
    filter = (struct jobs_filter){.target = "odd", .state = JOBS_PENDING, .limit = 10};
    must(jobs_list(&ctx, tx, &filter, &jobs, &len));
    assert_int_equal(len, 2);
    filter = (struct jobs_filter){.kind = "listed", .state = JOBS_FAILED, .limit = 10};
    must(jobs_list(&ctx, tx, &filter, &jobs, &len));
    assert_int_equal(len, 0);
    filter = (struct jobs_filter){.before = "' OR 1=1", .state = -1, .limit = 10};
    assert_int_equal(jobs_list(&ctx, tx, &filter, &jobs, &len).code, HF_INVALID_ARGUMENT);
}

static void test_tenants__another_ones_job_does_not_exist(void **unused)
{
    HF_CLEANUP(db_tx_abort) struct db_tx *tx = NULL;
    const struct jobs_spec spec = {.kind = "secret", .target = "t"};
    struct jobs_filter filter = {.kind = "secret", .state = -1, .limit = 10};
    const struct jobs_job *jobs = NULL;
    struct jobs_job job;
    size_t len = 9;

    (void)unused;
    const char *id = add(state->tenant, &spec);
    begin(state->other, &tx);
    struct hf_status foreign = jobs_get(&ctx, tx, id, &job);
    struct hf_status malformed = jobs_get(&ctx, tx, "nonsense", &job);
    assert_int_equal(foreign.code, HF_NOT_FOUND);
    assert_int_equal(malformed.code, HF_NOT_FOUND);
    assert_string_equal(foreign.message, hf_printf(arena, "job %s not found", id));
    must(jobs_list(&ctx, tx, &filter, &jobs, &len));
    assert_int_equal(len, 0);
    assert_int_equal(jobs_discard(&ctx, tx, id).code, HF_NOT_FOUND);
    /* Nor can it be waited for, and the reply is that of a job that does not exist. */
    const char *after[] = {id};
    const struct jobs_spec child = {.kind = "child", .after = after, .after_len = 1};
    assert_int_equal(jobs_add(&ctx, tx, &child, &id, NULL).code, HF_NOT_FOUND);
}

static int64_t count_as(struct db *db, const char *tenant, const char *sql)
{
    HF_CLEANUP(db_tx_abort) struct db_tx *tx = NULL;
    const struct db_rows *rows = NULL;

    must(tenant == NULL ? db_system_begin(&ctx, db, &tx)
                        : db_tx_begin(&ctx, db, tenant, DB_READ_COMMITTED, &tx));
    must(db_query(&ctx, tx, sql, DB_NO_ARGS, &rows));
    return db_int(rows, 0, 0);
}

static void test_rls__direct_sql_sees_and_changes_only_its_tenant(void **unused)
{
    static const char *const tables[] = {"jobs", "all_jobs", "outbox", "job_keys", "requests"};
    HF_CLEANUP(db_tx_abort) struct db_tx *tx = NULL;
    const struct jobs_spec spec = {.kind = "walled", .idem_key = "k"};
    int64_t affected = 9;

    (void)unused;
    add(state->tenant, &spec);
    for (size_t i = 0; i < HF_LEN(tables); i++) {
        const char *sql = hf_printf(arena, "SELECT count(*) FROM %s WHERE tenant_id <> '%s'",
                                    tables[i], state->other);
        assert_int_equal(count_as(state->app, state->other, sql), 0);
    }
    begin(state->other, &tx);
    must(db_exec(&ctx, tx, "UPDATE jobs SET state = 'failed' WHERE kind = 'walled'", DB_NO_ARGS,
                 &affected));
    assert_int_equal(affected, 0);
    must(db_exec(&ctx, tx, "DELETE FROM outbox", DB_NO_ARGS, &affected));
    struct hf_status status =
        db_exec(&ctx, tx, "INSERT INTO job_keys VALUES ($1::uuid, 'k', 'k', gen_random_uuid())",
                DB_ARGS(DB_UUID(state->tenant)), NULL);
    assert_int_equal(status.code, HF_PERMISSION_DENIED);
}

static void test_rls__dispatch_sees_all_tenants_but_no_content(void **unused)
{
    static const char *const secrets[] = {"args", "target", "principal", "result", "error_message"};
    const struct jobs_spec spec = {.kind = "dispatched", .args = "secret"};

    (void)unused;
    add(state->tenant, &spec);
    add(state->other, &spec);
    assert_int_equal(
        count_as(state->dispatch, NULL, "SELECT count(*) FROM jobs WHERE kind = 'dispatched'"), 2);
    for (size_t i = 0; i < HF_LEN(secrets); i++) {
        HF_CLEANUP(db_tx_abort) struct db_tx *tx = NULL;
        must(db_system_begin(&ctx, state->dispatch, &tx));
        struct hf_status status = db_query(
            &ctx, tx, hf_printf(arena, "SELECT %s FROM jobs", secrets[i]), DB_NO_ARGS, NULL);
        assert_int_equal(status.code, HF_PERMISSION_DENIED);
    }
}

static struct hf_bytes bytes_of(const char *text)
{
    return (struct hf_bytes){(const uint8_t *)text, strlen(text)};
}

/* libs/jobs compares digests and makes none. */
static struct hf_bytes digest_of(const char *text)
{
    return bytes_of(hf_printf(arena, "%-32s", text));
}

/* One mutation under a request id; the response it gave. */
static struct hf_status mutate(struct hf_ctx *call, const char *request_id, const char *request,
                               const char *fresh, const char **ret_response)
{
    HF_CLEANUP(db_tx_abort) struct db_tx *tx = NULL;
    const struct hf_bytes *known = NULL;

    HF_TRY(db_tx_begin(call, state->app, state->tenant, DB_READ_COMMITTED, &tx));
    HF_TRY(jobs_request_begin(call, tx, "CreateThing", request_id, digest_of(request), &known));
    if (known != NULL) {
        *ret_response = hf_strndup(call->arena, (const char *)known->ptr, known->len);
        return hf_success();
    }
    HF_TRY(jobs_request_save(call, tx, "CreateThing", request_id, bytes_of(fresh)));
    *ret_response = fresh;
    return db_tx_commit(call, &tx);
}

static void test_request__repeat_gets_the_first_response(void **unused)
{
    const char *response = NULL;

    (void)unused;
    must(mutate(&ctx, "r-1", "body", "first", &response));
    assert_string_equal(response, "first");
    must(mutate(&ctx, "r-1", "body", "second", &response));
    assert_string_equal(response, "first");
    must(mutate(&ctx, "r-2", "body", "third", &response));
    assert_string_equal(response, "third");
    struct hf_status status = mutate(&ctx, "r-1", "another body", "x", &response);
    assert_int_equal(status.code, HF_INVALID_ARGUMENT);
    assert_string_equal(status.info->reason, "REQUEST_ID_REUSED");
    must(mutate(&ctx, "", "body", "fourth", &response));
    must(mutate(&ctx, NULL, "body", "fifth", &response));
    assert_string_equal(response, "fifth");
}

struct racer {
    const char *fresh;
    char response[32];
};

static void race(void *arg)
{
    struct racer *racer = arg;
    HF_CLEANUP(hf_arena_free) struct hf_arena *own = hf_arena_new((size_t)1024 * 1024);
    struct hf_ctx call = {.arena = own, .deadline_us = in_ms(20000)};
    const char *response = NULL;

    must(mutate(&call, "r-race", "body", racer->fresh, &response));
    memcpy(racer->response, response, strlen(response) + 1);
}

static void test_request__concurrent_repeats_have_one_effect(void **unused)
{
    struct racer racers[4] = {{"a", ""}, {"b", ""}, {"c", ""}, {"d", ""}};
    struct hf_thread *threads[4];

    (void)unused;
    for (size_t i = 0; i < 4; i++) {
        threads[i] = hf_thread_start("race", race, &racers[i]);
    }
    for (size_t i = 0; i < 4; i++) {
        hf_thread_join(threads[i]);
    }
    for (size_t i = 1; i < 4; i++) {
        assert_string_equal(racers[i].response, racers[0].response);
    }
}

static void test_sql__every_statement_can_be_prepared(void **unused)
{
    HF_CLEANUP(db_tx_abort) struct db_tx *tx = NULL;

    (void)unused;
    begin(state->tenant, &tx);
    for (size_t i = 0; sql_all_jobs_queries[i] != NULL; i++) {
        const char *sql = hf_printf(arena, "PREPARE p%zu AS %s", i, sql_all_jobs_queries[i]);
        must(db_script(&ctx, tx, sql));
    }
    for (size_t i = 0; sql_all_auth_queries[i] != NULL; i++) {
        const char *sql = hf_printf(arena, "PREPARE a%zu AS %s", i, sql_all_auth_queries[i]);
        must(db_script(&ctx, tx, sql));
    }
}

static void test_updates__of_a_claim_and_finish_stay_heap_only(void **unused)
{
    static const char sql[] =
        "SELECT count(*) FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid"
        " WHERE c.relname = 'jobs' AND NOT i.indisprimary";

    (void)unused;
    assert_int_equal(state_db_count(state, sql), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_add__job_comes_back_as_it_was_given, setup, teardown),
        cmocka_unit_test_setup_teardown(test_add__rolled_back_job_was_never_there, setup, teardown),
        cmocka_unit_test_setup_teardown(test_add__bad_input_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(test_idem_key__makes_one_job_per_tenant_and_kind, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_list__pages_newest_first_and_filters, setup, teardown),
        cmocka_unit_test_setup_teardown(test_tenants__another_ones_job_does_not_exist, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_rls__direct_sql_sees_and_changes_only_its_tenant,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(test_rls__dispatch_sees_all_tenants_but_no_content, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_request__repeat_gets_the_first_response, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_request__concurrent_repeats_have_one_effect, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_sql__every_statement_can_be_prepared, setup, teardown),
        cmocka_unit_test_setup_teardown(test_updates__of_a_claim_and_finish_stay_heap_only, setup,
                                        teardown),
    };
    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
