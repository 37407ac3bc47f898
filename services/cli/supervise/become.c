/* The drop of privileges, here or in a child. */
#include "cli/supervise/become.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "cli/interrupt.h"
#include "cli/out.h"

#define LOOK_MS 200
#define PIECE_BYTES 4096

/* What was asked for is looked at: a half-done drop is worse than none. */
static bool is_dropped(const struct account *account)
{
    uid_t uids[3];
    gid_t gids[3];

    return getresuid(&uids[0], &uids[1], &uids[2]) == 0 &&
           getresgid(&gids[0], &gids[1], &gids[2]) == 0 && uids[0] == account->uid &&
           uids[1] == account->uid && uids[2] == account->uid && gids[0] == account->gid &&
           gids[1] == account->gid && gids[2] == account->gid && setuid(0) != 0;
}

struct hf_status become(struct hf_ctx *ctx, const struct account *account)
{
    if (account->uid == 0) {
        return hf_fail(ctx->arena, HF_FAILED_PRECONDITION, "servers never run as root");
    }
    if (setgroups(1, &account->gid) != 0 ||
        setresgid(account->gid, account->gid, account->gid) != 0 ||
        setresuid(account->uid, account->uid, account->uid) != 0 ||
        prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || prctl(PR_SET_DUMPABLE, 0) != 0) {
        return hf_fail_errno(ctx->arena, errno, "becoming %s", account->name);
    }
    umask(077);
    return is_dropped(account) && chdir("/") == 0
               ? hf_success()
               : hf_fail(ctx->arena, HF_PERMISSION_DENIED, "cannot become %s", account->name);
}

struct child {
    struct cli *cli;
    pid_t pid;
    int answer;
    bool is_told; /* of the interrupt */
};

static _Noreturn void live(struct cli *cli, const struct account *account, become_fn fn, void *arg,
                           int fd)
{
    struct cli own = *cli;

    own.ctx.cancel = &own.interrupted;
    struct hf_status status = become(&own.ctx, account);

    (void)prctl(PR_SET_PDEATHSIG, SIGTERM); /* setresuid would reset it */
    struct interrupt *interrupt = interrupt_start(&own.interrupted);

    if (hf_is_ok(status)) {
        status = fn(&own, arg, fd);
    }
    interrupt_stop(interrupt);
    if (!hf_is_ok(status)) {
        out_error(&own, status);
    }
    bool is_written = fflush(stdout) == 0;

    _exit(own.exit_code >= 0  ? own.exit_code
          : !hf_is_ok(status) ? (int)cli_exit_of(status)
          : is_written        ? (int)CLI_DONE
                              : (int)CLI_FAILED);
}

/* The terminal sends Ctrl-C to both; what `kill` sent to us is sent on. */
static void pass_on(struct child *child)
{
    if (!child->is_told && atomic_load(&child->cli->interrupted.is_set)) {
        child->is_told = true;
        kill(child->pid, SIGTERM);
    }
}

/* Read until the child closes its end, which it does by ending. */
static struct hf_status read_answer(struct child *child, struct hf_buf *answer)
{
    struct hf_ctx ctx = child->cli->ctx;
    char piece[PIECE_BYTES];
    ssize_t got = 1;

    ctx.cancel = NULL; /* the child is told and ends by itself */
    while (got != 0) {
        short events = 0;

        pass_on(child);
        HF_TRY(hf_ctx_wait_fd(&ctx, child->answer, POLLIN, LOOK_MS, &events));
        got = events == 0 ? 1 : read(child->answer, piece, sizeof(piece));
        if (got < 0 && errno != EINTR) {
            return hf_fail_errno(ctx.arena, errno, "reading the answer of process %d",
                                 (int)child->pid);
        }
        if (events != 0 && got > 0) {
            hf_buf_append(answer, piece, (size_t)got);
        }
    }
    explicit_bzero(piece, sizeof(piece));
    return hf_buf_status(answer, ctx.arena, "the child's answer");
}

static struct hf_status await(struct child *child, struct hf_buf *answer)
{
    struct hf_status status = read_answer(child, answer);
    int how = 0;

    if (!hf_is_ok(status)) {
        kill(child->pid, SIGKILL);
    }
    while (waitpid(child->pid, &how, 0) < 0 && errno == EINTR) {
    }
    HF_TRY(status);
    if (WIFEXITED(how) && WEXITSTATUS(how) == 0) {
        return hf_success();
    }
    child->cli->exit_code = WIFEXITED(how) ? WEXITSTATUS(how) : (int)CLI_FAILED;
    return hf_fail(child->cli->ctx.arena, HF_ABORTED, "process %d failed", (int)child->pid);
}

struct hf_status become_run(struct cli *cli, const struct account *account, become_fn fn, void *arg,
                            struct hf_buf *ret_answer)
{
    int ends[2];

    if (fflush(stdout) != 0 || pipe2(ends, O_CLOEXEC) != 0) {
        return hf_fail_errno(cli->ctx.arena, errno, "making a pipe");
    }
    struct child child = {.cli = cli, .answer = ends[0], .pid = fork()};

    if (child.pid == 0) {
        close(ends[0]);
        live(cli, account, fn, arg, ends[1]);
    }
    close(ends[1]);
    struct hf_status status = child.pid < 0
                                  ? hf_fail_errno(cli->ctx.arena, errno, "starting a process")
                                  : await(&child, ret_answer);

    close(ends[0]);
    return status;
}
