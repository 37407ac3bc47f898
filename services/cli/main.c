/* holdfast: from argv to an exit code. */
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/pool.h"
#include "cli/dir.h"
#include "cli/env.h"
#include "cli/interrupt.h"
#include "cli/out.h"
#include "cli/parse.h"
#include "svc/run.h"

#ifndef HF_VERSION
#define HF_VERSION "0.1.0"
#endif

#define ARENA_BYTES ((size_t)512 << 20)

static struct hf_status run(struct cli *cli)
{
    cli->dir = "";
    if (!cli_flag(cli, "vault")) { /* the offline reader needs no installation, nor a HOME */
        HF_TRY(dir_choose(&cli->ctx, cli_option(cli, "dir"), &cli->dir));
    }
    HF_TRY(geteuid() == 0 && cli->command->run_root != NULL ? cli->command->run_root(cli)
                                                            : cli->command->run(cli));
    return hf_arena_check(cli->ctx.arena);
}

static enum cli_exit finish(struct cli *cli, struct hf_status status)
{
    if ((fflush(stdout) != 0 || ferror(stdout) != 0) && hf_is_ok(status)) {
        status = hf_fail_errno(cli->ctx.arena, errno, "writing to standard output");
        cli->exit_code = CLI_FAILED;
    }
    if (!hf_is_ok(status)) {
        out_error(cli, status);
    }
    if (cli->exit_code >= 0) {
        return (enum cli_exit)cli->exit_code;
    }
    if (!hf_is_ok(status) && cli->command != NULL && cli->command->failure_exit != 0) {
        return (enum cli_exit)cli->command->failure_exit;
    }
    return cli_exit_of(status);
}

int main(int argc, char *argv[])
{
    HF_CLEANUP(hf_arena_free) struct hf_arena *arena = hf_arena_new(ARENA_BYTES);
    struct cli cli = {.ctx = {.arena = arena}, .exit_code = -1};
    enum parse_wish wish = PARSE_RUN;
    const char *group = "";

    env_fill_descriptors();
    env_forget_libpq();
    svc_process_prepare();
    hf_log_setup(HF_LOG_WARN, "holdfast");
    cli.ctx.cancel = &cli.interrupted;
    cli.is_terminal = isatty(STDERR_FILENO) == 1;
    struct hf_status status = parse_args(&cli, argc, (const char *const *)argv, &wish, &group);

    if (!hf_is_ok(status)) {
        return (int)finish(&cli, status);
    }
    if (wish == PARSE_HELP) {
        parse_help(&cli, group);
        return CLI_DONE;
    }
    if (wish == PARSE_VERSION) {
        printf("holdfast %s\n", HF_VERSION);
        return CLI_DONE;
    }
    struct interrupt *interrupt = interrupt_start(&cli.interrupted);
    enum cli_exit code = finish(&cli, run(&cli));

    interrupt_stop(interrupt);
    return (int)code;
}
