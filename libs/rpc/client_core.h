/* Inside of the client, shared by its files. */
#ifndef RPC_CLIENT_CORE_H
#define RPC_CLIENT_CORE_H

#include "rpc/client.h"
#include "rpc/core.h"

struct rpc_client {
    struct hf_arena *arena; /* copies of the configuration */
    struct rpc_client_config config;
    grpc_channel *channel;
};

/* One attempt of a call, unary or stream: a call with a queue of its own, so that waiting for it
 * takes no other thread. Ops complete in any order; each is a tag. */
struct rpc_attempt {
    struct rpc_client *client;
    const ProtobufCMessageDescriptor *output;
    grpc_completion_queue *queue;
    grpc_call *call;
    grpc_metadata_array headers;
    grpc_metadata_array trailers;
    grpc_byte_buffer *received;
    grpc_status_code code;
    grpc_slice text;
    bool is_reading; /* a RECV_MESSAGE is under way */
    bool has_status; /* the status has been taken from the queue */
};

/* Start the call and send the request; a message and the status are being received after it.
 * deadline_us 0: none. Always to be followed by rpc_attempt_done. */
struct hf_status rpc_attempt_start(struct hf_ctx *ctx, struct rpc_client *client,
                                   const struct rpc_method_ref *method, const ProtobufCMessage *req,
                                   int64_t deadline_us,
                                   struct rpc_attempt *ret_attempt) HF_MUST_USE;
/* The next message, NULL when the server has ended. CANCELLED or DEADLINE_EXCEEDED from ctx. */
struct hf_status rpc_attempt_message(struct hf_ctx *ctx, struct rpc_attempt *attempt,
                                     void **ret_message) HF_MUST_USE;
/* Receive one more message. */
void rpc_attempt_read(struct rpc_attempt *attempt);
/* How the server ended; waits for it. */
struct hf_status rpc_attempt_status(struct hf_ctx *ctx, struct rpc_attempt *attempt) HF_MUST_USE;
/* Cancel what is under way and release all. */
void rpc_attempt_done(struct rpc_attempt *attempt);

#endif
