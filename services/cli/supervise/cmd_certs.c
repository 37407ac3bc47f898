/* certs issue: a client certificate, and the right that goes with it. */
#include "cli/commands.h"
#include "cli/dir.h"
#include "cli/supervise/issue.h"

struct hf_status cmd_certs_issue(struct cli *cli)
{
    HF_CLEANUP(issue_done) struct issue issue = {.out = -1};

    HF_TRY(issue_parse(cli, &issue));
    HF_TRY(dir_load_own(&cli->ctx, cli->dir, &issue.settings)); /* before --out is made */
    HF_TRY(issue_open(cli, &issue));
    HF_TRY(issue_make(cli, &issue));
    return issue_save(cli, &issue);
}
