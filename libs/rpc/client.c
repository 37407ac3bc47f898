/* The client: channel, unary calls with retries, streams. */
#include "rpc/client.h"

#include <grpc/grpc_security.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/id.h"
#include "rpc/client_core.h"
#include "rpc/tls_files.h"

#define ARENA_BYTES (8 * 1024 * 1024)
#define DEFAULT_DEADLINE_US (60 * HF_US_PER_S)
#define DEFAULT_RECEIVE_BYTES (16 * 1024 * 1024)
#define READER_ARENA_BYTES (1024 * 1024)
#define MAX_ATTEMPTS 4
#define FIRST_BACKOFF_MS 100
#define PAUSE_STEP_US (100 * 1000)

struct rpc_reader {
    struct rpc_attempt attempt;
    struct hf_arena *arena;  /* keeps the end */
    struct hf_status ending; /* repeated once has_ended */
    bool has_ended;
};

static const char *copy(struct hf_arena *arena, const char *text)
{
    return text == NULL ? NULL : hf_strdup(arena, text);
}

static grpc_channel *new_channel(struct rpc_client *client, grpc_channel_credentials *credentials)
{
    const struct {
        const char *key;
        size_t value;
    } numbers[] = {
        {GRPC_ARG_MAX_RECEIVE_MESSAGE_LENGTH, client->config.max_receive_bytes},
        {GRPC_ARG_MAX_METADATA_SIZE, 32768},
        {GRPC_ARG_ENABLE_HTTP_PROXY, 0},
        {GRPC_ARG_ENABLE_RETRIES, 0},
        {GRPC_ARG_ENABLE_PER_MESSAGE_DECOMPRESSION, 0},
        {GRPC_ARG_KEEPALIVE_TIME_MS, 30000},
        {GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 10000},
        {GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 100},
        {GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 5000},
        {GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 2000},
        {GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1},
    };
    grpc_arg args[HF_LEN(numbers) + 2];
    for (size_t i = 0; i < HF_LEN(numbers); i++) {
        args[i] =
            (grpc_arg){.type = GRPC_ARG_INTEGER, .key = hf_strdup(client->arena, numbers[i].key)};
        args[i].value.integer = (int)numbers[i].value;
    }
    const char *const names[] = {GRPC_SSL_TARGET_NAME_OVERRIDE_ARG, GRPC_ARG_DEFAULT_AUTHORITY};
    for (size_t i = 0; i < HF_LEN(names); i++) {
        grpc_arg *arg = &args[HF_LEN(numbers) + i];
        *arg = (grpc_arg){.type = GRPC_ARG_STRING, .key = hf_strdup(client->arena, names[i])};
        arg->value.string = hf_strdup(client->arena, client->config.server_name);
    }
    const grpc_channel_args all = {HF_LEN(args), args};
    return grpc_channel_create(client->config.target, credentials, &all);
}

struct hf_status rpc_client_new(struct hf_arena *arena, const struct rpc_client_config *config,
                                struct rpc_client **ret_client)
{
    struct rpc_tls_pem pem = {NULL, NULL, NULL};
    HF_TRY(rpc_tls_load(arena, &config->tls, &pem));
    HF_TRY(rpc_tls_judge(arena, &config->tls, &pem));
    struct rpc_client *client = hf_heap_alloc(sizeof(*client));
    client->arena = hf_arena_new(ARENA_BYTES);
    client->config = (struct rpc_client_config){
        .target = copy(client->arena, config->target),
        .tls = {.ca_file = copy(client->arena, config->tls.ca_file),
                .cert_file = copy(client->arena, config->tls.cert_file),
                .key_file = copy(client->arena, config->tls.key_file)},
        .server_name =
            config->server_name == NULL ? "localhost" : copy(client->arena, config->server_name),
        .tenant = copy(client->arena, config->tenant),
        .max_receive_bytes =
            config->max_receive_bytes == 0 ? DEFAULT_RECEIVE_BYTES : config->max_receive_bytes,
    };
    rpc_core_init();
    grpc_ssl_pem_key_cert_pair pair = {pem.key, pem.cert};
    grpc_channel_credentials *credentials =
        grpc_ssl_credentials_create_ex(pem.ca, &pair, NULL, NULL);
    client->channel = new_channel(client, credentials);
    grpc_channel_credentials_release(credentials);
    *ret_client = client;
    return hf_success();
}

void rpc_client_free(struct rpc_client *client)
{
    if (client == NULL) {
        return;
    }
    grpc_channel_destroy(client->channel);
    rpc_core_done();
    hf_arena_free(client->arena);
    hf_heap_free(client);
}

static struct hf_status call_once(struct hf_ctx *ctx, struct rpc_client *client,
                                  const struct rpc_method_ref *method, const ProtobufCMessage *req,
                                  void **ret_resp)
{
    struct rpc_attempt attempt;
    void *response = NULL;
    struct hf_status status =
        rpc_attempt_start(ctx, client, method, req, ctx->deadline_us, &attempt);
    if (hf_is_ok(status)) {
        status = rpc_attempt_message(ctx, &attempt, &response);
    }
    if (hf_is_ok(status)) {
        status = rpc_attempt_status(ctx, &attempt);
    }
    if (hf_is_ok(status) && response == NULL) {
        status = (struct hf_status){HF_INTERNAL, "the server answered without a message", NULL};
    }
    if (hf_is_ok(status)) {
        status = hf_arena_check(ctx->arena);
    }
    if (hf_is_ok(status)) {
        *ret_resp = response;
    }
    rpc_attempt_done(&attempt);
    return status;
}

/* Half to one and a half of the step, so that callers do not come back all at once. */
static int jitter(int ms)
{
    uint32_t random = 0;
    hf_random(&random, sizeof(random));
    return ms / 2 + (int)(random % (uint32_t)ms);
}

/* Wait for a change of the connection's state, or until until_us. A watch cannot be taken back, so
 * its end must be near. */
static void watch_connection(struct rpc_client *client, grpc_connectivity_state seen,
                             int64_t until_us)
{
    grpc_completion_queue *queue = grpc_completion_queue_create_for_pluck(NULL);

    grpc_channel_watch_connectivity_state(client->channel, seen, rpc_core_time(until_us), queue,
                                          queue);
    (void)grpc_completion_queue_pluck(queue, queue, gpr_inf_future(GPR_CLOCK_MONOTONIC), NULL);
    grpc_completion_queue_shutdown(queue);
    (void)grpc_completion_queue_pluck(queue, NULL, gpr_inf_future(GPR_CLOCK_MONOTONIC), NULL);
    grpc_completion_queue_destroy(queue);
}

struct hf_status rpc_client_pause(struct hf_ctx *ctx, struct rpc_client *client, int ms)
{
    int64_t end_us = hf_mono_us() + (int64_t)ms * 1000;

    for (int64_t now_us = hf_mono_us(); now_us < end_us; now_us = hf_mono_us()) {
        HF_TRY(hf_ctx_check(ctx));
        grpc_connectivity_state seen = grpc_channel_check_connectivity_state(client->channel, 1);
        int64_t step_us = now_us + PAUSE_STEP_US;

        watch_connection(client, seen, step_us < end_us ? step_us : end_us);
        if (seen != GRPC_CHANNEL_READY &&
            grpc_channel_check_connectivity_state(client->channel, 0) == GRPC_CHANNEL_READY) {
            break;
        }
    }
    return hf_ctx_check(ctx);
}

struct hf_status rpc_call(struct hf_ctx *ctx, struct rpc_client *client,
                          const struct rpc_method_ref *method, const ProtobufCMessage *req,
                          void **ret_resp)
{
    struct hf_ctx bounded = *ctx;
    int backoff_ms = FIRST_BACKOFF_MS;
    if (bounded.deadline_us == 0) {
        bounded.deadline_us = hf_mono_us() + DEFAULT_DEADLINE_US;
    }
    for (int attempt = 1;; attempt++) {
        struct hf_status status = call_once(&bounded, client, method, req, ret_resp);
        bool is_ours = status.info == NULL; /* a reason comes from the server: it was reached */
        if (status.code != HF_UNAVAILABLE || !is_ours || !method->is_idempotent ||
            attempt == MAX_ATTEMPTS) {
            return status;
        }
        if (!hf_is_ok(rpc_client_pause(&bounded, client, jitter(backoff_ms)))) {
            return status;
        }
        backoff_ms *= 2;
    }
}

struct hf_status rpc_reader_open(struct hf_ctx *ctx, struct rpc_client *client,
                                 const struct rpc_method_ref *method, const ProtobufCMessage *req,
                                 struct rpc_reader **ret_reader)
{
    /* Started where it stays, as core keeps addresses in it. */
    struct rpc_reader *reader = hf_heap_alloc(sizeof(*reader));
    struct hf_status status =
        rpc_attempt_start(ctx, client, method, req, ctx->deadline_us, &reader->attempt);
    if (!hf_is_ok(status)) {
        hf_heap_free(reader);
        return status;
    }
    reader->arena = hf_arena_new(READER_ARENA_BYTES);
    *ret_reader = reader;
    return hf_success();
}

static struct hf_status end(struct rpc_reader *reader, struct hf_status status)
{
    reader->has_ended = true;
    reader->ending = hf_status_copy(reader->arena, status);
    return status;
}

struct hf_status rpc_reader_next(struct hf_ctx *ctx, struct rpc_reader *reader, void **ret_message)
{
    void *message = NULL;
    if (reader->has_ended) {
        *ret_message = NULL;
        return hf_status_copy(ctx->arena, reader->ending);
    }
    struct hf_status status = rpc_attempt_message(ctx, &reader->attempt, &message);
    if (!hf_is_ok(status)) {
        return end(reader, status);
    }
    if (message == NULL) {
        *ret_message = NULL;
        return end(reader, rpc_attempt_status(ctx, &reader->attempt));
    }
    /* One message ahead: it arrives while the caller works on this one. */
    rpc_attempt_read(&reader->attempt);
    *ret_message = message;
    return hf_arena_check(ctx->arena);
}

void rpc_reader_close(struct rpc_reader *reader)
{
    if (reader == NULL) {
        return;
    }
    rpc_attempt_done(&reader->attempt);
    hf_arena_free(reader->arena);
    hf_heap_free(reader);
}
