/* The WAL receiver against real PostgreSQL servers. */
#include <fcntl.h>

#include "receiver_scene.h"
#include "testkit/run.h"

static void make_synchronous(struct scene *scene, const char *level)
{
    struct hf_ctx ctx = within(scene, 20);

    pgserver_sql(scene->server, "ALTER SYSTEM SET synchronous_standby_names = 'holdfast_orders'");
    pgserver_sql(scene->server, "ALTER SYSTEM SET synchronous_commit = '%s'", level);
    pgserver_sql(scene->server, "SELECT pg_reload_conf()");
    while (strcmp(pgserver_sql(scene->server, "SELECT sync_state FROM pg_stat_replication "
                                              "WHERE application_name = 'holdfast_orders'"),
                  "sync") != 0) {
        assert_ok(hf_ctx_sleep(&ctx, 50));
    }
}

/* --- streaming ---------------------------------------------------------------------------- */

static void test_receiver__streams_and_proves_time_of_an_idle_source(void **state)
{
    struct scene *scene = *state;
    struct hf_ctx ctx = within(scene, 10);
    int64_t now_us = hf_now_us();

    scene_receive(scene);
    await_state(scene, RECEIVER_STREAMING);
    pgserver_sql(scene->server, "CREATE TABLE t AS SELECT generate_series(1, 1000) i");
    await_lsn(scene, 1, current_lsn(scene->server));
    while (status_of(scene).durable_time_us < now_us + 3 * HF_US_PER_S) {
        assert_ok(hf_ctx_sleep(&ctx, 50));
    }
    assert_true(status_of(scene).durable_time_us <= hf_now_us());
    assert_true(atomic_load(&scene->inventories) > 0);
    assert_true(status_of(scene).source_lsn >= status_of(scene).durable_lsn);
}

/* Nothing more is durable, and so nothing acknowledged, while a hook says that the vault is lost.
 */
static void hold(const struct scene *scene, atomic_bool *is_lost, const char *reason)
{
    atomic_store(is_lost, true);
    await_state(scene, RECEIVER_STALLED);
    assert_string_equal(status_of(scene).reason, reason);
    uint64_t durable = status_of(scene).durable_lsn;

    pgserver_sql(scene->server, "CREATE TABLE t AS SELECT generate_series(1, 1000) i");
    pgserver_sql(scene->server, "SELECT pg_sleep(1)");
    assert_true(status_of(scene).durable_lsn == durable && durable < current_lsn(scene->server));
    atomic_store(is_lost, false);
    await_lsn(scene, 1, current_lsn(scene->server));
    assert_string_equal(status_of(scene).reason, "");
    pgserver_sql(scene->server, "DROP TABLE t");
}

static void test_receiver__holds_while_the_vault_is_another_one(void **state)
{
    struct scene *scene = *state;

    scene_receive(scene);
    await_state(scene, RECEIVER_STREAMING);
    hold(scene, &scene->is_vault_lost, "KEYS_REPLACED");
    hold(scene, &scene->is_journal_gone, "JOURNAL_ROLLBACK");
}

/* The inventory comes later: a session looks before it has written anything. */
static void test_receiver__looks_at_the_vault_before_it_writes(void **state)
{
    struct scene *scene = *state;

    atomic_store(&scene->is_journal_gone, true);
    scene_receive(scene);
    await_state(scene, RECEIVER_STALLED);
    pgserver_sql(scene->server, "SELECT pg_sleep(1)");
    assert_true(status_of(scene).durable_lsn == 0 && status_of(scene).connects == 0);
    assert_int_equal(atomic_load(&scene->inventories), 0);
    hold(scene, &scene->is_journal_gone, "JOURNAL_ROLLBACK");
}

/* What the vault has must be what the server has, byte by byte. */
static void compare_segment(const struct scene *scene, uint64_t lsn)
{
    struct vault_wal_place place = place_of(scene, "l1");
    struct vault_wal_reader *reader =
        vault_wal_reader_new(scene->f->store, scene->f->keyring, &place);
    uint64_t segno = lsn / SEGMENT;
    const char *path =
        hf_printf(scene->f->ctx.arena, "%s/pg_wal/00000001%08X%08X", pgserver_data(scene->server),
                  (unsigned)(segno / 256), (unsigned)(segno % 256));
    struct hf_buf ours;
    struct hf_buf theirs;
    uint64_t end = 0;

    hf_buf_init(&ours, SEGMENT);
    hf_buf_init(&theirs, SEGMENT);
    assert_ok(vault_wal_segment_to_buf(&scene->f->ctx, reader, 1, segno, &ours, &end));
    assert_ok(hf_read_file(scene->f->ctx.arena, path, &theirs));
    assert_true(end >= lsn);
    assert_memory_equal(ours.ptr, theirs.ptr, (size_t)(end - segno * SEGMENT));
    hf_buf_done(&ours);
    hf_buf_done(&theirs);
    vault_wal_reader_free(reader);
}

static void test_receiver__stores_the_servers_bytes_over_restarts(void **state)
{
    struct scene *scene = *state;

    for (int i = 0; i < 3; i++) {
        scene_receive(scene);
        pgserver_sql(scene->server, "CREATE TABLE t%d AS SELECT generate_series(1, 20000) i", i);
        await_lsn(scene, 1, current_lsn(scene->server));
        receiver_free(scene->receiver);
        scene->receiver = NULL;
        compare_segment(scene, current_lsn(scene->server) - 1);
    }
    scene_receive(scene);
    await_state(scene, RECEIVER_STREAMING);
    pgserver_stop(scene->server);
    pgserver_start(scene->server);
    pgserver_sql(scene->server, "CREATE TABLE after AS SELECT generate_series(1, 20000) i");
    await_lsn(scene, 1, current_lsn(scene->server));
    compare_segment(scene, current_lsn(scene->server) - 1);
    assert_int_equal(atomic_load(&scene->forks) + atomic_load(&scene->gaps), 0);
}

/* --- synchronous -------------------------------------------------------------------------- */

static size_t count_lines(const char *text, const char *what)
{
    size_t count = 0;

    for (const char *at = strstr(text, what); at != NULL; at = strstr(at + 1, what)) {
        count++;
    }
    return count;
}

/* Commit records from lsn on, as PostgreSQL's own reader finds them in our segments. */
static size_t commits_since(const struct scene *scene, uint64_t lsn)
{
    struct vault_wal_place place = place_of(scene, "l1");
    struct vault_wal_reader *reader =
        vault_wal_reader_new(scene->f->store, scene->f->keyring, &place);
    const char *root = pgserver_root(scene->server);
    uint64_t end = 0;
    size_t count;
    char *out = NULL;
    struct hf_status status = hf_success();

    for (uint64_t segno = lsn / SEGMENT; status.code == HF_OK; segno++) {
        const char *path = hf_printf(scene->f->ctx.arena, "%s/00000001%08X%08X", root,
                                     (unsigned)(segno / 256), (unsigned)(segno % 256));
        int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

        assert_true(fd >= 0);
        status = vault_wal_segment_to_fd(&scene->f->ctx, reader, 1, segno, fd, &end);
        close(fd);
    }
    assert_int_equal(status.code, HF_NOT_FOUND);
    pgserver_run(scene->server,
                 (const char *const[]){"pg_waldump", "-p", root, "-r", "Transaction", "-s",
                                       vault_wal_lsn_text(scene->f->ctx.arena, lsn), "-e",
                                       vault_wal_lsn_text(scene->f->ctx.arena, end), NULL},
                 &out);
    count = count_lines(out, "desc: COMMIT");
    hf_heap_free(out);
    vault_wal_reader_free(reader);
    return count;
}

/* Transactions that pgbench counted as done, from its log. */
static size_t acknowledged(const struct scene *scene)
{
    char *out = NULL;
    size_t count;
    const char *command =
        hf_printf(scene->f->ctx.arena, "cat %s/ledger*", pgserver_root(scene->server));

    pgserver_run(scene->server, (const char *const[]){"/bin/sh", "-c", command, NULL}, &out);
    count = count_lines(out, "\n");
    hf_heap_free(out);
    return count;
}

static pid_t start_load(const struct scene *scene)
{
    struct testkit_user user = testkit_user_find("postgres");
    const char *command = hf_printf(
        scene->f->ctx.arena,
        "cd %s && echo 'INSERT INTO ledger DEFAULT VALUES;' > s.sql && exec "
        "/usr/lib/postgresql/15/bin/pgbench -n -c 8 -j 1 -T 60 -f s.sql -l --log-prefix=ledger "
        "'%s' 2>/dev/null",
        pgserver_root(scene->server), pgserver_dsn(scene->server));
    int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
    pid_t pid = testkit_spawn((const char *const[]){"/bin/sh", "-c", command, NULL}, &user, null);

    close(null);
    return pid;
}

static void test_receiver__synchronous_commits_survive_the_source(void **state)
{
    struct scene *scene = *state;
    struct hf_ctx ctx = within(scene, 60);
    uint64_t begin;
    size_t done;
    pid_t load;

    scene_receive(scene);
    await_state(scene, RECEIVER_STREAMING);
    pgserver_sql(scene->server, "CREATE TABLE ledger (i bigserial)");
    make_synchronous(scene, "on");
    begin = current_lsn(scene->server);
    load = start_load(scene);
    assert_ok(hf_ctx_sleep(&ctx, 3000));
    pgserver_crash(scene->server);
    (void)testkit_wait(load);
    await_state(scene, RECEIVER_WAITING);
    receiver_free(scene->receiver);
    scene->receiver = NULL;
    done = acknowledged(scene);
    print_message("acknowledged %zu, durable %zu\n", done, commits_since(scene, begin));
    assert_true(done > 100);
    assert_true(commits_since(scene, begin) >= done);
}

static void test_receiver__does_not_block_remote_apply(void **state)
{
    struct scene *scene = *state;
    int64_t begin_us;

    scene_receive(scene);
    await_state(scene, RECEIVER_STREAMING);
    pgserver_sql(scene->server, "CREATE TABLE t (i int)");
    make_synchronous(scene, "remote_apply");
    begin_us = hf_mono_us();
    pgserver_sql(scene->server, "INSERT INTO t VALUES (1)");
    pgserver_sql(scene->server, "INSERT INTO t VALUES (2)");
    assert_true(hf_mono_us() - begin_us < 2 * HF_US_PER_S);
}

/* --- timelines, gaps, forks --------------------------------------------------------------- */

/* Our slot is kept on the standby, too, so that its promotion leaves no gap. */
static void await_slot(const struct scene *scene, struct pgserver *server, uint64_t lsn)
{
    struct hf_ctx ctx = within(scene, 60);

    while (parse_lsn(pgserver_sql(server, "SELECT coalesce(max(restart_lsn), '0/0') FROM "
                                          "pg_replication_slots")) < lsn) {
        assert_ok(hf_ctx_sleep(&ctx, 100));
    }
}

static void test_receiver__follows_a_promoted_standby(void **state)
{
    struct scene *scene = *state;
    HF_CLEANUP(pgserver_free) struct pgserver *standby = pgserver_standby(scene->server);
    struct vault_wal_place place = place_of(scene, "l1");
    struct vault_wal_index index = {0};
    HF_CLEANUP(hf_buf_done) struct hf_buf history = {0};
    uint64_t old_lsn;

    scene->dsn = hf_printf(scene->f->ctx.arena,
                           "host=127.0.0.1,127.0.0.1 port=%d,%d user=postgres dbname=postgres",
                           pgserver_port(scene->server), pgserver_port(standby));
    scene_receive(scene);
    pgserver_sql(scene->server, "CREATE TABLE t AS SELECT generate_series(1, 1000) i");
    old_lsn = current_lsn(scene->server);
    await_lsn(scene, 1, old_lsn);
    await_slot(scene, standby, old_lsn);
    pgserver_stop(scene->server);
    pgserver_promote(standby);
    pgserver_sql(standby, "CREATE TABLE after AS SELECT generate_series(1, 1000) i");
    await_lsn(scene, 2, current_lsn(standby));
    await_lsn(scene, 1, old_lsn);
    hf_buf_init(&history, VAULT_WAL_HISTORY_MAX);
    assert_ok(vault_wal_history_get(&scene->f->ctx, scene->f->store, scene->f->keyring, &place, 2,
                                    &history));
    assert_int_equal(hf_buf_text(&history)[0], '1');
    assert_ok(vault_wal_index_load(&scene->f->ctx, scene->f->store, scene->f->keyring, &place, 0,
                                   &index));
    assert_int_equal(index.ranges_len, 2);
    assert_int_equal(index.ranges[1].timeline, 2);
    assert_int_equal(index.ranges[1].from % SEGMENT, 0);
    assert_true(index.ranges[1].from <= index.ranges[0].to);
    assert_int_equal(atomic_load(&scene->forks) + atomic_load(&scene->gaps), 0);
}

static void test_receiver__compacts_what_the_stream_has_left(void **state)
{
    struct scene *scene = *state;
    struct hf_ctx ctx = within(scene, 60);
    uint64_t begin;

    scene_receive(scene);
    await_state(scene, RECEIVER_STREAMING);
    await_lsn(scene, 1, current_lsn(scene->server));
    begin = status_of(scene).durable_lsn / SEGMENT * SEGMENT;
    for (int i = 0; i < 3; i++) {
        pgserver_sql(scene->server, "CREATE TABLE t%d AS SELECT generate_series(1, 5000)", i);
        pgserver_sql(scene->server, "SELECT pg_switch_wal()");
    }
    for (;;) {
        struct objstore_page page = wal_objects(scene->f);
        char *whole = hf_printf(ctx.arena, "%016llx-%016llx", (unsigned long long)begin,
                                (unsigned long long)(begin + SEGMENT));
        bool is_there = false;

        for (size_t i = 0; i < page.len; i++) {
            is_there = is_there || strstr(page.entries[i].name, whole) != NULL;
        }
        if (is_there) {
            break;
        }
        assert_ok(hf_ctx_sleep(&ctx, 200));
    }
    compare_segment(scene, begin);
}

static void copy_tree(const struct scene *scene, const char *from, const char *to)
{
    assert_int_equal(
        pgserver_run(scene->server, (const char *const[]){"/bin/cp", "-a", from, to, NULL}, NULL),
        0);
}

/* The source is put back to an older state, as by a snapshot of its disk, and lives on. */
static void test_receiver__begins_a_lineage_when_the_source_went_back(void **state)
{
    struct scene *scene = *state;
    struct hf_ctx ctx = within(scene, 30);
    const char *data = pgserver_data(scene->server);
    const char *copy = hf_printf(scene->f->ctx.arena, "%s.copy", data);

    scene_receive(scene);
    await_state(scene, RECEIVER_STREAMING);
    pgserver_stop(scene->server);
    copy_tree(scene, data, copy);
    pgserver_start(scene->server);
    pgserver_sql(scene->server, "CREATE TABLE lost AS SELECT generate_series(1, 100000) i");
    await_lsn(scene, 1, current_lsn(scene->server));
    pgserver_stop(scene->server);
    assert_ok(hf_remove_tree(ctx.arena, data));
    copy_tree(scene, copy, data);
    pgserver_start(scene->server);
    while (strcmp(status_of(scene).lineage, "l2") != 0) {
        assert_ok(hf_ctx_sleep(&ctx, 50));
    }
    pgserver_sql(scene->server, "CREATE TABLE other AS SELECT generate_series(1, 100) i");
    await_lsn(scene, 1, current_lsn(scene->server));
    assert_int_equal(atomic_load(&scene->forks), 1);
}

/* The same, but the source has written more than was stored before it is seen again. */
static void test_receiver__finds_another_history_at_the_same_place(void **state)
{
    struct scene *scene = *state;
    struct hf_ctx ctx = within(scene, 30);
    const char *data = pgserver_data(scene->server);
    const char *copy = hf_printf(scene->f->ctx.arena, "%s.copy", data);

    scene_receive(scene);
    await_state(scene, RECEIVER_STREAMING);
    pgserver_stop(scene->server);
    copy_tree(scene, data, copy);
    pgserver_start(scene->server);
    pgserver_sql(scene->server, "CREATE TABLE lost AS SELECT generate_series(1, 10000) i");
    await_lsn(scene, 1, current_lsn(scene->server));
    receiver_free(scene->receiver);
    pgserver_stop(scene->server);
    assert_ok(hf_remove_tree(ctx.arena, data));
    copy_tree(scene, copy, data);
    pgserver_start(scene->server);
    pgserver_sql(scene->server, "CREATE TABLE other AS SELECT generate_series(1, 40000) i");
    scene_receive(scene);
    while (strcmp(status_of(scene).lineage, "l2") != 0) {
        assert_ok(hf_ctx_sleep(&ctx, 50));
    }
    await_lsn(scene, 1, current_lsn(scene->server));
    assert_int_equal(atomic_load(&scene->forks), 1);
}

static void push_junk(const struct scene *scene, uint32_t timeline, const char *history)
{
    const struct vault_wal_place place = place_of(scene, "l1");
    const struct fixture *f = scene->f;
    struct hf_ctx ctx = f->ctx;
    uint8_t *junk = hf_alloc_n(ctx.arena, 65536, 1);

    memset(junk, 'x', 65536);
    if (history != NULL) {
        struct hf_str text = hf_str_of(history);

        assert_ok(vault_wal_history_put(&ctx, f->store, f->keyring, &place, timeline,
                                        (struct hf_bytes){(const uint8_t *)text.ptr, text.len}));
    }
    assert_ok(vault_wal_push(&ctx, f->store, f->keyring, &place, timeline, 200 * SEGMENT,
                             (struct hf_bytes){junk, 65536}));
}

/* WAL of timelines that the source's did not lead to: nothing removes it, so it binds nobody. */
static void test_receiver__is_not_led_by_what_was_pushed(void **state)
{
    struct scene *scene = *state;

    scene_receive(scene);
    await_lsn(scene, 1, current_lsn(scene->server));
    receiver_free(scene->receiver);
    scene->receiver = NULL;
    push_junk(scene, 15, "7\t0/100\tx\n");
    push_junk(scene, 16, "1\tF000/0\tx\n");
    push_junk(scene, 17, "no history");
    push_junk(scene, 18, NULL);
    scene_receive(scene);
    await_state(scene, RECEIVER_STREAMING);
    pgserver_sql(scene->server, "CREATE TABLE t AS SELECT generate_series(1, 1000) i");
    await_lsn(scene, 1, current_lsn(scene->server));
    assert_int_equal(atomic_load(&scene->forks) + atomic_load(&scene->gaps), 0);
}

static void test_receiver__stalls_at_a_foreign_system(void **state)
{
    struct scene *scene = *state;

    scene->system_identifier = "42";
    scene_receive(scene);
    await_state(scene, RECEIVER_STALLED);
    assert_non_null(strstr(status_of(scene).error, "system identifier"));
    assert_string_equal(status_of(scene).reason, "FOREIGN_SYSTEM");
    assert_string_equal(pgserver_sql(scene->server, "SELECT count(*) FROM pg_replication_slots"),
                        "0");
}

static void await_keep_mb(const struct scene *scene, int wanted)
{
    struct hf_ctx ctx = within(scene, 20);

    while (atomic_load(&scene->keep_mb) != wanted) {
        if (!hf_is_ok(hf_ctx_sleep(&ctx, 50))) {
            fail_msg("max_slot_wal_keep_size is %d MB", atomic_load(&scene->keep_mb));
        }
    }
}

static void test_receiver__sees_settings_that_change_while_it_streams(void **state)
{
    struct scene *scene = *state;

    scene_receive(scene);
    await_keep_mb(scene, -1);
    pgserver_sql(scene->server, "ALTER SYSTEM SET max_slot_wal_keep_size = '4GB'");
    pgserver_sql(scene->server, "SELECT pg_reload_conf()");
    await_keep_mb(scene, 4096);
    pgserver_sql(scene->server, "ALTER SYSTEM RESET max_slot_wal_keep_size");
    pgserver_sql(scene->server, "SELECT pg_reload_conf()");
    await_keep_mb(scene, -1);
    assert_int_equal(status_of(scene).connects, 1);
}

/* A role that pg_hba lets replicate and nothing else. */
static void test_receiver__sees_settings_without_an_sql_connection(void **state)
{
    struct scene *scene = *state;
    const char *dsn = hf_printf(scene->f->ctx.arena, "host=127.0.0.1 port=%d user=repl",
                                pgserver_port(scene->server));

    pgserver_sql(scene->server, "CREATE ROLE repl LOGIN REPLICATION");
    pgserver_sql(scene->server, "REVOKE CONNECT ON DATABASE postgres FROM public");
    scene->dsn = dsn;
    scene_receive(scene);
    await_keep_mb(scene, -1);
    pgserver_sql(scene->server, "ALTER SYSTEM SET max_slot_wal_keep_size = '4GB'");
    pgserver_sql(scene->server, "SELECT pg_reload_conf()");
    await_keep_mb(scene, 4096);
}

static void test_receiver__waits_for_an_unreachable_source(void **state)
{
    struct scene *scene = *state;
    struct hf_ctx ctx = within(scene, 2);

    pgserver_stop(scene->server);
    scene_receive(scene);
    await_state(scene, RECEIVER_WAITING);
    assert_code(receiver_wait_lsn(&ctx, scene->receiver, 1, 1), HF_DEADLINE_EXCEEDED);
    pgserver_start(scene->server);
    await_lsn(scene, 1, current_lsn(scene->server));
}

/* Its process has started anew meanwhile: what can be restored is told by the vault. */
static void test_receiver__knows_what_is_stored_while_the_source_is_away(void **state)
{
    struct scene *scene = *state;
    struct hf_ctx ctx = within(scene, 10);

    scene_receive(scene);
    await_state(scene, RECEIVER_STREAMING);
    await_lsn(scene, 1, current_lsn(scene->server));
    int64_t first_us = hf_now_us();
    while (status_of(scene).durable_time_us < first_us) {
        assert_ok(hf_ctx_sleep(&ctx, 50));
    }
    pgserver_stop(scene->server);
    await_state(scene, RECEIVER_WAITING);
    struct receiver_status before = status_of(scene);
    receiver_free(scene->receiver);
    scene_receive(scene);
    await_state(scene, RECEIVER_WAITING);
    struct receiver_status after = status_of(scene);
    assert_int_equal(after.connects, 0);
    assert_int_equal(after.timeline, before.timeline);
    assert_int_equal(after.start_lsn, before.start_lsn);
    assert_int_equal(after.durable_lsn, before.durable_lsn);
    assert_in_range(after.durable_time_us, before.durable_time_us - 2 * HF_US_PER_S,
                    before.durable_time_us);
    assert_string_equal(after.lineage, "l1");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        scene_test(test_receiver__streams_and_proves_time_of_an_idle_source),
        scene_test(test_receiver__holds_while_the_vault_is_another_one),
        scene_test(test_receiver__looks_at_the_vault_before_it_writes),
        scene_test(test_receiver__stores_the_servers_bytes_over_restarts),
        scene_test(test_receiver__synchronous_commits_survive_the_source),
        scene_test(test_receiver__does_not_block_remote_apply),
        scene_test(test_receiver__follows_a_promoted_standby),
        scene_test(test_receiver__compacts_what_the_stream_has_left),
        scene_test(test_receiver__begins_a_lineage_when_the_source_went_back),
        scene_test(test_receiver__finds_another_history_at_the_same_place),
        scene_test(test_receiver__is_not_led_by_what_was_pushed),
        scene_test(test_receiver__stalls_at_a_foreign_system),
        scene_test(test_receiver__sees_settings_that_change_while_it_streams),
        scene_test(test_receiver__sees_settings_without_an_sql_connection),
        scene_test(test_receiver__waits_for_an_unreachable_source),
        scene_test(test_receiver__knows_what_is_stored_while_the_source_is_away),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
