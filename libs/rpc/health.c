/* grpc.health.v1. Check runs on the completion-queue thread, so that a probe is answered even when
 * every handler thread is busy; Watch sends the state now and after every change. */
#include "grpc/health/v1/health.pb-c.h"

#include "base/check.h"
#include "rpc/server_core.h"

#define MAX_SERVICES 32

enum {
    SERVING = GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__SERVING,
    NOT_SERVING = GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__NOT_SERVING,
    SERVICE_UNKNOWN = GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__SERVICE_UNKNOWN,
};

struct watcher {
    struct watcher *next;
    struct rpc_stream *stream;
    const char *service;
    int last; /* state sent last, -1 none; strand only */
};

struct rpc_health {
    struct hf_lock lock; /* guards all below; taken before a call's lock, never after */
    struct {
        const char *service; /* "" is the server */
        bool is_serving;
    } states[MAX_SERVICES];
    size_t states_len;
    struct watcher *watchers;
};

struct rpc_health *rpc_health_new(void)
{
    struct rpc_health *health = hf_heap_alloc(sizeof(*health));
    hf_lock_init(&health->lock);
    rpc_health_add(health, "");
    return health;
}

void rpc_health_free(struct rpc_health *health)
{
    hf_lock_done(&health->lock);
    hf_heap_free(health);
}

void rpc_health_add(struct rpc_health *health, const char *service)
{
    HF_CHECK(health->states_len < MAX_SERVICES);
    health->states[health->states_len++].service = service;
}

/* service NULL: all. */
static void set(struct rpc_health *health, const char *service, bool is_serving)
{
    hf_lock_take(&health->lock);
    for (size_t i = 0; i < health->states_len; i++) {
        if (service == NULL || hf_text_equal(health->states[i].service, service)) {
            health->states[i].is_serving = is_serving;
        }
    }
    for (struct watcher *watcher = health->watchers; watcher != NULL; watcher = watcher->next) {
        rpc_stream_wake(watcher->stream);
    }
    hf_lock_release(&health->lock);
}

void rpc_health_set(struct rpc_health *health, const char *service, bool is_serving)
{
    set(health, service, is_serving);
}

void rpc_health_set_all(struct rpc_health *health, bool is_serving)
{
    set(health, NULL, is_serving);
}

static int state_of(struct rpc_health *health, const char *service)
{
    int state = SERVICE_UNKNOWN;
    hf_lock_take(&health->lock);
    for (size_t i = 0; i < health->states_len; i++) {
        if (hf_text_equal(health->states[i].service, service)) {
            state = health->states[i].is_serving ? SERVING : NOT_SERVING;
        }
    }
    hf_lock_release(&health->lock);
    return state;
}

static struct hf_status check(struct hf_ctx *ctx, void *app, const struct rpc_peer *peer,
                              const void *req, void *resp)
{
    const Grpc__Health__V1__HealthCheckRequest *request = req;
    Grpc__Health__V1__HealthCheckResponse *response = resp;
    int state = state_of(app, request->service);
    (void)peer;
    if (state == SERVICE_UNKNOWN) {
        return hf_fail(ctx->arena, HF_NOT_FOUND, "service '%.100s' is not served here",
                       request->service);
    }
    response->status = (Grpc__Health__V1__HealthCheckResponse__ServingStatus)state;
    return hf_success();
}

static struct hf_status watch_open(struct hf_ctx *ctx, void *app, const struct rpc_peer *peer,
                                   const void *req, struct rpc_stream *stream, void **ret_state)
{
    const Grpc__Health__V1__HealthCheckRequest *request = req;
    struct rpc_health *health = app;
    struct watcher *watcher = HF_NEW(ctx->arena, struct watcher);
    (void)peer;
    watcher->stream = stream;
    watcher->service = request->service; /* the request lives as long as the stream */
    watcher->last = -1;
    hf_lock_take(&health->lock);
    watcher->next = health->watchers;
    health->watchers = watcher;
    hf_lock_release(&health->lock);
    *ret_state = watcher;
    return hf_success();
}

static struct hf_status watch_writable(struct hf_ctx *ctx, void *app, struct rpc_stream *stream,
                                       void *state)
{
    struct watcher *watcher = state;
    Grpc__Health__V1__HealthCheckResponse response = GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__INIT;
    int now = state_of(app, watcher->service);
    (void)ctx;
    if (now != watcher->last) {
        response.status = (Grpc__Health__V1__HealthCheckResponse__ServingStatus)now;
        watcher->last = now;
        (void)rpc_stream_send(stream, &response.base);
    }
    return hf_success();
}

static void watch_done(void *app, struct rpc_stream *stream, void *state)
{
    struct rpc_health *health = app;
    (void)stream;
    hf_lock_take(&health->lock);
    struct watcher **link = &health->watchers;
    while (*link != state) {
        link = &(*link)->next;
    }
    *link = (*link)->next;
    hf_lock_release(&health->lock);
}

static const struct rpc_events watch = {
    .open = watch_open, .writable = watch_writable, .done = watch_done};

static const struct rpc_method methods[] = {
    {.name = "Check", .kind = RPC_UNARY, .is_idempotent = true, .is_inline = true, .unary = check},
    {.name = "Watch", .kind = RPC_EVENTS, .is_idempotent = true, .events = &watch},
};

struct hf_status rpc_health_register(struct hf_arena *arena, struct rpc_server *server)
{
    return rpc_server_add_own(arena, server, &grpc__health__v1__health__descriptor, methods,
                              HF_LEN(methods), server->health);
}
