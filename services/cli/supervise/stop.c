/* Stopping, as oneself or as root. A pid that was read is held by a pidfd before it is judged. */
#include "cli/supervise/stop.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/beneath.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/str.h"
#include "cli/supervise/become.h"
#include "cli/supervise/children.h"
#include "cli/supervise/lock.h"
#include "cli/supervise/place.h"
#include "cli/supervise/supervisor.h"

#define STOP_SECONDS 120
#define LOCK_OF_SUPERVISOR "run/supervisor.lock"
#define EXE_MAX 4096

static struct hf_status refuse(struct cli *cli, const struct lock_holder *holder)
{
    return hf_fail_info(cli->ctx.arena, HF_FAILED_PRECONDITION, "STILL_RUNS", NULL,
                        "%s holds the lock of %s and cannot be stopped; end it first",
                        lock_holder_text(cli->ctx.arena, holder), cli->dir);
}

/* --- as oneself ----------------------------------------------------------------------------- */

static struct hf_status await_end(struct cli *cli, int pidfd)
{
    int64_t end_us = hf_mono_us() + STOP_SECONDS * HF_US_PER_S;
    short events = 0;

    while (events == 0) {
        if (hf_mono_us() > end_us) {
            (void)pidfd_send_signal(pidfd, SIGKILL, NULL, 0);
        }
        HF_TRY(hf_ctx_wait_fd(&cli->ctx, pidfd, POLLIN, 1000, &events));
    }
    return hf_success();
}

static struct hf_status stop_supervisor(struct cli *cli, const struct place *place)
{
    const struct lock_holder holder = supervisor_find(&cli->ctx, place);
    HF_CLEANUP(hf_close) int pidfd = holder.pid == 0 ? -1 : pidfd_open(holder.pid, 0);
    const struct lock_holder still = supervisor_find(&cli->ctx, place);

    if (!still.is_held || still.pid != holder.pid) {
        return hf_success(); /* it has just ended; the pid may be another's by now */
    }
    return pidfd >= 0 && pidfd_send_signal(pidfd, SIGTERM, NULL, 0) == 0 ? await_end(cli, pidfd)
                                                                         : refuse(cli, &holder);
}

/* The lock of set-up first: whoever has the supervisor's is a supervisor then, and no other `down`.
 */
static struct hf_status take_locks(struct cli *cli, const struct place *place,
                                   struct stopped *stopped)
{
    HF_TRY(hf_make_dirs(cli->ctx.arena, place->run, 0700)); /* a destroying that was cut off */
    HF_TRY(setup_take_lock(&cli->ctx, place, &stopped->setup_lock));
    for (;;) {
        struct hf_status status = supervisor_take_lock(&cli->ctx, place, &stopped->supervisor_lock);

        if (status.code != HF_ALREADY_EXISTS) {
            return status;
        }
        HF_TRY(stop_supervisor(cli, place));
    }
}

static struct hf_status stop_children(struct cli *cli, const struct place *place)
{
    struct children children;

    children_adopt(&cli->ctx, place, &children); /* of a supervisor that was killed */
    HF_TRY(children_stop(&cli->ctx, &children));
    return children_save(&cli->ctx, &children, NULL);
}

struct hf_status stop_own(struct cli *cli, struct stopped *stopped)
{
    struct place place;

    HF_TRY(place_of(&cli->ctx, cli->dir, &place));
    HF_TRY(take_locks(cli, &place, stopped));
    return stop_children(cli, &place);
}

void stopped_done(struct stopped *stopped)
{
    hf_close_cleanup(&stopped->supervisor_lock);
    hf_close_cleanup(&stopped->setup_lock);
}

/* --- as root -------------------------------------------------------------------------------- */

static bool is_holdfast(struct hf_arena *arena, pid_t pid)
{
    char *exe = hf_alloc(arena, EXE_MAX);
    ssize_t len = readlink(hf_printf(arena, "/proc/%d/exe", (int)pid), exe, EXE_MAX - 1);

    exe[len > 0 ? len : 0] = '\0';
    return hf_has_suffix(exe, "/holdfast") || hf_has_suffix(exe, "/holdfast (deleted)");
}

/* Whoever holds the lock of another file, by a link from here, is none of ours. */
static struct lock_holder find_supervisor(int dir)
{
    HF_CLEANUP(hf_close)
    int fd = hf_beneath_open(dir, LOCK_OF_SUPERVISOR, O_RDONLY | O_NONBLOCK, 0);
    struct stat found;

    return fd >= 0 && fstat(fd, &found) == 0 && S_ISREG(found.st_mode) && found.st_nlink == 1
               ? lock_look_at(fd)
               : (struct lock_holder){.is_held = false};
}

static bool can_be_ended(struct cli *cli, pid_t pid, const struct account *owner)
{
    uid_t uid = 0;
    pid_t parent = 0;

    return children_read_kin(cli->ctx.arena, pid, &parent, &uid) &&
           (uid == 0 ? is_holdfast(cli->ctx.arena, pid) : uid == owner->uid);
}

static struct hf_status end_supervisor(struct cli *cli, int dir, const struct account *owner)
{
    const struct lock_holder holder = find_supervisor(dir);
    HF_CLEANUP(hf_close) int pidfd = holder.pid == 0 ? -1 : pidfd_open(holder.pid, 0);
    const struct lock_holder still = find_supervisor(dir);
    int64_t end_us = hf_mono_us() + STOP_SECONDS * HF_US_PER_S;
    short events = 0;

    if (!still.is_held) {
        return hf_success();
    }
    if (pidfd < 0 || still.pid != holder.pid || !can_be_ended(cli, holder.pid, owner) ||
        pidfd_send_signal(pidfd, SIGTERM, NULL, 0) != 0) {
        return refuse(cli, &still);
    }
    while (events == 0 && hf_mono_us() < end_us) {
        HF_TRY(hf_ctx_wait_fd(&cli->ctx, pidfd, POLLIN, 1000, &events));
    }
    return events != 0 ? hf_success() : refuse(cli, &holder);
}

static struct hf_status end_servers(struct cli *cli, void *arg, int fd)
{
    struct place place;
    struct children children;

    (void)arg;
    (void)fd;
    HF_TRY(place_of(&cli->ctx, cli->dir, &place));
    children_adopt(&cli->ctx, &place, &children);
    return children_stop(&cli->ctx, &children);
}

struct hf_status stop_all(struct cli *cli, int dir, const struct account *owner)
{
    HF_CLEANUP(hf_buf_done) struct hf_buf answer = {0};

    HF_TRY(end_supervisor(cli, dir, owner));
    if (owner->uid == 0) {
        return hf_success(); /* servers never ran as root */
    }
    hf_buf_init(&answer, BECOME_ANSWER_MAX);
    return become_run(cli, owner, end_servers, NULL, &answer);
}
