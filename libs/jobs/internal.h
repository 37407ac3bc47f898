/* What the files of libs/jobs share. */
#ifndef HF_JOBS_INTERNAL_H
#define HF_JOBS_INTERNAL_H

#include <stdatomic.h>

#include "base/clock.h"
#include "base/id.h"
#include "base/pool.h"
#include "jobs/judge.h"
#include "jobs/parts.h"
#include "jobs/queries_sql.h"
#include "jobs/rows.h"
#include "jobs/worker.h"

#define JOBS_UUID_SIZE (HF_UUID_TEXT_LEN + 1)
#define JOBS_SWEEP_MS 250
#define JOBS_KINDS_MAX 64
#define JOBS_PHASE_MAX 200

/* ---- ends (end.c) ---- */

/* Carry a verdict out on a job whose row the transaction has locked (or whose fence proves it):
 * updates it, calls the end hook, and fails or releases the children last.
 * Errors   ABORTED FENCED */
struct hf_status jobs_move(struct hf_ctx *ctx, struct db_tx *tx, struct jobs *jobs,
                           const struct jobs_job *job, const struct jobs_verdict *verdict,
                           const char *dependency) HF_MUST_USE;
/* Release the children of parents that succeeded: last before COMMIT. */
struct hf_status jobs_release_children(struct hf_ctx *ctx, struct db_tx *tx, const char *const *ids,
                                       size_t len) HF_MUST_USE;
const struct jobs_kind *jobs_kind_of(const struct jobs *jobs, const char *kind);

/* A number of bytes that somebody reports, as a row takes it. */
static inline int64_t jobs_bytes(int64_t bytes)
{
    return bytes < 0 ? 0 : bytes;
}
/* A result as a row takes it; NULL stays NULL. */
#define JOBS_RESULT_MAX 1024
static inline const char *jobs_result_text(struct hf_arena *arena, const char *result)
{
    return result == NULL ? NULL : jobs_clean(arena, result, JOBS_RESULT_MAX);
}

/* ---- the hub ---- */

struct jobs_run_state {
    struct jobs *jobs;
    const struct jobs_kind *kind;
    size_t kind_index;
    struct hf_arena *arena;
    struct jobs_run *run;
    struct hf_cancel cancel;
    atomic_bool is_lost;
    atomic_bool is_cancel_requested;
    bool is_finished; /* by jobs_finish_commit */
    bool is_deferred;
    bool has_entered_gate;
    int defer_ms;
    int64_t started_us; /* mono */
    int64_t told_us;    /* mono: last progress */
    char told_phase[JOBS_PHASE_MAX + 4];
    const char *dependency; /* "" */
    char id[JOBS_UUID_SIZE];
    char tenant[JOBS_UUID_SIZE];
    struct jobs_fence fence;
    struct jobs_run_state *next; /* in jobs->runs */
};

struct jobs_charge {
    size_t kind_index;
    char tenant[JOBS_UUID_SIZE];
    int64_t run_us;
};
#define JOBS_CHARGES_MAX 512

struct jobs_watch_hub;

struct jobs {
    struct hf_lock runs_lock; /* guards: */
    struct jobs_run_state *runs;
    size_t running;
    size_t busy[JOBS_KINDS_MAX];
    struct jobs_charge charges[JOBS_CHARGES_MAX];
    size_t charges_len;
    char worker_id[JOBS_UUID_SIZE];
    int64_t beat_ok_us; /* boot clock: start of the last beat that succeeded */

    struct jobs_options options; /* constant after jobs_new; its texts: */
    char *texts[6];
    size_t texts_len;
    struct jobs_host host;     /* constant after jobs_start */
    int relay_fd;              /* eventfd */
    int claim_fd;              /* eventfd */
    int beat_fd;               /* eventfd */
    struct hf_cancel stop;     /* ends the threads */
    struct hf_cancel drain;    /* ends the runs and claims */
    atomic_bool is_incomplete; /* push all pending ids again */
    atomic_bool is_redis_up;
    _Atomic int64_t epoch;
    _Atomic int64_t claimed;
    _Atomic int64_t finished;
    _Atomic int64_t fenced;
    struct jobs_gate *gate;
    struct jobs_watch_hub *watch;
    struct hf_queue *done; /* runs without effects, to be finished in groups */
    struct hf_pool *pools[JOBS_KINDS_MAX];
    struct hf_thread *relay_thread;
    struct hf_thread *claim_thread;
    struct hf_thread *beat_thread;
    struct hf_thread *done_thread;
    bool is_started;
};

/* A ctx of an internal step: fresh arena, its own deadline, ended by stop. */
#define JOBS_STEP_ARENA (32 * 1024 * 1024)
static inline struct hf_ctx jobs_step_ctx(struct hf_arena *arena, const struct hf_cancel *stop,
                                          int timeout_ms)
{
    return (struct hf_ctx){
        .arena = arena, .deadline_us = hf_mono_us() + (int64_t)timeout_ms * 1000, .stop = stop};
}

/* Trouble that lasts is told twice: when it begins and when it is over. */
struct jobs_trouble {
    bool is_known;
};
void jobs_trouble_note(struct hf_ctx *ctx, struct jobs_trouble *trouble, const char *event,
                       struct hf_status status);

/* Is it everybody's trouble (no database, no time), not that of the one job that met it? */
static inline bool jobs_is_common(struct hf_status status)
{
    return status.code == HF_UNAVAILABLE || status.code == HF_CANCELLED ||
           status.code == HF_DEADLINE_EXCEEDED;
}
/* The database is there and does not take it: an end hook that fails, a row that breaks a CHECK, a
 * result that is too large. Repeating it helps only so often. */
static inline bool jobs_is_refusal(struct hf_status status)
{
    bool is_server = status.code == HF_RESOURCE_EXHAUSTED && status.info != NULL &&
                     hf_text_equal(status.info->reason, "SERVER_RESOURCES");

    return !jobs_is_common(status) && status.code != HF_UNKNOWN && status.code != HF_ABORTED &&
           !is_server;
}
#define JOBS_REFUSALS_MAX 10
/* Keep the first failure of several steps that must all be tried. */
static inline void jobs_keep_first(struct hf_status *first, struct hf_status status)
{
    *first = first->code == HF_OK ? status : *first;
}

void jobs_ring(int event_fd);
/* Wait for fd up to max_ms, or until stop; empties it. */
void jobs_wait_ring(const struct hf_cancel *stop, int event_fd, int max_ms);

/* ---- threads ---- */
void jobs_relay_main(void *arg);
void jobs_claim_main(void *arg);
void jobs_beat_main(void *arg);
void jobs_done_main(void *arg);
/* A slot's work: run one job. item is a struct jobs_run_state. */
void jobs_run_main(void *item, void *arg);

/* One pass of the reaper (relay thread). memory lives between passes. */
struct jobs_reaper;
struct jobs_reaper *jobs_reaper_new(void);
void jobs_reaper_free(struct jobs_reaper *reaper);
struct hf_status jobs_reaper_pass(struct hf_ctx *ctx, struct jobs *jobs,
                                  struct jobs_reaper *reaper) HF_MUST_USE;

/* Register this incarnation and remember its id. */
struct hf_status jobs_register(struct hf_ctx *ctx, struct jobs *jobs) HF_MUST_USE;
struct hf_status jobs_deregister(struct hf_ctx *ctx, struct jobs *jobs) HF_MUST_USE;

/* Runs in the list (runs.c). */
struct jobs_run_state *jobs_run_new(struct jobs *jobs, const struct db_rows *rows, size_t row);
/* Give the slot back; the run stays in the list until jobs_run_free. */
void jobs_run_leave_slot(struct jobs_run_state *state);
void jobs_run_free(struct jobs_run_state *state);
void jobs_run_lose(struct jobs_run_state *state);
void jobs_runs_lose_all(struct jobs *jobs);
bool jobs_runs_has(struct jobs *jobs, const char *id, int64_t fence);

struct jobs_watch_hub *jobs_watch_hub_new(struct jobs *jobs);
void jobs_watch_hub_start(struct jobs_watch_hub *hub);
void jobs_watch_hub_stop(struct jobs_watch_hub *hub); /* joins its thread; repeatable */
void jobs_watch_hub_free(struct jobs_watch_hub *hub);
void jobs_watch_hub_wake(struct jobs_watch_hub *hub);

#endif
