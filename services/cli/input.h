/* Reading what a person types or a pipe gives. */
#ifndef HF_CLI_INPUT_H
#define HF_CLI_INPUT_H

#include "base/buf.h"
#include "cli/cli.h"

/* The first line of standard input, without its end. Ctrl-C ends the wait: CANCELLED.
 * prompt  shown when standard input is a terminal; a secret is then not shown while it is typed
 * max     bytes that are taken at most; OUT_OF_RANGE beyond
 */
struct hf_status input_line(struct cli *cli, const char *prompt, bool is_secret, size_t max,
                            const char **ret_line) HF_MUST_USE;

/* Append what a file that the person named holds; a pipe of that person's own, too (a shell's
 * `<(command)`), whose writer has half a minute.
 * Errors   DEADLINE_EXCEEDED, CANCELLED; FAILED_PRECONDITION a pipe of somebody else's;
 *          RESOURCE_EXHAUSTED more than buf may hold */
struct hf_status input_file(struct cli *cli, const char *path, struct hf_buf *buf) HF_MUST_USE;
/* Is it one? Then nothing but input_file may open it, or Ctrl-C is not seen. */
bool input_is_pipe(const char *path);

#endif
