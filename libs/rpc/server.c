/* The server's making, registration and start. How it ends is in server_drain.c. */
#include <string.h>
#include <sys/resource.h>

#include "base/check.h"
#include "base/log.h"
#include "rpc/descriptors.h"
#include "rpc/server_core.h"

#define ENTRIES_ARENA_BYTES (4 * 1024 * 1024)
#define WANTED_FILES 65536
#define FEW_FILES 1024
#define QUOTA_BYTES (256 * 1024 * 1024)
#define MAX_CONCURRENT_STREAMS 256
#define SPARE_CONTEXTS 32 /* to answer refused calls */

static void fill_defaults(struct rpc_server_config *config)
{
#define DEFAULT(field, value) config->field = config->field == 0 ? (value) : config->field
    DEFAULT(handler_threads, 8);
    DEFAULT(max_inflight, 256);
    DEFAULT(max_streams, 128);
    DEFAULT(max_receive_bytes, 4 * 1024 * 1024);
    DEFAULT(max_send_bytes, 4 * 1024 * 1024);
    DEFAULT(max_call_bytes, 64 * 1024 * 1024);
    DEFAULT(default_deadline_ms, 60000);
    DEFAULT(receive_ms, 30000);
    DEFAULT(lame_duck_ms, 2000);
    DEFAULT(drain_ms, 10000);
    DEFAULT(max_connection_age_ms, 600000);
#undef DEFAULT
}

/* Core's listener stops accepting for good once it has met the descriptor limit: keep it far. */
static void raise_file_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) {
        return;
    }
    rlim_t wanted = limit.rlim_max < WANTED_FILES ? limit.rlim_max : WANTED_FILES;
    if (limit.rlim_cur < wanted) {
        limit.rlim_cur = wanted;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
    if (wanted < FEW_FILES) {
        hf_warn(NULL, HF_EVENT("rpc.few_descriptors"), HF_INT("limit", wanted));
    }
}

static grpc_server *new_core(struct rpc_server *server)
{
    const struct rpc_server_config *config = &server->config;
    /* Core's keys are const in fact, not in type: copies spare a cast. */
    const struct {
        const char *key;
        size_t value;
    } wanted[] = {
        {GRPC_ARG_MAX_RECEIVE_MESSAGE_LENGTH, config->max_receive_bytes},
        {GRPC_ARG_MAX_CONCURRENT_STREAMS, MAX_CONCURRENT_STREAMS},
        {GRPC_ARG_MAX_METADATA_SIZE, 8192},
        {GRPC_ARG_KEEPALIVE_TIME_MS, 30000},
        {GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 10000},
        {GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1},
        {GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, 10000},
        {GRPC_ARG_MAX_CONNECTION_AGE_MS, (size_t)config->max_connection_age_ms},
        {GRPC_ARG_MAX_CONNECTION_AGE_GRACE_MS, 3600000},
        {GRPC_ARG_SERVER_HANDSHAKE_TIMEOUT_MS, 10000},
        {GRPC_ARG_ALLOW_REUSEPORT, 0},
        {GRPC_ARG_ENABLE_PER_MESSAGE_DECOMPRESSION, 0},
    };
    grpc_arg args[HF_LEN(wanted) + 1];
    for (size_t i = 0; i < HF_LEN(wanted); i++) {
        args[i] =
            (grpc_arg){.type = GRPC_ARG_INTEGER, .key = hf_strdup(server->arena, wanted[i].key)};
        args[i].value.integer = (int)wanted[i].value;
    }
    server->quota = grpc_resource_quota_create("rpc");
    grpc_resource_quota_resize(server->quota, QUOTA_BYTES);
    args[HF_LEN(wanted)] = (grpc_arg){.type = GRPC_ARG_POINTER,
                                      .key = hf_strdup(server->arena, GRPC_ARG_RESOURCE_QUOTA)};
    args[HF_LEN(wanted)].value.pointer.p = server->quota;
    args[HF_LEN(wanted)].value.pointer.vtable = grpc_resource_quota_arg_vtable();
    const grpc_channel_args all = {HF_LEN(args), args};
    return grpc_server_create(&all, NULL);
}

struct hf_status rpc_server_new(struct hf_arena *arena, const struct rpc_server_config *config,
                                struct rpc_server **ret_server)
{
    HF_TRY(rpc_tls_check(arena, &config->tls));
    struct rpc_server *server = hf_heap_alloc(sizeof(*server));
    server->config = *config;
    fill_defaults(&server->config);
    server->arena = hf_arena_new(ENTRIES_ARENA_BYTES);
    server->entries = hf_map_new();
    server->health = rpc_health_new();
    hf_lock_init(&server->lock);
    hf_lock_init(&server->timer_lock);
    server->max_contexts =
        server->config.max_inflight + server->config.max_streams + SPARE_CONTEXTS;
    raise_file_limit();
    rpc_core_init();
    server->core = new_core(server);
    for (size_t i = 0; i < RPC_WORKERS; i++) {
        server->workers[i].server = server;
        server->workers[i].queue = grpc_completion_queue_create_for_next(NULL);
        grpc_server_register_completion_queue(server->core, server->workers[i].queue, NULL);
    }
    struct hf_status status = rpc_health_register(arena, server);
    if (hf_is_ok(status)) {
        status = rpc_reflection_register(arena, server);
    }
    HF_CHECK(hf_is_ok(status));
    *ret_server = server;
    return status;
}

static const ProtobufCMethodDescriptor *find_shape(const ProtobufCServiceDescriptor *service,
                                                   const char *name)
{
    for (unsigned i = 0; i < service->n_methods; i++) {
        if (hf_text_equal(service->methods[i].name, name)) {
            return &service->methods[i];
        }
    }
    return NULL;
}

/* Does the row have the functions of its kind, and does the proto stream as the kind says? */
static bool is_row_good(const ProtobufCServiceDescriptor *service, const struct rpc_method *row)
{
    struct rpc_method_shape shape = {false, false};
    if (!rpc_descriptor_method(service->name, row->name, &shape) ||
        (row->is_inline && row->kind != RPC_UNARY)) {
        return false;
    }
    switch (row->kind) {
    case RPC_UNARY:
        return row->unary != NULL && !shape.client_streams && !shape.server_streams;
    case RPC_PULL:
        return row->pull != NULL && !shape.client_streams && shape.server_streams;
    case RPC_EVENTS:
        return row->events != NULL && !shape.client_streams && shape.server_streams;
    case RPC_EXCHANGE:
        return row->unary != NULL && shape.client_streams && shape.server_streams;
    }
    return false;
}

struct hf_status rpc_server_add_own(struct hf_arena *arena, struct rpc_server *server,
                                    const ProtobufCServiceDescriptor *service,
                                    const struct rpc_method *methods, size_t methods_len,
                                    void *own_app)
{
    HF_CHECK(!server->is_started);
    for (size_t i = 0; i < methods_len; i++) {
        const struct rpc_method *row = &methods[i];
        struct rpc_entry *entry = HF_NEW(server->arena, struct rpc_entry);
        entry->method = row;
        entry->shape = find_shape(service, row->name);
        entry->path = hf_printf(server->arena, "/%s/%s", service->name, row->name);
        entry->own_app = own_app;
        if (entry->shape == NULL || !is_row_good(service, row) ||
            hf_map_put(server->entries, entry->path, entry) != NULL) {
            return hf_fail(arena, HF_INTERNAL, "row %s of %s does not fit its proto", row->name,
                           service->name);
        }
    }
    if (methods_len != service->n_methods) {
        return hf_fail(arena, HF_INTERNAL, "%s has %u methods, its table %zu rows", service->name,
                       service->n_methods, methods_len);
    }
    *HF_VEC_ADD(server->arena, &server->services) = service->name;
    if (own_app == NULL) {
        rpc_health_add(server->health, service->name);
    }
    return hf_success();
}

struct hf_status rpc_server_add(struct hf_arena *arena, struct rpc_server *server,
                                const ProtobufCServiceDescriptor *service,
                                const struct rpc_method *methods, size_t methods_len)
{
    return rpc_server_add_own(arena, server, service, methods, methods_len, NULL);
}

static void worker_main(void *arg)
{
    struct rpc_worker *worker = arg;
    const gpr_timespec never = gpr_inf_future(GPR_CLOCK_MONOTONIC);
    while (true) {
        grpc_event event = grpc_completion_queue_next(worker->queue, never, NULL);
        if (event.type == GRPC_QUEUE_SHUTDOWN) {
            return;
        }
        struct rpc_tag *tag = event.tag;
        tag->fn(tag->owner, event.success != 0);
    }
}

static void handler_main(void *arg)
{
    struct rpc_handler_thread *handler = arg;
    const struct rpc_server_config *config = &handler->server->config;
    void *app = config->thread_init == NULL ? config->app : config->thread_init(config->app);
    void *call = NULL;
    while (hf_queue_pop(handler->server->queue, -1, &call) == HF_POP_ITEM) {
        rpc_call_run(call, app);
    }
    if (config->thread_done != NULL) {
        config->thread_done(config->app, app);
    }
}

static void start_threads(struct rpc_server *server)
{
    server->queue = hf_queue_new(server->max_contexts);
    server->handlers = hf_heap_alloc(server->config.handler_threads * sizeof(server->handlers[0]));
    for (size_t i = 0; i < server->config.handler_threads; i++) {
        server->handlers[i].server = server;
        server->handlers[i].thread =
            hf_thread_start("rpc-handler", handler_main, &server->handlers[i]);
    }
    for (size_t i = 0; i < RPC_WORKERS; i++) {
        server->workers[i].thread = hf_thread_start("rpc-worker", worker_main, &server->workers[i]);
    }
    rpc_timer_start(server);
}

struct hf_status rpc_server_start(struct hf_arena *arena, struct rpc_server *server)
{
    HF_CHECK(!server->is_started);
    grpc_server_credentials *credentials = rpc_server_tls_new(&server->tls, &server->config.tls);
    server->port = grpc_server_add_http2_port(server->core, server->config.address, credentials);
    grpc_server_credentials_release(credentials);
    if (server->port == 0) {
        return hf_fail(arena, HF_UNAVAILABLE, "cannot listen on %s: the address is taken or wrong",
                       server->config.address);
    }
    grpc_server_start(server->core);
    server->is_started = true;
    server->on_shutdown = (struct rpc_tag){rpc_server_shut, server};
    start_threads(server);
    rpc_calls_post(server);
    rpc_health_set_all(server->health, true);
    return hf_success();
}

int rpc_server_port(const struct rpc_server *server)
{
    return server->port;
}

void rpc_server_set_serving(struct rpc_server *server, const char *service, bool is_serving)
{
    rpc_health_set(server->health, service, is_serving);
}
