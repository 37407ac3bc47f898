/* What every server serves from the library: health, reflection, and answers to the unknown. */
#include <string.h>

#include "grpc/health/v1/health.pb-c.h"
#include "grpc/reflection/v1/reflection.pb-c.h"
#include "grpc/reflection/v1alpha/reflection.pb-c.h"

#include "base/check.h"
#include "base/str.h"
#include "google/protobuf/descriptor.pb-c.h"
#include "harness.h"
#include "rpc/message.h"
#include "tests/unit/unit.h"

#define SERVING GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__SERVING
#define NOT_SERVING GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__NOT_SERVING
#define UNKNOWN GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__SERVICE_UNKNOWN

static const struct rpc_method_ref check = {&grpc__health__v1__health__descriptor, "Check", true};
static const struct rpc_method_ref watch = {&grpc__health__v1__health__descriptor, "Watch", true};
static const struct rpc_method_ref reflect = {&grpc__reflection__v1__server_reflection__descriptor,
                                              "ServerReflectionInfo", true};
static const struct rpc_method_ref reflect_alpha = {
    &grpc__reflection__v1alpha__server_reflection__descriptor, "ServerReflectionInfo", true};

static int setup(void **state)
{
    struct harness *h = harness_new();
    h->config.handler_threads = 2;
    harness_serve(h);
    *state = h;
    return 0;
}

static int teardown(void **state)
{
    harness_free(*state);
    return 0;
}

static struct hf_status health_of(struct harness *h, const char *service, int *ret_state)
{
    Grpc__Health__V1__HealthCheckRequest request = GRPC__HEALTH__V1__HEALTH_CHECK_REQUEST__INIT;
    void *message = NULL;
    request.service = hf_strdup(h->arena, service);
    HF_TRY(rpc_call(&h->ctx, h->client, &check, &request.base, &message));
    const Grpc__Health__V1__HealthCheckResponse *response = message;
    *ret_state = (int)response->status;
    return hf_success();
}

static void test_health__check_tells_each_service(void **state)
{
    struct harness *h = *state;
    int serving = 0;
    assert_int_equal(health_of(h, "", &serving).code, HF_OK);
    assert_int_equal(serving, SERVING);
    rpc_server_set_serving(h->server, "holdfast.jobs.v1.JobService", false);
    assert_int_equal(health_of(h, "holdfast.jobs.v1.JobService", &serving).code, HF_OK);
    assert_int_equal(serving, NOT_SERVING);
    assert_int_equal(health_of(h, "holdfast.backup.v1.BackupService", &serving).code, HF_OK);
    assert_int_equal(serving, SERVING);
    assert_int_equal(health_of(h, "nobody", &serving).code, HF_NOT_FOUND);
}

static int next_health(struct harness *h, struct rpc_reader *reader)
{
    void *message = NULL;
    assert_int_equal(rpc_reader_next(&h->ctx, reader, &message).code, HF_OK);
    assert_non_null(message);
    const Grpc__Health__V1__HealthCheckResponse *response = message;
    return (int)response->status;
}

static struct rpc_reader *watch_health(struct harness *h, char *service)
{
    Grpc__Health__V1__HealthCheckRequest request = GRPC__HEALTH__V1__HEALTH_CHECK_REQUEST__INIT;
    struct rpc_reader *reader = NULL;
    request.service = service;
    assert_int_equal(rpc_reader_open(&h->ctx, h->client, &watch, &request.base, &reader).code,
                     HF_OK);
    return reader;
}

static void test_health__watch_tells_changes_and_drain(void **state)
{
    struct harness *h = *state;
    char all[] = "";
    char nobody[] = "nobody";
    void *message = NULL;
    HF_CLEANUP(rpc_reader_close) struct rpc_reader *reader = watch_health(h, all);
    HF_CLEANUP(rpc_reader_close) struct rpc_reader *unknown = watch_health(h, nobody);
    assert_int_equal(next_health(h, unknown), UNKNOWN);
    assert_int_equal(next_health(h, reader), SERVING);
    rpc_server_set_serving(h->server, "", false);
    assert_int_equal(next_health(h, reader), NOT_SERVING);
    rpc_server_set_serving(h->server, "", true);
    assert_int_equal(next_health(h, reader), SERVING);
    assert_true(rpc_server_drain(h->server));
    assert_int_equal(next_health(h, reader), NOT_SERVING);
    assert_int_equal(rpc_reader_next(&h->ctx, reader, &message).code, HF_UNAVAILABLE);
}

/* One question, one answer. */
static const Grpc__Reflection__V1__ServerReflectionResponse *
ask(struct harness *h, const Grpc__Reflection__V1__ServerReflectionRequest *request)
{
    HF_CLEANUP(rpc_reader_close) struct rpc_reader *reader = NULL;
    void *message = NULL;
    void *end = &end;
    assert_int_equal(rpc_reader_open(&h->ctx, h->client, &reflect, &request->base, &reader).code,
                     HF_OK);
    assert_int_equal(rpc_reader_next(&h->ctx, reader, &message).code, HF_OK);
    assert_non_null(message);
    assert_int_equal(rpc_reader_next(&h->ctx, reader, &end).code, HF_OK);
    assert_null(end);
    return message;
}

static void test_reflection__lists_services(void **state)
{
    static const char *const wanted[] = {
        "grpc.health.v1.Health",
        "grpc.reflection.v1.ServerReflection",
        "grpc.reflection.v1alpha.ServerReflection",
        "holdfast.jobs.v1.JobService",
        "holdfast.backup.v1.BackupService",
    };
    struct harness *h = *state;
    Grpc__Reflection__V1__ServerReflectionRequest request =
        GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__INIT;
    request.message_request_case =
        GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_LIST_SERVICES;
    request.list_services = hf_strdup(h->arena, "");
    const Grpc__Reflection__V1__ServerReflectionResponse *response = ask(h, &request);
    assert_int_equal(
        response->message_response_case,
        GRPC__REFLECTION__V1__SERVER_REFLECTION_RESPONSE__MESSAGE_RESPONSE_LIST_SERVICES_RESPONSE);
    assert_int_equal(response->list_services_response->n_service, HF_LEN(wanted));
    for (size_t i = 0; i < HF_LEN(wanted); i++) {
        assert_string_equal(response->list_services_response->service[i]->name, wanted[i]);
    }
}

static void test_reflection__gives_files_and_says_what_is_missing(void **state)
{
    struct harness *h = *state;
    void *message = NULL;
    Grpc__Reflection__V1__ServerReflectionRequest request =
        GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__INIT;
    request.message_request_case =
        GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_FILE_CONTAINING_SYMBOL;
    request.file_containing_symbol = hf_strdup(h->arena, "holdfast.backup.v1.Backup");
    const Grpc__Reflection__V1__ServerReflectionResponse *response = ask(h, &request);
    const ProtobufCBinaryData *file = &response->file_descriptor_response->file_descriptor_proto[0];
    assert_int_equal(rpc_decode(h->arena, &google__protobuf__file_descriptor_proto__descriptor,
                                (struct hf_bytes){file->data, file->len}, &message)
                         .code,
                     HF_OK);
    const Google__Protobuf__FileDescriptorProto *proto = message;
    assert_string_equal(proto->name, "holdfast/backup/v1/backup.proto");
    request.file_containing_symbol = hf_strdup(h->arena, "nobody.Nothing");
    response = ask(h, &request);
    assert_int_equal(
        response->message_response_case,
        GRPC__REFLECTION__V1__SERVER_REFLECTION_RESPONSE__MESSAGE_RESPONSE_ERROR_RESPONSE);
    assert_int_equal(response->error_response->error_code, HF_NOT_FOUND);
}

static void test_reflection__alpha_answers_too(void **state)
{
    struct harness *h = *state;
    HF_CLEANUP(rpc_reader_close) struct rpc_reader *reader = NULL;
    Grpc__Reflection__V1alpha__ServerReflectionRequest request =
        GRPC__REFLECTION__V1ALPHA__SERVER_REFLECTION_REQUEST__INIT;
    void *message = NULL;
    request.message_request_case =
        GRPC__REFLECTION__V1ALPHA__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_FILE_BY_FILENAME;
    request.file_by_filename = hf_strdup(h->arena, "grpc/health/v1/health.proto");
    assert_int_equal(
        rpc_reader_open(&h->ctx, h->client, &reflect_alpha, &request.base, &reader).code, HF_OK);
    assert_int_equal(rpc_reader_next(&h->ctx, reader, &message).code, HF_OK);
    const Grpc__Reflection__V1alpha__ServerReflectionResponse *response = message;
    assert_int_equal(response->file_descriptor_response->n_file_descriptor_proto, 1);
    assert_string_equal(response->original_request->file_by_filename,
                        "grpc/health/v1/health.proto");
}

static void test_server__unknown_method_is_unimplemented(void **state)
{
    static const ProtobufCMethodDescriptor methods[] = {
        {"GetNothing", &pb_jobs__get_job_request__descriptor, &pb_jobs__job__descriptor}};
    static const ProtobufCServiceDescriptor service = {
        .name = "holdfast.jobs.v1.JobService", .n_methods = 1, .methods = methods};
    const struct rpc_method_ref nothing = {&service, "GetNothing", false};
    struct harness *h = *state;
    PbJobs__GetJobRequest request = PB_JOBS__GET_JOB_REQUEST__INIT;
    void *response = NULL;
    struct hf_status status = rpc_call(&h->ctx, h->client, &nothing, &request.base, &response);
    assert_int_equal(status.code, HF_UNIMPLEMENTED);
    assert_non_null(strstr(status.message, "/holdfast.jobs.v1.JobService/GetNothing"));
}

static struct hf_status never(struct hf_ctx *ctx, void *app, const struct rpc_peer *peer,
                              const void *req, void *resp)
{
    (void)app;
    (void)peer;
    (void)req;
    (void)resp;
    return hf_fail(ctx->arena, HF_INTERNAL, "not called");
}

static void test_server__rows_must_fit_the_proto(void **state)
{
    struct harness *h = harness_new();
    static const struct rpc_method wrong_kind[] = {
        {.name = "WatchJob", .kind = RPC_UNARY, .unary = never}};
    static const struct rpc_method wrong_name[] = {
        {.name = "Nothing", .kind = RPC_UNARY, .unary = never}};
    static const struct rpc_method few[] = {{.name = "GetJob", .kind = RPC_UNARY, .unary = never}};
    const ProtobufCServiceDescriptor *service = &pb_jobs__job_service__descriptor;
    (void)state;
    assert_int_equal(rpc_server_new(h->arena, &h->config, &h->server).code, HF_OK);
    assert_int_equal(rpc_server_add(h->arena, h->server, service, wrong_kind, 1).code, HF_INTERNAL);
    assert_int_equal(rpc_server_add(h->arena, h->server, service, wrong_name, 1).code, HF_INTERNAL);
    assert_int_equal(rpc_server_add(h->arena, h->server, service, few, 1).code, HF_INTERNAL);
    harness_free(h);
}

static void test_server__taken_address_is_unavailable(void **state)
{
    struct harness *h = *state;
    struct rpc_server *second = NULL;
    struct rpc_server_config config = h->config;
    config.address = hf_printf(h->arena, "127.0.0.1:%d", rpc_server_port(h->server));
    assert_int_equal(rpc_server_new(h->arena, &config, &second).code, HF_OK);
    assert_int_equal(rpc_server_start(h->arena, second).code, HF_UNAVAILABLE);
    rpc_server_free(second);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_health__check_tells_each_service, setup, teardown),
        cmocka_unit_test_setup_teardown(test_health__watch_tells_changes_and_drain, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_reflection__lists_services, setup, teardown),
        cmocka_unit_test_setup_teardown(test_reflection__gives_files_and_says_what_is_missing,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(test_reflection__alpha_answers_too, setup, teardown),
        cmocka_unit_test_setup_teardown(test_server__unknown_method_is_unimplemented, setup,
                                        teardown),
        cmocka_unit_test(test_server__rows_must_fit_the_proto),
        cmocka_unit_test_setup_teardown(test_server__taken_address_is_unavailable, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
