/* One lock, one loop. The lock is gone with the process, however that ends. */
#include "cli/supervise/supervisor.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "cli/env.h"
#include "cli/interrupt.h"
#include "cli/supervise/began.h"
#include "cli/supervise/children.h"
#include "cli/supervise/logs.h"
#include "svc/log_files.h"

#define LOG_NAME "supervisor.log"
#define SERVICE_FD 3
#define TEND_MS 200
#define SAVE_US HF_US_PER_S
#define LOGS_US (2 * HF_US_PER_S)
/* Often, for this clock stands still while a machine sleeps, and the one of certificates does not.
 */
#define RENEW_US (5 * HF_US_PER_S)
#define ARENA_BYTES ((size_t)64 << 20)

static const char *lock_path(struct hf_ctx *ctx, const struct place *place)
{
    return hf_path_join(ctx->arena, place->run, "supervisor.lock");
}

struct lock_holder supervisor_find(struct hf_ctx *ctx, const struct place *place)
{
    return lock_look(lock_path(ctx, place));
}

struct hf_status supervisor_take_lock(struct hf_ctx *ctx, const struct place *place, int *ret_lock)
{
    return lock_take(ctx, lock_path(ctx, place), 0, ret_lock);
}

/* When the next things are due, on the monotonic clock. */
struct due {
    bool must_save; /* processes.json is not what runs, or is gone */
    int64_t save_us;
    int64_t renew_us;
    int64_t logs_us;
    struct logs_limits limits;
    int own_log; /* -1: the terminal's or the journal's */
    struct process_entry self;
};

/* A full disk is no reason to stop: what could not be written is written later. */
static void save(struct hf_ctx *ctx, const struct children *children, struct due *due)
{
    struct hf_status saved = children_save(ctx, children, &due->self);

    due->must_save = !hf_is_ok(saved);
    due->save_us = hf_mono_us() + SAVE_US;
    if (!hf_is_ok(saved)) {
        hf_error(ctx, HF_EVENT("processes.not_saved"), HF_TEXT("error", saved.message));
    }
}

/* The operator's, else our own. */
static struct logs_limits limits_of(struct hf_ctx *ctx, const struct place *place)
{
    struct dir_overrides overrides;

    dir_load_overrides(ctx, place->dir, &overrides);
    return (struct logs_limits){.file_bytes = overrides.log_max_bytes > 0
                                                  ? overrides.log_max_bytes
                                                  : (int64_t)SVC_LOG_FILE_MIB << 20,
                                .files = overrides.log_files >= SVC_LOG_FILES_MIN &&
                                                 overrides.log_files <= SVC_LOG_FILES_MAX
                                             ? (int)overrides.log_files
                                             : SVC_LOG_FILES};
}

static void tend_once(struct hf_ctx *ctx, const struct place *place, struct children *children,
                      struct due *due)
{
    if (children_tend(ctx, children)) {
        due->must_save = true;
        due->save_us = 0;
    }
    if (due->must_save && hf_mono_us() >= due->save_us) {
        save(ctx, children, due);
    }
    if (hf_mono_us() >= due->logs_us) {
        logs_tend(ctx, place->log, &due->limits);
        logs_tend_open(ctx, place->log, LOG_NAME, due->own_log, &due->limits);
        due->must_save |= !processes_saved(ctx, place->dir);
        children_tend_logs(ctx, children, &due->limits);
        due->logs_us = hf_mono_us() + LOGS_US;
    }
    if (hf_mono_us() >= due->renew_us) {
        struct hf_status renewed = setup_renew(ctx, place);

        due->renew_us = hf_mono_us() + RENEW_US;
        if (!hf_is_ok(renewed) && renewed.code != HF_ALREADY_EXISTS) {
            hf_error(ctx, HF_EVENT("certificates.not_renewed"), HF_TEXT("error", renewed.message));
        }
    }
}

/* --- being the only one ---------------------------------------------------------------------- */

struct held {
    int run; /* the directory of the lock */
    int lock;
};

static void held_cleanup(struct held *held)
{
    hf_close_cleanup(&held->lock);
    hf_close_cleanup(&held->run);
}

static struct hf_status hold(struct hf_ctx *ctx, const struct place *place, struct held *held)
{
    held->run = open(place->run, O_PATH | O_DIRECTORY | O_CLOEXEC);
    return held->run < 0 ? hf_fail_errno(ctx->arena, errno, "opening %s", place->run)
                         : supervisor_take_lock(ctx, place, &held->lock);
}

/* What cannot be looked at now may still be there. */
enum at_path { THE_SAME, ANOTHER, GONE, UNKNOWN };

static enum at_path look(const char *path, int fd)
{
    struct stat held;
    struct stat named;

    if (lstat(path, &named) != 0) {
        return errno == ENOENT || errno == ENOTDIR ? GONE : UNKNOWN;
    }
    return fstat(fd, &held) == 0 && held.st_dev == named.st_dev && held.st_ino == named.st_ino
               ? THE_SAME
               : ANOTHER;
}

/* Another one may take the lock of a directory that was put in the place of ours, or was made anew;
 * two would run the same servers. A lock that a cleaner of old files took away is made again by
 * whoever comes first. */
static bool is_ours_still(struct hf_ctx *ctx, const struct place *place, struct held *held)
{
    enum at_path found = look(lock_path(ctx, place), held->lock);
    int lock = -1;

    if (found == GONE && look(place->run, held->run) == THE_SAME) {
        struct hf_status taken = supervisor_take_lock(ctx, place, &lock);

        if (!hf_is_ok(taken)) {
            return taken.code != HF_ALREADY_EXISTS;
        }
        hf_warn(ctx, HF_EVENT("lock.made_again"));
        close(held->lock);
        held->lock = lock;
        return true;
    }
    return found == THE_SAME || found == UNKNOWN;
}

struct hf_status supervisor_run(struct hf_ctx *ctx, const struct place *place, int log)
{
    HF_CLEANUP(hf_arena_free) struct hf_arena *arena = hf_arena_new(ARENA_BYTES);
    HF_CLEANUP(held) struct held held = {-1, -1};
    struct hf_ctx step = *ctx;
    struct children children;
    struct due due = {
        .must_save = true,
        .own_log = log,
        .self = {.name = "supervisor", .pid = getpid(), .began = began_look_at_self(ctx, place)},
        .limits = limits_of(ctx, place),
    };

    env_clear();
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) {
        return hf_fail_errno(ctx->arena, errno, "giving up new privileges");
    }
    HF_TRY(hold(ctx, place, &held));
    step.arena = arena;
    children_adopt(ctx, place, &children);
    while (hf_is_ok(hf_ctx_sleep(&step, TEND_MS)) && is_ours_still(&step, place, &held)) {
        tend_once(&step, place, &children, &due);
        hf_arena_reset(arena); /* before the sleep: a round over its memory is no reason to stop */
    }
    step.cancel = NULL; /* stopping is work that still has to be done */
    HF_TRY(children_stop(&step, &children));
    if (!is_ours_still(&step, place, &held)) {
        /* Whoever starts us again starts what is there now. */
        return hf_fail_info(ctx->arena, HF_UNAVAILABLE, "DIRECTORY_REPLACED", NULL,
                            "%s is not what it was, or is gone: its servers are stopped; start "
                            "what is there now with `holdfast up`",
                            place->run);
    }
    return children_save(&step, &children, NULL);
}

/* In the new process: leave the terminal, log to a file, run until a signal comes. */
static _Noreturn void live(const struct place *place, int log)
{
    struct hf_arena *arena = hf_arena_new(ARENA_BYTES);
    struct hf_cancel cancel = {0};
    struct hf_ctx ctx = {.arena = arena, .cancel = &cancel};
    struct place own = *place;
    int null = open("/dev/null", O_RDONLY);

    dup2(null, 0);
    dup2(log, 1);
    dup2(log, 2);
    if (place->service > 0) {
        dup2(place->service, SERVICE_FD);
        own.service = SERVICE_FD;
    }
    close_range(place->service > 0 ? SERVICE_FD + 1 : SERVICE_FD, ~0U, 0);
    umask(077);
    if (chdir("/") != 0) { /* else the file system that `up` was called in could not be unmounted */
        _exit(1);
    }
    hf_log_setup(HF_LOG_INFO, "holdfast-supervisor");
    struct interrupt *interrupt = interrupt_start(&cancel);
    struct hf_status status =
        supervisor_run(&ctx, &own, logs_open(arena, own.log, LOG_NAME, getpid(), ""));

    interrupt_stop(interrupt);
    if (!hf_is_ok(status) && status.code != HF_ALREADY_EXISTS) {
        hf_error(&ctx, HF_EVENT("supervisor.failed"), HF_TEXT("error", status.message));
    }
    _exit(hf_is_ok(status) ? 0 : 1);
}

struct hf_status supervisor_start(struct hf_ctx *ctx, const struct place *place)
{
    const char *path = hf_path_join(ctx->arena, place->log, LOG_NAME);
    HF_CLEANUP(hf_close)
    int log = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);

    if (log < 0) {
        return hf_fail_errno(ctx->arena, errno, "opening %s", path);
    }
    pid_t pid = fork();

    if (pid < 0) {
        return hf_fail_errno(ctx->arena, errno, "starting the supervisor");
    }
    if (pid == 0) {
        setsid();
        if (fork() == 0) {
            live(place, log);
        }
        _exit(0);
    }
    (void)waitpid(pid, NULL, 0);
    return hf_success();
}
