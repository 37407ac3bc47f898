/* What is found out about a source, and what makes it unfit. */
#include "pgwire/source.h"
#include "wire_unit.h"

static bool has_finding(const struct pgwire_source *source, const char *reason)
{
    for (size_t i = 0; i < source->findings_len; i++) {
        if (strcmp(source->findings[i].reason, reason) == 0) {
            return true;
        }
    }
    return false;
}

static void test_source__is_described_to_a_superuser(void **state)
{
    HF_CLEANUP(ctx_end) struct hf_ctx ctx = ctx_begin();
    HF_CLEANUP(pgserver_free) struct pgserver *server = pgserver_new(NULL);
    struct pgwire_source_options options = {.access = wire_access(), .dsn = pgserver_dsn(server)};
    struct pgwire_source source;
    (void)state;

    assert_ok(pgwire_source_check(&ctx, &options, &source));
    assert_int_equal(source.server_version / 10000, 15);
    assert_string_equal(source.system_identifier,
                        pgserver_sql(server, "select system_identifier from pg_control_system()"));
    assert_int_equal(source.timeline, 1);
    assert_true(source.flush_lsn > 0);
    assert_false(source.is_in_recovery);
    assert_int_equal(source.wal_segment_bytes, 16 << 20);
    assert_int_equal(source.is_superuser, PGWIRE_YES);
    assert_int_equal(source.has_replication, PGWIRE_YES);
    assert_int_equal(source.has_checksums, PGWIRE_YES);
    assert_int_equal(source.has_fsync, PGWIRE_NO);
    assert_int_equal(source.max_slot_wal_keep_mb, -1);
    assert_int_equal(source.free_slots, 10);
    assert_int_equal(source.free_walsenders, 10);
    assert_true(source.size_bytes > 1 << 20);
    assert_true(source.clock_skew_us > -HF_US_PER_S && source.clock_skew_us < HF_US_PER_S);
    assert_string_equal(source.data_directory, pgserver_data(server));
    assert_non_null(source.hba_file);
    assert_string_equal(source.synchronous_names, "");
    assert_true(has_finding(&source, "SLOT_WAL_UNBOUNDED"));
    assert_true(has_finding(&source, "FSYNC_OFF"));
    assert_false(has_finding(&source, "CLOCK_SKEW"));
}

static void test_source__degrades_to_unknown_for_a_poor_role(void **state)
{
    static const char *const settings[] = {"max_slot_wal_keep_size = '2GB'", NULL};
    HF_CLEANUP(ctx_end) struct hf_ctx ctx = ctx_begin();
    HF_CLEANUP(pgserver_free)
    struct pgserver *server = pgserver_new(&(struct pgserver_options){.settings = settings});
    struct pgwire_source_options options = {
        .access = wire_access(),
        .dsn = hf_printf(ctx.arena, "host=127.0.0.1 port=%d user=repl", pgserver_port(server))};
    struct pgwire_source source;
    (void)state;

    pgserver_sql(server, "create role repl login replication");
    pgserver_sql(server, "revoke connect on database postgres from public");
    assert_ok(pgwire_source_check(&ctx, &options, &source));
    assert_int_equal(source.has_replication, PGWIRE_UNKNOWN);
    assert_int_equal(source.free_slots, -1);
    assert_int_equal(source.size_bytes, -1);
    assert_int_equal(source.clock_skew_us, INT64_MIN);
    assert_null(source.data_directory);
    assert_int_equal(source.max_slot_wal_keep_mb, 2048);
    assert_false(has_finding(&source, "SLOT_WAL_UNBOUNDED"));
    assert_true(has_finding(&source, "SETTINGS_UNREADABLE"));
}

static void test_source__needs_a_free_slot_unless_it_has_one(void **state)
{
    static const char *const settings[] = {"max_replication_slots = 1", NULL};
    HF_CLEANUP(ctx_end) struct hf_ctx ctx = ctx_begin();
    HF_CLEANUP(pgserver_free)
    struct pgserver *server = pgserver_new(&(struct pgserver_options){.settings = settings});
    struct pgwire_source_options options = {.access = wire_access(), .dsn = pgserver_dsn(server)};
    struct pgwire_source source;
    (void)state;

    pgserver_sql(server, "select pg_create_physical_replication_slot('one')");
    assert_fails(pgwire_source_check(&ctx, &options, &source), HF_RESOURCE_EXHAUSTED,
                 "NO_FREE_SLOT");
    options.slot = "one";
    assert_ok(pgwire_source_check(&ctx, &options, &source));
}

/* Of a stream that runs: it and a backup have what they need, whoever asks meanwhile. */
static void test_source__look_counts_our_walsenders_as_free(void **state)
{
    static const char *const settings[] = {"max_wal_senders = 2", NULL};
    HF_CLEANUP(ctx_end) struct hf_ctx ctx = ctx_begin();
    HF_CLEANUP(pgserver_free)
    struct pgserver *server = pgserver_new(&(struct pgserver_options){.settings = settings});
    const struct pgwire_options ours = {.access = wire_access(),
                                        .dsn = pgserver_dsn(server),
                                        .mode = PGWIRE_REPLICATION,
                                        .application_name = "holdfast_orders"};
    const struct pgwire_options theirs = {.access = wire_access(),
                                          .dsn = pgserver_dsn(server),
                                          .mode = PGWIRE_REPLICATION,
                                          .application_name = "standby"};
    const struct pgwire_source_options options = {.access = wire_access(),
                                                  .dsn = pgserver_dsn(server)};
    HF_CLEANUP(pgwire_close) struct pgwire_conn *stream = NULL;
    HF_CLEANUP(pgwire_close) struct pgwire_conn *standby = NULL;
    struct pgwire_source source;
    (void)state;

    assert_ok(pgwire_open(&ctx, &ours, &stream));
    assert_ok(pgwire_source_look(&ctx, &options, &source));
    assert_int_equal(source.free_walsenders, 2);
    assert_false(has_finding(&source, "FEW_WALSENDERS"));
    assert_true(has_finding(&source, "SLOT_WAL_UNBOUNDED"));
    assert_ok(pgwire_open(&ctx, &theirs, &standby));
    assert_ok(pgwire_source_look(&ctx, &options, &source)); /* no walsender is left to ask with */
    assert_int_equal(source.free_walsenders, 1);
    assert_true(has_finding(&source, "FEW_WALSENDERS"));
}

static void test_source__needs_wal(void **state)
{
    static const char *const settings[] = {"wal_level = minimal", "max_wal_senders = 0", NULL};
    HF_CLEANUP(ctx_end) struct hf_ctx ctx = ctx_begin();
    HF_CLEANUP(pgserver_free)
    struct pgserver *server = pgserver_new(&(struct pgserver_options){.settings = settings});
    struct pgwire_source_options options = {.access = wire_access(), .dsn = pgserver_dsn(server)};
    struct pgwire_source source;
    struct hf_status status = pgwire_source_check(&ctx, &options, &source);
    (void)state;

    assert_fails(status, HF_FAILED_PRECONDITION, "WAL_LEVEL_MINIMAL");
    assert_non_null(strstr(status.message, "ALTER SYSTEM SET wal_level"));
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_source__is_described_to_a_superuser),
        cmocka_unit_test(test_source__degrades_to_unknown_for_a_poor_role),
        cmocka_unit_test(test_source__needs_a_free_slot_unless_it_has_one),
        cmocka_unit_test(test_source__look_counts_our_walsenders_as_free),
        cmocka_unit_test(test_source__needs_wal),
    };
    return pgserver_is_available() ? cmocka_run_group_tests(tests, NULL, NULL) : no_servers();
}
