/* One lock, one loop. The lock belongs to the open file, so it is gone with the process, however
 * that ends; the pid in the file is only for people and for `down`. */
#include "cli/supervise/supervisor.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/str.h"
#include "cli/interrupt.h"
#include "cli/supervise/children.h"

#define TEND_MS 200
#define RENEW_US (INT64_C(600) * HF_US_PER_S)
#define ARENA_BYTES ((size_t)64 << 20)

static const char *lock_path(struct hf_ctx *ctx, const struct place *place)
{
    return hf_path_join(ctx->arena, place->run, "supervisor.lock");
}

static struct hf_status take_lock(struct hf_ctx *ctx, const struct place *place, int *ret_fd)
{
    const char *path = lock_path(ctx, place);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

    if (fd < 0) {
        return hf_fail_errno(ctx->arena, errno, "opening %s", path);
    }
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        close(fd);
        return hf_fail(ctx->arena, HF_ALREADY_EXISTS, "a supervisor runs for %s already",
                       place->dir);
    }
    const char *pid = hf_printf(ctx->arena, "%d\n", (int)getpid());

    if (ftruncate(fd, 0) != 0 ||
        !hf_is_ok(hf_pwrite_all(ctx->arena, fd, pid, strlen(pid), 0, path))) {
        close(fd);
        return hf_fail_errno(ctx->arena, errno, "writing %s", path);
    }
    *ret_fd = fd;
    return hf_success();
}

pid_t supervisor_find(struct hf_ctx *ctx, const struct place *place)
{
    const char *path = lock_path(ctx, place);
    HF_CLEANUP(hf_close) int fd = open(path, O_RDONLY | O_CLOEXEC);
    HF_CLEANUP(hf_buf_done) struct hf_buf text = {0};
    uint64_t pid = 0;

    if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB) == 0) {
        return 0;
    }
    hf_buf_init(&text, 64);
    if (!hf_is_ok(hf_read_file(ctx->arena, path, &text)) || text.len == 0) {
        return 0;
    }
    const char *all = hf_buf_text(&text);

    return hf_parse_u64(hf_strndup(ctx->arena, all, strcspn(all, "\n")), &pid) ? (pid_t)pid : 0;
}

static void tend_once(struct hf_ctx *ctx, const struct place *place, struct children *children,
                      int64_t *renew_us)
{
    if (children_tend(ctx, children)) {
        struct hf_status saved = children_save(ctx, children, getpid());

        if (!hf_is_ok(saved)) {
            hf_error(ctx, HF_EVENT("processes.not_saved"), HF_TEXT("error", saved.message));
        }
    }
    if (hf_mono_us() >= *renew_us) {
        struct hf_status renewed = setup_certificates(ctx, place);

        *renew_us = hf_mono_us() + RENEW_US;
        if (!hf_is_ok(renewed)) {
            hf_error(ctx, HF_EVENT("certificates.not_renewed"), HF_TEXT("error", renewed.message));
        }
    }
}

struct hf_status supervisor_run(struct hf_ctx *ctx, const struct place *place)
{
    HF_CLEANUP(hf_arena_free) struct hf_arena *arena = hf_arena_new(ARENA_BYTES);
    HF_CLEANUP(hf_close) int lock = -1;
    struct hf_ctx step = *ctx;
    struct children children;
    int64_t renew_us = 0;

    HF_TRY(take_lock(ctx, place, &lock));
    step.arena = arena;
    children_adopt(ctx, place, &children);
    HF_TRY(children_save(ctx, &children, getpid()));
    while (hf_is_ok(hf_ctx_sleep(&step, TEND_MS))) {
        hf_arena_reset(arena);
        tend_once(&step, place, &children, &renew_us);
    }
    step.cancel = NULL; /* stopping is work that still has to be done */
    children_stop(&step, &children);
    return children_save(&step, &children, 0);
}

/* In the new process: leave the terminal, log to a file, run until a signal comes. */
static _Noreturn void live(const struct place *place, int log)
{
    struct hf_arena *arena = hf_arena_new(ARENA_BYTES);
    struct hf_cancel cancel = {0};
    struct hf_ctx ctx = {.arena = arena, .cancel = &cancel};
    int null = open("/dev/null", O_RDONLY);

    dup2(null, 0);
    dup2(log, 1);
    dup2(log, 2);
    close_range(3, ~0U, 0);
    hf_log_setup(HF_LOG_INFO, "holdfast-supervisor");
    struct interrupt *interrupt = interrupt_start(&cancel);
    struct hf_status status = supervisor_run(&ctx, place);

    interrupt_stop(interrupt);
    if (!hf_is_ok(status) && status.code != HF_ALREADY_EXISTS) {
        hf_error(&ctx, HF_EVENT("supervisor.failed"), HF_TEXT("error", status.message));
    }
    _exit(hf_is_ok(status) ? 0 : 1);
}

struct hf_status supervisor_start(struct hf_ctx *ctx, const struct place *place)
{
    const char *path = hf_path_join(ctx->arena, place->log, "supervisor.log");
    HF_CLEANUP(hf_close) int log = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);

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
