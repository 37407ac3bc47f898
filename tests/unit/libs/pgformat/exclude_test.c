/* What stays out of a backup, and names of relation files. */
#include "base/check.h"
#include "pgformat/exclude.h"
#include "tests/unit/unit.h"

static void test_exclude__drops_what_must_not_be_kept(void **state)
{
    static const char *const cases[] = {
        "pg_wal/000000010000000000000001",
        "pg_replslot/holdfast/state",
        "pg_stat_tmp/global.stat",
        "pg_wal/archive_status/000000010000000000000001.ready",
        "pg_dynshmem/mmap.1",
        "pg_notify/0000",
        "pg_serial/0000",
        "pg_snapshots/1",
        "pg_subtrans/0000",
        "base/pgsql_tmp/pgsql_tmp123.0",
        "base/pgsql_tmp",
        "base/5/pg_internal.init",
        "global/pg_internal.init.77",
        "base/5/t3_16384",
        "base/5/t3_16384_fsm.1",
        "pg_tblspc/9/PG_15_202209061/5/t12_7",
        "postmaster.pid",
        "postmaster.opts",
        "backup_label.old",
        "backup_manifest",
        "recovery.signal",
        "standby.signal",
        "postgresql.auto.conf.tmp",
    };
    (void)state;

    for (size_t i = 0; i < HF_LEN(cases); i++) {
        assert_true(pgf_exclude_entry(cases[i]));
    }
}

static void test_exclude__keeps_the_rest(void **state)
{
    static const char *const cases[] = {
        "pg_wal",       "pg_wal/archive_status", "pg_replslot",      "base/5/16384_init",
        "base/5/16384", "global/pg_control",     "PG_VERSION",       "postgresql.auto.conf",
        "pg_walx/file", "base/5/table.pid",      "current_logfiles", "sub/postmaster.pid"};
    (void)state;

    for (size_t i = 0; i < HF_LEN(cases); i++) {
        assert_false(pgf_exclude_entry(cases[i]));
    }
    assert_true(pgf_exclude_contents("pg_wal"));
    assert_true(pgf_exclude_contents("pg_subtrans"));
    assert_false(pgf_exclude_contents("pg_xact"));
}

static void test_relation_file__is_parsed(void **state)
{
    static const struct {
        const char *file;
        struct pgf_relation_file want;
    } cases[] = {
        {"16384", {16384, PGF_FORK_MAIN, 0, false}},
        {"16384.12", {16384, PGF_FORK_MAIN, 12, false}},
        {"16384_fsm", {16384, PGF_FORK_FSM, 0, false}},
        {"4294967295_vm.1", {4294967295U, PGF_FORK_VM, 1, false}},
        {"7_init", {7, PGF_FORK_INIT, 0, false}},
        {"t3_16384_vm.1", {16384, PGF_FORK_VM, 1, true}},
    };
    (void)state;

    for (size_t i = 0; i < HF_LEN(cases); i++) {
        struct pgf_relation_file file;

        assert_true(pgf_relation_file_parse(cases[i].file, &file));
        assert_int_equal(file.number, cases[i].want.number);
        assert_int_equal(file.fork, cases[i].want.fork);
        assert_int_equal(file.segment, cases[i].want.segment);
        assert_int_equal(file.is_temporary, cases[i].want.is_temporary);
    }
}

static void test_relation_file__refuses_other_names(void **state)
{
    static const char *const cases[] = {
        "",    "x",  "0",   "016384",   "16384.",     "16384.0",      "16384_x",
        "t_1", "t1", "t1_", "16384.01", "4294967296", "16384_fsm_vm", "PG_VERSION"};
    struct pgf_relation_file file;
    (void)state;

    for (size_t i = 0; i < HF_LEN(cases); i++) {
        assert_false(pgf_relation_file_parse(cases[i], &file));
    }
}

static void test_relation_path__needs_the_right_directory(void **state)
{
    (void)state;

    assert_true(pgf_is_relation_path("base/5/16384"));
    assert_true(pgf_is_relation_path("global/1262"));
    assert_true(pgf_is_relation_path("pg_tblspc/16385/PG_15_202209061/5/16390.1"));
    assert_false(pgf_is_relation_path("base/16384"));
    assert_false(pgf_is_relation_path("base/5/6/16384"));
    assert_false(pgf_is_relation_path("base/5/pg_filenode.map"));
    assert_false(pgf_is_relation_path("global/pg_control"));
    assert_false(pgf_is_relation_path("pg_xact/0000"));
    assert_false(pgf_is_relation_path("pg_tblspc/16385/1"));
    assert_false(pgf_is_relation_path("16384"));
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_exclude__drops_what_must_not_be_kept),
        cmocka_unit_test(test_exclude__keeps_the_rest),
        cmocka_unit_test(test_relation_file__is_parsed),
        cmocka_unit_test(test_relation_file__refuses_other_names),
        cmocka_unit_test(test_relation_path__needs_the_right_directory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
