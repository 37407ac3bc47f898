/* Names below the directories of a restore. They come from the vault, and whoever holds its key may
 * lie: each is taken relative to the directory's descriptor, without following anything, and what
 * is there already is never written into. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"
#include "restore/internal.h"

const struct restore_dir *restore_data_dir(const struct restore *restore)
{
    return &restore->dirs.items[0];
}

const char *restore_shown(struct hf_arena *arena, const char *text)
{
    return hf_text_show(arena, text, hf_str_of(text).len, SHOWN_MAX_BYTES);
}

struct hf_status restore_fail(struct hf_arena *arena, int error, const char *what, const char *path)
{
    bool is_lie = error == EEXIST || error == EISDIR || error == ENOTDIR || error == ELOOP ||
                  error == EXDEV || error == ENAMETOOLONG;

    if (is_lie) {
        return hf_fail(arena, HF_DATA_LOSS,
                       "%s %s: the backup names it twice, or as a file and as a directory", what,
                       restore_shown(arena, path));
    }
    return hf_fail_errno(arena, error, "%s %s", what, restore_shown(arena, path));
}

struct hf_status restore_own(struct restore *restore, struct hf_arena *arena, int fd,
                             const char *path)
{
    if (restore->has_owner && fchown(fd, restore->uid, restore->gid) != 0) {
        return restore_fail(arena, errno, "giving to its owner", path);
    }
    return hf_success();
}

/* --- directories ---------------------------------------------------------------------------- */

/* 0, or -1 and errno; OK when something has the name. */
static int make_one(const struct restore_dir *dir, const char *path)
{
    const char *name = NULL;
    HF_CLEANUP(hf_close) int parent = hf_beneath_parent(dir->fd, path, &name);

    if (parent < 0) {
        return -1;
    }
    return mkdirat(parent, name, 0700) == 0 || errno == EEXIST ? 0 : -1;
}

/* Parents that nobody has named yet are ours; they get their own mode when their turn comes. */
static struct hf_status make_parents(struct restore *restore, struct hf_arena *arena,
                                     const struct restore_dir *dir, const char *path)
{
    for (const char *slash = strchr(path, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        const char *parent = hf_strndup(arena, path, (size_t)(slash - path));
        HF_CLEANUP(hf_close) int fd = -1;

        if (make_one(dir, parent) != 0) {
            return restore_fail(arena, errno, "making", parent);
        }
        fd = hf_beneath_open(dir->fd, parent, O_RDONLY | O_DIRECTORY, 0);
        if (fd < 0) {
            return restore_fail(arena, errno, "opening", parent);
        }
        HF_TRY(restore_own(restore, arena, fd, parent));
    }
    return hf_success();
}

struct hf_status restore_mkdir(struct restore *restore, struct hf_arena *arena,
                               const struct restore_dir *dir, const char *path, mode_t mode)
{
    HF_CLEANUP(hf_close) int fd = -1;

    if (make_one(dir, path) != 0 && errno == ENOENT) {
        HF_TRY(make_parents(restore, arena, dir, path));
    }
    if (make_one(dir, path) != 0) {
        return restore_fail(arena, errno, "making", path);
    }
    fd = hf_beneath_open(dir->fd, path, O_RDONLY | O_DIRECTORY, 0);
    if (fd < 0) {
        return restore_fail(arena, errno, "opening", path);
    }
    if (fchmod(fd, (mode & 0777) | 0700) != 0) {
        return restore_fail(arena, errno, "setting the mode of", path);
    }
    return restore_own(restore, arena, fd, path);
}

struct hf_status restore_fsync_dir(struct restore *restore, const char *name)
{
    HF_CLEANUP(hf_close)
    int fd = hf_beneath_open(restore_data_dir(restore)->fd, name, O_RDONLY | O_DIRECTORY, 0);

    return fd < 0 ? restore_fail(restore->ctx->arena, errno, "opening", name)
                  : hf_fsync(restore->ctx->arena, fd, name);
}

/* --- files ---------------------------------------------------------------------------------- */

struct hf_status restore_create(struct restore *restore, struct hf_arena *arena, const char *name,
                                int *ret_fd)
{
    HF_CLEANUP(hf_close)
    int fd =
        hf_beneath_open(restore_data_dir(restore)->fd, name, O_WRONLY | O_CREAT | O_EXCL, 0600);

    if (fd < 0) {
        return restore_fail(arena, errno, "making", name);
    }
    HF_TRY(restore_own(restore, arena, fd, name));
    *ret_fd = fd;
    fd = -1;
    return hf_success();
}

/* What has the name goes: nobody's bytes are written over, whatever it is. */
static struct hf_status remove_old(struct restore *restore, const char *path)
{
    const char *name = NULL;
    HF_CLEANUP(hf_close)
    int parent = hf_beneath_parent(restore_data_dir(restore)->fd, path, &name);

    if (parent < 0 || (unlinkat(parent, name, 0) != 0 && errno != ENOENT)) {
        return restore_fail(restore->ctx->arena, errno, "replacing", path);
    }
    return hf_success();
}

struct hf_status restore_write(struct restore *restore, const char *name, const void *bytes,
                               size_t len)
{
    struct hf_arena *arena = restore->ctx->arena;
    HF_CLEANUP(hf_close) int fd = -1;

    HF_TRY(remove_old(restore, name));
    HF_TRY(restore_create(restore, arena, name, &fd));
    HF_TRY(hf_write_all(arena, fd, bytes, len, name));
    return hf_fsync(arena, fd, name);
}

struct hf_status restore_read(struct restore *restore, const char *name, struct hf_buf *buf,
                              bool *ret_is_there)
{
    struct hf_arena *arena = restore->ctx->arena;
    HF_CLEANUP(hf_close)
    int fd = hf_beneath_open(restore_data_dir(restore)->fd, name, O_RDONLY | O_NONBLOCK, 0);
    struct stat info;
    size_t got = 0;

    *ret_is_there = fd >= 0 || errno != ENOENT;
    if (!*ret_is_there) {
        return hf_success();
    }
    if (fd < 0 || fstat(fd, &info) != 0) {
        return restore_fail(arena, errno, "reading", name);
    }
    if (!S_ISREG(info.st_mode)) {
        return restore_fail(arena, EISDIR, "reading", name);
    }
    if ((uint64_t)info.st_size > buf->max - buf->len) {
        return hf_fail(arena, HF_RESOURCE_EXHAUSTED, "%s is larger than %zu bytes", name, buf->max);
    }
    uint8_t *to = hf_buf_extend(buf, (size_t)info.st_size);

    return hf_pread_full(arena, fd, to, (size_t)info.st_size, 0, name, &got);
}
