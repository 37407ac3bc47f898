#include "base/check.h"
#include "google/protobuf/descriptor.pb-c.h"
#include "rpc/descriptors.h"
#include "rpc/message.h"
#include "tests/unit/unit.h"

static const char *file_name(struct hf_arena *arena, struct hf_bytes file)
{
    void *message = NULL;
    assert_int_equal(
        rpc_decode(arena, &google__protobuf__file_descriptor_proto__descriptor, file, &message)
            .code,
        HF_OK);
    const Google__Protobuf__FileDescriptorProto *proto = message;
    return proto->name;
}

static void test_descriptors__symbols_are_found_in_their_file(void **state)
{
    static const struct {
        const char *symbol;
        const char *file; /* NULL: none */
    } cases[] = {
        {"holdfast.jobs.v1.JobService", "holdfast/jobs/v1/jobs.proto"},
        {"holdfast.jobs.v1.JobService.WatchJob", "holdfast/jobs/v1/jobs.proto"},
        {"holdfast.jobs.v1.Job.Progress", "holdfast/jobs/v1/jobs.proto"},
        {"holdfast.jobs.v1.Job.State", "holdfast/jobs/v1/jobs.proto"},
        {"holdfast.jobs.v1.Job.RUNNING", "holdfast/jobs/v1/jobs.proto"},
        {"holdfast.jobs.v1.Job.name", "holdfast/jobs/v1/jobs.proto"},
        {"holdfast.backup.v1.ReadVaultObjectRequest", "holdfast/backup/v1/backup.proto"},
        {"google.api.http", "google/api/annotations.proto"},
        {"grpc.health.v1.Health", "grpc/health/v1/health.proto"},
        {"google.protobuf.MethodOptions", "google/protobuf/descriptor.proto"},
        {"holdfast.jobs.v1.Nobody", NULL},
        {"holdfast.jobs.v1", NULL},
        {"holdfast.jobs.v1.Job.", NULL},
        {"", NULL},
        {".", NULL},
    };
    HF_CLEANUP(hf_arena_free) struct hf_arena *arena = hf_arena_new(64 * 1024 * 1024);
    (void)state;
    for (size_t i = 0; i < HF_LEN(cases); i++) {
        struct hf_bytes file;
        bool is_found = rpc_descriptor_symbol(cases[i].symbol, &file);
        assert_int_equal(is_found, cases[i].file != NULL);
        if (is_found) {
            assert_string_equal(file_name(arena, file), cases[i].file);
        }
    }
}

static void test_descriptors__files_and_extensions(void **state)
{
    struct hf_bytes file;
    int32_t numbers[16] = {0};
    (void)state;
    assert_true(rpc_descriptor_file("holdfast/backup/v1/backup.proto", &file));
    assert_false(rpc_descriptor_file("holdfast/backup/v1/backup", &file));
    assert_true(rpc_descriptor_extension("google.protobuf.MethodOptions", 72295728, &file));
    assert_false(rpc_descriptor_extension("google.protobuf.MethodOptions", 1, &file));
    assert_true(rpc_descriptor_extensions("google.protobuf.MethodOptions", numbers, 16) >= 1);
    assert_int_equal(numbers[0], 72295728);
}

static void test_descriptors__methods_know_how_they_stream(void **state)
{
    struct rpc_method_shape shape;
    (void)state;
    assert_true(rpc_descriptor_method("holdfast.jobs.v1.JobService", "GetJob", &shape));
    assert_true(!shape.client_streams && !shape.server_streams);
    assert_true(rpc_descriptor_method("holdfast.jobs.v1.JobService", "WatchJob", &shape));
    assert_true(!shape.client_streams && shape.server_streams);
    assert_true(rpc_descriptor_method("grpc.reflection.v1.ServerReflection", "ServerReflectionInfo",
                                      &shape));
    assert_true(shape.client_streams && shape.server_streams);
    assert_false(rpc_descriptor_method("holdfast.jobs.v1.JobService", "Get", &shape));
    assert_false(rpc_descriptor_method("holdfast.jobs.v1.Job", "name", &shape));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_descriptors__symbols_are_found_in_their_file),
        cmocka_unit_test(test_descriptors__files_and_extensions),
        cmocka_unit_test(test_descriptors__methods_know_how_they_stream),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
