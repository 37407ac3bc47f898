/* One attempt of a call. Surprise: cancellation of ctx is noticed by waiting in slices of 200 ms;
 * core is then told to cancel, and what is under way completes at once, never later. */
#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "rpc/client_core.h"
#include "rpc/details.h"
#include "rpc/peer.h"

#define MAX_HEADERS 2

enum { TAG_SENT = 1, TAG_STATUS = 2, TAG_MESSAGE = 3 };

/* Tags are never followed: the addresses of distinct bytes tell them apart. */
static void *tag_of(struct rpc_attempt *attempt, int which)
{
    void *base = attempt;
    return (char *)base + which;
}

static const ProtobufCMethodDescriptor *find_method(const struct rpc_method_ref *method)
{
    const ProtobufCServiceDescriptor *service = method->service;
    for (unsigned i = 0; i < service->n_methods; i++) {
        if (hf_text_equal(service->methods[i].name, method->name)) {
            return &service->methods[i];
        }
    }
    HF_CHECK(false && "the method is not in its service");
    return NULL;
}

/* Core takes printable ASCII only. */
static bool is_header_text(const char *text)
{
    grpc_slice value = grpc_slice_from_copied_string(text);
    bool is_legal = grpc_header_nonbin_value_is_legal(value) != 0;
    grpc_slice_unref(value);
    return is_legal;
}

static size_t fill_headers(const struct hf_ctx *ctx, const struct rpc_client *client,
                           grpc_metadata headers[MAX_HEADERS])
{
    size_t len = 0;
    if (client->config.tenant != NULL) {
        headers[len++] = (grpc_metadata){
            .key = grpc_slice_from_static_string(RPC_TENANT_KEY),
            .value = grpc_slice_from_copied_string(client->config.tenant),
        };
    }
    if (ctx->trace != NULL && is_header_text(ctx->trace)) {
        headers[len++] = (grpc_metadata){
            .key = grpc_slice_from_static_string(RPC_REQUEST_ID_KEY),
            .value = grpc_slice_from_copied_string(ctx->trace),
        };
    }
    return len;
}

static void start(struct rpc_attempt *attempt, const grpc_op *ops, size_t ops_len, int which)
{
    HF_CHECK(grpc_call_start_batch(attempt->call, ops, ops_len, tag_of(attempt, which), NULL) ==
             GRPC_CALL_OK);
}

static void start_status(struct rpc_attempt *attempt)
{
    grpc_op op = {.op = GRPC_OP_RECV_STATUS_ON_CLIENT};
    op.data.recv_status_on_client.trailing_metadata = &attempt->trailers;
    op.data.recv_status_on_client.status = &attempt->code;
    op.data.recv_status_on_client.status_details = &attempt->text;
    start(attempt, &op, 1, TAG_STATUS);
}

static void start_request(struct rpc_attempt *attempt, const ProtobufCMessage *req,
                          grpc_metadata *headers, size_t headers_len)
{
    HF_CLEANUP(grpc_byte_buffer_destroy) grpc_byte_buffer *message = rpc_core_pack(req);
    grpc_op ops[4] = {
        {.op = GRPC_OP_SEND_INITIAL_METADATA},
        {.op = GRPC_OP_SEND_MESSAGE},
        {.op = GRPC_OP_SEND_CLOSE_FROM_CLIENT},
        {.op = GRPC_OP_RECV_INITIAL_METADATA},
    };
    ops[0].data.send_initial_metadata.metadata = headers;
    ops[0].data.send_initial_metadata.count = headers_len;
    ops[1].data.send_message.send_message = message;
    ops[3].data.recv_initial_metadata.recv_initial_metadata = &attempt->headers;
    start(attempt, ops, HF_LEN(ops), TAG_SENT);
}

void rpc_attempt_read(struct rpc_attempt *attempt)
{
    grpc_op op = {.op = GRPC_OP_RECV_MESSAGE};
    op.data.recv_message.recv_message = &attempt->received;
    attempt->is_reading = true;
    start(attempt, &op, 1, TAG_MESSAGE);
}

struct hf_status rpc_attempt_start(struct hf_ctx *ctx, struct rpc_client *client,
                                   const struct rpc_method_ref *method, const ProtobufCMessage *req,
                                   int64_t deadline_us, struct rpc_attempt *ret_attempt)
{
    grpc_metadata headers[MAX_HEADERS];
    const ProtobufCMethodDescriptor *shape = find_method(method);
    HF_CHECK(req->descriptor == shape->input);
    *ret_attempt = (struct rpc_attempt){.client = client, .output = shape->output};
    ret_attempt->text = grpc_empty_slice();
    HF_TRY(hf_ctx_check(ctx));
    if (client->config.tenant != NULL && !is_header_text(client->config.tenant)) {
        static const struct hf_error_info info = {.reason = "INVALID_TENANT"};

        return (struct hf_status){HF_INVALID_ARGUMENT,
                                  RPC_TENANT_KEY " must be a name of a-z, 0-9 and -", &info};
    }
    grpc_metadata_array_init(&ret_attempt->headers);
    grpc_metadata_array_init(&ret_attempt->trailers);
    ret_attempt->queue = grpc_completion_queue_create_for_pluck(NULL);
    grpc_slice path = grpc_slice_from_copied_string(
        hf_printf(ctx->arena, "/%s/%s", method->service->name, method->name));
    ret_attempt->call =
        grpc_channel_create_call(client->channel, NULL, GRPC_PROPAGATE_DEFAULTS, ret_attempt->queue,
                                 path, NULL, rpc_core_time(deadline_us), NULL);
    grpc_slice_unref(path);
    HF_CHECK(ret_attempt->call != NULL);
    size_t headers_len = fill_headers(ctx, client, headers);
    start_status(ret_attempt);
    start_request(ret_attempt, req, headers, headers_len);
    rpc_attempt_read(ret_attempt);
    for (size_t i = 0; i < headers_len; i++) {
        grpc_slice_unref(headers[i].value);
    }
    return hf_success();
}

/* Wait for a tag; a failure of ctx cancels the call but does not take the tag. */
static struct hf_status wait_tag(struct hf_ctx *ctx, struct rpc_attempt *attempt, int which)
{
    while (true) {
        gpr_timespec slice = rpc_core_time(hf_mono_us() + 200 * 1000);
        grpc_event event =
            grpc_completion_queue_pluck(attempt->queue, tag_of(attempt, which), slice, NULL);
        if (event.type == GRPC_OP_COMPLETE) {
            return hf_success();
        }
        struct hf_status status = hf_ctx_check(ctx);
        if (!hf_is_ok(status)) {
            (void)grpc_call_cancel(attempt->call, NULL);
            return status;
        }
    }
}

struct hf_status rpc_attempt_message(struct hf_ctx *ctx, struct rpc_attempt *attempt,
                                     void **ret_message)
{
    struct hf_bytes bytes = {NULL, 0};
    if (!attempt->is_reading) {
        *ret_message = NULL;
        return hf_success();
    }
    HF_TRY(wait_tag(ctx, attempt, TAG_MESSAGE));
    attempt->is_reading = false;
    HF_CLEANUP(grpc_byte_buffer_destroy) grpc_byte_buffer *received = attempt->received;
    attempt->received = NULL;
    if (received == NULL) {
        *ret_message = NULL;
        return hf_success();
    }
    HF_TRY(rpc_core_bytes(ctx->arena, received, &bytes));
    return rpc_decode(ctx->arena, attempt->output, bytes, ret_message);
}

/* Core's words for what a person can change: the server is not there, or does not want us. */
static const char *explain(struct hf_arena *arena, const struct rpc_attempt *attempt,
                           const char *text)
{
    const struct rpc_client_config *config = &attempt->client->config;
    if (strstr(text, "Connection refused") != NULL || strstr(text, "No such file") != NULL) {
        return hf_printf(arena, "no server at %s: connection refused", config->target);
    }
    if (strstr(text, "CERTIFICATE_VERIFY_FAILED") != NULL) {
        return hf_printf(arena, "server at %s is not trusted by %s: %s", config->target,
                         config->tls.ca_file, text);
    }
    if (strstr(text, "Socket closed") != NULL || strstr(text, "handshak") != NULL) {
        return hf_printf(arena,
                         "%s closed the connection (%s); it may not accept certificate %s, "
                         "'holdfast certs issue NAME --out DIR' makes a new one",
                         config->target, text, config->tls.cert_file);
    }
    return hf_printf(arena, "%s: %s", config->target, text);
}

struct hf_status rpc_attempt_status(struct hf_ctx *ctx, struct rpc_attempt *attempt)
{
    if (!attempt->has_status) {
        HF_TRY(wait_tag(ctx, attempt, TAG_STATUS));
        attempt->has_status = true;
    }
    if (attempt->code == GRPC_STATUS_OK) {
        return hf_success();
    }
    const grpc_slice *details = rpc_core_header(&attempt->trailers, RPC_DETAILS_KEY);
    struct hf_status status = {.code = HF_UNKNOWN};
    if ((unsigned)attempt->code <= HF_UNAUTHENTICATED) {
        status.code = (enum hf_code)attempt->code;
    }
    const void *text = GRPC_SLICE_START_PTR(attempt->text);
    status.message =
        hf_text_show(ctx->arena, text, GRPC_SLICE_LENGTH(attempt->text), HF_MESSAGE_MAX);
    if (details != NULL) {
        struct hf_bytes bytes = {GRPC_SLICE_START_PTR(*details), GRPC_SLICE_LENGTH(*details)};
        bytes.ptr = hf_dup(ctx->arena, bytes.ptr, bytes.len);
        return rpc_details_decode(ctx->arena, status, bytes);
    }
    if (status.code == HF_UNAVAILABLE) {
        HF_TRY(rpc_tls_check(ctx->arena, &attempt->client->config.tls));
        status.message = explain(ctx->arena, attempt, status.message);
    }
    return status;
}

static void drop(struct rpc_attempt *attempt, int which)
{
    (void)grpc_completion_queue_pluck(attempt->queue, tag_of(attempt, which),
                                      gpr_inf_future(GPR_CLOCK_MONOTONIC), NULL);
}

void rpc_attempt_done(struct rpc_attempt *attempt)
{
    if (attempt->call == NULL) {
        return;
    }
    (void)grpc_call_cancel(attempt->call, NULL);
    drop(attempt, TAG_SENT);
    if (attempt->is_reading) {
        drop(attempt, TAG_MESSAGE);
    }
    if (!attempt->has_status) {
        drop(attempt, TAG_STATUS);
    }
    grpc_byte_buffer_destroy(attempt->received);
    grpc_metadata_array_destroy(&attempt->headers);
    grpc_metadata_array_destroy(&attempt->trailers);
    grpc_slice_unref(attempt->text);
    grpc_call_unref(attempt->call);
    grpc_completion_queue_shutdown(attempt->queue);
    (void)grpc_completion_queue_pluck(attempt->queue, NULL, gpr_inf_future(GPR_CLOCK_MONOTONIC),
                                      NULL);
    grpc_completion_queue_destroy(attempt->queue);
    attempt->call = NULL;
}
