#include "base/check.h"
#include "base/clock.h"
#include "base/pool.h"
#include "harness.h"
#include "tests/unit/unit.h"

#define CALLERS 32

/* One caller: calls until a call fails. */
struct caller {
    struct harness *h;
    int good;
    enum hf_code code;
};

static int setup(void **state)
{
    struct harness *h = harness_new();
    h->config.handler_threads = CALLERS;
    harness_serve(h);
    *state = h;
    return 0;
}

static int teardown(void **state)
{
    harness_free(*state);
    return 0;
}

static void call_until_refused(void *arg)
{
    struct caller *caller = arg;
    /* Not idempotent here: the client must not hide the refusal by trying again. */
    const struct rpc_method_ref once = {&pb_jobs__job_service__descriptor, "GetJob", false};
    while (caller->code == HF_OK) {
        HF_CLEANUP(hf_arena_free) struct hf_arena *arena = hf_arena_new(1024 * 1024);
        struct hf_ctx ctx = {.arena = arena};
        PbJobs__GetJobRequest request = PB_JOBS__GET_JOB_REQUEST__INIT;
        char name[] = "short";
        void *response = NULL;
        request.name = name;
        caller->code = rpc_call(&ctx, caller->h->client, &once, &request.base, &response).code;
        caller->good += caller->code == HF_OK ? 1 : 0;
    }
}

static void test_drain__loses_no_call_in_flight(void **state)
{
    struct harness *h = *state;
    struct caller callers[CALLERS];
    struct hf_thread *threads[CALLERS];
    for (size_t i = 0; i < CALLERS; i++) {
        callers[i] = (struct caller){h, 0, HF_OK};
        threads[i] = hf_thread_start("caller", call_until_refused, &callers[i]);
    }
    harness_wait(&h->calls, CALLERS + 4);
    assert_true(rpc_server_drain(h->server));
    int good = 0;
    for (size_t i = 0; i < CALLERS; i++) {
        hf_thread_join(threads[i]);
        assert_int_equal(callers[i].code, HF_UNAVAILABLE);
        good += callers[i].good;
    }
    assert_int_equal(good, atomic_load(&h->calls));
    assert_int_equal(atomic_load(&h->observed[HF_CANCELLED]), 0);
    assert_int_equal(atomic_load(&h->observed[HF_OK]), good);
}

static void hold_stream(void *arg)
{
    struct caller *caller = arg;
    HF_CLEANUP(hf_arena_free) struct hf_arena *arena = hf_arena_new(1024 * 1024);
    struct hf_ctx ctx = {.arena = arena};
    PbJobs__WatchJobRequest request = PB_JOBS__WATCH_JOB_REQUEST__INIT;
    HF_CLEANUP(rpc_reader_close) struct rpc_reader *reader = NULL;
    char name[] = "endless";
    request.name = name;
    HF_CHECK(hf_is_ok(
        rpc_reader_open(&ctx, caller->h->client, &harness_watch_job, &request.base, &reader)));
    void *message = &message;
    while (caller->code == HF_OK && message != NULL) {
        caller->code = rpc_reader_next(&ctx, reader, &message).code;
        caller->good++;
        atomic_fetch_add(&caller->h->calls, 1);
    }
}

static void test_drain__ends_waiting_streams_as_unavailable(void **state)
{
    struct harness *h = *state;
    struct caller caller = {h, 0, HF_OK};
    struct hf_thread *thread = hf_thread_start("caller", hold_stream, &caller);
    harness_wait(&h->calls, 3);
    int64_t start_us = hf_mono_us();
    assert_true(rpc_server_drain(h->server));
    assert_true(hf_mono_us() - start_us < 1000 * 1000);
    hf_thread_join(thread);
    assert_int_equal(caller.code, HF_UNAVAILABLE);
    assert_int_equal(atomic_load(&h->done), 1);
}

static void call_slow(void *arg)
{
    struct caller *caller = arg;
    HF_CLEANUP(hf_arena_free) struct hf_arena *arena = hf_arena_new(1024 * 1024);
    struct hf_ctx ctx = {.arena = arena};
    const PbJobs__Job *job = NULL;
    caller->code = harness_get(caller->h, &ctx, "slow", &job).code;
}

static void test_drain__cancels_what_does_not_end(void **state)
{
    struct harness *h = *state;
    struct caller caller = {h, 0, HF_OK};
    struct hf_thread *thread = hf_thread_start("caller", call_slow, &caller);
    harness_wait(&h->calls, 1);
    int64_t start_us = hf_mono_us();
    assert_true(rpc_server_drain(h->server));
    assert_true(hf_mono_us() - start_us > 2500 * 1000);
    assert_true(hf_mono_us() - start_us < 8000 * 1000);
    hf_thread_join(thread);
    assert_int_not_equal(caller.code, HF_OK);
    assert_int_equal(atomic_load(&h->cancelled), 1);
    assert_true(rpc_server_drain(h->server));
}

static void test_drain__unused_server_can_be_freed(void **state)
{
    struct harness *h = harness_new();
    (void)state;
    assert_int_equal(rpc_server_new(h->arena, &h->config, &h->server).code, HF_OK);
    harness_free(h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_drain__loses_no_call_in_flight, setup, teardown),
        cmocka_unit_test_setup_teardown(test_drain__ends_waiting_streams_as_unavailable, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_drain__cancels_what_does_not_end, setup, teardown),
        cmocka_unit_test(test_drain__unused_server_can_be_freed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
