/* Parts of the hub that know nothing of each other. Inside libs/jobs only. */
#ifndef HF_JOBS_PARTS_H
#define HF_JOBS_PARTS_H

#include "base/ctx.h"
#include "db/db.h"

/* ---- gate of dependencies that are down (gate.c) ---- */

struct jobs_gate;
struct jobs_gate *jobs_gate_new(void);
void jobs_gate_free(struct jobs_gate *gate);
/* May a job that was deferred for dependency run now? False: hold it back. */
bool jobs_gate_enter(struct jobs_gate *gate, const char *dependency);
/* After the run of a job that entered (or, was_deferred, that found its dependency down). */
void jobs_gate_leave(struct jobs_gate *gate, const char *dependency, bool has_entered,
                     bool was_deferred);

/* ---- this process as a worker (incarnation.c) ---- */

struct jobs_host {
    char host[65];
    char boot_id[40];
    char pid_namespace[40];
    int64_t pid;
    int64_t start_ticks;
};
void jobs_host_read(struct jobs_host *ret_host);
/* Is a recorded process provably gone, seen from us? is_same_name: it had our worker name. */
bool jobs_host_is_gone(const struct jobs_host *us, const struct jobs_host *other,
                       bool is_same_name);

/* ---- epoch (epoch.c) ---- */

/* Establish the epoch (see jobs_start). */
struct hf_status jobs_epoch_establish(struct hf_ctx *ctx, struct db *dispatch_db, const char *path,
                                      int64_t *ret_epoch) HF_MUST_USE;
/* Advance the counter in database and file. ABORTED when the epoch has risen meanwhile. */
struct hf_status jobs_epoch_advance(struct hf_ctx *ctx, struct db *dispatch_db, const char *path,
                                    int64_t epoch) HF_MUST_USE;

#endif
