/* What a handler thread does with a call: decode, authorise, run the handler, answer. A call is a
 * strand: rpc_call_run takes its events until none is left, and no second thread runs it meanwhile.
 * Surprise: a stream's callbacks therefore need no locks, though each may run on another thread. */
#include "base/check.h"
#include "base/log.h"
#include "rpc/server_core.h"

static struct hf_ctx ctx_of(const struct rpc_stream *call, struct hf_arena *arena)
{
    return (struct hf_ctx){
        .arena = arena,
        .deadline_us = call->deadline_us,
        .cancel = &call->cancel,
        .stop = &call->server->stop,
        .trace = call->peer.request_id,
    };
}

/* The request as a message of the method's type, allowed to this peer. */
static struct hf_status take_request(struct rpc_stream *call, void *app, void **ret_request)
{
    const struct rpc_server_config *config = &call->server->config;
    struct hf_ctx ctx = ctx_of(call, call->scratch);
    struct hf_bytes bytes = {NULL, 0};
    void *request = NULL;
    hf_arena_reset(call->request);
    HF_TRY(rpc_core_bytes(call->request, call->received, &bytes));
    grpc_byte_buffer_destroy(call->received);
    call->received = NULL;
    HF_TRY(rpc_decode(call->request, call->entry->shape->input, bytes, &request));
    if (call->entry->own_app == NULL && config->authorize != NULL) {
        HF_TRY(config->authorize(&ctx, app, &call->peer, call->entry->method, request));
        HF_TRY(hf_arena_check(call->scratch));
    }
    *ret_request = request;
    return hf_success();
}

/* One request, one response; the response lives in scratch. */
static struct hf_status answer(struct rpc_stream *call, void *app, void **ret_response)
{
    struct hf_ctx ctx = ctx_of(call, call->scratch);
    void *request = NULL;
    hf_arena_reset(call->scratch);
    HF_TRY(hf_ctx_check(&ctx));
    HF_TRY(take_request(call, app, &request));
    void *response = rpc_message_new(call->scratch, call->entry->shape->output);
    HF_TRY(call->entry->method->unary(&ctx, app, &call->peer, request, response));
    HF_TRY(hf_arena_check(call->scratch));
    *ret_response = response;
    return hf_success();
}

static void step_unary(struct rpc_stream *call, void *app)
{
    void *response = NULL;
    struct hf_status status = answer(call, app, &response);
    if (hf_is_ok(status)) {
        rpc_call_reply(call, response);
    } else {
        rpc_call_end(call, status);
    }
}

static void step_exchange(struct rpc_stream *call, void *app, unsigned events)
{
    void *response = NULL;
    if ((events & RPC_EV_DRAIN) != 0) {
        rpc_call_end(call, (struct hf_status){HF_UNAVAILABLE, "the server is shutting down", NULL});
    } else if ((events & RPC_EV_MESSAGE) != 0) {
        if (call->received == NULL) {
            rpc_call_end(call, hf_success());
            return;
        }
        struct hf_status status = answer(call, app, &response);
        if (!hf_is_ok(status)) {
            rpc_call_end(call, status);
        } else {
            (void)rpc_stream_send(call, response);
        }
    } else if ((events & RPC_EV_SENT) != 0) {
        rpc_call_receive(call);
    }
}

static struct hf_status open_handler(struct rpc_stream *call, void *app)
{
    const struct rpc_method *method = call->entry->method;
    struct hf_ctx ctx = ctx_of(call, call->home);
    void *request = NULL;
    HF_TRY(take_request(call, app, &request));
    HF_TRY(method->kind == RPC_PULL
               ? method->pull->open(&ctx, app, &call->peer, request, &call->state)
               : method->events->open(&ctx, app, &call->peer, request, call, &call->state));
    call->owes_done = true; /* from here on also when the stream is refused */
    return hf_arena_check(call->home);
}

static void open_stream(struct rpc_stream *call, void *app)
{
    struct hf_status status = open_handler(call, app);
    if (hf_is_ok(status)) {
        call->owes_cancel = true;
        hf_lock_take(&call->lock);
        call->wants_write = true;
        hf_lock_release(&call->lock);
    } else {
        rpc_timer_forget(call); /* open may have set one; done may not come */
        rpc_call_end(call, status);
    }
    hf_arena_reset(call->scratch); /* last: the status lives there */
}

static struct hf_status pull_next(struct rpc_stream *call, void *app, const struct hf_ctx *ctx)
{
    struct hf_ctx own = *ctx;
    bool has_more = false;
    void *response = rpc_message_new(call->scratch, call->entry->shape->output);
    HF_TRY(call->entry->method->pull->next(&own, app, call->state, response, &has_more));
    HF_TRY(hf_arena_check(call->scratch));
    if (has_more) {
        (void)rpc_stream_send(call, response);
    } else {
        rpc_call_end(call, hf_success());
    }
    return hf_success();
}

/* Let the handler write when it wants to and can. */
static void write_stream(struct rpc_stream *call, void *app)
{
    hf_lock_take(&call->lock);
    bool can_write = call->wants_write && !call->is_sending && !call->has_ending &&
                     !call->is_closed && call->owes_done;
    if (can_write) {
        call->wants_write = false;
    }
    hf_lock_release(&call->lock);
    if (!can_write) {
        return;
    }
    struct hf_ctx ctx = ctx_of(call, call->scratch);
    struct hf_status status = hf_ctx_check(&ctx);
    if (hf_is_ok(status)) {
        status = call->entry->method->kind == RPC_PULL
                     ? pull_next(call, app, &ctx)
                     : call->entry->method->events->writable(&ctx, app, call, call->state);
    }
    if (hf_is_ok(status)) {
        status = hf_arena_check(call->scratch);
    }
    if (!hf_is_ok(status)) {
        rpc_call_end(call, status);
    }
    hf_arena_reset(call->scratch);
}

/* Tell the handler that its stream is over, once nothing is under way any more. */
static void close_stream(struct rpc_stream *call, void *app)
{
    const struct rpc_method *method = call->entry->method;
    hf_lock_take(&call->lock);
    bool is_over =
        call->is_closed && !call->is_sending && (!call->is_final_started || call->is_final_done);
    hf_lock_release(&call->lock);
    if (!is_over || !call->owes_done) {
        return;
    }
    if (method->kind == RPC_EVENTS && method->events->cancel != NULL && call->owes_cancel &&
        call->was_cancelled) {
        call->owes_cancel = false;
        method->events->cancel(app, call, call->state);
    }
    call->owes_done = false;
    if (method->kind == RPC_PULL && method->pull->close != NULL) {
        method->pull->close(app, call->state);
    } else if (method->kind == RPC_EVENTS && method->events->done != NULL) {
        method->events->done(app, call, call->state);
    }
    rpc_timer_forget(call);
}

static void step_stream(struct rpc_stream *call, void *app, unsigned events)
{
    if ((events & RPC_EV_MESSAGE) != 0) {
        open_stream(call, app);
    }
    if ((events & (RPC_EV_WAKE | RPC_EV_SENT)) != 0) {
        hf_lock_take(&call->lock);
        call->wants_write = true;
        hf_lock_release(&call->lock);
    }
    write_stream(call, app);
    call->is_draining |= (events & RPC_EV_DRAIN) != 0 && call->entry->method->kind == RPC_EVENTS;
    hf_lock_take(&call->lock);
    /* What was to be written before the end, such as NOT_SERVING, is written first. */
    bool is_to_end = call->is_draining && !call->wants_write;
    hf_lock_release(&call->lock);
    if (is_to_end) {
        rpc_call_end(call, (struct hf_status){HF_UNAVAILABLE, "the server is shutting down", NULL});
    }
    close_stream(call, app);
}

/* The timer of a call that waits for its request: a client that sends none would keep its place
 * for ever. */
static bool is_too_late(struct rpc_stream *call, unsigned events)
{
    call->has_request |= (events & RPC_EV_MESSAGE) != 0;
    return !call->has_request && (events & RPC_EV_WAKE) != 0;
}

static void step(struct rpc_stream *call, void *app, unsigned events)
{
    if (is_too_late(call, events)) {
        rpc_call_end(call,
                     (struct hf_status){HF_DEADLINE_EXCEEDED, "no request came in time", NULL});
        return;
    }
    switch (call->entry->method->kind) {
    case RPC_UNARY:
        if ((events & RPC_EV_MESSAGE) != 0) {
            step_unary(call, app);
        }
        break;
    case RPC_EXCHANGE:
        step_exchange(call, app, events);
        break;
    case RPC_PULL:
    case RPC_EVENTS:
        step_stream(call, app, events);
        break;
    }
}

void rpc_call_run(struct rpc_stream *call, void *app)
{
    void *own_app = call->entry->own_app;
    while (true) {
        hf_lock_take(&call->lock);
        unsigned events = call->events;
        call->events = 0;
        if (events == 0) {
            call->is_scheduled = false;
        }
        hf_lock_release(&call->lock);
        if (events == 0) {
            break;
        }
        step(call, own_app == NULL ? app : own_app, events);
    }
    rpc_call_unref(call);
}
