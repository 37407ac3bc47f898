/* What the private servers may touch. Both are foreign programs that parse what others send. */
#ifndef HF_CLI_SUPERVISE_SANDBOX_H
#define HF_CLI_SUPERVISE_SANDBOX_H

#include "cli/supervise/children.h"
#include "svc/confine.h"

/* The plan for a child that is to be started with program; *ret_plan is NULL for the service, which
 * confines itself. */
struct hf_status sandbox_make(struct hf_ctx *ctx, const struct place *place, enum child_id id,
                              const char *program, struct svc_confine_plan **ret_plan) HF_MUST_USE;

#endif
