/* rm -r through directory descriptors. Each level is opened relative to its parent with
 * O_NOFOLLOW, so that a directory swapped for a symbolic link meanwhile cannot lead elsewhere. What
 * cannot be removed stays, with the directories above it; everything else goes all the same. */
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
    struct hf_status first; /* failure; of the others only the number is kept */
    size_t failures;
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

/* error  0: it lies too deep */
static void note(struct hf_arena *arena, struct walk *walk, const char *name, int error)
{
    if (walk->failures++ > 0) {
        return;
    }
    const char *above = walk->depth == 0 ? "" : walk->names[walk->depth - 1];
    const char *where = hf_printf(arena, "%s%s%s", above, *above == '\0' ? "" : "/", name);

    walk->first = error == 0 ? hf_fail(arena, HF_RESOURCE_EXHAUSTED,
                                       "%s lies more than %d directories deep", where, MAX_DEPTH)
                             : hf_fail_errno(arena, error, "removing %s", where);
}

/* Returns 0 or an errno. */
static int enter(struct hf_arena *arena, struct walk *walk, const char *name)
{
    HF_CLEANUP(hf_close)
    int fd = openat(parent_fd(walk), name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);

    if (dir == NULL) {
        return errno;
    }
    fd = -1; /* dir owns it now */
    walk->dirs[walk->depth] = dir;
    walk->names[walk->depth] = hf_strdup(arena, name);
    walk->depth++;
    return 0;
}

/* That it is not empty is no failure of its own when something below it was one. */
static void leave(struct hf_arena *arena, struct walk *walk)
{
    walk->depth--;
    (void)closedir(walk->dirs[walk->depth]);
    const char *name = walk->names[walk->depth];

    if (unlinkat(parent_fd(walk), name, AT_REMOVEDIR) != 0 && errno != ENOENT &&
        (walk->failures == 0 || errno != ENOTEMPTY)) {
        note(arena, walk, name, errno);
    }
}

/* Remove a file, or go into a directory: also into one that is to stay, for what is below it. */
static void take_entry(struct hf_arena *arena, struct walk *walk, const char *name)
{
    if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0 ||
        unlinkat(parent_fd(walk), name, 0) == 0 || errno == ENOENT) {
        return;
    }
    int error = errno;

    if (error == EISDIR && walk->depth == MAX_DEPTH) {
        note(arena, walk, name, 0);
        return;
    }
    int entered = walk->depth == MAX_DEPTH ? ENOTDIR : enter(arena, walk, name);

    if (entered != 0) {
        note(arena, walk, name, error == EISDIR ? entered : error);
    }
}

struct hf_status hf_remove_tree(struct hf_arena *arena, const char *path)
{
    HF_CLEANUP(walk_done) struct walk walk = {.depth = 0};

    take_entry(arena, &walk, path);
    while (walk.depth > 0) {
        errno = 0;
        const struct dirent *entry = readdir(walk.dirs[walk.depth - 1]);

        if (entry != NULL) {
            take_entry(arena, &walk, entry->d_name);
            continue;
        }
        if (errno != 0) {
            note(arena, &walk, "its list", errno);
        }
        leave(arena, &walk);
    }
    if (walk.failures == 0) {
        return hf_success();
    }
    return walk.failures == 1
               ? hf_wrap(arena, walk.first, "below %s", path)
               : hf_wrap(arena, walk.first, "below %s, %zu things stay; the first of them", path,
                         walk.failures);
}
