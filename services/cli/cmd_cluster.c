/* cluster add|list|describe|remove, wal status. */
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/id.h"
#include "base/str.h"
#include "cli/client.h"
#include "cli/commands.h"
#include "cli/input.h"
#include "cli/out.h"
#include "pgwire/dsn.h"
#include "svc/config.h"

#define PASSWORD_MAX 4096
#define PGPASS_MAX (1u << 20)

/* --- the password, never from argv ---------------------------------------------------------- */

static struct hf_status first_line(struct cli *cli, struct hf_buf *text, const char **ret_line)
{
    HF_TRY(hf_buf_status(text, cli->ctx.arena, "the password"));
    const char *all = hf_buf_text(text);

    *ret_line = hf_strndup(cli->ctx.arena, all, strcspn(all, "\r\n"));
    return hf_success();
}

static struct hf_status from_file(struct cli *cli, const char *path, const char **ret_password)
{
    HF_CLEANUP(hf_buf_done) struct hf_buf text = {0};

    hf_buf_init(&text, PASSWORD_MAX);
    HF_TRY(hf_read_file(cli->ctx.arena, path, &text));
    return first_line(cli, &text, ret_password);
}

static struct hf_status from_pgpass(struct cli *cli, const char *dsn, const char **ret_password)
{
    HF_CLEANUP(hf_buf_done) struct hf_buf text = {0};
    struct pgwire_dsn parsed;
    const char *path = svc_getenv("PGPASSFILE");
    const char *home = svc_getenv("HOME");

    *ret_password = "";
    if (path == NULL && home != NULL) {
        path = hf_path_join(cli->ctx.arena, home, ".pgpass");
    }
    hf_buf_init(&text, PGPASS_MAX);
    if (path == NULL || !hf_is_ok(hf_read_file(cli->ctx.arena, path, &text))) {
        return hf_success();
    }
    HF_TRY(pgwire_dsn_parse(cli->ctx.arena, dsn, &parsed));
    const char *found = pgwire_pgpass_find(cli->ctx.arena, hf_buf_text(&text), &parsed);

    *ret_password = found == NULL ? "" : found;
    return hf_success();
}

static struct hf_status find_password(struct cli *cli, const char *dsn, const char **ret_password)
{
    if (cli_flag(cli, "password-stdin")) {
        return input_line(cli, "password: ", true, PASSWORD_MAX, ret_password);
    }
    if (cli_flag(cli, "password-file")) {
        return from_file(cli, cli_option(cli, "password-file"), ret_password);
    }
    const char *environment = svc_getenv("PGPASSWORD");

    if (environment != NULL) {
        *ret_password = environment;
        return hf_success();
    }
    return from_pgpass(cli, dsn, ret_password);
}

/* --- printing ------------------------------------------------------------------------------- */

static const char *lag_text(struct cli *cli, const PbBackup__WalStatus *wal)
{
    if (wal == NULL || wal->durable_time == NULL) {
        return "unknown";
    }
    return hf_duration_text(cli->ctx.arena, hf_us_of_seconds(wal->lag_seconds));
}

static const char *window_text(struct cli *cli, const PbBackup__WalStatus *wal)
{
    if (wal == NULL || wal->window_start == NULL) {
        return "none: make a backup";
    }
    return hf_printf(cli->ctx.arena, "%s to %s", client_time(cli, wal->window_start),
                     client_time(cli, wal->window_end));
}

static void print_wal(struct cli *cli, const PbBackup__WalStatus *wal)
{
    out_field("Receiver:", client_enum(&pb_backup__wal_status__receiver_state__descriptor,
                                       (int)wal->receiver_state));
    out_field("Error:", wal->error);
    out_field("Application name:", wal->application_name);
    out_field("Slot:",
              hf_printf(cli->ctx.arena, "%s%s", wal->slot,
                        wal->slot_is_unbounded ? " (unbounded: max_slot_wal_keep_size = -1)" : ""));
    if (wal->slot_is_unbounded) {
        out_field("", "fix on the source: ALTER SYSTEM SET max_slot_wal_keep_size = '50GB'; "
                      "SELECT pg_reload_conf();");
    }
    out_field("Timeline:", hf_printf(cli->ctx.arena, "%d", wal->timeline));
    out_field("Durable LSN:", wal->durable_lsn);
    out_field("Source LSN:", wal->source_lsn);
    out_field("Lag:", hf_printf(cli->ctx.arena, "%s, %s",
                                hf_size_text(cli->ctx.arena, (uint64_t)wal->lag_bytes),
                                lag_text(cli, wal)));
    out_field("Durable time:", client_time(cli, wal->durable_time));
    for (size_t i = 0; i < wal->n_gaps; i++) {
        out_field(i == 0 ? "Gaps:" : "",
                  hf_printf(cli->ctx.arena, "%s to %s on timeline %d", wal->gaps[i]->from_lsn,
                            wal->gaps[i]->to_lsn, wal->gaps[i]->timeline));
    }
    out_field("Recovery window:", window_text(cli, wal));
}

static struct hf_status print_cluster(struct cli *cli, const PbBackup__Cluster *cluster)
{
    bool is_done = false;

    HF_TRY(out_message(cli, &cluster->base, &is_done));
    if (is_done) {
        return hf_success();
    }
    if (cli->output == CLI_NAME) {
        out_line(stdout, "", cluster->name);
        return hf_success();
    }
    out_field("Name:", cluster->name);
    out_field("State:", client_enum(&pb_backup__cluster__state__descriptor, (int)cluster->state));
    out_field("Damaged row:", cluster->damage);
    out_field("DSN:", cluster->dsn);
    out_field("System:", cluster->system_identifier);
    out_field("Server version:", hf_printf(cli->ctx.arena, "%d.%d", cluster->server_version / 10000,
                                           cluster->server_version % 10000));
    out_field("Size:", hf_size_text(cli->ctx.arena, (uint64_t)cluster->size_bytes));
    out_field("Newest backup:", out_short(cluster->newest_backup));
    out_field("Last verified:", client_time(cli, cluster->last_verify_time));
    for (size_t i = 0; i < cluster->n_warnings; i++) {
        out_field(i == 0 ? "Warnings:" : "", cluster->warnings[i]);
    }
    if (cluster->wal != NULL) {
        print_wal(cli, cluster->wal);
    }
    return hf_success();
}

/* --- commands ------------------------------------------------------------------------------- */

static struct hf_status add(struct cli *cli, struct rpc_client *client, const char *dsn,
                            const char *password)
{
    PbBackup__CreateClusterRequest req = PB_BACKUP__CREATE_CLUSTER_REQUEST__INIT;
    PbBackup__Cluster cluster = PB_BACKUP__CLUSTER__INIT;
    void *resp = NULL;

    cluster.dsn = hf_strdup(cli->ctx.arena, dsn);
    cluster.password = hf_strdup(cli->ctx.arena, password);
    req.parent = client_tenant(cli);
    req.cluster_id = hf_strdup(cli->ctx.arena, cli_arg(cli, 0));
    req.cluster = &cluster;
    req.request_id = hf_uuid_new_text(cli->ctx.arena, hf_now_us());
    req.validate_only = cli_flag(cli, "validate-only");
    HF_TRY(client_backup(cli, client, "CreateCluster", &req.base, &resp));
    const PbBackup__Cluster *made = resp;

    for (size_t i = 0; i < made->n_warnings; i++) {
        out_line(stderr, "warning: ", made->warnings[i]);
    }
    return print_cluster(cli, made);
}

struct hf_status cmd_cluster_add(struct cli *cli)
{
    HF_CLEANUP(rpc_client_free) struct rpc_client *client = NULL;
    const char *dsn = cli_option(cli, "dsn");
    const char *password = NULL;

    if (hf_text_empty(dsn)) {
        return cli_usage(cli, "--dsn is missing: holdfast cluster add NAME --dsn \"host=… user=… "
                              "dbname=…\"");
    }
    HF_TRY(pgwire_dsn_check(cli->ctx.arena, dsn));
    HF_TRY(find_password(cli, dsn, &password));
    HF_TRY(client_open(cli, &client));
    return add(cli, client, dsn, password);
}

static struct hf_status print_clusters(struct cli *cli, const PbBackup__ListClustersResponse *list)
{
    static const char *const heads[] = {"NAME",          "STATE", "VERSION", "SIZE",
                                        "NEWEST BACKUP", "LAG",   "WINDOW",  NULL};
    struct out_table table = out_table_new(cli->ctx.arena, heads);

    for (size_t i = 0; i < list->n_clusters; i++) {
        const PbBackup__Cluster *cluster = list->clusters[i];
        const char *const cells[] = {
            out_short(cluster->name),
            hf_text_empty(cluster->damage)
                ? client_enum(&pb_backup__cluster__state__descriptor, (int)cluster->state)
                : "DAMAGED",
            hf_printf(cli->ctx.arena, "%d", cluster->server_version / 10000),
            hf_size_text(cli->ctx.arena, (uint64_t)cluster->size_bytes),
            client_time(cli, cluster->newest_backup_time),
            lag_text(cli, cluster->wal),
            window_text(cli, cluster->wal),
        };

        if (cli->output == CLI_NAME) {
            out_line(stdout, "", cluster->name);
        } else {
            out_table_row(&table, cells);
        }
    }
    if (cli->output == CLI_TABLE) {
        out_table_print(&table);
    }
    return hf_success();
}

struct hf_status cmd_cluster_list(struct cli *cli)
{
    HF_CLEANUP(rpc_client_free) struct rpc_client *client = NULL;
    PbBackup__ListClustersRequest req = PB_BACKUP__LIST_CLUSTERS_REQUEST__INIT;
    void *resp = NULL;
    bool is_done = false;

    req.parent = client_tenant(cli);
    req.page_size = 1000;
    HF_TRY(client_open(cli, &client));
    HF_TRY(client_backup(cli, client, "ListClusters", &req.base, &resp));
    const PbBackup__ListClustersResponse *list = resp;

    HF_TRY(out_message(cli, &list->base, &is_done));
    return is_done ? hf_success() : print_clusters(cli, list);
}

struct hf_status cmd_cluster_describe(struct cli *cli)
{
    HF_CLEANUP(rpc_client_free) struct rpc_client *client = NULL;
    PbBackup__GetClusterRequest req = PB_BACKUP__GET_CLUSTER_REQUEST__INIT;
    void *resp = NULL;

    req.name = client_cluster(cli, cli_arg(cli, 0));
    HF_TRY(client_open(cli, &client));
    HF_TRY(client_backup(cli, client, "GetCluster", &req.base, &resp));
    return print_cluster(cli, resp);
}

struct hf_status cmd_cluster_remove(struct cli *cli)
{
    HF_CLEANUP(rpc_client_free) struct rpc_client *client = NULL;
    PbBackup__DeleteClusterRequest req = PB_BACKUP__DELETE_CLUSTER_REQUEST__INIT;
    void *resp = NULL;
    bool is_done = false;

    req.name = client_cluster(cli, cli_arg(cli, 0));
    req.request_id = hf_uuid_new_text(cli->ctx.arena, hf_now_us());
    HF_TRY(client_open(cli, &client));
    HF_TRY(client_backup(cli, client, "DeleteCluster", &req.base, &resp));
    const PbBackup__DeleteClusterResponse *left = resp;

    for (size_t i = 0; i < left->n_slots_left; i++) {
        fprintf(stderr,
                "warning: slot %s was not dropped and keeps WAL there; drop it with "
                "SELECT pg_drop_replication_slot('…')\n",
                left->slots_left[i]);
    }
    HF_TRY(out_message(cli, &left->base, &is_done));
    if (!is_done) {
        printf("%s removed; its recovery points stay in the vault\n", out_short(req.name));
    }
    return hf_success();
}

struct hf_status cmd_wal_status(struct cli *cli)
{
    HF_CLEANUP(rpc_client_free) struct rpc_client *client = NULL;
    PbBackup__GetWalStatusRequest req = PB_BACKUP__GET_WAL_STATUS_REQUEST__INIT;
    void *resp = NULL;
    bool is_done = false;

    req.name = client_cluster(cli, cli_arg(cli, 0));
    HF_TRY(client_open(cli, &client));
    HF_TRY(client_backup(cli, client, "GetWalStatus", &req.base, &resp));
    const PbBackup__WalStatus *wal = resp;

    HF_TRY(out_message(cli, &wal->base, &is_done));
    if (!is_done) {
        out_field("Cluster:", wal->name);
        print_wal(cli, wal);
    }
    return hf_success();
}
