/* Slots on a real server, by both kinds of connection. */
#include "pgformat/wal.h"
#include "pgwire/slot.h"
#include "wire_unit.h"

static int server_make(void **state)
{
    static const char *const settings[] = {"max_replication_slots = 2", "wal_level = logical",
                                           NULL};

    *state = pgserver_new(&(struct pgserver_options){.settings = settings});
    return 0;
}

static int server_drop(void **state)
{
    pgserver_free(*state);
    return 0;
}

static void slot_cycle(struct pgserver *server, enum pgwire_mode mode)
{
    HF_CLEANUP(ctx_end) struct hf_ctx ctx = ctx_begin();
    HF_CLEANUP(pgwire_close)
    struct pgwire_conn *conn = conn_get(&ctx, pgserver_dsn(server), mode);
    struct pgwire_slot slot;
    bool made = false;

    assert_ok(pgwire_slot_read(&ctx, conn, "ours", &slot));
    assert_false(slot.exists);
    assert_ok(pgwire_slot_make(&ctx, conn, "ours", &made));
    assert_true(made);
    assert_ok(pgwire_slot_make(&ctx, conn, "ours", &made));
    assert_false(made);
    assert_ok(pgwire_slot_read(&ctx, conn, "ours", &slot));
    assert_true(slot.exists && slot.is_physical && slot.restart_lsn > 0);
    if (mode == PGWIRE_SQL) {
        assert_false(slot.is_active);
        assert_int_equal(slot.wal, PGWIRE_SLOT_RESERVED);
    }
    assert_ok(pgwire_slot_drop(&ctx, conn, "ours"));
    assert_ok(pgwire_slot_drop(&ctx, conn, "ours"));
    assert_ok(pgwire_slot_read(&ctx, conn, "ours", &slot));
    assert_false(slot.exists);
}

static void test_slot__lives_by_sql(void **state)
{
    slot_cycle(*state, PGWIRE_SQL);
}

static void test_slot__lives_by_replication_commands(void **state)
{
    slot_cycle(*state, PGWIRE_REPLICATION);
}

static void test_slot__tells_when_none_is_free_or_the_name_is_taken(void **state)
{
    HF_CLEANUP(ctx_end) struct hf_ctx ctx = ctx_begin();
    HF_CLEANUP(pgwire_close)
    struct pgwire_conn *conn = conn_get(&ctx, pgserver_dsn(*state), PGWIRE_REPLICATION);
    bool made;

    pgserver_sql(*state, "select pg_create_logical_replication_slot('theirs', 'pgoutput')");
    assert_fails(pgwire_slot_make(&ctx, conn, "theirs", &made), HF_ALREADY_EXISTS,
                 "SLOT_NAME_TAKEN");
    assert_ok(pgwire_slot_make(&ctx, conn, "ours", &made));
    assert_fails(pgwire_slot_make(&ctx, conn, "third", &made), HF_RESOURCE_EXHAUSTED,
                 "NO_FREE_SLOT");
    assert_ok(pgwire_slot_drop(&ctx, conn, "ours"));
    pgserver_sql(*state, "select pg_drop_replication_slot('theirs')");
}

static void test_slot__advances_but_not_beyond_the_server(void **state)
{
    HF_CLEANUP(ctx_end) struct hf_ctx ctx = ctx_begin();
    HF_CLEANUP(pgwire_close)
    struct pgwire_conn *conn = conn_get(&ctx, pgserver_dsn(*state), PGWIRE_SQL);
    struct pgwire_slot before, after;
    uint64_t now_lsn;
    bool made;

    assert_ok(pgwire_slot_make(&ctx, conn, "ours", &made));
    pgserver_sql(*state, "create table t as select generate_series(1, 1000)");
    assert_ok(pgwire_slot_read(&ctx, conn, "ours", &before));
    assert_true(pgf_lsn_parse(pgserver_sql(*state, "select pg_current_wal_flush_lsn()"), &now_lsn));
    assert_ok(pgwire_slot_advance(&ctx, conn, "ours", before.restart_lsn));
    assert_ok(pgwire_slot_advance(&ctx, conn, "ours", now_lsn + (1 << 30)));
    assert_ok(pgwire_slot_read(&ctx, conn, "ours", &after));
    assert_true(after.restart_lsn > before.restart_lsn);
    assert_fails(pgwire_slot_advance(&ctx, conn, "none", now_lsn), HF_NOT_FOUND, "SLOT_NOT_FOUND");
    assert_ok(pgwire_slot_drop(&ctx, conn, "ours"));
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_slot__lives_by_sql),
        cmocka_unit_test(test_slot__lives_by_replication_commands),
        cmocka_unit_test(test_slot__tells_when_none_is_free_or_the_name_is_taken),
        cmocka_unit_test(test_slot__advances_but_not_beyond_the_server),
    };
    return pgserver_is_available() ? cmocka_run_group_tests(tests, server_make, server_drop)
                                   : no_servers();
}
