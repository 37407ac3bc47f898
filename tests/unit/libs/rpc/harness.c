/* Handlers that do what the tests ask for by name. */
#include "harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/str.h"

const struct rpc_method_ref harness_get_job = {&pb_jobs__job_service__descriptor, "GetJob", true};
const struct rpc_method_ref harness_list_jobs = {&pb_jobs__job_service__descriptor, "ListJobs",
                                                 false};
const struct rpc_method_ref harness_watch_job = {&pb_jobs__job_service__descriptor, "WatchJob",
                                                 true};
const struct rpc_method_ref harness_read_object = {&pb_backup__backup_service__descriptor,
                                                   "ReadVaultObject", true};

/* name is "refuse STAGE" or "over STAGE"; anything else is fine. */
static struct hf_status at_stage(struct hf_ctx *ctx, const char *name, const char *stage)
{
    if (hf_text_equal(name, hf_printf(ctx->arena, "refuse %s", stage))) {
        const char *const metadata[] = {
            hf_strdup(ctx->arena, "stage"), hf_strdup(ctx->arena, stage),
            hf_strdup(ctx->arena, "padding"), hf_strdup(ctx->arena, HARNESS_PADDING), NULL};
        return hf_fail_info(ctx->arena, HF_FAILED_PRECONDITION,
                            hf_strdup(ctx->arena, HARNESS_REFUSED), metadata,
                            "refused in %s \xe2\x98\x82", stage);
    }
    if (hf_text_equal(name, hf_printf(ctx->arena, "over %s", stage))) {
        (void)hf_alloc(ctx->arena, (size_t)65 << 20);
    }
    return hf_success();
}

/* A text of 5 MiB. */
static char *large(struct hf_arena *arena)
{
    size_t len = (size_t)5 << 20;
    return memset(hf_alloc(arena, len + 1), 'x', len);
}

static struct hf_status work(struct hf_ctx *ctx, struct harness *h, int ms)
{
    struct hf_status status = hf_ctx_sleep(ctx, ms);
    if (!hf_is_ok(status)) {
        atomic_fetch_add(&h->cancelled, 1);
    }
    return status;
}

static struct hf_status get_job(struct hf_ctx *ctx, void *app, const struct rpc_peer *peer,
                                const void *req, void *resp)
{
    const PbJobs__GetJobRequest *request = req;
    struct harness *h = app;
    PbJobs__Job *job = resp;
    int call = atomic_fetch_add(&h->calls, 1) + 1;
    const char *name = request->name;
    job->name = hf_strdup(ctx->arena, name);
    if (hf_text_equal(name, "peer")) {
        job->name = hf_strdup(ctx->arena, peer->identity);
        job->target = hf_strdup(ctx->arena, peer->tenant);
        job->kind = hf_strdup(ctx->arena, peer->request_id);
    } else if (hf_has_prefix(name, "details")) {
        const char *const metadata[] = {"job", name, NULL};
        struct hf_status status =
            hf_fail_info(ctx->arena, HF_NOT_FOUND, "JOB_NOT_FOUND", metadata, "no job %s ☂", name);
        struct hf_error_info info = *status.info;
        info.retry_after_ms = 1500;
        status.info = hf_dup(ctx->arena, &info, sizeof(info));
        return status;
    } else if (hf_text_equal(name, "short")) {
        return work(ctx, h, 200);
    } else if (hf_text_equal(name, "slow")) {
        return work(ctx, h, 20000);
    } else if (hf_text_equal(name, "bug")) {
        return hf_fail(ctx->arena, HF_INTERNAL, "a bug");
    } else if (hf_text_equal(name, "busy") && call <= 3) {
        return hf_fail(ctx->arena, HF_UNAVAILABLE, "busy");
    } else if (hf_text_equal(name, "large")) {
        job->target = large(ctx->arena);
    }
    return at_stage(ctx, name, "handler");
}

static struct hf_status list_jobs(struct hf_ctx *ctx, void *app, const struct rpc_peer *peer,
                                  const void *req, void *resp)
{
    struct harness *h = app;
    (void)peer;
    (void)req;
    (void)resp;
    atomic_fetch_add(&h->calls, 1);
    return hf_fail(ctx->arena, HF_UNAVAILABLE, "busy");
}

static struct hf_status refuse(struct hf_ctx *ctx, void *app, const struct rpc_peer *peer,
                               const void *req, void *resp)
{
    (void)app;
    (void)peer;
    (void)req;
    (void)resp;
    return hf_fail(ctx->arena, HF_UNIMPLEMENTED, "not in this test");
}

struct watch {
    const char *name;
    int sent;
};

static struct hf_status watch_open(struct hf_ctx *ctx, void *app, const struct rpc_peer *peer,
                                   const void *req, struct rpc_stream *stream, void **ret_state)
{
    const PbJobs__WatchJobRequest *request = req;
    struct watch *watch = HF_NEW(ctx->arena, struct watch);
    (void)app;
    (void)peer;
    watch->name = hf_strdup(ctx->arena, request->name);
    rpc_stream_wake_after(stream, 30);
    *ret_state = watch;
    return at_stage(ctx, request->name, "open");
}

static struct hf_status watch_writable(struct hf_ctx *ctx, void *app, struct rpc_stream *stream,
                                       void *state)
{
    struct watch *watch = state;
    PbJobs__Job job = PB_JOBS__JOB__INIT;
    PbJobs__WatchJobResponse response = PB_JOBS__WATCH_JOB_RESPONSE__INIT;
    (void)app;
    if (hf_text_equal(watch->name, "fail") && watch->sent == 2) {
        return hf_fail(ctx->arena, HF_ABORTED, "watched enough");
    }
    if (watch->sent == 3) {
        if (!hf_text_equal(watch->name, "endless")) {
            rpc_stream_finish(stream, hf_success());
        }
        return hf_success();
    }
    HF_TRY(at_stage(ctx, watch->name, "writable"));
    job.name = hf_text_equal(watch->name, "large") ? large(ctx->arena)
                                                   : hf_strdup(ctx->arena, watch->name);
    job.attempt = ++watch->sent;
    response.job = &job;
    enum rpc_sent sent = rpc_stream_send(stream, &response.base);
    HF_CHECK(sent == (hf_text_equal(watch->name, "large") ? RPC_OVER : RPC_SENT));
    return hf_success();
}

static void watch_cancel(void *app, struct rpc_stream *stream, void *state)
{
    struct harness *h = app;
    (void)stream;
    (void)state;
    atomic_fetch_add(&h->stream_cancels, 1);
}

static void watch_done(void *app, struct rpc_stream *stream, void *state)
{
    struct harness *h = app;
    (void)stream;
    (void)state;
    atomic_fetch_add(&h->done, 1);
}

struct read {
    const char *object;
    int64_t left;
};

static struct hf_status read_open(struct hf_ctx *ctx, void *app, const struct rpc_peer *peer,
                                  const void *req, void **ret_state)
{
    const PbBackup__ReadVaultObjectRequest *request = req;
    (void)app;
    (void)peer;
    if (hf_text_equal(request->object, "refuse")) {
        return hf_fail(ctx->arena, HF_NOT_FOUND, "no such object");
    }
    struct read *read = HF_NEW(ctx->arena, struct read);
    read->object = hf_strdup(ctx->arena, request->object);
    read->left = request->length;
    *ret_state = read;
    return at_stage(ctx, request->object, "open");
}

static struct hf_status read_next(struct hf_ctx *ctx, void *app, void *state, void *resp,
                                  bool *ret_more)
{
    PbBackup__ReadVaultObjectResponse *response = resp;
    struct read *read = state;
    (void)app;
    *ret_more = read->left > 0;
    if (read->left > 0) {
        response->size_bytes = read->left;
        response->data.len = hf_text_equal(read->object, "large") ? 5 << 20 : 65536;
        response->data.data = hf_alloc(ctx->arena, response->data.len);
        memset(response->data.data, (int)(read->left & 0xff), response->data.len);
        read->left--;
    }
    return at_stage(ctx, read->object, "next");
}

static void read_close(void *app, void *state)
{
    struct harness *h = app;
    (void)state;
    atomic_fetch_add(&h->done, 1);
}

static const struct rpc_events watch_events = {watch_open, watch_writable, watch_cancel,
                                               watch_done};
static const struct rpc_pull read_pull = {read_open, read_next, read_close};

static const struct rpc_method job_methods[] = {
    {.name = "GetJob", .kind = RPC_UNARY, .permission = "jobs.get", .unary = get_job},
    {.name = "ListJobs", .kind = RPC_UNARY, .unary = list_jobs},
    {.name = "WatchJob", .kind = RPC_EVENTS, .events = &watch_events},
    {.name = "CancelJob", .kind = RPC_UNARY, .unary = refuse},
    {.name = "RetryJob", .kind = RPC_UNARY, .unary = refuse},
};

static void add_backup_service(struct harness *h)
{
    const ProtobufCServiceDescriptor *service = &pb_backup__backup_service__descriptor;
    struct rpc_method *methods = HF_NEW_N(h->arena, struct rpc_method, service->n_methods);
    for (unsigned i = 0; i < service->n_methods; i++) {
        methods[i].name = service->methods[i].name;
        methods[i].kind = RPC_UNARY;
        methods[i].unary = refuse;
        if (hf_text_equal(methods[i].name, "ReadVaultObject")) {
            methods[i].kind = RPC_PULL;
            methods[i].pull = &read_pull;
        }
    }
    HF_CHECK(hf_is_ok(rpc_server_add(h->arena, h->server, service, methods, service->n_methods)));
}

static const char *name_of(const struct rpc_method *method, const void *req)
{
    if (hf_text_equal(method->name, "GetJob")) {
        const PbJobs__GetJobRequest *request = req;
        return request->name;
    }
    if (hf_text_equal(method->name, "WatchJob")) {
        const PbJobs__WatchJobRequest *request = req;
        return request->name;
    }
    if (hf_text_equal(method->name, "ReadVaultObject")) {
        const PbBackup__ReadVaultObjectRequest *request = req;
        return request->object;
    }
    return "";
}

static struct hf_status authorize(struct hf_ctx *ctx, void *app, const struct rpc_peer *peer,
                                  const struct rpc_method *method, const void *req)
{
    (void)app;
    (void)peer;
    const char *name = name_of(method, req);
    if (hf_text_equal(name, "forbidden")) {
        return hf_fail(ctx->arena, HF_PERMISSION_DENIED, "not for you");
    }
    return at_stage(ctx, name, "authorize");
}

static void *thread_init(void *app)
{
    struct harness *h = app;
    atomic_fetch_add(&h->threads, 1);
    return h;
}

static void thread_done(void *app, void *thread_app)
{
    struct harness *h = app;
    HF_CHECK(thread_app == app);
    atomic_fetch_sub(&h->threads, 1);
}

static void observe(void *app, const char *method, enum hf_code code, int64_t duration_us)
{
    struct harness *h = app;
    HF_CHECK(method[0] == '/' && duration_us >= 0);
    atomic_fetch_add(&h->observed[code], 1);
}

struct harness *harness_new(void)
{
    struct harness *h = hf_heap_alloc(sizeof(*h));
    char dir[] = "/tmp/rpc-test-XXXXXX";
    HF_CHECK(mkdtemp(dir) != NULL);
    h->arena = hf_arena_new(256 * 1024 * 1024);
    h->dir = hf_strdup(h->arena, dir);
    h->ctx = (struct hf_ctx){.arena = h->arena, .cancel = &h->cancel, .trace = "trace-1"};
    h->ca = test_ca_new();
    const struct test_leaf server = {"spiffe://" TEST_INSTALL "/service/backup", -60, 3600, 2};
    const struct test_leaf client = {"spiffe://" TEST_INSTALL "/client/ann", -60, 3600, 3};
    h->server_files = test_leaf_write(h->arena, h->ca, dir, "server", &server);
    h->client_files = test_leaf_write(h->arena, h->ca, dir, "client", &client);
    h->config = (struct rpc_server_config){
        .address = "127.0.0.1:0",
        .tls = h->server_files,
        .install = TEST_INSTALL,
        .app = h,
        .thread_init = thread_init,
        .thread_done = thread_done,
        .authorize = authorize,
        .observe = observe,
        .drain_ms = 1000,
    };
    return h;
}

void harness_serve(struct harness *h)
{
    HF_CHECK(hf_is_ok(rpc_server_new(h->arena, &h->config, &h->server)));
    HF_CHECK(hf_is_ok(rpc_server_add(h->arena, h->server, &pb_jobs__job_service__descriptor,
                                     job_methods, HF_LEN(job_methods))));
    add_backup_service(h);
    HF_CHECK(hf_is_ok(rpc_server_start(h->arena, h->server)));
    const struct rpc_client_config config = {
        .target = hf_printf(h->arena, "127.0.0.1:%d", rpc_server_port(h->server)),
        .tls = h->client_files,
        .tenant = "default",
    };
    HF_CHECK(hf_is_ok(rpc_client_new(h->arena, &config, &h->client)));
}

void harness_free(struct harness *h)
{
    rpc_client_free(h->client);
    rpc_server_free(h->server);
    HF_CHECK(atomic_load(&h->threads) == 0);
    test_ca_free(h->ca);
    HF_CHECK(hf_is_ok(hf_remove_tree(h->arena, h->dir)));
    hf_arena_free(h->arena);
    hf_heap_free(h);
}

struct hf_status harness_get(struct harness *h, struct hf_ctx *ctx, const char *name,
                             const PbJobs__Job **ret_job)
{
    PbJobs__GetJobRequest request = PB_JOBS__GET_JOB_REQUEST__INIT;
    void *response = NULL;
    request.name = hf_strdup(ctx->arena, name);
    HF_TRY(rpc_call(ctx, h->client, &harness_get_job, &request.base, &response));
    *ret_job = response;
    return hf_success();
}

void harness_wait(atomic_int *counter, int wanted)
{
    int64_t end_us = hf_mono_us() + 5 * HF_US_PER_S;
    struct hf_ctx ctx = {0};
    while (atomic_load(counter) < wanted) {
        HF_CHECK(hf_mono_us() < end_us);
        HF_CHECK(hf_is_ok(hf_ctx_sleep(&ctx, 5)));
    }
}
