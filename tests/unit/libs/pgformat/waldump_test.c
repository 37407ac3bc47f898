/* The walker and the control decoder against PostgreSQL's own tools on a real cluster: pg_waldump
 * must count the same records and commits, pg_controldata must name the same values. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/fd.h"
#include "pgformat/control.h"
#include "pgformat/wal.h"
#include "pgformat/walrec.h"
#include "testkit/pgserver.h"
#include "tests/unit/unit.h"

#define SEGMENT (UINT64_C(1) << 20)

/* Reads segments of pg_wal; the file at hand stays open. */
struct segments {
    const char *directory;
    uint64_t segno;
    int fd;
    uint64_t bytes; /* read in all */
};

static struct hf_status segments_read(void *arg, uint64_t lsn, uint8_t *ret_bytes, size_t len,
                                      size_t *ret_len)
{
    struct segments *segments = arg;
    size_t done = 0;

    while (done < len) {
        uint64_t segno = pgf_wal_segno(lsn + done, SEGMENT);
        ssize_t got;

        if (segments->fd < 0 || segno != segments->segno) {
            char path[512];

            snprintf(path, sizeof(path), "%s/pg_wal/%s", segments->directory,
                     pgf_wal_name(1, segno, SEGMENT).text);
            hf_close_cleanup(&segments->fd);
            segments->fd = open(path, O_RDONLY | O_CLOEXEC);
            segments->segno = segno;
        }
        if (segments->fd < 0) {
            break;
        }
        size_t room = (size_t)(SEGMENT - (lsn + done) % SEGMENT);
        got = pread(segments->fd, ret_bytes + done, len - done < room ? len - done : room,
                    (off_t)((lsn + done) % SEGMENT));
        assert_true(got > 0);
        done += (size_t)got;
    }
    segments->bytes += done;
    *ret_len = done;
    return hf_success();
}

static uint64_t lsn_of(struct pgserver *server)
{
    uint64_t lsn = 0;

    assert_true(pgf_lsn_parse(pgserver_sql(server, "select pg_current_wal_lsn()"), &lsn));
    return lsn;
}

/* Lines that hold word; by line, as the text is long and sanitizers measure it at every strstr. */
static size_t count_of(const char *text, const char *word)
{
    const char *end = text + strlen(text);
    size_t count = 0;

    for (const char *line = text; line < end;) {
        const char *stop = memchr(line, '\n', (size_t)(end - line));

        stop = stop != NULL ? stop : end;
        count += memmem(line, (size_t)(stop - line), word, strlen(word)) != NULL ? 1 : 0;
        line = stop + 1;
    }
    return count;
}

/* Tables, big records, sub-transactions, prepared transactions, aborts, restore points. */
static void work(struct pgserver *server)
{
    pgserver_sql(server, "create table t (id int primary key, body text)");
    pgserver_sql(server, "insert into t select i, repeat(md5(i::text), 30) "
                         "from generate_series(1, 20000) i");
    for (int i = 0; i < 20; i++) {
        pgserver_sql(server, "update t set body = 'x' where id %% 20 = %d", i);
    }
    pgserver_sql(server, "select pg_switch_wal()");
    pgserver_sql(server, "begin; insert into t values (-1, 'p'); prepare transaction 'gid'");
    pgserver_sql(server, "begin; drop table if exists none; rollback");
    pgserver_sql(server, "begin; insert into t values (-2, 'a'); rollback");
    pgserver_sql(server, "commit prepared 'gid'");
    pgserver_sql(server, "begin; savepoint a; insert into t values (-3, ''); savepoint b; "
                         "insert into t values (-4, ''); commit");
    pgserver_sql(server, "select pg_create_restore_point('here')");
    pgserver_sql(server, "select pg_logical_emit_message(false, 'x', repeat('y', 3000000))");
    pgserver_sql(server, "checkpoint; create table u as select 1; drop table u");
}

struct dump {
    size_t records;
    size_t commits;
    char *text;
};

static struct dump waldump(struct pgserver *server, uint64_t from, uint64_t to)
{
    char path[512];
    struct dump dump = {0};

    snprintf(path, sizeof(path), "%s/pg_wal/%s", pgserver_data(server),
             pgf_wal_name(1, pgf_wal_segno(from, SEGMENT), SEGMENT).text);
    {
        const struct pgf_lsn_text start = pgf_lsn(from), end = pgf_lsn(to);
        const struct pgf_wal_name last =
            pgf_wal_name(1, pgf_wal_segno_before(to, SEGMENT), SEGMENT);
        const char *const args[] = {"pg_waldump", "-s", start.text, "-e",
                                    end.text,     path, last.text,  NULL};

        (void)pgserver_run(server, args, &dump.text);
    }
    dump.records = count_of(dump.text, "rmgr: ");
    dump.commits = count_of(dump.text, "desc: COMMIT");
    return dump;
}

static void xids_check(struct hf_arena *arena, const struct pgf_walk_options *options,
                       const char *xid)
{
    struct pgf_target target = {.kind = PGF_TARGET_NAME, .name = "here"};
    struct pgf_wal_summary summary;
    uint64_t value;

    assert_int_equal(pgf_wal_scan(arena, options, &target, &summary).code, HF_OK);
    assert_true(summary.is_target_reached);
    assert_true(hf_parse_u64(xid, &value));
    target = (struct pgf_target){.kind = PGF_TARGET_XID, .xid = (uint32_t)value};
    assert_int_equal(pgf_wal_scan(arena, options, &target, &summary).code, HF_OK);
    assert_true(summary.is_target_reached);
    target.xid += 100000;
    assert_int_equal(pgf_wal_scan(arena, options, &target, &summary).code, HF_OK);
    assert_false(summary.is_target_reached);
}

/* Without a limit it ends where the server has not written yet; also tells the speed. */
static void end_check(struct hf_arena *arena, struct pgf_walk_options *options,
                      struct segments *segments, size_t records)
{
    struct pgf_wal_summary summary;
    int64_t start_us = hf_mono_us();

    options->stop_lsn = 0;
    segments->bytes = 0;
    for (int i = 0; i < 5; i++) {
        assert_int_equal(pgf_wal_scan(arena, options, NULL, &summary).code, HF_OK);
        assert_true(summary.records >= records);
        assert_true(summary.end == PGF_WAL_END_ZEROES || summary.end == PGF_WAL_END_BAD_PAGE ||
                    summary.end == PGF_WAL_END_BAD_LINK || summary.end == PGF_WAL_END_OF_BYTES);
    }
    print_message("walked %llu MB/s\n", (unsigned long long)segments->bytes /
                                            (unsigned long long)(hf_mono_us() - start_us));
}

static void test_walker__agrees_with_pg_waldump(void **state)
{
    HF_CLEANUP(hf_arena_free) struct hf_arena *arena = hf_arena_new(1 << 24);
    static const char *const initdb[] = {"--wal-segsize=1", NULL};
    static const char *const settings[] = {"max_prepared_transactions = 5", "max_wal_size = '1GB'",
                                           "wal_keep_size = '512MB'", NULL};
    HF_CLEANUP(pgserver_free)
    struct pgserver *server =
        pgserver_new(&(struct pgserver_options){.settings = settings, .initdb = initdb});
    struct segments segments = {.directory = pgserver_data(server), .fd = -1};
    struct pgf_walk_options options = {
        .reader = {segments_read, &segments}, .segment_bytes = SEGMENT, .is_find_first = true};
    struct pgf_wal_summary summary;
    struct dump dump;
    const char *xid;
    (void)state;

    pgserver_sql(server, "select pg_switch_wal()");
    options.start_lsn = lsn_of(server) / SEGMENT * SEGMENT;
    work(server);
    xid = hf_strdup(arena, pgserver_sql(server, "insert into t values (-9, '') returning xmin"));
    options.stop_lsn = lsn_of(server);
    dump = waldump(server, options.start_lsn, options.stop_lsn);

    assert_int_equal(pgf_wal_scan(arena, &options, NULL, &summary).code, HF_OK);
    assert_true(dump.records > 20000);
    assert_int_equal(summary.records, dump.records);
    assert_int_equal(summary.commits, dump.commits);
    assert_int_equal(summary.aborts, count_of(dump.text, "desc: ABORT"));
    assert_int_equal(summary.end, PGF_WAL_END_LIMIT);
    assert_int_equal(summary.last_end, options.stop_lsn);
    assert_true(hf_now_us() - summary.last_commit_time_us < 60 * HF_US_PER_S);
    xids_check(arena, &options, xid);
    pgserver_stop(server);
    end_check(arena, &options, &segments, dump.records);
    hf_close_cleanup(&segments.fd);
    hf_heap_free(dump.text);
}

static char *line_of(struct hf_arena *arena, const char *text, const char *key)
{
    const char *line = strstr(text, key);

    assert_non_null(line);
    line += strlen(key);
    line += strspn(line, ": ");
    return hf_strndup(arena, line, strcspn(line, "\n"));
}

static void test_control__agrees_with_pg_controldata(void **state)
{
    HF_CLEANUP(hf_arena_free) struct hf_arena *arena = hf_arena_new(1 << 24);
    HF_CLEANUP(pgserver_free) struct pgserver *server = pgserver_new(NULL);
    HF_CLEANUP(hf_buf_done) struct hf_buf bytes = {0};
    const char *const args[] = {"pg_controldata", pgserver_data(server), NULL};
    struct pgf_control control;
    char *text = NULL;
    (void)state;

    pgserver_stop(server);
    hf_buf_init(&bytes, 1 << 16);
    assert_int_equal(pgserver_run(server, args, &text), 0);
    assert_int_equal(
        hf_read_file(arena, hf_printf(arena, "%s/global/pg_control", pgserver_data(server)), &bytes)
            .code,
        HF_OK);
    assert_int_equal(pgf_control_decode(arena, bytes.ptr, bytes.len, &control).code, HF_OK);
    assert_int_equal(control.server_major, 15);
    assert_string_equal(line_of(arena, text, "Database system identifier"),
                        hf_printf(arena, "%llu", (unsigned long long)control.system_identifier));
    assert_string_equal(line_of(arena, text, "Latest checkpoint location"),
                        pgf_lsn(control.checkpoint_lsn).text);
    assert_string_equal(line_of(arena, text, "Latest checkpoint's REDO location"),
                        pgf_lsn(control.redo_lsn).text);
    assert_string_equal(line_of(arena, text, "Database cluster state"),
                        pgf_control_state_text(control.state));
    assert_string_equal(line_of(arena, text, "max_wal_senders setting"),
                        hf_printf(arena, "%d", control.max_wal_senders));
    assert_string_equal(line_of(arena, text, "max_locks_per_xact setting"),
                        hf_printf(arena, "%d", control.max_locks_per_xact));
    assert_string_equal(line_of(arena, text, "Bytes per WAL segment"),
                        hf_printf(arena, "%u", (unsigned)control.wal_segment_bytes));
    assert_string_equal(line_of(arena, text, "Data page checksum version"),
                        hf_printf(arena, "%u", (unsigned)control.data_checksum_version));
    assert_string_equal(line_of(arena, text, "wal_level setting"), "replica");
    assert_int_equal(control.wal_level, 1);
    hf_heap_free(text);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_walker__agrees_with_pg_waldump),
        cmocka_unit_test(test_control__agrees_with_pg_controldata),
    };
    if (!pgserver_is_available()) {
        print_message("no PostgreSQL 15 in /usr/lib/postgresql: skipped\n");
        return 77;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
