/* down: say which slots stay behind, stop the supervisor and what it left, destroy when asked to.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/str.h"
#include "cli/client.h"
#include "cli/commands.h"
#include "cli/input.h"
#include "cli/out.h"
#include "cli/processes.h"
#include "cli/supervise/children.h"
#include "cli/supervise/supervisor.h"
#include "pgwire/dsn.h"

#define STOP_SECONDS 120
#define LINE_MAX_BYTES 4096

/* One slot on every host of the DSN, whichever of them is the primary now. */
static void name_slots_of(struct hf_arena *arena, const PbBackup__Cluster *cluster)
{
    const char *name = out_short(cluster->name);
    struct pgwire_dsn dsn = {0};

    if (hf_text_empty(cluster->slot) || !hf_is_ok(pgwire_dsn_parse(arena, cluster->dsn, &dsn))) {
        return; /* it came back from the vault and has no connection yet */
    }
    for (size_t i = 0; i < dsn.hosts_len; i++) {
        fprintf(stderr,
                "warning: slot %s stays on %s:%s, a source of %s, and keeps WAL there; `holdfast "
                "cluster remove %s` drops it\n",
                cluster->slot, dsn.hosts[i].host, dsn.hosts[i].port, name, name);
    }
}

/* Slots keep WAL on the sources as long as nobody drops them. Nobody to ask is no reason to stay
 * up. */
static void name_slots(struct cli *cli)
{
    HF_CLEANUP(rpc_client_free) struct rpc_client *client = NULL;
    PbBackup__ListClustersRequest req = PB_BACKUP__LIST_CLUSTERS_REQUEST__INIT;
    struct cli step = *cli;
    void *resp = NULL;

    step.ctx.deadline_us = hf_mono_us() + 5 * HF_US_PER_S;
    req.parent = client_tenant(cli);
    req.page_size = 1000;
    if (!hf_is_ok(client_open(&step, &client)) ||
        !hf_is_ok(client_backup(&step, client, "ListClusters", &req.base, &resp))) {
        fprintf(stderr, "warning: the service does not answer; slots of registered clusters stay "
                        "on their sources\n");
        return;
    }
    const PbBackup__ListClustersResponse *list = resp;

    for (size_t i = 0; i < list->n_clusters; i++) {
        name_slots_of(cli->ctx.arena, list->clusters[i]);
    }
}

static struct hf_status stop_supervisor(struct cli *cli, const struct place *place)
{
    pid_t pid = supervisor_find(&cli->ctx, place);
    int64_t end_us = hf_mono_us() + STOP_SECONDS * HF_US_PER_S;

    if (pid == 0) {
        return hf_success();
    }
    if (kill(pid, SIGTERM) != 0 && errno != ESRCH) {
        return hf_fail_errno(cli->ctx.arena, errno, "stopping the supervisor (pid %d)", (int)pid);
    }
    while (supervisor_find(&cli->ctx, place) == pid) { /* the lock goes with it, pids come again */
        if (hf_mono_us() > end_us) {
            kill(pid, SIGKILL);
        }
        HF_TRY(hf_ctx_sleep(&cli->ctx, 50));
    }
    return hf_success();
}

static struct hf_status confirm(struct cli *cli)
{
    const char *line = "";

    if (cli_flag(cli, "yes") || isatty(STDIN_FILENO) != 1) {
        return hf_success();
    }
    const char *prompt = hf_printf(
        cli->ctx.arena,
        "This removes %s with its vault and its keys. Type the directory to go on: ", cli->dir);

    HF_TRY(input_line(cli, prompt, false, LINE_MAX_BYTES, &line));
    return hf_text_equal(line, cli->dir) ? hf_success()
                                         : hf_fail(cli->ctx.arena, HF_FAILED_PRECONDITION,
                                                   "not confirmed: nothing was removed");
}

struct hf_status cmd_down(struct cli *cli)
{
    struct dir_settings settings;
    struct place place;
    struct children children;

    HF_TRY(dir_load(&cli->ctx, cli->dir, &settings));
    HF_TRY(place_of(&cli->ctx, cli->dir, settings.user, &place));
    place.settings = settings;
    if (cli_flag(cli, "destroy")) {
        HF_TRY(confirm(cli));
    }
    name_slots(cli);
    HF_TRY(stop_supervisor(cli, &place));
    children_adopt(&cli->ctx, &place, &children); /* of a supervisor that was killed */
    HF_TRY(children_stop(&cli->ctx, &children));
    HF_TRY(children_save(&cli->ctx, &children, 0));
    if (cli_flag(cli, "destroy")) {
        HF_TRY(hf_remove_tree(cli->ctx.arena, cli->dir));
    }
    if (cli->output == CLI_TABLE) {
        printf("%s %s\n", cli_flag(cli, "destroy") ? "destroyed" : "stopped", cli->dir);
    }
    return hf_success();
}
