/* Jobs: work that outlives a request. PostgreSQL holds every job, Redis only rings.
 *
 * A handler adds a job in the transaction of its state change (jobs_add), commits, and calls
 * jobs_wake. The relay hands its id to the workers (jobs/worker.h). All functions that take a
 * struct db_tx need one of db_tx_begin on the service's schema; row-level security keeps them to
 * that tenant, so a job of another tenant is NOT_FOUND.
 *
 * DDL: jobs_schema() goes into the list of db_migrate with the service's schema name.
 */
#ifndef HF_JOBS_JOBS_H
#define HF_JOBS_JOBS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/ctx.h"
#include "base/status.h"
#include "db/db.h"
#include "db/migrate.h"
#include "jobs/types.h"

/* DDL component "jobs" for the service's schema; copy the struct into the list of db_migrate. */
struct db_schema jobs_schema(const char *schema);

/* What to add. Texts are borrowed; zero is a sensible default everywhere but kind. */
struct jobs_spec {
    const char *id;        /* NULL: a new UUIDv7 */
    const char *kind;      /* [a-z][a-z0-9-]{0,39} */
    const char *target;    /* ≤ 1024 bytes */
    const char *args;      /* ≤ 64 KiB */
    const char *principal; /* ≤ 256 bytes */
    const char *idem_key;  /* NULL, or at most one job of (tenant, kind, idem_key) is ever made */
    const char *trace;     /* traceparent; NULL */
    int priority;          /* 0 (first) … 9; 5 is usual */
    int max_attempts;      /* 0: 5 */
    enum jobs_replay replay;
    int64_t run_at_us;        /* 0: now */
    int64_t deadline_us;      /* realtime; 0: none; a job not ended by then fails */
    const char *const *after; /* ids that must succeed first */
    size_t after_len;         /* ≤ 64; more are joined by an intermediate job */
    int external_ttl_s;       /* > 0: external; see jobs_external_claim */
};

/* Add a job and its outbox row in the caller's transaction.
 *
 * ret_id       in ctx->arena: the new job, or the one that idem_key named before
 * ret_existed  may be NULL; true when idem_key was known: nothing was added
 * Errors   INVALID_ARGUMENT; NOT_FOUND a job of after; FAILED_PRECONDITION one of after has ended
 *          without success; those of db_query
 * After the commit call jobs_wake (losing the wake costs at most 250 ms).
 */
struct hf_status jobs_add(struct hf_ctx *ctx, struct db_tx *tx, const struct jobs_spec *spec,
                          const char **ret_id, bool *ret_existed) HF_MUST_USE;

/* NOT_FOUND "job <id> not found" also for a malformed id and for another tenant's job. */
struct hf_status jobs_get(struct hf_ctx *ctx, struct db_tx *tx, const char *id,
                          struct jobs_job *ret_job) HF_MUST_USE;

struct jobs_filter {
    const char *kind;   /* NULL: any */
    const char *target; /* NULL: any; equality of bytes */
    int state;          /* -1: any; enum jobs_state; JOBS_PENDING finds JOBS_WAITING too */
    const char *before; /* NULL, or the last id of the previous page (keyset) */
    size_t limit;       /* 1 … 1000 */
};

/* Newest first (ids are time-ordered). ret_jobs in ctx->arena; args are not loaded (""). Fewer
 * than limit means the last page.
 * Errors   INVALID_ARGUMENT when before is not an id. */
struct hf_status jobs_list(struct hf_ctx *ctx, struct db_tx *tx, const struct jobs_filter *filter,
                           const struct jobs_job **ret_jobs, size_t *ret_len) HF_MUST_USE;

/* Ended without success and not discarded: FAILED and OUTCOME_UNKNOWN, newest first. */
struct hf_status jobs_dead_list(struct hf_ctx *ctx, struct db_tx *tx, const char *before,
                                size_t limit, const struct jobs_job **ret_jobs,
                                size_t *ret_len) HF_MUST_USE;
/* Take a dead job off that list (it stays in jobs_list). NOT_FOUND, FAILED_PRECONDITION. */
struct hf_status jobs_discard(struct hf_ctx *ctx, struct db_tx *tx, const char *id) HF_MUST_USE;

/* Idempotency of mutations by request id, kept 24 h.
 *
 * First statement of a mutation's transaction. When the id is new, *ret_response is NULL and the
 * handler goes on, ending with jobs_request_save in the same transaction. When it is known, the
 * stored response is returned and the handler replies with it. A concurrent call with the same id
 * waits for the first to commit.
 *
 * request_id  ≤ 128 bytes; NULL or "" does nothing (*ret_response NULL)
 * digest      of the request, keyed (secret_mac), ≥ 16 bytes: the request may hold a password,
 * which could be guessed from a bare hash Errors   INVALID_ARGUMENT reason REQUEST_ID_REUSED: same
 * id, other request
 */
struct hf_status jobs_request_begin(struct hf_ctx *ctx, struct db_tx *tx, const char *method,
                                    const char *request_id, struct hf_bytes digest,
                                    const struct hf_bytes **ret_response) HF_MUST_USE;
struct hf_status jobs_request_save(struct hf_ctx *ctx, struct db_tx *tx, const char *method,
                                   const char *request_id, struct hf_bytes response) HF_MUST_USE;

/* The hub: what the functions below share with the workers of this process. */
struct jobs;

/* Ask a job to end. One that does not run ends now (with its end hook, in this transaction); a
 * running one gets its flag, which its worker sees within half a second; one that has ended stays
 * as it is. ret_job: the job afterwards. */
struct hf_status jobs_cancel(struct hf_ctx *ctx, struct db_tx *tx, struct jobs *jobs,
                             const char *id, struct jobs_job *ret_job) HF_MUST_USE;

/* Put a FAILED, CANCELLED or (a person decided) OUTCOME_UNKNOWN job back to work with fresh
 * attempts. FAILED_PRECONDITION for another state and for external jobs. */
struct hf_status jobs_retry(struct hf_ctx *ctx, struct db_tx *tx, const char *id,
                            struct jobs_job *ret_job) HF_MUST_USE;

#include "jobs/external.h"
#include "jobs/watch.h"

#endif
