/* How a server ends without losing a call. Surprise: core kills calls that arrive between its own
 * shutdown and the client's noticing it, as CANCELLED, which nobody retries. Hence the lame duck:
 * first calls are refused as UNAVAILABLE until none arrives any more, then core is told. */
#include "base/check.h"
#include "base/clock.h"
#include "base/log.h"
#include "rpc/server_core.h"

#define QUIET_US (250 * 1000)
#define STEP_MS 20
#define HUNG_MS 10000

size_t rpc_server_inflight(struct rpc_server *server)
{
    hf_lock_take(&server->lock);
    size_t len = server->unary_len + server->streams_len;
    hf_lock_release(&server->lock);
    return len;
}

void rpc_server_shut(void *owner, bool is_ok)
{
    struct rpc_server *server = owner;
    (void)is_ok;
    hf_lock_take(&server->lock);
    server->is_shut = true;
    hf_lock_wake(&server->lock);
    hf_lock_release(&server->lock);
}

/* Streams that wait for events, and exchanges, would wait for ever. Caller holds server->lock. */
static void end_waiting_streams(struct rpc_server *server)
{
    for (struct rpc_stream *call = server->admitted; call != NULL; call = call->next) {
        enum rpc_kind kind = call->entry->method->kind;
        if (kind == RPC_EVENTS || kind == RPC_EXCHANGE) {
            rpc_call_schedule(call, RPC_EV_DRAIN);
        }
    }
}

/* Refuse new calls until the old ones are done and no more arrive, or the time is over. Quiet is
 * counted from the last end as well: its client may be about to call again. */
static void be_lame_duck(struct rpc_server *server)
{
    int64_t end_us = hf_mono_us() + INT64_C(1000) * server->config.lame_duck_ms;
    hf_lock_take(&server->lock);
    server->is_lame = true;
    server->last_active_us = hf_mono_us();
    end_waiting_streams(server);
    while (hf_mono_us() < end_us) {
        bool is_quiet = server->unary_len + server->streams_len == 0 &&
                        hf_mono_us() - server->last_active_us > QUIET_US;
        if (is_quiet) {
            break;
        }
        (void)hf_lock_wait(&server->lock, STEP_MS);
    }
    server->is_stopping = true;
    hf_lock_release(&server->lock);
}

/* Wait for all contexts to come back and for core's own word. */
static bool wait_empty(struct rpc_server *server, int max_ms)
{
    int64_t end_us = hf_mono_us() + INT64_C(1000) * max_ms;
    hf_lock_take(&server->lock);
    while ((server->contexts > 0 || !server->is_shut) && hf_mono_us() < end_us) {
        (void)hf_lock_wait(&server->lock, STEP_MS);
    }
    bool is_empty = server->contexts == 0 && server->is_shut;
    hf_lock_release(&server->lock);
    return is_empty;
}

static void stop_threads(struct rpc_server *server)
{
    rpc_timer_stop(server);
    for (size_t i = 0; i < RPC_WORKERS; i++) {
        grpc_completion_queue_shutdown(server->workers[i].queue);
        hf_thread_join(server->workers[i].thread);
    }
    hf_queue_close(server->queue);
    for (size_t i = 0; i < server->config.handler_threads; i++) {
        hf_thread_join(server->handlers[i].thread);
    }
    hf_queue_free(server->queue);
    hf_heap_free(server->handlers);
}

bool rpc_server_drain(struct rpc_server *server)
{
    if (!server->is_started || server->is_drained) {
        return true;
    }
    rpc_health_set_all(server->health, false);
    be_lame_duck(server);
    grpc_server_shutdown_and_notify(server->core, server->workers[0].queue, &server->on_shutdown);
    bool is_empty = wait_empty(server, server->config.drain_ms);
    if (!is_empty) {
        hf_warn(NULL, HF_EVENT("rpc.drain_cancels"), HF_INT("calls", rpc_server_inflight(server)));
        atomic_store(&server->stop.is_set, true);
        grpc_server_cancel_all_calls(server->core);
        is_empty = wait_empty(server, HUNG_MS);
    }
    if (!is_empty) {
        hf_error(NULL, HF_EVENT("rpc.drain_hangs"), HF_INT("calls", rpc_server_inflight(server)));
        return false;
    }
    stop_threads(server);
    server->is_drained = true;
    return true;
}

void rpc_server_free(struct rpc_server *server)
{
    if (server == NULL) {
        return;
    }
    HF_CHECK(rpc_server_drain(server));
    if (!server->is_started) {
        /* Core wants a shutdown even of a server that never ran. */
        grpc_server_shutdown_and_notify(server->core, server->workers[0].queue, server);
        for (size_t i = 0; i < RPC_WORKERS; i++) {
            grpc_completion_queue_shutdown(server->workers[i].queue);
            while (grpc_completion_queue_next(server->workers[i].queue,
                                              gpr_inf_future(GPR_CLOCK_MONOTONIC), NULL)
                       .type != GRPC_QUEUE_SHUTDOWN) {
            }
        }
    }
    grpc_server_destroy(server->core);
    for (size_t i = 0; i < RPC_WORKERS; i++) {
        grpc_completion_queue_destroy(server->workers[i].queue);
    }
    grpc_resource_quota_unref(server->quota);
    rpc_calls_free(server);
    rpc_core_done();
    if (server->tls.files != NULL) {
        rpc_server_tls_done(&server->tls);
    }
    rpc_health_free(server->health);
    hf_map_free(server->entries);
    hf_arena_free(server->arena);
    hf_lock_done(&server->lock);
    hf_lock_done(&server->timer_lock);
    hf_heap_free(server);
}
