/* Durability of a restore: everything written reaches the disk before the control file gets its
 * name. One syncfs for each file system instead of an fsync for each file, which costs a flush of
 * the disk each. The surprise: syncfs tells of failed writes only when its descriptor was opened
 * before them, and only since Linux 5.8: so the descriptors are opened with the directories, and
 * an older kernel gets the fsync of each file. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"
#include "restore/internal.h"

#define DEPTH_MAX 64

/* "5.8" and later. */
static bool is_syncfs_honest(void)
{
    struct utsname system;
    char *rest = NULL;

    if (uname(&system) != 0) {
        return false;
    }
    unsigned long major = strtoul(system.release, &rest, 10);
    unsigned long minor = *rest == '.' ? strtoul(rest + 1, NULL, 10) : 0;

    return major > 5 || (major == 5 && minor >= 8);
}

/* --- file by file ----------------------------------------------------------------------------- */

/* Directories on the way down; recursion would make the depth an attacker's choice. */
struct tree {
    struct hf_arena *arena;
    const char *path; /* of the top, for messages */
    DIR *open[DEPTH_MAX];
    size_t depth;
};

static struct hf_status tree_fail(const struct tree *tree, int fd, int error)
{
    if (fd >= 0) {
        close(fd);
    }
    return hf_fail_errno(tree->arena, error, "opening what is in %s", tree->path);
}

/* Takes fd. */
static struct hf_status tree_enter(struct tree *tree, int fd)
{
    if (fd < 0 || tree->depth == DEPTH_MAX) {
        return tree_fail(tree, fd, fd < 0 ? errno : ENAMETOOLONG);
    }
    DIR *dir = fdopendir(fd);

    if (dir == NULL) {
        return tree_fail(tree, fd, errno);
    }
    tree->open[tree->depth++] = dir;
    return hf_success();
}

/* All of the innermost directory is synced: so are its names now. */
static struct hf_status tree_leave(struct tree *tree)
{
    DIR *dir = tree->open[--tree->depth];
    struct hf_status status = hf_fsync(tree->arena, dirfd(dir), tree->path);

    tree->open[tree->depth] = NULL;
    closedir(dir);
    return status;
}

static struct hf_status tree_entry(struct tree *tree, const char *name)
{
    int at = dirfd(tree->open[tree->depth - 1]);
    struct stat info;

    if (hf_text_equal(name, ".") || hf_text_equal(name, "..")) {
        return hf_success();
    }
    if (fstatat(at, name, &info, AT_SYMLINK_NOFOLLOW) != 0) {
        return hf_fail_errno(tree->arena, errno, "looking at %s in %s", name, tree->path);
    }
    if (S_ISDIR(info.st_mode)) {
        return tree_enter(tree, hf_beneath_open(at, name, O_RDONLY | O_DIRECTORY, 0));
    }
    if (!S_ISREG(info.st_mode)) {
        return hf_success(); /* a link's target is in its directory */
    }
    HF_CLEANUP(hf_close) int fd = hf_beneath_open(at, name, O_RDONLY | O_NONBLOCK, 0);

    return fd < 0 ? hf_fail_errno(tree->arena, errno, "opening %s in %s", name, tree->path)
                  : hf_fsync(tree->arena, fd, name);
}

static struct hf_status tree_walk(struct tree *tree)
{
    while (tree->depth > 0) {
        errno = 0;
        const struct dirent *entry = readdir(tree->open[tree->depth - 1]);

        if (entry == NULL && errno != 0) {
            return hf_fail_errno(tree->arena, errno, "reading %s", tree->path);
        }
        HF_TRY(entry == NULL ? tree_leave(tree) : tree_entry(tree, entry->d_name));
    }
    return hf_success();
}

static struct hf_status sync_tree(struct restore *restore, const struct restore_dir *dir)
{
    struct tree tree = {.arena = restore->ctx->arena, .path = dir->path};
    struct hf_status status =
        tree_enter(&tree, openat(dir->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));

    if (hf_is_ok(status)) {
        status = tree_walk(&tree);
    }
    for (size_t i = 0; i < DEPTH_MAX; i++) {
        if (tree.open[i] != NULL) {
            closedir(tree.open[i]);
        }
    }
    return status;
}

/* --- the whole -------------------------------------------------------------------------------- */

struct hf_status restore_sync_all(struct restore *restore)
{
    bool is_honest = is_syncfs_honest();

    for (size_t i = 0; i < restore->dirs.len; i++) {
        const struct restore_dir *dir = &restore->dirs.items[i];

        if (syncfs(dir->fd) != 0) {
            return hf_fail_errno(restore->ctx->arena, errno, "syncing %s", dir->path);
        }
        if (!is_honest) {
            HF_TRY(sync_tree(restore, dir));
        }
    }
    return hf_success();
}
