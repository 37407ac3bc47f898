/* Streaming from a real server: the bytes are those of pg_wal, the stream follows a promotion,
 * every refusal has its reason. */
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "base/fd.h"
#include "pgformat/history.h"
#include "pgformat/wal.h"
#include "pgwire/slot.h"
#include "pgwire/source.h"
#include "pgwire/walstream.h"
#include "wire_unit.h"

#define SEGMENT (UINT64_C(16) << 20)

/* WAL received so far, from a segment's start on. */
struct received {
    uint64_t start;
    uint64_t lsn;
    struct hf_buf bytes;
};

static void received_begin(struct received *received, uint64_t start)
{
    *received = (struct received){.start = start, .lsn = start};
    hf_buf_init(&received->bytes, 256 << 20);
}

static void received_done_cleanup(struct received *received)
{
    hf_buf_done(&received->bytes);
}

/* Take events until lsn is there; acknowledge. Returns the last event. */
static struct pgwire_wal_event receive(struct hf_ctx *ctx, struct pgwire_conn *conn,
                                       struct received *received, uint64_t lsn)
{
    struct pgwire_wal_event event = {.kind = PGWIRE_WAL_IDLE};

    while (received->lsn < lsn && event.kind != PGWIRE_WAL_END_OF_TIMELINE) {
        assert_ok(pgwire_wal_next(ctx, conn, 1000, &event));
        while (event.kind == PGWIRE_WAL_DATA) {
            assert_int_equal(event.lsn, received->lsn);
            assert_true(event.server_lsn >= event.lsn + event.bytes.len);
            assert_true(event.server_time_us > 0);
            hf_buf_append(&received->bytes, event.bytes.ptr, event.bytes.len);
            received->lsn += event.bytes.len;
            assert_ok(pgwire_wal_next(ctx, conn, 0, &event));
        }
        if (event.kind != PGWIRE_WAL_END_OF_TIMELINE) {
            assert_ok(pgwire_wal_status(ctx, conn,
                                        &(struct pgwire_wal_positions){received->lsn, received->lsn,
                                                                       received->lsn, false}));
        }
    }
    return event;
}

static uint64_t lsn_of(struct pgserver *server)
{
    uint64_t lsn = 0;

    assert_true(pgf_lsn_parse(pgserver_sql(server, "select pg_current_wal_flush_lsn()"), &lsn));
    return lsn;
}

/* What was received equals the server's own files. */
static void compare(struct hf_ctx *ctx, struct pgserver *server, uint32_t timeline,
                    const struct received *received)
{
    uint8_t *page = hf_alloc(ctx->arena, PGF_WAL_PAGE);

    for (uint64_t lsn = received->start; lsn + PGF_WAL_PAGE <= received->lsn; lsn += PGF_WAL_PAGE) {
        const char *path =
            hf_printf(ctx->arena, "%s/pg_wal/%s", pgserver_data(server),
                      pgf_wal_name(timeline, pgf_wal_segno(lsn, SEGMENT), SEGMENT).text);
        HF_CLEANUP(hf_close) int fd = open(path, O_RDONLY | O_CLOEXEC);
        size_t len;

        assert_ok(hf_pread_full(ctx->arena, fd, page, PGF_WAL_PAGE, lsn % SEGMENT, path, &len));
        assert_memory_equal(page, received->bytes.ptr + (lsn - received->start), PGF_WAL_PAGE);
    }
}

static void test_stream__brings_the_server_s_wal(void **state)
{
    HF_CLEANUP(ctx_end) struct hf_ctx ctx = ctx_begin();
    HF_CLEANUP(pgserver_free) struct pgserver *server = pgserver_new(NULL);
    HF_CLEANUP(pgwire_close)
    struct pgwire_conn *conn = conn_get(&ctx, pgserver_dsn(server), PGWIRE_REPLICATION);
    HF_CLEANUP(received_done) struct received received;
    struct pgwire_identity identity;
    struct pgwire_wal_event event;
    bool made;
    (void)state;

    assert_ok(pgwire_slot_make(&ctx, conn, "holdfast_t", &made));
    assert_ok(pgwire_identify(&ctx, conn, &identity));
    received_begin(&received, identity.flush_lsn / SEGMENT * SEGMENT);
    assert_ok(pgwire_wal_start(&ctx, conn, "holdfast_t", received.start, 1));
    pgserver_sql(server,
                 "create table a as select i, md5(i::text) from generate_series(1,200000) i");
    receive(&ctx, conn, &received, lsn_of(server));
    compare(&ctx, server, 1, &received);
    assert_string_equal(pgserver_sql(server,
                                     "select flush_lsn >= '%s', active from "
                                     "pg_stat_replication, pg_replication_slots",
                                     pgf_lsn(received.lsn).text),
                        "t|t");
    assert_ok(pgwire_wal_next(&ctx, conn, 20, &event));
    assert_true(event.kind != PGWIRE_WAL_DATA || event.bytes.len > 0);
    assert_ok(pgwire_wal_stop(&ctx, conn));
    assert_ok(pgwire_identify(&ctx, conn, &identity)); /* takes commands again */
}

static void test_stream__is_a_synchronous_standby(void **state)
{
    static const char *const settings[] = {"synchronous_standby_names = 'holdfast_x'",
                                           "synchronous_commit = remote_apply", NULL};
    HF_CLEANUP(ctx_end) struct hf_ctx ctx = ctx_begin();
    HF_CLEANUP(pgserver_free)
    struct pgserver *server = pgserver_new(&(struct pgserver_options){.settings = settings});
    struct pgwire_options options = {.access = wire_access(),
                                     .dsn = pgserver_dsn(server),
                                     .mode = PGWIRE_REPLICATION,
                                     .application_name = "holdfast_x"};
    HF_CLEANUP(pgwire_close) struct pgwire_conn *conn = NULL;
    HF_CLEANUP(pgwire_close)
    struct pgwire_conn *client = conn_get(&ctx, pgserver_dsn(server), PGWIRE_SQL);
    HF_CLEANUP(received_done) struct received received;
    struct pgwire_identity identity;
    struct pgwire_rows rows;
    uint64_t before;
    (void)state;

    assert_ok(pgwire_open(&ctx, &options, &conn));
    assert_ok(pgwire_identify(&ctx, conn, &identity));
    received_begin(&received, identity.flush_lsn / SEGMENT * SEGMENT);
    assert_ok(pgwire_wal_start(&ctx, conn, NULL, received.start, 1));
    before = lsn_of(server);
    receive(&ctx, conn, &received, before);
    /* The commit waits for us; libpq sends it without waiting for the answer. */
    struct hf_ctx brief = ctx;
    brief.deadline_us = hf_mono_us() + 300000;
    assert_int_equal(pgwire_query(&brief, client, "create table s (i int)", NULL, 0, &rows).code,
                     HF_DEADLINE_EXCEEDED);
    assert_string_equal(pgserver_sql(server, "select count(*) from pg_stat_activity where "
                                             "wait_event = 'SyncRep'"),
                        "1");
    receive(&ctx, conn, &received, lsn_of(server));
    for (int i = 0; i < 100 && strcmp(pgserver_sql(server, "select count(*) from pg_class where "
                                                           "relname = 's'"),
                                      "1") != 0;
         i++) {
        assert_ok(hf_ctx_sleep(&ctx, 20));
    }
    assert_string_equal(pgserver_sql(server, "select count(*) from pg_class where relname = 's'"),
                        "1");
}

static void test_stream__follows_a_promotion(void **state)
{
    HF_CLEANUP(ctx_end) struct hf_ctx ctx = ctx_begin();
    HF_CLEANUP(pgserver_free) struct pgserver *primary = pgserver_new(NULL);
    HF_CLEANUP(pgserver_free) struct pgserver *standby = pgserver_standby(primary);
    HF_CLEANUP(pgwire_close)
    struct pgwire_conn *conn = conn_get(&ctx, pgserver_dsn(standby), PGWIRE_REPLICATION);
    HF_CLEANUP(received_done) struct received received, second;
    HF_CLEANUP(hf_buf_done) struct hf_buf text = {0};
    struct pgwire_identity identity;
    struct pgwire_wal_event event;
    struct pgf_history history;
    (void)state;

    hf_buf_init(&text, PGF_HISTORY_MAX_BYTES);
    assert_ok(pgwire_identify(&ctx, conn, &identity));
    received_begin(&received, identity.flush_lsn / SEGMENT * SEGMENT);
    received_begin(&second, 0);
    assert_ok(pgwire_wal_start(&ctx, conn, NULL, received.start, 1));
    pgserver_sql(primary, "create table a as select generate_series(1,1000) i");
    receive(&ctx, conn, &received, lsn_of(primary));
    pgserver_stop(primary);
    pgserver_promote(standby);
    pgserver_sql(standby, "insert into a values (-1)");
    event = receive(&ctx, conn, &received, UINT64_MAX);
    assert_int_equal(event.kind, PGWIRE_WAL_END_OF_TIMELINE);
    assert_int_equal(event.next_timeline, 2);
    assert_int_equal(event.switch_lsn, received.lsn);

    assert_ok(pgwire_timeline_history(&ctx, conn, 2, &text));
    assert_ok(pgf_history_parse(ctx.arena, 2, (struct hf_str){(const char *)text.ptr, text.len},
                                &history));
    assert_int_equal(history.entries[0].switch_lsn, event.switch_lsn);
    assert_fails(pgwire_timeline_history(&ctx, conn, 9, &text), HF_NOT_FOUND, "TIMELINE_UNKNOWN");

    /* Asked for the old timeline at its end, the server names the next one at once. */
    assert_ok(pgwire_wal_start(&ctx, conn, NULL, event.switch_lsn, 1));
    assert_ok(pgwire_wal_next(&ctx, conn, 1000, &event));
    assert_int_equal(event.kind, PGWIRE_WAL_END_OF_TIMELINE);
    assert_int_equal(event.next_timeline, 2);

    received_done_cleanup(&second);
    received_begin(&second, event.switch_lsn / SEGMENT * SEGMENT);
    assert_ok(pgwire_wal_start(&ctx, conn, NULL, second.start, 2));
    receive(&ctx, conn, &second, lsn_of(standby));
    compare(&ctx, standby, 2, &second);
}

/* Some refusals come only with the first event. */
static struct hf_status start_and_wait(struct hf_ctx *ctx, struct pgwire_conn *conn,
                                       const char *slot, uint64_t lsn)
{
    struct pgwire_wal_event event;

    HF_TRY(pgwire_wal_start(ctx, conn, slot, lsn, 1));
    return pgwire_wal_next(ctx, conn, 5000, &event);
}

static void test_stream__names_each_refusal(void **state)
{
    HF_CLEANUP(ctx_end) struct hf_ctx ctx = ctx_begin();
    static const char *const settings[] = {"max_slot_wal_keep_size = '16MB'",
                                           "max_wal_size = '32MB'", "min_wal_size = '32MB'", NULL};
    HF_CLEANUP(pgserver_free)
    struct pgserver *server = pgserver_new(&(struct pgserver_options){.settings = settings});
    HF_CLEANUP(pgwire_close)
    struct pgwire_conn *conn = conn_get(&ctx, pgserver_dsn(server), PGWIRE_REPLICATION);
    HF_CLEANUP(pgwire_close)
    struct pgwire_conn *other = conn_get(&ctx, pgserver_dsn(server), PGWIRE_REPLICATION);
    HF_CLEANUP(pgwire_close)
    struct pgwire_conn *sql = conn_get(&ctx, pgserver_dsn(server), PGWIRE_SQL);
    struct pgwire_slot slot;
    uint64_t start;
    bool made;
    (void)state;

    assert_ok(pgwire_slot_make(&ctx, conn, "one", &made));
    start = lsn_of(server) / SEGMENT * SEGMENT;
    assert_fails(pgwire_wal_start(&ctx, conn, "none", start, 1), HF_NOT_FOUND, "SLOT_NOT_FOUND");
    assert_fails(pgwire_wal_start(&ctx, conn, NULL, start, 7), HF_FAILED_PRECONDITION,
                 "TIMELINE_UNKNOWN");
    assert_fails(start_and_wait(&ctx, conn, NULL, start + (UINT64_C(1) << 40)), HF_OUT_OF_RANGE,
                 "LSN_IN_FUTURE");
    assert_ok(pgwire_wal_start(&ctx, conn, "one", start, 1));
    assert_fails(pgwire_wal_start(&ctx, other, "one", start, 1), HF_FAILED_PRECONDITION,
                 "SLOT_IN_USE");
    assert_ok(pgwire_wal_stop(&ctx, conn));
    for (int i = 0; i < 5; i++) {
        pgserver_sql(server, "create table t%d as select 1; select pg_switch_wal(); checkpoint", i);
        pgserver_sql(server, "checkpoint");
    }
    assert_fails(start_and_wait(&ctx, conn, "one", start), HF_OUT_OF_RANGE, "WAL_REMOVED");
    assert_ok(pgwire_slot_read(&ctx, sql, "one", &slot));
    assert_int_equal(slot.wal, PGWIRE_SLOT_LOST);
    assert_fails(start_and_wait(&ctx, other, NULL, start), HF_OUT_OF_RANGE, "WAL_REMOVED");
}

static void test_stream__tells_a_killed_server(void **state)
{
    HF_CLEANUP(ctx_end) struct hf_ctx ctx = ctx_begin();
    HF_CLEANUP(pgserver_free) struct pgserver *server = pgserver_new(NULL);
    HF_CLEANUP(pgwire_close)
    struct pgwire_conn *conn = conn_get(&ctx, pgserver_dsn(server), PGWIRE_REPLICATION);
    struct pgwire_wal_event event = {.kind = PGWIRE_WAL_IDLE};
    struct hf_status status = hf_success();
    (void)state;

    assert_ok(pgwire_wal_start(&ctx, conn, NULL, lsn_of(server) / SEGMENT * SEGMENT, 1));
    pgserver_crash(server);
    while (hf_is_ok(status)) {
        status = pgwire_wal_next(&ctx, conn, 1000, &event);
    }
    assert_fails(status, HF_UNAVAILABLE, "HOST_UNREACHABLE");
    assert_false(pgwire_is_alive(conn));
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_stream__brings_the_server_s_wal),
        cmocka_unit_test(test_stream__is_a_synchronous_standby),
        cmocka_unit_test(test_stream__follows_a_promotion),
        cmocka_unit_test(test_stream__names_each_refusal),
        cmocka_unit_test(test_stream__tells_a_killed_server),
    };
    return pgserver_is_available() ? cmocka_run_group_tests(tests, NULL, NULL) : no_servers();
}
