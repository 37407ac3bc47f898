/* A directory of one process.
 *
 * Between two steps of one process another may empty what it finds:
 *   made, not locked     the other locks and removes it: the lock fails, or it is of a directory
 *                        without a name, and another one is made
 *   locked               the other leaves it alone
 * So whoever has the lock of a directory that still has its name owns it, and nobody changes what
 * he does not own. */
#include "svc/run_dir.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/str.h"

#define TRIES 100
#define PATH_ARENA ((size_t)64 << 10)

struct svc_run_dir {
    char *path;
    int fd; /* has the lock */
};

enum owning { IS_OWNED, IS_ANOTHERS, HAS_NO_LOCKS };

static enum owning own(int fd)
{
    struct stat found;

    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        return errno == EWOULDBLOCK ? IS_ANOTHERS : HAS_NO_LOCKS;
    }
    return fstat(fd, &found) == 0 && found.st_nlink > 0 ? IS_OWNED : IS_ANOTHERS;
}

static struct hf_status empty_entry(struct hf_arena *arena, int parent_fd, const char *parent,
                                    const char *name)
{
    HF_CLEANUP(hf_close)
    int fd = openat(parent_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

    return fd >= 0 && own(fd) == IS_OWNED ? hf_remove_tree(arena, hf_path_join(arena, parent, name))
                                          : hf_success();
}

static void dir_close_cleanup(DIR **dir)
{
    if (*dir != NULL) {
        (void)closedir(*dir);
    }
}

/* What cannot be removed is another's: it is in nobody's way, and no reason not to start. */
static void empty(const char *parent)
{
    HF_CLEANUP(dir_close) DIR *dir = opendir(parent);
    const struct dirent *entry;

    while (dir != NULL && (entry = readdir(dir)) != NULL) {
        HF_CLEANUP(hf_arena_free) struct hf_arena *arena = hf_arena_new(PATH_ARENA);

        if (entry->d_name[0] == '.') {
            continue;
        }
        struct hf_status status = empty_entry(arena, dirfd(dir), parent, entry->d_name);

        if (!hf_is_ok(status)) {
            hf_warn(NULL, HF_EVENT("run_dir.not_emptied"), HF_TEXT("error", status.message));
        }
    }
}

/* ret_fd -1: another process was faster. */
static struct hf_status make(struct hf_arena *arena, const char *parent, char **ret_path,
                             int *ret_fd)
{
    char *path = hf_path_join(arena, parent, "process-XXXXXX");

    *ret_fd = -1;
    if (mkdtemp(path) == NULL) {
        return hf_fail_errno(arena, errno, "making a directory below %s", parent);
    }
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

    if (fd < 0) {
        return errno == ENOENT ? hf_success() : hf_fail_errno(arena, errno, "opening %s", path);
    }
    if (own(fd) == IS_ANOTHERS) {
        (void)close(fd);
        return hf_success();
    }
    *ret_path = path;
    *ret_fd = fd;
    return hf_success();
}

struct hf_status svc_run_dir_open(struct hf_arena *arena, const char *parent,
                                  struct svc_run_dir **ret_dir)
{
    HF_TRY(hf_make_dirs(arena, parent, 0700));
    empty(parent);
    for (int tries = 0; tries < TRIES; tries++) {
        char *path = NULL;
        int fd = -1;

        HF_TRY(make(arena, parent, &path, &fd));
        if (fd >= 0) {
            struct svc_run_dir *dir = hf_heap_alloc(sizeof(*dir));

            *dir = (struct svc_run_dir){hf_heap_strdup(path), fd};
            *ret_dir = dir;
            return hf_success();
        }
    }
    return hf_fail(arena, HF_UNAVAILABLE, "other processes remove what is made below %s", parent);
}

const char *svc_run_dir_path(const struct svc_run_dir *dir)
{
    return dir->path;
}

void svc_run_dir_free(struct svc_run_dir *dir)
{
    HF_CLEANUP(hf_arena_free) struct hf_arena *arena = NULL;

    if (dir == NULL) {
        return;
    }
    arena = hf_arena_new(PATH_ARENA);
    struct hf_status removed = hf_remove_tree(arena, dir->path);

    (void)removed; /* what is left goes with the next start */
    (void)close(dir->fd);
    hf_heap_free(dir->path);
    hf_heap_free(dir);
}
