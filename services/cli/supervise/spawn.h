/* Programs started with a clean environment. */
#ifndef HF_CLI_SUPERVISE_SPAWN_H
#define HF_CLI_SUPERVISE_SPAWN_H

#include "base/buf.h"
#include "cli/supervise/place.h"
#include "svc/confine.h"

/* Start argv (NULL-terminated) in a session of its own, output appended to log/<log_name>.
 * plan (NULL: none) confines it. The child belongs to us: reap it. */
struct hf_status spawn_start(struct hf_ctx *ctx, const struct place *place,
                             const char *const argv[], const char *log_name,
                             const struct svc_confine_plan *plan, pid_t *ret_pid) HF_MUST_USE;

struct spawn_job {
    const char *const *argv;
    const char *log_name;
    int input; /* standard input; -1: none */
    int seconds;
};

/* Start and wait at most seconds; INTERNAL with the end of the log when it fails. The program does
 * not outlive this process. */
struct hf_status spawn_wait(struct hf_ctx *ctx, const struct place *place,
                            const struct spawn_job *job) HF_MUST_USE;

/* What a program says, on both outputs, and how it ended: its exit code, 126 when it could not be
 * started or did not end in time. Nothing is logged. */
struct hf_status spawn_ask(struct hf_ctx *ctx, const struct place *place, const char *const argv[],
                           int seconds, struct hf_buf *ret_text, int *ret_code) HF_MUST_USE;

#endif
