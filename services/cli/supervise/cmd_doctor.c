/* doctor: every dependency, permission and connection, each with the command that mends it. Checks
 * are independent: one that fails does not hide the others. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/un.h>
#include <unistd.h>

#include "auth/pki.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/str.h"
#include "base/vec.h"
#include "cli/client.h"
#include "cli/commands.h"
#include "cli/out.h"
#include "cli/processes.h"
#include "cli/supervise/place.h"
#include "codec/json.h"
#include "db/db.h"

enum verdict { GOOD, WARN, BAD };

struct check {
    const char *name;
    enum verdict verdict;
    const char *what;
    const char *fix;
};

struct doctor {
    struct cli *cli;
    struct place place;
    HF_VEC(struct check) checks;
};

static void tell(struct doctor *doctor, enum verdict verdict, const char *name, const char *what,
                 const char *fix)
{
    *HF_VEC_ADD(doctor->cli->ctx.arena, &doctor->checks) =
        (struct check){name, verdict, what, verdict == GOOD ? "" : fix};
}

static void check_programs(struct doctor *doctor)
{
    const char *service =
        hf_path_join(doctor->cli->ctx.arena, doctor->place.bin, "holdfast-backup");

    tell(doctor, GOOD, "postgresql", doctor->place.pg_bin, "");
    tell(doctor, access("/usr/bin/redis-server", X_OK) == 0 ? GOOD : BAD, "redis",
         "/usr/bin/redis-server", "apt-get install redis-server");
    tell(doctor, access(service, X_OK) == 0 ? GOOD : BAD, "service", service,
         "install holdfast-backup beside holdfast (make install)");
}

static void check_private(struct doctor *doctor, const char *name)
{
    struct hf_arena *arena = doctor->cli->ctx.arena;
    const char *path = hf_path_join(arena, doctor->place.dir, name);
    struct stat found;

    if (stat(path, &found) != 0) {
        tell(doctor, BAD, name, hf_printf(arena, "%s is missing", path),
             "restore it from a copy: without it the vault cannot be used");
        return;
    }
    bool is_private = (found.st_mode & 077) == 0 && found.st_uid == doctor->place.uid;

    tell(doctor, is_private ? GOOD : BAD, name,
         is_private ? path : hf_printf(arena, "%s is open to others or has another owner", path),
         hf_printf(arena, "chown %u %s && chmod go= %s", (unsigned)doctor->place.uid, path, path));
}

static void check_permissions(struct doctor *doctor)
{
    static const char *const names[] = {
        "vault", "run", "keys", "keys/vault.key", "keys/signing.key", "keys/secrets.key"};
    struct hf_status reach = place_check_reach(&doctor->cli->ctx, &doctor->place);

    tell(doctor, hf_is_ok(reach) ? GOOD : BAD, "directory",
         hf_is_ok(reach) ? doctor->place.dir : reach.message,
         "move the directory to a place that the servers' user can enter");
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        check_private(doctor, names[i]);
    }
    const char *kit = hf_path_join(doctor->cli->ctx.arena, doctor->place.dir, "recovery-kit.txt");

    tell(doctor, hf_path_exists(kit) ? WARN : GOOD, "recovery kit",
         hf_path_exists(kit) ? "it is still on this machine" : "not on this machine",
         hf_printf(doctor->cli->ctx.arena, "print %s, then remove it", kit));
}

static void check_space(struct doctor *doctor)
{
    struct hf_arena *arena = doctor->cli->ctx.arena;
    struct statvfs space;

    if (statvfs(doctor->place.dir, &space) != 0) {
        return;
    }
    uint64_t free_bytes = (uint64_t)space.f_bavail * space.f_frsize;
    uint64_t all_bytes = (uint64_t)space.f_blocks * space.f_frsize;
    bool is_low = free_bytes < all_bytes / 20;

    tell(doctor, is_low ? WARN : GOOD, "disk",
         hf_printf(arena, "%s free for the vault", hf_size_text(arena, free_bytes)),
         "make room: with a full disk no WAL is acknowledged and sources keep theirs");
}

static void check_certificate(struct doctor *doctor, const char *name)
{
    struct hf_arena *arena = doctor->cli->ctx.arena;
    const char *dir = hf_path_join(arena, doctor->place.pki, name);
    struct pki_facts facts;
    struct hf_status status =
        pki_read(&doctor->cli->ctx, hf_path_join(arena, dir, "tls.crt"), &facts);

    if (!hf_is_ok(status) || facts.not_after_us < hf_now_us()) {
        tell(doctor, BAD, hf_printf(arena, "certificate %s", name),
             hf_is_ok(status) ? "it has expired" : status.message,
             hf_printf(arena, "holdfast up --dir %s", doctor->place.dir));
        return;
    }
    tell(doctor, GOOD, hf_printf(arena, "certificate %s", name),
         hf_printf(arena, "valid until %s", hf_time_text(arena, facts.not_after_us)), "");
}

static void check_processes(struct doctor *doctor)
{
    static const char *const names[] = {"supervisor", "postgres", "redis", "backup"};
    struct hf_arena *arena = doctor->cli->ctx.arena;
    const struct process_entry *entries = NULL;
    size_t len = 0;

    (void)hf_is_ok(processes_load(&doctor->cli->ctx, doctor->place.dir, &entries, &len));
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        bool is_alive = false;

        for (size_t k = 0; k < len; k++) {
            is_alive =
                is_alive || (hf_text_equal(entries[k].name, names[i]) && entries[k].is_alive);
        }
        tell(doctor, is_alive ? GOOD : BAD, hf_printf(arena, "process %s", names[i]),
             is_alive ? "runs" : "does not run",
             hf_printf(arena, "holdfast up --dir %s", doctor->place.dir));
    }
}

static void check_database(struct doctor *doctor)
{
    struct hf_arena *arena = doctor->cli->ctx.arena;
    const struct db_options options = {
        .conninfo = place_conninfo(arena, &doctor->place, "holdfast_app", "holdfast"),
        .role = DB_APP,
        .schema = "backup",
        .application_name = "holdfast-doctor"};
    HF_CLEANUP(db_free) struct db *db = db_new(&options);
    struct hf_status status = db_check(&doctor->cli->ctx, db);

    tell(doctor, hf_is_ok(status) ? GOOD : BAD, "state database",
         hf_is_ok(status) ? "answers, fsync is on, the role is no superuser" : status.message,
         hf_printf(arena, "holdfast up --dir %s; then look into %s/postgres.log", doctor->place.dir,
                   doctor->place.log));
}

static void check_redis(struct doctor *doctor)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    HF_CLEANUP(hf_close) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    size_t len = strlen(doctor->place.redis_socket);
    bool answers = false;

    if (fd >= 0 && len < sizeof(address.sun_path)) {
        memcpy(address.sun_path, doctor->place.redis_socket, len + 1);
        answers =
            connect(fd, (const struct sockaddr *)(const void *)&address, sizeof(address)) == 0;
    }
    tell(doctor, answers ? GOOD : WARN, "redis socket",
         answers ? "answers" : "does not answer; jobs are found by sweeping",
         hf_printf(doctor->cli->ctx.arena, "holdfast up --dir %s", doctor->place.dir));
}

static void check_cluster(struct doctor *doctor, const PbBackup__Cluster *cluster)
{
    struct hf_arena *arena = doctor->cli->ctx.arena;
    const char *name = hf_printf(arena, "cluster %s", out_short(cluster->name));
    bool streams = cluster->wal != NULL &&
                   cluster->wal->receiver_state == PB_BACKUP__WAL_STATUS__RECEIVER_STATE__STREAMING;

    tell(doctor, streams ? GOOD : BAD, name,
         streams ? "WAL streams"
                 : hf_printf(arena, "WAL does not stream: %s",
                             cluster->wal == NULL ? "" : cluster->wal->error),
         "make the source reachable; the receiver connects by itself");
    for (size_t i = 0; i < cluster->n_warnings; i++) {
        tell(doctor, WARN, name, cluster->warnings[i], "as said");
    }
}

static void check_service(struct doctor *doctor)
{
    HF_CLEANUP(rpc_client_free) struct rpc_client *client = NULL;
    PbBackup__ListClustersRequest req = PB_BACKUP__LIST_CLUSTERS_REQUEST__INIT;
    struct cli step = *doctor->cli;
    void *resp = NULL;

    step.ctx.deadline_us = hf_mono_us() + 5 * HF_US_PER_S;
    req.parent = client_tenant(doctor->cli);
    req.page_size = 1000;
    struct hf_status status = client_open(&step, &client);

    if (hf_is_ok(status)) {
        status = client_backup(&step, client, "ListClusters", &req.base, &resp);
    }
    tell(doctor, hf_is_ok(status) ? GOOD : BAD, "backup service",
         hf_is_ok(status) ? doctor->place.settings.endpoint : status.message,
         hf_printf(doctor->cli->ctx.arena, "holdfast up --dir %s; then look into %s/backup.log",
                   doctor->place.dir, doctor->place.log));
    if (!hf_is_ok(status)) {
        return;
    }
    const PbBackup__ListClustersResponse *list = resp;

    for (size_t i = 0; i < list->n_clusters; i++) {
        check_cluster(doctor, list->clusters[i]);
    }
}

/* --- printing ------------------------------------------------------------------------------- */

static const char *const verdicts[] = {[GOOD] = "ok", [WARN] = "warn", [BAD] = "fail"};

static struct hf_status print_json(struct doctor *doctor, bool *ret_is_done)
{
    HF_CLEANUP(hf_buf_done) struct hf_buf text = {0};

    hf_buf_init(&text, (size_t)4 << 20);
    struct codec_json json = codec_json_open(&text, 2);

    codec_json_begin_object(&json);
    codec_json_key(&json, "checks");
    codec_json_begin_array(&json);
    for (size_t i = 0; i < doctor->checks.len; i++) {
        const struct check *check = &doctor->checks.items[i];

        codec_json_begin_object(&json);
        codec_json_put_text(&json, "name", check->name);
        codec_json_put_text(&json, "verdict", verdicts[check->verdict]);
        codec_json_put_text(&json, "what", check->what);
        codec_json_put_text(&json, "fix", check->fix);
        codec_json_end(&json);
    }
    codec_json_end(&json);
    codec_json_end(&json);
    HF_TRY(codec_json_close(&json, doctor->cli->ctx.arena, "the checks"));
    return out_json(doctor->cli, hf_buf_text(&text), ret_is_done);
}

static struct hf_status print(struct doctor *doctor)
{
    static const char *const heads[] = {"CHECK", "VERDICT", "WHAT", "FIX", NULL};
    struct out_table table = out_table_new(doctor->cli->ctx.arena, heads);
    size_t bad = 0;
    bool is_done = false;

    for (size_t i = 0; i < doctor->checks.len; i++) {
        const struct check *check = &doctor->checks.items[i];
        const char *const cells[] = {check->name, verdicts[check->verdict], check->what,
                                     check->fix};

        bad += check->verdict == BAD ? 1 : 0;
        out_table_row(&table, cells);
    }
    HF_TRY(print_json(doctor, &is_done));
    if (!is_done) {
        out_table_print(&table);
    }
    return bad == 0 ? hf_success()
                    : hf_fail(doctor->cli->ctx.arena, HF_UNKNOWN, "%zu of %zu checks failed", bad,
                              doctor->checks.len);
}

struct hf_status cmd_doctor(struct cli *cli)
{
    struct doctor doctor = {.cli = cli};
    struct dir_settings settings;

    HF_TRY(dir_load(&cli->ctx, cli->dir, &settings));
    HF_TRY(place_of(&cli->ctx, cli->dir, settings.user, &doctor.place));
    doctor.place.settings = settings;
    check_programs(&doctor);
    check_permissions(&doctor);
    check_space(&doctor);
    check_certificate(&doctor, "backup");
    check_certificate(&doctor, "cli");
    check_processes(&doctor);
    check_database(&doctor);
    check_redis(&doctor);
    check_service(&doctor);
    return print(&doctor);
}
