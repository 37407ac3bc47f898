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
#include "cli/supervise/began.h"
#include "cli/supervise/doctor.h"
#include "cli/supervise/kit.h"
#include "cli/supervise/overrides.h"
#include "cli/supervise/place.h"
#include "codec/json.h"
#include "db/db.h"
#include "svc/confine.h"
#include "vault/kit.h"
#include "vault/marker.h"

#define SPACE_LEAST ((uint64_t)64 << 20) /* a few WAL segments */
#define PROC_STATUS_MAX ((size_t)16 << 10)

void doctor_tell(struct doctor *doctor, enum verdict verdict, const char *name, const char *what,
                 const char *fix)
{
    *HF_VEC_ADD(doctor->cli->ctx.arena, &doctor->checks) =
        (struct check){name, verdict, what, verdict == GOOD ? "" : fix};
}

static const char *up_command(const struct doctor *doctor)
{
    struct hf_arena *arena = doctor->cli->ctx.arena;

    return hf_printf(arena, "holdfast up --dir %s", out_word(arena, doctor->place.dir));
}

/* Of a service that runs, and says nothing or the wrong thing. */
const char *doctor_restart(const struct doctor *doctor)
{
    return hf_printf(doctor->cli->ctx.arena, "holdfast down --dir %s && %s",
                     out_word(doctor->cli->ctx.arena, doctor->place.dir), up_command(doctor));
}

static void check_programs(struct doctor *doctor)
{
    struct hf_ctx *ctx = &doctor->cli->ctx;
    const char *service = hf_path_join(ctx->arena, doctor->place.bin, PLACE_SERVICE);
    bool is_there = doctor->place.service > 0 || access(service, X_OK) == 0;
    struct hf_status found = place_find_postgres(ctx, &doctor->place);

    doctor_tell(doctor, hf_is_ok(found) ? GOOD : BAD, "postgresql",
                hf_is_ok(found) ? doctor->place.pg_bin : found.message, "as said");
    doctor_tell(doctor, access("/usr/bin/redis-server", X_OK) == 0 ? GOOD : BAD, "redis",
                "/usr/bin/redis-server", "apt-get install redis-server");
    doctor_tell(doctor, is_there ? GOOD : BAD, "service", service,
                "make install  # it belongs beside holdfast");
}

static void check_overrides(struct doctor *doctor)
{
    struct hf_arena *arena = doctor->cli->ctx.arena;
    const char *path = hf_path_join(arena, doctor->place.dir, DIR_OVERRIDES);
    struct hf_status status = overrides_check(&doctor->cli->ctx, &doctor->place);

    if (hf_path_exists(path)) {
        doctor_tell(doctor, hf_is_ok(status) ? GOOD : BAD, DIR_OVERRIDES,
                    hf_is_ok(status) ? path : status.message,
                    hf_printf(arena, "%s  # when that line is mended", up_command(doctor)));
    }
}

/* What is named for root to paste acts as the servers' user: whoever is that user puts a link in
 * the place of what was just looked at. */
const char *doctor_as_user(const struct doctor *doctor)
{
    return doctor->cli->was_root
               ? hf_printf(doctor->cli->ctx.arena, "setpriv --reuid=%u --regid=%u --clear-groups ",
                           (unsigned)geteuid(), (unsigned)getegid())
               : "";
}

/* One file or directory that only the servers' user may open. */
struct private
{
    const char *name;
    bool is_key;    /* nobody can make it anew */
    bool is_of_kit; /* but out of the recovery kit */
    bool may_be_elsewhere;
};

static const char *kit_path(const struct doctor *doctor)
{
    return hf_path_join(doctor->cli->ctx.arena, doctor->place.dir, KIT_FILE);
}

/* From a copy that root may read and the servers' user not: the shell opens it. before: a command
 * that takes away what is there, "" for none. */
static const char *copy_command(const struct doctor *doctor, const struct private *item,
                                const char *path, const char *before)
{
    struct hf_arena *arena = doctor->cli->ctx.arena;
    const char *user = doctor_as_user(doctor);
    const char *word = out_word(arena, path);
    const char *first = *before == '\0' ? "" : hf_printf(arena, "%s%s %s && ", user, before, word);
    const char *or_else =
        item->is_of_kit ? hf_printf(arena, "if there is none, of the recovery kit, and then: %s",
                                    doctor_restart(doctor))
                        : "or mount its disk";

    return hf_printf(arena, "%s(umask 077; %sdd of=%s <COPY)  # %s", first, user, word, or_else);
}

/* The vault may be elsewhere, by a link of whoever is trusted with the machine. */
static bool is_operators_link(const struct doctor *doctor, const struct private *item,
                              const struct stat *link)
{
    return item->may_be_elsewhere &&
           (link->st_uid == 0 || (!doctor->cli->was_root && link->st_uid == geteuid()));
}

/* NULL, or what is wrong with it; then *ret_fix mends it. */
static const char *objection(const struct doctor *doctor, const struct private *item,
                             const char *path, const struct stat *found, const char **ret_fix)
{
    struct hf_arena *arena = doctor->cli->ctx.arena;

    if (S_ISLNK(found->st_mode)) {
        *ret_fix = hf_printf(arena, "%srm %s", doctor_as_user(doctor), out_word(arena, path));
        return "is a link, which nobody follows";
    }
    if (found->st_uid != geteuid()) {
        *ret_fix = item->is_key ? copy_command(doctor, item, path, "rm -f") : up_command(doctor);
        return "has another owner";
    }
    *ret_fix = hf_printf(arena, "%schmod go= %s", doctor_as_user(doctor), out_word(arena, path));
    return (found->st_mode & 077) == 0 ? NULL : "is open to others";
}

static void check_private(struct doctor *doctor, const struct private *item)
{
    struct hf_arena *arena = doctor->cli->ctx.arena;
    const char *path = hf_path_join(arena, doctor->place.dir, item->name);
    const char *fix = "";
    struct stat found;

    if (lstat(path, &found) != 0 ||
        (is_operators_link(doctor, item, &found) && stat(path, &found) != 0)) {
        doctor_tell(doctor, BAD, item->name, hf_fail_errno(arena, errno, "%s", path).message,
                    item->is_key ? copy_command(doctor, item, path, "") : up_command(doctor));
        return;
    }
    const char *why = objection(doctor, item, path, &found, &fix);

    doctor_tell(doctor, why == NULL ? GOOD : BAD, item->name,
                why == NULL ? path : hf_printf(arena, "%s %s", path, why), fix);
}

/* What stands in it; that it is there is told already. */
static void check_vault_key(struct doctor *doctor)
{
    struct hf_ctx *ctx = &doctor->cli->ctx;
    struct vault_key key;
    struct hf_status status =
        vault_key_load(ctx, hf_path_join(ctx->arena, doctor->place.keys, "vault.key"), &key);

    if (hf_is_ok(status) && key.is_kit) {
        doctor_tell(doctor, BAD, "vault key", "is a recovery kit: `up` makes a key of it",
                    doctor_restart(doctor));
    } else if (status.code == HF_INVALID_ARGUMENT) {
        static const struct private item = {.is_key = true, .is_of_kit = true};
        const char *path = hf_path_join(ctx->arena, doctor->place.keys, "vault.key");

        doctor_tell(doctor, BAD, "vault key", status.message,
                    copy_command(doctor, &item, path, ""));
    }
    explicit_bzero(&key, sizeof(key));
}

static void check_permissions(struct doctor *doctor)
{
    static const struct private items[] = {
        {.name = "vault", .may_be_elsewhere = true},
        {.name = "vault/" VAULT_MARKER_NAME, .is_key = true},
        {.name = "run"},
        {.name = "keys"},
        {.name = "state"},
        {.name = "keys/vault.key", .is_key = true, .is_of_kit = true},
        {.name = "keys/signing.key", .is_key = true},
        {.name = "keys/secrets.key", .is_key = true},
        {.name = "keys/escrow.pub", .is_key = true},
        {.name = "pki/ca"},
    };
    struct hf_arena *arena = doctor->cli->ctx.arena;
    const struct account self = {.name = doctor->place.user, .uid = geteuid(), .gid = getegid()};
    struct hf_status reach = place_check_reach(&doctor->cli->ctx, doctor->place.dir, &self);
    const char *kit = kit_path(doctor);

    doctor_tell(doctor, hf_is_ok(reach) ? GOOD : BAD, "directory",
                hf_is_ok(reach) ? doctor->place.dir : reach.message,
                hf_is_ok(reach) ? ""
                                : hf_printf(arena, "chmod o+x %s",
                                            out_word(arena, reach.info->metadata[0].value)));
    for (size_t i = 0; i < sizeof(items) / sizeof(items[0]); i++) {
        check_private(doctor, &items[i]);
    }
    check_vault_key(doctor);
    doctor_tell(doctor, hf_path_exists(kit) ? WARN : GOOD, "recovery kit",
                hf_path_exists(kit) ? "it is still on this machine" : "not on this machine",
                hf_printf(arena, "%srm %s  # after it was printed or copied elsewhere",
                          doctor_as_user(doctor), out_word(arena, kit)));
}

/* NULL: it does not run. */
static const struct process_entry *find_running(struct doctor *doctor, const char *name)
{
    const struct process_entry *entries = NULL;
    size_t len = 0;

    (void)hf_is_ok(processes_load(&doctor->cli->ctx, doctor->place.dir, &entries, &len));
    const struct process_entry *found = processes_find(entries, len, name);

    return found != NULL && found->is_alive ? found : NULL;
}

/* The directory of a service that runs against the one at the path. */
static void check_vault_place(struct doctor *doctor)
{
    HF_CLEANUP(hf_buf_done) struct hf_buf noted = {0};
    struct hf_arena *arena = doctor->cli->ctx.arena;
    const char *vault = hf_path_join(arena, doctor->place.dir, "vault");
    const char *note = hf_path_join(arena, doctor->place.dir, "state/" VAULT_NOTE_NAME);
    struct stat found;

    hf_buf_init(&noted, VAULT_NOTE_MAX);
    if (stat(vault, &found) != 0 || find_running(doctor, "backup") == NULL ||
        !hf_is_ok(hf_read_file(arena, note, &noted))) {
        return; /* the vault's own check says why; a service that does not run holds none */
    }
    const char *now = hf_printf(arena, VAULT_NOTE_FORMAT "\n", (unsigned long long)found.st_dev,
                                (unsigned long long)found.st_ino);
    bool is_same = hf_text_equal(now, hf_buf_text(&noted));

    doctor_tell(
        doctor, is_same ? GOOD : BAD, "vault of the service",
        is_same ? "is the one in its place"
                : hf_printf(arena,
                            "the service holds another directory than %s: that was moved, "
                            "unmounted or mounted over; no WAL and no backup is acknowledged",
                            vault),
        hf_printf(arena,
                  "%s  # when the old one is back in its place, or what is newer in it was copied",
                  doctor_restart(doctor)));
}

static void check_space(struct doctor *doctor)
{
    struct hf_arena *arena = doctor->cli->ctx.arena;
    const char *vault = hf_path_join(arena, doctor->place.dir, "vault");
    struct statvfs space;

    if (statvfs(vault, &space) != 0) {
        return; /* the vault's own check says why */
    }
    uint64_t free_bytes = (uint64_t)space.f_bavail * space.f_frsize;
    uint64_t all_bytes = (uint64_t)space.f_blocks * space.f_frsize;
    enum verdict verdict = free_bytes < SPACE_LEAST || free_bytes < all_bytes / 100 ? BAD
                           : free_bytes < all_bytes / 20                            ? WARN
                                                                                    : GOOD;

    doctor_tell(doctor, verdict, "disk",
                hf_printf(arena, "%s free for the vault%s", hf_size_text(arena, free_bytes),
                          verdict == GOOD
                              ? ""
                              : ": when it is full no WAL is acknowledged, and sources keep "
                                "theirs"),
                hf_printf(arena, "du -xsh %s/*  # what takes the room; then make some",
                          out_word(arena, doctor->place.dir)));
}

static void check_certificate(struct doctor *doctor, const char *name)
{
    struct hf_ctx *ctx = &doctor->cli->ctx;
    const char *crt =
        hf_path_join(ctx->arena, doctor->place.pki, hf_printf(ctx->arena, "%s/tls.crt", name));
    const char *key =
        hf_path_join(ctx->arena, doctor->place.pki, hf_printf(ctx->arena, "%s/tls.key", name));
    struct pki_facts facts;
    struct hf_status status = pki_read(ctx, crt, &facts);

    if (hf_is_ok(status) && !pki_key_fits(ctx, crt, key)) {
        status = hf_fail(ctx->arena, HF_FAILED_PRECONDITION, "%s is not the key of %s", key, crt);
    }
    if (hf_is_ok(status)) {
        status = pki_verify(ctx, crt, hf_path_join(ctx->arena, doctor->place.pki, "ca/ca.crt"), 0);
    }
    doctor_tell(doctor, hf_is_ok(status) ? GOOD : BAD,
                hf_printf(ctx->arena, "certificate %s", name),
                hf_is_ok(status) ? hf_printf(ctx->arena, "valid until %.19sZ",
                                             hf_time_text(ctx->arena, facts.not_after_us))
                                 : status.message,
                up_command(doctor));
}

static void check_processes(struct doctor *doctor)
{
    static const char *const names[] = {"supervisor", "postgres", "redis", "backup"};
    struct hf_arena *arena = doctor->cli->ctx.arena;

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        const struct process_entry *entry = find_running(doctor, names[i]);
        const char *newer =
            entry == NULL ? NULL : began_newer(&doctor->cli->ctx, &doctor->place, entry);

        doctor_tell(doctor,
                    entry == NULL   ? BAD
                    : newer != NULL ? WARN
                                    : GOOD,
                    hf_printf(arena, "process %s", names[i]),
                    newer != NULL   ? hf_printf(arena, "runs, and began with %s", newer)
                    : entry != NULL ? "runs"
                                    : "does not run",
                    newer != NULL ? doctor_restart(doctor) : up_command(doctor));
    }
}

/* The kernel's word on a server: a filter of calls, and no way to new privileges. */
static bool is_confined(struct hf_arena *arena, int64_t pid)
{
    HF_CLEANUP(hf_buf_done) struct hf_buf text = {0};

    hf_buf_init(&text, PROC_STATUS_MAX);
    return hf_is_ok(
               hf_read_file(arena, hf_printf(arena, "/proc/%lld/status", (long long)pid), &text)) &&
           strstr(hf_buf_text(&text), "\nSeccomp:\t2\n") != NULL &&
           strstr(hf_buf_text(&text), "\nNoNewPrivs:\t1\n") != NULL;
}

/* What a kernel lacks no restart mends: servers run without it. */
static void tell_kernel(struct doctor *doctor, const struct svc_confinement *on)
{
    struct hf_arena *arena = doctor->cli->ctx.arena;
    const char *lacks = on->landlock == 0 && !on->has_seccomp ? "landlock and seccomp"
                        : on->landlock == 0                   ? "landlock"
                        : !on->has_seccomp                    ? "seccomp"
                                                              : NULL;

    if (lacks == NULL) {
        doctor_tell(
            doctor, GOOD, "confinement",
            hf_printf(arena, "servers are held by seccomp and landlock (version %d)", on->landlock),
            "");
        return;
    }
    doctor_tell(
        doctor, WARN, "confinement",
        hf_printf(arena, "this kernel lacks %s: servers are NOT HELD by it%s", lacks,
                  on->landlock == 0 ? " and may open all that their user may" : ""),
        "boot a kernel of 5.13 or later with `landlock` in its `lsm=` list and seccomp filters");
}

static void check_confinement(struct doctor *doctor)
{
    struct hf_arena *arena = doctor->cli->ctx.arena;
    const struct svc_confinement on = svc_confine_available();
    const struct process_entry *entries = NULL;
    const char *loose = NULL;
    size_t len = 0;

    (void)hf_is_ok(processes_load(&doctor->cli->ctx, doctor->place.dir, &entries, &len));
    for (size_t i = 0; i < len; i++) {
        if (entries[i].is_alive && !entries[i].is_hidden &&
            !hf_text_equal(entries[i].name, "supervisor") && !is_confined(arena, entries[i].pid)) {
            loose = entries[i].name;
        }
    }
    if (loose != NULL && on.has_seccomp) {
        doctor_tell(doctor, BAD, "confinement",
                    hf_printf(arena, "%s runs without a filter of calls", loose),
                    doctor_restart(doctor));
        return;
    }
    tell_kernel(doctor, &on);
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

    doctor_tell(doctor, hf_is_ok(status) ? GOOD : BAD, "state database",
                hf_is_ok(status) ? "answers, fsync is on, the role is no superuser"
                                 : status.message,
                hf_printf(arena, "%s  # then look into %s/postgres.log", up_command(doctor),
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
    doctor_tell(doctor, answers ? GOOD : WARN, "redis socket",
                answers ? "answers" : "does not answer; jobs are found by sweeping",
                up_command(doctor));
}

static void check_service(struct doctor *doctor)
{
    HF_CLEANUP(rpc_client_free) struct rpc_client *client = NULL;
    PbBackup__ListClustersRequest req = PB_BACKUP__LIST_CLUSTERS_REQUEST__INIT;
    struct cli step = *doctor->cli;
    void *resp = NULL;

    step.ctx.deadline_us = hf_mono_us() + 5 * HF_US_PER_S;
    req.parent = client_tenant(doctor->cli);
    struct hf_status status = client_open(&step, &client);

    if (hf_is_ok(status)) {
        status = client_list(&step, client, "ListClusters", &req.base, &resp);
    }
    doctor_tell(doctor, hf_is_ok(status) ? GOOD : BAD, "backup service",
                hf_is_ok(status) ? doctor->place.settings.endpoint : status.message,
                status.code == HF_DEADLINE_EXCEEDED
                    ? doctor_restart(doctor)
                    : hf_printf(doctor->cli->ctx.arena, "%s  # then look into %s/backup.log",
                                up_command(doctor), doctor->place.log));
    if (!hf_is_ok(status)) {
        return;
    }
    const PbBackup__ListClustersResponse *list = resp;

    for (size_t i = 0; i < list->n_clusters; i++) {
        doctor_cluster(doctor, list->clusters[i]);
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

/* One line a check; what mends it stands below, where a narrow terminal has room for it. */
static void print_lines(const struct doctor *doctor)
{
    for (size_t i = 0; i < doctor->checks.len; i++) {
        const struct check *check = &doctor->checks.items[i];

        printf("%-4s  %-20s", verdicts[check->verdict], check->name);
        out_line(stdout, "  ", check->what);
        if (*check->fix != '\0') {
            out_line(stdout, "      fix: ", check->fix);
        }
    }
}

static struct hf_status print(struct doctor *doctor)
{
    size_t bad = 0;
    bool is_done = false;

    for (size_t i = 0; i < doctor->checks.len; i++) {
        bad += doctor->checks.items[i].verdict == BAD ? 1 : 0;
    }
    HF_TRY(print_json(doctor, &is_done));
    if (!is_done) {
        print_lines(doctor);
    }
    return bad == 0 ? hf_success()
                    : hf_fail(doctor->cli->ctx.arena, HF_UNKNOWN, "%zu of %zu checks failed", bad,
                              doctor->checks.len);
}

struct hf_status cmd_doctor(struct cli *cli)
{
    struct doctor doctor = {.cli = cli};
    struct dir_settings settings;

    HF_TRY(dir_load_own(&cli->ctx, cli->dir, &settings));
    HF_TRY(place_of(&cli->ctx, cli->dir, &doctor.place));
    doctor.place.settings = settings;
    doctor.place.service = cli->service;
    check_programs(&doctor);
    check_permissions(&doctor);
    check_overrides(&doctor);
    check_vault_place(&doctor);
    check_space(&doctor);
    check_certificate(&doctor, "backup");
    check_certificate(&doctor, "cli");
    check_processes(&doctor);
    check_confinement(&doctor);
    check_database(&doctor);
    check_redis(&doctor);
    check_service(&doctor);
    return print(&doctor);
}
