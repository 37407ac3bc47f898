/* Where a restore puts tablespaces: the options, and the command that a refusal recommends. */
#ifndef HF_CLI_RESTORE_SPACES_H
#define HF_CLI_RESTORE_SPACES_H

#include "cli/cli.h"
#include "restore/restore.h"

/* --tablespace OLD=NEW …, --tablespaces-into DIR, --tablespaces-as-recorded. */
struct hf_status restore_take_spaces(struct cli *cli, struct restore_options *options) HF_MUST_USE;

/* The command as it was given, for a shell: a hint adds to it. */
const char *restore_command_again(const struct cli *cli);

/* When nobody said where they go: the same command with a directory for them beside dir, on
 * standard error. */
void restore_hint_spaces(const struct cli *cli, const char *dir, struct hf_status status);

#endif
