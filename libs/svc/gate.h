/* The gate of a service (egress/egress.h) from its settings: what the operator allows, and where
 * the installation listens itself, which is never reached through it. */
#ifndef HF_SVC_GATE_H
#define HF_SVC_GATE_H

#include <stddef.h>

#include "base/ctx.h"
#include "egress/egress.h"

struct svc_gate_options {
    const char *prefix; /* of the settings PREFIX_allowed, _denied, _local and _socket_dirs */
    const char *allowed;
    const char *denied;
    const char *local;
    const char *socket_dirs;
    /* Our own; entries may be NULL or "". */
    const char *const *listeners; /* "host:port", "[::1]:port", "*:port", "/directory/socket" */
    size_t listeners_len;
    const char *const *databases; /* connection strings */
    size_t databases_len;
};

/* Everything is copied.
 * Errors   INVALID_ARGUMENT names the setting that is malformed */
struct hf_status svc_gate_open(struct hf_ctx *ctx, const struct svc_gate_options *options,
                               struct egress **ret_egress) HF_MUST_USE;

#endif
