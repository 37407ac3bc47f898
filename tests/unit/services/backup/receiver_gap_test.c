/* What counts as lost WAL, and what does not. */
#include "pgformat/wal.h"
#include "receiver_scene.h"

static void test_receiver__records_a_gap_and_goes_on(void **state)
{
    struct scene *scene = *state;
    struct receiver_status status;
    uint64_t lost;

    scene_receive(scene);
    await_state(scene, RECEIVER_STREAMING);
    await_lsn(scene, 1, current_lsn(scene->server));
    receiver_free(scene->receiver);
    pgserver_sql(scene->server, "SELECT pg_drop_replication_slot('holdfast_orders')");
    write_segments(scene->server, 8);
    lost = current_lsn(scene->server) - 3 * SEGMENT;
    write_segments(scene->server, 8);
    atomic_store(&scene->stored, 0);
    scene_receive(scene);
    await_lsn(scene, 1, current_lsn(scene->server));
    status = status_of(scene);
    assert_int_equal(atomic_load(&scene->gaps), 1);
    assert_true(status.opens >= 2); /* opened, skipped over */
    assert_int_equal(status.gaps_len, 1);
    assert_true(status.gaps[0].from < lost && lost < status.gaps[0].to);
    assert_int_equal(status.start_lsn, status.gaps[0].to);
    assert_code(receiver_wait_lsn(&scene->f->ctx, scene->receiver, 1, lost),
                HF_FAILED_PRECONDITION);
    struct hf_ctx ctx = within(scene, 30);

    while (atomic_load(&scene->stored) == 0) { /* as soon as the clerk looks */
        assert_ok(hf_ctx_sleep(&ctx, 20));
    }
}

/* The primary is away; the standby that answers lacks WAL that the primary's slot still keeps. */
static void test_receiver__records_no_gap_for_what_a_standby_lacks(void **state)
{
    struct scene *scene = *state;
    HF_CLEANUP(pgserver_free) struct pgserver *standby = pgserver_standby(scene->server);
    struct hf_ctx ctx = within(scene, 60);
    uint64_t lsn;

    scene_receive(scene);
    await_state(scene, RECEIVER_STREAMING);
    await_lsn(scene, 1, current_lsn(scene->server));
    receiver_free(scene->receiver);
    write_segments(scene->server, 12);
    lsn = current_lsn(scene->server);
    while (strcmp(pgserver_sql(standby, "SELECT pg_last_wal_replay_lsn() >= '%s'::pg_lsn",
                               pgf_lsn(lsn).text),
                  "t") != 0) {
        assert_ok(hf_ctx_sleep(&ctx, 50));
    }
    pgserver_sql(standby, "CHECKPOINT");
    pgserver_stop(scene->server);
    scene->dsn = hf_printf(scene->f->ctx.arena,
                           "host=127.0.0.1,127.0.0.1 port=%d,%d user=postgres dbname=postgres",
                           pgserver_port(scene->server), pgserver_port(standby));
    scene_receive(scene);
    while (strstr(status_of(scene).error, "removed") == NULL) {
        assert_ok(hf_ctx_sleep(&ctx, 20));
    }
    uint64_t connects = status_of(scene).connects;
    while (status_of(scene).connects < connects + 2 && atomic_load(&scene->gaps) == 0) {
        assert_ok(hf_ctx_sleep(&ctx, 20));
    }
    pgserver_start(scene->server);
    pgserver_sql(scene->server, "CREATE TABLE after AS SELECT 1");
    await_lsn(scene, 1, current_lsn(scene->server));
    assert_int_equal(atomic_load(&scene->gaps), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        scene_test(test_receiver__records_a_gap_and_goes_on),
        scene_test(test_receiver__records_no_gap_for_what_a_standby_lacks),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
