/* Inside of the server, shared by its files. Nobody else includes it.
 *
 * Life of a call: posted → announced (on_new) → admitted or refused → message received → run on a
 * handler thread as a strand (at most one thread at a time) → final batch → closed → recycled when
 * its references are gone: one for each batch under way, one while it is in the handler queue or
 * runs. A strand is woken by events; flags and events are guarded by the call's lock, which is
 * never held while core is called. */
#ifndef RPC_SERVER_CORE_H
#define RPC_SERVER_CORE_H

#include <grpc/grpc_security.h>
#include <stdatomic.h>

#include "base/map.h"
#include "base/pool.h"
#include "base/vec.h"
#include "rpc/core.h"
#include "rpc/server.h"
#include "rpc/tls_files.h"

struct rpc_health;

/* One method by its path. */
struct rpc_entry {
    const struct rpc_method *method;
    const ProtobufCMethodDescriptor *shape;
    const char *path;
    void *own_app; /* library's own services: their app, no authorization, served while draining */
};

/* What core hands back when a batch has completed. */
struct rpc_tag {
    void (*fn)(void *owner, bool is_ok);
    void *owner;
};

enum rpc_event {
    RPC_EV_MESSAGE = 1, /* a request message, or the half-close, has arrived */
    RPC_EV_WAKE = 2,
    RPC_EV_SENT = 4,
    RPC_EV_CLOSED = 8, /* the call or its last batch is over */
    RPC_EV_DRAIN = 16,
};

/* A call of any kind; only streams show it to their handlers. */
struct rpc_stream {
    struct rpc_server *server;
    struct rpc_worker *worker; /* whose queue the call is bound to */
    struct rpc_stream *next;   /* free list, or list of admitted calls */
    struct rpc_stream *prev;
    const struct rpc_entry *entry;
    atomic_int refs;

    grpc_call *call;
    grpc_call_details details;
    grpc_metadata_array metadata;
    grpc_byte_buffer *received;
    int was_cancelled;
    struct rpc_tag on_new, on_received, on_closed, on_sent, on_final;

    struct hf_arena *request; /* message bytes and their decoding; apart, so that a hostile one
                                 leaves the handler its memory */
    struct hf_arena *home;    /* lives as long as the call */
    struct hf_arena *scratch; /* lives for one callback */
    struct rpc_peer peer;
    struct hf_cancel cancel;
    int64_t start_us;
    int64_t deadline_us;
    enum hf_code code; /* how it ended, for observe */
    bool is_admitted;

    void *state;        /* strand only */
    bool owes_done;     /* strand only: open succeeded */
    bool owes_cancel;   /* strand only */
    bool is_draining;   /* strand only */
    bool has_request;   /* strand only: the first message, or the end in place of it, is there */
    int64_t wake_at_us; /* guarded by server->timer_lock; 0: not in the timer list */
    struct rpc_stream *next_timer;

    struct hf_lock lock; /* guards all below */
    unsigned events;
    bool is_scheduled;
    bool wants_write;
    bool has_headers; /* initial metadata sent */
    bool is_sending;
    bool has_ending;
    bool is_final_started;
    bool is_final_done;
    bool is_closed;
    grpc_slice ending_text;
    grpc_slice ending_details; /* empty: none */
};

#define RPC_WORKERS 2

struct rpc_worker {
    struct rpc_server *server;
    grpc_completion_queue *queue;
    struct hf_thread *thread;
    size_t posted; /* guarded by server->lock */
};

struct rpc_handler_thread {
    struct rpc_server *server;
    struct hf_thread *thread;
};

/* Certificates as last read; see server_tls.c. */
struct rpc_server_tls {
    struct hf_lock lock;
    const struct rpc_tls_files *files;
    struct {
        int64_t mtime_ns;
        int64_t size;
        uint64_t inode;
    } seen[3];
    bool is_loaded;
};

struct rpc_server {
    struct rpc_server_config config; /* with defaults filled in */
    struct hf_arena *arena;          /* entries and names */
    struct hf_map *entries;          /* path → struct rpc_entry */
    HF_VEC(const char *) services;   /* full names, in order of registration */
    struct rpc_health *health;
    struct rpc_server_tls tls;
    grpc_server *core;
    grpc_resource_quota *quota;
    struct rpc_worker workers[RPC_WORKERS];
    struct hf_queue *queue; /* strands to run; room for every call */
    struct rpc_handler_thread *handlers;
    struct hf_thread *timer;
    int port;
    bool is_started;
    bool is_drained;
    struct hf_cancel stop; /* set when running calls are cancelled */
    struct rpc_tag on_shutdown;

    struct hf_lock timer_lock; /* taken before a call's lock, never after */
    struct rpc_stream *timers;
    bool is_timer_stopped;

    struct hf_lock lock; /* guards all below; taken before a call's lock, never after */
    struct rpc_stream *free_calls;
    size_t free_len;
    struct rpc_stream *admitted;
    size_t contexts; /* posted or running */
    size_t max_contexts;
    size_t unary_len;
    size_t streams_len;
    int64_t last_active_us; /* last call that ended, or was refused by the lame duck */
    bool is_lame;           /* new calls are answered UNAVAILABLE */
    bool is_stopping;       /* nothing more is posted */
    bool is_shut;           /* core has told so */
};

/* server_contexts.c */
void rpc_calls_post(struct rpc_server *server);
void rpc_call_start(struct rpc_stream *call, const grpc_op *ops, size_t ops_len,
                    struct rpc_tag *tag);
void rpc_call_unref(struct rpc_stream *call);
void rpc_calls_free(struct rpc_server *server);

/* server_calls.c: admission, receiving. The last three are callbacks of tags. */
void rpc_call_receive(struct rpc_stream *call);
void rpc_call_schedule(struct rpc_stream *call, unsigned events);
void rpc_call_announced(void *owner, bool is_ok);
void rpc_call_received(void *owner, bool is_ok);
void rpc_call_closed(void *owner, bool is_ok);

/* server_send.c: sending and ending. */
void rpc_call_reply(struct rpc_stream *call, const ProtobufCMessage *response);
void rpc_call_end(struct rpc_stream *call, struct hf_status status);
void rpc_call_sent(void *owner, bool is_ok);
void rpc_call_final(void *owner, bool is_ok);

/* server_run.c: what handler threads do. */
void rpc_call_run(struct rpc_stream *call, void *app);

/* server_drain.c: core has shut down; callback of a tag. */
void rpc_server_shut(void *owner, bool is_ok);

/* server_timer.c: rpc_stream_wake_after. */
void rpc_timer_start(struct rpc_server *server);
void rpc_timer_stop(struct rpc_server *server);
void rpc_timer_forget(struct rpc_stream *call);
/* As rpc_stream_wake_after, but up to a second late and without waking the timer's thread. */
void rpc_timer_remind(struct rpc_stream *call, int ms);

/* server_tls.c */
grpc_server_credentials *rpc_server_tls_new(struct rpc_server_tls *tls,
                                            const struct rpc_tls_files *files);
void rpc_server_tls_done(struct rpc_server_tls *tls);

/* server_peer.c: identity, tenant and request id of a call; allocates in call->home. */
struct hf_status rpc_call_peer(struct rpc_stream *call) HF_MUST_USE;

/* health.c, reflection.c */
struct rpc_health *rpc_health_new(void);
void rpc_health_free(struct rpc_health *health);
struct hf_status rpc_health_register(struct hf_arena *arena, struct rpc_server *server) HF_MUST_USE;
void rpc_health_add(struct rpc_health *health, const char *service);
void rpc_health_set(struct rpc_health *health, const char *service, bool is_serving);
void rpc_health_set_all(struct rpc_health *health, bool is_serving);
struct hf_status rpc_reflection_register(struct hf_arena *arena,
                                         struct rpc_server *server) HF_MUST_USE;

/* server.c: rpc_server_add for the library's own services, with their app. */
struct hf_status rpc_server_add_own(struct hf_arena *arena, struct rpc_server *server,
                                    const ProtobufCServiceDescriptor *service,
                                    const struct rpc_method *methods, size_t methods_len,
                                    void *own_app) HF_MUST_USE;

#endif
