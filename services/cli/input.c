/* One line, waited for with poll: a read that blocks would not see Ctrl-C. */
#include "cli/input.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "base/buf.h"

#define LOOK_MS 200

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
