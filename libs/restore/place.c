/* The directories of a restore: may they be written, who owns them, how they are finished.
 *
 * The path that the operator named is followed once. What is made then belongs to root (or to the
 * caller) with mode 0700 until the last byte is written: the owner of a directory above can move it
 * away, but neither he nor its future owner can enter, so nothing below changes under our hands. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"
#include "restore/internal.h"

#define PID_MAX_BYTES 4096

void restore_note(struct restore *restore, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    *HF_VEC_ADD(restore->ctx->arena, &restore->notes) =
        hf_vprintf(restore->ctx->arena, format, args);
    va_end(args);
}

/* --- checks --------------------------------------------------------------------------------- */

/* Text of postmaster.pid; "" when there is none that could be one. */
static const char *read_pid(struct hf_arena *arena, int dir)
{
    HF_CLEANUP(hf_close)
    int fd = hf_beneath_open(dir, "postmaster.pid", O_RDONLY | O_NONBLOCK, 0);
    char *text = hf_alloc(arena, PID_MAX_BYTES);
    struct stat info;
    size_t got = 0;

    if (fd < 0 || fstat(fd, &info) != 0 || !S_ISREG(info.st_mode) ||
        !hf_is_ok(hf_pread_full(arena, fd, text, PID_MAX_BYTES - 1, 0, "postmaster.pid", &got))) {
        return "";
    }
    return text;
}

static struct hf_status check_not_running(struct restore *restore, const struct restore_dir *dir)
{
    struct hf_arena *arena = restore->ctx->arena;
    const char *text = read_pid(arena, dir->found.fd);
    uint64_t pid = 0;

    if (!hf_parse_u64(hf_strndup(arena, text, strspn(text, "0123456789")), &pid) ||
        !hf_path_exists(hf_printf(arena, "/proc/%llu", (unsigned long long)pid))) {
        return hf_success();
    }
    const char *const metadata[] = {"directory", dir->path, NULL};

    return hf_fail_info(arena, HF_FAILED_PRECONDITION, "SERVER_RUNNING", metadata,
                        "a PostgreSQL server (pid %llu) runs in %s; restore into another directory",
                        (unsigned long long)pid, dir->path);
}

/* Takes no name that means the directory itself, and what a new file system brings. */
static bool is_content(const char *name)
{
    return !hf_text_equal(name, ".") && !hf_text_equal(name, "..") &&
           !hf_text_equal(name, "lost+found");
}

static struct hf_status look_empty(struct hf_arena *arena, const struct restore_dir *dir, int at,
                                   bool *ret_is_empty)
{
    int fd = openat(at, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *handle = fd < 0 ? NULL : fdopendir(fd);
    const struct dirent *entry = NULL;

    if (handle == NULL) {
        struct hf_status status = hf_fail_errno(arena, errno, "opening %s", dir->path);

        if (fd >= 0) {
            close(fd);
        }
        return status;
    }
    *ret_is_empty = true;
    while (*ret_is_empty && (entry = readdir(handle)) != NULL) {
        *ret_is_empty = !is_content(entry->d_name);
    }
    closedir(handle);
    return hf_success();
}

/* at: the directory that dir names. */
static struct hf_status check_empty(struct restore *restore, const struct restore_dir *dir, int at)
{
    struct hf_arena *arena = restore->ctx->arena;
    const char *const metadata[] = {"directory", dir->path, NULL};
    const char *reason = dir->oid == 0 ? "DIRECTORY_NOT_EMPTY" : "TABLESPACE_NOT_MAPPED";
    bool is_empty = false;
    struct stat info;

    HF_TRY(look_empty(arena, dir, at, &is_empty));
    if (is_empty) {
        return hf_success();
    }
    if (dir->oid != 0) {
        return hf_fail_info(arena, HF_FAILED_PRECONDITION, reason, metadata,
                            "tablespace %u needs another place (--tablespace OLD=NEW): %s is not "
                            "empty",
                            (unsigned)dir->oid, restore_shown(arena, dir->path));
    }
    if (fstatat(at, RESTORE_INCOMPLETE, &info, AT_SYMLINK_NOFOLLOW) == 0) {
        return hf_fail_info(arena, HF_FAILED_PRECONDITION, reason, metadata,
                            "%s holds a restore that was not finished; remove it and restore again",
                            dir->path);
    }
    return hf_fail_info(arena, HF_FAILED_PRECONDITION, reason, metadata,
                        "%s is not empty; choose an empty or a new directory", dir->path);
}

/* Of all directories of the restore that are on dir's file system: one is told for all of them. */
static uint64_t needed_beside(const struct restore *restore, const struct restore_dir *dir,
                              uint64_t data_bytes)
{
    uint64_t needed = 0;

    for (size_t i = 0; i < restore->dirs.len; i++) {
        const struct restore_dir *other = &restore->dirs.items[i];
        uint64_t bytes = other->oid == 0 ? data_bytes : other->bytes;

        if (other->found.dev == dir->found.dev) {
            needed = bytes > UINT64_MAX - needed ? UINT64_MAX : needed + bytes;
        }
    }
    return needed;
}

static struct hf_status check_room(struct restore *restore, const struct restore_dir *dir,
                                   uint64_t data_bytes)
{
    struct hf_arena *arena = restore->ctx->arena;
    uint64_t needed = needed_beside(restore, dir, data_bytes);
    struct statvfs space;

    if (fstatvfs(dir->found.fd, &space) != 0) {
        return hf_fail_errno(arena, errno, "looking at %s", restore_shown(arena, dir->path));
    }
    uint64_t free_bytes = (uint64_t)space.f_bavail * space.f_frsize;

    if (free_bytes >= needed) {
        return hf_success();
    }
    const char *const metadata[] = {
        "directory", restore_shown(arena, dir->path),
        "needed",    hf_printf(arena, "%llu", (unsigned long long)needed),
        "free",      hf_printf(arena, "%llu", (unsigned long long)free_bytes),
        NULL};

    return hf_fail_info(arena, HF_FAILED_PRECONDITION, "NO_SPACE", metadata,
                        "the file system of %s has %s free, the restore needs %s",
                        restore_shown(arena, dir->path), hf_size_text(arena, free_bytes),
                        hf_size_text(arena, needed));
}

/* Every file system has room for what comes onto it. */
static struct hf_status check_space(struct restore *restore, const struct restore_plan *plan)
{
    uint64_t wal_bytes = plan->end_lsn - plan->point->start_lsn + 2 * plan->wal.segment_bytes;
    uint64_t data_bytes = plan->point->source_bytes;

    for (size_t i = 1; i < restore->dirs.len; i++) {
        uint64_t bytes = restore->dirs.items[i].bytes;

        data_bytes -= bytes < data_bytes ? bytes : data_bytes;
    }
    data_bytes = data_bytes > UINT64_MAX - wal_bytes ? UINT64_MAX : data_bytes + wal_bytes;
    for (size_t i = 0; i < restore->dirs.len; i++) {
        HF_TRY(check_room(restore, &restore->dirs.items[i], data_bytes));
    }
    return hf_success();
}

/* Directories in each other would write over each other. */
static struct hf_status check_apart(struct restore *restore, const struct restore_dir *a,
                                    const struct restore_dir *b)
{
    struct hf_arena *arena = restore->ctx->arena;
    bool is_a_in_b = false;
    bool is_b_in_a = false;

    HF_TRY(hf_place_is_within(arena, &a->found, &b->found, &is_a_in_b));
    HF_TRY(hf_place_is_within(arena, &b->found, &a->found, &is_b_in_a));
    if (!is_a_in_b && !is_b_in_a) {
        return hf_success();
    }
    return hf_fail(arena, HF_INVALID_ARGUMENT,
                   "tablespace %u needs a directory of its own: %s and %s lie in each other",
                   (unsigned)a->oid, restore_shown(arena, a->path), restore_shown(arena, b->path));
}

/* What lies in an installation is read as its vault, its keys, or goes with it. */
static struct hf_status check_closed(struct restore *restore, const struct restore_dir *dir)
{
    struct hf_arena *arena = restore->ctx->arena;
    const char *const *closed = restore->options->closed;

    for (size_t i = 0; closed != NULL && closed[i] != NULL; i++) {
        const char *const metadata[] = {"directory", closed[i], NULL};
        struct hf_place place = {.rest = ""};
        bool is_within = false;
        struct stat info;

        if (stat(closed[i], &info) != 0) {
            continue;
        }
        place.dev = info.st_dev;
        place.ino = info.st_ino;
        HF_TRY(hf_place_is_within(arena, &dir->found, &place, &is_within));
        if (is_within) {
            return hf_fail_info(arena, HF_FAILED_PRECONDITION, "TARGET_IN_INSTALLATION", metadata,
                                "%s lies in %s, which is Holdfast's own; choose another directory",
                                restore_shown(arena, dir->path), closed[i]);
        }
    }
    return hf_success();
}

static struct hf_status find(struct restore *restore, struct restore_dir *dir)
{
    struct hf_arena *arena = restore->ctx->arena;
    struct hf_status status = hf_place_find(arena, dir->path, &dir->found);

    if (!hf_is_ok(status) && dir->oid != 0) {
        return hf_wrap(arena, status, "place of tablespace %u", (unsigned)dir->oid);
    }
    HF_TRY(status);
    HF_TRY(check_closed(restore, dir));
    return dir->found.rest[0] == '\0' ? check_empty(restore, dir, dir->found.fd) : hf_success();
}

static struct hf_status check_spaces(struct restore *restore)
{
    for (size_t i = 1; i < restore->dirs.len; i++) {
        HF_TRY(hf_ctx_check(restore->ctx));
        HF_TRY(find(restore, &restore->dirs.items[i]));
        for (size_t k = 0; k < i; k++) {
            HF_TRY(check_apart(restore, &restore->dirs.items[i], &restore->dirs.items[k]));
        }
    }
    return hf_success();
}

/* As was asked, else as root whoever owns the directory that is there, else the one above. One that
 * root made is taken for nobody's choice. */
static struct hf_status choose_owner(struct restore *restore)
{
    const struct restore_dir *dir = restore_data_dir(restore);
    bool is_there = dir->found.rest[0] == '\0';
    struct stat above;

    restore->has_owner = restore->options->has_owner || geteuid() == 0;
    restore->uid = restore->options->owner_uid;
    restore->gid = restore->options->owner_gid;
    if (restore->options->has_owner) {
        return hf_success();
    }
    if (fstat(dir->found.fd, &above) != 0 ||
        (is_there && above.st_uid == 0 && fstatat(dir->found.fd, "..", &above, 0) != 0)) {
        return hf_fail_errno(restore->ctx->arena, errno, "looking above %s", dir->path);
    }
    restore->uid = restore->has_owner ? above.st_uid : geteuid();
    restore->gid = restore->has_owner ? above.st_gid : getegid();
    return hf_success();
}

struct hf_status restore_dir_check(struct restore *restore, const struct restore_plan *plan)
{
    struct restore_dir *dir = &restore->dirs.items[0];

    HF_TRY(hf_place_find(restore->ctx->arena, dir->path, &dir->found));
    if (strchr(dir->found.rest, '/') != NULL) {
        return hf_fail(restore->ctx->arena, HF_NOT_FOUND,
                       "the parent directory of %s does not exist", dir->path);
    }
    HF_TRY(check_closed(restore, dir));
    if (dir->found.rest[0] == '\0') {
        HF_TRY(check_not_running(restore, dir));
        HF_TRY(check_empty(restore, dir, dir->found.fd));
    }
    HF_TRY(check_spaces(restore));
    HF_TRY(choose_owner(restore));
    return check_space(restore, plan);
}

/* --- making --------------------------------------------------------------------------------- */

/* Down the part of the path that is not there. What somebody puts there meanwhile is entered when
 * it is a directory, and never when it is a link. */
static struct hf_status make_rest(struct restore *restore, struct restore_dir *dir)
{
    struct hf_arena *arena = restore->ctx->arena;

    for (const char *at = dir->found.rest; *at != '\0';) {
        size_t len = strcspn(at, "/");
        const char *name = hf_strndup(arena, at, len);

        if (dir->fd >= 0) {
            close(dir->parent);
            dir->parent = dir->fd;
            dir->fd = -1;
        }
        bool is_ours = mkdirat(dir->parent, name, 0700) == 0;

        if (!is_ours && errno != EEXIST) {
            return hf_fail_errno(arena, errno, "making %s", dir->path);
        }
        dir->fd = openat(dir->parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (dir->fd < 0) {
            return hf_fail_errno(arena, errno, "opening %s", dir->path);
        }
        at += len + (at[len] == '/');
        if (is_ours && *at != '\0') { /* what lies on the way is the owner's, too */
            HF_TRY(restore_own(restore, arena, dir->fd, dir->path));
        }
    }
    return hf_success();
}

static struct hf_status open_dir(struct restore *restore, struct restore_dir *dir)
{
    const int flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC;
    bool is_there = dir->found.rest[0] == '\0';

    dir->parent = openat(dir->found.fd, is_there ? ".." : ".", flags);
    if (dir->parent >= 0 && is_there) {
        dir->fd = openat(dir->found.fd, ".", flags);
    }
    if (dir->parent < 0 || (is_there && dir->fd < 0)) {
        return hf_fail_errno(restore->ctx->arena, errno, "opening %s", dir->path);
    }
    return make_rest(restore, dir);
}

/* From here on nobody else enters. Who opened it before cannot look names up in it any more. */
static struct hf_status shut(struct restore *restore, const struct restore_dir *dir)
{
    struct hf_arena *arena = restore->ctx->arena;
    struct stat before;

    if (fstat(dir->fd, &before) != 0 || (geteuid() == 0 && fchown(dir->fd, 0, 0) != 0) ||
        fchmod(dir->fd, 0700) != 0) {
        return hf_fail_errno(arena, errno, "closing %s to others", dir->path);
    }
    struct hf_status status = check_empty(restore, dir, dir->fd);

    if (!hf_is_ok(status)) { /* filled since we looked: left as it was found */
        (void)!fchown(dir->fd, before.st_uid, before.st_gid);
        (void)fchmod(dir->fd, before.st_mode & 07777);
    }
    return status;
}

static struct hf_status make_dir(struct restore *restore, struct restore_dir *dir)
{
    HF_TRY(open_dir(restore, dir));
    HF_TRY(shut(restore, dir));
    dir->is_ours = true;
    restore->has_written = true;
    return hf_success();
}

static struct hf_status confine(struct restore *restore)
{
    const struct restore_options *options = restore->options;
    size_t len = restore->dirs.len;
    struct restore_target_dir *dirs = HF_NEW_N(restore->ctx->arena, struct restore_target_dir, len);

    for (size_t i = 0; i < len; i++) {
        dirs[i] =
            (struct restore_target_dir){restore->dirs.items[i].path, restore->dirs.items[i].fd};
    }
    return options->confine == NULL
               ? hf_success()
               : options->confine(options->confine_arg, restore->ctx, dirs, len);
}

struct hf_status restore_dir_begin(struct restore *restore)
{
    static const char text[] =
        "holdfast has not finished restoring into this directory.\n"
        "Do not start a server here; remove the directory and restore again.\n";

    struct hf_arena *arena = restore->ctx->arena;
    struct restore_dir *dir = &restore->dirs.items[0];

    HF_TRY(make_dir(restore, dir));
    HF_TRY(hf_fsync(arena, dir->parent, dir->path));
    /* The mark is on the disk before anything that it speaks of. */
    HF_TRY(restore_write(restore, RESTORE_INCOMPLETE, text, sizeof(text) - 1));
    HF_TRY(hf_fsync(arena, dir->fd, dir->path));
    for (size_t i = 1; i < restore->dirs.len; i++) {
        HF_TRY(make_dir(restore, &restore->dirs.items[i]));
    }
    return confine(restore);
}

/* --- finishing ------------------------------------------------------------------------------ */

/* The path is what the person will give to pg_ctl: it must lead to what was written. */
static struct hf_status check_still_there(struct restore *restore, const struct restore_dir *dir)
{
    struct hf_arena *arena = restore->ctx->arena;
    char *now = hf_alloc(arena, PID_MAX_BYTES);
    struct stat ours;
    struct stat named;

    if (fstat(dir->fd, &ours) == 0 && stat(dir->path, &named) == 0 && ours.st_dev == named.st_dev &&
        ours.st_ino == named.st_ino) {
        return hf_success();
    }
    if (readlink(hf_printf(arena, "/proc/self/fd/%d", dir->fd), now, PID_MAX_BYTES - 1) < 0) {
        now = hf_strdup(arena, "an unknown place");
    }
    const char *const metadata[] = {"directory", dir->path, "now", restore_shown(arena, now), NULL};

    return hf_fail_info(arena, HF_FAILED_PRECONDITION, "TARGET_MOVED", metadata,
                        "%s was moved while it was being restored: what was written is now in %s",
                        restore_shown(arena, dir->path), restore_shown(arena, now));
}

static struct hf_status name_control(struct restore *restore)
{
    struct hf_arena *arena = restore->ctx->arena;
    const char *name = NULL;
    HF_CLEANUP(hf_close)
    int fd = hf_beneath_parent(restore_data_dir(restore)->fd, RESTORE_CONTROL_TEMP, &name);

    if (fd < 0 || renameat(fd, name, fd, "pg_control") != 0) {
        return errno == ENOENT || errno == ENOTDIR
                   ? hf_fail(arena, HF_DATA_LOSS, "the backup has no global/pg_control")
                   : restore_fail(arena, errno, "renaming", RESTORE_CONTROL_TEMP);
    }
    return restore_fsync_dir(restore, "global");
}

static struct hf_status open_door(struct restore *restore, const struct restore_dir *dir)
{
    return restore_own(restore, restore->ctx->arena, dir->fd, dir->path);
}

/* pg_control is the last file to get its name: without it no server starts here. */
struct hf_status restore_dir_end(struct restore *restore)
{
    struct hf_arena *arena = restore->ctx->arena;
    const struct restore_dir *dir = restore_data_dir(restore);

    for (size_t i = 1; i < restore->dirs.len; i++) {
        HF_TRY(open_door(restore, &restore->dirs.items[i]));
    }
    HF_TRY(restore_sync_all(restore));
    for (size_t i = 0; i < restore->dirs.len; i++) {
        HF_TRY(check_still_there(restore, &restore->dirs.items[i]));
    }
    HF_TRY(name_control(restore));
    if (unlinkat(dir->fd, RESTORE_INCOMPLETE, 0) != 0) {
        return restore_fail(arena, errno, "removing", RESTORE_INCOMPLETE);
    }
    HF_TRY(open_door(restore, dir));
    HF_TRY(hf_fsync(arena, dir->fd, dir->path));
    return hf_fsync(arena, dir->parent, dir->path);
}

static void close_one(int *fd)
{
    if (*fd >= 0) {
        close(*fd);
        *fd = -1;
    }
}

void restore_dir_close(struct restore *restore)
{
    for (size_t i = 0; i < restore->dirs.len; i++) {
        close_one(&restore->dirs.items[i].found.fd);
        close_one(&restore->dirs.items[i].fd);
        close_one(&restore->dirs.items[i].parent);
    }
}
