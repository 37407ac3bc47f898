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

/* The kernel says 0 or less of who has no pid here. What it cannot say is no reason to go on. */
struct lock_holder lock_look_at(int fd)
{
    struct flock found = whole;

    if (fd < 0) {
        return (struct lock_holder){.is_held = false};
    }
    if (fcntl(fd, F_GETLK, &found) != 0) {
        return (struct lock_holder){.is_held = true};
    }
    return (struct lock_holder){.is_held = found.l_type != F_UNLCK,
                                .pid =
                                    found.l_type != F_UNLCK && found.l_pid > 0 ? found.l_pid : 0};
}

struct lock_holder lock_look(const char *path)
{
    HF_CLEANUP(hf_close) int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW);

    return lock_look_at(fd);
}

const char *lock_holder_text(struct hf_arena *arena, const struct lock_holder *holder)
{
    return holder->pid > 0 ? hf_printf(arena, "process %d", (int)holder->pid)
                           : "a process that cannot be seen from here (in another container, or on "
                             "another machine)";
}

static struct hf_status held(struct hf_ctx *ctx, const char *path)
{
    const struct lock_holder holder = lock_look(path);
    const char *const metadata[] = {"process", hf_printf(ctx->arena, "%d", (int)holder.pid), NULL};

    return hf_fail_info(ctx->arena, HF_ALREADY_EXISTS, "LOCKED", holder.pid > 0 ? metadata : NULL,
                        "%s holds %s; repeat the command when it has ended",
                        lock_holder_text(ctx->arena, &holder), path);
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
