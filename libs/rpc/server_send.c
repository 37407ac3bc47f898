/* Sending messages and the end of a call. One batch of sends is under way at a time; an ending
 * that is asked for meanwhile waits for it. Surprise: the text and details of an ending are turned
 * into slices at once, because the status may live in an arena that is gone when they are sent. */
#include <string.h>

#include "base/check.h"
#include "base/log.h"
#include "rpc/details.h"
#include "rpc/server_core.h"

#define ENDING_ARENA_BYTES (1024 * 1024)

static grpc_op headers_op(void)
{
    return (grpc_op){.op = GRPC_OP_SEND_INITIAL_METADATA};
}

static grpc_op message_op(grpc_byte_buffer *message)
{
    grpc_op op = {.op = GRPC_OP_SEND_MESSAGE};
    op.data.send_message.send_message = message;
    return op;
}

static grpc_op status_op(enum hf_code code, grpc_slice *text, grpc_metadata *details)
{
    grpc_op op = {.op = GRPC_OP_SEND_STATUS_FROM_SERVER};
    op.data.send_status_from_server.status = (grpc_status_code)code;
    op.data.send_status_from_server.status_details = text;
    op.data.send_status_from_server.trailing_metadata = details;
    op.data.send_status_from_server.trailing_metadata_count = details == NULL ? 0 : 1;
    return op;
}

/* Send what ends the call; message may be NULL. The caller has set is_final_started. */
static void start_final(struct rpc_stream *call, bool has_headers, grpc_byte_buffer *message)
{
    grpc_op ops[3];
    size_t ops_len = 0;
    grpc_metadata details = {.key = grpc_slice_from_static_string(RPC_DETAILS_KEY),
                             .value = call->ending_details};
    bool has_details = GRPC_SLICE_LENGTH(call->ending_details) > 0;
    if (!has_headers) {
        ops[ops_len++] = headers_op();
    }
    if (message != NULL) {
        ops[ops_len++] = message_op(message);
    }
    ops[ops_len++] = status_op(call->code, &call->ending_text, has_details ? &details : NULL);
    rpc_call_start(call, ops, ops_len, &call->on_final);
}

/* Start the end of the call when nothing else is being sent and it has not ended by itself. */
static void end_if_ready(struct rpc_stream *call)
{
    hf_lock_take(&call->lock);
    bool is_ready =
        call->has_ending && !call->is_sending && !call->is_final_started && !call->is_closed;
    bool has_headers = call->has_headers;
    if (is_ready) {
        call->is_final_started = true;
    }
    hf_lock_release(&call->lock);
    if (is_ready) {
        start_final(call, has_headers, NULL);
    }
}

static void log_failure(const struct rpc_stream *call, struct hf_status status)
{
    bool is_bug =
        status.code == HF_INTERNAL || status.code == HF_UNKNOWN || status.code == HF_DATA_LOSS;
    const struct hf_ctx ctx = {.trace = call->peer.request_id};
    if (is_bug && call->entry != NULL) {
        hf_warn(&ctx, HF_EVENT("rpc.failed"), HF_TEXT("method", call->entry->path),
                HF_TEXT("code", hf_code_name(status.code)), HF_TEXT("error", status.message),
                HF_TEXT("peer", call->peer.identity));
    }
}

void rpc_call_end(struct rpc_stream *call, struct hf_status status)
{
    HF_CLEANUP(hf_arena_free) struct hf_arena *arena = hf_arena_new(ENDING_ARENA_BYTES);
    grpc_slice text = grpc_empty_slice();
    grpc_slice details = grpc_empty_slice();
    if (!hf_is_ok(status)) {
        struct hf_bytes bytes = rpc_details_encode(arena, status);
        const void *details_text = bytes.ptr;
        text = grpc_slice_from_copied_string(rpc_details_text(arena, status));
        if (bytes.len > 0) {
            details = grpc_slice_from_copied_buffer(details_text, bytes.len);
        }
        log_failure(call, status);
    }
    hf_lock_take(&call->lock);
    bool is_first = !call->has_ending;
    if (is_first) {
        call->has_ending = true;
        call->code = status.code;
        call->ending_text = text;
        call->ending_details = details;
    }
    hf_lock_release(&call->lock);
    if (!is_first) {
        grpc_slice_unref(text);
        grpc_slice_unref(details);
    }
    end_if_ready(call);
}

/* Clients refuse a message above 4 MiB with words of their own: better ours. */
static bool is_too_large(struct rpc_stream *call, const ProtobufCMessage *message)
{
    static const struct hf_error_info info = {.reason = "REPLY_TOO_LARGE"};
    if (protobuf_c_message_get_packed_size(message) <= call->server->config.max_send_bytes) {
        return false;
    }
    rpc_call_end(call, (struct hf_status){HF_RESOURCE_EXHAUSTED,
                                          "the reply is larger than a message may be: ask for less "
                                          "at a time",
                                          &info});
    return true;
}

void rpc_call_reply(struct rpc_stream *call, const ProtobufCMessage *response)
{
    if (is_too_large(call, response)) {
        return;
    }
    HF_CLEANUP(grpc_byte_buffer_destroy) grpc_byte_buffer *message = rpc_core_pack(response);
    hf_lock_take(&call->lock);
    bool is_open = !call->is_closed && !call->has_ending;
    if (is_open) {
        call->has_ending = true;
        call->is_final_started = true;
        call->code = HF_OK;
    }
    hf_lock_release(&call->lock);
    if (is_open) {
        start_final(call, false, message);
    }
}

void rpc_call_sent(void *owner, bool is_ok)
{
    struct rpc_stream *call = owner;
    (void)is_ok; /* a broken transport also closes the call */
    hf_lock_take(&call->lock);
    call->is_sending = false;
    hf_lock_release(&call->lock);
    end_if_ready(call);
    rpc_call_schedule(call, RPC_EV_SENT);
    rpc_call_unref(call);
}

void rpc_call_final(void *owner, bool is_ok)
{
    struct rpc_stream *call = owner;
    (void)is_ok;
    hf_lock_take(&call->lock);
    call->is_final_done = true;
    hf_lock_release(&call->lock);
    if (call->is_admitted && call->entry->method->kind != RPC_UNARY) {
        rpc_call_schedule(call, RPC_EV_CLOSED);
    }
    rpc_call_unref(call);
}

enum rpc_sent rpc_stream_send(struct rpc_stream *stream, const ProtobufCMessage *message)
{
    grpc_op ops[2];
    size_t ops_len = 0;
    if (is_too_large(stream, message)) {
        return RPC_OVER;
    }
    hf_lock_take(&stream->lock);
    bool is_over = stream->is_closed || stream->has_ending;
    bool is_busy = stream->is_sending;
    bool has_headers = stream->has_headers;
    if (!is_over && !is_busy) {
        stream->is_sending = true;
        stream->has_headers = true;
    }
    hf_lock_release(&stream->lock);
    if (is_over || is_busy) {
        return is_over ? RPC_OVER : RPC_BUSY;
    }
    HF_CLEANUP(grpc_byte_buffer_destroy) grpc_byte_buffer *buffer = rpc_core_pack(message);
    if (!has_headers) {
        ops[ops_len++] = headers_op();
    }
    ops[ops_len++] = message_op(buffer);
    rpc_call_start(stream, ops, ops_len, &stream->on_sent);
    return RPC_SENT;
}

void rpc_stream_finish(struct rpc_stream *stream, struct hf_status status)
{
    rpc_call_end(stream, status);
}

void rpc_stream_wake(struct rpc_stream *stream)
{
    rpc_call_schedule(stream, RPC_EV_WAKE);
}
