/* From argv to a command with its options and arguments. */
#ifndef HF_CLI_PARSE_H
#define HF_CLI_PARSE_H

#include "cli/cli.h"

enum parse_wish { PARSE_RUN, PARSE_HELP, PARSE_VERSION };

/* Fills cli->command, args, values, output, tenant. Options may stand anywhere; "--" ends them.
 * PARSE_HELP: cli->command may be NULL, then ret_group is what help was asked for ("" for all).
 * INVALID_ARGUMENT names what is wrong and, for an unknown word, the nearest known one. */
struct hf_status parse_args(struct cli *cli, int argc, const char *const argv[],
                            enum parse_wish *ret_wish, const char **ret_group) HF_MUST_USE;

/* Print help to standard output. */
void parse_help(struct cli *cli, const char *group);

#endif
