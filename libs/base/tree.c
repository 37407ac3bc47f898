/* rm -r through directory descriptors. Each level is opened relative to its parent with
 * O_NOFOLLOW, so that a directory swapped for a symbolic link meanwhile cannot lead elsewhere. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fd.h"

#define MAX_DEPTH 64

/* Directories that are being emptied, outermost first. */
struct walk {
    DIR *dirs[MAX_DEPTH];
    const char *names[MAX_DEPTH]; /* relative to the level above; arena */
    size_t depth;
};

static void walk_done_cleanup(struct walk *walk)
{
    while (walk->depth > 0) {
        (void)closedir(walk->dirs[--walk->depth]);
    }
}

static int parent_fd(const struct walk *walk)
{
    return walk->depth == 0 ? AT_FDCWD : dirfd(walk->dirs[walk->depth - 1]);
}

static struct hf_status enter(struct hf_arena *arena, struct walk *walk, const char *name)
{
    if (walk->depth == MAX_DEPTH) {
        return hf_fail(arena, HF_RESOURCE_EXHAUSTED, "%s lies more than %d directories deep", name,
                       MAX_DEPTH);
    }
    HF_CLEANUP(hf_close)
    int fd = openat(parent_fd(walk), name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    if (dir == NULL) {
        return hf_fail_errno(arena, errno, "opening directory %s", name);
    }
    fd = -1; /* dir owns it now */
    walk->dirs[walk->depth] = dir;
    walk->names[walk->depth] = hf_strdup(arena, name);
    walk->depth++;
    return hf_success();
}

static struct hf_status leave(struct hf_arena *arena, struct walk *walk)
{
    walk->depth--;
    (void)closedir(walk->dirs[walk->depth]);
    const char *name = walk->names[walk->depth];
    if (unlinkat(parent_fd(walk), name, AT_REMOVEDIR) != 0 && errno != ENOENT) {
        return hf_fail_errno(arena, errno, "removing directory %s", name);
    }
    return hf_success();
}

/* Remove a file, or go into a directory. */
static struct hf_status take_entry(struct hf_arena *arena, struct walk *walk, const char *name)
{
    if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0) {
        return hf_success();
    }
    if (unlinkat(parent_fd(walk), name, 0) == 0 || errno == ENOENT) {
        return hf_success();
    }
    if (errno != EISDIR) {
        return hf_fail_errno(arena, errno, "removing %s", name);
    }
    return enter(arena, walk, name);
}

struct hf_status hf_remove_tree(struct hf_arena *arena, const char *path)
{
    HF_CLEANUP(walk_done) struct walk walk = {.depth = 0};
    struct stat info;

    if (lstat(path, &info) != 0) {
        int error = errno;
        return error == ENOENT ? hf_success() : hf_fail_errno(arena, error, "examining %s", path);
    }
    if (!S_ISDIR(info.st_mode)) {
        return take_entry(arena, &walk, path);
    }
    HF_TRY(enter(arena, &walk, path));
    while (walk.depth > 0) {
        errno = 0;
        const struct dirent *entry = readdir(walk.dirs[walk.depth - 1]);
        if (entry == NULL && errno != 0) {
            return hf_fail_errno(arena, errno, "listing %s", walk.names[walk.depth - 1]);
        }
        struct hf_status status =
            entry == NULL ? leave(arena, &walk) : take_entry(arena, &walk, entry->d_name);
        if (!hf_is_ok(status)) {
            return hf_wrap(arena, status, "below %s", path);
        }
    }
    return hf_success();
}
