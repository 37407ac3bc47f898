/* Record locks on a file. The kernel knows the owner, so neither a file that stayed behind nor a
 * pid that was given away again can mislead, and a child of a fork does not hold its parent's lock.
 */
#ifndef HF_CLI_SUPERVISE_LOCK_H
#define HF_CLI_SUPERVISE_LOCK_H

#include <sys/types.h>

#include "base/ctx.h"

/* Take the lock and keep it until ret_fd is closed or the process ends. The surprise of POSIX: the
 * lock goes with the first close of any descriptor of the file in this process.
 *
 * wait_ms  0: at once
 * Errors   ALREADY_EXISTS another process has it (still); CANCELLED
 */
struct hf_status lock_take(struct hf_ctx *ctx, const char *path, int wait_ms,
                           int *ret_fd) HF_MUST_USE;
/* The process that holds the lock, 0 when nobody does. Not to be asked by the holder. */
pid_t lock_owner(const char *path);
pid_t lock_owner_of(int fd);

#endif
