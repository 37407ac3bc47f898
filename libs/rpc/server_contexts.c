/* Contexts of calls: making, posting to core, recycling. The number of contexts is the ceiling of
 * memory and of calls at once; what exceeds it waits in core, unannounced. */
#include "base/check.h"
#include "base/clock.h"
#include "rpc/server_core.h"

#define POSTED_PER_WORKER 8
#define FREE_CALLS_MAX 32

static struct rpc_stream *call_new(struct rpc_server *server)
{
    struct rpc_stream *call = hf_heap_alloc(sizeof(*call));
    size_t max = server->config.max_call_bytes;
    call->server = server;
    call->request = hf_arena_new(max / 2);
    call->home = hf_arena_new(max / 2);
    call->scratch = hf_arena_new(max);
    hf_lock_init(&call->lock);
    return call;
}

static void call_free(struct rpc_stream *call)
{
    hf_lock_done(&call->lock);
    hf_arena_free(call->request);
    hf_arena_free(call->home);
    hf_arena_free(call->scratch);
    hf_heap_free(call);
}

/* Caller holds server->lock. */
static struct rpc_stream *take_free(struct rpc_server *server)
{
    struct rpc_stream *call = server->free_calls;
    if (call != NULL) {
        server->free_calls = call->next;
        server->free_len--;
        call->next = NULL;
    }
    return call;
}

void rpc_calls_free(struct rpc_server *server)
{
    struct rpc_stream *call = NULL;
    hf_lock_take(&server->lock);
    while ((call = take_free(server)) != NULL) {
        call_free(call);
    }
    hf_lock_release(&server->lock);
}

/* Back to new, keeping arenas and lock. */
static void clear(struct rpc_stream *call)
{
    struct rpc_stream kept = *call;
    hf_arena_reset(kept.request);
    hf_arena_reset(kept.home);
    hf_arena_reset(kept.scratch);
    hf_lock_done(&call->lock);
    *call = (struct rpc_stream){
        .server = kept.server, .request = kept.request, .home = kept.home, .scratch = kept.scratch};
    hf_lock_init(&call->lock);
}

/* Take the call from the list of the admitted and from the counts. Caller holds server->lock. */
static void dismiss(struct rpc_stream *call)
{
    struct rpc_server *server = call->server;
    if (!call->is_admitted) {
        return;
    }
    if (call->prev != NULL) {
        call->prev->next = call->next;
    } else {
        server->admitted = call->next;
    }
    if (call->next != NULL) {
        call->next->prev = call->prev;
    }
    server->last_active_us = hf_mono_us();
    if (call->entry->method->kind == RPC_UNARY) {
        server->unary_len--;
    } else {
        server->streams_len--;
    }
}

static void observe(const struct rpc_stream *call)
{
    const struct rpc_server_config *config = &call->server->config;
    if (call->call != NULL && call->entry != NULL && config->observe != NULL) {
        enum hf_code code = call->was_cancelled ? HF_CANCELLED : call->code;
        config->observe(config->app, call->entry->path, code, hf_mono_us() - call->start_us);
    }
}

static void prepare(struct rpc_stream *call, struct rpc_worker *worker)
{
    call->worker = worker;
    call->on_new = (struct rpc_tag){rpc_call_announced, call};
    call->on_received = (struct rpc_tag){rpc_call_received, call};
    call->on_closed = (struct rpc_tag){rpc_call_closed, call};
    call->on_sent = (struct rpc_tag){rpc_call_sent, call};
    call->on_final = (struct rpc_tag){rpc_call_final, call};
    grpc_call_details_init(&call->details);
    grpc_metadata_array_init(&call->metadata);
    call->ending_text = grpc_empty_slice();
    call->ending_details = grpc_empty_slice();
    atomic_store(&call->refs, 1);
}

/* Keep each worker's queue supplied with contexts for calls to come, as far as the ceiling lets.
 * The rest waits in core. Caller holds server->lock. */
static void post(struct rpc_server *server)
{
    for (size_t i = 0; i < RPC_WORKERS; i++) {
        struct rpc_worker *worker = &server->workers[i];
        while (!server->is_stopping && worker->posted < POSTED_PER_WORKER &&
               server->contexts < server->max_contexts) {
            struct rpc_stream *call = take_free(server);
            if (call == NULL) {
                call = call_new(server);
            }
            prepare(call, worker);
            server->contexts++;
            worker->posted++;
            HF_CHECK(grpc_server_request_call(server->core, &call->call, &call->details,
                                              &call->metadata, worker->queue, worker->queue,
                                              &call->on_new) == GRPC_CALL_OK);
        }
    }
}

void rpc_calls_post(struct rpc_server *server)
{
    hf_lock_take(&server->lock);
    post(server);
    hf_lock_release(&server->lock);
}

/* Release what core gave and keep or free the context. Last act on the call; the server may be
 * freed as soon as the lock is released, so nothing of it is touched after that. */
static void recycle(struct rpc_stream *call)
{
    struct rpc_server *server = call->server;
    observe(call);
    grpc_slice_unref(call->ending_text);
    grpc_slice_unref(call->ending_details);
    grpc_metadata_array_destroy(&call->metadata);
    grpc_call_details_destroy(&call->details);
    grpc_byte_buffer_destroy(call->received);
    if (call->call != NULL) {
        grpc_call_unref(call->call);
    }
    hf_lock_take(&server->lock);
    dismiss(call);
    bool is_kept = server->free_len < FREE_CALLS_MAX && !server->is_stopping;
    if (is_kept) {
        clear(call);
        call->next = server->free_calls;
        server->free_calls = call;
        server->free_len++;
    }
    server->contexts--;
    post(server);
    hf_lock_wake(&server->lock);
    hf_lock_release(&server->lock);
    if (!is_kept) {
        call_free(call);
    }
}

void rpc_call_unref(struct rpc_stream *call)
{
    if (atomic_fetch_sub(&call->refs, 1) == 1) {
        recycle(call);
    }
}

void rpc_call_start(struct rpc_stream *call, const grpc_op *ops, size_t ops_len,
                    struct rpc_tag *tag)
{
    atomic_fetch_add(&call->refs, 1);
    HF_CHECK(grpc_call_start_batch(call->call, ops, ops_len, tag, NULL) == GRPC_CALL_OK);
}
