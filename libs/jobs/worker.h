/* The hub and its workers: relay, claims, beats, reaper, retries, watches.
 *
 * One struct jobs per process. Threads (made by base/pool): relay (outbox → Redis, reaper,
 * housekeeping), claimer, beat, finisher, watch, and one per slot of the kinds. With
 * is_worker = false only the watch thread runs: a process that looks on.
 *
 * A kind's function runs under a ctx with its own arena, the job's deadline, and a cancel flag that
 * is set by jobs_cancel, by losing the lease, and by jobs_stop. Its returned status decides:
 *   OK                                            SUCCEEDED (unless it finished itself)
 *   UNAVAILABLE ABORTED RESOURCE_EXHAUSTED
 *   DEADLINE_EXCEEDED                             again after a jittered, doubling pause (1 s … 5
 *                                                 min) while attempts remain, else FAILED
 *   CANCELLED                                     CANCELLED when it was asked for; back to PENDING
 *                                                 without spending the attempt when we are stopping
 *   any, after jobs_defer                         PENDING at that time, attempt not spent
 *   any, after losing the fence                   nothing: the job is another's
 *   others                                        FAILED
 */
#ifndef HF_JOBS_WORKER_H
#define HF_JOBS_WORKER_H

#include "jobs/jobs.h"

/* A job in the hands of a worker. job is the state at the claim, with args. */
struct jobs_run {
    struct jobs_job job;
    void *app;                    /* of jobs_options */
    struct jobs_run_state *state; /* of this library */
};

typedef struct hf_status (*jobs_fn)(struct hf_ctx *ctx, struct jobs_run *run);

/* Called in the transaction that brings a job to its end by any other way than the function's own
 * jobs_finish_begin/commit: success without effects, failure, cancellation, dead worker, failed
 * parent, lost external client. job->state and job->error are the new ones. It writes the state of
 * the resource that the job was for. It must be short and may run twice (retried transaction). */
typedef struct hf_status (*jobs_end_fn)(struct hf_ctx *ctx, struct db_tx *tx,
                                        const struct jobs_job *job, void *app);

struct jobs_kind {
    const char *kind;
    jobs_fn fn;            /* NULL: external, never claimed by workers */
    jobs_end_fn end;       /* NULL: none */
    size_t concurrency;    /* slots reserved for this kind in this process, 1 … 256 */
    size_t max_per_tenant; /* of these, in this process; 0: no limit */
    size_t arena_bytes;    /* limit of the run's arena; 0: 64 MiB */
};

struct jobs_options {
    struct db *app_db;             /* DB_APP on the service's schema */
    struct db *dispatch_db;        /* DB_DISPATCH on the service's schema */
    const char *redis;             /* address for libs/queue; NULL: sweeps only */
    const char *redis_user;        /* NULL: the default one */
    const char *redis_password;    /* NULL: none */
    const char *name;              /* worker name, the same after a restart: "backup" */
    const char *queue_prefix;      /* one per service: "backup" */
    const char *epoch_file;        /* apart from the database; NULL: none. See jobs_start */
    const struct jobs_kind *kinds; /* static */
    size_t kinds_len;
    void *app; /* handed to functions and hooks */
    bool is_worker;
    int beat_ms;           /* 0: 2000 */
    int lease_ms;          /* 0: 60000, a beat unchanged that long is dead; stops itself at 2/3 */
    int retry_base_ms;     /* 0: 1000 */
    int keep_ended_s;      /* 0: 60; then a job moves to the archive (still listed) */
    int keep_archive_days; /* 0: 90 */
};

/* Never fails; opens nothing yet. Options' texts are copied, kinds are borrowed. */
struct jobs *jobs_new(const struct jobs_options *options);

/* Establish the state epoch, register this incarnation, start the threads.
 *
 * The epoch rises when the state database is older than epoch_file says, was restored or promoted
 * (its timeline or system identifier changed): fences of before then match no more.
 * Errors   UNAVAILABLE; FAILED_PRECONDITION (schema missing, role wrong); INTERNAL for epoch_file
 * Repeat   after an error yes.
 */
struct hf_status jobs_start(struct hf_ctx *ctx, struct jobs *jobs) HF_MUST_USE;

/* An epoch file of an earlier release goes to another place, before jobs_start and while no other
 * process starts jobs of this database. The later of the two stands; nothing is there: nothing is
 * done. Repeat  goes on after a crash anywhere. Errors  INTERNAL: one of the files is damaged. */
struct hf_status jobs_epoch_carry(struct hf_ctx *ctx, const char *from, const char *to) HF_MUST_USE;

/* Stop claiming and cancel what runs, without waiting: the jobs go back while the caller ends
 * something else. jobs_stop follows. Repeat  does nothing. */
void jobs_drain(struct jobs *jobs);
/* jobs_drain, wait at most drain_ms for what runs, deregister, join all threads. What could not be
 * written back by then (no database) is left to the next process. Watches get no more calls. */
void jobs_stop(struct jobs *jobs, int drain_ms);
/* After jobs_stop (or instead, with 10 s). Accepts NULL. */
void jobs_free(struct jobs *jobs);
HF_DEFINE_CLEANUP(struct jobs *, jobs_free)

/* After a COMMIT that added or changed jobs: relay, watchers and cancellation look now instead of
 * within 250 ms. Threads any; never blocks. */
void jobs_wake(struct jobs *jobs);

/* First statement of the transaction that holds the job's effects: proves that the caller still
 * owns the job and marks it SUCCEEDED.
 * Errors   ABORTED reason FENCED: roll back, do nothing more, return the status */
struct hf_status jobs_finish_begin(struct hf_ctx *ctx, struct db_tx *tx,
                                   struct jobs_run *run) HF_MUST_USE;
/* The last of it: stores result (may be NULL), releases the jobs that wait for this one, commits.
 * The end hook is not called: the caller has written its effects itself.
 * Errors   UNKNOWN COMMIT_IN_DOUBT is resolved by reading the job back: OK when it did commit. */
struct hf_status jobs_finish_commit(struct hf_ctx *ctx, struct db_tx **tx, struct jobs_run *run,
                                    const char *result) HF_MUST_USE;

/* Check the fence under a lock within another transaction of the run (intermediate effects).
 * Errors   ABORTED reason FENCED */
struct hf_status jobs_fence_check(struct hf_ctx *ctx, struct db_tx *tx,
                                  const struct jobs_run *run) HF_MUST_USE;

/* Tell the progress; written at most once a second (a new phase at once), by this thread.
 * phase borrowed for the call, NULL: unchanged. An unreachable database is no error.
 * Errors   ABORTED reason FENCED; CANCELLED, DEADLINE_EXCEEDED from ctx
 * Threads  any thread of the run, not concurrently with itself. */
struct hf_status jobs_progress(struct hf_ctx *ctx, struct jobs_run *run, const char *phase,
                               int64_t done_bytes, int64_t total_bytes) HF_MUST_USE;

/* The thing this job depends on is down: whatever the function returns next puts the job back for
 * about delay_ms (jittered) without spending the attempt. Jobs of the same dependency are held
 * back too until one of them, the probe, has run. dependency ≤ 128 bytes: "cluster/orders". */
void jobs_defer(struct jobs_run *run, const char *dependency, int delay_ms);

/* Numbers for metrics and doctor. */
struct jobs_stats {
    size_t running;
    size_t slots;
    bool is_redis_up;
    int64_t epoch;
    int64_t claimed;
    int64_t finished;
    int64_t fenced;
};
void jobs_stats_get(struct jobs *jobs, struct jobs_stats *ret_stats);
/* Pending jobs of all tenants and the age of the oldest that is due (DB_DISPATCH). */
struct hf_status jobs_queue_age(struct hf_ctx *ctx, struct jobs *jobs, int64_t *ret_pending,
                                int64_t *ret_oldest_us) HF_MUST_USE;

#endif
