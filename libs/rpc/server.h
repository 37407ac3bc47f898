/* gRPC server over mTLS: a table of methods, plain functions, a bounded pool that runs them.
 *
 *   static struct hf_status get_cluster(struct hf_ctx *ctx, void *app, const struct rpc_peer *peer,
 *                                       const void *req, void *resp);
 *   static const struct rpc_method methods[] = {
 *       {.name = "GetCluster", .kind = RPC_UNARY, .permission = "clusters.get",
 *        .is_idempotent = true, .unary = get_cluster},
 *   };
 *   HF_TRY(rpc_server_new(arena, &config, &server));
 *   HF_TRY(rpc_server_add(arena, server, &pb_backup__backup_service__descriptor, methods, n));
 *   HF_TRY(rpc_server_start(arena, server));
 *   … SIGTERM …
 *   rpc_server_drain(server);
 *   rpc_server_free(server);
 *
 * Every server also serves grpc.health.v1 and grpc.reflection.v1 and v1alpha, to any peer with a
 * certificate, without asking authorize. Block signals before rpc_server_new; do not fork after.
 */
#ifndef RPC_SERVER_H
#define RPC_SERVER_H

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/ctx.h"
#include "base/status.h"
#include "rpc/peer.h"
#include "rpc/tls.h"

struct rpc_server;
struct rpc_stream;

enum rpc_kind {
    RPC_UNARY,
    RPC_PULL,     /* server stream, read: the next message is asked for when the last is written */
    RPC_EVENTS,   /* server stream, watched: messages when something happens */
    RPC_EXCHANGE, /* both stream: each request is answered by one message */
};

/* A unary method, or one turn of an exchange. Runs on a handler thread and may block.
 *
 * ctx    arena of the call; deadline (60 s when the client names none) and cancellation: check
 *        them in loops and pass ctx on
 * app    what thread_init returned on this thread, else config.app
 * req    decoded request of the method's type: assign to a typed const pointer
 * resp   empty response of the method's type: fill; pointers into ctx->arena, req or static
 * A failure sends code and message, info as google.rpc.ErrorInfo and RetryInfo. A success in an
 * arena that is over its limit is a failure, MEMORY_LIMIT.
 */
typedef struct hf_status (*rpc_unary_fn)(struct hf_ctx *ctx, void *app, const struct rpc_peer *peer,
                                         const void *req, void *resp);

/* Server stream for bulk reads. All three run on handler threads, one at a time per stream, but
 * not always on the same thread: state must not hold things of a thread. */
struct rpc_pull {
    /* ctx->arena lives until close. A failure ends the stream; close is then not called. */
    struct hf_status (*open)(struct hf_ctx *ctx, void *app, const struct rpc_peer *peer,
                             const void *req, void **ret_state);
    /* Called when the last message has been handed to the network. ctx->arena lives for this
     * message. *ret_more false: resp is not sent and the stream ends OK. */
    struct hf_status (*next)(struct hf_ctx *ctx, void *app, void *state, void *resp,
                             bool *ret_more);
    /* Once, at the end or after cancellation. May be NULL. */
    void (*close)(void *app, void *state);
};

/* Server stream that waits for events and holds no thread meanwhile. Callbacks run on handler
 * threads, one at a time per stream. */
struct rpc_events {
    /* ctx->arena lives until done. stream may be given to an event source, which may use it
     * until done returns. A failure ends the stream; done is then not called. */
    struct hf_status (*open)(struct hf_ctx *ctx, void *app, const struct rpc_peer *peer,
                             const void *req, struct rpc_stream *stream, void **ret_state);
    /* Nothing is being sent, and the stream was just opened, or the last message was written, or
     * somebody called rpc_stream_wake. Send at most one message, or nothing. A failure ends the
     * stream with it. ctx->arena lives for this callback. */
    struct hf_status (*writable)(struct hf_ctx *ctx, void *app, struct rpc_stream *stream,
                                 void *state);
    /* The client went away or its deadline passed; done follows. May be NULL. */
    void (*cancel)(void *app, struct rpc_stream *stream, void *state);
    /* Once: take stream away from its event source and free state. May be NULL. */
    void (*done)(void *app, struct rpc_stream *stream, void *state);
};

enum rpc_sent {
    RPC_SENT, /* encoded and on its way; message may be freed */
    RPC_BUSY, /* the last message is not written yet: try again in writable */
    RPC_OVER, /* ended or cancelled; also by this message, when it is too large */
};
/* The rpc_stream functions may be called by any thread from open until done returns. */
enum rpc_sent rpc_stream_send(struct rpc_stream *stream, const ProtobufCMessage *message);
/* Ask for writable soon. Wakes coalesce. */
void rpc_stream_wake(struct rpc_stream *stream);
/* Ask for writable after ms (0: never mind); one timer per stream, the last call counts. */
void rpc_stream_wake_after(struct rpc_stream *stream, int ms);
/* End the stream after what is being sent. Repeat: the first counts. */
void rpc_stream_finish(struct rpc_stream *stream, struct hf_status status);

/* One row per method of a service. */
struct rpc_method {
    const char *name; /* as in the proto: "GetCluster" */
    enum rpc_kind kind;
    const char *permission; /* given to authorize; NULL: every identified peer */
    bool is_idempotent;     /* a client may repeat it after UNAVAILABLE */
    bool is_inline;         /* unary that never blocks: runs at once, even when the pool is full */
    rpc_unary_fn unary;     /* RPC_UNARY and RPC_EXCHANGE */
    const struct rpc_pull *pull;
    const struct rpc_events *events;
};

/* May this peer do this? Runs on a handler thread before the handler, may block. app as for
 * handlers, req the decoded request. Not OK: sent to the client. */
typedef struct hf_status (*rpc_authorize_fn)(struct hf_ctx *ctx, void *app,
                                             const struct rpc_peer *peer,
                                             const struct rpc_method *method, const void *req);

/* 0 or NULL means the default. Borrowed until rpc_server_free. */
struct rpc_server_config {
    const char *address;      /* "127.0.0.1:0", "[::1]:9000", "unix:/path" */
    struct rpc_tls_files tls; /* read again at the next connection after a file has changed */
    const char *install;      /* peers of other installations are refused; NULL: any */

    void *app;
    void *(*thread_init)(void *app); /* on each handler thread; its result is the handlers' app */
    void (*thread_done)(void *app, void *thread_app);
    rpc_authorize_fn authorize;
    /* After every call; method is the full path. Any thread, must not block. */
    void (*observe)(void *app, const char *method, enum hf_code code, int64_t duration_us);

    size_t handler_threads;    /* 8 */
    size_t max_inflight;       /* 256 unary calls; more are RESOURCE_EXHAUSTED */
    size_t max_streams;        /* 128 */
    size_t max_receive_bytes;  /* 4 MiB */
    size_t max_send_bytes;     /* 4 MiB, what clients take unasked; more is REPLY_TOO_LARGE */
    size_t max_call_bytes;     /* 64 MiB of arena per call */
    int default_deadline_ms;   /* 60 000, for unary calls without one */
    int receive_ms;            /* 30 000: longest wait for the request of a call */
    int lame_duck_ms;          /* 2000: longest wait for calls to cease before GOAWAY */
    int drain_ms;              /* 10 000: then what still runs is cancelled */
    int max_connection_age_ms; /* 600 000 */
};

/* Check the certificate files, raise the descriptor limit, make the server. */
struct hf_status rpc_server_new(struct hf_arena *arena, const struct rpc_server_config *config,
                                struct rpc_server **ret_server) HF_MUST_USE;

/* Register a service; methods must be static and name every method of the service once, with
 * the kind that the proto says. INTERNAL names the row that does not fit. Before start. */
struct hf_status rpc_server_add(struct hf_arena *arena, struct rpc_server *server,
                                const ProtobufCServiceDescriptor *service,
                                const struct rpc_method *methods, size_t methods_len) HF_MUST_USE;

/* Bind, start threads, health SERVING. UNAVAILABLE when the address cannot be bound. */
struct hf_status rpc_server_start(struct hf_arena *arena, struct rpc_server *server) HF_MUST_USE;

int rpc_server_port(const struct rpc_server *server); /* after start */

/* Health of one service ("holdfast.backup.v1.BackupService") or of the server (""). Any thread.
 * Names that were not added are ignored. */
void rpc_server_set_serving(struct rpc_server *server, const char *service, bool is_serving);

/* Calls admitted and not yet over, streams included. */
size_t rpc_server_inflight(struct rpc_server *server);

/* Stop: health NOT_SERVING; new calls UNAVAILABLE until it is quiet; event streams end
 * UNAVAILABLE; GOAWAY; after drain_ms cancel. Blocks; false when a handler still runs 10 s after
 * its cancellation (then only exiting the process helps). Repeat: does nothing. */
bool rpc_server_drain(struct rpc_server *server);

/* Drains when that was not done. Accepts NULL. */
void rpc_server_free(struct rpc_server *server);

HF_DEFINE_CLEANUP(struct rpc_server *, rpc_server_free)

#endif
