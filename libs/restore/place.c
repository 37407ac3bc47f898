/* The directory of a restore: may it be written, who owns it, how it is finished. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
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

static struct hf_status check_not_running(struct restore *restore, const char *dir)
{
    struct hf_arena *arena = restore->ctx->arena;
    HF_CLEANUP(hf_buf_done) struct hf_buf text = {0};
    const char *path = hf_path_join(arena, dir, "postmaster.pid");
    uint64_t pid = 0;

    hf_buf_init(&text, PID_MAX_BYTES);
    if (!hf_is_ok(hf_read_file(arena, path, &text))) {
        return hf_success();
    }
    const char *first = hf_buf_text(&text);
    size_t len = 0;

    while (first[len] >= '0' && first[len] <= '9') {
        len++;
    }
    if (!hf_parse_u64(hf_strndup(arena, first, len), &pid) ||
        !hf_path_exists(hf_printf(arena, "/proc/%llu", (unsigned long long)pid))) {
        return hf_success();
    }
    const char *const metadata[] = {"directory", dir, NULL};

    return hf_fail_info(arena, HF_FAILED_PRECONDITION, "SERVER_RUNNING", metadata,
                        "a PostgreSQL server (pid %llu) runs in %s; restore into another directory",
                        (unsigned long long)pid, dir);
}

static struct hf_status check_empty(struct restore *restore, const char *dir, const char *reason)
{
    struct hf_arena *arena = restore->ctx->arena;
    DIR *handle = opendir(dir);

    if (handle == NULL) {
        return errno == ENOENT ? hf_success() : hf_fail_errno(arena, errno, "opening %s", dir);
    }
    const struct dirent *entry = NULL;
    bool is_empty = true;

    while (is_empty && (entry = readdir(handle)) != NULL) {
        is_empty = hf_text_equal(entry->d_name, ".") || hf_text_equal(entry->d_name, "..") ||
                   hf_text_equal(entry->d_name, "lost+found");
    }
    closedir(handle);
    const char *const metadata[] = {"directory", dir, NULL};

    if (is_empty) {
        return hf_success();
    }
    if (hf_path_exists(hf_path_join(arena, dir, RESTORE_INCOMPLETE))) {
        return hf_fail_info(arena, HF_FAILED_PRECONDITION, reason, metadata,
                            "%s holds a restore that was not finished; remove it and restore again",
                            dir);
    }
    return hf_fail_info(arena, HF_FAILED_PRECONDITION, reason, metadata,
                        "%s is not empty; choose an empty or a new directory", dir);
}

static const char *parent_of(struct hf_arena *arena, const char *path)
{
    size_t len = hf_str_of(path).len;

    while (len > 1 && path[len - 1] == '/') {
        len--;
    }
    while (len > 1 && path[len - 1] != '/') {
        len--;
    }
    return hf_strndup(arena, path, len);
}

static struct hf_status check_space(struct restore *restore, const struct restore_plan *plan)
{
    struct hf_arena *arena = restore->ctx->arena;
    const char *parent = parent_of(arena, restore->options->dir);
    struct statvfs space;

    if (statvfs(parent, &space) != 0) {
        return hf_fail_errno(arena, errno, "looking at %s", parent);
    }
    uint64_t free_bytes = (uint64_t)space.f_bavail * space.f_frsize;
    uint64_t needed = plan->point->source_bytes + (plan->end_lsn - plan->point->start_lsn) +
                      2 * plan->wal.segment_bytes;

    if (free_bytes >= needed) {
        return hf_success();
    }
    const char *const metadata[] = {"needed", hf_printf(arena, "%llu", (unsigned long long)needed),
                                    "free",
                                    hf_printf(arena, "%llu", (unsigned long long)free_bytes), NULL};

    return hf_fail_info(arena, HF_FAILED_PRECONDITION, "NO_SPACE", metadata,
                        "%s has %s free, the restore needs %s", parent,
                        hf_size_text(arena, free_bytes), hf_size_text(arena, needed));
}

/* Two tablespaces in one directory would write over each other. */
static bool is_taken(const struct pgf_tablespace *spaces, size_t i)
{
    for (size_t k = 0; k < i; k++) {
        if (hf_text_equal(spaces[k].path, spaces[i].path)) {
            return true;
        }
    }
    return false;
}

static struct hf_status check_spaces(struct restore *restore, const struct pgf_tablespace *spaces,
                                     size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (is_taken(spaces, i) || hf_text_equal(spaces[i].path, restore->options->dir)) {
            return hf_fail(restore->ctx->arena, HF_INVALID_ARGUMENT,
                           "tablespace %u needs a directory of its own, %s is taken",
                           (unsigned)spaces[i].oid, spaces[i].path);
        }
        if (spaces[i].path[0] != '/') {
            return hf_fail(restore->ctx->arena, HF_INVALID_ARGUMENT,
                           "tablespace location %s must be an absolute path", spaces[i].path);
        }
        struct hf_status status = check_empty(restore, spaces[i].path, "TABLESPACE_NOT_MAPPED");

        if (status.code == HF_FAILED_PRECONDITION) {
            return hf_wrap(restore->ctx->arena, status,
                           "tablespace %u needs another place (--tablespace OLD=NEW)",
                           (unsigned)spaces[i].oid);
        }
        HF_TRY(status);
    }
    return hf_success();
}

struct hf_status restore_dir_check(struct restore *restore, const struct restore_plan *plan,
                                   const struct pgf_tablespace *spaces, size_t spaces_len)
{
    struct hf_arena *arena = restore->ctx->arena;
    const char *dir = restore->options->dir;
    const char *parent = parent_of(arena, dir);
    struct stat found;

    if (stat(parent, &found) != 0 || !S_ISDIR(found.st_mode)) {
        return hf_fail(arena, HF_NOT_FOUND, "the parent directory %s does not exist", parent);
    }
    HF_TRY(check_not_running(restore, dir));
    HF_TRY(check_empty(restore, dir, "DIRECTORY_NOT_EMPTY"));
    HF_TRY(check_spaces(restore, spaces, spaces_len));
    if (restore->options->has_owner) {
        restore->uid = restore->options->owner_uid;
        restore->gid = restore->options->owner_gid;
        restore->has_owner = true;
    } else if (geteuid() == 0) {
        restore->uid = found.st_uid;
        restore->gid = found.st_gid;
        restore->has_owner = true;
    }
    return check_space(restore, plan);
}

/* --- writing -------------------------------------------------------------------------------- */

struct hf_status restore_own(struct restore *restore, struct hf_arena *arena, int fd,
                             const char *path)
{
    if (restore->has_owner && fchown(fd, restore->uid, restore->gid) != 0) {
        return hf_fail_errno(arena, errno, "giving %s to its owner", path);
    }
    return hf_success();
}

struct hf_status restore_mkdir(struct restore *restore, const char *path, mode_t mode)
{
    struct hf_arena *arena = restore->ctx->arena;
    HF_CLEANUP(hf_close) int fd = -1;

    if (mkdir(path, 0700) != 0 && errno != EEXIST) {
        return hf_fail_errno(arena, errno, "making %s", path);
    }
    fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0) {
        return hf_fail_errno(arena, errno, "opening %s", path);
    }
    if (fchmod(fd, mode) != 0) {
        return hf_fail_errno(arena, errno, "setting the mode of %s", path);
    }
    return restore_own(restore, arena, fd, path);
}

struct hf_status restore_write(struct restore *restore, const char *name, const void *bytes,
                               size_t len)
{
    struct hf_arena *arena = restore->ctx->arena;
    const char *path = hf_path_join(arena, restore->options->dir, name);
    HF_CLEANUP(hf_close)
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);

    if (fd < 0) {
        return hf_fail_errno(arena, errno, "writing %s", path);
    }
    HF_TRY(hf_write_all(arena, fd, bytes, len, path));
    HF_TRY(restore_own(restore, arena, fd, path));
    return hf_fsync(arena, fd, path);
}

struct hf_status restore_dir_begin(struct restore *restore)
{
    static const char text[] =
        "holdfast has not finished restoring into this directory.\n"
        "Do not start a server here; remove the directory and restore again.\n";

    struct hf_arena *arena = restore->ctx->arena;
    const char *dir = restore->options->dir;

    restore->has_written = true;
    HF_TRY(restore_mkdir(restore, dir, 0700));
    HF_TRY(hf_fsync_dir(arena, parent_of(arena, dir)));
    HF_TRY(restore_sync_open(restore, dir));
    /* The mark is on the disk before anything that it speaks of. */
    HF_TRY(restore_write(restore, RESTORE_INCOMPLETE, text, sizeof(text) - 1));
    return hf_fsync_dir(arena, dir);
}

/* pg_control is the last file to get its name: without it no server starts here. */
struct hf_status restore_dir_end(struct restore *restore)
{
    struct hf_arena *arena = restore->ctx->arena;
    const char *dir = restore->options->dir;
    const char *from = hf_path_join(arena, dir, RESTORE_CONTROL_TEMP);
    const char *to = hf_path_join(arena, dir, "global/pg_control");

    HF_TRY(restore_sync_all(restore));
    if (rename(from, to) != 0) {
        return hf_fail_errno(arena, errno, "renaming %s", from);
    }
    HF_TRY(hf_fsync_dir(arena, hf_path_join(arena, dir, "global")));
    const char *marker = hf_path_join(arena, dir, RESTORE_INCOMPLETE);

    if (unlink(marker) != 0) {
        return hf_fail_errno(arena, errno, "removing %s", marker);
    }
    HF_TRY(hf_fsync_dir(arena, dir));
    return hf_fsync_dir(arena, parent_of(arena, dir));
}
