/* cluster list|describe|remove, wal status. */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/id.h"
#include "base/str.h"
#include "cli/client.h"
#include "cli/cluster.h"
#include "cli/commands.h"
#include "cli/out.h"

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

void cluster_finding(const struct cli *cli, FILE *file, const PbBackup__Cluster__Finding *finding,
                     const struct finding_keys *keys)
{
    out_line(file, keys->message, finding->message);
    if (!hf_text_empty(finding->fix)) {
        out_line(file, keys->fix, out_here(cli, finding->fix));
    }
}

struct hf_status cluster_print(struct cli *cli, const PbBackup__Cluster *cluster)
{
    static const struct finding_keys action = {"ACTION NEEDED:     ", "  fix:             "};
    static const struct finding_keys warning = {"Warning:           ", "  fix:             "};
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
    if (cluster->has_ca || cluster->has_certificate) {
        out_field("Certificates:", cluster->has_ca && cluster->has_certificate
                                       ? "authority, own certificate"
                                   : cluster->has_ca ? "authority"
                                                     : "own certificate");
    }
    for (size_t i = 0; i < cluster->n_findings; i++) {
        cluster_finding(cli, stdout, cluster->findings[i],
                        cluster->findings[i]->needs_action ? &action : &warning);
    }
    if (cluster->wal != NULL) {
        print_wal(cli, cluster->wal);
    }
    return hf_success();
}

/* --- commands ------------------------------------------------------------------------------- */

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
    HF_TRY(client_open(cli, &client));
    HF_TRY(client_list(cli, client, "ListClusters", &req.base, &resp));
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
    return cluster_print(cli, resp);
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
                "psql on that server: SELECT pg_drop_replication_slot('%.*s')\n",
                left->slots_left[i], (int)strcspn(left->slots_left[i], " "), left->slots_left[i]);
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
