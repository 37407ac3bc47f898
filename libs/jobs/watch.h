/* Watching jobs. Included by jobs/jobs.h. */
#ifndef HF_JOBS_WATCH_H
#define HF_JOBS_WATCH_H

#include "base/ctx.h"
#include "jobs/types.h"

struct jobs;
struct jobs_watch;

/* job: the job now; valid during the call. NULL: it is gone, and the watch has ended. status is OK
 * (room for trouble that a watcher should know of). Called on the hub's thread: must not block.
 * Return false to end the watch; jobs_unwatch frees it all the same. */
typedef bool (*jobs_watch_fn)(const struct jobs_job *job, struct hf_status status, void *arg);

struct jobs_watcher {
    jobs_watch_fn fn;
    void *arg;
};

/* Call the watcher with the job now (soon, on the hub's thread) and after each change: at once for
 * changes of this process, within 250 ms for others; quick successive changes may be seen as one.
 * The job's args are not loaded ("").
 * Errors   NOT_FOUND; RESOURCE_EXHAUSTED over 10,000 watches */
struct hf_status jobs_watch_open(struct hf_ctx *ctx, struct jobs *jobs, const char *tenant_id,
                                 const char *id, const struct jobs_watcher *watcher,
                                 struct jobs_watch **ret_watch) HF_MUST_USE;

/* No call runs or follows after it returns. Not from within the watcher. Accepts NULL. */
void jobs_unwatch(struct jobs_watch *watch);

#endif
