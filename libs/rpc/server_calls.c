/* Calls from announcement to the handler queue: admission and receiving. Runs on completion-queue
 * threads, which never block. Surprise: after grpc_call_start_batch returns, another thread may
 * have finished with the call; each batch therefore holds a reference of its own, taken before. */
#include "base/check.h"
#include "base/clock.h"
#include "rpc/server_core.h"

#define MAX_PATH 256

void rpc_call_schedule(struct rpc_stream *call, unsigned events)
{
    hf_lock_take(&call->lock);
    bool is_new = !call->is_scheduled;
    call->events |= events;
    call->is_scheduled = true;
    hf_lock_release(&call->lock);
    if (is_new) {
        atomic_fetch_add(&call->refs, 1);
        HF_CHECK(hf_queue_push(call->server->queue, call, 0));
    }
}

void rpc_call_received(void *owner, bool is_ok)
{
    struct rpc_stream *call = owner;
    (void)is_ok; /* a broken stream leaves no message, and the close follows */
    rpc_timer_forget(call);
    if (call->entry->method->is_inline) {
        hf_lock_take(&call->lock);
        bool is_idle = !call->is_scheduled; /* else who runs it takes the message as well */
        call->events |= RPC_EV_MESSAGE;
        call->is_scheduled = true;
        hf_lock_release(&call->lock);
        if (is_idle) {
            rpc_call_run(call, NULL);
            return; /* run has given the reference back */
        }
        rpc_call_unref(call);
        return;
    }
    rpc_call_schedule(call, RPC_EV_MESSAGE);
    rpc_call_unref(call);
}

void rpc_call_closed(void *owner, bool is_ok)
{
    struct rpc_stream *call = owner;
    (void)is_ok;
    if (call->was_cancelled) {
        atomic_store(&call->cancel.is_set, true);
    }
    hf_lock_take(&call->lock);
    call->is_closed = true;
    hf_lock_release(&call->lock);
    if (call->is_admitted && call->entry->method->kind != RPC_UNARY) {
        rpc_call_schedule(call, RPC_EV_CLOSED);
    }
    rpc_call_unref(call);
}

void rpc_call_receive(struct rpc_stream *call)
{
    grpc_op op = {.op = GRPC_OP_RECV_MESSAGE};
    grpc_byte_buffer_destroy(call->received);
    call->received = NULL;
    op.data.recv_message.recv_message = &call->received;
    rpc_call_start(call, &op, 1, &call->on_received);
}

static const struct rpc_entry *find_entry(const struct rpc_server *server, grpc_slice path)
{
    char text[MAX_PATH];
    size_t len = GRPC_SLICE_LENGTH(path);
    if (len >= sizeof(text)) {
        return NULL;
    }
    for (size_t i = 0; i < len; i++) {
        text[i] = (char)GRPC_SLICE_START_PTR(path)[i];
        if (text[i] == '\0') {
            return NULL;
        }
    }
    text[len] = '\0';
    return hf_map_get(server->entries, text);
}

static struct hf_status too_busy(const char *message)
{
    static const struct hf_error_info info = {
        .reason = "SERVER_BUSY", .metadata = NULL, .metadata_len = 0, .retry_after_ms = 500};
    return (struct hf_status){HF_RESOURCE_EXHAUSTED, message, &info};
}

/* Room for one more of its kind? Counts it. Caller holds server->lock. */
static struct hf_status take_room(struct rpc_server *server, const struct rpc_entry *entry)
{
    bool is_unary = entry->method->kind == RPC_UNARY;
    if (server->is_lame && (entry->own_app == NULL || !is_unary)) {
        server->last_active_us = hf_mono_us();
        return (struct hf_status){HF_UNAVAILABLE, "the server is shutting down", NULL};
    }
    if (is_unary && server->unary_len >= server->config.max_inflight && !entry->method->is_inline) {
        return too_busy("too many calls are in flight");
    }
    if (!is_unary && server->streams_len >= server->config.max_streams) {
        return too_busy("too many streams are open");
    }
    server->unary_len += is_unary ? 1 : 0;
    server->streams_len += is_unary ? 0 : 1;
    return hf_success();
}

static struct hf_status admit(struct rpc_stream *call)
{
    struct rpc_server *server = call->server;
    call->entry = find_entry(server, call->details.method);
    if (call->entry == NULL) {
        return hf_fail(call->home, HF_UNIMPLEMENTED, "unknown method %.200s",
                       rpc_core_text(call->home, call->details.method));
    }
    HF_TRY(rpc_call_peer(call));
    hf_lock_take(&server->lock);
    struct hf_status status = take_room(server, call->entry);
    if (hf_is_ok(status)) {
        call->is_admitted = true;
        call->next = server->admitted;
        if (call->next != NULL) {
            call->next->prev = call;
        }
        server->admitted = call;
    }
    hf_lock_release(&server->lock);
    return status;
}

/* A call has been announced, or core shuts down (not ok). */
void rpc_call_announced(void *owner, bool is_ok)
{
    struct rpc_stream *call = owner;
    struct rpc_server *server = call->server;
    hf_lock_take(&server->lock);
    call->worker->posted--;
    hf_lock_release(&server->lock);
    if (!is_ok) {
        rpc_call_unref(call);
        return;
    }
    rpc_calls_post(server);
    call->start_us = hf_mono_us();
    call->deadline_us = rpc_core_mono_us(call->details.deadline);
    struct hf_status status = admit(call);
    if (hf_is_ok(status) && call->deadline_us == 0 && call->entry->method->kind == RPC_UNARY) {
        call->deadline_us = call->start_us + INT64_C(1000) * server->config.default_deadline_ms;
    }
    /* Refused calls too: core cancels a call that is released before its close was received, and
     * the client would see CANCELLED in place of our status. */
    grpc_op op = {.op = GRPC_OP_RECV_CLOSE_ON_SERVER};
    op.data.recv_close_on_server.cancelled = &call->was_cancelled;
    rpc_call_start(call, &op, 1, &call->on_closed);
    if (hf_is_ok(status)) {
        rpc_timer_remind(call, server->config.receive_ms);
        rpc_call_receive(call);
    } else {
        rpc_call_end(call, status);
    }
    rpc_call_unref(call);
}
