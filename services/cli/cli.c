/* Tables of commands and what every command shares. */
#include "cli/cli.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/str.h"

void cli_each(bool (*fn)(const struct cli_command *command, void *arg), void *arg)
{
    const struct {
        const struct cli_command *commands;
        size_t len;
    } tables[] = {
        {cli_supervise_commands, cli_supervise_commands_len},
        {cli_client_commands, cli_client_commands_len},
        {cli_vault_commands, cli_vault_commands_len},
    };

    for (size_t t = 0; t < sizeof(tables) / sizeof(tables[0]); t++) {
        for (size_t i = 0; i < tables[t].len; i++) {
            if (!fn(&tables[t].commands[i], arg)) {
                return;
            }
        }
    }
}

struct search {
    const char *path;
    const struct cli_command *found;
};

static bool match(const struct cli_command *command, void *arg)
{
    struct search *search = arg;

    if (hf_text_equal(command->path, search->path)) {
        search->found = command;
    }
    return search->found == NULL;
}

const struct cli_command *cli_find(const char *path)
{
    struct search search = {path, NULL};

    cli_each(match, &search);
    return search.found;
}

const char *cli_arg(const struct cli *cli, size_t i)
{
    return i < cli->args_len ? cli->args[i] : NULL;
}

const char *cli_option(const struct cli *cli, const char *name)
{
    const char *value = NULL;

    for (size_t i = 0; i < cli->values_len; i++) {
        if (hf_text_equal(cli->values[i].name, name)) {
            value = cli->values[i].value;
        }
    }
    return value;
}

bool cli_flag(const struct cli *cli, const char *name)
{
    return cli_option(cli, name) != NULL;
}

const char *cli_option_at(const struct cli *cli, const char *name, size_t i)
{
    for (size_t k = 0; k < cli->values_len; k++) {
        if (hf_text_equal(cli->values[k].name, name)) {
            if (i == 0) {
                return cli->values[k].value;
            }
            i--;
        }
    }
    return NULL;
}

struct hf_status cli_usage(struct cli *cli, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    const char *message = hf_vprintf(cli->ctx.arena, format, args);
    va_end(args);
    return hf_fail(cli->ctx.arena, HF_INVALID_ARGUMENT, "%s", message);
}

enum cli_exit cli_exit_of(struct hf_status status)
{
    static const enum cli_exit exits[] = {
        [HF_OK] = CLI_DONE,
        [HF_CANCELLED] = CLI_INTERRUPTED,
        [HF_UNKNOWN] = CLI_FAILED,
        [HF_INVALID_ARGUMENT] = CLI_USAGE,
        [HF_DEADLINE_EXCEEDED] = CLI_UNAVAILABLE,
        [HF_NOT_FOUND] = CLI_NOT_FOUND,
        [HF_ALREADY_EXISTS] = CLI_PRECONDITION,
        [HF_PERMISSION_DENIED] = CLI_PRECONDITION,
        [HF_RESOURCE_EXHAUSTED] = CLI_PRECONDITION,
        [HF_FAILED_PRECONDITION] = CLI_PRECONDITION,
        [HF_ABORTED] = CLI_PRECONDITION,
        [HF_OUT_OF_RANGE] = CLI_PRECONDITION,
        [HF_UNIMPLEMENTED] = CLI_FAILED,
        [HF_INTERNAL] = CLI_FAILED,
        [HF_UNAVAILABLE] = CLI_UNAVAILABLE,
        [HF_DATA_LOSS] = CLI_FAILED,
        [HF_UNAUTHENTICATED] = CLI_PRECONDITION,
    };

    return (size_t)status.code < sizeof(exits) / sizeof(exits[0]) ? exits[status.code] : CLI_FAILED;
}
