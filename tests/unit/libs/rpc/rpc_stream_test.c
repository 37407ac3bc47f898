#include <string.h>

#include "base/clock.h"
#include "base/str.h"
#include "harness.h"
#include "tests/unit/unit.h"

static int setup(void **state)
{
    struct harness *h = harness_new();
    h->config.max_streams = 4;
    harness_serve(h);
    *state = h;
    return 0;
}

static int teardown(void **state)
{
    harness_free(*state);
    return 0;
}

static struct rpc_reader *watch(struct harness *h, struct hf_ctx *ctx, char *name)
{
    PbJobs__WatchJobRequest request = PB_JOBS__WATCH_JOB_REQUEST__INIT;
    struct rpc_reader *reader = NULL;
    request.name = name;
    assert_int_equal(
        rpc_reader_open(ctx, h->client, &harness_watch_job, &request.base, &reader).code, HF_OK);
    return reader;
}

static struct rpc_reader *read_object(struct harness *h, char *object, int64_t length)
{
    PbBackup__ReadVaultObjectRequest request = PB_BACKUP__READ_VAULT_OBJECT_REQUEST__INIT;
    struct rpc_reader *reader = NULL;
    request.object = object;
    request.length = length;
    assert_int_equal(
        rpc_reader_open(&h->ctx, h->client, &harness_read_object, &request.base, &reader).code,
        HF_OK);
    return reader;
}

static void test_events__sends_each_and_ends(void **state)
{
    struct harness *h = *state;
    char name[] = "three";
    HF_CLEANUP(rpc_reader_close) struct rpc_reader *reader = watch(h, &h->ctx, name);
    for (int i = 1; i <= 3; i++) {
        void *message = NULL;
        assert_int_equal(rpc_reader_next(&h->ctx, reader, &message).code, HF_OK);
        const PbJobs__WatchJobResponse *response = message;
        assert_non_null(response);
        assert_int_equal(response->job->attempt, i);
        assert_string_equal(response->job->name, "three");
    }
    void *end = &end;
    assert_int_equal(rpc_reader_next(&h->ctx, reader, &end).code, HF_OK);
    assert_null(end);
    assert_int_equal(rpc_reader_next(&h->ctx, reader, &end).code, HF_OK);
    harness_wait(&h->done, 1);
    assert_int_equal(atomic_load(&h->stream_cancels), 0);
}

static void test_events__failure_ends_with_status(void **state)
{
    struct harness *h = *state;
    char name[] = "fail";
    HF_CLEANUP(rpc_reader_close) struct rpc_reader *reader = watch(h, &h->ctx, name);
    void *message = NULL;
    assert_int_equal(rpc_reader_next(&h->ctx, reader, &message).code, HF_OK);
    assert_int_equal(rpc_reader_next(&h->ctx, reader, &message).code, HF_OK);
    struct hf_status status = rpc_reader_next(&h->ctx, reader, &message);
    assert_int_equal(status.code, HF_ABORTED);
    assert_string_equal(status.message, "watched enough");
    harness_wait(&h->done, 1);
}

static void test_events__closing_reader_cancels_handler(void **state)
{
    struct harness *h = *state;
    char name[] = "endless";
    struct rpc_reader *reader = watch(h, &h->ctx, name);
    void *message = NULL;
    assert_int_equal(rpc_reader_next(&h->ctx, reader, &message).code, HF_OK);
    rpc_reader_close(reader);
    harness_wait(&h->done, 1);
    assert_int_equal(atomic_load(&h->stream_cancels), 1);
    assert_int_equal(rpc_server_inflight(h->server), 0);
}

static void test_events__deadline_ends_waiting(void **state)
{
    struct harness *h = *state;
    struct hf_ctx ctx = h->ctx;
    char name[] = "endless";
    ctx.deadline_us = hf_mono_us() + 300 * 1000;
    HF_CLEANUP(rpc_reader_close) struct rpc_reader *reader = watch(h, &ctx, name);
    struct hf_status status = hf_success();
    void *message = &message;
    for (int i = 0; i < 4 && hf_is_ok(status) && message != NULL; i++) {
        status = rpc_reader_next(&ctx, reader, &message);
    }
    assert_int_equal(status.code, HF_DEADLINE_EXCEEDED);
    harness_wait(&h->done, 1);
}

static void test_events__hold_no_thread(void **state)
{
    struct harness *h = *state;
    struct rpc_reader *readers[4];
    char name[] = "endless";
    const PbJobs__Job *job = NULL;
    void *message = NULL;
    for (size_t i = 0; i < 4; i++) {
        readers[i] = watch(h, &h->ctx, name);
        assert_int_equal(rpc_reader_next(&h->ctx, readers[i], &message).code, HF_OK);
    }
    assert_int_equal(harness_get(h, &h->ctx, "meanwhile", &job).code, HF_OK);
    struct rpc_reader *fifth = watch(h, &h->ctx, name);
    assert_int_equal(rpc_reader_next(&h->ctx, fifth, &message).code, HF_RESOURCE_EXHAUSTED);
    rpc_reader_close(fifth);
    for (size_t i = 0; i < 4; i++) {
        rpc_reader_close(readers[i]);
    }
    harness_wait(&h->done, 4);
}

static void test_pull__delivers_all_in_order(void **state)
{
    struct harness *h = *state;
    char object[] = "big";
    HF_CLEANUP(rpc_reader_close) struct rpc_reader *reader = read_object(h, object, 400);
    HF_CLEANUP(hf_arena_free) struct hf_arena *arena = hf_arena_new(1024 * 1024);
    struct hf_ctx ctx = {.arena = arena};
    int64_t expected = 400;
    while (true) {
        void *message = NULL;
        hf_arena_reset(arena);
        assert_int_equal(rpc_reader_next(&ctx, reader, &message).code, HF_OK);
        const PbBackup__ReadVaultObjectResponse *response = message;
        if (response == NULL) {
            break;
        }
        assert_int_equal(response->size_bytes, expected);
        assert_int_equal(response->data.len, 65536);
        assert_int_equal(response->data.data[65535], expected & 0xff);
        expected--;
    }
    assert_int_equal(expected, 0);
    harness_wait(&h->done, 1);
}

static void test_pull__refusal_is_first_answer(void **state)
{
    struct harness *h = *state;
    char object[] = "refuse";
    HF_CLEANUP(rpc_reader_close) struct rpc_reader *reader = read_object(h, object, 1);
    void *message = NULL;
    assert_int_equal(rpc_reader_next(&h->ctx, reader, &message).code, HF_NOT_FOUND);
    assert_int_equal(rpc_reader_next(&h->ctx, reader, &message).code, HF_NOT_FOUND);
    assert_int_equal(atomic_load(&h->done), 0);
}

static void test_pull__slow_reader_stops_server(void **state)
{
    struct harness *h = *state;
    char object[] = "big";
    struct rpc_reader *reader = read_object(h, object, 1000000000);
    void *message = NULL;
    assert_int_equal(rpc_reader_next(&h->ctx, reader, &message).code, HF_OK);
    const PbBackup__ReadVaultObjectResponse *first = message;
    int64_t left_first = first->size_bytes;
    assert_true(hf_is_ok(hf_ctx_sleep(&h->ctx, 300)));
    rpc_reader_close(reader);
    harness_wait(&h->done, 1);
    assert_int_equal(left_first, 1000000000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_events__sends_each_and_ends, setup, teardown),
        cmocka_unit_test_setup_teardown(test_events__failure_ends_with_status, setup, teardown),
        cmocka_unit_test_setup_teardown(test_events__closing_reader_cancels_handler, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_events__deadline_ends_waiting, setup, teardown),
        cmocka_unit_test_setup_teardown(test_events__hold_no_thread, setup, teardown),
        cmocka_unit_test_setup_teardown(test_pull__delivers_all_in_order, setup, teardown),
        cmocka_unit_test_setup_teardown(test_pull__refusal_is_first_answer, setup, teardown),
        cmocka_unit_test_setup_teardown(test_pull__slow_reader_stops_server, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
