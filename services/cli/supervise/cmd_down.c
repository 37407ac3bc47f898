/* down: say which slots stay behind, stop the supervisor and what it left, destroy when asked to.
 */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/str.h"
#include "base/vec.h"
#include "cli/client.h"
#include "cli/commands.h"
#include "cli/dir.h"
#include "cli/input.h"
#include "cli/out.h"
#include "cli/supervise/stop.h"
#include "codec/json.h"
#include "pgwire/dsn.h"

#define LINE_MAX_BYTES 4096
#define JSON_MAX ((size_t)4 << 20)

struct left_slot {
    const char *cluster;
    const char *slot;
    const char *host;
    const char *port;
};

struct left {
    struct hf_arena *arena;
    bool is_known; /* false: nobody could be asked */
    HF_VEC(struct left_slot) slots;
};

/* One slot on every host of the DSN, whichever of them is the primary now. */
static void find_slots_of(struct left *left, const PbBackup__Cluster *cluster)
{
    struct pgwire_dsn dsn = {0};

    if (hf_text_empty(cluster->slot) ||
        !hf_is_ok(pgwire_dsn_parse(left->arena, cluster->dsn, &dsn))) {
        return; /* it came back from the vault and has no connection yet */
    }
    for (size_t i = 0; i < dsn.hosts_len; i++) {
        *HF_VEC_ADD(left->arena, &left->slots) = (struct left_slot){
            out_short(cluster->name), cluster->slot, hf_strdup(left->arena, dsn.hosts[i].host),
            hf_strdup(left->arena, dsn.hosts[i].port)};
    }
}

/* Slots keep WAL on the sources as long as nobody drops them. Nobody to ask is no reason to stay
 * up. */
static void find_slots(struct cli *cli, struct left *left)
{
    HF_CLEANUP(rpc_client_free) struct rpc_client *client = NULL;
    PbBackup__ListClustersRequest req = PB_BACKUP__LIST_CLUSTERS_REQUEST__INIT;
    struct cli step = *cli;
    void *resp = NULL;

    step.ctx.deadline_us = hf_mono_us() + 5 * HF_US_PER_S;
    req.parent = client_tenant(cli);
    if (!hf_is_ok(client_open(&step, &client)) ||
        !hf_is_ok(client_list(&step, client, "ListClusters", &req.base, &resp))) {
        return;
    }
    left->is_known = true;
    const PbBackup__ListClustersResponse *list = resp;

    for (size_t i = 0; i < list->n_clusters; i++) {
        find_slots_of(left, list->clusters[i]);
    }
}

/* Without an installation there is only the server itself. */
static const char *drop_command(struct hf_arena *arena, const struct left_slot *slot)
{
    return hf_printf(arena,
                     "psql -h %s -p %s -d postgres -c \"SELECT pg_drop_replication_slot('%s')\"",
                     out_word(arena, slot->host), out_word(arena, slot->port), slot->slot);
}

static void name_slots(const struct cli *cli, const struct left *left)
{
    const char *where = out_where(cli);

    if (!left->is_known) {
        fprintf(stderr, "warning: the service does not answer; slots of registered clusters stay "
                        "on their sources\n");
    }
    for (size_t i = 0; i < left->slots.len; i++) {
        const struct left_slot *slot = &left->slots.items[i];

        fprintf(stderr,
                "warning: slot %s stays on %s:%s, a source of %s, and keeps WAL there; `%s` drops "
                "it\n",
                slot->slot, slot->host, slot->port, slot->cluster,
                cli_flag(cli, "destroy") ? drop_command(cli->ctx.arena, slot)
                                         : hf_printf(cli->ctx.arena, "holdfast cluster remove %s%s",
                                                     slot->cluster, where));
    }
}

static struct hf_status print_json(struct cli *cli, const struct left *left, bool *ret_is_done)
{
    HF_CLEANUP(hf_buf_done) struct hf_buf text = {0};

    hf_buf_init(&text, JSON_MAX);
    struct codec_json json = codec_json_open(&text, 2);

    codec_json_begin_object(&json);
    codec_json_put_text(&json, "directory", cli->dir);
    codec_json_put_bool(&json, "destroyed", cli_flag(cli, "destroy"));
    codec_json_put_bool(&json, "slotsKnown", left->is_known);
    codec_json_key(&json, "slotsLeft");
    codec_json_begin_array(&json);
    for (size_t i = 0; i < left->slots.len; i++) {
        const struct left_slot *slot = &left->slots.items[i];

        codec_json_begin_object(&json);
        codec_json_put_text(&json, "cluster", slot->cluster);
        codec_json_put_text(&json, "slot", slot->slot);
        codec_json_put_text(&json, "host", slot->host);
        codec_json_put_text(&json, "port", slot->port);
        codec_json_end(&json);
    }
    codec_json_end(&json);
    codec_json_end(&json);
    HF_TRY(codec_json_close(&json, cli->ctx.arena, "what is left"));
    return out_json(cli, hf_buf_text(&text), ret_is_done);
}

static struct hf_status confirm(struct cli *cli)
{
    const char *line = "";

    if (cli_flag(cli, "yes")) {
        return hf_success();
    }
    if (isatty(STDIN_FILENO) != 1) {
        return hf_fail_info(cli->ctx.arena, HF_FAILED_PRECONDITION, "NOT_CONFIRMED", NULL,
                            "nobody can be asked whether %s is to be removed with its vault and "
                            "its keys; say so with --yes",
                            cli->dir);
    }
    const char *prompt = hf_printf(
        cli->ctx.arena,
        "This removes %s with its vault and its keys. Type the directory to go on: ", cli->dir);

    HF_TRY(input_line(cli, prompt, false, LINE_MAX_BYTES, &line));
    return hf_text_equal(line, cli->dir) ? hf_success()
                                         : hf_fail(cli->ctx.arena, HF_FAILED_PRECONDITION,
                                                   "not confirmed: nothing was removed");
}

/* --- destroying ----------------------------------------------------------------------------- */

/* Everything else goes between the first and these: the locks are in run/, and holdfast.yaml says
 * that something is left to be destroyed. */
static const char *const destroyed_last[] = {"run", "holdfast.yaml"};

static bool is_left_out(const char *name)
{
    static const char *const names[] = {".", "..", "lost+found"}; /* of the disk that it is */
    bool is_last = false;

    for (size_t i = 0; i < HF_LEN(names); i++) {
        is_last = is_last || hf_text_equal(name, names[i]);
    }
    for (size_t i = 0; i < HF_LEN(destroyed_last); i++) {
        is_last = is_last || hf_text_equal(name, destroyed_last[i]);
    }
    return is_last;
}

static struct hf_status remove_one(struct cli *cli, const char *name)
{
    return hf_remove_tree(cli->ctx.arena, hf_path_join(cli->ctx.arena, cli->dir, name));
}

/* One look at the list. A failure keeps none of the others; the last one is told. */
static struct hf_status remove_listed(struct cli *cli, DIR *list, size_t *found)
{
    struct hf_status last = hf_success();
    const struct dirent *entry = readdir(list);

    for (; entry != NULL; entry = readdir(list)) {
        if (!is_left_out(entry->d_name)) {
            struct hf_status status = remove_one(cli, entry->d_name);

            if (!hf_is_ok(status)) {
                last = status;
            }
            (*found)++;
        }
        errno = 0;
    }
    return errno == 0 || !hf_is_ok(last)
               ? last
               : hf_fail_errno(cli->ctx.arena, errno, "listing %s", cli->dir);
}

/* A list that is changed while it is read may leave out something: until one shows nothing. */
static struct hf_status remove_rest(struct cli *cli)
{
    DIR *list = opendir(cli->dir);
    struct hf_status status = hf_success();
    size_t found = 1;

    if (list == NULL) {
        return hf_fail_errno(cli->ctx.arena, errno, "listing %s", cli->dir);
    }
    while (found > 0 && hf_is_ok(status)) {
        found = 0;
        rewinddir(list);
        errno = 0;
        status = remove_listed(cli, list, &found);
    }
    (void)closedir(list);
    return status;
}

/* Without the keys nothing of the vault can be read, however much of it should stay. */
static struct hf_status remove_all(struct cli *cli)
{
    struct hf_status keys = remove_one(cli, "keys");
    struct hf_status status = remove_rest(cli);

    if (!hf_is_ok(keys)) {
        status = keys;
    }
    for (size_t i = 0; i < HF_LEN(destroyed_last) && hf_is_ok(status); i++) {
        status = remove_one(cli, destroyed_last[i]);
    }
    return status;
}

/* Where the directory's own name is not ours to remove, an empty one stays; root takes it away. */
static struct hf_status destroy(struct cli *cli)
{
    struct hf_status status = remove_all(cli);

    if (!hf_is_ok(status)) {
        return hf_fail_info(cli->ctx.arena, HF_FAILED_PRECONDITION, "NOT_DESTROYED", NULL,
                            "%s is not destroyed: %s; take away what stays, then repeat it",
                            cli->dir, status.message);
    }
    return rmdir(cli->dir) == 0 || errno == ENOENT || errno == EACCES || errno == EPERM ||
                   errno == EBUSY
               ? hf_success()
               : hf_fail_errno(cli->ctx.arena, errno, "removing %s", cli->dir);
}

struct hf_status cmd_down(struct cli *cli)
{
    struct dir_settings settings;
    struct left left = {.arena = cli->ctx.arena};
    HF_CLEANUP(stopped_done) struct stopped stopped = {.setup_lock = -1, .supervisor_lock = -1};
    bool is_done = false;

    HF_TRY(dir_load_own(&cli->ctx, cli->dir, &settings));
    if (cli_flag(cli, "destroy")) {
        HF_TRY(confirm(cli));
    }
    find_slots(cli, &left);
    name_slots(cli, &left);
    HF_TRY(stop_own(cli, &stopped));
    if (cli_flag(cli, "destroy")) {
        HF_TRY(destroy(cli));
    }
    HF_TRY(print_json(cli, &left, &is_done));
    if (cli->output == CLI_TABLE) {
        printf("%s %s\n", cli_flag(cli, "destroy") ? "destroyed" : "stopped", cli->dir);
    }
    return hf_success();
}
