/* From root to the owner of an installation, for good. */
#ifndef HF_CLI_SUPERVISE_BECOME_H
#define HF_CLI_SUPERVISE_BECOME_H

#include "base/buf.h"
#include "cli/cli.h"
#include "cli/supervise/account.h"

#define BECOME_ANSWER_MAX ((size_t)256 << 10)

/* This process is the user from now on: no groups but one, no way back, nothing new by set-uid
 * programs, working directory /. */
struct hf_status become(struct hf_ctx *ctx, const struct account *account) HF_MUST_USE;

/* What a child does as that user; fd takes its answer. */
typedef struct hf_status (*become_fn)(struct cli *cli, void *arg, int fd);

/* Run fn in a child that is the user, and wait. Signals go on to it; what it says on the terminal
 * is its own. ret_answer (its max is the ceiling) gets what it wrote.
 *
 * Returns OK when fn did; else cli->exit_code is the child's, which has told why, and the status is
 * only ABORTED.
 */
struct hf_status become_run(struct cli *cli, const struct account *account, become_fn fn, void *arg,
                            struct hf_buf *ret_answer) HF_MUST_USE;

#endif
