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

struct hf_status restore_sync_open(struct restore *restore, const char *path)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0) {
        return hf_fail_errno(restore->ctx->arena, errno, "opening %s", path);
    }
    *HF_VEC_ADD(restore->ctx->arena, &restore->syncs) = (struct restore_sync){path, fd};
    return hf_success();
}

void restore_sync_close(struct restore *restore)
{
    for (size_t i = 0; i < restore->syncs.len; i++) {
        close(restore->syncs.items[i].fd);
    }
    restore->syncs.len = 0;
}

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
    DIR *open[DEPTH_MAX];
    const char *paths[DEPTH_MAX];
    size_t depth;
};

static struct hf_status tree_enter(struct tree *tree, const char *path)
{
    if (tree->depth == DEPTH_MAX) {
        return hf_fail(tree->arena, HF_OUT_OF_RANGE, "%s lies too deep", path);
    }
    DIR *dir = opendir(path);

    if (dir == NULL) {
        return hf_fail_errno(tree->arena, errno, "opening %s", path);
    }
    tree->open[tree->depth] = dir;
    tree->paths[tree->depth++] = path;
    return hf_success();
}

/* All of the innermost directory is synced: so are its names now. */
static struct hf_status tree_leave(struct tree *tree)
{
    closedir(tree->open[--tree->depth]);
    return hf_fsync_dir(tree->arena, tree->paths[tree->depth]);
}

static struct hf_status tree_entry(struct tree *tree, const char *name)
{
    const char *path = hf_path_join(tree->arena, tree->paths[tree->depth - 1], name);
    struct stat info;

    if (hf_text_equal(name, ".") || hf_text_equal(name, "..")) {
        return hf_success();
    }
    if (lstat(path, &info) != 0) {
        return hf_fail_errno(tree->arena, errno, "looking at %s", path);
    }
    if (S_ISDIR(info.st_mode)) {
        return tree_enter(tree, path);
    }
    if (!S_ISREG(info.st_mode)) {
        return hf_success(); /* a link's target is in its directory */
    }
    HF_CLEANUP(hf_close) int fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);

    return fd < 0 ? hf_fail_errno(tree->arena, errno, "opening %s", path)
                  : hf_fsync(tree->arena, fd, path);
}

static struct hf_status tree_walk(struct tree *tree)
{
    while (tree->depth > 0) {
        errno = 0;
        const struct dirent *entry = readdir(tree->open[tree->depth - 1]);

        if (entry == NULL && errno != 0) {
            return hf_fail_errno(tree->arena, errno, "reading %s", tree->paths[tree->depth - 1]);
        }
        HF_TRY(entry == NULL ? tree_leave(tree) : tree_entry(tree, entry->d_name));
    }
    return hf_success();
}

static struct hf_status sync_tree(struct restore *restore, const char *path)
{
    struct tree tree = {.arena = restore->ctx->arena};
    struct hf_status status = tree_enter(&tree, path);

    if (hf_is_ok(status)) {
        status = tree_walk(&tree);
    }
    while (tree.depth > 0) {
        closedir(tree.open[--tree.depth]);
    }
    return status;
}

/* --- the whole -------------------------------------------------------------------------------- */

struct hf_status restore_sync_all(struct restore *restore)
{
    bool is_honest = is_syncfs_honest();

    for (size_t i = 0; i < restore->syncs.len; i++) {
        const struct restore_sync *sync = &restore->syncs.items[i];

        if (syncfs(sync->fd) != 0) {
            return hf_fail_errno(restore->ctx->arena, errno, "syncing %s", sync->path);
        }
        if (!is_honest) {
            HF_TRY(sync_tree(restore, sync->path));
        }
    }
    return hf_success();
}
