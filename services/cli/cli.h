/* The frame of the command line: one row per command, options by table, one way to end.
 *
 *   static struct hf_status run(struct cli *cli) { … cli_arg(cli, 0) … cli_option(cli, "wait") … }
 *
 * Exit codes: 0 done, 1 failed, 2 usage, 3 not found, 4 precondition, 5 unavailable,
 * 130 interrupted.
 */
#ifndef HF_CLI_CLI_H
#define HF_CLI_CLI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/ctx.h"

enum cli_exit {
    CLI_DONE = 0,
    CLI_FAILED = 1,
    CLI_USAGE = 2,
    CLI_NOT_FOUND = 3,
    CLI_PRECONDITION = 4,
    CLI_UNAVAILABLE = 5,
    CLI_INTERRUPTED = 130,
    CLI_ABORT_RECOVERY = 255, /* wal fetch only: PostgreSQL stops instead of ending recovery */
};

struct cli_option {
    const char *name;  /* without "--" */
    const char *value; /* name of the value in --help; NULL: a flag */
    const char *help;
    bool is_repeatable;
};

struct cli;

struct cli_command {
    const char *path; /* "cluster add" */
    const char *args; /* "NAME" */
    size_t args_min;
    size_t args_max;
    const char *summary;
    const char *details; /* more lines of --help; NULL: none */
    const struct cli_option *options;
    size_t options_len;
    struct hf_status (*run)(struct cli *cli);
    struct hf_status (*run_root)(struct cli *cli); /* instead of run by root; NULL: the same */
    int failure_exit; /* what every failure ends with, wrong usage too; 0: by its status */
};

enum cli_output { CLI_TABLE, CLI_JSON, CLI_YAML, CLI_NAME };

struct cli_value {
    const char *name;
    const char *value; /* "" for a flag */
};

#define CLI_VALUES_MAX 64
#define CLI_ARGS_MAX 8

struct cli {
    struct hf_ctx ctx; /* arena of the process; cancel is Ctrl-C */
    const struct cli_command *command;
    const char *args[CLI_ARGS_MAX];
    size_t args_len;
    struct cli_value values[CLI_VALUES_MAX];
    size_t values_len;
    enum cli_output output;
    const char *dir;    /* installation directory, absolute */
    const char *tenant; /* --tenant, "default" */
    bool is_terminal;   /* standard error is a terminal: progress bars */
    struct hf_cancel interrupted;
    int service;   /* holdfast-backup, held since before root dropped; 0: by its path */
    bool was_root; /* the caller is root, and this process has become the installation's owner */
    int exit_code; /* set by a command that has codes of its own; else -1 */
};

/* Tables of commands, by file. */
extern const struct cli_command cli_supervise_commands[]; /* up, down, doctor, certs */
extern const size_t cli_supervise_commands_len;
extern const struct cli_command
    cli_client_commands[]; /* cluster, backup, wal status, job, info … */
extern const size_t cli_client_commands_len;
extern const struct cli_command cli_vault_commands[]; /* restore, wal fetch, wal push */
extern const size_t cli_vault_commands_len;

/* The command line's own --help, a group's ("cluster"), or a command's. */
const struct cli_command *cli_find(const char *path);
void cli_each(bool (*fn)(const struct cli_command *command, void *arg), void *arg);

/* Argument i, NULL when it was not given. */
const char *cli_arg(const struct cli *cli, size_t i);
/* Value of an option ("" for a flag that was given), NULL when it was not given; the last wins. */
const char *cli_option(const struct cli *cli, const char *name);
bool cli_flag(const struct cli *cli, const char *name);
/* i-th value of a repeatable option, NULL beyond. */
const char *cli_option_at(const struct cli *cli, const char *name, size_t i);

/* A usage error: exit code 2. */
struct hf_status cli_usage(struct cli *cli, const char *format, ...)
    __attribute__((format(printf, 2, 3))) HF_MUST_USE;

enum cli_exit cli_exit_of(struct hf_status status);

#endif
