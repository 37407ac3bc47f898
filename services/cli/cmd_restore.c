/* restore: the command line writes the directory itself, through the service or from a vault at
 * hand. The work runs on a thread of its own; this one shows progress and, with a service, reports
 * it: the reports are also the restore's sign of life, and their answers carry a cancellation. */
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/id.h"
#include "base/log.h"
#include "base/pool.h"
#include "base/str.h"
#include "cli/client.h"
#include "cli/commands.h"
#include "cli/dir.h"
#include "cli/offline.h"
#include "cli/out.h"
#include "cli/remote.h"
#include "cli/restore_confine.h"
#include "cli/restore_spaces.h"
#include "cli/supervise/account.h"
#include "pgformat/wal.h"
#include "restore/restore.h"
#include "rpc/message.h"

#define REPORT_US HF_US_PER_S
#define PASSWD_TEXT 16384

struct job {
    struct cli *cli;
    struct restore_options options;
    struct restore_progress progress;
    struct restore_confine confine;
    struct objstore *store;
    const struct vault_keyring *keyring;

    struct hf_ctx ctx; /* of the restoring thread */
    struct hf_cancel cancel;
    struct hf_status status;
    struct restore_result result;
    atomic_bool is_done;

    struct rpc_client *client; /* NULL: offline */
    const char *restore_name;
};

/* --- options -------------------------------------------------------------------------------- */

static struct hf_status one_target(struct cli *cli, const char **ret_name)
{
    static const char *const names[] = {"at", "lsn", "xid", "name", "latest", "immediate"};
    const char *found = NULL;

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (!cli_flag(cli, names[i])) {
            continue;
        }
        if (found != NULL) {
            return cli_usage(cli, "--%s and --%s exclude each other", found, names[i]);
        }
        found = names[i];
    }
    if (found == NULL) {
        return cli_usage(cli, "say to which moment: --latest, --at TIME, --lsn LSN, --xid XID, "
                              "--name NAME or --immediate");
    }
    *ret_name = found;
    return hf_success();
}

static struct hf_status take_target(struct cli *cli, struct restore_target *ret_target)
{
    const char *name = NULL;
    struct hf_arena *arena = cli->ctx.arena;
    struct restore_target target = {.kind = RESTORE_LATEST};
    uint64_t timeline = 0;

    HF_TRY(one_target(cli, &name));
    const char *value = cli_option(cli, name);

    if (hf_text_equal(name, "at")) {
        HF_TRY(restore_target_time(arena, value, &target));
    } else if (hf_text_equal(name, "lsn")) {
        HF_TRY(restore_target_lsn(arena, value, &target));
    } else if (hf_text_equal(name, "xid")) {
        HF_TRY(restore_target_xid(arena, value, &target));
    } else if (hf_text_equal(name, "name")) {
        target = (struct restore_target){.kind = RESTORE_NAME, .name = value};
    } else if (hf_text_equal(name, "immediate")) {
        target.kind = RESTORE_IMMEDIATE;
    }
    if (cli_flag(cli, "timeline") && (!hf_parse_u64(cli_option(cli, "timeline"), &timeline) ||
                                      timeline == 0 || timeline > UINT32_MAX)) {
        return cli_usage(cli, "--timeline must be a number from 1 on");
    }
    target.timeline = (uint32_t)timeline;
    target.is_exclusive = cli_flag(cli, "exclusive");
    *ret_target = target;
    return hf_success();
}

static struct hf_status take_action(struct cli *cli, enum restore_action *ret_action)
{
    static const struct {
        const char *name;
        enum restore_action action;
    } actions[] = {
        {"promote", RESTORE_PROMOTE}, {"pause", RESTORE_PAUSE}, {"shutdown", RESTORE_SHUTDOWN}};
    const char *wanted = cli_option(cli, "action");

    *ret_action = RESTORE_PROMOTE;
    for (size_t i = 0; wanted != NULL && i < sizeof(actions) / sizeof(actions[0]); i++) {
        if (hf_text_equal(wanted, actions[i].name)) {
            *ret_action = actions[i].action;
            return hf_success();
        }
    }
    return wanted == NULL
               ? hf_success()
               : cli_usage(cli, "--action must be promote, pause or shutdown, not %s", wanted);
}

static struct hf_status take_owner(struct cli *cli, struct restore_options *options)
{
    const char *user = cli_option(cli, "owner");
    struct account owner;

    if (user == NULL) {
        return hf_success();
    }
    if (geteuid() != 0) {
        return cli_usage(cli, "--owner needs root");
    }
    HF_TRY(account_parse(cli->ctx.arena, user, &owner));
    options->has_owner = true;
    options->owner_uid = owner.uid;
    options->owner_gid = owner.gid;
    return hf_success();
}

static struct hf_status take_dir(struct cli *cli, const char **ret_dir)
{
    const char *to = cli_option(cli, "to");

    if (hf_text_empty(to)) {
        return cli_usage(cli, "--to DIR is missing");
    }
    if (to[0] == '/') {
        *ret_dir = to;
        return hf_success();
    }
    char *here = hf_alloc(cli->ctx.arena, 4096);

    if (getcwd(here, 4096) == NULL) {
        return hf_fail(cli->ctx.arena, HF_FAILED_PRECONDITION, "the current directory is gone");
    }
    *ret_dir = hf_path_join(cli->ctx.arena, here, to);
    return hf_success();
}

/* The installation, and the vault where a link leads elsewhere; offline those around the vault. */
static const char *const *closed_dirs(struct cli *cli)
{
    struct hf_arena *arena = cli->ctx.arena;
    const char **dirs = HF_NEW_N(arena, const char *, 3);
    const char *vault = cli_option(cli, "vault");
    const char *above = vault == NULL ? cli->dir : hf_path_join(arena, vault, "..");

    dirs[0] = vault == NULL ? hf_path_join(arena, cli->dir, "vault") : vault;
    dirs[1] = hf_path_exists(hf_path_join(arena, above, DIR_SETTINGS)) ? above : NULL;
    return dirs;
}

static struct hf_status take_options(struct job *job)
{
    struct cli *cli = job->cli;
    struct restore_options *options = &job->options;
    const char *backup = cli_option(cli, "backup");
    uint64_t threads = 0;

    options->cluster = cli_arg(cli, 0) != NULL ? cli_arg(cli, 0) : cli_option(cli, "cluster");
    if (cli_arg(cli, 0) != NULL && cli_flag(cli, "cluster") &&
        !hf_text_equal(cli_arg(cli, 0), cli_option(cli, "cluster"))) {
        return cli_usage(cli, "two clusters are named: %s and --cluster %s", cli_arg(cli, 0),
                         cli_option(cli, "cluster"));
    }
    if (hf_text_empty(options->cluster)) {
        return cli_usage(cli, "name the cluster: holdfast restore CLUSTER --to DIR --latest");
    }
    if (cli_flag(cli, "threads") &&
        (!hf_parse_u64(cli_option(cli, "threads"), &threads) || threads < 1 || threads > 256)) {
        return cli_usage(cli, "--threads must be 1 to 256");
    }
    HF_TRY(take_dir(cli, &options->dir));
    HF_TRY(take_target(cli, &options->target));
    HF_TRY(take_action(cli, &options->action));
    HF_TRY(take_owner(cli, options));
    HF_TRY(restore_take_spaces(cli, options));
    options->threads = (size_t)threads;
    options->closed = closed_dirs(cli);
    options->backup_id = backup == NULL ? NULL : out_short(backup);
    options->progress = &job->progress;
    options->confine = restore_confine;
    options->confine_arg = &job->confine;
    job->confine.vault = cli_option(cli, "vault");
    return hf_success();
}

/* --- reporting ------------------------------------------------------------------------------ */

static struct hf_status create_restore(struct job *job)
{
    struct cli *cli = job->cli;
    PbBackup__CreateRestoreRequest req = PB_BACKUP__CREATE_RESTORE_REQUEST__INIT;
    PbBackup__Restore wish = PB_BACKUP__RESTORE__INIT;
    void *resp = NULL;

    wish.target = restore_target_text(cli->ctx.arena, &job->options.target);
    wish.directory = hf_strdup(cli->ctx.arena, job->options.dir);
    req.parent = client_cluster(cli, job->options.cluster);
    req.restore = &wish;
    req.request_id = hf_uuid_new_text(cli->ctx.arena, hf_now_us());
    HF_TRY(client_backup(cli, job->client, "CreateRestore", &req.base, &resp));
    const PbBackup__Restore *made = resp;

    job->restore_name = made->name;
    return hf_success();
}

struct counts {
    const char *phase;
    uint64_t done;
    uint64_t total;
};

static struct counts count(struct job *job)
{
    struct restore_progress *progress = &job->progress;
    const char *phase = atomic_load(&progress->phase);
    struct counts counts = {phase == NULL ? "planning" : phase, atomic_load(&progress->done_bytes),
                            atomic_load(&progress->total_bytes)};

    if (hf_text_equal(counts.phase, "restoring")) {
        counts.done = atomic_load(&progress->data.bytes_done);
    }
    return counts;
}

static void fill_end(struct job *job, struct hf_arena *arena, PbBackup__Restore *restore,
                     PbJobs__Job__Error *error)
{
    const struct restore_result *result = &job->result;

    if (hf_is_ok(job->status)) {
        restore->state = PB_BACKUP__RESTORE__STATE__SUCCEEDED;
        restore->backup = hf_strdup(arena, result->backup_id);
        restore->resolved_lsn = hf_strdup(arena, pgf_lsn(result->resolved_lsn).text);
        restore->restored_bytes = (int64_t)(result->data_bytes + result->wal_bytes);
        return;
    }
    restore->state = job->status.code == HF_CANCELLED ? PB_BACKUP__RESTORE__STATE__CANCELLED
                                                      : PB_BACKUP__RESTORE__STATE__FAILED;
    error->code = hf_strdup(arena, hf_code_name(job->status.code));
    error->message = hf_strdup(arena, job->status.message == NULL ? "" : job->status.message);
    error->reason = hf_strdup(arena, job->status.info == NULL ? "" : job->status.info->reason);
    restore->error = error;
}

/* One report; what it answers may cancel the restore. A service that does not answer now is no
 * reason to stop: the sealed bytes may still be readable, and the next report comes in a second. */
static void report(struct job *job, bool is_end)
{
    HF_CLEANUP(hf_arena_free) struct hf_arena *arena = hf_arena_new((size_t)4 << 20);
    struct cli step = *job->cli;
    struct counts counts = count(job);
    PbBackup__ReportRestoreRequest req = PB_BACKUP__REPORT_RESTORE_REQUEST__INIT;
    PbBackup__Restore restore = PB_BACKUP__RESTORE__INIT;
    PbJobs__Job__Progress progress = PB_JOBS__JOB__PROGRESS__INIT;
    PbJobs__Job__Error error = PB_JOBS__JOB__ERROR__INIT;
    void *resp = NULL;

    step.ctx.arena = arena;
    step.ctx.cancel = NULL; /* the last report is sent after Ctrl-C, too */
    step.ctx.deadline_us = hf_mono_us() + 5 * HF_US_PER_S;
    progress.phase = hf_strdup(arena, counts.phase);
    progress.done_bytes = (int64_t)counts.done;
    progress.total_bytes = (int64_t)counts.total;
    restore.state = PB_BACKUP__RESTORE__STATE__RUNNING;
    if (is_end) {
        fill_end(job, arena, &restore, &error);
    }
    req.name = hf_strdup(arena, job->restore_name);
    req.restore = &restore;
    req.progress = &progress;
    struct hf_status status = client_backup(&step, job->client, "ReportRestore", &req.base, &resp);

    if (hf_is_ok(status) && ((const PbBackup__Restore *)resp)->cancel_requested) {
        atomic_store(&job->cancel.is_set, true);
    }
    if (status.code == HF_FAILED_PRECONDITION || status.code == HF_ABORTED) {
        atomic_store(&job->cancel.is_set, true); /* ended elsewhere: nobody counts on it any more */
    }
}

/* --- running -------------------------------------------------------------------------------- */

static void run_restore(void *arg)
{
    struct job *job = arg;

    job->status = restore_run(&job->ctx, job->store, job->keyring, &job->options, &job->result);
    atomic_store(&job->is_done, true);
}

static void show(struct job *job, struct out_progress *progress)
{
    HF_CLEANUP(hf_arena_free) struct hf_arena *arena = hf_arena_new((size_t)1 << 20);
    struct counts counts = count(job);
    const struct out_step step = {
        .what = job->restore_name == NULL ? job->options.dir : job->restore_name,
        .state = "RUNNING",
        .phase = counts.phase,
        .done_bytes = (int64_t)counts.done,
        .total_bytes = (int64_t)counts.total,
    };

    out_progress_show(arena, progress, &step);
}

static void wait_for_end(struct job *job)
{
    struct out_progress progress = out_progress_new(job->cli);
    int64_t next_report_us = hf_mono_us() + REPORT_US;
    const struct hf_ctx tick = {.arena = NULL}; /* nothing can end this wait */

    while (!atomic_load(&job->is_done)) {
        struct hf_status slept = hf_ctx_sleep(&tick, 50);

        (void)slept;
        if (atomic_load(&job->cli->interrupted.is_set)) {
            atomic_store(&job->cancel.is_set, true);
        }
        show(job, &progress);
        if (job->client != NULL && hf_mono_us() >= next_report_us) {
            report(job, false);
            next_report_us = hf_mono_us() + REPORT_US;
        }
    }
    out_progress_end(&progress);
}

static struct hf_status run(struct job *job)
{
    job->ctx = job->cli->ctx;
    job->ctx.arena = hf_arena_new((size_t)1 << 30);
    job->ctx.cancel = &job->cancel;
    struct hf_thread *thread = hf_thread_try("restore", run_restore, job);

    if (thread == NULL) {
        return hf_thread_refused(job->cli->ctx.arena);
    }
    wait_for_end(job);
    hf_thread_join(thread);
    if (job->client != NULL) {
        report(job, true);
    }
    return job->status;
}

/* --- the answer ----------------------------------------------------------------------------- */

/* PostgreSQL refuses root: files that belong to root, as those of its parent do, are given away
 * first. A server has its user's own groups, whatever group the parent has. */
static const char *as_owner(struct hf_arena *arena, const struct restore_result *result)
{
    const char *words = "";
    struct passwd entry;
    struct passwd *user = NULL;
    char *text = hf_alloc(arena, PASSWD_TEXT);

    if (geteuid() != 0) {
        return "";
    }
    if (result->uid == 0) {
        for (size_t i = 0; i < result->made_len; i++) { /* the tablespaces, too */
            words = hf_printf(arena, "%s %s", words, out_word(arena, result->made[i]));
        }
        return hf_printf(arena,
                         "chown -R postgres:postgres%s && setpriv --reuid=postgres "
                         "--regid=postgres --init-groups ",
                         words);
    }
    if (getpwuid_r(result->uid, &entry, text, PASSWD_TEXT, &user) != 0 || user == NULL) {
        return hf_printf(arena, "setpriv --reuid=%u --regid=%u --clear-groups ",
                         (unsigned)result->uid, (unsigned)result->gid);
    }
    return hf_printf(arena, "setpriv --reuid=%s --regid=%u --init-groups ", user->pw_name,
                     (unsigned)user->pw_gid);
}

/* With the pg_ctl of the right major version, of Debian's place for it when it is there. */
static const char *start_command(struct job *job)
{
    struct hf_arena *arena = job->cli->ctx.arena;
    unsigned major = (unsigned)(job->result.server_version / 10000);
    const char *debian = hf_printf(arena, "/usr/lib/postgresql/%u/bin/pg_ctl", major);
    bool is_there = access(debian, X_OK) == 0;
    const char *dir = job->result.dir;

    return hf_printf(arena, "%s%s -D %s start%s", as_owner(arena, &job->result),
                     is_there ? debian : "pg_ctl", out_word(arena, dir),
                     is_there ? "" : hf_printf(arena, "  # the pg_ctl of PostgreSQL %u", major));
}

/* The rule that files belong to the owner of the parent gives them to root below root's folders. */
static void warn_of_root(const struct job *job)
{
    if (geteuid() == 0 && job->result.uid == 0) {
        fprintf(stderr,
                "note: %s belongs to root like the directory it is in, and PostgreSQL refuses to "
                "run as root: chown it, or restore with --owner USER\n",
                job->options.dir);
    }
}

static PbBackup__Restore *restore_message(struct job *job)
{
    struct hf_arena *arena = job->cli->ctx.arena;
    PbBackup__Restore *restore = rpc_message_new(arena, &pb_backup__restore__descriptor);
    PbJobs__Job__Error ignored = PB_JOBS__JOB__ERROR__INIT;

    fill_end(job, arena, restore, &ignored);
    restore->name = hf_strdup(arena, job->restore_name == NULL ? "" : job->restore_name);
    restore->target = restore_target_text(arena, &job->options.target);
    restore->directory = hf_strdup(arena, job->options.dir);
    restore->backup = hf_printf(arena, "tenants/%s/clusters/%s/backups/%s", job->cli->tenant,
                                out_short(job->options.cluster), job->result.backup_id);
    if (job->result.resolved_time_us != 0) {
        restore->resolved_time = rpc_message_new(arena, &google__protobuf__timestamp__descriptor);
        restore->resolved_time->seconds = job->result.resolved_time_us / HF_US_PER_S;
        restore->resolved_time->nanos =
            (int32_t)(job->result.resolved_time_us % HF_US_PER_S * 1000);
    }
    return restore;
}

static struct hf_status print(struct job *job)
{
    struct hf_arena *arena = job->cli->ctx.arena;
    const struct restore_result *result = &job->result;
    PbBackup__Restore *restore = restore_message(job);
    bool is_done = false;

    for (size_t i = 0; i < result->notes_len; i++) {
        out_line(stderr, "note: ", result->notes[i]);
    }
    warn_of_root(job);
    HF_TRY(out_message(job->cli, &restore->base, &is_done));
    if (is_done) {
        return hf_success();
    }
    out_field("Restored:", job->options.dir);
    out_field("Target:", restore->target);
    out_field("Backup:", result->backup_id);
    out_field("Timeline:", hf_printf(arena, "%u", (unsigned)result->timeline));
    out_field("WAL up to:", restore->resolved_lsn);
    out_field("Last commit:", client_time(job->cli, restore->resolved_time));
    out_field("Data:",
              hf_printf(arena, "%s in %llu files, %s of WAL",
                        hf_size_text(arena, result->data_bytes), (unsigned long long)result->files,
                        hf_size_text(arena, result->wal_bytes)));
    printf("start it with:\n  %s\n", start_command(job));
    return hf_success();
}

static struct hf_status run_offline(struct job *job)
{
    HF_CLEANUP(offline_close) struct offline offline = {0};

    HF_TRY(offline_open(job->cli, &offline));
    HF_TRY(offline_find(job->cli, &offline, job->options.cluster, &job->options.source_prefix));
    job->store = offline.store;
    job->keyring = offline.keyring;
    fprintf(stderr, "note: freshness unproven: a vault alone cannot tell that its newest journal "
                    "entries were removed\n");
    return run(job);
}

/* Nobody answers, but the vault may be at hand all the same. */
static struct hf_status point_offline(const struct cli *cli, struct hf_status status)
{

    if (status.code != HF_UNAVAILABLE) {
        return status;
    }
    fprintf(stderr,
            "note: the vault can be read without any service:\n  %s --vault %s --key-file %s\n",
            restore_command_again(cli),
            out_word(cli->ctx.arena, hf_path_join(cli->ctx.arena, cli->dir, "vault")),
            out_word(cli->ctx.arena, hf_path_join(cli->ctx.arena, cli->dir, "keys/vault.key")));
    return status;
}

static struct hf_status run_online(struct job *job)
{
    HF_CLEANUP(rpc_client_free) struct rpc_client *client = NULL;
    HF_CLEANUP(remote_close) struct remote remote = {0};

    HF_TRY(client_open(job->cli, &client));
    job->client = client;
    HF_TRY(create_restore(job));
    struct hf_status status = remote_open(&job->cli->ctx, client,
                                          client_cluster(job->cli, job->options.cluster), &remote);

    if (!hf_is_ok(status)) {
        job->status = status;
        report(job, true);
        return status;
    }
    job->store = remote.store;
    job->keyring = remote.keyring;
    job->options.source_prefix = remote.source_prefix;
    job->options.cluster = out_short(job->options.cluster);
    return run(job);
}

static struct hf_status carry_out(struct job *job)
{
    HF_TRY(take_options(job));
    HF_TRY(offline_check_options(job->cli));
    HF_TRY(cli_flag(job->cli, "vault") ? run_offline(job)
                                       : point_offline(job->cli, run_online(job)));
    return print(job);
}

struct hf_status cmd_restore(struct cli *cli)
{
    struct job *job = HF_NEW(cli->ctx.arena, struct job);

    job->cli = cli;
    struct hf_status status = hf_status_copy(cli->ctx.arena, carry_out(job));

    restore_hint_spaces(cli, job->options.dir, status);

    hf_arena_free(job->ctx.arena); /* of the restoring thread: its last status and the result */
    return status;
}
