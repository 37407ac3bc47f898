/* Transactions, parameters, getters and the mapping of errors, on a real server. */
#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "db/db.h"
#include "tests/unit/libs/db/state_db.h"
#include "tests/unit/unit.h"

struct fixture {
    struct state_db *state;
    struct hf_arena *arena;
    struct hf_ctx ctx;
};

static struct fixture fix;

static int group_setup(void **unused)
{
    (void)unused;
    fix.state = state_db_new();
    state_db_sql(fix.state, "SET ROLE holdfast_owner; SET search_path = backup;"
                            "CREATE TABLE thing (id int PRIMARY KEY, parent int REFERENCES thing,"
                            " size int CHECK (size > 0));"
                            "GRANT ALL ON thing TO holdfast_app");
    return 0;
}

static int group_teardown(void **unused)
{
    (void)unused;
    state_db_free(fix.state);
    return 0;
}

static int setup(void **unused)
{
    (void)unused;
    fix.arena = hf_arena_new((size_t)8 * 1024 * 1024);
    fix.ctx = (struct hf_ctx){.arena = fix.arena, .deadline_us = in_ms(20000)};
    return 0;
}

static int teardown(void **unused)
{
    (void)unused;
    hf_arena_free(fix.arena);
    return 0;
}

static void begin(struct db_tx **tx)
{
    must(db_tx_begin(&fix.ctx, fix.state->app, fix.state->tenant, DB_READ_COMMITTED, tx));
}

static void test_db__values_come_back_as_they_went(void **unused)
{
    static const char sql[] =
        "SELECT $1::text, $2::bigint, $3::boolean, $4::timestamptz, $5::bytea,"
        " $6::text[], NULL::text, 'infinity'::timestamptz";
    static const char *const list[] = {"a \"quoted\" \\ one", NULL, ""};
    HF_CLEANUP(db_tx_abort) struct db_tx *tx = NULL;
    const struct db_rows *rows = NULL;
    const uint8_t bytes[] = {0, 255, 16, 0};
    int64_t now_us = hf_now_us();

    (void)unused;
    begin(&tx);
    must(db_query(&fix.ctx, tx, sql,
                  DB_ARGS(DB_TEXT("wörd"), DB_INT(-42), DB_BOOL(true), DB_TIME(now_us),
                          DB_BYTES(bytes, sizeof(bytes)), DB_LIST(list, 3)),
                  &rows));
    assert_int_equal(db_len(rows), 1);
    assert_string_equal(db_text(rows, 0, 0), "wörd");
    assert_int_equal(db_int(rows, 0, 1), -42);
    assert_true(db_bool(rows, 0, 2));
    assert_int_equal(db_time(rows, 0, 3), now_us);
    struct hf_bytes back = db_bytes(rows, 0, 4);
    assert_int_equal(back.len, sizeof(bytes));
    assert_memory_equal(back.ptr, bytes, sizeof(bytes));
    assert_string_equal(db_text(rows, 0, 5), "{\"a \\\"quoted\\\" \\\\ one\",NULL,\"\"}");
    assert_true(db_is_null(rows, 0, 6));
    assert_null(db_text(rows, 0, 6));
    assert_int_equal(db_time(rows, 0, 7), INT64_MAX);
}

static void test_db__zero_time_and_null_bytes_are_null(void **unused)
{
    static const char sql[] = "SELECT $1::timestamptz IS NULL, $2::bytea IS NULL, $3::text IS NULL";
    HF_CLEANUP(db_tx_abort) struct db_tx *tx = NULL;
    const struct db_rows *rows = NULL;

    (void)unused;
    begin(&tx);
    must(db_query(&fix.ctx, tx, sql, DB_ARGS(DB_TIME(0), DB_BYTES(NULL, 0), DB_TEXT(NULL)), &rows));
    assert_true(db_bool(rows, 0, 0) && db_bool(rows, 0, 1) && db_bool(rows, 0, 2));
}

static void test_db__tenant_is_set_in_the_transaction_only(void **unused)
{
    static const char sql[] = "SELECT current_setting('app.tenant', true)";
    HF_CLEANUP(db_tx_abort) struct db_tx *tx = NULL;
    const struct db_rows *rows = NULL;

    (void)unused;
    begin(&tx);
    must(db_query(&fix.ctx, tx, sql, DB_NO_ARGS, &rows));
    assert_string_equal(db_text(rows, 0, 0), fix.state->tenant);
    assert_string_equal(db_tx_tenant(tx), fix.state->tenant);
    must(db_tx_commit(&fix.ctx, &tx));
    must(db_tx_begin(&fix.ctx, fix.state->app, fix.state->other, DB_SERIALIZABLE, &tx));
    must(db_query(&fix.ctx, tx, sql, DB_NO_ARGS, &rows));
    assert_string_equal(db_text(rows, 0, 0), fix.state->other);
}

static void test_db__tenant_must_be_a_uuid(void **unused)
{
    struct db_tx *tx = NULL;

    (void)unused;
    struct hf_status status = db_tx_begin(&fix.ctx, fix.state->app, "x', true); DROP TABLE thing--",
                                          DB_READ_COMMITTED, &tx);
    assert_int_equal(status.code, HF_INVALID_ARGUMENT);
    assert_null(tx);
}

struct error_case {
    const char *sql;
    enum hf_code code;
};

static void test_db__errors_are_mapped(void **unused)
{
    static const struct error_case cases[] = {
        {"INSERT INTO thing (id) VALUES (1), (1)", HF_ALREADY_EXISTS},
        {"INSERT INTO thing (id, parent) VALUES (2, 77)", HF_FAILED_PRECONDITION},
        {"INSERT INTO thing (id, size) VALUES (3, 0)", HF_INVALID_ARGUMENT},
        {"INSERT INTO thing (id) VALUES (NULL)", HF_INVALID_ARGUMENT},
        {"SELECT 'x'::int", HF_INVALID_ARGUMENT},
        {"SELECT * FROM pg_authid", HF_PERMISSION_DENIED},
        {"SELECT nonsense", HF_INTERNAL},
    };

    (void)unused;
    for (size_t i = 0; i < HF_LEN(cases); i++) {
        HF_CLEANUP(db_tx_abort) struct db_tx *tx = NULL;
        begin(&tx);
        struct hf_status status = db_exec(&fix.ctx, tx, cases[i].sql, DB_NO_ARGS, NULL);
        assert_int_equal(status.code, cases[i].code);
    }
}

static void test_db__unique_violation_names_its_constraint(void **unused)
{
    HF_CLEANUP(db_tx_abort) struct db_tx *tx = NULL;

    (void)unused;
    begin(&tx);
    struct hf_status status =
        db_exec(&fix.ctx, tx, "INSERT INTO thing (id) VALUES (5), (5)", DB_NO_ARGS, NULL);
    assert_true(db_is_unique_violation(status, "thing_pkey"));
    assert_false(db_is_unique_violation(status, "other"));
    assert_string_equal(status.info->reason, "UNIQUE");
    /* The values of the row are in the server's DETAIL, and stay there. */
    assert_null(strstr(status.message, "(5)"));
}

static void test_db__failed_transaction_does_not_commit(void **unused)
{
    HF_CLEANUP(db_tx_abort) struct db_tx *tx = NULL;

    (void)unused;
    begin(&tx);
    struct hf_status status = db_exec(&fix.ctx, tx, "SELECT 1/0", DB_NO_ARGS, NULL);
    assert_int_equal(status.code, HF_INVALID_ARGUMENT);
    assert_int_equal(db_tx_commit(&fix.ctx, &tx).code, HF_ABORTED);
    assert_null(tx);
}

static void test_db__abort_undoes(void **unused)
{
    HF_CLEANUP(db_tx_abort) struct db_tx *tx = NULL;
    const struct db_rows *rows = NULL;
    int64_t affected = 0;

    (void)unused;
    begin(&tx);
    must(
        db_exec(&fix.ctx, tx, "INSERT INTO thing (id) VALUES ($1)", DB_ARGS(DB_INT(9)), &affected));
    assert_int_equal(affected, 1);
    db_tx_abort(HF_TAKE(tx));
    begin(&tx);
    must(db_query(&fix.ctx, tx, "SELECT count(*) FROM thing", DB_NO_ARGS, &rows));
    assert_int_equal(db_int(rows, 0, 0), 0);
}

static void test_db__serialization_failure_is_aborted(void **unused)
{
    static const char read[] = "SELECT count(*) FROM thing";
    static const char write[] = "INSERT INTO thing (id) VALUES ($1)";
    HF_CLEANUP(db_tx_abort) struct db_tx *a = NULL;
    HF_CLEANUP(db_tx_abort) struct db_tx *b = NULL;

    (void)unused;
    must(db_tx_begin(&fix.ctx, fix.state->app, fix.state->tenant, DB_SERIALIZABLE, &a));
    must(db_tx_begin(&fix.ctx, fix.state->app, fix.state->tenant, DB_SERIALIZABLE, &b));
    must(db_query(&fix.ctx, a, read, DB_NO_ARGS, NULL));
    must(db_query(&fix.ctx, b, read, DB_NO_ARGS, NULL));
    must(db_exec(&fix.ctx, a, write, DB_ARGS(DB_INT(21)), NULL));
    must(db_exec(&fix.ctx, b, write, DB_ARGS(DB_INT(22)), NULL));
    must(db_tx_commit(&fix.ctx, &a));
    struct hf_status status = db_tx_commit(&fix.ctx, &b);
    assert_int_equal(status.code, HF_ABORTED);
    state_db_sql(fix.state, "DELETE FROM backup.thing");
}

static void test_db__too_many_rows_for_the_arena(void **unused)
{
    HF_CLEANUP(hf_arena_free) struct hf_arena *small = hf_arena_new(64 * 1024);
    HF_CLEANUP(db_tx_abort) struct db_tx *tx = NULL;
    struct hf_ctx ctx = {.arena = small, .deadline_us = in_ms(20000)};
    const struct db_rows *rows = NULL;

    (void)unused;
    begin(&tx);
    struct hf_status status = db_query(
        &ctx, tx, "SELECT repeat('x', 1000) FROM generate_series(1, 500)", DB_NO_ARGS, &rows);
    assert_int_equal(status.code, HF_RESOURCE_EXHAUSTED);
}

/* One poisoned value or a million rows: the statement fails, the others go on, and no copy of the
 * whole stands in memory. */
static void test_db__an_enormous_result_ends_its_statement_only(void **unused)
{
    static const char *const sql[] = {
        "SELECT repeat('x', 100000000)",
        "SELECT repeat('x', 100000) FROM generate_series(1, 1000000)",
        "SELECT i FROM generate_series(1, 10000000) i",
    };

    (void)unused;
    for (size_t i = 0; i < HF_LEN(sql); i++) {
        HF_CLEANUP(db_tx_abort) struct db_tx *tx = NULL;
        const struct db_rows *rows = NULL;
        hf_arena_reset(fix.arena);
        begin(&tx);
        struct hf_status status = db_query(&fix.ctx, tx, sql[i], DB_NO_ARGS, &rows);
        assert_int_equal(status.code, HF_RESOURCE_EXHAUSTED);
        assert_string_equal(status.info->reason, "RESULT_TOO_LARGE");
        db_tx_abort(HF_TAKE(tx));
        hf_arena_reset(fix.arena);
        begin(&tx);
        must(db_query(&fix.ctx, tx, "SELECT 1", DB_NO_ARGS, &rows));
        must(db_tx_commit(&fix.ctx, &tx));
    }
}

/* A call that is over its memory gives its connection back unused, not with half an answer in it.
 */
static void test_db__an_arena_that_is_over_ends_the_statement(void **unused)
{
    HF_CLEANUP(hf_arena_free) struct hf_arena *small = hf_arena_new(64 * 1024);
    HF_CLEANUP(db_tx_abort) struct db_tx *tx = NULL;
    struct hf_ctx ctx = {.arena = small, .deadline_us = in_ms(20000)};
    const struct db_rows *rows = NULL;

    (void)unused;
    begin(&tx);
    (void)hf_alloc(small, 100000);
    struct hf_status status = db_query(&ctx, tx, "SELECT pg_sleep(5)", DB_NO_ARGS, &rows);
    assert_string_equal(status.info->reason, "MEMORY_LIMIT");
    assert_string_equal(db_tx_commit(&ctx, &tx).info->reason, "MEMORY_LIMIT");
    begin(&tx);
    must(db_query(&fix.ctx, tx, "SELECT 7", DB_NO_ARGS, &rows));
    assert_int_equal(db_int(rows, 0, 0), 7);
}

/* Whatever stands in a row can be read. */
static void test_db__extreme_values_are_read(void **unused)
{
    static const struct {
        const char *sql;
        int64_t time_us;
    } times[] = {
        {"SELECT timestamptz '-infinity'", HF_TIME_MIN_US},
        {"SELECT timestamptz '4713-01-01 00:00:00+00 BC'", HF_TIME_MIN_US},
        {"SELECT timestamptz '11476-01-01 00:00:00+00'", HF_TIME_MAX_US},
        {"SELECT timestamptz '294276-12-31 23:59:59+00'", HF_TIME_MAX_US},
        {"SELECT timestamptz '9999-12-31 23:59:59.999999+00'", HF_TIME_MAX_US},
        {"SELECT timestamptz '0001-01-01 00:00:00+00'", HF_TIME_MIN_US},
    };
    static const struct {
        const char *sql;
        int64_t value;
    } ints[] = {
        {"SELECT 9223372036854775807::numeric + 1", INT64_MAX},
        {"SELECT -9223372036854775808::numeric - 1", INT64_MIN},
        {"SELECT 10::numeric ^ 100", INT64_MAX},
        {"SELECT 12.75", 12},
        {"SELECT -0.5", 0},
    };
    HF_CLEANUP(db_tx_abort) struct db_tx *tx = NULL;
    const struct db_rows *rows = NULL;

    (void)unused;
    begin(&tx);
    for (size_t i = 0; i < HF_LEN(times); i++) {
        must(db_query(&fix.ctx, tx, times[i].sql, DB_NO_ARGS, &rows));
        assert_int_equal(db_time(rows, 0, 0), times[i].time_us);
    }
    for (size_t i = 0; i < HF_LEN(ints); i++) {
        must(db_query(&fix.ctx, tx, ints[i].sql, DB_NO_ARGS, &rows));
        assert_int_equal(db_int(rows, 0, 0), ints[i].value);
    }
}

static void test_db__times_out_of_range_are_not_written(void **unused)
{
    static const int64_t times[] = {INT64_MIN, INT64_MIN + 1, HF_TIME_MIN_US - 1,
                                    HF_TIME_MAX_US + 1, INT64_MAX - 1};

    (void)unused;
    for (size_t i = 0; i < HF_LEN(times); i++) {
        HF_CLEANUP(db_tx_abort) struct db_tx *tx = NULL;
        const struct db_rows *rows = NULL;
        begin(&tx);
        struct hf_status status =
            db_query(&fix.ctx, tx, "SELECT $1::timestamptz", DB_ARGS(DB_TIME(times[i])), &rows);
        assert_int_equal(status.code, HF_INVALID_ARGUMENT);
        assert_string_equal(status.info->reason, "TIME_RANGE");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_db__values_come_back_as_they_went, setup, teardown),
        cmocka_unit_test_setup_teardown(test_db__zero_time_and_null_bytes_are_null, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_db__tenant_is_set_in_the_transaction_only, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_db__tenant_must_be_a_uuid, setup, teardown),
        cmocka_unit_test_setup_teardown(test_db__errors_are_mapped, setup, teardown),
        cmocka_unit_test_setup_teardown(test_db__unique_violation_names_its_constraint, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_db__failed_transaction_does_not_commit, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_db__abort_undoes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_db__serialization_failure_is_aborted, setup, teardown),
        cmocka_unit_test_setup_teardown(test_db__too_many_rows_for_the_arena, setup, teardown),
        cmocka_unit_test_setup_teardown(test_db__an_enormous_result_ends_its_statement_only, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_db__an_arena_that_is_over_ends_the_statement, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_db__extreme_values_are_read, setup, teardown),
        cmocka_unit_test_setup_teardown(test_db__times_out_of_range_are_not_written, setup,
                                        teardown),
    };
    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
