/* Redis as a doorbell: ready ids per tenant, handed out in fair turns. Never the truth.
 *
 * Losing all of Redis loses no job: queue_claim says when the ready sets may be incomplete
 * (first contact, FLUSHALL, restart), and the caller then pushes every pending id again. Ids are
 * hints: a caller claims the job in PostgreSQL before it runs it.
 *
 * Connects by itself; after a failure it waits with a growing, jittered pause (100 ms to 5 s), and
 * answers UNAVAILABLE at once meanwhile. The functions library is loaded when it is missing.
 *
 * Threads: one struct queue belongs to one thread (each opens its own).
 */
#ifndef HF_QUEUE_QUEUE_H
#define HF_QUEUE_QUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/ctx.h"
#include "base/status.h"

struct queue;

struct queue_options {
    const char *address;  /* "/path/to/socket" or "host:port" */
    const char *user;     /* of its ACL; NULL: the default one */
    const char *password; /* NULL: none */
    const char *prefix;   /* of all keys, one per service: "backup" */
};

/* One ready job. */
struct queue_item {
    const char *lane;   /* job kind: free workers are counted per lane; [a-z0-9-]{1,63} */
    const char *tenant; /* UUID text */
    const char *id;     /* UUID text */
    int priority;       /* 0 (first) … 9 */
    int64_t ready_us;   /* order within a priority */
};

/* How many jobs of a lane may be claimed now. */
struct queue_want {
    const char *lane;
    size_t count;
};

#define QUEUE_SKIP_MAX 1000

struct queue_request {
    const struct queue_want *wants;
    size_t wants_len;                /* at most 64 */
    const char *const *skip_tenants; /* those that have reached their limit */
    size_t skip_len;                 /* at most QUEUE_SKIP_MAX */
};

/* What a user of Redis must be allowed so that all of this works: rules of its ACL, nothing else
 * among them. */
const char *queue_acl(void);

/* Lazily connected; options are copied. */
struct queue *queue_new(const struct queue_options *options);
void queue_free(struct queue *queue); /* accepts NULL */
HF_DEFINE_CLEANUP(struct queue *, queue_free)

/* Make ids ready; repeating changes nothing. At most 1000 items.
 * Errors   UNAVAILABLE, RESOURCE_EXHAUSTED (Redis is full), DEADLINE_EXCEEDED */
struct hf_status queue_push(struct hf_ctx *ctx, struct queue *queue, const struct queue_item *items,
                            size_t len) HF_MUST_USE;

/* Say that every pending job has been pushed since the last is_incomplete. */
struct hf_status queue_mark_complete(struct hf_ctx *ctx, struct queue *queue) HF_MUST_USE;

struct queue_claim {
    struct queue_item *items; /* in ctx->arena; priority and ready_us are 0 */
    size_t len;
    bool is_incomplete; /* push every pending job, then queue_mark_complete */
};

/* Take up to count ids of each lane, in fair turns between tenants; never waits. */
struct hf_status queue_claim(struct hf_ctx *ctx, struct queue *queue,
                             const struct queue_request *request,
                             struct queue_claim *ret_claim) HF_MUST_USE;

/* Wait until something was pushed, wake_fd (or -1) is readable, or wait_ms have passed. A wake is
 * a hint; it is kept armed by queue_claim while work remains in the lanes it was asked for.
 * Errors   UNAVAILABLE at once when Redis is not there: the caller then waits on wake_fd alone. */
struct hf_status queue_wait(struct hf_ctx *ctx, struct queue *queue, int wake_fd,
                            int wait_ms) HF_MUST_USE;

/* Charge a tenant for time that its job ran, so that turns are fair by work, not by count. */
struct hf_status queue_charge(struct hf_ctx *ctx, struct queue *queue, const char *lane,
                              const char *tenant, int64_t run_us) HF_MUST_USE;

/* Ready ids over all lanes and tenants. */
struct hf_status queue_depth(struct hf_ctx *ctx, struct queue *queue,
                             int64_t *ret_depth) HF_MUST_USE;

#endif
