/* PostgreSQL, Redis, the backup service. A child is recognised by its command line, which names
 * files of this directory: a pid from a file alone may meanwhile belong to anybody. */
#include "cli/supervise/children.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "auth/auth.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/str.h"
#include "cli/processes.h"
#include "cli/supervise/began.h"
#include "cli/supervise/operators.h"
#include "cli/supervise/sandbox.h"
#include "cli/supervise/servers.h"
#include "cli/supervise/spawn.h"
#include "db/migrate.h"

#define PAUSE_FIRST_US (HF_US_PER_S / 5)
#define PAUSE_MAX_US (10 * HF_US_PER_S)
#define HEALTHY_US (60 * HF_US_PER_S)
#define STOP_SECONDS 25
#define FORCE_SECONDS 5
#define CMDLINE_MAX 16384
#define ARGV_MAX 48

static const struct child_row {
    enum child_id id;
    const char *name;
    const char *log;
    int stop_signal;
} rows[CHILDREN] = {
    {CHILD_POSTGRES, "postgres", "postgres.log", SIGINT}, /* fast shutdown */
    {CHILD_REDIS, "redis", "redis.log", SIGTERM},
    {CHILD_BACKUP, "backup", "backup.log", SIGTERM},
};

const char *children_name(enum child_id id)
{
    return rows[id].name;
}

/* --- commands ------------------------------------------------------------------------------- */

/* On the command line: no file of the database changes them. Nobody streams from it, nobody comes
 * by TCP, and what it acknowledges is on the disk. */
static const char *const postgres_settings[] = {
    "listen_addresses=",
    "unix_socket_permissions=0700",
    "shared_buffers=16MB",
    "max_connections=60",
    "wal_level=minimal",
    "max_wal_senders=0",
    "max_replication_slots=0",
    "archive_mode=off",
    "fsync=on",
    "full_page_writes=on",
    "log_connections=off",
};

static const char *const *command_of(struct hf_arena *arena, const struct place *place,
                                     enum child_id id)
{
    const char **argv = HF_NEW_N(arena, const char *, ARGV_MAX);
    size_t n = 0;

    switch (id) {
    case CHILD_POSTGRES:
        argv[n++] = hf_path_join(arena, place->pg_bin, "postgres");
        argv[n++] = "-D";
        argv[n++] = place->pg;
        argv[n++] = "-k";
        argv[n++] = place->run;
        argv[n++] = "-p";
        argv[n++] = PLACE_PG_PORT;
        for (size_t i = 0; i < sizeof(postgres_settings) / sizeof(postgres_settings[0]); i++) {
            argv[n++] = "-c";
            argv[n++] = postgres_settings[i];
        }
        break;
    case CHILD_REDIS:
        argv[n++] = "/usr/bin/redis-server";
        argv[n++] = hf_path_join(arena, place->dir, "redis.conf");
        argv[n++] = "--unixsocket"; /* by this it is recognised before it has its title */
        argv[n++] = place->redis_socket;
        break;
    case CHILD_BACKUP:
        argv[n++] = hf_path_join(arena, place->bin, PLACE_SERVICE);
        argv[n++] = "--config";
        argv[n++] = hf_path_join(arena, place->dir, "backup.yaml");
        break;
    case CHILDREN:
        break;
    }
    return argv;
}

const char *children_program(struct hf_arena *arena, const struct place *place, enum child_id id)
{
    return id == CHILD_POSTGRES && place->pg_bin == NULL ? NULL : command_of(arena, place, id)[0];
}

/* --- finding what runs ----------------------------------------------------------------------- */

/* Word that only this installation's process has on its command line. */
static const char *mark_of(struct hf_arena *arena, const struct place *place, enum child_id id)
{
    switch (id) {
    case CHILD_POSTGRES:
        return place->pg;
    case CHILD_REDIS:
        return place->redis_socket;
    case CHILD_BACKUP:
    case CHILDREN:
        break;
    }
    return hf_path_join(arena, place->dir, "backup.yaml");
}

static bool has_word(const struct hf_buf *text, const char *word)
{
    size_t len = strlen(word) + 1; /* with its NUL: words of a cmdline end with one */

    for (size_t at = 0; at + len <= text->len; at++) {
        if ((at == 0 || text->ptr[at - 1] == 0) && memcmp(text->ptr + at, word, len) == 0) {
            return true;
        }
    }
    return false;
}

/* Parent and real user of a process. The owner of /proc/PID would not do: the service makes itself
 * unreadable, and then that is root. */
bool children_read_kin(struct hf_arena *arena, pid_t pid, pid_t *ret_parent, uid_t *ret_uid)
{
    HF_CLEANUP(hf_buf_done) struct hf_buf text = {0};

    hf_buf_init(&text, CMDLINE_MAX);
    if (!hf_is_ok(hf_read_file(arena, hf_printf(arena, "/proc/%d/status", (int)pid), &text))) {
        return false;
    }
    const char *all = hf_buf_text(&text);
    const char *parent = strstr(all, "\nPPid:\t");
    const char *user = strstr(all, "\nUid:\t");
    uint64_t numbers[2] = {0, 0};

    if (parent == NULL || user == NULL ||
        !hf_parse_u64(hf_strndup(arena, parent + 7, strcspn(parent + 7, "\n")), &numbers[0]) ||
        !hf_parse_u64(hf_strndup(arena, user + 6, strcspn(user + 6, "\t")), &numbers[1])) {
        return false;
    }
    *ret_parent = (pid_t)numbers[0];
    *ret_uid = (uid_t)numbers[1];
    return true;
}

/* As a word of its own, or behind the name that Redis gives it in its title: the path of another
 * installation may end with ours. */
static bool has_socket(const struct hf_buf *text, const char *path)
{
    static const char title[] = "unixsocket:";
    const size_t name = sizeof(title) - 1;
    const size_t len = strlen(path);

    for (size_t at = 1; at + len <= text->len; at++) {
        const uint8_t *word = text->ptr + at;
        bool begins = word[-1] == 0 || (at >= name && memcmp(word - name, title, name) == 0);
        bool ends = at + len == text->len || word[len] == 0 || word[len] == ' ';

        if (begins && ends && memcmp(word, path, len) == 0) {
            return true;
        }
    }
    return false;
}

/* Redis rewrites its command line ("redis-server unixsocket:/path"). A process of another user may
 * call itself what it likes. */
static bool is_child(struct hf_arena *arena, const struct place *place, enum child_id id, pid_t pid)
{
    HF_CLEANUP(hf_buf_done) struct hf_buf text = {0};
    pid_t parent = 0;
    uid_t uid = 0;

    hf_buf_init(&text, CMDLINE_MAX);
    if (!hf_is_ok(hf_read_file(arena, hf_printf(arena, "/proc/%d/cmdline", (int)pid), &text)) ||
        text.len == 0 || !processes_is_alive(pid) ||
        !children_read_kin(arena, pid, &parent, &uid) || uid != geteuid()) {
        return false;
    }
    const char *first = (const char *)text.ptr;
    const char *mark = mark_of(arena, place, id);

    if (id == CHILD_REDIS) {
        hf_buf_append(&text, "", 1);
        return strstr(first, "redis-server") != NULL && has_socket(&text, mark);
    }
    const char *program = id == CHILD_POSTGRES ? "/postgres" : "/holdfast-backup";

    return hf_has_suffix(first, program) && has_word(&text, mark);
}

/* Between fork and its new title a backend of PostgreSQL looks like the postmaster: the one wanted
 * is the eldest. */
static pid_t eldest(struct hf_arena *arena, const struct place *place, enum child_id id, pid_t pid)
{
    pid_t parent = 0;
    uid_t uid = 0;

    while (children_read_kin(arena, pid, &parent, &uid) && parent > 1 &&
           is_child(arena, place, id, parent)) {
        pid = parent;
    }
    return pid;
}

pid_t children_find(children_match is_wanted, const void *arg)
{
    HF_CLEANUP(hf_arena_free) struct hf_arena *arena = hf_arena_new((size_t)1 << 20);
    DIR *proc = opendir("/proc");
    const struct dirent *entry = NULL;
    pid_t found = 0;

    while (proc != NULL && found == 0 && (entry = readdir(proc)) != NULL) {
        uint64_t pid = 0;

        hf_arena_reset(arena);
        if (hf_parse_u64(entry->d_name, &pid) && pid < INT32_MAX &&
            is_wanted(arena, (pid_t)pid, arg)) {
            found = (pid_t)pid;
        }
    }
    if (proc != NULL) {
        closedir(proc);
    }
    return found;
}

struct wanted {
    const struct place *place;
    enum child_id id;
};

static bool is_wanted_child(struct hf_arena *arena, pid_t pid, const void *arg)
{
    const struct wanted *wanted = arg;

    return is_child(arena, wanted->place, wanted->id, pid);
}

static pid_t find_child(struct hf_ctx *ctx, const struct place *place, enum child_id id)
{
    const struct wanted wanted = {place, id};
    pid_t found = children_find(is_wanted_child, &wanted);

    return found == 0 ? 0 : eldest(ctx->arena, place, id, found);
}

/* What an earlier program started would let in others, or not the service. */
static bool is_current(struct hf_ctx *ctx, const struct place *place, enum child_id id, pid_t pid)
{
    switch (id) {
    case CHILD_POSTGRES:
        return servers_is_postgres_current(ctx, place);
    case CHILD_REDIS:
        return servers_is_redis_current(ctx, place, pid);
    case CHILD_BACKUP:
    case CHILDREN:
        break;
    }
    return true;
}

/* saved: by the supervisor before us, NULL when it said nothing. Where /proc hides a process from
 * its own user, that one's word counts. */
static void adopt(struct hf_ctx *ctx, const struct place *place, enum child_id id,
                  const struct process_entry *saved, struct child *child)
{
    *child = (struct child){.pid = find_child(ctx, place, id),
                            .log = -1,
                            .started_us = hf_mono_us(),
                            .pause_us = PAUSE_FIRST_US};
    if (child->pid == 0 && saved != NULL && saved->is_hidden) {
        child->pid = (pid_t)saved->pid;
    }
    if (child->pid == 0) {
        return;
    }
    if (saved != NULL && saved->is_alive && saved->pid == child->pid) {
        child->began = saved->began;
    }
    child->log = logs_open(ctx->arena, place->log, rows[id].log, child->pid, child->began.log);
    hf_info(ctx, HF_EVENT("child.adopted"), HF_TEXT("name", rows[id].name),
            HF_INT("pid", child->pid));
    /* One that writes to where nobody finds it would fill the disk. */
    if ((child->log < 0 && !hf_text_empty(child->began.log)) ||
        !is_current(ctx, place, id, child->pid)) {
        hf_info(ctx, HF_EVENT("child.outdated"), HF_TEXT("name", rows[id].name));
        kill(child->pid, rows[id].stop_signal); /* it is started again as it should be */
    }
}

void children_adopt(struct hf_ctx *ctx, const struct place *place, struct children *children)
{
    const struct process_entry *entries = NULL;
    size_t len = 0;

    *children = (struct children){.place = place};
    if (!hf_is_ok(processes_load(ctx, place->dir, &entries, &len))) {
        len = 0; /* what /proc shows is found without it */
    }
    for (size_t i = 0; i < CHILDREN; i++) {
        adopt(ctx, place, (enum child_id)i, processes_find(entries, len, rows[i].name),
              &children->list[i]);
    }
}

/* --- tending -------------------------------------------------------------------------------- */

/* Redis leaves its socket behind. PostgreSQL's lock file is never touched: only PostgreSQL can tell
 * whether children of a killed postmaster still hold its shared memory; it is started again until
 * they are gone. */
static void clear_stale(const struct place *place, enum child_id id)
{
    if (id == CHILD_REDIS) {
        (void)unlink(place->redis_socket);
    }
}

static void forget(struct child *child)
{
    hf_close_cleanup(&child->log);
    child->log = -1;
    child->pid = 0;
}

/* Not again before a pause that doubles. */
static void hold_back(struct child *child)
{
    child->next_us = hf_mono_us() + child->pause_us;
    child->pause_us = child->pause_us * 2 > PAUSE_MAX_US ? PAUSE_MAX_US : child->pause_us * 2;
}

static void note_exit(struct hf_ctx *ctx, struct child *child, enum child_id id)
{
    hf_warn(ctx, HF_EVENT("child.ended"), HF_TEXT("name", rows[id].name), HF_INT("pid", child->pid),
            HF_TEXT("how", child->how));
    if (hf_mono_us() - child->started_us > HEALTHY_US) {
        child->pause_us = PAUSE_FIRST_US;
    }
    forget(child);
    hold_back(child);
}

/* how says it of a child of this process; of an adopted one nobody is told. */
static bool has_ended(struct hf_ctx *ctx, struct child *child)
{
    int status = 0;

    if (!child->is_ours) {
        child->how = "unknown: it was adopted";
        return !processes_is_alive(child->pid);
    }
    if (waitpid(child->pid, &status, WNOHANG) == 0) {
        return false;
    }
    child->how = WIFSIGNALED(status) ? hf_printf(ctx->arena, "signal %d", WTERMSIG(status))
                                     : hf_printf(ctx->arena, "exit code %d", WEXITSTATUS(status));
    return true;
}

static struct hf_status launch(struct hf_ctx *ctx, const struct place *place, enum child_id id,
                               pid_t *ret_pid)
{
    HF_CLEANUP(svc_confine_close) struct svc_confine_plan *plan = NULL;
    const char *const *argv = command_of(ctx->arena, place, id);

    HF_TRY(sandbox_make(ctx, place, id, argv[0], &plan));
    return spawn_start(ctx, place, argv, rows[id].log, plan, ret_pid);
}

static void start_child(struct hf_ctx *ctx, struct children *children, enum child_id id)
{
    struct child *child = &children->list[id];

    child->began = began_look(ctx, children->place, id);
    clear_stale(children->place, id);
    struct hf_status status =
        id == CHILD_POSTGRES ? servers_prepare_postgres(ctx, children->place) : hf_success();

    if (hf_is_ok(status)) {
        status = launch(ctx, children->place, id, &child->pid);
    }

    child->started_us = hf_mono_us();
    child->is_ours = hf_is_ok(status);
    child->log =
        hf_is_ok(status) ? logs_open(ctx->arena, children->place->log, rows[id].log, 0, "") : -1;
    began_set_log(ctx->arena, child->log, &child->began);
    if (!hf_is_ok(status)) {
        hold_back(child);
        hf_error(ctx, HF_EVENT("child.not_started"), HF_TEXT("name", rows[id].name),
                 HF_TEXT("error", status.message));
        return;
    }
    hf_info(ctx, HF_EVENT("child.started"), HF_TEXT("name", rows[id].name),
            HF_INT("pid", child->pid));
}

struct hf_status children_bootstrap(struct hf_ctx *ctx, const struct place *place)
{
    const struct db_schema schemas[] = {auth_schema()};

    HF_TRY(db_migrate(ctx, place_conninfo(ctx->arena, place, "holdfast_migrate", "holdfast"),
                      schemas, 1));
    return operators_keep_local(ctx, place);
}

/* The service waits for its database. While PostgreSQL starts there is nothing to tell; that its
 * databases cannot be made is said, and tried again. */
static bool is_due(struct hf_ctx *ctx, struct children *children, enum child_id id)
{
    struct child *child = &children->list[id];

    if (child->pid != 0 || hf_mono_us() < child->next_us) {
        return false;
    }
    struct hf_status ready =
        id == CHILD_BACKUP ? children_bootstrap(ctx, children->place) : hf_success();

    if (!hf_is_ok(ready) && ready.code != HF_UNAVAILABLE) {
        hold_back(child);
        hf_error(ctx, HF_EVENT("database.not_ready"), HF_TEXT("error", ready.message));
    }
    return hf_is_ok(ready);
}

bool children_tend(struct hf_ctx *ctx, struct children *children)
{
    bool has_changed = false;

    for (size_t i = 0; i < CHILDREN; i++) {
        struct child *child = &children->list[i];

        if (child->pid != 0 && has_ended(ctx, child)) {
            note_exit(ctx, child, (enum child_id)i);
            has_changed = true;
        }
        if (is_due(ctx, children, (enum child_id)i)) {
            start_child(ctx, children, (enum child_id)i);
            has_changed = has_changed || child->pid != 0;
        }
    }
    return has_changed;
}

void children_tend_logs(struct hf_ctx *ctx, const struct children *children,
                        const struct logs_limits *limits)
{
    for (size_t i = 0; i < CHILDREN; i++) {
        logs_tend_open(ctx, children->place->log, rows[i].log, children->list[i].log, limits);
    }
}

/* --- stopping ------------------------------------------------------------------------------- */

static struct hf_status stop_child(struct hf_ctx *ctx, struct child *child, enum child_id id)
{
    int64_t force_us = hf_mono_us() + STOP_SECONDS * HF_US_PER_S;

    if (child->pid == 0) {
        return hf_success();
    }
    kill(child->pid, rows[id].stop_signal);
    while (!has_ended(ctx, child)) {
        if (hf_mono_us() > force_us + FORCE_SECONDS * HF_US_PER_S) {
            return hf_fail(ctx->arena, HF_DEADLINE_EXCEEDED, "%s (pid %d) does not end",
                           rows[id].name, (int)child->pid);
        }
        if (hf_mono_us() > force_us) {
            kill(child->pid, SIGKILL);
        }
        HF_TRY(hf_ctx_sleep(ctx, 50));
    }
    hf_info(ctx, HF_EVENT("child.stopped"), HF_TEXT("name", rows[id].name),
            HF_INT("pid", child->pid));
    forget(child);
    return hf_success();
}

struct hf_status children_stop(struct hf_ctx *ctx, struct children *children)
{
    for (size_t i = CHILDREN; i > 0; i--) {
        HF_TRY(stop_child(ctx, &children->list[i - 1], (enum child_id)(i - 1)));
    }
    return hf_success();
}

struct hf_status children_save(struct hf_ctx *ctx, const struct children *children,
                               const struct process_entry *supervisor)
{
    struct process_entry entries[CHILDREN + 1];
    size_t len = 0;

    if (supervisor != NULL) {
        entries[len++] = *supervisor;
    }
    for (size_t i = 0; i < CHILDREN; i++) {
        const struct child *child = &children->list[i];

        if (child->pid != 0) {
            entries[len++] = (struct process_entry){
                .name = rows[i].name, .pid = child->pid, .began = child->began};
        }
    }
    return processes_save(ctx, children->place->dir, entries, len);
}
