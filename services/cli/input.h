/* Reading what a person types or a pipe gives. */
#ifndef HF_CLI_INPUT_H
#define HF_CLI_INPUT_H

#include "cli/cli.h"

/* The first line of standard input, without its end. Ctrl-C ends the wait: CANCELLED.
 * prompt  shown when standard input is a terminal; a secret is then not shown while it is typed
 * max     bytes that are taken at most; OUT_OF_RANGE beyond
 */
struct hf_status input_line(struct cli *cli, const char *prompt, bool is_secret, size_t max,
                            const char **ret_line) HF_MUST_USE;

#endif
