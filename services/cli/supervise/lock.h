/* Record locks on a file. The kernel knows the owner, so neither a file that stayed behind nor a
 * pid that was given away again can mislead, and a child of a fork does not hold its parent's lock.
 */
#ifndef HF_CLI_SUPERVISE_LOCK_H
#define HF_CLI_SUPERVISE_LOCK_H

#include <sys/types.h>

#include "base/ctx.h"

struct lock_holder {
    bool is_held;
    pid_t pid; /* 0: nobody's, or of a process that has no pid here: it lives in another container
                  or on another machine, or the lock is not a process's at all */
};

/* Take the lock and keep it until ret_fd is closed or the process ends. The surprise of POSIX: the
 * lock goes with the first close of any descriptor of the file in this process.
 *
 * wait_ms  0: at once
 * Errors   ALREADY_EXISTS another process has it (still); CANCELLED
 */
struct hf_status lock_take(struct hf_ctx *ctx, const char *path, int wait_ms,
                           int *ret_fd) HF_MUST_USE;
/* Not to be asked by the holder. */
struct lock_holder lock_look(const char *path);
struct lock_holder lock_look_at(int fd);
/* "process 7", or what else is known of it. */
const char *lock_holder_text(struct hf_arena *arena, const struct lock_holder *holder);

#endif
