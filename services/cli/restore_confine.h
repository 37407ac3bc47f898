/* What the restoring thread gives up before the first byte of a vault is written. */
#ifndef HF_CLI_RESTORE_CONFINE_H
#define HF_CLI_RESTORE_CONFINE_H

#include "restore/restore.h"
#include "svc/confine.h"

struct restore_confine {
    const char *vault; /* directory that is read; NULL: through the service */
    struct svc_confinement confinement;
};

/* For restore_options.confine; arg is a struct restore_confine. From then on this thread and those
 * that it starts write below dirs only, and the process starts no program. */
struct hf_status restore_confine(void *arg, struct hf_ctx *ctx,
                                 const struct restore_target_dir *dirs, size_t len) HF_MUST_USE;

#endif
