/* The process that keeps an installation running. */
#ifndef HF_CLI_SUPERVISE_SUPERVISOR_H
#define HF_CLI_SUPERVISE_SUPERVISOR_H

#include "cli/supervise/lock.h"
#include "cli/supervise/place.h"

/* Take the lock and tend the children until ctx is cancelled; then stop them. ALREADY_EXISTS:
 * another supervisor has the lock.
 *
 * log  the file that this process logs to (logs_open); -1: what it logs to is not ours to bound */
struct hf_status supervisor_run(struct hf_ctx *ctx, const struct place *place, int log) HF_MUST_USE;
/* The same in a new background process; returns at once. */
struct hf_status supervisor_start(struct hf_ctx *ctx, const struct place *place) HF_MUST_USE;
/* Who holds the supervisor's lock. Not to be asked by the holder. */
struct lock_holder supervisor_find(struct hf_ctx *ctx, const struct place *place);
/* Instead of a supervisor: none starts meanwhile. ALREADY_EXISTS: there is one. */
struct hf_status supervisor_take_lock(struct hf_ctx *ctx, const struct place *place,
                                      int *ret_lock) HF_MUST_USE;

#endif
