/* The process that keeps an installation running. */
#ifndef HF_CLI_SUPERVISE_SUPERVISOR_H
#define HF_CLI_SUPERVISE_SUPERVISOR_H

#include "cli/supervise/place.h"

/* Take the lock and tend the children until ctx is cancelled; then stop them. ALREADY_EXISTS:
 * another supervisor has the lock.
 *
 * log  the file that this process logs to (logs_open); -1: what it logs to is not ours to bound */
struct hf_status supervisor_run(struct hf_ctx *ctx, const struct place *place, int log) HF_MUST_USE;
/* The same in a new background process; returns at once. */
struct hf_status supervisor_start(struct hf_ctx *ctx, const struct place *place) HF_MUST_USE;
/* Is there a supervisor that holds the lock? Its pid, else 0. */
pid_t supervisor_find(struct hf_ctx *ctx, const struct place *place);

#endif
