#include <string.h>

#include "base/check.h"
#include "google/protobuf/descriptor.pb-c.h"
#include "google/rpc/error_details.pb-c.h"
#include "google/rpc/error_info.pb-c.h"
#include "holdfast/backup/v1/backup.pb-c.h"
#include "rpc/descriptors.h"
#include "rpc/json.h"
#include "rpc/message.h"
#include "tests/unit/unit.h"

static int setup(void **state)
{
    *state = hf_arena_new(256 * 1024 * 1024);
    return 0;
}

static int teardown(void **state)
{
    hf_arena_free(*state);
    return 0;
}

static const char *to_json(struct hf_arena *arena, const void *message, int indent, bool defaults)
{
    const struct rpc_json_options options = {.indent = indent, .emit_defaults = defaults};
    const char *text = NULL;
    assert_int_equal(rpc_message_to_json(arena, message, &options, &text).code, HF_OK);
    return text;
}

static const struct {
    const char *json; /* as it is written in one line */
} backups[] = {
    {"{}"},
    {"{\"name\": \"tenants/default/clusters/orders/backups/b\", \"state\": \"SUCCEEDED\"}"},
    {"{\"timeline\": -3, \"createTime\": \"2026-11-24T03:48:00.123456Z\", \"sourceBytes\": "
     "\"9223372036854775807\"}"},
    {"{\"createTime\": \"1969-12-31T23:59:59.500Z\"}"},
    {"{\"state\": 99, \"error\": {\"code\": \"ABORTED\", \"message\": \"a \\\"b\\\" \\\\ ü "
     "\\n\"}}"},
    {"{\"findings\": [\"one\", \"\", \"three\"], \"lineage\": \"l\"}"},
};

static void test_json__round_trip_is_exact(void **state)
{
    struct hf_arena *arena = *state;
    for (size_t i = 0; i < HF_LEN(backups); i++) {
        void *message = NULL;
        struct hf_status status = rpc_message_from_json(arena, &pb_backup__backup__descriptor,
                                                        hf_str_of(backups[i].json), &message);
        assert_int_equal(status.code, HF_OK);
        assert_string_equal(to_json(arena, message, 0, false), backups[i].json);
    }
}

static void test_json__indent_and_defaults(void **state)
{
    struct hf_arena *arena = *state;
    PbJobs__Job job = PB_JOBS__JOB__INIT;
    PbJobs__Job__Progress progress = PB_JOBS__JOB__PROGRESS__INIT;
    job.name = hf_strdup(arena, "j");
    job.progress = &progress;
    assert_string_equal(to_json(arena, &job, 2, false),
                        "{\n  \"name\": \"j\",\n  \"progress\": {}\n}");
    const char *all = to_json(arena, &job, 0, true);
    assert_string_equal(all, "{\"name\": \"j\", \"kind\": \"\", \"state\": \"STATE_UNSPECIFIED\", "
                             "\"target\": \"\", \"progress\": {\"phase\": \"\", \"doneBytes\": "
                             "\"0\", \"totalBytes\": \"0\"}, \"attempt\": 0, \"maxAttempts\": 0, "
                             "\"cancelRequested\": false}");
    PbBackup__ListBackupsResponse list = PB_BACKUP__LIST_BACKUPS_RESPONSE__INIT;
    assert_string_equal(to_json(arena, &list, 2, true),
                        "{\n  \"backups\": [],\n  \"nextPageToken\": \"\"\n}");
}

static void test_json__bytes_doubles_and_durations(void **state)
{
    struct hf_arena *arena = *state;
    void *message = NULL;
    static const char read[] = "{\"sizeBytes\": 7, \"secret\": \"_-8\", \"data\": \"AAECAw==\"}";
    assert_int_equal(rpc_message_from_json(arena,
                                           &pb_backup__read_vault_object_response__descriptor,
                                           hf_str_of(read), &message)
                         .code,
                     HF_OK);
    assert_string_equal(to_json(arena, message, 0, false),
                        "{\"sizeBytes\": \"7\", \"secret\": \"/+8=\", \"data\": \"AAECAw==\"}");
    PbBackup__WalStatus wal = PB_BACKUP__WAL_STATUS__INIT;
    wal.lag_seconds = 0.1;
    assert_string_equal(to_json(arena, &wal, 0, false), "{\"lagSeconds\": 0.1}");
    static const char retry[] = "{\"retryDelay\": \"-1.500s\"}";
    assert_int_equal(rpc_message_from_json(arena, &google__rpc__retry_info__descriptor,
                                           hf_str_of(retry), &message)
                         .code,
                     HF_OK);
    const Google__Rpc__RetryInfo *info = message;
    assert_int_equal(info->retry_delay->seconds, -1);
    assert_int_equal(info->retry_delay->nanos, -500000000);
    assert_string_equal(to_json(arena, message, 0, false), retry);
}

static void test_json__maps_are_objects(void **state)
{
    static const char text[] = "{\"reason\": \"R\", \"metadata\": {\"a\": \"1\", \"b\": \"\"}}";
    struct hf_arena *arena = *state;
    void *message = NULL;
    assert_int_equal(rpc_message_from_json(arena, &google__rpc__error_info__descriptor,
                                           hf_str_of(text), &message)
                         .code,
                     HF_OK);
    const Google__Rpc__ErrorInfo *info = message;
    assert_int_equal(info->n_metadata, 2);
    assert_string_equal(info->metadata[1]->key, "b");
    assert_string_equal(to_json(arena, message, 0, false), text);
    assert_string_equal(to_json(arena, message, 2, false),
                        "{\n  \"reason\": \"R\",\n  \"metadata\": {\n    \"a\": \"1\",\n    "
                        "\"b\": \"\"\n  }\n}");
}

static void test_json__proto_names_and_null_are_accepted(void **state)
{
    struct hf_arena *arena = *state;
    void *message = NULL;
    static const char text[] = " { \"cluster_id\" : \"orders\", \"cluster\": {\"dsn\": null, "
                               "\"serverVersion\": \"150018\"}, \"validateOnly\": true } ";
    assert_int_equal(rpc_message_from_json(arena, &pb_backup__create_cluster_request__descriptor,
                                           hf_str_of(text), &message)
                         .code,
                     HF_OK);
    const PbBackup__CreateClusterRequest *request = message;
    assert_string_equal(request->cluster_id, "orders");
    assert_int_equal(request->cluster->server_version, 150018);
    assert_string_equal(request->cluster->dsn, "");
    assert_true(request->validate_only);
}

static void test_json__errors_name_the_path(void **state)
{
    static const struct {
        const char *json;
        const char *message;
    } cases[] = {
        {"", "JSON: expected an object"},
        {"[]", "expected an object"},
        {"{\"cluster\": {\"dsn\": 1}}", "cluster.dsn: expected text"},
        {"{\"cluster\": {\"nobody\": 1}}", "cluster.nobody: expected a field of Cluster"},
        {"{\"cluster\": {\"serverVersion\": 4294967296}}", "expected a 32-bit integer"},
        {"{\"cluster\": {\"state\": \"NOBODY\"}}", "expected a value of State"},
        {"{\"cluster\": {\"state\": STREAMING}}", "expected a value of State"},
        {"{\"cluster\": {\"createTime\": \"yesterday\"}}", "expected an RFC 3339 time"},
        {"{\"parent\": \"a\\u0000b\"}", "parent: expected text"},
        {"{\"parent\": \"\xff\"}", "parent: expected text"},
        {"{\"parent\": \"\\ud800\"}", "parent: expected text"},
        {"{\"parent\": \"a\"", "expected ',' or '}'"},
        {"{\"parent\": \"a\"} x", "expected the end"},
        {"{\"parent\": \"a\",}", "expected a name in quotes"},
        {"{\"cluster\": {\"warnings\": [\"a\",]}}", "cluster.warnings: expected text"},
        {"{\"validateOnly\": 1}", "expected true or false"},
        {"{\"cluster\": {\"warnings\": [\"a\", 2]}}", "cluster.warnings: expected text"},
    };
    struct hf_arena *arena = *state;
    for (size_t i = 0; i < HF_LEN(cases); i++) {
        void *message = NULL;
        struct hf_status status =
            rpc_message_from_json(arena, &pb_backup__create_cluster_request__descriptor,
                                  hf_str_of(cases[i].json), &message);
        assert_int_equal(status.code, HF_INVALID_ARGUMENT);
        assert_non_null(strstr(status.message, cases[i].message));
    }
}

static void test_json__depth_is_bounded(void **state)
{
    struct hf_arena *arena = *state;
    char *text = hf_strdup(arena, "");
    void *message = NULL;
    for (int i = 0; i < 100; i++) {
        text = hf_printf(arena, "%s{\"nestedType\": [", text);
    }
    assert_int_equal(rpc_message_from_json(arena, &google__protobuf__descriptor_proto__descriptor,
                                           hf_str_of(text), &message)
                         .code,
                     HF_INVALID_ARGUMENT);
}

/* A big message of every shape, through JSON and back, encodes to the same bytes. */
static void test_json__descriptor_set_survives(void **state)
{
    struct hf_arena *arena = *state;
    const ProtobufCMessageDescriptor *type = &google__protobuf__file_descriptor_set__descriptor;
    void *message = NULL;
    void *back = NULL;
    assert_int_equal(rpc_decode(arena, type, rpc_descriptor_set(), &message).code, HF_OK);
    const char *text = to_json(arena, message, 1, false);
    assert_int_equal(rpc_message_from_json(arena, type, hf_str_of(text), &back).code, HF_OK);
    struct hf_bytes a = rpc_encode(arena, message);
    struct hf_bytes b = rpc_encode(arena, back);
    assert_int_equal(a.len, b.len);
    assert_memory_equal(a.ptr, b.ptr, a.len);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_json__round_trip_is_exact, setup, teardown),
        cmocka_unit_test_setup_teardown(test_json__indent_and_defaults, setup, teardown),
        cmocka_unit_test_setup_teardown(test_json__bytes_doubles_and_durations, setup, teardown),
        cmocka_unit_test_setup_teardown(test_json__maps_are_objects, setup, teardown),
        cmocka_unit_test_setup_teardown(test_json__proto_names_and_null_are_accepted, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_json__errors_name_the_path, setup, teardown),
        cmocka_unit_test_setup_teardown(test_json__depth_is_bounded, setup, teardown),
        cmocka_unit_test_setup_teardown(test_json__descriptor_set_survives, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
