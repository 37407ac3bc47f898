/* The operator's file, judged by who reads it. */
#ifndef HF_CLI_SUPERVISE_OVERRIDES_H
#define HF_CLI_SUPERVISE_OVERRIDES_H

#include "cli/supervise/place.h"

/* Would the service start with it? One that is missing is fine, and so is a service that cannot be
 * asked: others say that.
 * Errors   FAILED_PRECONDITION, reason OVERRIDES, says which line or key, and what was expected */
struct hf_status overrides_check(struct hf_ctx *ctx, const struct place *place) HF_MUST_USE;

#endif
