/* certs issue: a client certificate, and the right that goes with it. */
#include "cli/commands.h"
#include "cli/dir.h"
#include "cli/supervise/issue.h"

struct hf_status cmd_certs_issue(struct cli *cli)
{
    HF_CLEANUP(issue_done) struct issue issue = ISSUE_NONE;

    HF_TRY(issue_parse(cli, &issue));
    HF_TRY(issue_make(cli, &issue));
    HF_TRY(issue_open(cli, &issue));
    HF_TRY(issue_stage(cli, &issue));
    HF_TRY(issue_grant(cli, &issue, -1));
    return issue_commit(cli, &issue);
}
