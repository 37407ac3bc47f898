/* The gate of this service: the operator's settings, and where the installation itself listens. */
#ifndef HF_BACKUP_GATE_H
#define HF_BACKUP_GATE_H

#include "backup/app.h"
#include "backup/config.h"

/* Would gate_open take these settings? Nothing is opened or made.
 * Errors   INVALID_ARGUMENT a setting is malformed */
struct hf_status gate_check(struct hf_ctx *ctx, const struct backup_config *config) HF_MUST_USE;
/* Sets app->egress and app->run_dir (made new and empty: what a killed process left goes).
 * Errors   INVALID_ARGUMENT a setting is malformed */
struct hf_status gate_open(struct hf_ctx *ctx, const struct backup_config *config,
                           struct backup_app *app) HF_MUST_USE;

#endif
