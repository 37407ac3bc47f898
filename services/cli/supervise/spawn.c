/* fork and exec. Between the two only calls that are safe in a child of a threaded process. */
#include "cli/supervise/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/str.h"
#include "cli/supervise/logs.h"

#define LOG_TAIL 2000
#define WAIT_MS 1000

struct launch {
    const char *const *argv;
    const char *const *environment;
    const char *dir;
    int held; /* the program, when argv[0] leads through a closed directory; 0: it does not */
    const struct svc_confine_plan *plan; /* NULL: not confined */
    int input;                           /* -1: none */
    int log;
    bool is_short; /* waited for: it ends with its parent, however that ends */
};

/* After the plan, which is a descriptor, too. The program's directory may be root's and closed: it
 * is held then. */
static void exec_program(const struct launch *launch)
{
    union {
        const char *const *in;
        char *const *out;
    } argv = {launch->argv}, environment = {launch->environment};
    bool is_held = launch->held > 0 && close_range(3, ~0U, CLOSE_RANGE_CLOEXEC) == 0;

    if (!is_held) {
        close_range(3, ~0U, 0);
    }
    execve(launch->argv[0], argv.out, environment.out);
    if (is_held && errno == EACCES) {
        execveat(launch->held, "", argv.out, environment.out, AT_EMPTY_PATH);
    }
}

static _Noreturn void exec_it(const struct launch *launch)
{
    sigset_t none;
    int null = open("/dev/null", O_RDONLY);

    setsid();
    sigemptyset(&none);
    /* NOLINTNEXTLINE(concurrency-mt-unsafe): the child of a fork has one thread */
    sigprocmask(SIG_SETMASK, &none, NULL);
    dup2(launch->input >= 0 ? launch->input : null, 0);
    dup2(launch->log, 1);
    dup2(launch->log, 2);
    if (launch->is_short && prctl(PR_SET_PDEATHSIG, SIGKILL) != 0) {
        _exit(126);
    }
    umask(077);
    if (chdir(launch->dir) != 0 || (launch->plan != NULL && svc_confine_apply(launch->plan) != 0)) {
        _exit(126);
    }
    exec_program(launch);
    _exit(127);
}

static struct hf_status open_log(struct hf_ctx *ctx, const struct place *place, const char *name,
                                 int *ret_log)
{
    const char *path = hf_path_join(ctx->arena, place->log, name);
    int log = open(path, O_WRONLY | O_CREAT | O_APPEND | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW, 0600);

    if (log < 0) {
        return hf_fail_errno(ctx->arena, errno, "opening %s", path);
    }
    *ret_log = log;
    return hf_success();
}

/* launch: what is started and how; the rest of it is filled in here. */
static struct hf_status start(struct hf_ctx *ctx, const struct place *place, struct launch *launch,
                              pid_t *ret_pid)
{
    static const char *const environment[] = {"PATH=/usr/local/bin:/usr/bin:/bin", "LC_ALL=C.UTF-8",
                                              NULL};

    launch->environment = environment;
    launch->dir = place->dir;
    launch->held = hf_has_suffix(launch->argv[0], "/" PLACE_SERVICE) ? place->service : 0;
    pid_t pid = fork();

    if (pid < 0) {
        return hf_fail_errno(ctx->arena, errno, "starting %s", launch->argv[0]);
    }
    if (pid == 0) {
        exec_it(launch);
    }
    *ret_pid = pid;
    return hf_success();
}

struct hf_status spawn_start(struct hf_ctx *ctx, const struct place *place,
                             const char *const argv[], const char *log_name,
                             const struct svc_confine_plan *plan, pid_t *ret_pid)
{
    HF_CLEANUP(hf_close) int log = -1;

    HF_TRY(open_log(ctx, place, log_name, &log));
    struct launch launch = {.argv = argv, .plan = plan, .input = -1, .log = log};

    return start(ctx, place, &launch, ret_pid);
}

static struct hf_status failed(struct hf_ctx *ctx, const struct place *place, const char *program,
                               const char *log_name)
{
    const char *path = hf_path_join(ctx->arena, place->log, log_name);

    return hf_fail(ctx->arena, HF_INTERNAL, "%s failed (%s): …%s", program, path,
                   logs_tail(ctx->arena, path, LOG_TAIL));
}

struct hf_status spawn_wait(struct hf_ctx *ctx, const struct place *place,
                            const struct spawn_job *job)
{
    int64_t end_us = hf_mono_us() + job->seconds * HF_US_PER_S;
    HF_CLEANUP(hf_close) int log = -1;
    pid_t pid = 0;
    int status = 0;

    HF_TRY(open_log(ctx, place, job->log_name, &log));
    struct launch launch = {.argv = job->argv, .input = job->input, .log = log, .is_short = true};

    HF_TRY(start(ctx, place, &launch, &pid));
    while (waitpid(pid, &status, WNOHANG) == 0) {
        struct hf_status slept = hf_ctx_sleep(ctx, 50);

        if (!hf_is_ok(slept) || hf_mono_us() > end_us) {
            kill(-pid, SIGKILL);
            (void)waitpid(pid, &status, 0);
            return hf_is_ok(slept) ? failed(ctx, place, job->argv[0], job->log_name) : slept;
        }
    }
    return WIFEXITED(status) && WEXITSTATUS(status) == 0
               ? hf_success()
               : failed(ctx, place, job->argv[0], job->log_name);
}

/* Until it closes its outputs, by ending. */
static struct hf_status listen_to(struct hf_ctx *ctx, int fd, struct hf_buf *text)
{
    char piece[1024];
    ssize_t got = 1;

    while (got != 0) {
        short events = 0;

        HF_TRY(hf_ctx_wait_fd(ctx, fd, POLLIN, WAIT_MS, &events));
        got = events == 0 ? 1 : read(fd, piece, sizeof(piece));
        if (got < 0 && errno != EINTR) {
            return hf_fail_errno(ctx->arena, errno, "reading an answer");
        }
        if (events != 0 && got > 0) {
            hf_buf_append(text, piece, (size_t)got);
        }
    }
    return hf_success();
}

struct hf_status spawn_ask(struct hf_ctx *ctx, const struct place *place, const char *const argv[],
                           int seconds, struct hf_buf *ret_text, int *ret_code)
{
    struct hf_ctx step = *ctx;
    int ends[2];
    int how = 0;
    pid_t pid = 0;

    if (pipe2(ends, O_CLOEXEC) != 0) {
        return hf_fail_errno(ctx->arena, errno, "making a pipe");
    }
    HF_CLEANUP(hf_close) int answer = ends[0];
    struct launch launch = {.argv = argv, .input = -1, .log = ends[1], .is_short = true};
    struct hf_status status = start(ctx, place, &launch, &pid);

    close(ends[1]);
    HF_TRY(status);
    step.deadline_us = hf_mono_us() + seconds * HF_US_PER_S;
    status = listen_to(&step, answer, ret_text);
    if (!hf_is_ok(status)) {
        kill(-pid, SIGKILL);
    }
    while (waitpid(pid, &how, 0) < 0 && errno == EINTR) {
    }
    *ret_code = WIFEXITED(how) ? WEXITSTATUS(how) : 126;
    return status.code == HF_DEADLINE_EXCEEDED ? hf_success() : status;
}
