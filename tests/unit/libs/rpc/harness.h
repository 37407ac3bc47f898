/* A server and a client on loopback with certificates of their own, for the tests of libs/rpc. */
#ifndef TEST_RPC_HARNESS_H
#define TEST_RPC_HARNESS_H

#include <stdatomic.h>

#include "base/ctx.h"
#include "certs.h"
#include "holdfast/backup/v1/backup.pb-c.h"
#include "holdfast/jobs/v1/jobs.pb-c.h"
#include "rpc/client.h"
#include "rpc/server.h"

struct harness {
    struct hf_arena *arena;
    struct hf_ctx ctx; /* without deadline */
    struct hf_cancel cancel;
    const char *dir;
    struct test_ca *ca;
    struct rpc_tls_files server_files;
    struct rpc_tls_files client_files;
    struct rpc_server_config config; /* change it before harness_serve */
    struct rpc_server *server;
    struct rpc_client *client;

    /* What the handlers saw. */
    atomic_int calls;
    atomic_int cancelled; /* a slow handler noticed the cancellation */
    atomic_int done;      /* streams closed */
    atomic_int stream_cancels;
    atomic_int threads; /* thread_init minus thread_done */
    atomic_int observed[17];
};

/* Certificates in a new directory; config filled in; nothing started. */
struct harness *harness_new(void);
/* Start server and client. */
void harness_serve(struct harness *h);
/* Stops both, removes the directory. */
void harness_free(struct harness *h);

/* GetJob of the server's handler; its behaviour is chosen by name:
 *   anything       returns a job of that name
 *   "peer"         name is the caller's identity, target its tenant, kind its request id
 *   "details…"     NOT_FOUND with reason JOB_NOT_FOUND, metadata job=name, retry 1500 ms
 *   "short"        200 ms of work
 *   "slow"         up to 20 s of work; counts cancelled
 *   "forbidden"    refused by authorize
 *   "bug"          INTERNAL
 *   "busy"         UNAVAILABLE until it has been called three times
 *   "large"        a reply above 4 MiB
 * At each stage of each kind of method: "refuse STAGE" fails there with a status in that stage's
 * arena, "over STAGE" succeeds there with more memory than the arena may have. Stages: authorize,
 * handler, open, next, writable. */
struct hf_status harness_get(struct harness *h, struct hf_ctx *ctx, const char *name,
                             const PbJobs__Job **ret_job);

/* What "refuse STAGE" says. */
#define HARNESS_REFUSED "REFUSED_BY_TEST"
#define HARNESS_PADDING "a text that is long enough to leave the small bins of the heap behind"

/* Wait up to 5 s until counter is at least wanted; abort otherwise. */
void harness_wait(atomic_int *counter, int wanted);

extern const struct rpc_method_ref harness_get_job;
extern const struct rpc_method_ref harness_list_jobs; /* as "busy", but not idempotent */
/* Streams attempt 1, 2, 3 … each on an event; "endless" never ends, "fail" fails after 2, "large"
 * sends a message above 4 MiB. */
extern const struct rpc_method_ref harness_watch_job;
/* length messages of 64 KiB; "refuse" is NOT_FOUND. */
extern const struct rpc_method_ref harness_read_object;

#endif
