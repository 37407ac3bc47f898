/* backup create|list|describe|verify, catalog rebuild. */
#include <stdio.h>

#include "base/clock.h"
#include "base/id.h"
#include "base/str.h"
#include "cli/client.h"
#include "cli/commands.h"
#include "cli/offline.h"
#include "cli/out.h"

static const char *percent(struct cli *cli, int64_t part, int64_t whole)
{
    return whole <= 0 ? ""
                      : hf_printf(cli->ctx.arena, "%.1f %%", (double)part * 100 / (double)whole);
}

static struct hf_status print_backup(struct cli *cli, const PbBackup__Backup *backup)
{
    struct hf_arena *arena = cli->ctx.arena;
    bool is_done = false;

    HF_TRY(out_message(cli, &backup->base, &is_done));
    if (is_done) {
        return hf_success();
    }
    if (cli->output == CLI_NAME) {
        out_line(stdout, "", backup->name);
        return hf_success();
    }
    out_field("Name:", backup->name);
    out_field("ID:", out_short(backup->name));
    out_field("State:", client_enum(&pb_backup__backup__state__descriptor, (int)backup->state));
    out_field("Error:", backup->error == NULL ? "" : backup->error->message);
    out_field("WAL:", hf_printf(arena, "%s to %s on timeline %d", backup->start_lsn,
                                backup->stop_lsn, backup->timeline));
    out_field("Started:", client_time(cli, backup->start_time));
    out_field("Restorable from:", client_time(cli, backup->end_time));
    out_field("Source:", hf_printf(arena, "%s in %lld files",
                                   hf_size_text(arena, (uint64_t)backup->source_bytes),
                                   (long long)backup->files));
    out_field("Changed:",
              hf_printf(arena, "%s  %s", hf_size_text(arena, (uint64_t)backup->changed_bytes),
                        percent(cli, backup->changed_bytes, backup->source_bytes)));
    out_field("Stored:", hf_size_text(arena, (uint64_t)backup->stored_bytes));
    out_field("Compared with:", out_short(backup->predecessor));
    out_field("Journal entry:", hf_printf(arena, "%lld", (long long)backup->journal_entry));
    out_field("Job:", out_short(backup->job));
    out_field("Damaged row:", backup->damage);
    if (backup->verification != PB_BACKUP__BACKUP__VERIFICATION__VERIFICATION_UNSPECIFIED) {
        out_field("Verification:",
                  hf_printf(arena, "%s at %s",
                            client_enum(&pb_backup__backup__verification__descriptor,
                                        (int)backup->verification),
                            client_time(cli, backup->verify_time)));
    } else {
        out_field("Verification:", "never");
    }
    for (size_t i = 0; i < backup->n_findings; i++) {
        out_field(i == 0 ? "Findings:" : "", backup->findings[i]);
    }
    return hf_success();
}

static struct hf_status print_job_name(struct cli *cli, const PbJobs__Job *job)
{
    bool is_done = false;

    HF_TRY(out_message(cli, &job->base, &is_done));
    if (!is_done) {
        out_line(stdout, "", cli->output == CLI_NAME ? job->target : job->name);
    }
    if (cli->output == CLI_TABLE) {
        fprintf(stderr, "watch it with `holdfast job watch %s%s`\n", out_short(job->name),
                out_where(cli));
    }
    return hf_success();
}

/* Wait for the job, then print the backup it made or proved. */
static struct hf_status wait_and_print(struct cli *cli, struct rpc_client *client,
                                       const PbJobs__Job *job, PbBackup__Backup **ret_backup)
{
    PbJobs__Job *ended = NULL;

    HF_TRY(client_watch(cli, client, job->name, &ended));
    HF_TRY(client_job_status(cli, ended));
    HF_TRY(client_find_backup(cli, client, ended->target, ret_backup));
    return print_backup(cli, *ret_backup);
}

struct hf_status cmd_backup_create(struct cli *cli)
{
    HF_CLEANUP(rpc_client_free) struct rpc_client *client = NULL;
    PbBackup__CreateBackupRequest req = PB_BACKUP__CREATE_BACKUP_REQUEST__INIT;
    PbBackup__Backup wish = PB_BACKUP__BACKUP__INIT;
    PbBackup__Backup *made = NULL;
    const char *how = cli_option(cli, "checkpoint");
    void *resp = NULL;

    if (how != NULL && !hf_text_equal(how, "fast") && !hf_text_equal(how, "spread")) {
        return cli_usage(cli, "--checkpoint must be fast or spread, not %s", how);
    }
    wish.checkpoint = hf_text_equal(how, "spread") ? PB_BACKUP__BACKUP__CHECKPOINT__SPREAD
                                                   : PB_BACKUP__BACKUP__CHECKPOINT__FAST;
    req.parent = client_cluster(cli, cli_arg(cli, 0));
    req.backup = &wish;
    req.request_id = hf_uuid_new_text(cli->ctx.arena, hf_now_us());
    HF_TRY(client_open(cli, &client));
    HF_TRY(client_backup(cli, client, "CreateBackup", &req.base, &resp));
    return cli_flag(cli, "wait") ? wait_and_print(cli, client, resp, &made)
                                 : print_job_name(cli, resp);
}

/* Cluster of tenants/t/clusters/c/backups/b. */
static const char *cluster_of(struct cli *cli, const char *backup)
{
    size_t len = hf_str_of(backup).len - hf_str_of(out_short(backup)).len;

    return out_short(hf_strndup(cli->ctx.arena, backup, len - (sizeof("/backups/") - 1)));
}

struct hf_status out_backups(struct cli *cli, const PbBackup__ListBackupsResponse *list)
{
    static const char *const heads[] = {"ID",     "CLUSTER", "STATE",    "RESTORABLE FROM",
                                        "SOURCE", "STORED",  "VERIFIED", NULL};
    struct out_table table = out_table_new(cli->ctx.arena, heads);
    bool is_done = false;

    HF_TRY(out_message(cli, &list->base, &is_done));
    if (is_done) {
        return hf_success();
    }
    for (size_t i = 0; i < list->n_backups; i++) {
        const PbBackup__Backup *backup = list->backups[i];
        const char *const cells[] = {
            out_short(backup->name),
            cluster_of(cli, backup->name),
            hf_text_empty(backup->damage)
                ? client_enum(&pb_backup__backup__state__descriptor, (int)backup->state)
                : "DAMAGED",
            backup->state == PB_BACKUP__BACKUP__STATE__SUCCEEDED
                ? client_time(cli, backup->end_time)
                : "",
            hf_size_text(cli->ctx.arena, (uint64_t)backup->source_bytes),
            hf_size_text(cli->ctx.arena, (uint64_t)backup->stored_bytes),
            backup->verification == PB_BACKUP__BACKUP__VERIFICATION__VERIFICATION_UNSPECIFIED
                ? "never"
                : client_enum(&pb_backup__backup__verification__descriptor,
                              (int)backup->verification),
        };

        if (cli->output == CLI_NAME) {
            out_line(stdout, "", backup->name);
        } else {
            out_table_row(&table, cells);
        }
    }
    if (cli->output == CLI_TABLE) {
        out_table_print(&table);
    }
    return hf_success();
}

/* The filter of --state; a state that there is not would only be an empty list. */
static struct hf_status state_filter(struct cli *cli, char **ret_filter)
{
    const char *state = cli_option(cli, "state");

    *ret_filter = hf_strdup(cli->ctx.arena, "");
    if (state == NULL) {
        return hf_success();
    }
    if (cli_flag(cli, "vault")) {
        return cli_usage(cli, "--state needs the service: a vault has complete backups only");
    }
    HF_TRY(client_check_enum(cli, &pb_backup__backup__state__descriptor, "state", state));
    *ret_filter = hf_printf(cli->ctx.arena, "state = \"%s\"", state);
    return hf_success();
}

struct hf_status cmd_backup_list(struct cli *cli)
{
    HF_CLEANUP(rpc_client_free) struct rpc_client *client = NULL;
    PbBackup__ListBackupsRequest req = PB_BACKUP__LIST_BACKUPS_REQUEST__INIT;
    const char *cluster = cli_arg(cli, 0) != NULL ? cli_arg(cli, 0) : cli_option(cli, "cluster");
    void *resp = NULL;

    HF_TRY(offline_check_options(cli));
    HF_TRY(state_filter(cli, &req.filter));
    if (cli_flag(cli, "vault")) {
        return cmd_offline_list(cli);
    }
    req.parent = client_cluster(cli, cluster == NULL ? "-" : cluster);
    HF_TRY(client_open(cli, &client));
    HF_TRY(client_list(cli, client, "ListBackups", &req.base, &resp));
    return out_backups(cli, resp);
}

struct hf_status cmd_backup_describe(struct cli *cli)
{
    HF_CLEANUP(rpc_client_free) struct rpc_client *client = NULL;
    PbBackup__Backup *backup = NULL;

    HF_TRY(client_open(cli, &client));
    HF_TRY(client_find_backup(cli, client, cli_arg(cli, 0), &backup));
    return print_backup(cli, backup);
}

struct hf_status cmd_backup_verify(struct cli *cli)
{
    HF_CLEANUP(rpc_client_free) struct rpc_client *client = NULL;
    PbBackup__VerifyBackupRequest req = PB_BACKUP__VERIFY_BACKUP_REQUEST__INIT;
    PbBackup__Backup *backup = NULL;
    void *resp = NULL;

    HF_TRY(client_open(cli, &client));
    HF_TRY(client_find_backup(cli, client, cli_arg(cli, 0), &backup));
    req.name = backup->name;
    req.request_id = hf_uuid_new_text(cli->ctx.arena, hf_now_us());
    HF_TRY(client_backup(cli, client, "VerifyBackup", &req.base, &resp));
    if (cli_flag(cli, "no-wait")) {
        return print_job_name(cli, resp);
    }
    HF_TRY(wait_and_print(cli, client, resp, &backup));
    if (backup->verification == PB_BACKUP__BACKUP__VERIFICATION__DAMAGED) {
        return hf_fail_info(cli->ctx.arena, HF_DATA_LOSS, "BACKUP_DAMAGED", NULL,
                            "backup %s is damaged: %zu findings, the first: %s",
                            out_short(backup->name), backup->n_findings,
                            backup->n_findings == 0 ? "" : backup->findings[0]);
    }
    return hf_success();
}

struct hf_status cmd_catalog_rebuild(struct cli *cli)
{
    HF_CLEANUP(rpc_client_free) struct rpc_client *client = NULL;
    PbBackup__RebuildCatalogRequest req = PB_BACKUP__REBUILD_CATALOG_REQUEST__INIT;
    PbJobs__Job *ended = NULL;
    void *resp = NULL;
    bool is_done = false;

    req.parent = client_tenant(cli);
    req.request_id = hf_uuid_new_text(cli->ctx.arena, hf_now_us());
    req.accept_rollback = cli_flag(cli, "accept-rollback");
    HF_TRY(client_open(cli, &client));
    HF_TRY(client_backup(cli, client, "RebuildCatalog", &req.base, &resp));
    const PbJobs__Job *job = resp;

    HF_TRY(client_watch(cli, client, job->name, &ended));
    HF_TRY(client_job_status(cli, ended));
    HF_TRY(out_message(cli, &ended->base, &is_done));
    if (!is_done) {
        printf("the catalogue of tenant %s is what the vault says\n", cli->tenant);
    }
    return hf_success();
}
