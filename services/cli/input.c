/* One line, or a pipe, waited for with poll: a read that blocks would not see Ctrl-C. */
#include "cli/input.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <termios.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/fd.h"

#define LOOK_MS 200
#define PIPE_US (INT64_C(30) * HF_US_PER_S)

/* A terminal gives line by line; of anything else the rest is read, too, so that its writer ends.
 */
static struct hf_status take(struct cli *cli, bool is_terminal, struct hf_buf *text)
{
    char piece[512];
    ssize_t got = 1;
    bool has_line = false;

    while (got > 0 && !(is_terminal && has_line)) {
        short events = 0;

        HF_TRY(hf_ctx_wait_fd(&cli->ctx, STDIN_FILENO, POLLIN, LOOK_MS, &events));
        if (events == 0) {
            continue;
        }
        got = read(STDIN_FILENO, piece, sizeof(piece));
        if (got < 0) {
            return hf_fail_errno(cli->ctx.arena, errno, "reading standard input");
        }
        hf_buf_append(text, piece, (size_t)got);
        has_line = memchr(piece, '\n', (size_t)got) != NULL;
        explicit_bzero(piece, sizeof(piece));
    }
    return hf_buf_status(text, cli->ctx.arena, "standard input");
}

struct hf_status input_line(struct cli *cli, const char *prompt, bool is_secret, size_t max,
                            const char **ret_line)
{
    HF_CLEANUP(hf_buf_done) struct hf_buf text = {0};
    struct termios before = {0};
    bool is_terminal = isatty(STDIN_FILENO) == 1;
    bool is_hidden = is_terminal && is_secret && tcgetattr(STDIN_FILENO, &before) == 0;
    struct termios hidden = before;

    hf_buf_init(&text, max);
    if (is_terminal) {
        fprintf(stderr, "%s", prompt);
    }
    if (is_hidden) {
        hidden.c_lflag &= ~(tcflag_t)ECHO;
        (void)tcsetattr(STDIN_FILENO, TCSAFLUSH, &hidden);
    }
    struct hf_status status = take(cli, is_terminal, &text);

    if (is_hidden) {
        (void)tcsetattr(STDIN_FILENO, TCSAFLUSH, &before);
        fprintf(stderr, "\n");
    }
    HF_TRY(status);
    const char *all = hf_buf_text(&text);

    *ret_line = hf_strndup(cli->ctx.arena, all, strcspn(all, "\r\n"));
    return hf_success();
}

static struct hf_status take_pipe(const struct hf_ctx *ctx, int fd, const char *path,
                                  struct hf_buf *buf)
{
    char piece[512];
    ssize_t got = 1;

    while (got != 0) {
        short events = 0;

        HF_TRY(hf_ctx_wait_fd(ctx, fd, POLLIN, LOOK_MS, &events));
        if (events == 0) {
            continue;
        }
        got = read(fd, piece, sizeof(piece));
        if (got < 0 && errno != EAGAIN && errno != EINTR) {
            return hf_fail_errno(ctx->arena, errno, "reading %s", path);
        }
        hf_buf_append(buf, piece, got > 0 ? (size_t)got : 0);
        explicit_bzero(piece, sizeof(piece));
        HF_TRY(hf_buf_status(buf, ctx->arena, path));
    }
    return hf_success();
}

/* One without a name was handed over by whoever started us: a shell, sudo. One that stands
 * somewhere with a name may be a trap. */
static bool is_handed_over(int fd)
{
    struct statfs where;

    return fstatfs(fd, &where) == 0 && where.f_type == PIPEFS_MAGIC;
}

struct hf_status input_file(struct cli *cli, const char *path, struct hf_buf *buf)
{
    HF_CLEANUP(hf_close) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    struct hf_arena *arena = cli->ctx.arena;
    struct hf_ctx ctx = cli->ctx;
    struct stat found;

    if (fd < 0 || fstat(fd, &found) != 0) {
        return hf_fail_errno(arena, errno, "opening %s", path);
    }
    if (S_ISREG(found.st_mode)) {
        return hf_read_open(arena, fd, path, buf);
    }
    if (S_ISFIFO(found.st_mode) && found.st_uid != geteuid() && !is_handed_over(fd)) {
        return hf_fail(arena, HF_FAILED_PRECONDITION,
                       "%s is a pipe of user %u: of pipes only your own are read", path,
                       (unsigned)found.st_uid);
    }
    ctx.deadline_us = hf_mono_us() + PIPE_US;
    return hf_wrap(arena, take_pipe(&ctx, fd, path, buf), "reading %s", path);
}

bool input_is_pipe(const char *path)
{
    struct stat found;

    return stat(path, &found) == 0 && S_ISFIFO(found.st_mode);
}
