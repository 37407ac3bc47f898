/* External jobs: carried out by a client that reports by calls. Included by jobs/jobs.h. */
#ifndef HF_JOBS_EXTERNAL_H
#define HF_JOBS_EXTERNAL_H

#include "base/ctx.h"
#include "db/db.h"
#include "jobs/types.h"

struct jobs;

/* Take an external job: RUNNING, with a fence to present. It must be beaten at least every
 * external_ttl_s, else the reaper ends it as FAILED (reason LEASE_EXPIRED).
 * Errors   NOT_FOUND; ABORTED reason NOT_CLAIMABLE (running or ended) */
struct hf_status jobs_external_claim(struct hf_ctx *ctx, struct db_tx *tx, const char *id,
                                     struct jobs_job *ret_job) HF_MUST_USE;

struct jobs_report {
    struct jobs_fence fence; /* n = 0: whoever holds it (the caller was authorised otherwise) */
    const char *phase;       /* NULL: unchanged */
    int64_t done_bytes;
    int64_t total_bytes;
};

/* Sign of life with progress. ret_job carries is_cancel_requested.
 * Errors   NOT_FOUND; ABORTED reason FENCED (ended or taken by another) */
struct hf_status jobs_external_beat(struct hf_ctx *ctx, struct db_tx *tx, const char *id,
                                    const struct jobs_report *report,
                                    struct jobs_job *ret_job) HF_MUST_USE;

/* End an external job: SUCCEEDED when outcome is OK, CANCELLED for HF_CANCELLED, else FAILED.
 * result may be NULL. Runs the kind's end hook and releases dependants. Errors as beat. */
struct hf_status jobs_external_finish(struct hf_ctx *ctx, struct db_tx *tx, struct jobs *jobs,
                                      const char *id, struct hf_status outcome,
                                      const char *result) HF_MUST_USE;

#endif
