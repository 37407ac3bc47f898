/* fcntl locks over a whole file. */
#include "cli/supervise/lock.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/str.h"

#define LOOK_MS 50

static const struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

pid_t lock_owner_of(int fd)
{
    struct flock found = whole;

    return fd < 0 || fcntl(fd, F_GETLK, &found) != 0 || found.l_type == F_UNLCK ? 0 : found.l_pid;
}

pid_t lock_owner(const char *path)
{
    HF_CLEANUP(hf_close) int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW);

    return lock_owner_of(fd);
}

static struct hf_status held(struct hf_ctx *ctx, const char *path)
{
    int pid = (int)lock_owner(path);
    const char *const metadata[] = {"process", hf_printf(ctx->arena, "%d", pid), NULL};

    return hf_fail_info(ctx->arena, HF_ALREADY_EXISTS, "LOCKED", metadata,
                        "process %d holds %s; wait for it, or end it with `kill %d`, then repeat "
                        "the command",
                        pid, path, pid);
}

struct hf_status lock_take(struct hf_ctx *ctx, const char *path, int wait_ms, int *ret_fd)
{
    int64_t end_us = hf_mono_us() + INT64_C(1000) * wait_ms;
    HF_CLEANUP(hf_close)
    int fd = open(path, O_RDWR | O_CREAT | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW, 0600);

    if (fd < 0) {
        return hf_fail_errno(ctx->arena, errno, "opening %s", path);
    }
    while (fcntl(fd, F_SETLK, &whole) != 0) {
        if (errno != EAGAIN && errno != EACCES) {
            return hf_fail_errno(ctx->arena, errno, "locking %s", path);
        }
        if (hf_mono_us() >= end_us) {
            return held(ctx, path);
        }
        HF_TRY(hf_ctx_sleep(ctx, LOOK_MS));
    }
    *ret_fd = fd;
    fd = -1; /* the caller's now */
    return hf_success();
}
