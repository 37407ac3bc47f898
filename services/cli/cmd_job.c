/* job list|describe|watch|cancel. */
#include <stdio.h>

#include "base/str.h"
#include "cli/client.h"
#include "cli/commands.h"
#include "cli/out.h"

static const char *done_text(struct cli *cli, const PbJobs__Job *job)
{
    const PbJobs__Job__Progress *seen = job->progress;

    if (seen == NULL || seen->total_bytes <= 0) {
        return "";
    }
    return hf_printf(cli->ctx.arena, "%.0f %%",
                     (double)seen->done_bytes * 100 / (double)seen->total_bytes);
}

static struct hf_status print_job(struct cli *cli, const PbJobs__Job *job)
{
    bool is_done = false;

    HF_TRY(out_message(cli, &job->base, &is_done));
    if (is_done) {
        return hf_success();
    }
    if (cli->output == CLI_NAME) {
        out_line(stdout, "", job->name);
        return hf_success();
    }
    out_field("Name:", job->name);
    out_field("Kind:", job->kind);
    out_field("State:", client_enum(&pb_jobs__job__state__descriptor, (int)job->state));
    out_field("Target:", job->target);
    out_field("Phase:", job->progress == NULL ? "" : job->progress->phase);
    out_field("Done:", done_text(cli, job));
    out_field("Attempt:", hf_printf(cli->ctx.arena, "%d of %d", job->attempt, job->max_attempts));
    out_field("Error:", job->error == NULL ? "" : job->error->message);
    out_field("Created:", client_time(cli, job->create_time));
    out_field("Started:", client_time(cli, job->start_time));
    out_field("Ended:", client_time(cli, job->end_time));
    out_field("Next attempt:", client_time(cli, job->next_attempt_time));
    return hf_success();
}

static void print_jobs(struct cli *cli, const PbJobs__ListJobsResponse *list)
{
    static const char *const heads[] = {"ID",    "KIND", "STATE",   "TARGET",
                                        "PHASE", "DONE", "CREATED", NULL};
    struct out_table table = out_table_new(cli->ctx.arena, heads);

    for (size_t i = 0; i < list->n_jobs; i++) {
        const PbJobs__Job *job = list->jobs[i];
        const char *const cells[] = {
            out_short(job->name),
            job->kind,
            client_enum(&pb_jobs__job__state__descriptor, (int)job->state),
            out_short(job->target),
            job->progress == NULL ? "" : job->progress->phase,
            done_text(cli, job),
            client_time(cli, job->create_time),
        };

        if (cli->output == CLI_NAME) {
            out_line(stdout, "", job->name);
        } else {
            out_table_row(&table, cells);
        }
    }
    if (cli->output == CLI_TABLE) {
        out_table_print(&table);
    }
}

static struct hf_status filter_text(struct cli *cli, char **ret_filter)
{
    const char *state = cli_option(cli, "state");
    const char *kind = cli_option(cli, "kind");
    char *filter = hf_strdup(cli->ctx.arena, "");

    if (state != NULL) {
        HF_TRY(client_check_enum(cli, &pb_jobs__job__state__descriptor, "state", state));
        filter = hf_printf(cli->ctx.arena, "state = \"%s\"", state);
    }
    if (kind != NULL) {
        filter = hf_printf(cli->ctx.arena, "%s%skind = \"%s\"", filter,
                           *filter == '\0' ? "" : " AND ", kind);
    }
    *ret_filter = filter;
    return hf_success();
}

struct hf_status cmd_job_list(struct cli *cli)
{
    HF_CLEANUP(rpc_client_free) struct rpc_client *client = NULL;
    PbJobs__ListJobsRequest req = PB_JOBS__LIST_JOBS_REQUEST__INIT;
    void *resp = NULL;
    bool is_done = false;

    req.parent = client_tenant(cli);
    HF_TRY(filter_text(cli, &req.filter));
    HF_TRY(client_open(cli, &client));
    HF_TRY(client_list(cli, client, "ListJobs", &req.base, &resp));
    const PbJobs__ListJobsResponse *list = resp;

    HF_TRY(out_message(cli, &list->base, &is_done));
    if (!is_done) {
        print_jobs(cli, list);
    }
    return hf_success();
}

struct hf_status cmd_job_describe(struct cli *cli)
{
    HF_CLEANUP(rpc_client_free) struct rpc_client *client = NULL;
    PbJobs__GetJobRequest req = PB_JOBS__GET_JOB_REQUEST__INIT;
    void *resp = NULL;

    req.name = client_job(cli, cli_arg(cli, 0));
    HF_TRY(client_open(cli, &client));
    HF_TRY(client_jobs(cli, client, "GetJob", &req.base, &resp));
    return print_job(cli, resp);
}

struct hf_status cmd_job_watch(struct cli *cli)
{
    HF_CLEANUP(rpc_client_free) struct rpc_client *client = NULL;
    PbJobs__Job *ended = NULL;

    HF_TRY(client_open(cli, &client));
    HF_TRY(client_watch(cli, client, client_job(cli, cli_arg(cli, 0)), &ended));
    HF_TRY(print_job(cli, ended));
    return client_job_status(cli, ended);
}

struct hf_status cmd_job_cancel(struct cli *cli)
{
    HF_CLEANUP(rpc_client_free) struct rpc_client *client = NULL;
    PbJobs__CancelJobRequest req = PB_JOBS__CANCEL_JOB_REQUEST__INIT;
    void *resp = NULL;

    req.name = client_job(cli, cli_arg(cli, 0));
    HF_TRY(client_open(cli, &client));
    HF_TRY(client_jobs(cli, client, "CancelJob", &req.base, &resp));
    return print_job(cli, resp);
}
