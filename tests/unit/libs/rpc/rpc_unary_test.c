#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/pool.h"
#include "base/str.h"
#include "harness.h"
#include "rpc/client_core.h"
#include "tests/unit/unit.h"

static int setup(void **state)
{
    struct harness *h = harness_new();
    h->config.max_inflight = 4;
    harness_serve(h);
    *state = h;
    return 0;
}

static int teardown(void **state)
{
    harness_free(*state);
    return 0;
}

static void test_unary__returns_message(void **state)
{
    struct harness *h = *state;
    const PbJobs__Job *job = NULL;
    assert_int_equal(harness_get(h, &h->ctx, "tenants/default/jobs/1", &job).code, HF_OK);
    assert_string_equal(job->name, "tenants/default/jobs/1");
    harness_wait(&h->observed[HF_OK], 1);
}

static void test_unary__peer_comes_from_certificate_and_metadata(void **state)
{
    struct harness *h = *state;
    const PbJobs__Job *job = NULL;
    assert_int_equal(harness_get(h, &h->ctx, "peer", &job).code, HF_OK);
    assert_string_equal(job->name, "spiffe://" TEST_INSTALL "/client/ann");
    assert_string_equal(job->target, "default");
    assert_string_equal(job->kind, "trace-1");
}

static void test_unary__status_carries_details(void **state)
{
    struct harness *h = *state;
    const PbJobs__Job *job = NULL;
    struct hf_status status = harness_get(h, &h->ctx, "details", &job);
    assert_int_equal(status.code, HF_NOT_FOUND);
    assert_string_equal(status.message, "no job details ☂");
    assert_non_null(status.info);
    assert_string_equal(status.info->reason, "JOB_NOT_FOUND");
    assert_int_equal(status.info->metadata_len, 1);
    assert_string_equal(status.info->metadata[0].key, "job");
    assert_string_equal(status.info->metadata[0].value, "details");
    assert_int_equal(status.info->retry_after_ms, 1500);
}

/* What a client sent comes back in the details: it must be cut, not end the server. */
static void test_unary__long_details_are_cut(void **state)
{
    struct harness *h = *state;
    size_t len = 3 * 1024 * 1024;
    char *name = hf_alloc(h->arena, len + 1);
    const PbJobs__Job *job = NULL;
    memset(name, 'x', len);
    memcpy(name, "details", 7);
    struct hf_status status = harness_get(h, &h->ctx, name, &job);
    assert_int_equal(status.code, HF_NOT_FOUND);
    assert_non_null(status.info);
    assert_string_equal(status.info->reason, "JOB_NOT_FOUND");
    assert_int_equal(status.info->metadata_len, 1);
    assert_in_range(strlen(status.info->metadata[0].value), 1, 1000);
    assert_int_equal(status.info->retry_after_ms, 1500);
    assert_int_equal(harness_get(h, &h->ctx, "after", &job).code, HF_OK);
}

static void test_unary__authorize_refuses(void **state)
{
    struct harness *h = *state;
    const PbJobs__Job *job = NULL;
    assert_int_equal(harness_get(h, &h->ctx, "forbidden", &job).code, HF_PERMISSION_DENIED);
    assert_int_equal(atomic_load(&h->calls), 0);
}

static void test_unary__deadline_ends_call_and_handler(void **state)
{
    struct harness *h = *state;
    struct hf_ctx ctx = h->ctx;
    const PbJobs__Job *job = NULL;
    int64_t start_us = hf_mono_us();
    ctx.deadline_us = start_us + 300 * 1000;
    assert_int_equal(harness_get(h, &ctx, "slow", &job).code, HF_DEADLINE_EXCEEDED);
    assert_true(hf_mono_us() - start_us < 2 * HF_US_PER_S);
    harness_wait(&h->cancelled, 1);
}

static void cancel_soon(void *arg)
{
    struct harness *h = arg;
    harness_wait(&h->calls, 1);
    atomic_store(&h->cancel.is_set, true);
}

static void test_unary__cancellation_reaches_handler(void **state)
{
    struct harness *h = *state;
    const PbJobs__Job *job = NULL;
    struct hf_thread *thread = hf_thread_start("cancel", cancel_soon, h);
    assert_int_equal(harness_get(h, &h->ctx, "slow", &job).code, HF_CANCELLED);
    hf_thread_join(thread);
    harness_wait(&h->cancelled, 1);
    harness_wait(&h->observed[HF_CANCELLED], 1);
}

static void test_unary__idempotent_is_retried(void **state)
{
    struct harness *h = *state;
    const PbJobs__Job *job = NULL;
    assert_int_equal(harness_get(h, &h->ctx, "busy", &job).code, HF_OK);
    assert_int_equal(atomic_load(&h->calls), 4);
}

static void test_unary__others_are_not_retried(void **state)
{
    struct harness *h = *state;
    PbJobs__ListJobsRequest request = PB_JOBS__LIST_JOBS_REQUEST__INIT;
    void *response = NULL;
    struct hf_status status =
        rpc_call(&h->ctx, h->client, &harness_list_jobs, &request.base, &response);
    assert_int_equal(status.code, HF_UNAVAILABLE);
    assert_int_equal(atomic_load(&h->calls), 1);
}

static void test_unary__message_over_limit_is_refused(void **state)
{
    struct harness *h = *state;
    size_t len = 5 * 1024 * 1024;
    char *name = hf_alloc(h->arena, len + 1);
    const PbJobs__Job *job = NULL;
    memset(name, 'a', len);
    assert_int_equal(harness_get(h, &h->ctx, name, &job).code, HF_RESOURCE_EXHAUSTED);
    assert_int_equal(atomic_load(&h->calls), 0);
    assert_int_equal(harness_get(h, &h->ctx, "after", &job).code, HF_OK);
}

/* Bytes after the fields that we know how to write: what a hostile client would send. */
static struct hf_status send_raw(struct harness *h, const void *name, size_t name_len)
{
    ProtobufCMessageUnknownField field = {.tag = 1,
                                          .wire_type = PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED};
    PbJobs__GetJobRequest request = PB_JOBS__GET_JOB_REQUEST__INIT;
    void *response = NULL;
    uint8_t *data = hf_alloc(h->arena, name_len + 1);
    data[0] = (uint8_t)name_len;
    memcpy(data + 1, name, name_len);
    field.data = data;
    field.len = name_len + 1;
    request.base.n_unknown_fields = 1;
    request.base.unknown_fields = &field;
    return rpc_call(&h->ctx, h->client, &harness_get_job, &request.base, &response);
}

static void test_unary__hostile_text_is_refused(void **state)
{
    struct harness *h = *state;
    assert_int_equal(send_raw(h, "fine", 4).code, HF_OK);
    assert_int_equal(send_raw(h, "a\0b", 3).code, HF_INVALID_ARGUMENT);
    assert_int_equal(send_raw(h, "a\xff", 2).code, HF_INVALID_ARGUMENT);
    struct hf_status status = send_raw(h, "\xc0\xaf", 2);
    assert_int_equal(status.code, HF_INVALID_ARGUMENT);
    assert_non_null(strstr(status.message, "holdfast.jobs.v1.GetJobRequest.name"));
    assert_int_equal(atomic_load(&h->calls), 1);
}

static void call_short(void *arg)
{
    struct harness *h = arg;
    HF_CLEANUP(hf_arena_free) struct hf_arena *arena = hf_arena_new(1024 * 1024);
    struct hf_ctx ctx = {.arena = arena};
    const PbJobs__Job *job = NULL;
    struct hf_status status = harness_get(h, &ctx, "short", &job);
    bool is_expected =
        status.code == HF_OK ||
        (status.code == HF_RESOURCE_EXHAUSTED && status.info != NULL &&
         hf_text_equal(status.info->reason, "SERVER_BUSY") && status.info->retry_after_ms > 0);
    HF_CHECK(is_expected);
}

static void test_unary__calls_over_the_cap_are_refused(void **state)
{
    struct harness *h = *state;
    struct hf_thread *threads[12];
    for (size_t i = 0; i < HF_LEN(threads); i++) {
        threads[i] = hf_thread_start("call", call_short, h);
    }
    for (size_t i = 0; i < HF_LEN(threads); i++) {
        hf_thread_join(threads[i]);
    }
    harness_wait(&h->observed[HF_OK], 4);
    assert_true(atomic_load(&h->observed[HF_RESOURCE_EXHAUSTED]) >= 1);
    assert_int_equal(
        atomic_load(&h->observed[HF_OK]) + atomic_load(&h->observed[HF_RESOURCE_EXHAUSTED]), 12);
    assert_int_equal(rpc_server_inflight(h->server), 0);
}

static void test_unary__absent_server_is_unavailable(void **state)
{
    struct harness *h = *state;
    struct rpc_client *client = NULL;
    PbJobs__ListJobsRequest request = PB_JOBS__LIST_JOBS_REQUEST__INIT;
    void *response = NULL;
    const struct rpc_client_config config = {.target = "127.0.0.1:1", .tls = h->client_files};
    assert_int_equal(rpc_client_new(h->arena, &config, &client).code, HF_OK);
    struct hf_status status =
        rpc_call(&h->ctx, client, &harness_list_jobs, &request.base, &response);
    assert_int_equal(status.code, HF_UNAVAILABLE);
    assert_non_null(strstr(status.message, "127.0.0.1:1"));
    rpc_client_free(client);
}

/* A call of its own making: headers, and then nothing. */
static struct hf_status send_headers_only(struct harness *h)
{
    grpc_completion_queue *queue = grpc_completion_queue_create_for_pluck(NULL);
    grpc_call *call = grpc_channel_create_call(
        h->client->channel, NULL, GRPC_PROPAGATE_DEFAULTS, queue,
        grpc_slice_from_static_string("/holdfast.jobs.v1.JobService/GetJob"), NULL,
        rpc_core_time(hf_mono_us() + 10 * HF_US_PER_S), NULL);
    grpc_metadata_array headers, trailers;
    grpc_status_code code = GRPC_STATUS_UNKNOWN;
    grpc_slice text = grpc_empty_slice();
    grpc_op ops[3] = {{.op = GRPC_OP_SEND_INITIAL_METADATA},
                      {.op = GRPC_OP_RECV_INITIAL_METADATA},
                      {.op = GRPC_OP_RECV_STATUS_ON_CLIENT}};

    grpc_metadata_array_init(&headers);
    grpc_metadata_array_init(&trailers);
    ops[1].data.recv_initial_metadata.recv_initial_metadata = &headers;
    ops[2].data.recv_status_on_client.trailing_metadata = &trailers;
    ops[2].data.recv_status_on_client.status = &code;
    ops[2].data.recv_status_on_client.status_details = &text;
    HF_CHECK(grpc_call_start_batch(call, ops, 3, call, NULL) == GRPC_CALL_OK);
    (void)grpc_completion_queue_pluck(queue, call, gpr_inf_future(GPR_CLOCK_MONOTONIC), NULL);
    struct hf_status status = {(enum hf_code)code, rpc_core_text(h->arena, text), NULL};
    grpc_slice_unref(text);
    grpc_metadata_array_destroy(&headers);
    grpc_metadata_array_destroy(&trailers);
    grpc_call_unref(call);
    grpc_completion_queue_shutdown(queue);
    (void)grpc_completion_queue_pluck(queue, NULL, gpr_inf_future(GPR_CLOCK_MONOTONIC), NULL);
    grpc_completion_queue_destroy(queue);
    return status;
}

static void test_unary__call_without_a_request_ends(void **state)
{
    struct harness *h = harness_new();
    const PbJobs__Job *job = NULL;

    (void)state;
    h->config.receive_ms = 200;
    harness_serve(h);
    int64_t start_us = hf_mono_us();
    struct hf_status status = send_headers_only(h);
    assert_string_equal(status.message, "no request came in time");
    assert_true(hf_mono_us() - start_us < 5 * HF_US_PER_S);
    assert_int_equal(harness_get(h, &h->ctx, "after", &job).code, HF_OK);
    assert_int_equal(atomic_load(&h->calls), 1);
    harness_free(h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_unary__returns_message, setup, teardown),
        cmocka_unit_test_setup_teardown(test_unary__peer_comes_from_certificate_and_metadata, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_unary__status_carries_details, setup, teardown),
        cmocka_unit_test_setup_teardown(test_unary__long_details_are_cut, setup, teardown),
        cmocka_unit_test_setup_teardown(test_unary__authorize_refuses, setup, teardown),
        cmocka_unit_test_setup_teardown(test_unary__deadline_ends_call_and_handler, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_unary__cancellation_reaches_handler, setup, teardown),
        cmocka_unit_test_setup_teardown(test_unary__idempotent_is_retried, setup, teardown),
        cmocka_unit_test_setup_teardown(test_unary__others_are_not_retried, setup, teardown),
        cmocka_unit_test_setup_teardown(test_unary__message_over_limit_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(test_unary__hostile_text_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(test_unary__calls_over_the_cap_are_refused, setup,
                                        teardown),
        cmocka_unit_test(test_unary__call_without_a_request_ends),
        cmocka_unit_test_setup_teardown(test_unary__absent_server_is_unavailable, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
