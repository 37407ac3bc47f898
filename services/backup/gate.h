/* The gate of this service: the operator's settings, and where the installation itself listens. */
#ifndef HF_BACKUP_GATE_H
#define HF_BACKUP_GATE_H

#include "backup/config.h"
#include "svc/gate.h"

/* Errors   INVALID_ARGUMENT a setting is malformed */
struct hf_status gate_open(struct hf_ctx *ctx, const struct backup_config *config,
                           struct egress **ret_egress) HF_MUST_USE;

#endif
