/* How a call is refused, at each stage it passes, by each kind of method: code, text, reason and
 * metadata to the byte. A status that outlives its arena shows here, as other bytes or under ASan.
 */
#include <stdio.h>
#include <string.h>

#include "grpc/reflection/v1/reflection.pb-c.h"

#include "base/check.h"
#include "base/clock.h"
#include "base/pool.h"
#include "base/str.h"
#include "harness.h"
#include "rpc/message.h"
#include "tests/unit/unit.h"

#define UMBRELLA " \xe2\x98\x82"
#define TOO_LARGE "the reply is larger than a message may be: ask for less at a time"
#define OVER "the call or job needs more memory than it may have"
#define TENANT_TEXT "x-holdfast-tenant must be a name of a-z, 0-9 and -"

enum kind { UNARY, PULL, EVENTS, EXCHANGE, KINDS };

static const struct rpc_method_ref refs[KINDS] = {
    [UNARY] = {&pb_jobs__job_service__descriptor, "GetJob", false},
    [PULL] = {&pb_backup__backup_service__descriptor, "ReadVaultObject", false},
    [EVENTS] = {&pb_jobs__job_service__descriptor, "WatchJob", false},
    [EXCHANGE] = {&grpc__reflection__v1__server_reflection__descriptor, "ServerReflectionInfo",
                  false},
};

/* Everything that the messages of a stream hold goes; how it ended stays. */
static struct hf_status read_all(struct hf_ctx *ctx, struct rpc_reader *reader)
{
    struct hf_status status = hf_success();
    void *message = &message;
    while (hf_is_ok(status) && message != NULL) {
        status = rpc_reader_next(ctx, reader, &message);
    }
    return status;
}

static struct hf_status send(struct hf_ctx *ctx, struct rpc_client *client,
                             const struct rpc_method_ref *method, const ProtobufCMessage *req)
{
    HF_CLEANUP(rpc_reader_close) struct rpc_reader *reader = NULL;
    void *response = NULL;
    if (hf_text_equal(method->name, "GetJob")) {
        return rpc_call(ctx, client, method, req, &response);
    }
    HF_TRY(rpc_reader_open(ctx, client, method, req, &reader));
    return read_all(ctx, reader);
}

/* One call of a kind about name; method of its own or, with other, of a service that is not there.
 */
static struct hf_status call(struct harness *h, struct hf_ctx *ctx, enum kind kind,
                             const char *name)
{
    char *text = hf_strdup(ctx->arena, name);
    PbJobs__GetJobRequest get = PB_JOBS__GET_JOB_REQUEST__INIT;
    PbJobs__WatchJobRequest watch = PB_JOBS__WATCH_JOB_REQUEST__INIT;
    PbBackup__ReadVaultObjectRequest read = PB_BACKUP__READ_VAULT_OBJECT_REQUEST__INIT;
    Grpc__Reflection__V1__ServerReflectionRequest reflect =
        GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__INIT;
    const ProtobufCMessage *const requests[KINDS] = {&get.base, &read.base, &watch.base,
                                                     &reflect.base};
    get.name = text;
    watch.name = text;
    read.object = text;
    read.length = 3;
    reflect.message_request_case =
        GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_FILE_BY_FILENAME;
    reflect.file_by_filename = text;
    return send(ctx, h->client, &refs[kind], requests[kind]);
}

static void expect(struct hf_status status, enum hf_code code, const char *message,
                   const char *reason)
{
    const char *seen = status.info == NULL ? "" : status.info->reason;
    if (status.code != code || !hf_text_equal(status.message, message) ||
        !hf_text_equal(seen, reason)) {
        fail_msg("%s '%s' %s, expected %s '%s' %s", hf_code_name(status.code), status.message, seen,
                 hf_code_name(code), message, reason);
    }
}

/* A call leaves the counts a moment after its client has the answer. */
static void expect_idle(struct harness *h)
{
    int64_t end_us = hf_mono_us() + 5 * HF_US_PER_S;
    while (rpc_server_inflight(h->server) > 0 && hf_mono_us() < end_us) {
        assert_true(hf_is_ok(hf_ctx_sleep(&h->ctx, 5)));
    }
    assert_int_equal(rpc_server_inflight(h->server), 0);
}

static int setup(void **state)
{
    struct harness *h = harness_new();
    harness_serve(h);
    *state = h;
    return 0;
}

static int teardown(void **state)
{
    harness_free(*state);
    return 0;
}

static const struct {
    enum kind kind;
    const char *stage;
} stages[] = {
    {UNARY, "authorize"}, {UNARY, "handler"},    {PULL, "authorize"}, {PULL, "open"},
    {PULL, "next"},       {EVENTS, "authorize"}, {EVENTS, "open"},    {EVENTS, "writable"},
};

static void test_refusals__each_stage_tells_its_own_status(void **state)
{
    struct harness *h = *state;
    for (size_t i = 0; i < HF_LEN(stages); i++) {
        const char *stage = stages[i].stage;
        struct hf_status status =
            call(h, &h->ctx, stages[i].kind, hf_printf(h->arena, "refuse %s", stage));
        expect(status, HF_FAILED_PRECONDITION, hf_printf(h->arena, "refused in %s" UMBRELLA, stage),
               HARNESS_REFUSED);
        assert_int_equal(status.info->metadata_len, 2);
        assert_string_equal(status.info->metadata[0].key, "stage");
        assert_string_equal(status.info->metadata[0].value, stage);
        assert_string_equal(status.info->metadata[1].key, "padding");
        assert_string_equal(status.info->metadata[1].value, HARNESS_PADDING);
        assert_int_equal(status.info->retry_after_ms, 0);
    }
    expect_idle(h);
}

/* More memory than a call may have is a status of that call; the next one finds a whole server. */
static void test_refusals__memory_over_the_limit_at_each_stage(void **state)
{
    struct harness *h = *state;
    const PbJobs__Job *job = NULL;
    for (size_t i = 0; i < HF_LEN(stages); i++) {
        const char *name = hf_printf(h->arena, "over %s", stages[i].stage);
        struct hf_status status = call(h, &h->ctx, stages[i].kind, name);
        expect(status, HF_RESOURCE_EXHAUSTED, OVER, "MEMORY_LIMIT");
        assert_int_equal(status.info->metadata_len, 0);
    }
    assert_int_equal(harness_get(h, &h->ctx, "after", &job).code, HF_OK);
    expect_idle(h);
}

static void test_refusals__reply_too_large(void **state)
{
    struct harness *h = *state;
    for (enum kind kind = UNARY; kind < EXCHANGE; kind++) {
        struct hf_status status = call(h, &h->ctx, kind, "large");
        expect(status, HF_RESOURCE_EXHAUSTED, TOO_LARGE, "REPLY_TOO_LARGE");
    }
    harness_wait(&h->done, 2);
}

/* The only exchange is reflection: what it echoes can be too large as well. */
static void test_refusals__exchange_reply_too_large(void **state)
{
    struct harness *h = harness_new();
    (void)state;
    h->config.max_send_bytes = 40;
    harness_serve(h);
    expect(call(h, &h->ctx, EXCHANGE, "a-name-of-some-length.proto"), HF_RESOURCE_EXHAUSTED,
           TOO_LARGE, "REPLY_TOO_LARGE");
    harness_free(h);
}

/* Too small an arena for what a request holds, and for its echo. */
static void test_refusals__request_needs_too_much_memory(void **state)
{
    struct harness *h = harness_new();
    char *name = hf_alloc(h->arena, 300001);
    (void)state;
    memset(name, 'x', 300000);
    h->config.max_call_bytes = 512 * 1024;
    harness_serve(h);
    for (enum kind kind = UNARY; kind < KINDS; kind++) {
        expect(call(h, &h->ctx, kind, name), HF_RESOURCE_EXHAUSTED, "message needs too much memory",
               "");
    }
    name[120000] = '\0';
    expect(call(h, &h->ctx, EXCHANGE, name), HF_OK, NULL, "");
    harness_free(h);
}

static void test_refusals__request_too_large(void **state)
{
    struct harness *h = *state;
    char *name = hf_alloc(h->arena, ((size_t)5 << 20) + 1);
    memset(name, 'x', (size_t)5 << 20);
    for (enum kind kind = UNARY; kind < KINDS; kind++) {
        struct hf_status status = call(h, &h->ctx, kind, name);
        assert_int_equal(status.code, HF_RESOURCE_EXHAUSTED);
        assert_non_null(strstr(status.message, "larger than max"));
        assert_null(status.info);
    }
    assert_int_equal(atomic_load(&h->calls), 0);
}

static void test_refusals__unknown_method(void **state)
{
    struct harness *h = *state;
    for (enum kind kind = UNARY; kind < KINDS; kind++) {
        ProtobufCServiceDescriptor service = *refs[kind].service;
        struct rpc_method_ref ref = {&service, refs[kind].name, false};
        service.name = "no.such.Service";
        void *empty = rpc_message_new(h->arena, service.methods[0].input);
        for (unsigned i = 0; i < service.n_methods; i++) {
            if (hf_text_equal(service.methods[i].name, ref.name)) {
                empty = rpc_message_new(h->arena, service.methods[i].input);
            }
        }
        expect(send(&h->ctx, h->client, &ref, empty), HF_UNIMPLEMENTED,
               hf_printf(h->arena, "unknown method /no.such.Service/%s", ref.name), "");
    }
}

/* A field 1 that is no UTF-8. */
static void test_refusals__malformed_request(void **state)
{
    struct harness *h = *state;
    uint8_t data[] = {2, 'a', 0xff};
    ProtobufCMessageUnknownField field = {
        .tag = 1, .wire_type = PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED, .len = 3, .data = data};
    for (enum kind kind = UNARY; kind < KINDS; kind++) {
        const ProtobufCServiceDescriptor *service = refs[kind].service;
        for (unsigned i = 0; i < service->n_methods; i++) {
            const ProtobufCMessageDescriptor *input = service->methods[i].input;
            if (!hf_text_equal(service->methods[i].name, refs[kind].name)) {
                continue;
            }
            ProtobufCMessage *req = rpc_message_new(h->arena, input);
            req->n_unknown_fields = 1;
            req->unknown_fields = &field;
            expect(send(&h->ctx, h->client, &refs[kind], req), HF_INVALID_ARGUMENT,
                   hf_printf(h->arena, "%s.%s must be UTF-8 text without NUL", input->name,
                             input->fields[0].name),
                   "INVALID_MESSAGE");
        }
    }
}

static void use_client(struct harness *h, const struct rpc_tls_files *files, const char *tenant)
{
    const struct rpc_client_config config = {
        .target = hf_printf(h->arena, "127.0.0.1:%d", rpc_server_port(h->server)),
        .tls = *files,
        .tenant = tenant,
    };
    rpc_client_free(h->client);
    assert_int_equal(rpc_client_new(h->arena, &config, &h->client).code, HF_OK);
}

static void test_refusals__no_identity(void **state)
{
    struct harness *h = *state;
    const struct test_leaf leaf = {NULL, -60, 3600, 9};
    struct rpc_tls_files files = test_leaf_write(h->arena, h->ca, h->dir, "nobody", &leaf);
    use_client(h, &files, NULL);
    for (enum kind kind = UNARY; kind < KINDS; kind++) {
        expect(call(h, &h->ctx, kind, "x"), HF_UNAUTHENTICATED,
               "the certificate carries 0 URI names, expected one", "INVALID_IDENTITY");
    }
}

/* A tenant in every case and encoding: the same bytes for all of them. */
static void test_refusals__bad_tenant(void **state)
{
    static const char *const tenants[] = {
        "Default",
        "DEFAULT",
        "default ",
        "default/",
        "../default",
        "de fault",
        "d%65fault",
        "default,acme",
        "-default",
        "0default",
        "a.b",
        "default\t",
        ("d\xc3\xa9"
         "fault"),
        "d\xe9",
        "default\x7f",
        "*",
        "%",
        "'",
        "tenants/default",
        "abcdefghijklmnopqrstuvwxyz-abcdefghijklmnopqrstuvwxyz",
    };
    struct harness *h = *state;
    for (size_t i = 0; i < HF_LEN(tenants); i++) {
        use_client(h, &h->client_files, tenants[i]);
        for (enum kind kind = UNARY; kind < KINDS; kind++) {
            expect(call(h, &h->ctx, kind, "x"), HF_INVALID_ARGUMENT, TENANT_TEXT, "INVALID_TENANT");
        }
    }
    assert_int_equal(atomic_load(&h->calls), 0);
}

static void get_slow(void *arg)
{
    HF_CLEANUP(hf_arena_free) struct hf_arena *arena = hf_arena_new(1024 * 1024);
    struct harness *h = arg;
    struct hf_ctx ctx = {.arena = arena, .cancel = &h->cancel};
    const PbJobs__Job *job = NULL;
    (void)harness_get(h, &ctx, "slow", &job);
}

static void test_refusals__busy(void **state)
{
    struct harness *h = harness_new();
    void *message = NULL;
    PbJobs__WatchJobRequest watch = PB_JOBS__WATCH_JOB_REQUEST__INIT;
    char endless[] = "endless";
    HF_CLEANUP(rpc_reader_close) struct rpc_reader *reader = NULL;
    (void)state;
    h->config.max_inflight = 1;
    h->config.max_streams = 1;
    harness_serve(h);
    struct hf_thread *thread = hf_thread_start("slow", get_slow, h);
    harness_wait(&h->calls, 1);
    watch.name = endless;
    assert_int_equal(rpc_reader_open(&h->ctx, h->client, &refs[EVENTS], &watch.base, &reader).code,
                     HF_OK);
    assert_int_equal(rpc_reader_next(&h->ctx, reader, &message).code, HF_OK);
    for (enum kind kind = UNARY; kind < KINDS; kind++) {
        struct hf_status status = call(h, &h->ctx, kind, "x");
        expect(status, HF_RESOURCE_EXHAUSTED,
               kind == UNARY ? "too many calls are in flight" : "too many streams are open",
               "SERVER_BUSY");
        assert_int_equal(status.info->retry_after_ms, 500);
    }
    atomic_store(&h->cancel.is_set, true);
    hf_thread_join(thread);
    rpc_reader_close(HF_TAKE(reader));
    harness_free(h);
}

static void drain(void *arg)
{
    struct harness *h = arg;
    (void)rpc_server_drain(h->server);
}

static void test_refusals__lame_duck(void **state)
{
    struct harness *h = harness_new();
    struct hf_ctx ctx = {.arena = h->arena};
    (void)state;
    h->config.lame_duck_ms = 20000;
    harness_serve(h);
    struct hf_thread *slow = hf_thread_start("slow", get_slow, h);
    harness_wait(&h->calls, 1);
    struct hf_thread *drainer = hf_thread_start("drain", drain, h);
    assert_true(hf_is_ok(hf_ctx_sleep(&ctx, 200)));
    for (enum kind kind = UNARY; kind < KINDS; kind++) {
        struct hf_status status = call(h, &ctx, kind, "x");
        assert_int_equal(status.code, HF_UNAVAILABLE);
        assert_non_null(strstr(status.message, "the server is shutting down"));
        assert_null(status.info);
    }
    atomic_store(&h->cancel.is_set, true);
    hf_thread_join(slow);
    hf_thread_join(drainer);
    harness_free(h);
}

static void test_refusals__deadline_and_cancellation(void **state)
{
    struct harness *h = *state;
    static const char *const waiting[KINDS] = {
        [UNARY] = "slow", [PULL] = "slow", [EVENTS] = "endless"};
    for (enum kind kind = UNARY; kind < EXCHANGE; kind++) {
        struct hf_cancel cancel = {true};
        struct hf_ctx ctx = {.arena = h->arena, .cancel = &cancel};
        expect(call(h, &ctx, kind, waiting[kind]), HF_CANCELLED, "the call was cancelled", "");
        if (kind != PULL) { /* that one ends by itself */
            ctx = (struct hf_ctx){.arena = h->arena, .deadline_us = hf_mono_us() + 100000};
            assert_int_equal(call(h, &ctx, kind, waiting[kind]).code, HF_DEADLINE_EXCEEDED);
        }
    }
    harness_wait(&h->cancelled, 1);
}

/* 0, the past, and years: none of them overflows into the other. */
static void test_refusals__any_deadline(void **state)
{
    struct harness *h = *state;
    const struct {
        int64_t deadline_us;
        enum hf_code code;
    } rows[] = {
        {INT64_MIN, HF_DEADLINE_EXCEEDED}, {-1, HF_DEADLINE_EXCEEDED},
        {1, HF_DEADLINE_EXCEEDED},         {hf_mono_us() + INT64_C(3155760000000000), HF_OK},
        {INT64_MAX / 1000, HF_OK},         {INT64_MAX, HF_OK},
    };
    for (size_t i = 0; i < HF_LEN(rows); i++) {
        struct hf_ctx ctx = {.arena = h->arena, .deadline_us = rows[i].deadline_us};
        for (enum kind kind = UNARY; kind < KINDS; kind++) {
            assert_int_equal(call(h, &ctx, kind, "x").code, rows[i].code);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_refusals__each_stage_tells_its_own_status, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_refusals__memory_over_the_limit_at_each_stage, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_refusals__reply_too_large, setup, teardown),
        cmocka_unit_test(test_refusals__exchange_reply_too_large),
        cmocka_unit_test(test_refusals__request_needs_too_much_memory),
        cmocka_unit_test_setup_teardown(test_refusals__request_too_large, setup, teardown),
        cmocka_unit_test_setup_teardown(test_refusals__unknown_method, setup, teardown),
        cmocka_unit_test_setup_teardown(test_refusals__malformed_request, setup, teardown),
        cmocka_unit_test_setup_teardown(test_refusals__no_identity, setup, teardown),
        cmocka_unit_test_setup_teardown(test_refusals__bad_tenant, setup, teardown),
        cmocka_unit_test(test_refusals__busy),
        cmocka_unit_test(test_refusals__lame_duck),
        cmocka_unit_test_setup_teardown(test_refusals__deadline_and_cancellation, setup, teardown),
        cmocka_unit_test_setup_teardown(test_refusals__any_deadline, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
