/* A base backup taken over the wire, unpacked by the events, is a working cluster; damage and
 * cancellation are told. */
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "codec/hash.h"
#include "pgformat/exclude.h"
#include "pgformat/label.h"
#include "pgformat/manifest.h"
#include "pgformat/wal.h"
#include "pgwire/basebackup.h"
#include "pgwire/source.h"
#include "testkit/run.h"
#include "wire_unit.h"

/* Writes what the events bring below root; tablespaces go to root-<oid>. */
struct unpack {
    struct hf_arena *arena;
    const char *root;
    struct pgwire_backup_start start;
    uint32_t oid;
    size_t archives;
    size_t files;
    char path[512]; /* as the manifest wants it */
    uint64_t size;
    uint32_t crc;
    int fd;
    uint64_t progress;
    struct pgf_manifest *manifest; /* NULL: none is written */
    int stop_after;                /* files; then the callback fails */
};

static struct hf_status on_started(void *arg, const struct pgwire_backup_start *start)
{
    struct unpack *unpack = arg;

    unpack->start = *start;
    return hf_success();
}

static struct hf_status on_archive(void *arg, uint32_t oid, const char *location)
{
    struct unpack *unpack = arg;

    assert_int_equal(oid == 0, location[0] == '\0');
    unpack->oid = oid;
    unpack->archives++;
    return hf_success();
}

static struct hf_status on_archive_end(void *arg)
{
    struct unpack *unpack = arg;

    assert_int_equal(unpack->fd, -1);
    return hf_success();
}

static struct hf_status on_progress(void *arg, uint64_t received_bytes)
{
    struct unpack *unpack = arg;

    assert_true(received_bytes > unpack->progress);
    unpack->progress = received_bytes;
    return hf_success();
}

static struct hf_status on_header(void *arg, const struct pgf_tar_member *member)
{
    struct unpack *unpack = arg;
    char path[1024];

    if (unpack->oid == 0) {
        snprintf(unpack->path, sizeof(unpack->path), "%s", member->path);
        snprintf(path, sizeof(path), "%s/%s", unpack->root, member->path);
    } else {
        snprintf(unpack->path, sizeof(unpack->path), "pg_tblspc/%u/%s", (unsigned)unpack->oid,
                 member->path);
        snprintf(path, sizeof(path), "%s-%u/%s", unpack->root, (unsigned)unpack->oid, member->path);
    }
    assert_int_not_equal(member->kind, PGF_TAR_SYMLINK); /* tablespace_map stands for them */
    if (member->kind == PGF_TAR_DIRECTORY) {
        assert_ok(hf_make_dirs(unpack->arena, path, 0700));
        return hf_success();
    }
    unpack->fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    assert_true(unpack->fd >= 0);
    unpack->size = 0;
    unpack->crc = 0;
    unpack->files++;
    if (unpack->stop_after > 0 && unpack->files > (size_t)unpack->stop_after) {
        return hf_fail(unpack->arena, HF_ABORTED, "enough");
    }
    return hf_success();
}

static struct hf_status on_data(void *arg, const uint8_t *bytes, size_t len)
{
    struct unpack *unpack = arg;

    unpack->size += len;
    unpack->crc = codec_crc32c(unpack->crc, bytes, len);
    return hf_write_all(unpack->arena, unpack->fd, bytes, len, unpack->path);
}

static struct hf_status on_end(void *arg)
{
    struct unpack *unpack = arg;
    struct pgf_manifest_file file = {unpack->path, unpack->size, 1795493880, unpack->crc};

    if (unpack->fd < 0) {
        return hf_success();
    }
    hf_close_cleanup(&unpack->fd);
    return unpack->manifest != NULL ? pgf_manifest_add(unpack->manifest, &file) : hf_success();
}

static struct hf_status backup(struct hf_ctx *ctx, struct pgwire_conn *conn, struct unpack *unpack,
                               struct pgwire_backup_end *ret_end)
{
    struct pgwire_backup_options options = {.label = "it's holdfast"};
    struct pgwire_backup_events events = {
        .started = on_started,
        .archive_begin = on_archive,
        .archive_end = on_archive_end,
        .progress = on_progress,
        .tar = {on_header, on_data, on_end, unpack},
        .arg = unpack,
    };

    unpack->arena = ctx->arena;
    unpack->fd = -1;
    assert_ok(hf_make_dirs(ctx->arena, unpack->root, 0700));
    return pgwire_base_backup(ctx, conn, &options, &events, ret_end);
}

/* Segments [start, stop] of the source's pg_wal. */
static void wal_copy(struct hf_ctx *ctx, struct pgserver *server, const char *root, uint64_t start,
                     uint64_t stop)
{
    uint64_t segment = 16 << 20;

    pgserver_sql(server, "select pg_switch_wal()");
    for (uint64_t segno = pgf_wal_segno(start, segment);
         segno <= pgf_wal_segno_before(stop, segment); segno++) {
        struct pgf_wal_name name = pgf_wal_name(1, segno, segment);
        const char *const argv[] = {
            "/bin/cp", hf_printf(ctx->arena, "%s/pg_wal/%s", pgserver_data(server), name.text),
            hf_printf(ctx->arena, "%s/pg_wal/%s", root, name.text), NULL};

        assert_int_equal(testkit_run(argv, &(struct testkit_user){.is_set = false}, NULL), 0);
    }
}

static struct hf_status manifest_write(void *arg, const void *bytes, size_t len)
{
    hf_buf_append(arg, bytes, len);
    return hf_success();
}

static void label_check(struct hf_ctx *ctx, const struct unpack *unpack)
{
    HF_CLEANUP(hf_buf_done) struct hf_buf text = {0};
    struct pgf_label label;

    hf_buf_init(&text, 8192);
    assert_ok(
        hf_read_file(ctx->arena, hf_path_join(ctx->arena, unpack->root, "backup_label"), &text));
    assert_ok(
        pgf_label_parse(ctx->arena, (struct hf_str){(const char *)text.ptr, text.len}, &label));
    assert_int_equal(label.start_lsn, unpack->start.start_lsn);
    assert_int_equal(label.start_timeline, 1);
    assert_string_equal(label.label, "it's holdfast");
    assert_string_equal(label.backup_method, "streamed");
}

static void tablespace_map_write(struct hf_ctx *ctx, const struct unpack *unpack)
{
    HF_CLEANUP(hf_buf_done) struct hf_buf text = {0}, out = {0};
    const char *path = hf_path_join(ctx->arena, unpack->root, "tablespace_map");
    const struct pgf_tablespace *items;
    struct pgf_tablespace moved;
    size_t len;

    hf_buf_init(&text, 8192);
    hf_buf_init(&out, 8192);
    assert_ok(hf_read_file(ctx->arena, path, &text));
    assert_ok(pgf_tablespace_map_parse(
        ctx->arena, (struct hf_str){(const char *)text.ptr, text.len}, &items, &len));
    assert_int_equal(len, 1);
    moved = (struct pgf_tablespace){
        items[0].oid, hf_printf(ctx->arena, "%s-%u", unpack->root, (unsigned)items[0].oid)};
    pgf_tablespace_map_print(&moved, 1, &out);
    assert_ok(hf_replace_file(ctx->arena, path, out.ptr, out.len, 0600));
    testkit_chown_tree(moved.path, &(struct testkit_user){0});
}

/* Two tables, one of them in a tablespace with a blank in its path; returns the digest of both. */
static char *cluster_fill(struct hf_ctx *ctx, struct pgserver *server, const char *space,
                          const struct testkit_user *user)
{
    assert_ok(hf_make_dirs(ctx->arena, space, 0700));
    testkit_chown_tree(space, user);
    pgserver_sql(server, "create tablespace fast location '%s'", space);
    pgserver_sql(server,
                 "create table a as select i, md5(i::text) m from generate_series(1,50000) i");
    pgserver_sql(server, "create table b tablespace fast as select * from a");
    pgserver_sql(server, "create unlogged table u as select 1");
    return hf_strdup(ctx->arena,
                     pgserver_sql(server, "select md5(string_agg(m, '' order by i)) from b"));
}

/* With WAL, manifest and the links that recovery will make, pg_verifybackup is content. */
static void copy_verify(struct hf_ctx *ctx, struct pgserver *server, const struct unpack *unpack,
                        uint64_t stop_lsn, struct hf_buf *manifest_text)
{
    struct testkit_user user = testkit_user_find("postgres");
    unsigned oid = unpack->start.tablespaces[0].oid;
    const char *space = hf_printf(ctx->arena, "%s-%u", unpack->root, oid);
    const char *const argv[] = {"pg_verifybackup", unpack->root, NULL};
    struct pgf_manifest_range range = {1, unpack->start.start_lsn, stop_lsn};
    char *out = NULL;
    int failed;

    wal_copy(ctx, server, unpack->root, unpack->start.start_lsn, stop_lsn);
    assert_ok(pgf_manifest_finish(unpack->manifest, &range, 1));
    assert_ok(hf_replace_file(ctx->arena, hf_path_join(ctx->arena, unpack->root, "backup_manifest"),
                              manifest_text->ptr, manifest_text->len, 0600));
    assert_int_equal(symlink(space, hf_printf(ctx->arena, "%s/pg_tblspc/%u", unpack->root, oid)),
                     0);
    testkit_chown_tree(unpack->root, &user);
    testkit_chown_tree(space, &user);
    failed = pgserver_run(server, argv, &out);
    if (failed != 0) {
        print_error("%s\n", out);
    }
    assert_int_equal(failed, 0);
    hf_heap_free(out);
}

static void test_backup__is_a_working_cluster(void **state)
{
    HF_CLEANUP(ctx_end) struct hf_ctx ctx = ctx_begin();
    HF_CLEANUP(pgserver_free) struct pgserver *server = pgserver_new(NULL);
    HF_CLEANUP(pgserver_free) struct pgserver *restored = NULL;
    HF_CLEANUP(pgwire_close)
    struct pgwire_conn *conn = conn_get(&ctx, pgserver_dsn(server), PGWIRE_REPLICATION);
    HF_CLEANUP(hf_buf_done) struct hf_buf text = {0};
    struct pgf_manifest_options options = {manifest_write, &text, 15, 0};
    HF_CLEANUP(pgf_manifest_free) struct pgf_manifest *manifest = pgf_manifest_new(&options);
    struct unpack unpack = {.root = hf_path_join(ctx.arena, pgserver_root(server), "copy"),
                            .manifest = manifest};
    struct testkit_user user = testkit_user_find("postgres");
    const char *space = hf_path_join(ctx.arena, pgserver_root(server), "fast disk");
    const char *digest = cluster_fill(&ctx, server, space, &user);
    struct pgwire_backup_end end;
    struct pgwire_identity identity;
    (void)state;

    hf_buf_init(&text, 16 << 20);
    assert_ok(backup(&ctx, conn, &unpack, &end));
    assert_int_equal(unpack.archives, 2);
    assert_int_equal(unpack.start.tablespaces_len, 2);
    assert_int_equal(unpack.start.tablespaces[1].oid, 0);
    assert_string_equal(unpack.start.tablespaces[0].location, space);
    assert_true(unpack.start.size_bytes > 1 << 20);
    assert_true(end.stop_lsn > unpack.start.start_lsn);
    assert_int_equal(end.timeline, 1);
    assert_int_equal(end.received_bytes, unpack.progress);
    assert_ok(pgwire_identify(&ctx, conn, &identity)); /* the connection is usable again */

    label_check(&ctx, &unpack);
    copy_verify(&ctx, server, &unpack, end.stop_lsn, &text);
    tablespace_map_write(&ctx, &unpack);
    testkit_chown_tree(unpack.root, &user);
    restored = pgserver_open(unpack.root, NULL);
    assert_string_equal(pgserver_sql(restored, "select md5(string_agg(m, '' order by i)) from b"),
                        digest);
    assert_string_equal(pgserver_sql(restored, "select count(*) from a"), "50000");
    assert_string_equal(pgserver_sql(restored, "select count(*) from u"), "0");
    pgserver_sql(restored, "insert into b values (0, 'new')");
}

static void test_backup__ends_with_the_callback_or_the_caller(void **state)
{
    HF_CLEANUP(ctx_end) struct hf_ctx ctx = ctx_begin();
    HF_CLEANUP(pgserver_free) struct pgserver *server = pgserver_new(NULL);
    HF_CLEANUP(pgwire_close)
    struct pgwire_conn *conn = conn_get(&ctx, pgserver_dsn(server), PGWIRE_REPLICATION);
    HF_CLEANUP(pgwire_close)
    struct pgwire_conn *other = conn_get(&ctx, pgserver_dsn(server), PGWIRE_REPLICATION);
    struct unpack unpack = {.root = hf_path_join(ctx.arena, pgserver_root(server), "one"),
                            .stop_after = 20};
    struct unpack second = {.root = hf_path_join(ctx.arena, pgserver_root(server), "two")};
    struct hf_cancel cancel = {true};
    struct pgwire_backup_end end;
    (void)state;

    assert_int_equal(backup(&ctx, conn, &unpack, &end).code, HF_ABORTED);
    assert_false(pgwire_is_alive(conn));
    hf_close_cleanup(&unpack.fd);
    ctx.cancel = &cancel;
    assert_int_equal(backup(&ctx, other, &second, &end).code, HF_CANCELLED);
    assert_false(pgwire_is_alive(other));
}

static void test_backup__tells_damaged_pages(void **state)
{
    HF_CLEANUP(ctx_end) struct hf_ctx ctx = ctx_begin();
    HF_CLEANUP(pgserver_free) struct pgserver *server = pgserver_new(NULL);
    struct unpack unpack = {.root = hf_path_join(ctx.arena, pgserver_root(server), "copy")};
    struct pgwire_backup_end end;
    struct hf_status status;
    const char *file;
    int fd;
    (void)state;

    pgserver_sql(server, "create table a as select generate_series(1,5000) i");
    file = hf_strdup(ctx.arena, pgserver_sql(server, "select pg_relation_filepath('a')"));
    pgserver_sql(server, "checkpoint");
    pgserver_stop(server);
    fd = open(hf_path_join(ctx.arena, pgserver_data(server), file), O_WRONLY | O_CLOEXEC);
    assert_ok(hf_pwrite_all(ctx.arena, fd, "damage", 6, 8192 + 5000, "a"));
    close(fd);
    pgserver_start(server);
    {
        HF_CLEANUP(pgwire_close)
        struct pgwire_conn *conn = conn_get(&ctx, pgserver_dsn(server), PGWIRE_REPLICATION);

        status = backup(&ctx, conn, &unpack, &end);
    }
    assert_fails(status, HF_DATA_LOSS, "PAGE_CHECKSUM_FAILED");
    assert_non_null(strstr(status.message, file));
}

static void test_backup__tells_a_lost_server(void **state)
{
    HF_CLEANUP(ctx_end) struct hf_ctx ctx = ctx_begin();
    HF_CLEANUP(pgserver_free) struct pgserver *server = pgserver_new(NULL);
    HF_CLEANUP(pgwire_close)
    struct pgwire_conn *conn = conn_get(&ctx, pgserver_dsn(server), PGWIRE_REPLICATION);
    struct unpack unpack = {.root = hf_path_join(ctx.arena, pgserver_root(server), "copy")};
    struct pgwire_backup_end end;
    (void)state;

    pgserver_crash(server);
    assert_fails(backup(&ctx, conn, &unpack, &end), HF_UNAVAILABLE, "HOST_UNREACHABLE");
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_backup__is_a_working_cluster),
        cmocka_unit_test(test_backup__ends_with_the_callback_or_the_caller),
        cmocka_unit_test(test_backup__tells_damaged_pages),
        cmocka_unit_test(test_backup__tells_a_lost_server),
    };
    return pgserver_is_available() ? cmocka_run_group_tests(tests, NULL, NULL) : no_servers();
}
