/* info: one screen that answers "can we recover, right now?". */
#include <stdio.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/str.h"
#include "cli/client.h"
#include "cli/cluster.h"
#include "cli/commands.h"
#include "cli/dir.h"
#include "cli/out.h"
#include "cli/processes.h"
#include "codec/json.h"
#include "rpc/json.h"
#include "svc/config.h"

#define JSON_MAX ((size_t)16 << 20)
#define FIX_KEY "  fix            "

struct info {
    struct dir_settings settings;
    const struct process_entry *processes;
    size_t processes_len;
    const PbBackup__ListClustersResponse *list; /* NULL: the service does not answer */
    struct hf_status of_processes;
    struct hf_status of_list;
};

static struct hf_status ask(struct cli *cli, struct rpc_client *client, struct info *info)
{
    PbBackup__ListClustersRequest req = PB_BACKUP__LIST_CLUSTERS_REQUEST__INIT;
    void *resp = NULL;

    req.parent = client_tenant(cli);
    HF_TRY(client_list(cli, client, "ListClusters", &req.base, &resp));
    info->list = resp;
    return hf_success();
}

/* What is not known is null: a script that counts an empty list would find all well. */
static void json_processes(struct codec_json *json, const struct info *info)
{
    codec_json_key(json, "processes");
    if (!hf_is_ok(info->of_processes)) {
        codec_json_null(json);
        return;
    }
    codec_json_begin_array(json);
    for (size_t i = 0; i < info->processes_len; i++) {
        codec_json_begin_object(json);
        codec_json_put_text(json, "name", info->processes[i].name);
        codec_json_put_int(json, "pid", info->processes[i].pid);
        codec_json_put_bool(json, "running", info->processes[i].is_alive);
        codec_json_end(json);
    }
    codec_json_end(json);
}

static struct hf_status json_clusters(struct cli *cli, struct codec_json *json,
                                      const struct info *info)
{
    const struct rpc_json_options options = {.indent = 0, .emit_defaults = true};

    codec_json_put_bool(json, "clustersKnown", info->list != NULL);
    codec_json_key(json, "clusters");
    if (info->list == NULL) {
        codec_json_null(json);
        return hf_success();
    }
    codec_json_begin_array(json);
    for (size_t i = 0; i < info->list->n_clusters; i++) {
        const char *text = NULL;

        HF_TRY(
            rpc_message_to_json(cli->ctx.arena, &info->list->clusters[i]->base, &options, &text));
        codec_json_raw(json, hf_str_of(text));
    }
    codec_json_end(json);
    return hf_success();
}

static struct hf_status first_error(const struct info *info)
{
    return hf_is_ok(info->of_list) ? info->of_processes : info->of_list;
}

static void json_error(struct codec_json *json, struct hf_status status)
{
    codec_json_key(json, "error");
    if (hf_is_ok(status)) {
        codec_json_null(json);
        return;
    }
    codec_json_begin_object(json);
    codec_json_put_text(json, "code", hf_code_name(status.code));
    codec_json_put_text(json, "reason", status.info == NULL ? "" : status.info->reason);
    codec_json_put_text(json, "message", status.message);
    codec_json_end(json);
}

static struct hf_status print_json(struct cli *cli, const struct info *info)
{
    HF_CLEANUP(hf_buf_done) struct hf_buf text = {0};
    bool is_done = false;

    hf_buf_init(&text, JSON_MAX);
    struct codec_json json = codec_json_open(&text, 2);

    codec_json_begin_object(&json);
    codec_json_put_text(&json, "directory", cli->dir);
    codec_json_put_text(&json, "installId", info->settings.install_id);
    codec_json_key(&json, "endpoints");
    codec_json_begin_object(&json);
    codec_json_put_text(&json, "backup", info->settings.endpoint);
    codec_json_put_text(&json, "metrics", info->settings.metrics);
    codec_json_end(&json);
    json_processes(&json, info);
    HF_TRY(json_clusters(cli, &json, info));
    json_error(&json, first_error(info));
    codec_json_end(&json);
    HF_TRY(codec_json_close(&json, cli->ctx.arena, "the information"));
    return out_json(cli, hf_buf_text(&text), &is_done);
}

/* What would be lost now. Without a stream it grows whatever was measured last. */
static const char *rpo_text(struct cli *cli, const PbBackup__WalStatus *wal)
{
    int64_t lag_us = hf_us_of_seconds(wal->lag_seconds);

    if (wal->receiver_state != PB_BACKUP__WAL_STATUS__RECEIVER_STATE__STREAMING &&
        wal->window_end != NULL) {
        int64_t since_us = hf_now_us() - hf_time_of_parts(wal->window_end->seconds, 0);

        lag_us = since_us > lag_us ? since_us : lag_us;
    }
    return hf_duration_text(cli->ctx.arena, lag_us);
}

/* "orders: NOT STREAMING: why", red on a terminal; nothing without a reason. */
static void print_alarm(struct cli *cli, const char *name, const char *what, const char *why)
{
    bool is_red = isatty(STDOUT_FILENO) == 1 && svc_getenv("NO_COLOR") == NULL;

    if (!hf_text_empty(why)) {
        printf("%s", is_red ? "\033[31m" : "");
        out_line(stdout, hf_printf(cli->ctx.arena, "%s: %s: ", name, what), why);
        printf("%s", is_red ? "\033[0m" : "");
    }
}

static void print_action(struct cli *cli, const PbBackup__Cluster *cluster)
{
    for (size_t i = 0; i < cluster->n_findings; i++) {
        const PbBackup__Cluster__Finding *finding = cluster->findings[i];

        if (finding->needs_action) {
            print_alarm(cli, out_short(cluster->name), "ACTION NEEDED", finding->message);
            out_line(stdout, FIX_KEY, out_here(cli, finding->fix));
        }
    }
}

static void print_alarms(struct cli *cli, const PbBackup__Cluster *cluster)
{
    struct hf_arena *arena = cli->ctx.arena;
    const PbBackup__WalStatus *wal = cluster->wal;
    const char *name = out_short(cluster->name);
    const char *where = out_where(cli);

    print_alarm(cli, name, "DAMAGED", cluster->damage);
    print_action(cli, cluster);
    if (wal != NULL && wal->receiver_state != PB_BACKUP__WAL_STATUS__RECEIVER_STATE__STREAMING) {
        print_alarm(cli, name, "WAL DOES NOT STREAM",
                    hf_printf(arena, "%s; `holdfast doctor%s` says what mends it",
                              hf_text_empty(wal->error) ? "no reason is known yet" : wal->error,
                              where));
    }
    if (client_is_vault_closed(cluster)) {
        print_alarm(cli, name, "NOT RECOVERABLE",
                    "the vault does not show the backups that the catalogue knows");
    } else if (wal == NULL || wal->window_start == NULL) {
        print_alarm(cli, name, "NOT RECOVERABLE",
                    hf_printf(arena, "%s; run `holdfast backup create %s%s`",
                              wal != NULL && wal->n_gaps > 0
                                  ? "the vault lacks WAL behind every backup, at most moments "
                                    "before it can be restored"
                                  : "there is no complete backup",
                              name, where));
    }
}

/* One sentence per cluster: what can be restored, and what would be lost now. */
static void print_cluster(struct cli *cli, const PbBackup__Cluster *cluster)
{
    static const struct finding_keys keys = {"  warning        ", FIX_KEY};
    const PbBackup__WalStatus *wal = cluster->wal;
    const char *name = out_short(cluster->name);
    const char *where = out_where(cli);

    print_alarms(cli, cluster);
    if (wal == NULL || wal->window_start == NULL) {
        return;
    }
    printf("%s: any moment from %s to %s can be restored\n", name,
           client_time(cli, wal->window_start), client_time(cli, wal->window_end));
    printf(
        "  RPO now        %s (%s)\n", rpo_text(cli, wal),
        client_enum(&pb_backup__wal_status__receiver_state__descriptor, (int)wal->receiver_state));
    printf("  newest backup  %s, restorable from %s\n", out_short(cluster->newest_backup),
           client_time(cli, cluster->newest_backup_time));
    printf("  last verified  %s\n",
           cluster->last_verify_time == NULL
               ? hf_printf(cli->ctx.arena, "never: run `holdfast backup verify %s%s`",
                           out_short(cluster->newest_backup), where)
               : client_time(cli, cluster->last_verify_time));
    for (size_t i = 0; i < cluster->n_findings; i++) {
        if (!cluster->findings[i]->needs_action) {
            cluster_finding(cli, stdout, cluster->findings[i], &keys);
        }
    }
    if (wal->n_gaps > 0) {
        printf("  gaps           %zu ranges of WAL are missing; see `holdfast wal status %s%s`\n",
               wal->n_gaps, name, where);
    }
}

/* Only the installation's own directory knows them. */
static void print_processes(struct cli *cli, const struct info *info)
{
    if (!hf_is_ok(info->of_processes)) {
        out_line(stdout, "processes   not known: ", info->of_processes.message);
        return;
    }
    for (size_t i = 0; i < info->processes_len; i++) {
        printf("%s%s (pid %lld%s)", i == 0 ? "processes   " : ", ", info->processes[i].name,
               (long long)info->processes[i].pid,
               info->processes[i].is_alive ? "" : ", NOT RUNNING");
    }
    printf("%s\n", info->processes_len == 0
                       ? hf_printf(cli->ctx.arena, "processes   none: run `holdfast up --dir %s`",
                                   out_word(cli->ctx.arena, cli->dir))
                       : "");
}

static void print_screen(struct cli *cli, const struct info *info)
{
    printf("directory   %s\nbackup      %s\n", cli->dir, info->settings.endpoint);
    if (hf_text_empty(info->settings.client)) {
        print_processes(cli, info);
    } else {
        out_line(stdout, "client      ", info->settings.client);
    }
    if (info->list != NULL && info->list->n_clusters == 0) {
        printf("nothing is protected yet: holdfast cluster add NAME --dsn \"…\"%s\n",
               out_where(cli));
    }
    for (size_t i = 0; info->list != NULL && i < info->list->n_clusters; i++) {
        print_cluster(cli, info->list->clusters[i]);
    }
}

struct hf_status cmd_info(struct cli *cli)
{
    HF_CLEANUP(rpc_client_free) struct rpc_client *client = NULL;
    struct info info = {.of_processes = hf_success()};

    HF_TRY(dir_load(&cli->ctx, cli->dir, &info.settings));
    if (hf_text_empty(info.settings.client)) {
        info.of_processes =
            processes_load(&cli->ctx, cli->dir, &info.processes, &info.processes_len);
    }
    info.of_list = client_open(cli, &client);
    if (hf_is_ok(info.of_list)) {
        info.of_list = ask(cli, client, &info);
    }
    if (cli->output == CLI_JSON || cli->output == CLI_YAML) {
        HF_TRY(print_json(cli, &info));
    } else {
        print_screen(cli, &info);
    }
    return first_error(&info);
}
