/* gRPC client over mTLS: unary calls and server streams, blocking, with deadline and cancellation
 * from ctx. A client is shared by threads; each call has its own queue.
 *
 *   static const struct rpc_method_ref get_job = {&pb_jobs__job_service__descriptor, "GetJob",
 * true}; void *resp = NULL; HF_TRY(rpc_call(ctx, client, &get_job, &req.base, &resp)); const
 * PbJobs__Job *job = resp;
 */
#ifndef RPC_CLIENT_H
#define RPC_CLIENT_H

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/ctx.h"
#include "base/status.h"
#include "rpc/tls.h"

struct rpc_client;
struct rpc_reader;

struct rpc_client_config {
    const char *target; /* "127.0.0.1:9000" or "unix:/path" */
    struct rpc_tls_files tls;
    const char *server_name;  /* DNS name the server's certificate must have; NULL: "localhost" */
    const char *tenant;       /* sent as RPC_TENANT_KEY; NULL: none */
    size_t max_receive_bytes; /* 0: 16 MiB */
};

struct rpc_method_ref {
    const ProtobufCServiceDescriptor *service;
    const char *name;
    bool is_idempotent; /* UNAVAILABLE without a reason is retried with backoff, at most 4 times */
};

/* Checks the files (errors of rpc_tls_check) and prepares a connection; dials at the first call.
 * config is copied. */
struct hf_status rpc_client_new(struct hf_arena *arena, const struct rpc_client_config *config,
                                struct rpc_client **ret_client) HF_MUST_USE;
/* All readers must be closed. Accepts NULL. */
void rpc_client_free(struct rpc_client *client);

/* One unary call. ctx->deadline_us is sent to the server; without one it is 60 s. ctx->trace, when
 * set, is sent as RPC_REQUEST_ID_KEY.
 *
 * ret_resp  set on success: response of the method's type in ctx->arena
 * Errors   what the server sent, info from its details; CANCELLED and DEADLINE_EXCEEDED from ctx;
 *          UNAVAILABLE server not reached; FAILED_PRECONDITION own certificate has expired
 * Threads  any.
 */
struct hf_status rpc_call(struct hf_ctx *ctx, struct rpc_client *client,
                          const struct rpc_method_ref *method, const ProtobufCMessage *req,
                          void **ret_resp) HF_MUST_USE;

/* Wait before trying again, at most ms, less when the connection comes up. A plain sleep will not
 * do: core moves a connection forward only while somebody waits in it, so a caller that sleeps
 * between calls that fail at once would never see it come up. Errors   CANCELLED and
 * DEADLINE_EXCEEDED from ctx. */
struct hf_status rpc_client_pause(struct hf_ctx *ctx, struct rpc_client *client,
                                  int ms) HF_MUST_USE;

/* Open a server stream; its deadline is ctx->deadline_us, none without one. A reader belongs to
 * one thread at a time. Errors mostly come with the first rpc_reader_next. */
struct hf_status rpc_reader_open(struct hf_ctx *ctx, struct rpc_client *client,
                                 const struct rpc_method_ref *method, const ProtobufCMessage *req,
                                 struct rpc_reader **ret_reader) HF_MUST_USE;

/* The next message in ctx->arena, or NULL at the regular end. Cancellation of ctx ends the stream.
 * Errors   as rpc_call; repeated when asked again. */
struct hf_status rpc_reader_next(struct hf_ctx *ctx, struct rpc_reader *reader,
                                 void **ret_message) HF_MUST_USE;

/* Cancels the stream when it has not ended. Accepts NULL. */
void rpc_reader_close(struct rpc_reader *reader);

HF_DEFINE_CLEANUP(struct rpc_client *, rpc_client_free)
HF_DEFINE_CLEANUP(struct rpc_reader *, rpc_reader_close)

#endif
