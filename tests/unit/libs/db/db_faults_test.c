/* Deadlines, cancellation, restarts, roles that are refused. */
#include <signal.h>
#include <string.h>

#include "base/clock.h"
#include "base/pool.h"
#include "db/db.h"
#include "tests/unit/libs/db/state_db.h"
#include "tests/unit/unit.h"

static struct state_db *state;

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

static struct hf_ctx new_ctx(void)
{
    return (struct hf_ctx){.arena = hf_arena_new((size_t)1024 * 1024), .deadline_us = in_ms(20000)};
}

static void ctx_done_cleanup(struct hf_ctx *ctx)
{
    hf_arena_free(ctx->arena);
}

static void test_db__deadline_ends_a_statement_at_the_server(void **unused)
{
    HF_CLEANUP(ctx_done) struct hf_ctx ctx = new_ctx();
    HF_CLEANUP(db_tx_abort) struct db_tx *tx = NULL;
    struct hf_ctx hurried = {.arena = ctx.arena, .deadline_us = in_ms(200)};
    int64_t start_us = hf_mono_us();

    (void)unused;
    must(db_tx_begin(&ctx, state->app, state->tenant, DB_READ_COMMITTED, &tx));
    struct hf_status status = db_query(&hurried, tx, "SELECT pg_sleep(30)", DB_NO_ARGS, NULL);
    assert_int_equal(status.code, HF_DEADLINE_EXCEEDED);
    assert_true(hf_mono_us() - start_us < 3 * HF_US_PER_S);
    db_tx_abort(HF_TAKE(tx));
    assert_int_equal(state_db_count(state, "SELECT count(*) FROM pg_stat_activity"
                                           " WHERE query LIKE '%pg_sleep(30)' AND state='active'"),
                     0);
    must(db_tx_begin(&ctx, state->app, state->tenant, DB_READ_COMMITTED, &tx));
    must(db_query(&ctx, tx, "SELECT 1", DB_NO_ARGS, NULL));
}

/* A postmaster that hangs still accepts connections, by its kernel: nothing may wait for it. */
static void test_db__hung_server_holds_nobody(void **unused)
{
    HF_CLEANUP(ctx_done) struct hf_ctx ctx = new_ctx();
    HF_CLEANUP(db_tx_abort) struct db_tx *tx = NULL;
    HF_CLEANUP(db_tx_abort) struct db_tx *other = NULL;
    struct hf_ctx hurried = {.arena = ctx.arena, .deadline_us = in_ms(200)};
    struct hf_ctx patient = {.arena = ctx.arena};
    const struct db_options options = {
        .conninfo = state->app_conninfo, .role = DB_APP, .schema = "backup"};
    HF_CLEANUP(db_free) struct db *db = db_new(&options);

    (void)unused;
    must(db_tx_begin(&ctx, state->app, state->tenant, DB_READ_COMMITTED, &tx));
    assert_int_equal(kill((pid_t)pgserver_pid(state->server), SIGSTOP), 0);
    int64_t start_us = hf_mono_us();
    struct hf_status status = db_query(&hurried, tx, "SELECT pg_sleep(40)", DB_NO_ARGS, NULL);
    struct hf_status opened = db_tx_begin(&patient, db, state->tenant, DB_READ_COMMITTED, &other);
    int64_t took_us = hf_mono_us() - start_us;
    assert_int_equal(kill((pid_t)pgserver_pid(state->server), SIGCONT), 0);
    assert_int_equal(status.code, HF_DEADLINE_EXCEEDED);
    assert_int_equal(opened.code, HF_UNAVAILABLE);
    assert_true(took_us < 12 * HF_US_PER_S);
    db_tx_abort(HF_TAKE(tx));
    /* The server finds out by itself that nobody waits any more. */
    int64_t until_us = in_ms(10000);
    while (state_db_count(state, "SELECT count(*) FROM pg_stat_activity"
                                 " WHERE query LIKE '%pg_sleep(40)' AND state='active'") > 0) {
        assert_true(hf_mono_us() < until_us);
        pause_ms(100);
    }
}

/* A COMMIT that was given up may have taken effect; here a deferred trigger makes it last. */
static void test_db__unanswered_commit_is_in_doubt(void **unused)
{
    HF_CLEANUP(ctx_done) struct hf_ctx ctx = new_ctx();
    HF_CLEANUP(db_tx_abort) struct db_tx *tx = NULL;

    (void)unused;
    state_db_sql(state, "CREATE TABLE backup.lasting (n int);"
                        "GRANT ALL ON backup.lasting TO holdfast_app;"
                        "CREATE FUNCTION backup.last() RETURNS trigger LANGUAGE plpgsql AS"
                        " 'BEGIN PERFORM pg_sleep(60); RETURN NULL; END';"
                        "CREATE CONSTRAINT TRIGGER last AFTER INSERT ON backup.lasting"
                        " DEFERRABLE INITIALLY DEFERRED FOR EACH ROW"
                        " EXECUTE FUNCTION backup.last()");
    must(db_tx_begin(&ctx, state->app, state->tenant, DB_READ_COMMITTED, &tx));
    must(db_query(&ctx, tx, "INSERT INTO backup.lasting VALUES (1)", DB_NO_ARGS, NULL));
    struct hf_status status = db_tx_commit(&ctx, &tx);
    assert_int_equal(status.code, HF_UNKNOWN);
    assert_string_equal(status.info->reason, "COMMIT_IN_DOUBT");
}

struct canceller {
    struct hf_cancel cancel;
};

static void cancel_soon(void *arg)
{
    struct canceller *canceller = arg;
    pause_ms(100);
    atomic_store(&canceller->cancel.is_set, true);
}

static void test_db__cancellation_ends_a_statement(void **unused)
{
    HF_CLEANUP(ctx_done) struct hf_ctx ctx = new_ctx();
    HF_CLEANUP(db_tx_abort) struct db_tx *tx = NULL;
    struct canceller canceller = {{false}};
    struct hf_ctx called = ctx;

    (void)unused;
    called.cancel = &canceller.cancel;
    must(db_tx_begin(&ctx, state->app, state->tenant, DB_READ_COMMITTED, &tx));
    struct hf_thread *thread = hf_thread_start("cancel", cancel_soon, &canceller);
    struct hf_status status = db_query(&called, tx, "SELECT pg_sleep(30)", DB_NO_ARGS, NULL);
    hf_thread_join(thread);
    assert_int_equal(status.code, HF_CANCELLED);
}

static void test_db__pool_is_bounded(void **unused)
{
    HF_CLEANUP(ctx_done) struct hf_ctx ctx = new_ctx();
    const struct db_options options = {
        .conninfo = state->app_conninfo, .role = DB_APP, .schema = "backup", .max_connections = 1};
    HF_CLEANUP(db_free) struct db *db = db_new(&options);
    HF_CLEANUP(db_tx_abort) struct db_tx *first = NULL;
    HF_CLEANUP(db_tx_abort) struct db_tx *second = NULL;
    struct hf_ctx hurried = {.arena = ctx.arena, .deadline_us = in_ms(150)};

    (void)unused;
    must(db_tx_begin(&ctx, db, state->tenant, DB_READ_COMMITTED, &first));
    struct hf_status status = db_tx_begin(&hurried, db, state->tenant, DB_READ_COMMITTED, &second);
    assert_int_equal(status.code, HF_DEADLINE_EXCEEDED);
    must(db_tx_commit(&ctx, &first));
    must(db_tx_begin(&ctx, db, state->tenant, DB_READ_COMMITTED, &second));
}

static void test_db__restart_is_seen_inside_a_transaction_only(void **unused)
{
    HF_CLEANUP(ctx_done) struct hf_ctx ctx = new_ctx();
    HF_CLEANUP(db_tx_abort) struct db_tx *tx = NULL;
    HF_CLEANUP(db_tx_abort) struct db_tx *next = NULL;

    (void)unused;
    must(db_tx_begin(&ctx, state->app, state->tenant, DB_READ_COMMITTED, &tx));
    pgserver_stop(state->server);
    pgserver_start(state->server);
    struct hf_status status = db_query(&ctx, tx, "SELECT 1", DB_NO_ARGS, NULL);
    assert_int_equal(status.code, HF_UNAVAILABLE);
    must(db_tx_begin(&ctx, state->app, state->tenant, DB_READ_COMMITTED, &next));
    must(db_tx_commit(&ctx, &next));
}

static void test_db__lost_commit_is_in_doubt(void **unused)
{
    HF_CLEANUP(ctx_done) struct hf_ctx ctx = new_ctx();
    HF_CLEANUP(db_tx_abort) struct db_tx *tx = NULL;

    (void)unused;
    must(db_tx_begin(&ctx, state->app, state->tenant, DB_READ_COMMITTED, &tx));
    must(db_query(&ctx, tx, "SELECT 1", DB_NO_ARGS, NULL));
    pgserver_crash(state->server);
    struct hf_status status = db_tx_commit(&ctx, &tx);
    assert_int_equal(status.code, HF_UNKNOWN);
    assert_string_equal(status.info->reason, "COMMIT_IN_DOUBT");
    status = db_tx_begin(&ctx, state->app, state->tenant, DB_READ_COMMITTED, &tx);
    assert_int_equal(status.code, HF_UNAVAILABLE);
    pgserver_start(state->server);
    state_db_wait(state);
    must(db_tx_begin(&ctx, state->app, state->tenant, DB_READ_COMMITTED, &tx));
}

static void test_db__powerful_roles_are_refused(void **unused)
{
    HF_CLEANUP(ctx_done) struct hf_ctx ctx = new_ctx();
    const char *const infos[] = {state->super_conninfo, state->migrate_conninfo,
                                 hf_printf(ctx.arena, "%s user=bypass", state->app_conninfo)};

    (void)unused;
    state_db_sql(state, "CREATE ROLE bypass LOGIN BYPASSRLS;"
                        "GRANT CONNECT ON DATABASE holdfast TO bypass");
    for (size_t i = 0; i < sizeof(infos) / sizeof(infos[0]); i++) {
        const struct db_options options = {
            .conninfo = infos[i], .role = DB_APP, .schema = "backup"};
        HF_CLEANUP(db_free) struct db *db = db_new(&options);
        struct hf_status status = db_check(&ctx, db);
        assert_int_equal(status.code, HF_FAILED_PRECONDITION);
        assert_non_null(strstr(status.message, "holdfast_app"));
    }
    must(db_check(&ctx, state->app));
    must(db_check(&ctx, state->dispatch));
}

static void test_db__unsafe_server_is_refused(void **unused)
{
    static const char *const settings[] = {"fsync", "full_page_writes"};
    HF_CLEANUP(ctx_done) struct hf_ctx ctx = new_ctx();

    (void)unused;
    for (size_t i = 0; i < 2; i++) {
        (void)pgserver_sql(state->server, "ALTER SYSTEM SET %s = off", settings[i]);
        (void)pgserver_sql(state->server, "SELECT pg_reload_conf()");
        pause_ms(200);
        struct hf_status status = db_check(&ctx, state->app);
        assert_int_equal(status.code, HF_FAILED_PRECONDITION);
        assert_non_null(strstr(status.message, settings[i]));
        (void)pgserver_sql(state->server, "ALTER SYSTEM RESET %s", settings[i]);
        (void)pgserver_sql(state->server, "SELECT pg_reload_conf()");
        pause_ms(200);
    }
    must(db_check(&ctx, state->app));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_db__deadline_ends_a_statement_at_the_server),
        cmocka_unit_test(test_db__hung_server_holds_nobody),
        cmocka_unit_test(test_db__unanswered_commit_is_in_doubt),
        cmocka_unit_test(test_db__cancellation_ends_a_statement),
        cmocka_unit_test(test_db__pool_is_bounded),
        cmocka_unit_test(test_db__restart_is_seen_inside_a_transaction_only),
        cmocka_unit_test(test_db__lost_commit_is_in_doubt),
        cmocka_unit_test(test_db__powerful_roles_are_refused),
        cmocka_unit_test(test_db__unsafe_server_is_refused),
    };
    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
